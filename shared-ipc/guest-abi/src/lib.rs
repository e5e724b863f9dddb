//! What a guest module sees, once for both sandboxes and the SDK: import names, signatures, errno and record layouts.
//!
//! The specification is the text in `wit/coracle.wit`; a test compares [`IMPORTS`] with it. What the calls mean is
//! implemented once, for both engines, in `coracle-container`. This crate does not know an engine, does not allocate and
//! does no I/O.
//!
//! Rules of the interface (design.md section 4): core-module imports with WIT-style versioned module names; only
//! `i32`/`i64`/`f32`/`f64` cross; the guest supplies the buffers; handles are per-container; a result is a count or a
//! negative [`Errno`]. The functions of `wasi_snapshot_preview1` keep WASI's own numbers ([`wasi`]).
#![no_std]
#![forbid(unsafe_code)]

mod imports;
pub mod wasi;

pub use imports::{Call, Cores, GrantKind, IMPORTS, Import, PARAMS_MAX, Type, find_import};
use serde::{Deserialize, Serialize};

/// A container, topic, sensor, pin, bus or reason name.
pub type Name = heapless::String<NAME_BYTES_MAX>;

/// Longest container, topic, sensor and wake-reason name, in bytes.
pub const NAME_BYTES_MAX: usize = 31;
/// Longest configuration value, in bytes.
pub const CONFIG_VALUE_BYTES_MAX: usize = 63;
/// Most configuration entries a container has.
pub const CONFIG_ENTRIES_MAX: usize = 16;
/// Most entries in one grant list (sensors, topics to publish, topics to subscribe, wake reasons).
pub const GRANTS_MAX: usize = 8;
/// Largest payload of a message between containers, in bytes. It fits one RPMsg buffer with all headers.
pub const MESSAGE_BYTES_MAX: usize = 192;
/// Largest payload that travels with a wake, in bytes. Above one RPMsg buffer, so it goes through the bulk region.
pub const WAKE_BYTES_MAX: usize = 8192;
/// Most samples in a sensor block.
pub const BLOCK_SAMPLES_MAX: usize = 512;
/// Longest log line of a guest, in bytes; a longer one is cut.
pub const LOG_BYTES_MAX: usize = 160;
/// Longest command-line argument, in bytes.
pub const ARG_BYTES_MAX: usize = 63;
/// Most command-line arguments, beside the name of the container.
pub const ARGS_MAX: usize = 8;
/// Most folders of the A core that a container sees.
pub const FILES_MAX: usize = 4;
/// Largest key-value store, in bytes, keys and lengths included.
pub const KV_BYTES_MAX: usize = 4096;
/// Most timers.
pub const TIMERS_MAX: usize = 8;
/// Most open handles.
pub const HANDLES_MAX: usize = 4 * GRANTS_MAX;
/// Most requests that wait for an answer.
pub const REQUESTS_MAX: usize = 4;
/// Most lines a second that a container's log may be allowed.
pub const LOGS_PER_SECOND_MAX: u16 = 1000;
/// Largest table, in elements.
pub const TABLE_ELEMENTS_MAX: u32 = 4096;
/// Largest engine stack, in bytes.
pub const STACK_BYTES_MAX: u32 = 32 * 1024;
/// The engine stack that a container keeps while it is idle, and the least it can be limited to, in bytes.
pub const STACK_BYTES_MIN: u32 = 512;
/// Most effects (messages, wakes, log lines) one event may cause.
pub const EFFECTS_PER_EVENT_MAX: usize = 16;

/// Export: `() -> i32`, called once in a container's life, before its first event. Negative means failure.
pub const EXPORT_INIT: &str = "init";
/// Export: `(kind: i32, source: i32, len: i32) -> i32`, called once an event. Negative ends the container.
pub const EXPORT_ON_EVENT: &str = "on_event";
/// Export: `() -> ()`, WASI's command: runs from start to end, and waits for its events itself. A module has this or
/// [`EXPORT_ON_EVENT`].
pub const EXPORT_COMMAND: &str = "_start";
/// Export: `() -> ()`, by which WASI's reactors run their constructors: after [`EXPORT_START`], before [`EXPORT_INIT`].
pub const EXPORT_INITIALIZE: &str = "_initialize";
/// Export: the linear memory.
pub const EXPORT_MEMORY: &str = "memory";
/// Exported names of the mutable globals that image preparation exposes: this prefix, then the global's index.
pub const EXPORT_GLOBAL_PREFIX: &str = "coracle_global_";
/// Exported name under which image preparation keeps a module's `start` function, run before `init`.
pub const EXPORT_START: &str = "coracle_start";

/// Negative results of host calls. The numbers are those of Linux, so that a C guest can use its `errno.h`. More may be
/// added: a guest takes a number that it does not know as a call that did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(i32)]
pub enum Errno {
    /// A name that is not known here (configuration key, sensor, bus).
    NoEntry = 2,
    /// The device or its bus failed.
    Io = 5,
    /// Nobody answered at that address, or the device is gone.
    NoDevice = 6,
    /// A handle that is not open.
    BadHandle = 9,
    /// Not now: no such event is being handled, or the queue behind the call is full. Try at the next event.
    Again = 11,
    /// The manifest does not grant this.
    Denied = 13,
    /// A pointer or length outside the guest's memory.
    Fault = 14,
    /// Somebody else holds it alone.
    Busy = 16,
    /// An argument that can never be right.
    Invalid = 22,
    /// A quota or limit of the manifest is used up.
    NoSpace = 28,
    /// This core cannot do it.
    NotHere = 52,
    /// The payload is over the limit of the call.
    TooLarge = 90,
    /// The time is over.
    TimedOut = 110,
    /// The device answered and refused.
    RemoteIo = 121,
}

impl Errno {
    /// The value a host call returns for this error: the negated number.
    #[must_use]
    pub fn as_result(self) -> i32 {
        -(self as i32)
    }

    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::NoEntry,
        Self::Io,
        Self::NoDevice,
        Self::BadHandle,
        Self::Again,
        Self::Denied,
        Self::Fault,
        Self::Busy,
        Self::Invalid,
        Self::NoSpace,
        Self::NotHere,
        Self::TooLarge,
        Self::TimedOut,
        Self::RemoteIo,
    ];
}

/// What kind of event `on_event` is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// A block of sensor samples; `source` is the sensor's handle, `len` the number of samples.
    Sensor = 1,
    /// A message; `source` is the topic's index in the manifest's `subscribe` list, `len` its bytes.
    Message = 2,
    /// A wake with its payload; `source` is 0, `len` its bytes.
    Wake = 3,
    /// A timer; `source` is its number.
    Timer = 4,
    /// The configuration changed; the payload is the changed keys, one a line.
    Config = 5,
    /// An edge of a pin that is watched; `source` is its handle, `tag` its level.
    Pin = 6,
    /// A request; `source` as for a message, `tag` is its number, the payload its body.
    Request = 7,
    /// The answer to a request of this container; `tag` is the request's number, `source` 0, or the [`Errno`] for which
    /// there is no answer.
    Reply = 8,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Sensor, Self::Message, Self::Wake, Self::Timer, Self::Config, Self::Pin, Self::Request, Self::Reply];

    /// The kind with that number, as it crosses the wire and the guest boundary.
    #[must_use]
    pub fn from_u8(n: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|k| *k as u8 == n)
    }

    /// Its bit in a set of kinds.
    #[must_use]
    pub fn bit(self) -> u32 {
        1 << (self as u8)
    }
}

/// What `sensor.info` writes: [`SensorInfo::BYTES`] bytes, little-endian, in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SensorInfo {
    /// Samples a second that the container gets.
    pub rate_hz: u32,
    /// Samples a second that its manifest allows it.
    pub rate_max_hz: u32,
    /// Samples in a block.
    pub block: u32,
    /// What one count is, in billionths of the sensor's unit.
    pub scale_nano: u32,
    /// 0 unknown, 1 m/s2, 2 degrees Celsius, 3 pascal, 4 volt, 5 per cent.
    pub unit: u32,
}

impl SensorInfo {
    /// Encoded size in bytes.
    pub const BYTES: usize = 20;

    /// The encoded record.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        let words = [self.rate_hz, self.rate_max_hz, self.block, self.scale_nano, self.unit];
        for (to, word) in out.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// The record at the start of `bytes`, or `None` when they are too few.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        Some(Self { rate_hz: word(0)?, rate_max_hz: word(4)?, block: word(8)?, scale_nano: word(12)?, unit: word(16)? })
    }
}

/// What `event.current` and `event.wait` write: [`EventRecord::BYTES`] bytes, little-endian, in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRecord {
    /// [`EventKind`] as a number.
    pub kind: u32,
    /// See [`EventKind`].
    pub source: u32,
    /// Bytes of the payload; of a sensor block: samples.
    pub len: u32,
    /// See [`EventKind`]; 0 where it says nothing.
    pub tag: u32,
    /// When it happened, in microseconds of its source's clock.
    pub time_us: u64,
}

impl EventRecord {
    /// Encoded size in bytes.
    pub const BYTES: usize = 24;

    /// The encoded record.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        for (to, word) in out.chunks_exact_mut(4).zip([self.kind, self.source, self.len, self.tag]) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        out[16..].copy_from_slice(&self.time_us.to_le_bytes());
        out
    }

    /// The record at the start of `bytes`, or `None` when they are too few.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let time_us = u64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?);
        Some(Self { kind: word(0)?, source: word(4)?, len: word(8)?, tag: word(12)?, time_us })
    }
}

/// The head of a sensor block as `sensor.read_block` writes it: [`BlockHeader::BYTES`] bytes, little-endian, in the
/// order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockHeader {
    /// Time of the first sample, in microseconds of the sensor's clock.
    pub timestamp_us: u64,
    /// Counts blocks from 0; a jump shows lost blocks.
    pub sequence: u32,
    /// Samples a second.
    pub rate_hz: u32,
    /// Samples lost so far because nobody took them in time.
    pub dropped: u32,
    /// Samples that follow.
    pub count: u32,
}

impl BlockHeader {
    /// Encoded size in bytes.
    pub const BYTES: usize = 24;

    /// The encoded header.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        out[0..8].copy_from_slice(&self.timestamp_us.to_le_bytes());
        out[8..12].copy_from_slice(&self.sequence.to_le_bytes());
        out[12..16].copy_from_slice(&self.rate_hz.to_le_bytes());
        out[16..20].copy_from_slice(&self.dropped.to_le_bytes());
        out[20..24].copy_from_slice(&self.count.to_le_bytes());
        out
    }

    /// The header at the start of `bytes`, or `None` when they are too few.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        Some(Self {
            timestamp_us: u64::from_le_bytes(bytes.get(0..8)?.try_into().ok()?),
            sequence: word(8)?,
            rate_hz: word(12)?,
            dropped: word(16)?,
            count: word(20)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_header_round_trips_and_refuses_short_input() {
        let header = BlockHeader { timestamp_us: 1 << 40, sequence: 7, rate_hz: 12_000, dropped: 3, count: 512 };
        assert_eq!(BlockHeader::from_bytes(&header.to_bytes()), Some(header));
        assert_eq!(BlockHeader::from_bytes(&header.to_bytes()[..23]), None);
    }
}
