//! Cuts the stream of samples into what is summarised and what the detector sees. Pure.

use bearing_watch::Summary;
use coracle_sdk::{BlockHeader, Errno};
use coracle_vibration::BLOCK_SAMPLES;
use coracle_vibration::detector::{Detector, Onset};
use coracle_vibration::stats::BlockStats;

use crate::window::{Window, micros};

/// Samples in a summary.
pub(crate) const SUMMARY_SAMPLES: usize = 128;

/// What a block of samples led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// A stretch of [`SUMMARY_SAMPLES`].
    Summary(Summary),
    /// A fault begins.
    Onset(Onset),
}

/// The state between blocks. Blocks of the sensor may have any length.
pub(crate) struct Watch {
    detector: Detector,
    next_number: u64,
    /// Samples at the end of the window that no summary covers yet, below [`SUMMARY_SAMPLES`] between blocks.
    unsummarised: usize,
    /// Samples at the end of the window that the detector has not seen, below [`BLOCK_SAMPLES`] between blocks.
    undetected: usize,
}

impl Watch {
    pub(crate) fn new(detector: Detector) -> Self {
        Self { detector, next_number: 0, unsummarised: 0, undetected: 0 }
    }

    /// Takes the block that was just appended to `window`.
    pub(crate) fn appended(
        &mut self,
        window: &Window,
        header: &BlockHeader,
        mut output: impl FnMut(Output) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let samples = window.samples();
        let count = header.count as usize;
        // After a gap the window holds nothing but this block: what was left over of the one before is gone.
        self.unsummarised = (self.unsummarised + count).min(samples.len());
        self.undetected = (self.undetected + count).min(samples.len());

        while let Some(stats) = front(samples, self.unsummarised, SUMMARY_SAMPLES) {
            // Counted from the start of this block, before which at most a part of one summary lies.
            let before = micros(self.unsummarised.saturating_sub(count), header.rate_hz);
            let after = micros(count.saturating_sub(self.unsummarised), header.rate_hz);
            let summary = Summary {
                number: self.next_number,
                time_us: header.timestamp_us.saturating_sub(before) + after,
                rms_q4: stats.rms_q4,
                peak: stats.peak,
                kurtosis_q8: stats.kurtosis_q8,
                diff_rms_q4: stats.diff_rms_q4,
            };
            self.next_number += 1;
            self.unsummarised -= SUMMARY_SAMPLES;
            output(Output::Summary(summary))?;
        }
        while let Some(stats) = front(samples, self.undetected, BLOCK_SAMPLES) {
            self.undetected -= BLOCK_SAMPLES;
            if let Some(onset) = self.detector.block(&stats) {
                output(Output::Onset(onset))?;
            }
        }
        Ok(())
    }
}

/// Statistics of the first `length` of the last `pending` samples, if there are as many.
fn front(samples: &[i16], pending: usize, length: usize) -> Option<BlockStats> {
    let from = samples.len().checked_sub(pending)?;
    BlockStats::of(samples.get(from..from.checked_add(length)?)?).ok()
}

#[cfg(test)]
mod tests {
    use coracle_vibration::detector::{Baseline, Thresholds};

    use super::*;

    const RATE_HZ: u32 = 12_000;

    fn watch() -> Watch {
        let baseline = Baseline { rms_q4: 1600, diff_rms_q4: 2400, kurtosis_q8: 768 };
        Watch::new(Detector::new(baseline, Thresholds::default()).unwrap())
    }

    /// Feeds `signal` in blocks of the lengths that `lengths` gives in turn.
    fn run(signal: &[i16], lengths: &[usize]) -> Vec<Output> {
        let (mut watch, mut window) = (watch(), Box::new(Window::new()));
        let mut outputs = Vec::new();
        let (mut at, mut lengths) = (0, lengths.iter().cycle());
        let mut sequence = 0;
        while at < signal.len() {
            let count = (*lengths.next().unwrap()).min(signal.len() - at);
            let header = BlockHeader {
                timestamp_us: micros(at, RATE_HZ),
                sequence,
                rate_hz: RATE_HZ,
                dropped: 0,
                count: count as u32,
            };
            window
                .append(count, |tail| {
                    tail.copy_from_slice(&signal[at..at + count]);
                    Ok((header, count))
                })
                .unwrap();
            watch
                .appended(&window, &header, |output| {
                    outputs.push(output);
                    Ok(())
                })
                .unwrap();
            at += count;
            sequence += 1;
        }
        outputs
    }

    /// Healthy for ten blocks of the detector, then twice as loud.
    fn signal() -> Vec<i16> {
        let wave = |i: usize, level: i32| ((i * 7919 % 201) as i32 * 346 / 201 - 173) * level;
        (0..20 * 512).map(|i| wave(i, if i < 10 * 512 { 1 } else { 2 }) as i16).collect()
    }

    #[test]
    fn four_summaries_a_block_and_one_onset() {
        let outputs = run(&signal(), &[512]);
        let summaries: Vec<_> =
            outputs.iter().filter_map(|o| if let Output::Summary(s) = o { Some(s) } else { None }).collect();
        assert_eq!(summaries.len(), 80);
        for (number, summary) in summaries.iter().enumerate() {
            assert_eq!(summary.number, number as u64);
            // The time of the block and the time within it are rounded down each.
            let error = summary.time_us.abs_diff(micros(number * 128, RATE_HZ));
            assert!(error <= 1, "number {number}: {error} us");
        }
        let onsets: Vec<_> = outputs.iter().enumerate().filter(|(_, o)| matches!(o, Output::Onset(_))).collect();
        // With the fourth loud block: behind 14 blocks' summaries.
        assert_eq!(onsets.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [14 * 4]);
    }

    #[test]
    fn the_lengths_of_blocks_change_nothing_but_the_order() {
        let sorted = |mut outputs: Vec<Output>| {
            outputs.sort_by_key(|o| if let Output::Summary(s) = o { s.number } else { u64::MAX });
            outputs
        };
        let expected = sorted(run(&signal(), &[512]));
        for lengths in [&[256][..], &[511, 1], &[100, 300, 7], &[1]] {
            let mut got = sorted(run(&signal(), lengths));
            for (output, expected) in got.iter_mut().zip(&expected) {
                if let (Output::Summary(got), Output::Summary(expected)) = (output, expected) {
                    // Times are rounded down.
                    assert!(got.time_us.abs_diff(expected.time_us) <= 1);
                    got.time_us = expected.time_us;
                }
            }
            assert_eq!(got, expected, "{lengths:?}");
        }
    }
}
