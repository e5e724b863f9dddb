//! What goes into a container and what comes out.

use alloc::{string::String, sync::Arc, vec::Vec};

use coracle_guest_abi::{BlockHeader, Call, EventKind, EventRecord, Name};
use coracle_lifecycle::ExitReason;

/// The bytes of an event or a message, shared by all that wait for it: delivering within a core copies nothing and
/// allocates nothing.
pub type Payload = Arc<Vec<u8>>;

/// An event for a container, with its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedEvent {
    /// Position in the container's event stream; 0: it is not of the stream (timers, answers, what is published here).
    pub seq: u64,
    /// What happened.
    pub kind: EventKind,
    /// Sensor handle, topic index, timer; see [`EventKind`].
    pub source: u8,
    /// See [`EventKind`]; 0 where it says nothing.
    pub tag: u32,
    /// Time of the event in microseconds.
    pub time_us: u64,
    /// The payload. Of a sensor event: the encoded [`BlockHeader`], then the samples as little-endian `i16`. Of a request:
    /// see [`request_payload`].
    pub payload: Payload,
}

impl OwnedEvent {
    /// What the guest reads of the payload.
    #[must_use]
    pub fn guest_payload(&self) -> &[u8] {
        match self.kind {
            EventKind::Request => request_parts(&self.payload).map_or(&[], |(_, body)| body),
            _ => &self.payload,
        }
    }

    /// The third argument of `on_event`: samples of a sensor event, bytes of any other.
    #[must_use]
    pub fn guest_len(&self) -> i32 {
        let len = match self.kind {
            EventKind::Sensor => self.payload.len().saturating_sub(BlockHeader::BYTES) / 2,
            _ => self.guest_payload().len(),
        };
        i32::try_from(len).unwrap_or(i32::MAX)
    }

    /// The event as the guest reads it.
    #[must_use]
    pub fn record(&self) -> EventRecord {
        EventRecord {
            kind: u32::from(self.kind as u8),
            source: u32::from(self.source),
            len: self.guest_len().cast_unsigned(),
            tag: self.tag,
            time_us: self.time_us,
        }
    }
}

/// The payload of a [`EventKind::Request`]: one byte of length, the name of who asks, the body. So a request carries its
/// way back wherever it waits.
#[must_use]
pub fn request_payload(from: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + from.len() + body.len());
    out.push(u8::try_from(from.len()).unwrap_or(0));
    out.extend_from_slice(from.as_bytes());
    out.extend_from_slice(body);
    out
}

/// Who asks, and the body. `None` for bytes that are no request's.
#[must_use]
pub fn request_parts(payload: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = payload.split_first()?;
    let (from, body) = rest.split_at_checked(usize::from(*len))?;
    Some((core::str::from_utf8(from).ok()?, body))
}

/// What a guest asked for while it handled an event. The supervisor carries it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnedEffect {
    /// A line for the log.
    Log {
        /// 1 error, 2 warning, 3 information, 4 debug.
        level: u8,
        /// The line.
        text: String,
    },
    /// A message on a topic that the container may publish.
    Publish {
        /// The topic.
        topic: Name,
        /// The message.
        payload: Payload,
        /// Keep it as the topic's value.
        retain: bool,
    },
    /// A request to whoever subscribes a topic.
    Request {
        /// The topic.
        topic: Name,
        /// Its number.
        id: u32,
        /// The body.
        payload: Payload,
    },
    /// The answer to a request.
    Reply {
        /// Who asked.
        to: Name,
        /// The request's number.
        id: u32,
        /// The body.
        payload: Payload,
    },
    /// It wants the retained value of this granted topic.
    Subscribed {
        /// Index in its grants.
        topic: u8,
    },
    /// A request for the A core.
    Wake {
        /// A reason that the container may wake for.
        reason: Name,
        /// What travels with the wake.
        payload: Payload,
    },
    /// It called what it is not granted, for the first time with this call.
    Refused {
        /// The call.
        call: Call,
        /// What it named, cut.
        what: String,
    },
}

/// How far a container's `run` came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The event is handled; the container is idle.
    Done,
    /// The slice is used up; call `run` again.
    Pending,
    /// A call waits for something; see `waiting`. `run` goes on when it has come.
    Parked,
    /// The container ended. It answers the same to every later call.
    Exited(ExitReason),
}

/// What a container has used since it was loaded on this core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Length of its linear memory in bytes, now.
    pub memory_bytes: usize,
    /// Fuel of all events, in this engine's units (they differ between engines).
    pub fuel_total: u64,
    /// Events handled.
    pub events: u64,
    /// Host calls refused for want of a grant.
    pub refused_calls: u32,
    /// Log lines dropped because there were too many a second or in an event.
    pub logs_dropped: u32,
}
