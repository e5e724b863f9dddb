//! What a manifest says, in types: everything here was checked, so readers need no checks of their own.

use std::path::PathBuf;
use std::time::Duration;

use coracle_policy::{Core, MoveRules, Name};

/// A named instance of a module, with limits, grants and a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Unique in the manifest.
    pub name: Name,
    /// The Wasm module's file. Relative paths are relative to the working directory, not to the manifest.
    pub module: PathBuf,
    /// On which cores it may run, and when it moves.
    pub placement: Placement,
    /// What it may use up.
    pub limits: Limits,
    /// What it may use at all.
    pub grants: Grants,
    /// Key and value pairs that the guest can read as text, in the order of the text.
    pub config: Vec<(Name, String)>,
}

/// On which cores a container may run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a manifest has few containers, and they are not moved around")]
pub enum Placement {
    /// Only on this core.
    Fixed(Core),
    /// On both cores: it starts on `prefer`, and `moves` say when it goes where.
    Any {
        /// Where it starts.
        prefer: Core,
        /// Empty if nothing but an operator moves it.
        moves: MoveRules,
    },
}

impl Placement {
    /// The core where the container starts.
    pub fn initial(&self) -> Core {
        match self {
            Self::Fixed(core) => *core,
            Self::Any { prefer, .. } => *prefer,
        }
    }

    /// Whether the container may ever run on `core`.
    pub fn allows(&self, core: Core) -> bool {
        match self {
            Self::Fixed(only) => *only == core,
            Self::Any { .. } => true,
        }
    }

    /// The move rules; `None` if the container never moves.
    pub fn moves(&self) -> Option<&MoveRules> {
        match self {
            Self::Fixed(_) => None,
            Self::Any { moves, .. } => Some(moves),
        }
    }
}

/// What a container may use up, in the same units on both cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest linear memory, in bytes.
    pub memory_bytes: u32,
    /// Fuel for the handling of one event.
    pub fuel_per_event: u64,
    /// Events that may wait for the container.
    pub queue_events: u16,
}

/// What a container may use. Nothing is allowed that is not named here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Sensors whose blocks of samples it gets as events.
    pub sensors: Vec<Name>,
    /// Topics it may publish on.
    pub publish: Vec<Name>,
    /// Topics whose messages it gets as events.
    pub subscribe: Vec<Name>,
    /// Reasons for which it may ask to wake A.
    pub wake: Vec<Name>,
}

/// What a sensor of the board must be for this manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sensor {
    /// Unique in the manifest; the board's name for it.
    pub name: Name,
    /// Samples per second.
    pub rate_hz: u32,
    /// Samples in one event.
    pub block_samples: u16,
}

/// How a demo or test run feeds the sensor and judges what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// The recording that the sensor replays; a path as [`Container::module`].
    pub trace: PathBuf,
    /// Drill: a move waits, within bounds, until this many events are undelivered. 0 means no drill.
    pub queued_at_move: u16,
    /// What must have happened in the end.
    pub expect: Expect,
}

/// What a scenario must show. `None` and absent containers are not judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expect {
    /// The exact number of wakes.
    pub wakes: Option<u32>,
    /// The earliest sensor time of the first wake.
    pub wake_after: Option<Duration>,
    /// What the diagnosis must say.
    pub diagnosis: Option<Diagnosis>,
    /// The exact number of completed moves of some containers.
    pub moves: Vec<(Name, u32)>,
    /// Containers that must see every event exactly once.
    pub lossless: Vec<Name>,
}

/// What is expected on [`DIAGNOSIS_TOPIC`](crate::DIAGNOSIS_TOPIC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diagnosis {
    /// No message.
    None,
    /// At least one message, whatever it says.
    Any,
    /// At least one message, and all of them name this class.
    Class(String),
}

impl From<&str> for Diagnosis {
    /// The words of a manifest and of `--expect`: `none`, `any`, or the name of a class.
    fn from(text: &str) -> Self {
        match text {
            "none" => Self::None,
            "any" => Self::Any,
            class => Self::Class(class.to_owned()),
        }
    }
}
