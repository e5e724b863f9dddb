//! The decisions that both cores evaluate: when M may wake A, and when a container moves.
//!
//! The manifest's conditions are compiled into the small tables of this crate. A sends them to M, and M evaluates
//! them while A sleeps, so everything here is pure and bounded: no allocation, no clock (time is an argument),
//! no I/O, and every function is total, whatever a peer put into a table.
//!
//! What this crate does not do: it reads no manifest (`coracle-manifest` does), it checks no grants, and it
//! carries nothing out. The supervisors act on its answers.

#![no_std]

mod placement;
mod wake;

use core::fmt;

use serde::{Deserialize, Serialize};

pub use placement::{MAX_MOVE_RULES, MoveCondition, MoveRule, MoveRules, PlacementState, TooManyMoveRules};
pub use wake::{
    BUDGET_WINDOW_US, MAX_WAKE_RULES, MAX_WAKES_PER_HOUR, WakeCounts, WakeDecision, WakeLedger, WakePolicy,
    WakePolicyError, WakeRule,
};

/// The longest name of a container, topic, sensor or wake reason, in bytes.
pub const MAX_NAME_BYTES: usize = 31;

/// A container, topic, sensor or wake reason by name.
pub type Name = heapless::String<MAX_NAME_BYTES>;

/// A place where a container can run.
///
/// The order of the variants is part of the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Core {
    /// The microcontroller core (Cortex-M, wasmi).
    M,
    /// The application core (Cortex-A, Wasmtime).
    A,
}

impl Core {
    /// The core that this one is not.
    pub const fn other(self) -> Self {
        match self {
            Self::M => Self::A,
            Self::A => Self::M,
        }
    }

    /// The name as manifests and logs write it: `m` or `a`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::M => "m",
            Self::A => "a",
        }
    }
}

impl fmt::Display for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
