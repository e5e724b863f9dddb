//! Any bytes where a snapshot should be.

use coracle_migrate::snapshot::{SNAPSHOT_BYTES_MAX, Snapshot, encode};
use sha2::{Digest as _, Sha256};

/// Largest memory that is rebuilt here: a snapshot may claim 4 GiB, and it is the caller who says what is too much.
const MEMORY_BYTES_MAX: u32 = 1 << 20;
const PREFIX_BYTES: usize = 12;

/// A snapshot that was accepted keeps all it promises, and says the same when it is written again.
pub(crate) fn snapshot(input: &[u8]) {
    check(input);
    // An engine does not find a digest: the same bytes as the body of a snapshot whose digest fits.
    let mut whole = b"CSNP\x01\0\0\0".to_vec();
    whole.extend(u32::try_from(input.len()).unwrap().to_le_bytes());
    whole.extend(input);
    whole.extend(Sha256::digest(&whole));
    check(&whole);
}

fn check(bytes: &[u8]) {
    let Ok(snapshot) = Snapshot::decode(bytes) else { return };
    let head = snapshot.head();
    let events: Vec<_> = snapshot.events().collect();
    assert_eq!(events.len(), usize::from(head.events));
    assert!(events.iter().all(|(event, payload)| payload.len() == usize::from(event.len)));
    if head.memory_len > MEMORY_BYTES_MAX {
        return;
    }
    let mut memory = vec![0xFF; head.memory_len as usize];
    snapshot.fill_memory(&mut memory).unwrap();
    let mut again = vec![0; PREFIX_BYTES + SNAPSHOT_BYTES_MAX + 32];
    let len = encode(head, events.iter().copied(), &memory, &mut again).unwrap();
    let again = Snapshot::decode(&again[..len]).unwrap();
    assert_eq!(again.head(), head);
    assert!(again.events().eq(events));
    let mut memory_again = vec![0xFF; memory.len()];
    again.fill_memory(&mut memory_again).unwrap();
    assert!(memory == memory_again, "the memory differs");
}
