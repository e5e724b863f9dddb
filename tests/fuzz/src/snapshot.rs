//! Any bytes where a snapshot should be.

use coracle_migrate::snapshot::{EventHead, Head, SNAPSHOT_BYTES_MAX, Snapshot, encode};
use sha2::{Digest as _, Sha256};

/// Largest memory that is rebuilt here: a snapshot may claim 4 GiB, and it is the caller who says what is too much.
const MEMORY_BYTES_MAX: u32 = 1 << 20;
const PREFIX_BYTES: usize = 12;

/// A snapshot that was accepted keeps all it promises, and says the same when it is written again.
pub(crate) fn snapshot(input: &[u8]) {
    check(input);
    // An engine does not find a digest: the same bytes as the body of a snapshot whose digest fits.
    let mut whole = b"CSNP\x02\0\0\0".to_vec();
    whole.extend(u32::try_from(input.len()).unwrap().to_le_bytes());
    whole.extend(input);
    whole.extend(Sha256::digest(&whole));
    check(&whole);
}

fn check(bytes: &[u8]) {
    let Ok(snapshot) = Snapshot::decode(bytes) else { return };
    let head = snapshot.head();
    let events: Vec<_> = snapshot.events().collect();
    assert_eq!(snapshot.kv().len(), usize::from(head.kv_len));
    assert_eq!(events.len(), usize::from(head.events));
    assert!(events.iter().all(|(event, payload)| payload.len() == usize::from(event.len)));
    check_runs(bytes, head);
    if head.memory_len > MEMORY_BYTES_MAX {
        return;
    }
    let mut memory = vec![0xFF; head.memory_len as usize];
    snapshot.fill_memory(&mut memory).unwrap();
    let mut again = vec![0; PREFIX_BYTES + SNAPSHOT_BYTES_MAX + 32];
    let len = encode(head, snapshot.kv(), events.iter().copied(), &memory, &mut again).unwrap();
    let again = Snapshot::decode(&again[..len]).unwrap();
    assert_eq!((again.head(), again.kv()), (head, snapshot.kv()));
    assert!(again.events().eq(events));
    let mut memory_again = vec![0xFF; memory.len()];
    again.fill_memory(&mut memory_again).unwrap();
    assert!(memory == memory_again, "the memory differs");
}

/// What follows the store and the events is runs to the last byte; they ascend, do not overlap and lie in the memory.
fn check_runs(bytes: &[u8], head: &Head) {
    let body_len = u32::from_le_bytes(bytes[8..PREFIX_BYTES].try_into().unwrap());
    let body = &bytes[PREFIX_BYTES..][..body_len as usize];
    let (_, rest) = postcard::take_from_bytes::<Head>(body).unwrap();
    let mut rest = &rest[usize::from(head.kv_len)..];
    for _ in 0..head.events {
        let (event, after) = postcard::take_from_bytes::<EventHead>(rest).unwrap();
        rest = &after[usize::from(event.len)..];
    }
    let mut end = 0;
    while let Some((place, after)) = rest.split_first_chunk::<8>() {
        let [offset, len] = [&place[..4], &place[4..]].map(|word| u32::from_le_bytes(word.try_into().unwrap()));
        assert!(len > 0 && u64::from(offset) >= end, "an empty or overlapping run");
        end = u64::from(offset) + u64::from(len);
        assert!(end <= u64::from(head.memory_len), "a run outside the memory");
        rest = &after[len as usize..];
    }
    assert!(rest.is_empty(), "bytes that are no run");
}
