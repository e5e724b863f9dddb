//! A hostile guest and what happens to it, as bytes that cross to the M core.

use alloc::string::String;
use alloc::vec::Vec;

use coracle_container::{ContainerSpec, OwnedEvent};
use coracle_guest_abi::EventKind;
use serde::{Deserialize, Serialize};

/// A container and its fate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What attacks what; unique in the table.
    pub name: String,
    /// The module as it is loaded.
    pub module: Vec<u8>,
    /// What it is deployed with.
    pub spec: ContainerSpec,
    /// The snapshot that it is restored from.
    pub snapshot: Option<Vec<u8>>,
    /// What happens to it after its first run.
    pub script: Vec<Act>,
    /// It is more than the memory of a small core holds.
    pub host_only: bool,
    /// It sends messages to the second neighbour, so that neighbour is disturbed by right: its queue overflows, which is
    /// counted, and it goes on.
    pub floods: bool,
    /// It is also created and removed thousands of times.
    pub cycled: bool,
}

/// What happens to a hostile container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// An event is queued for it, and handled.
    Event {
        /// [`EventKind`] as a number.
        kind: u8,
        /// The event's source.
        source: u8,
        /// The event's tag.
        tag: u32,
        /// The event's payload.
        payload: Vec<u8>,
    },
    /// So many turns pass, whatever it does meanwhile.
    Turns(u32),
}

impl Act {
    /// The event, if the act is one.
    pub(crate) fn event(&self) -> Option<OwnedEvent> {
        let Act::Event { kind, source, tag, payload } = self else { return None };
        Some(OwnedEvent {
            seq: 0,
            kind: EventKind::from_u8(*kind)?,
            source: *source,
            tag: *tag,
            time_us: 0,
            payload: payload.clone().into(),
        })
    }
}

/// Appends a case to `out`: its length as a little-endian `u32`, its bytes, zeros up to a multiple of four.
///
/// # Panics
/// When the case has 4 GiB.
#[cfg(not(target_os = "none"))]
pub fn write_case(case: &Case, out: &mut Vec<u8>) {
    let bytes = postcard::to_extend(case, Vec::new()).expect("a case can be encoded");
    out.extend(u32::try_from(bytes.len()).expect("a case is smaller than 4 GiB").to_le_bytes());
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// The case in those bytes, without their length.
#[must_use]
pub fn read_case(bytes: &[u8]) -> Option<Case> {
    postcard::from_bytes(bytes).ok()
}
