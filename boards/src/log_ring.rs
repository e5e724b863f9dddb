//! The log ring: a region of shared memory through which log frames of the M core reach the A core.
//!
//! One producer (M), one consumer (A), bytes in order. The producer never waits: a frame that does not fit is dropped
//! whole and counted. Frames become visible one at a time and complete, so a core that dies while it writes one leaves
//! no half frame behind, and frames it finished can still be read while it reboots.
//!
//! ```text
//! byte   0  magic      producer   4  version     8  encoding   12  capacity in bytes
//!       16  producer id, low word               20  producer id, high word
//!       24  write      offset into the data, always below capacity
//!       28  dropped    frames, wraps
//!       64  read       consumer; offset into the data, always below capacity
//!      128  data       write == read means empty, so one byte always stays free
//! ```
//!
//! Words are 32 bits, little-endian, and each has one writer; the two writers' words lie in different cache lines.
//! The producer id tells which program wrote the frames (firmware: the start of its build id), because defmt frames mean
//! nothing without it; 0 if unknown.
//!
//! Neither side trusts the other: indices are copied once, checked, and the copy is used. The ring does not interpret
//! frames, does not wake the consumer, and does not encrypt or authenticate anything.

use core::fmt;

use coracle_shmem::{Region, acquire_barrier, release_barrier};

/// First word of a ring that has been set up: the bytes `CRLG`.
pub const MAGIC: u32 = u32::from_le_bytes(*b"CRLG");
/// Version of the layout above.
pub const VERSION: u32 = 1;
/// Bytes before the data.
pub const HEADER_BYTES: u32 = 128;
/// Smallest useful region in bytes: the header and a handful of frames.
pub const BYTES_MIN: u32 = HEADER_BYTES + 1024;

const AT_MAGIC: u32 = 0;
const AT_VERSION: u32 = 4;
const AT_ENCODING: u32 = 8;
const AT_CAPACITY: u32 = 12;
const AT_ID_LOW: u32 = 16;
const AT_ID_HIGH: u32 = 20;
const AT_WRITE: u32 = 24;
const AT_DROPPED: u32 = 28;
const AT_READ: u32 = 64;

/// How the bytes of the ring are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// defmt frames in rzCOBS, each ended by a zero byte.
    Defmt,
    /// UTF-8 lines, each ended by `\n`.
    Text,
}

impl Encoding {
    const fn to_word(self) -> u32 {
        match self {
            Self::Defmt => 1,
            Self::Text => 2,
        }
    }

    const fn from_word(word: u32) -> Option<Self> {
        match word {
            1 => Some(Self::Defmt),
            2 => Some(Self::Text),
            _ => None,
        }
    }
}

/// The region under a ring, with infallible access: callers stay inside [`Memory::bytes`], and below 4 GiB.
struct Memory<'m>(Region<'m>);

impl Memory<'_> {
    fn bytes(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// Loads a word; later reads see what the other core wrote before it stored the word with [`Memory::publish`].
    fn load(&self, offset: u32) -> u32 {
        // Cannot fail: every offset is a multiple of 4 inside the header, which `capacity_of` found room for.
        let word = self.0.load_u32(offset as usize);
        debug_assert!(word.is_ok());
        acquire_barrier();
        word.unwrap_or(0)
    }

    /// Stores a word; the other core sees all earlier writes once it sees the word.
    fn publish(&self, offset: u32, value: u32) {
        release_barrier();
        // Cannot fail, as in `load`.
        let inside = self.0.store_u32(offset as usize, value);
        debug_assert!(inside.is_ok());
    }

    fn read(&self, offset: u32, out: &mut [u8]) {
        // Cannot fail: indices stay below the capacity.
        let inside = self.0.read(offset as usize, out);
        debug_assert!(inside.is_ok());
    }

    fn write(&self, offset: u32, data: &[u8]) {
        // Cannot fail, as in `read`.
        let inside = self.0.write(offset as usize, data);
        debug_assert!(inside.is_ok());
    }
}

/// Why a ring cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// The region is shorter than [`BYTES_MIN`].
    TooSmall {
        /// Its length in bytes.
        bytes: u32,
    },
    /// The producer has not set the ring up (yet).
    NotStarted,
    /// The producer uses a layout that this code does not know.
    Version {
        /// The version found.
        found: u32,
    },
    /// The frames have an encoding that this code does not know.
    Encoding {
        /// The number found.
        found: u32,
    },
    /// The producer believes in another region length.
    Capacity {
        /// The capacity found, in bytes.
        found: u32,
        /// The capacity of this region, in bytes.
        expected: u32,
    },
    /// The producer's index points outside the data.
    Index {
        /// The index found.
        found: u32,
        /// The capacity of this region, in bytes.
        capacity: u32,
    },
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { bytes } => {
                write!(f, "log ring: region of {bytes} bytes is too small; the board file must give {BYTES_MIN}")
            }
            Self::NotStarted => write!(f, "log ring: not set up; the M core has not started yet"),
            Self::Version { found } => {
                write!(f, "log ring: version {found}, this side knows {VERSION}; use builds of the same release")
            }
            Self::Encoding { found } => {
                write!(f, "log ring: unknown encoding {found}; use builds of the same release")
            }
            Self::Capacity { found, expected } => write!(
                f,
                "log ring: capacity {found} instead of {expected} bytes; build both sides from the same board file"
            ),
            Self::Index { found, capacity } => {
                write!(
                    f,
                    "log ring: write index {found} is outside {capacity} bytes; the M core or its memory is broken"
                )
            }
        }
    }
}

impl core::error::Error for RingError {}

fn capacity_of(memory: &Memory<'_>) -> Result<u32, RingError> {
    let bytes = memory.bytes();
    if bytes < BYTES_MIN { Err(RingError::TooSmall { bytes }) } else { Ok(bytes - HEADER_BYTES) }
}

/// Bytes from index `from` forward to index `to`; both below `capacity`.
const fn distance(from: u32, to: u32, capacity: u32) -> u32 {
    if to >= from { to - from } else { capacity - from + to }
}

/// The index `by` bytes after `from`; `from` below and `by` at most `capacity`.
const fn advanced(from: u32, by: u32, capacity: u32) -> u32 {
    let room = capacity - from;
    if by < room { from + by } else { by - room }
}

/// The end that writes frames.
///
/// Its own position lives here; what it stored in shared memory is never read back.
pub struct Producer<'m> {
    memory: Memory<'m>,
    capacity: u32,
    /// End of the last finished frame.
    write: u32,
    /// Bytes of the unfinished frame that are already copied.
    pending: u32,
    /// Bytes that the unfinished frame may still take.
    room: u32,
    overflow: bool,
    dropped: u32,
}

impl<'m> Producer<'m> {
    /// Sets the ring up, or continues a ring of the same program, whose unread frames stay (they tell why it died).
    ///
    /// # Errors
    /// [`RingError::TooSmall`].
    pub fn open(region: Region<'m>, encoding: Encoding, id: u64) -> Result<Self, RingError> {
        let memory = Memory(region);
        let capacity = capacity_of(&memory)?;
        let (low, high) = ((id & 0xffff_ffff) as u32, (id >> 32) as u32);
        let fixed = [
            (AT_VERSION, VERSION),
            (AT_ENCODING, encoding.to_word()),
            (AT_CAPACITY, capacity),
            (AT_ID_LOW, low),
            (AT_ID_HIGH, high),
        ];
        let write = memory.load(AT_WRITE);
        let continues = memory.load(AT_MAGIC) == MAGIC
            && fixed.iter().all(|&(at, word)| memory.load(at) == word)
            && write < capacity;
        let (write, dropped) = if continues {
            (write, memory.load(AT_DROPPED))
        } else {
            // The read index is the consumer's word: start where it stands instead of moving it. A stray value there
            // (memory that was never zeroed) is put right by the consumer when it attaches.
            let read = memory.load(AT_READ);
            (if read < capacity { read } else { 0 }, 0)
        };
        if !continues {
            // No magic while the rest is inconsistent: the consumer may look at any instant.
            memory.publish(AT_MAGIC, 0);
            for (at, word) in fixed {
                memory.publish(at, word);
            }
            memory.publish(AT_WRITE, write);
            memory.publish(AT_DROPPED, dropped);
            memory.publish(AT_MAGIC, MAGIC);
        }
        Ok(Self { memory, capacity, write, pending: 0, room: 0, overflow: true, dropped })
    }

    /// Starts a frame. An unfinished one is forgotten.
    pub fn begin(&mut self) {
        let read = self.memory.load(AT_READ);
        // A read index outside the data is a broken consumer: no room, until it is repaired.
        self.room =
            if read < self.capacity { self.capacity - 1 - distance(read, self.write, self.capacity) } else { 0 };
        self.pending = 0;
        self.overflow = false;
    }

    /// Adds bytes to the frame. Once one does not fit, the frame is lost as a whole.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.overflow {
            return;
        }
        let Some(len) = u32::try_from(bytes.len()).ok().filter(|len| *len <= self.room) else {
            self.overflow = true;
            return;
        };
        let at = advanced(self.write, self.pending, self.capacity);
        let (first, second) = bytes.split_at(bytes.len().min((self.capacity - at) as usize));
        self.memory.write(HEADER_BYTES + at, first);
        self.memory.write(HEADER_BYTES, second);
        self.pending += len;
        self.room -= len;
    }

    /// Ends the frame: publishes it, or counts it as dropped. True if it was published.
    pub fn commit(&mut self) -> bool {
        let published = !self.overflow;
        if published {
            self.write = advanced(self.write, self.pending, self.capacity);
            // Release: pairs with the load of the write index in `Consumer::drain`, which then sees the bytes.
            self.memory.publish(AT_WRITE, self.write);
        } else {
            self.dropped = self.dropped.wrapping_add(1);
            self.memory.publish(AT_DROPPED, self.dropped);
        }
        self.pending = 0;
        self.room = 0;
        self.overflow = true;
        published
    }

    /// Writes a frame that is at hand as a whole. True if it was published.
    pub fn frame(&mut self, bytes: &[u8]) -> bool {
        self.begin();
        self.push(bytes);
        self.commit()
    }
}

/// What a valid header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    encoding: Encoding,
    id: u64,
    write: u32,
}

fn header(memory: &Memory<'_>, capacity: u32) -> Result<Header, RingError> {
    if memory.load(AT_MAGIC) != MAGIC {
        return Err(RingError::NotStarted);
    }
    let version = memory.load(AT_VERSION);
    if version != VERSION {
        return Err(RingError::Version { found: version });
    }
    let encoding = memory.load(AT_ENCODING);
    let encoding = Encoding::from_word(encoding).ok_or(RingError::Encoding { found: encoding })?;
    let found = memory.load(AT_CAPACITY);
    if found != capacity {
        return Err(RingError::Capacity { found, expected: capacity });
    }
    let id = u64::from(memory.load(AT_ID_LOW)) | u64::from(memory.load(AT_ID_HIGH)) << 32;
    // Acquire: pairs with the store in `Producer::commit`.
    let write = memory.load(AT_WRITE);
    if write >= capacity {
        return Err(RingError::Index { found: write, capacity });
    }
    Ok(Header { encoding, id, write })
}

/// The end that reads frames.
///
/// Its own position lives here; the word in shared memory only tells the producer, and a later consumer.
pub struct Consumer<'m> {
    memory: Memory<'m>,
    capacity: u32,
    read: u32,
    encoding: Encoding,
    id: u64,
}

impl<'m> Consumer<'m> {
    /// Continues where the last consumer stopped.
    ///
    /// # Errors
    /// Any [`RingError`]; after [`RingError::NotStarted`] it is right to try again later.
    pub fn attach(region: Region<'m>) -> Result<Self, RingError> {
        let memory = Memory(region);
        let capacity = capacity_of(&memory)?;
        let header = header(&memory, capacity)?;
        let mut read = memory.load(AT_READ);
        if read >= capacity {
            read = header.write;
            memory.publish(AT_READ, read);
        }
        Ok(Self { memory, capacity, read, encoding: header.encoding, id: header.id })
    }

    /// How to read the bytes.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Which program writes the ring; 0 if it did not say. Changes when the M core starts another program.
    #[must_use]
    pub fn producer_id(&self) -> u64 {
        self.id
    }

    /// Frames that the producer dropped because the ring was full. Wraps.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.memory.load(AT_DROPPED)
    }

    /// Moves bytes from the ring to the start of `out` and returns how many.
    ///
    /// What one call returns may end inside a frame if `out` is short. If a call returns an error, nothing was taken.
    ///
    /// # Errors
    /// Any [`RingError`] but `TooSmall`: the producer is starting up, or broke the header.
    pub fn drain(&mut self, out: &mut [u8]) -> Result<usize, RingError> {
        let header = header(&self.memory, self.capacity)?;
        self.encoding = header.encoding;
        self.id = header.id;
        let available = distance(self.read, header.write, self.capacity);
        let len = available.min(u32::try_from(out.len()).unwrap_or(u32::MAX));
        let Some(out) = out.get_mut(..len as usize) else { return Ok(0) };
        let to_end = (self.capacity - self.read).min(len);
        let (first, second) = out.split_at_mut(to_end as usize);
        self.memory.read(HEADER_BYTES + self.read, first);
        self.memory.read(HEADER_BYTES, second);
        self.read = advanced(self.read, len, self.capacity);
        // Release: the copies above are done before the producer may overwrite the bytes.
        self.memory.publish(AT_READ, self.read);
        Ok(len as usize)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use coracle_shmem::HeapRegion;

    use super::*;

    fn ring() -> HeapRegion {
        HeapRegion::new(BYTES_MIN as usize)
    }

    fn drained(consumer: &mut Consumer<'_>) -> Vec<u8> {
        let mut out = vec![0; 4096];
        let len = consumer.drain(&mut out).expect("valid ring");
        out.truncate(len);
        out
    }

    /// Small deterministic generator (splitmix64); the seed is in the failure message.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn frames_arrive_in_order_or_are_dropped_whole_and_counted() {
        for seed in 0..50_u64 {
            let mut rng = seed;
            let memory = ring();
            let mut producer = Producer::open(memory.region(), Encoding::Text, 7).expect("large enough");
            let mut consumer = Consumer::attach(memory.region()).expect("set up");
            let (mut expected, mut got, mut dropped) = (Vec::new(), Vec::new(), 0);
            for _ in 0..400 {
                if next(&mut rng).is_multiple_of(3) {
                    let mut out = vec![0; (next(&mut rng) % 700) as usize];
                    let len = consumer.drain(&mut out).expect("valid ring");
                    got.extend_from_slice(&out[..len]);
                } else {
                    let frame: Vec<u8> = (0..next(&mut rng) % 300).map(|_| next(&mut rng) as u8).collect();
                    producer.begin();
                    for part in frame.chunks(17) {
                        producer.push(part);
                    }
                    if producer.commit() {
                        expected.extend_from_slice(&frame);
                    } else {
                        dropped += 1;
                    }
                }
            }
            got.extend(drained(&mut consumer));
            assert_eq!(got, expected, "seed {seed}");
            assert_eq!(consumer.dropped(), dropped, "seed {seed}");
            assert!(dropped > 0, "seed {seed} never filled the ring, so it tested nothing");
        }
    }

    #[test]
    fn a_frame_may_fill_the_ring_to_its_last_usable_byte() {
        let memory = ring();
        let mut producer = Producer::open(memory.region(), Encoding::Text, 0).expect("large enough");
        let capacity = (BYTES_MIN - HEADER_BYTES) as usize;
        assert!(!producer.frame(&vec![1; capacity]), "full and empty would look the same");
        assert!(producer.frame(&vec![2; capacity - 1]));
        assert!(!producer.frame(&[3]));
        let mut consumer = Consumer::attach(memory.region()).expect("set up");
        assert_eq!(drained(&mut consumer), vec![2; capacity - 1]);
        assert_eq!(consumer.dropped(), 2);
    }

    #[test]
    fn a_restarted_producer_keeps_finished_frames_and_loses_the_half_one() {
        let memory = ring();
        let mut producer = Producer::open(memory.region(), Encoding::Defmt, 42).expect("large enough");
        assert!(producer.frame(b"last words"));
        producer.begin();
        producer.push(b"half");
        let mut producer = Producer::open(memory.region(), Encoding::Defmt, 42).expect("large enough");
        assert!(producer.frame(b", again"));
        let mut consumer = Consumer::attach(memory.region()).expect("set up");
        assert_eq!(drained(&mut consumer), b"last words, again");
    }

    #[test]
    fn another_program_starts_empty_without_moving_the_consumers_word() {
        let memory = ring();
        let mut producer = Producer::open(memory.region(), Encoding::Defmt, 42).expect("large enough");
        assert!(producer.frame(b"read"));
        let mut consumer = Consumer::attach(memory.region()).expect("set up");
        assert_eq!(drained(&mut consumer), b"read");
        assert!(producer.frame(b"never read"));
        let mut producer = Producer::open(memory.region(), Encoding::Defmt, 43).expect("large enough");
        assert!(producer.frame(b"new"));
        assert_eq!(drained(&mut consumer), b"new");
        assert_eq!(consumer.producer_id(), 43);
    }

    #[test]
    fn a_restarted_consumer_continues() {
        let memory = ring();
        let mut producer = Producer::open(memory.region(), Encoding::Text, 0).expect("large enough");
        assert!(producer.frame(b"one"));
        assert_eq!(drained(&mut Consumer::attach(memory.region()).expect("set up")), b"one");
        assert!(producer.frame(b"two"));
        assert_eq!(drained(&mut Consumer::attach(memory.region()).expect("set up")), b"two");
    }

    #[test]
    fn a_hostile_header_is_refused() {
        let capacity = BYTES_MIN - HEADER_BYTES;
        let cases = [
            (AT_MAGIC, 0, RingError::NotStarted),
            (AT_VERSION, 2, RingError::Version { found: 2 }),
            (AT_ENCODING, 0, RingError::Encoding { found: 0 }),
            (AT_CAPACITY, u32::MAX, RingError::Capacity { found: u32::MAX, expected: capacity }),
            (AT_WRITE, capacity, RingError::Index { found: capacity, capacity }),
            (AT_WRITE, u32::MAX, RingError::Index { found: u32::MAX, capacity }),
        ];
        for (at, word, error) in cases {
            let memory = ring();
            Producer::open(memory.region(), Encoding::Text, 0).expect("large enough");
            let mut consumer = Consumer::attach(memory.region()).expect("set up");
            memory.region().store_u32(at as usize, word).expect("inside");
            assert_eq!(consumer.drain(&mut [0; 8]), Err(error));
            assert_eq!(Consumer::attach(memory.region()).err(), Some(error));
            assert!(!std::format!("{error}").is_empty());
        }
        assert!(matches!(
            Producer::open(HeapRegion::new(BYTES_MIN as usize - 8).region(), Encoding::Text, 0),
            Err(RingError::TooSmall { .. })
        ));
    }

    /// Random words everywhere in the header: both ends must keep inside the region (`Memory` asserts it).
    #[test]
    fn random_headers_never_lead_outside_the_region() {
        for seed in 0..2000_u64 {
            let mut rng = seed;
            let memory = ring();
            let mut producer = Producer::open(memory.region(), Encoding::Text, 0).expect("large enough");
            let mut consumer = Consumer::attach(memory.region()).expect("set up");
            for _ in 0..20 {
                let word = if next(&mut rng).is_multiple_of(2) { next(&mut rng) % 2048 } else { next(&mut rng) } as u32;
                let at = [AT_WRITE, AT_READ, AT_DROPPED][(next(&mut rng) % 3) as usize];
                memory.region().store_u32(at as usize, word).expect("inside");
                producer.frame(&vec![0; (next(&mut rng) % 1500) as usize]);
                let _ = consumer.drain(&mut vec![0; (next(&mut rng) % 1500) as usize]);
                if next(&mut rng).is_multiple_of(4) {
                    producer =
                        Producer::open(memory.region(), Encoding::Text, next(&mut rng) % 2).expect("large enough");
                    if let Ok(again) = Consumer::attach(memory.region()) {
                        consumer = again;
                    }
                }
            }
        }
    }

    #[test]
    fn a_broken_read_index_stops_the_producer_until_a_consumer_attaches() {
        let memory = ring();
        let mut producer = Producer::open(memory.region(), Encoding::Text, 0).expect("large enough");
        memory.region().store_u32(AT_READ as usize, u32::MAX).expect("inside");
        assert!(!producer.frame(b"lost"));
        let mut consumer = Consumer::attach(memory.region()).expect("set up");
        assert!(producer.frame(b"found"));
        assert_eq!(drained(&mut consumer), b"found");
    }
}
