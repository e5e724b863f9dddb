//! A container's key-value store: a few small values that are durable and travel with it.
//!
//! One flat piece of bytes, `(key length u8, value length u16, key, value)` in the order of the keys: what the quota
//! counts is what is stored, and a snapshot takes it as it is.

use alloc::vec::Vec;

use coracle_guest_abi::{Errno, KV_BYTES_MAX, NAME_BYTES_MAX};

const HEAD_BYTES: usize = 3;

/// The store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kv(Vec<u8>);

impl Kv {
    /// The store in these bytes, of a snapshot; `None` when they are not one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut entries = Entries { bytes, at: 0 };
        let mut last: Option<&[u8]> = None;
        for entry in entries.by_ref() {
            if last.is_some_and(|last| entry.key <= last) || entry.key.is_empty() || entry.key.len() > NAME_BYTES_MAX {
                return None;
            }
            last = Some(entry.key);
        }
        (entries.at == bytes.len() && bytes.len() <= KV_BYTES_MAX).then(|| Self(bytes.to_vec()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.entries().find(|e| e.key == key.as_bytes()).map(|e| e.value)
    }

    /// The first key after `key`.
    #[must_use]
    pub fn next(&self, key: &str) -> Option<&[u8]> {
        self.entries().find(|e| e.key > key.as_bytes()).map(|e| e.key)
    }

    /// Stores a value.
    ///
    /// # Errors
    /// [`Errno::NoSpace`] beyond `quota` bytes; [`Errno::TooLarge`] for a key over [`NAME_BYTES_MAX`];
    /// [`Errno::Invalid`] for an empty one; [`Errno::Again`] without memory. Nothing is changed then.
    pub fn set(&mut self, key: &str, value: &[u8], quota: usize) -> Result<(), Errno> {
        if key.is_empty() {
            return Err(Errno::Invalid);
        }
        let key_len = u8::try_from(key.len()).ok().filter(|n| usize::from(*n) <= NAME_BYTES_MAX);
        let key_len = key_len.ok_or(Errno::TooLarge)?;
        let value_len = u16::try_from(value.len()).map_err(|_| Errno::NoSpace)?;
        let old = self.entries().find(|e| e.key == key.as_bytes()).map_or(0, |e| e.end - e.start);
        let new = HEAD_BYTES + key.len() + value.len();
        let grown = self.0.len() - old + new;
        if grown > quota.min(KV_BYTES_MAX) {
            return Err(Errno::NoSpace);
        }
        self.0.try_reserve(new).map_err(|_| Errno::Again)?;
        self.delete(key);
        let at = self.entries().find(|e| e.key > key.as_bytes()).map_or(self.0.len(), |e| e.start);
        let [low, high] = value_len.to_le_bytes();
        let head = [key_len, low, high];
        self.0.splice(at..at, head.into_iter().chain(key.bytes()).chain(value.iter().copied()));
        Ok(())
    }

    /// Removes a value; false when there was none.
    pub fn delete(&mut self, key: &str) -> bool {
        let Some((start, end)) = self.entries().find(|e| e.key == key.as_bytes()).map(|e| (e.start, e.end)) else {
            return false;
        };
        self.0.drain(start..end);
        true
    }

    fn entries(&self) -> Entries<'_> {
        Entries { bytes: &self.0, at: 0 }
    }
}

struct Entry<'a> {
    start: usize,
    end: usize,
    key: &'a [u8],
    value: &'a [u8],
}

struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let start = self.at;
        let head = self.bytes.get(start..start + HEAD_BYTES)?;
        let [key_len, low, high] = head.try_into().ok()?;
        let key_at = start + HEAD_BYTES;
        let value_at = key_at + usize::from(key_len);
        let end = value_at + usize::from(u16::from_le_bytes([low, high]));
        let (key, value) = (self.bytes.get(key_at..value_at)?, self.bytes.get(value_at..end)?);
        self.at = end;
        Some(Entry { start, end, key, value })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::BTreeMap;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn it_is_a_map() {
        let mut random = 7_u64;
        let mut below = |n: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % n
        };
        let (mut kv, mut model) = (Kv::default(), BTreeMap::<String, Vec<u8>>::new());
        let size = |m: &BTreeMap<String, Vec<u8>>| m.iter().map(|(k, v)| HEAD_BYTES + k.len() + v.len()).sum::<usize>();
        for _ in 0..5000 {
            let key = std::format!("k{}", below(12));
            if below(3) == 0 {
                assert_eq!(kv.delete(&key), model.remove(&key).is_some());
            } else {
                let value = std::vec![below(256) as u8; below(40) as usize];
                let mut with = model.clone();
                with.insert(key.clone(), value.clone());
                match kv.set(&key, &value, 200) {
                    Ok(()) => model = with,
                    Err(e) => assert!(e == Errno::NoSpace && size(&with) > 200),
                }
            }
            assert_eq!(kv.as_bytes().len(), size(&model));
            assert_eq!(Kv::from_bytes(kv.as_bytes()).as_ref(), Some(&kv));
            let mut key = String::new();
            for (k, v) in &model {
                assert_eq!(kv.next(&key), Some(k.as_bytes()));
                key.clone_from(k);
                assert_eq!(kv.get(k), Some(&v[..]));
            }
            assert_eq!(kv.next(&key), None);
        }
    }

    #[test]
    fn bytes_that_are_no_store_are_refused() {
        for bad in [&[1][..], &[0, 0, 0], &[1, 0, 0], &[1, 9, 0, b'k'], &[1, 0, 0, b'b', 1, 0, 0, b'a'], &[255, 0, 0]] {
            assert_eq!(Kv::from_bytes(bad), None, "{bad:?}");
        }
        let mut kv = Kv::default();
        assert_eq!(kv.set("", b"", 100), Err(Errno::Invalid));
        assert_eq!(kv.set(&"k".repeat(32), b"", 100), Err(Errno::TooLarge));
        assert_eq!(kv.set("k", &[0; 5000], 10_000), Err(Errno::NoSpace));
    }
}
