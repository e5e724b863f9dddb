//! The device role (RPMsg-Lite "remote"): the M core. It owns the used rings and trusts nothing else.

use coracle_shmem::{Region, acquire_barrier, full_barrier, release_barrier};

use crate::header::HEADER_BYTES;
use crate::ids::{Ids, Spares};
use crate::role::{Pool, Role, RxBuffer, TxBuffer};
use crate::vring::{DESC_WRITE, NO_KICK, Vring};
use crate::{Counters, Fault, Geometry, KICK_TO_DEVICE, KICK_TO_DRIVER, Layout};

/// The device end of the two rings. Its cursors are private: what the driver writes is copied, checked, then used.
#[derive(Debug)]
pub struct Device<'m> {
    tx: Queue<'m>,
    rx: Queue<'m>,
    /// Transmit buffers that were taken and not sent.
    spare: Spares,
    pool: Pool<'m>,
    counters: Counters,
    kick_sent: bool,
    kick_returned: bool,
}

/// One ring with the device's private cursors and a record of which descriptors it holds. The driver can write anything
/// into the avail ring; an id that is here already is refused, so that no buffer is ever handed out twice.
#[derive(Debug)]
struct Queue<'m> {
    ring: Vring<'m>,
    held: Ids,
    seen: u16,
    used: u16,
}

impl<'m> Device<'m> {
    /// Takes up rings that the driver has just set up (all indices are 0 then), and asks it not to kick for buffers that it
    /// gives back: an interrupt for nothing, as long as nobody waits.
    ///
    /// # Errors
    /// [`Fault::Layout`] when rings or buffers do not fit their regions.
    pub fn new(layout: &Layout<'m>) -> Result<Self, Fault> {
        let mut device = Self::at(layout, 0, 0)?;
        device.start()?;
        Ok(device)
    }

    /// Takes up rings that an earlier life of this side used, when the driver does not know that this side was reset: goes
    /// on where the used indices stand (a device that starts at 0 instead would use descriptors that it does not hold,
    /// RPMsg-Lite issue 11). Right if the earlier life held no buffer; one that it did hold may be delivered again.
    ///
    /// # Errors
    /// [`Fault::Layout`] when rings or buffers do not fit their regions.
    pub fn resume(layout: &Layout<'m>) -> Result<Self, Fault> {
        let size = layout.geometry.vring();
        let (tx, rx) = (Vring::new(layout.vring0, size)?, Vring::new(layout.vring1, size)?);
        let mut device = Self::at(layout, tx.used_index()?, rx.used_index()?)?;
        // RPMsg-Lite's master put all its transmit buffers into the used ring before the device used any. Nobody else
        // marks them as written by the device.
        if rx.desc(0)?.flags & DESC_WRITE != 0 {
            device.rx.seen = device.rx.seen.wrapping_sub(size.entries());
        }
        device.want_buffer_kick(false)?;
        Ok(device)
    }

    /// Whether the rings were set up anew since this end took them up. Only this side writes the used indices while they
    /// are in use, so one that is not where this side left it was zeroed. Tells nothing before the first buffer went back.
    #[must_use]
    pub fn was_replaced(&self) -> bool {
        [&self.tx, &self.rx].iter().any(|queue| queue.ring.used_index() != Ok(queue.used))
    }

    fn at(layout: &Layout<'m>, tx_index: u16, rx_index: u16) -> Result<Self, Fault> {
        let queue = |region, index| -> Result<Queue<'m>, Fault> {
            let ring = Vring::new(region, layout.geometry.vring())?;
            Ok(Queue { ring, held: Ids::default(), seen: index, used: index })
        };
        let (region, address) = (layout.buffers, layout.buffers_address);
        Ok(Self {
            tx: queue(layout.vring0, tx_index)?,
            rx: queue(layout.vring1, rx_index)?,
            spare: Spares::default(),
            pool: Pool { region, address, geometry: layout.geometry },
            counters: Counters::default(),
            kick_sent: false,
            kick_returned: false,
        })
    }
}

impl Role for Device<'_> {
    const FIRST_DYNAMIC_ADDRESS: u32 = 1;
    const STARTS_UP: bool = false;

    fn start(&mut self) -> Result<(), Fault> {
        // RPMsg-Lite's master hands its own transmit buffers to itself through the used ring, which then does not start
        // at 0.
        self.tx.used = self.tx.ring.used_index()?;
        self.rx.used = self.rx.ring.used_index()?;
        self.want_buffer_kick(false)
    }

    fn buffers(&self) -> Region<'_> {
        self.pool.region
    }

    fn geometry(&self) -> Geometry {
        self.pool.geometry
    }

    fn alloc(&mut self) -> Result<Option<TxBuffer>, Fault> {
        // A buffer without room for a byte of payload is of no use.
        let need = HEADER_BYTES + 1;
        // Bounded: a hostile driver may offer bad descriptors for ever.
        for _ in 0..self.tx.ring.entries() {
            let id = match self.spare.pop() {
                Some(id) => id,
                None => match self.tx.next(&mut self.counters)? {
                    Some(id) => id,
                    None => return Ok(None),
                },
            };
            let checked = self.pool.check(self.tx.ring.desc(id)?, need);
            if let Some((at, len)) = self.tx.accept(id, checked, &mut self.counters)? {
                return Ok(Some(TxBuffer { id, at, room: len - HEADER_BYTES }));
            }
        }
        Ok(None)
    }

    fn cancel(&mut self, buffer: TxBuffer) {
        self.spare.insert(buffer.id);
    }

    fn send(&mut self, buffer: TxBuffer, src: u32, dst: u32, len: usize) -> Result<(), Fault> {
        let total = match self.pool.write_header(&buffer, src, dst, len) {
            Ok(total) => total,
            Err(fault) => {
                self.cancel(buffer);
                return Err(fault);
            }
        };
        self.tx.give_back(buffer.id, total)?;
        // Always: RPMsg-Lite's master sets the flag that says "no kicks" on both rings and waits for kicks on this one
        // nevertheless, and Linux never sets it here.
        self.kick_sent = true;
        Ok(())
    }

    fn take(&mut self) -> Result<Option<RxBuffer>, Fault> {
        // Bounded: a hostile driver may send malformed messages for ever.
        for _ in 0..self.rx.ring.entries() {
            let Some(id) = self.rx.next(&mut self.counters)? else { return Ok(None) };
            let checked = self.pool.check(self.rx.ring.desc(id)?, HEADER_BYTES).and_then(|(at, len)| {
                let header = self.pool.header(at, len)?;
                Ok((at, header))
            });
            if let Some((at, header)) = self.rx.accept(id, checked, &mut self.counters)? {
                return Ok(Some(RxBuffer { id, at, header }));
            }
        }
        Ok(None)
    }

    fn release(&mut self, buffer: RxBuffer) -> Result<(), Fault> {
        self.rx.give_back_whole(buffer.id)?;
        self.kick_returned = true;
        Ok(())
    }

    fn want_buffer_kick(&mut self, wanted: bool) -> Result<(), Fault> {
        self.tx.ring.set_used_flags(if wanted { 0 } else { NO_KICK })?;
        full_barrier();
        Ok(())
    }

    fn take_kick(&mut self) -> Option<u8> {
        if core::mem::take(&mut self.kick_sent) {
            return Some(KICK_TO_DRIVER);
        }
        if !core::mem::take(&mut self.kick_returned) {
            return None;
        }
        // Once for all buffers given back since the last time: their index before the look at avail.flags. With the
        // driver's full barrier after it changes the flag, one of the two sides always sees the other's store, so that no
        // wanted kick is lost. Linux sets the flag, except while one of its writers sleeps for a buffer.
        full_barrier();
        self.rx.ring.avail_flags().is_ok_and(|flags| flags & NO_KICK == 0).then_some(KICK_TO_DEVICE)
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}

impl Queue<'_> {
    /// The next descriptor that the driver made available, or `None`.
    fn next(&mut self, counters: &mut Counters) -> Result<Option<u16>, Fault> {
        // Bounded: bad ids cost the driver no buffer, so they could come for ever.
        for _ in 0..self.ring.entries() {
            let pending = self.ring.avail_index()?.wrapping_sub(self.seen);
            if pending == 0 {
                return Ok(None);
            }
            if pending > self.ring.entries() {
                return Err(counters.count(Fault::Index));
            }
            // Pairs with the driver's release barrier between writing the entry and publishing avail.idx.
            acquire_barrier();
            let id = self.ring.avail_entry(self.seen)?;
            self.seen = self.seen.wrapping_add(1);
            if id < self.ring.entries() && self.held.insert(id) {
                return Ok(Some(id));
            }
            counters.count(Fault::Descriptor);
        }
        Ok(None)
    }

    /// What was made of a descriptor, or, if it was malformed, `None` after counting and giving it back.
    fn accept<T>(&mut self, id: u16, made: Result<T, Fault>, counters: &mut Counters) -> Result<Option<T>, Fault> {
        match made {
            Ok(made) => Ok(Some(made)),
            Err(fault) => {
                counters.count(fault);
                self.give_back_whole(id)?;
                Ok(None)
            }
        }
    }

    /// Gives a buffer back that this side has not written into. RPMsg-Lite's master takes the used length for the room of
    /// its next message in there, so it is the whole buffer's; Linux does not look at it.
    fn give_back_whole(&mut self, id: u16) -> Result<(), Fault> {
        let len = self.ring.desc_len(id)?;
        self.give_back(id, len)
    }

    /// Publishes a used entry.
    fn give_back(&mut self, id: u16, len: u32) -> Result<(), Fault> {
        self.held.remove(id);
        self.ring.set_used_entry(self.used, id, len)?;
        self.used = self.used.wrapping_add(1);
        // The driver must see entry and buffer before the index; pairs with the acquire barrier in `Driver`.
        release_barrier();
        self.ring.set_used_index(self.used)?;
        Ok(())
    }
}
