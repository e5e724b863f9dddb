//! Our own stack: endpoints and name service above one end of the rings.

use core::future::poll_fn;
use core::task::{Context, Poll};

use coracle_shmem::acquire_barrier;
use embassy_sync::waitqueue::WakerRegistration;
use heapless::Vec;

use crate::header::{ADDRESS_ANY, HEADER_BYTES, NAME_SERVICE_ADDRESS, NAME_SERVICE_BYTES, NameService};
use crate::role::{Role, RxBuffer, TxBuffer};
use crate::{Counters, Endpoint, Fault, Held, Received, Rpmsg, RpmsgError, ZeroCopy};

/// One side of an RPMsg link, in the role `R`, with up to `ENDPOINTS` endpoints.
///
/// After [`Fault::Index`] the link is down for good: the rings have to be set up anew by the driver, and taken up by a new
/// instance on each side.
///
/// It does not ring and does not wait: the owner rings what [`Instance::take_kick`] says, calls [`Instance::notified`]
/// when the other side kicked, and [`Instance::set_link_up`] when the resource table's status says DRIVER_OK.
#[derive(Debug)]
pub struct Instance<R, const ENDPOINTS: usize> {
    role: R,
    endpoints: Vec<u32, ENDPOINTS>,
    link_up: bool,
    /// The other side made the rings useless.
    lost: bool,
    /// The other side was asked to kick for a buffer.
    awaits_buffer: bool,
    counters: Counters,
    sender: WakerRegistration,
    receiver: WakerRegistration,
}

impl<R: Role, const ENDPOINTS: usize> Instance<R, ENDPOINTS> {
    /// Endpoints above `role`, of which nothing was asked yet. The link is up at once for a driver; for a device after the
    /// driver's first kick, or [`Instance::set_link_up`].
    pub fn new(role: R) -> Self {
        Self {
            role,
            endpoints: Vec::new(),
            link_up: R::STARTS_UP,
            lost: false,
            awaits_buffer: false,
            counters: Counters::default(),
            sender: WakerRegistration::new(),
            receiver: WakerRegistration::new(),
        }
    }

    /// The other side is ready: the table's status says so.
    pub fn set_link_up(&mut self) {
        // A layout that does not fit its memory, the only reason to fail, was refused when the role was made.
        if !self.link_up && !self.lost {
            // A device starts without asking for kicks; somebody may have asked for them before the link was up.
            let started = self.role.start().and_then(|()| self.role.want_buffer_kick(self.awaits_buffer));
            self.link_up = started.is_ok();
        }
        self.sender.wake();
    }

    /// The other side kicked, whichever ring: RPMsg-Lite's remote takes the first kick for "link up", and the kernel
    /// services both rings at every kick.
    pub fn notified(&mut self) {
        // What the other side did before it kicked is seen from here on: a core that does not execute in order may
        // otherwise have read it before it read the doorbell.
        acquire_barrier();
        self.set_link_up();
        self.receiver.wake();
    }

    /// The id of a kick that is due, if any. Call until it is `None`.
    pub fn take_kick(&mut self) -> Option<u8> {
        self.role.take_kick()
    }

    /// How often the other side sent something malformed, by kind.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters.plus(self.role.counters())
    }

    /// The end of the rings below.
    #[must_use]
    pub fn role(&self) -> &R {
        &self.role
    }

    /// Sends when a buffer is there; otherwise the task is woken after the other side gave one back.
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        from: Endpoint,
        dst: u32,
        payload: &[u8],
    ) -> Poll<Result<(), RpmsgError>> {
        let waits = |result| matches!(result, Err(RpmsgError::NoBuffer | RpmsgError::NotReady));
        let mut sent = self.send(from, dst, payload);
        if waits(sent) {
            self.sender.register(context.waker());
            self.want_buffer_kick(true)?;
            // Once more: a buffer may have come back before the other side saw that a kick is wanted.
            sent = self.send(from, dst, payload);
            if waits(sent) {
                return Poll::Pending;
            }
        }
        self.want_buffer_kick(false)?;
        Poll::Ready(sent)
    }

    /// Sends a message, waiting for the link and a buffer.
    ///
    /// # Errors
    /// As [`Rpmsg::send`], without [`RpmsgError::NotReady`] and [`RpmsgError::NoBuffer`].
    pub async fn send_async(&mut self, from: Endpoint, dst: u32, payload: &[u8]) -> Result<(), RpmsgError> {
        poll_fn(|context| self.poll_send(context, from, dst, payload)).await
    }

    /// Receives what is there; otherwise the task is woken after the next kick.
    pub fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        payload: &mut [u8],
    ) -> Poll<Result<Received, RpmsgError>> {
        self.receiver.register(context.waker());
        match self.receive(payload) {
            Ok(Some(received)) => Poll::Ready(Ok(received)),
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Receives what comes next.
    ///
    /// # Errors
    /// As [`Rpmsg::receive`].
    pub async fn receive_async(&mut self, payload: &mut [u8]) -> Result<Received, RpmsgError> {
        poll_fn(|context| self.poll_receive(context, payload)).await
    }

    #[expect(
        clippy::manual_contains,
        reason = "`contains` is made for long slices: three times the code on the M core"
    )]
    fn has(&self, address: u32) -> bool {
        self.endpoints.iter().any(|a| *a == address)
    }

    fn check_send(&self, from: Endpoint, dst: u32, len: usize) -> Result<(), RpmsgError> {
        if !self.has(from.0) {
            return Err(RpmsgError::UnknownEndpoint);
        }
        // Nobody's address: Linux refuses to broadcast, too.
        if dst == ADDRESS_ANY {
            return Err(RpmsgError::Address);
        }
        if len == 0 || len > self.payload_bytes_max() {
            return Err(RpmsgError::Size);
        }
        if self.link_up { Ok(()) } else { Err(RpmsgError::NotReady) }
    }

    fn alloc(&mut self) -> Result<TxBuffer, RpmsgError> {
        // Spelled out: `?` and `ok_or` make the compiler copy the buffer twice, byte by byte on the M core.
        match self.role.alloc() {
            Ok(Some(buffer)) => Ok(buffer),
            Ok(None) => Err(RpmsgError::NoBuffer),
            Err(fault) => Err(self.lost(fault)),
        }
    }

    /// The rings are of no use any more: the link is down, and no kick brings it up again.
    fn lost(&mut self, fault: Fault) -> RpmsgError {
        (self.link_up, self.lost) = (false, true);
        fault.into()
    }

    /// A name-service message, if that is what `buffer` holds.
    fn name_service(&self, buffer: &RxBuffer) -> Option<NameService> {
        let mut bytes = [0; NAME_SERVICE_BYTES];
        if buffer.payload_bytes() != NAME_SERVICE_BYTES {
            return None;
        }
        self.role.read(buffer, 0, &mut bytes).ok()?;
        NameService::from_bytes(&bytes).filter(NameService::has_name)
    }
}

impl<R: Role, const ENDPOINTS: usize> Rpmsg for Instance<R, ENDPOINTS> {
    fn is_link_up(&mut self) -> bool {
        self.link_up
    }

    fn payload_bytes_max(&self) -> usize {
        self.role.geometry().buffer_bytes() - HEADER_BYTES
    }

    fn create_endpoint(&mut self, address: u32) -> Result<Endpoint, RpmsgError> {
        let taken = |address: u32| address == NAME_SERVICE_ADDRESS || self.has(address);
        let address = match address {
            // There are fewer endpoints than addresses, so one is free.
            ADDRESS_ANY => (R::FIRST_DYNAMIC_ADDRESS..ADDRESS_ANY).find(|a| !taken(*a)).ok_or(RpmsgError::Address)?,
            fixed if taken(fixed) => return Err(RpmsgError::Address),
            fixed => fixed,
        };
        self.endpoints.push(address).map_err(|_| RpmsgError::Endpoints)?;
        Ok(Endpoint(address))
    }

    fn destroy_endpoint(&mut self, endpoint: Endpoint) -> Result<(), RpmsgError> {
        let at = self.endpoints.iter().position(|a| *a == endpoint.0).ok_or(RpmsgError::UnknownEndpoint)?;
        self.endpoints.swap_remove(at);
        Ok(())
    }

    fn announce(&mut self, endpoint: Endpoint, name: &str, destroyed: bool) -> Result<(), RpmsgError> {
        let message = NameService::new(name, endpoint.0, destroyed).ok_or(RpmsgError::Name)?;
        self.send(endpoint, NAME_SERVICE_ADDRESS, &message.to_bytes())
    }

    fn send(&mut self, from: Endpoint, dst: u32, payload: &[u8]) -> Result<(), RpmsgError> {
        self.check_send(from, dst, payload.len())?;
        let buffer = self.alloc()?;
        // The other side may have offered a shorter buffer than the geometry says.
        if self.role.write(&buffer, 0, payload).is_err() {
            self.role.cancel(buffer);
            return Err(RpmsgError::Size);
        }
        Ok(self.role.send(buffer, from.0, dst, payload.len())?)
    }

    fn receive(&mut self, payload: &mut [u8]) -> Result<Option<Received>, RpmsgError> {
        match self.receive_held()? {
            None => Ok(None),
            Some(Held::Channel(channel)) => Ok(Some(Received::Channel(channel))),
            Some(Held::Message { endpoint, src, len, buffer }) => {
                let copied = match payload.get_mut(..len) {
                    Some(to) => self.role.read(&buffer, 0, to).map_err(RpmsgError::from),
                    None => Err(RpmsgError::Size),
                };
                self.role.release(buffer)?;
                copied.map(|()| Some(Received::Message { endpoint, src, len }))
            }
        }
    }

    fn want_buffer_kick(&mut self, wanted: bool) -> Result<(), RpmsgError> {
        if wanted != self.awaits_buffer {
            self.role.want_buffer_kick(wanted)?;
            self.awaits_buffer = wanted;
            if !wanted {
                // Nobody is kicked for a buffer any more: a task that still waits for one has to ask again.
                self.sender.wake();
            }
        }
        Ok(())
    }
}

impl<R: Role, const ENDPOINTS: usize> ZeroCopy for Instance<R, ENDPOINTS> {
    type Tx = TxBuffer;
    type Rx = RxBuffer;

    fn alloc_tx(&mut self) -> Result<TxBuffer, RpmsgError> {
        if self.link_up { self.alloc() } else { Err(RpmsgError::NotReady) }
    }

    fn write(&mut self, buffer: &mut TxBuffer, offset: usize, bytes: &[u8]) -> Result<(), RpmsgError> {
        self.role.write(buffer, offset, bytes).map_err(|_| RpmsgError::Size)
    }

    fn send_nocopy(&mut self, from: Endpoint, dst: u32, buffer: TxBuffer, len: usize) -> Result<(), RpmsgError> {
        let room = buffer.capacity();
        match self.check_send(from, dst, len) {
            Ok(()) if len <= room => Ok(self.role.send(buffer, from.0, dst, len)?),
            refused => {
                self.role.cancel(buffer);
                refused.and(Err(RpmsgError::Size))
            }
        }
    }

    fn receive_held(&mut self) -> Result<Option<Held>, RpmsgError> {
        // Bounded: a hostile peer may send to endpoints that nobody has for ever.
        for _ in 0..self.role.geometry().vring().entries() {
            let buffer = match self.role.take() {
                Ok(Some(buffer)) => buffer,
                Ok(None) => return Ok(None),
                Err(fault) => return Err(self.lost(fault)),
            };
            let (dst, src, len) = (buffer.dst(), buffer.src(), buffer.payload_bytes());
            if self.has(dst) {
                return Ok(Some(Held::Message { endpoint: Endpoint(dst), src, len, buffer }));
            }
            let channel = if dst == NAME_SERVICE_ADDRESS { self.name_service(&buffer) } else { None };
            self.role.release(buffer)?;
            match channel {
                Some(channel) => return Ok(Some(Held::Channel(channel))),
                None if dst == NAME_SERVICE_ADDRESS => self.counters.count(Fault::NameService),
                None => self.counters.count(Fault::Endpoint),
            };
        }
        Ok(None)
    }

    fn read(&self, buffer: &RxBuffer, offset: usize, to: &mut [u8]) -> Result<(), RpmsgError> {
        self.role.read(buffer, offset, to).map_err(|_| RpmsgError::Size)
    }

    fn release(&mut self, buffer: RxBuffer) -> Result<(), RpmsgError> {
        Ok(self.role.release(buffer)?)
    }
}
