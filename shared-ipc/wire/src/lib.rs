//! The messages between the A-core and the M-core supervisor, the bodies of the link's Data frames. Pure types.
//!
//! Evolution rules: postcard is positional, so variants and fields are never removed, reordered or changed; new variants
//! go at the end; a changed meaning is a new variant. What both sides speak is settled by the link's version range
//! before any of this is read. The bytes of every message are pinned by `tests/golden`.
//!
//! Which channel of the link a message takes is its own matter ([`ToM::channel`], [`FromM::channel`]): messages whose
//! order among each other means something share one.
//!
//! Every descriptor ([`BulkRef`]) points into the *sender's* bulk area; the answer to the message gives the block back.
#![no_std]
#![forbid(unsafe_code)]

use coracle_bulk::BulkRef;
use coracle_guest_abi::{Errno, GRANTS_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, Name, SensorInfo};
use coracle_lifecycle::{ExitReason, State};
use coracle_link::Channel;
use coracle_migrate::role::{MigrationId, RefuseReason, Step};
use coracle_migrate::snapshot::DigestBytes;
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// Largest encoded specification of a container, in bytes: what the largest manifest needs.
pub const SPEC_BYTES_MAX: usize = 8448;
/// Longest explanation in a refusal, in bytes.
pub const DETAIL_BYTES_MAX: usize = 96;
/// Endpoint of the link on the M core, announced by name service. NXP's examples use the same.
pub const M_ENDPOINT: u32 = 0x1e;
/// Endpoint of the link on the A core: the first dynamic address of Linux.
pub const A_ENDPOINT: u32 = 0x400;

/// A-core power as M has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Power {
    /// A runs; M may send anything.
    Awake,
    /// A sleeps: M is silent unless it has a reason to wake A.
    Asleep,
}

/// Largest payload of an event that travels, in bytes: a message, and of a request who asks.
pub const EVENT_BYTES_MAX: usize = 1 + NAME_BYTES_MAX + MESSAGE_BYTES_MAX;

/// What a container wants of a device of the other core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum DeviceCall {
    /// The level of a pin.
    PinRead {
        /// Its label.
        label: Name,
    },
    /// Set a pin.
    PinWrite {
        /// Its label.
        label: Name,
        /// The level.
        high: bool,
    },
    /// Write, then read, on an I2C bus.
    I2c {
        /// The bus.
        bus: Name,
        /// Seven bits.
        address: u8,
        /// What is written.
        write: Vec<u8, MESSAGE_BYTES_MAX>,
        /// How many bytes are read.
        read: u16,
    },
    /// A transaction with an SPI device.
    Spi {
        /// The device.
        device: Name,
        /// What is written.
        write: Vec<u8, MESSAGE_BYTES_MAX>,
        /// How many bytes are read.
        read: u16,
    },
    /// What a sensor gives.
    SensorInfo {
        /// Its name.
        name: Name,
    },
}

/// The answer to a [`DeviceCall`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum DeviceAnswer {
    /// It is done.
    Done,
    /// A pin's level.
    Level(bool),
    /// Bytes that were read.
    Bytes(Vec<u8, MESSAGE_BYTES_MAX>),
    /// What a sensor gives.
    Info(SensorInfo),
}

/// What a container on A wants of a sensor of M.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteSensor {
    /// Its name.
    pub name: Name,
    /// Most samples a second: what is granted, or less if the container asked for less; 0: as many as it gives.
    pub rate_hz: u32,
    /// See `sensor.set_threshold`.
    pub threshold: Option<(i32, i32)>,
    /// No block is wanted at present.
    pub off: bool,
}

/// Messages from A to M.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToM {
    /// After the inventory of a new session: A has read the retained slots, M may use them anew.
    Begin,
    /// Hold this container. Answered by [`FromM::Deployed`] or [`FromM::DeployRefused`].
    Deploy {
        /// Comes back in the answer.
        token: u16,
        /// postcard of a `ContainerSpec` of the container crate.
        spec: BulkRef,
        /// The prepared module.
        module: BulkRef,
        /// State to start from; without it the container starts fresh.
        snapshot: Option<BulkRef>,
        /// Whether it runs on M. Otherwise it lives on A, and M keeps the module for when it comes.
        live: bool,
    },
    /// A container of this name lives on A: deliver its topics and wakes there.
    Remote {
        /// Its name.
        name: Name,
        /// Topics it subscribes, in the order of its manifest.
        subscribe: Vec<Name, GRANTS_MAX>,
        /// Sequence number of the last event that is safe with it.
        cursor: u64,
    },
    /// Forget a container, wherever it is.
    Remove {
        /// Its name.
        name: Name,
    },
    /// When and for whom M may wake A.
    WakeRule {
        /// The rule. It replaces one of the same reason.
        rule: coracle_policy::WakeRule,
    },
    /// Events up to `seq` were handled on A and are durable there.
    Ack {
        /// The container.
        name: Name,
        /// The last of them.
        seq: u64,
    },
    /// A wakes or goes to sleep.
    Power(Power),
    /// Move this container to A: M becomes the source.
    MoveOut {
        /// The migration.
        id: MigrationId,
        /// The container.
        name: Name,
        /// Drill: start once that many events wait.
        queued_min: u8,
    },
    /// A step of a migration.
    Migrate {
        /// The migration.
        id: MigrationId,
        /// The container.
        name: Name,
        /// The step.
        step: Step<BulkRef>,
    },
    /// Lockstep with A, for scenarios in virtual time: while a wake or too many events are unacknowledged, M asks the
    /// sensor for nothing, so that virtual time does not run ahead of A. A real sensor does not wait.
    Lockstep(bool),
    /// Send [`FromM::ContainerStats`] of every container, then [`FromM::Stats`].
    Query,
    /// Forget the wake rules of all other reasons: the manifest that had them was replaced.
    KeepWakeRules {
        /// The reasons whose rules, and whose past, stay.
        reasons: Vec<Name, GRANTS_MAX>,
    },
    /// A container on A published this, and a container that M serves subscribes the topic. Kept by A until answered by
    /// [`FromM::Taken`].
    Publish {
        /// Life of A that it was published in.
        epoch: u32,
        /// Counts A's messages in that life from 1: what is not above the last one is a repeat.
        number: u32,
        /// The topic.
        topic: Name,
        /// The time on M's clock, in microseconds; 0 where it is not known.
        time_us: u64,
        /// Of a request: its number. The payload is then that of an `EventKind::Request`.
        request: Option<u32>,
        /// The payload.
        payload: Vec<u8, EVENT_BYTES_MAX>,
    },
    /// The value of a topic, for who subscribes later. An empty one removes it.
    Retain {
        /// The topic.
        topic: Name,
        /// The payload.
        payload: Vec<u8, MESSAGE_BYTES_MAX>,
    },
    /// A container on A answers a request of one on M.
    Reply {
        /// Who asked.
        to: Name,
        /// The request's number.
        id: u32,
        /// The body.
        payload: Vec<u8, MESSAGE_BYTES_MAX>,
    },
    /// The configuration of a container changed while it runs, or would run, on M.
    Configure {
        /// Its name.
        name: Name,
        /// postcard of the list of keys and values.
        config: BulkRef,
    },
    /// A container on A uses a device of M. Answered by [`FromM::Device`].
    Device {
        /// Comes back in the answer.
        token: u32,
        /// What it wants. A checked its grants.
        call: DeviceCall,
    },
    /// What a container on A wants of M's sensors, all of them. Its blocks come as [`FromM::Block`].
    Sensors {
        /// The container: one that [`ToM::Remote`] named, or a portable one.
        name: Name,
        /// The sensors in the order of its grants.
        sensors: Vec<RemoteSensor, GRANTS_MAX>,
    },
    /// Unix time minus M's clock, in microseconds.
    WallClock {
        /// The difference.
        offset_us: i64,
    },
    /// A took the block of a [`FromM::Block`].
    Free(BulkRef),
}

impl ToM {
    /// The channel that it takes. What A tells M is about who holds what, in this order; only questions for numbers are
    /// not.
    #[must_use]
    pub fn channel(&self) -> Channel {
        match self {
            Self::Query | Self::Device { .. } | Self::Free(_) => Channel::Bulk,
            Self::Begin
            | Self::Deploy { .. }
            | Self::Remote { .. }
            | Self::Remove { .. }
            | Self::WakeRule { .. }
            | Self::Ack { .. }
            | Self::Power(_)
            | Self::MoveOut { .. }
            | Self::Migrate { .. }
            | Self::Lockstep(_)
            | Self::KeepWakeRules { .. }
            | Self::Publish { .. }
            | Self::Retain { .. }
            | Self::Reply { .. }
            | Self::Configure { .. }
            | Self::Sensors { .. }
            | Self::WallClock { .. } => Channel::Control,
        }
    }
}

/// Messages from M to A.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromM {
    /// Part of the inventory at the start of a session: a container that M knows.
    Holds {
        /// Its name.
        name: Name,
        /// Its module.
        image: DigestBytes,
        /// Its state on M. [`State::Gone`]: it lives on A.
        state: State,
        /// As the target of a migration that is not committed yet: that migration.
        in_doubt: Option<MigrationId>,
        /// The last migration that M committed as its source.
        committed: Option<MigrationId>,
    },
    /// End of the inventory.
    InventoryEnd,
    /// The container is there and runs.
    Deployed {
        /// From the request.
        token: u16,
    },
    /// It is not, and why.
    DeployRefused {
        /// From the request.
        token: u16,
        /// What is wrong and what to do.
        detail: String<DETAIL_BYTES_MAX>,
    },
    /// A message for a container on A. Kept by M until acknowledged.
    Event {
        /// The container.
        name: Name,
        /// Its position in the container's event stream.
        seq: u64,
        /// Index of the topic in its subscriptions.
        source: u8,
        /// Time of the event that caused it, in microseconds of the sensor's clock.
        time_us: u64,
        /// The payload.
        payload: Vec<u8, MESSAGE_BYTES_MAX>,
    },
    /// M needs A. Kept by M until acknowledged; not sent twice in a session.
    Wake {
        /// Why.
        reason: Name,
        /// The container on A that gets the payload.
        name: Name,
        /// Position in that container's event stream.
        seq: u64,
        /// Time of the event that caused it, in microseconds of the sensor's clock.
        time_us: u64,
        /// The payload.
        payload: BulkRef,
    },
    /// A confirmed being awake.
    Woken {
        /// Why it was woken.
        reason: Name,
        /// From the request to the confirmation, in microseconds of M's clock.
        latency_us: u64,
    },
    /// A container ended.
    Exited {
        /// Its name.
        name: Name,
        /// Why.
        reason: ExitReason,
    },
    /// A [`ToM::MoveOut`] did not start.
    MoveRefused {
        /// The migration.
        id: MigrationId,
        /// The container.
        name: Name,
        /// Why.
        reason: RefuseReason,
    },
    /// A step of a migration.
    Migrate {
        /// The migration.
        id: MigrationId,
        /// The container.
        name: Name,
        /// The step.
        step: Step<BulkRef>,
    },
    /// Numbers of one container on M.
    ContainerStats {
        /// Its name.
        name: Name,
        /// Its state on M.
        state: State,
        /// Linear memory in bytes.
        memory: u32,
        /// Fuel used on M.
        fuel: u64,
        /// Events handled since it was created.
        handled: u64,
        /// Events queued for it since it was created, dropped ones included: the number of the last one.
        queued: u64,
        /// Events dropped because its queue was full.
        dropped: u32,
        /// Calls refused for want of a grant.
        refused: u32,
        /// Digest of its state, when it is live on M.
        digest: Option<DigestBytes>,
    },
    /// Numbers of the M core.
    Stats {
        /// Time of the last sensor block, in microseconds of the sensor's clock.
        time_us: u64,
        /// Wakes requested, refused by debounce, refused by budget.
        wakes: [u32; 3],
        /// Sensor samples lost.
        samples_dropped: u32,
        /// Events that wait for A's acknowledgement.
        unacknowledged: u16,
    },
    /// An event for a container on A that [`FromM::Event`] cannot express. Kept by M until acknowledged.
    Delivery {
        /// The container.
        name: Name,
        /// Its position in the container's event stream.
        seq: u64,
        /// `EventKind` as a number.
        kind: u8,
        /// See `EventKind`.
        source: u8,
        /// See `EventKind`.
        tag: u32,
        /// Time of the event in microseconds.
        time_us: u64,
        /// The payload.
        payload: Vec<u8, EVENT_BYTES_MAX>,
    },
    /// A sensor block for a container on A. Not kept: what A does not take in time is lost and shows as a gap in the
    /// blocks' sequence. Answered by [`ToM::Free`].
    Block {
        /// The container.
        name: Name,
        /// Index of the sensor in its grants.
        sensor: u8,
        /// Time of the first sample, in microseconds of the sensor's clock.
        time_us: u64,
        /// The encoded header and the samples.
        payload: BulkRef,
    },
    /// Messages up to this number of that life of A are safe on M.
    Taken {
        /// From the message.
        epoch: u32,
        /// From the message.
        number: u32,
    },
    /// The value of a topic, for who subscribes later. An empty one removes it.
    Retain {
        /// The topic.
        topic: Name,
        /// The payload.
        payload: Vec<u8, MESSAGE_BYTES_MAX>,
    },
    /// A container on M answers a request of one on A.
    Reply {
        /// Who asked.
        to: Name,
        /// The request's number.
        id: u32,
        /// The body.
        payload: Vec<u8, MESSAGE_BYTES_MAX>,
    },
    /// The answer to a [`ToM::Device`].
    Device {
        /// From the request.
        token: u32,
        /// What the device says.
        answer: Result<DeviceAnswer, Errno>,
    },
    /// A [`ToM::Configure`] was taken; A may use its block anew.
    Configured {
        /// From the request.
        name: Name,
    },
    /// A container on M was refused a call for want of a grant, for the first time with that call.
    Refused {
        /// The container.
        name: Name,
        /// The call's number in the table of imports.
        call: u8,
    },
    /// More numbers of one container on M.
    MoreStats {
        /// Its name.
        name: Name,
        /// Log lines that were dropped.
        logs_dropped: u32,
        /// Heap that it takes on M beside its linear memory, in bytes; 0 where it is not measured.
        overhead: u32,
    },
}

impl FromM {
    /// The channel that it takes. Events and wakes are one stream, with one numbering for each container: a wake that
    /// overtook events would make them look like repeats.
    #[must_use]
    pub fn channel(&self) -> Channel {
        match self {
            Self::Event { .. }
            | Self::Wake { .. }
            | Self::ContainerStats { .. }
            | Self::MoreStats { .. }
            | Self::Stats { .. }
            | Self::Delivery { .. }
            | Self::Block { .. }
            | Self::Device { .. }
            | Self::Refused { .. } => Channel::Bulk,
            Self::Holds { .. }
            | Self::InventoryEnd
            | Self::Deployed { .. }
            | Self::DeployRefused { .. }
            | Self::Woken { .. }
            | Self::Exited { .. }
            | Self::MoveRefused { .. }
            | Self::Migrate { .. }
            | Self::Taken { .. }
            | Self::Retain { .. }
            | Self::Reply { .. }
            | Self::Configured { .. } => Channel::Control,
        }
    }
}

/// Encodes a message into `out`; `None` when it is too long for a link body, which no message of ours is.
#[must_use]
pub fn encode<'o>(message: &impl Serialize, out: &'o mut [u8]) -> Option<&'o [u8]> {
    postcard::to_slice(message, out).ok().map(|used| &*used)
}

/// Decodes a message; trailing bytes are refused.
#[must_use]
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(value)
}
