//! Any message to an end with endpoints: headers, name-service announcements, lengths.

use coracle_rpmsg::{
    ADDRESS_ANY, Counters, Device, Driver, Endpoint, Fault, HEADER_BYTES, Instance, NAME_SERVICE_ADDRESS,
    NAME_SERVICE_BYTES, NameService, Received, Role, Rpmsg, RpmsgError,
};

use crate::bytes::Bytes;
use crate::shared::{Memory, PAYLOAD_BYTES};

const ENDPOINTS: usize = 2;

/// Every message is delivered whole to the endpoint that it names, or counted; what is sent arrives or is refused by
/// name.
pub(crate) fn messages(input: &[u8]) {
    name_service(input);
    let memory = Memory::new();
    let mut input = Bytes(input);
    let driver = Driver::new(&memory.layout()).unwrap();
    let device = Device::new(&memory.layout()).unwrap();
    if input.below(2) == 0 {
        run(&memory, driver, device, &mut input);
    } else {
        run(&memory, device, driver, &mut input);
    }
    memory.conclude();
}

fn run<P: Role, S: Role>(memory: &Memory, mut peer: P, subject: S, input: &mut Bytes<'_>) {
    let mut subject = Instance::<S, ENDPOINTS>::new(subject);
    subject.set_link_up();
    let mut endpoints: Vec<Endpoint> = Vec::new();
    while !input.is_empty() {
        match input.below(8) {
            0 => {
                let address = input.u32();
                match subject.create_endpoint(address) {
                    Ok(endpoint) => {
                        assert!(!endpoints.contains(&endpoint), "an address twice");
                        assert!(address == ADDRESS_ANY || address == endpoint.address());
                        endpoints.push(endpoint);
                    }
                    Err(RpmsgError::Endpoints) => assert_eq!(endpoints.len(), ENDPOINTS),
                    Err(error) => {
                        assert_eq!(error, RpmsgError::Address);
                        let taken = endpoints.iter().any(|e| e.address() == address);
                        assert!(taken || address == NAME_SERVICE_ADDRESS, "{address} is free");
                    }
                }
            }
            1 if !endpoints.is_empty() => {
                let endpoint = endpoints.swap_remove(input.below(endpoints.len()));
                subject.destroy_endpoint(endpoint).unwrap();
                assert_eq!(subject.destroy_endpoint(endpoint), Err(RpmsgError::UnknownEndpoint));
            }
            2 if !endpoints.is_empty() => {
                let from = endpoints[input.below(endpoints.len())];
                sends(&mut subject, &mut peer, from, input);
            }
            _ => receives(memory, &mut subject, &mut peer, &endpoints, input),
        }
    }
}

/// The subject sends; its peer reads what came.
fn sends<S: Role, P: Role>(subject: &mut Instance<S, ENDPOINTS>, peer: &mut P, from: Endpoint, input: &mut Bytes<'_>) {
    let (dst, len) = (input.u32(), input.below(2 * PAYLOAD_BYTES));
    let payload = vec![0x77; len];
    let refused = match subject.send(from, dst, &payload) {
        Ok(()) => {
            let got = peer.take().unwrap().expect("what was sent");
            let mut copy = vec![0; got.payload_bytes()];
            peer.read(&got, 0, &mut copy).unwrap();
            assert_eq!((got.src(), got.dst(), copy), (from.address(), dst, payload));
            return peer.release(got).unwrap();
        }
        Err(error) => error,
    };
    match refused {
        RpmsgError::Size => assert!(len == 0 || len > PAYLOAD_BYTES, "{len} bytes are refused"),
        error => assert_eq!((error, dst), (RpmsgError::Address, ADDRESS_ANY)),
    }
}

/// The peer sends a message with any header; the subject takes it.
fn receives<S: Role, P: Role>(
    memory: &Memory,
    subject: &mut Instance<S, ENDPOINTS>,
    peer: &mut P,
    endpoints: &[Endpoint],
    input: &mut Bytes<'_>,
) {
    let dst = match input.below(3) {
        0 => NAME_SERVICE_ADDRESS,
        1 => endpoints.first().map_or(0, |endpoint| endpoint.address()),
        _ => input.u32(),
    };
    let (src, header_len, room) = (input.u32(), input.u8(), input.below(PAYLOAD_BYTES + 1));
    let payload = match input.below(3) {
        0 => input.take(NAME_SERVICE_BYTES),
        1 => input.take(PAYLOAD_BYTES),
        _ => &[0; NAME_SERVICE_BYTES],
    };
    let buffer = peer.alloc().unwrap().expect("a free buffer: the subject gives all back");
    peer.write(&buffer, 0, payload).unwrap();
    let at = memory.offset(peer.transmit_region(&buffer).unwrap()) - HEADER_BYTES;
    peer.send(buffer, src, dst, payload.len()).unwrap();
    // Half of the messages claim another length than they have.
    let lies = header_len & 0x80 != 0;
    let len = if lies { usize::from(header_len & 0x7F) } else { payload.len() };
    memory.region().store_u16(at + 12, len as u16).unwrap();
    memory.region().store_u32(at + 8, src).unwrap(); // The reserved word may hold anything.

    let before = subject.counters();
    let mut to = vec![0; room];
    let got = subject.receive(&mut to);
    let counted = |fault| difference(fault, before, subject.counters());
    let all = subject.counters().total() - before.total();
    match got {
        Ok(Some(Received::Message { endpoint, src: from, len: got })) => {
            assert!(endpoints.contains(&endpoint) && endpoint.address() == dst, "delivered to the wrong endpoint");
            assert_eq!((from, got), (src, len));
            let known = got.min(payload.len());
            assert_eq!(to[..known], payload[..known]);
            assert_eq!(all, 0);
        }
        Ok(Some(Received::Channel(channel))) => {
            assert_eq!((dst, len), (NAME_SERVICE_ADDRESS, NAME_SERVICE_BYTES));
            assert_ne!(channel.to_bytes()[0], 0, "a channel without a name");
            assert_eq!(all, 0);
        }
        Ok(None) => {
            let too_long = len > payload.len();
            let known = endpoints.iter().any(|endpoint| endpoint.address() == dst);
            assert_eq!(all, 1, "dropped without a count");
            if counted(Fault::Length) == 1 {
                assert!(too_long, "a message of a right length was dropped");
            } else if counted(Fault::NameService) == 1 {
                assert_eq!(dst, NAME_SERVICE_ADDRESS);
            } else {
                assert_eq!(counted(Fault::Endpoint), 1);
                assert!(!known, "dropped although there is an endpoint");
            }
        }
        Err(error) => {
            assert_eq!(error, RpmsgError::Size);
            assert!(len > room, "{len} bytes fit {room}");
        }
    }
}

fn difference(fault: Fault, before: Counters, after: Counters) -> u32 {
    after.get(fault) - before.get(fault)
}

/// What is understood of an announcement is what is written again.
fn name_service(input: &[u8]) {
    let parsed = NameService::from_bytes(input);
    assert_eq!(parsed.is_some(), input.len() == NAME_SERVICE_BYTES);
    if let Some(message) = parsed {
        assert_eq!(NameService::from_bytes(&message.to_bytes()), Some(message));
        assert_eq!(message.to_bytes()[31], 0, "the name has an end, as the kernel makes sure");
        let name = message.name();
        assert!(name.len() < 32 && !name.contains('\0'), "{name:?}");
        if let Some(again) = NameService::new(name, message.address, message.destroyed) {
            assert_eq!(again.name(), name);
        } else {
            assert_eq!(name, "");
        }
    }
}
