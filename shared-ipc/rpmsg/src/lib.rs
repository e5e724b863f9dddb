//! RPMsg over virtio vrings, wire-compatible with Linux `virtio_rpmsg_bus` and NXP RPMsg-Lite.
//!
//! Both roles in safe code over [`coracle_shmem::Region`]: [`Driver`] (the master: user space on the A core, where no
//! kernel driver exists) and [`Device`] (the remote: the M core). The legacy split ring, the 16-byte header, the
//! name-service message and the kick ids are those of the kernel. No value in shared memory is used before it was
//! copied and checked; no read-modify-write crosses the cores.
//!
//! It does not ring doorbells (it says when to), does not wait, does not know what the messages mean, and knows only
//! one channel a side; more endpoints are a matter of the address in [`Received::dst`].
#![no_std]
#![forbid(unsafe_code)]

mod device;
mod driver;
mod header;
mod resource_table;
mod vring;

pub use device::Device;
pub use driver::Driver;
pub use header::{
    ADDRESS_ANY, BUFFER_BYTES, HEADER_BYTES, Header, NAME_SERVICE_ADDRESS, NAME_SERVICE_BYTES, NameService,
    PAYLOAD_BYTES_MAX,
};
pub use resource_table::{
    ControlWords, STATUS_DRIVER_OK, TABLE_BYTES, TableError, VIRTIO_ID_RPMSG, read_table, write_table,
};
pub use vring::{VRING_ENTRIES_MAX, VringSize};

/// Kick id of vring 0: "there is something in the device-to-driver ring", in either direction.
pub const KICK_TO_DRIVER: u8 = 0;
/// Kick id of vring 1: "there is something in the driver-to-device ring".
pub const KICK_TO_DEVICE: u8 = 1;

/// Where the rings and buffers lie, as both sides agree.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'m> {
    /// Device-to-driver ring; [`VringSize::bytes`] long.
    pub vring0: coracle_shmem::Region<'m>,
    /// Driver-to-device ring.
    pub vring1: coracle_shmem::Region<'m>,
    /// The buffers: first half towards the driver, second half towards the device.
    pub buffers: coracle_shmem::Region<'m>,
    /// What a descriptor's address must have subtracted to become an offset in `buffers`: the device's address of the
    /// first buffer.
    pub buffers_address: u64,
    /// Entries and alignment of both rings.
    pub size: VringSize,
}

/// A message that was received; its payload is in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Sender's endpoint address.
    pub src: u32,
    /// The endpoint it is for.
    pub dst: u32,
    /// Payload bytes.
    pub len: usize,
}

/// Why a message was not sent. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// Payload empty or over [`PAYLOAD_BYTES_MAX`].
    Size,
    /// All buffers are with the other side: try again after its next kick.
    NoBuffer,
    /// The other side broke the protocol; the rings must be set up anew.
    Fault(Fault),
}

/// How the other side broke the protocol. The rings are not used again before they were set up anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An index moved by more than the ring holds.
    Index,
    /// A descriptor id outside the ring, or of a descriptor that is not with the other side.
    Descriptor,
    /// A descriptor's address or length outside the buffers.
    Address,
    /// A length that contradicts the header.
    Length,
    /// The layout does not fit its regions. Not the other side's doing: the board description is wrong.
    Layout,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Fault::Index => "the peer moved a ring index by more than the ring holds",
            Fault::Descriptor => "the peer used a descriptor that it does not hold",
            Fault::Address => "the peer named a buffer outside the shared buffers",
            Fault::Length => "the peer gave a length that contradicts the header",
            Fault::Layout => "the ring layout does not fit its memory",
        })
    }
}

impl core::error::Error for Fault {}

impl From<coracle_shmem::OutOfRegion> for Fault {
    fn from(_: coracle_shmem::OutOfRegion) -> Self {
        Fault::Layout
    }
}

impl core::fmt::Display for SendError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SendError::Size => write!(f, "a payload must have 1 to {PAYLOAD_BYTES_MAX} bytes"),
            SendError::NoBuffer => f.write_str("all buffers are with the other side"),
            SendError::Fault(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for SendError {}

impl From<Fault> for SendError {
    fn from(fault: Fault) -> Self {
        SendError::Fault(fault)
    }
}

impl From<coracle_shmem::OutOfRegion> for SendError {
    fn from(error: coracle_shmem::OutOfRegion) -> Self {
        SendError::Fault(error.into())
    }
}
