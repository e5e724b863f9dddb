//! What the other files share.

use std::collections::BTreeSet;
use std::fmt::Debug;

use coracle_bulk::BulkRef;
use coracle_guest_abi::Name;
use coracle_wire::SPEC_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The variants of an enum in the order of their numbers. A variant that is missing here does not compile; one that is
/// here and has no golden fails [`Variants::all_pinned`].
macro_rules! variants {
    ($function:ident, $names:ident, $type:ty, [$($pattern:pat),+ $(,)?]) => {
        const $names: &[&str] = &[$(stringify!($pattern)),+];

        fn $function(value: &$type) -> &'static str {
            match value {
                $($pattern => stringify!($pattern)),+
            }
        }
    };
}

/// Which variants of an enum were seen.
pub(crate) struct Variants {
    names: &'static [&'static str],
    seen: BTreeSet<&'static str>,
}

impl Variants {
    pub(crate) fn new(names: &'static [&'static str]) -> Self {
        Self { names, seen: BTreeSet::new() }
    }

    /// Notes a variant and returns its number.
    pub(crate) fn see(&mut self, name: &'static str) -> u8 {
        self.seen.insert(name);
        u8::try_from(self.names.iter().position(|n| *n == name).unwrap()).unwrap()
    }

    pub(crate) fn all_pinned(&self) {
        for name in self.names {
            assert!(self.seen.contains(name), "{name} has no golden: add one, do not change another");
        }
    }
}

/// Bytes as they are written in these files.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("0x{byte:02X}, ")).collect()
}

pub(crate) fn assert_bytes(what: &impl Debug, actual: &[u8], golden: &[u8]) {
    assert!(actual == golden, "{what:?}\nhas other bytes:\n{}\nwanted:\n{}", hex(actual), hex(golden));
}

/// Encodes to the golden, decodes from it, and from nothing shorter or longer.
pub(crate) fn pin<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, golden: &[&[u8]]) -> Vec<u8> {
    let golden = golden.concat();
    let mut out = [0; SPEC_BYTES_MAX];
    assert_bytes(value, coracle_wire::encode(value, &mut out).unwrap(), &golden);
    assert_eq!(coracle_wire::decode::<T>(&golden).as_ref(), Some(value));
    for len in 0..golden.len() {
        assert_eq!(coracle_wire::decode::<T>(&golden[..len]), None, "{value:?} cut to {len} bytes");
    }
    let longer = [&golden[..], &[0]].concat();
    assert_eq!(coracle_wire::decode::<T>(&longer), None, "{value:?} with a byte too many");
    golden
}

pub(crate) fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

/// 32 bytes that show a wrong order: 20, 21, ... 3F.
pub(crate) const IMAGE: [u8; 32] = *b"\x20\x21\x22\x23\x24\x25\x26\x27\x28\x29\x2A\x2B\x2C\x2D\x2E\x2F\
                          \x30\x31\x32\x33\x34\x35\x36\x37\x38\x39\x3A\x3B\x3C\x3D\x3E\x3F";
pub(crate) const BULK: BulkRef = BulkRef { offset: 64, len: 300, generation: 65_538 };
/// offset, len, generation
pub(crate) const BULK_BYTES: &[u8] = &[0x40, 0xAC, 0x02, 0x82, 0x80, 0x04];
