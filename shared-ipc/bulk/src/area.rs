//! A bulk area: an allocator on the writing side, checked copies on the reading side.
//!
//! ```text
//! block: generation u32 | len u32 | payload, padded to whole granules     (at the offset that the descriptor names)
//! ```
//! A block starts at a multiple of [`GRANULE_BYTES`]. Its generation is raised with every allocation, repeated in the
//! descriptor, and 0 once the block is free: a descriptor from an earlier life of the block is recognised as stale.
//!
//! # Ownership
//! Only the writer ever stores into its area. A block belongs to the reader from the message that carries its descriptor
//! until the writer calls [`BulkWriter::free`], which it does when the reader's answer says that it has copied the
//! payload (or that it does not want it). The reader frees nothing itself, and no word of the area decides what is free:
//! the writer's table is private, so a hostile reader can neither free a block nor keep it beyond the session's end.
//!
//! # Capacity
//! At most [`BLOCKS_MAX`] blocks are out. The writer takes the first gap that fits (first fit), and gaps are what lies
//! between the blocks, so neighbouring free space is always one gap. With `n` blocks out there are at most `n + 1`
//! gaps. Hence, whatever was allocated and freed before, a block of `b` bytes (head and padding included) finds room if
//! fewer than [`BLOCKS_MAX`] blocks are out and
//!
//! ```text
//! free bytes > (n + 1) * (b - GRANULE_BYTES)
//! ```
//! because otherwise every gap would be at least one granule too short.

use coracle_shmem::{CACHE_LINE_BYTES_MAX, Cache, Coherent, OutOfRegion, Region, acquire_barrier, release_barrier};
use serde::{Deserialize, Serialize};

/// Most blocks that are out at once.
pub const BLOCKS_MAX: usize = 16;
/// Blocks start at multiples of this and fill multiples of it, in bytes: a line of the cache with the longest lines, so
/// that no two blocks share one.
pub const GRANULE_BYTES: usize = CACHE_LINE_BYTES_MAX;
const HEAD_BYTES: usize = 8;
/// The generation in the head of a free block. No allocation gets it.
const FREE: u32 = 0;

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
    /// No room of that size now, or too many blocks are out; blocks come back as the peer answers.
    Full,
    /// The payload is longer than the whole area.
    TooLarge,
    /// The area does not consist of whole cache lines. Not the peer's doing: the board description is wrong.
    Layout,
    /// The descriptor's offset is not one at which blocks start.
    Misaligned,
    /// The descriptor points outside the area.
    Range,
    /// The payload is longer than the receiver takes, or not as long as its buffer or as the block's head says.
    Length,
    /// There is no such block any more: it was freed, or given to another payload.
    Stale,
}

impl BulkError {
    /// What happened, as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            BulkError::Full => "the bulk area has no room of that size",
            BulkError::TooLarge => "the payload is longer than the bulk area",
            BulkError::Layout => "the bulk area does not consist of whole cache lines",
            BulkError::Misaligned => "the bulk descriptor points between blocks",
            BulkError::Range => "the bulk descriptor points outside its area",
            BulkError::Length => "the bulk descriptor's length is not that of the block, or over the limit",
            BulkError::Stale => "the bulk descriptor is out of date",
        }
    }
}

impl core::fmt::Display for BulkError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for BulkError {}

impl From<OutOfRegion> for BulkError {
    fn from(_: OutOfRegion) -> Self {
        BulkError::Range
    }
}

/// A block that is out, as the writer remembers it.
#[derive(Debug, Clone, Copy)]
struct Block {
    offset: u32,
    /// With head and padding.
    bytes: u32,
    generation: u32,
}

/// The writing side: allocates blocks (first fit) and fills them. Its table is private, not in shared memory.
#[derive(Debug)]
pub struct BulkWriter<'m> {
    area: Region<'m>,
    cache: &'m dyn Cache,
    /// Blocks that are out, ascending by offset, and then nothing.
    blocks: [Option<Block>; BLOCKS_MAX],
    generation: u32,
    frees_refused: u32,
}

impl<'m> BulkWriter<'m> {
    /// A writer with all of `area` free, in memory that needs no cache maintenance. `first_generation` must differ
    /// between lives of this side (a boot count, a session), so that descriptors of an earlier life stay stale.
    #[must_use]
    pub fn new(area: Region<'m>, first_generation: u32) -> Self {
        Self::start(area, first_generation, &Coherent)
    }

    /// As [`BulkWriter::new`], for memory that this core sees through `cache`.
    ///
    /// # Errors
    /// [`BulkError::Layout`] when the area does not consist of whole cache lines.
    pub fn with_cache(area: Region<'m>, first_generation: u32, cache: &'m dyn Cache) -> Result<Self, BulkError> {
        if !area.has_whole_lines(cache) {
            return Err(BulkError::Layout);
        }
        Ok(Self::start(area, first_generation, cache))
    }

    fn start(area: Region<'m>, first_generation: u32, cache: &'m dyn Cache) -> Self {
        let generation = first_generation << 16;
        let writer = Self { area, cache, blocks: [None; BLOCKS_MAX], generation, frees_refused: 0 };
        // An earlier life of this side may have left heads wherever a block can start; a peer that still copies by one
        // of them must find out.
        for at in (0..writer.capacity()).step_by(GRANULE_BYTES) {
            // Untouched pages of a large area stay untouched.
            if writer.area.load_u32(at as usize) != Ok(FREE) {
                writer.forget(at);
            }
        }
        writer
    }

    /// Stores the concatenation of `parts` and returns its descriptor.
    ///
    /// # Errors
    /// [`BulkError::Full`] when there is no room now, [`BulkError::TooLarge`] when there will never be.
    pub fn put(&mut self, parts: &[&[u8]]) -> Result<BulkRef, BulkError> {
        let mut len = 0usize;
        for part in parts {
            len = len.checked_add(part.len()).ok_or(BulkError::TooLarge)?;
        }
        let bytes = block_bytes(len).filter(|bytes| *bytes <= self.capacity()).ok_or(BulkError::TooLarge)?;
        let (index, offset) = self.find(bytes).ok_or(BulkError::Full)?;
        let len = u32::try_from(len).map_err(|_| BulkError::TooLarge)?;

        self.generation = self.generation.wrapping_add(1);
        if self.generation == FREE {
            self.generation = FREE + 1;
        }
        let generation = self.generation;
        let at = offset as usize;
        self.area.store_u32(at, generation)?;
        self.area.store_u32(at + 4, len)?;
        // The new head (and the heads that were freed) before the payload: a reader that still copies by an old
        // descriptor and meets new bytes then finds that its block is gone.
        release_barrier();
        let mut to = at + HEAD_BYTES;
        for part in parts {
            self.area.write(to, part)?;
            to += part.len();
        }
        // The payload before the message that carries the descriptor; pairs with the barrier in `BulkReader::get`.
        release_barrier();
        self.area.clean(self.cache, at, HEAD_BYTES + len as usize)?;

        if let Some(tail) = self.blocks.get_mut(index..) {
            tail.rotate_right(1);
            if let Some(first) = tail.first_mut() {
                *first = Some(Block { offset, bytes, generation });
            }
        }
        Ok(BulkRef { offset, len, generation })
    }

    /// The first gap of `bytes`: its place in the table and its offset.
    fn find(&self, bytes: u32) -> Option<(usize, u32)> {
        if self.blocks.last().is_none_or(Option::is_some) {
            return None;
        }
        let mut gap = 0;
        for (index, block) in self.blocks.iter().enumerate() {
            let end = block.map_or(self.capacity(), |block| block.offset);
            if end - gap >= bytes {
                return Some((index, gap));
            }
            let Some(block) = block else { break };
            gap = block.offset + block.bytes;
        }
        None
    }

    /// Takes a block back. A descriptor whose block is not out is ignored and counted: the peer answered twice.
    pub fn free(&mut self, block: &BulkRef) {
        let is_it = |b: &Option<Block>| b.is_some_and(|b| (b.offset, b.generation) == (block.offset, block.generation));
        let Some(index) = self.blocks.iter().position(is_it) else {
            self.frees_refused = self.frees_refused.saturating_add(1);
            return;
        };
        if let Some(tail) = self.blocks.get_mut(index..) {
            if let Some(first) = tail.first_mut() {
                *first = None;
            }
            tail.rotate_left(1);
        }
        self.forget(block.offset);
    }

    /// Takes all blocks back: the peer's session ended, nobody will answer.
    pub fn free_all(&mut self) {
        for block in core::mem::replace(&mut self.blocks, [None; BLOCKS_MAX]).into_iter().flatten() {
            self.forget(block.offset);
        }
    }

    /// Bytes of the area that blocks can fill.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        let granules = self.area.len() / GRANULE_BYTES;
        u32::try_from(granules * GRANULE_BYTES).unwrap_or(u32::MAX - (u32::MAX % GRANULE_BYTES as u32))
    }

    /// Bytes that are out, with heads and padding.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        self.blocks.iter().flatten().map(|block| block.bytes).sum()
    }

    /// How many times a block was to be freed that was not out.
    #[must_use]
    pub fn frees_refused(&self) -> u32 {
        self.frees_refused
    }

    /// Marks the block at `offset` as free in memory, so that no descriptor of it is accepted any more.
    fn forget(&self, offset: u32) {
        let at = offset as usize;
        // Both fail for offsets outside the area only, and blocks are inside.
        let _ = self.area.store_u32(at, FREE);
        let _ = self.area.clean(self.cache, at, HEAD_BYTES);
    }
}

/// Bytes of the block for a payload of `len` bytes.
fn block_bytes(len: usize) -> Option<u32> {
    let bytes = len.checked_add(HEAD_BYTES)?.checked_next_multiple_of(GRANULE_BYTES)?;
    u32::try_from(bytes).ok()
}

/// How many descriptors a reader refused, by reason. The counts stop at their highest value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals {
    /// For [`BulkError::Misaligned`].
    pub misaligned: u32,
    /// For [`BulkError::Range`].
    pub range: u32,
    /// For [`BulkError::Length`].
    pub length: u32,
    /// For [`BulkError::Stale`].
    pub stale: u32,
}

/// The reading side of a bulk area. It trusts nothing in it, and writes nothing to it.
#[derive(Debug)]
pub struct BulkReader<'m> {
    area: Region<'m>,
    cache: &'m dyn Cache,
    refusals: Refusals,
}

impl<'m> BulkReader<'m> {
    /// A reader of `area`, in memory that needs no cache maintenance.
    #[must_use]
    pub fn new(area: Region<'m>) -> Self {
        Self { area, cache: &Coherent, refusals: Refusals::default() }
    }

    /// A reader of `area`, which this core sees through `cache`.
    ///
    /// # Errors
    /// [`BulkError::Layout`] when the area does not consist of whole cache lines.
    pub fn with_cache(area: Region<'m>, cache: &'m dyn Cache) -> Result<Self, BulkError> {
        if !area.has_whole_lines(cache) {
            return Err(BulkError::Layout);
        }
        Ok(Self { cache, ..Self::new(area) })
    }

    /// Checks a descriptor against the area and `limit`, so that a buffer of `block.len` bytes may be allocated.
    ///
    /// # Errors
    /// [`BulkError::Misaligned`], [`BulkError::Range`], [`BulkError::Length`] or [`BulkError::Stale`].
    pub fn check(&mut self, block: &BulkRef, limit: usize) -> Result<usize, BulkError> {
        let checked = self.place(block, limit).and_then(|(at, len)| self.head(at, block).map(|()| len));
        self.count(checked)
    }

    /// Copies the payload into `to`, whose length must be `block.len`.
    ///
    /// # Errors
    /// As [`BulkReader::check`]; also [`BulkError::Stale`] when the writer took the block back during the copy. `to` may
    /// then hold anything.
    pub fn get(&mut self, block: &BulkRef, to: &mut [u8]) -> Result<(), BulkError> {
        let copied = self.copy(block, to);
        self.count(copied)
    }

    /// What was refused so far.
    #[must_use]
    pub fn refusals(&self) -> Refusals {
        self.refusals
    }

    fn copy(&self, block: &BulkRef, to: &mut [u8]) -> Result<(), BulkError> {
        let (at, len) = self.place(block, to.len())?;
        if len != to.len() {
            return Err(BulkError::Length);
        }
        self.head(at, block)?;
        // Pairs with the release barrier in `BulkWriter::put`.
        acquire_barrier();
        self.area.invalidate(self.cache, at + HEAD_BYTES, len)?;
        self.area.read(at + HEAD_BYTES, to)?;
        // The payload before the second look at the head.
        acquire_barrier();
        self.head(at, block)
    }

    /// Where a descriptor's block is and how long its payload, by arithmetic alone.
    fn place(&self, block: &BulkRef, limit: usize) -> Result<(usize, usize), BulkError> {
        let (at, len) = (block.offset as usize, block.len as usize);
        if !at.is_multiple_of(GRANULE_BYTES) {
            return Err(BulkError::Misaligned);
        }
        let end = at.checked_add(HEAD_BYTES).and_then(|payload| payload.checked_add(len)).ok_or(BulkError::Range)?;
        if end > self.area.len() {
            return Err(BulkError::Range);
        }
        if len > limit {
            return Err(BulkError::Length);
        }
        Ok((at, len))
    }

    /// Compares a descriptor with the head at `at`.
    fn head(&self, at: usize, block: &BulkRef) -> Result<(), BulkError> {
        self.area.invalidate(self.cache, at, HEAD_BYTES)?;
        if block.generation == FREE || self.area.load_u32(at)? != block.generation {
            return Err(BulkError::Stale);
        }
        if self.area.load_u32(at + 4)? != block.len {
            return Err(BulkError::Length);
        }
        Ok(())
    }

    fn count<T>(&mut self, result: Result<T, BulkError>) -> Result<T, BulkError> {
        let counter = match result {
            Err(BulkError::Misaligned) => &mut self.refusals.misaligned,
            Err(BulkError::Range) => &mut self.refusals.range,
            Err(BulkError::Length) => &mut self.refusals.length,
            Err(BulkError::Stale) => &mut self.refusals.stale,
            Ok(_) | Err(BulkError::Full | BulkError::TooLarge | BulkError::Layout) => return result,
        };
        *counter = counter.saturating_add(1);
        result
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use coracle_shmem::HeapRegion;

    use super::*;

    #[test]
    fn generations_wrap_around_and_leave_out_that_of_free_blocks() {
        let heap = HeapRegion::new(2 * GRANULE_BYTES);
        let mut writer = BulkWriter::new(heap.region(), 1);
        let mut reader = BulkReader::new(heap.region());
        writer.generation = u32::MAX - 1;
        let last = writer.put(&[b"last"]).unwrap();
        writer.free(&last);
        let first = writer.put(&[b"1st!"]).unwrap();
        assert_eq!((last.generation, first.generation), (u32::MAX, 1));
        assert_eq!(last.offset, first.offset);
        assert_eq!(reader.check(&last, 4), Err(BulkError::Stale));
        assert_eq!(reader.check(&first, 4), Ok(4));
    }

    #[test]
    fn a_life_does_not_begin_where_generations_mean_free() {
        let heap = HeapRegion::new(GRANULE_BYTES);
        for first_generation in [0, 1 << 16, 0xffff] {
            let mut writer = BulkWriter::new(heap.region(), first_generation);
            writer.generation = writer.generation.wrapping_sub(1);
            assert_ne!(writer.put(&[]).unwrap().generation, FREE);
        }
    }
}
