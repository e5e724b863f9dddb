//! Both ends of the rings over one block of memory: wire facts, order, loss, and hostile peers.

use std::time::{SystemTime, UNIX_EPOCH};

use coracle_rpmsg::{
    BUFFER_BYTES, CONFIG_BYTES, Carveout, ControlWords, Device, Driver, Fault, Geometry, HEADER_BYTES, Header, Layout,
    NameService, PAYLOAD_BYTES_MAX, Role, STATUS_DRIVER_OK, Table, TableError, TableSpec, Trace, VringSize, read_table,
    write_table,
};
use coracle_shmem::{HeapRegion, Region};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const DEVICE_ADDRESS: u64 = 0x2100_0000;

struct Memory {
    heap: HeapRegion,
    geometry: Geometry,
}

impl Memory {
    fn new(entries: u16, align: u32) -> Self {
        let size = VringSize::new(entries, align).unwrap();
        let geometry = Geometry::new(size, size.bytes().next_multiple_of(4096), BUFFER_BYTES).unwrap();
        Self { heap: HeapRegion::new(geometry.bytes()), geometry }
    }

    fn layout(&self) -> Layout<'_> {
        Layout::contiguous(self.heap.region(), DEVICE_ADDRESS, self.geometry).unwrap()
    }

    fn ends(&self) -> (Driver<'_>, Device<'_>) {
        (Driver::new(&self.layout()).unwrap(), Device::new(&self.layout()).unwrap())
    }
}

/// A message as it arrived: source, destination, payload.
type Message = (u32, u32, Vec<u8>);

/// Sends a message if there is a buffer; says whether.
fn send(role: &mut impl Role, src: u32, dst: u32, payload: &[u8]) -> Result<bool, Fault> {
    let Some(buffer) = role.alloc()? else { return Ok(false) };
    role.write(&buffer, 0, payload).map_err(|_| Fault::Length)?;
    role.send(buffer, src, dst, payload.len()).map(|()| true)
}

fn receive(role: &mut impl Role) -> Result<Option<Message>, Fault> {
    let Some(buffer) = role.take()? else { return Ok(None) };
    let mut payload = vec![0; buffer.payload_bytes()];
    role.read(&buffer, 0, &mut payload).unwrap();
    let message = (buffer.src(), buffer.dst(), payload);
    role.release(buffer)?;
    Ok(Some(message))
}

fn kicks(role: &mut impl Role) -> Vec<u8> {
    core::iter::from_fn(|| role.take_kick()).collect()
}

fn bytes(region: Region<'_>, at: usize, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    region.read(at, &mut out).unwrap();
    out
}

/// What the kernel writes into a receive ring (evidence in virtio_rpmsg_bus.c: 512-byte buffers, WRITE flag).
#[test]
fn the_driver_sets_rings_up_as_the_kernel_does() {
    let memory = Memory::new(16, 4096);
    let (_driver, _device) = memory.ends();
    let layout = memory.layout();
    for id in 0..16u64 {
        let addr = layout.buffers_address + id * 512;
        let mut want = addr.to_le_bytes().to_vec();
        want.extend([0, 2, 0, 0, 2, 0, 0, 0]);
        assert_eq!(bytes(layout.vring0, 16 * id as usize, 16), want, "descriptor {id}");
    }
    assert_eq!(bytes(layout.vring0, 256, 6), [0, 0, 16, 0, 0, 0], "avail: flags 0, idx 16, first entry 0");
    assert_eq!(bytes(layout.vring1, 256, 4), [1, 0, 0, 0], "transmit: no kick for consumed buffers, idx 0");
}

#[test]
fn golden_bytes_of_a_message_and_an_announcement() {
    let memory = Memory::new(16, 4096);
    let (mut driver, mut device) = memory.ends();
    let layout = memory.layout();
    assert_eq!(send(&mut driver, 0x400, 0x1e, b"hello"), Ok(true));
    let tx_buffer = 16 * BUFFER_BYTES;
    assert_eq!(
        bytes(layout.buffers, tx_buffer, 21),
        [0, 4, 0, 0, 0x1e, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, b'h', b'e', b'l', b'l', b'o']
    );
    assert_eq!(bytes(layout.vring1, 8, 8), [21, 0, 0, 0, 0, 0, 0, 0], "length 16 + 5, no flags");
    let ns = NameService::new("coracle-link", 0x1e, false).unwrap().to_bytes();
    assert_eq!(ns.len(), 40);
    assert_eq!(&ns[..13], b"coracle-link\0");
    assert_eq!(ns[32..], [0x1e, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(send(&mut device, 0x1e, 53, &ns), Ok(true));
    let (src, dst, payload) = receive(&mut driver).unwrap().unwrap();
    assert_eq!((src, dst, payload.len()), (0x1e, 53, 40));
    assert_eq!(NameService::from_bytes(&payload).unwrap().name(), "coracle-link");
    assert_eq!(NameService::from_bytes(&payload[..39]), None);
    let unterminated: Vec<u8> = [[b'n'; 32].as_slice(), &[1, 0, 0, 0, 1, 0, 0, 0]].concat();
    let cut = NameService::from_bytes(&unterminated).unwrap();
    assert_eq!((cut.name(), cut.address, cut.destroyed), ("n".repeat(31).as_str(), 1, true), "as Linux cuts it");
    assert_eq!(NameService::from_bytes(&[payload, vec![0]].concat()), None);
    // used.len is what Linux checks: header plus payload.
    assert_eq!(layout.vring0.load_u32(4096 + 8).unwrap(), 56);
}

#[test]
fn a_peer_that_writes_whole_buffer_lengths_flags_and_a_reserved_word_is_understood() {
    let memory = Memory::new(4, 16);
    let (mut driver, mut device) = memory.ends();
    let layout = memory.layout();
    send(&mut driver, 1, 2, b"abc").unwrap();
    // RPMsg-Lite's master: full buffer size and the WRITE flag, in both directions.
    layout.vring1.store_u32(8, 512).unwrap();
    layout.vring1.store_u16(12, 2).unwrap();
    // OpenAMP and RPMsg-Lite keep state in the header's reserved word while a buffer is held.
    layout.buffers.store_u32(4 * BUFFER_BYTES + 8, 0xffff_ffff).unwrap();
    assert_eq!(receive(&mut device), Ok(Some((1, 2, b"abc".to_vec()))));
    // It takes this length for the room of its next message in that buffer (`rpmsg_lite_alloc_tx_buffer`).
    assert_eq!(layout.vring1.load_u32(80 + 8), Ok(512));
    // RPMsg-Lite's remote: the whole buffer as used length, and state in the reserved word.
    send(&mut device, 2, 1, b"xyz").unwrap();
    layout.vring0.store_u32(80 + 8, 512).unwrap();
    layout.buffers.store_u32(8, 0x0001_0000).unwrap();
    assert_eq!(receive(&mut driver), Ok(Some((2, 1, b"xyz".to_vec()))));
    assert_eq!((driver.counters().total(), device.counters().total()), (0, 0));
}

#[test]
fn payloads_up_to_the_buffer_arrive_and_none_beyond_is_sent() {
    let memory = Memory::new(4, 16);
    let (mut driver, mut device) = memory.ends();
    for len in (0..=PAYLOAD_BYTES_MAX).step_by(if cfg!(miri) { 62 } else { 1 }) {
        let sent: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
        send(&mut driver, 5, 6, &sent).unwrap();
        assert_eq!(receive(&mut device).unwrap(), Some((5, 6, sent.clone())));
        send(&mut device, 6, 5, &sent).unwrap();
        assert_eq!(receive(&mut driver).unwrap(), Some((6, 5, sent)));
    }
    fn refuses(role: &mut impl Role) {
        let buffer = role.alloc().unwrap().unwrap();
        assert_eq!(buffer.capacity(), PAYLOAD_BYTES_MAX);
        assert!(role.write(&buffer, 1, &[0; PAYLOAD_BYTES_MAX]).is_err());
        assert!(role.write(&buffer, usize::MAX, &[0; 2]).is_err());
        assert_eq!(role.send(buffer, 1, 2, PAYLOAD_BYTES_MAX + 1), Err(Fault::Length));
        // The refused buffer is free again: all four can be had.
        let all: Vec<_> = core::iter::from_fn(|| role.alloc().unwrap()).collect();
        assert_eq!(all.len(), 4);
        all.into_iter().for_each(|buffer| role.cancel(buffer));
    }
    refuses(&mut driver);
    refuses(&mut device);
}

#[test]
fn a_full_ring_says_so_and_recovers_past_index_wrap() {
    let memory = Memory::new(4, 16);
    let (mut driver, mut device) = memory.ends();
    for round in 0..if cfg!(miri) { 20 } else { 20_000u32 } {
        for i in 0..4 {
            assert_eq!(send(&mut driver, round, i, &[1]), Ok(true));
            assert_eq!(send(&mut device, round, i, &[2]), Ok(true));
        }
        assert_eq!(send(&mut driver, round, 4, &[1]), Ok(false));
        assert_eq!(send(&mut device, round, 4, &[1]), Ok(false));
        for i in 0..4 {
            assert_eq!(receive(&mut device), Ok(Some((round, i, vec![1]))));
            assert_eq!(receive(&mut driver), Ok(Some((round, i, vec![2]))));
        }
        assert_eq!(receive(&mut device), Ok(None));
        assert_eq!(receive(&mut driver), Ok(None));
    }
}

/// Held buffers may go back in any order, and those that were not taken yet are not disturbed.
#[test]
fn buffers_are_held_and_released_in_any_order() {
    let memory = Memory::new(4, 16);
    let (mut driver, mut device) = memory.ends();
    fn exchange(from: &mut impl Role, to: &mut impl Role) {
        for round in 0..50u8 {
            for i in 0..4 {
                assert_eq!(send(from, u32::from(i), 9, &[round, i]), Ok(true));
            }
            let mut held: Vec<_> = core::iter::from_fn(|| to.take().unwrap()).collect();
            assert_eq!(held.len(), 4);
            assert_eq!(send(from, 0, 9, &[0]), Ok(false), "all are held");
            held.rotate_left(usize::from(round) % 4);
            for buffer in held {
                let mut payload = [0; 2];
                to.read(&buffer, 0, &mut payload).unwrap();
                assert_eq!(payload, [round, buffer.src() as u8]);
                assert!(to.read(&buffer, 1, &mut payload).is_err(), "beyond the payload");
                to.release(buffer).unwrap();
            }
        }
    }
    exchange(&mut driver, &mut device);
    exchange(&mut device, &mut driver);
}

#[test]
fn kicks_are_left_out_only_when_the_other_side_says_so() {
    let memory = Memory::new(4, 16);
    let (mut driver, mut device) = memory.ends();
    let layout = memory.layout();
    send(&mut device, 1, 2, &[1]).unwrap();
    assert_eq!(kicks(&mut device), [0]);
    assert_eq!(kicks(&mut device), [], "handed out once");
    // RPMsg-Lite's master sets "no kicks" here and waits for kicks nevertheless.
    layout.vring0.store_u16(64, 1).unwrap();
    send(&mut device, 1, 2, &[1]).unwrap();
    assert_eq!(kicks(&mut device), [0]);
    assert_eq!(kicks(&mut driver), [0], "the first: the link is up");
    // Then neither side wants to hear of consumed buffers ...
    receive(&mut driver).unwrap();
    assert_eq!(kicks(&mut driver), []);
    send(&mut driver, 1, 2, &[1]).unwrap();
    assert_eq!(kicks(&mut driver), [1]);
    receive(&mut device).unwrap();
    assert_eq!(kicks(&mut device), []);
    // ... until it waits for one.
    driver.want_buffer_kick(true).unwrap();
    send(&mut driver, 1, 2, &[1]).unwrap();
    receive(&mut device).unwrap();
    assert_eq!(kicks(&mut device), [1]);
    device.want_buffer_kick(true).unwrap();
    receive(&mut driver).unwrap();
    assert_eq!(kicks(&mut driver), [1, 0]);
    driver.want_buffer_kick(false).unwrap();
    device.want_buffer_kick(false).unwrap();
    send(&mut driver, 1, 2, &[1]).unwrap();
    receive(&mut device).unwrap();
    assert_eq!(kicks(&mut device), []);
}

/// Everything malformed is counted by its name. What concerns one message costs that message, and its buffer comes back;
/// only an impossible index makes the ring useless.
#[test]
fn each_kind_of_hostile_driver_is_named_and_counted() {
    type Spoil = fn(Layout<'_>);
    const AVAIL: usize = 16 * 4;
    let cases: [(&str, Spoil, Fault); 9] = [
        ("index jump", |l| l.vring1.store_u16(AVAIL + 2, 6).unwrap(), Fault::Index),
        ("id outside", |l| l.vring1.store_u16(AVAIL + 4, 4).unwrap(), Fault::Descriptor),
        ("address below", |l| l.vring1.store_u32(0, 0).unwrap(), Fault::Address),
        ("address high word", |l| l.vring1.store_u32(4, 1).unwrap(), Fault::Address),
        ("length over a buffer", |l| l.vring1.store_u32(8, 513).unwrap(), Fault::Length),
        ("length below a header", |l| l.vring1.store_u32(8, 15).unwrap(), Fault::Length),
        ("header longer than descriptor", |l| l.vring1.store_u32(8, 16).unwrap(), Fault::Length),
        ("chained", |l| l.vring1.store_u16(12, 1).unwrap(), Fault::Chain),
        ("indirect", |l| l.vring1.store_u16(12, 4).unwrap(), Fault::Chain),
    ];
    for (what, spoil, fault) in cases {
        let memory = Memory::new(4, 16);
        let (mut driver, mut device) = memory.ends();
        send(&mut driver, 1, 2, &[1, 2, 3]).unwrap();
        spoil(memory.layout());
        let got = receive(&mut device);
        assert_eq!(device.counters().get(fault), 1, "{what}");
        assert_eq!(device.counters().total(), 1, "{what}");
        if fault == Fault::Index {
            assert_eq!(got, Err(Fault::Index));
            continue;
        }
        assert_eq!(got, Ok(None), "{what}");
        send(&mut driver, 1, 2, &[4]).unwrap();
        assert_eq!(receive(&mut device), Ok(Some((1, 2, vec![4]))), "{what}: the link goes on");
        if fault != Fault::Descriptor {
            for _ in 0..4 {
                assert_eq!(send(&mut driver, 1, 2, &[5]), Ok(true), "{what}: its buffer came back");
            }
        }
    }
}

#[test]
fn each_kind_of_hostile_device_is_named_and_counted() {
    const USED: usize = 80; // 4 descriptors (64 bytes), 14 bytes of avail, padded to 16
    type Spoil = fn(Layout<'_>);
    let cases: [(&str, Spoil, Fault); 6] = [
        ("index jump", |l| l.vring0.store_u16(USED + 2, 9).unwrap(), Fault::Index),
        ("id outside", |l| l.vring0.store_u32(USED + 4, 4).unwrap(), Fault::Descriptor),
        ("id far outside", |l| l.vring0.store_u32(USED + 4, 0x1_0000).unwrap(), Fault::Descriptor),
        ("used longer than a buffer", |l| l.vring0.store_u32(USED + 8, 513).unwrap(), Fault::Length),
        ("used shorter than a header", |l| l.vring0.store_u32(USED + 8, 0).unwrap(), Fault::Length),
        ("header longer than used", |l| l.vring0.store_u32(USED + 8, 18).unwrap(), Fault::Length),
    ];
    for (what, spoil, fault) in cases {
        let memory = Memory::new(4, 16);
        let (mut driver, mut device) = memory.ends();
        send(&mut device, 1, 2, &[1, 2, 3]).unwrap();
        spoil(memory.layout());
        let got = receive(&mut driver);
        assert_eq!(driver.counters().get(fault), 1, "{what}");
        assert_eq!(driver.counters().total(), 1, "{what}");
        if fault == Fault::Index {
            assert_eq!(got, Err(Fault::Index));
            continue;
        }
        assert_eq!(got, Ok(None), "{what}");
        send(&mut device, 1, 2, &[4]).unwrap();
        assert_eq!(receive(&mut driver), Ok(Some((1, 2, vec![4]))), "{what}: the link goes on");
        if fault == Fault::Length {
            for _ in 0..4 {
                assert_eq!(send(&mut device, 1, 2, &[5]), Ok(true), "{what}: its buffer came back");
            }
        }
    }
}

/// A device that returns a transmit buffer twice would make the driver overwrite a message in flight.
#[test]
fn a_buffer_returned_twice_is_refused() {
    let memory = Memory::new(4, 16);
    let mut driver = Driver::new(&memory.layout()).unwrap();
    for _ in 0..4 {
        assert_eq!(send(&mut driver, 1, 2, &[1]), Ok(true));
    }
    let layout = memory.layout();
    // Entries 0 and 1 := id 3, idx := 2.
    for entry in [84, 92] {
        layout.vring1.store_u32(entry, 3).unwrap();
    }
    layout.vring1.store_u16(80 + 2, 2).unwrap();
    let buffer = driver.alloc().unwrap().expect("taken back once");
    assert!(driver.alloc().unwrap().is_none(), "not twice");
    assert_eq!(driver.counters().get(Fault::Descriptor), 1);
    driver.cancel(buffer);
}

/// A driver that offers a descriptor twice would make the device give one buffer to two messages.
#[test]
fn a_descriptor_offered_twice_is_refused() {
    let memory = Memory::new(4, 16);
    let (_driver, mut device) = memory.ends();
    // avail entry 1 := id 0, as entry 0.
    memory.layout().vring0.store_u16(64 + 4 + 2, 0).unwrap();
    let buffers: Vec<_> = core::iter::from_fn(|| device.alloc().unwrap()).collect();
    assert_eq!((buffers.len(), device.counters().get(Fault::Descriptor)), (3, 1));
}

/// RPMsg-Lite's master fills the used ring with its own transmit buffers before the device has used any, and its remote is
/// initialised before the master is: the device's first entry goes where the master counts it.
#[test]
fn a_used_ring_that_the_driver_filled_is_continued() {
    let memory = Memory::new(4, 16);
    let mut device = Device::new(&memory.layout()).unwrap();
    let mut driver = Driver::new(&memory.layout()).unwrap();
    let ring = memory.layout().vring1;
    ring.store_u16(80 + 2, 4).unwrap();
    device.start().unwrap();
    send(&mut driver, 1, 2, &[1]).unwrap();
    assert_eq!(receive(&mut device), Ok(Some((1, 2, vec![1]))));
    assert_eq!(ring.load_u16(80 + 2), Ok(5));
    // A device that is reset tells such a driver by the WRITE flag of its transmit descriptors.
    ring.store_u16(12, 2).unwrap();
    let mut device = Device::resume(&memory.layout()).unwrap();
    assert_eq!(receive(&mut device), Ok(None));
    send(&mut driver, 1, 2, &[2]).unwrap();
    assert_eq!(receive(&mut device), Ok(Some((1, 2, vec![2]))));
}

/// The M core was reset and the driver did not notice: the next life goes on where the last one stopped.
#[test]
fn a_device_that_lost_its_cursors_resumes_without_loss_or_repeat() {
    let memory = Memory::new(4, 16);
    let (mut driver, mut device) = memory.ends();
    for round in 0..30u8 {
        for i in 0..3 {
            assert_eq!(send(&mut driver, 1, 2, &[round, i]), Ok(true));
        }
        assert_eq!(receive(&mut device), Ok(Some((1, 2, vec![round, 0]))));
        assert_eq!(send(&mut device, 2, 1, &[round, 9]), Ok(true));
        device = Device::resume(&memory.layout()).unwrap();
        for i in 1..3 {
            assert_eq!(receive(&mut device), Ok(Some((1, 2, vec![round, i]))));
        }
        assert_eq!(receive(&mut device), Ok(None));
        assert_eq!(send(&mut device, 2, 1, &[round, 10]), Ok(true));
        assert_eq!(receive(&mut driver), Ok(Some((2, 1, vec![round, 9]))));
        assert_eq!(receive(&mut driver), Ok(Some((2, 1, vec![round, 10]))));
    }
    assert_eq!((driver.counters().total(), device.counters().total()), (0, 0));
    // A device that starts at 0 instead is noticed by both ends.
    let mut naive = Device::new(&memory.layout()).unwrap();
    assert_eq!(receive(&mut naive), Err(Fault::Index));
}

/// The driver was restarted and set the rings up anew while the device was not told.
#[test]
fn a_device_notices_that_the_rings_were_set_up_anew() {
    let memory = Memory::new(4, 16);
    let (mut driver, mut device) = memory.ends();
    for _ in 0..9 {
        send(&mut driver, 1, 2, &[1]).unwrap();
        receive(&mut device).unwrap();
    }
    let mut driver = Driver::new(&memory.layout()).unwrap();
    send(&mut driver, 1, 2, &[7]).unwrap();
    assert_eq!(receive(&mut device), Err(Fault::Index));
    let mut device = Device::new(&memory.layout()).unwrap();
    assert_eq!(receive(&mut device), Ok(Some((1, 2, vec![7]))));
}

const SPEC: TableSpec<'_> = TableSpec {
    vrings: [0x2100_1000, 0x2100_3000],
    size: match VringSize::new(64, 4096) {
        Some(size) => size,
        None => panic!(),
    },
    carveouts: &[],
    traces: &[],
};
static BARE: [u8; SPEC.bytes()] = SPEC.build().unwrap();

#[test]
fn the_table_is_checked_word_by_word() {
    let heap = HeapRegion::new(4096);
    let region = heap.region();
    let (rings, size) = (SPEC.vrings, SPEC.size);
    let read = || read_table(region, rings, size).map(|_| ());
    assert_eq!(read(), Err(TableError::Missing));
    assert_eq!(write_table(region, &BARE).unwrap().1, 1);
    assert_eq!(read(), Ok(()));
    assert_eq!(
        bytes(region, 0, TableSpec::BARE_BYTES),
        [
            1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, // header, offset
            3, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 2, 0, 0, // vdev
            0, 0x10, 0, 0x21, 0, 0x10, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // vring 0
            0, 0x30, 0, 0x21, 0, 0x10, 0, 0, 64, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, // vring 1
            0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, // config
        ]
    );
    let words = read_table(region, rings, size).unwrap();
    words.set_driver_epoch(5).unwrap();
    words.set_device_epoch(5).unwrap();
    words.set_status(STATUS_DRIVER_OK).unwrap();
    assert_eq!(write_table(region, &BARE).unwrap().1, 2, "a reboot is counted");
    assert_eq!((words.device_epoch(), words.driver_epoch()), (Ok(0), Ok(5)));
    assert_eq!(words.status(), Ok(STATUS_DRIVER_OK), "the driver's words are left alone");
    let ready = |status| {
        words.set_status(status).unwrap();
        words.driver_is_ready().unwrap()
    };
    assert_eq!([7, 15, 4].map(ready), [true; 3], "the kernel's, with FEATURES_OK, alone");
    assert_eq!([0, 3, 0x87, 0x47].map(ready), [false; 4], "none, not yet, failed, needs reset");
    let outcomes = [
        (0, TableError::Version(0x101)),
        (4, TableError::Entries(0x101)),
        (8, TableError::Reserved { offset: 8 }),
        (12, TableError::Reserved { offset: 12 }),
        (16, TableError::Offset { offset: 0x4000_0000 }),
        (20, TableError::NoVdev),
        (24, TableError::NoVdev),
        (40, TableError::Offset { offset: 88 }),
        (44, TableError::Vrings(3)),
        (48, TableError::Differs { offset: 48 }),
        (52, TableError::Vring { index: 0 }),
        (56, TableError::Vring { index: 0 }),
        (68, TableError::Differs { offset: 68 }),
        (72, TableError::Vring { index: 1 }),
        (76, TableError::Vring { index: 1 }),
    ];
    for (at, error) in outcomes {
        let good = region.load_u32(at).unwrap();
        let spoilt = match at {
            16 => 0x4000_0000,
            40 => 0x1000,
            _ => good ^ 0x100,
        };
        region.store_u32(at, spoilt).unwrap();
        assert_eq!(read(), Err(error), "word at {at}");
        assert!(!error.to_string().is_empty());
        region.store_u32(at, good).unwrap();
    }
    // A table without room for the words of our handshake: another firmware's.
    region.store_u32(40, CONFIG_BYTES - 1).unwrap();
    assert_eq!(read(), Err(TableError::Differs { offset: 40 }));
    // An entry in the header would be read as two things.
    region.store_u32(16, 12).unwrap();
    assert_eq!(read(), Err(TableError::Offset { offset: 12 }));
}

#[test]
fn a_table_with_carveouts_and_traces_is_laid_out_as_the_kernel_reads_it() {
    const FULL: TableSpec<'_> = TableSpec {
        carveouts: &[Carveout { name: "bulk", device_address: 0x2110_0000, bytes: 0x1000 }],
        traces: &[Trace { name: "firmware", device_address: 0x2100_8000, bytes: 0x800 }],
        ..SPEC
    };
    const TABLE: [u8; FULL.bytes()] = FULL.build().unwrap();
    assert_eq!(TABLE.len(), 28 + 80 + 56 + 48);
    let word = |at: usize| u32::from_le_bytes(TABLE[at..at + 4].try_into().unwrap());
    assert_eq!([4, 16, 20, 24].map(word), [3, 28, 108, 164]);
    assert_eq!([108, 112, 116, 120, 124, 128].map(word), [0, 0x2110_0000, u32::MAX, 0x1000, 0, 0]);
    assert_eq!(&TABLE[132..138], b"bulk\0\0");
    assert_eq!([164, 168, 172, 176].map(word), [2, 0x2100_8000, 0x800, 0]);
    assert_eq!(&TABLE[180..190], b"firmware\0\0");
    let table = Table::parse(&TABLE).unwrap();
    assert_eq!(table.vrings.map(|ring| ring.device_address), FULL.vrings);
    // Entries that are none of our business: memory for devices, and vendors' own.
    for (entry, word) in [(164, 1), (164, 128), (164, 512), (108, 128)] {
        let mut other: [u8; TABLE.len()] = TABLE;
        other[entry..entry + 4].copy_from_slice(&u32::to_le_bytes(word));
        assert_eq!(Table::parse(&other), Ok(table), "type {word} at {entry}");
    }
    let heap = HeapRegion::new(4096);
    write_table(heap.region(), &TABLE).unwrap();
    assert_eq!(bytes(heap.region(), 0, 36), TABLE[..36]);
    assert!(ControlWords::new(heap.region(), &table).is_ok());
    let long = "a name of more than thirty-one bytes";
    assert_eq!(TableSpec { traces: &[Trace { name: long, ..FULL.traces[0] }], ..SPEC }.build::<152>(), None);
    assert_eq!(SPEC.build::<99>(), None, "another size than it has");
    let many = [FULL.carveouts[0]; 18];
    let spec = TableSpec { carveouts: &many, ..SPEC };
    assert_eq!((spec.bytes(), spec.build::<1180>()), (1180, None), "over a kilobyte");
    for len in 0..TABLE.len() {
        assert!(Table::parse(&TABLE[..len]).is_err(), "cut to {len} bytes");
    }
}

/// The seed is printed with a failure; `CORACLE_SEED=<seed>` repeats a run.
fn config() -> ProptestConfig {
    let seed = match std::env::var("CORACLE_SEED") {
        Ok(seed) => seed.parse().expect("CORACLE_SEED is a number"),
        // It has no clock.
        Err(_) if cfg!(miri) => 1,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_nanos() as u64,
    };
    println!("CORACLE_SEED={seed}");
    let config = ProptestConfig::default();
    ProptestConfig { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..config }
}

proptest! {
    #![proptest_config(config())]

    /// Any interleaving of sends and receives delivers every accepted message once, in order, on both rings.
    #[test]
    fn nothing_is_lost_doubled_or_reordered(ops in proptest::collection::vec(0u8..4, 1..400), lens in 1usize..=496) {
        let memory = Memory::new(8, 64);
        let (mut driver, mut device) = memory.ends();
        let (mut down, mut up) = (std::collections::VecDeque::new(), std::collections::VecDeque::new());
        let mut n = 0u32;
        for op in ops {
            n += 1;
            let body = vec![n as u8; 1 + (n as usize * 31) % lens];
            match op {
                0 => {
                    prop_assert_eq!(send(&mut driver, n, 1, &body), Ok(down.len() < 8));
                    if down.len() < 8 { down.push_back((n, 1, body)); }
                }
                1 => {
                    prop_assert_eq!(send(&mut device, n, 1, &body), Ok(up.len() < 8));
                    if up.len() < 8 { up.push_back((n, 1, body)); }
                }
                2 => prop_assert_eq!(receive(&mut device), Ok(down.pop_front())),
                _ => prop_assert_eq!(receive(&mut driver), Ok(up.pop_front())),
            }
        }
    }

    /// Random words anywhere in the shared memory: both ends answer with a message, nothing, or a named fault.
    #[test]
    fn a_hostile_peer_never_causes_a_panic(writes in proptest::collection::vec((0usize..3000, any::<u32>()), 1..60)) {
        let memory = Memory::new(4, 16);
        let (mut driver, mut device) = memory.ends();
        for (at, value) in writes {
            let all = memory.heap.region();
            // Mostly the rings' first bytes, where it hurts.
            let at = if at < 2000 { (at % 300) & !1 } else { 4096 + (((at - 2000) % 300) & !1) };
            all.store_u16(at, value as u16).unwrap();
            let _ = send(&mut driver, 1, 2, &[1; 20]);
            let _ = send(&mut device, 1, 2, &[1; 20]);
            if let Ok(Some((_, _, payload))) = receive(&mut driver) { prop_assert!(payload.len() <= PAYLOAD_BYTES_MAX); }
            if let Ok(Some((_, _, payload))) = receive(&mut device) { prop_assert!(payload.len() <= PAYLOAD_BYTES_MAX); }
        }
    }

    #[test]
    fn any_bytes_are_a_table_or_a_named_error(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..100, value: u8) {
        let _ = Table::parse(&bytes);
        let mut nearly = BARE;
        nearly[at] = value;
        let _ = Table::parse(&nearly);
    }

    #[test]
    fn headers_round_trip(src: u32, dst: u32, len: u16) {
        let header = Header { src, dst, len };
        prop_assert_eq!(Header::from_bytes(&header.to_bytes()), header);
        prop_assert_eq!(header.to_bytes().len(), HEADER_BYTES);
    }
}

/// Two threads, real concurrency: order and content survive.
#[test]
fn two_threads_exchange_in_order() {
    const COUNT: u32 = if cfg!(miri) { 60 } else { 20_000 };
    let memory = Memory::new(16, 64);
    let (mut driver, mut device) = memory.ends();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut next = 0;
            while next < COUNT {
                let Some((_, _, payload)) = receive(&mut device).unwrap() else {
                    std::thread::yield_now();
                    continue;
                };
                assert_eq!(u32::from_le_bytes(payload[..4].try_into().unwrap()), next);
                assert_eq!(payload.len(), 4 + next as usize % 400);
                assert!(payload[4..].iter().all(|b| *b == next as u8));
                while !send(&mut device, 7, 8, &payload).unwrap() {
                    std::thread::yield_now();
                }
                next += 1;
            }
        });
        let (mut sent, mut back) = (0u32, 0u32);
        while back < COUNT {
            if sent < COUNT {
                let mut body = sent.to_le_bytes().to_vec();
                body.resize(4 + sent as usize % 400, sent as u8);
                if send(&mut driver, 8, 7, &body).unwrap() {
                    sent += 1;
                }
            }
            match receive(&mut driver).unwrap() {
                Some((_, _, payload)) => {
                    assert_eq!(u32::from_le_bytes(payload[..4].try_into().unwrap()), back);
                    assert_eq!(payload.len(), 4 + back as usize % 400);
                    back += 1;
                }
                None => std::thread::yield_now(),
            }
        }
    });
}
