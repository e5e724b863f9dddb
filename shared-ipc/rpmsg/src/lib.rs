//! RPMsg over virtio vrings, wire-compatible with Linux `virtio_rpmsg_bus` and NXP RPMsg-Lite.
//!
//! Both roles in safe code over [`coracle_shmem::Region`]: [`Driver`] (the master: user space on the A core, where no
//! kernel driver exists) and [`Device`] (the remote: the M core). Above either stands an [`Instance`] with endpoints, name
//! service and link state, which is what RPMsg-Lite's users know; the traits [`Rpmsg`] and [`ZeroCopy`] are what it has in
//! common with NXP's library. The legacy split ring, the 16-byte header, the name-service message and the kick ids are
//! those of the kernel. No value in shared memory is used before it was copied and checked; no read-modify-write crosses
//! the cores.
//!
//! It does not ring doorbells (it says when to), does not wait, and does not know what the messages mean.
#![no_std]
#![forbid(unsafe_code)]

mod device;
mod driver;
mod endpoint;
mod fault;
mod geometry;
mod header;
mod ids;
mod instance;
mod resource_table;
mod role;
mod vring;

pub use device::Device;
pub use driver::Driver;
pub use endpoint::{Endpoint, Held, Received, Rpmsg, RpmsgError, ZeroCopy};
pub use fault::{Counters, Fault};
pub use geometry::{BUFFER_BYTES_MAX, Geometry, Layout, Piece};
pub use header::{
    ADDRESS_ANY, BUFFER_BYTES, HEADER_BYTES, Header, NAME_SERVICE_ADDRESS, NAME_SERVICE_BYTES, NameService,
    PAYLOAD_BYTES_MAX,
};
pub use instance::Instance;
pub use resource_table::{
    CONFIG_BYTES, Carveout, ControlWords, HOST_CHOOSES, STATUS_DRIVER_OK, TABLE_BYTES_MAX, Table, TableError,
    TableSpec, Trace, VIRTIO_ID_RPMSG, VringEntry, read_table, write_table,
};
pub use role::{Role, RxBuffer, TxBuffer};
pub use vring::{VRING_ENTRIES_MAX, VringSize};

/// Kick id of vring 0: "there is something in the device-to-driver ring", in either direction.
pub const KICK_TO_DRIVER: u8 = 0;
/// Kick id of vring 1: "there is something in the driver-to-device ring".
pub const KICK_TO_DEVICE: u8 = 1;
