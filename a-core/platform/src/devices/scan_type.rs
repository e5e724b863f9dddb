//! How the kernel's Industrial I/O lays one reading of its channels out in bytes. Pure.

/// The form of one channel in a scan, as `scan_elements/..._type` says it: `le:s12/16>>4` are 12 bits with a sign, at the
/// upper end of 16 that are stored with the least significant byte first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScanType {
    big_endian: bool,
    signed: bool,
    /// Bits of the value, 1 to the stored ones.
    bits: u32,
    /// Bits that are stored: 8, 16, 32 or 64.
    stored_bits: u32,
    /// Bits below the value.
    shift: u32,
    /// Values in a row.
    repeat: usize,
}

impl ScanType {
    /// Understands the text; `None` for what is no such form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (order, rest) = text.split_once(':')?;
        let big_endian = match order {
            "be" => true,
            "le" => false,
            _ => return None,
        };
        let signed = match rest.get(..1)? {
            "s" => true,
            "u" => false,
            _ => return None,
        };
        let (bits, rest) = rest.get(1..)?.split_once('/')?;
        let (stored, shift) = rest.split_once(">>")?;
        let (stored_bits, repeat) = stored.split_once('X').unwrap_or((stored, "1"));
        let parsed = Self {
            big_endian,
            signed,
            bits: bits.parse().ok()?,
            stored_bits: stored_bits.parse().ok()?,
            shift: shift.parse().ok()?,
            repeat: repeat.parse().ok()?,
        };
        let fits = matches!(parsed.stored_bits, 8 | 16 | 32 | 64)
            && parsed.bits >= 1
            && parsed.bits.checked_add(parsed.shift).is_some_and(|end| end <= parsed.stored_bits)
            && (1..=64).contains(&parsed.repeat);
        fits.then_some(parsed)
    }

    /// Bytes that the channel takes in a scan.
    pub(crate) fn bytes(&self) -> usize {
        self.stored_bits as usize / 8 * self.repeat
    }

    /// Bits by which a value has to be cut to fit an `i16`.
    pub(crate) fn excess_bits(&self) -> u32 {
        let needed = if self.signed { self.bits } else { self.bits + 1 };
        needed.saturating_sub(i16::BITS)
    }

    /// The first value of the channel in its bytes; `None` if they are too few.
    pub(crate) fn value(&self, bytes: &[u8]) -> Option<i128> {
        let stored = bytes.get(..self.stored_bits as usize / 8)?;
        let append = |word: u64, byte: &u8| (word << 8) | u64::from(*byte);
        let word = if self.big_endian { stored.iter().fold(0, append) } else { stored.iter().rev().fold(0, append) };
        let unused = u64::BITS - self.bits;
        let top = (word >> self.shift) << unused;
        Some(if self.signed { i128::from(top.cast_signed() >> unused) } else { i128::from(top >> unused) })
    }
}

/// Where channels are in a scan: each at a multiple of its own size, and the whole a multiple of the largest.
///
/// Returns the offset of each, in the order given, which is that of their `index`, and the size of a scan.
pub(crate) fn scan_layout(channels: &[ScanType]) -> (Vec<usize>, usize) {
    let mut end = 0_usize;
    let offsets = channels.iter().map(|channel| {
        let offset = end.next_multiple_of(channel.bytes());
        end = offset + channel.bytes();
        offset
    });
    let offsets = offsets.collect();
    let largest = channels.iter().map(ScanType::bytes).max().unwrap_or(1);
    (offsets, end.next_multiple_of(largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(form: &str, bytes: &[u8]) -> Option<i128> {
        ScanType::parse(form).unwrap().value(bytes)
    }

    #[test]
    fn values_come_out_of_every_form() {
        assert_eq!(value("le:s16/16>>0", &[0xFE, 0xFF]), Some(-2));
        assert_eq!(value("be:s16/16>>0", &[0x80, 0x00]), Some(-32_768));
        assert_eq!(value("le:s12/16>>4", &[0xF0, 0x7F]), Some(2047));
        assert_eq!(value("le:s12/16>>4", &[0x0F, 0x80]), Some(-2048), "what is below the value does not count");
        assert_eq!(value("be:u12/16>>0", &[0xFF, 0xFF]), Some(4095), "nor what is above");
        assert_eq!(value("be:u24/32>>8", &[0x12, 0x34, 0x56, 0x78]), Some(0x12_3456));
        assert_eq!(value("le:s64/64>>0", &[0xFF; 8]), Some(-1));
        assert_eq!(value("le:u64/64>>0", &[0xFF; 8]), Some(i128::from(u64::MAX)));
        assert_eq!(value("le:u8/8>>0", &[200]), Some(200));
        assert_eq!(value("le:s1/8>>7", &[0x80]), Some(-1));
        assert_eq!(value("le:s16/16X4>>0", &[1, 0, 2, 0, 3, 0, 4, 0]), Some(1), "the first of a row");
        assert_eq!(value("le:s16/16>>0", &[1]), None);
    }

    #[test]
    fn other_texts_are_no_forms() {
        for text in [
            "",
            "le",
            "le:",
            "xe:s16/16>>0",
            "le:x16/16>>0",
            "le:s16",
            "le:s16/16",
            "le:s16/16>>",
            "le:s0/16>>0",
            "le:s17/16>>0",
            "le:s16/16>>1",
            "le:s16/24>>0",
            "le:s16/16X0>>0",
            "le:s16/16X65>>0",
            "le:s-1/16>>0",
            "le:s16/128>>0",
            "le:s16/16>>4294967295",
            "le:\u{fc}16/16>>0",
        ] {
            assert_eq!(ScanType::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_channel_is_aligned_to_its_size() {
        let form = |text| ScanType::parse(text).unwrap();
        let (sample, time, row) = (form("le:s16/16>>0"), form("le:s64/64>>0"), form("le:s16/16X4>>0"));
        assert_eq!(scan_layout(&[sample, time]), (vec![0, 8], 16));
        assert_eq!(scan_layout(&[sample; 3]), (vec![0, 2, 4], 6));
        assert_eq!(scan_layout(&[sample, row, sample, time]), (vec![0, 8, 16, 24], 32));
        assert_eq!(scan_layout(&[time, sample]), (vec![0, 8], 16), "the last is filled up, for the next scan");
        assert_eq!(scan_layout(&[]), (vec![], 0));
    }

    #[test]
    fn what_does_not_fit_a_sample_is_cut() {
        for (text, bits) in [("le:s16/16>>0", 0), ("le:u16/16>>0", 1), ("le:s24/32>>8", 8), ("le:u15/16>>1", 0)] {
            assert_eq!(ScanType::parse(text).unwrap().excess_bits(), bits, "{text}");
        }
    }
}
