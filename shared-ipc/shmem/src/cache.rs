//! Cache maintenance, for regions that a core caches without hardware coherence with the other core.
//!
//! The Cortex-M7 caches whatever the MPU does not except, and no hardware keeps its cache and the A cluster's agree:
//! without a clean, what a core wrote stays in its own cache; without an invalidate, it reads what it fetched earlier.
//! [`Region::clean`] and [`Region::invalidate`] round to whole lines; a chip's [`Cache`] does the rest. Rings are not
//! maintained through this: their two sides write words of the same line, so they belong in non-cacheable memory.

use core::fmt::Debug;

use crate::{OutOfRegion, Region};

/// Longest cache line of the cores that share memory here, in bytes: 64 on the Cortex-A cores, 32 on the Cortex-M7.
/// Memory of two writers must not meet within one: each would write stale bytes of the other back.
pub const CACHE_LINE_BYTES_MAX: usize = 64;

/// The data cache of the core that this code runs on.
pub trait Cache: Debug + Sync {
    /// Bytes of a line: a power of two up to [`CACHE_LINE_BYTES_MAX`].
    fn line_bytes(&self) -> usize;

    /// Writes the dirty lines of a range to memory. On return the other core can see what was written, so the
    /// implementation ends with the barrier that waits for its maintenance operations (`DSB` on Arm).
    ///
    /// # Safety
    /// `at..at + len` is mapped memory and consists of whole lines.
    unsafe fn clean(&self, at: *mut u8, len: usize);

    /// Drops the lines of a range, so that the next load comes from memory. What this core wrote there and did not
    /// clean is lost. On return no later load can hit an old line (`DSB` on Arm).
    ///
    /// # Safety
    /// As for [`Cache::clean`]; nothing that this core still needs was written there without a clean.
    unsafe fn invalidate(&self, at: *mut u8, len: usize);
}

/// Memory that needs no maintenance: not cached, or kept coherent by hardware (two Linux processes, QEMU).
#[derive(Debug, Clone, Copy)]
pub struct Coherent;

impl Cache for Coherent {
    fn line_bytes(&self) -> usize {
        1
    }

    unsafe fn clean(&self, _at: *mut u8, _len: usize) {}

    unsafe fn invalidate(&self, _at: *mut u8, _len: usize) {}
}

impl Region<'_> {
    /// Whether the region consists of whole lines of `cache`. If not, maintenance at its ends is refused: it would
    /// touch bytes of somebody else.
    #[must_use]
    pub fn has_whole_lines(&self, cache: &dyn Cache) -> bool {
        let line = cache.line_bytes();
        line.is_power_of_two()
            && line <= CACHE_LINE_BYTES_MAX
            && self.base.addr().is_multiple_of(line)
            && self.len.is_multiple_of(line)
    }

    /// Writes the lines that hold `len` bytes at `offset` back to memory. To be called after the last write and before
    /// the message or index that publishes it.
    ///
    /// # Errors
    /// [`OutOfRegion`], also when a line lies partly outside; nothing was cleaned then.
    pub fn clean(&self, cache: &dyn Cache, offset: usize, len: usize) -> Result<(), OutOfRegion> {
        let (at, len) = self.lines(cache, offset, len)?;
        // SAFETY: `lines` returned whole lines inside the region, which is mapped for 'm (contract of `Region::new`).
        unsafe { cache.clean(at, len) };
        Ok(())
    }

    /// Drops the lines that hold `len` bytes at `offset` from this core's cache. To be called after the message or
    /// index that published them was received, and before they are read.
    ///
    /// # Errors
    /// [`OutOfRegion`], also when a line lies partly outside; nothing was dropped then.
    pub fn invalidate(&self, cache: &dyn Cache, offset: usize, len: usize) -> Result<(), OutOfRegion> {
        let (at, len) = self.lines(cache, offset, len)?;
        // SAFETY: as in `clean`. What this core wrote there without a clean is lost, but no Rust object lives in a
        // region, so that loses bytes of a message and nothing else.
        unsafe { cache.invalidate(at, len) };
        Ok(())
    }

    /// The whole lines around a range, as address and length.
    fn lines(&self, cache: &dyn Cache, offset: usize, len: usize) -> Result<(*mut u8, usize), OutOfRegion> {
        let end = offset.checked_add(len).filter(|end| *end <= self.len).ok_or(OutOfRegion)?;
        if !self.has_whole_lines(cache) {
            return Err(OutOfRegion);
        }
        // The region starts and ends at a line, so the rounding stays inside.
        let line = cache.line_bytes();
        let from = offset - offset % line;
        Ok((self.base.wrapping_add(from), end.next_multiple_of(line) - from))
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use std::sync::Mutex;
    use std::vec::Vec;

    use super::*;
    use crate::HeapRegion;

    /// Writes down what it is asked to do, with addresses relative to `base`.
    #[derive(Debug)]
    struct Recorder {
        line: usize,
        base: usize,
        calls: Mutex<Vec<(&'static str, usize, usize)>>,
    }

    impl Cache for Recorder {
        fn line_bytes(&self) -> usize {
            self.line
        }

        unsafe fn clean(&self, at: *mut u8, len: usize) {
            self.calls.lock().unwrap().push(("clean", at.addr() - self.base, len));
        }

        unsafe fn invalidate(&self, at: *mut u8, len: usize) {
            self.calls.lock().unwrap().push(("invalidate", at.addr() - self.base, len));
        }
    }

    #[test]
    fn maintenance_covers_whole_lines_inside_the_region_only() {
        let memory = HeapRegion::new(256);
        let region = memory.region().sub(64, 128).unwrap();
        let cache = Recorder { line: 32, base: region.as_ptr().addr(), calls: Mutex::default() };
        region.clean(&cache, 33, 30).unwrap();
        region.invalidate(&cache, 31, 2).unwrap();
        region.clean(&cache, 64, 64).unwrap();
        region.invalidate(&cache, 127, 1).unwrap();
        region.clean(&cache, 128, 0).unwrap();
        assert_eq!(region.clean(&cache, 127, 2), Err(OutOfRegion));
        assert_eq!(region.invalidate(&cache, usize::MAX, 2), Err(OutOfRegion));
        assert_eq!(
            *cache.calls.lock().unwrap(),
            [("clean", 32, 32), ("invalidate", 0, 64), ("clean", 64, 64), ("invalidate", 96, 32), ("clean", 128, 0)]
        );
    }

    #[test]
    fn a_region_that_shares_a_line_with_its_neighbour_is_refused() {
        let memory = HeapRegion::new(256);
        let cache = Recorder { line: 64, base: 0, calls: Mutex::default() };
        for (offset, len) in [(8, 64), (64, 72), (32, 64)] {
            let region = memory.region().sub(offset, len).unwrap();
            assert!(!region.has_whole_lines(&cache));
            assert_eq!(region.clean(&cache, 0, 8), Err(OutOfRegion));
            assert_eq!(region.invalidate(&cache, 0, 8), Err(OutOfRegion));
            assert!(region.clean(&Coherent, 0, 8).is_ok(), "nothing to maintain, nothing to refuse");
        }
        assert!(memory.region().has_whole_lines(&cache));
        for line in [0, 48, 128] {
            let cache = Recorder { line, base: 0, calls: Mutex::default() };
            assert!(!memory.region().has_whole_lines(&cache), "line of {line} bytes");
        }
        assert!(cache.calls.lock().unwrap().is_empty());
    }
}
