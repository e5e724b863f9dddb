//! What a container is on both cores, whatever engine runs it: its specification, events in, effects out, usage, and the
//! meaning of every host call with its limits.
//!
//! The two sandboxes add their engine and nothing else, so that a guest cannot tell them apart. This is the one crate of
//! `shared-ipc` that allocates: payloads of events and effects are owned here, bounded by the limits of the guest
//! interface. It knows no engine, no link and no clock: the time is an argument.
//!
//! A host call is pure: it reads what the container holds ([`Host`]), writes into the guest's memory, and leaves an
//! [`OwnedEffect`] that the supervisor carries out after the event. A call that has to wait *parks* the container
//! ([`Outcome::Park`]): the engine suspends the guest, the supervisor sees what it waits for ([`Host::waiting`]) and
//! answers ([`Host::deliver`], [`Host::answer`], or [`Host::poll`] when the time is over).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod calls;
mod device;
mod host;
mod kv;
mod list;
mod park;
mod rate;
mod spec;
mod types;

#[cfg(test)]
mod tests;

pub use calls::{Args, Outcome, dispatch};
pub use device::{DeviceAnswer, DeviceCall, execute};
pub use host::{EFFECT_BYTES_PER_EVENT_MAX, Host};
pub use kv::Kv;
pub use list::List;
pub use park::Waiting;
pub use rate::{Bucket, FuelBudget};
pub use spec::{
    ContainerSpec, FileGrant, Grants, HostGrant, I2cGrant, Limits, MEMORY_BYTES_MAX, PinGrant, PinMode, QUEUE_LEN_MAX,
    SensorGrant, SpiGrant, Text,
};
pub use types::{OwnedEffect, OwnedEvent, Payload, Step, Usage, request_parts, request_payload};
