//! Runs WebAssembly containers on the A core: admission, host calls, limits, capture and restore, over Wasmtime.
//!
//! One [`EngineHandle`] compiles for all containers and keeps compiled modules; every [`Container`] has a `Store` of
//! its own. Names and meanings are those of the M core's sandbox (`coracle-sandbox`), and a snapshot taken on either
//! restores on the other. Modules must have been prepared (`coracle-prepare`).
//!
//! ```text
//!   load / restore --> Idle --begin--> Running --run: Done--> Idle
//!                                      |
//!                                      v
//!                                    Exited (for good)
//! ```
//! There are no fuel slices here: a synchronous Wasmtime call that ran out of fuel cannot be continued, so
//! [`Container::run`] runs an event to its end within the fuel budget of the event.
//!
//! This crate schedules nothing, keeps no queue and no clock, and does no I/O.
#![forbid(unsafe_code)]

mod container;
mod error;
mod handle;
mod host;

pub use container::Container;
pub use coracle_container::{EFFECT_BYTES_PER_EVENT_MAX, OwnedEffect, OwnedEvent, Step, TABLE_ELEMENTS_MAX, Usage};
pub use error::{CaptureError, EngineError, LoadError};
pub use handle::{EngineHandle, MODULES_CACHED_MAX, STACK_BYTES_MAX};
