//! The A-core supervisor: desired state, where every container is, reconciliation with M, moves, sleep.
//!
//! [`Node`] is sans-IO: frames, requests and the time go in; [`Output`]s come out, to be carried out in their order (a
//! record is stored before the frame that depends on it is sent). It computes, in the engine, but it opens no file or
//! socket, waits for nothing and reads no clock.
//!
//! # Where a container is
//! Exactly one of: on M (M's supervisor has it), here (with a body), or between (a move past its commit point that the
//! target has not confirmed). What must survive a death of this process is in its [`Record`]; what must survive a
//! death of M is in M's retained slots; [`reconcile`] brings the two together at the start of every session.
#![forbid(unsafe_code)]

mod devices;
mod entry;
mod node;
mod outbox;
mod plan;
mod reconcile;
mod record;
mod report;
mod retained;
mod run;
mod topics;

pub use node::{Memories, Node, Output, RequestId};
pub use plan::{Desired, Placement, Plan};
pub use reconcile::{MCopy, RetainedKind, Verdict, decide};
pub use record::{NO_MOVE, Phase, Record, RecordError};
