//! What a manifest says, in types: everything here was checked, so readers need no checks of their own.

use std::path::PathBuf;
use std::time::Duration;

use coracle_policy::{Core, MoveRules, Name};

use crate::limits::{
    DEFAULT_FUEL_PER_EVENT, DEFAULT_FUEL_PER_SECOND, DEFAULT_HANDLES, DEFAULT_LOGS_PER_SECOND, DEFAULT_MEMORY_BYTES,
    DEFAULT_PAYLOAD_BYTES, DEFAULT_QUEUE_EVENTS, DEFAULT_STACK_BYTES, DEFAULT_SUBSCRIPTIONS, DEFAULT_TABLE_ELEMENTS,
    DEFAULT_TIMERS,
};

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
    /// Key and value pairs that the guest can read as text, in the order of the text. Also the environment of a WASI
    /// program.
    pub config: Vec<(Name, String)>,
    /// Arguments of a WASI program, after the container's name.
    pub args: Vec<String>,
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

/// What a container may use up, in the same units on both cores. The default is what a manifest leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest linear memory, in bytes.
    pub memory_bytes: u32,
    /// The engine's stack, in bytes.
    pub stack_bytes: u32,
    /// The largest table, in elements.
    pub table_elements: u32,
    /// Fuel for the handling of one event.
    pub fuel_per_event: u64,
    /// Fuel for a second; 0 means no limit beside the one of an event.
    pub fuel_per_second: u64,
    /// Events that may wait for the container.
    pub queue_events: u16,
    /// Timers that are set at once.
    pub timers: u8,
    /// Topics that are subscribed at once.
    pub subscriptions: u8,
    /// Sensors, pins, buses and devices that are open at once.
    pub handles: u8,
    /// Lines of its log in a second; more are dropped.
    pub logs_per_second: u16,
    /// The largest message payload and bus transfer, in bytes.
    pub payload_bytes: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: DEFAULT_MEMORY_BYTES,
            stack_bytes: DEFAULT_STACK_BYTES,
            table_elements: DEFAULT_TABLE_ELEMENTS,
            fuel_per_event: DEFAULT_FUEL_PER_EVENT,
            fuel_per_second: DEFAULT_FUEL_PER_SECOND,
            queue_events: DEFAULT_QUEUE_EVENTS,
            timers: DEFAULT_TIMERS,
            subscriptions: DEFAULT_SUBSCRIPTIONS,
            handles: DEFAULT_HANDLES,
            logs_per_second: DEFAULT_LOGS_PER_SECOND,
            payload_bytes: DEFAULT_PAYLOAD_BYTES,
        }
    }
}

/// What a container may use. Nothing is allowed that is not named here. Lists keep the order of the text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Sensors whose blocks of samples it gets as events.
    pub sensors: Vec<SensorGrant>,
    /// Pins that it may read, or set.
    pub pins: Vec<PinGrant>,
    /// I2C buses, with the addresses that it may talk to.
    pub i2c: Vec<I2cGrant>,
    /// SPI devices.
    pub spi: Vec<SpiGrant>,
    /// Topics it may publish on.
    pub publish: Vec<Name>,
    /// Topics whose messages it gets as events.
    pub subscribe: Vec<Name>,
    /// Reasons for which it may ask to wake A.
    pub wake: Vec<Name>,
    /// Its durable key-value store, in bytes; 0 means none.
    pub kv_bytes: u16,
    /// Where it may connect to. Only containers that are always on A have any.
    pub hosts: Vec<HostGrant>,
    /// Folders of the A core that it sees. Only containers that are always on A have any.
    pub files: Vec<FileGrant>,
}

/// A sensor that a container may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SensorGrant {
    /// The sensor's name in the manifest.
    pub name: Name,
    /// The most samples a second that it may ask for, at most the sensor's; `None` means the sensor's.
    pub rate_hz: Option<u32>,
    /// Whether no other container may have the sensor.
    pub exclusive: bool,
}

/// A pin that a container may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinGrant {
    /// The board's name for the pin.
    pub label: Name,
    /// What it may do with it.
    pub mode: PinMode,
    /// Whether no other container may have the pin.
    pub exclusive: bool,
}

/// What a container may do with a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinMode {
    /// Read it and watch its edges.
    Input,
    /// Set it, and read it back.
    Output,
}

/// Addresses on an I2C bus that a container may talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct I2cGrant {
    /// The board's name for the bus; each is named once in a container's grants.
    pub bus: Name,
    /// Seven-bit addresses, at least one, none of them reserved.
    pub addresses: Vec<u8>,
    /// Whether no other container may have these addresses. The bus itself stays shared.
    pub exclusive: bool,
}

/// An SPI device that a container may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpiGrant {
    /// The board's name for the device: its bus, chip select and mode.
    pub device: Name,
    /// Whether no other container may have the device.
    pub exclusive: bool,
}

/// A peer on the network that a container may connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostGrant {
    /// A DNS name in lower case, or an IPv4 address.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// A folder of the A core that a container sees. Whether it exists is found out when the container starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileGrant {
    /// Absolute path under which the guest sees the folder, without `.` and `..`.
    pub guest: String,
    /// Absolute path of the folder on the A core, without `.` and `..`.
    pub host: String,
    /// Whether the guest may also write there.
    pub write: bool,
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
