//! The bytes between a board and its sensor.
//!
//! The M core asks, the sensor answers: one [`CREDIT`] byte asks for one block, and the sensor sends one frame for it.
//! So the sensor can never flood the core, and a core that sleeps costs nothing. Credits do not add up: one that comes
//! before the last was answered changes nothing, so a core may ask again when it cannot know whether it was heard.
//! All numbers are little-endian:
//!
//! ```text
//! byte  0  magic 0xA5
//!       1  flags: bit 0 = end of trace (then count is 0); the others are 0
//!       2  count: u16, samples in this block, at most 512
//!       4  sequence: u32, counts blocks, wraps
//!       8  timestamp: u64, microseconds of virtual time of the first sample
//!      16  rate: u32, samples per second
//!      20  dropped: u32, samples that the sensor has lost so far
//!      24  samples: count * i16
//!       n  CRC: u16, CRC-16/CCITT-FALSE over everything before it
//! ```
//!
//! [`Decoder`] takes bytes one at a time and survives any input: after damage it looks for the next frame, starting
//! with the bytes it already has, and counts what it threw away. It does not check that sequences are consecutive.

use crate::{BytePort, Sensor};

/// The byte that asks for one block.
pub const CREDIT: u8 = 0x01;
/// First byte of a frame.
pub const MAGIC: u8 = 0xA5;
/// Flag: the trace has ended, and the frame holds no samples.
pub const FLAG_END: u8 = 1;
/// Most samples in a block.
pub const SAMPLES_MAX: usize = 512;
/// Bytes before the samples.
pub const HEADER_BYTES: usize = 24;
/// Bytes of the checksum.
pub const CRC_BYTES: usize = 2;
/// Longest frame in bytes.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + 2 * SAMPLES_MAX + CRC_BYTES;

/// A block of samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Counts blocks; wraps.
    pub sequence: u32,
    /// Virtual time of the first sample, in microseconds.
    pub timestamp_us: u64,
    /// Samples per second.
    pub rate_hz: u32,
    /// Samples that the sensor has lost so far.
    pub dropped: u32,
    /// True if the trace has ended; there are then no samples.
    pub end: bool,
    count: u16,
    samples: [i16; SAMPLES_MAX],
}

impl Block {
    const EMPTY: Self =
        Self { sequence: 0, timestamp_us: 0, rate_hz: 0, dropped: 0, end: false, count: 0, samples: [0; SAMPLES_MAX] };

    /// A block of these samples; `None` if there are more than [`SAMPLES_MAX`].
    #[must_use]
    pub fn new(sequence: u32, timestamp_us: u64, rate_hz: u32, dropped: u32, samples: &[i16]) -> Option<Self> {
        let mut block = Self { sequence, timestamp_us, rate_hz, dropped, ..Self::EMPTY };
        block.samples.get_mut(..samples.len())?.copy_from_slice(samples);
        block.count = u16::try_from(samples.len()).ok()?;
        Some(block)
    }

    /// The block that says that the trace has ended.
    #[must_use]
    pub fn end(sequence: u32, timestamp_us: u64, rate_hz: u32, dropped: u32) -> Self {
        Self { sequence, timestamp_us, rate_hz, dropped, end: true, ..Self::EMPTY }
    }

    /// The samples.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        // `count` is at most SAMPLES_MAX by construction.
        self.samples.get(..usize::from(self.count)).unwrap_or(&[])
    }

    /// Writes the frame to the start of `out` and returns its length; nothing else in `out` has a meaning then.
    #[must_use]
    pub fn encode(&self, out: &mut [u8; FRAME_BYTES_MAX]) -> usize {
        let mut writer = Writer { out, len: 0 };
        writer.put(&[MAGIC, if self.end { FLAG_END } else { 0 }]);
        writer.put(&self.count.to_le_bytes());
        writer.put(&self.sequence.to_le_bytes());
        writer.put(&self.timestamp_us.to_le_bytes());
        writer.put(&self.rate_hz.to_le_bytes());
        writer.put(&self.dropped.to_le_bytes());
        for sample in self.samples() {
            writer.put(&sample.to_le_bytes());
        }
        let crc = crc16(writer.out.get(..writer.len).unwrap_or(&[]));
        writer.put(&crc.to_le_bytes());
        writer.len
    }
}

/// Appends to a frame. The parts of a frame never add up to more than it can hold.
struct Writer<'a> {
    out: &'a mut [u8; FRAME_BYTES_MAX],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if let Some(target) = self.out.get_mut(self.len..self.len + bytes.len()) {
            target.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

/// Length of the frame of a block with `count` samples.
fn frame_bytes(count: u16) -> usize {
    HEADER_BYTES + 2 * usize::from(count) + CRC_BYTES
}

/// CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF, not reflected, no final change.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc: u16, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    })
}

/// Finds frames in a stream of bytes.
pub struct Decoder {
    buffer: [u8; FRAME_BYTES_MAX],
    len: usize,
    block: Block,
    skipped_bytes: u32,
    crc_errors: u32,
}

/// What the buffered bytes are.
enum Front {
    /// The beginning of a frame, as far as one can tell.
    Incomplete,
    /// A frame of this many bytes, to be checked.
    Frame(usize),
    /// No frame starts with the first byte.
    Junk,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: [0; FRAME_BYTES_MAX], len: 0, block: Block::EMPTY, skipped_bytes: 0, crc_errors: 0 }
    }

    /// Takes a byte; returns a block if it completes one.
    ///
    /// When damage made two frames complete at the same byte, the second comes out with the next byte.
    pub fn push(&mut self, byte: u8) -> Option<&Block> {
        // The loop below always leaves room: what stays is the beginning of a frame, so shorter than the longest.
        if let Some(slot) = self.buffer.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
        loop {
            match self.front() {
                Front::Incomplete => return None,
                Front::Frame(len) if self.read_frame(len).is_some() => {
                    self.discard(len);
                    return Some(&self.block);
                }
                Front::Frame(_) => {
                    self.crc_errors = self.crc_errors.wrapping_add(1);
                    self.skip();
                }
                Front::Junk => self.skip(),
            }
        }
    }

    /// Bytes thrown away because they belonged to no valid frame. Wraps.
    #[must_use]
    pub fn skipped_bytes(&self) -> u32 {
        self.skipped_bytes
    }

    /// Frames whose checksum was wrong. Wraps. Chance finds of the magic byte in damaged data count too.
    #[must_use]
    pub fn crc_errors(&self) -> u32 {
        self.crc_errors
    }

    /// Bytes that must come at least before a block can be complete.
    #[must_use]
    pub fn missing_bytes(&self) -> usize {
        let len = match self.bytes() {
            [_, _, low, high, ..] => frame_bytes(u16::from_le_bytes([*low, *high])),
            _ => HEADER_BYTES + CRC_BYTES,
        };
        len.saturating_sub(self.len)
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or(&[])
    }

    fn front(&self) -> Front {
        let bytes = self.bytes();
        // Each field is judged as soon as it is there, so that junk does not wait for a frame's worth of bytes.
        if bytes.first().is_some_and(|magic| *magic != MAGIC) {
            return Front::Junk;
        }
        if bytes.get(1).is_some_and(|flags| *flags & !FLAG_END != 0) {
            return Front::Junk;
        }
        let Some(&[_, flags, low, high]) = bytes.first_chunk() else { return Front::Incomplete };
        let count = u16::from_le_bytes([low, high]);
        if usize::from(count) > SAMPLES_MAX || (flags & FLAG_END != 0 && count != 0) {
            return Front::Junk;
        }
        let len = frame_bytes(count);
        if bytes.len() < len { Front::Incomplete } else { Front::Frame(len) }
    }

    /// Reads the frame of `len` bytes at the front into `self.block`; `None` if its checksum is wrong.
    fn read_frame(&mut self, len: usize) -> Option<()> {
        let frame = self.buffer.get(..len)?;
        let (content, crc) = frame.split_last_chunk::<CRC_BYTES>()?;
        if crc16(content) != u16::from_le_bytes(*crc) {
            return None;
        }
        let (&[_, flags, count_low, count_high], rest) = content.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (timestamp_us, rest) = rest.split_first_chunk()?;
        let (rate_hz, rest) = rest.split_first_chunk()?;
        let (dropped, samples) = rest.split_first_chunk()?;
        let block = &mut self.block;
        // Nothing may stay of the block before, or equal frames would give blocks that compare unequal.
        block.samples = [0; SAMPLES_MAX];
        block.end = flags & FLAG_END != 0;
        block.count = u16::from_le_bytes([count_low, count_high]);
        block.sequence = u32::from_le_bytes(*sequence);
        block.timestamp_us = u64::from_le_bytes(*timestamp_us);
        block.rate_hz = u32::from_le_bytes(*rate_hz);
        block.dropped = u32::from_le_bytes(*dropped);
        for (sample, bytes) in block.samples.iter_mut().zip(samples.as_chunks().0) {
            *sample = i16::from_le_bytes(*bytes);
        }
        Some(())
    }

    /// Throws away the first byte and what follows up to the next magic byte.
    fn skip(&mut self) {
        let next = self.bytes().iter().skip(1).position(|byte| *byte == MAGIC).map_or(self.len, |at| at + 1);
        self.skipped_bytes = self.skipped_bytes.wrapping_add(u32::try_from(next).unwrap_or(u32::MAX));
        self.discard(next);
    }

    fn discard(&mut self, count: usize) {
        // `count` is at most `len`: both callers took it from the buffered bytes.
        self.buffer.copy_within(count.min(self.len)..self.len, 0);
        self.len = self.len.saturating_sub(count);
    }
}

/// A sensor at the other end of a byte line.
pub struct SensorLink<P> {
    port: P,
    decoder: Decoder,
}

impl<P> SensorLink<P> {
    /// A link over `port`.
    pub const fn new(port: P) -> Self {
        Self { port, decoder: Decoder::new() }
    }

    /// The decoder, for its counts of damage.
    #[must_use]
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The line.
    pub fn port_mut(&mut self) -> &mut P {
        &mut self.port
    }
}

impl<P: BytePort> Sensor for SensorLink<P> {
    fn request(&mut self) -> bool {
        self.port.send(CREDIT)
    }

    fn take(&mut self) -> Option<&Block> {
        // Two steps, because a block borrowed inside the loop would stay borrowed for all of it.
        loop {
            let Some(byte) = self.port.receive() else {
                self.port.expect(self.decoder.missing_bytes());
                return None;
            };
            if self.decoder.push(byte).is_some() {
                break;
            }
        }
        Some(&self.decoder.block)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    fn frame(block: &Block) -> Vec<u8> {
        let mut out = [0; FRAME_BYTES_MAX];
        let len = block.encode(&mut out);
        out[..len].to_vec()
    }

    fn numbered(sequence: u32, samples: usize) -> Block {
        let samples: Vec<i16> = (0..samples).map(|i| (i as i16).wrapping_mul(-257) ^ sequence as i16).collect();
        Block::new(sequence, 1_000_000 + u64::from(sequence), 12_000, 3, &samples).expect("not too many samples")
    }

    fn decoded(decoder: &mut Decoder, bytes: &[u8]) -> Vec<Block> {
        bytes.iter().filter_map(|byte| decoder.push(*byte).cloned()).collect()
    }

    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn crc_has_the_catalogue_check_value() {
        assert_eq!(crc16(b"123456789"), 0x29B1);
    }

    #[test]
    fn the_bytes_of_a_block_are_these() {
        let block = Block::new(0x0403_0201, 0x0c0b_0a09_0807_0605, 12_000, 5, &[1, -2]).expect("2 samples");
        let mut expected = std::vec![0xA5, 0, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        expected.extend([0xE0, 0x2E, 0, 0, 5, 0, 0, 0, 1, 0, 0xFE, 0xFF]);
        expected.extend(crc16(&expected).to_le_bytes());
        assert_eq!(frame(&block), expected);
        let end = frame(&Block::end(9, 0, 1, 0));
        assert_eq!((end.len(), end[1], &end[2..4]), (26, FLAG_END, &[0, 0][..]));
    }

    #[test]
    fn blocks_of_every_length_survive_the_line() {
        let mut decoder = Decoder::new();
        for samples in [0, 1, 2, 511, 512, 7] {
            let block = numbered(samples as u32, samples);
            let got = decoded(&mut decoder, &frame(&block));
            assert!(got == [block], "{samples} samples");
        }
        let end = decoded(&mut decoder, &frame(&Block::end(7, 8, 9, 10)));
        assert!(end[0].end && end[0].samples().is_empty());
        assert_eq!((decoder.skipped_bytes(), decoder.crc_errors()), (0, 0));
        assert!(Block::new(0, 0, 0, 0, &[0; SAMPLES_MAX + 1]).is_none());
    }

    #[test]
    fn a_lost_byte_costs_one_block_and_not_the_next() {
        let blocks: Vec<Block> = (0..3).map(|n| numbered(n, 40)).collect();
        for lost in 0..frame(&blocks[0]).len() {
            let mut bytes = frame(&blocks[0]);
            bytes.remove(lost);
            bytes.extend(frame(&blocks[1]));
            bytes.extend(frame(&blocks[2]));
            // More bytes than any frame, so that a wrong length in the damaged header cannot hide the others.
            bytes.extend([0; FRAME_BYTES_MAX]);
            let mut decoder = Decoder::new();
            let got = decoded(&mut decoder, &bytes);
            assert_eq!(got, blocks[1..], "byte {lost} lost");
            assert!(decoder.skipped_bytes() > 0);
        }
    }

    #[test]
    fn a_flipped_bit_never_gives_a_block() {
        let good = frame(&numbered(5, 12));
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes.extend([0; FRAME_BYTES_MAX]);
            assert!(decoded(&mut Decoder::new(), &bytes).is_empty(), "bit {bit} flipped");
        }
    }

    #[test]
    fn random_bytes_do_no_harm() {
        for seed in 0..200_u64 {
            let mut rng = seed;
            let mut decoder = Decoder::new();
            for _ in 0..3000 {
                let byte = if next(&mut rng).is_multiple_of(4) { MAGIC } else { (next(&mut rng) % 3) as u8 };
                decoder.push(byte);
            }
            // Flush with zeros, then a good block must come through.
            let mut bytes = std::vec![0; FRAME_BYTES_MAX];
            bytes.extend(frame(&numbered(1, 512)));
            let got = decoded(&mut decoder, &bytes);
            assert!(got.last() == Some(&numbered(1, 512)), "seed {seed}");
        }
    }

    #[test]
    fn a_link_asks_with_credits_and_stops_after_each_block() {
        struct Port {
            sent: Vec<u8>,
            expected: usize,
            input: std::collections::VecDeque<u8>,
        }
        impl BytePort for Port {
            fn send(&mut self, byte: u8) -> bool {
                self.sent.push(byte);
                true
            }
            fn receive(&mut self) -> Option<u8> {
                self.input.pop_front()
            }
            fn expect(&mut self, bytes: usize) {
                self.expected = bytes;
            }
        }
        let mut input = frame(&numbered(1, 3));
        input.extend(frame(&numbered(2, 3)));
        let mut link = SensorLink::new(Port { sent: Vec::new(), expected: 0, input: input.into() });
        assert!(link.request());
        assert_eq!(link.take().map(|block| block.sequence), Some(1));
        assert_eq!(link.take().map(|block| block.sequence), Some(2));
        assert!(link.take().is_none());
        let Port { sent, expected, .. } = link.port_mut();
        assert_eq!((&sent[..], *expected), (&[CREDIT][..], HEADER_BYTES + CRC_BYTES));
    }

    #[test]
    fn what_is_missing_is_never_too_much() {
        let frame = frame(&numbered(1, 100));
        let mut decoder = Decoder::new();
        for (at, byte) in frame.iter().enumerate() {
            let known = if at < 4 { HEADER_BYTES + CRC_BYTES } else { frame.len() };
            assert_eq!(decoder.missing_bytes(), known - at);
            decoder.push(*byte);
        }
        assert_eq!(decoder.missing_bytes(), HEADER_BYTES + CRC_BYTES, "after a whole frame the next one is waited for");
    }
}
