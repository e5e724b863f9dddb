//! This side's end of the rings, in either role, and how a remote finds the buffers.

use coracle_rpmsg::{Device, Driver, Fault, Geometry, HEADER_BYTES, Layout, Role, RxBuffer, TxBuffer};
use coracle_shmem::{Region, acquire_barrier};

use crate::platform;

/// Where a remote's rings are, and how large.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rings {
    memory: Region<'static>,
    geometry: Geometry,
}

impl Rings {
    /// # Safety
    /// As for [`Region::new`], for two rings of `geometry` at `base`, until the instance is gone.
    pub(crate) unsafe fn new(base: *mut u8, geometry: Geometry) -> Self {
        // SAFETY: the caller's.
        Self { memory: unsafe { Region::new(base, 2 * geometry.vring_bytes()) }, geometry }
    }

    /// Takes the rings up, if the master has set them up by now.
    ///
    /// RPMsg-Lite's remote is told where the rings are, not where the buffers are: behind the rings with a master of
    /// RPMsg-Lite, elsewhere with Linux. Both put them in one block of which the first half is described by ring 0, so
    /// the lowest address there is its start. For that one address the master is trusted, as by the C library; whatever
    /// it says later is held against the block.
    fn attach(&self) -> Result<Option<Device<'static>>, Fault> {
        let ring_bytes = self.geometry.vring_bytes();
        let (vring0, vring1) = (self.memory.sub(0, ring_bytes)?, self.memory.sub(ring_bytes, ring_bytes)?);
        let entries = usize::from(self.geometry.vring().entries());
        let offered = vring0.load_u16(entries * DESC_BYTES + AVAIL_INDEX)?;
        if offered == 0 {
            return Ok(None);
        }
        // Pairs with the master's barrier between writing the descriptors and publishing the index.
        acquire_barrier();
        let mut first = u64::MAX;
        for id in 0..entries {
            let (low, high) = (vring0.load_u32(id * DESC_BYTES)?, vring0.load_u32(id * DESC_BYTES + 4)?);
            first = first.min(u64::from(high) << 32 | u64::from(low));
        }
        let last = (self.geometry.pool_bytes() - self.geometry.buffer_bytes()) as u64;
        let place = platform::place_of(first).filter(|place| place.addr().is_multiple_of(8)).ok_or(Fault::Address)?;
        // All of the block must be memory that the platform layer knows, in one piece.
        let end = first.checked_add(last).and_then(platform::place_of).map(|end| end.addr());
        if end != place.addr().checked_add(last as usize) {
            return Err(Fault::Address);
        }
        // SAFETY: that the platform layer maps the master's block of buffers for good is RPMsg-Lite's contract with it,
        // and no Rust object lies there. Remaining risk: a master that names other memory at this instant; see above.
        let buffers = unsafe { Region::new(place, self.geometry.pool_bytes()) };
        let layout = Layout { vring0, vring1, buffers, buffers_address: first, geometry: self.geometry };
        Device::resume(&layout).map(Some)
    }
}

const DESC_BYTES: usize = 16;
/// Offset of avail.idx in the avail ring.
const AVAIL_INDEX: usize = 2;

/// One end of the rings.
#[derive(Debug)]
pub(crate) enum End {
    /// A remote whose master has not kicked yet.
    Awaiting(Rings),
    Remote(Rings, Device<'static>),
    Master(Driver<'static>),
}

/// Runs the same code for whichever role an end has; `$none` when it has none yet.
macro_rules! with_role {
    ($end:expr, $role:ident => $body:expr, $none:expr) => {
        match $end {
            End::Master($role) => $body,
            End::Remote(_, $role) => $body,
            End::Awaiting(_) => $none,
        }
    };
}

impl End {
    /// The master's end: sets the rings up.
    ///
    /// # Safety
    /// As for [`Region::new`], for [`Geometry::bytes`] at `base`, until the instance is gone.
    pub(crate) unsafe fn master(base: *mut u8, geometry: Geometry) -> Result<Self, Fault> {
        // SAFETY: the caller's.
        let memory = unsafe { Region::new(base, geometry.bytes()) };
        let layout = Layout::contiguous(memory, platform::address_of(base), geometry)?;
        layout.buffers.zero(0, layout.buffers.len())?;
        Driver::new(&layout).map(End::Master)
    }

    /// The other side kicked: whether it is there now.
    pub(crate) fn kicked(&mut self) -> Result<bool, Fault> {
        if let End::Awaiting(rings) = *self {
            match rings.attach()? {
                Some(device) => *self = End::Remote(rings, device),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Whether the master set the rings up anew while this remote had them.
    pub(crate) fn was_replaced(&self) -> bool {
        matches!(self, End::Remote(_, device) if device.was_replaced())
    }

    /// The rings are of no use any more. A remote waits for the master to set them up again.
    pub(crate) fn lost(&mut self) {
        if let End::Remote(rings, _) = *self {
            *self = End::Awaiting(rings);
        }
    }

    /// Largest payload in bytes.
    pub(crate) fn payload_bytes_max(&self) -> usize {
        let geometry = match self {
            End::Awaiting(rings) | End::Remote(rings, _) => rings.geometry,
            End::Master(driver) => driver.geometry(),
        };
        geometry.buffer_bytes() - HEADER_BYTES
    }

    pub(crate) fn alloc(&mut self) -> Result<Option<TxBuffer>, Fault> {
        with_role!(self, role => role.alloc(), Ok(None))
    }

    pub(crate) fn cancel(&mut self, buffer: TxBuffer) {
        with_role!(self, role => role.cancel(buffer), ());
    }

    pub(crate) fn send(&mut self, buffer: TxBuffer, src: u32, dst: u32, len: usize) -> Result<(), Fault> {
        with_role!(self, role => role.send(buffer, src, dst, len), Err(Fault::Layout))
    }

    pub(crate) fn take(&mut self) -> Result<Option<RxBuffer>, Fault> {
        with_role!(self, role => role.take(), Ok(None))
    }

    pub(crate) fn release(&mut self, buffer: RxBuffer) -> Result<(), Fault> {
        with_role!(self, role => role.release(buffer), Ok(()))
    }

    pub(crate) fn take_kick(&mut self) -> Option<u8> {
        with_role!(self, role => role.take_kick(), None)
    }

    /// The payload of a received buffer.
    pub(crate) fn received(&self, buffer: &RxBuffer) -> *mut u8 {
        with_role!(self, role => role.received_region(buffer).map_or(core::ptr::null_mut(), |r| r.as_ptr()), core::ptr::null_mut())
    }

    /// The payload of a buffer to be sent.
    pub(crate) fn transmitted(&self, buffer: &TxBuffer) -> *mut u8 {
        with_role!(self, role => role.transmit_region(buffer).map_or(core::ptr::null_mut(), |r| r.as_ptr()), core::ptr::null_mut())
    }

    /// Copies a payload into a buffer to be sent.
    pub(crate) fn write(&self, buffer: &TxBuffer, payload: &[u8]) -> bool {
        with_role!(self, role => role.write(buffer, 0, payload).is_ok(), false)
    }

    /// Copies a received payload out.
    pub(crate) fn read(&self, buffer: &RxBuffer, to: &mut [u8]) -> bool {
        with_role!(self, role => role.read(buffer, 0, to).is_ok(), false)
    }
}
