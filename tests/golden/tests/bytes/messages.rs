//! The messages between the supervisors, what is inside them, and that the largest of each fits a frame.

use coracle_bulk::BulkRef;
use coracle_guest_abi::{Errno, GRANTS_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, Name, SensorInfo};
use coracle_lifecycle::{ExitReason, Place, State, TrapKind};
use coracle_link::BODY_BYTES_MAX;
use coracle_migrate::role::{RefuseReason, Step};
use coracle_policy::WakeRule;
use coracle_wire::{DETAIL_BYTES_MAX, DeviceAnswer, DeviceCall, EVENT_BYTES_MAX, FromM, Power, RemoteSensor, ToM};
use serde::Serialize;

use crate::tools::{BULK, BULK_BYTES, IMAGE, Variants, name, pin};

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
        ToM::Publish { .. },
        ToM::Retain { .. },
        ToM::Reply { .. },
        ToM::Configure { .. },
        ToM::Device { .. },
        ToM::Sensors { .. },
        ToM::WallClock { .. },
        ToM::Free(_),
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
        FromM::Delivery { .. },
        FromM::Block { .. },
        FromM::Taken { .. },
        FromM::Retain { .. },
        FromM::Reply { .. },
        FromM::Device { .. },
        FromM::Configured { .. },
        FromM::Refused { .. },
        FromM::MoreStats { .. },
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
        ExitReason::Exited(_),
        ExitReason::Trapped(..),
        ExitReason::Watchdog,
        ExitReason::LinkLost,
    ]
);

variants!(
    trap_name,
    TRAP,
    TrapKind,
    [
        TrapKind::Unreachable,
        TrapKind::MemoryOutOfBounds,
        TrapKind::TableOutOfBounds,
        TrapKind::IndirectCallToNull,
        TrapKind::BadSignature,
        TrapKind::DivisionByZero,
        TrapKind::IntegerOverflow,
        TrapKind::BadConversion,
    ]
);

variants!(
    device_call_name,
    DEVICE_CALL,
    DeviceCall,
    [
        DeviceCall::PinRead { .. },
        DeviceCall::PinWrite { .. },
        DeviceCall::I2c { .. },
        DeviceCall::Spi { .. },
        DeviceCall::SensorInfo { .. },
    ]
);

variants!(
    device_answer_name,
    DEVICE_ANSWER,
    DeviceAnswer,
    [DeviceAnswer::Done, DeviceAnswer::Level(_), DeviceAnswer::Bytes(_), DeviceAnswer::Info(_)]
);

variants!(
    errno_name,
    ERRNO,
    Errno,
    [
        Errno::NoEntry,
        Errno::Io,
        Errno::NoDevice,
        Errno::BadHandle,
        Errno::Again,
        Errno::Denied,
        Errno::Fault,
        Errno::Busy,
        Errno::Invalid,
        Errno::NoSpace,
        Errno::NotHere,
        Errno::TooLarge,
        Errno::TimedOut,
        Errno::RemoteIo,
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

pub(crate) fn to_m() -> Vec<(ToM, Vec<u8>)> {
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
    add(
        ToM::Publish {
            epoch: 300,
            number: 65_538,
            topic: name("vib"),
            time_us: 1_000_000,
            request: None,
            payload: [7, 8, 9].into_iter().collect(),
        },
        &[
            &[12],
            &[0xAC, 0x02],       // epoch
            &[0x82, 0x80, 0x04], // number
            b"\x03vib",
            &[0xC0, 0x84, 0x3D], // time
            &[0],                // no request
            &[3, 7, 8, 9],       // payload
        ],
    );
    add(
        ToM::Publish {
            epoch: 1,
            number: 2,
            topic: name("vib"),
            time_us: 0,
            request: Some(300),
            payload: coracle_container::request_payload("x", b"ab").into_iter().collect(),
        },
        &[
            &[12, 1, 2],
            b"\x03vib",
            &[0],             // time unknown
            &[1, 0xAC, 0x02], // request
            b"\x04\x01xab",   // payload: length and name of who asks, body
        ],
    );
    add(ToM::Retain { topic: name("vib"), payload: [7, 8].into_iter().collect() }, &[&[13], b"\x03vib", &[2, 7, 8]]);
    add(
        ToM::Reply { to: name("tracker"), id: 300, payload: [7].into_iter().collect() },
        &[&[14], b"\x07tracker", &[0xAC, 0x02], &[1, 7]],
    );
    add(ToM::Configure { name: name("tracker"), config: BULK }, &[&[15], b"\x07tracker", BULK_BYTES]);
    add(
        ToM::Device { token: 65_538, call: DeviceCall::PinWrite { label: name("led"), high: true } },
        &[
            &[16],
            &[0x82, 0x80, 0x04], // token
            &[1],                // which call
            b"\x03led",
            &[1], // high
        ],
    );
    add(
        ToM::Sensors {
            name: name("tracker"),
            sensors: [
                RemoteSensor { name: name("accel0"), rate_hz: 300, threshold: Some((-3, 300)), off: false },
                RemoteSensor { name: name("t"), rate_hz: 0, threshold: None, off: true },
            ]
            .into_iter()
            .collect(),
        },
        &[
            &[17],
            b"\x07tracker",
            &[2],
            b"\x06accel0",
            &[0xAC, 0x02],       // rate
            &[1, 5, 0xD8, 0x04], // threshold: zigzag of -3 and of 300
            &[0],                // not off
            b"\x01t",
            &[0, 0, 1], // rate, no threshold, off
        ],
    );
    add(ToM::WallClock { offset_us: -3 }, &[&[18, 5]]);
    add(ToM::WallClock { offset_us: i64::MAX }, &[&[18], &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]]);
    add(ToM::Free(BULK), &[&[19], BULK_BYTES]);
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

pub(crate) fn from_m() -> Vec<(FromM, Vec<u8>)> {
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
    add(
        FromM::Delivery {
            name: name("tracker"),
            seq: 300,
            kind: 7,
            source: 200,
            tag: 65_538,
            time_us: 1_000_000,
            payload: [7, 8, 9].into_iter().collect(),
        },
        &[
            &[12],
            b"\x07tracker",
            &[0xAC, 0x02],       // seq
            &[7, 200],           // kind, source: one byte each
            &[0x82, 0x80, 0x04], // tag
            &[0xC0, 0x84, 0x3D], // time
            &[3, 7, 8, 9],       // payload
        ],
    );
    add(
        FromM::Block { name: name("tracker"), sensor: 200, time_us: 1_000_000, payload: BULK },
        &[
            &[13],
            b"\x07tracker",
            &[200],              // sensor
            &[0xC0, 0x84, 0x3D], // time
            BULK_BYTES,
        ],
    );
    add(FromM::Taken { epoch: 300, number: 65_538 }, &[&[14, 0xAC, 0x02], &[0x82, 0x80, 0x04]]);
    add(FromM::Retain { topic: name("vib"), payload: [7, 8].into_iter().collect() }, &[&[15], b"\x03vib", &[2, 7, 8]]);
    add(
        FromM::Reply { to: name("tracker"), id: 300, payload: [7].into_iter().collect() },
        &[&[16], b"\x07tracker", &[0xAC, 0x02], &[1, 7]],
    );
    add(
        FromM::Device { token: 300, answer: Ok(DeviceAnswer::Level(true)) },
        &[
            &[17],
            &[0xAC, 0x02], // token
            &[0],          // it is done
            &[1, 1],       // which answer, high
        ],
    );
    add(
        FromM::Device { token: 300, answer: Err(Errno::NoDevice) },
        &[
            &[17],
            &[0xAC, 0x02],
            &[1], // it is refused
            &[2], // why
        ],
    );
    add(FromM::Configured { name: name("tracker") }, &[&[18], b"\x07tracker"]);
    add(FromM::Refused { name: name("tracker"), call: 200 }, &[&[19], b"\x07tracker", &[200]]);
    add(
        FromM::MoreStats { name: name("tracker"), logs_dropped: 300, overhead: 65_538 },
        &[
            &[20],
            b"\x07tracker",
            &[0xAC, 0x02],       // lines dropped
            &[0x82, 0x80, 0x04], // overhead
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
        ExitReason::Exited(-3),
        ExitReason::Trapped(TrapKind::BadConversion, None),
        ExitReason::Watchdog,
        ExitReason::LinkLost,
    ];
    for (number, reason) in (0..).zip(list) {
        let code: &[u8] = match number {
            0 => &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F],
            8 => &[5],
            9 => &[7, 0],
            _ => &[],
        };
        pin(&reason, &[&[number], code]);
        assert_eq!(exits.see(exit_name(&reason)), number);
    }
    exits.all_pinned();
    let place = Some(Place { function: 300, offset: 65_538 });
    pin(&ExitReason::Trapped(TrapKind::Unreachable, place), &[&[9, 0, 1], &[0xAC, 0x02], &[0x82, 0x80, 0x04]]);

    let mut traps = Variants::new(TRAP);
    for (number, kind) in (0..).zip(TrapKind::ALL) {
        pin(&kind, &[&[number]]);
        assert_eq!(traps.see(trap_name(&kind)), number);
    }
    traps.all_pinned();

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
}

#[test]
fn calls_of_a_device_of_the_other_core() {
    let mut calls = Variants::new(DEVICE_CALL);
    let bytes = || [7, 8].into_iter().collect();
    let list: [(DeviceCall, &[&[u8]]); 6] = [
        (DeviceCall::PinRead { label: name("led") }, &[&[0], b"\x03led"]),
        (DeviceCall::PinWrite { label: name("led"), high: false }, &[&[1], b"\x03led", &[0]]),
        (
            DeviceCall::I2c { bus: name("i2c1"), address: 0x48, write: bytes(), read: 300 },
            &[
                &[2],
                b"\x04i2c1",
                &[0x48],       // address
                &[2, 7, 8],    // written
                &[0xAC, 0x02], // how many are read
            ],
        ),
        (
            DeviceCall::Spi { device: name("adc"), write: bytes(), read: 300 },
            &[&[3], b"\x03adc", &[2, 7, 8], &[0xAC, 0x02]],
        ),
        (DeviceCall::SensorInfo { name: name("accel0") }, &[&[4], b"\x06accel0"]),
        (DeviceCall::SensorInfo { name: name("") }, &[&[4, 0]]),
    ];
    for (call, golden) in list {
        assert_eq!(pin(&call, golden)[0], calls.see(device_call_name(&call)));
    }
    calls.all_pinned();

    let mut answers = Variants::new(DEVICE_ANSWER);
    let info = SensorInfo { rate_hz: 300, rate_max_hz: 301, block: 512, scale_nano: 1_000_000, unit: 1 };
    let list: [(DeviceAnswer, &[&[u8]]); 4] = [
        (DeviceAnswer::Done, &[&[0]]),
        (DeviceAnswer::Level(false), &[&[1, 0]]),
        (DeviceAnswer::Bytes(bytes()), &[&[2, 2, 7, 8]]),
        (
            DeviceAnswer::Info(info),
            &[
                &[3],
                &[0xAC, 0x02],       // rate
                &[0xAD, 0x02],       // highest rate
                &[0x80, 0x04],       // block
                &[0xC0, 0x84, 0x3D], // scale
                &[1],                // unit
            ],
        ),
    ];
    for (answer, golden) in list {
        assert_eq!(pin(&answer, golden)[0], answers.see(device_answer_name(&answer)));
    }
    answers.all_pinned();

    let mut errors = Variants::new(ERRNO);
    for (number, error) in (0..).zip(Errno::ALL) {
        pin(&error, &[&[number]]);
        assert_eq!(errors.see(errno_name(&error)), number);
    }
    errors.all_pinned();
}

pub(crate) const LONG: &str = "0123456789012345678901234567890";
const BULK_MAX: BulkRef = BulkRef { offset: u32::MAX, len: u32::MAX, generation: u32::MAX };

/// The largest step: an offer carries a digest.
const STEP_MAX: Step<BulkRef> = Step::Offer { image: [255; 32], memory: u32::MAX };

/// The largest reason to end.
const REASON_MAX: ExitReason =
    ExitReason::Trapped(TrapKind::BadConversion, Some(Place { function: u32::MAX, offset: u32::MAX }));

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
        ToM::Publish {
            epoch: u32::MAX,
            number: u32::MAX,
            topic: long.clone(),
            time_us: u64::MAX,
            request: Some(u32::MAX),
            payload: [255; EVENT_BYTES_MAX].into_iter().collect(),
        },
        ToM::Retain { topic: long.clone(), payload: longest() },
        ToM::Reply { to: long.clone(), id: u32::MAX, payload: longest() },
        ToM::Configure { name: long.clone(), config: BULK_MAX },
        ToM::Device {
            token: u32::MAX,
            call: DeviceCall::I2c { bus: long.clone(), address: u8::MAX, write: longest(), read: u16::MAX },
        },
        ToM::Sensors {
            name: long.clone(),
            sensors: (0..GRANTS_MAX)
                .map(|_| RemoteSensor {
                    name: long.clone(),
                    rate_hz: u32::MAX,
                    threshold: Some((i32::MIN, i32::MIN)),
                    off: true,
                })
                .collect(),
        },
        ToM::WallClock { offset_us: i64::MIN },
        ToM::Free(BULK_MAX),
    ]
}

fn largest_from_m() -> Vec<FromM> {
    let long = name(LONG);
    let state = State::Exited(REASON_MAX);
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
        FromM::Exited { name: long.clone(), reason: REASON_MAX },
        FromM::MoveRefused { id: u32::MAX, name: long.clone(), reason: RefuseReason::TooLarge },
        FromM::Migrate { id: u32::MAX, name: long.clone(), step: STEP_MAX },
        FromM::ContainerStats {
            name: long.clone(),
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
        FromM::Delivery {
            name: long.clone(),
            seq: u64::MAX,
            kind: u8::MAX,
            source: u8::MAX,
            tag: u32::MAX,
            time_us: u64::MAX,
            payload: [255; EVENT_BYTES_MAX].into_iter().collect(),
        },
        FromM::Block { name: long.clone(), sensor: u8::MAX, time_us: u64::MAX, payload: BULK_MAX },
        FromM::Taken { epoch: u32::MAX, number: u32::MAX },
        FromM::Retain { topic: long.clone(), payload: longest() },
        FromM::Reply { to: long.clone(), id: u32::MAX, payload: longest() },
        FromM::Device { token: u32::MAX, answer: Ok(DeviceAnswer::Bytes(longest())) },
        FromM::Configured { name: long.clone() },
        FromM::Refused { name: long.clone(), call: u8::MAX },
        FromM::MoreStats { name: long, logs_dropped: u32::MAX, overhead: u32::MAX },
    ]
}

/// The largest payload of a message.
fn longest() -> heapless::Vec<u8, MESSAGE_BYTES_MAX> {
    [255; MESSAGE_BYTES_MAX].into_iter().collect()
}

/// A list with as many names as it may have.
fn full<const N: usize>(name: &Name) -> heapless::Vec<Name, N> {
    (0..N).map(|_| name.clone()).collect()
}

fn encoded_len(value: &impl Serialize) -> usize {
    let mut out = [0; 2 * BODY_BYTES_MAX];
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
}
