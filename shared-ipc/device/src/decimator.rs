//! Fewer samples a second than a sensor gives.
//!
//! A sample of the output is the mean of the input over the time that it stands for. Where the rates are no multiples of
//! one another, a sample of the input counts for two of the output, with each in proportion: so every rate up to the
//! sensor's is met exactly, and samples are evenly spaced. The mean is also the filter against aliases, a coarse one
//! (its first zero is at the rate of the output); who needs a better one takes the full rate.

use core::num::{NonZeroU32, NonZeroU64};

use coracle_guest_abi::BlockHeader;

/// What is added to a sample so that it has no sign, and taken away from the mean.
const ZERO: u32 = 1 << 15;
/// Microseconds in a second.
const SECOND_US: u64 = 1_000_000;

/// Makes blocks of a lower rate. Its state is less than one sample of the output: losing it (a container that moves)
/// loses no more than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimator {
    from_hz: NonZeroU32,
    to_hz: NonZeroU32,
    /// The rates without their common factor. A sample of the input is `step` units of time long, one of the output
    /// `span`, which is no less.
    step: NonZeroU32,
    span: NonZeroU32,
    /// Units of the sample of the output that have been seen, and the sum of value times units.
    seen: u32,
    sum: u64,
    /// The sequence number and the count of lost samples that the next block of the input has if nothing is lost.
    expected: Option<(u32, u32)>,
    /// Blocks of the input that gave no sample. They leave no hole in the sequence of the output.
    empty: u32,
}

impl Decimator {
    /// From `from_hz` to `to_hz` samples a second. A `to_hz` above `from_hz` is the same as `from_hz`: there are no more
    /// samples than the sensor gives. `None` if one of them is 0.
    #[must_use]
    pub fn new(from_hz: u32, to_hz: u32) -> Option<Self> {
        let (from_hz, to_hz) = (NonZeroU32::new(from_hz)?, NonZeroU32::new(to_hz)?);
        let rate_hz = to_hz.min(from_hz);
        let factor = greatest_common_divisor(from_hz, rate_hz);
        let (step, span) = (NonZeroU32::new(rate_hz.get() / factor)?, NonZeroU32::new(from_hz.get() / factor)?);
        Some(Self { from_hz, to_hz, step, span, seen: 0, sum: 0, expected: None, empty: 0 })
    }

    /// Samples a second that come out.
    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.to_hz.min(self.from_hz).get()
    }

    /// Writes what a block of the sensor gives to the start of `out`, which has to hold as many samples as the block;
    /// returns the header of the result, or `None` when no sample is complete yet.
    ///
    /// The rate of the sensor is that of the header: with another one than before it starts anew, as it does after a
    /// lost block, because a mean over a gap would be wrong.
    pub fn block(&mut self, header: &BlockHeader, samples: &[i16], out: &mut [i16]) -> Option<BlockHeader> {
        if header.rate_hz != self.from_hz.get() {
            *self = Self { empty: self.empty, ..Self::new(header.rate_hz, self.to_hz.get())? };
        }
        if self.expected.is_some_and(|expected| expected != (header.sequence, header.dropped)) {
            (self.seen, self.sum) = (0, 0);
        }
        self.expected = Some((header.sequence.wrapping_add(1), header.dropped));
        // What the first sample of the output has of the blocks before.
        let units_a_second = NonZeroU64::from(self.step).saturating_mul(self.from_hz.into());
        let earlier_us = u64::from(self.seen) * SECOND_US / units_a_second;
        let mut count = 0;
        let mut free = out.iter_mut();
        for sample in samples {
            if let Some(mean) = self.sample(*sample)
                && let Some(slot) = free.next()
            {
                *slot = mean;
                count += 1;
            }
        }
        if count == 0 {
            self.empty = self.empty.wrapping_add(1);
            return None;
        }
        Some(BlockHeader {
            timestamp_us: header.timestamp_us.saturating_sub(earlier_us),
            sequence: header.sequence.wrapping_sub(self.empty),
            rate_hz: self.rate_hz(),
            dropped: header.dropped,
            count,
        })
    }

    /// Takes a sample in; returns the one of the output that it completes.
    fn sample(&mut self, sample: i16) -> Option<i16> {
        let value = u64::from(i32::from(sample).wrapping_add_unsigned(ZERO).cast_unsigned());
        let (step, span) = (self.step.get(), self.span.get());
        let missing = span - self.seen;
        if step < missing {
            self.seen += step;
            self.sum += value * u64::from(step);
            return None;
        }
        // Half of the divisor more makes of the quotient the nearest number.
        let sum = self.sum + value * u64::from(missing) + u64::from(span / 2);
        self.seen = step - missing;
        self.sum = value * u64::from(self.seen);
        // A division of 32 bits is one instruction on a Cortex-M, one of 64 bits a call.
        let mean = match u32::try_from(sum) {
            Ok(sum) => (sum / self.span).into(),
            Err(_) => sum / NonZeroU64::from(self.span),
        };
        // Always one: a mean lies between the smallest sample and the largest.
        i16::try_from(i64::try_from(mean).ok()? - i64::from(ZERO)).ok()
    }
}

/// Not 0, and divides both.
fn greatest_common_divisor(a: NonZeroU32, b: NonZeroU32) -> NonZeroU32 {
    match NonZeroU32::new(a.get() % b) {
        Some(rest) => greatest_common_divisor(b, rest),
        None => b,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn header(sequence: u32, timestamp_us: u64, rate_hz: u32, count: usize) -> BlockHeader {
        BlockHeader { timestamp_us, sequence, rate_hz, dropped: 0, count: count as u32 }
    }

    /// What comes out of `samples` given in blocks of `block`, the first of which starts at time 1 s.
    fn decimated(
        decimator: &mut Decimator,
        rate_hz: u32,
        samples: &[i16],
        block: usize,
    ) -> Vec<(BlockHeader, Vec<i16>)> {
        let mut results = Vec::new();
        for (sequence, part) in samples.chunks(block).enumerate() {
            let at_us = SECOND_US + (sequence * block) as u64 * SECOND_US / u64::from(rate_hz);
            let mut out = vec![0; part.len()];
            if let Some(result) = decimator.block(&header(sequence as u32, at_us, rate_hz, part.len()), part, &mut out)
            {
                out.truncate(result.count as usize);
                results.push((result, out));
            }
        }
        results
    }

    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn a_multiple_gives_the_mean_of_so_many_samples() {
        let mut decimator = Decimator::new(12_000, 4_000).expect("rates");
        let got = decimated(&mut decimator, 12_000, &[1, 2, 3, -10, -10, -13, 32_767, 32_767, 32_767, 5], 10);
        assert_eq!(
            got,
            [(BlockHeader { rate_hz: 4_000, count: 3, ..header(0, SECOND_US, 0, 0) }, vec![2, -11, 32_767])]
        );
    }

    #[test]
    fn a_mean_is_the_nearest_number() {
        let mut decimator = Decimator::new(3, 1).expect("rates");
        let got = decimated(&mut decimator, 3, &[1, 1, 0, -1, -1, 0, 1, 0, 0, -1, 0, 0], 12);
        assert_eq!(got[0].1, [1, -1, 0, 0]);
        let mut decimator = Decimator::new(2, 1).expect("rates");
        let got = decimated(&mut decimator, 2, &[1, 0, -1, 0, i16::MAX, i16::MAX - 1], 6);
        assert_eq!(got[0].1, [1, 0, i16::MAX], "halves go up");
    }

    #[test]
    fn a_fraction_splits_samples_in_proportion() {
        // 3 to 2: each sample of the output has one and a half of the input.
        let mut decimator = Decimator::new(12_000, 8_000).expect("rates");
        let got = decimated(&mut decimator, 12_000, &[30, 60, 90, 0, -30, -60], 6);
        // (30 + 60/2) / 1.5, (60/2 + 90) / 1.5, (0 - 30/2) / 1.5, (-30/2 - 60) / 1.5
        assert_eq!(got.iter().map(|(_, out)| out.clone()).collect::<Vec<_>>(), [[40, 80, -10, -50]]);
    }

    #[test]
    fn the_full_rate_changes_nothing_and_more_is_the_full_rate() {
        let samples: Vec<i16> = (0..512).map(|n| (n * 127) as i16).collect();
        for asked_hz in [12_000, 12_001, u32::MAX] {
            let mut decimator = Decimator::new(12_000, asked_hz).expect("rates");
            let got = decimated(&mut decimator, 12_000, &samples, 512);
            assert_eq!(got, [(header(0, SECOND_US, 12_000, 512), samples.clone())], "{asked_hz} Hz");
        }
        assert_eq!((Decimator::new(0, 1), Decimator::new(1, 0)), (None, None));
    }

    #[test]
    fn in_whole_seconds_every_rate_is_met_exactly_with_even_spacing() {
        for (from_hz, to_hz) in [(12_000, 5_000), (6_667, 1_000), (997, 996), (1_000, 1), (833, 400), (100, 7)] {
            let mut decimator = Decimator::new(from_hz, to_hz).expect("rates");
            let samples = vec![1234; 3 * from_hz as usize];
            let got = decimated(&mut decimator, from_hz, &samples, 256);
            let all: Vec<i16> = got.iter().flat_map(|(_, out)| out.clone()).collect();
            assert_eq!(all, vec![1234; 3 * to_hz as usize], "{from_hz} to {to_hz}");
            assert_eq!((decimator.seen, decimator.sum), (0, 0), "{from_hz} to {to_hz}");
            let mut before = 0;
            for (index, (header, out)) in got.iter().enumerate() {
                let expected_us = SECOND_US + before * SECOND_US / u64::from(to_hz);
                // The block's own time and the fraction are each cut to a microsecond.
                assert!(
                    header.timestamp_us.abs_diff(expected_us) <= 1,
                    "{from_hz} to {to_hz}: {header:?}, {expected_us}"
                );
                assert_eq!((header.sequence, header.rate_hz), (index as u32, to_hz), "{from_hz} to {to_hz}");
                before += out.len() as u64;
            }
        }
    }

    #[test]
    fn where_blocks_end_makes_no_difference() {
        let mut state = 7;
        let samples: Vec<i16> = (0..2000).map(|_| next(&mut state) as i16).collect();
        let whole = |block| -> Vec<i16> {
            let mut decimator = Decimator::new(12_000, 3_500).expect("rates");
            decimated(&mut decimator, 12_000, &samples, block).into_iter().flat_map(|(_, out)| out).collect()
        };
        let expected = whole(samples.len());
        assert_eq!(expected.len(), 2000 * 7 / 24);
        for block in [1, 3, 7, 512] {
            assert_eq!(whole(block), expected, "blocks of {block}");
        }
    }

    #[test]
    fn any_rates_keep_means_within_the_samples_and_the_count_right() {
        for seed in 0..500 {
            let mut state = seed;
            let from_hz = 1 + (next(&mut state) % 100_000) as u32;
            let to_hz = 1 + (next(&mut state) % u64::from(from_hz)) as u32;
            let mut decimator = Decimator::new(from_hz, to_hz).expect("rates");
            let samples: Vec<i16> =
                (0..1000).map(|_| if next(&mut state).is_multiple_of(2) { i16::MIN } else { i16::MAX }).collect();
            let out: usize = decimated(&mut decimator, from_hz, &samples, 100).iter().map(|(_, out)| out.len()).sum();
            assert_eq!(out as u64, 1000 * u64::from(to_hz) / u64::from(from_hz), "seed {seed}: {from_hz} to {to_hz}");
        }
        let mut widest = Decimator::new(u32::MAX, u32::MAX - 1).expect("rates");
        let got = decimated(&mut widest, u32::MAX, &[i16::MIN; 8], 8);
        assert_eq!(got[0].1, [i16::MIN; 7]);
    }

    #[test]
    fn blocks_without_a_sample_leave_no_hole_in_the_sequence_and_lost_ones_do() {
        let mut decimator = Decimator::new(1_000, 100).expect("rates");
        let mut out = [0; 4];
        let mut give = |sequence, dropped| {
            let header = BlockHeader { dropped, ..header(sequence, u64::from(sequence) * 4_000, 1_000, 4) };
            decimator.block(&header, &[sequence as i16 * 10; 4], &mut out).map(|header| (header, out[0]))
        };
        let sequences: Vec<u32> = (0..6).filter_map(|n| give(n, 0)).map(|(header, _)| header.sequence).collect();
        assert_eq!(sequences, [0, 1], "24 samples are 2, and 4 that wait");
        // Blocks 6 and 7 are lost, and the mean starts anew: 8, 9, and the half of 10.
        assert_eq!((give(8, 8), give(9, 8)), (None, None));
        let (first, mean) = give(10, 8).expect("10 samples");
        assert_eq!((first.sequence, first.timestamp_us, first.dropped), (10 - 6, 32_000, 8));
        assert_eq!(mean, (4 * 80 + 4 * 90 + 2 * 100) / 10);
        // Samples may be lost without a whole block: the count says so.
        assert_eq!((give(11, 9), give(12, 9)), (None, None), "the two that waited are not taken");
    }

    #[test]
    fn a_sensor_that_changes_its_rate_is_followed() {
        let mut decimator = Decimator::new(1_000, 500).expect("rates");
        let mut out = [0; 4];
        let got = decimator.block(&header(0, 0, 1_000, 3), &[2, 4, 100], &mut out).map(|header| header.count);
        assert_eq!((got, out[0]), (Some(1), 3));
        let got = decimator.block(&header(1, 3_000, 250, 4), &[1, 2, 3, 4], &mut out);
        assert_eq!((got.map(|header| (header.rate_hz, header.count)), out), (Some((250, 4)), [1, 2, 3, 4]));
        assert_eq!(decimator.rate_hz(), 250);
        assert_eq!(decimator.block(&header(2, 0, 0, 4), &[0; 4], &mut out), None, "a header may say anything");
    }
}
