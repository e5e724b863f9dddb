//! The legacy split vring (virtio 1.x section 2.7, with the legacy layout): offsets, and typed access to its fields.
//!
//! ```text
//! desc[n]:  addr u64 | len u32 | flags u16 | next u16
//! avail:    flags u16 | idx u16 | ring[n] u16 | used_event u16      written by the driver
//! (pad to align)
//! used:     flags u16 | idx u16 | ring[n] {id u32, len u32} | avail_event u16    written by the device
//! ```
//! EVENT_IDX, INDIRECT and packed rings are not used.

use coracle_shmem::{OutOfRegion, Region};

/// Most entries of a ring. Linux uses 256 on i.MX; the bound keeps the private shadows of the driver small.
pub const VRING_ENTRIES_MAX: usize = 256;

const DESC_BYTES: usize = 16;
/// avail.flags or used.flags bit 0: the writer of the ring does not want to be kicked.
pub(crate) const NO_KICK: u16 = 1;
/// desc.flags bit 0: the chain goes on at `next`.
pub(crate) const DESC_NEXT: u16 = 1;
/// desc.flags bit 1: the device writes this buffer.
pub(crate) const DESC_WRITE: u16 = 2;
/// desc.flags bit 2: the buffer holds descriptors.
pub(crate) const DESC_INDIRECT: u16 = 4;

/// Entries and alignment of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VringSize {
    entries: u16,
    align: u32,
}

impl VringSize {
    /// Linux on i.MX, and NXP's SDK: 256 entries, aligned to a page.
    pub const LINUX: Self = Self { entries: 256, align: 4096 };
    /// ST's STM32MP1 examples: 16 entries, aligned to 16 bytes.
    pub const ST: Self = Self { entries: 16, align: 16 };

    /// A size. `entries` must be a power of two up to [`VRING_ENTRIES_MAX`], `align` a power of two from 4 up to 65536.
    #[must_use]
    pub const fn new(entries: u16, align: u32) -> Option<Self> {
        if !entries.is_power_of_two() || entries as usize > VRING_ENTRIES_MAX {
            return None;
        }
        if !align.is_power_of_two() || align < 4 || align > 65_536 {
            return None;
        }
        Some(Self { entries, align })
    }

    /// Entries.
    #[must_use]
    pub const fn entries(self) -> u16 {
        self.entries
    }

    /// Alignment of the used ring in bytes.
    #[must_use]
    pub const fn align(self) -> u32 {
        self.align
    }

    const fn avail(self) -> usize {
        DESC_BYTES * self.entries as usize
    }

    const fn used(self) -> usize {
        // The alignment is a power of two; a mask instead of `next_multiple_of` needs no division and cannot panic.
        let mask = self.align as usize - 1;
        (self.avail() + 6 + 2 * self.entries as usize + mask) & !mask
    }

    /// Bytes that the ring occupies.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.used() + 6 + 8 * self.entries as usize
    }
}

/// A descriptor, copied out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Desc {
    pub(crate) addr: u64,
    pub(crate) len: u32,
    pub(crate) flags: u16,
}

/// Typed access to the fields of one ring. Every method is one load or store (a descriptor: several, which is why a
/// reader checks what it got).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vring<'m> {
    region: Region<'m>,
    entries: u16,
    /// Offset of the avail ring.
    avail: usize,
    /// Offset of the used ring.
    used: usize,
}

impl<'m> Vring<'m> {
    pub(crate) fn new(region: Region<'m>, size: VringSize) -> Result<Self, OutOfRegion> {
        if region.len() < size.bytes() {
            return Err(OutOfRegion);
        }
        Ok(Self { region, entries: size.entries, avail: size.avail(), used: size.used() })
    }

    pub(crate) fn entries(&self) -> u16 {
        self.entries
    }

    fn slot(&self, index: u16) -> usize {
        usize::from(index & (self.entries - 1))
    }

    pub(crate) fn clear(&self) -> Result<(), OutOfRegion> {
        self.region.zero(0, self.used + 6 + 8 * usize::from(self.entries))
    }

    pub(crate) fn desc(&self, id: u16) -> Result<Desc, OutOfRegion> {
        let at = DESC_BYTES * self.slot(id);
        let low = self.region.load_u32(at)?;
        let high = self.region.load_u32(at + 4)?;
        let (len, flags) = (self.region.load_u32(at + 8)?, self.region.load_u16(at + 12)?);
        Ok(Desc { addr: u64::from(high) << 32 | u64::from(low), len, flags })
    }

    pub(crate) fn desc_len(&self, id: u16) -> Result<u32, OutOfRegion> {
        self.region.load_u32(DESC_BYTES * self.slot(id) + 8)
    }

    pub(crate) fn set_desc(&self, id: u16, addr: u64, len: u32, flags: u16) -> Result<(), OutOfRegion> {
        let at = DESC_BYTES * self.slot(id);
        let bytes = addr.to_le_bytes();
        self.region.store_u32(at, u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))?;
        self.region.store_u32(at + 4, u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]))?;
        self.region.store_u32(at + 8, len)?;
        self.region.store_u16(at + 12, flags)?;
        self.region.store_u16(at + 14, 0)
    }

    pub(crate) fn avail_flags(&self) -> Result<u16, OutOfRegion> {
        self.region.load_u16(self.avail)
    }

    pub(crate) fn set_avail_flags(&self, flags: u16) -> Result<(), OutOfRegion> {
        self.region.store_u16(self.avail, flags)
    }

    pub(crate) fn avail_index(&self) -> Result<u16, OutOfRegion> {
        self.region.load_u16(self.avail + 2)
    }

    pub(crate) fn set_avail_index(&self, index: u16) -> Result<(), OutOfRegion> {
        self.region.store_u16(self.avail + 2, index)
    }

    pub(crate) fn avail_entry(&self, index: u16) -> Result<u16, OutOfRegion> {
        self.region.load_u16(self.avail + 4 + 2 * self.slot(index))
    }

    pub(crate) fn set_avail_entry(&self, index: u16, id: u16) -> Result<(), OutOfRegion> {
        self.region.store_u16(self.avail + 4 + 2 * self.slot(index), id)
    }

    pub(crate) fn used_flags(&self) -> Result<u16, OutOfRegion> {
        self.region.load_u16(self.used)
    }

    pub(crate) fn set_used_flags(&self, flags: u16) -> Result<(), OutOfRegion> {
        self.region.store_u16(self.used, flags)
    }

    pub(crate) fn used_index(&self) -> Result<u16, OutOfRegion> {
        self.region.load_u16(self.used + 2)
    }

    pub(crate) fn set_used_index(&self, index: u16) -> Result<(), OutOfRegion> {
        self.region.store_u16(self.used + 2, index)
    }

    pub(crate) fn used_entry(&self, index: u16) -> Result<(u32, u32), OutOfRegion> {
        let at = self.used + 4 + 8 * self.slot(index);
        Ok((self.region.load_u32(at)?, self.region.load_u32(at + 4)?))
    }

    pub(crate) fn set_used_entry(&self, index: u16, id: u16, len: u32) -> Result<(), OutOfRegion> {
        let at = self.used + 4 + 8 * self.slot(index);
        self.region.store_u32(at, u32::from(id))?;
        self.region.store_u32(at + 4, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes that the kernel computes (`vring_size` in include/uapi/linux/virtio_ring.h).
    #[test]
    fn ring_sizes_match_the_kernel() {
        for (entries, align, bytes) in [(256, 4096, 10_246), (16, 16, 438), (16, 4096, 4230), (256, 16, 6678)] {
            assert_eq!(VringSize::new(entries, align).unwrap().bytes(), bytes, "({entries}, {align})");
        }
        assert_eq!(VringSize::new(3, 16), None);
        assert_eq!(VringSize::new(0, 16), None);
        assert_eq!(VringSize::new(512, 16), None);
        assert_eq!(VringSize::new(16, 3), None);
        assert_eq!(VringSize::new(16, 2), None);
    }
}
