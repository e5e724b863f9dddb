//! Moving a running container: the snapshot format, and the two roles of a migration as sans-IO state machines.
//!
//! This crate neither runs containers nor sends messages nor keeps time: the supervisors do, as the returned actions
//! tell them. It knows nothing of links, cores or engines.
#![no_std]
#![forbid(unsafe_code)]

pub mod retained;
pub mod role;
pub mod snapshot;
