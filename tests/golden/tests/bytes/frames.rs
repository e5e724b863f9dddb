//! The frames of the link, version 3.
//!
//! Versions 1 and 2 were never released. Of them, only the greeting is still read, so that a build that speaks nothing
//! else is refused by name.

use std::collections::BTreeSet;

use coracle_link::{
    BODY_BYTES_MAX, Channel, Credit, Event, FRAME_BYTES_MAX, Frame, Initiator, Responder, SessionId, VERSIONS,
    Versions, encode,
};

const SESSION: SessionId = SessionId { a: (300 << 24) + 2, m: 7 };
/// a, m
const SESSION_BYTES: &[u8] = &[0x82, 0x80, 0x80, 0xE0, 0x12, 7];
const CREDIT: Credit = Credit { control: 300, bulk: 16 };
/// control, bulk
const CREDIT_BYTES: &[u8] = &[0xAC, 0x02, 16];

/// The number of a frame. One that is missing here does not compile.
fn number(frame: &Frame<'_>) -> u8 {
    match frame {
        Frame::Hello { .. } => 0,
        Frame::Welcome { .. } => 1,
        Frame::Reject { .. } => 2,
        Frame::Data { .. } => 3,
        Frame::Ping { .. } => 4,
        Frame::Pong { .. } => 5,
        Frame::Credit { .. } => 6,
        Frame::Reset { .. } => 7,
    }
}

/// How many there are.
const FRAMES: u8 = 8;

fn frames() -> Vec<(Frame<'static>, Vec<u8>)> {
    let data = |channel| Frame::Data {
        session: SESSION,
        channel,
        seq: 300,
        credit: CREDIT,
        sent_us: 1_000_000,
        body: &[7, 8, 9],
    };
    let list: [(Frame<'static>, &[&[u8]]); 9] = [
        (
            Frame::Hello { versions: Versions { min: 2, max: 300 }, nonce: 65_538, credit: CREDIT },
            &[
                &[0],
                &[2, 0xAC, 0x02],    // versions
                &[0x82, 0x80, 0x04], // nonce
                CREDIT_BYTES,
            ],
        ),
        (Frame::Welcome { version: 2, session: SESSION, credit: CREDIT }, &[&[1, 2], SESSION_BYTES, CREDIT_BYTES]),
        (
            Frame::Reject { versions: Versions { min: 1, max: 2 }, nonce: 65_538 },
            &[
                &[2],
                &[1, 2],             // versions
                &[0x82, 0x80, 0x04], // nonce
            ],
        ),
        (
            data(Channel::Control),
            &[
                &[3],
                SESSION_BYTES,
                &[0],          // channel
                &[0xAC, 0x02], // seq
                CREDIT_BYTES,
                &[0xC0, 0x84, 0x3D], // sent
                &[3, 7, 8, 9],       // body
            ],
        ),
        (
            data(Channel::Bulk),
            &[&[3], SESSION_BYTES, &[1], &[0xAC, 0x02], CREDIT_BYTES, &[0xC0, 0x84, 0x3D], &[3, 7, 8, 9]],
        ),
        (
            Frame::Ping { session: SESSION, seq: 300, credit: CREDIT, asked_us: 1_000_000 },
            &[&[4], SESSION_BYTES, &[0xAC, 0x02], CREDIT_BYTES, &[0xC0, 0x84, 0x3D]],
        ),
        (
            Frame::Pong {
                session: SESSION,
                seq: 300,
                credit: CREDIT,
                asked_us: 1_000_000,
                received_us: 300,
                sent_us: 65_538,
            },
            &[
                &[5],
                SESSION_BYTES,
                &[0xAC, 0x02], // seq
                CREDIT_BYTES,
                &[0xC0, 0x84, 0x3D], // asked
                &[0xAC, 0x02],       // received
                &[0x82, 0x80, 0x04], // sent
            ],
        ),
        (Frame::Credit { session: SESSION, credit: CREDIT }, &[&[6], SESSION_BYTES, CREDIT_BYTES]),
        (Frame::Reset { session: SESSION }, &[&[7], SESSION_BYTES]),
    ];
    list.into_iter().map(|(frame, golden)| (frame, golden.concat())).collect()
}

#[test]
fn frames_of_the_link() {
    let mut seen = BTreeSet::new();
    for (frame, golden) in frames() {
        assert_eq!(golden[0], number(&frame), "{frame:?}");
        seen.insert(golden[0]);
        let mut out = [0; FRAME_BYTES_MAX];
        assert_eq!(encode(&frame, &mut out).unwrap(), golden, "{frame:?}");
        assert_eq!(postcard::from_bytes::<Frame<'_>>(&golden).as_ref(), Ok(&frame));
        for len in 0..golden.len() {
            assert!(postcard::from_bytes::<Frame<'_>>(&golden[..len]).is_err(), "{frame:?} cut to {len} bytes");
        }
    }
    assert!(seen.into_iter().eq(0..FRAMES), "a frame has no golden: add one, do not change another");
    assert_eq!(VERSIONS, Versions { min: 3, max: 3 }, "a new version gets a file of its own beside this one");
}

/// Hello and Reject begin alike in every version: these are the bytes of versions 1 and 2.
#[test]
fn older_versions_are_refused_by_name_and_understand_it() {
    let room = Credit::for_buffers(64);
    let hellos: [(u16, &[u8]); 2] = [
        (1, &[0, 1, 1, 0x82, 0x80, 0x04]),         // versions 1 to 1, nonce 65 538
        (2, &[0, 2, 2, 0x82, 0x80, 0x04, 16, 16]), // versions 2 to 2, nonce 65 538, credit
    ];
    for (version, hello) in hellos {
        let (event, reject) = Responder::new(1, VERSIONS, room).receive(hello, 0);
        let theirs = Versions { min: version, max: version };
        assert_eq!(event, Event::Refused { ours: VERSIONS, theirs });
        let mut out = [0; FRAME_BYTES_MAX];
        assert_eq!(encode(&reject.unwrap(), &mut out).unwrap(), [2, 3, 3, 0x82, 0x80, 0x04]);

        let mut a = Initiator::new(0, VERSIONS, room);
        let mut out = [0; FRAME_BYTES_MAX];
        let hello = encode(&a.open(0), &mut out).unwrap();
        assert_eq!(hello, [0, 3, 3, 1, 16, 16]); // versions 3 to 3, nonce 1, credit
        let number = u8::try_from(version).unwrap();
        assert_eq!(a.receive(&[2, number, number, 1], 0), Event::Refused { ours: VERSIONS, theirs });
    }
}

#[test]
fn the_largest_body_fits_a_frame_with_the_largest_head() {
    let session = SessionId { a: u64::MAX, m: u64::MAX };
    let credit = Credit { control: u32::MAX, bulk: u32::MAX };
    let body = &[255; BODY_BYTES_MAX];
    let frame = Frame::Data { session, channel: Channel::Bulk, seq: u32::MAX, credit, sent_us: u64::MAX, body };
    assert!(encode(&frame, &mut [0; FRAME_BYTES_MAX]).is_some());
}

/// Bytes that are nearly a frame: whatever they say, both ends take them or name what is wrong.
#[test]
fn frames_with_any_byte_changed_do_no_harm() {
    let room = Credit::for_buffers(64);
    for (frame, golden) in frames() {
        for at in 0..golden.len() {
            for byte in 0..=255 {
                let mut bytes = golden.clone();
                bytes[at] = byte;
                let (mut a, mut m) = (Initiator::new(1, VERSIONS, room), Responder::new(1, VERSIONS, room));
                let _ = a.open(0);
                let from_m = a.receive(&bytes, 1);
                let (from_a, answer) = m.receive(&bytes, 1);
                for event in [from_m, from_a] {
                    let named = matches!(event, Event::Dropped(_) | Event::Refused { .. } | Event::Up { .. });
                    assert!(named, "{event:?} from {frame:?} with byte {at} = {byte}");
                }
                assert!(answer.is_none_or(|answer| encode(&answer, &mut [0; FRAME_BYTES_MAX]).is_some()));
            }
        }
    }
}
