//! Memory for a [`Region`] in a Linux process: a shared mapping of a file, or a heap block.

use core::ffi::c_void;
use core::num::NonZeroUsize;
use core::ptr::NonNull;
use std::boxed::Box;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::vec;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::Region;

/// A file mapped shared: the same bytes as in QEMU's guest or in the other process of the host board.
#[derive(Debug)]
pub struct MappedFile {
    base: NonNull<c_void>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; access goes through `Region`, which is Sync.
unsafe impl Send for MappedFile {}
// SAFETY: as for Send.
unsafe impl Sync for MappedFile {}

impl MappedFile {
    /// Maps `len` bytes of the file at `path`, which is created or made longer where needed.
    ///
    /// # Errors
    /// What opening, resizing or mapping said; an empty mapping is `InvalidInput`.
    pub fn open(path: &Path, len: usize) -> io::Result<Self> {
        let size = NonZeroUsize::new(len).ok_or(io::ErrorKind::InvalidInput)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() < len as u64 {
            file.set_len(len as u64)?;
        }
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no existing memory. The file is at least
        // `len` long. Remaining race: whoever truncates the file later makes accesses fault; the run directory that
        // holds it belongs to the launcher, which never does.
        let base =
            unsafe { mmap(None, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, &file, 0) }?;
        Ok(Self { base, len })
    }

    /// The mapping as a region.
    #[must_use]
    pub fn region(&self) -> Region<'_> {
        // SAFETY: the mapping is page-aligned, `len` long and lives as long as `self`; no reference into it is made.
        unsafe { Region::new(self.base.as_ptr().cast(), self.len) }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `open` mapped; every Region borrowed from `self` has ended.
        let _ = unsafe { munmap(self.base, self.len) };
    }
}

/// A zeroed heap block, for simulations in which both cores live in one process.
#[derive(Debug)]
pub struct HeapRegion {
    words: *mut u64,
    count: usize,
}

// SAFETY: the block is owned by this value; access goes through `Region`, which is Sync.
unsafe impl Send for HeapRegion {}
// SAFETY: as for Send.
unsafe impl Sync for HeapRegion {}

impl HeapRegion {
    /// At least `len` zero bytes, rounded up to a multiple of 8.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let count = len.div_ceil(8);
        let words = Box::into_raw(vec![0u64; count].into_boxed_slice()).cast();
        Self { words, count }
    }

    /// The block as a region.
    #[must_use]
    pub fn region(&self) -> Region<'_> {
        // SAFETY: the allocation is `count * 8` bytes, aligned to 8, lives as long as `self`, and after `into_raw` no
        // reference to it exists.
        unsafe { Region::new(self.words.cast(), self.count * 8) }
    }
}

impl Drop for HeapRegion {
    fn drop(&mut self) {
        // SAFETY: pointer and length are those of the box that `new` gave up; nobody else frees it.
        drop(unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(self.words, self.count)) });
    }
}
