//! What a guest module sees, once for both sandboxes and the SDK: import names, signatures, errno, event layout, and
//! the meaning of every host call.
//!
//! The wasmi host (M core) and the Wasmtime host (A core) only move numbers between their engine and [`host`]; bounds
//! checks, grant checks and results are decided here, so the two cores cannot drift apart. This crate does not know an
//! engine, does not allocate and does no I/O: a call either reads what the container already holds or hands an effect
//! to [`host::Services`].
//!
//! Rules of the interface (design.md section 4): core-module imports with WIT-style versioned module names; only
//! `i32`/`i64`/`f32`/`f64` cross; the guest supplies the buffers; handles are per-container; a result is a count or a
//! negative [`Errno`].
#![no_std]
#![forbid(unsafe_code)]

pub mod host;

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
/// Most effects (messages, wakes, log lines) one event may cause.
pub const EFFECTS_PER_EVENT_MAX: usize = 16;

/// Export: `() -> i32`, called once in a container's life, before its first event. Negative means failure.
pub const EXPORT_INIT: &str = "init";
/// Export: `(kind: i32, source: i32, len: i32) -> i32`, called once an event. Negative ends the container.
pub const EXPORT_ON_EVENT: &str = "on_event";
/// Export: the linear memory.
pub const EXPORT_MEMORY: &str = "memory";
/// Exported names of the mutable globals that image preparation exposes: this prefix, then the global's index.
pub const EXPORT_GLOBAL_PREFIX: &str = "coracle_global_";
/// Exported name under which image preparation keeps a module's `start` function, run before `init`.
pub const EXPORT_START: &str = "coracle_start";

/// Negative results of host calls. The numbers are those of Linux, so that a C guest can use its `errno.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    /// A name that is not known here (configuration key, sensor).
    NoEntry = 2,
    /// A handle that was never opened.
    BadHandle = 9,
    /// No event of that kind is being handled, or the queue behind the call is full: try at the next event.
    Again = 11,
    /// The manifest does not grant this.
    Denied = 13,
    /// A pointer or length outside the guest's memory.
    Fault = 14,
    /// An argument that can never be right.
    Invalid = 22,
    /// The payload is over the limit of the call.
    TooLarge = 90,
}

impl Errno {
    /// The value a host call returns for this error: the negated number.
    #[must_use]
    pub fn as_result(self) -> i32 {
        -(self as i32)
    }
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
}

impl EventKind {
    /// The kind with that number, as it crosses the wire and the guest boundary.
    #[must_use]
    pub fn from_u8(n: u8) -> Option<Self> {
        [EventKind::Sensor, EventKind::Message, EventKind::Wake].into_iter().find(|k| *k as u8 == n)
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

/// The parameter list of an import; every import returns one `i32` except `time.now`, which returns an `i64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Import {
    /// Import module name.
    pub module: &'static str,
    /// Import field name.
    pub name: &'static str,
    /// Number of `i32` parameters.
    pub params: usize,
    /// Whether the result is an `i64` instead of an `i32`.
    pub wide_result: bool,
    /// The grant that links it, or `None` when every container has it.
    pub grant: Option<GrantKind>,
    /// Which call it is.
    pub call: Call,
}

/// The kinds of grant that a manifest gives; the words are the keys of `[container.x.grants]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantKind {
    /// `sensors`
    Sensors,
    /// `publish`
    Publish,
    /// `wake`
    Wake,
}

impl GrantKind {
    /// The manifest key.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            GrantKind::Sensors => "sensors",
            GrantKind::Publish => "publish",
            GrantKind::Wake => "wake",
        }
    }
}

/// The host calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// `log.write(level, ptr, len) -> 0`
    LogWrite,
    /// `config.get(key_ptr, key_len, ptr, cap) -> length of the value`, cut to `cap`
    ConfigGet,
    /// `event.read(ptr, cap) -> length of the payload`, cut to `cap`
    EventRead,
    /// `time.now() -> microseconds`: the time of the event being handled
    TimeNow,
    /// `sensor.open(name_ptr, name_len) -> handle`
    SensorOpen,
    /// `sensor.read_block(handle, header_ptr, samples_ptr, max_samples) -> samples`
    SensorReadBlock,
    /// `msg.publish(topic_ptr, topic_len, ptr, len) -> 0`
    MsgPublish,
    /// `wake.request(reason_ptr, reason_len, ptr, len) -> 0`
    WakeRequest,
}

const fn import(
    module: &'static str,
    name: &'static str,
    params: usize,
    grant: Option<GrantKind>,
    call: Call,
) -> Import {
    Import { module, name, params, wide_result: matches!(call, Call::TimeNow), grant, call }
}

/// Every import that exists. What is not in this table does not link on either core.
pub const IMPORTS: [Import; 8] = [
    import("coracle:log@1", "write", 3, None, Call::LogWrite),
    import("coracle:config@1", "get", 4, None, Call::ConfigGet),
    import("coracle:event@1", "read", 2, None, Call::EventRead),
    import("coracle:time@1", "now", 0, None, Call::TimeNow),
    import("coracle:sensor@1", "open", 2, Some(GrantKind::Sensors), Call::SensorOpen),
    import("coracle:sensor@1", "read_block", 4, Some(GrantKind::Sensors), Call::SensorReadBlock),
    import("coracle:msg@1", "publish", 4, Some(GrantKind::Publish), Call::MsgPublish),
    import("coracle:wake@1", "request", 4, Some(GrantKind::Wake), Call::WakeRequest),
];

/// The entry of [`IMPORTS`] with those names.
#[must_use]
pub fn find_import(module: &str, name: &str) -> Option<&'static Import> {
    IMPORTS.iter().find(|i| i.module == module && i.name == name)
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

    #[test]
    fn imports_are_named_once() {
        for (i, a) in IMPORTS.iter().enumerate() {
            assert!(!IMPORTS[i + 1..].iter().any(|b| (a.module, a.name) == (b.module, b.name)));
            assert_eq!(find_import(a.module, a.name).map(|f| f.call), Some(a.call));
        }
    }
}
