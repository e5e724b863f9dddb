//! The driver role (RPMsg-Lite "master"): user space on the A core. It sets the rings up and owns all buffers.

use coracle_shmem::{Region, acquire_barrier, full_barrier, release_barrier};

use crate::device::read_message;
use crate::header::{BUFFER_BYTES, HEADER_BYTES, Header, PAYLOAD_BYTES_MAX};
use crate::vring::{DESC_WRITE, NO_KICK, VRING_ENTRIES_MAX, Vring};
use crate::{Fault, Layout, Received, SendError};

/// The driver end of the two rings.
#[derive(Debug)]
pub struct Driver<'m> {
    rx: Queue<'m>,
    tx: Queue<'m>,
    buffers: Region<'m>,
    buffers_address: u64,
}

/// One ring with the driver's private record of which descriptors the device holds. The device can write anything into
/// the used ring; an id that is not out is refused, so that no buffer is ever handed out twice.
#[derive(Debug)]
struct Queue<'m> {
    ring: Vring<'m>,
    out: [bool; VRING_ENTRIES_MAX],
    avail: u16,
    used_seen: u16,
    /// Offset of this ring's first buffer in `buffers`.
    first_buffer: usize,
}

impl<'m> Driver<'m> {
    /// Zeroes both rings and hands all receive buffers to the device. The device must not touch the rings meanwhile.
    ///
    /// # Errors
    /// [`Fault::Layout`] when rings or buffers do not fit their regions.
    pub fn new(layout: &Layout<'m>) -> Result<Self, Fault> {
        let entries = usize::from(layout.size.entries());
        if layout.buffers.len() < 2 * entries * BUFFER_BYTES {
            return Err(Fault::Layout);
        }
        let queue = |region, first_buffer| -> Result<Queue<'m>, Fault> {
            let ring = Vring::new(region, layout.size)?;
            ring.clear()?;
            Ok(Queue { ring, out: [false; VRING_ENTRIES_MAX], avail: 0, used_seen: 0, first_buffer })
        };
        let mut driver = Self {
            rx: queue(layout.vring0, 0)?,
            tx: queue(layout.vring1, entries * BUFFER_BYTES)?,
            buffers: layout.buffers,
            buffers_address: layout.buffers_address,
        };
        for id in 0..layout.size.entries() {
            driver.rx.make_available(id, layout.buffers_address, BUFFER_BYTES as u32, DESC_WRITE)?;
        }
        // Consumed transmit buffers are looked for when one is needed, so the device need not kick for them (Linux
        // suppresses these kicks from probe on, too).
        driver.tx.ring.set_avail_flags(NO_KICK)?;
        full_barrier();
        Ok(driver)
    }

    /// Sends `payload` from endpoint `src` to endpoint `dst`. Returns whether the device wants a kick of vring 1.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&mut self, src: u32, dst: u32, payload: &[u8]) -> Result<bool, SendError> {
        let len = u16::try_from(payload.len())
            .ok()
            .filter(|n| *n > 0 && usize::from(*n) <= PAYLOAD_BYTES_MAX)
            .ok_or(SendError::Size)?;
        let id = self.tx.free()?.ok_or(SendError::NoBuffer)?;
        let at = self.tx.buffer(id);
        self.buffers.write(at, &Header { src, dst, len }.to_bytes())?;
        self.buffers.write(at + HEADER_BYTES, payload)?;
        let total = u32::from(len) + HEADER_BYTES as u32;
        self.tx.make_available(id, self.buffers_address, total, 0)?;
        Ok(self.tx.ring.used_flags()? & NO_KICK == 0)
    }

    /// Receives the next message into `payload`, or `None`. After a batch the caller kicks vring 0, as Linux does, to
    /// say that buffers came back.
    ///
    /// # Errors
    /// [`Fault`]: the device broke the protocol.
    pub fn receive(&mut self, payload: &mut [u8; PAYLOAD_BYTES_MAX]) -> Result<Option<Received>, Fault> {
        let Some((id, used_len)) = self.rx.take_used()? else { return Ok(None) };
        let room = used_len as usize;
        if room > BUFFER_BYTES {
            return Err(Fault::Length);
        }
        let (header, len) = read_message(&self.buffers, self.rx.buffer(id), room, payload)?;
        self.rx.make_available(id, self.buffers_address, BUFFER_BYTES as u32, DESC_WRITE)?;
        Ok(Some(Received { src: header.src, dst: header.dst, len }))
    }
}

impl Queue<'_> {
    fn buffer(&self, id: u16) -> usize {
        self.first_buffer + usize::from(id) * BUFFER_BYTES
    }

    fn make_available(&mut self, id: u16, address: u64, len: u32, flags: u16) -> Result<(), Fault> {
        let at = address + self.buffer(id) as u64;
        self.ring.set_desc(id, at, len, flags)?;
        self.ring.set_avail_entry(self.avail, id)?;
        if let Some(out) = self.out.get_mut(usize::from(id)) {
            *out = true;
        }
        self.avail = self.avail.wrapping_add(1);
        // Descriptor, entry and payload before the index; pairs with the device's acquire barrier in `take`.
        release_barrier();
        self.ring.set_avail_index(self.avail)?;
        // The caller looks at used.flags next: see `give_back` in the device.
        full_barrier();
        Ok(())
    }

    fn take_used(&mut self) -> Result<Option<(u16, u32)>, Fault> {
        let pending = self.ring.used_index()?.wrapping_sub(self.used_seen);
        if pending == 0 {
            return Ok(None);
        }
        if pending > self.ring.entries() {
            return Err(Fault::Index);
        }
        // Pairs with the device's release barrier before it publishes used.idx.
        acquire_barrier();
        let (id, len) = self.ring.used_entry(self.used_seen)?;
        let id = u16::try_from(id).ok().filter(|i| *i < self.ring.entries()).ok_or(Fault::Descriptor)?;
        match self.out.get_mut(usize::from(id)) {
            Some(out) if *out => *out = false,
            _ => return Err(Fault::Descriptor),
        }
        self.used_seen = self.used_seen.wrapping_add(1);
        Ok(Some((id, len)))
    }

    /// A descriptor that the device does not hold: a fresh one, or one it gave back.
    fn free(&mut self) -> Result<Option<u16>, Fault> {
        if self.avail < self.ring.entries() && self.out.get(usize::from(self.avail)) == Some(&false) {
            return Ok(Some(self.avail));
        }
        Ok(self.take_used()?.map(|(id, _)| id))
    }
}
