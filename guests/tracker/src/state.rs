//! What a message changes. Pure.

use bearing_watch::{RMS_OCTAVES, Summary, TrackerState};

/// The part of the state that lives in Wasm globals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Registers {
    /// Messages taken.
    pub count: u64,
    /// FNV-1a 32 over the bytes of every message.
    pub checksum: u32,
}

/// The part of the state that lives in linear memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Tracker(pub TrackerState);

const FNV32_PRIME: u32 = 0x0100_0193;
const FNV64_OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const FNV64_PRIME: u64 = 0x0000_0100_0000_01B3;

fn fnv32(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(FNV32_PRIME))
}

fn fnv64(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV64_PRIME))
}

impl Tracker {
    /// A tracker that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(TrackerState {
            chain: FNV64_OFFSET,
            count: 0,
            gaps: 0,
            repeats: 0,
            last: 0,
            rms_sum_q4: 0,
            checksum: 0,
            malformed: 0,
            rms_min_q4: u32::MAX,
            rms_max_q4: 0,
            peak_max: 0,
            kurtosis_max_q8: 0,
            rms_octaves: [0; RMS_OCTAVES],
        })
    }

    /// Takes one message.
    pub fn take(&mut self, message: &[u8], registers: &mut Registers) {
        let state = &mut self.0;
        let Some(summary) = Summary::from_bytes(message) else {
            state.malformed = state.malformed.saturating_add(1);
            return;
        };
        // Whether this is the first message is asked of memory, not of the register: a lost register must show as a
        // wrong count, not also hide a gap.
        if state.count == 0 {
            state.last = summary.number;
        } else if summary.number > state.last {
            state.gaps += summary.number - state.last - 1;
            state.last = summary.number;
        } else {
            state.repeats += 1;
        }

        registers.count += 1;
        registers.checksum = fnv32(registers.checksum, message);
        state.count = registers.count;
        state.checksum = registers.checksum;
        for part in [&registers.count.to_le_bytes()[..], &registers.checksum.to_le_bytes(), message] {
            state.chain = fnv64(state.chain, part);
        }

        state.rms_sum_q4 = state.rms_sum_q4.wrapping_add(u64::from(summary.rms_q4));
        state.rms_min_q4 = state.rms_min_q4.min(summary.rms_q4);
        state.rms_max_q4 = state.rms_max_q4.max(summary.rms_q4);
        state.peak_max = state.peak_max.max(summary.peak);
        state.kurtosis_max_q8 = state.kurtosis_max_q8.max(summary.kurtosis_q8);
        let octave = (u32::BITS - summary.rms_q4.leading_zeros()) as usize;
        if let Some(bucket) = state.rms_octaves.get_mut(octave.min(RMS_OCTAVES - 1)) {
            *bucket += 1;
        }
    }
}

impl Default for Tracker {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(number: u64) -> [u8; Summary::BYTES] {
        let rms_q4 = 100 + number as u32;
        Summary { number, time_us: number * 10_667, rms_q4, peak: 9, kurtosis_q8: 768, diff_rms_q4: 5 }.to_bytes()
    }

    fn run(numbers: &[u64]) -> (Tracker, Registers) {
        let (mut tracker, mut registers) = (Tracker::new(), Registers::default());
        for number in numbers {
            tracker.take(&summary(*number), &mut registers);
        }
        (tracker, registers)
    }

    #[test]
    fn counts_gaps_and_repeats() {
        let (tracker, registers) = run(&[5, 6, 9, 9, 8, 10]);
        let state = tracker.0;
        assert_eq!((state.count, state.gaps, state.repeats, state.last), (6, 2, 2, 10));
        assert_eq!((state.count, state.checksum), (registers.count, registers.checksum));
        assert_eq!((state.rms_min_q4, state.rms_max_q4, state.rms_octaves[7]), (105, 110, 6));
        let whole = run(&[0, 1, 2, 3]).0.0;
        assert_eq!((whole.count, whole.gaps, whole.repeats, whole.last), (4, 0, 0, 3));
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let (mut tracker, mut registers) = run(&[0]);
        let loud = Summary { number: u64::MAX, time_us: 0, rms_q4: u32::MAX, peak: 0, kurtosis_q8: 0, diff_rms_q4: 0 };
        tracker.take(&loud.to_bytes(), &mut registers);
        assert_eq!(tracker.0.gaps, u64::MAX - 1);
        assert_eq!(tracker.0.rms_octaves[31], 1);
    }

    #[test]
    fn malformed_messages_change_nothing_else() {
        let (mut tracker, mut registers) = run(&[0, 1]);
        let before = (tracker, registers);
        tracker.take(&[0; Summary::BYTES - 1], &mut registers);
        assert_eq!(tracker.0.malformed, 1);
        tracker.0.malformed = 0;
        assert_eq!((tracker, registers), before);
    }

    #[test]
    fn the_chain_knows_order_content_and_registers() {
        let (straight, _) = run(&[0, 1, 2]);
        assert_eq!(straight, run(&[0, 1, 2]).0);
        assert_ne!(straight.0.chain, run(&[0, 2, 1]).0.0.chain);
        let (mut moved, _) = run(&[0, 1]);
        let mut lost = Registers::default();
        moved.take(&summary(2), &mut lost);
        assert_ne!(straight.0.chain, moved.0.chain, "registers that were lost in a move");
        assert_eq!((moved.0.count, moved.0.gaps), (1, 0));
    }
}
