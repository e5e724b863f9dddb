//! What the M core's retained slots hold: two a container, its state and its queue, so that an event for a container that is
//! busy can be committed without capturing it.
//!
//! ```text
//! record: kind u8 | 0 u8 | 0 u16 | migration id u32 | snapshot (which checks itself by digest)
//! ```
//! Slot 2i holds container i's state, slot 2i+1 its undelivered events (a snapshot without memory).

use crate::role::MigrationId;
use crate::snapshot::{Snapshot, SnapshotError};

/// Bytes before the snapshot.
pub const RECORD_HEAD_BYTES: usize = 8;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// The container is live on M with this state.
    Live,
    /// The container is not on M. With the id of the migration that took it away, or 0.
    Gone(MigrationId),
    /// Its undelivered events.
    Queue,
    /// The slot's container was removed.
    Empty,
}

/// A decoded record.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// What it is about.
    pub kind: RecordKind,
    /// The snapshot; without memory unless the kind is [`RecordKind::Live`].
    pub snapshot: Snapshot<'a>,
}

impl RecordKind {
    /// The head of a record of that kind.
    #[must_use]
    pub fn to_bytes(self) -> [u8; RECORD_HEAD_BYTES] {
        let (kind, id) = match self {
            RecordKind::Live => (1, 0),
            RecordKind::Gone(id) => (2, id),
            RecordKind::Queue => (3, 0),
            RecordKind::Empty => (4, 0),
        };
        let mut out = [0; RECORD_HEAD_BYTES];
        out[0] = kind;
        out[4..].copy_from_slice(&id.to_le_bytes());
        out
    }
}

/// Decodes the payload of a retained slot. `Ok(None)`: the slot's container was removed.
///
/// # Errors
/// [`SnapshotError`] when it is not a record that may be believed.
pub fn read_record(bytes: &[u8]) -> Result<Option<Record<'_>>, SnapshotError> {
    let head: &[u8; RECORD_HEAD_BYTES] =
        bytes.get(..RECORD_HEAD_BYTES).and_then(|h| h.try_into().ok()).ok_or(SnapshotError::Malformed)?;
    let id = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let kind = match head[0] {
        1 => RecordKind::Live,
        2 => RecordKind::Gone(id),
        3 => RecordKind::Queue,
        4 => return Ok(None),
        _ => return Err(SnapshotError::Malformed),
    };
    let snapshot = Snapshot::decode(bytes.get(RECORD_HEAD_BYTES..).unwrap_or_default())?;
    Ok(Some(Record { kind, snapshot }))
}
