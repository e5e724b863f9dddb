//! Counts, sizes and places: how many buffers of how many bytes, and where rings and buffers lie.

use coracle_shmem::Region;

use crate::Fault;
use crate::header::{BUFFER_BYTES, HEADER_BYTES};
use crate::vring::VringSize;

/// Largest buffer in bytes, header included: the header counts the payload with 16 bits.
pub const BUFFER_BYTES_MAX: usize = 65_536;

/// What the two sides must agree on beforehand, because nothing in the shared memory says it: the resource table names
/// the rings but not the size of a buffer, and RPMsg-Lite has no table at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    vring: VringSize,
    vring_bytes: usize,
    buffer_bytes: usize,
}

impl Geometry {
    /// Linux `virtio_rpmsg_bus`: 256 buffers a direction, rings aligned to a page.
    pub const LINUX: Self = Self { vring: VringSize::LINUX, vring_bytes: 0x3000, buffer_bytes: BUFFER_BYTES };
    /// RPMsg-Lite's i.MX8M ports as the SDK configures them for Linux: `RL_BUFFER_COUNT` 256, `VRING_ALIGN` 0x1000,
    /// `VRING_SIZE` 0x8000.
    pub const NXP: Self = Self { vring: VringSize::LINUX, vring_bytes: 0x8000, buffer_bytes: BUFFER_BYTES };
    /// ST's STM32MP1 examples: 16 buffers a direction, rings aligned to 16 bytes, a page for each.
    pub const ST: Self = Self { vring: VringSize::ST, vring_bytes: 0x1000, buffer_bytes: BUFFER_BYTES };

    /// A geometry: `vring_bytes` are reserved for each ring, `buffer_bytes` is the size of a buffer with its header.
    /// `None` unless the ring fits its reservation, which is a multiple of 8 bytes, and a buffer holds at least 8 bytes
    /// of payload, is a multiple of 8 bytes and no larger than [`BUFFER_BYTES_MAX`].
    #[must_use]
    pub const fn new(vring: VringSize, vring_bytes: usize, buffer_bytes: usize) -> Option<Self> {
        if vring_bytes < vring.bytes() || !vring_bytes.is_multiple_of(8) {
            return None;
        }
        if buffer_bytes < HEADER_BYTES + 8 || buffer_bytes > BUFFER_BYTES_MAX || !buffer_bytes.is_multiple_of(8) {
            return None;
        }
        Some(Self { vring, vring_bytes, buffer_bytes })
    }

    /// Entries and alignment of each ring.
    #[must_use]
    pub const fn vring(self) -> VringSize {
        self.vring
    }

    /// Bytes reserved for each ring.
    #[must_use]
    pub const fn vring_bytes(self) -> usize {
        self.vring_bytes
    }

    /// Bytes of a buffer, header included.
    #[must_use]
    pub const fn buffer_bytes(self) -> usize {
        self.buffer_bytes
    }

    /// Bytes of all buffers, of both directions.
    #[must_use]
    pub const fn pool_bytes(self) -> usize {
        2 * self.vring.entries() as usize * self.buffer_bytes
    }

    /// Bytes that [`Layout::contiguous`] needs.
    #[must_use]
    pub const fn bytes(self) -> usize {
        2 * self.vring_bytes + self.pool_bytes()
    }
}

/// Where the rings and buffers lie, as both sides agree.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'m> {
    /// Device-to-driver ring.
    pub vring0: Region<'m>,
    /// Driver-to-device ring.
    pub vring1: Region<'m>,
    /// The buffers: first half towards the driver, second half towards the device.
    pub buffers: Region<'m>,
    /// The device's address of the first buffer: what descriptors hold is this plus an offset in `buffers`.
    pub buffers_address: u64,
    /// Counts and sizes.
    pub geometry: Geometry,
}

/// A piece of a region: its offset and its length, in bytes.
pub type Piece = (u32, u32);

impl<'m> Layout<'m> {
    /// Rings and buffers at given places of `region`, with Linux's buffer size. `address` is the device's address of the
    /// first byte of `region`.
    ///
    /// # Errors
    /// [`Fault::Layout`] when a piece lies outside or the rings and buffers do not fit theirs.
    pub fn of_pieces(
        region: Region<'m>,
        address: u32,
        [vring0, vring1, buffers]: [Piece; 3],
        size: VringSize,
    ) -> Result<Self, Fault> {
        let sub = |(offset, bytes): Piece| region.sub(offset as usize, bytes as usize);
        let vring_bytes = vring0.1.min(vring1.1) as usize / 8 * 8;
        let geometry = Geometry::new(size, vring_bytes, BUFFER_BYTES).ok_or(Fault::Layout)?;
        if (buffers.1 as usize) < geometry.pool_bytes() {
            return Err(Fault::Layout);
        }
        let buffers_address = u64::from(address.wrapping_add(buffers.0));
        Ok(Self { vring0: sub(vring0)?, vring1: sub(vring1)?, buffers: sub(buffers)?, buffers_address, geometry })
    }

    /// Ring 0, ring 1 and the buffers one after the other, as RPMsg-Lite's master lays them out. `address` is the
    /// device's address of the first byte of `region`.
    ///
    /// # Errors
    /// [`Fault::Layout`] when `region` has fewer than [`Geometry::bytes`].
    pub fn contiguous(region: Region<'m>, address: u64, geometry: Geometry) -> Result<Self, Fault> {
        let (ring, pool) = (geometry.vring_bytes, geometry.pool_bytes());
        Ok(Self {
            vring0: region.sub(0, ring)?,
            vring1: region.sub(ring, ring)?,
            buffers: region.sub(2 * ring, pool)?,
            buffers_address: address.checked_add(2 * ring as u64).ok_or(Fault::Layout)?,
            geometry,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_valid_and_bad_geometries_are_refused() {
        for preset in [Geometry::LINUX, Geometry::NXP, Geometry::ST] {
            let Geometry { vring, vring_bytes, buffer_bytes } = preset;
            assert_eq!(Geometry::new(vring, vring_bytes, buffer_bytes), Some(preset));
        }
        assert_eq!(Geometry::NXP.bytes(), 0x10000 + 0x40000, "256 KiB of buffers after two rings of 32 KiB");
        assert_eq!(Geometry::ST.bytes(), 0x2000 + 0x4000);
        let size = VringSize::ST;
        assert_eq!(Geometry::new(size, 430, 512), None, "ring does not fit");
        assert_eq!(Geometry::new(size, 441, 512), None, "unaligned");
        for buffer in [0, 16, 23, 511, BUFFER_BYTES_MAX + 8] {
            assert_eq!(Geometry::new(size, 440, buffer), None, "{buffer}");
        }
    }
}
