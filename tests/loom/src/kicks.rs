//! No wanted kick is lost: either the waiting side sees at its last look what it waits for, or the other side sees that
//! it wants to be kicked.

use coracle_rpmsg::{KICK_TO_DEVICE, KICK_TO_DRIVER, Role};
use coracle_shmem::full_barrier;
use loom::thread;

use crate::messages::{receive, send};
use crate::{Ring, Rings};

/// used.flags: "do not kick me".
const NO_KICK: u16 = 1;

/// The driver has sent all it can and waits for a buffer, while the device gives one back.
pub fn driver_waits_for_buffer() {
    let rings = Rings::new(1);
    let (driver, device) = rings.ends();
    waits_for_buffer(driver, device, KICK_TO_DEVICE);
}

/// The device has sent all it can and waits for a buffer, while the driver gives one back.
pub fn device_waits_for_buffer() {
    let rings = Rings::new(1);
    let (driver, device) = rings.ends();
    waits_for_buffer(device, driver, KICK_TO_DRIVER);
}

fn waits_for_buffer(mut sender: impl Role + 'static, mut receiver: impl Role + 'static, kick: u8) {
    send(&mut sender, 0);
    // Kicks that were due before.
    while sender.take_kick().is_some() || receiver.take_kick().is_some() {}
    let waiting = thread::spawn(move || {
        if sender.alloc().unwrap().is_some() {
            return true;
        }
        sender.want_buffer_kick(true).unwrap();
        sender.alloc().unwrap().is_some()
    });
    let buffer = receive(&mut receiver);
    receiver.release(buffer).unwrap();
    let kicked = receiver.take_kick() == Some(kick);
    assert!(waiting.join().unwrap() || kicked, "no buffer at the last look, and no kick");
}

/// A device that has polled its ring without being kicked switches kicks on, looks once more and sleeps, while the driver
/// sends. There is no counterpart: our device always kicks after it sent.
pub fn device_waits_for_message() {
    let rings = Rings::new(1);
    let (mut driver, _) = rings.ends();
    while driver.take_kick().is_some() {}
    let [_, ring] = Ring::both(1);
    let region = rings.memory.region();
    region.store_u16(ring.used_flags, NO_KICK).unwrap();
    let waiting = thread::spawn(move || {
        region.store_u16(ring.used_flags, 0).unwrap();
        full_barrier();
        region.load_u16(ring.avail_index).unwrap() != 0
    });
    send(&mut driver, 0);
    let kicked = driver.take_kick() == Some(KICK_TO_DEVICE);
    assert!(waiting.join().unwrap() || kicked, "no message at the last look, and no kick");
}
