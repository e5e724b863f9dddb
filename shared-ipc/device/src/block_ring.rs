//! Blocks of samples, built in place in a ring.
//!
//! [`BlockRing`] puts each sample where it stays until a container gets it, and lends the oldest block. Within a block the
//! samples are evenly spaced, so a sample that is missing ends it: what the block had counts as lost too, and the number
//! of the next one jumps. It reads no sensor and no clock.

use coracle_guest_abi::BlockHeader;

/// A block that a ring lends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SensorBlock<'a> {
    /// What a guest is told of it.
    pub header: BlockHeader,
    /// The samples, where they were put when they were taken.
    pub samples: &'a [i16],
}

/// A ring of `BLOCKS` blocks with room for `SAMPLES` samples each.
#[derive(Debug)]
pub struct BlockRing<const SAMPLES: usize, const BLOCKS: usize> {
    rate_hz: u32,
    /// Samples in a block, from 1 to `SAMPLES`.
    block: usize,
    ring: [[i16; SAMPLES]; BLOCKS],
    headers: [BlockHeader; BLOCKS],
    /// The oldest block, and how many complete ones there are from there. The one being built comes after them.
    oldest: usize,
    complete: usize,
    /// Samples in the block being built.
    filled: usize,
    sequence: u32,
    /// Samples lost since the last one that was kept.
    gap: u64,
    dropped: u32,
}

impl<const SAMPLES: usize, const BLOCKS: usize> BlockRing<SAMPLES, BLOCKS> {
    /// An empty ring for blocks of `block` samples, `rate_hz` a second. `None` unless `block` is between 1 and `SAMPLES`.
    #[must_use]
    pub const fn new(rate_hz: u32, block: usize) -> Option<Self> {
        const { assert!(SAMPLES > 0 && SAMPLES <= u32::MAX as usize && BLOCKS > 0, "a ring needs room for a sample") };
        if block == 0 || block > SAMPLES {
            return None;
        }
        let header = BlockHeader { timestamp_us: 0, sequence: 0, rate_hz, dropped: 0, count: block as u32 };
        Some(Self {
            rate_hz,
            block,
            ring: [[0; SAMPLES]; BLOCKS],
            headers: [header; BLOCKS],
            oldest: 0,
            complete: 0,
            filled: 0,
            sequence: 0,
            gap: 0,
            dropped: 0,
        })
    }

    /// Samples a second.
    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Samples lost so far; stays at its largest value.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Whether there is no room for a sample until [`BlockRing::release`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.complete == BLOCKS
    }

    /// Puts a sample of the time `time_us` behind the one before; it is lost if the ring is full.
    pub fn push(&mut self, sample: i16, time_us: u64) {
        if self.is_full() {
            return self.lose(1);
        }
        let at = (self.oldest + self.complete) % BLOCKS;
        let (Some(samples), Some(header)) = (self.ring.get_mut(at), self.headers.get_mut(at)) else { return };
        if self.gap > 0 {
            // However short a gap is, a block is missing from the sequence.
            let blocks = u32::try_from(self.gap / self.block as u64).unwrap_or(u32::MAX);
            self.sequence = self.sequence.wrapping_add(blocks.max(1));
            self.gap = 0;
        }
        if self.filled == 0 {
            (header.timestamp_us, header.sequence, header.dropped) = (time_us, self.sequence, self.dropped);
        }
        if let Some(slot) = samples.get_mut(self.filled) {
            *slot = sample;
        }
        self.filled += 1;
        if self.filled == self.block {
            self.filled = 0;
            self.complete += 1;
            self.sequence = self.sequence.wrapping_add(1);
        }
    }

    /// Counts samples that there was no chance to push, and with them those of the block that they tear apart.
    pub fn lose(&mut self, samples: u64) {
        if samples == 0 {
            return;
        }
        let lost = samples.saturating_add(self.filled as u64);
        self.filled = 0;
        self.gap = self.gap.saturating_add(lost);
        self.dropped = self.dropped.saturating_add(u32::try_from(lost).unwrap_or(u32::MAX));
    }

    /// Ends the block being built, because the next sample will not be the one that follows; what it has is lost.
    pub fn interrupt(&mut self) {
        let torn = core::mem::take(&mut self.filled);
        self.lose(torn as u64);
    }

    /// The oldest complete block.
    #[must_use]
    pub fn block(&self) -> Option<SensorBlock<'_>> {
        if self.complete == 0 {
            return None;
        }
        let samples = self.ring.get(self.oldest)?.get(..self.block)?;
        Some(SensorBlock { header: *self.headers.get(self.oldest)?, samples })
    }

    /// Gives the room of the oldest complete block back.
    pub fn release(&mut self) {
        if self.complete > 0 {
            self.complete -= 1;
            self.oldest = (self.oldest + 1) % BLOCKS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_lent_where_its_samples_were_put() {
        let mut ring = BlockRing::<16, 2>::new(1_000, 10).expect("a size");
        (0..20).for_each(|n| ring.push(n, 1_000 * n as u64));
        let memory = ring.ring.as_flattened().as_ptr_range();
        for first in [0, 10] {
            let block = ring.block().expect("complete");
            let lent = block.samples.as_ptr_range();
            assert!(memory.contains(&lent.start) && lent.end <= memory.end, "a copy between the ring and the reader");
            assert_eq!((block.samples.len(), block.samples[0], block.header.count), (10, first, 10));
            ring.release();
        }
        assert_eq!(ring.block(), None);
        ring.release();
        assert_eq!(ring.block(), None, "what is not there cannot be given back");
    }

    #[test]
    fn a_gap_counts_in_whole_blocks_but_one_at_least() {
        let mut ring = BlockRing::<4, 8>::new(1_000, 4).expect("a size");
        let mut give = |lost, samples| {
            ring.lose(lost);
            (0..samples).for_each(|_| ring.push(0, 0));
            let header = ring.block().map(|block| (block.header.sequence, block.header.dropped));
            ring.release();
            header
        };
        assert_eq!(give(0, 4), Some((0, 0)));
        assert_eq!(give(1, 4), Some((2, 1)));
        assert_eq!(give(11, 4), Some((3 + 2, 12)));
        assert_eq!(give(0, 3), None);
        assert_eq!(give(5, 4), Some((6 + 2, 20)), "three samples went with the five");
        assert_eq!(give(u64::MAX, 4), Some((8, u32::MAX)), "9 and a jump by all numbers");
    }

    #[test]
    fn an_interruption_costs_what_was_begun_and_nothing_else() {
        let mut ring = BlockRing::<4, 8>::new(1_000, 4).expect("a size");
        ring.interrupt();
        (0..6).for_each(|n| ring.push(n, 0));
        ring.interrupt();
        ring.interrupt();
        (6..10).for_each(|n| ring.push(n, 0));
        assert_eq!((ring.dropped(), ring.block().map(|block| block.samples[0])), (2, Some(0)));
        ring.release();
        assert_eq!(ring.block().map(|block| (block.header.sequence, block.samples[0])), Some((2, 6)));
    }

    #[test]
    fn blocks_have_a_size_that_fits() {
        assert!(BlockRing::<4, 1>::new(1, 0).is_none());
        assert!(BlockRing::<4, 1>::new(1, 5).is_none());
        assert!(BlockRing::<4, 1>::new(1, 4).is_some());
    }
}
