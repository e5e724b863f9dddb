//! Guests that wait, and guests that take long.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{engines, event, go_on, lines, load, start, try_load};
use coracle_container::{DeviceAnswer, DeviceCall, Grants, I2cGrant, Limits, OwnedEffect, Step, Waiting};
use coracle_engine::{CaptureError, Container, LoadError};
use coracle_guest_abi::{Errno, EventKind};
use coracle_lifecycle::ExitReason;

/// A command that waits for events of any kind for `timeout` and publishes the payload of each; it returns when the
/// time is over, and exits with the error's number for any other.
fn echo(timeout: i64) -> String {
    format!(
        r#"(module
  (import "coracle:event@1" "wait" (func $wait (param i32 i64 i32) (result i32)))
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "out")
  (func (export "_start") (local $n i32)
    (loop $again
      (local.set $n (call $wait (i32.const 0) (i64.const {timeout}) (i32.const 64)))
      (if (i32.eq (local.get $n) (i32.const -110)) (then return))
      (if (local.get $n) (then (call $exit (i32.sub (i32.const 0) (local.get $n)))))
      (local.set $n (call $read (i32.const 128) (i32.const 64)))
      (drop (call $publish (i32.const 0) (i32.const 3) (i32.const 128) (local.get $n)))
      (br $again))))"#
    )
}

fn publish() -> Grants {
    Grants { publish: ["out".parse().unwrap()].into_iter().collect(), ..Grants::default() }
}

fn published(container: &mut Container) -> Vec<Vec<u8>> {
    let effects = container.take_effects();
    let payload = |e| if let OwnedEffect::Publish { payload, .. } = e { Some(payload.to_vec()) } else { None };
    effects.into_iter().filter_map(payload).collect()
}

#[test]
fn a_command_waits_for_events_and_ends() {
    for engine in engines() {
        let mut c = load(engine, &echo(1000), publish());
        assert!(c.is_command() && c.is_idle());
        assert_eq!(start(&mut c, 5_000_000, None), Step::Parked);
        assert!(!c.is_idle());
        assert_eq!(c.waiting(), Some(Waiting::Event { kinds: u32::MAX }));
        assert_eq!(c.deadline_us(), Some(5_001_000));
        assert_eq!(c.capture(std::iter::empty(), &mut [0; 256]), Err(CaptureError::NotIdle));
        // Nothing came: it stays where it is.
        c.poll(5_000_999);
        assert_eq!(go_on(&mut c, 5_000_999), Step::Parked);
        assert_eq!(published(&mut c), Vec::<Vec<u8>>::new());

        c.deliver(event(EventKind::Message, b"one")).unwrap();
        assert_eq!(c.waiting(), None);
        assert_eq!(c.deliver(event(EventKind::Message, b"two")).unwrap_err().payload[..], *b"two");
        assert_eq!(go_on(&mut c, 5_000_999), Step::Parked);
        assert_eq!(published(&mut c), [b"one"]);
        assert_eq!(c.usage().events, 0, "the first one is being handled until the next one is asked for");
        assert_eq!(c.deadline_us(), Some(5_001_999));
        c.deliver(event(EventKind::Timer, b"")).unwrap();
        assert_eq!(go_on(&mut c, 5_001_000), Step::Parked);
        assert_eq!((c.usage().events, published(&mut c)), (1, vec![Vec::new()]));

        c.poll(5_002_000);
        assert_eq!(go_on(&mut c, 5_002_000), Step::Exited(ExitReason::Exited(0)));
        assert_eq!(c.run(5_002_001, 1), Step::Exited(ExitReason::Exited(0)));
        assert_eq!(c.usage().memory_bytes, 65536);
    }
}

/// A container that reads a register over I2C at every event and publishes what it got, and does the same in `init`.
const THERMOMETER: &str = r#"(module
  (import "coracle:i2c@1" "open" (func $open (param i32 i32) (result i32)))
  (import "coracle:i2c@1" "write_read" (func $write_read (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $bus (mut i32) (i32.const 0))
  (export "coracle_global_0" (global $bus))
  (data (i32.const 0) "out bus0 \05")
  (func $measure (result i32) (local $n i32)
    (local.set $n (call $write_read (global.get $bus) (i32.const 0x48) (i32.const 9) (i32.const 1) (i32.const 64) (i32.const 2)))
    (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
    (call $publish (i32.const 0) (i32.const 3) (i32.const 64) (local.get $n)))
  (func (export "init") (result i32)
    (global.set $bus (call $open (i32.const 4) (i32.const 4)))
    (call $measure))
  (func (export "on_event") (param i32 i32 i32) (result i32) (call $measure)))"#;

fn bus() -> Grants {
    let i2c = I2cGrant { bus: "bus0".parse().unwrap(), addresses: [0x48].into_iter().collect(), exclusive: false };
    Grants { i2c: [i2c].into_iter().collect(), ..publish() }
}

#[test]
fn a_device_call_waits_in_the_middle_of_an_event() {
    for engine in engines() {
        let mut c = load(engine, THERMOMETER, bus());
        let call = DeviceCall::I2c { bus: "bus0".parse().unwrap(), address: 0x48, write: vec![5], read: 2 };
        assert_eq!(start(&mut c, 0, None), Step::Parked);
        assert_eq!(c.waiting(), Some(Waiting::Device(&call)));
        assert_eq!(c.deadline_us(), None);
        assert!(c.deliver(event(EventKind::Message, b"")).is_err(), "it waits for no event");
        c.answer(Ok(DeviceAnswer::Bytes(vec![1, 2])));
        assert_eq!(go_on(&mut c, 0), Step::Done);
        assert!(c.is_idle() && c.state().initialised);
        assert_eq!(published(&mut c), [[1, 2]]);

        assert_eq!(start(&mut c, 0, Some(event(EventKind::Timer, b""))), Step::Parked);
        c.begin(Some(event(EventKind::Timer, b"")));
        assert_eq!(c.waiting(), Some(Waiting::Device(&call)), "an event in the middle of one does nothing");
        c.answer(Err(Errno::NoDevice));
        assert_eq!(go_on(&mut c, 0), Step::Exited(ExitReason::Returned(-6)));
    }
}

#[test]
fn its_state_moves_between_the_back_ends_between_events() {
    let [native, pulley] = engines();
    let mut a = load(native, THERMOMETER, bus());
    start(&mut a, 0, None);
    a.answer(Ok(DeviceAnswer::Bytes(vec![1, 2])));
    assert_eq!(go_on(&mut a, 70), Step::Done);
    let mut bytes = vec![0; 4096];
    let used = a.capture(std::iter::empty(), &mut bytes).unwrap();
    let snapshot = coracle_migrate::snapshot::Snapshot::decode(&bytes[..used]).unwrap();
    let module = wat::parse_str(THERMOMETER).unwrap();
    let mut b = Container::restore(pulley, &module, Arc::clone(a.spec()), &snapshot).unwrap();
    assert_eq!(b.state_digest(), a.state_digest());
    for c in [&mut a, &mut b] {
        assert_eq!(start(c, 100, Some(event(EventKind::Timer, b""))), Step::Parked);
        c.answer(Ok(DeviceAnswer::Bytes(vec![9, 9])));
        assert_eq!(go_on(c, 100), Step::Done);
        assert_eq!(c.state().handled, 1);
    }
    assert_eq!(b.state_digest(), a.state_digest());
}

#[test]
fn a_sleep_ends_when_its_time_is_over() {
    const SLEEPER: &str = r#"(module
      (import "coracle:time@1" "sleep" (func $sleep (param i64) (result i32)))
      (import "coracle:time@1" "now" (func $now (result i64)))
      (memory (export "memory") 1)
      (func (export "on_event") (param i32 i32 i32) (result i32) (local $t i64)
        (local.set $t (call $now))
        (if (call $sleep (i64.const 300)) (then (return (i32.const -1))))
        (i64.store (i32.const 8) (i64.sub (call $now) (local.get $t)))
        (i32.sub (i32.const 0) (i32.wrap_i64 (i64.load (i32.const 8))))))"#;
    for engine in engines() {
        let mut c = load(engine, SLEEPER, Grants::default());
        assert_eq!(start(&mut c, 0, None), Step::Done);
        assert_eq!(start(&mut c, 1000, Some(event(EventKind::Timer, b""))), Step::Parked);
        assert_eq!((c.waiting(), c.deadline_us()), (Some(Waiting::Time), Some(1300)));
        c.poll(1299);
        assert_eq!(go_on(&mut c, 1299), Step::Parked);
        c.poll(1320);
        assert_eq!(go_on(&mut c, 1320), Step::Exited(ExitReason::Returned(-320)));
    }
}

/// Polls for an event and for 2 ms; exits with the number of the first subscription that happened.
const POLLER: &str = r#"(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i64.store (i32.const 0) (i64.const 41))
    (i32.store8 (i32.const 8) (i32.const 1))
    (i64.store (i32.const 48) (i64.const 42))
    (i32.store (i32.const 64) (i32.const 1))
    (i64.store (i32.const 72) (i64.const 2000000))
    (if (call $poll (i32.const 0) (i32.const 256) (i32.const 2) (i32.const 512)) (then unreachable))
    (if (i32.ne (i32.load (i32.const 512)) (i32.const 1)) (then unreachable))
    (call $exit (i32.load (i32.const 256)))))"#;

#[test]
fn a_poll_ends_with_what_comes_first() {
    for engine in engines() {
        for (notice, exit) in [(true, 41), (false, 42)] {
            let mut c = load(engine, POLLER, Grants::default());
            assert_eq!(start(&mut c, 0, None), Step::Parked);
            assert_eq!((c.waiting(), c.deadline_us()), (Some(Waiting::Notice), Some(2000)));
            let now = if notice { 1999 } else { 2000 };
            if notice {
                c.notice();
            } else {
                c.poll(now);
            }
            assert_eq!(go_on(&mut c, now), Step::Exited(ExitReason::Exited(exit)));
        }
    }
}

/// Logs "before", counts to `n`, logs "after"; of a command or of an event.
fn worker(n: u32, export: &str) -> String {
    let result = if export == "_start" { "" } else { "(i32.const 0)" };
    let ty = if export == "_start" { "" } else { "(param i32 i32 i32) (result i32)" };
    format!(
        r#"(module
  (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "beforeafter")
  (func (export "{export}") {ty} (local $i i32)
    (drop (call $log (i32.const 3) (i32.const 0) (i32.const 6)))
    (loop $l
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const {n}))))
    (drop (call $log (i32.const 3) (i32.const 6) (i32.const 5)))
    {result}))"#
    )
}

#[test]
fn a_long_event_is_run_in_slices() {
    for engine in engines() {
        let limits = Limits { fuel_per_event: u64::MAX / 2, ..Limits::default() };
        let mut c = try_load(engine, &worker(1_000_000, "on_event"), limits, Grants::default()).unwrap();
        assert_eq!(start(&mut c, 0, None), Step::Done);
        let (mut slices, mut fuel) = (0, c.usage().fuel_total);
        c.begin(Some(event(EventKind::Timer, b"")));
        while c.run(0, 1_000_000) == Step::Pending {
            slices += 1;
            assert_eq!(c.waiting(), None);
            assert_eq!(c.usage().fuel_total - fuel, 1_000_000);
            fuel = c.usage().fuel_total;
        }
        // Five or so units an iteration.
        assert!((3..=8).contains(&slices), "{slices}");
        assert_eq!(lines(&mut c), ["before", "after"]);
        let total = c.usage().fuel_total;
        assert!((fuel..fuel + 1_100_000).contains(&total), "{total}");
        assert_eq!(c.run(0, 1_000_000), Step::Done);

        // What an event costs does not depend on how it is sliced.
        for slice in [1, 777, 123_456, u64::MAX] {
            let before = c.usage().fuel_total;
            if slice == 1 {
                let mut short = try_load(engine, &worker(100, "on_event"), limits, Grants::default()).unwrap();
                let costs = [1, 7, 1000].map(|slice| {
                    let before = short.usage().fuel_total;
                    short.begin(Some(event(EventKind::Timer, b"")));
                    while short.run(0, slice) == Step::Pending {}
                    short.usage().fuel_total - before
                });
                assert_eq!(costs, [costs[2]; 3]);
                continue;
            }
            c.begin(Some(event(EventKind::Timer, b"")));
            while c.run(0, slice) == Step::Pending {}
            assert_eq!(c.usage().fuel_total - before, total, "slices of {slice}");
        }
    }
}

#[test]
fn the_fuel_of_an_event_is_a_limit_however_it_is_sliced() {
    for engine in engines() {
        let load = |fuel_per_event| {
            let limits = Limits { fuel_per_event, ..Limits::default() };
            try_load(engine, &worker(10_000, "on_event"), limits, Grants::default()).unwrap()
        };
        let mut c = load(u64::MAX);
        c.begin(Some(event(EventKind::Timer, b"")));
        assert_eq!(go_on(&mut c, 0), Step::Done);
        let cost = c.usage().fuel_total;
        // Fuel is looked at when a loop or a function begins, so a few units less than it costs suffice.
        let limits = [1, cost / 2, cost - 40].into_iter().map(|limit| (limit, Some(false)));
        for (limit, fits) in limits.chain((cost - 39..cost).map(|limit| (limit, None))).chain([(cost, Some(true))]) {
            let ends = [100, 1000, u64::MAX].map(|slice| {
                let mut c = load(limit);
                c.begin(Some(event(EventKind::Timer, b"")));
                let end = loop {
                    match c.run(0, slice) {
                        Step::Pending => {}
                        step => break step,
                    }
                };
                assert!(c.usage().fuel_total <= limit, "{} of {limit}", c.usage().fuel_total);
                if end != Step::Done && limit > 100 {
                    assert_eq!(lines(&mut c), ["before"], "log lines stay");
                }
                end
            });
            assert_eq!(ends, [ends[0]; 3], "the end depends on the slices with a limit of {limit} of {cost}");
            let want = |fits| if fits { Step::Done } else { Step::Exited(ExitReason::OutOfFuel) };
            assert!(fits.is_none_or(|fits| ends[0] == want(fits)), "{ends:?} with a limit of {limit} of {cost}");
        }
    }
}

#[test]
fn host_calls_end_a_slice_too() {
    let text = r#"(module
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "on_event") (param i32 i32 i32) (result i32) (local $i i32)
        (loop $l
          (if (call $random (i32.const 0) (i32.const 8)) (then (return (i32.const -1))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (i32.const 3500))))
        (i32.const 0)))"#;
    for engine in engines() {
        let mut c = load(engine, text, Grants::default());
        c.begin(Some(event(EventKind::Timer, b"")));
        let steps: Vec<_> = (0..4).map(|_| c.run(0, u64::MAX)).collect();
        assert_eq!(steps, [Step::Pending, Step::Pending, Step::Pending, Step::Done]);
        assert_eq!(c.state().random, 3500);
    }
}

#[test]
fn a_container_can_change_its_thread() {
    let [engine, _] = engines();
    let mut c = load(engine, THERMOMETER, bus());
    assert_eq!(start(&mut c, 0, None), Step::Parked);
    let mut c = std::thread::spawn(move || {
        c.answer(Ok(DeviceAnswer::Bytes(vec![1, 2])));
        assert_eq!(go_on(&mut c, 0), Step::Done);
        assert_eq!(start(&mut c, 0, Some(event(EventKind::Timer, b""))), Step::Parked);
        c
    })
    .join()
    .unwrap();
    c.answer(Ok(DeviceAnswer::Bytes(vec![1, 2])));
    assert_eq!(go_on(&mut c, 0), Step::Done);
}

/// Sleeps `n` times and works in between.
fn napper(n: u32, export: &str) -> String {
    let result = if export == "_start" { "" } else { "(i32.const 0)" };
    let ty = if export == "_start" { "" } else { "(param i32 i32 i32) (result i32)" };
    format!(
        r#"(module
  (import "coracle:time@1" "sleep" (func $sleep (param i64) (result i32)))
  (memory (export "memory") 1)
  (func (export "{export}") {ty} (local $i i32) (local $n i32)
    (loop $outer
      (local.set $i (i32.const 0))
      (loop $l
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get $i) (i32.const 1000))))
      (drop (call $sleep (i64.const 1)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $outer (i32.lt_u (local.get $n) (i32.const {n}))))
    {result}))"#
    )
}

#[test]
fn a_wait_of_a_command_begins_its_budget_anew_and_one_of_an_event_does_not() {
    for engine in engines() {
        let limits = Limits { fuel_per_event: 10_000, ..Limits::default() };
        for (export, end) in [("_start", ExitReason::Exited(0)), ("on_event", ExitReason::OutOfFuel)] {
            let mut c = try_load(engine, &napper(50, export), limits, Grants::default()).unwrap();
            let (mut now, mut fuel) = (0, 0);
            let mut step = start(&mut c, now, (export == "on_event").then(|| event(EventKind::Timer, b"")));
            while step == Step::Parked {
                let used = c.usage().fuel_total - fuel;
                assert!((4000..10_000).contains(&used), "{used} between two waits");
                fuel += used;
                now += 1;
                c.poll(now);
                step = go_on(&mut c, now);
            }
            assert_eq!(step, Step::Exited(end), "{export}");
            if export == "_start" {
                assert_eq!(now, 50);
                assert!(c.usage().fuel_total > 50 * 4000);
            } else {
                assert!(c.usage().fuel_total <= 10_000);
            }
        }
    }
}

#[test]
fn a_command_keeps_what_it_asked_for_and_a_trap_does_not() {
    let text = |end: &str| {
        echo(0).replace(
            "(then return)",
            &format!("(then (drop (call $publish (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 3))) {end})"),
        )
    };
    for engine in engines() {
        for (end, reason, kept) in [
            ("return", ExitReason::Exited(0), 1),
            ("(call $exit (i32.const 0)) unreachable", ExitReason::Exited(0), 1),
            ("(call $exit (i32.const -3)) unreachable", ExitReason::Exited(-3), 1),
        ] {
            let mut c = load(engine, &text(end), publish());
            assert_eq!(start(&mut c, 0, None), Step::Parked);
            c.poll(0);
            assert_eq!(go_on(&mut c, 0), Step::Exited(reason));
            assert_eq!(published(&mut c).len(), kept);
        }
        let mut c = load(engine, &text("unreachable"), publish());
        start(&mut c, 0, None);
        c.poll(0);
        assert!(matches!(go_on(&mut c, 0), Step::Exited(ExitReason::Trapped(..))));
        assert_eq!(published(&mut c), Vec::<Vec<u8>>::new());
    }
}

#[test]
fn both_styles_at_once_or_none_is_refused() {
    let both = r#"(module (func (export "_start")) (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#;
    let [engine, _] = engines();
    let load = |text| try_load(engine, text, Limits::default(), Grants::default()).err();
    assert_eq!(load(both), Some(LoadError::BothStyles));
    assert_eq!(load("(module)"), Some(LoadError::MissingExport { name: "on_event" }));
    assert_eq!(
        load(r#"(module (func (export "_start") (param i32)))"#),
        Some(LoadError::MissingExport { name: "_start" })
    );
}

#[test]
fn initialisers_run_in_order_and_wait_like_everything() {
    let text = r#"(module
      (import "coracle:time@1" "sleep" (func $sleep (param i64) (result i32)))
      (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "123")
      (func $say (param i32)
        (drop (call $sleep (i64.const 1)))
        (drop (call $log (i32.const 3) (local.get 0) (i32.const 1))))
      (func (export "coracle_start") (call $say (i32.const 0)))
      (func (export "_initialize") (call $say (i32.const 1)))
      (func (export "init") (result i32) (call $say (i32.const 2)) (i32.const 0))
      (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#;
    for engine in engines() {
        let mut c = load(engine, text, Grants::default());
        c.begin(None);
        for now in 0..3 {
            assert_eq!(go_on(&mut c, now), Step::Parked);
            c.poll(now + 1);
        }
        assert_eq!(go_on(&mut c, 3), Step::Done);
        assert_eq!(lines(&mut c), ["1", "2", "3"]);
    }
}

#[test]
fn a_command_that_has_to_start_again_keeps_its_clock_and_counters() {
    let [engine, other] = engines();
    let mut c = load(engine, &echo(-1), publish());
    start(&mut c, 0, None);
    for _ in 0..2 {
        c.deliver(event(EventKind::Message, b"x")).unwrap();
        assert_eq!(go_on(&mut c, 400), Step::Parked);
    }
    let mut bytes = vec![0; 4096];
    let used = c.capture_host(&mut bytes).unwrap();
    let snapshot = coracle_migrate::snapshot::Snapshot::decode(&bytes[..used]).unwrap();
    let module = wat::parse_str(echo(-1)).unwrap();
    let mut again = Container::restore(other, &module, Arc::clone(c.spec()), &snapshot).unwrap();
    assert_eq!((again.state().handled, again.state().clock_us), (1, 400));
    assert_eq!(start(&mut again, 7, None), Step::Parked);
    assert_eq!(again.state().clock_us, 400, "its clock stood still");
}

/// Counts what is allocated and not freed.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; counting does not touch the memory.
#[expect(unsafe_code, reason = "an allocator cannot be counted otherwise")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Mappings of the process: memories and stacks of guests are not the allocator's.
fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn containers_dropped_while_they_wait_leave_nothing() {
    for engine in engines() {
        let module = wat::parse_str(THERMOMETER).unwrap();
        let spec = common::spec(&module, Limits::default(), bus());
        let cycle = |n: u32| {
            let mut c = Container::load(engine, &module, Arc::clone(&spec)).unwrap();
            assert_eq!(start(&mut c, 0, None), Step::Parked);
            if n.is_multiple_of(2) {
                // Dropped in the middle of its second wait, or ready to go on and never run.
                c.answer(Ok(DeviceAnswer::Bytes(vec![1, 2])));
                if n.is_multiple_of(4) {
                    assert_eq!(go_on(&mut c, 0), Step::Done);
                    assert_eq!(start(&mut c, 0, Some(event(EventKind::Timer, b"x"))), Step::Parked);
                }
            }
        };
        (0..100).for_each(cycle);
        let before = (LIVE.load(Ordering::Relaxed), mappings());
        (0..10_000).for_each(cycle);
        let after = (LIVE.load(Ordering::Relaxed), mappings());
        assert!(after.0 <= before.0 + 4096, "bytes: {before:?} {after:?}");
        assert!(after.1 <= before.1 + 4, "mappings: {before:?} {after:?}");
    }
}

#[test]
fn a_container_dropped_in_the_middle_of_its_work_leaves_nothing_behind() {
    for engine in engines() {
        let limits = Limits { fuel_per_event: u64::MAX, ..Limits::default() };
        let mut c = try_load(engine, &worker(u32::MAX, "_start"), limits, Grants::default()).unwrap();
        c.begin(None);
        assert_eq!(c.run(0, common::SLICE_FUEL), Step::Pending);
        drop(c);
    }
}
