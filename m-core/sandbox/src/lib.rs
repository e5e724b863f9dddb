//! Runs one WebAssembly container on the M core: admission, host calls, limits, capture and restore, over wasmi.
//!
//! A [`Container`] owns a wasmi `Engine` and `Store` of its own and is dropped as a unit, because neither gives memory
//! back while it lives. Its module must have been prepared (`coracle-prepare`): memory and mutable globals exported
//! under reserved names, no `start` section, nothing that a snapshot cannot carry. Bytes that were not prepared are
//! refused or run safely, but state that they hide from their exports would not travel.
//!
//! An event is handled in fuel slices: [`Container::begin`] names it, and every [`Container::run`] continues it for at
//! most one slice, so that no guest can hold the core. What a guest asks for is collected as
//! [`OwnedEffect`]s and carried out by the supervisor after the event. A call that waits parks the
//! guest: [`Container::waiting`] says what for, and [`Container::run`] goes on once it was given.
//!
//! ```text
//!   load / restore --> Idle --begin--> Running --run: Done--> Idle
//!                                      | |  ^ run: Pending
//!                                      | |  |
//!                                      | |  +-- deliver, answer, notice, poll --+
//!                                      | +--run: Parked--> Parked --------------+
//!                                      v
//!                                    Exited (for good)
//! ```
//! This crate schedules nothing, keeps no queue and no clock, and knows nothing of links or chips.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod container;
mod error;
mod host;
mod link;
mod sections;

pub use container::{COPIED_BYTES_PER_FUEL, Container, RECURSION_DEPTH_MAX, config};
pub use coracle_container::{OwnedEffect, OwnedEvent, Step, Usage, Waiting};
pub use error::{CaptureError, DETAIL_BYTES_MAX, LoadError};
