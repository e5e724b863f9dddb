//! The driver role (RPMsg-Lite "master"): user space on the A core. It sets the rings up and owns all buffers.

use coracle_shmem::{Region, acquire_barrier, full_barrier, release_barrier};

use crate::header::HEADER_BYTES;
use crate::ids::{Ids, Spares};
use crate::role::{Pool, Role, RxBuffer, TxBuffer};
use crate::vring::{DESC_WRITE, NO_KICK, Vring};
use crate::{Counters, Fault, Geometry, KICK_TO_DEVICE, KICK_TO_DRIVER, Layout};

/// The driver end of the two rings.
#[derive(Debug)]
pub struct Driver<'m> {
    rx: Queue<'m>,
    tx: Queue<'m>,
    /// Transmit buffers that are here: fresh, or cancelled.
    spare: Spares,
    pool: Pool<'m>,
    counters: Counters,
    kick_sent: bool,
    kick_returned: bool,
    /// The first kick is due, which no flag can decline.
    kick_up: bool,
}

/// One ring with the driver's private record of which descriptors the device holds. The device can write anything into
/// the used ring; an id that is not out is refused, so that no buffer is ever handed out twice.
#[derive(Debug)]
struct Queue<'m> {
    ring: Vring<'m>,
    out: Ids,
    avail: u16,
    used_seen: u16,
    /// Offset of this ring's first buffer.
    first_buffer: usize,
}

impl<'m> Driver<'m> {
    /// Zeroes both rings and hands all receive buffers to the device. The device must not touch the rings meanwhile.
    ///
    /// # Errors
    /// [`Fault::Layout`] when rings or buffers do not fit their regions.
    pub fn new(layout: &Layout<'m>) -> Result<Self, Fault> {
        let geometry = layout.geometry;
        if layout.buffers.len() < geometry.pool_bytes() {
            return Err(Fault::Layout);
        }
        let queue = |region, first_buffer| -> Result<Queue<'m>, Fault> {
            let ring = Vring::new(region, geometry.vring())?;
            ring.clear()?;
            Ok(Queue { ring, out: Ids::default(), avail: 0, used_seen: 0, first_buffer })
        };
        let (region, address) = (layout.buffers, layout.buffers_address);
        let mut driver = Self {
            rx: queue(layout.vring0, 0)?,
            tx: queue(layout.vring1, geometry.pool_bytes() / 2)?,
            spare: Spares::default(),
            pool: Pool { region, address, geometry },
            counters: Counters::default(),
            kick_sent: false,
            // The first kick, of the ring that now has buffers, says that the link is up: RPMsg-Lite's remote waits for
            // it, and Linux sends it too.
            kick_up: true,
            kick_returned: false,
        };
        for id in 0..geometry.vring().entries() {
            driver.rx.make_available(&driver.pool, id, geometry.buffer_bytes() as u32, DESC_WRITE)?;
            driver.spare.insert(id);
        }
        driver.want_buffer_kick(false)?;
        Ok(driver)
    }
}

impl Role for Driver<'_> {
    const FIRST_DYNAMIC_ADDRESS: u32 = 1024;
    const STARTS_UP: bool = true;

    fn start(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn buffers(&self) -> Region<'_> {
        self.pool.region
    }

    fn geometry(&self) -> Geometry {
        self.pool.geometry
    }

    fn alloc(&mut self) -> Result<Option<TxBuffer>, Fault> {
        let id = match self.spare.pop() {
            Some(id) => id,
            None => match self.tx.take_used(&mut self.counters)? {
                Some((id, _)) => id,
                None => return Ok(None),
            },
        };
        let geometry = self.pool.geometry;
        Ok(Some(TxBuffer { id, at: self.tx.buffer(geometry, id), room: geometry.buffer_bytes() - HEADER_BYTES }))
    }

    fn cancel(&mut self, buffer: TxBuffer) {
        self.spare.insert(buffer.id);
    }

    fn send(&mut self, buffer: TxBuffer, src: u32, dst: u32, len: usize) -> Result<(), Fault> {
        match self.pool.write_header(&buffer, src, dst, len) {
            Ok(total) => self.tx.make_available(&self.pool, buffer.id, total, 0)?,
            Err(fault) => {
                self.cancel(buffer);
                return Err(fault);
            }
        }
        self.kick_sent = true;
        Ok(())
    }

    fn take(&mut self) -> Result<Option<RxBuffer>, Fault> {
        // Bounded: a hostile device may send malformed messages for ever.
        for _ in 0..self.rx.ring.entries() {
            let Some((id, used_len)) = self.rx.take_used(&mut self.counters)? else { return Ok(None) };
            let at = self.rx.buffer(self.pool.geometry, id);
            // Linux accepts what fits both the buffer and the used length; RPMsg-Lite returns the whole buffer's length.
            let room = usize::try_from(used_len).ok().filter(|n| *n <= self.pool.geometry.buffer_bytes());
            match room.ok_or(Fault::Length).and_then(|room| self.pool.header(at, room)) {
                Ok(header) => return Ok(Some(RxBuffer { id, at, header })),
                Err(fault) => {
                    self.counters.count(fault);
                    self.return_rx(id)?;
                }
            }
        }
        Ok(None)
    }

    fn release(&mut self, buffer: RxBuffer) -> Result<(), Fault> {
        self.return_rx(buffer.id)
    }

    fn want_buffer_kick(&mut self, wanted: bool) -> Result<(), Fault> {
        self.tx.ring.set_avail_flags(if wanted { 0 } else { NO_KICK })?;
        full_barrier();
        Ok(())
    }

    fn take_kick(&mut self) -> Option<u8> {
        if core::mem::take(&mut self.kick_up) {
            return Some(KICK_TO_DRIVER);
        }
        if !self.kick_sent && !self.kick_returned {
            return None;
        }
        // Once for all that was published since the last time: the indices before the look at used.flags. See the device.
        full_barrier();
        if core::mem::take(&mut self.kick_sent) && self.tx.wants_kick() {
            return Some(KICK_TO_DEVICE);
        }
        (core::mem::take(&mut self.kick_returned) && self.rx.wants_kick()).then_some(KICK_TO_DRIVER)
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

impl Driver<'_> {
    fn return_rx(&mut self, id: u16) -> Result<(), Fault> {
        self.rx.make_available(&self.pool, id, self.pool.geometry.buffer_bytes() as u32, DESC_WRITE)?;
        self.kick_returned = true;
        Ok(())
    }
}

impl Queue<'_> {
    fn buffer(&self, geometry: Geometry, id: u16) -> usize {
        self.first_buffer + usize::from(id) * geometry.buffer_bytes()
    }

    /// Whether the device wants to be kicked for what it is given.
    fn wants_kick(&self) -> bool {
        self.ring.used_flags().is_ok_and(|flags| flags & NO_KICK == 0)
    }

    fn make_available(&mut self, pool: &Pool<'_>, id: u16, len: u32, flags: u16) -> Result<(), Fault> {
        let at = pool.address.wrapping_add(self.buffer(pool.geometry, id) as u64);
        self.ring.set_desc(id, at, len, flags)?;
        self.ring.set_avail_entry(self.avail, id)?;
        self.out.insert(id);
        self.avail = self.avail.wrapping_add(1);
        // Descriptor, entry and payload before the index; pairs with the device's acquire barrier in `next`.
        release_barrier();
        Ok(self.ring.set_avail_index(self.avail)?)
    }

    /// The next descriptor that the device gave back, with the length it says it used, or `None`.
    fn take_used(&mut self, counters: &mut Counters) -> Result<Option<(u16, u32)>, Fault> {
        // Bounded: bad ids cost the device no buffer, so they could come for ever.
        for _ in 0..self.ring.entries() {
            let pending = self.ring.used_index()?.wrapping_sub(self.used_seen);
            if pending == 0 {
                return Ok(None);
            }
            if pending > self.ring.entries() {
                return Err(counters.count(Fault::Index));
            }
            // Pairs with the device's release barrier before it publishes used.idx.
            acquire_barrier();
            let (id, len) = self.ring.used_entry(self.used_seen)?;
            self.used_seen = self.used_seen.wrapping_add(1);
            match u16::try_from(id) {
                Ok(id) if self.out.remove(id) => return Ok(Some((id, len))),
                _ => {
                    counters.count(Fault::Descriptor);
                }
            }
        }
        Ok(None)
    }
}
