//! What the A-core supervisor stands on: the channel to the M core, the control of that core, and the store for records.
//!
//! [`Transport`] is the channel, whoever drives its rings: [`SharedMemoryPort`] where this side does in user space
//! ([`DriverPort`], pure over shared memory, and a [`Bell`]), [`CharPort`] where the kernel does. [`RemoteProc`] starts and
//! stops M through the kernel. [`Waiter`] and [`FileStore`] are thin Linux shells.

mod bell;
mod char_port;
pub mod devices;
mod driver_port;
mod firmware_log;
#[expect(unsafe_code, reason = "the ioctls of the kernel's RPMsg devices")]
mod linux;
mod log_reader;
mod remoteproc;
mod rpmsg_char;
mod shared_memory_port;
mod store;
mod transport;
mod waiter;

pub use bell::{Bell, BellError};
pub use char_port::CharPort;
pub use driver_port::{DriverPort, LayoutError, PortEvent};
pub use firmware_log::{ElfError, LogDecoder, LogLine};
pub use log_reader::LogReader;
pub use remoteproc::{
    Coredump, REMOTEPROC_CLASS, Recovery, RemoteProc, RemoteProcError, RemoteProcProblem, RemoteProcSelector,
    RemoteProcState,
};
pub use rpmsg_char::{
    EndpointInfo, RPMSG_ADDRESS_ANY, RpmsgChannel, RpmsgControl, RpmsgControlDevice, RpmsgEndpoint, RpmsgError,
    RpmsgPaths, RpmsgProblem,
};
pub use shared_memory_port::SharedMemoryPort;
pub use store::{FileStore, StoreError};
pub use transport::{Readiness, Transport};
pub use waiter::{Ready, Waiter, WakeHandle};
