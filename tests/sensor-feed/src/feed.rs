//! Decides which block goes to the M core when. Pure: credits and time in, frames out.
//!
//! In virtual time a block goes out as soon as there is a credit for it, and none is ever lost. In real time a block
//! exists from the moment its last sample has been taken, and the sensor keeps [`RING_BLOCKS`] of them: a core that
//! asks too late loses the oldest, and is told how many samples.

use coracle_board_api::sensor_wire::{Block, FRAME_BYTES_MAX, SAMPLES_MAX};

use crate::trace::Trace;

/// Blocks that the sensor keeps in real time until somebody asks for them.
pub const RING_BLOCKS: u32 = 8;
/// Most credits that count; more are ignored, so that a core gone mad cannot ask for a flood.
pub const CREDITS_MAX: u32 = 8;

/// What paces the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The M core's credits alone.
    Virtual,
    /// The clock, from the first credit on.
    Realtime,
}

/// The sensor's state.
#[derive(Debug)]
pub struct Feed {
    trace: Trace,
    pace: Pace,
    block_samples: usize,
    /// The block that goes out next; its sequence number too.
    next_block: u32,
    credits: u32,
    dropped: u32,
    /// Caller's time of the first sample, in microseconds.
    started_us: Option<u64>,
    /// The block that went out last over this connection, until a later credit confirms it.
    unconfirmed: Option<u32>,
    ended: bool,
}

impl Feed {
    /// A sensor that has sent nothing. `block_samples` is cut to 1 to [`SAMPLES_MAX`].
    #[must_use]
    pub fn new(trace: Trace, pace: Pace, block_samples: usize) -> Self {
        Self {
            trace,
            pace,
            block_samples: block_samples.clamp(1, SAMPLES_MAX),
            next_block: 0,
            credits: 0,
            dropped: 0,
            started_us: None,
            unconfirmed: None,
            ended: false,
        }
    }

    /// The M core is there (again). In real time, what the sensor kept for the one before is lost.
    pub fn connected(&mut self, now_us: u64) {
        if self.pace == Pace::Realtime {
            self.drop_before(self.blocks_taken(now_us));
        }
    }

    /// The M core asks for one more block. That also says that it has taken the one before: it keeps one credit open.
    pub fn credit(&mut self, now_us: u64) {
        self.started_us.get_or_insert(now_us);
        self.unconfirmed = None;
        self.credits = (self.credits + 1).min(CREDITS_MAX);
    }

    /// The M core is gone. In virtual time, a block that it may not have taken goes out again to the next one, with its
    /// old sequence number; whether it did take it cannot be known here. In real time it is lost.
    pub fn disconnected(&mut self) {
        self.credits = 0;
        if let (Pace::Virtual, Some(block)) = (self.pace, self.unconfirmed.take()) {
            self.next_block = block;
        }
    }

    /// The next frame to send, if there is one. Call until there is none.
    pub fn poll(&mut self, now_us: u64) -> Option<Vec<u8>> {
        let taken = self.blocks_taken(now_us);
        if self.pace == Pace::Realtime {
            self.drop_before(taken.saturating_sub(RING_BLOCKS));
        }
        if self.credits == 0 {
            return None;
        }
        let block = if self.next_block < taken {
            let range = self.range(self.next_block);
            let samples = self.trace.samples().get(range.clone()).unwrap_or_default();
            let time_us = self.time_us(range.start);
            let block = Block::new(self.next_block, time_us, self.trace.rate_hz(), self.dropped, samples)?;
            self.unconfirmed = Some(self.next_block);
            self.next_block += 1;
            block
        } else if self.next_block >= self.blocks() {
            self.ended = true;
            let time_us = self.time_us(self.trace.samples().len());
            Block::end(self.next_block, time_us, self.trace.rate_hz(), self.dropped)
        } else {
            return None;
        };
        self.credits -= 1;
        let mut frame = [0; FRAME_BYTES_MAX];
        let length = block.encode(&mut frame);
        frame.get(..length).map(<[u8]>::to_vec)
    }

    /// When [`Feed::poll`] will have a frame that it does not have now, on the caller's clock in microseconds; `None`
    /// when only a credit can change that.
    #[must_use]
    pub fn due_us(&self) -> Option<u64> {
        let started_us = self.started_us?;
        if self.pace == Pace::Virtual || self.credits == 0 || self.next_block >= self.blocks() {
            return None;
        }
        // The time of a sample is rounded down; one microsecond later it has certainly been taken.
        Some(started_us + self.time_us(self.range(self.next_block).end) + 1)
    }

    /// Whether the M core was told of the end of the trace. It is told again as often as it asks.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Samples that nobody asked for in time.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Blocks that are past: sent or dropped.
    #[must_use]
    pub fn blocks_past(&self) -> u32 {
        self.next_block
    }

    fn blocks(&self) -> u32 {
        // The largest file has fewer than 2^28 samples.
        u32::try_from(self.trace.samples().len().div_ceil(self.block_samples)).unwrap_or(u32::MAX)
    }

    /// The samples of a block; the last one may be shorter.
    fn range(&self, block: u32) -> std::ops::Range<usize> {
        let length = self.trace.samples().len();
        let start = (block as usize).saturating_mul(self.block_samples).min(length);
        start..start.saturating_add(self.block_samples).min(length)
    }

    /// Virtual time of a sample, in microseconds.
    fn time_us(&self, sample: usize) -> u64 {
        sample as u64 * 1_000_000 / u64::from(self.trace.rate_hz())
    }

    /// Blocks whose last sample has been taken.
    fn blocks_taken(&self, now_us: u64) -> u32 {
        match (self.pace, self.started_us) {
            (Pace::Virtual, _) => self.blocks(),
            (Pace::Realtime, None) => 0,
            (Pace::Realtime, Some(started_us)) => {
                let elapsed_us = u128::from(now_us.saturating_sub(started_us));
                let samples = elapsed_us * u128::from(self.trace.rate_hz()) / 1_000_000;
                if samples >= self.trace.samples().len() as u128 {
                    self.blocks()
                } else {
                    u32::try_from(samples / self.block_samples as u128).unwrap_or(u32::MAX)
                }
            }
        }
    }

    fn drop_before(&mut self, block: u32) {
        if self.next_block < block {
            let lost = self.range(block).start - self.range(self.next_block).start;
            self.dropped = self.dropped.saturating_add(u32::try_from(lost).unwrap_or(u32::MAX));
            self.next_block = block;
        }
    }
}

#[cfg(test)]
mod tests {
    use coracle_board_api::sensor_wire::{Decoder, crc16};

    use super::*;

    fn trace(samples: usize) -> Trace {
        Trace::new((0..samples).map(|i| i as i16).collect(), 1000).unwrap()
    }

    fn decode(frame: &[u8]) -> Block {
        let mut decoder = Decoder::new();
        frame.iter().filter_map(|byte| decoder.push(*byte).cloned()).last().expect("a whole frame")
    }

    /// Sequence numbers of the frames that come out now.
    fn drain(feed: &mut Feed, now_us: u64) -> Vec<u32> {
        std::iter::from_fn(|| feed.poll(now_us)).map(|frame| decode(&frame).sequence).collect()
    }

    #[test]
    fn the_frames_of_a_short_trace_are_these_bytes() {
        let mut feed = Feed::new(Trace::new(vec![1, -2, 256], 2000).unwrap(), Pace::Virtual, 2);
        let mut frames = Vec::new();
        for _ in 0..3 {
            assert_eq!(feed.poll(0), None, "no frame without a credit");
            feed.credit(0);
            frames.push(feed.poll(0).unwrap());
        }
        let frame = |head: &[u8], sequence: u8, time: u16, samples: &[u8]| {
            let [low, high] = time.to_le_bytes();
            let mut frame = head.to_vec();
            frame.extend([sequence, 0, 0, 0, low, high, 0, 0, 0, 0, 0, 0, 0xD0, 0x07, 0, 0, 0, 0, 0, 0]);
            frame.extend(samples);
            frame.extend(crc16(&frame).to_le_bytes());
            frame
        };
        assert_eq!(frames[0], frame(&[0xA5, 0, 2, 0], 0, 0, &[1, 0, 0xFE, 0xFF]));
        assert_eq!(frames[1], frame(&[0xA5, 0, 1, 0], 1, 1000, &[0, 1]));
        assert_eq!(frames[2], frame(&[0xA5, 1, 0, 0], 2, 1500, &[]));
    }

    #[test]
    fn virtual_time_follows_the_credits_and_loses_nothing() {
        let mut feed = Feed::new(trace(1000), Pace::Virtual, 100);
        feed.connected(0);
        feed.credit(5);
        feed.credit(5);
        assert_eq!(drain(&mut feed, 5), [0, 1]);
        assert_eq!(drain(&mut feed, 1_000_000_000), []);
        assert_eq!(feed.due_us(), None);
        for _ in 0..8 {
            feed.credit(5);
        }
        assert_eq!(drain(&mut feed, 5), (2..10).collect::<Vec<_>>());
        assert!(!feed.ended());
        for _ in 0..2 {
            feed.credit(5);
            assert!(decode(&feed.poll(5).unwrap()).end);
            assert!(feed.ended());
        }
        assert_eq!(feed.dropped(), 0);
    }

    #[test]
    fn after_a_reset_virtual_time_goes_on_with_what_was_not_confirmed() {
        let mut feed = Feed::new(trace(1000), Pace::Virtual, 100);
        feed.credit(0);
        assert_eq!(drain(&mut feed, 0), [0]);
        feed.credit(0);
        assert_eq!(drain(&mut feed, 0), [1]);
        feed.disconnected();
        assert_eq!(drain(&mut feed, 0), [], "credits do not survive");
        feed.connected(0);
        feed.credit(0);
        assert_eq!(drain(&mut feed, 0), [1], "block 0 was confirmed by the second credit");
        feed.credit(0);
        feed.disconnected();
        feed.connected(0);
        feed.credit(0);
        assert_eq!(drain(&mut feed, 0), [2], "block 1 was confirmed, though nothing followed it");
    }

    #[test]
    fn real_time_holds_blocks_back_until_they_are_complete() {
        let mut feed = Feed::new(trace(250), Pace::Realtime, 100);
        feed.connected(0);
        feed.credit(7_000_000);
        assert_eq!(feed.due_us(), Some(7_100_001), "from the first credit on");
        assert_eq!(drain(&mut feed, 7_099_999), []);
        assert_eq!(drain(&mut feed, 7_100_000), [0]);
        feed.credit(7_100_000);
        feed.credit(7_100_000);
        feed.credit(7_100_000);
        assert_eq!(drain(&mut feed, 7_200_000), [1]);
        assert_eq!(feed.due_us(), Some(7_250_001), "the last block is shorter");
        assert_eq!(drain(&mut feed, 7_250_000), [2, 3]);
        assert!(feed.ended());
        assert_eq!(feed.dropped(), 0);
    }

    #[test]
    fn real_time_drops_what_nobody_asked_for() {
        let blocks = RING_BLOCKS + 5;
        let mut feed = Feed::new(trace(blocks as usize * 100), Pace::Realtime, 100);
        feed.connected(0);
        feed.credit(0);
        assert_eq!(drain(&mut feed, 100_000), [0]);
        // Ring full after blocks 1..=RING; two more push out two.
        let now_us = u64::from(RING_BLOCKS + 3) * 100_000;
        assert_eq!(drain(&mut feed, now_us), []);
        assert_eq!(feed.dropped(), 200);
        feed.credit(now_us);
        let block = decode(&feed.poll(now_us).unwrap());
        assert_eq!((block.sequence, block.timestamp_us, block.dropped, block.samples()[0]), (3, 300_000, 200, 300));
    }

    #[test]
    fn real_time_loses_the_gap_of_a_reset() {
        let mut feed = Feed::new(trace(1000), Pace::Realtime, 100);
        feed.connected(0);
        feed.credit(0);
        assert_eq!(drain(&mut feed, 100_000), [0]);
        feed.disconnected();
        feed.connected(450_000);
        feed.credit(450_000);
        assert_eq!(drain(&mut feed, 450_000), []);
        assert_eq!(drain(&mut feed, 500_000), [4]);
        assert_eq!(feed.dropped(), 300);
    }

    #[test]
    fn a_flood_of_credits_is_cut() {
        let mut feed = Feed::new(trace(10_000), Pace::Virtual, 1);
        for _ in 0..1_000_000 {
            feed.credit(0);
        }
        assert_eq!(drain(&mut feed, 0).len(), CREDITS_MAX as usize);
    }

    #[test]
    fn a_core_that_is_reset_at_the_end_is_told_again() {
        let mut feed = Feed::new(trace(1), Pace::Virtual, 512);
        for _ in 0..2 {
            feed.credit(0);
            assert!(feed.poll(0).is_some());
        }
        feed.disconnected();
        feed.connected(0);
        feed.credit(0);
        assert!(decode(&feed.poll(0).unwrap()).end, "asking for the end confirmed the last block");
    }
}
