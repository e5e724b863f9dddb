//! A model of memory that two cores cache without coherence, for tests of cache maintenance.

use std::boxed::Box;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec;
use std::vec::Vec;

use crate::{Cache, HeapRegion, Region};

/// Memory behind two caches that do not see each other.
///
/// Each [`Side`] has a region of its own, which is what its core sees: its cached copy of all of the memory. A store
/// reaches the memory only by [`Cache::clean`] (or when the line happens to be evicted), and a side sees what is in
/// memory only after [`Cache::invalidate`] (or an eviction). Code that forgets either fails here as on the chip.
///
/// Not modelled: write buffers and reordering, which barriers and miri are for.
#[derive(Debug)]
pub struct IncoherentMemory {
    sides: [Side; 2],
}

/// One core's view of an [`IncoherentMemory`], and its cache.
pub struct Side {
    line_bytes: usize,
    memory: Arc<Mutex<Box<[u8]>>>,
    view: HeapRegion,
    /// What each line of the view held when it was fetched or cleaned: a line that differs is dirty.
    fetched: Mutex<Box<[u8]>>,
}

impl IncoherentMemory {
    /// `lines` zeroed lines of `line_bytes`, which is a power of two from 8 up to [`crate::CACHE_LINE_BYTES_MAX`].
    #[must_use]
    pub fn new(lines: usize, line_bytes: usize) -> Self {
        let len = lines * line_bytes;
        let memory = Arc::new(Mutex::new(vec![0; len].into_boxed_slice()));
        let side = || Side {
            line_bytes,
            memory: memory.clone(),
            view: HeapRegion::new(len),
            fetched: Mutex::new(vec![0; len].into_boxed_slice()),
        };
        Self { sides: [side(), side()] }
    }

    /// The two cores' views.
    #[must_use]
    pub fn sides(&self) -> [&Side; 2] {
        self.sides.each_ref()
    }
}

impl Side {
    /// What this side's core sees.
    #[must_use]
    pub fn region(&self) -> Region<'_> {
        self.view.region()
    }

    /// Lets line number `index` leave the cache and come back, as may happen to any line at any time.
    pub fn evict(&self, index: usize) {
        self.write_back(index);
        self.fetch(index);
    }

    /// The number of lines before `at`, and in `len` bytes.
    fn line_numbers(&self, at: *mut u8, len: usize) -> core::ops::Range<usize> {
        let first = (at.addr() - self.view.region().as_ptr().addr()) / self.line_bytes;
        first..first + len / self.line_bytes
    }

    fn write_back(&self, index: usize) {
        let place = index * self.line_bytes..(index + 1) * self.line_bytes;
        let line = self.line(index);
        let (mut memory, mut fetched) = (lock(&self.memory), lock(&self.fetched));
        if let (Some(memory), Some(fetched)) = (memory.get_mut(place.clone()), fetched.get_mut(place))
            && *fetched != *line
        {
            memory.copy_from_slice(&line);
            fetched.copy_from_slice(&line);
        }
    }

    fn fetch(&self, index: usize) {
        let place = index * self.line_bytes..(index + 1) * self.line_bytes;
        let (memory, mut fetched) = (lock(&self.memory), lock(&self.fetched));
        if let (Some(memory), Some(fetched)) = (memory.get(place.clone()), fetched.get_mut(place.clone()))
            && self.view.region().write(place.start, memory).is_ok()
        {
            fetched.copy_from_slice(memory);
        }
    }

    fn line(&self, index: usize) -> Vec<u8> {
        let mut line = vec![0; self.line_bytes];
        // A line outside the view is not in `memory` or `fetched` either, and is left alone there.
        let _ = self.view.region().read(index * self.line_bytes, &mut line);
        line
    }
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Side").field("line_bytes", &self.line_bytes).finish_non_exhaustive()
    }
}

impl Cache for Side {
    fn line_bytes(&self) -> usize {
        self.line_bytes
    }

    unsafe fn clean(&self, at: *mut u8, len: usize) {
        self.line_numbers(at, len).for_each(|index| self.write_back(index));
    }

    unsafe fn invalidate(&self, at: *mut u8, len: usize) {
        self.line_numbers(at, len).for_each(|index| self.fetch(index));
    }
}

fn lock(bytes: &Mutex<Box<[u8]>>) -> MutexGuard<'_, Box<[u8]>> {
    // Plain bytes are not left half-changed by a panic.
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_seen_after_clean_and_invalidate_only() {
        let memory = IncoherentMemory::new(4, 32);
        let [a, b] = memory.sides();
        let seen = || b.region().load_u32(32).unwrap();
        a.region().store_u32(32, 7).unwrap();
        b.region().invalidate(b, 32, 4).unwrap();
        assert_eq!(seen(), 0, "not cleaned");
        a.region().clean(a, 32, 4).unwrap();
        assert_eq!(seen(), 0, "not invalidated");
        b.region().invalidate(b, 32, 4).unwrap();
        assert_eq!(seen(), 7);
    }

    #[test]
    fn an_invalidate_loses_what_was_not_cleaned_and_an_eviction_does_not() {
        let memory = IncoherentMemory::new(2, 32);
        let [a, b] = memory.sides();
        a.region().store_u32(0, 1).unwrap();
        a.region().store_u32(32, 2).unwrap();
        a.region().invalidate(a, 0, 4).unwrap();
        a.evict(1);
        b.evict(1);
        assert_eq!((a.region().load_u32(0), a.region().load_u32(32)), (Ok(0), Ok(2)));
        assert_eq!(b.region().load_u32(32), Ok(2));
    }

    /// Two writers in one line: whoever is evicted last wins the whole line. Why blocks and areas are whole lines.
    #[test]
    fn two_writers_in_a_line_spoil_each_other() {
        let memory = IncoherentMemory::new(1, 32);
        let [a, b] = memory.sides();
        a.region().store_u32(0, 1).unwrap();
        b.region().store_u32(4, 2).unwrap();
        a.evict(0);
        b.evict(0);
        assert_eq!((b.region().load_u32(0), b.region().load_u32(4)), (Ok(0), Ok(2)));
    }
}
