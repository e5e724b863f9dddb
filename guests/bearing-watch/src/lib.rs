//! What the containers of the `bearing-watch` example tell each other, and where a test finds the tracker's state.
//!
//! Layouts only, all little-endian with fixed sizes: the two ends run on different cores and are built at different
//! times. It does not measure, decide or send anything.
#![no_std]
#![forbid(unsafe_code)]

use bytemuck::{Pod, Zeroable};

const _: () = assert!(cfg!(target_endian = "little"), "TrackerState is read from Wasm memory as it lies there");

/// The sensor that `sentinel` opens.
pub const SENSOR: &str = "accel0";
/// The topic of [`Summary`].
pub const SUMMARY_TOPIC: &str = "vibration/summary";
/// The reason for which `sentinel` wakes the A core; the payload is a [`WindowHeader`] and the samples as `i16`.
pub const FAULT_REASON: &str = "fault";
/// The topic on which `diagnose` says what it found: text, the first line is the name of the fault class alone, the
/// second has the score of each class.
pub const DIAGNOSIS_TOPIC: &str = "diagnosis";

/// Statistics of a short stretch of vibration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Counts summaries from 0, without gap over the life of the sender.
    pub number: u64,
    /// Time of the first sample, in microseconds of the sensor's clock.
    pub time_us: u64,
    /// Root mean square, in 1/16 LSB.
    pub rms_q4: u32,
    /// Largest distance from the mean, in LSB.
    pub peak: u32,
    /// Kurtosis, in 1/256.
    pub kurtosis_q8: u32,
    /// Root mean square of the first difference, in 1/16 LSB.
    pub diff_rms_q4: u32,
}

impl Summary {
    /// Encoded size, in bytes.
    pub const BYTES: usize = 32;

    /// The encoded summary: the fields in order.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let words = [self.rms_q4, self.peak, self.kurtosis_q8, self.diff_rms_q4];
        let mut out = [0; Self::BYTES];
        let (head, tail) = out.split_at_mut(16);
        for (to, from) in head.chunks_exact_mut(8).zip([self.number, self.time_us]) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        for (to, from) in tail.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        out
    }

    /// The summary that `bytes` are, or `None` when they are not [`Summary::BYTES`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        Some(Self {
            number: u64_at(bytes, 0)?,
            time_us: u64_at(bytes, 8)?,
            rms_q4: u32_at(bytes, 16)?,
            peak: u32_at(bytes, 20)?,
            kurtosis_q8: u32_at(bytes, 24)?,
            diff_rms_q4: u32_at(bytes, 28)?,
        })
    }
}

/// The head of the window of samples that travels with a wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowHeader {
    /// Time of the first sample, in microseconds of the sensor's clock.
    pub time_us: u64,
    /// Samples a second.
    pub rate_hz: u32,
    /// Samples that follow.
    pub samples: u32,
}

impl WindowHeader {
    /// Encoded size, in bytes. Even, so that the samples behind it keep their alignment.
    pub const BYTES: usize = 16;

    /// The encoded header: the fields in order.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[..8].copy_from_slice(&self.time_us.to_le_bytes());
        out[8..12].copy_from_slice(&self.rate_hz.to_le_bytes());
        out[12..].copy_from_slice(&self.samples.to_le_bytes());
        out
    }

    /// Splits a wake's payload into the header and the bytes of the samples, or `None` when the payload is not as long
    /// as its header says.
    #[must_use]
    pub fn split(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (head, samples) = payload.split_at_checked(Self::BYTES)?;
        let header = Self { time_us: u64_at(head, 0)?, rate_hz: u32_at(head, 8)?, samples: u32_at(head, 12)? };
        (samples.len() == (header.samples as usize).checked_mul(2)?).then_some((header, samples))
    }
}

/// Buckets of [`TrackerState::rms_octaves`].
pub const RMS_OCTAVES: usize = 32;

/// The whole state of `tracker` in its linear memory, at the address that its module exports as the constant global
/// `coracle_guest`.
///
/// `count` and `checksum` are copies: the tracker works with the ones in its mutable Wasm globals and writes them here
/// after every message, so a move that loses the globals shows from the first message after it, and for ever in `chain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct TrackerState {
    /// FNV-1a 64 over every message so far: its `count` and `checksum`, then its bytes.
    pub chain: u64,
    /// Messages taken, repeated ones included.
    pub count: u64,
    /// Messages that never came, by the running numbers of those that did.
    pub gaps: u64,
    /// Messages whose number was already past.
    pub repeats: u64,
    /// The highest number so far; meaningless while `count` is 0.
    pub last: u64,
    /// Sum of all RMS values, in 1/16 LSB.
    pub rms_sum_q4: u64,
    /// FNV-1a 32 over the bytes of every message so far.
    pub checksum: u32,
    /// Messages that were no [`Summary`]; they count nowhere else.
    pub malformed: u32,
    /// Smallest RMS, in 1/16 LSB; `u32::MAX` while `count` is 0.
    pub rms_min_q4: u32,
    /// Largest RMS, in 1/16 LSB.
    pub rms_max_q4: u32,
    /// Largest peak, in LSB.
    pub peak_max: u32,
    /// Largest kurtosis, in 1/256.
    pub kurtosis_max_q8: u32,
    /// Messages by RMS: bucket n counts values of n significant bits, the last one also those of 32.
    pub rms_octaves: [u32; RMS_OCTAVES],
}

impl TrackerState {
    /// Size in memory, in bytes.
    pub const BYTES: usize = size_of::<Self>();

    /// The state at `address` of a linear memory, or `None` when the memory ends before it.
    #[must_use]
    pub fn read(memory: &[u8], address: usize) -> Option<Self> {
        let bytes = memory.get(address..address.checked_add(Self::BYTES)?)?;
        bytemuck::try_pod_read_unaligned(bytes).ok()
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;

    #[test]
    fn summary_bytes() {
        let summary = Summary {
            number: 0x0102_0304_0506_0708,
            time_us: 0x1112_1314_1516_1718,
            rms_q4: 0x2122_2324,
            peak: 0x3132_3334,
            kurtosis_q8: 0x4142_4344,
            diff_rms_q4: 0x5152_5354,
        };
        let golden = [
            8, 7, 6, 5, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x24, 0x23, 0x22, 0x21, 0x34, 0x33,
            0x32, 0x31, 0x44, 0x43, 0x42, 0x41, 0x54, 0x53, 0x52, 0x51,
        ];
        assert_eq!(summary.to_bytes(), golden);
        assert_eq!(Summary::from_bytes(&golden), Some(summary));
        assert_eq!(Summary::from_bytes(&golden[..31]), None);
        assert_eq!(Summary::from_bytes(&[0; 33]), None);
    }

    #[test]
    fn window_bytes_and_lengths_that_lie() {
        let header = WindowHeader { time_us: 0x0102_0304_0506_0708, rate_hz: 12_000, samples: 2 };
        let mut payload = [0xAA; 20];
        payload[..16].copy_from_slice(&header.to_bytes());
        assert_eq!(payload[..16], [8, 7, 6, 5, 4, 3, 2, 1, 0xE0, 0x2E, 0, 0, 2, 0, 0, 0]);
        assert_eq!(WindowHeader::split(&payload), Some((header, &[0xAA; 4][..])));
        assert_eq!(WindowHeader::split(&payload[..19]), None);
        assert_eq!(WindowHeader::split(&payload[..15]), None);
        payload[15] = 0xFF;
        assert_eq!(WindowHeader::split(&payload), None);
    }

    /// Snapshots of older runs are read with this layout.
    #[test]
    fn tracker_state_layout() {
        assert_eq!(offset_of!(TrackerState, chain), 0);
        assert_eq!(offset_of!(TrackerState, count), 8);
        assert_eq!(offset_of!(TrackerState, gaps), 16);
        assert_eq!(offset_of!(TrackerState, repeats), 24);
        assert_eq!(offset_of!(TrackerState, last), 32);
        assert_eq!(offset_of!(TrackerState, checksum), 48);
        assert_eq!(offset_of!(TrackerState, rms_octaves), 72);
        assert_eq!(TrackerState::BYTES, 200);
        let mut memory = [0; 301];
        memory[109] = 7;
        assert_eq!(TrackerState::read(&memory, 101).map(|s| s.count), Some(7));
        assert_eq!(TrackerState::read(&memory, 102), None);
        assert_eq!(TrackerState::read(&memory, usize::MAX), None);
    }
}
