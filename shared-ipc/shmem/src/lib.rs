//! A window on memory that another core writes at the same time: the only crate of `shared-ipc` with `unsafe` in it.
//!
//! [`Region`] offers aligned atomic loads and stores of one natural width and whole-payload copies; it never gives out
//! a reference or slice, so a value read through it is always a private copy that can be checked and then used. It
//! offers no read-modify-write: exclusive accesses do not work between a Cortex-M and a Cortex-A cluster. It does not
//! know rings, messages or cores.
//!
//! Payload copies are plain memory copies. As long as both sides keep the protocol (publish after a release barrier,
//! read after an acquire barrier, reuse after the answer) no copy races with a write; miri checks that. A peer that
//! breaks it makes a copy a mix of bytes, never more: the racing write happens outside this program, so its compiler
//! knows nothing of it, and [`Region::read`] keeps the compiler from reading the memory a second time. Copying by atomic
//! words instead would be free of races whatever the peer does, but has a quarter of the speed for 4 KiB and three
//! quarters for 64 KiB (x86-64: 8-byte words against the C library's vector copy).
//!
//! `unsafe` is needed because the memory is not owned by Rust: it is a carve-out or a shared mapping.
#![no_std]
#![expect(unsafe_code, reason = "shared memory is reached through raw pointers; see the module documentation")]

#[cfg(any(feature = "std", loom))]
extern crate std;

#[cfg(feature = "std")]
mod backing;
mod cache;
#[cfg(feature = "std")]
mod incoherent;
#[cfg(loom)]
pub mod loom;

#[cfg(feature = "std")]
pub use backing::{HeapRegion, MappedFile};
pub use cache::{CACHE_LINE_BYTES_MAX, Cache, Coherent};
#[cfg(feature = "std")]
pub use incoherent::{IncoherentMemory, Side};

use core::marker::PhantomData;
#[cfg(not(loom))]
use core::ptr::{copy_nonoverlapping, write_bytes};
#[cfg(not(loom))]
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, fence};
use core::sync::atomic::{Ordering, compiler_fence};

#[cfg(loom)]
use crate::loom::{AtomicU8, AtomicU16, AtomicU32, copy_nonoverlapping, fence, write_bytes};

/// An access outside the region, or not aligned to its width. Nothing was read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRegion;

impl core::fmt::Display for OutOfRegion {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("access outside the shared region or not aligned")
    }
}

impl core::error::Error for OutOfRegion {}

/// A window on shared memory.
///
/// Holding one proves that `base..base + len` is mapped and stays so. It proves nothing about what the bytes hold, nor
/// that two reads of a place agree: the other core may write between them, be reset in the middle, or be hostile.
#[derive(Debug, Clone, Copy)]
pub struct Region<'m> {
    base: *mut u8,
    len: usize,
    memory: PhantomData<&'m ()>,
}

// SAFETY: a Region is an address range whose mapping outlives 'm (contract of `new`); every access through it is an
// atomic or a raw copy that tolerates concurrent writers, so it may be used from any thread.
unsafe impl Send for Region<'_> {}
// SAFETY: as for Send; `&Region` allows nothing that `Region` (which is Copy) does not.
unsafe impl Sync for Region<'_> {}

impl<'m> Region<'m> {
    /// A window on `len` bytes at `base`.
    ///
    /// # Safety
    /// - `base..base + len` must be readable and writable for all of `'m`, and `base` aligned to 8 bytes.
    /// - No Rust reference to any byte of it may exist during `'m`.
    #[must_use]
    pub const unsafe fn new(base: *mut u8, len: usize) -> Self {
        Self { base, len, memory: PhantomData }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the window is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of the first byte, for C interfaces that work on a base address and a length.
    ///
    /// Getting the address is safe; an access through it is the caller's `unsafe` and must keep what [`Region::new`]
    /// asks for: it stays inside `base..base + len` and inside `'m` (the pointer does not carry the lifetime), makes no
    /// reference to a byte of the region, and copies a value before it checks it, because the other core may write at
    /// any instant.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut u8 {
        self.base
    }

    /// The part of `len` bytes at `offset`, which must be a multiple of 8.
    ///
    /// # Errors
    /// [`OutOfRegion`] when it does not lie inside.
    pub fn sub(&self, offset: usize, len: usize) -> Result<Region<'m>, OutOfRegion> {
        let end = offset.checked_add(len).ok_or(OutOfRegion)?;
        if end > self.len || !offset.is_multiple_of(8) {
            return Err(OutOfRegion);
        }
        Ok(Region { base: self.base.wrapping_add(offset), len, memory: PhantomData })
    }

    fn place(&self, offset: usize, width: usize) -> Result<*mut u8, OutOfRegion> {
        let end = offset.checked_add(width).ok_or(OutOfRegion)?;
        if end > self.len || !offset.is_multiple_of(width) {
            return Err(OutOfRegion);
        }
        Ok(self.base.wrapping_add(offset))
    }

    /// Loads one byte, relaxed.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn load_u8(&self, offset: usize) -> Result<u8, OutOfRegion> {
        let at = self.place(offset, 1)?;
        // SAFETY: `place` checked that the byte lies in the region, which is valid for 'm; no references to it exist.
        Ok(unsafe { AtomicU8::from_ptr(at) }.load(Ordering::Relaxed))
    }

    /// Stores one byte, relaxed.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn store_u8(&self, offset: usize, value: u8) -> Result<(), OutOfRegion> {
        let at = self.place(offset, 1)?;
        // SAFETY: as in `load_u8`.
        unsafe { AtomicU8::from_ptr(at) }.store(value, Ordering::Relaxed);
        Ok(())
    }

    /// Loads a little-endian `u16`, relaxed.
    ///
    /// # Errors
    /// [`OutOfRegion`], also when `offset` is odd.
    pub fn load_u16(&self, offset: usize) -> Result<u16, OutOfRegion> {
        let at = self.place(offset, 2)?;
        // SAFETY: as in `load_u8`, and `place` checked the alignment (the base is aligned to 8).
        Ok(u16::from_le(unsafe { AtomicU16::from_ptr(at.cast()) }.load(Ordering::Relaxed)))
    }

    /// Stores a little-endian `u16`, relaxed.
    ///
    /// # Errors
    /// [`OutOfRegion`], also when `offset` is odd.
    pub fn store_u16(&self, offset: usize, value: u16) -> Result<(), OutOfRegion> {
        let at = self.place(offset, 2)?;
        // SAFETY: as in `load_u16`.
        unsafe { AtomicU16::from_ptr(at.cast()) }.store(value.to_le(), Ordering::Relaxed);
        Ok(())
    }

    /// Loads a little-endian `u32`, relaxed.
    ///
    /// # Errors
    /// [`OutOfRegion`], also when `offset` is not a multiple of 4.
    pub fn load_u32(&self, offset: usize) -> Result<u32, OutOfRegion> {
        let at = self.place(offset, 4)?;
        // SAFETY: as in `load_u16`.
        Ok(u32::from_le(unsafe { AtomicU32::from_ptr(at.cast()) }.load(Ordering::Relaxed)))
    }

    /// Stores a little-endian `u32`, relaxed.
    ///
    /// # Errors
    /// [`OutOfRegion`], also when `offset` is not a multiple of 4.
    pub fn store_u32(&self, offset: usize, value: u32) -> Result<(), OutOfRegion> {
        let at = self.place(offset, 4)?;
        // SAFETY: as in `load_u16`.
        unsafe { AtomicU32::from_ptr(at.cast()) }.store(value.to_le(), Ordering::Relaxed);
        Ok(())
    }

    /// Copies bytes out of the region.
    ///
    /// # Errors
    /// [`OutOfRegion`]; `to` is then unchanged.
    pub fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), OutOfRegion> {
        let end = offset.checked_add(to.len()).ok_or(OutOfRegion)?;
        if end > self.len {
            return Err(OutOfRegion);
        }
        // SAFETY: the source lies in the region (just checked), the target is an exclusive slice of ours and cannot
        // overlap it (no references into the region exist). Remaining race: the other core may write while we copy;
        // the copy then holds a mix of bytes, which is why callers check it (length, digest) before they use it.
        unsafe { copy_nonoverlapping(self.base.wrapping_add(offset), to.as_mut_ptr(), to.len()) };
        // No double fetch: without this, the compiler may turn "copy, check the copy, copy the copy on" into a copy from
        // the region after the check, whose bytes the peer can have changed meanwhile (rustc 1.95 does, optimised, for
        // copies of constant length). The fence counts as a write to all memory that others can reach, so what is read
        // after it cannot be taken from the region in place of `to`. It is no instruction.
        compiler_fence(Ordering::SeqCst);
        Ok(())
    }

    /// Copies bytes into the region.
    ///
    /// # Errors
    /// [`OutOfRegion`]; the region is then unchanged.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<(), OutOfRegion> {
        let end = offset.checked_add(from.len()).ok_or(OutOfRegion)?;
        if end > self.len {
            return Err(OutOfRegion);
        }
        // What the caller put together in `from` is complete before the first byte goes out. Without this, the compiler
        // may let the region take the place of `from`, and the caller would read back what the peer can have changed.
        compiler_fence(Ordering::SeqCst);
        // SAFETY: as in `read`, with the roles exchanged. Remaining race: a peer that reads before the index that
        // publishes these bytes sees a mix; the protocol above publishes after a release barrier.
        unsafe { copy_nonoverlapping(from.as_ptr(), self.base.wrapping_add(offset), from.len()) };
        Ok(())
    }

    /// Sets bytes to zero.
    ///
    /// # Errors
    /// [`OutOfRegion`]; the region is then unchanged.
    pub fn zero(&self, offset: usize, len: usize) -> Result<(), OutOfRegion> {
        let end = offset.checked_add(len).ok_or(OutOfRegion)?;
        if end > self.len {
            return Err(OutOfRegion);
        }
        // SAFETY: as in `write`.
        unsafe { write_bytes(self.base.wrapping_add(offset), 0, len) };
        Ok(())
    }
}

/// Orders every earlier access before every later store, as seen by the other core. It pairs with the
/// [`acquire_barrier`] that the reader executes between reading the published index and what it covers.
#[cfg_attr(loom, track_caller)]
pub fn release_barrier() {
    fence(Ordering::Release);
}

/// Orders every earlier load before every later access. It pairs with the writer's [`release_barrier`].
#[cfg_attr(loom, track_caller)]
pub fn acquire_barrier() {
    fence(Ordering::Acquire);
}

/// Orders everything before against everything after, stores against loads too: needed where one side publishes a
/// word and then looks at a word of the other side (both would otherwise miss each other).
#[cfg_attr(loom, track_caller)]
pub fn full_barrier() {
    fence(Ordering::SeqCst);
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn accesses_outside_or_unaligned_are_refused_and_change_nothing() {
        let memory = HeapRegion::new(64);
        let region = memory.region();
        assert_eq!(region.load_u32(64), Err(OutOfRegion));
        assert_eq!(region.load_u32(62), Err(OutOfRegion));
        assert_eq!(region.load_u32(usize::MAX), Err(OutOfRegion));
        assert_eq!(region.load_u16(1), Err(OutOfRegion));
        assert_eq!(region.store_u16(63, 1), Err(OutOfRegion));
        assert_eq!(region.write(60, &[1; 5]), Err(OutOfRegion));
        assert_eq!(region.write(usize::MAX, &[1; 5]), Err(OutOfRegion));
        assert_eq!(region.read(65, &mut []), Err(OutOfRegion));
        assert_eq!(region.zero(0, 65), Err(OutOfRegion));
        assert!(region.sub(8, 57).is_err());
        assert!(region.sub(4, 8).is_err());
        let mut all = [1; 64];
        region.read(0, &mut all).unwrap();
        assert_eq!(all, [0; 64]);
    }

    #[test]
    fn words_are_little_endian() {
        let memory = HeapRegion::new(64);
        let region = memory.region().sub(8, 8).unwrap();
        region.store_u32(0, 0x0403_0201).unwrap();
        region.store_u16(4, 0x0605).unwrap();
        region.store_u8(6, 7).unwrap();
        let mut bytes = [0; 7];
        memory.region().read(8, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(region.load_u16(2).unwrap(), 0x0403);
        assert_eq!(region.load_u8(6).unwrap(), 7);
    }

    #[test]
    #[cfg_attr(miri, ignore = "miri knows no shared mappings of files")]
    fn two_mappings_of_a_file_are_one_memory() {
        let path = std::env::temp_dir().join(std::format!("coracle-shmem-{}", std::process::id()));
        let a = MappedFile::open(&path, 4096).unwrap();
        let b = MappedFile::open(&path, 4096).unwrap();
        a.region().store_u32(16, 99).unwrap();
        assert_eq!(b.region().load_u32(16), Ok(99));
        assert!(MappedFile::open(std::path::Path::new("/nonexistent/x"), 4096).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
