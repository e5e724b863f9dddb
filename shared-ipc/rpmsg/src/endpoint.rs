//! Endpoints: what a user of RPMsg sees, whoever moves the messages.

use crate::header::NameService;
use crate::{Fault, RxBuffer};

/// A local endpoint, named by its address, which is unique on its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint(pub(crate) u32);

impl Endpoint {
    /// An endpoint of this address, for implementations of [`Rpmsg`] outside this crate.
    #[must_use]
    pub const fn from_address(address: u32) -> Self {
        Self(address)
    }

    /// Its address.
    #[must_use]
    pub const fn address(self) -> u32 {
        self.0
    }
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// A message; its payload is in the caller's buffer.
    Message {
        /// The endpoint it came to.
        endpoint: Endpoint,
        /// The sender's endpoint address.
        src: u32,
        /// Payload bytes.
        len: usize,
    },
    /// The other side announced a channel, or that one is gone.
    Channel(NameService),
}

/// Why an operation was not done. Nothing was changed, except where a variant says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RpmsgError {
    /// The other side is not there yet: wait for the link.
    NotReady,
    /// All buffers are with the other side: try again after its next kick, or ask to be kicked.
    NoBuffer,
    /// A payload of no bytes or of more than a buffer holds, or a receive buffer shorter than the message.
    Size,
    /// The address is reserved (name service), in use, or not one that a message can go to (any).
    Address,
    /// No more endpoints fit.
    Endpoints,
    /// There is no such endpoint on this side.
    UnknownEndpoint,
    /// A channel name of no or more than 31 bytes, or with a NUL in it.
    Name,
    /// The other side broke the protocol beyond repair, or the layout is wrong.
    Fault(Fault),
}

impl core::fmt::Display for RpmsgError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            RpmsgError::NotReady => "the other side is not there yet; wait for the link to come up",
            RpmsgError::NoBuffer => "all buffers are with the other side; try again when it gave one back",
            RpmsgError::Size => "the payload is empty or does not fit the buffer",
            RpmsgError::Address => "the endpoint address is reserved, in use, or no destination",
            RpmsgError::Endpoints => "no more endpoints fit; destroy one first",
            RpmsgError::UnknownEndpoint => "there is no such endpoint on this side",
            RpmsgError::Name => "a channel name has 1 to 31 bytes and no NUL",
            RpmsgError::Fault(fault) => return fault.fmt(f),
        })
    }
}

impl core::error::Error for RpmsgError {}

impl From<Fault> for RpmsgError {
    fn from(fault: Fault) -> Self {
        RpmsgError::Fault(fault)
    }
}

impl From<coracle_shmem::OutOfRegion> for RpmsgError {
    fn from(error: coracle_shmem::OutOfRegion) -> Self {
        RpmsgError::Fault(error.into())
    }
}

/// One side of an RPMsg link with its endpoints: our own stack in either role ([`crate::Instance`]), or NXP's library.
///
/// Nothing here waits, except [`Rpmsg::send_blocking`] by the caller's own means.
pub trait Rpmsg {
    /// Whether the other side is there.
    fn is_link_up(&mut self) -> bool;

    /// Largest payload in bytes.
    fn payload_bytes_max(&self) -> usize;

    /// Creates an endpoint at `address`, or at a free one for [`crate::ADDRESS_ANY`].
    ///
    /// # Errors
    /// [`RpmsgError::Address`], [`RpmsgError::Endpoints`].
    fn create_endpoint(&mut self, address: u32) -> Result<Endpoint, RpmsgError>;

    /// Destroys an endpoint. Messages that come for it afterwards are counted and dropped. A channel that it serves should
    /// be announced as gone before.
    ///
    /// # Errors
    /// [`RpmsgError::UnknownEndpoint`].
    fn destroy_endpoint(&mut self, endpoint: Endpoint) -> Result<(), RpmsgError>;

    /// Tells the other side that a channel is served at `endpoint`, or no longer.
    ///
    /// # Errors
    /// As [`Rpmsg::send`], and [`RpmsgError::Name`].
    fn announce(&mut self, endpoint: Endpoint, name: &str, destroyed: bool) -> Result<(), RpmsgError>;

    /// Sends a message, or says at once why not.
    ///
    /// # Errors
    /// [`RpmsgError::NotReady`], [`RpmsgError::NoBuffer`], [`RpmsgError::Size`], [`RpmsgError::Address`],
    /// [`RpmsgError::UnknownEndpoint`], [`RpmsgError::Fault`].
    fn send(&mut self, from: Endpoint, dst: u32, payload: &[u8]) -> Result<(), RpmsgError>;

    /// Takes what arrived next, or `None`. `payload` should have [`Rpmsg::payload_bytes_max`] bytes.
    ///
    /// # Errors
    /// [`RpmsgError::Size`] when `payload` is too short for the message, which is then dropped; [`RpmsgError::Fault`].
    fn receive(&mut self, payload: &mut [u8]) -> Result<Option<Received>, RpmsgError>;

    /// Asks the other side to kick when it has given transmit buffers back, or no longer to. After switching it on try
    /// once more before waiting: a buffer may have come back in between, without a kick.
    ///
    /// # Errors
    /// [`RpmsgError::Fault`].
    fn want_buffer_kick(&mut self, wanted: bool) -> Result<(), RpmsgError>;

    /// Sends a message, waiting for a buffer as long as `wait` wants to: it is called when there is none, should ring due
    /// kicks, wait for a kick of the other side, and return `false` to give up.
    ///
    /// # Errors
    /// As [`Rpmsg::send`]; [`RpmsgError::NoBuffer`] when `wait` gave up.
    fn send_blocking(
        &mut self,
        from: Endpoint,
        dst: u32,
        payload: &[u8],
        mut wait: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), RpmsgError>
    where
        Self: Sized,
    {
        let mut sent = self.send(from, dst, payload);
        if sent != Err(RpmsgError::NoBuffer) {
            return sent;
        }
        self.want_buffer_kick(true)?;
        loop {
            sent = self.send(from, dst, payload);
            if sent != Err(RpmsgError::NoBuffer) || !wait(self) {
                break;
            }
        }
        self.want_buffer_kick(false)?;
        sent
    }
}

/// What arrived, with a message still in its buffer.
#[derive(Debug)]
#[must_use = "a held buffer is lost to the link until it is released"]
pub enum Held<B = RxBuffer> {
    /// A message. Release it.
    Message {
        /// The endpoint it came to.
        endpoint: Endpoint,
        /// The sender's endpoint address.
        src: u32,
        /// Payload bytes.
        len: usize,
        /// The buffer.
        buffer: B,
    },
    /// The other side announced a channel, or that one is gone.
    Channel(NameService),
}

/// Sending and receiving without an intermediate copy: the payload is written and read in the shared buffer itself.
pub trait ZeroCopy: Rpmsg {
    /// A buffer to be sent.
    type Tx;
    /// A received buffer.
    type Rx;

    /// Takes a free buffer to write into.
    ///
    /// # Errors
    /// [`RpmsgError::NotReady`], [`RpmsgError::NoBuffer`], [`RpmsgError::Fault`].
    fn alloc_tx(&mut self) -> Result<Self::Tx, RpmsgError>;

    /// Copies bytes into the buffer's payload.
    ///
    /// # Errors
    /// [`RpmsgError::Size`] when they do not fit; nothing was changed.
    fn write(&mut self, buffer: &mut Self::Tx, offset: usize, bytes: &[u8]) -> Result<(), RpmsgError>;

    /// Sends the buffer with `len` bytes of payload.
    ///
    /// # Errors
    /// As [`Rpmsg::send`]; the buffer is then free again.
    fn send_nocopy(&mut self, from: Endpoint, dst: u32, buffer: Self::Tx, len: usize) -> Result<(), RpmsgError>;

    /// Takes what arrived next, holding the message's buffer.
    ///
    /// # Errors
    /// [`RpmsgError::Fault`].
    fn receive_held(&mut self) -> Result<Option<Held<Self::Rx>>, RpmsgError>;

    /// Copies bytes of a held payload out.
    ///
    /// # Errors
    /// [`RpmsgError::Size`] when the payload is shorter.
    fn read(&self, buffer: &Self::Rx, offset: usize, to: &mut [u8]) -> Result<(), RpmsgError>;

    /// Gives a held buffer back to the other side.
    ///
    /// # Errors
    /// [`RpmsgError::Fault`].
    fn release(&mut self, buffer: Self::Rx) -> Result<(), RpmsgError>;
}
