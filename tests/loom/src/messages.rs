//! Messages arrive once, in order and whole, while their buffers go round.

use coracle_rpmsg::{HEADER_BYTES, Role, RxBuffer};
use loom::thread;

use crate::{BUFFER_BYTES, Rings};

/// One more than the largest ring here has entries, so that a buffer is filled again.
const MESSAGES: u32 = 3;
const PAYLOAD_BYTES: usize = BUFFER_BYTES - HEADER_BYTES;
const SRC: u32 = 0x400;
const DST: u32 = 30;

/// The driver sends on a ring of `entries`; the device receives at the same time.
pub fn driver_to_device(entries: u16) {
    let rings = Rings::new(entries);
    let (driver, device) = rings.ends();
    exchange(driver, device);
}

/// The device sends on a ring of `entries`; the driver receives at the same time.
pub fn device_to_driver(entries: u16) {
    let rings = Rings::new(entries);
    let (driver, device) = rings.ends();
    exchange(device, driver);
}

fn exchange(mut sender: impl Role + 'static, mut receiver: impl Role + 'static) {
    let sending = thread::spawn(move || {
        for number in 0..MESSAGES {
            send(&mut sender, number);
        }
        sender.counters()
    });
    for number in 0..MESSAGES {
        let buffer = receive(&mut receiver);
        check(&receiver, &buffer, number);
        receiver.release(buffer).unwrap();
    }
    assert!(receiver.take().unwrap().is_none(), "a message came twice");
    for counters in [receiver.counters(), sending.join().unwrap()] {
        assert_eq!(counters, Default::default(), "something looked malformed");
    }
}

pub(crate) fn send(role: &mut impl Role, number: u32) {
    let buffer = loop {
        match role.alloc().unwrap() {
            Some(buffer) => break buffer,
            None => thread::yield_now(),
        }
    };
    let payload = payload(number);
    role.write(&buffer, 0, &payload).unwrap();
    role.send(buffer, SRC, DST, payload.len()).unwrap();
}

pub(crate) fn receive(role: &mut impl Role) -> RxBuffer {
    loop {
        match role.take().unwrap() {
            Some(buffer) => return buffer,
            None => thread::yield_now(),
        }
    }
}

pub(crate) fn check(role: &impl Role, buffer: &RxBuffer, number: u32) {
    let expected = payload(number);
    assert_eq!((buffer.src(), buffer.dst(), buffer.payload_bytes()), (SRC, DST, expected.len()));
    let mut found = vec![0; expected.len()];
    role.read(buffer, 0, &mut found).unwrap();
    assert_eq!(found, expected);
}

/// A payload that differs from its neighbours' in length and in every byte.
fn payload(number: u32) -> Vec<u8> {
    vec![number as u8 + 1; 1 + number as usize % PAYLOAD_BYTES]
}
