//! The bytes of protocol version 1, as far as later versions have not changed them. The frames of the link are those of
//! version 2: see `v02.rs`.
//!
//! If one of these tests fails, do not change the test: the change is wrong. Cores of different builds talk to each
//! other, and snapshots outlive the build that wrote them. A new variant goes at the end of its enum and gets a new
//! line here; a changed meaning is a new variant.
//!
//! The bytes are written by hand from the rules of postcard, so that they can be checked by eye:
//! - `u8` and `bool` are one byte; wider integers are varints, 7 bits a byte, lowest first, bit 7 = more follow;
//! - `i32` is zigzag (0, -1, 1, -2, ...) and then a varint;
//! - text, lists and byte strings are their length as a varint, then their elements; arrays have no length;
//! - `Option` is 0, or 1 and the value; an enum is the number of its variant as a varint, then its fields.
//!
//! Some numbers that return: 300 = `AC 02`, 1 000 000 = `C0 84 3D`, 65 538 = `82 80 04`.

use std::collections::BTreeSet;
use std::fmt::Debug;

use coracle_board_api::log_ring::{BYTES_MIN, Encoding, Producer};
use coracle_board_api::sensor_wire::{self, Block, Decoder};
use coracle_bulk::{BulkRef, BulkWriter, RetainedWriter};
use coracle_guest_abi::host::{Grants, Name};
use coracle_guest_abi::{BlockHeader, EventKind, MESSAGE_BYTES_MAX, NAME_BYTES_MAX};
use coracle_lifecycle::{ExitReason, State};
use coracle_link::{BODY_BYTES_MAX, FRAME_BYTES_MAX};
use coracle_migrate::retained::{RecordKind, read_record};
use coracle_migrate::role::{RefuseReason, Step};
use coracle_migrate::snapshot::{self, EventHead, GlobalValue, Head, HostState, Snapshot};
use coracle_policy::WakeRule;
use coracle_rpmsg::{
    Header, KICK_TO_DEVICE, KICK_TO_DRIVER, NAME_SERVICE_ADDRESS, NameService, STATUS_DRIVER_OK, TableSpec, VringSize,
    write_table,
};
use coracle_shmem::{HeapRegion, Region};
use coracle_wire::{
    A_ENDPOINT, ContainerSpec, DETAIL_BYTES_MAX, FromM, Limits, M_ENDPOINT, Power, SPEC_BYTES_MAX, ToM,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

// ---- tools -----------------------------------------------------------------------------------------------------------

/// The variants of an enum in the order of their numbers. A variant that is missing here does not compile; one that is
/// here and has no golden fails [`Variants::all_pinned`].
macro_rules! variants {
    ($function:ident, $names:ident, $type:ty, [$($pattern:pat),+ $(,)?]) => {
        const $names: &[&str] = &[$(stringify!($pattern)),+];

        fn $function(value: &$type) -> &'static str {
            match value {
                $($pattern => stringify!($pattern)),+
            }
        }
    };
}

variants!(
    to_m_name,
    TO_M,
    ToM,
    [
        ToM::Begin,
        ToM::Deploy { .. },
        ToM::Remote { .. },
        ToM::Remove { .. },
        ToM::WakeRule { .. },
        ToM::Ack { .. },
        ToM::Power(_),
        ToM::MoveOut { .. },
        ToM::Migrate { .. },
        ToM::Lockstep(_),
        ToM::Query,
        ToM::KeepWakeRules { .. },
    ]
);

variants!(
    from_m_name,
    FROM_M,
    FromM,
    [
        FromM::Holds { .. },
        FromM::InventoryEnd,
        FromM::Deployed { .. },
        FromM::DeployRefused { .. },
        FromM::Event { .. },
        FromM::Wake { .. },
        FromM::Woken { .. },
        FromM::Exited { .. },
        FromM::MoveRefused { .. },
        FromM::Migrate { .. },
        FromM::ContainerStats { .. },
        FromM::Stats { .. },
    ]
);

variants!(
    step_name,
    STEP,
    Step<BulkRef>,
    [
        Step::Offer { .. },
        Step::Accept,
        Step::Refuse(_),
        Step::State { .. },
        Step::Ready,
        Step::Commit,
        Step::Committed,
        Step::Abort(_),
    ]
);

variants!(power_name, POWER, Power, [Power::Awake, Power::Asleep]);

variants!(state_name, STATE, State, [State::Created, State::Running, State::Frozen, State::Gone, State::Exited(_),]);

variants!(
    exit_name,
    EXIT,
    ExitReason,
    [
        ExitReason::Returned(_),
        ExitReason::Trap,
        ExitReason::OutOfFuel,
        ExitReason::OutOfMemory,
        ExitReason::StackExhausted,
        ExitReason::Killed,
        ExitReason::StartFailed,
        ExitReason::CoreLost,
    ]
);

variants!(
    refuse_name,
    REFUSE,
    RefuseReason,
    [
        RefuseReason::NoImage,
        RefuseReason::NoMemory,
        RefuseReason::NoGrant,
        RefuseReason::Busy,
        RefuseReason::BadState,
        RefuseReason::NotHere,
        RefuseReason::LinkLost,
        RefuseReason::TooLarge,
    ]
);

variants!(
    global_name,
    GLOBAL,
    GlobalValue,
    [GlobalValue::I32(_), GlobalValue::I64(_), GlobalValue::F32(_), GlobalValue::F64(_),]
);

variants!(event_kind_name, EVENT_KIND, EventKind, [EventKind::Sensor, EventKind::Message, EventKind::Wake]);

variants!(
    record_name,
    RECORD,
    RecordKind,
    [RecordKind::Live, RecordKind::Gone(_), RecordKind::Queue, RecordKind::Empty,]
);

/// Which variants of an enum were seen.
struct Variants {
    names: &'static [&'static str],
    seen: BTreeSet<&'static str>,
}

impl Variants {
    fn new(names: &'static [&'static str]) -> Self {
        Self { names, seen: BTreeSet::new() }
    }

    /// Notes a variant and returns its number.
    fn see(&mut self, name: &'static str) -> u8 {
        self.seen.insert(name);
        u8::try_from(self.names.iter().position(|n| *n == name).unwrap()).unwrap()
    }

    fn all_pinned(&self) {
        for name in self.names {
            assert!(self.seen.contains(name), "{name} has no golden: add one, do not change another");
        }
    }
}

/// Bytes as they are written in this file.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("0x{byte:02X}, ")).collect()
}

fn assert_bytes(what: &impl Debug, actual: &[u8], golden: &[u8]) {
    assert!(actual == golden, "{what:?}\nhas other bytes:\n{}\nwanted:\n{}", hex(actual), hex(golden));
}

/// Encodes to the golden, decodes from it, and from nothing shorter or longer.
fn pin<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, golden: &[&[u8]]) -> Vec<u8> {
    let golden = golden.concat();
    let mut out = [0; SPEC_BYTES_MAX];
    assert_bytes(value, coracle_wire::encode(value, &mut out).unwrap(), &golden);
    assert_eq!(coracle_wire::decode::<T>(&golden).as_ref(), Some(value));
    for len in 0..golden.len() {
        assert_eq!(coracle_wire::decode::<T>(&golden[..len]), None, "{value:?} cut to {len} bytes");
    }
    let longer = [&golden[..], &[0]].concat();
    assert_eq!(coracle_wire::decode::<T>(&longer), None, "{value:?} with a byte too many");
    golden
}

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

/// 32 bytes that show a wrong order: 20, 21, ... 3F.
const IMAGE: [u8; 32] = *b"\x20\x21\x22\x23\x24\x25\x26\x27\x28\x29\x2A\x2B\x2C\x2D\x2E\x2F\
                          \x30\x31\x32\x33\x34\x35\x36\x37\x38\x39\x3A\x3B\x3C\x3D\x3E\x3F";
const BULK: BulkRef = BulkRef { offset: 64, len: 300, generation: 65_538 };
/// offset, len, generation
const BULK_BYTES: &[u8] = &[0x40, 0xAC, 0x02, 0x82, 0x80, 0x04];

// ---- messages --------------------------------------------------------------------------------------------------------

fn to_m() -> Vec<(ToM, Vec<u8>)> {
    let mut all = Vec::new();
    let mut add = |message: ToM, golden: &[&[u8]]| {
        let golden = pin(&message, golden);
        all.push((message, golden));
    };
    add(ToM::Begin, &[&[0]]);
    add(
        ToM::Deploy { token: 300, spec: BULK, module: BulkRef { offset: 8, ..BULK }, snapshot: None, live: true },
        &[
            &[1, 0xAC, 0x02],                   // token
            BULK_BYTES,                         // spec
            &[8, 0xAC, 0x02, 0x82, 0x80, 0x04], // module
            &[0],                               // no snapshot
            &[1],                               // live
        ],
    );
    add(
        ToM::Deploy { token: 0, spec: BULK, module: BULK, snapshot: Some(BULK), live: false },
        &[&[1, 0], BULK_BYTES, BULK_BYTES, &[1], BULK_BYTES, &[0]],
    );
    add(
        ToM::Remote { name: name("tracker"), subscribe: [name("vib"), name("")].into_iter().collect(), cursor: 300 },
        &[
            &[2],
            b"\x07tracker",
            b"\x02\x03vib\x00", // topics
            &[0xAC, 0x02],      // cursor
        ],
    );
    add(ToM::Remove { name: name("tracker") }, &[&[3], b"\x07tracker"]);
    add(
        ToM::WakeRule {
            rule: WakeRule {
                reason: name("bearing"),
                container: name("diagnose"),
                debounce_us: 1_000_000,
                per_hour: 60,
            },
        },
        &[
            &[4],
            b"\x07bearing",
            b"\x08diagnose",
            &[0xC0, 0x84, 0x3D], // debounce
            &[60],               // an hour
        ],
    );
    add(
        ToM::Ack { name: name("diagnose"), seq: u64::MAX },
        &[
            &[5],
            b"\x08diagnose",
            &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], // seq
        ],
    );
    add(ToM::Power(Power::Awake), &[&[6, 0]]);
    add(ToM::Power(Power::Asleep), &[&[6, 1]]);
    add(
        ToM::MoveOut { id: 65_538, name: name("tracker"), queued_min: 200 },
        &[
            &[7],
            &[0x82, 0x80, 0x04], // id
            b"\x07tracker",
            &[200], // queued_min, one byte however large
        ],
    );
    add(
        ToM::Migrate { id: 3, name: name("tracker"), step: Step::State { bulk: BULK } },
        &[
            &[8, 3],
            b"\x07tracker",
            &[3], // step
            BULK_BYTES,
        ],
    );
    add(ToM::Lockstep(true), &[&[9, 1]]);
    add(ToM::Query, &[&[10]]);
    add(
        ToM::KeepWakeRules { reasons: [name("fault")].into_iter().collect() },
        &[&[11], &[1], b"\x05fault"], // one reason
    );
    all
}

#[test]
fn messages_from_a_to_m() {
    let mut variants = Variants::new(TO_M);
    for (message, golden) in to_m() {
        assert_eq!(golden[0], variants.see(to_m_name(&message)), "{message:?}");
    }
    variants.all_pinned();
}

fn from_m() -> Vec<(FromM, Vec<u8>)> {
    let mut all = Vec::new();
    let mut add = |message: FromM, golden: &[&[u8]]| {
        let golden = pin(&message, golden);
        all.push((message, golden));
    };
    add(
        FromM::Holds {
            name: name("tracker"),
            image: IMAGE,
            state: State::Gone,
            in_doubt: None,
            committed: Some(65_538),
        },
        &[
            &[0],
            b"\x07tracker",
            &IMAGE,
            &[3],                   // state
            &[0],                   // not in doubt
            &[1, 0x82, 0x80, 0x04], // committed
        ],
    );
    add(
        FromM::Holds {
            name: name("x"),
            image: IMAGE,
            state: State::Exited(ExitReason::Returned(-3)),
            in_doubt: Some(9),
            committed: None,
        },
        &[
            &[0],
            b"\x01x",
            &IMAGE,
            &[4, 0, 5], // exited, returned, zigzag of -3
            &[1, 9],    // in doubt
            &[0],       // nothing committed
        ],
    );
    add(FromM::InventoryEnd, &[&[1]]);
    add(FromM::Deployed { token: 300 }, &[&[2, 0xAC, 0x02]]);
    add(FromM::DeployRefused { token: 1, detail: "too large".try_into().unwrap() }, &[&[3, 1], b"\x09too large"]);
    add(
        FromM::Event {
            name: name("tracker"),
            seq: 300,
            source: 255,
            time_us: 1_000_000,
            payload: [7, 8, 9].into_iter().collect(),
        },
        &[
            &[4],
            b"\x07tracker",
            &[0xAC, 0x02],       // seq
            &[255],              // source, one byte however large
            &[0xC0, 0x84, 0x3D], // time
            &[3, 7, 8, 9],       // payload
        ],
    );
    add(
        FromM::Wake { reason: name("bearing"), name: name("diagnose"), seq: 300, time_us: 1_000_000, payload: BULK },
        &[
            &[5],
            b"\x07bearing",
            b"\x08diagnose",
            &[0xAC, 0x02],       // seq
            &[0xC0, 0x84, 0x3D], // time
            BULK_BYTES,
        ],
    );
    add(FromM::Woken { reason: name("bearing"), latency_us: 300 }, &[&[6], b"\x07bearing", &[0xAC, 0x02]]);
    add(
        FromM::Exited { name: name("tracker"), reason: ExitReason::Returned(2) },
        &[
            &[7],
            b"\x07tracker",
            &[0, 4], // returned, zigzag of 2
        ],
    );
    add(
        FromM::MoveRefused { id: 65_538, name: name("tracker"), reason: RefuseReason::NotHere },
        &[
            &[8],
            &[0x82, 0x80, 0x04], // id
            b"\x07tracker",
            &[5], // reason
        ],
    );
    add(FromM::Migrate { id: 3, name: name("tracker"), step: Step::Accept }, &[&[9, 3], b"\x07tracker", &[1]]);
    add(
        FromM::ContainerStats {
            name: name("tracker"),
            state: State::Running,
            memory: 65_538,
            fuel: 1_000_000,
            handled: 300,
            queued: 301,
            dropped: 1,
            refused: 2,
            digest: Some(IMAGE),
        },
        &[
            &[10],
            b"\x07tracker",
            &[1],                // state
            &[0x82, 0x80, 0x04], // memory
            &[0xC0, 0x84, 0x3D], // fuel
            &[0xAC, 0x02],       // handled
            &[0xAD, 0x02],       // queued
            &[1, 2],             // dropped, refused
            &[1],
            &IMAGE, // digest
        ],
    );
    add(
        FromM::Stats { time_us: 1_000_000, wakes: [1, 300, 3], samples_dropped: 4, unacknowledged: 300 },
        &[
            &[11],
            &[0xC0, 0x84, 0x3D], // time
            &[1, 0xAC, 0x02, 3], // wakes: an array, no length
            &[4],                // samples dropped
            &[0xAC, 0x02],       // unacknowledged
        ],
    );
    all
}

#[test]
fn messages_from_m_to_a() {
    let mut variants = Variants::new(FROM_M);
    for (message, golden) in from_m() {
        assert_eq!(golden[0], variants.see(from_m_name(&message)), "{message:?}");
    }
    variants.all_pinned();
}

#[test]
fn steps_of_a_migration() {
    let mut variants = Variants::new(STEP);
    let mut step = |step: Step<BulkRef>, golden: &[&[u8]]| {
        let golden = pin(&step, golden);
        assert_eq!(golden[0], variants.see(step_name(&step)), "{step:?}");
    };
    step(Step::Offer { image: IMAGE, memory: 65_538 }, &[&[0], &IMAGE, &[0x82, 0x80, 0x04]]);
    step(Step::Accept, &[&[1]]);
    step(Step::Refuse(RefuseReason::NoMemory), &[&[2, 1]]);
    step(Step::State { bulk: BULK }, &[&[3], BULK_BYTES]);
    step(Step::Ready, &[&[4]]);
    step(Step::Commit, &[&[5]]);
    step(Step::Committed, &[&[6]]);
    step(Step::Abort(RefuseReason::LinkLost), &[&[7, 6]]);
    variants.all_pinned();
}

#[test]
fn enums_inside_messages() {
    let mut powers = Variants::new(POWER);
    for (number, power) in (0..).zip([Power::Awake, Power::Asleep]) {
        pin(&power, &[&[number]]);
        assert_eq!(powers.see(power_name(&power)), number);
    }
    powers.all_pinned();

    let mut states = Variants::new(STATE);
    let list = [State::Created, State::Running, State::Frozen, State::Gone, State::Exited(ExitReason::Trap)];
    for (number, state) in (0..).zip(list) {
        let reason: &[u8] = if number == 4 { &[1] } else { &[] };
        pin(&state, &[&[number], reason]);
        assert_eq!(states.see(state_name(&state)), number);
    }
    states.all_pinned();

    let mut exits = Variants::new(EXIT);
    let list = [
        ExitReason::Returned(i32::MIN),
        ExitReason::Trap,
        ExitReason::OutOfFuel,
        ExitReason::OutOfMemory,
        ExitReason::StackExhausted,
        ExitReason::Killed,
        ExitReason::StartFailed,
        ExitReason::CoreLost,
    ];
    for (number, reason) in (0..).zip(list) {
        let code: &[u8] = if number == 0 { &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F] } else { &[] };
        pin(&reason, &[&[number], code]);
        assert_eq!(exits.see(exit_name(&reason)), number);
    }
    exits.all_pinned();

    let mut refusals = Variants::new(REFUSE);
    let list = [
        RefuseReason::NoImage,
        RefuseReason::NoMemory,
        RefuseReason::NoGrant,
        RefuseReason::Busy,
        RefuseReason::BadState,
        RefuseReason::NotHere,
        RefuseReason::LinkLost,
        RefuseReason::TooLarge,
    ];
    for (number, reason) in (0..).zip(list) {
        pin(&reason, &[&[number]]);
        assert_eq!(refusals.see(refuse_name(&reason)), number);
    }
    refusals.all_pinned();

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

fn spec() -> (ContainerSpec, Vec<u8>) {
    let grants = Grants {
        sensors: [name("vibration")].into_iter().collect(),
        publish: [name("features")].into_iter().collect(),
        subscribe: [name("a"), name("bc")].into_iter().collect(),
        wake: [name("bearing")].into_iter().collect(),
        config: [(name("limit"), "12".try_into().unwrap())].into_iter().collect(),
    };
    let limits = Limits { memory: 65_538, fuel_per_event: 1_000_000, queue: 300 };
    let spec = ContainerSpec { name: name("sentinel"), image: IMAGE, portable: true, limits, grants };
    let golden = pin(
        &spec,
        &[
            b"\x08sentinel",
            &IMAGE,
            &[1],                // portable
            &[0x82, 0x80, 0x04], // memory
            &[0xC0, 0x84, 0x3D], // fuel of an event
            &[0xAC, 0x02],       // queue
            b"\x01\x09vibration",
            b"\x01\x08features",
            b"\x02\x01a\x02bc",
            b"\x01\x07bearing",
            b"\x01\x05limit\x0212",
        ],
    );
    (spec, golden)
}

#[test]
fn the_specification_of_a_container() {
    spec();
}

// ---- sizes -----------------------------------------------------------------------------------------------------------

const LONG: &str = "0123456789012345678901234567890";
const BULK_MAX: BulkRef = BulkRef { offset: u32::MAX, len: u32::MAX, generation: u32::MAX };

/// The largest step: an offer carries a digest.
const STEP_MAX: Step<BulkRef> = Step::Offer { image: [255; 32], memory: u32::MAX };

/// Every field at the value that takes the most bytes.
fn largest_to_m() -> Vec<ToM> {
    let long = name(LONG);
    let rule = WakeRule { reason: long.clone(), container: long.clone(), debounce_us: u64::MAX, per_hour: u8::MAX };
    vec![
        ToM::Begin,
        ToM::Deploy { token: u16::MAX, spec: BULK_MAX, module: BULK_MAX, snapshot: Some(BULK_MAX), live: true },
        ToM::Remote { name: long.clone(), subscribe: full(&long), cursor: u64::MAX },
        ToM::Remove { name: long.clone() },
        ToM::WakeRule { rule },
        ToM::Ack { name: long.clone(), seq: u64::MAX },
        ToM::Power(Power::Asleep),
        ToM::MoveOut { id: u32::MAX, name: long.clone(), queued_min: u8::MAX },
        ToM::Migrate { id: u32::MAX, name: long.clone(), step: STEP_MAX },
        ToM::Lockstep(true),
        ToM::Query,
        ToM::KeepWakeRules { reasons: full(&long) },
    ]
}

fn largest_from_m() -> Vec<FromM> {
    let long = name(LONG);
    let state = State::Exited(ExitReason::Returned(i32::MIN));
    vec![
        FromM::Holds {
            name: long.clone(),
            image: [255; 32],
            state,
            in_doubt: Some(u32::MAX),
            committed: Some(u32::MAX),
        },
        FromM::InventoryEnd,
        FromM::Deployed { token: u16::MAX },
        FromM::DeployRefused { token: u16::MAX, detail: "x".repeat(DETAIL_BYTES_MAX).as_str().try_into().unwrap() },
        FromM::Event {
            name: long.clone(),
            seq: u64::MAX,
            source: u8::MAX,
            time_us: u64::MAX,
            payload: [255; MESSAGE_BYTES_MAX].into_iter().collect(),
        },
        FromM::Wake { reason: long.clone(), name: long.clone(), seq: u64::MAX, time_us: u64::MAX, payload: BULK_MAX },
        FromM::Woken { reason: long.clone(), latency_us: u64::MAX },
        FromM::Exited { name: long.clone(), reason: ExitReason::Returned(i32::MIN) },
        FromM::MoveRefused { id: u32::MAX, name: long.clone(), reason: RefuseReason::TooLarge },
        FromM::Migrate { id: u32::MAX, name: long.clone(), step: STEP_MAX },
        FromM::ContainerStats {
            name: long,
            state,
            memory: u32::MAX,
            fuel: u64::MAX,
            handled: u64::MAX,
            queued: u64::MAX,
            dropped: u32::MAX,
            refused: u32::MAX,
            digest: Some([255; 32]),
        },
        FromM::Stats { time_us: u64::MAX, wakes: [u32::MAX; 3], samples_dropped: u32::MAX, unacknowledged: u16::MAX },
    ]
}

/// A list with as many names as it may have.
fn full<const N: usize>(name: &Name) -> heapless::Vec<Name, N> {
    (0..N).map(|_| name.clone()).collect()
}

fn encoded_len(value: &impl Serialize) -> usize {
    let mut out = [0; 2 * SPEC_BYTES_MAX];
    coracle_wire::encode(value, &mut out).unwrap().len()
}

#[test]
fn the_largest_messages_fit_their_carriers() {
    assert_eq!(LONG.len(), NAME_BYTES_MAX);
    let mut variants = Variants::new(TO_M);
    for message in largest_to_m() {
        variants.see(to_m_name(&message));
        let len = encoded_len(&message);
        assert!(len <= BODY_BYTES_MAX, "{len} bytes: {message:?}");
    }
    variants.all_pinned();
    let mut variants = Variants::new(FROM_M);
    for message in largest_from_m() {
        variants.see(from_m_name(&message));
        let len = encoded_len(&message);
        assert!(len <= BODY_BYTES_MAX, "{len} bytes: {message:?}");
    }
    variants.all_pinned();

    let long = name(LONG);
    let value = "x".repeat(coracle_guest_abi::CONFIG_VALUE_BYTES_MAX);
    let config = (0..coracle_guest_abi::CONFIG_ENTRIES_MAX)
        .map(|_| (long.clone(), value.as_str().try_into().unwrap()))
        .collect();
    let grants =
        Grants { sensors: full(&long), publish: full(&long), subscribe: full(&long), wake: full(&long), config };
    let limits = Limits { memory: u32::MAX, fuel_per_event: u64::MAX, queue: u16::MAX };
    let spec = ContainerSpec { name: long, image: [255; 32], portable: true, limits, grants };
    let len = encoded_len(&spec);
    assert!(len <= SPEC_BYTES_MAX, "{len} bytes: {spec:?}");
}

// ---- state -----------------------------------------------------------------------------------------------------------

/// SHA-256 of the other bytes of [`snapshot_golden`], calculated with another program (`sha256sum`).
const SNAPSHOT_DIGEST: [u8; 32] = [
    0x9A, 0x30, 0xBC, 0xDA, 0x6C, 0xB4, 0x78, 0xEB, 0xE8, 0xF4, 0x5E, 0xED, 0xFB, 0x10, 0x76, 0x4F, 0xA7, 0xBE, 0x7F,
    0x39, 0xC1, 0xD4, 0x20, 0x47, 0xE2, 0x60, 0xC1, 0x6D, 0xE9, 0x55, 0x4F, 0xAF,
];

fn snapshot_golden() -> (Vec<u8>, Vec<u8>) {
    let head = Head {
        name: name("tracker"),
        image: IMAGE,
        host: HostState { handles: 1, initialised: true, handled: 300, cursor: 302 },
        globals: [GlobalValue::I32(1024), GlobalValue::F64(1)].into_iter().collect(),
        // Both are set from the arguments.
        memory_len: 0,
        events: 0,
    };
    let event = |seq, source| EventHead { seq, kind: EventKind::Message as u8, source, time_us: 1_000_000, len: 0 };
    let events: [(EventHead, &[u8]); 2] = [(event(301, 0), b"ab"), (event(302, 1), b"")];
    // Two stretches, 16 zeros between them; shorter gaps are part of a stretch.
    let mut memory = [0; 40];
    memory[3] = 0xAA;
    memory[6] = 0xBB;
    memory[23] = 0xCC;
    let body = [
        b"\x07tracker",
        &IMAGE[..],
        &[1, 1, 0xAC, 0x02, 0xAE, 0x02],  // handles, initialised, handled, cursor
        &[2, 0, 0x80, 0x08, 3, 1],        // globals
        &[40],                            // memory length
        &[2],                             // events
        &[0xAD, 0x02, 2, 0],              // event 301: kind, source
        b"\xC0\x84\x3D\x02ab",            // time, length, payload
        &[0xAE, 0x02, 2, 1],              // event 302: kind, source
        &[0xC0, 0x84, 0x3D, 0],           // time, length
        &[3, 0, 0, 0, 4, 0, 0, 0],        // first stretch: offset, length
        &[0xAA, 0, 0, 0xBB],              // its bytes
        &[23, 0, 0, 0, 1, 0, 0, 0, 0xCC], // second stretch
    ]
    .concat();
    let golden = [
        b"CSNP",
        &[1, 0, 0, 0][..], // version, reserved
        &[u8::try_from(body.len()).unwrap(), 0, 0, 0],
        &body,
        &SNAPSHOT_DIGEST,
    ]
    .concat();
    let mut out = [0; 512];
    let len = snapshot::encode(&head, events.into_iter(), &memory, &mut out).unwrap();
    (out[..len].to_vec(), golden)
}

#[test]
fn a_snapshot() {
    let (actual, golden) = snapshot_golden();
    assert_bytes(&"snapshot", &actual, &golden);
    let snapshot = Snapshot::decode(&golden).unwrap();
    assert_eq!((snapshot.head().memory_len, snapshot.head().events), (40, 2));
    assert_eq!(snapshot.digest(), &SNAPSHOT_DIGEST);
    for len in 0..golden.len() {
        assert!(Snapshot::decode(&golden[..len]).is_err(), "cut to {len} bytes");
    }
}

#[test]
fn kinds_of_events() {
    let mut variants = Variants::new(EVENT_KIND);
    for (number, kind) in (1..).zip([EventKind::Sensor, EventKind::Message, EventKind::Wake]) {
        assert_eq!((kind as u8, EventKind::from_u8(number)), (number, Some(kind)));
        assert_eq!(variants.see(event_kind_name(&kind)) + 1, number);
    }
    variants.all_pinned();
    assert_eq!((EventKind::from_u8(0), EventKind::from_u8(4)), (None, None));
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

// ---- shared memory ---------------------------------------------------------------------------------------------------

fn read(region: Region<'_>, at: usize, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    region.read(at, &mut out).unwrap();
    out
}

#[test]
fn rpmsg_headers_and_announcements() {
    let header = Header { src: M_ENDPOINT, dst: A_ENDPOINT, len: 300 };
    let golden = [
        0x1E, 0, 0, 0, // from
        0, 4, 0, 0, // to
        0, 0, 0, 0, // reserved
        0x2C, 1, // length: fixed width here
        0, 0, // flags
    ];
    assert_bytes(&header, &header.to_bytes(), &golden);
    assert_eq!(Header::from_bytes(&golden), header);

    let announcement = NameService::new("coracle-link", M_ENDPOINT, true).unwrap();
    let golden = [
        b"coracle-link",
        &[0; 20][..],     // up to 32 bytes
        &[0x1E, 0, 0, 0], // address
        &[1, 0, 0, 0],    // destroyed
    ]
    .concat();
    assert_bytes(&announcement, &announcement.to_bytes(), &golden);
    assert_eq!(NameService::from_bytes(&golden), Some(announcement));
    assert_eq!(NameService::from_bytes(&golden[..39]), None);
    assert_eq!((NAME_SERVICE_ADDRESS, KICK_TO_DRIVER, KICK_TO_DEVICE), (53, 0, 1));
}

#[test]
fn the_resource_table() {
    let memory = HeapRegion::new(4096);
    let region = memory.region();
    let size = VringSize::new(64, 4096).unwrap();
    let spec = TableSpec { vrings: [0x2100_2000, 0x2100_4000], size, carveouts: &[], traces: &[] };
    let table = spec.build::<{ TableSpec::BARE_BYTES }>().unwrap();
    let (words, boot_id) = write_table(region, &table).unwrap();
    assert_eq!(boot_id, 1);
    words.set_driver_epoch(0x0403_0201).unwrap();
    words.set_device_epoch(0x0807_0605).unwrap();
    words.set_status(STATUS_DRIVER_OK).unwrap();
    let golden = [
        &[1, 0, 0, 0, 1, 0, 0, 0][..], // version, entries
        &[0; 8],                       // reserved
        &[20, 0, 0, 0],                // offset of the entry
        &[3, 0, 0, 0, 7, 0, 0, 0],     // vdev, RPMsg
        &[0, 0, 0, 0, 1, 0, 0, 0],     // notify id, features: name service
        &[1, 0, 0, 0, 12, 0, 0, 0],    // features taken by the driver, length of the configuration
        &[7, 2, 0, 0],                 // status, vrings, reserved
        &[0, 0x20, 0, 0x21],           // vring 0: address
        &[0, 0x10, 0, 0, 64, 0, 0, 0], // alignment, entries
        &[0, 0, 0, 0, 0, 0, 0, 0],     // notify id, reserved
        &[0, 0x40, 0, 0x21],           // vring 1
        &[0, 0x10, 0, 0, 64, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[1, 2, 3, 4, 5, 6, 7, 8], // driver's epoch, device's epoch
        &[1, 0, 0, 0],             // boot id
    ]
    .concat();
    assert_eq!(golden.len(), TableSpec::BARE_BYTES);
    assert_bytes(&"resource table", &read(region, 0, TableSpec::BARE_BYTES), &golden);
}

#[test]
fn a_bulk_block() {
    let memory = HeapRegion::new(256);
    let mut writer = BulkWriter::new(memory.region(), 7);
    let block = writer.put(&[b"ab", b"c"]).unwrap();
    assert_eq!(block, BulkRef { offset: 0, len: 3, generation: 0x0007_0001 });
    assert_bytes(&"bulk block", &read(memory.region(), 0, 12), &[1, 0, 7, 0, 3, 0, 0, 0, b'a', b'b', b'c', 0]);
}

#[test]
fn the_retained_area() {
    // 8 bytes, then 16 slots of 2 copies of 24 bytes.
    let memory = HeapRegion::new(8 + 32 * 24);
    let mut writer = RetainedWriter::start(memory.region()).unwrap();
    assert_eq!(writer.payload_max(), 16);
    writer.write(2, b"abc").unwrap();
    writer.commit().unwrap();
    assert_bytes(&"transactions", &read(memory.region(), 0, 8), &[1, 0, 0, 0, 0, 0, 0, 0]);
    // A fresh slot's current copy is its first, so the second was written: transaction, length, payload.
    let at = 8 + 5 * 24;
    assert_bytes(&"slot 2", &read(memory.region(), at, 11), &[1, 0, 0, 0, 3, 0, 0, 0, b'a', b'b', b'c']);
}

#[test]
fn the_log_ring() {
    let memory = HeapRegion::new(BYTES_MIN as usize);
    let mut ring = Producer::open(memory.region(), Encoding::Text, 0x0807_0605_0403_0201).unwrap();
    assert!(ring.frame(b"hi\n"));
    assert!(!ring.frame(&[0; BYTES_MIN as usize]));
    let golden = [
        b"CRLG",
        &[1, 0, 0, 0][..],         // version
        &[2, 0, 0, 0],             // text
        &[0, 4, 0, 0],             // capacity
        &[1, 2, 3, 4, 5, 6, 7, 8], // producer id
        &[3, 0, 0, 0],             // write
        &[1, 0, 0, 0],             // dropped
        &[0; 96],                  // read (at 64) and what nobody uses
        b"hi\n",
    ]
    .concat();
    assert_bytes(&"log ring", &read(memory.region(), 0, golden.len()), &golden);
    Producer::open(memory.region(), Encoding::Defmt, 0).unwrap();
    assert_eq!(memory.region().load_u32(8), Ok(1), "defmt");
}

// ---- the sensor ------------------------------------------------------------------------------------------------------

fn sensor_frames() -> [(Block, Vec<u8>); 2] {
    let block = Block::new(0x0403_0201, 0x0C0B_0A09_0807_0605, 12_000, 300, &[1, -2]).unwrap();
    let end = Block::end(9, 1_000_000, 12_000, 0);
    [
        (
            block,
            [
                &[0xA5, 0][..],               // magic, flags
                &[2, 0],                      // samples
                &[1, 2, 3, 4],                // sequence
                &[5, 6, 7, 8, 9, 10, 11, 12], // time
                &[0xE0, 0x2E, 0, 0],          // rate
                &[0x2C, 1, 0, 0],             // dropped
                &[1, 0, 0xFE, 0xFF],          // samples
                &[0xC4, 0x75],                // CRC-16/CCITT-FALSE: Python's binascii.crc_hqx(bytes, 0xFFFF)
            ]
            .concat(),
        ),
        (
            end,
            [
                &[0xA5, 1][..],
                &[0, 0],
                &[9, 0, 0, 0],
                &[0x40, 0x42, 0x0F, 0, 0, 0, 0, 0],
                &[0xE0, 0x2E, 0, 0],
                &[0, 0, 0, 0],
                &[0x2A, 0x17], // CRC
            ]
            .concat(),
        ),
    ]
}

#[test]
fn frames_of_the_sensor() {
    for (block, golden) in sensor_frames() {
        let mut out = [0; sensor_wire::FRAME_BYTES_MAX];
        let len = block.encode(&mut out);
        assert_bytes(&"sensor frame", &out[..len], &golden);
        let mut decoder = Decoder::new();
        let (last, rest) = golden.split_last().unwrap();
        assert!(rest.iter().all(|byte| decoder.push(*byte).is_none()), "nothing before the last byte");
        assert!(decoder.push(*last) == Some(&block));
    }
    assert_eq!(sensor_wire::CREDIT, 1);
}

#[test]
fn the_head_of_a_sensor_event() {
    let header =
        BlockHeader { timestamp_us: 0x0807_0605_0403_0201, sequence: 9, rate_hz: 12_000, dropped: 300, count: 512 };
    let golden = [
        &[1, 2, 3, 4, 5, 6, 7, 8][..], // time
        &[9, 0, 0, 0],
        &[0xE0, 0x2E, 0, 0],
        &[0x2C, 1, 0, 0],
        &[0, 2, 0, 0],
    ]
    .concat();
    assert_bytes(&header, &header.to_bytes(), &golden);
    assert_eq!(BlockHeader::from_bytes(&golden), Some(header));
    assert_eq!(BlockHeader::from_bytes(&golden[..23]), None);
}

// ---- hostile bytes ---------------------------------------------------------------------------------------------------

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

/// What decodes can be encoded and decodes again to the same.
fn try_decode<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> bool {
    let Some(value) = coracle_wire::decode::<T>(bytes) else { return false };
    let mut out = [0; SPEC_BYTES_MAX];
    let again = coracle_wire::encode(&value, &mut out).unwrap();
    assert_eq!(coracle_wire::decode::<T>(again), Some(value));
    true
}

#[test]
fn hostile_bytes_are_refused_or_decoded_but_never_panic() {
    const ROUNDS: usize = 200_000;
    /// Set it to repeat a run.
    const SEED: &str = "CORACLE_SEED";
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    };
    println!("{SEED}={seed}");
    let mut random = Random(seed);
    let mut goldens: Vec<Vec<u8>> = Vec::new();
    goldens.extend(to_m().into_iter().map(|(_, golden)| golden));
    goldens.extend(from_m().into_iter().map(|(_, golden)| golden));
    goldens.extend(sensor_frames().into_iter().map(|(_, golden)| golden));
    goldens.push(spec().1);
    goldens.push(snapshot_golden().1);
    let mut decoder = Decoder::new();
    let mut decoded = 0;
    for _ in 0..ROUNDS {
        // Half of them nearly right: a golden with a few bytes changed, perhaps cut.
        let bytes: Vec<u8> = if random.below(2) == 0 {
            (0..random.below(FRAME_BYTES_MAX + 1)).map(|_| random.next() as u8).collect()
        } else {
            let mut bytes = goldens[random.below(goldens.len())].clone();
            for _ in 0..1 + random.below(3) {
                let at = random.below(bytes.len());
                bytes[at] = random.next() as u8;
            }
            bytes.truncate(bytes.len() - random.below(2));
            bytes
        };
        decoded += usize::from(try_decode::<ToM>(&bytes));
        decoded += usize::from(try_decode::<FromM>(&bytes));
        decoded += usize::from(try_decode::<Step<BulkRef>>(&bytes));
        decoded += usize::from(try_decode::<ContainerSpec>(&bytes));
        decoded += usize::from(Snapshot::decode(&bytes).is_ok());
        decoded += usize::from(read_record(&bytes).is_ok());
        decoded += usize::from(NameService::from_bytes(&bytes).is_some());
        decoded += usize::from(BlockHeader::from_bytes(&bytes).is_some());
        if let Some(header) = bytes.first_chunk() {
            let _ = Header::from_bytes(header);
        }
        for byte in &bytes {
            decoded += usize::from(decoder.push(*byte).is_some());
        }
    }
    assert!(decoded > ROUNDS / 100, "{decoded} of {ROUNDS}: nothing came near being right");
}
