//! Memory for a [`Region`] in a Linux process: a shared mapping of a file, or a heap block.

use core::ffi::c_void;
use core::num::NonZeroUsize;
use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::{CACHE_LINE_BYTES_MAX, Region};

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
    base: NonNull<u8>,
    len: usize,
    layout: Layout,
}

// SAFETY: the block is owned by this value; access goes through `Region`, which is Sync.
unsafe impl Send for HeapRegion {}
// SAFETY: as for Send.
unsafe impl Sync for HeapRegion {}

impl HeapRegion {
    /// At least `len` zero bytes, rounded up to a multiple of 8, at the start of a cache line. Ends the process when
    /// there is no such memory, as every allocation does.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let len = len.checked_next_multiple_of(8).unwrap_or(usize::MAX);
        let Ok(layout) = Layout::from_size_align(len.max(1), CACHE_LINE_BYTES_MAX) else {
            handle_alloc_error(Layout::new::<u64>())
        };
        // SAFETY: the size is not 0.
        let block = unsafe { alloc_zeroed(layout) };
        let Some(base) = NonNull::new(block) else { handle_alloc_error(layout) };
        Self { base, len, layout }
    }

    /// The block as a region.
    #[must_use]
    pub fn region(&self) -> Region<'_> {
        // SAFETY: the allocation is at least `len` bytes, aligned to a cache line, lives as long as `self`, and no
        // reference to it is ever made.
        unsafe { Region::new(self.base.as_ptr(), self.len) }
    }
}

impl Drop for HeapRegion {
    fn drop(&mut self) {
        // SAFETY: pointer and layout are those of the allocation in `new`; every Region borrowed from `self` has ended.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}
