//! What a container is told of.

use coracle_guest_abi::{EventKind, EventRecord};

use crate::gpio::Input;
use crate::sensor::Sensor;
use crate::time::{self, Timer};
use crate::{Errno, abi, count};

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A block of samples; take it with [`Sensor::read_block`].
    Sensor {
        /// The sensor it came from.
        sensor: Sensor,
        /// Number of samples.
        samples: usize,
    },
    /// A message; take it with [`read`].
    Message {
        /// Index of the topic in the manifest's `subscribe` list.
        topic: u8,
        /// Length in bytes.
        len: usize,
    },
    /// A wake with its payload; take it with [`read`].
    Wake {
        /// Length in bytes.
        len: usize,
    },
    /// A timer ran out.
    Timer {
        /// The timer.
        timer: Timer,
    },
    /// The configuration changed; [`read`] gives the changed keys, one a line.
    Config {
        /// Length of the keys in bytes.
        len: usize,
    },
    /// An edge of a pin that is watched; [`Record::tag`] is the new level, 0 or 1.
    Pin {
        /// The pin.
        pin: Input,
    },
    /// A request; take it with [`read`], and answer it with [`crate::msg::reply`] before the event is over.
    Request {
        /// Index of the topic in the manifest's `subscribe` list.
        topic: u8,
        /// Length in bytes.
        len: usize,
    },
    /// The answer to a request of this container; [`Record::tag`] is the request's number.
    Reply {
        /// Length in bytes of the answer, which [`read`] gives; or why there is none.
        answer: Result<usize, Errno>,
    },
}

impl Event {
    /// The event with these arguments of `on_event`, or [`Errno::Invalid`] for a kind that this SDK does not know.
    pub(crate) fn from_args(kind: i32, source: i32, len: i32) -> Result<Self, Errno> {
        let kind = u8::try_from(kind).ok().and_then(EventKind::from_u8).ok_or(Errno::Invalid)?;
        let len = usize::try_from(len).map_err(|_| Errno::Invalid)?;
        let topic = || u8::try_from(source).map_err(|_| Errno::Invalid);
        Ok(match kind {
            EventKind::Sensor => Event::Sensor { sensor: Sensor(source), samples: len },
            EventKind::Message => Event::Message { topic: topic()?, len },
            EventKind::Wake => Event::Wake { len },
            EventKind::Timer => Event::Timer { timer: Timer(source) },
            EventKind::Config => Event::Config { len },
            EventKind::Pin => Event::Pin { pin: Input(source) },
            EventKind::Request => Event::Request { topic: topic()?, len },
            EventKind::Reply => {
                Event::Reply { answer: if source == 0 { Ok(len) } else { Err(crate::errno(source.wrapping_neg())) } }
            }
        })
    }
}

/// An event with what `on_event` does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The event.
    pub event: Event,
    /// Of a pin its level, of a request or reply the request's number, otherwise 0.
    pub tag: u32,
    /// When it happened, in microseconds of its source's clock.
    pub time_us: u64,
}

impl Record {
    pub(crate) fn from_bytes(bytes: &[u8; EventRecord::BYTES]) -> Result<Self, Errno> {
        let record = EventRecord::from_bytes(bytes).ok_or(Errno::Invalid)?;
        let [kind, source, len] = [record.kind, record.source, record.len].map(u32::cast_signed);
        Ok(Self { event: Event::from_args(kind, source, len)?, tag: record.tag, time_us: record.time_us })
    }
}

/// A set of kinds of event, for [`wait`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// Every kind, also those that a newer core may have.
    pub const EVERY: Self = Self(0);

    /// These kinds.
    #[must_use]
    pub fn of(kinds: &[EventKind]) -> Self {
        Self(kinds.iter().fold(0, |set, kind| set | kind.bit()))
    }
}

/// Reads the payload of the event being handled.
///
/// # Errors
/// [`Errno::TooLarge`] when it does not fit `buffer`, [`Errno::Again`] when no event is being handled.
pub fn read(buffer: &mut [u8]) -> Result<&[u8], Errno> {
    let len = count(abi::event_read(buffer))?;
    buffer.get(..len).ok_or(Errno::TooLarge)
}

/// The event being handled.
///
/// # Errors
/// [`Errno::Again`] when no event is being handled.
pub fn current() -> Result<Record, Errno> {
    let mut record = [0; EventRecord::BYTES];
    count(abi::event_current(&mut record))?;
    Record::from_bytes(&record)
}

/// Waits until an event of one of `kinds` comes, and makes it the one being handled. `timeout_us` is in microseconds;
/// `None` waits for ever. Events of other kinds stay in the queue. Only in a [`crate::command!`].
///
/// # Errors
/// [`Errno::TimedOut`] when the time is over, [`Errno::Invalid`] outside of a command.
pub fn wait(kinds: Kinds, timeout_us: Option<u64>) -> Result<Record, Errno> {
    let mut record = [0; EventRecord::BYTES];
    count(abi::event_wait(kinds.0, time::timeout(timeout_us), &mut record))?;
    Record::from_bytes(&record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_events() {
        for (kind, source, len, event) in [
            (1, 2, 512, Event::Sensor { sensor: Sensor(2), samples: 512 }),
            (2, 7, 32, Event::Message { topic: 7, len: 32 }),
            (3, 0, 4112, Event::Wake { len: 4112 }),
            (4, 3, 0, Event::Timer { timer: Timer(3) }),
            (5, 0, 9, Event::Config { len: 9 }),
            (6, 8, 0, Event::Pin { pin: Input(8) }),
            (7, 1, 5, Event::Request { topic: 1, len: 5 }),
            (8, 0, 5, Event::Reply { answer: Ok(5) }),
            (8, 110, 0, Event::Reply { answer: Err(Errno::TimedOut) }),
        ] {
            assert_eq!(Event::from_args(kind, source, len), Ok(event));
        }
    }

    #[test]
    fn unknown_arguments_are_refused() {
        for (kind, source, len) in [(0, 0, 0), (9, 0, 0), (-1, 0, 0), (257, 0, 0), (2, 256, 0), (2, -1, 0), (3, 0, -1)]
        {
            assert_eq!(Event::from_args(kind, source, len), Err(Errno::Invalid), "{kind} {source} {len}");
        }
    }

    #[test]
    fn a_record_is_the_event_and_more() {
        let raw = EventRecord { kind: 6, source: 9, len: 0, tag: 1, time_us: 1 << 40 };
        let record = Record { event: Event::Pin { pin: Input(9) }, tag: 1, time_us: 1 << 40 };
        assert_eq!(Record::from_bytes(&raw.to_bytes()), Ok(record));
        let unknown = EventRecord { kind: 77, ..raw };
        assert_eq!(Record::from_bytes(&unknown.to_bytes()), Err(Errno::Invalid));
    }

    #[test]
    fn kinds_are_bits() {
        assert_eq!(Kinds::of(&[EventKind::Sensor, EventKind::Timer]).0, 0b1_0010);
        assert_eq!(Kinds::of(&[]), Kinds::EVERY);
    }
}
