//! One end of the rings against a peer that writes anything into them.
//!
//! What has to hold, besides no panic: the end writes only what is its own to write; every entry that it consumes is
//! either handed out or counted as a fault; what was malformed goes back to the peer; no more buffers are out than the
//! ring has; every buffer lies inside the buffers, and no message is longer than one.

use coracle_rpmsg::{Counters, Device, Driver, Fault, HEADER_BYTES, Role, RxBuffer, TxBuffer};

use crate::bytes::Bytes;
use crate::shared::{BUFFER_BYTES, ENTRIES, Memory, PAYLOAD_BYTES, Writer};

/// Descriptor flags that RPMsg does not use: NEXT and INDIRECT.
const CHAIN: u16 = 1 | 4;

/// The device, against a hostile driver.
pub(crate) fn hostile_driver(input: &[u8]) {
    let memory = Memory::new();
    let peer = Driver::new(&memory.layout()).unwrap();
    let subject = Device::new(&memory.layout()).unwrap();
    let tx = Cursor { ring: 0, consumed: 0, published: 0, spare: 0 };
    let rx = Cursor { ring: 1, ..tx };
    Run { memory: &memory, subject, peer, owner: Writer::Device, tx, rx, sending: Vec::new(), held: Vec::new() }
        .all(input);
    memory.conclude();
}

/// The driver, against a hostile device.
pub(crate) fn hostile_device(input: &[u8]) {
    let memory = Memory::new();
    let subject = Driver::new(&memory.layout()).unwrap();
    let peer = Device::new(&memory.layout()).unwrap();
    let tx = Cursor { ring: 1, consumed: 0, published: 0, spare: ENTRIES };
    let rx = Cursor { ring: 0, consumed: 0, published: ENTRIES, spare: 0 };
    Run { memory: &memory, subject, peer, owner: Writer::Driver, tx, rx, sending: Vec::new(), held: Vec::new() }
        .all(input);
    memory.conclude();
}

/// Where the end must be in one of its rings, worked out from what it did.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    ring: usize,
    /// Entries of the peer that were consumed.
    consumed: u16,
    /// Entries that were published.
    published: u16,
    /// Buffers that were taken and not sent.
    spare: u16,
}

struct Run<'m, S, P> {
    memory: &'m Memory,
    subject: S,
    /// Well-behaved code on the peer's side, for inputs that do not care to spoil everything. What it makes of the
    /// spoilt rings is of no interest.
    peer: P,
    /// Who the subject is.
    owner: Writer,
    tx: Cursor,
    rx: Cursor,
    sending: Vec<TxBuffer>,
    held: Vec<RxBuffer>,
}

impl<S: Role, P: Role> Run<'_, S, P> {
    fn all(mut self, input: &[u8]) {
        let mut input = Bytes(input);
        while !input.is_empty() {
            match input.below(12) {
                0..4 => self.memory.spoil(&mut input),
                4 => self.peer_sends(input.below(PAYLOAD_BYTES + 1)),
                5 => {
                    if let Ok(Some(buffer)) = self.peer.take() {
                        let _ = self.peer.release(buffer);
                    }
                }
                op => {
                    let others = self.memory.written_by(self.other());
                    self.subject_does(op, &mut input);
                    assert_eq!(self.memory.written_by(self.other()), others, "wrote what is the peer's to write");
                }
            }
        }
    }

    fn other(&self) -> Writer {
        match self.owner {
            Writer::Driver => Writer::Device,
            Writer::Device => Writer::Driver,
        }
    }

    fn peer_sends(&mut self, len: usize) {
        if let Ok(Some(buffer)) = self.peer.alloc() {
            let _ = self.peer.write(&buffer, 0, &[0x5A; PAYLOAD_BYTES][..len.min(buffer.capacity())]);
            let _ = self.peer.send(buffer, 1, 2, len);
        }
    }

    fn subject_does(&mut self, op: usize, input: &mut Bytes<'_>) {
        match op {
            6 => self.alloc(),
            7 if !self.sending.is_empty() => {
                let buffer = self.sending.swap_remove(input.below(self.sending.len()));
                let len = input.below(2 * BUFFER_BYTES);
                self.send(buffer, len);
            }
            8 if !self.sending.is_empty() => {
                let buffer = self.sending.swap_remove(input.below(self.sending.len()));
                self.subject.cancel(buffer);
                self.tx.spare += 1;
            }
            9 => self.take(),
            10 if !self.held.is_empty() => {
                let buffer = self.held.swap_remove(input.below(self.held.len()));
                self.release(buffer);
            }
            11 => {
                self.subject.want_buffer_kick(input.below(2) == 1).unwrap();
                let kicks = (0..4).take_while(|_| self.subject.take_kick().is_some()).count();
                assert!(kicks <= 3, "kicks without end");
            }
            _ => {}
        }
    }

    fn alloc(&mut self) {
        let before = self.subject.counters();
        let got = self.subject.alloc();
        let found = self.tx.consume(self.memory, self.other(), &got, before, self.subject.counters());
        if let Ok(Some(buffer)) = got {
            assert!(buffer.capacity() >= 1 && buffer.capacity() <= PAYLOAD_BYTES, "capacity {}", buffer.capacity());
            let payload = self.subject.transmit_region(&buffer).unwrap();
            self.memory.offset(payload);
            assert_eq!(payload.len(), buffer.capacity());
            assert_eq!(self.subject.write(&buffer, 0, &vec![0xC3; buffer.capacity() + 1]).ok(), None);
            if self.owner == Writer::Device {
                self.check_descriptor(self.tx.ring, id_of(&buffer), HEADER_BYTES + buffer.capacity());
            }
            self.sending.push(buffer);
        }
        self.published(self.tx, found);
        assert!(self.sending.len() + usize::from(self.tx.spare) <= usize::from(ENTRIES), "a buffer handed out twice");
        self.check_distinct();
    }

    fn send(&mut self, buffer: TxBuffer, len: usize) {
        let room = buffer.capacity();
        let payload = [0x3C; 2 * BUFFER_BYTES];
        assert_eq!(self.subject.write(&buffer, 0, &payload[..len]).is_ok(), len <= room);
        let sent = self.subject.send(buffer, 7, 8, len);
        if len <= room {
            assert_eq!(sent, Ok(()));
            self.tx.published = self.tx.published.wrapping_add(1);
            self.published(self.tx, true);
        } else {
            assert_eq!(sent, Err(Fault::Length));
            self.tx.spare += 1;
        }
    }

    fn take(&mut self) {
        let before = self.subject.counters();
        let got = self.subject.take();
        let found = self.rx.consume(self.memory, self.other(), &got, before, self.subject.counters());
        if let Ok(Some(buffer)) = got {
            assert!(buffer.payload_bytes() <= PAYLOAD_BYTES, "a message of {} bytes", buffer.payload_bytes());
            let payload = self.subject.received_region(&buffer).unwrap();
            self.memory.offset(payload);
            assert_eq!(payload.len(), buffer.payload_bytes());
            let mut copy = vec![0; buffer.payload_bytes() + 1];
            assert!(self.subject.read(&buffer, 0, &mut copy).is_err(), "read beyond the message");
            let (id, bytes) = (id_of(&buffer), HEADER_BYTES + buffer.payload_bytes());
            if self.owner == Writer::Device {
                self.check_descriptor(self.rx.ring, id, bytes);
            } else {
                let (used_id, used_len) = self.memory.used_entry(self.rx.ring, self.rx.consumed.wrapping_sub(1));
                assert_eq!(used_id, u32::from(id));
                assert!(used_len as usize <= BUFFER_BYTES && bytes <= used_len as usize, "{bytes} bytes of {used_len}");
            }
            copy.pop();
            self.subject.read(&buffer, 0, &mut copy).unwrap();
            self.held.push(buffer);
        }
        self.published(self.rx, found);
        assert!(self.held.len() <= usize::from(ENTRIES), "a message handed out twice");
        self.check_distinct();
    }

    fn release(&mut self, buffer: RxBuffer) {
        self.subject.release(buffer).unwrap();
        self.rx.published = self.rx.published.wrapping_add(1);
        self.published(self.rx, true);
    }

    /// The index stands where it must, after something was published.
    fn published(&self, cursor: Cursor, anything: bool) {
        if anything {
            let index = self.memory.index(cursor.ring, self.owner);
            assert_eq!(index, cursor.published, "ring {}: a buffer was lost or given back twice", cursor.ring);
        }
    }

    /// No descriptor is handed out twice.
    fn check_distinct(&self) {
        distinct(self.sending.iter().map(id_of).collect());
        distinct(self.held.iter().map(id_of).collect());
    }

    /// A buffer that was handed out is what its descriptor says, as RPMsg has it; `bytes` of it are used at least.
    fn check_descriptor(&self, ring: usize, id: u16, bytes: usize) {
        let descriptor = self.memory.descriptor(ring, id);
        assert_eq!(descriptor.flags & CHAIN, 0, "a chain");
        let len = usize::try_from(descriptor.len).unwrap();
        assert!((bytes..=BUFFER_BYTES).contains(&len), "{bytes} bytes in a buffer of {len}");
        let offset = descriptor.offset.expect("an address below the buffers");
        assert!(
            offset.is_multiple_of(8) && offset + len <= 2 * usize::from(ENTRIES) * BUFFER_BYTES,
            "an address outside"
        );
    }
}

/// The id of the buffer's descriptor, which only its text for people shows.
fn id_of(buffer: &impl std::fmt::Debug) -> u16 {
    let text = format!("{buffer:?}");
    let (_, id) = text.split_once(" id: ").expect("a buffer has an id");
    id[..id.find(',').unwrap()].parse().unwrap()
}

fn distinct(mut ids: Vec<u16>) {
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "a buffer handed out twice");
}

impl Cursor {
    /// Accounts for what one `alloc` or `take` consumed, and checks it; returns whether something malformed was given
    /// back.
    fn consume<T>(
        &mut self,
        memory: &Memory,
        peer: Writer,
        got: &Result<Option<T>, Fault>,
        before: Counters,
        after: Counters,
    ) -> bool {
        let count = |faults: &[Fault]| -> u16 {
            faults.iter().map(|fault| u16::try_from(after.get(*fault) - before.get(*fault)).unwrap()).sum()
        };
        let malformed = count(&[Fault::Chain, Fault::Address, Fault::Length]);
        let faults = malformed + count(&[Fault::Descriptor]);
        let attempts = faults + u16::from(matches!(got, Ok(Some(_))));
        let from_spare = attempts.min(self.spare);
        self.spare -= from_spare;
        self.consumed = self.consumed.wrapping_add(attempts - from_spare);
        self.published = self.published.wrapping_add(malformed);
        let pending = memory.index(self.ring, peer).wrapping_sub(self.consumed);
        match got {
            Ok(Some(_)) => assert!(attempts == from_spare || pending < ENTRIES, "taken by a wrong index"),
            Ok(None) => assert!(pending == 0 || faults >= ENTRIES, "{pending} entries left alone without a fault"),
            Err(fault) => {
                assert_eq!(*fault, Fault::Index);
                assert!(pending > ENTRIES, "a right index was refused");
            }
        }
        let index_faults = count(&[Fault::Index]);
        assert_eq!(index_faults, u16::from(got.is_err()), "an error that was not counted");
        malformed > 0
    }
}
