//! The RPMsg-Lite library that is linked, with our stack and with itself: the suite, what only the library has, and how
//! the bindings refuse.
#![cfg(feature = "rpmsg-lite")]

use std::sync::atomic::{AtomicBool, Ordering};

use coracle_rpmsg::{Geometry, Received, Rpmsg as _, RpmsgError, VringSize, ZeroCopy as _};
use coracle_rpmsg_lite::{Dropped, InitError, Instance, Storage};
use coracle_test_conformance::{
    DEVICE_ADDRESS, DirectDriver, LibraryMaster, LibraryRemote, Memory, Pair, alone, both_ours,
};

coracle_test_conformance::suite!(library_as_master, LibraryMaster, DirectDevice);
coracle_test_conformance::suite!(library_as_remote, DirectDriver, LibraryRemote);
coracle_test_conformance::suite!(library_as_both, LibraryMaster, LibraryRemote);

fn storage<const MESSAGES: usize>() -> &'static mut Storage<4, MESSAGES> {
    Box::leak(Box::new(Storage::new()))
}

/// The library waits for a buffer by itself, as long as it was told to.
#[test]
fn the_library_waits_for_a_buffer() {
    let mut pair = Pair::<DirectDriver, LibraryRemote>::up(Geometry::NXP);
    pair.driver.create_endpoint(1024).unwrap();
    let device = pair.device.create_endpoint(30).unwrap();
    for _ in 0..256 {
        pair.device.send_timeout(device, 1024, &[1], 0).unwrap();
    }
    assert_eq!(pair.device.send_timeout(device, 1024, &[2], 0), Err(RpmsgError::NoBuffer));
    assert_eq!(pair.device.send_timeout(device, 1024, &[2], 3), Err(RpmsgError::NoBuffer));
    let Pair { driver, device: remote, .. } = &mut pair;
    let sent = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            remote.send_timeout(device, 1024, &[3], usize::MAX).unwrap();
            remote.announce_blocking(device, c"late", false).unwrap();
            sent.store(true, Ordering::Release);
        });
        // Two places, one for each.
        let mut payload = [0; 496];
        for _ in 0..2 {
            assert!(matches!(driver.receive(&mut payload), Ok(Some(Received::Message { len: 1, .. }))));
        }
    });
    assert!(sent.load(Ordering::Acquire));
    let mut payload = [0; 496];
    for number in 0..255 {
        assert!(matches!(driver.receive(&mut payload), Ok(Some(Received::Message { len: 1, .. }))), "message {number}");
    }
    assert_eq!(payload[0], 3);
    let Ok(Some(Received::Channel(channel))) = driver.receive(&mut payload) else { panic!("no announcement") };
    assert_eq!((channel.name(), channel.address, channel.destroyed), ("late", 30, false));
}

/// The library waits for the link, no longer than it was told to.
#[test]
fn the_library_waits_for_the_link() {
    // NXP's bare-metal environment waits for ever.
    if !both_ours::<DirectDriver, LibraryRemote>() {
        return;
    }
    let mut pair = Pair::<DirectDriver, LibraryRemote>::new(Geometry::NXP);
    assert!(!pair.device.wait_for_link_up(3));
    pair.pump();
    assert!(pair.device.wait_for_link_up(0));
}

/// What does not fit the storage is given back, and counted.
#[test]
fn a_full_inbox_drops_and_counts() {
    let _alone = alone();
    let memory = Memory::new(Geometry::NXP);
    let mut remote =
        Instance::remote(memory.region, DEVICE_ADDRESS, memory.geometry, LibraryRemote::LINK_ID, storage::<2>())
            .unwrap();
    let mut driver = <DirectDriver as coracle_test_conformance::Maker>::make(memory);
    remote.create_endpoint(30).unwrap();
    let from = driver.create_endpoint(1024).unwrap();
    for number in 0..5 {
        driver.send(from, 30, &[number]).unwrap();
    }
    remote.notified(driver.take_kick().unwrap());
    assert_eq!(remote.dropped(), Dropped { full: 3, malformed: 0, unknown: 0 });
    let mut payload = [0; 496];
    for number in 0..2 {
        assert!(matches!(remote.receive(&mut payload), Ok(Some(Received::Message { len: 1, .. }))));
        assert_eq!(payload[0], number);
    }
    assert_eq!(remote.receive(&mut payload), Ok(None));
}

/// Buffers of one instance mean nothing to another, nor to the next on the same link.
#[test]
fn buffers_of_another_instance_are_refused() {
    if !both_ours::<LibraryMaster, LibraryRemote>() {
        return;
    }
    let mut pair = Pair::<LibraryMaster, LibraryRemote>::up(Geometry::NXP);
    let (driver, device) = (pair.driver.create_endpoint(1024).unwrap(), pair.device.create_endpoint(30).unwrap());
    pair.driver.send(driver, 30, b"x").unwrap();
    pair.pump();
    let Some(coracle_rpmsg::Held::Message { buffer, .. }) = pair.device.receive_held().unwrap() else { panic!("none") };
    assert_eq!(pair.driver.read(&buffer, 0, &mut [0]), Err(RpmsgError::Size));
    assert!(matches!(pair.driver.release(buffer), Err(RpmsgError::Fault(_))));
    let mut foreign = pair.device.alloc_tx().unwrap();
    assert_eq!(pair.driver.write(&mut foreign, 0, b"x"), Err(RpmsgError::Size));
    assert!(matches!(pair.driver.send_nocopy(driver, 30, foreign, 1), Err(RpmsgError::Fault(_))));
    let stale = pair.device.alloc_tx().unwrap();
    let mut pair = pair.with_new_device();
    pair.driver.send(driver, 30, b"hello").unwrap();
    pair.pump();
    assert_eq!(pair.device.create_endpoint(30), Ok(device));
    assert!(matches!(pair.device.send_nocopy(device, 1024, stale, 1), Err(RpmsgError::Fault(_))));
}

/// Each reason not to create an instance, by name; nothing is left behind by any.
#[test]
fn instances_that_cannot_be_are_refused_by_name() {
    let _alone = alone();
    let memory = Memory::new(Geometry::NXP);
    let (region, geometry) = (memory.region, memory.geometry);
    let short = region.sub(0, region.len() - 8).unwrap();
    let remote =
        |region, address, geometry, link| Instance::remote(region, address, geometry, link, storage::<4>()).err();
    assert_eq!(remote(short, DEVICE_ADDRESS, geometry, 3), Some(InitError::Memory), "too short");
    assert_eq!(remote(region, 0xFFFF_0000, geometry, 3), Some(InitError::Memory), "beyond 32 bits");
    assert_eq!(remote(region, 0, geometry, 3), Some(InitError::Memory), "an address that means null");
    assert_eq!(remote(region, DEVICE_ADDRESS, geometry, 16), Some(InitError::LinkId));
    let odd = Geometry::new(VringSize::new(256, 4096).unwrap(), 0x8000, 24).unwrap();
    assert_eq!(remote(region, DEVICE_ADDRESS, odd, 3), Some(InitError::Geometry));
    let first = Instance::remote(region, DEVICE_ADDRESS, geometry, 3, storage::<4>()).unwrap();
    assert_eq!(remote(region, DEVICE_ADDRESS, geometry, 3), Some(InitError::LinkInUse));
    drop(first);
    assert_eq!(remote(region, DEVICE_ADDRESS, geometry, 3), None);
}
