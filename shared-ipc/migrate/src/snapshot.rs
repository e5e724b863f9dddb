//! The snapshot format: the portable state of a container that stopped between events.
//!
//! State = linear memory + mutable globals + host-side state (opened handles, clock, timers, filters, requests, the
//! key-value store, counters, undelivered events and how far the container has seen its event streams). The same bytes restore on wasmi and on Wasmtime. Snapshots travel in a
//! migration, lie in the M core's retained memory, and are the A core's checkpoint files; they are untrusted wherever
//! they come from, so [`Snapshot::decode`] checks everything before anything is used.
//!
//! ```text
//! "CSNP" | version u16 | 0 u16 | body_len u32 | body | sha256 of all before it
//! body = postcard(Head) | kv | Head.events times (postcard(EventHead) | payload) | runs: (offset u32 | len u32 | bytes)*
//! ```
//! Integers outside postcard are little-endian. Memory that no run covers is zero; the runs ascend and do not overlap.

use coracle_guest_abi::{GRANTS_MAX, KV_BYTES_MAX, Name, REQUESTS_MAX, TIMERS_MAX, WAKE_BYTES_MAX};
use heapless::Vec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The version this code writes, and the only one it reads.
pub const SNAPSHOT_VERSION: u16 = 2;
/// Most mutable globals a portable module has.
pub const GLOBALS_MAX: usize = 16;
/// Most undelivered events that travel along.
pub const EVENTS_MAX: usize = 64;
/// Largest encoded snapshot, in bytes. It bounds every buffer that holds one.
pub const SNAPSHOT_BYTES_MAX: usize = 128 * 1024;

const MAGIC: [u8; 4] = *b"CSNP";
const PREFIX_BYTES: usize = 12;
const DIGEST_BYTES: usize = 32;
/// A run of this many zero bytes is left out; shorter ones cost less than the head of another run.
const ZERO_RUN_BYTES_MIN: usize = 16;

/// A SHA-256 digest.
pub type DigestBytes = [u8; DIGEST_BYTES];

/// A mutable global's value as its bits, so that NaN payloads survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GlobalValue {
    /// An `i32`.
    I32(u32),
    /// An `i64`.
    I64(u64),
    /// The bits of an `f32`.
    F32(u32),
    /// The bits of an `f64`.
    F64(u64),
}

/// The host-side state of a container that travels with its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostState {
    /// Bit mask of opened sensor handles.
    pub handles: u32,
    /// Whether `init` has run: it runs once in a container's life, not once a core.
    pub initialised: bool,
    /// Events handled since the container was created.
    pub handled: u64,
    /// Sequence number of the last event that was queued for it: what is not above it is a repeat.
    pub cursor: u64,
    /// Its own clock at the capture, in microseconds. It stands still until the container runs again.
    pub clock_us: u64,
    /// Its timers, on its own clock; the index is the timer's number.
    pub timers: [Option<Timer>; TIMERS_MAX],
    /// What it asked of its sensors, in the order of its grants.
    pub sensors: [SensorUse; GRANTS_MAX],
    /// The edges that it watches of its pins, in the order of its grants.
    pub pins: [PinUse; GRANTS_MAX],
    /// Bit mask of the granted topics that it does not want at present.
    pub unsubscribed: u8,
    /// Requests that wait for an answer.
    pub requests: [Option<Request>; REQUESTS_MAX],
    /// Number of the last request.
    pub last_request: u32,
    /// Times that random bytes were taken.
    pub random: u64,
    /// Changes of its configuration since it was created.
    pub config_version: u32,
}

/// A timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// When it becomes an event, on the container's clock in microseconds.
    pub due_us: u64,
    /// How often, in microseconds; 0: once.
    pub period_us: u64,
    /// How much later it may be, in microseconds.
    pub slack_us: u64,
}

/// What a container asked of one of its sensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SensorUse {
    /// It closed the handle: no block is an event.
    pub off: bool,
    /// Samples a second that it asked for; 0: what is granted.
    pub rate_hz: u32,
    /// A block is an event only if one of its samples is below the first or above the second.
    pub threshold: Option<(i32, i32)>,
}

/// What a container asked of one of its pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PinUse {
    /// 0 none, 1 rising, 2 falling, 3 both.
    pub edges: u8,
    /// How long a level has to last to count, in microseconds.
    pub debounce_us: u32,
}

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its number.
    pub id: u32,
    /// When nobody waits for the answer any more, on the container's clock in microseconds.
    pub due_us: u64,
}

/// Everything in the body before the events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Container name.
    pub name: Name,
    /// Digest of the module that the state belongs to.
    pub image: DigestBytes,
    /// Host-side state.
    pub host: HostState,
    /// Mutable globals in the order of their indices.
    pub globals: Vec<GlobalValue, GLOBALS_MAX>,
    /// Length of the linear memory in bytes.
    pub memory_len: u32,
    /// Length of the key-value store in bytes.
    pub kv_len: u16,
    /// Number of undelivered events.
    pub events: u8,
}

/// An event's description; the payload follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventHead {
    /// Position in the container's event stream; ascending, gaps mean loss.
    pub seq: u64,
    /// `EventKind` as a number.
    pub kind: u8,
    /// Sensor handle, topic index or whatever the kind says.
    pub source: u8,
    /// What the kind says; mostly 0.
    pub tag: u32,
    /// Time of the event in microseconds.
    pub time_us: u64,
    /// Payload bytes.
    pub len: u16,
}

/// Why bytes are not a snapshot that may be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotError {
    /// Not a snapshot, or cut short.
    Malformed,
    /// Written by another version of the format.
    Version {
        /// The version found.
        found: u16,
    },
    /// The digest does not fit the bytes.
    Digest,
    /// A count or length over its limit.
    TooLarge,
    /// The caller's buffer is too small for the encoded snapshot.
    NoSpace,
}

impl core::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SnapshotError::Malformed => f.write_str("the bytes are not a snapshot"),
            SnapshotError::Version { found } => {
                write!(f, "snapshot version {found}, this build reads {SNAPSHOT_VERSION}")
            }
            SnapshotError::Digest => f.write_str("the snapshot's digest does not match its bytes"),
            SnapshotError::TooLarge => f.write_str("the snapshot exceeds a limit of the format"),
            SnapshotError::NoSpace => f.write_str("the buffer is too small for the snapshot"),
        }
    }
}

impl core::error::Error for SnapshotError {}

/// A writer into a caller's buffer that remembers whether anything did not fit.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let to = self.out.get_mut(self.at..self.at + bytes.len()).ok_or(SnapshotError::NoSpace)?;
        to.copy_from_slice(bytes);
        self.at += bytes.len();
        Ok(())
    }

    fn put_postcard(&mut self, value: &impl Serialize) -> Result<(), SnapshotError> {
        let room = self.out.get_mut(self.at..).ok_or(SnapshotError::NoSpace)?;
        let used = postcard::to_slice(value, room).map_err(|_| SnapshotError::NoSpace)?.len();
        self.at += used;
        Ok(())
    }
}

/// Encodes a snapshot into `out` and returns the number of bytes used. The lengths and counts in `head` are set from the
/// arguments; what the caller wrote there does not matter. `kv` is the key-value store as the container crate writes it.
///
/// # Errors
/// [`SnapshotError::NoSpace`] when `out` is too small, [`SnapshotError::TooLarge`] when there are too many events, a
/// payload or the store over its limit, or a memory over 4 GiB.
pub fn encode<'e>(
    head: &Head,
    kv: &[u8],
    events: impl Iterator<Item = (EventHead, &'e [u8])> + Clone,
    memory: &[u8],
    out: &mut [u8],
) -> Result<usize, SnapshotError> {
    let count = events.clone().count();
    if count > EVENTS_MAX || kv.len() > KV_BYTES_MAX {
        return Err(SnapshotError::TooLarge);
    }
    let head = Head {
        kv_len: u16::try_from(kv.len()).map_err(|_| SnapshotError::TooLarge)?,
        events: u8::try_from(count).map_err(|_| SnapshotError::TooLarge)?,
        memory_len: u32::try_from(memory.len()).map_err(|_| SnapshotError::TooLarge)?,
        ..head.clone()
    };
    let mut w = Writer { out, at: PREFIX_BYTES };
    w.put_postcard(&head)?;
    w.put(kv)?;
    for (event, payload) in events {
        if payload.len() > WAKE_BYTES_MAX {
            return Err(SnapshotError::TooLarge);
        }
        let len = u16::try_from(payload.len()).map_err(|_| SnapshotError::TooLarge)?;
        w.put_postcard(&EventHead { len, ..event })?;
        w.put(payload)?;
    }
    for run in runs(memory) {
        let offset = u32::try_from(run.start).map_err(|_| SnapshotError::TooLarge)?;
        let len = u32::try_from(run.len()).map_err(|_| SnapshotError::TooLarge)?;
        w.put(&offset.to_le_bytes())?;
        w.put(&len.to_le_bytes())?;
        w.put(memory.get(run).unwrap_or_default())?;
    }
    let end = w.at;
    if end - PREFIX_BYTES > SNAPSHOT_BYTES_MAX {
        // `decode` would refuse it: better no snapshot than one that cannot be restored.
        return Err(SnapshotError::TooLarge);
    }
    let body_len = u32::try_from(end - PREFIX_BYTES).map_err(|_| SnapshotError::TooLarge)?;
    let mut prefix = Writer { out: w.out, at: 0 };
    prefix.put(&MAGIC)?;
    prefix.put(&SNAPSHOT_VERSION.to_le_bytes())?;
    prefix.put(&[0, 0])?;
    prefix.put(&body_len.to_le_bytes())?;
    let digest = Sha256::digest(prefix.out.get(..end).unwrap_or_default());
    let mut tail = Writer { out: prefix.out, at: end };
    tail.put(&digest)?;
    Ok(tail.at)
}

/// The stretches of `memory` worth writing: they start and end with a non-zero byte and contain no long zero run.
fn runs(memory: &[u8]) -> impl Iterator<Item = core::ops::Range<usize>> + '_ {
    let mut at = 0;
    core::iter::from_fn(move || {
        let rest = memory.get(at..)?;
        let start = at + rest.iter().position(|b| *b != 0)?;
        let mut end = start;
        let mut zeros = 0;
        for (i, b) in memory.iter().enumerate().skip(start) {
            zeros = if *b == 0 { zeros + 1 } else { 0 };
            if *b != 0 {
                end = i + 1;
            }
            if zeros >= ZERO_RUN_BYTES_MIN {
                break;
            }
        }
        at = end;
        Some(start..end)
    })
}

/// A checked snapshot, borrowing the bytes it was decoded from. Holding one proves that the digest fits, every count
/// and length is within its limit, and [`Snapshot::events`] and [`Snapshot::runs`] will yield all they promise. It
/// does *not* prove that the state belongs to any module or container of ours: compare [`Head::image`].
#[derive(Debug, Clone)]
pub struct Snapshot<'a> {
    head: Head,
    kv: &'a [u8],
    events: &'a [u8],
    runs: &'a [u8],
    digest: DigestBytes,
}

impl<'a> Snapshot<'a> {
    /// Checks `bytes`, which may be longer than the snapshot (a slot, a page).
    ///
    /// # Errors
    /// See [`SnapshotError`]; nothing of a refused snapshot is usable.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, SnapshotError> {
        let prefix: &[u8; PREFIX_BYTES] =
            bytes.get(..PREFIX_BYTES).and_then(|p| p.try_into().ok()).ok_or(SnapshotError::Malformed)?;
        if prefix[..4] != MAGIC {
            return Err(SnapshotError::Malformed);
        }
        let found = u16::from_le_bytes([prefix[4], prefix[5]]);
        if found != SNAPSHOT_VERSION {
            return Err(SnapshotError::Version { found });
        }
        let body_len = u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]) as usize;
        if body_len > SNAPSHOT_BYTES_MAX {
            return Err(SnapshotError::TooLarge);
        }
        let end = PREFIX_BYTES + body_len;
        let digest: DigestBytes =
            bytes.get(end..end + DIGEST_BYTES).and_then(|d| d.try_into().ok()).ok_or(SnapshotError::Malformed)?;
        if Sha256::digest(bytes.get(..end).unwrap_or_default())[..] != digest {
            return Err(SnapshotError::Digest);
        }
        let body = bytes.get(PREFIX_BYTES..end).ok_or(SnapshotError::Malformed)?;
        let (head, rest): (Head, _) = postcard::take_from_bytes(body).map_err(|_| SnapshotError::Malformed)?;
        let kv_len = usize::from(head.kv_len);
        if usize::from(head.events) > EVENTS_MAX || kv_len > KV_BYTES_MAX {
            return Err(SnapshotError::TooLarge);
        }
        let kv = rest.get(..kv_len).ok_or(SnapshotError::Malformed)?;
        let rest = rest.get(kv_len..).ok_or(SnapshotError::Malformed)?;
        // Walk both lists once, so that the iterators cannot come upon anything bad later.
        let mut events = EventIter { rest };
        for _ in 0..head.events {
            events.next().ok_or(SnapshotError::Malformed)?;
        }
        let runs = events.rest;
        let events = rest.get(..rest.len() - runs.len()).ok_or(SnapshotError::Malformed)?;
        let mut iter = RunIter { rest: runs };
        let mut low = 0;
        for (offset, run) in iter.by_ref() {
            let stop = offset.checked_add(run.len()).ok_or(SnapshotError::Malformed)?;
            if offset < low || run.is_empty() || stop > head.memory_len as usize {
                return Err(SnapshotError::Malformed);
            }
            low = stop;
        }
        if !iter.rest.is_empty() {
            return Err(SnapshotError::Malformed);
        }
        Ok(Self { head, kv, events, runs, digest })
    }

    /// The head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The digest over the whole snapshot, checked.
    #[must_use]
    pub fn digest(&self) -> &DigestBytes {
        &self.digest
    }

    /// The key-value store, unchecked: the container crate checks it.
    #[must_use]
    pub fn kv(&self) -> &'a [u8] {
        self.kv
    }

    /// The undelivered events in order, with their payloads.
    pub fn events(&self) -> impl Iterator<Item = (EventHead, &'a [u8])> + Clone + use<'a> {
        EventIter { rest: self.events }
    }

    /// Rebuilds the linear memory in `memory`, whose length must be [`Head::memory_len`].
    ///
    /// # Errors
    /// [`SnapshotError::NoSpace`] when the length differs; `memory` is then unchanged.
    pub fn fill_memory(&self, memory: &mut [u8]) -> Result<(), SnapshotError> {
        if memory.len() != self.head.memory_len as usize {
            return Err(SnapshotError::NoSpace);
        }
        memory.fill(0);
        for (offset, run) in (RunIter { rest: self.runs }) {
            // Checked by `decode`: every run lies within memory_len.
            if let Some(to) = memory.get_mut(offset..offset + run.len()) {
                to.copy_from_slice(run);
            }
        }
        Ok(())
    }
}

/// A digest of what the guest itself can tell apart: its image, memory, globals, store, handles and how many events it has
/// handled, without its clock. Two runs of the same events end with the same value, wherever the container lived in between.
#[must_use]
pub fn state_digest(head: &Head, kv: &[u8], memory: &[u8]) -> DigestBytes {
    let mut hash = Sha256::new();
    hash.update(head.image);
    hash.update(head.host.handled.to_le_bytes());
    hash.update(head.host.handles.to_le_bytes());
    for global in &head.globals {
        let (tag, bits) = match *global {
            GlobalValue::I32(v) => (0, u64::from(v)),
            GlobalValue::I64(v) => (1, v),
            GlobalValue::F32(v) => (2, u64::from(v)),
            GlobalValue::F64(v) => (3, v),
        };
        hash.update([tag]);
        hash.update(bits.to_le_bytes());
    }
    hash.update(kv);
    hash.update(memory);
    hash.finalize().into()
}

#[derive(Debug, Clone)]
struct EventIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for EventIter<'a> {
    type Item = (EventHead, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest): (EventHead, _) = postcard::take_from_bytes(self.rest).ok()?;
        let len = usize::from(head.len);
        if len > WAKE_BYTES_MAX {
            return None;
        }
        let payload = rest.get(..len)?;
        self.rest = rest.get(len..)?;
        Some((head, payload))
    }
}

struct RunIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for RunIter<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let word = |at: usize| Some(u32::from_le_bytes(self.rest.get(at..at + 4)?.try_into().ok()?) as usize);
        let (offset, len) = (word(0)?, word(4)?);
        let run = self.rest.get(8..8usize.checked_add(len)?)?;
        self.rest = self.rest.get(8 + len..)?;
        Some((offset, run))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec as StdVec;
    use std::{println, vec};

    use super::*;

    fn head() -> Head {
        Head {
            name: "tracker".try_into().unwrap(),
            image: [7; 32],
            host: HostState { handles: 1, initialised: true, handled: 5, cursor: 9, ..HostState::default() },
            globals: [GlobalValue::I32(1024), GlobalValue::F64(f64::NAN.to_bits())].into_iter().collect(),
            memory_len: 0,
            kv_len: 0,
            events: 0,
        }
    }

    fn sample() -> (StdVec<(EventHead, &'static [u8])>, StdVec<u8>) {
        let event = |seq, len| EventHead { seq, kind: 2, source: 0, tag: 5, time_us: 77, len };
        let mut memory = vec![0; 300];
        memory[3] = 1;
        memory[10] = 2;
        memory[40] = 3;
        memory[299] = 4;
        (vec![(event(8, 2), b"ab"), (event(9, 0), b"")], memory)
    }

    fn encoded() -> StdVec<u8> {
        let (events, memory) = sample();
        let mut out = vec![0; 2048];
        let n = encode(&head(), b"store", events.iter().copied(), &memory, &mut out).unwrap();
        out.truncate(n);
        out
    }

    #[test]
    fn round_trip() {
        let bytes = encoded();
        let snapshot = Snapshot::decode(&bytes).unwrap();
        let (events, memory) = sample();
        assert_eq!(snapshot.head(), &Head { memory_len: 300, kv_len: 5, events: 2, ..head() });
        assert_eq!(snapshot.kv(), b"store");
        assert_eq!(snapshot.events().collect::<StdVec<_>>(), events);
        let mut back = vec![0xAA; 300];
        snapshot.fill_memory(&mut back).unwrap();
        assert_eq!(back, memory);
        assert_eq!(snapshot.fill_memory(&mut [0; 299]), Err(SnapshotError::NoSpace));
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let bytes = encoded();
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 0x40;
            // Bytes 6 and 7 are reserved and covered by the digest, like everything else.
            assert!(Snapshot::decode(&bad).is_err(), "byte {i}");
            assert!(Snapshot::decode(&bytes[..i]).is_err(), "cut at {i}");
        }
    }

    /// Valid digests over random bodies: the parser itself must refuse without reading outside.
    #[test]
    fn hostile_bodies_with_a_right_digest_never_panic() {
        let seed = 0x5EED_u64;
        println!("seed {seed:#x}");
        let mut rng = seed;
        let good = encoded();
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            let end = bytes.len() - DIGEST_BYTES;
            for _ in 0..1 + rng % 4 {
                rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = PREFIX_BYTES + (rng >> 33) as usize % (end - PREFIX_BYTES);
                bytes[at] = (rng >> 20) as u8;
            }
            let digest = Sha256::digest(&bytes[..end]);
            bytes[end..].copy_from_slice(&digest);
            if let Ok(s) = Snapshot::decode(&bytes) {
                assert_eq!(s.events().count(), usize::from(s.head().events));
                let mut memory = vec![0; (s.head().memory_len as usize).min(1 << 20)];
                let _ = s.fill_memory(&mut memory);
            }
        }
    }

    #[test]
    fn the_state_digest_sees_every_part_of_the_state() {
        let base = state_digest(&head(), b"kv", b"memory");
        assert_ne!(base, state_digest(&head(), b"kv", b"memorz"));
        assert_ne!(base, state_digest(&head(), b"kw", b"memory"));
        let mut other = head();
        other.globals[0] = GlobalValue::I32(1025);
        assert_ne!(base, state_digest(&other, b"kv", b"memory"));
        let mut other = head();
        other.host.handled += 1;
        assert_ne!(base, state_digest(&other, b"kv", b"memory"));
        let mut other = head();
        other.host.cursor += 1;
        assert_eq!(base, state_digest(&other, b"kv", b"memory"), "the guest cannot see its cursor");
    }
}
