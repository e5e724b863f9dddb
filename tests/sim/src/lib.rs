//! Both supervisors in one process, in virtual time, over one shared memory, interleaved by a seeded scheduler.
//!
//! A [`World`] has an M side (the supervisor of the M core with a board made of queues), an A side (the driver end of
//! the rings, the A core's supervisor, a store in memory), a sensor, and bells that may be late. It can kill either side
//! between any two of its steps. There are no threads, no sockets and no real time: a seed names a run exactly.
//!
//! It stands in for `coracled`'s loop and for a board; it does not test them. Everything here panics on failure: it is
//! for tests.

mod a_side;
mod frames;
mod guests;
mod m_side;
mod rng;
mod world;

pub use a_side::{ASide, Store};
pub use frames::{change_block, change_credit, change_step};
pub use guests::{Scenario, diagnose, engine, plan, sentinel, spinner, tracker};
pub use m_side::{MSide, Sensor};
pub use rng::Rng;
pub use world::{Direction, Kill, Tamper, TrackerState, World};
