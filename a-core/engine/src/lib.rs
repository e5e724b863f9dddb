//! Runs WebAssembly containers on the A core: admission, host calls, limits, capture and restore, over Wasmtime.
//!
//! One [`EngineHandle`] compiles for all containers and keeps compiled modules; every [`Container`] has a `Store` of
//! its own. Names and meanings are those of the M core's sandbox (`coracle-sandbox`), and a snapshot taken on either
//! restores on the other. Modules must have been prepared (`coracle-prepare`).
//!
//! ```text
//!                           .--run: Pending (the slice is over)--.
//!                           v                                    |
//!   load / restore --> Idle --begin--> Running ------------------'
//!                       ^               | |  ^
//!                       '-- run: Done --' |  '-- run, once `waiting` is None again --.
//!                                         '-------------- run: Parked ---------------'
//!   from Running also: run: Exited (for good)
//! ```
//! A guest runs on a stack of its own (a fiber). It gives the thread back when its slice is over, and when it calls
//! something that has to wait; dropping the container then unwinds it. No executor is involved: `run` polls the call.
//!
//! This crate schedules nothing, keeps no queue and no clock. The only I/O is that of a guest in folders that its
//! manifest grants; a call is bounded in bytes, but takes as long as the file system does.
#![forbid(unsafe_code)]

mod container;
mod error;
mod files;
mod handle;
mod host;
mod names;

pub use container::Container;
pub use error::{CaptureError, EngineError, LoadError};
pub use handle::{Backend, EngineHandle, MODULES_CACHED_MAX, STACK_BYTES_MAX, config};
pub use names::{FUNCTION_NAME_BYTES_MAX, function_name};
