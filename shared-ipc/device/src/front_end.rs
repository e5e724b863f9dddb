//! Reads a sensor at a fixed rate, on this core, into blocks.
//!
//! [`FrontEnd::poll`] takes the sample that is due into its [`BlockRing`]. Nothing here waits or knows a timer: who owns
//! it polls at [`FrontEnd::deadline_us`], and lends it the sensor for that moment, so that containers can use the
//! sensor's bus at all others. A sample is lost when the poll is too late, when the sensor fails, and when nobody gave
//! blocks back.

use coracle_guest_abi::Errno;

use crate::BlockRing;

/// Microseconds in a second.
const SECOND_US: u64 = 1_000_000;

/// Takes samples into a ring of `BLOCKS` blocks with room for `SAMPLES` samples each.
#[derive(Debug)]
pub struct FrontEnd<const SAMPLES: usize, const BLOCKS: usize> {
    ring: BlockRing<SAMPLES, BLOCKS>,
    /// When the second that is running began; seconds are counted from the first poll, and `None` is before it.
    second_us: Option<u64>,
    /// The number, within that second, of the sample that is due next.
    next: u32,
    errors: u32,
}

impl<const SAMPLES: usize, const BLOCKS: usize> FrontEnd<SAMPLES, BLOCKS> {
    /// A front end that takes its first sample at the first poll, then `rate_hz` a second, in blocks of `block`. `None`
    /// unless the rate is 1 to a million and the block 1 to `SAMPLES`.
    #[must_use]
    pub const fn new(rate_hz: u32, block: usize) -> Option<Self> {
        if rate_hz == 0 || rate_hz as u64 > SECOND_US {
            return None;
        }
        match BlockRing::new(rate_hz, block) {
            Some(ring) => Some(Self { ring, second_us: None, next: 0, errors: 0 }),
            None => None,
        }
    }

    /// When the next sample is due, in microseconds; `None` before the first poll.
    #[must_use]
    pub fn deadline_us(&self) -> Option<u64> {
        let due_us = (u64::from(self.next) * SECOND_US).div_ceil(u64::from(self.ring.rate_hz()));
        Some(self.second_us?.saturating_add(due_us))
    }

    /// The blocks.
    #[must_use]
    pub fn ring(&self) -> &BlockRing<SAMPLES, BLOCKS> {
        &self.ring
    }

    /// The blocks, to give them back.
    pub fn ring_mut(&mut self) -> &mut BlockRing<SAMPLES, BLOCKS> {
        &mut self.ring
    }

    /// How often the sensor failed; stays at its largest value.
    #[must_use]
    pub fn errors(&self) -> u32 {
        self.errors
    }

    /// Makes the next poll a first one again. A block that was begun is lost.
    pub fn stop(&mut self) {
        self.ring.interrupt();
        (self.second_us, self.next) = (None, 0);
    }

    /// Takes the sample that is due at `now_us`, if one is, by calling `sample` once. Those that were due before it are
    /// lost: a sensor has only the value that it has now.
    pub fn poll(&mut self, now_us: u64, sample: impl FnOnce() -> Result<i16, Errno>) {
        let second_us = *self.second_us.get_or_insert(now_us);
        let Some(elapsed_us) = now_us.checked_sub(second_us) else { return };
        let rate_hz = u64::from(self.ring.rate_hz());
        let seconds = elapsed_us / SECOND_US;
        let latest = elapsed_us % SECOND_US * rate_hz / SECOND_US;
        // The number of the latest sample that is due. Saturates after ages, when nobody counts any more.
        let due = seconds.saturating_mul(rate_hz).saturating_add(latest);
        let Some(late) = due.checked_sub(u64::from(self.next)) else { return };
        self.ring.lose(late);
        self.second_us = Some(second_us + seconds * SECOND_US);
        // Less than the rate, so it fits.
        self.next = latest as u32;
        self.take(sample);
        self.next += 1;
        if self.next == self.ring.rate_hz() {
            (self.next, self.second_us) = (0, self.second_us.map(|us| us.saturating_add(SECOND_US)));
        }
    }

    /// Takes the sample number `next` of the second that is running.
    fn take(&mut self, sample: impl FnOnce() -> Result<i16, Errno>) {
        // The sensor is left alone for a sample that has no place.
        if self.ring.is_full() {
            return self.ring.lose(1);
        }
        match sample() {
            Ok(sample) => self.ring.push(sample, self.deadline_us().unwrap_or(0)),
            Err(_) => {
                self.errors = self.errors.saturating_add(1);
                self.ring.lose(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use coracle_guest_abi::BlockHeader;

    use super::*;
    use crate::SensorBlock;

    /// A front end and a sensor that counts from 0, one a sample.
    struct Counter<const N: usize, const B: usize> {
        front_end: FrontEnd<N, B>,
        value: i16,
    }

    impl<const N: usize, const B: usize> Counter<N, B> {
        fn new(rate_hz: u32) -> Self {
            Self { front_end: FrontEnd::new(rate_hz, N).expect("a rate"), value: 0 }
        }

        fn poll(&mut self, now_us: u64) {
            self.front_end.poll(now_us, || {
                self.value = self.value.wrapping_add(1);
                Ok(self.value.wrapping_sub(1))
            });
        }

        /// Polls at each time when a sample is due, `times` often.
        fn run(&mut self, times: usize) {
            for _ in 0..times {
                self.poll(self.front_end.deadline_us().expect("started"));
            }
        }

        fn ring(&mut self) -> &mut BlockRing<N, B> {
            self.front_end.ring_mut()
        }
    }

    #[test]
    fn samples_become_blocks_with_the_times_at_which_they_were_due() {
        let mut counter = Counter::<4, 3>::new(3_000);
        assert_eq!(counter.front_end.deadline_us(), None);
        counter.poll(5_000_000);
        assert_eq!(counter.front_end.deadline_us(), Some(5_000_334), "a third of a millisecond, and no sooner");
        counter.poll(5_000_333);
        counter.run(8);
        let header = BlockHeader { timestamp_us: 5_000_000, sequence: 0, rate_hz: 3_000, dropped: 0, count: 4 };
        assert_eq!(counter.ring().block(), Some(SensorBlock { header, samples: &[0, 1, 2, 3] }));
        counter.ring().release();
        let header = BlockHeader { timestamp_us: 5_001_334, sequence: 1, ..header };
        assert_eq!(counter.ring().block(), Some(SensorBlock { header, samples: &[4, 5, 6, 7] }));
        counter.ring().release();
        assert_eq!(counter.ring().block(), None, "the ninth sample is in a block that is not complete");
        counter.ring().release();
    }

    #[test]
    fn the_rate_is_exact_over_a_day() {
        // 0.3 ms a sample are no whole microseconds at 3333 Hz; only exact arithmetic ends after a day where it should.
        let mut counter = Counter::<1, 1>::new(3_333);
        counter.poll(17);
        counter.run(3_333 * 10);
        assert_eq!(counter.front_end.deadline_us(), Some(17 + 10 * SECOND_US + 301));
        let day_us = 86_400 * SECOND_US;
        counter.poll(17 + day_us);
        assert_eq!(counter.front_end.deadline_us(), Some(17 + day_us + 301));
        assert_eq!(counter.ring().dropped(), 3_333 * 86_400, "all but the first: nobody took it");
    }

    #[test]
    fn a_late_poll_ends_the_block_and_the_sequence_shows_it() {
        let mut counter = Counter::<4, 4>::new(1_000);
        counter.poll(0);
        counter.run(5);
        // Samples 0 to 5 are taken, 6 to 8 are missed: with 4 and 5, which they tear off, five are lost.
        counter.poll(9_000);
        counter.run(3);
        assert_eq!(counter.ring().dropped(), 5);
        let first = counter.ring().block().expect("complete");
        assert_eq!((first.header.sequence, first.header.dropped, first.samples), (0, 0, &[0, 1, 2, 3][..]));
        counter.ring().release();
        let second = counter.ring().block().expect("complete").header;
        assert_eq!((second.sequence, second.dropped, second.timestamp_us), (2, 5, 9_000));
        counter.ring().release();
        // Three whole blocks are missed, on the border of two.
        counter.poll(13_000 + 12_000);
        counter.run(3);
        let third = counter.ring().block().expect("complete").header;
        assert_eq!((third.sequence, third.dropped, third.timestamp_us), (3 + 3, 5 + 12, 25_000));
    }

    #[test]
    fn a_full_ring_keeps_the_oldest_and_counts_the_rest() {
        let mut counter = Counter::<2, 2>::new(1_000);
        counter.poll(0);
        counter.run(9);
        assert_eq!(counter.ring().dropped(), 6);
        assert_eq!(counter.ring().block().map(|block| block.header.sequence), Some(0));
        counter.ring().release();
        counter.run(2);
        counter.ring().release();
        let block = counter.ring().block().expect("complete");
        assert_eq!((block.header.sequence, block.header.dropped, block.header.timestamp_us), (2 + 3, 6, 10_000));
        assert_eq!(block.samples, [4, 5], "while it was full, the sensor was not even asked");
    }

    #[test]
    fn a_failing_sensor_is_counted_and_makes_no_samples_up() {
        let mut front_end = FrontEnd::<2, 4>::new(100, 2).expect("a rate");
        for (at, result) in (0..).zip([Ok(1), Ok(2), Ok(3), Err(Errno::NoDevice), Ok(5), Ok(6)]) {
            front_end.poll(at * 10_000, || result);
        }
        assert_eq!((front_end.errors(), front_end.ring().dropped()), (1, 2));
        let mut blocks = Vec::new();
        while let Some(block) = front_end.ring().block() {
            blocks.push((block.header.sequence, block.header.timestamp_us, block.samples.to_vec()));
            front_end.ring_mut().release();
        }
        assert_eq!(blocks, [(0, 0, vec![1, 2]), (2, 40_000, vec![5, 6])]);
    }

    #[test]
    fn after_a_stop_blocks_begin_anew() {
        let mut counter = Counter::<2, 2>::new(1_000);
        counter.poll(0);
        counter.run(2);
        counter.front_end.stop();
        assert_eq!(counter.front_end.deadline_us(), None);
        counter.ring().release();
        counter.poll(70_000);
        counter.run(1);
        let block = counter.ring().block().expect("complete");
        assert_eq!((block.header.sequence, block.header.dropped, block.header.timestamp_us), (2, 1, 70_000));
        assert_eq!(block.samples, [3, 4]);
    }

    #[test]
    fn clocks_that_go_back_or_to_the_end_do_no_harm() {
        let mut counter = Counter::<1, 8>::new(1_000_000);
        for (now_us, dropped) in [(1_000, 0), (0, 0), (1_000, 0), (u64::MAX, u32::MAX), (u64::MAX, u32::MAX)] {
            counter.poll(now_us);
            assert_eq!(counter.ring().dropped(), dropped, "at {now_us}");
        }
        assert_eq!(counter.value, 2, "a sample is taken once");
        for (rate_hz, block) in [(0, 1), (1_000_001, 1), (1, 0), (1, 9)] {
            assert!(FrontEnd::<8, 1>::new(rate_hz, block).is_none(), "{rate_hz} Hz, {block}");
        }
    }
}
