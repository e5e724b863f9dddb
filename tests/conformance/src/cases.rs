//! The cases. Each runs over every geometry that both sides support.

use std::collections::VecDeque;

use coracle_rpmsg::{
    ADDRESS_ANY, Endpoint, Held, KICK_TO_DEVICE, KICK_TO_DRIVER, NAME_SERVICE_ADDRESS, NAME_SERVICE_BYTES, Received,
    Rpmsg, RpmsgError, ZeroCopy,
};

use crate::{Maker, Pair, Side, both_ours, geometries};

/// Addresses that the cases use, out of the way of dynamic ones.
const DRIVER_ADDRESS: u32 = 0x4000;
const DEVICE_ADDRESS: u32 = 0x1E;

/// A pair with the link up, and an endpoint on each side.
fn linked<D: Maker, V: Maker>(geometry: coracle_rpmsg::Geometry) -> (Pair<D, V>, Endpoint, Endpoint) {
    let mut pair = Pair::<D, V>::up(geometry);
    let driver = pair.driver.create_endpoint(DRIVER_ADDRESS).unwrap();
    let device = pair.device.create_endpoint(DEVICE_ADDRESS).unwrap();
    (pair, driver, device)
}

/// A payload that tells its number and its length.
fn body(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number.wrapping_mul(31) ^ at.wrapping_mul(7) ^ (at >> 8) ^ len) as u8).collect()
}

/// The next message of a side: endpoint's address, sender's address, payload.
fn take(side: &mut impl Rpmsg) -> Option<(u32, u32, Vec<u8>)> {
    let mut payload = vec![0; side.payload_bytes_max()];
    match side.receive(&mut payload).unwrap()? {
        Received::Message { endpoint, src, len } => {
            payload.truncate(len);
            Some((endpoint.address(), src, payload))
        }
        Received::Channel(channel) => panic!("a channel instead of a message: {channel:?}"),
    }
}

/// The next message, still in its buffer: its number of bytes and the buffer.
fn hold<S: Side>(side: &mut S) -> Option<(usize, S::Rx)> {
    match side.receive_held().unwrap()? {
        Held::Message { len, buffer, .. } => Some((len, buffer)),
        Held::Channel(channel) => panic!("a channel instead of a message: {channel:?}"),
    }
}

fn channel(side: &mut impl Rpmsg) -> Option<(String, u32, bool)> {
    let mut payload = vec![0; side.payload_bytes_max()];
    match side.receive(&mut payload).unwrap()? {
        Received::Channel(channel) => Some((channel.name().to_owned(), channel.address, channel.destroyed)),
        Received::Message { .. } => panic!("a message instead of a channel"),
    }
}

/// Numbers from a seed (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize) % bound
    }
}

/// A device is not up, and sends nothing, before the driver's first kick; a driver is at once.
pub fn the_link_comes_up_by_the_first_kick<D: Maker, V: Maker>() {
    for geometry in geometries::<D, V>() {
        let mut pair = Pair::<D, V>::new(geometry);
        let endpoint = pair.device.create_endpoint(DEVICE_ADDRESS).unwrap();
        assert!(!pair.device.is_link_up());
        assert_eq!(pair.device.send(endpoint, 1, &[1]), Err(RpmsgError::NotReady));
        assert_eq!(pair.device.announce(endpoint, "early", false), Err(RpmsgError::NotReady));
        assert_eq!(pair.device.alloc_tx().err(), Some(RpmsgError::NotReady));
        assert!(pair.driver.is_link_up());
        assert_eq!(pair.driver.take_kick(), Some(KICK_TO_DRIVER), "the ring that now has buffers");
        pair.device.notified(KICK_TO_DRIVER);
        assert!(pair.device.is_link_up());
        pair.device.send(endpoint, 1, &[1]).unwrap();
    }
}

/// Whichever side is there first: messages that the driver sent before the device was there arrive.
pub fn either_side_may_be_first<D: Maker, V: Maker>() {
    for geometry in geometries::<D, V>() {
        let mut pair = Pair::<D, V>::driver_first(geometry);
        let from = pair.driver.create_endpoint(DRIVER_ADDRESS).unwrap();
        let to = pair.device.create_endpoint(DEVICE_ADDRESS).unwrap();
        pair.driver.send(from, DEVICE_ADDRESS, b"first").unwrap();
        pair.pump();
        assert_eq!(take(&mut pair.device), Some((DEVICE_ADDRESS, DRIVER_ADDRESS, b"first".to_vec())));
        pair.device.send(to, DRIVER_ADDRESS, b"second").unwrap();
        pair.pump();
        assert_eq!(take(&mut pair.driver), Some((DRIVER_ADDRESS, DEVICE_ADDRESS, b"second".to_vec())));
    }
}

/// Fixed and dynamic addresses, and the name service's, which is nobody else's.
pub fn addresses_are_unique_and_reusable<D: Maker, V: Maker>() {
    fn check(side: &mut impl Side) {
        let fixed = side.create_endpoint(1030).unwrap();
        assert_eq!(fixed.address(), 1030);
        assert_eq!(side.create_endpoint(1030), Err(RpmsgError::Address), "in use");
        assert_eq!(side.create_endpoint(NAME_SERVICE_ADDRESS), Err(RpmsgError::Address), "reserved");
        let dynamic: Vec<u32> = (0..8).map(|_| side.create_endpoint(ADDRESS_ANY).unwrap().address()).collect();
        for (at, address) in dynamic.iter().enumerate() {
            assert!(!dynamic[..at].contains(address), "{address} was given twice");
            assert!(![1030, NAME_SERVICE_ADDRESS, ADDRESS_ANY].contains(address), "{address} was not free");
        }
        side.destroy_endpoint(fixed).unwrap();
        assert_eq!(side.destroy_endpoint(fixed), Err(RpmsgError::UnknownEndpoint));
        assert_eq!(side.create_endpoint(1030), Ok(fixed), "free again");
        let freed = Endpoint::from_address(dynamic[0]);
        side.destroy_endpoint(freed).unwrap();
        assert_eq!(side.create_endpoint(ADDRESS_ANY), Ok(freed), "the lowest free address");
    }
    let mut pair = Pair::<D, V>::up(geometries::<D, V>()[0]);
    check(&mut pair.driver);
    check(&mut pair.device);
}

/// More endpoints than fit are refused, and fit when one is gone.
pub fn endpoints_are_limited<D: Maker, V: Maker>() {
    fn check(side: &mut impl Side, most: usize) {
        let all: Vec<Endpoint> = (0..most).map(|_| side.create_endpoint(ADDRESS_ANY).unwrap()).collect();
        assert_eq!(side.create_endpoint(ADDRESS_ANY), Err(RpmsgError::Endpoints));
        assert_eq!(side.create_endpoint(9999), Err(RpmsgError::Endpoints));
        side.destroy_endpoint(all[most / 2]).unwrap();
        side.create_endpoint(9999).unwrap();
    }
    let mut pair = Pair::<D, V>::up(geometries::<D, V>()[0]);
    check(&mut pair.driver, D::ENDPOINTS);
    check(&mut pair.device, V::ENDPOINTS);
}

/// No payload, too much of it, to any address, from nowhere: named, and without losing a buffer.
pub fn what_cannot_be_sent_is_refused<D: Maker, V: Maker>() {
    fn check(side: &mut impl Side, endpoint: Endpoint, buffers: usize) {
        let most = side.payload_bytes_max();
        for _ in 0..=buffers {
            assert_eq!(side.send(endpoint, 7, &[]), Err(RpmsgError::Size));
            assert_eq!(side.send(endpoint, 7, &vec![0; most + 1]), Err(RpmsgError::Size));
            assert_eq!(side.send(endpoint, 7, &vec![0; 70_000]), Err(RpmsgError::Size));
            assert_eq!(side.send(endpoint, ADDRESS_ANY, &[1]), Err(RpmsgError::Address));
            assert_eq!(side.send(Endpoint::from_address(999), 7, &[1]), Err(RpmsgError::UnknownEndpoint));
        }
        for _ in 0..buffers {
            side.send(endpoint, 7, &[1]).unwrap();
        }
    }
    for geometry in geometries::<D, V>() {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        let buffers = pair.memory.buffers_each_way();
        check(&mut pair.driver, driver, buffers);
        check(&mut pair.device, device, buffers);
    }
}

/// Every size from 1 byte to a whole buffer, both ways.
pub fn every_size_arrives<D: Maker, V: Maker>() {
    for geometry in geometries::<D, V>() {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        assert_eq!(pair.driver.payload_bytes_max(), pair.memory.payload_bytes_max());
        assert_eq!(pair.device.payload_bytes_max(), pair.memory.payload_bytes_max());
        for len in 1..=pair.memory.payload_bytes_max() {
            pair.driver.send(driver, DEVICE_ADDRESS, &body(1, len)).unwrap();
            pair.device.send(device, DRIVER_ADDRESS, &body(2, len)).unwrap();
            pair.pump();
            assert_eq!(take(&mut pair.device), Some((DEVICE_ADDRESS, DRIVER_ADDRESS, body(1, len))));
            assert_eq!(take(&mut pair.driver), Some((DRIVER_ADDRESS, DEVICE_ADDRESS, body(2, len))));
        }
        assert_eq!((take(&mut pair.device), take(&mut pair.driver)), (None, None));
    }
}

/// More messages than a ring index counts.
pub fn order_survives_both_index_wraps<D: Maker, V: Maker>() {
    let smallest = geometries::<D, V>().into_iter().min_by_key(|geometry| geometry.bytes()).unwrap();
    let (mut pair, driver, device) = linked::<D, V>(smallest);
    for number in 0..70_000_u32 {
        pair.driver.send(driver, DEVICE_ADDRESS, &number.to_le_bytes()).unwrap();
        pair.device.send(device, DRIVER_ADDRESS, &number.to_be_bytes()).unwrap();
        pair.pump();
        assert_eq!(take(&mut pair.device).map(|m| m.2), Some(number.to_le_bytes().to_vec()));
        assert_eq!(take(&mut pair.driver).map(|m| m.2), Some(number.to_be_bytes().to_vec()));
    }
}

/// Announcements of channels that begin and end, with names of every length, from both sides.
pub fn channels_come_and_go_both_ways<D: Maker, V: Maker>() {
    fn check<D: Maker, V: Maker>(
        pair: &mut Pair<D, V>,
        announce: impl Fn(&mut Pair<D, V>, &str, bool) -> Result<(), RpmsgError>,
        heard: impl Fn(&mut Pair<D, V>) -> Option<(String, u32, bool)>,
        address: u32,
    ) {
        for name in ["c", "rpmsg-raw", "a-name-of-thirty-one-bytes-long", "ünïcödé"] {
            for destroyed in [false, true] {
                announce(pair, name, destroyed).unwrap();
                pair.pump();
                assert_eq!(heard(pair), Some((name.to_owned(), address, destroyed)));
                assert_eq!(heard(pair), None);
            }
        }
        for name in ["", "a-name-of-thirty-two-bytes-long.", "nul\0inside"] {
            assert_eq!(announce(pair, name, false), Err(RpmsgError::Name), "{name:?}");
        }
    }
    for geometry in geometries::<D, V>() {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        check(&mut pair, |p, n, d| p.device.announce(device, n, d), |p| channel(&mut p.driver), DEVICE_ADDRESS);
        check(&mut pair, |p, n, d| p.driver.announce(driver, n, d), |p| channel(&mut p.device), DRIVER_ADDRESS);
    }
}

/// An announcement comes where it was sent, between the messages before and after it.
pub fn channels_and_messages_keep_their_order<D: Maker, V: Maker>() {
    for geometry in geometries::<D, V>().into_iter().filter(|g| g.vring().entries() >= 4) {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        pair.device.send(device, DRIVER_ADDRESS, b"before").unwrap();
        pair.device.announce(device, "between", false).unwrap();
        pair.device.send(device, DRIVER_ADDRESS, b"after").unwrap();
        pair.driver.send(driver, DEVICE_ADDRESS, b"before").unwrap();
        pair.driver.announce(driver, "between", true).unwrap();
        pair.pump();
        assert_eq!(take(&mut pair.driver).map(|m| m.2), Some(b"before".to_vec()));
        assert_eq!(channel(&mut pair.driver), Some(("between".to_owned(), DEVICE_ADDRESS, false)));
        assert_eq!(take(&mut pair.driver).map(|m| m.2), Some(b"after".to_vec()));
        assert_eq!(take(&mut pair.device).map(|m| m.2), Some(b"before".to_vec()));
        assert_eq!(channel(&mut pair.device), Some(("between".to_owned(), DRIVER_ADDRESS, true)));
    }
}

/// A message to the name service of another length, or without a name, is nobody's; the link goes on.
pub fn malformed_announcements_are_dropped<D: Maker, V: Maker>() {
    for geometry in geometries::<D, V>() {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        for round in 0..2 * pair.memory.buffers_each_way() {
            for len in [1, NAME_SERVICE_BYTES - 1, NAME_SERVICE_BYTES + 1, NAME_SERVICE_BYTES] {
                let payload = if len == NAME_SERVICE_BYTES { vec![0; len] } else { vec![b'x'; len] };
                pair.driver.send(driver, NAME_SERVICE_ADDRESS, &payload).unwrap();
                pair.device.send(device, NAME_SERVICE_ADDRESS, &payload).unwrap();
                pair.pump();
                assert_eq!(take(&mut pair.device), None, "round {round}, {len} bytes");
                assert_eq!(take(&mut pair.driver), None, "round {round}, {len} bytes");
            }
        }
        pair.device.announce(device, "good", false).unwrap();
        pair.pump();
        assert_eq!(channel(&mut pair.driver).map(|c| c.0), Some("good".to_owned()));
    }
}

/// As many messages as there are buffers fit; each that is taken makes room for one.
pub fn a_full_ring_refuses_and_recovers<D: Maker, V: Maker>() {
    for geometry in geometries::<D, V>() {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        let buffers = pair.memory.buffers_each_way();
        for round in 0..3 {
            for number in 0..buffers {
                pair.driver.send(driver, DEVICE_ADDRESS, &[number as u8]).unwrap();
                pair.device.send(device, DRIVER_ADDRESS, &[number as u8]).unwrap();
            }
            assert_eq!(pair.driver.send(driver, DEVICE_ADDRESS, &[0]), Err(RpmsgError::NoBuffer), "round {round}");
            assert_eq!(pair.device.send(device, DRIVER_ADDRESS, &[0]), Err(RpmsgError::NoBuffer), "round {round}");
            assert_eq!(pair.driver.announce(driver, "full", false), Err(RpmsgError::NoBuffer));
            assert_eq!(pair.driver.alloc_tx().err(), Some(RpmsgError::NoBuffer));
            assert_eq!(pair.device.alloc_tx().err(), Some(RpmsgError::NoBuffer));
            pair.pump();
            for number in 0..buffers {
                assert_eq!(take(&mut pair.device).map(|m| m.2), Some(vec![number as u8]));
                assert_eq!(take(&mut pair.driver).map(|m| m.2), Some(vec![number as u8]));
                pair.pump();
                if number == 0 {
                    pair.driver.send(driver, 0xDEAD, &[0]).unwrap();
                    pair.device.send(device, 0xDEAD, &[0]).unwrap();
                    assert_eq!(pair.driver.send(driver, 0xDEAD, &[0]), Err(RpmsgError::NoBuffer), "only one came back");
                    assert_eq!(pair.device.send(device, 0xDEAD, &[0]), Err(RpmsgError::NoBuffer), "only one came back");
                    // The other side drops them at its next look, in order.
                }
            }
            pair.pump();
            assert_eq!((take(&mut pair.device), take(&mut pair.driver)), (None, None));
            pair.pump();
        }
    }
}

/// A sender that waits gets the buffer that comes back, and gives up when it is told to.
pub fn blocking_senders_get_the_next_buffer<D: Maker, V: Maker>() {
    fn fill(side: &mut impl Side, endpoint: Endpoint, dst: u32, buffers: usize) {
        for _ in 0..buffers {
            side.send(endpoint, dst, &[1]).unwrap();
        }
        let mut asked = 0;
        let sent = side.send_blocking(endpoint, dst, &[2], |_| {
            asked += 1;
            asked < 3
        });
        assert_eq!((sent, asked), (Err(RpmsgError::NoBuffer), 3));
    }
    for geometry in geometries::<D, V>() {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        let buffers = pair.memory.buffers_each_way();
        fill(&mut pair.driver, driver, DEVICE_ADDRESS, buffers);
        let other = &mut pair.device;
        let mut waits = 0;
        let sent = pair.driver.send_blocking(driver, DEVICE_ADDRESS, &[3], |side| {
            waits += 1;
            while let Some(kick) = side.take_kick() {
                other.notified(kick);
            }
            let _ = take(other);
            while let Some(kick) = other.take_kick() {
                side.notified(kick);
            }
            waits < 5
        });
        assert_eq!((sent, waits), (Ok(()), 1), "the driver waited");
        fill(&mut pair.device, device, DRIVER_ADDRESS, buffers);
        let other = &mut pair.driver;
        let mut waits = 0;
        let sent = pair.device.send_blocking(device, DRIVER_ADDRESS, &[3], |side| {
            waits += 1;
            while let Some(kick) = side.take_kick() {
                other.notified(kick);
            }
            let _ = take(other);
            while let Some(kick) = other.take_kick() {
                side.notified(kick);
            }
            waits < 5
        });
        assert_eq!((sent, waits), (Ok(()), 1), "the device waited");
    }
}

/// Buffers that are given back are worth a kick while the sender asks for it, and only then.
pub fn consumed_buffers_are_told_to_who_asks<D: Maker, V: Maker>() {
    if !both_ours::<D, V>() {
        return;
    }
    fn kicks(side: &mut impl Side) -> Vec<u8> {
        std::iter::from_fn(|| side.take_kick()).collect()
    }
    for geometry in geometries::<D, V>() {
        if D::Side::ASKS_FOR_KICKS {
            let (mut pair, driver, _) = linked::<D, V>(geometry);
            for wanted in [false, true, false] {
                pair.driver.want_buffer_kick(wanted).unwrap();
                pair.driver.send(driver, DEVICE_ADDRESS, &[1]).unwrap();
                kicks(&mut pair.driver);
                pair.device.notified(KICK_TO_DEVICE);
                assert!(take(&mut pair.device).is_some());
                let want = if wanted { vec![KICK_TO_DEVICE] } else { vec![] };
                assert_eq!(kicks(&mut pair.device), want, "the driver asked: {wanted}");
            }
        }
        if V::Side::ASKS_FOR_KICKS {
            let (mut pair, _, device) = linked::<D, V>(geometry);
            for wanted in [false, true, false] {
                pair.device.want_buffer_kick(wanted).unwrap();
                pair.device.send(device, DRIVER_ADDRESS, &[1]).unwrap();
                kicks(&mut pair.device);
                pair.driver.notified(KICK_TO_DRIVER);
                assert!(take(&mut pair.driver).is_some());
                let want = if wanted { vec![KICK_TO_DRIVER] } else { vec![] };
                assert_eq!(kicks(&mut pair.driver), want, "the device asked: {wanted}");
            }
        }
    }
}

/// A held payload stays what it was while others come and go, whatever becomes of the reserved word of its header, where
/// NXP's library keeps the descriptor's index.
pub fn held_buffers_keep_their_content<D: Maker, V: Maker>() {
    for geometry in geometries::<D, V>().into_iter().filter(|g| g.vring().entries() >= 4) {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        let len = pair.memory.payload_bytes_max();
        pair.driver.send(driver, DEVICE_ADDRESS, &body(1, len)).unwrap();
        pair.device.send(device, DRIVER_ADDRESS, &body(2, len)).unwrap();
        pair.pump();
        let (at_device, at_driver) = (hold(&mut pair.device).unwrap(), hold(&mut pair.driver).unwrap());
        for number in 0..5 * pair.memory.buffers_each_way() {
            pair.driver.send(driver, DEVICE_ADDRESS, &body(number, 8)).unwrap();
            pair.device.send(device, DRIVER_ADDRESS, &body(number, 8)).unwrap();
            pair.pump();
            assert_eq!(take(&mut pair.device).map(|m| m.2), Some(body(number, 8)));
            assert_eq!(take(&mut pair.driver).map(|m| m.2), Some(body(number, 8)));
        }
        let mut copy = vec![0; len];
        assert_eq!(at_device.0, len);
        pair.device.read(&at_device.1, 0, &mut copy).unwrap();
        assert_eq!(copy, body(1, len));
        pair.driver.read(&at_driver.1, 0, &mut copy).unwrap();
        assert_eq!(copy, body(2, len));
        let mut part = [0; 3];
        pair.device.read(&at_device.1, 5, &mut part).unwrap();
        assert_eq!(part, body(1, len)[5..8]);
        assert_eq!(pair.device.read(&at_device.1, len - 2, &mut part), Err(RpmsgError::Size));
        assert_eq!(pair.device.read(&at_device.1, usize::MAX, &mut part), Err(RpmsgError::Size));
        pair.device.release(at_device.1).unwrap();
        pair.driver.release(at_driver.1).unwrap();
    }
}

/// With all buffers held nothing more is sent; released in any order, all can be used again.
pub fn held_buffers_run_out_and_come_back<D: Maker, V: Maker>() {
    for geometry in geometries::<D, V>() {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        let buffers = pair.memory.buffers_each_way();
        let seed = 0x00C0_FFEE;
        println!("seed {seed}");
        let mut random = Random(seed);
        for _ in 0..3 {
            let (mut at_device, mut at_driver) = (Vec::new(), Vec::new());
            for number in 0..buffers {
                pair.driver.send(driver, DEVICE_ADDRESS, &body(number, 20)).unwrap();
                pair.device.send(device, DRIVER_ADDRESS, &body(number, 21)).unwrap();
                pair.pump();
                at_device.push((number, hold(&mut pair.device).unwrap()));
                at_driver.push((number, hold(&mut pair.driver).unwrap()));
            }
            assert_eq!(pair.driver.send(driver, DEVICE_ADDRESS, &[0]), Err(RpmsgError::NoBuffer));
            assert_eq!(pair.device.send(device, DRIVER_ADDRESS, &[0]), Err(RpmsgError::NoBuffer));
            while !at_device.is_empty() {
                let (number, (len, buffer)) = at_device.swap_remove(random.below(at_device.len()));
                let mut copy = vec![0; len];
                pair.device.read(&buffer, 0, &mut copy).unwrap();
                assert_eq!(copy, body(number, 20));
                pair.device.release(buffer).unwrap();
                let (number, (len, buffer)) = at_driver.swap_remove(random.below(at_driver.len()));
                let mut copy = vec![0; len];
                pair.driver.read(&buffer, 0, &mut copy).unwrap();
                assert_eq!(copy, body(number, 21));
                pair.driver.release(buffer).unwrap();
                pair.pump();
            }
        }
    }
}

/// Payloads are written in pieces where they are sent from.
pub fn buffers_are_filled_in_place<D: Maker, V: Maker>() {
    fn check<S: Side>(side: &mut S, endpoint: Endpoint, dst: u32) {
        let most = side.payload_bytes_max();
        let payload = body(9, most);
        let mut buffer = side.alloc_tx().unwrap();
        side.write(&mut buffer, most / 2, &payload[most / 2..]).unwrap();
        side.write(&mut buffer, 0, &payload[..most / 2]).unwrap();
        assert_eq!(side.write(&mut buffer, most, &[1]), Err(RpmsgError::Size));
        assert_eq!(side.write(&mut buffer, 1, &payload), Err(RpmsgError::Size));
        assert_eq!(side.write(&mut buffer, usize::MAX, &[1]), Err(RpmsgError::Size));
        side.send_nocopy(endpoint, dst, buffer, most).unwrap();
    }
    for geometry in geometries::<D, V>() {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        let want = body(9, pair.memory.payload_bytes_max());
        for _ in 0..2 * pair.memory.buffers_each_way() {
            check(&mut pair.driver, driver, DEVICE_ADDRESS);
            check(&mut pair.device, device, DRIVER_ADDRESS);
            pair.pump();
            assert_eq!(take(&mut pair.device).map(|m| m.2).as_ref(), Some(&want));
            assert_eq!(take(&mut pair.driver).map(|m| m.2).as_ref(), Some(&want));
            pair.pump();
        }
    }
}

/// A buffer whose sending is refused is not lost, and what was not refused goes out in the order of sending.
pub fn what_is_not_sent_is_free_again<D: Maker, V: Maker>() {
    fn check<S: Side>(side: &mut S, endpoint: Endpoint, dst: u32, buffers: usize) {
        let most = side.payload_bytes_max();
        for _ in 0..=buffers {
            let buffer = side.alloc_tx().unwrap();
            assert_eq!(side.send_nocopy(endpoint, dst, buffer, most + 1), Err(RpmsgError::Size));
            let buffer = side.alloc_tx().unwrap();
            assert_eq!(side.send_nocopy(endpoint, dst, buffer, 0), Err(RpmsgError::Size));
            let buffer = side.alloc_tx().unwrap();
            assert_eq!(side.send_nocopy(endpoint, ADDRESS_ANY, buffer, 1), Err(RpmsgError::Address));
            let buffer = side.alloc_tx().unwrap();
            let nowhere = Endpoint::from_address(999);
            assert_eq!(side.send_nocopy(nowhere, dst, buffer, 1), Err(RpmsgError::UnknownEndpoint));
        }
        for number in 0..buffers {
            side.send(endpoint, dst, &[number as u8]).unwrap();
        }
        assert_eq!(side.send(endpoint, dst, &[0]), Err(RpmsgError::NoBuffer));
    }
    for geometry in geometries::<D, V>() {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        let buffers = pair.memory.buffers_each_way();
        check(&mut pair.driver, driver, DEVICE_ADDRESS, buffers);
        check(&mut pair.device, device, DRIVER_ADDRESS, buffers);
        pair.pump();
        for number in 0..buffers {
            assert_eq!(take(&mut pair.device).map(|m| m.2), Some(vec![number as u8]));
            assert_eq!(take(&mut pair.driver).map(|m| m.2), Some(vec![number as u8]));
        }
    }
}

/// Messages for endpoints that nobody has are dropped (and counted, where that is done), and their buffers go back.
pub fn nobody_gets_messages_for_nobody<D: Maker, V: Maker>() {
    for geometry in geometries::<D, V>() {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        let rounds = 3 * pair.memory.buffers_each_way() as u32;
        for _ in 0..rounds {
            pair.driver.send(driver, 0xDEAD, &[1]).unwrap();
            pair.device.send(device, 0xDEAD, &[1]).unwrap();
            pair.pump();
            assert_eq!((take(&mut pair.device), take(&mut pair.driver)), (None, None));
            pair.pump();
        }
        for counted in [pair.driver.for_nobody(), pair.device.for_nobody()].into_iter().flatten() {
            assert_eq!(counted, rounds);
        }
    }
}

/// What was under way to an endpoint that is destroyed is nobody's, whether it was looked at or not; its buffers go back,
/// and an endpoint that gets the address later is another one only to who looks.
pub fn destroyed_endpoints_get_nothing<D: Maker, V: Maker>() {
    for geometry in geometries::<D, V>() {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        let buffers = pair.memory.buffers_each_way();
        for looked in [true, false] {
            let (mut gone_driver, mut gone_device) =
                (pair.driver.create_endpoint(700).unwrap(), pair.device.create_endpoint(700).unwrap());
            for _ in 0..buffers {
                pair.driver.send(driver, 700, &[1]).unwrap();
                pair.device.send(device, 700, &[1]).unwrap();
            }
            if looked {
                pair.pump();
            }
            pair.driver.destroy_endpoint(gone_driver).unwrap();
            pair.device.destroy_endpoint(gone_device).unwrap();
            pair.pump();
            assert_eq!((take(&mut pair.device), take(&mut pair.driver)), (None, None));
            pair.pump();
            (gone_driver, gone_device) =
                (pair.driver.create_endpoint(700).unwrap(), pair.device.create_endpoint(700).unwrap());
            for number in 0..buffers {
                pair.driver.send(driver, 700, &[number as u8]).unwrap();
                pair.device.send(device, 700, &[number as u8]).unwrap();
            }
            pair.pump();
            for number in 0..buffers {
                assert_eq!(take(&mut pair.device).map(|m| (m.0, m.2)), Some((700, vec![number as u8])));
                assert_eq!(take(&mut pair.driver).map(|m| (m.0, m.2)), Some((700, vec![number as u8])));
            }
            pair.driver.destroy_endpoint(gone_driver).unwrap();
            pair.device.destroy_endpoint(gone_device).unwrap();
            pair.pump();
        }
    }
}

/// A message that does not fit the caller's memory is lost, alone, and nothing is written there.
pub fn a_short_receive_buffer_loses_one_message<D: Maker, V: Maker>() {
    fn check(side: &mut impl Side) {
        let mut short = [0xAA; 4];
        assert_eq!(side.receive(&mut short), Err(RpmsgError::Size));
        assert_eq!(short, [0xAA; 4]);
        let got = side.receive(&mut short).unwrap();
        assert!(matches!(got, Some(Received::Message { len: 4, .. })), "{got:?}");
        assert_eq!(&short, b"four");
    }
    for geometry in geometries::<D, V>().into_iter().filter(|g| g.vring().entries() >= 2) {
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        for _ in 0..pair.memory.buffers_each_way() {
            for payload in ["fives", "four"] {
                pair.driver.send(driver, DEVICE_ADDRESS, payload.as_bytes()).unwrap();
                pair.device.send(device, DRIVER_ADDRESS, payload.as_bytes()).unwrap();
            }
            pair.pump();
            check(&mut pair.device);
            check(&mut pair.driver);
            pair.pump();
        }
    }
}

/// Any interleaving of sending, carrying kicks, receiving, holding and releasing delivers every message once, in order.
pub fn random_traffic_arrives_in_order<D: Maker, V: Maker>() {
    struct Way<B> {
        sent: usize,
        under_way: VecDeque<usize>,
        held: Vec<(usize, usize, B)>,
    }

    fn step<S: Side, R: Side>(
        way: &mut Way<R::Rx>,
        (sender, from): (&mut S, Endpoint),
        (receiver, to): (&mut R, Endpoint),
        random: &mut Random,
    ) {
        match random.below(8) {
            0..3 => {
                let len = 1 + random.below(sender.payload_bytes_max());
                match sender.send(from, to.address(), &body(way.sent, len)) {
                    Ok(()) => {
                        way.under_way.push_back(way.sent);
                        way.sent += 1;
                    }
                    Err(error) => assert_eq!(error, RpmsgError::NoBuffer),
                }
            }
            3 => {
                let len = 1 + random.below(sender.payload_bytes_max());
                if let Ok(mut buffer) = sender.alloc_tx() {
                    sender.write(&mut buffer, 0, &body(way.sent, len)).unwrap();
                    sender.send_nocopy(from, to.address(), buffer, len).unwrap();
                    way.under_way.push_back(way.sent);
                    way.sent += 1;
                }
            }
            4..6 => {
                if let Some((len, buffer)) = hold(receiver) {
                    way.held.push((way.under_way.pop_front().expect("no more than was sent"), len, buffer));
                }
            }
            _ => {
                if !way.held.is_empty() {
                    let (number, len, buffer) = way.held.swap_remove(random.below(way.held.len()));
                    let mut copy = vec![0; len];
                    receiver.read(&buffer, 0, &mut copy).unwrap();
                    assert_eq!(copy, body(number, len));
                    receiver.release(buffer).unwrap();
                }
            }
        }
    }

    for (seed, geometry) in geometries::<D, V>().into_iter().enumerate() {
        let seed = 0x5EED + seed as u64;
        println!("seed {seed:#x}, {geometry:?}");
        let mut random = Random(seed);
        let (mut pair, driver, device) = linked::<D, V>(geometry);
        let mut down = Way { sent: 0, under_way: VecDeque::new(), held: Vec::new() };
        let mut up = Way { sent: 0, under_way: VecDeque::new(), held: Vec::new() };
        for _ in 0..20_000 {
            match random.below(3) {
                0 => step(&mut down, (&mut pair.driver, driver), (&mut pair.device, device), &mut random),
                1 => step(&mut up, (&mut pair.device, device), (&mut pair.driver, driver), &mut random),
                _ => pair.pump(),
            }
        }
        pair.pump();
        for (_, _, buffer) in down.held {
            pair.device.release(buffer).unwrap();
        }
        for (_, _, buffer) in up.held {
            pair.driver.release(buffer).unwrap();
        }
        while take(&mut pair.device).is_some() {
            down.under_way.pop_front().unwrap();
            pair.pump();
        }
        while take(&mut pair.driver).is_some() {
            up.under_way.pop_front().unwrap();
            pair.pump();
        }
        assert_eq!((down.under_way.len(), up.under_way.len()), (0, 0), "all arrived");
        assert!(down.sent > 500 && up.sent > 500, "there was traffic: {} and {}", down.sent, up.sent);
    }
}

/// A side that ends takes nothing with it: the other finds a new one, which goes on where the rings stand.
pub fn a_side_that_ends_can_begin_anew<D: Maker, V: Maker>() {
    if !both_ours::<D, V>() {
        return;
    }
    for geometry in geometries::<D, V>() {
        let (mut pair, driver, _) = linked::<D, V>(geometry);
        for life in 0..5_usize {
            for number in 0..1 + life {
                pair.driver.send(driver, DEVICE_ADDRESS, &body(number, 9)).unwrap();
                pair.pump();
                assert_eq!(take(&mut pair.device).map(|m| m.2), Some(body(number, 9)), "life {life}");
            }
            pair = pair.with_new_device();
            let device = pair.device.create_endpoint(DEVICE_ADDRESS).unwrap();
            // The driver does not know; its next message says that it is there.
            pair.driver.send(driver, DEVICE_ADDRESS, b"are you there").unwrap();
            pair.pump();
            assert_eq!(take(&mut pair.device).map(|m| m.2), Some(b"are you there".to_vec()), "life {life}");
            for number in 0..2 * pair.memory.buffers_each_way() {
                pair.device.send(device, DRIVER_ADDRESS, &body(number, 9)).unwrap();
                pair.pump();
                assert_eq!(take(&mut pair.driver).map(|m| m.2), Some(body(number, 9)), "life {life}");
            }
        }
    }
}
