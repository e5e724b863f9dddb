//! Lengths within a module that reach beyond it.
//!
//! The engine's parser adds a length to its position before it compares with the end. Where an address has 32 bits that
//! wraps around, and the parser panics instead of refusing. Names and counts it bounds itself; sections, bodies and data
//! it does not, so they are looked at here first. What else may be wrong is the parser's to say.

/// Bytes of magic number and version.
const PREAMBLE_BYTES: usize = 8;
const CODE_SECTION: u8 = 10;
const DATA_SECTION: u8 = 11;
/// Kinds of data segments: active, passive, active with the index of its memory.
const ACTIVE: u32 = 0;
const PASSIVE: u32 = 1;
const ACTIVE_INDEX: u32 = 2;

/// Whether every section, function body and data segment ends within the module.
pub(crate) fn fit(module: &[u8]) -> bool {
    let mut rest = Reader(module.get(PREAMBLE_BYTES..).unwrap_or_default());
    while let Some(id) = rest.byte() {
        let Some(section) = rest.counted() else { return false };
        let fits = match id {
            CODE_SECTION => bodies(Reader(section)),
            DATA_SECTION => segments(Reader(section)),
            _ => Some(()),
        };
        if fits.is_none() {
            return false;
        }
    }
    true
}

fn bodies(mut section: Reader<'_>) -> Option<()> {
    for _ in 0..section.number()? {
        section.counted()?;
    }
    Some(())
}

fn segments(mut section: Reader<'_>) -> Option<()> {
    for _ in 0..section.number()? {
        match section.number()? {
            ACTIVE => section.constant()?,
            PASSIVE => {}
            ACTIVE_INDEX => {
                section.number()?;
                section.constant()?;
            }
            _ => return None,
        }
        section.counted()?;
    }
    Some(())
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// An unsigned number of at most 32 bits in LEB128.
    fn number(&mut self) -> Option<u32> {
        let mut number = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(number).ok();
            }
        }
        None
    }

    /// The bytes behind their length.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        self.take(len)
    }

    /// Passes over a constant expression of the instructions that the engine takes there.
    fn constant(&mut self) -> Option<()> {
        loop {
            match self.byte()? {
                // end
                0x0b => return Some(()),
                // global.get, i32.const, i64.const: a number in LEB128
                0x23 | 0x41 | 0x42 => while self.byte()? & 0x80 != 0 {},
                // f32.const, f64.const
                0x43 => drop(self.take(4)?),
                0x44 => drop(self.take(8)?),
                // i32 and i64: add, sub, mul
                0x6a..=0x6c | 0x7c..=0x7e => {}
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn module(sections: &[&[u8]]) -> Vec<u8> {
        [b"\0asm\x01\0\0\0".as_slice(), &sections.concat()].concat()
    }

    #[test]
    fn lengths_that_reach_beyond_the_module_are_seen() {
        assert!(fit(&module(&[])) && fit(b"") && fit(b"\0asm"), "these are the parser's to refuse");
        // A custom section, a body, data of each kind with each constant.
        let good: [&[u8]; 4] = [
            &[0, 2, 1, b'n'],
            &[10, 4, 1, 2, 0, 0x0b],
            &[11, 8, 1, 0, 0x41, 0x80, 0x7f, 0x0b, 1, b'd'],
            &[11, 20, 2, 2, 0, 0x23, 0, 0x42, 1, 0x6a, 0x0b, 0, 1, 1, b'd', 0x0b, 0, 0, 0, 0, 0, 0],
        ];
        for section in good {
            assert!(fit(&module(&[section])), "{section:?}");
        }
        let far = [0xff, 0xff, 0xff, 0xff, 0x0f];
        let bad: [Vec<u8>; 6] = [
            [&[0][..], &far].concat(),
            [&[10, 6, 1][..], &far].concat(),
            [&[11, 9, 1, 0, 0x41, 0, 0x0b][..], &far].concat(),
            [&[11, 7, 1, 1][..], &far].concat(),
            [&[11, 8, 1, 1][..], &far, &[0]].concat(),
            [&[0][..], &[0x80; 5], &[1]].concat(),
        ];
        for section in bad {
            assert!(!fit(&module(&[&section])), "{section:?}");
        }
    }
}
