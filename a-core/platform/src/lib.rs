//! What the A-core supervisor stands on: the driver end of the rings, the doorbell, and the store for records.
//!
//! [`DriverPort`] is pure over shared memory; [`Bell`], [`Waiter`] and [`FileStore`] are the thin Linux shells. On boards
//! with a kernel driver for RPMsg another transport takes the place of port and bell; nothing above notices.
#![forbid(unsafe_code)]

mod bell;
mod driver_port;
mod firmware_log;
mod log_reader;
mod store;
mod waiter;

pub use bell::{Bell, BellError};
pub use driver_port::{DriverPort, LayoutError, PortEvent};
pub use firmware_log::{ElfError, LogDecoder, LogLine};
pub use log_reader::LogReader;
pub use store::{FileStore, StoreError};
pub use waiter::{Ready, Waiter, WakeHandle};
