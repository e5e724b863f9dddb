//! What M's retained slots say of a container, copied out and checked.

use coracle_container::{MEMORY_BYTES_MAX, OwnedEvent};
use coracle_guest_abi::EventKind;
use coracle_guest_abi::Name;
use coracle_migrate::retained::{RecordKind, read_record};
use coracle_migrate::snapshot::{self, Head, Snapshot};

use crate::entry::head_of;
use crate::reconcile::RetainedKind;

/// Room that the encoding of a snapshot needs beside memory and payloads, in bytes.
const SNAPSHOT_OVERHEAD_BYTES: usize = 1024;

/// One slot's record.
pub(crate) struct RetainedRecord {
    pub(crate) name: Name,
    kind: RecordKind,
    bytes: Vec<u8>,
}

impl RetainedRecord {
    /// `None` when the slot is empty or cannot be believed.
    pub(crate) fn parse(bytes: Vec<u8>) -> Option<Self> {
        let record = read_record(&bytes).ok()??;
        let (name, kind) = (record.snapshot.head().name.clone(), record.kind);
        Some(Self { name, kind, bytes })
    }

    /// Where the container was, if this record says.
    pub(crate) fn kind(&self) -> Option<RetainedKind> {
        match self.kind {
            RecordKind::Live => Some(RetainedKind::Live),
            RecordKind::Gone(id) => Some(RetainedKind::Gone(id)),
            RecordKind::Queue | RecordKind::Empty => None,
        }
    }

    fn snapshot(&self) -> Option<Snapshot<'_>> {
        Some(read_record(&self.bytes).ok()??.snapshot)
    }

    /// The undelivered events of a queue record.
    pub(crate) fn queued(&self) -> Vec<OwnedEvent> {
        let Some(snapshot) = self.snapshot().filter(|_| self.kind == RecordKind::Queue) else { return Vec::new() };
        snapshot
            .events()
            .filter_map(|(head, payload)| {
                let kind = EventKind::from_u8(head.kind)?;
                // Of a wake, `source` is M's note of its rule; the guest gets 0.
                let source = if kind == EventKind::Wake { 0 } else { head.source };
                let (seq, tag, time_us) = (head.seq, head.tag, head.time_us);
                Some(OwnedEvent { seq, kind, source, tag, time_us, payload: payload.to_vec().into() })
            })
            .collect()
    }

    /// One snapshot out of the state and the queue record of a container that was live on M.
    pub(crate) fn merge(records: &[Self]) -> Option<Vec<u8>> {
        let state = records.iter().find(|r| r.kind == RecordKind::Live)?.snapshot()?;
        let queue = records.iter().find(|r| r.kind == RecordKind::Queue).and_then(Self::snapshot);
        let mut head: Head = state.head().clone();
        if head.memory_len > MEMORY_BYTES_MAX {
            return None;
        }
        let mut memory = vec![0; head.memory_len as usize];
        state.fill_memory(&mut memory).ok()?;
        let mut room = memory.len() + state.kv().len() + SNAPSHOT_OVERHEAD_BYTES;
        let mut out;
        let len = match &queue {
            Some(queue) => {
                head.host.cursor = head.host.cursor.max(queue.head().host.cursor);
                room += queue.events().map(|(_, p)| p.len() + 32).sum::<usize>();
                out = vec![0; room];
                snapshot::encode(&head, state.kv(), queue.events(), &memory, &mut out).ok()?
            }
            None => {
                out = vec![0; room];
                snapshot::encode(&head, state.kv(), std::iter::empty(), &memory, &mut out).ok()?
            }
        };
        out.truncate(len);
        Some(out)
    }
}

/// The snapshot with those events added that come after all it knows. `None` when it is damaged or over its limits.
pub(crate) fn with_events(bytes: &[u8], more: impl Iterator<Item = OwnedEvent>) -> Option<Vec<u8>> {
    let snapshot = Snapshot::decode(bytes).ok()?;
    let mut head: Head = snapshot.head().clone();
    let known = head.host.cursor;
    let more: Vec<OwnedEvent> = more.filter(|e| e.seq > known).collect();
    head.host.cursor = more.last().map_or(known, |e| e.seq);
    if head.memory_len > MEMORY_BYTES_MAX {
        return None;
    }
    let mut memory = vec![0; head.memory_len as usize];
    snapshot.fill_memory(&mut memory).ok()?;
    let added = more.iter().map(|e| (head_of(e), e.payload.as_slice()));
    let events = snapshot.events().chain(added);
    let payloads: usize = events.clone().map(|(_, p)| p.len() + 32).sum();
    let mut out = vec![0; memory.len() + snapshot.kv().len() + payloads + SNAPSHOT_OVERHEAD_BYTES];
    let len = snapshot::encode(&head, snapshot.kv(), events, &memory, &mut out).ok()?;
    out.truncate(len);
    Some(out)
}
