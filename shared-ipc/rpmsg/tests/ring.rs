//! Both ends of the rings over one block of memory: wire facts, order, loss, and hostile peers.

use coracle_rpmsg::{
    BUFFER_BYTES, ControlWords, Device, Driver, Fault, HEADER_BYTES, Header, Layout, NameService, PAYLOAD_BYTES_MAX,
    STATUS_DRIVER_OK, SendError, TABLE_BYTES, TableError, VringSize, read_table, write_table,
};
use coracle_shmem::{HeapRegion, Region};
use proptest::prelude::*;

const DEVICE_ADDRESS: u64 = 0x2100_0000;

struct Memory {
    heap: HeapRegion,
    size: VringSize,
}

impl Memory {
    fn new(entries: u16, align: u32) -> Self {
        let size = VringSize::new(entries, align).unwrap();
        Self { heap: HeapRegion::new(Self::buffers_at(size) + 2 * usize::from(entries) * BUFFER_BYTES), size }
    }

    fn ring_bytes(size: VringSize) -> usize {
        size.bytes().next_multiple_of(4096)
    }

    fn buffers_at(size: VringSize) -> usize {
        2 * Self::ring_bytes(size)
    }

    fn layout(&self) -> Layout<'_> {
        let all = self.heap.region();
        let ring = Self::ring_bytes(self.size);
        let buffers = Self::buffers_at(self.size);
        Layout {
            vring0: all.sub(0, ring).unwrap(),
            vring1: all.sub(ring, ring).unwrap(),
            buffers: all.sub(buffers, all.len() - buffers).unwrap(),
            buffers_address: DEVICE_ADDRESS + buffers as u64,
            size: self.size,
        }
    }

    fn ends(&self) -> (Driver<'_>, Device<'_>) {
        (Driver::new(&self.layout()).unwrap(), Device::new(&self.layout()).unwrap())
    }
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
    assert!(driver.send(0x400, 0x1e, b"hello").unwrap());
    let tx_buffer = 16 * BUFFER_BYTES;
    assert_eq!(
        bytes(layout.buffers, tx_buffer, 21),
        [0, 4, 0, 0, 0x1e, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, b'h', b'e', b'l', b'l', b'o']
    );
    assert_eq!(bytes(layout.vring1, 8, 8), [21, 0, 0, 0, 0, 0, 0, 0], "length 16 + 5, no flags");
    let ns = NameService::new("coracle-link", 0x1e, false).to_bytes();
    assert_eq!(ns.len(), 40);
    assert_eq!(&ns[..13], b"coracle-link\0");
    assert_eq!(ns[32..], [0x1e, 0, 0, 0, 0, 0, 0, 0]);
    assert!(device.send(0x1e, 53, &ns).unwrap());
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    let got = driver.receive(&mut payload).unwrap().unwrap();
    assert_eq!((got.src, got.dst, got.len), (0x1e, 53, 40));
    assert_eq!(NameService::from_bytes(&payload[..40]).unwrap().name(), "coracle-link");
    assert_eq!(NameService::from_bytes(&payload[..39]), None);
    assert_eq!(NameService::from_bytes(&payload[..41]), None);
    // used.len is what Linux checks: header plus payload.
    assert_eq!(layout.vring0.load_u32(4096 + 8).unwrap(), 56);
}

#[test]
fn a_peer_that_writes_whole_buffer_lengths_and_flags_is_understood() {
    let memory = Memory::new(4, 16);
    let (mut driver, mut device) = memory.ends();
    let layout = memory.layout();
    driver.send(1, 2, b"abc").unwrap();
    // RPMsg-Lite's master: full buffer size and the WRITE flag, in both directions.
    layout.vring1.store_u32(8, 512).unwrap();
    layout.vring1.store_u16(12, 2).unwrap();
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    let (got, kick) = device.receive(&mut payload).unwrap().unwrap();
    assert_eq!((got.len, kick), (3, false));
    assert_eq!(&payload[..3], b"abc");
}

#[test]
fn sizes_at_the_limits() {
    let memory = Memory::new(4, 16);
    let (mut driver, mut device) = memory.ends();
    assert_eq!(driver.send(1, 2, &[]), Err(SendError::Size));
    assert_eq!(driver.send(1, 2, &[0; 497]), Err(SendError::Size));
    assert_eq!(device.send(1, 2, &[]), Err(SendError::Size));
    assert_eq!(device.send(1, 2, &[0; 497]), Err(SendError::Size));
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    for len in 1..=PAYLOAD_BYTES_MAX {
        let sent: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
        driver.send(5, 6, &sent).unwrap();
        let (got, _) = device.receive(&mut payload).unwrap().unwrap();
        assert_eq!(&payload[..got.len], sent);
        device.send(6, 5, &sent).unwrap();
        let got = driver.receive(&mut payload).unwrap().unwrap();
        assert_eq!(&payload[..got.len], sent);
    }
}

#[test]
fn a_full_ring_says_so_and_recovers_past_index_wrap() {
    let memory = Memory::new(4, 16);
    let (mut driver, mut device) = memory.ends();
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    for round in 0..20_000u32 {
        for i in 0..4 {
            driver.send(round, i, &[1]).unwrap();
            device.send(round, i, &[2]).unwrap();
        }
        assert_eq!(driver.send(round, 4, &[1]), Err(SendError::NoBuffer));
        assert_eq!(device.send(round, 4, &[1]), Err(SendError::NoBuffer));
        for i in 0..4 {
            assert_eq!(device.receive(&mut payload).unwrap().map(|(m, _)| (m.src, m.dst)), Some((round, i)));
            assert_eq!(driver.receive(&mut payload).unwrap().map(|m| (m.src, m.dst)), Some((round, i)));
        }
        assert_eq!(device.receive(&mut payload), Ok(None));
        assert_eq!(driver.receive(&mut payload), Ok(None));
    }
}

#[test]
fn kicks_are_left_out_only_when_the_other_side_says_so() {
    let memory = Memory::new(4, 16);
    let (mut driver, mut device) = memory.ends();
    let layout = memory.layout();
    assert_eq!(device.send(1, 2, &[1]), Ok(true));
    layout.vring0.store_u16(64, 1).unwrap(); // avail.flags of the receive ring
    assert_eq!(device.send(1, 2, &[1]), Ok(false));
    driver.send(1, 2, &[1]).unwrap();
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    assert!(!device.receive(&mut payload).unwrap().unwrap().1, "consumed-buffer kicks are suppressed from the start");
    layout.vring1.store_u16(64, 0).unwrap();
    driver.send(1, 2, &[1]).unwrap();
    assert!(device.receive(&mut payload).unwrap().unwrap().1);
}

#[test]
fn each_kind_of_hostile_driver_is_named() {
    type Spoil = fn(Layout<'_>, usize);
    let avail = 16 * 4;
    let cases: [(&str, Spoil, Fault); 6] = [
        ("index jump", |l, avail| l.vring1.store_u16(avail + 2, 6).unwrap(), Fault::Index),
        ("id outside", |l, avail| l.vring1.store_u16(avail + 4, 4).unwrap(), Fault::Descriptor),
        ("address below", |l, _| l.vring1.store_u32(0, 0).unwrap(), Fault::Address),
        ("address high word", |l, _| l.vring1.store_u32(4, 1).unwrap(), Fault::Address),
        ("length over a buffer", |l, _| l.vring1.store_u32(8, 513).unwrap(), Fault::Length),
        ("header longer than descriptor", |l, _| l.vring1.store_u32(8, 16).unwrap(), Fault::Length),
    ];
    for (what, spoil, fault) in cases {
        let memory = Memory::new(4, 16);
        let (mut driver, mut device) = memory.ends();
        driver.send(1, 2, &[1, 2, 3]).unwrap();
        spoil(memory.layout(), avail);
        assert_eq!(device.receive(&mut [0; PAYLOAD_BYTES_MAX]), Err(fault), "{what}");
    }
}

#[test]
fn each_kind_of_hostile_device_is_named() {
    let used = 80; // 4 descriptors (64 bytes), 14 bytes of avail, padded to 16
    type Spoil = fn(Layout<'_>, usize);
    let cases: [(&str, Spoil, Fault); 5] = [
        ("index jump", |l, used| l.vring0.store_u16(used + 2, 9).unwrap(), Fault::Index),
        ("id outside", |l, used| l.vring0.store_u32(used + 4, 4).unwrap(), Fault::Descriptor),
        ("id far outside", |l, used| l.vring0.store_u32(used + 4, 0x1_0000).unwrap(), Fault::Descriptor),
        ("used longer than a buffer", |l, used| l.vring0.store_u32(used + 8, 513).unwrap(), Fault::Length),
        ("header longer than used", |l, used| l.vring0.store_u32(used + 8, 18).unwrap(), Fault::Length),
    ];
    for (what, spoil, fault) in cases {
        let memory = Memory::new(4, 16);
        let (mut driver, mut device) = memory.ends();
        device.send(1, 2, &[1, 2, 3]).unwrap();
        spoil(memory.layout(), used);
        assert_eq!(driver.receive(&mut [0; PAYLOAD_BYTES_MAX]), Err(fault), "{what}");
    }
}

/// A device that returns a transmit buffer twice would make the driver overwrite a message in flight.
#[test]
fn a_buffer_returned_twice_is_refused() {
    let memory = Memory::new(4, 16);
    let (mut driver, mut device) = memory.ends();
    for _ in 0..4 {
        driver.send(1, 2, &[1]).unwrap();
    }
    device.receive(&mut [0; PAYLOAD_BYTES_MAX]).unwrap();
    driver.send(1, 2, &[2]).unwrap();
    let layout = memory.layout();
    // used entry 1 := id 0, idx := 2. Id 0 is out again, so this is accepted once ...
    layout.vring1.store_u32(80 + 4 + 8, 0).unwrap();
    layout.vring1.store_u16(80 + 2, 2).unwrap();
    driver.send(1, 2, &[3]).unwrap();
    // ... but an id that is not out is not.
    let mut rx = Driver::new(&layout).unwrap();
    layout.vring1.store_u32(80 + 4, 3).unwrap();
    layout.vring1.store_u16(80 + 2, 1).unwrap();
    for _ in 0..4 {
        rx.send(1, 2, &[4]).unwrap();
    }
    assert_eq!(rx.send(1, 2, &[5]), Ok(true), "id 3 is out: taken back once");
    layout.vring1.store_u32(80 + 4 + 8, 9).unwrap();
    layout.vring1.store_u16(80 + 2, 2).unwrap();
    assert_eq!(rx.send(1, 2, &[6]), Err(SendError::Fault(Fault::Descriptor)));
}

#[test]
fn the_table_is_checked_word_by_word() {
    let heap = HeapRegion::new(4096);
    let region = heap.region();
    let size = VringSize::new(64, 4096).unwrap();
    let rings = [0x2100_1000, 0x2100_3000];
    assert_eq!(read_table(&region, rings, size), Err(TableError::Missing));
    assert_eq!(write_table(&region, rings, size), Ok(1));
    assert_eq!(read_table(&region, rings, size), Ok(()));
    assert_eq!(
        bytes(region, 0, TABLE_BYTES),
        [
            1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, // header, offset
            3, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 2, 0, 0, // vdev
            0, 0x10, 0, 0x21, 0, 0x10, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // vring 0
            0, 0x30, 0, 0x21, 0, 0x10, 0, 0, 64, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, // vring 1
            0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, // config
        ]
    );
    let words = ControlWords::new(region);
    words.set_driver_epoch(5).unwrap();
    words.set_device_epoch(5).unwrap();
    words.set_status(STATUS_DRIVER_OK).unwrap();
    assert_eq!(write_table(&region, rings, size), Ok(2), "a reboot is counted");
    assert_eq!((words.device_epoch(), words.driver_epoch()), (Ok(0), Ok(5)));
    for at in (0..88).step_by(4).filter(|at| *at != 36 && *at != 44) {
        let good = region.load_u32(at).unwrap();
        region.store_u32(at, good ^ 0x100).unwrap();
        assert!(read_table(&region, rings, size).is_err(), "word at {at}");
        region.store_u32(at, good).unwrap();
    }
}

proptest! {
    /// Any interleaving of sends and receives delivers every accepted message once, in order, on both rings.
    #[test]
    fn nothing_is_lost_doubled_or_reordered(ops in proptest::collection::vec(0u8..4, 1..400), lens in 1usize..=496) {
        let memory = Memory::new(8, 64);
        let (mut driver, mut device) = memory.ends();
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        let (mut down, mut up) = (std::collections::VecDeque::new(), std::collections::VecDeque::new());
        let mut n = 0u32;
        for op in ops {
            n += 1;
            let body = vec![n as u8; 1 + (n as usize * 31) % lens];
            match op {
                0 => match driver.send(n, 1, &body) {
                    Ok(_) => down.push_back((n, body)),
                    Err(e) => { prop_assert_eq!(e, SendError::NoBuffer); prop_assert!(down.len() == 8); }
                },
                1 => match device.send(n, 1, &body) {
                    Ok(_) => up.push_back((n, body)),
                    Err(e) => { prop_assert_eq!(e, SendError::NoBuffer); prop_assert!(up.len() == 8); }
                },
                2 => {
                    let got = device.receive(&mut payload).unwrap().map(|(m, _)| (m.src, payload[..m.len].to_vec()));
                    prop_assert_eq!(got, down.pop_front());
                }
                _ => {
                    let got = driver.receive(&mut payload).unwrap().map(|m| (m.src, payload[..m.len].to_vec()));
                    prop_assert_eq!(got, up.pop_front());
                }
            }
        }
    }

    /// Random words anywhere in the shared memory: both ends answer with a message, nothing, or a named fault.
    #[test]
    fn a_hostile_peer_never_causes_a_panic(writes in proptest::collection::vec((0usize..3000, any::<u32>()), 1..60)) {
        let memory = Memory::new(4, 16);
        let (mut driver, mut device) = memory.ends();
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        for (at, value) in writes {
            let all = memory.heap.region();
            // Mostly the rings' first bytes, where it hurts.
            let at = if at < 2000 { (at % 300) & !1 } else { 4096 + (((at - 2000) % 300) & !1) };
            all.store_u16(at, value as u16).unwrap();
            let _ = driver.send(1, 2, &[1; 20]);
            let _ = device.send(1, 2, &[1; 20]);
            if let Ok(Some(m)) = driver.receive(&mut payload) { prop_assert!(m.len <= PAYLOAD_BYTES_MAX); }
            if let Ok(Some((m, _))) = device.receive(&mut payload) { prop_assert!(m.len <= PAYLOAD_BYTES_MAX); }
        }
    }

    #[test]
    fn headers_round_trip(src: u32, dst: u32, len: u16) {
        let header = Header { src, dst, len };
        prop_assert_eq!(Header::from_bytes(&header.to_bytes()), header);
        prop_assert_eq!(header.to_bytes().len(), HEADER_BYTES);
    }
}

/// Two threads, real concurrency: order and content survive, and waiting for kicks alone never hangs.
#[test]
fn two_threads_exchange_in_order() {
    const COUNT: u32 = 20_000;
    let memory = Memory::new(16, 64);
    let (mut driver, mut device) = memory.ends();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut payload = [0; PAYLOAD_BYTES_MAX];
            let mut next = 0;
            while next < COUNT {
                let Some((m, _)) = device.receive(&mut payload).unwrap() else {
                    std::thread::yield_now();
                    continue;
                };
                assert_eq!(u32::from_le_bytes(payload[..4].try_into().unwrap()), next);
                assert_eq!(m.len, 4 + next as usize % 400);
                assert!(payload[4..m.len].iter().all(|b| *b == next as u8));
                while device.send(7, 8, &payload[..m.len]) == Err(SendError::NoBuffer) {
                    std::thread::yield_now();
                }
                next += 1;
            }
        });
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        let (mut sent, mut back) = (0u32, 0u32);
        while back < COUNT {
            if sent < COUNT {
                let mut body = sent.to_le_bytes().to_vec();
                body.resize(4 + sent as usize % 400, sent as u8);
                if driver.send(8, 7, &body).is_ok() {
                    sent += 1;
                }
            }
            match driver.receive(&mut payload).unwrap() {
                Some(m) => {
                    assert_eq!(u32::from_le_bytes(payload[..4].try_into().unwrap()), back);
                    assert_eq!(m.len, 4 + back as usize % 400);
                    back += 1;
                }
                None => std::thread::yield_now(),
            }
        }
    });
}
