//! What the A core stores of a container that is here, or between.

use coracle_guest_abi::Name;
use coracle_migrate::role::MigrationId;
use coracle_migrate::snapshot::{Snapshot, SnapshotError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What the stored snapshot means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The container is live here, in this state.
    Live,
    /// Restored from a move that its source has not committed as far as we know.
    Prepared(MigrationId),
    /// Committed to M; kept until M confirmed. With [`NO_MOVE`]: taken from a checkpoint of M's after M was reset.
    MovedOut(MigrationId),
}

/// The id of no move: those of moves are higher.
pub const NO_MOVE: MigrationId = 0;

/// A stored record: the phase and a snapshot with the undelivered events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The container.
    pub name: Name,
    /// The phase.
    pub phase: Phase,
    /// An encoded snapshot, checked.
    pub snapshot: Vec<u8>,
}

/// Why stored bytes are not a record.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    /// The head is damaged or of another version.
    #[error("the record's head is damaged or of another version")]
    Head,
    /// The snapshot is damaged.
    #[error("the record's snapshot is damaged")]
    Snapshot(#[from] SnapshotError),
}

const VERSION: u8 = 1;

impl Record {
    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Cannot fail: plain data into a growing vector.
        let mut out = postcard::to_stdvec(&(VERSION, self.phase)).unwrap_or_default();
        out.extend_from_slice(&self.snapshot);
        out
    }

    /// Reads the stored form and checks the snapshot's digest.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let ((version, phase), rest): ((u8, Phase), &[u8]) =
            postcard::take_from_bytes(bytes).map_err(|_| RecordError::Head)?;
        if version != VERSION {
            return Err(RecordError::Head);
        }
        let name = Snapshot::decode(rest)?.head().name.clone();
        Ok(Self { name, phase, snapshot: rest.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use coracle_migrate::snapshot::{self, Head, HostState};

    use super::*;

    #[test]
    fn records_round_trip_and_damage_is_noticed() {
        let head = Head {
            name: "x".try_into().unwrap(),
            image: [1; 32],
            host: HostState::default(),
            globals: heapless::Vec::new(),
            memory_len: 0,
            kv_len: 0,
            events: 0,
        };
        let mut out = [0; 256];
        let len = snapshot::encode(&head, &[], std::iter::empty(), b"mem", &mut out).unwrap();
        let record = Record { name: head.name, phase: Phase::Prepared(7), snapshot: out[..len].to_vec() };
        let bytes = record.to_bytes();
        assert_eq!(Record::from_bytes(&bytes), Ok(record));
        for i in 0..bytes.len() {
            assert!(Record::from_bytes(&bytes[..i]).is_err());
        }
        let mut bad = bytes.clone();
        *bad.last_mut().unwrap() ^= 1;
        assert_eq!(Record::from_bytes(&bad), Err(RecordError::Snapshot(SnapshotError::Digest)));
    }
}
