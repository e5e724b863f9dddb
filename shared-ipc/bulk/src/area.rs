//! A bulk area: an allocator on the writing side, checked copies on the reading side.
//!
//! ```text
//! block: generation u32 | len u32 | payload, padded to 8        (at the offset that the descriptor names)
//! ```
//! The generation, raised with every allocation, is written before the payload and repeated in the descriptor: a
//! descriptor from an earlier life of the block is recognised as stale.

use coracle_shmem::{OutOfRegion, Region, acquire_barrier, release_barrier};
use serde::{Deserialize, Serialize};

/// Most blocks that are out at once.
pub const BLOCKS_MAX: usize = 16;
const HEAD_BYTES: usize = 8;

/// A descriptor of a payload in the sender's bulk area. Untrusted until a [`BulkReader`] accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkRef {
    /// Offset of the block in the area, in bytes.
    pub offset: u32,
    /// Payload bytes.
    pub len: u32,
    /// Which life of the block is meant.
    pub generation: u32,
}

/// Why a bulk operation was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkError {
    /// No room of that size now; blocks come back as the peer answers.
    Full,
    /// The descriptor points outside the area, is not aligned, or is longer than the caller's buffer.
    Range,
    /// The block has been given to another payload since.
    Stale,
}

impl core::fmt::Display for BulkError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            BulkError::Full => "the bulk area has no room of that size",
            BulkError::Range => "the bulk descriptor points outside its area",
            BulkError::Stale => "the bulk descriptor is out of date",
        })
    }
}

impl core::error::Error for BulkError {}

impl From<OutOfRegion> for BulkError {
    fn from(_: OutOfRegion) -> Self {
        BulkError::Range
    }
}

/// The writing side: allocates blocks (first fit) and fills them. Its table is private, not in shared memory.
#[derive(Debug)]
pub struct BulkWriter<'m> {
    area: Region<'m>,
    /// Blocks that are out, as (offset, bytes with head), ascending by offset.
    blocks: [Option<(u32, u32)>; BLOCKS_MAX],
    generation: u32,
}

impl<'m> BulkWriter<'m> {
    /// A writer with all of `area` free. `first_generation` must differ between lives of this side (a boot count, a
    /// session), so that descriptors of an earlier life stay stale.
    #[must_use]
    pub fn new(area: Region<'m>, first_generation: u32) -> Self {
        Self { area, blocks: [None; BLOCKS_MAX], generation: first_generation << 16 }
    }

    /// Stores the concatenation of `parts` and returns its descriptor.
    ///
    /// # Errors
    /// [`BulkError::Full`] when there is no room.
    pub fn put(&mut self, parts: &[&[u8]]) -> Result<BulkRef, BulkError> {
        let len: usize = parts.iter().map(|p| p.len()).sum();
        let need = (HEAD_BYTES + len).next_multiple_of(8);
        let offset = self.find(need)?;
        self.generation = self.generation.wrapping_add(1);
        let (at, bytes) = (offset as usize, u32::try_from(len).map_err(|_| BulkError::Full)?);
        self.area.store_u32(at, self.generation)?;
        self.area.store_u32(at + 4, bytes)?;
        let mut to = at + HEAD_BYTES;
        for part in parts {
            self.area.write(to, part)?;
            to += part.len();
        }
        // The payload before the message that carries the descriptor; pairs with the barrier in `BulkReader::get`.
        release_barrier();
        Ok(BulkRef { offset, len: bytes, generation: self.generation })
    }

    /// Finds room for `need` bytes, enters it in the table and returns its offset.
    fn find(&mut self, need: usize) -> Result<u32, BulkError> {
        let used = self.blocks.iter().flatten().count();
        let mut at = 0usize;
        let mut place = 0;
        for (offset, bytes) in self.blocks.iter().flatten() {
            if *offset as usize - at >= need {
                break;
            }
            at = *offset as usize + *bytes as usize;
            place += 1;
        }
        if used == BLOCKS_MAX || need > self.area.len().saturating_sub(at) {
            return Err(BulkError::Full);
        }
        let block =
            (u32::try_from(at).map_err(|_| BulkError::Full)?, u32::try_from(need).map_err(|_| BulkError::Full)?);
        if let Some(tail) = self.blocks.get_mut(place..=used) {
            tail.rotate_right(1);
            if let Some(first) = tail.first_mut() {
                *first = Some(block);
            }
        }
        Ok(block.0)
    }

    /// Takes a block back. Unknown descriptors are ignored: the peer answered twice.
    pub fn free(&mut self, block: &BulkRef) {
        let Some(i) = self.blocks.iter().position(|b| b.is_some_and(|(offset, _)| offset == block.offset)) else {
            return;
        };
        // The generation is in memory that only this side writes, but the peer can spoil it: its block then stays taken
        // until the session ends.
        if self.area.load_u32(block.offset as usize) == Ok(block.generation)
            && let Some(tail) = self.blocks.get_mut(i..)
        {
            if let Some(first) = tail.first_mut() {
                *first = None;
            }
            tail.rotate_left(1);
        }
    }

    /// Takes all blocks back: the peer's session ended, nobody will answer.
    pub fn free_all(&mut self) {
        self.blocks = [None; BLOCKS_MAX];
    }

    /// Bytes that are out.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.blocks.iter().flatten().map(|(_, bytes)| *bytes as usize).sum()
    }
}

/// The reading side of a bulk area.
#[derive(Debug, Clone, Copy)]
pub struct BulkReader<'m> {
    area: Region<'m>,
}

impl<'m> BulkReader<'m> {
    /// A reader of `area`.
    #[must_use]
    pub fn new(area: Region<'m>) -> Self {
        Self { area }
    }

    /// Checks a descriptor against the area and `limit`, so that a buffer of `block.len` bytes may be allocated.
    ///
    /// # Errors
    /// [`BulkError::Range`] or [`BulkError::Stale`].
    pub fn check(&self, block: &BulkRef, limit: usize) -> Result<usize, BulkError> {
        let (at, len) = (block.offset as usize, block.len as usize);
        let end = at.checked_add(HEAD_BYTES).and_then(|b| b.checked_add(len)).ok_or(BulkError::Range)?;
        if end > self.area.len() || len > limit || at % 8 != 0 {
            return Err(BulkError::Range);
        }
        if (self.area.load_u32(at)?, self.area.load_u32(at + 4)?) != (block.generation, block.len) {
            return Err(BulkError::Stale);
        }
        Ok(len)
    }

    /// Copies the payload into `to`, whose length must be `block.len`.
    ///
    /// # Errors
    /// As [`BulkReader::check`]; also [`BulkError::Stale`] when the writer reused the block during the copy.
    pub fn get(&self, block: &BulkRef, to: &mut [u8]) -> Result<(), BulkError> {
        if self.check(block, to.len())? != to.len() {
            return Err(BulkError::Range);
        }
        // Pairs with the release barrier in `BulkWriter::put`.
        acquire_barrier();
        self.area.read(block.offset as usize + HEAD_BYTES, to)?;
        acquire_barrier();
        self.check(block, to.len()).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use coracle_shmem::HeapRegion;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_put_is_got_until_it_is_freed_and_reused() {
        let heap = HeapRegion::new(256);
        let mut writer = BulkWriter::new(heap.region(), 1);
        let reader = BulkReader::new(heap.region());
        let block = writer.put(&[b"hello ", b"world"]).unwrap();
        let mut got = [0; 11];
        reader.get(&block, &mut got).unwrap();
        assert_eq!(&got, b"hello world");
        writer.free(&block);
        writer.put(&[b"another pay"]).unwrap();
        assert_eq!(reader.get(&block, &mut got), Err(BulkError::Stale));
    }

    #[test]
    fn hostile_descriptors_are_refused() {
        let heap = HeapRegion::new(256);
        let mut writer = BulkWriter::new(heap.region(), 1);
        let reader = BulkReader::new(heap.region());
        let good = writer.put(&[&[7; 100]]).unwrap();
        let mut room = [0; 100];
        for bad in [
            BulkRef { offset: u32::MAX, ..good },
            BulkRef { offset: 256, ..good },
            BulkRef { offset: 4, ..good },
            BulkRef { offset: 152, ..good },
            BulkRef { len: u32::MAX, ..good },
            BulkRef { len: 101, ..good },
            BulkRef { len: 249, ..good },
        ] {
            assert_eq!(reader.get(&bad, &mut room), Err(BulkError::Range), "{bad:?}");
        }
        for bad in [BulkRef { generation: 9, ..good }, BulkRef { len: 99, ..good }] {
            assert_eq!(reader.get(&bad, &mut room[..bad.len as usize]), Err(BulkError::Stale), "{bad:?}");
        }
        assert_eq!(reader.get(&good, &mut room), Ok(()));
    }

    proptest! {
        /// Blocks that are out never overlap, keep their content, and everything comes back.
        #[test]
        fn blocks_never_overlap(ops in proptest::collection::vec((0usize..120, any::<bool>()), 1..200)) {
            let heap = HeapRegion::new(1024);
            let mut writer = BulkWriter::new(heap.region(), 3);
            let reader = BulkReader::new(heap.region());
            let mut out: Vec<(BulkRef, u8)> = Vec::new();
            for (i, (len, put)) in ops.into_iter().enumerate() {
                if put || out.is_empty() {
                    match writer.put(&[&vec![i as u8; len]]) {
                        Ok(block) => out.push((block, i as u8)),
                        Err(e) => {
                            prop_assert_eq!(e, BulkError::Full);
                            prop_assert!(out.len() == BLOCKS_MAX || writer.in_use() + 128 > 256, "full too early");
                        }
                    }
                } else {
                    let (block, _) = out.remove(len % out.len());
                    writer.free(&block);
                }
                for (block, byte) in &out {
                    let mut got = vec![0; block.len as usize];
                    reader.get(block, &mut got).unwrap();
                    prop_assert!(got.iter().all(|b| b == byte));
                }
            }
            for (block, _) in out { writer.free(&block); }
            prop_assert_eq!(writer.in_use(), 0);
        }
    }
}
