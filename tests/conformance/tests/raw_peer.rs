//! Each side of ours against a peer that writes as Linux and as NXP's RPMsg-Lite do.

use coracle_rpmsg::{Geometry, KICK_TO_DEVICE, KICK_TO_DRIVER, Received, Rpmsg, RpmsgError, ZeroCopy as _};
use coracle_test_conformance::raw::{FIRST_KICK, Master, Remote, Ring, Style};
use coracle_test_conformance::{DirectDevice, DirectDriver, Maker, Memory, Side, alone, both_ours, geometries};

fn take(side: &mut impl Rpmsg) -> Option<(u32, u32, Vec<u8>)> {
    let mut payload = vec![0; side.payload_bytes_max()];
    match side.receive(&mut payload).unwrap()? {
        Received::Message { endpoint, src, len } => Some((src, endpoint.address(), payload[..len].to_vec())),
        Received::Channel(channel) => panic!("{channel:?}"),
    }
}

fn kicks(side: &mut impl Side) -> Vec<u8> {
    std::iter::from_fn(|| side.take_kick()).collect()
}

/// Three rings' worth of messages each way against a master of either style, the device made before or after it.
fn device_with_master<V: Maker>() {
    for geometry in geometries::<DirectDriver, V>() {
        for style in [Style::Linux, Style::RpmsgLite] {
            for device_first in [true, false] {
                let _alone = alone();
                let memory = Memory::new(geometry);
                let early = device_first.then(|| V::make(memory));
                let mut master = Master::new(memory, style);
                let mut device = early.unwrap_or_else(|| V::make(memory));
                let endpoint = device.create_endpoint(30).unwrap();
                assert_eq!(device.send(endpoint, 1, &[1]), Err(RpmsgError::NotReady));
                device.notified(FIRST_KICK);
                let most = memory.payload_bytes_max();
                let what = format!("{style:?}, {geometry:?}, device first: {device_first}");
                for number in 0..3 * memory.buffers_each_way() {
                    let payload = vec![number as u8; 1 + number % most];
                    assert!(master.send(0x400, 30, &payload, 0xDEAD_BEEF, 0xFFFF), "message {number}: {what}");
                    let kick = master.kick_after_sending().expect("the device wants to hear of messages");
                    device.notified(kick);
                    assert_eq!(take(&mut device), Some((0x400, 30, payload.clone())), "message {number}: {what}");
                    device.send(endpoint, 0x400, &payload).unwrap();
                    assert!(kicks(&mut device).contains(&KICK_TO_DRIVER), "the master hears of it: {what}");
                    assert_eq!(master.receive(), Some((30, 0x400, payload)), "message {number}: {what}");
                }
                // All buffers came back, and the ring holds as many as ever.
                for number in 0..memory.buffers_each_way() {
                    assert!(master.send(0x400, 30, &[number as u8], 0, 0), "{what}");
                    device.send(endpoint, 0x400, &[number as u8]).unwrap();
                }
                assert!(!master.send(0x400, 30, &[0], 0, 0), "{what}");
                assert_eq!(device.send(endpoint, 0x400, &[0]), Err(RpmsgError::NoBuffer), "{what}");
            }
        }
    }
}

/// A device that is reset goes on where the rings stand, whichever way the master began to count.
fn device_restarted_with_master<V: Maker>() {
    if !both_ours::<DirectDriver, V>() {
        return;
    }
    for geometry in geometries::<DirectDriver, V>() {
        for style in [Style::Linux, Style::RpmsgLite] {
            let _alone = alone();
            let memory = Memory::new(geometry);
            let mut master = Master::new(memory, style);
            for life in 0..5_usize {
                let mut device = if life == 0 { V::make(memory) } else { V::make_again(memory) };
                let endpoint = device.create_endpoint(30).unwrap();
                device.notified(FIRST_KICK);
                for number in 0..life + memory.buffers_each_way() {
                    assert!(master.send(0x400, 30, &[number as u8], 0, 0), "{style:?}, life {life}, message {number}");
                    device.notified(KICK_TO_DEVICE);
                    assert_eq!(take(&mut device), Some((0x400, 30, vec![number as u8])), "{style:?}, life {life}");
                    device.send(endpoint, 0x400, &[number as u8]).unwrap();
                    assert_eq!(master.receive(), Some((30, 0x400, vec![number as u8])), "{style:?}, life {life}");
                }
            }
        }
    }
}

/// Linux clears the flag only while one of its writers sleeps for a buffer: then, and only then, it wants a kick.
fn device_tells_linux_of_consumed_buffers<V: Maker>() {
    if !both_ours::<DirectDriver, V>() {
        return;
    }
    for geometry in geometries::<DirectDriver, V>() {
        let _alone = alone();
        let memory = Memory::new(geometry);
        let mut master = Master::new(memory, Style::Linux);
        let mut device = V::make(memory);
        device.create_endpoint(30).unwrap();
        device.notified(FIRST_KICK);
        kicks(&mut device);
        for wanted in [false, true, false] {
            master.transmit_ring().set_avail_flags(u16::from(!wanted));
            assert!(master.send(0x400, 30, b"x", 0, 0));
            device.notified(KICK_TO_DEVICE);
            assert!(take(&mut device).is_some());
            let want = if wanted { vec![KICK_TO_DEVICE] } else { vec![] };
            assert_eq!(kicks(&mut device), want, "wanted: {wanted}");
        }
    }
}

/// What a broken or hostile master can write into one message: it is dropped, its buffer comes back, the next one arrives.
fn device_survives_a_bad_master<V: Maker>() {
    if !both_ours::<DirectDriver, V>() {
        return;
    }
    type Spoil = fn(Ring, Geometry);
    let cases: [(&str, Spoil); 7] = [
        ("address below the buffers", |ring, _| ring.set_desc(0, (8, 32, 0))),
        ("address above the buffers", |ring, g| {
            ring.set_desc(0, (ring.desc(0).0 + g.pool_bytes() as u64, 32, 0));
        }),
        ("address of 64 bits", |ring, _| ring.set_desc(0, (ring.desc(0).0 | 1 << 40, 32, 0))),
        ("odd address", |ring, _| ring.set_desc(0, (ring.desc(0).0 + 1, 32, 0))),
        ("longer than a buffer", |ring, g| ring.set_desc(0, (ring.desc(0).0, g.buffer_bytes() as u32 + 8, 0))),
        ("shorter than a header", |ring, _| ring.set_desc(0, (ring.desc(0).0, 15, 0))),
        ("header longer than the descriptor", |ring, _| ring.set_desc(0, (ring.desc(0).0, 17, 0))),
    ];
    for (what, spoil) in cases {
        let _alone = alone();
        let memory = Memory::new(Geometry::NXP);
        let mut master = Master::new(memory, Style::Linux);
        let mut device = V::make(memory);
        device.create_endpoint(30).unwrap();
        device.notified(FIRST_KICK);
        assert!(master.send(0x400, 30, b"spoilt", 0, 0));
        spoil(master.transmit_ring(), Geometry::NXP);
        assert!(master.send(0x400, 30, b"good", 0, 0));
        device.notified(KICK_TO_DEVICE);
        assert_eq!(take(&mut device), Some((0x400, 30, b"good".to_vec())), "{what}");
        assert_eq!(take(&mut device), None, "{what}");
        assert_eq!(master.transmit_ring().used_index(), 2, "{what}: both buffers came back");
    }
}

/// A master may offer less than a whole buffer: what does not fit is refused before anything is written, and not lost.
fn device_heeds_short_buffers<V: Maker>() {
    const ROOM: usize = 100;
    if !both_ours::<DirectDriver, V>() {
        return;
    }
    let _alone = alone();
    let memory = Memory::new(Geometry::NXP);
    let mut device = V::make(memory);
    let mut master = Master::new(memory, Style::Linux);
    let ring = Ring::of(memory, 0);
    for id in 0..memory.buffers_each_way() {
        let (address, _, flags) = ring.desc(id);
        ring.set_desc(id, (address, 16 + ROOM as u32, flags));
        memory.buffers().write(id * 512 + 16 + ROOM, &[0xEE; 512 - 16 - ROOM]).unwrap();
    }
    device.notified(FIRST_KICK);
    let endpoint = device.create_endpoint(30).unwrap();
    for _ in 0..=memory.buffers_each_way() {
        assert_eq!(device.send(endpoint, 0x400, &[1; ROOM + 1]), Err(RpmsgError::Size));
        let mut buffer = device.alloc_tx().unwrap();
        assert_eq!(device.write(&mut buffer, ROOM - 1, &[1; 2]), Err(RpmsgError::Size));
        assert_eq!(device.send_nocopy(endpoint, 0x400, buffer, ROOM + 1), Err(RpmsgError::Size));
    }
    for _ in 0..memory.buffers_each_way() {
        device.send(endpoint, 0x400, &[2; ROOM]).unwrap();
    }
    assert_eq!(device.send(endpoint, 0x400, &[2; ROOM]), Err(RpmsgError::NoBuffer));
    for id in 0..memory.buffers_each_way() {
        assert_eq!(master.receive(), Some((30, 0x400, vec![2; ROOM])));
        let mut after = [0; 512 - 16 - ROOM];
        memory.buffers().read(id * 512 + 16 + ROOM, &mut after).unwrap();
        assert_eq!(after, [0xEE; 512 - 16 - ROOM], "behind buffer {id}");
    }
}

/// Linux has the buffers elsewhere: a remote of RPMsg-Lite's interface is told only where the rings are.
#[cfg(feature = "rpmsg-lite")]
fn device_finds_buffers_elsewhere<V: Maker>() {
    let _alone = alone();
    let geometry = Geometry::NXP;
    let whole =
        Memory::new(Geometry::new(geometry.vring(), 4 * geometry.vring_bytes(), geometry.buffer_bytes()).unwrap());
    let memory = Memory { region: whole.region, geometry };
    let mut device = V::make(memory);
    let mut master = Master::with_buffers_at(memory, Style::Linux, 5 * geometry.vring_bytes());
    let endpoint = device.create_endpoint(30).unwrap();
    device.notified(FIRST_KICK);
    for number in 0..600_u32 {
        assert!(master.send(0x400, 30, &number.to_le_bytes(), 0, 0));
        device.notified(KICK_TO_DEVICE);
        assert_eq!(take(&mut device), Some((0x400, 30, number.to_le_bytes().to_vec())));
        device.send(endpoint, 0x400, &number.to_be_bytes()).unwrap();
        assert_eq!(master.receive(), Some((30, 0x400, number.to_be_bytes().to_vec())));
    }
}

/// The master is restarted and the remote is not: the kick that says "set up" is the only sign, and everything of before
/// is forgotten.
#[cfg(feature = "rpmsg-lite")]
fn device_follows_a_restarted_master<V: Maker>() {
    if !both_ours::<DirectDriver, V>() {
        return;
    }
    for geometry in geometries::<DirectDriver, V>() {
        for style in [Style::Linux, Style::RpmsgLite] {
            let _alone = alone();
            let memory = Memory::new(geometry);
            let mut device = V::make(memory);
            let endpoint = device.create_endpoint(30).unwrap();
            let all = memory.buffers_each_way();
            for (down, up) in [(0, 1), (0, 3), (3, 2), (0, 2), (1, 0), (all, all), (all + 1, 2 * all), (0, 1)] {
                let what = format!("{style:?}, {geometry:?}, {down} and {up} messages");
                let mut master = Master::new(memory, style);
                device.notified(FIRST_KICK);
                for number in 0..down {
                    assert!(master.send(0x400, 30, &[number as u8], 0, 0), "{what}");
                    device.notified(KICK_TO_DEVICE);
                    assert_eq!(take(&mut device), Some((0x400, 30, vec![number as u8])), "{what}");
                }
                for number in 0..up {
                    device.send(endpoint, 0x400, &[number as u8]).unwrap();
                    assert_eq!(master.receive(), Some((30, 0x400, vec![number as u8])), "{what}");
                }
            }
        }
    }
}

/// RPMsg-Lite's remote: whole lengths in the used ring, its own notes in the header of a buffer that it holds.
fn driver_with_remote<D: Maker>() {
    for geometry in geometries::<D, DirectDevice>() {
        let _alone = alone();
        let memory = Memory::new(geometry);
        let mut driver = D::make(memory);
        assert_eq!(kicks(&mut driver), [FIRST_KICK], "the remote takes it for link up");
        let endpoint = driver.create_endpoint(0x400).unwrap();
        let mut remote = Remote::new(memory);
        let (most, buffers) = (memory.payload_bytes_max(), memory.buffers_each_way());
        for round in 0..4 {
            let mut held = Vec::new();
            for number in 0..buffers {
                let payload = vec![number as u8; 1 + (number + round) % most];
                driver.send(endpoint, 30, &payload).unwrap();
                assert!(kicks(&mut driver).contains(&KICK_TO_DEVICE), "the remote hears of it");
                let (id, src, dst, got) = remote.hold().unwrap();
                assert_eq!((src, dst, got), (0x400, 30, payload.clone()));
                held.push(id);
                assert!(remote.send(30, 0x400, &payload));
                driver.notified(KICK_TO_DRIVER);
                assert_eq!(take(&mut driver), Some((30, 0x400, payload)));
            }
            assert_eq!(driver.send(endpoint, 30, &[0]), Err(RpmsgError::NoBuffer), "all are held");
            // Out of order.
            while let Some(id) = if held.len() % 2 == 0 { held.pop() } else { Some(held.remove(0)) } {
                remote.release(id);
                if held.is_empty() {
                    break;
                }
            }
            for number in 0..buffers {
                assert!(remote.send(30, 0x400, &[number as u8]));
            }
            assert!(!remote.send(30, 0x400, &[0]), "the driver has all of them");
            driver.notified(KICK_TO_DRIVER);
            for number in 0..buffers {
                assert_eq!(take(&mut driver), Some((30, 0x400, vec![number as u8])));
            }
        }
    }
}

/// What a broken or hostile remote can write: dropped, and the driver hands no buffer out twice.
fn driver_survives_a_bad_remote<D: Maker>() {
    if !both_ours::<D, DirectDevice>() {
        return;
    }
    type Spoil = fn(Memory);
    let cases: [(&str, Spoil); 4] = [
        ("header longer than a buffer", |m| m.buffers().store_u16(12, 0xFFFF).unwrap()),
        ("header longer than what was used", |m| {
            let ring = Ring::of(m, 0);
            ring.use_up(1, 18);
            m.buffers().store_u16(512 + 12, 3).unwrap();
        }),
        ("used longer than a buffer", |m| Ring::of(m, 0).use_up(1, 600)),
        ("an id that is nobody's", |m| Ring::of(m, 0).use_up(0x1_0001, 100)),
    ];
    for (what, spoil) in cases {
        let _alone = alone();
        let memory = Memory::new(Geometry::NXP);
        let mut driver = D::make(memory);
        driver.create_endpoint(0x400).unwrap();
        let mut remote = Remote::new(memory);
        assert!(remote.send(30, 0x400, b"first"));
        let first_is_spoilt = what == "header longer than a buffer";
        spoil(memory);
        driver.notified(KICK_TO_DRIVER);
        let want = (!first_is_spoilt).then(|| (30, 0x400, b"first".to_vec()));
        assert_eq!(take(&mut driver), want, "{what}");
        assert_eq!(take(&mut driver), None, "{what}");
        driver.notified(KICK_TO_DRIVER);
        assert_eq!(take(&mut driver), None, "{what}");
    }
}

macro_rules! for_device {
    ($name:ident, $device:ty: $($case:ident,)*) => {
        mod $name {
            $(#[test] fn $case() { super::$case::<$device>(); })*
        }
    };
}

for_device! {
    direct_device, coracle_test_conformance::DirectDevice:
    device_with_master,
    device_restarted_with_master,
    device_tells_linux_of_consumed_buffers,
    device_survives_a_bad_master,
    device_heeds_short_buffers,
}
for_device! { direct_driver, coracle_test_conformance::DirectDriver: driver_with_remote, driver_survives_a_bad_remote, }

#[cfg(feature = "rpmsg-lite")]
for_device! {
    library_remote, coracle_test_conformance::LibraryRemote:
    device_with_master,
    device_restarted_with_master,
    device_tells_linux_of_consumed_buffers,
    device_survives_a_bad_master,
    device_heeds_short_buffers,
    device_finds_buffers_elsewhere,
    device_follows_a_restarted_master,
}
#[cfg(feature = "rpmsg-lite")]
for_device! { library_master, coracle_test_conformance::LibraryMaster: driver_with_remote, driver_survives_a_bad_remote, }
