//! The device role (RPMsg-Lite "remote"): the M core. It owns the used rings and trusts nothing else.

use coracle_shmem::{Region, acquire_barrier, full_barrier, release_barrier};

use crate::header::{BUFFER_BYTES, HEADER_BYTES, Header, PAYLOAD_BYTES_MAX};
use crate::vring::{Desc, NO_KICK, Vring};
use crate::{Fault, Layout, Received, SendError};

/// The device end of the two rings. Its cursors are private: what the driver writes is copied, checked, then used.
#[derive(Debug)]
pub struct Device<'m> {
    tx: Vring<'m>,
    rx: Vring<'m>,
    buffers: Region<'m>,
    buffers_address: u64,
    tx_seen: u16,
    rx_seen: u16,
    tx_used: u16,
    rx_used: u16,
}

impl<'m> Device<'m> {
    /// Takes up rings that the driver has just set up (all indices are 0 then).
    ///
    /// # Errors
    /// [`Fault::Layout`] when the rings do not fit their regions.
    pub fn new(layout: &Layout<'m>) -> Result<Self, Fault> {
        Ok(Self {
            tx: Vring::new(layout.vring0, layout.size)?,
            rx: Vring::new(layout.vring1, layout.size)?,
            buffers: layout.buffers,
            buffers_address: layout.buffers_address,
            tx_seen: 0,
            rx_seen: 0,
            tx_used: 0,
            rx_used: 0,
        })
    }

    /// Sends `payload` from endpoint `src` to endpoint `dst`. Returns whether the driver wants a kick of vring 0.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&mut self, src: u32, dst: u32, payload: &[u8]) -> Result<bool, SendError> {
        let len = u16::try_from(payload.len())
            .ok()
            .filter(|n| *n > 0 && usize::from(*n) <= PAYLOAD_BYTES_MAX)
            .ok_or(SendError::Size)?;
        let (id, desc) = take(&self.tx, self.tx_seen)?.ok_or(SendError::NoBuffer)?;
        let at = self.buffer_at(desc, HEADER_BYTES + payload.len())?;
        self.buffers.write(at, &Header { src, dst, len }.to_bytes())?;
        self.buffers.write(at + HEADER_BYTES, payload)?;
        self.tx_seen = self.tx_seen.wrapping_add(1);
        let used = (HEADER_BYTES + payload.len()) as u32;
        give_back(&self.tx, &mut self.tx_used, id, used)?;
        Ok(self.tx.avail_flags()? & NO_KICK == 0)
    }

    /// Receives the next message into `payload`. `None`: nothing there. Otherwise the message and whether the driver
    /// wants a kick of vring 1 (it waits for buffers).
    ///
    /// # Errors
    /// [`Fault`]: the driver broke the protocol.
    pub fn receive(&mut self, payload: &mut [u8; PAYLOAD_BYTES_MAX]) -> Result<Option<(Received, bool)>, Fault> {
        let Some((id, desc)) = take(&self.rx, self.rx_seen)? else { return Ok(None) };
        // RPMsg-Lite's master writes the whole buffer size here, Linux exactly header plus payload.
        let at = self.buffer_at(desc, HEADER_BYTES)?;
        let (header, len) = read_message(&self.buffers, at, desc.len as usize, payload)?;
        self.rx_seen = self.rx_seen.wrapping_add(1);
        give_back(&self.rx, &mut self.rx_used, id, 0)?;
        let kick = self.rx.avail_flags()? & NO_KICK == 0;
        Ok(Some((Received { src: header.src, dst: header.dst, len }, kick)))
    }

    /// The offset in `buffers` of a descriptor's buffer, which must hold at least `need` bytes.
    fn buffer_at(&self, desc: Desc, need: usize) -> Result<usize, Fault> {
        let offset = desc.addr.checked_sub(self.buffers_address).ok_or(Fault::Address)?;
        let at = usize::try_from(offset).map_err(|_| Fault::Address)?;
        let len = desc.len as usize;
        if len < need || len > BUFFER_BYTES {
            return Err(Fault::Length);
        }
        if at.checked_add(len).is_none_or(|end| end > self.buffers.len()) {
            return Err(Fault::Address);
        }
        Ok(at)
    }
}

/// The next descriptor that the driver made available, or `None`.
fn take(ring: &Vring<'_>, seen: u16) -> Result<Option<(u16, Desc)>, Fault> {
    let pending = ring.avail_index()?.wrapping_sub(seen);
    if pending == 0 {
        return Ok(None);
    }
    if pending > ring.entries() {
        return Err(Fault::Index);
    }
    // Pairs with the driver's release barrier between writing the entry and publishing avail.idx.
    acquire_barrier();
    let id = ring.avail_entry(seen)?;
    if id >= ring.entries() {
        return Err(Fault::Descriptor);
    }
    Ok(Some((id, ring.desc(id)?)))
}

/// Publishes a used entry.
fn give_back(ring: &Vring<'_>, used: &mut u16, id: u16, len: u32) -> Result<(), Fault> {
    ring.set_used_entry(*used, id, len)?;
    *used = used.wrapping_add(1);
    // The driver must see entry and buffer before the index; pairs with the acquire barrier in `Driver`.
    release_barrier();
    ring.set_used_index(*used)?;
    // Then look at avail.flags: with the driver's full barrier after it changes the flag, one of the two sides always
    // sees the other's store, so that no wanted kick is lost.
    full_barrier();
    Ok(())
}

/// Copies a message's header and payload out and checks them against `room` bytes.
pub(crate) fn read_message(
    buffers: &Region<'_>,
    at: usize,
    room: usize,
    payload: &mut [u8; PAYLOAD_BYTES_MAX],
) -> Result<(Header, usize), Fault> {
    let mut bytes = [0; HEADER_BYTES];
    buffers.read(at, &mut bytes).map_err(|_| Fault::Address)?;
    let header = Header::from_bytes(&bytes);
    let len = usize::from(header.len);
    if room < HEADER_BYTES || len > room - HEADER_BYTES {
        return Err(Fault::Length);
    }
    let to = payload.get_mut(..len).ok_or(Fault::Length)?;
    buffers.read(at + HEADER_BYTES, to).map_err(|_| Fault::Address)?;
    Ok((header, len))
}
