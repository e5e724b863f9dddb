//! The supervisor with small guests, devices by hand and a scripted M.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

use coracle_api::{Reply, Request, What};
use coracle_bulk::{BulkReader, BulkWriter};
use coracle_container::{
    ContainerSpec, DeviceAnswer, DeviceCall, Grants, Limits, List, PinGrant, PinMode, SensorGrant, Text,
};
use coracle_engine::EngineHandle;
use coracle_guest_abi::{BlockHeader, CONFIG_ENTRIES_MAX, Errno, EventKind, Name};
use coracle_link::{BODY_BYTES_MAX, Credit, Event, FRAME_BYTES_MAX, Responder, VERSIONS};
use coracle_migrate::role::Step;
use coracle_migrate::snapshot::Snapshot;
use coracle_model::{Desired, Memories, Node, Output, Phase, Placement, Plan, Record};
use coracle_policy::{Core, MoveRules};
use coracle_prepare::{AdmissionLimits, prepare};
use coracle_shmem::HeapRegion;
use coracle_wire::{self as wire, FromM, RemoteSensor, ToM};

const AREA_BYTES: usize = 0x8000;
/// Most steps until everything is quiet.
const STEPS_MAX: u32 = 10_000;

static ENGINE: LazyLock<EngineHandle> = LazyLock::new(|| EngineHandle::new().unwrap());

struct Rig<'m> {
    memories: Memories<'m>,
    node: Node<'m>,
    m: Responder,
    from_a: BulkReader<'m>,
    to_a: BulkWriter<'m>,
    now_us: u64,
    /// What M was told, but for what every session begins with.
    told: Vec<ToM>,
    /// What the shell was asked of devices and has not answered.
    asked: VecDeque<(u32, DeviceCall)>,
    sensed: Vec<(String, bool)>,
    events: Vec<What>,
    replies: Vec<Reply>,
    stored: Vec<Vec<u8>>,
    /// M loses what A sends.
    deaf: bool,
    /// M has no room for containers that live on A.
    full: bool,
}

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

fn names<const N: usize>(list: &[&str]) -> List<Name, N> {
    list.iter().map(|n| name(n)).collect()
}

fn container(who: &str, text: &str, placement: Placement, grants: Grants) -> Plan {
    let limits = Limits { memory: 2048, ..Limits::default() };
    let prepared = prepare(&wat::parse_str(text).unwrap(), &AdmissionLimits { memory: 2048 }).unwrap();
    let portable = matches!(placement, Placement::Any { .. });
    let spec = ContainerSpec { name: name(who), image: prepared.digest, portable, seed: [1; 16], limits, grants };
    Plan { spec, placement, module: Arc::new(prepared.bytes), names: Arc::new(prepared.names) }
}

fn on_a(who: &str, text: &str, grants: Grants) -> Plan {
    container(who, text, Placement::Fixed(Core::A), grants)
}

fn desired(plans: Vec<Plan>) -> Desired {
    Desired { plans, ..Desired::default() }
}

/// Runs `test` with these containers placed and a session open.
fn with_rig(plans: Vec<Plan>, test: impl FnOnce(&mut Rig<'_>)) {
    let memory = HeapRegion::new(3 * AREA_BYTES);
    let region = memory.region();
    let piece = |n: usize| region.sub(n * AREA_BYTES, AREA_BYTES).unwrap();
    let memories = Memories { bulk_to_m: piece(0), bulk_to_a: piece(1), retained: piece(2) };
    let room = Credit::for_buffers(64);
    let mut rig = Rig {
        memories,
        node: Node::new(ENGINE.clone(), memories, 7, None, Vec::new(), room),
        m: Responder::new(1, VERSIONS, room),
        from_a: BulkReader::new(memories.bulk_to_m),
        to_a: BulkWriter::new(memories.bulk_to_a, 1),
        now_us: 1_000_000,
        told: Vec::new(),
        asked: VecDeque::new(),
        sensed: Vec::new(),
        events: Vec::new(),
        replies: Vec::new(),
        stored: Vec::new(),
        deaf: false,
        full: false,
    };
    rig.connect();
    rig.node.apply(1, desired(plans), rig.now_us);
    rig.settle();
    assert_eq!(rig.replies, [Reply::Ok]);
    test(&mut rig);
}

impl Rig<'_> {
    fn connect(&mut self) {
        self.node.channel_up(self.now_us);
        self.carry();
        self.say(&FromM::InventoryEnd);
        self.settle();
    }

    /// Carries out what the node says.
    fn carry(&mut self) {
        while let Some(output) = self.node.take_output() {
            match output {
                Output::Send(_) if self.deaf => {}
                Output::Send(frame) => {
                    let (event, answer) = self.m.receive(&frame, self.now_us);
                    let message = match event {
                        Event::Message { body, .. } => wire::decode::<ToM>(body),
                        _ => None,
                    };
                    if let Some(answer) = answer {
                        self.frame(&answer);
                    }
                    self.m.grant();
                    if let Some(credit) = self.m.credit_frame() {
                        self.frame(&credit);
                    }
                    match message {
                        Some(ToM::Deploy { token, live: false, .. }) if self.full => {
                            self.say(&FromM::DeployRefused { token, detail: "full".try_into().unwrap() });
                        }
                        Some(ToM::Deploy { token, .. }) => self.say(&FromM::Deployed { token }),
                        Some(
                            ToM::Begin
                            | ToM::Lockstep(_)
                            | ToM::KeepWakeRules { .. }
                            | ToM::Power(_)
                            | ToM::Remote { .. },
                        )
                        | None => {}
                        Some(message) => self.told.push(message),
                    }
                }
                Output::Device { token, call } => self.asked.push_back((token, call)),
                Output::Sense { sensor, on } => self.sensed.push((sensor.to_string(), on)),
                Output::Event(event) => self.events.push(event.what),
                Output::Reply(_, reply) => self.replies.push(reply),
                Output::Store { record, .. } => self.stored.push(record),
                Output::Forget { .. } | Output::StoreDesired(_) => {}
            }
        }
    }

    fn frame(&mut self, frame: &coracle_link::Frame<'_>) {
        let mut out = [0; FRAME_BYTES_MAX];
        self.node.frame(coracle_link::encode(frame, &mut out).unwrap(), self.now_us);
    }

    /// M says something.
    fn say(&mut self, message: &FromM) {
        let (mut body, mut out) = ([0; BODY_BYTES_MAX], [0; FRAME_BYTES_MAX]);
        let body = wire::encode(message, &mut body).unwrap();
        let frame = self.m.send(message.channel(), body, self.now_us, &mut out).unwrap().to_vec();
        self.node.frame(&frame, self.now_us);
    }

    /// Steps until there is nothing to do now.
    fn settle(&mut self) {
        for _ in 0..STEPS_MAX {
            self.node.step(self.now_us);
            self.carry();
            if !self.node.has_work() {
                return;
            }
        }
        panic!("the supervisor never rests");
    }

    /// Until A sleeps.
    fn rest(&mut self) {
        for _ in 0..10 {
            self.settle();
        }
        assert!(self.node.is_asleep(), "nothing is to be done");
    }

    fn pass(&mut self, us: u64) {
        self.now_us += us;
        self.settle();
    }

    fn answer(&mut self, answer: Result<DeviceAnswer, Errno>) -> DeviceCall {
        let (token, call) = self.asked.pop_front().expect("a device was asked");
        self.node.device_answer(token, answer, self.now_us);
        self.settle();
        call
    }

    fn logs(&self) -> Vec<&str> {
        self.events
            .iter()
            .filter_map(|e| match e {
                What::Log { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    fn events_of(&self, who: &str) -> u64 {
        self.node.report().containers[who].events
    }
}

/// At each message reads the pin and logs the result: `1`, or a letter for the errno.
const READER: &str = r#"(module
  (import "coracle:gpio@1" "open" (func $open (param i32 i32) (result i32)))
  (import "coracle:gpio@1" "read" (func $read (param i32) (result i32)))
  (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
  (memory 64 64 (pagesize 1))
  (data (i32.const 0) "button")
  (global $pin (mut i32) (i32.const 0))
  (func (export "init") (result i32)
    (global.set $pin (call $open (i32.const 0) (i32.const 6)))
    (global.get $pin))
  (func (export "on_event") (param i32 i32 i32) (result i32)
    (local $is i32)
    (local.set $is (call $read (global.get $pin)))
    (if (i32.lt_s (local.get $is) (i32.const 0))
      (then (local.set $is (i32.add (i32.const 17) (i32.rem_u (i32.sub (i32.const 0) (local.get $is)) (i32.const 25))))))
    (i32.store8 (i32.const 32) (i32.add (local.get $is) (i32.const 48)))
    (drop (call $log (i32.const 3) (i32.const 32) (i32.const 1)))
    (i32.const 0)))"#;

fn reader() -> Plan {
    let pin = PinGrant { label: name("button"), mode: PinMode::Input, exclusive: false };
    let grants = Grants { pins: [pin].into_iter().collect(), subscribe: names(&["go"]), ..Grants::default() };
    on_a("reader", READER, grants)
}

fn go(rig: &mut Rig<'_>, seq: u64) {
    let payload = heapless::Vec::from_slice(b"x").unwrap();
    rig.say(&FromM::Event { name: name("reader"), seq, source: 0, time_us: 5, payload });
    rig.settle();
}

fn letter(errno: Errno) -> String {
    format!("reader: {}", char::from(b'A' + errno as u8 % 25))
}

#[test]
fn a_device_of_this_core_is_used_and_one_that_is_not_here_is_asked_of_m() {
    with_rig(vec![reader()], |rig| {
        go(rig, 1);
        assert_eq!(rig.events_of("reader"), 0, "the event is not done while it waits");
        assert_eq!(rig.answer(Ok(DeviceAnswer::Level(true))), DeviceCall::PinRead { label: name("button") });
        assert_eq!(rig.logs(), ["reader: 1"]);
        assert_eq!(rig.told, [ToM::Ack { name: name("reader"), seq: 1 }]);
        rig.told.clear();
        go(rig, 2);
        rig.answer(Err(Errno::NoEntry));
        let [ToM::Device { token, call: wire::DeviceCall::PinRead { .. } }] = rig.told[..] else {
            panic!("{:?}", rig.told);
        };
        rig.say(&FromM::Device { token: token + 1, answer: Ok(wire::DeviceAnswer::Level(true)) });
        rig.settle();
        assert_eq!(rig.events_of("reader"), 1, "an answer to another question");
        rig.say(&FromM::Device { token, answer: Ok(wire::DeviceAnswer::Level(false)) });
        rig.say(&FromM::Device { token, answer: Ok(wire::DeviceAnswer::Level(true)) });
        rig.settle();
        assert_eq!(rig.logs(), ["reader: 1", "reader: 0"]);
        assert_eq!(rig.events_of("reader"), 2);
    });
}

#[test]
fn m_has_two_seconds_to_answer_for_a_device() {
    with_rig(vec![reader()], |rig| {
        go(rig, 1);
        rig.answer(Err(Errno::NoEntry));
        let wait = rig.node.wait_us().unwrap();
        assert!(wait <= 2_000_000);
        rig.pass(1_999_999);
        assert_eq!(rig.events_of("reader"), 0);
        rig.pass(1);
        assert_eq!(rig.logs(), [letter(Errno::TimedOut)]);
        let Some(ToM::Device { token, .. }) = rig.told.first().cloned() else { panic!("{:?}", rig.told) };
        rig.say(&FromM::Device { token, answer: Ok(wire::DeviceAnswer::Level(true)) });
        rig.settle();
        assert_eq!(rig.logs().len(), 1, "too late");
    });
}

#[test]
fn a_session_that_ends_ends_the_calls_to_m() {
    with_rig(vec![reader()], |rig| {
        go(rig, 1);
        rig.answer(Err(Errno::NoEntry));
        rig.node.channel_down("gone");
        rig.settle();
        assert_eq!(rig.logs(), [letter(Errno::NoDevice)]);
        // Without a session there is nobody to ask; the next event is in the queue of M.
        rig.connect();
        go(rig, 2);
        rig.node.channel_down("gone");
        rig.answer(Err(Errno::NoEntry));
        assert_eq!(rig.logs(), [letter(Errno::NoDevice), letter(Errno::NoDevice)]);
    });
}

#[test]
fn a_container_that_is_removed_while_it_waits_leaves_nothing_behind() {
    with_rig(vec![reader()], |rig| {
        go(rig, 1);
        let (old, _) = *rig.asked.front().unwrap();
        let mut other = reader();
        other.spec.limits.queue = 3;
        rig.node.apply(2, desired(vec![other]), rig.now_us);
        rig.settle();
        go(rig, 1);
        assert_eq!(rig.asked.len(), 2);
        rig.node.device_answer(old, Ok(DeviceAnswer::Level(true)), rig.now_us);
        rig.settle();
        assert_eq!(rig.events_of("reader"), 0, "that was the answer for the one that is gone");
        rig.asked.pop_front();
        rig.answer(Ok(DeviceAnswer::Level(false)));
        assert_eq!(rig.logs(), ["reader: 0"]);
    });
}

/// Watches the pin for the edges given and logs the level of each.
fn watcher(who: &str, edges: u8) -> Plan {
    let text = format!(
        r#"(module
  (import "coracle:gpio@1" "open" (func $open (param i32 i32) (result i32)))
  (import "coracle:gpio@1" "watch" (func $watch (param i32 i32 i32) (result i32)))
  (import "coracle:event@1" "current" (func $current (param i32) (result i32)))
  (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
  (memory 64 64 (pagesize 1))
  (data (i32.const 0) "button")
  (func (export "init") (result i32)
    (call $watch (call $open (i32.const 0) (i32.const 6)) (i32.const {edges}) (i32.const 9)))
  (func (export "on_event") (param $kind i32) (param $source i32) (param i32) (result i32)
    (if (i32.or (i32.ne (local.get $kind) (i32.const 6)) (i32.ne (local.get $source) (i32.const 8)))
      (then (return (i32.const -1))))
    (drop (call $current (i32.const 32)))
    (i32.store8 (i32.const 32) (i32.add (i32.load (i32.const 44)) (i32.const 48)))
    (drop (call $log (i32.const 3) (i32.const 32) (i32.const 1)))
    (i32.const 0)))"#
    );
    let pin = PinGrant { label: name("button"), mode: PinMode::Input, exclusive: false };
    on_a(who, &text, Grants { pins: [pin].into_iter().collect(), ..Grants::default() })
}

#[test]
fn each_watcher_of_a_pin_gets_its_edges_and_the_pin_has_those_of_all() {
    with_rig(vec![watcher("falls", 2), watcher("rises", 1)], |rig| {
        let watch = |edges| DeviceCall::PinWatch { label: name("button"), edges, debounce_us: 9 };
        assert_eq!(rig.answer(Ok(DeviceAnswer::Done)), watch(2));
        assert_eq!(rig.answer(Ok(DeviceAnswer::Done)), watch(3));
        for (at, high) in [true, false, true].into_iter().enumerate() {
            rig.node.pin_event("button", high, at as u64, rig.now_us);
            rig.node.pin_event("other", high, at as u64, rig.now_us);
            rig.settle();
        }
        assert_eq!(rig.logs(), ["rises: 1", "falls: 0", "rises: 1"]);
        // A new life of this supervisor watches them again.
        let records: Vec<Record> = rig.stored.iter().map(|b| Record::from_bytes(b).unwrap()).collect();
        let plans = desired(vec![watcher("falls", 2), watcher("rises", 1)]);
        let room = Credit::for_buffers(64);
        rig.node = Node::new(ENGINE.clone(), rig.memories, 8, Some(plans), records, room);
        rig.m = Responder::new(2, VERSIONS, room);
        rig.connect();
        assert_eq!(rig.asked.iter().map(|(_, call)| call.clone()).collect::<Vec<_>>(), [watch(2), watch(3)]);
    });
}

/// Takes blocks of a sensor; asks for 50 Hz at the second message and closes at the third.
const SENSING: &str = r#"(module
  (import "coracle:sensor@1" "open" (func $open (param i32 i32) (result i32)))
  (import "coracle:sensor@1" "close" (func $close (param i32) (result i32)))
  (import "coracle:sensor@1" "set_rate" (func $rate (param i32 i32) (result i32)))
  (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
  (memory 64 64 (pagesize 1))
  (data (i32.const 0) "temp0")
  (global $n (mut i32) (i32.const 0))
  (func (export "init") (result i32) (call $open (i32.const 0) (i32.const 5)))
  (func (export "on_event") (param $kind i32) (param $source i32) (param $len i32) (result i32)
    (if (i32.eq (local.get $kind) (i32.const 1)) (then
      (i32.store8 (i32.const 32) (i32.add (local.get $len) (i32.const 48)))
      (return (call $log (i32.const 3) (i32.const 32) (i32.const 1)))))
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (if (i32.eq (global.get $n) (i32.const 1)) (then (return (call $rate (i32.const 0) (i32.const 50)))))
    (call $close (i32.const 0))))"#;

#[test]
fn a_sensor_is_on_while_it_is_wanted_and_gives_the_rate_that_is_asked_for() {
    let grant = SensorGrant { name: name("temp0"), rate_hz: 0, exclusive: false };
    let grants = Grants { sensors: [grant].into_iter().collect(), subscribe: names(&["go"]), ..Grants::default() };
    with_rig(vec![on_a("reader", SENSING, grants)], |rig| {
        let wish = |rate_hz, off| ToM::Sensors {
            name: name("reader"),
            sensors: [RemoteSensor { name: name("temp0"), rate_hz, threshold: None, off }].into_iter().collect(),
        };
        // Wherever the sensor is.
        assert_eq!(rig.sensed, [("temp0".to_owned(), true)]);
        assert_eq!(rig.told, [wish(0, false)]);
        let block = |rig: &mut Rig<'_>| {
            let header = BlockHeader { timestamp_us: 1, sequence: 0, rate_hz: 100, dropped: 0, count: 8 };
            rig.node.sensor_block("temp0", &header, &[1; 8], rig.now_us);
            rig.node.sensor_block("other", &header, &[1; 8], rig.now_us);
            rig.settle();
        };
        block(rig);
        go(rig, 1);
        block(rig);
        assert_eq!(rig.logs(), ["reader: 8", "reader: 4"]);
        go(rig, 2);
        block(rig);
        assert_eq!(rig.logs().len(), 2, "it was closed");
        assert_eq!(rig.sensed[1..], [("temp0".to_owned(), false)]);
        rig.told.retain(|m| !matches!(m, ToM::Ack { .. }));
        assert_eq!(rig.told, [wish(0, false), wish(50, false), wish(50, true)]);
    });
}

#[test]
fn blocks_of_m_are_given_back_whatever_becomes_of_them() {
    let grant = SensorGrant { name: name("temp0"), rate_hz: 0, exclusive: false };
    let grants = Grants { sensors: [grant].into_iter().collect(), subscribe: names(&["go"]), ..Grants::default() };
    with_rig(vec![on_a("reader", SENSING, grants)], |rig| {
        rig.told.clear();
        let send = |rig: &mut Rig<'_>, who: &str, sensor, bytes: &[u8]| {
            let payload = rig.to_a.put(&[bytes]).unwrap();
            rig.say(&FromM::Block { name: name(who), sensor, time_us: 0, payload });
            rig.settle();
            assert_eq!(rig.told.pop(), Some(ToM::Free(payload)));
            rig.to_a.free(&payload);
        };
        send(rig, "reader", 0, &[0; 24 + 6]);
        assert_eq!(rig.logs(), ["reader: 3"]);
        send(rig, "nobody", 0, &[0; 24]);
        send(rig, "reader", 1, &[0; 24]);
        send(rig, "reader", 0, &[0; 23]);
        assert_eq!(rig.logs().len(), 1);
        send(rig, "reader", 0, &[0; 24 + 2 * 512 + 1]);
        assert!(rig.logs()[1].contains("refused"), "{:?}", rig.logs());
    });
}

/// Sets a timer of a second at its start, another one at every timer event, and logs their numbers.
const TIMED: &str = r#"(module
  (import "coracle:time@1" "set_timer" (func $timer (param i64 i64 i64) (result i32)))
  (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
  (memory 64 64 (pagesize 1))
  (func (export "init") (result i32)
    (drop (call $timer (i64.const 1000000) (i64.const 1000000) (i64.const 500000)))
    (call $timer (i64.const 3700000) (i64.const 0) (i64.const 0)))
  (func (export "on_event") (param $kind i32) (param $source i32) (param i32) (result i32)
    (i32.store8 (i32.const 32) (i32.add (local.get $source) (i32.const 48)))
    (drop (call $log (i32.const 3) (i32.const 32) (i32.const 1)))
    (i32.const 0)))"#;

/// Sets one timer, without slack.
const EXACT: &str = r#"(module
  (import "coracle:time@1" "set_timer" (func $timer (param i64 i64 i64) (result i32)))
  (func (export "init") (result i32) (call $timer (i64.const 1200000) (i64.const 0) (i64.const 0)))
  (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#;

#[test]
fn a_timer_is_one_event_however_late_and_wakes_a_when_it_is_due() {
    let plans = vec![on_a("timed", TIMED, Grants::default()), on_a("exact", EXACT, Grants::default())];
    with_rig(plans, |rig| {
        rig.rest();
        assert_eq!(rig.node.wait_us(), Some(1_200_000));
        rig.pass(1_200_000 - 1);
        assert_eq!((rig.logs().len(), rig.events_of("exact")), (0, 0));
        rig.pass(1);
        assert_eq!((rig.logs(), rig.events_of("exact")), (vec!["timed: 0"], 1), "two timers, one wake-up");
        rig.rest();
        // With its slack.
        assert_eq!(rig.node.wait_us(), Some(1_300_000));
        rig.pass(2_490_000);
        assert_eq!(rig.logs(), ["timed: 0", "timed: 0"], "what was missed is not made up for");
        rig.rest();
        assert_eq!(rig.node.wait_us(), Some(10_000));
        rig.pass(10_000);
        assert_eq!(rig.logs(), ["timed: 0", "timed: 0", "timed: 1"]);
        let waking = rig.events.iter().filter(|e| matches!(e, What::Power { awake: true, .. })).count();
        assert_eq!(waking, 3, "{:?}", rig.events);
    });
}

#[test]
fn an_idle_a_waits_for_the_doorbell_alone() {
    with_rig(vec![reader()], |rig| {
        rig.rest();
        assert_eq!(rig.node.wait_us(), None);
    });
}

/// Publishes four messages on `t` at every message.
const LOUD: &str = r#"(module
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (memory 64 64 (pagesize 1))
  (data (i32.const 0) "t")
  (func $one (drop (call $publish (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))))
  (func (export "on_event") (param i32 i32 i32) (result i32)
    (call $one) (call $one) (call $one) (call $one)
    (i32.const 0)))"#;

#[test]
fn messages_wait_for_m_within_bounds_and_what_is_lost_is_counted() {
    let grants = Grants { publish: names(&["t"]), subscribe: names(&["go"]), ..Grants::default() };
    let there = Placement::Fixed(Core::M);
    let ear =
        container("ear", LOUD, there, Grants { publish: names(&["x"]), subscribe: names(&["t"]), ..Grants::default() });
    with_rig(vec![on_a("reader", LOUD, grants), ear], |rig| {
        let numbers = |rig: &mut Rig<'_>| {
            let told = std::mem::take(&mut rig.told);
            told.iter()
                .filter_map(|m| match m {
                    ToM::Publish { epoch: 7, number, .. } => Some(*number),
                    _ => None,
                })
                .collect::<Vec<_>>()
        };
        go(rig, 1);
        assert_eq!(numbers(rig), [1, 2, 3, 4]);
        rig.say(&FromM::Taken { epoch: 6, number: 4 });
        rig.say(&FromM::Taken { epoch: 7, number: 2 });
        assert!(!rig.node.is_asleep(), "M has not taken all");
        rig.node.channel_down("gone");
        rig.connect();
        assert_eq!(numbers(rig), [3, 4]);
        for seq in 2..=20 {
            go(rig, seq);
        }
        assert_eq!(numbers(rig), (5..=66).collect::<Vec<_>>());
        assert_eq!(rig.node.report().link.messages_lost, 4 * 20 - 66);
        let lost = rig.logs().iter().filter(|l| l.contains("are lost")).count();
        assert_eq!(lost, 1, "{:?}", rig.logs());
        rig.say(&FromM::Taken { epoch: 7, number: 66 });
        rig.settle();
        assert!(rig.node.is_asleep());
    });
}

#[test]
fn m_learns_the_time_once_the_clocks_were_compared_and_when_it_changes() {
    with_rig(vec![reader()], |rig| {
        assert!(!rig.told.iter().any(|m| matches!(m, ToM::WallClock { .. })));
        rig.node.set_wall_clock(1_700_000_000_000_000);
        rig.settle();
        // The rig's clocks are one.
        let [ToM::WallClock { offset_us }] = rig.told[..] else { panic!("{:?}", rig.told) };
        assert!(offset_us.abs_diff(1_700_000_000_000_000) < 1000);
        rig.node.set_wall_clock(1_700_000_000_000_009);
        rig.pass(10);
        assert_eq!(rig.told.len(), 1, "not for every microsecond");
        rig.node.set_wall_clock(1_600_000_000_000_000);
        rig.settle();
        assert_eq!(rig.told.len(), 2);
    });
}

#[test]
fn a_configuration_that_changes_again_before_m_has_it_is_sent_again() {
    let place = Placement::Any { prefer: Core::M, moves: MoveRules::new() };
    let plans = |value: &str| {
        let config: List<(Name, Text), CONFIG_ENTRIES_MAX> = [(name("k"), value.to_owned())].into_iter().collect();
        let grants = Grants { config, publish: names(&["t"]), ..Grants::default() };
        desired(vec![container("loud", LOUD, place.clone(), grants)])
    };
    with_rig(plans("a").plans, |rig| {
        rig.told.clear();
        let value = |rig: &mut Rig<'_>| {
            let Some(ToM::Configure { config, .. }) = rig.told.pop() else { panic!("{:?}", rig.told) };
            let mut bytes = vec![0; rig.from_a.check(&config, 4096).unwrap()];
            rig.from_a.get(&config, &mut bytes).unwrap();
            let config: List<(Name, Text), CONFIG_ENTRIES_MAX> = wire::decode(&bytes).unwrap();
            config[0].1.clone()
        };
        rig.node.apply(2, plans("b"), rig.now_us);
        rig.settle();
        assert_eq!(value(rig), "b");
        rig.node.apply(3, plans("c"), rig.now_us);
        rig.node.apply(4, plans("d"), rig.now_us);
        rig.settle();
        assert_eq!(rig.told, [], "one at a time");
        rig.say(&FromM::Configured { name: name("loud") });
        rig.settle();
        assert_eq!(value(rig), "d");
        // The session ends before M says that it has it.
        rig.node.channel_down("gone");
        rig.node.channel_up(rig.now_us);
        rig.carry();
        let image = plans("d").plans[0].spec.image;
        let state = coracle_lifecycle::State::Running;
        rig.say(&FromM::Holds { name: name("loud"), image, state, in_doubt: None, committed: None });
        rig.say(&FromM::InventoryEnd);
        rig.settle();
        assert_eq!(value(rig), "d");
        rig.say(&FromM::Configured { name: name("loud") });
        rig.node.request(9, Request::Report, rig.now_us);
        rig.settle();
        assert!(!rig.told.iter().any(|m| matches!(m, ToM::Remove { .. } | ToM::Configure { .. })), "{:?}", rig.told);
    });
}

/// Asks on `ask` at its start, for five seconds. Logs a letter for the kind of each event, a small one for an error's.
const ASKER: &str = r#"(module
  (import "coracle:msg@1" "request" (func $request (param i32 i32 i32 i32 i64) (result i32)))
  (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
  (memory 64 64 (pagesize 1))
  (data (i32.const 0) "ask")
  (func (export "init") (result i32)
    (drop (call $request (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 1) (i64.const 5000000)))
    (i32.const 0))
  (func (export "on_event") (param $kind i32) (param $source i32) (param i32) (result i32)
    (i32.store8 (i32.const 32) (i32.add (i32.const 65)
      (i32.add (local.get $kind) (i32.shl (i32.ne (local.get $source) (i32.const 0)) (i32.const 5)))))
    (drop (call $log (i32.const 3) (i32.const 32) (i32.const 1)))
    (i32.const 0)))"#;
const CONFIG: &str = "reader: F";
const REPLY: &str = "reader: I";
const NO_REPLY: &str = "reader: i";

/// With somebody on M who answers it.
fn asker(value: &str) -> Vec<Plan> {
    let config: List<(Name, Text), CONFIG_ENTRIES_MAX> = [(name("k"), value.to_owned())].into_iter().collect();
    let grants = Grants { config, publish: names(&["ask"]), ..Grants::default() };
    let ear = Grants { publish: names(&["t"]), subscribe: names(&["ask"]), ..Grants::default() };
    vec![on_a("reader", ASKER, grants), container("ear", LOUD, Placement::Fixed(Core::M), ear)]
}

/// M takes the request, whose number this is.
fn take_request(rig: &mut Rig<'_>) -> u32 {
    let Some(ToM::Publish { epoch, number, request: Some(id), .. }) = rig.told.pop() else { panic!("{:?}", rig.told) };
    rig.say(&FromM::Taken { epoch, number });
    id
}

fn reply(to: &str, id: u32) -> FromM {
    FromM::Reply { to: name(to), id, payload: heapless::Vec::from_slice(b"yes").unwrap() }
}

#[test]
fn a_request_ends_when_its_answer_is_handed_over_and_not_when_it_is_queued() {
    with_rig(asker("a"), |rig| {
        let id = take_request(rig);
        rig.say(&reply("reader", id));
        rig.say(&reply("reader", id));
        // Something makes it be stored before it can take the answer.
        rig.node.apply(2, desired(asker("b")), rig.now_us);
        rig.carry();
        let record = Record::from_bytes(rig.stored.last().unwrap()).unwrap();
        let head = Snapshot::decode(&record.snapshot).unwrap().head().clone();
        assert_eq!((head.events, head.host.requests.iter().flatten().count()), (2, 1));
        rig.settle();
        rig.pass(6_000_000);
        assert_eq!(rig.logs(), [REPLY, CONFIG], "once, and not without an answer");
        rig.say(&reply("reader", id));
        rig.settle();
        assert_eq!(rig.logs().len(), 2);
        // A later life goes on with what was stored.
        let room = Credit::for_buffers(64);
        rig.node = Node::new(ENGINE.clone(), rig.memories, 8, Some(desired(asker("b"))), vec![record], room);
        rig.m = Responder::new(2, VERSIONS, room);
        rig.connect();
        rig.pass(6_000_000);
        assert_eq!(rig.logs(), [REPLY, CONFIG, REPLY, CONFIG]);
    });
}

#[test]
fn an_answer_of_the_stream_that_nobody_waits_for_is_acknowledged_and_not_handed_over() {
    with_rig(asker("a"), |rig| {
        let id = take_request(rig);
        let answer = |rig: &mut Rig<'_>, seq, tag| {
            let (name, payload) = (name("reader"), heapless::Vec::new());
            rig.say(&FromM::Delivery { name, seq, kind: EventKind::Reply as u8, source: 0, tag, time_us: 0, payload });
            rig.settle();
            assert_eq!(rig.told.pop(), Some(ToM::Ack { name: "reader".try_into().unwrap(), seq }));
        };
        answer(rig, 1, id + 1);
        assert_eq!(rig.logs(), [""; 0]);
        answer(rig, 2, id);
        answer(rig, 3, id);
        assert_eq!(rig.logs(), [REPLY]);
    });
}

#[test]
fn an_answer_for_a_container_that_is_on_m_goes_there() {
    let place = Placement::Any { prefer: Core::M, moves: MoveRules::new() };
    let plan = container("mover", LOUD, place, Grants { publish: names(&["t"]), ..Grants::default() });
    with_rig(vec![plan], |rig| {
        rig.told.clear();
        rig.say(&reply("mover", 5));
        rig.say(&reply("nobody", 5));
        let payload = heapless::Vec::from_slice(b"yes").unwrap();
        rig.carry();
        assert_eq!(rig.told, [ToM::Reply { to: name("mover"), id: 5, payload }]);
    });
}

#[test]
fn a_stays_awake_until_a_request_has_its_end() {
    with_rig(asker("a"), |rig| {
        take_request(rig);
        for _ in 0..10 {
            rig.settle();
        }
        assert!(!rig.node.is_asleep());
        rig.pass(4_999_999);
        assert_eq!(rig.logs(), [""; 0]);
        rig.pass(1);
        assert_eq!(rig.logs(), [NO_REPLY]);
        rig.rest();
    });
}

#[test]
fn the_time_of_a_container_that_comes_here_is_right_before_it_runs() {
    const DAYS_US: u64 = 3 * 24 * 3_600_000_000;
    let place = Placement::Any { prefer: Core::A, moves: MoveRules::new() };
    let plans = || vec![container("timed", TIMED, place.clone(), Grants::default())];
    for moves in [false, true] {
        with_rig(plans(), |rig| {
            rig.pass(DAYS_US);
            assert_eq!(rig.logs(), ["timed: 0", "timed: 1"]);
            let record = Record::from_bytes(rig.stored.last().unwrap()).unwrap();
            // This core's clock starts anew. The container is here, or on M and moves.
            rig.now_us = 0;
            let room = Credit::for_buffers(64);
            let records = if moves { Vec::new() } else { vec![record.clone()] };
            rig.node = Node::new(ENGINE.clone(), rig.memories, 8, Some(desired(plans())), records, room);
            rig.m = Responder::new(2, VERSIONS, room);
            if moves {
                rig.node.channel_up(rig.now_us);
                rig.carry();
                let (name, image) = (name("timed"), plans()[0].spec.image);
                let state = coracle_lifecycle::State::Running;
                rig.say(&FromM::Holds { name: name.clone(), image, state, in_doubt: None, committed: None });
                rig.say(&FromM::InventoryEnd);
                rig.settle();
                rig.node.request(9, Request::Move { container: "timed".into(), to: coracle_api::Core::A }, rig.now_us);
                rig.carry();
                let Some(ToM::MoveOut { id, .. }) = rig.told.pop() else { panic!("{:?}", rig.told) };
                let bulk = rig.to_a.put(&[&record.snapshot]).unwrap();
                for step in [Step::Offer { image, memory: 2048 }, Step::State { bulk }, Step::Commit] {
                    rig.say(&FromM::Migrate { id, name: name.clone(), step });
                }
                rig.carry();
                rig.say(&FromM::Configured { name: name.clone() });
                assert_eq!(rig.node.live().collect::<Vec<_>>(), [&name]);
            } else {
                rig.connect();
            }
            rig.rest();
            let wait_us = rig.node.wait_us().unwrap();
            assert!((1..=1_500_000).contains(&wait_us), "{wait_us}");
            rig.pass(wait_us);
            assert_eq!(rig.logs().len(), 3);
        });
    }
}

/// A movable one on A that hears what [`LOUD`] says.
fn publisher_and_mover() -> Vec<Plan> {
    let grants = Grants { publish: names(&["t"]), subscribe: names(&["go"]), ..Grants::default() };
    let place = Placement::Any { prefer: Core::A, moves: MoveRules::new() };
    let ear = Grants { publish: names(&["x"]), subscribe: names(&["t"]), ..Grants::default() };
    vec![on_a("reader", LOUD, grants), container("ear", TIMED, place, ear)]
}

#[test]
fn a_movable_container_that_m_has_no_room_for_gets_what_is_published_here() {
    with_rig(Vec::new(), |rig| {
        let publishes = |rig: &Rig<'_>| rig.told.iter().filter(|m| matches!(m, ToM::Publish { .. })).count();
        rig.full = true;
        rig.node.apply(2, desired(publisher_and_mover()), rig.now_us);
        rig.settle();
        go(rig, 1);
        assert_eq!((rig.events_of("ear"), publishes(rig)), (4, 0));
        // A new life hears of it in the inventory: M knows it by name.
        let record = |rig: &Rig<'_>, who: &str| {
            let records = rig.stored.iter().map(|b| Record::from_bytes(b).unwrap());
            records.rev().find(|r| r.name == who).unwrap()
        };
        let records = vec![record(rig, "ear"), record(rig, "reader")];
        let room = Credit::for_buffers(64);
        rig.node = Node::new(ENGINE.clone(), rig.memories, 8, Some(desired(publisher_and_mover())), records, room);
        rig.m = Responder::new(2, VERSIONS, room);
        rig.node.channel_up(rig.now_us);
        rig.carry();
        let state = coracle_lifecycle::State::Gone;
        rig.say(&FromM::Holds { name: name("ear"), image: [0; 32], state, in_doubt: None, committed: None });
        rig.say(&FromM::InventoryEnd);
        rig.settle();
        go(rig, 2);
        assert_eq!((rig.events_of("ear"), publishes(rig)), (8, 0));
        // An M that was reset has room.
        rig.full = false;
        rig.node.channel_down("gone");
        rig.m = Responder::new(3, VERSIONS, room);
        rig.connect();
        go(rig, 3);
        assert_eq!((rig.events_of("ear"), publishes(rig)), (8, 4));
    });
}

#[test]
fn a_configuration_does_not_undo_the_commit_of_a_move() {
    let place = Placement::Any { prefer: Core::A, moves: MoveRules::new() };
    let plans = |value: &str| {
        let config: List<(Name, Text), CONFIG_ENTRIES_MAX> = [(name("k"), value.to_owned())].into_iter().collect();
        let grants = Grants { config, publish: names(&["t"]), ..Grants::default() };
        desired(vec![container("mover", LOUD, place.clone(), grants)])
    };
    with_rig(plans("a").plans, |rig| {
        rig.node.request(9, Request::Move { container: "mover".into(), to: coracle_api::Core::M }, rig.now_us);
        rig.settle();
        let Some(ToM::Migrate { id, .. }) = rig.told.last().cloned() else { panic!("{:?}", rig.told) };
        for step in [Step::Accept, Step::Ready] {
            rig.say(&FromM::Migrate { id, name: name("mover"), step });
            rig.settle();
        }
        assert_eq!(rig.told.last(), Some(&ToM::Migrate { id, name: name("mover"), step: Step::Commit }));
        rig.node.apply(2, plans("b"), rig.now_us);
        rig.settle();
        let record = Record::from_bytes(rig.stored.last().unwrap()).unwrap();
        assert_eq!(record.phase, Phase::MovedOut(id));
        assert!(matches!(rig.told.last(), Some(ToM::Configure { .. })), "M's copy is told: {:?}", rig.told);
    });
}

/// Sets timers of a second, asks for three seconds, and then sleeps ten.
fn sleeper(timers: u8) -> Plan {
    let set = "(drop (call $timer (i64.const 1000000) (i64.const 1000000) (i64.const 0)))".repeat(timers.into());
    let text = format!(
        r#"(module
  (import "coracle:time@1" "set_timer" (func $timer (param i64 i64 i64) (result i32)))
  (import "coracle:time@1" "sleep" (func $sleep (param i64) (result i32)))
  (import "coracle:msg@1" "request" (func $request (param i32 i32 i32 i32 i64) (result i32)))
  (memory 64 64 (pagesize 1))
  (data (i32.const 0) "ask")
  (func (export "_start")
    {set}
    (drop (call $request (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 1) (i64.const 3000000)))
    (drop (call $sleep (i64.const 10000000)))))"#
    );
    let mut plan = on_a("sleeper", &text, Grants { publish: names(&["ask"]), ..Grants::default() });
    plan.spec.limits.timers = timers;
    plan
}

#[test]
fn a_timer_whose_event_still_waits_does_not_wake_a_again() {
    for timers in [1, 8] {
        with_rig(vec![sleeper(timers)], |rig| {
            rig.pass(1_000_000);
            assert!(!rig.node.is_asleep(), "its request has no end yet");
            for _ in 0..4 {
                rig.pass(500_000);
            }
            rig.rest();
            assert_eq!(rig.node.wait_us(), Some(7_000_000), "{timers} timers");
            rig.pass(7_000_000);
            let ended = |e: &What| matches!(e, What::Exited { .. });
            assert!(rig.events.iter().any(ended), "{:?}", rig.events);
        });
    }
}

#[test]
fn nothing_is_stored_in_the_middle_of_an_event() {
    with_rig(vec![reader()], |rig| {
        go(rig, 1);
        let stored = rig.stored.len();
        let mut plan = reader();
        plan.spec.grants.config = [(name("k"), "v".to_owned())].into_iter().collect();
        rig.node.apply(2, desired(vec![plan]), rig.now_us);
        rig.settle();
        // Nor for an event on a topic that it does not have.
        let payload = heapless::Vec::new();
        rig.told.clear();
        rig.say(&FromM::Event { name: name("reader"), seq: 2, source: 1, time_us: 5, payload });
        rig.settle();
        assert_eq!((rig.stored.len(), &rig.told[..]), (stored, &[][..]), "its memory would be missing");
        rig.answer(Ok(DeviceAnswer::Level(true)));
        let record = Record::from_bytes(rig.stored.get(stored).unwrap()).unwrap();
        let head = Snapshot::decode(&record.snapshot).unwrap().head().clone();
        assert!(head.memory_len > 0 && head.host.initialised);
        assert_eq!((head.host.cursor, head.events), (2, 1));
        assert_eq!(rig.told.last(), Some(&ToM::Ack { name: name("reader"), seq: 2 }));
    });
}
