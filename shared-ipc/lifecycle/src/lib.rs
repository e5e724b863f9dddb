//! The container state machine and the reasons a container ends: one vocabulary for both cores.
//!
//! Both supervisors hold a [`State`] a container and change it only through [`State::next`], so that the M core, the
//! A core and what an operator reads can never disagree about what a word means. This crate does not run containers,
//! send messages or keep time.
//!
//! ```text
//!              start             freeze            resume (abort)
//!   Created ----------> Running --------> Frozen ----------------> Running
//!      |                   |                 | commit
//!      | fail              | exit            v
//!      v                   v               Gone      (the copy on this core ended; the live one is elsewhere)
//!    Exited             Exited
//! ```
#![no_std]
#![forbid(unsafe_code)]

use core::fmt;

use serde::{Deserialize, Serialize};

/// Where a container's copy on *this* core stands. At most one core holds a copy that is [`State::is_live`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// Instantiated (fresh, or restored from a snapshot) but not allowed to run yet.
    Created,
    /// Handles events.
    Running,
    /// Stopped at a safe point for a migration; its queue still accepts events.
    Frozen,
    /// Handed over: the live copy is on the other core.
    Gone,
    /// Ended, for the reason given.
    Exited(ExitReason),
}

/// What can happen to a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// Begin (or go on) handling events.
    Start,
    /// Stop at the next safe point.
    Freeze,
    /// A migration was given up: run here again.
    Resume,
    /// A migration committed: the other core has the live copy.
    HandOver,
    /// The container ended.
    Exit(ExitReason),
}

/// A change that the state does not allow. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The state that refused.
    pub state: State,
    /// The change it refused.
    pub change: Change,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a container that is {:?} cannot take {:?}", self.state, self.change)
    }
}

impl core::error::Error for Refused {}

impl State {
    /// The state after `change`.
    ///
    /// # Errors
    /// [`Refused`] when the machine drawn in the crate's documentation has no such arrow.
    pub fn next(self, change: Change) -> Result<State, Refused> {
        Ok(match (self, change) {
            (State::Created, Change::Start) | (State::Frozen, Change::Resume) => State::Running,
            (State::Running, Change::Freeze) => State::Frozen,
            (State::Frozen, Change::HandOver) => State::Gone,
            (State::Created | State::Running | State::Frozen, Change::Exit(reason)) => State::Exited(reason),
            (state, change) => return Err(Refused { state, change }),
        })
    }

    /// Whether this copy is the one that counts: it runs, or it is the authoritative source of an open migration.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, State::Running | State::Frozen)
    }
}

/// Why a container ended. It crosses the wire: variants are only appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExitReason {
    /// `init` or `on_event` returned a negative value.
    Returned(i32),
    /// The guest trapped; what an older firmware says, which does not tell how.
    Trap,
    /// One event cost more fuel than `limits.fuel_per_event`.
    OutOfFuel,
    /// The module could not be instantiated within its memory limit.
    OutOfMemory,
    /// The guest's call stack outgrew the engine's limit.
    StackExhausted,
    /// The operator removed it.
    Killed,
    /// The module lacks an export or does not link.
    StartFailed,
    /// The core it ran on was lost and no checkpoint of it was found.
    CoreLost,
    /// `_start` ended: with `proc_exit` and this number, or by returning, which is 0.
    Exited(i32),
    /// The guest trapped, in that way and, where the engine tells it, at that place.
    Trapped(TrapKind, Option<Place>),
    /// It did not show signs of life for as long as its manifest asks.
    Watchdog,
    /// The core it needed could not be reached.
    LinkLost,
}

/// How a guest trapped: the traps of the WebAssembly specification that are no limit of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrapKind {
    /// `unreachable`: what a panic or an abort compiles to.
    Unreachable,
    /// An access outside the memory.
    MemoryOutOfBounds,
    /// An access outside the table.
    TableOutOfBounds,
    /// A call through an empty element of the table.
    IndirectCallToNull,
    /// A call through the table to a function of another type.
    BadSignature,
    /// An integer division by zero.
    DivisionByZero,
    /// An integer division whose result does not fit.
    IntegerOverflow,
    /// A float that has no integer of the asked type.
    BadConversion,
}

impl TrapKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Unreachable,
        Self::MemoryOutOfBounds,
        Self::TableOutOfBounds,
        Self::IndirectCallToNull,
        Self::BadSignature,
        Self::DivisionByZero,
        Self::IntegerOverflow,
        Self::BadConversion,
    ];

    /// A short lower-case phrase.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable code",
            Self::MemoryOutOfBounds => "memory access out of bounds",
            Self::TableOutOfBounds => "table access out of bounds",
            Self::IndirectCallToNull => "call through an empty table element",
            Self::BadSignature => "indirect call of another type",
            Self::DivisionByZero => "division by zero",
            Self::IntegerOverflow => "integer overflow",
            Self::BadConversion => "float without an integer of that type",
        }
    }
}

/// Where in a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Index of the function, imports included. Its name is in the module's name section.
    pub function: u32,
    /// Byte offset in the module, where the engine tells it; otherwise 0.
    pub offset: u32,
}

impl ExitReason {
    /// A short lower-case phrase, without punctuation at its end.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ExitReason::Returned(_) => "returned an error",
            ExitReason::Trap => "trapped",
            ExitReason::OutOfFuel => "out of fuel",
            ExitReason::OutOfMemory => "out of memory",
            ExitReason::StackExhausted => "stack exhausted",
            ExitReason::Killed => "killed",
            ExitReason::StartFailed => "start failed",
            ExitReason::CoreLost => "core lost",
            ExitReason::Exited(_) => "exited",
            ExitReason::Trapped(kind, _) => kind.as_str(),
            ExitReason::Watchdog => "watchdog",
            ExitReason::LinkLost => "link lost",
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitReason::Returned(code) => write!(f, "returned {code}"),
            ExitReason::Exited(code) => write!(f, "exited {code}"),
            ExitReason::Trapped(kind, None) => write!(f, "trapped: {}", kind.as_str()),
            ExitReason::Trapped(kind, Some(Place { function, offset })) => {
                write!(f, "trapped: {} in function {function} at offset {offset:#x}", kind.as_str())
            }
            other => f.write_str(other.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASON: ExitReason = ExitReason::Trap;
    const STATES: [State; 5] = [State::Created, State::Running, State::Frozen, State::Gone, State::Exited(REASON)];
    const CHANGES: [Change; 5] =
        [Change::Start, Change::Freeze, Change::Resume, Change::HandOver, Change::Exit(REASON)];

    #[test]
    fn every_state_times_every_change() {
        let arrows = [
            (State::Created, Change::Start, State::Running),
            (State::Running, Change::Freeze, State::Frozen),
            (State::Frozen, Change::Resume, State::Running),
            (State::Frozen, Change::HandOver, State::Gone),
            (State::Created, Change::Exit(REASON), State::Exited(REASON)),
            (State::Running, Change::Exit(REASON), State::Exited(REASON)),
            (State::Frozen, Change::Exit(REASON), State::Exited(REASON)),
        ];
        for state in STATES {
            for change in CHANGES {
                let want = arrows.iter().find(|a| a.0 == state && a.1 == change).map(|a| a.2);
                assert_eq!(state.next(change).ok(), want, "{state:?} + {change:?}");
            }
        }
    }
}
