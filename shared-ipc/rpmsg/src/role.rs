//! What both ends of the rings can do, so that endpoints need not know which end they are on.

use coracle_shmem::{OutOfRegion, Region};

use crate::header::{HEADER_BYTES, Header};
use crate::vring::{DESC_INDIRECT, DESC_NEXT, Desc};
use crate::{Counters, Fault, Geometry};

/// A free buffer for a message to the other side. It goes back with [`Role::send`] or [`Role::cancel`]; one that is dropped
/// is lost until the rings are set up anew.
#[derive(Debug)]
#[must_use = "a buffer that is neither sent nor cancelled is lost"]
pub struct TxBuffer {
    pub(crate) id: u16,
    pub(crate) at: usize,
    pub(crate) room: usize,
}

impl TxBuffer {
    /// Bytes of payload that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.room
    }
}

/// A received message, still in its buffer. Its header was copied and checked; the payload may be changed by a hostile
/// peer until it is copied out. It goes back with [`Role::release`]; one that is dropped is lost until the rings are set
/// up anew.
#[derive(Debug)]
#[must_use = "a buffer that is not released is lost"]
pub struct RxBuffer {
    pub(crate) id: u16,
    pub(crate) at: usize,
    pub(crate) header: Header,
}

impl RxBuffer {
    /// The sender's endpoint address.
    #[must_use]
    pub fn src(&self) -> u32 {
        self.header.src
    }

    /// The endpoint address that it is for.
    #[must_use]
    pub fn dst(&self) -> u32 {
        self.header.dst
    }

    /// Bytes of payload.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        usize::from(self.header.len)
    }
}

/// One end of the two rings: [`crate::Driver`] or [`crate::Device`]. Nothing here waits.
///
/// Kicks that became due are collected, at most one a ring, and handed out by [`Role::take_kick`], which is where the other
/// side is asked whether it wants them: to be called after a batch, and before waiting.
pub trait Role {
    /// The lowest address that [`crate::ADDRESS_ANY`] gives: 1024 on the driver's side, as Linux does, 1 on the device's,
    /// as RPMsg-Lite does.
    const FIRST_DYNAMIC_ADDRESS: u32;
    /// Whether the link is up without a word from the other side. The driver's is: it set the rings up.
    const STARTS_UP: bool;

    /// The link came up, before anything was sent or taken: a device that was made before the driver had set the rings up
    /// looks at them now.
    ///
    /// # Errors
    /// [`Fault::Layout`] never, for a layout that `new` accepted.
    fn start(&mut self) -> Result<(), Fault>;

    /// The memory of the buffers.
    fn buffers(&self) -> Region<'_>;

    /// Counts and sizes.
    fn geometry(&self) -> Geometry;

    /// Takes a free buffer, or `None` when all are with the other side.
    ///
    /// # Errors
    /// [`Fault::Index`]; the rings are of no use any more.
    fn alloc(&mut self) -> Result<Option<TxBuffer>, Fault>;

    /// Puts back a buffer that will not be sent. It is the next that [`Role::alloc`] gives.
    fn cancel(&mut self, buffer: TxBuffer);

    /// Sends a buffer whose payload was written. `len` is at most its capacity.
    ///
    /// # Errors
    /// [`Fault::Length`] when `len` is larger; the buffer is then cancelled.
    fn send(&mut self, buffer: TxBuffer, src: u32, dst: u32, len: usize) -> Result<(), Fault>;

    /// Takes the next received message, or `None`. Malformed ones are counted and skipped.
    ///
    /// # Errors
    /// [`Fault::Index`]; the rings are of no use any more.
    fn take(&mut self) -> Result<Option<RxBuffer>, Fault>;

    /// Gives the buffer of a received message back.
    ///
    /// # Errors
    /// [`Fault::Layout`] never, for a layout that `new` accepted.
    fn release(&mut self, buffer: RxBuffer) -> Result<(), Fault>;

    /// Asks the other side to kick when it has given buffers back, or no longer to. After switching it on look for a
    /// buffer once more before waiting: one may have come back in between, without a kick.
    ///
    /// # Errors
    /// [`Fault::Layout`] never, for a layout that `new` accepted.
    fn want_buffer_kick(&mut self, wanted: bool) -> Result<(), Fault>;

    /// The id of a kick that is due, if any. Call until it is `None`.
    fn take_kick(&mut self) -> Option<u8>;

    /// What was wrong with what the other side wrote.
    fn counters(&self) -> Counters;

    /// Copies bytes into a buffer's payload.
    ///
    /// # Errors
    /// [`OutOfRegion`] when they do not fit the payload; nothing was changed.
    fn write(&self, buffer: &TxBuffer, offset: usize, bytes: &[u8]) -> Result<(), OutOfRegion> {
        let end = offset.checked_add(bytes.len()).ok_or(OutOfRegion)?;
        if end > buffer.room {
            return Err(OutOfRegion);
        }
        self.buffers().write(buffer.at + HEADER_BYTES + offset, bytes)
    }

    /// Copies bytes of a received payload out.
    ///
    /// # Errors
    /// [`OutOfRegion`] when the payload is shorter; `to` is unchanged.
    fn read(&self, buffer: &RxBuffer, offset: usize, to: &mut [u8]) -> Result<(), OutOfRegion> {
        let end = offset.checked_add(to.len()).ok_or(OutOfRegion)?;
        if end > buffer.payload_bytes() {
            return Err(OutOfRegion);
        }
        self.buffers().read(buffer.at + HEADER_BYTES + offset, to)
    }

    /// The buffer of a received message in this core's memory, payload only: for callers in C that want a pointer.
    ///
    /// # Errors
    /// [`OutOfRegion`] never, for a buffer of this instance.
    fn received_region(&self, buffer: &RxBuffer) -> Result<Region<'_>, OutOfRegion> {
        self.buffers().sub(buffer.at + HEADER_BYTES, buffer.payload_bytes())
    }

    /// The buffer to send in this core's memory, payload only: for callers in C that want a pointer.
    ///
    /// # Errors
    /// [`OutOfRegion`] never, for a buffer of this instance.
    fn transmit_region(&self, buffer: &TxBuffer) -> Result<Region<'_>, OutOfRegion> {
        self.buffers().sub(buffer.at + HEADER_BYTES, buffer.room)
    }
}

/// The buffers and how their addresses are written in descriptors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pool<'m> {
    pub(crate) region: Region<'m>,
    pub(crate) address: u64,
    pub(crate) geometry: Geometry,
}

impl Pool<'_> {
    /// The offset of a descriptor's buffer and its length, which must be at least `need` bytes. RPMsg-Lite's master writes
    /// the whole buffer size and the WRITE flag for both directions, Linux exactly header plus payload and no flag for
    /// its messages: both are fine.
    pub(crate) fn check(&self, desc: Desc, need: usize) -> Result<(usize, usize), Fault> {
        if desc.flags & (DESC_NEXT | DESC_INDIRECT) != 0 {
            return Err(Fault::Chain);
        }
        let offset = desc.addr.checked_sub(self.address).ok_or(Fault::Address)?;
        let at = usize::try_from(offset).map_err(|_| Fault::Address)?;
        let len = usize::try_from(desc.len).map_err(|_| Fault::Length)?;
        if len < need || len > self.geometry.buffer_bytes() {
            return Err(Fault::Length);
        }
        if !at.is_multiple_of(8) || at.checked_add(len).is_none_or(|end| end > self.region.len()) {
            return Err(Fault::Address);
        }
        Ok((at, len))
    }

    /// Copies a message's header out and checks it against the `room` bytes of its buffer.
    pub(crate) fn header(&self, at: usize, room: usize) -> Result<Header, Fault> {
        let mut bytes = [0; HEADER_BYTES];
        self.region.read(at, &mut bytes).map_err(|_| Fault::Address)?;
        let header = Header::from_bytes(&bytes);
        if HEADER_BYTES + usize::from(header.len) > room {
            return Err(Fault::Length);
        }
        Ok(header)
    }

    /// Writes a message's header; returns the bytes of the message.
    pub(crate) fn write_header(&self, buffer: &TxBuffer, src: u32, dst: u32, len: usize) -> Result<u32, Fault> {
        let count = u16::try_from(len).ok().filter(|_| len <= buffer.room).ok_or(Fault::Length)?;
        self.region.write(buffer.at, &Header { src, dst, len: count }.to_bytes())?;
        Ok(HEADER_BYTES as u32 + u32::from(count))
    }
}
