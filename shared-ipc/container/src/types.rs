//! What goes into a container and what comes out.

use alloc::{string::String, vec::Vec};

use coracle_guest_abi::{BlockHeader, EventKind, host::Name};
use coracle_lifecycle::ExitReason;

/// An event for a container, with its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedEvent {
    /// Position in the container's event stream.
    pub seq: u64,
    /// What happened.
    pub kind: EventKind,
    /// Sensor handle or topic index; see [`EventKind`].
    pub source: u8,
    /// Time of the event in microseconds.
    pub time_us: u64,
    /// The payload. Of a sensor event: the encoded [`BlockHeader`], then the samples as little-endian `i16`.
    pub payload: Vec<u8>,
}

impl OwnedEvent {
    /// The third argument of `on_event`: samples of a sensor event, bytes of any other.
    #[must_use]
    pub fn guest_len(&self) -> i32 {
        let len = match self.kind {
            EventKind::Sensor => self.payload.len().saturating_sub(BlockHeader::BYTES) / 2,
            EventKind::Message | EventKind::Wake => self.payload.len(),
        };
        i32::try_from(len).unwrap_or(i32::MAX)
    }
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
        payload: Vec<u8>,
    },
    /// A request for the A core.
    Wake {
        /// A reason that the container may wake for.
        reason: Name,
        /// What travels with the wake.
        payload: Vec<u8>,
    },
}

/// How far a [`crate::Container::run`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The event is handled; the container is idle.
    Done,
    /// The slice is used up; call `run` again.
    Pending,
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
}
