//! What `coracled` speaks on its Unix socket: requests, replies and events as JSON, one object a line.
//!
//! These types are the operator's view, apart from the wire types (between the cores) and the model types (inside the
//! daemon); the daemon converts. [`Client`] is the blocking client that the tools use. This crate does not start,
//! supervise or print anything.
//!
//! A connection carries requests and their replies in order. After [`Request::Events`] it carries events only.

mod client;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use client::{Client, ClientError};

/// Longest line that either side reads, in bytes.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// A core by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Core {
    /// The Cortex-M core.
    M,
    /// The Cortex-A core.
    A,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Make the machine hold what the manifest says. Answered when every container runs.
    Apply {
        /// The manifest file.
        manifest: PathBuf,
        /// Where to look for modules first, before beside the manifest.
        modules_dir: Option<PathBuf>,
        /// Hold the sensor back while A owes an answer: for scenarios in virtual time.
        #[serde(default)]
        lockstep: bool,
        /// Ignore the placement rules: nothing moves by itself.
        #[serde(default)]
        pinned: bool,
    },
    /// From now on send every event on this connection, beginning with those kept since the daemon started.
    Events,
    /// Numbers of containers, wakes, moves and link. Asks the M core, which counts as a use of A, not as a wake.
    Report,
    /// Move a container now.
    Move {
        /// Its name.
        container: String,
        /// Where to.
        to: Core,
    },
    /// Stop the daemon. Containers on M go on.
    Shutdown,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// Done, or under way.
    Ok,
    /// The numbers asked for.
    Report(Report),
    /// Refused; nothing changed.
    Error {
        /// What is wrong, where, and what to do; may have several lines.
        message: String,
    },
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts the events of this daemon.
    pub number: u64,
    /// Time of the sensor's clock in microseconds, where the event has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_us: Option<u64>,
    /// When it happened, where that is known. By this, events and log lines of both cores come in one order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockTime>,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// A time of A's clock: since the daemon started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockTime {
    /// In microseconds; negative before the daemon started.
    pub us: i64,
    /// By how much it may be wrong either way, in microseconds: 0 for what A saw itself.
    pub bound_us: u64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// The link to M came up.
    LinkUp {
        /// Protocol version.
        version: u16,
        /// Whether M had been running containers before (a re-attachment) or had just booted.
        attached: bool,
    },
    /// The link to M went down.
    LinkDown {
        /// Why.
        reason: String,
    },
    /// A wakes or goes to sleep.
    Power {
        /// Whether it is awake now.
        awake: bool,
        /// Why.
        reason: String,
    },
    /// A container runs.
    Started {
        /// Its name.
        container: String,
        /// Where.
        core: Core,
        /// From which state: "fresh", "checkpoint" or "snapshot".
        from: String,
    },
    /// A container ended.
    Exited {
        /// Its name.
        container: String,
        /// Where.
        core: Core,
        /// Why.
        reason: String,
    },
    /// A container's state was lost with a core.
    Lost {
        /// Its name.
        container: String,
        /// What was lost and what was done.
        detail: String,
    },
    /// M woke A.
    Wake {
        /// The reason.
        reason: String,
        /// The container that gets the payload.
        container: String,
        /// Bytes that travelled with it.
        bytes: u64,
    },
    /// M saw A awake after a wake.
    Woken {
        /// The reason.
        reason: String,
        /// From request to confirmation, on M's clock, in microseconds.
        latency_us: u64,
    },
    /// A container on A published a message.
    Message {
        /// The container.
        container: String,
        /// The topic.
        topic: String,
        /// The payload as text, unprintable bytes replaced.
        text: String,
    },
    /// A move began.
    MoveStarted {
        /// The container.
        container: String,
        /// From.
        from: Core,
        /// To.
        to: Core,
        /// Why.
        reason: String,
    },
    /// A move was committed; the container runs at its target.
    Moved {
        /// The container.
        container: String,
        /// From.
        from: Core,
        /// To.
        to: Core,
        /// Bytes of the snapshot.
        bytes: u64,
        /// Undelivered events that travelled along.
        queued: u32,
        /// From the stop at the source to the commit, on A's clock, in microseconds.
        downtime_us: u64,
    },
    /// A move did not happen; the container runs where it was.
    MoveRefused {
        /// The container.
        container: String,
        /// Where it should have gone.
        to: Core,
        /// Why.
        reason: String,
    },
    /// A container called what it is not granted, for the first time with that call.
    Refused {
        /// The container.
        container: String,
        /// Where.
        core: Core,
        /// The call: import module and name.
        call: String,
        /// What it named, where that is known.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        what: String,
    },
    /// A line of a log.
    Log {
        /// Whose.
        core: Core,
        /// "error", "warn", "info" or "debug".
        level: String,
        /// Time since the core started, in microseconds, where it is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        uptime_us: Option<u64>,
        /// The line.
        text: String,
    },
    /// Events were dropped because this client read too slowly.
    Missed {
        /// How many.
        count: u64,
    },
}

/// The state of the machine in numbers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Time of the last sensor block, in microseconds of the sensor's clock.
    pub time_us: u64,
    /// Whether A is asleep but for this request.
    pub a_asleep: bool,
    /// Containers by name.
    pub containers: BTreeMap<String, ContainerReport>,
    /// Wakes in order.
    pub wakes: Vec<WakeReport>,
    /// Wake requests that were held back by debounce or budget.
    pub wakes_held_back: u32,
    /// Committed moves in order.
    pub moves: Vec<MoveReport>,
    /// The link.
    pub link: LinkReport,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ContainerReport {
    /// Where it is.
    pub core: Option<Core>,
    /// Its state.
    pub state: String,
    /// Linear memory in bytes.
    pub memory_bytes: u64,
    /// Fuel used on each core; the units differ between the cores.
    pub fuel: BTreeMap<Core, u64>,
    /// Events handled in its life.
    pub events: u64,
    /// Events that were meant for it in its life: the number of the last one. Equal to `events` when every one was
    /// handled exactly once and none waits.
    pub queued: u64,
    /// Events dropped because its queue was full.
    pub dropped: u64,
    /// Calls refused for want of a grant.
    pub refused: u64,
    /// Log lines dropped because there were too many.
    #[serde(default)]
    pub logs_dropped: u64,
    /// Heap that it takes on M beside its linear memory, in bytes; 0 where it is not measured.
    #[serde(default)]
    pub overhead_bytes: u64,
    /// SHA-256 over what the guest can tell of its state, in hexadecimal.
    pub state_digest: String,
}

/// One wake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WakeReport {
    /// The reason.
    pub reason: String,
    /// Time of the cause, in microseconds of the sensor's clock.
    pub time_us: u64,
    /// From request to confirmation, on M's clock, in microseconds. `None` until M confirmed it, or when A was awake.
    pub latency_us: Option<u64>,
    /// Bytes that travelled with it.
    pub bytes: u64,
}

/// One committed move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveReport {
    /// The container.
    pub container: String,
    /// From.
    pub from: Core,
    /// To.
    pub to: Core,
    /// Bytes of the snapshot.
    pub bytes: u64,
    /// Undelivered events that travelled along.
    pub queued: u32,
    /// From the stop at the source to the commit, on A's clock, in microseconds.
    pub downtime_us: u64,
}

/// The link in numbers, as A counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkReport {
    /// Sessions since the daemon started.
    pub sessions: u32,
    /// Messages A to M.
    pub sent: u64,
    /// Messages M to A.
    pub received: u64,
    /// Frames dropped as malformed or of another session.
    pub dropped: u64,
    /// Payload bytes through the bulk region, A to M.
    pub bulk_sent_bytes: u64,
    /// Payload bytes through the bulk region, M to A.
    pub bulk_received_bytes: u64,
    /// Messages of containers on A that were lost because M did not take the earlier ones.
    #[serde(default)]
    pub messages_lost: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_requests_and_fields_are_refused() {
        assert!(serde_json::from_str::<Request>(r#"{"do":"report"}"#).is_ok());
        assert!(serde_json::from_str::<Request>(r#"{"do":"dance"}"#).is_err());
        assert!(serde_json::from_str::<Request>(r#"{"do":"apply","manifest":"x","modules_dir":null,"y":1}"#).is_err());
    }

    #[test]
    fn events_are_flat_objects() {
        let what = What::Woken { reason: "fault".into(), latency_us: 9 };
        let clock = Some(ClockTime { us: -3, bound_us: 2 });
        let event = Event { number: 1, time_us: None, clock, what };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(
            text,
            r#"{"number":1,"clock":{"us":-3,"bound_us":2},"event":"woken","reason":"fault","latency_us":9}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
