//! Snapshots, the records of the retained area that hold them, and the kinds of events.

use coracle_container::Kv;
use coracle_guest_abi::EventKind;
use coracle_migrate::retained::{RecordKind, read_record};
use coracle_migrate::snapshot::{
    self, EventHead, GlobalValue, Head, HostState, PinUse, Request, SensorUse, Snapshot, Timer,
};

use crate::tools::{IMAGE, Variants, assert_bytes, name, pin};

variants!(
    global_name,
    GLOBAL,
    GlobalValue,
    [GlobalValue::I32(_), GlobalValue::I64(_), GlobalValue::F32(_), GlobalValue::F64(_),]
);

variants!(
    event_kind_name,
    EVENT_KIND,
    EventKind,
    [
        EventKind::Sensor,
        EventKind::Message,
        EventKind::Wake,
        EventKind::Timer,
        EventKind::Config,
        EventKind::Pin,
        EventKind::Request,
        EventKind::Reply,
    ]
);

variants!(
    record_name,
    RECORD,
    RecordKind,
    [RecordKind::Live, RecordKind::Gone(_), RecordKind::Queue, RecordKind::Empty,]
);

/// SHA-256 of the other bytes of [`snapshot_golden`], calculated with another program (`sha256sum`).
const SNAPSHOT_DIGEST: [u8; 32] = [
    0x46, 0xBD, 0x2D, 0xB1, 0x66, 0xC6, 0xEE, 0xFA, 0xB0, 0x9C, 0x55, 0x9F, 0x39, 0x92, 0xC5, 0xD3, 0x94, 0x21, 0x97,
    0xA9, 0x5F, 0x48, 0xA7, 0x80, 0xE9, 0x58, 0x42, 0x26, 0xA1, 0x9B, 0xDC, 0xB5,
];

pub(crate) fn snapshot_golden() -> (Vec<u8>, Vec<u8>) {
    let mut host = HostState {
        handles: 300,
        initialised: true,
        handled: 301,
        cursor: 302,
        clock_us: 1_000_000,
        unsubscribed: 200,
        last_request: 303,
        random: 304,
        config_version: 305,
        ..HostState::default()
    };
    host.timers[1] = Some(Timer { due_us: 300, period_us: 65_538, slack_us: 7 });
    host.sensors[2] = SensorUse { off: true, rate_hz: 300, threshold: Some((-3, 300)) };
    host.pins[0] = PinUse { edges: 3, debounce_us: 300 };
    host.requests[3] = Some(Request { id: 300, due_us: 65_538 });
    let head = Head {
        name: name("tracker"),
        image: IMAGE,
        host,
        globals: [GlobalValue::I32(1024), GlobalValue::F64(1)].into_iter().collect(),
        // All three are set from the arguments.
        memory_len: 0,
        kv_len: 0,
        events: 0,
    };
    let mut kv = Kv::default();
    kv.set("n", b"xyz", 64).unwrap();
    kv.set("k", b"", 64).unwrap();
    let event = |seq, kind: EventKind, source, tag| EventHead {
        seq,
        kind: kind as u8,
        source,
        tag,
        time_us: 1_000_000,
        len: 0,
    };
    let events: [(EventHead, &[u8]); 2] =
        [(event(301, EventKind::Message, 0, 0), b"ab"), (event(302, EventKind::Pin, 200, 300), b"")];
    // Two stretches, 16 zeros between them; shorter gaps are part of a stretch.
    let mut memory = [0; 40];
    memory[3] = 0xAA;
    memory[6] = 0xBB;
    memory[23] = 0xCC;
    let body = [
        b"\x07tracker",
        &IMAGE[..],
        &[0xAC, 0x02, 1],                            // handles, initialised
        &[0xAD, 0x02, 0xAE, 0x02],                   // handled, cursor
        &[0xC0, 0x84, 0x3D],                         // clock
        &[0, 1, 0xAC, 0x02, 0x82, 0x80, 0x04, 7],    // timers 0 and 1: due, period, slack
        &[0; 6],                                     // timers 2 to 7
        &[0, 0, 0, 0, 0, 0],                         // sensors 0 and 1: off, rate, threshold
        &[1, 0xAC, 0x02, 1, 5, 0xD8, 0x04],          // sensor 2: threshold in zigzag
        &[0; 5 * 3],                                 // sensors 3 to 7
        &[3, 0xAC, 0x02],                            // pin 0: edges, time to last
        &[0; 7 * 2],                                 // pins 1 to 7
        &[200],                                      // topics not wanted
        &[0, 0, 0, 1, 0xAC, 0x02, 0x82, 0x80, 0x04], // requests: number, due
        &[0xAF, 0x02, 0xB0, 0x02, 0xB1, 0x02],       // last request, random, changes of the configuration
        &[2, 0, 0x80, 0x08, 3, 1],                   // globals
        &[40],                                       // memory length
        &[11],                                       // store length
        &[2],                                        // events
        b"\x01\x00\x00k",                            // store: lengths (fixed width), key, no value
        b"\x01\x03\x00nxyz",                         // the next key and its value
        &[0xAD, 0x02, 2, 0, 0],                      // event 301: kind, source, tag
        b"\xC0\x84\x3D\x02ab",                       // time, length, payload
        &[0xAE, 0x02, 6, 200, 0xAC, 0x02],           // event 302: kind, source, tag
        &[0xC0, 0x84, 0x3D, 0],                      // time, length
        &[3, 0, 0, 0, 4, 0, 0, 0],                   // first stretch: offset, length
        &[0xAA, 0, 0, 0xBB],                         // its bytes
        &[23, 0, 0, 0, 1, 0, 0, 0, 0xCC],            // second stretch
    ]
    .concat();
    let golden = [
        b"CSNP",
        &[2, 0, 0, 0][..], // version, reserved
        &[u8::try_from(body.len()).unwrap(), 0, 0, 0],
        &body,
        &SNAPSHOT_DIGEST,
    ]
    .concat();
    let mut out = [0; 512];
    let len = snapshot::encode(&head, kv.as_bytes(), events.into_iter(), &memory, &mut out).unwrap();
    (out[..len].to_vec(), golden)
}

#[test]
fn a_snapshot() {
    let (actual, golden) = snapshot_golden();
    assert_bytes(&"snapshot", &actual, &golden);
    let snapshot = Snapshot::decode(&golden).unwrap();
    assert_eq!((snapshot.head().memory_len, snapshot.head().kv_len, snapshot.head().events), (40, 11, 2));
    assert!(Kv::from_bytes(snapshot.kv()).is_some_and(|kv| kv.get("n") == Some(b"xyz")));
    assert_eq!(snapshot.digest(), &SNAPSHOT_DIGEST);
    for len in 0..golden.len() {
        assert!(Snapshot::decode(&golden[..len]).is_err(), "cut to {len} bytes");
    }
}

#[test]
fn globals() {
    let mut globals = Variants::new(GLOBAL);
    let list: [(GlobalValue, &[u8]); 4] = [
        (GlobalValue::I32(300), &[0, 0xAC, 0x02]),
        (GlobalValue::I64(1_000_000), &[1, 0xC0, 0x84, 0x3D]),
        (GlobalValue::F32(65_538), &[2, 0x82, 0x80, 0x04]),
        (GlobalValue::F64(u64::MAX), &[3, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]),
    ];
    for (value, golden) in list {
        pin(&value, &[golden]);
        assert_eq!(globals.see(global_name(&value)), golden[0]);
    }
    globals.all_pinned();
}

#[test]
fn kinds_of_events() {
    let mut variants = Variants::new(EVENT_KIND);
    for (number, kind) in (1..).zip(EventKind::ALL) {
        assert_eq!((kind as u8, EventKind::from_u8(number)), (number, Some(kind)));
        assert_eq!(variants.see(event_kind_name(&kind)) + 1, number);
        assert_eq!(kind.bit(), 1 << number);
    }
    variants.all_pinned();
    assert_eq!((EventKind::from_u8(0), EventKind::from_u8(9)), (None, None));
}

#[test]
fn retained_records() {
    let mut variants = Variants::new(RECORD);
    let (_, snapshot) = snapshot_golden();
    let list: [(RecordKind, [u8; 8]); 4] = [
        (RecordKind::Live, [1, 0, 0, 0, 0, 0, 0, 0]),
        (RecordKind::Gone(0x0403_0201), [2, 0, 0, 0, 1, 2, 3, 4]),
        (RecordKind::Queue, [3, 0, 0, 0, 0, 0, 0, 0]),
        (RecordKind::Empty, [4, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (kind, golden) in list {
        assert_eq!(variants.see(record_name(&kind)) + 1, golden[0]);
        assert_bytes(&kind, &kind.to_bytes(), &golden);
        let record = [&golden[..], &snapshot].concat();
        let decoded = read_record(&record).unwrap();
        assert_eq!(decoded.map(|r| r.kind), Some(kind).filter(|k| *k != RecordKind::Empty));
        for len in 0..if kind == RecordKind::Empty { golden.len() } else { record.len() } {
            assert!(read_record(&record[..len]).is_err(), "{kind:?} cut to {len} bytes");
        }
    }
    variants.all_pinned();
    assert!(read_record(&[5, 0, 0, 0, 0, 0, 0, 0]).is_err());
}
