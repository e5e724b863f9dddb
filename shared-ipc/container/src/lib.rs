//! What a container is on both cores, whatever engine runs it: events in, effects out, usage, and the host side of its
//! calls with its limits.
//!
//! The two sandboxes add their engine and nothing else, so that a guest cannot tell them apart. This is the one crate of
//! `shared-ipc` that allocates: payloads of events and effects are owned here, bounded by the limits of the guest
//! interface. It knows no engine, no link and no clock.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod host;
mod types;

pub use host::{EFFECT_BYTES_PER_EVENT_MAX, Host, TABLE_ELEMENTS_MAX};
pub use types::{OwnedEffect, OwnedEvent, Step, Usage};
