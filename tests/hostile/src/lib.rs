//! The hostile guests: a table of modules that try to get out, each with the one thing that has to come of it.
//!
//! A [`Case`] is a module, what it is granted and what happens to it; [`beside`] runs it between two honest neighbours
//! and says how it ended and whether the neighbours noticed. Both work without an operating system, so that the same rows
//! run on the M core. `table` makes the rows on a host: [`rows`] pairs every case with what is expected of it.
//!
//! This crate compares words, not times: a row's outcome is a text that is the same on every engine. Everything in
//! `table` panics on a mistake in the table itself.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod case;
mod drive;
#[cfg(not(target_os = "none"))]
mod table;

#[cfg(not(target_os = "none"))]
pub use case::write_case;
pub use case::{Act, Case, read_case};
pub use drive::{DAMAGED, Guest, Neighbours, Report, SLICE_FUEL, TURNS_MAX, Wasmi, alone, beside, reference};
#[cfg(not(target_os = "none"))]
pub use table::{Expected, Row, neighbour, rows};
