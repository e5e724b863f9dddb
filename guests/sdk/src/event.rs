//! What a container is told of.

use coracle_guest_abi::EventKind;

use crate::sensor::Sensor;
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
}

impl Event {
    /// The event with these arguments of `on_event`, or [`Errno::Invalid`] for a kind that this SDK does not know.
    pub(crate) fn from_args(kind: i32, source: i32, len: i32) -> Result<Self, Errno> {
        let kind = u8::try_from(kind).ok().and_then(EventKind::from_u8).ok_or(Errno::Invalid)?;
        let len = usize::try_from(len).map_err(|_| Errno::Invalid)?;
        Ok(match kind {
            EventKind::Sensor => Event::Sensor { sensor: Sensor(source), samples: len },
            EventKind::Message => Event::Message { topic: u8::try_from(source).map_err(|_| Errno::Invalid)?, len },
            EventKind::Wake => Event::Wake { len },
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_events() {
        let block = Event::Sensor { sensor: Sensor(2), samples: 512 };
        assert_eq!(Event::from_args(1, 2, 512), Ok(block));
        assert_eq!(Event::from_args(2, 7, 32), Ok(Event::Message { topic: 7, len: 32 }));
        assert_eq!(Event::from_args(3, 0, 4112), Ok(Event::Wake { len: 4112 }));
    }

    #[test]
    fn unknown_arguments_are_refused() {
        for (kind, source, len) in [(0, 0, 0), (4, 0, 0), (-1, 0, 0), (257, 0, 0), (2, 256, 0), (2, -1, 0), (3, 0, -1)]
        {
            assert_eq!(Event::from_args(kind, source, len), Err(Errno::Invalid), "{kind} {source} {len}");
        }
    }
}
