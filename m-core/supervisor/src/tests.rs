//! The supervisor with small guests, simulated devices and a scripted A.

extern crate std;

use std::string::ToString as _;
use std::vec;
use std::vec::Vec;

use coracle_board_api::Budget;
use coracle_board_api::sensor_wire::Block;
use coracle_bulk::{BulkReader, BulkRef, BulkWriter};
use coracle_container::{
    ContainerSpec, Grants, I2cGrant, Limits, List, PinGrant, PinMode, SensorGrant, Text, request_payload,
};
use coracle_device::sim::{self, SimDevices, Wire};
use coracle_guest_abi::{BlockHeader, Errno, Name};
use coracle_lifecycle::{ExitReason, State};
use coracle_link::{BODY_BYTES_MAX, Credit, Event, FRAME_BYTES_MAX, Initiator, VERSIONS};
use coracle_shmem::HeapRegion;
use coracle_wire::{self as wire, FromM, Power, RemoteSensor, SPEC_BYTES_MAX, ToM};
use sha2::{Digest as _, Sha256};

use crate::{Memories, Supervisor};

const BUDGET: Budget = Budget {
    heap_bytes: 0x40_0000,
    stack_bytes: 0x1000,
    containers_max: 6,
    linear_memory_bytes_max: 0x1_0000,
    module_bytes_max: 0x1000,
};
const AREA_BYTES: usize = 0x8000;
/// A turn of the core, in microseconds.
const TURN_US: u64 = 10;
/// Most turns until everything is quiet.
const TURNS_MAX: u32 = 20_000;

struct Rig<'m> {
    m: Supervisor<'m>,
    link: Initiator,
    bulk: BulkWriter<'m>,
    from_m: BulkReader<'m>,
    devices: SimDevices<'static>,
    now_us: u64,
    got: Vec<FromM>,
}

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

fn names<const N: usize>(list: &[&str]) -> List<Name, N> {
    list.iter().map(|n| name(n)).collect()
}

/// Runs `test` with a core that A has just opened a session with.
fn with_rig(test: impl FnOnce(&mut Rig<'_>)) {
    let memory = HeapRegion::new(3 * AREA_BYTES);
    let region = memory.region();
    let piece = |n: usize| region.sub(n * AREA_BYTES, AREA_BYTES).unwrap();
    let memories = Memories { bulk_to_m: piece(0), bulk_to_a: piece(1), retained: piece(2) };
    let wire: &'static Wire = std::boxed::Box::leak(std::boxed::Box::new(Wire::new()));
    let room = Credit::for_buffers(64);
    let mut rig = Rig {
        m: Supervisor::new(memories, BUDGET, 1, room),
        link: Initiator::new(1, VERSIONS, room),
        bulk: BulkWriter::new(memories.bulk_to_m, 1),
        from_m: BulkReader::new(memories.bulk_to_a),
        devices: sim::devices(wire, &[sim::ACCEL0]),
        now_us: 1000,
        got: Vec::new(),
    };
    let hello = rig.link.open(rig.now_us);
    let mut out = [0; FRAME_BYTES_MAX];
    rig.m.frame(coracle_link::encode(&hello, &mut out).unwrap(), rig.now_us);
    rig.exchange();
    rig.send(&ToM::Begin);
    rig.send(&ToM::Power(Power::Awake));
    rig.got.clear();
    test(&mut rig);
}

impl Rig<'_> {
    fn exchange(&mut self) {
        self.m.send_out(self.now_us);
        while let Some(frame) = self.m.take_frame() {
            if let Event::Message { body, .. } = self.link.receive(&frame, self.now_us) {
                self.got.push(wire::decode(body).unwrap());
            }
            self.link.grant();
            let mut out = [0; FRAME_BYTES_MAX];
            if let Some(credit) = self.link.credit_frame() {
                self.m.frame(coracle_link::encode(&credit, &mut out).unwrap(), self.now_us);
            }
            self.m.send_out(self.now_us);
        }
    }

    fn send(&mut self, message: &ToM) {
        let (mut body, mut out) = ([0; BODY_BYTES_MAX], [0; FRAME_BYTES_MAX]);
        let body = wire::encode(message, &mut body).unwrap();
        let frame = self.link.send(message.channel(), body, self.now_us, &mut out).unwrap();
        self.m.frame(frame, self.now_us);
        self.exchange();
    }

    /// One turn of the core.
    fn turn(&mut self) {
        self.m.step(self.now_us, &mut self.devices);
        self.exchange();
        self.now_us += TURN_US;
    }

    /// Turns until there is nothing to do now.
    fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            self.turn();
            if !self.m.has_work() {
                return;
            }
        }
        panic!("the core never rests");
    }

    /// Sleeps to the deadline and settles; false when there is none up to `end_us`.
    fn sleep(&mut self, end_us: u64) -> bool {
        let devices = coracle_device::Devices::deadline_us(&self.devices);
        match self.m.deadline_us().into_iter().chain(devices).min().filter(|d| *d <= end_us) {
            Some(deadline_us) => {
                self.now_us = self.now_us.max(deadline_us);
                self.settle();
                true
            }
            None => false,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> BulkRef {
        self.bulk.put(&[bytes]).unwrap()
    }

    /// Deploys a guest of that text; what M answered.
    fn try_deploy(&mut self, of: &str, wat: &str, limits: Limits, grants: Grants) -> FromM {
        let module = wat::parse_str(wat).unwrap();
        let image = Sha256::digest(&module).into();
        let spec = ContainerSpec { name: name(of), image, portable: true, seed: [0; 16], limits, grants };
        let mut bytes = vec![0; SPEC_BYTES_MAX];
        let spec = wire::encode(&spec, &mut bytes).unwrap().to_vec();
        let (spec, module) = (self.put(&spec), self.put(&module));
        self.send(&ToM::Deploy { token: 7, spec, module, snapshot: None, live: true });
        self.bulk.free(&spec);
        self.bulk.free(&module);
        self.got.pop().unwrap()
    }

    fn deploy(&mut self, of: &str, wat: &str, grants: Grants) {
        let answer = self.try_deploy(of, wat, Limits { memory: 4096, ..Limits::default() }, grants);
        assert_eq!(answer, FromM::Deployed { token: 7 });
        self.settle();
    }

    /// A container on A, with its topics.
    fn remote(&mut self, of: &str, topics: &[&str]) {
        let subscribe = topics.iter().map(|t| name(t)).collect();
        self.send(&ToM::Remote { name: name(of), subscribe, cursor: 0 });
    }

    fn block(&mut self, sequence: u32, samples: &[i16]) {
        let block = Block::new(sequence, u64::from(sequence) * 1000, 1000, 0, samples).unwrap();
        self.m.sensor_block(&block);
        self.settle();
    }

    fn numbers(&mut self, of: &str) -> (u64, u32) {
        self.send(&ToM::Query);
        let found = self.got.iter().rev().find_map(|m| match m {
            FromM::ContainerStats { name, handled, dropped, .. } if name == of => Some((*handled, *dropped)),
            _ => None,
        });
        found.unwrap()
    }

    fn state(&self, of: &str) -> State {
        self.m.containers().find(|(n, _)| *n == of).unwrap().1
    }

    /// The payloads of messages for `of` on A.
    fn events(&self, of: &str) -> Vec<Vec<u8>> {
        let payload = |m: &FromM| match m {
            FromM::Event { name, payload, .. } if name == of => Some(payload.to_vec()),
            _ => None,
        };
        self.got.iter().filter_map(payload).collect()
    }
}

/// Publishes what `on_event` gets: kind, source, low byte of the tag, then the payload.
const ECHO: &str = r#"(module
  (import "coracle:event@1" "current" (func $current (param i32) (result i32)))
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1024 1024 (pagesize 1))
  (data (i32.const 0) "out")
  (func (export "on_event") (param i32 i32 i32) (result i32)
    (drop (call $current (i32.const 64)))
    (i32.store8 (i32.const 100) (i32.load (i32.const 64)))
    (i32.store8 (i32.const 101) (i32.load (i32.const 68)))
    (i32.store8 (i32.const 102) (i32.load (i32.const 76)))
    (drop (call $publish (i32.const 0) (i32.const 3) (i32.const 100)
      (i32.add (i32.const 3) (call $read (i32.const 103) (i32.const 180)))))
    (i32.const 0)))"#;

fn echo_grants(topics: &[&str]) -> Grants {
    Grants { publish: names(&["out"]), subscribe: names(topics), ..Grants::default() }
}

#[test]
fn a_timer_wakes_the_core_when_it_is_due_and_not_before() {
    with_rig(|rig| {
        let wat = r#"(module
          (import "coracle:time@1" "set_timer" (func $set (param i64 i64 i64) (result i32)))
          (func (export "init") (result i32) (call $set (i64.const 5000) (i64.const 10000) (i64.const 300)))
          (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#;
        rig.deploy("t", wat, Grants::default());
        let first = rig.m.deadline_us().unwrap();
        assert!((6200..=6400).contains(&first), "{first}: its time and its slack");
        let end = rig.now_us + 100_000;
        let mut sleeps = 0;
        while rig.sleep(end) {
            sleeps += 1;
        }
        assert_eq!((sleeps, rig.numbers("t").0), (10, 10));
        // Nobody looked for a long time: it is told once.
        rig.now_us += 1_000_000;
        rig.settle();
        assert_eq!(rig.numbers("t").0, 11);
    });
}

#[test]
fn a_command_waits_without_work_and_gets_only_what_it_waits_for() {
    with_rig(|rig| {
        let wat = r#"(module
          (import "coracle:event@1" "wait" (func $wait (param i32 i64 i32) (result i32)))
          (import "coracle:msg@1" "wait" (func $msg (param i64 i32) (result i32)))
          (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
          (import "coracle:time@1" "set_timer" (func $set (param i64 i64 i64) (result i32)))
          (memory (export "memory") 256 256 (pagesize 1))
          (data (i32.const 0) "out")
          (func $tell (param i32) (i32.store8 (i32.const 64) (local.get 0))
            (drop (call $publish (i32.const 0) (i32.const 3) (i32.const 64) (i32.const 1))))
          (func (export "_start")
            (drop (call $set (i64.const 1000) (i64.const 0) (i64.const 0)))
            (call $tell (call $msg (i64.const -1) (i32.const 128)))
            (call $tell (i32.load (i32.const 128)))
            (call $tell (call $wait (i32.const 16) (i64.const -1) (i32.const 128)))
            (call $tell (i32.load (i32.const 128)))
            (call $tell (i32.sub (i32.const 0) (call $wait (i32.const 0) (i64.const 2000) (i32.const 128))))))"#;
        rig.remote("listener", &["out"]);
        rig.deploy("c", wat, Grants { publish: names(&["out"]), subscribe: names(&["in"]), ..Grants::default() });
        // The timer is due, but a message comes first for who waits for messages.
        rig.now_us += 5000;
        rig.settle();
        assert!(rig.events("listener").is_empty());
        let publish = ToM::Publish {
            epoch: 1,
            number: 1,
            topic: name("in"),
            time_us: 0,
            request: None,
            payload: heapless::Vec::from_slice(b"x").unwrap(),
        };
        rig.send(&publish);
        rig.settle();
        assert_eq!(rig.events("listener"), [[0], [2], [0], [4]]);
        assert_eq!(rig.state("c"), State::Running);
        let end = rig.now_us + 10_000;
        assert!(rig.sleep(end), "a wait with an end");
        assert_eq!(rig.events("listener").last(), Some(&vec![110]));
        assert_eq!(rig.state("c"), State::Exited(ExitReason::Exited(0)));
    });
}

#[test]
fn a_device_call_in_the_middle_of_an_event_is_answered() {
    with_rig(|rig| {
        let wat = r#"(module
          (import "coracle:i2c@1" "open" (func $open (param i32 i32) (result i32)))
          (import "coracle:i2c@1" "write_read" (func $transfer (param i32 i32 i32 i32 i32 i32) (result i32)))
          (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 256 256 (pagesize 1))
          (data (i32.const 0) "outi2c0")
          (func (export "init") (result i32) (drop (call $open (i32.const 3) (i32.const 4))) (i32.const 0))
          (func (export "on_event") (param i32 i32 i32) (result i32)
            (i32.store8 (i32.const 64) (call $transfer (i32.const 16) (i32.const 0x48) (i32.const 32) (i32.const 1)
              (i32.const 65) (i32.const 2)))
            (i32.store8 (i32.const 67) (i32.sub (i32.const 0) (call $transfer (i32.const 16) (i32.const 0x49)
              (i32.const 32) (i32.const 1) (i32.const 80) (i32.const 2))))
            (i32.store8 (i32.const 68) (i32.sub (i32.const 0) (call $transfer (i32.const 16) (i32.const 0x4a)
              (i32.const 32) (i32.const 1) (i32.const 80) (i32.const 2))))
            (drop (call $publish (i32.const 0) (i32.const 3) (i32.const 64) (i32.const 5)))
            (i32.const 0)))"#;
        let i2c = [I2cGrant { bus: name("i2c0"), addresses: [0x48, 0x49].into_iter().collect(), exclusive: false }];
        let grants = Grants { i2c: i2c.into_iter().collect(), ..echo_grants(&["in"]) };
        rig.remote("listener", &["out"]);
        rig.deploy("c", wat, grants);
        rig.send(&publish("in", 1, b""));
        rig.settle();
        let got = rig.events("listener");
        let [read, high, _low, nobody, denied] = got[0][..] else { panic!("{got:?}") };
        assert_eq!((read, nobody, denied), (2, Errno::NoDevice as u8, Errno::Denied as u8));
        assert!((10..=40).contains(&high), "degrees Celsius: {high}");
        let refused: Vec<_> = rig.got.iter().filter(|m| matches!(m, FromM::Refused { .. })).collect();
        assert_eq!(refused.len(), 1, "told once");
        rig.send(&publish("in", 2, b""));
        rig.settle();
        assert_eq!(rig.got.iter().filter(|m| matches!(m, FromM::Refused { .. })).count(), 1);
    });
}

fn publish(topic: &str, number: u32, payload: &[u8]) -> ToM {
    ToM::Publish {
        epoch: 1,
        number,
        topic: name(topic),
        time_us: 5,
        request: None,
        payload: heapless::Vec::from_slice(payload).unwrap(),
    }
}

#[test]
fn a_message_of_a_is_delivered_once_and_not_given_back() {
    with_rig(|rig| {
        rig.remote("listener", &["out", "in"]);
        rig.deploy("c", ECHO, echo_grants(&["in"]));
        for (message, answer) in [(1, 1), (1, 1), (2, 2), (1, 1)] {
            rig.send(&publish("in", message, b"hi"));
            assert!(rig.got.contains(&FromM::Taken { epoch: 1, number: answer }));
        }
        rig.settle();
        // Two of them, echoed; the listener on A had them from A.
        assert_eq!(rig.events("listener"), [b"\x02\x00\x00hi", b"\x02\x00\x00hi"]);
        // A new life of A counts from 1 again.
        let ToM::Publish { topic, request, payload, .. } = publish("in", 1, b"new") else { unreachable!() };
        rig.send(&ToM::Publish { epoch: 2, number: 1, topic, time_us: 0, request, payload });
        rig.settle();
        assert_eq!(rig.events("listener").len(), 3);
    });
}

#[test]
fn a_retained_value_reaches_who_comes_later_and_a() {
    with_rig(|rig| {
        let wat = r#"(module
          (import "coracle:msg@1" "publish_retained" (func $publish (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 64 64 (pagesize 1))
          (data (i32.const 0) "mode" "fast")
          (func (export "init") (result i32)
            (call $publish (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 4)))
          (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#;
        rig.deploy("p", wat, Grants { publish: names(&["mode"]), ..Grants::default() });
        let told = FromM::Retain { topic: name("mode"), payload: heapless::Vec::from_slice(b"fast").unwrap() };
        assert_eq!(rig.got.iter().filter(|m| **m == told).count(), 1);
        rig.remote("listener", &["out"]);
        rig.deploy("late", ECHO, echo_grants(&["other", "mode"]));
        assert_eq!(rig.events("listener"), [b"\x02\x01\x00fast"]);
        // A changes it for those who come even later, and removes it.
        rig.send(&ToM::Retain { topic: name("mode"), payload: heapless::Vec::from_slice(b"slow").unwrap() });
        rig.deploy("later", ECHO, echo_grants(&["mode"]));
        assert_eq!(rig.events("listener").last().unwrap(), b"\x02\x00\x00slow");
        rig.send(&ToM::Retain { topic: name("mode"), payload: heapless::Vec::new() });
        rig.deploy("latest", ECHO, echo_grants(&["mode"]));
        assert_eq!(rig.events("listener").len(), 2);
    });
}

/// Asks on `ask` when it is told anything, and publishes what comes back as [`ECHO`] does.
const ASKER: &str = r#"(module
  (import "coracle:event@1" "current" (func $current (param i32) (result i32)))
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (import "coracle:msg@1" "request" (func $request (param i32 i32 i32 i32 i64) (result i32)))
  (memory (export "memory") 1024 1024 (pagesize 1))
  (data (i32.const 0) "outask?")
  (func (export "on_event") (param $kind i32) (param i32 i32) (result i32)
    (if (i32.eq (local.get $kind) (i32.const 8))
      (then
        (drop (call $current (i32.const 64)))
        (i32.store8 (i32.const 100) (i32.load (i32.const 64)))
        (i32.store8 (i32.const 101) (i32.load (i32.const 68)))
        (i32.store8 (i32.const 102) (i32.load (i32.const 76)))
        (drop (call $publish (i32.const 0) (i32.const 3) (i32.const 100)
          (i32.add (i32.const 3) (call $read (i32.const 103) (i32.const 180))))))
      (else (drop (call $request (i32.const 3) (i32.const 3) (i32.const 6) (i32.const 1) (i64.const 50000)))))
    (i32.const 0)))"#;

#[test]
fn a_request_is_answered_once_or_times_out() {
    with_rig(|rig| {
        let answerer = r#"(module
          (import "coracle:msg@1" "reply" (func $reply (param i32 i32) (result i32)))
          (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
          (memory (export "memory") 64 64 (pagesize 1))
          (data (i32.const 1) "!")
          (func (export "on_event") (param i32 i32 i32) (result i32)
            (drop (call $read (i32.const 0) (i32.const 1)))
            (call $reply (i32.const 0) (i32.const 2))))"#;
        let asks = Grants { publish: names(&["out", "ask"]), subscribe: names(&["go"]), ..Grants::default() };
        rig.remote("listener", &["out"]);
        rig.deploy("asker", ASKER, asks);
        // Nobody is there: the time ends it.
        rig.send(&publish("go", 1, b""));
        rig.settle();
        let end = rig.now_us + 60_000;
        assert!(rig.sleep(end));
        assert_eq!(rig.events("listener"), [[8, Errno::TimedOut as u8, 1]]);
        // Two answer: the first counts.
        for n in ["one", "two"] {
            rig.deploy(n, answerer, Grants { subscribe: names(&["ask"]), ..Grants::default() });
        }
        rig.send(&publish("go", 2, b""));
        rig.settle();
        assert_eq!(rig.events("listener").last().unwrap(), b"\x08\x00\x02?!");
        assert_eq!(rig.events("listener").len(), 2);
        // One on A asks one here, and one here asks one on A.
        let request = heapless::Vec::from_slice(&request_payload("far", b"#")).unwrap();
        let (epoch, number) = (1, 3);
        rig.send(&ToM::Publish { epoch, number, topic: name("ask"), time_us: 0, request: Some(9), payload: request });
        rig.settle();
        let reply = FromM::Reply { to: name("far"), id: 9, payload: heapless::Vec::from_slice(b"#!").unwrap() };
        assert_eq!(rig.got.iter().filter(|m| **m == reply).count(), 2, "A takes the first");
        for n in ["one", "two"] {
            rig.send(&ToM::Remove { name: name(n) });
        }
        rig.remote("answerer", &["ask"]);
        rig.send(&publish("go", 4, b""));
        rig.settle();
        let asked = rig.got.iter().find_map(|m| match m {
            FromM::Delivery { name, kind, tag, payload, .. } if name == "answerer" => {
                Some((*kind, *tag, payload.clone()))
            }
            _ => None,
        });
        assert_eq!(asked.unwrap(), (7, 3, heapless::Vec::from_slice(&request_payload("asker", b"?")).unwrap()));
        let answer = ToM::Reply { to: name("asker"), id: 3, payload: heapless::Vec::from_slice(b"far").unwrap() };
        rig.send(&answer);
        rig.send(&answer);
        rig.settle();
        assert_eq!(rig.events("listener").last().unwrap(), b"\x08\x00\x03far");
        assert_eq!(rig.events("listener").len(), 3);
    });
}

#[test]
fn fuel_a_second_throttles_and_disturbs_nobody() {
    with_rig(|rig| {
        let busy = r#"(module
          (import "coracle:time@1" "set_timer" (func $set (param i64 i64 i64) (result i32)))
          (func (export "init") (result i32) (call $set (i64.const 1000) (i64.const 1000) (i64.const 0)))
          (func (export "on_event") (param i32 i32 i32) (result i32) (local i32)
            (local.set 0 (i32.const 20000))
            (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (i32.const 0)))"#;
        let limits = Limits { memory: 4096, fuel_per_second: 200_000, ..Limits::default() };
        assert_eq!(rig.try_deploy("busy", busy, limits, Grants::default()), FromM::Deployed { token: 7 });
        rig.deploy("c", ECHO, echo_grants(&["in"]));
        let start = rig.now_us;
        let mut number = 0;
        while rig.now_us < start + 10_000_000 {
            rig.settle();
            number += 1;
            rig.send(&publish("in", number, b"x"));
            rig.settle();
            let end = rig.now_us + 1_000_000;
            rig.sleep(end);
            rig.now_us += 1000;
        }
        rig.settle();
        rig.send(&ToM::Query);
        let fuel = rig.got.iter().rev().find_map(|m| match m {
            FromM::ContainerStats { name, fuel, .. } if name == "busy" => Some(*fuel),
            _ => None,
        });
        let fuel = fuel.unwrap();
        // Ten seconds, one ahead, and a slice that crosses the line.
        assert!((1_800_000..=200_000 * 11 + 40_000).contains(&fuel), "{fuel}");
        assert_eq!(rig.numbers("c"), (number.into(), 0));
        // Its timer was due thousands of times while it could not run: that is one event.
        assert_eq!(rig.numbers("busy").1, 0);
    });
}

#[test]
fn a_new_configuration_is_an_event_and_is_read() {
    with_rig(|rig| {
        rig.remote("listener", &["out"]);
        let grants = Grants { config: [(name("k"), "1".to_string())].into_iter().collect(), ..echo_grants(&[]) };
        rig.deploy("c", ECHO, grants);
        let config: List<(Name, Text), 16> = [(name("k"), "2".to_string())].into_iter().collect();
        for _ in 0..2 {
            let bytes = postcard::to_stdvec(&config).unwrap();
            let block = rig.put(&bytes);
            rig.send(&ToM::Configure { name: name("c"), config: block });
            rig.bulk.free(&block);
            rig.settle();
        }
        assert_eq!(rig.got.iter().filter(|m| **m == FromM::Configured { name: name("c") }).count(), 2);
        // The second one changed nothing.
        assert_eq!(rig.events("listener"), [b"\x05\x00\x00k\n"]);
    });
}

#[test]
fn a_uses_devices_of_m() {
    with_rig(|rig| {
        let ask = |rig: &mut Rig<'_>, token, call| {
            rig.send(&ToM::Device { token, call });
            rig.settle();
            rig.got.iter().rev().find_map(|m| match m {
                FromM::Device { token: t, answer } if *t == token => Some(answer.clone()),
                _ => None,
            })
        };
        let led = name("led");
        let read = |label| wire::DeviceCall::PinRead { label: name(label) };
        assert_eq!(ask(rig, 1, read("button")), Some(Ok(wire::DeviceAnswer::Level(false))));
        let write = wire::DeviceCall::PinWrite { label: led, high: true };
        assert_eq!(ask(rig, 2, write), Some(Ok(wire::DeviceAnswer::Done)));
        assert_eq!(ask(rig, 3, read("button")), Some(Ok(wire::DeviceAnswer::Level(true))), "wired to the LED");
        assert_eq!(ask(rig, 4, read("nothing")), Some(Err(Errno::NoEntry)));
        let write = heapless::Vec::from_slice(&[0]).unwrap();
        let i2c = wire::DeviceCall::I2c { bus: name("i2c0"), address: 0x48, write, read: 2 };
        assert!(matches!(ask(rig, 5, i2c.clone()), Some(Ok(wire::DeviceAnswer::Bytes(b))) if b.len() == 2));
        let wire::DeviceCall::I2c { bus, address, write, .. } = i2c else { unreachable!() };
        let long = wire::DeviceCall::I2c { bus, address, write, read: u16::MAX };
        assert_eq!(ask(rig, 6, long), Some(Err(Errno::TooLarge)));
    });
}

#[test]
fn edges_of_a_watched_pin_are_events() {
    with_rig(|rig| {
        let wat = r#"(module
          (import "coracle:gpio@1" "open" (func $open (param i32 i32) (result i32)))
          (import "coracle:gpio@1" "watch" (func $watch (param i32 i32 i32) (result i32)))
          (import "coracle:event@1" "current" (func $current (param i32) (result i32)))
          (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 256 256 (pagesize 1))
          (data (i32.const 0) "outbutton")
          (func (export "init") (result i32)
            (call $watch (call $open (i32.const 3) (i32.const 6)) (i32.const 1) (i32.const 0)))
          (func (export "on_event") (param i32 i32 i32) (result i32)
            (drop (call $current (i32.const 64)))
            (drop (call $publish (i32.const 0) (i32.const 3) (i32.const 64) (i32.const 16)))
            (i32.const 0)))"#;
        let pin = PinGrant { label: name("button"), mode: PinMode::Input, exclusive: false };
        rig.remote("listener", &["out"]);
        rig.deploy("c", wat, Grants { pins: [pin].into_iter().collect(), ..echo_grants(&[]) });
        for (token, high) in [(1, true), (2, false), (3, true)] {
            rig.send(&ToM::Device { token, call: wire::DeviceCall::PinWrite { label: name("led"), high } });
            rig.settle();
            rig.settle();
        }
        // Rising ones alone: kind 6, handle 8, nothing to read, level 1.
        let event = [6, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        assert_eq!(rig.events("listener"), [event, event]);
    });
}

#[test]
fn sensor_blocks_are_filtered_thinned_and_sent_to_a() {
    with_rig(|rig| {
        let sensing = r#"(module
          (import "coracle:sensor@1" "open" (func $open (param i32 i32) (result i32)))
          (import "coracle:sensor@1" "set_threshold" (func $threshold (param i32 i32 i32) (result i32)))
          (memory (export "memory") 64 64 (pagesize 1))
          (data (i32.const 0) "accel0")
          (func (export "init") (result i32)
            (call $threshold (call $open (i32.const 0) (i32.const 6)) (i32.const -100) (i32.const 100)))
          (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#;
        let sensor = |rate_hz| SensorGrant { name: name("accel0"), rate_hz, exclusive: false };
        rig.deploy("f", sensing, Grants { sensors: [sensor(0)].into_iter().collect(), ..Grants::default() });
        assert!(rig.m.wants_block());
        rig.remote("far", &[]);
        let far = RemoteSensor { name: name("accel0"), rate_hz: 250, threshold: None, off: false };
        rig.send(&ToM::Sensors { name: name("far"), sensors: [far].into_iter().collect() });
        for (sequence, peak) in (0..8).zip([10, 500, 20, -300, 100, 101, 0, 0]) {
            let mut samples = [0; 64];
            samples[40] = peak;
            rig.block(sequence, &samples);
        }
        assert_eq!(rig.numbers("f"), (3, 0), "500, -300 and 101");
        let blocks: Vec<BulkRef> = rig
            .got
            .iter()
            .filter_map(|m| match m {
                FromM::Block { payload, .. } => Some(*payload),
                _ => None,
            })
            .collect();
        assert_eq!(blocks.len(), 4, "A has not given them back");
        let mut bytes = vec![0; rig.from_m.check(&blocks[1], 4096).unwrap()];
        rig.from_m.get(&blocks[1], &mut bytes).unwrap();
        let header = BlockHeader::from_bytes(&bytes).unwrap();
        assert_eq!((header.rate_hz, header.count, bytes.len()), (250, 16, BlockHeader::BYTES + 32));
        assert_eq!(bytes[BlockHeader::BYTES + 20..][..2], 125_i16.to_le_bytes(), "the mean of four samples");
        rig.send(&ToM::Free(blocks[0]));
        rig.block(8, &[1; 64]);
        rig.block(9, &[1; 64]);
        assert_eq!(rig.got.iter().filter(|m| matches!(m, FromM::Block { .. })).count(), 5);
    });
}

#[test]
fn a_container_gets_the_sensor_that_it_is_granted_and_no_other() {
    with_rig(|rig| {
        let sensor = |of| SensorGrant { name: name(of), rate_hz: 0, exclusive: false };
        let sensors = |of| Grants { sensors: [sensor(of)].into_iter().collect(), ..echo_grants(&[]) };
        rig.remote("listener", &["out"]);
        rig.deploy("warm", ECHO, sensors("temp0"));
        assert!(!rig.m.wants_block(), "the thermometer is no reason to ask the board's sensor");
        rig.block(0, &[1; 8]);
        assert_eq!(rig.numbers("warm").0, 0);
        let end = rig.now_us + 10_000_000;
        while rig.sleep(end) {}
        assert!(rig.numbers("warm").0 > 0, "polled by the core");
        rig.send(&ToM::Remove { name: name("warm") });
        rig.settle();
        assert_eq!(rig.m.deadline_us(), None);
        assert_eq!(coracle_device::Devices::deadline_us(&rig.devices), None, "nobody wants it any more");
    });
}

#[test]
fn a_specification_over_a_limit_is_refused_by_name() {
    with_rig(|rig| {
        for (limits, word) in [
            (Limits { queue: 0, ..Limits::default() }, "limits.queue"),
            (Limits { timers: 200, ..Limits::default() }, "limits.timers"),
            (Limits { stack: 1, ..Limits::default() }, "limits.stack"),
            (Limits { payload: 4000, ..Limits::default() }, "limits.payload"),
        ] {
            match rig.try_deploy("c", ECHO, limits, echo_grants(&[])) {
                FromM::DeployRefused { detail, .. } => assert!(detail.contains(word), "{detail}"),
                other => panic!("{word}: {other:?}"),
            }
        }
        // Not granted: not linked.
        match rig.try_deploy("c", ECHO, Limits { memory: 4096, ..Limits::default() }, Grants::default()) {
            FromM::DeployRefused { detail, .. } => assert!(detail.contains("`publish`"), "{detail}"),
            other => panic!("{other:?}"),
        }
    });
}

/// Sleeps for ever in its first event.
const SLEEPER: &str = r#"(module
  (import "coracle:time@1" "sleep" (func $sleep (param i64) (result i32)))
  (func (export "on_event") (param i32 i32 i32) (result i32) (call $sleep (i64.const -1))))"#;

#[test]
fn a_guest_that_sleeps_in_an_event_neither_stops_the_sensor_nor_keeps_a_move_open() {
    with_rig(|rig| {
        let sensor = SensorGrant { name: name("accel0"), rate_hz: 0, exclusive: false };
        let sensors = Grants { sensors: [sensor].into_iter().collect(), ..echo_grants(&["in"]) };
        rig.deploy("sleeper", SLEEPER, sensors.clone());
        rig.deploy("c", ECHO, sensors);
        for sequence in 0..40 {
            assert!(rig.m.wants_block(), "block {sequence}");
            rig.block(sequence, &[1; 8]);
            rig.send(&publish("in", sequence + 1, b"x"));
            rig.settle();
        }
        assert_eq!(rig.numbers("c"), (80, 0));
        assert!(rig.numbers("sleeper").1 > 0, "what it missed is counted");
        rig.send(&ToM::MoveOut { id: 9, name: name("sleeper"), queued_min: 0 });
        assert!(rig.sleep(rig.now_us + 10_000_000), "the wait for a safe point has an end");
        rig.now_us += TURN_US;
        rig.settle();
        assert!(rig.got.iter().any(|m| matches!(m, FromM::MoveRefused { id: 9, .. })));
        let next = rig.m.deadline_us();
        assert!(next.is_none_or(|at| at > rig.now_us + 1_000_000_000), "nothing to look at after it: {next:?}");
    });
}

#[test]
fn wakes_are_counted_on_one_clock_also_without_a_sensor() {
    with_rig(|rig| {
        let waker = r#"(module
          (import "coracle:time@1" "set_timer" (func $set (param i64 i64 i64) (result i32)))
          (import "coracle:wake@1" "request" (func $wake (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 64 64 (pagesize 1))
          (data (i32.const 0) "fault")
          (func (export "init") (result i32) (call $set (i64.const 1000000) (i64.const 20000000) (i64.const 0)))
          (func (export "on_event") (param i32 i32 i32) (result i32)
            (call $wake (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 1))))"#;
        let (reason, container) = (name("fault"), name("far"));
        let rule = coracle_policy::WakeRule { reason, container, debounce_us: 30_000_000, per_hour: 12 };
        rig.send(&ToM::WakeRule { rule });
        rig.remote("far", &[]);
        rig.deploy("w", waker, Grants { wake: names(&["fault"]), ..Grants::default() });
        let end = rig.now_us + 100_000_000;
        while rig.sleep(end) {}
        // At 1, 41 and 81 s: those 20 s after one are held back.
        assert_eq!(rig.got.iter().filter(|m| matches!(m, FromM::Wake { .. })).count(), 3);
    });
}

#[test]
fn host_calls_without_fuel_end_a_slice_by_their_work() {
    let wat = r#"(module
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (memory (export "memory") 1024 1024 (pagesize 1))
      (func (export "on_event") (param i32 i32 i32) (result i32) (local i32)
        (local.set 0 (i32.const 400))
        (loop
          (drop (call $random (i32.const 0) (i32.const 1024)))
          (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (i32.const 0)))"#;
    let module = wat::parse_str(wat).unwrap();
    let spec = ContainerSpec {
        name: name("c"),
        image: Sha256::digest(&module).into(),
        portable: false,
        seed: [0; 16],
        limits: Limits { memory: 1024, ..Limits::default() },
        grants: Grants::default(),
    };
    let mut container = coracle_sandbox::Container::load(&module, spec.into()).unwrap();
    container.begin(None);
    assert_eq!(container.run(0, crate::SLICE_FUEL), coracle_container::Step::Done);
    let event = coracle_container::OwnedEvent {
        seq: 1,
        kind: coracle_guest_abi::EventKind::Message,
        source: 0,
        tag: 0,
        time_us: 0,
        payload: vec![].into(),
    };
    container.begin(Some(event));
    let mut slices = 1;
    while container.run(0, crate::SLICE_FUEL) == coracle_container::Step::Pending {
        slices += 1;
    }
    // A call takes 257 units of work: four fit a slice.
    assert!((90..=110).contains(&slices), "{slices}");
    assert_eq!(container.state().handled, 1);
    assert_eq!(container.state().random, 400, "each call counts once");
}

#[test]
fn a_pin_that_nobody_watches_any_more_makes_no_events() {
    with_rig(|rig| {
        let wat = r#"(module
          (import "coracle:gpio@1" "open" (func $open (param i32 i32) (result i32)))
          (import "coracle:gpio@1" "watch" (func $watch (param i32 i32 i32) (result i32)))
          (memory (export "memory") 64 64 (pagesize 1))
          (data (i32.const 0) "button")
          (func (export "init") (result i32)
            (call $watch (call $open (i32.const 0) (i32.const 6)) (i32.const 3) (i32.const 0)))
          (func (export "on_event") (param $kind i32) (param i32 i32) (result i32)
            (if (i32.eq (local.get $kind) (i32.const 2))
              (then (return (call $watch (i32.const 8) (i32.const 0) (i32.const 0)))))
            (i32.const 0)))"#;
        let toggle = |rig: &mut Rig<'_>, high| {
            rig.send(&ToM::Device { token: 1, call: wire::DeviceCall::PinWrite { label: name("led"), high } });
            rig.settle();
            rig.settle();
        };
        let pin = || PinGrant { label: name("button"), mode: PinMode::Input, exclusive: false };
        let grants = || Grants { pins: [pin()].into_iter().collect(), subscribe: names(&["in"]), ..Grants::default() };
        rig.deploy("one", wat, grants());
        rig.deploy("two", wat, Grants { subscribe: names(&["other"]), ..grants() });
        toggle(rig, true);
        assert_eq!((rig.numbers("one").0, rig.numbers("two").0), (1, 1));
        rig.send(&publish("in", 1, b""));
        rig.settle();
        toggle(rig, false);
        assert_eq!((rig.numbers("one").0, rig.numbers("two").0), (2, 2), "one took the message and no edge");
        assert_eq!(rig.m.watched.len(), 1);
        rig.send(&ToM::Remove { name: name("two") });
        rig.settle();
        assert!(rig.m.watched.is_empty());
    });
}

#[test]
fn what_a_container_has_alone_no_other_gets() {
    with_rig(|rig| {
        let limits = || Limits { memory: 4096, ..Limits::default() };
        let i2c = |addresses: &[u8], exclusive| {
            let addresses = addresses.iter().copied().collect();
            let grant = I2cGrant { bus: name("i2c0"), addresses, exclusive };
            Grants { i2c: [grant].into_iter().collect(), ..echo_grants(&[]) }
        };
        rig.deploy("one", ECHO, i2c(&[0x48, 0x49], true));
        match rig.try_deploy("two", ECHO, limits(), i2c(&[0x49], false)) {
            FromM::DeployRefused { detail, .. } => assert!(detail.contains("exclusive"), "{detail}"),
            other => panic!("{other:?}"),
        }
        rig.deploy("three", ECHO, i2c(&[0x50], true));
        rig.send(&ToM::Remove { name: name("one") });
        rig.deploy("two", ECHO, i2c(&[0x49], false));
    });
}
