//! What one core tells the other about a container that it shall hold: the manifest's words, checked.

use alloc::string::String;

use coracle_guest_abi::{
    ARG_BYTES_MAX, ARGS_MAX, CONFIG_ENTRIES_MAX, CONFIG_VALUE_BYTES_MAX, FILES_MAX, GRANTS_MAX, GrantKind, HANDLES_MAX,
    MESSAGE_BYTES_MAX, Name, TIMERS_MAX,
};
use coracle_migrate::snapshot::{DigestBytes, EVENTS_MAX};
use serde::{Deserialize, Serialize};

use crate::List;

/// Largest linear memory a container may have on either core, in bytes.
pub const MEMORY_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// Longest event queue.
pub const QUEUE_LEN_MAX: u16 = EVENTS_MAX as u16;

/// A text of the manifest. Its limit is the manifest's; from a peer it is bounded by the bytes that were sent.
pub type Text = String;

/// What a container may use up. The same units on both cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Linear memory in bytes.
    pub memory: u32,
    /// Elements of its table.
    pub table: u32,
    /// The engine's stack in bytes.
    pub stack: u32,
    /// Fuel one event (or `init`, or a command between two waits) may cost, in the engine's units.
    pub fuel_per_event: u64,
    /// Fuel it may use a second, on average; 0: as much as it gets. A container over it waits.
    pub fuel_per_second: u64,
    /// Events that may wait.
    pub queue: u16,
    /// Timers.
    pub timers: u8,
    /// Topics that it may be subscribed to at once.
    pub subscriptions: u8,
    /// Open handles.
    pub handles: u8,
    /// Log lines a second; more are dropped and counted.
    pub logs_per_second: u16,
    /// Payload of a message or a bus transfer, in bytes.
    pub payload: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 * 1024,
            table: 1024,
            stack: 8 * 1024,
            fuel_per_event: 1_000_000,
            fuel_per_second: 0,
            queue: 16,
            timers: TIMERS_MAX as u8 / 2,
            subscriptions: GRANTS_MAX as u8,
            handles: HANDLES_MAX as u8 / 2,
            logs_per_second: 20,
            payload: MESSAGE_BYTES_MAX as u16,
        }
    }
}

/// A sensor whose blocks are events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SensorGrant {
    /// Its name.
    pub name: Name,
    /// Most samples a second; 0: as many as the sensor gives.
    pub rate_hz: u32,
    /// Nobody else has it.
    pub exclusive: bool,
}

/// What a pin may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PinMode {
    /// Reading and watching.
    Input,
    /// Reading and writing.
    Output,
}

/// A pin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinGrant {
    /// Its label on the board.
    pub label: Name,
    /// What for.
    pub mode: PinMode,
    /// Nobody else has it.
    pub exclusive: bool,
}

/// Addresses on a bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct I2cGrant {
    /// The bus.
    pub bus: Name,
    /// Seven-bit addresses.
    pub addresses: List<u8, GRANTS_MAX>,
    /// Nobody else has these addresses.
    pub exclusive: bool,
}

/// A device on an SPI bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpiGrant {
    /// Its name on the board.
    pub device: Name,
    /// Nobody else has it.
    pub exclusive: bool,
}

/// A peer on the network (A core).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostGrant {
    /// Its name or address.
    pub host: Text,
    /// TCP port.
    pub port: u16,
}

/// A folder of the A core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileGrant {
    /// The path that the guest sees.
    pub guest: Text,
    /// The folder on the A core.
    pub host: Text,
    /// Whether it may change anything there.
    pub write: bool,
}

/// What the manifest gives a container: its grants, its configuration and its arguments. What is not here is not linked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grants {
    /// Sensors whose blocks arrive as events.
    pub sensors: List<SensorGrant, GRANTS_MAX>,
    /// Pins.
    pub pins: List<PinGrant, GRANTS_MAX>,
    /// Addresses on I2C buses.
    pub i2c: List<I2cGrant, GRANTS_MAX>,
    /// SPI devices.
    pub spi: List<SpiGrant, GRANTS_MAX>,
    /// Topics it may publish, and send requests to.
    pub publish: List<Name, GRANTS_MAX>,
    /// Topics whose messages arrive as events; the index is the event's `source`.
    pub subscribe: List<Name, GRANTS_MAX>,
    /// Reasons for which it may wake the A core.
    pub wake: List<Name, GRANTS_MAX>,
    /// Bytes of its key-value store; 0: it has none.
    pub kv: u16,
    /// Peers on the network (A core).
    pub hosts: List<HostGrant, GRANTS_MAX>,
    /// Folders (A core).
    pub files: List<FileGrant, FILES_MAX>,
    /// Configuration: key and value.
    pub config: List<(Name, Text), CONFIG_ENTRIES_MAX>,
    /// Arguments after the container's name.
    pub args: List<Text, ARGS_MAX>,
}

impl Grants {
    /// Whether imports of that kind are linked: at least one thing of the kind is granted.
    #[must_use]
    pub fn links(&self, kind: GrantKind) -> bool {
        match kind {
            GrantKind::Sensors => !self.sensors.is_empty(),
            GrantKind::Pins => !self.pins.is_empty(),
            GrantKind::I2c => !self.i2c.is_empty(),
            GrantKind::Spi => !self.spi.is_empty(),
            GrantKind::Publish => !self.publish.is_empty(),
            GrantKind::Subscribe => !self.subscribe.is_empty(),
            GrantKind::Wake => !self.wake.is_empty(),
            GrantKind::Kv => self.kv > 0,
            GrantKind::Files => !self.files.is_empty(),
        }
    }
}

impl Grants {
    /// The kind of the first thing that both name and one of them has alone, in the manifest's words. The manifest's check
    /// says more; this one is for cores, which take specifications one by one.
    #[must_use]
    pub fn conflict(&self, other: &Self) -> Option<&'static str> {
        let sensor =
            self.sensors.iter().any(|a| other.sensors.iter().any(|b| a.name == b.name && (a.exclusive || b.exclusive)));
        let pin =
            self.pins.iter().any(|a| other.pins.iter().any(|b| a.label == b.label && (a.exclusive || b.exclusive)));
        let i2c = self.i2c.iter().any(|a| {
            let shares = |b: &I2cGrant| a.bus == b.bus && a.addresses.iter().any(|at| b.addresses.contains(at));
            other.i2c.iter().any(|b| shares(b) && (a.exclusive || b.exclusive))
        });
        let spi =
            self.spi.iter().any(|a| other.spi.iter().any(|b| a.device == b.device && (a.exclusive || b.exclusive)));
        [(sensor, "sensors"), (pin, "pins"), (i2c, "i2c"), (spi, "spi")].into_iter().find(|(is, _)| *is).map(|(_, k)| k)
    }
}

/// A container as it is deployed to a core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Its name, unique on the machine.
    pub name: Name,
    /// SHA-256 of the prepared module's bytes.
    pub image: DigestBytes,
    /// Whether it may move between the cores. Portable containers are checkpointed after every event.
    pub portable: bool,
    /// What its random numbers start from.
    pub seed: [u8; 16],
    /// Limits.
    pub limits: Limits,
    /// Grants, configuration and arguments.
    pub grants: Grants,
}

impl ContainerSpec {
    /// The first thing in it that is over a limit of the interface, in the manifest's words: a specification that comes
    /// from a peer is checked before it is used.
    #[must_use]
    pub fn over_limit(&self) -> Option<&'static str> {
        let l = &self.limits;
        let long = |text: &str, max: usize| text.len() > max;
        let checks = [
            (l.queue == 0 || l.queue > QUEUE_LEN_MAX, "limits.queue is 0 or over its maximum"),
            (l.memory > MEMORY_BYTES_MAX, "limits.memory is over its maximum"),
            (l.table > coracle_guest_abi::TABLE_ELEMENTS_MAX, "limits.table is over its maximum"),
            (
                l.stack < coracle_guest_abi::STACK_BYTES_MIN || l.stack > coracle_guest_abi::STACK_BYTES_MAX,
                "limits.stack is under its minimum or over its maximum",
            ),
            (usize::from(l.timers) > TIMERS_MAX, "limits.timers is over its maximum"),
            (usize::from(l.subscriptions) > GRANTS_MAX, "limits.subscriptions is over its maximum"),
            (usize::from(l.handles) > HANDLES_MAX, "limits.handles is over its maximum"),
            (l.logs_per_second > coracle_guest_abi::LOGS_PER_SECOND_MAX, "limits.logs_per_second is over its maximum"),
            (usize::from(l.payload) > MESSAGE_BYTES_MAX, "limits.payload is over its maximum"),
            (usize::from(self.grants.kv) > coracle_guest_abi::KV_BYTES_MAX, "grants.kv is over its maximum"),
            (
                self.grants.config.iter().any(|(_, value)| long(value, CONFIG_VALUE_BYTES_MAX)),
                "a value of config is over its maximum",
            ),
            (self.grants.args.iter().any(|arg| long(arg, ARG_BYTES_MAX)), "an argument is over its maximum"),
            (
                self.grants.i2c.iter().flat_map(|g| g.addresses.iter()).any(|a| *a > 0x7f),
                "an I2C address has more than seven bits",
            ),
        ];
        checks.into_iter().find(|(over, _)| *over).map(|(_, text)| text)
    }
}
