//! The launcher of a whole machine, for the demo and for tests: builds what a board needs, starts the M core, `coracled`
//! and the sensor feed as processes, runs a manifest's scenario, and judges it.
//!
//! [`Programs`] finds or builds the executables; [`Machine`] owns the processes and their run directory, starts an M core
//! that died again, and kills everything when it is dropped; [`run_scenario`] applies a manifest, feeds its trace and
//! returns what happened with a verdict on each expectation.
//!
//! It takes part in nothing that happens on the machine: it sees only what `coracled` tells on its socket. It prints
//! nothing; callers get [`Happening`]s.
#![forbid(unsafe_code)]

mod error;
mod machine;
mod process;
mod programs;
mod run;
mod verdict;
mod wait;

pub use error::Error;
pub use machine::{Board, M_RESTARTS_MAX, Machine, Pace};
pub use programs::{FIRMWARE_VARIABLE, MODULES_VARIABLE, MProgram, PROGRAMS_VARIABLE, Programs, Workspace};
pub use run::{Happening, Note, Outcome, Plan, Run, run_scenario};
pub use verdict::{Verdict, judge};
pub use wait::Cancel;
