//! The last samples, laid out as the payload of a wake so that asking for one copies nothing.

use bearing_watch::WindowHeader;
use coracle_sdk::{BLOCK_SAMPLES_MAX, BlockHeader, Errno};
use coracle_vibration::WINDOW_SAMPLES;

/// The encoded header in front, in units of samples.
const HEADER_SAMPLES: usize = WindowHeader::BYTES / size_of::<i16>();

/// The window: newest sample last.
pub(crate) struct Window {
    payload: [i16; HEADER_SAMPLES + WINDOW_SAMPLES],
    /// Samples since the start or the last gap, saturated at [`WINDOW_SAMPLES`].
    filled: usize,
    /// Header of the newest block.
    newest: BlockHeader,
}

impl Window {
    /// An empty window. All zeros, so that the static needs no data segment.
    pub(crate) const fn new() -> Self {
        let nothing = BlockHeader { timestamp_us: 0, sequence: 0, rate_hz: 0, dropped: 0, count: 0 };
        Self { payload: [0; HEADER_SAMPLES + WINDOW_SAMPLES], filled: 0, newest: nothing }
    }

    /// Whether the newest block has this header. After a reset of its core a sensor may send its last block again.
    pub(crate) fn has(&self, header: &BlockHeader) -> bool {
        self.filled > 0 && self.newest == *header
    }

    /// Moves the samples forward and lets `read` fill the place of the new ones. When blocks were lost before this one,
    /// or the rate changed, the older samples do not count any more.
    pub(crate) fn append(
        &mut self,
        samples: usize,
        read: impl FnOnce(&mut [i16]) -> Result<(BlockHeader, usize), Errno>,
    ) -> Result<BlockHeader, Errno> {
        let samples = samples.min(BLOCK_SAMPLES_MAX);
        self.payload.copy_within(HEADER_SAMPLES + samples.., HEADER_SAMPLES);
        let place = self.payload.len() - samples;
        let (header, written) = read(self.payload.get_mut(place..).ok_or(Errno::TooLarge)?)?;
        if written != samples {
            return Err(Errno::Invalid);
        }
        if header.sequence != self.newest.sequence.wrapping_add(1) || header.rate_hz != self.newest.rate_hz {
            self.filled = 0;
        }
        self.newest = header;
        self.filled = (self.filled + samples).min(WINDOW_SAMPLES);

        let older = WINDOW_SAMPLES - samples;
        let head = WindowHeader {
            time_us: header.timestamp_us.saturating_sub(micros(older, header.rate_hz)),
            rate_hz: header.rate_hz,
            samples: WINDOW_SAMPLES as u32,
        };
        if let Some(place) = self.payload.get_mut(..HEADER_SAMPLES) {
            bytemuck::cast_slice_mut(place).copy_from_slice(&head.to_bytes());
        }
        Ok(header)
    }

    /// Samples without a gap, newest last, at most [`WINDOW_SAMPLES`].
    pub(crate) fn samples(&self) -> &[i16] {
        self.payload.get(self.payload.len() - self.filled..).unwrap_or_default()
    }

    /// The payload of a wake, or `None` while the window has a gap.
    pub(crate) fn payload(&self) -> Option<&[u8]> {
        (self.filled == WINDOW_SAMPLES).then(|| bytemuck::cast_slice(&self.payload))
    }
}

/// How long `samples` last, in microseconds.
pub(crate) fn micros(samples: usize, rate_hz: u32) -> u64 {
    samples as u64 * 1_000_000 / u64::from(rate_hz.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(window: &mut Window, sequence: u32, rate_hz: u32, values: &[i16]) {
        let header = BlockHeader {
            timestamp_us: u64::from(sequence) * 1_000_000,
            sequence,
            rate_hz,
            dropped: 0,
            count: values.len() as u32,
        };
        window
            .append(values.len(), |tail| {
                tail.copy_from_slice(values);
                Ok((header, values.len()))
            })
            .unwrap();
    }

    #[test]
    fn is_the_payload_of_a_wake_once_it_is_full() {
        let mut window = Box::new(Window::new());
        let mut sent = Vec::new();
        for sequence in 0..5u32 {
            assert!(window.payload().is_none(), "block {sequence}");
            let values: Vec<i16> = (0..500).map(|i| (sequence * 500 + i) as i16).collect();
            append(&mut window, sequence, 1000, &values);
            sent.extend(values);
        }
        assert_eq!(window.samples(), &sent[sent.len() - 2048..]);
        let (header, samples) = WindowHeader::split(window.payload().unwrap()).unwrap();
        // 1548 samples of 1 ms lie before the block at 4 s.
        assert_eq!(header, WindowHeader { time_us: 2_452_000, rate_hz: 1000, samples: 2048 });
        assert_eq!(samples, bytemuck::cast_slice::<i16, u8>(&sent[sent.len() - 2048..]));
    }

    #[test]
    fn forgets_what_lies_before_a_gap_or_a_change_of_rate() {
        let mut window = Box::new(Window::new());
        append(&mut window, 0, 1000, &[1; 300]);
        append(&mut window, 1, 1000, &[2; 300]);
        assert_eq!(window.samples().len(), 600);
        append(&mut window, 3, 1000, &[3; 200]);
        assert_eq!(window.samples(), [3; 200]);
        append(&mut window, 4, 2000, &[4; 100]);
        assert_eq!(window.samples(), [4; 100]);
    }

    #[test]
    fn knows_a_block_that_comes_again() {
        let mut window = Box::new(Window::new());
        let header = BlockHeader { timestamp_us: 0, sequence: 0, rate_hz: 1000, dropped: 0, count: 300 };
        assert!(!window.has(&header) && !window.has(&BlockHeader::default()));
        append(&mut window, 0, 1000, &[1; 300]);
        assert!(window.has(&header));
        assert!(!window.has(&BlockHeader { timestamp_us: 1, ..header }), "another trace");
        append(&mut window, 1, 1000, &[1; 300]);
        assert!(!window.has(&header));
    }

    #[test]
    fn a_short_or_failed_read_is_an_error() {
        let mut window = Box::new(Window::new());
        assert_eq!(window.append(4, |_| Ok((BlockHeader::default(), 3))), Err(Errno::Invalid));
        assert_eq!(window.append(4, |_| Err(Errno::Again)), Err(Errno::Again));
        assert!(window.append(usize::MAX, |tail| Ok((BlockHeader::default(), tail.len()))).is_ok());
    }
}
