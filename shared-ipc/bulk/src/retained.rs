//! Retained slots: the M core's checkpoints, in memory that a reset of the M core does not clear.
//!
//! Each slot has two copies. A transaction writes the new state of every container that an event changed into the copy
//! that is not current, and then stores one word, the number of the transaction: before that store the old copies
//! count, after it the new ones. A reset at any instant leaves one consistent set. The payloads check themselves
//! (snapshots end in a digest); this layer only finds the copy that counts.
//!
//! ```text
//! 0    committed u32 | 0 u32
//! 8    slots: SLOTS_MAX times 2 copies of equal size: txn u32 | len u32 | payload
//! ```

use coracle_shmem::{Cache, Coherent, OutOfRegion, Region, acquire_barrier, full_barrier};

/// Slots in the retained area: the most containers that are checkpointed.
pub const SLOTS_MAX: usize = 16;
const FIRST_SLOT_AT: usize = 8;
const HEAD_BYTES: usize = 8;

fn copy_bytes(area: &Region<'_>) -> usize {
    (area.len().saturating_sub(FIRST_SLOT_AT) / (2 * SLOTS_MAX)) & !7
}

fn copy_at(area: &Region<'_>, slot: usize, copy: usize) -> usize {
    FIRST_SLOT_AT + (2 * slot + copy) * copy_bytes(area)
}

/// The writing side, on the M core.
#[derive(Debug)]
pub struct RetainedWriter<'m> {
    area: Region<'m>,
    cache: &'m dyn Cache,
    txn: u32,
    /// The copy of each slot that the committed transaction counts.
    current: [u8; SLOTS_MAX],
    /// Slots written since the last commit.
    open: [bool; SLOTS_MAX],
}

impl<'m> RetainedWriter<'m> {
    /// Starts a new life of the area, in memory that needs no cache maintenance: forgets what an earlier one left. Call
    /// it only after the A core has read what it wants to keep.
    ///
    /// # Errors
    /// [`OutOfRegion`] when the area is too small.
    pub fn start(area: Region<'m>) -> Result<Self, OutOfRegion> {
        Self::start_with_cache(area, &Coherent)
    }

    /// As [`RetainedWriter::start`], for memory that this core sees through `cache`: a reset loses what is only there.
    ///
    /// # Errors
    /// [`OutOfRegion`] when the area is too small or does not consist of whole cache lines.
    pub fn start_with_cache(area: Region<'m>, cache: &'m dyn Cache) -> Result<Self, OutOfRegion> {
        // Transaction 0 counts nothing: every copy's number is higher or 0.
        area.store_u32(0, 0)?;
        area.clean(cache, 0, FIRST_SLOT_AT)?;
        full_barrier();
        for slot in 0..SLOTS_MAX {
            for copy in 0..2 {
                area.store_u32(copy_at(&area, slot, copy), 0)?;
            }
        }
        area.clean(cache, 0, area.len())?;
        full_barrier();
        Ok(Self { area, cache, txn: 0, current: [0; SLOTS_MAX], open: [false; SLOTS_MAX] })
    }

    /// Largest payload of a slot, in bytes.
    #[must_use]
    pub fn payload_max(&self) -> usize {
        copy_bytes(&self.area).saturating_sub(HEAD_BYTES)
    }

    /// Writes a slot's new state, not yet committed.
    ///
    /// # Errors
    /// [`OutOfRegion`] for an unknown slot or a payload over [`RetainedWriter::payload_max`].
    pub fn write(&mut self, slot: usize, payload: &[u8]) -> Result<(), OutOfRegion> {
        let current = usize::from(*self.current.get(slot).ok_or(OutOfRegion)?);
        if payload.len() > self.payload_max() {
            return Err(OutOfRegion);
        }
        let at = copy_at(&self.area, slot, 1 - current);
        // The copy counts for nothing while it is being written: its number is 0, then that of an uncommitted
        // transaction.
        self.area.store_u32(at, 0)?;
        full_barrier();
        self.area.store_u32(at + 4, u32::try_from(payload.len()).map_err(|_| OutOfRegion)?)?;
        self.area.write(at + HEAD_BYTES, payload)?;
        full_barrier();
        self.area.store_u32(at, self.txn.wrapping_add(1))?;
        // Lines may leave the cache in any order before this. None of them counts until `commit` does.
        self.area.clean(self.cache, at, HEAD_BYTES + payload.len())?;
        if let Some(open) = self.open.get_mut(slot) {
            *open = true;
        }
        Ok(())
    }

    /// Makes all writes since the last commit count, at once.
    ///
    /// # Errors
    /// [`OutOfRegion`] never, for an area that [`RetainedWriter::start`] accepted.
    pub fn commit(&mut self) -> Result<(), OutOfRegion> {
        self.txn = self.txn.wrapping_add(1);
        full_barrier();
        self.area.store_u32(0, self.txn)?;
        self.area.clean(self.cache, 0, FIRST_SLOT_AT)?;
        full_barrier();
        for (open, current) in self.open.iter_mut().zip(&mut self.current) {
            if core::mem::take(open) {
                *current = 1 - *current;
            }
        }
        Ok(())
    }
}

/// The reading side, on the A core after the M core died.
#[derive(Debug, Clone, Copy)]
pub struct RetainedReader<'m> {
    area: Region<'m>,
}

impl<'m> RetainedReader<'m> {
    /// A reader of `area`, in memory that needs no cache maintenance.
    #[must_use]
    pub fn new(area: Region<'m>) -> Self {
        Self { area }
    }

    /// A reader of `area`, which this core sees through `cache`. The writer is dead, so what is in memory now stays: the
    /// lines that this core fetched earlier are dropped here, once.
    ///
    /// # Errors
    /// [`OutOfRegion`] when the area does not consist of whole cache lines.
    pub fn with_cache(area: Region<'m>, cache: &dyn Cache) -> Result<Self, OutOfRegion> {
        area.invalidate(cache, 0, area.len())?;
        Ok(Self { area })
    }

    /// The length of the payload that counts in `slot`, or `None` when the slot is empty.
    #[must_use]
    pub fn len(&self, slot: usize) -> Option<usize> {
        self.newest(slot).map(|(_, len)| len)
    }

    /// Copies the payload that counts in `slot` into `to`, which must have [`RetainedReader::len`] bytes.
    ///
    /// # Errors
    /// [`OutOfRegion`] when the slot is empty or `to` has another length.
    pub fn read(&self, slot: usize, to: &mut [u8]) -> Result<(), OutOfRegion> {
        let (at, len) = self.newest(slot).filter(|(_, len)| *len == to.len()).ok_or(OutOfRegion)?;
        debug_assert_eq!(len, to.len());
        self.area.read(at + HEAD_BYTES, to)
    }

    fn newest(&self, slot: usize) -> Option<(usize, usize)> {
        if slot >= SLOTS_MAX {
            return None;
        }
        let committed = self.area.load_u32(0).ok()?;
        acquire_barrier();
        let room = copy_bytes(&self.area).checked_sub(HEAD_BYTES)?;
        (0..2)
            .filter_map(|copy| {
                let at = copy_at(&self.area, slot, copy);
                let txn = self.area.load_u32(at).ok()?;
                let len = self.area.load_u32(at + 4).ok()? as usize;
                (txn != 0 && txn <= committed && len <= room).then_some((txn, at, len))
            })
            .max()
            .map(|(_, at, len)| (at, len))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use coracle_shmem::HeapRegion;

    use super::*;

    fn read(heap: &HeapRegion, slot: usize) -> Option<Vec<u8>> {
        let reader = RetainedReader::new(heap.region());
        let mut out = vec![0; reader.len(slot)?];
        reader.read(slot, &mut out).unwrap();
        Some(out)
    }

    #[test]
    fn a_reset_between_writes_leaves_the_committed_set() {
        let heap = HeapRegion::new(8192);
        let mut writer = RetainedWriter::start(heap.region()).unwrap();
        assert_eq!(read(&heap, 0), None);
        for round in 1..=5u8 {
            writer.write(0, &[round; 3]).unwrap();
            writer.write(1, &[round; 4]).unwrap();
            let before = (round > 1).then(|| vec![round - 1; 3]);
            assert_eq!(read(&heap, 0), before, "not committed yet");
            writer.commit().unwrap();
            assert_eq!(read(&heap, 0), Some(vec![round; 3]));
            assert_eq!(read(&heap, 1), Some(vec![round; 4]));
        }
        // One slot alone may go on.
        writer.write(1, &[9]).unwrap();
        writer.commit().unwrap();
        assert_eq!((read(&heap, 0), read(&heap, 1)), (Some(vec![5; 3]), Some(vec![9])));
        RetainedWriter::start(heap.region()).unwrap();
        assert_eq!(read(&heap, 0), None);
    }

    #[test]
    fn payloads_over_the_slot_and_unknown_slots_are_refused() {
        let heap = HeapRegion::new(8192);
        let mut writer = RetainedWriter::start(heap.region()).unwrap();
        let max = writer.payload_max();
        assert!(writer.write(0, &vec![1; max]).is_ok());
        assert_eq!(writer.write(0, &vec![1; max + 1]), Err(OutOfRegion));
        assert_eq!(writer.write(SLOTS_MAX, &[1]), Err(OutOfRegion));
        // A hostile length in the slot is not believed.
        writer.commit().unwrap();
        heap.region().store_u32(8 + 4 + copy_bytes(&heap.region()), u32::MAX).unwrap();
        assert_eq!(RetainedReader::new(heap.region()).len(0), None);
        assert_eq!(RetainedReader::new(heap.region()).len(SLOTS_MAX), None);
    }
}
