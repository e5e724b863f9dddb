//! Storms beside a scenario, with both supervisors, in virtual time: the honest containers come to the state that they
//! come to without the hostile one.

use coracle_api::What;
use coracle_container::{Grants, Limits};
use coracle_model::{Placement, Plan};
use coracle_policy::Core;
use coracle_test_sim::{Scenario, TrackerState, World, plan};

/// Blocks that the sensor gives.
const BLOCKS: u32 = 30;

/// Sets eight timers of a microsecond; `body` is what it does for each.
fn timers(imports: &str, body: &str) -> String {
    format!(
        r#"(module
          (import "coracle:time@1" "set_timer" (func $set_timer (param i64 i64 i64) (result i32))) {imports}
          (memory 256 256 (pagesize 1)) (data (i32.const 0) "noise")
          (func (export "init") (result i32) (local $i i32)
            (loop $l
              (drop (call $set_timer (i64.const 0) (i64.const 1) (i64.const 0)))
              (br_if $l (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 8))))
            (i32.const 0))
          (func (export "on_event") (param i32 i32 i32) (result i32) (local $i i32)
            (local.set $i (i32.const 100))
            (loop $l {body} (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
            (i32.const 0)))"#
    )
}

const PUBLISH: &str = r#"(import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))"#;
const REQUEST: &str = r#"(import "coracle:msg@1" "request" (func $request (param i32 i32 i32 i32 i64) (result i32)))"#;
const LOG: &str = r#"(import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))"#;
const WAKE: &str = r#"(import "coracle:wake@1" "request" (func $wake (param i32 i32 i32 i32) (result i32)))"#;
/// Works on and on for every event.
const SLOW: &str = r#"(module (func (export "on_event") (param i32 i32 i32) (result i32) (local $i i32)
  (loop $l (br_if $l (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 200000))))
  (i32.const 0)))"#;
/// Never ends its first run.
const ENDLESS: &str = r#"(module (func (export "init") (result i32) (loop $l (br $l)) (i32.const 0))
  (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#;
/// Sleeps for the shortest time, for ever.
const RESTLESS: &str = r#"(module (import "coracle:time@1" "sleep" (func $sleep (param i64) (result i32)))
  (func (export "_start") (loop $l (drop (call $sleep (i64.const 1))) (br $l))))"#;

fn hostile(text: &str, grants: Grants, limits: impl FnOnce(&mut Limits)) -> Plan {
    let mut plan = plan("hostile", text, 256, 4, Placement::Fixed(Core::M), grants);
    (plan.spec.limits.timers, plan.spec.limits.logs_per_second) = (8, 1000);
    limits(&mut plan.spec.limits);
    plan
}

fn names(list: &[&str]) -> coracle_container::List<coracle_guest_abi::Name, 8> {
    list.iter().map(|n| (*n).try_into().unwrap()).collect()
}

/// The state of the honest containers after the last block, how many containers ended, and the turns that M took.
fn after(hostile: Vec<Plan>) -> (TrackerState, usize, u64) {
    let memory = World::memory();
    let mut scenario = Scenario::bearing_watch(true);
    scenario.blocks = BLOCKS;
    let honest = u64::from(BLOCKS) * 4;
    scenario.desired.plans.extend(hostile);
    let mut world = World::new(&memory, 1, scenario);
    let done = world.run_until(|w| {
        // Looking at it takes long.
        w.sensor.ended && w.tracker().is_some_and(|t| t.count == honest && t.queued == 0)
    });
    assert_eq!(done, Ok(true), "{:?} {:#?}", world.tracker(), world.events);
    let exits = world.count(|e| matches!(e, What::Exited { .. }));
    (world.tracker().unwrap(), exits, world.m.as_ref().unwrap().turns)
}

#[test]
fn storms_leave_the_neighbours_what_they_are() {
    let (undisturbed, exits, alone) = after(Vec::new());
    assert_eq!(exits, 0);
    let publish = || Grants { publish: names(&["noise"]), wake: names(&["fault"]), ..Grants::default() };
    let listens = |topic: &str| Grants { subscribe: names(&[topic]), ..Grants::default() };
    let send = "(drop (call $publish (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 100)))";
    let mut listener = hostile(SLOW, listens("noise"), |_| {});
    listener.spec.name = "listener".try_into().unwrap();
    let storms = [
        ("timers", vec![hostile(&timers("", "nop"), Grants::default(), |_| {})], 0, 3),
        ("messages nobody wants", vec![hostile(&timers(PUBLISH, send), publish(), |_| {})], 0, 3),
        ("messages to a slow listener", vec![hostile(&timers(PUBLISH, send), publish(), |_| {}), listener], 0, 4),
        (
            "requests",
            vec![hostile(
                &timers(
                    REQUEST,
                    "(drop (call $request (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 9) (i64.const 1)))",
                ),
                publish(),
                |_| {},
            )],
            0,
            3,
        ),
        (
            "log lines",
            vec![hostile(
                &timers(LOG, "(drop (call $log (i32.const 3) (i32.const 0) (i32.const 160)))"),
                Grants::default(),
                |_| {},
            )],
            0,
            3,
        ),
        (
            "wakes without a rule of its own",
            vec![hostile(
                &timers(WAKE, "(drop (call $wake (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 9)))"),
                Grants { wake: names(&["noise"]), ..Grants::default() },
                |_| {},
            )],
            0,
            3,
        ),
        ("short sleeps", vec![hostile(RESTLESS, Grants::default(), |_| {})], 0, 3),
        ("an endless loop", vec![hostile(ENDLESS, Grants::default(), |l| l.fuel_per_event = 1 << 40)], 0, 3),
        (
            "an endless loop with little fuel a second",
            vec![hostile(ENDLESS, Grants::default(), |l| (l.fuel_per_event, l.fuel_per_second) = (1 << 40, 50_000))],
            0,
            2,
        ),
        ("an endless loop that ends", vec![hostile(ENDLESS, Grants::default(), |l| l.fuel_per_event = 100_000)], 1, 2),
        ("slow work for every block's messages", vec![hostile(SLOW, listens("vibration/summary"), |_| {})], 0, 8),
    ];
    for (name, plans, ended, factor) in storms {
        let (state, exits, turns) = after(plans);
        println!("{name}: {turns} turns, {alone} alone");
        assert_eq!(state, undisturbed, "{name}");
        assert_eq!(exits, ended, "{name}");
        assert!(turns <= factor * alone, "{name}: {turns} turns, {alone} alone");
    }
}
