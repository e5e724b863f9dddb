//! The M-core supervisor: containers in fuel slices, wake policy, migration, checkpoints, and the M end of the link.
//!
//! [`Supervisor`] is sans-IO: frames, sensor blocks and the time go in, frames come out. [`Port`] is the M end of the
//! rings. [`Core`] joins the two with a board's traits; a firmware's main loop is [`Core::run_once`], then sleep.
//!
//! Nothing here names a chip or a system, waits, or runs without bound: one call of [`Supervisor::step`] runs one
//! container for one slice.
//!
//! # What survives what
//! Every event that a container handled is committed to the retained slots, together with every event that it caused,
//! before anything of it leaves this core. A reset of M at any instant therefore leaves one consistent set of states,
//! from which A redeploys. Events for containers on A stay in their queue here until A says that they are durable
//! there. So an acknowledged event is never lost, and a sequence number is never handled twice.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod core_loop;
mod entry;
mod outbox;
mod port;
mod running;
mod supervisor;
#[cfg(test)]
mod tests;
mod topics;

pub use coracle_migrate::retained::{Record, RecordKind, read_record};
pub use core_loop::{Activity, Core};
pub use port::Port;
pub use supervisor::{Memories, SLICE_FUEL, Supervisor};
