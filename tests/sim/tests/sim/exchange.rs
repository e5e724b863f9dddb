//! What containers exchange with each other, with devices and with the operator, across both cores.

use coracle_api::{Reply, Report, Request, What};
use coracle_container::{Grants, I2cGrant, List, PinGrant, PinMode, SensorGrant};
use coracle_model::{Desired, Placement, Plan};
use coracle_policy::{Core, MoveRules};
use coracle_test_sim::{Kill, Scenario, World, plan};

const A: Placement = Placement::Fixed(Core::A);
const M: Placement = Placement::Fixed(Core::M);

fn any(prefer: Core) -> Placement {
    Placement::Any { prefer, moves: MoveRules::new() }
}

fn names(list: &[&str]) -> List<coracle_guest_abi::Name, 8> {
    list.iter().map(|n| (*n).try_into().unwrap()).collect()
}

fn publishes(topics: &[&str]) -> Grants {
    Grants { publish: names(topics), ..Grants::default() }
}

fn subscribes(topics: &[&str]) -> Grants {
    Grants { subscribe: names(topics), ..Grants::default() }
}

fn config(key: &str, value: &str) -> List<(coracle_guest_abi::Name, String), 16> {
    [(key.try_into().unwrap(), value.to_owned())].into_iter().collect()
}

fn container(name: &str, text: &str, place: &Placement, grants: Grants) -> Plan {
    plan(name, text, 256, 16, place.clone(), grants)
}

fn scenario(plans: Vec<Plan>) -> Scenario {
    let desired = Desired { plans, wake: Vec::new(), lockstep: true, queued_at_move: 0 };
    Scenario { desired, blocks: 20 }
}

/// Runs to the end and asks for the numbers.
fn report(world: &mut World<'_>) -> Report {
    world.run().unwrap();
    let now_us = world.now_us;
    let a = world.a.as_mut().unwrap();
    a.node.request(7, Request::Report, now_us);
    a.collect();
    let before = world.replies.len();
    world.run_until(|w| w.replies.len() > before).unwrap();
    match world.replies.last() {
        Some(Reply::Report(report)) => report.clone(),
        other => panic!("{other:?}"),
    }
}

fn exits<'w>(world: &'w World<'_>) -> Vec<&'w What> {
    world.events.iter().filter(|e| matches!(e, What::Exited { .. })).collect()
}

/// Lines that containers on A logged.
fn logs<'w>(world: &'w World<'_>, who: &str) -> Vec<&'w str> {
    let of = |e: &'w What| match e {
        What::Log { text, .. } => text.strip_prefix(who)?.strip_prefix(": "),
        _ => None,
    };
    world.events.iter().filter_map(of).collect()
}

/// Lets A wake up every five milliseconds for three seconds: a message alone does not.
const TICKER: &str = r#"(module
  (import "coracle:time@1" "set_timer" (func $timer (param i64 i64 i64) (result i32)))
  (import "coracle:time@1" "cancel" (func $cancel (param i32) (result i32)))
  (global $n (mut i32) (i32.const 0))
  (func (export "init") (result i32) (call $timer (i64.const 5000) (i64.const 5000) (i64.const 0)))
  (func (export "on_event") (param i32 i32 i32) (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (if (i32.eq (global.get $n) (i32.const 600)) (then (drop (call $cancel (i32.const 0)))))
    (i32.const 0)))"#;

fn ticker() -> Plan {
    container("ticker", TICKER, &A, Grants::default())
}

/// Counts from 0 on topic `t`, every millisecond, sixty times.
const TALKER: &str = r#"(module
  (import "coracle:time@1" "set_timer" (func $timer (param i64 i64 i64) (result i32)))
  (import "coracle:time@1" "cancel" (func $cancel (param i32) (result i32)))
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (memory 64 64 (pagesize 1))
  (data (i32.const 0) "t")
  (global $n (mut i32) (i32.const 0))
  (func (export "init") (result i32) (call $timer (i64.const 1000) (i64.const 1000) (i64.const 0)))
  (func (export "on_event") (param $kind i32) (param i32 i32) (result i32)
    (if (i32.ne (local.get $kind) (i32.const 4)) (then (return (i32.const -9))))
    (i32.store (i32.const 8) (global.get $n))
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (if (i32.eq (global.get $n) (i32.const 60)) (then (drop (call $cancel (i32.const 0)))))
    (call $publish (i32.const 0) (i32.const 1) (i32.const 8) (i32.const 4))))"#;

/// Ends with an error when a number does not follow the last one.
const EAR: &str = r#"(module
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (memory 64 64 (pagesize 1))
  (global $n (mut i32) (i32.const 0))
  (func (export "on_event") (param $kind i32) (param i32 i32) (result i32)
    (if (i32.ne (local.get $kind) (i32.const 2)) (then (return (i32.const -9))))
    (drop (call $read (i32.const 8) (i32.const 4)))
    (if (i32.ne (i32.load (i32.const 8)) (global.get $n)) (then (return (i32.const -1))))
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (i32.const 0)))"#;

fn talk(talker: &Placement) -> Vec<Plan> {
    vec![
        ticker(),
        container("talker", TALKER, talker, publishes(&["t"])),
        container("ear-a", EAR, &A, subscribes(&["t"])),
        container("ear-m", EAR, &M, subscribes(&["t"])),
        container("ear-any", EAR, &any(Core::A), subscribes(&["t"])),
        container("ear-there", EAR, &any(Core::M), subscribes(&["t"])),
    ]
}

fn all_heard(world: &mut World<'_>) {
    let report = report(world);
    assert_eq!(exits(world), [] as [&What; 0]);
    for ear in ["ear-a", "ear-m", "ear-any", "ear-there"] {
        assert_eq!(report.containers[ear].events, 60, "{ear}: {report:#?}");
    }
}

#[test]
fn a_topic_reaches_every_subscriber_in_order_whoever_is_where() {
    for talker in [A, M, any(Core::A), any(Core::M)] {
        super::each_seed(2, |seed| {
            let memory = World::memory();
            let mut world = World::new(&memory, seed, scenario(talk(&talker)));
            all_heard(&mut world);
            Ok(())
        });
    }
}

/// A frame that is lost ends the session; what was published meanwhile comes with the next one, and nothing comes twice.
#[test]
fn lost_sessions_lose_and_repeat_no_message_of_a() {
    super::each_seed(8, |seed| {
        let memory = World::memory();
        let mut world = World::new(&memory, seed, scenario(talk(&A)));
        let mut frames = 0;
        world.tamper = Some(Box::new(move |_, frame, _, _| {
            frames += 1;
            if frames % (90 + seed * 7) == 0 && frames < 1500 {
                frame.clear();
            }
        }));
        all_heard(&mut world);
        assert!(world.count(|e| matches!(e, What::LinkDown { .. })) > 0, "no session was lost");
        Ok(())
    });
}

#[test]
fn a_subscriber_that_moves_while_it_is_spoken_to_misses_nothing() {
    super::each_seed(6, |seed| {
        let memory = World::memory();
        let mut plans = talk(&A);
        plans.push(container("tracker", EAR, &any(Core::M), subscribes(&["t"])));
        let mut world = World::new(&memory, seed, scenario(plans));
        world.moves = (1..12).map(|i| i * 130 + seed * 11).collect();
        let report = report(&mut world);
        assert_eq!(exits(&world), [] as [&What; 0]);
        assert_eq!(report.containers["tracker"].events, 60);
        assert!(report.moves.len() > 2, "{:#?}", report.moves);
        Ok(())
    });
}

/// Asks ten times on topic `q` and logs every answer or its errno; on M it publishes them on `log`.
const ASKER: &str = r#"(module
  (import "coracle:time@1" "set_timer" (func $timer (param i64 i64 i64) (result i32)))
  (import "coracle:time@1" "cancel" (func $cancel (param i32) (result i32)))
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (import "coracle:event@1" "current" (func $current (param i32) (result i32)))
  (import "coracle:msg@1" "request" (func $request (param i32 i32 i32 i32 i64) (result i32)))
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (memory 128 128 (pagesize 1))
  (data (i32.const 0) "q...log")
  (global $n (mut i32) (i32.const 0))
  (func (export "init") (result i32) (call $timer (i64.const 1000) (i64.const 200000) (i64.const 0)))
  (func (export "on_event") (param $kind i32) (param $source i32) (param $len i32) (result i32)
    (if (i32.eq (local.get $kind) (i32.const 4)) (then
      (i32.store8 (i32.const 16) (i32.add (global.get $n) (i32.const 97)))
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (if (i32.eq (global.get $n) (i32.const 10)) (then (drop (call $cancel (i32.const 0)))))
      (return (call $request (i32.const 0) (i32.const 1) (i32.const 16) (i32.const 1) (i64.const 150000)))))
    (if (i32.ne (local.get $kind) (i32.const 8)) (then (return (i32.const -9))))
    ;; tag of the event as a letter, source as a letter, then the payload
    (drop (call $current (i32.const 64)))
    (i32.store8 (i32.const 32) (i32.add (i32.load (i32.const 76)) (i32.const 48)))
    (i32.store8 (i32.const 33) (i32.add (local.get $source) (i32.const 0)))
    (if (i32.eqz (local.get $source)) (then (i32.store8 (i32.const 33) (i32.const 46))))
    (drop (call $read (i32.const 34) (i32.const 16)))
    (call $publish (i32.const 4) (i32.const 3) (i32.const 32) (i32.add (i32.const 2) (local.get $len)))))"#;

/// Answers with the body and an exclamation mark.
const ANSWERER: &str = r#"(module
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (import "coracle:msg@1" "reply" (func $reply (param i32 i32) (result i32)))
  (memory 64 64 (pagesize 1))
  (func (export "on_event") (param $kind i32) (param i32) (param $len i32) (result i32)
    (if (i32.ne (local.get $kind) (i32.const 7)) (then (return (i32.const -9))))
    (drop (call $read (i32.const 8) (i32.const 16)))
    (i32.store8 (i32.add (i32.const 8) (local.get $len)) (i32.const 33))
    (call $reply (i32.const 8) (i32.add (local.get $len) (i32.const 1)))))"#;

/// Logs every message.
const SCRIBE: &str = r#"(module
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
  (memory 256 256 (pagesize 1))
  (func (export "on_event") (param i32 i32) (param $len i32) (result i32)
    (drop (call $read (i32.const 0) (i32.const 192)))
    (drop (call $log (i32.const 3) (i32.const 0) (local.get $len)))
    (i32.const 0)))"#;

fn asked(asker: &Placement, answerer: Option<&Placement>) -> Vec<String> {
    let memory = World::memory();
    let mut plans = vec![
        ticker(),
        container("asker", ASKER, asker, publishes(&["q", "log"])),
        container("scribe", SCRIBE, &A, subscribes(&["log"])),
    ];
    if let Some(place) = answerer {
        plans.push(container("answerer", ANSWERER, place, subscribes(&["q"])));
    }
    let mut world = World::new(&memory, 3, scenario(plans));
    world.run().unwrap();
    assert_eq!(exits(&world), [] as [&What; 0]);
    logs(&world, "scribe").into_iter().map(str::to_owned).collect()
}

#[test]
fn a_request_is_answered_wherever_both_are() {
    // The number of the request, no error, the answer.
    let want: Vec<String> = (0..10_u8).map(|n| format!("{}.{}!", (b'1' + n) as char, (b'a' + n) as char)).collect();
    for asker in [A, M, any(Core::A), any(Core::M)] {
        for answerer in [A, M, any(Core::A), any(Core::M)] {
            assert_eq!(asked(&asker, Some(&answerer)), want, "{asker:?} {answerer:?}");
        }
    }
}

#[test]
fn a_request_that_nobody_answers_ends_with_its_time() {
    for asker in [A, M] {
        let lines = asked(&asker, None);
        // 110 is `n` as a letter.
        let want: Vec<String> = (0..10_u8).map(|n| format!("{}n", (b'1' + n) as char)).collect();
        assert_eq!(lines, want, "{asker:?}");
    }
}

/// Keeps the value `new` on topic `state`.
const HOLDER: &str = r#"(module
  (import "coracle:msg@1" "publish_retained" (func $publish (param i32 i32 i32 i32) (result i32)))
  (memory 64 64 (pagesize 1))
  (data (i32.const 0) "state...new")
  (func (export "init") (result i32)
    (call $publish (i32.const 0) (i32.const 5) (i32.const 8) (i32.const 3)))
  (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#;

/// Repeats on `log` what it gets.
const ECHO: &str = r#"(module
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (memory 256 256 (pagesize 1))
  (data (i32.const 0) "log")
  (func (export "on_event") (param i32 i32) (param $len i32) (result i32)
    (drop (call $read (i32.const 8) (i32.const 192)))
    (call $publish (i32.const 0) (i32.const 3) (i32.const 8) (local.get $len))))"#;

#[test]
fn who_comes_later_gets_the_topics_value_at_once_on_either_core() {
    for holder in [A, M] {
        for late in [A, M, any(Core::A), any(Core::M)] {
            let memory = World::memory();
            let plans = vec![
                container("holder", HOLDER, &holder, publishes(&["state"])),
                container("scribe", SCRIBE, &A, subscribes(&["log"])),
            ];
            let mut world = World::new(&memory, 2, scenario(plans.clone()));
            world.run().unwrap();
            let mut more = plans;
            let grants = Grants { publish: names(&["log"]), ..subscribes(&["state"]) };
            more.push(container("late", ECHO, &late, grants));
            world.apply(scenario(more).desired);
            world.run().unwrap();
            assert_eq!(logs(&world, "scribe"), ["new"], "{holder:?} {late:?}");
        }
    }
}

/// At every message: sets the light of M, reads it back, asks the bus, and asks for a pin that nobody has.
const LAMP: &str = r#"(module
  (import "coracle:gpio@1" "open" (func $open (param i32 i32) (result i32)))
  (import "coracle:gpio@1" "write" (func $write (param i32 i32) (result i32)))
  (import "coracle:gpio@1" "read" (func $read (param i32) (result i32)))
  (import "coracle:i2c@1" "open" (func $bus (param i32 i32) (result i32)))
  (import "coracle:i2c@1" "write_read" (func $wr (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
  (memory 64 64 (pagesize 1))
  (data (i32.const 0) "led.ghost...i2c0....abcd")
  (global $led (mut i32) (i32.const 0))
  (func $check (param $is i32) (param $want i32) (result i32)
    (if (result i32) (i32.eq (local.get $is) (local.get $want)) (then (i32.const 0)) (else (unreachable))))
  (func (export "init") (result i32)
    (global.set $led (call $open (i32.const 0) (i32.const 3)))
    (drop (call $check (call $write (global.get $led) (i32.const 1)) (i32.const 0)))
    (drop (call $check (call $read (global.get $led)) (i32.const 1)))
    (drop (call $check (call $read (call $open (i32.const 4) (i32.const 5))) (i32.const -2)))
    (drop (call $check (call $wr (call $bus (i32.const 12) (i32.const 4)) (i32.const 0x48) (i32.const 20)
      (i32.const 4) (i32.const 32) (i32.const 4)) (i32.const 4)))
    (drop (call $check (i32.load (i32.const 32)) (i32.load (i32.const 20))))
    (drop (call $check (call $wr (call $bus (i32.const 12) (i32.const 4)) (i32.const 0x49) (i32.const 20)
      (i32.const 4) (i32.const 32) (i32.const 4)) (i32.const -6)))
    (call $log (i32.const 3) (i32.const 0) (i32.const 3)))
  (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#;

fn lamp(place: &Placement) -> Plan {
    let pin = |label: &str| {
        let mode = if label == "led" { PinMode::Output } else { PinMode::Input };
        PinGrant { label: label.try_into().unwrap(), mode, exclusive: false }
    };
    let addresses = [0x48, 0x49].into_iter().collect();
    let grants = Grants {
        pins: ["led", "ghost"].map(pin).into_iter().collect(),
        i2c: [I2cGrant { bus: "i2c0".try_into().unwrap(), addresses, exclusive: false }].into_iter().collect(),
        ..Grants::default()
    };
    container("lamp", LAMP, place, grants)
}

#[test]
fn a_container_on_a_uses_the_devices_of_m() {
    let memory = World::memory();
    let mut world = World::new(&memory, 4, scenario(vec![lamp(&A)]));
    world.run().unwrap();
    assert_eq!(exits(&world), [] as [&What; 0]);
    assert_eq!(logs(&world, "lamp"), ["led"]);
    assert!(world.m.as_ref().unwrap().devices.led);
}

/// Takes ten blocks of the sensor.
const WATCHER: &str = r#"(module
  (import "coracle:sensor@1" "open" (func $open (param i32 i32) (result i32)))
  (import "coracle:sensor@1" "close" (func $close (param i32) (result i32)))
  (import "coracle:sensor@1" "read_block" (func $block (param i32 i32 i32 i32) (result i32)))
  (memory 1200 1200 (pagesize 1))
  (data (i32.const 0) "accel0")
  (global $n (mut i32) (i32.const 0))
  (global $last (mut i32) (i32.const -1))
  (global $s (mut i32) (i32.const 0))
  (func (export "init") (result i32)
    (global.set $s (call $open (i32.const 0) (i32.const 6)))
    (global.get $s))
  (func (export "on_event") (param $kind i32) (param $source i32) (param $len i32) (result i32)
    (if (i32.ne (local.get $kind) (i32.const 1)) (then (return (i32.const -9))))
    (if (i32.ne (call $block (local.get $source) (i32.const 16) (i32.const 64) (i32.const 512)) (local.get $len))
      (then (return (i32.const -2))))
    (if (i32.ne (local.get $len) (i32.const 512)) (then (return (i32.const -3))))
    ;; What A does not take in time is left out, but nothing comes twice or late.
    (if (i32.le_s (i32.load (i32.const 24)) (global.get $last)) (then (return (i32.const -4))))
    (global.set $last (i32.load (i32.const 24)))
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (if (i32.eq (global.get $n) (i32.const 10)) (then (return (call $close (global.get $s)))))
    (i32.const 0)))"#;

#[test]
fn a_container_on_a_reads_a_sensor_of_m() {
    for place in [A, any(Core::A)] {
        let memory = World::memory();
        let grant = SensorGrant { name: "accel0".try_into().unwrap(), rate_hz: 0, exclusive: false };
        let grants = Grants { sensors: [grant].into_iter().collect(), ..Grants::default() };
        let plan = plan("watcher", WATCHER, 1200, 16, place.clone(), grants);
        let mut world = World::new(&memory, 4, Scenario { blocks: 200, ..scenario(vec![plan]) });
        let report = report(&mut world);
        assert_eq!(exits(&world), [] as [&What; 0]);
        // More than M lends at once, so they were given back.
        assert_eq!(report.containers["watcher"].events, 10, "{place:?} {report:#?}");
    }
}

/// A command: counts its starts in its store, then its messages, and logs both.
const COMMAND: &str = r#"(module
  (import "coracle:kv@1" "get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "coracle:kv@1" "set" (func $set (param i32 i32 i32 i32) (result i32)))
  (import "coracle:event@1" "wait" (func $wait (param i32 i64 i32) (result i32)))
  (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
  (memory 128 128 (pagesize 1))
  (data (i32.const 0) "n")
  (data (i32.const 8) "@@")
  (func (export "_start")
    (drop (call $get (i32.const 0) (i32.const 1) (i32.const 8) (i32.const 2)))
    (i32.store8 (i32.const 8) (i32.add (i32.load8_u (i32.const 8)) (i32.const 1)))
    (loop $on
      (drop (call $set (i32.const 0) (i32.const 1) (i32.const 8) (i32.const 2)))
      (drop (call $log (i32.const 3) (i32.const 8) (i32.const 2)))
      (if (i32.eqz (call $wait (i32.const 4) (i64.const -1) (i32.const 32)))
        (then (i32.store8 (i32.const 9) (i32.add (i32.load8_u (i32.const 9)) (i32.const 1)))))
      (br $on))))"#;

#[test]
fn a_command_waits_for_its_messages_and_keeps_its_store_over_a_death_of_a() {
    let memory = World::memory();
    let grants = Grants { kv: 64, ..subscribes(&["t"]) };
    let talker = container("talker", TALKER, &M, publishes(&["t"]));
    let plans = vec![plan("command", COMMAND, 256, 64, A, grants), talker, ticker()];
    let mut world = World::new(&memory, 4, scenario(plans));
    world.run_until(|w| logs(w, "command").len() == 20).unwrap();
    world.kill(Kill::A);
    let report = report(&mut world);
    assert_eq!(exits(&world), [] as [&What; 0]);
    let lines = logs(&world, "command");
    // The first start counted from `@`, the second goes on where the first one's store was: every message once.
    let starts = lines.iter().filter(|l| l.starts_with('B')).count();
    assert_eq!(lines[0], "A@");
    assert!(starts > 0, "{lines:?}");
    let counts: Vec<u8> = lines.iter().map(|l| l.as_bytes()[1] - b'@').collect();
    // The second start says once more where the first one was.
    assert!(counts.windows(2).all(|w| w[1] == w[0] + 1 || w[1] == w[0]), "{lines:?}");
    // What was published while A was dead had room for sixteen on M.
    assert!(counts[counts.len() - 1] >= 19 + 16, "{lines:?}");
    assert!(report.containers["command"].events >= 19 + 15, "{report:#?}");
}

/// Publishes its setting `k` on `log` at its start and whenever it changes.
const CONFIGURED: &str = r#"(module
  (import "coracle:config@1" "get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (memory 128 128 (pagesize 1))
  (data (i32.const 0) "log.k")
  (func $say (result i32)
    (call $publish (i32.const 0) (i32.const 3) (i32.const 16)
      (call $get (i32.const 4) (i32.const 1) (i32.const 16) (i32.const 63))))
  (func (export "init") (result i32) (call $say))
  (func (export "on_event") (param $kind i32) (param i32) (param $len i32) (result i32)
    (if (i32.ne (local.get $kind) (i32.const 5)) (then (return (i32.const -9))))
    (if (i32.ne (local.get $len) (i32.const 2)) (then (return (i32.const -8))))
    (call $say)))"#;

#[test]
fn a_setting_changes_while_the_container_runs() {
    for place in [A, M, any(Core::A), any(Core::M)] {
        let memory = World::memory();
        let plans = |value| {
            let grants = Grants { config: config("k", value), ..publishes(&["log"]) };
            vec![
                container("configured", CONFIGURED, &place, grants),
                container("scribe", SCRIBE, &A, subscribes(&["log"])),
            ]
        };
        let mut world = World::new(&memory, 4, scenario(plans("old")));
        world.run().unwrap();
        world.apply(scenario(plans("new")).desired);
        world.run().unwrap();
        // It is new for M as well when A comes back, and no change.
        world.kill(Kill::A);
        world.run().unwrap();
        let moved = matches!(place, Placement::Any { .. });
        if moved {
            let a = world.a.as_mut().unwrap();
            let (on_m, _) =
                (world.m.as_ref().unwrap().core.containers().any(|(n, s)| n == "configured" && s.is_live()), ());
            let to = if on_m { coracle_api::Core::A } else { coracle_api::Core::M };
            a.node.request(9, Request::Move { container: "configured".into(), to }, world.now_us);
            a.collect();
            world.run().unwrap();
        }
        world.apply(scenario(plans("third")).desired);
        world.run().unwrap();
        assert_eq!(exits(&world), [] as [&What; 0]);
        assert_eq!(logs(&world, "scribe"), ["old", "new", "third"], "{place:?}");
        let started = |e: &What| matches!(e, What::Started { container, from, .. } if container == "configured" && from == "fresh");
        assert_eq!(world.count(started), 1, "it was started anew: {:#?}", world.events);
        assert_eq!(world.count(|e| matches!(e, What::Moved { .. })), usize::from(moved));
    }
}

/// Divides by zero in a function with a name.
const DIVIDER: &str = r#"(module
  (memory 64 64 (pagesize 1))
  (func $halve_by_nothing (param i32) (result i32) (i32.div_s (local.get 0) (i32.const 0)))
  (func (export "init") (result i32) (call $halve_by_nothing (i32.const 1)))
  (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#;

#[test]
fn a_trap_names_its_function() {
    for (place, offset) in [(A, true), (M, false)] {
        let memory = World::memory();
        let mut world =
            World::new(&memory, 4, scenario(vec![container("divider", DIVIDER, &place, Grants::default())]));
        world.run().unwrap();
        let [What::Exited { reason, .. }] = exits(&world)[..] else { panic!("{:#?}", world.events) };
        assert!(reason.starts_with("trapped: division by zero"), "{reason}");
        if offset {
            assert!(
                reason.starts_with("trapped: division by zero in function `halve_by_nothing` (index 0) at"),
                "{reason}"
            );
        }
    }
}

/// Asks for what it has no grant for, ten times.
const CURIOUS: &str = r#"(module
  (import "coracle:time@1" "set_timer" (func $timer (param i64 i64 i64) (result i32)))
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (memory 64 64 (pagesize 1))
  (data (i32.const 0) "secret")
  (global $n (mut i32) (i32.const 0))
  (func (export "init") (result i32) (call $timer (i64.const 1000) (i64.const 1000) (i64.const 0)))
  (func (export "on_event") (param i32 i32 i32) (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (if (i32.lt_u (global.get $n) (i32.const 11)) (then
      (drop (call $publish (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 1)))))
    (i32.const 0)))"#;

#[test]
fn a_refused_call_is_told_once_and_counted() {
    for (place, core) in [(A, coracle_api::Core::A), (M, coracle_api::Core::M)] {
        let memory = World::memory();
        let mut world =
            World::new(&memory, 4, scenario(vec![container("curious", CURIOUS, &place, publishes(&["mine"]))]));
        world.run_until(|w| w.steps > 4000).unwrap();
        let now_us = world.now_us;
        let a = world.a.as_mut().unwrap();
        a.node.request(7, Request::Report, now_us);
        a.collect();
        world.run_until(|w| w.replies.iter().any(|r| matches!(r, Reply::Report(_)))).unwrap();
        let Some(Reply::Report(report)) = world.replies.last() else { panic!("{:?}", world.replies) };
        assert_eq!(report.containers["curious"].refused, 10, "{report:#?}");
        let told: Vec<_> = world
            .events
            .iter()
            .filter_map(|e| match e {
                What::Refused { container, core, call, .. } => Some((container.as_str(), *core, call.as_str())),
                _ => None,
            })
            .collect();
        // M says it when A is awake; its log and its numbers have it in any case.
        assert!(told.len() <= 1);
        if core == coracle_api::Core::A {
            assert_eq!(told, [("curious", core, "coracle:msg@1 publish")]);
        }
    }
}

/// Never waits: sets a timer of no length at every event.
const BUSY: &str = r#"(module
  (import "coracle:time@1" "set_timer" (func $timer (param i64 i64 i64) (result i32)))
  (memory 64 64 (pagesize 1))
  (func (export "init") (result i32) (call $timer (i64.const 0) (i64.const 0) (i64.const 0)))
  (func (export "on_event") (param i32 i32 i32) (result i32)
    (local $i i32)
    (loop $on
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $on (i32.lt_u (local.get $i) (i32.const 1000))))
    (call $timer (i64.const 0) (i64.const 0) (i64.const 0))))"#;

#[test]
fn fuel_a_second_throttles_that_container_only() {
    let memory = World::memory();
    let mut busy = container("busy", BUSY, &A, Grants::default());
    busy.spec.limits.fuel_per_second = 100_000;
    let mut plans = talk(&A);
    plans.push(busy);
    let mut world = World::new(&memory, 4, scenario(plans));
    let start = world.now_us;
    world.run_until(|w| w.now_us > start + 3_000_000).unwrap();
    let report = world.a.as_ref().unwrap().node.report();
    let fuel = report.containers["busy"].fuel[&coracle_api::Core::A];
    // A second's worth at once, three seconds, and the slice that crossed the line.
    assert!((300_000..=420_000).contains(&fuel), "{fuel}");
    assert_eq!(report.containers["ear-a"].events, 60);
}
