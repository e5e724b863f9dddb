//! Commands, calls that wait, clocks and limits: alike on both engines, and as they should be.

use coracle_container::DeviceAnswer;
use coracle_guest_abi::{Errno, EventKind};
use coracle_lifecycle::{ExitReason, TrapKind};
use coracle_migrate::snapshot::Snapshot;
use coracle_test_modules::{CORES, Container, Core, End, Event, prepared, spec};

/// A module of these functions, with what most of them use.
fn module(functions: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "coracle:event@1" "wait" (func $wait (param i32 i64 i32) (result i32)))
        (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
        (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
        (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
        (import "coracle:msg@1" "wait" (func $message (param i64 i32) (result i32)))
        (import "coracle:time@1" "now" (func $now (result i64)))
        (import "coracle:time@1" "set_timer" (func $timer (param i64 i64 i64) (result i32)))
        (import "coracle:time@1" "sleep" (func $sleep (param i64) (result i32)))
        (import "coracle:gpio@1" "open" (func $pin (param i32 i32) (result i32)))
        (import "coracle:gpio@1" "read" (func $level (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $print (param i32 i32 i32 i32) (result i32)))
        (memory 512 512 (pagesize 1))
        (data (i32.const 0) "topic/a\00button\00\00") {functions})"#
    );
    prepared(&text).bytes
}

/// Publishes `len` bytes of memory from `at` on.
fn publish(at: u32, len: u32) -> String {
    format!("(drop (call $publish (i32.const 0) (i32.const 7) (i32.const {at}) (i32.const {len})))")
}

fn published(payload: &[u8]) -> String {
    format!(r#"Publish {{ topic: "topic/a", payload: {payload:?}, retain: false }}"#)
}

/// Uses fuel: some 4 units an iteration.
fn burn(iterations: u32) -> String {
    format!(
        "(local.set $n (i32.const {iterations}))
        (loop $burn (br_if $burn (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
    )
}

#[test]
fn a_command_ends_in_every_way() {
    let started = r#"(drop (call $log (i32.const 3) (i32.const 0) (i32.const 5)))"#;
    let line = r#"Log { level: 3, text: "topic" }"#.to_owned();
    let both = vec![line.clone(), published(b"t")];
    let cases = [
        ("", ExitReason::Exited(0), &both),
        ("(call $exit (i32.const 0))", ExitReason::Exited(0), &both),
        ("(call $exit (i32.const 3))", ExitReason::Exited(3), &both),
        ("(call $exit (i32.const -1))", ExitReason::Exited(-1), &both),
        ("unreachable", ExitReason::Trapped(TrapKind::Unreachable, None), &vec![line.clone()]),
        ("(loop $again (br $again))", ExitReason::OutOfFuel, &vec![line.clone()]),
    ];
    for (end, reason, effects) in cases {
        let module = module(&format!(r#"(func (export "_start") {started} {} {end})"#, publish(0, 1)));
        let mut spec = spec(&module);
        spec.limits.fuel_per_event = 20_000;
        for core in CORES {
            let mut c = Container::load(core, &module, &spec).unwrap();
            assert!(c.is_command());
            assert_eq!(c.handle(None), End::Exited(reason), "{core:?} {end}");
            assert_eq!(c.effects(), *effects, "{core:?} {end}");
            assert_eq!(c.handle(None), End::Exited(reason), "it stays ended");
            assert_eq!(c.waiting(), None);
        }
    }
}

#[test]
fn a_guest_with_on_event_can_exit_too() {
    let on_event = format!(
        r#"(func (export "on_event") (param i32 i32 i32) (result i32) {} (call $exit (i32.const 5)) (i32.const 0))"#,
        publish(0, 1)
    );
    let module = module(&on_event);
    for core in CORES {
        let mut c = Container::started(core, &module, &spec(&module));
        assert_eq!(c.handle(Some(&Event::message(1, 0, b""))), End::Exited(ExitReason::Exited(5)), "{core:?}");
        assert!(c.effects().is_empty(), "{core:?}: the event was not handled");
    }
}

#[test]
fn a_command_takes_the_events_it_waits_for() {
    let start = format!(
        r#"(func (export "_start") (loop $again
            (drop (call $message (i64.const -1) (i32.const 64)))
            (drop (call $read (i32.const 88) (i32.const 8)))
            {}
            (br $again)))"#,
        publish(64, 32)
    );
    let module = module(&start);
    for core in CORES {
        let mut c = Container::started(core, &module, &spec(&module));
        assert_eq!(c.waiting().unwrap(), format!("Event {{ kinds: {} }}", 1 << 2 | 1 << 7 | 1 << 8));
        assert_eq!(c.deadline_us(), None, "an idle container causes no wake-up");
        assert!(c.capture(&[]).is_none(), "a command is at no safe point");
        // A command takes its events itself.
        assert_eq!(c.handle(Some(&Event::message(1, 0, b"x"))), End::Parked);
        let timer = Event::new(1, EventKind::Timer, 0, b"");
        assert_eq!(c.deliver(&timer), None, "it does not wait for timers");
        let message = Event { tag: 5, ..Event::message(2, 1, b"abcdefgh") };
        assert_eq!(c.deliver(&message), Some(End::Parked), "{core:?}");
        let mut record = Vec::new();
        for word in [2_u32, 1, 8, 5] {
            record.extend(word.to_le_bytes());
        }
        record.extend(2000_u64.to_le_bytes());
        record.extend(b"abcdefgh");
        assert_eq!(c.effects(), [published(&record)], "{core:?}");
        assert_eq!(
            (c.host().handled, c.events()),
            (0, 0),
            "the event is handled when the next one is asked for and comes"
        );
        assert_eq!(c.deliver(&message), Some(End::Parked));
        assert_eq!((c.host().handled, c.events()), (1, 1));
    }
}

#[test]
fn waits_end_with_their_time_and_not_before() {
    let start = format!(
        r#"(func (export "_start")
            (i32.store (i32.const 64) (call $wait (i32.const 0) (i64.const 700) (i32.const 100)))
            (i64.store (i32.const 72) (call $now))
            (i32.store (i32.const 68) (call $sleep (i64.const 50)))
            (i64.store (i32.const 80) (call $now)) {})"#,
        publish(64, 24)
    );
    let module = module(&start);
    for core in CORES {
        let mut c = Container::load(core, &module, &spec(&module)).unwrap();
        // Its clock starts at 0 whatever its core's shows.
        c.at(1_000_000);
        assert_eq!(c.handle(None), End::Parked);
        assert_eq!(c.deadline_us(), Some(1_000_700), "{core:?}");
        c.at(1_000_699);
        assert_eq!(c.go_on(), End::Parked);
        assert!(c.waiting().is_some());
        c.at(1_000_710);
        assert_eq!(c.waiting(), None, "what it waited for has come");
        assert_eq!(c.go_on(), End::Parked);
        assert_eq!(c.waiting().unwrap(), "Time");
        assert_eq!(c.deadline_us(), Some(1_000_760));
        // A clock that goes back does not take the container's with it.
        c.at(1_000_000);
        assert_eq!(c.go_on(), End::Parked);
        c.at(1_000_760);
        assert_eq!(c.go_on(), End::Exited(ExitReason::Exited(0)));
        let mut said = Vec::new();
        said.extend((-110_i32).to_le_bytes());
        said.extend(0_i32.to_le_bytes());
        said.extend(710_u64.to_le_bytes());
        said.extend(760_u64.to_le_bytes());
        assert_eq!(c.effects(), [published(&said)], "{core:?}");
    }
}

#[test]
fn fuel_lasts_from_one_wait_to_the_next() {
    let turn = |wait: &str, iterations| {
        format!(r#"(func (export "_start") (local $n i32) (loop $again {} {wait} (br $again)))"#, burn(iterations))
    };
    let wait = "(drop (call $wait (i32.const 0) (i64.const -1) (i32.const 100)))";
    let level = "(drop (call $pin (i32.const 8) (i32.const 6))) (drop (call $level (i32.const 9)))";
    for core in CORES {
        // Far more than 2000 in all, but less in each turn.
        let thrifty = module(&turn(wait, 250));
        let mut spec_of = spec(&thrifty);
        spec_of.limits.fuel_per_event = 2000;
        let mut c = Container::started(core, &thrifty, &spec_of);
        for seq in 1..10 {
            assert_eq!(c.deliver(&Event::message(seq, 0, b"")), Some(End::Parked), "{core:?}");
        }
        assert!(c.fuel() > 10_000, "{core:?}: {}", c.fuel());

        let greedy = module(&turn(wait, 600));
        let mut spec_of = spec(&greedy);
        spec_of.limits.fuel_per_event = 2000;
        let mut c = Container::load(core, &greedy, &spec_of).unwrap();
        assert_eq!(c.handle(None), End::Exited(ExitReason::OutOfFuel), "{core:?}");

        // What a device answers is part of the same turn.
        let patient = module(&turn(level, 250));
        let mut spec_of = spec(&patient);
        spec_of.limits.fuel_per_event = 2000;
        let mut c = Container::started(core, &patient, &spec_of);
        assert_eq!(c.answer(Ok(DeviceAnswer::Level(true))), End::Exited(ExitReason::OutOfFuel), "{core:?}");
    }
}

#[test]
fn a_device_answers_within_an_event() {
    let on_event = r#"
        (func (export "init") (result i32) (call $pin (i32.const 8) (i32.const 6)))
        (func (export "on_event") (param i32 i32 i32) (result i32)
            (i32.store (i32.const 64) (call $level (i32.const 9))) (i32.const 0))"#;
    let module = module(on_event);
    for core in CORES {
        let mut c = Container::started(core, &module, &spec(&module));
        for (answer, result) in [
            (Ok(DeviceAnswer::Level(true)), 1),
            (Ok(DeviceAnswer::Level(false)), 0),
            (Err(Errno::NoDevice), -6),
            // An answer to another question.
            (Ok(DeviceAnswer::Bytes(vec![1; 600])), -5),
        ] {
            let seq = c.host().handled + 1;
            assert_eq!(c.handle(Some(&Event::message(seq, 0, b""))), End::Parked);
            assert_eq!(c.waiting().unwrap(), r#"Device(PinRead { label: "button" })"#);
            assert_eq!(c.deadline_us(), None);
            assert!(c.capture(&[]).is_none(), "{core:?}: in the middle of an event");
            assert_eq!(c.go_on(), End::Parked, "nobody answered yet");
            assert_eq!(c.answer(answer.clone()), End::Done, "{core:?}");
            let memory = c.memory().unwrap();
            if matches!(answer, Ok(DeviceAnswer::Bytes(_))) {
                continue;
            }
            assert_eq!(i32::from_le_bytes(memory[64..68].try_into().unwrap()), result, "{core:?}");
        }
        assert_eq!(c.host().handled, 4);
    }
}

#[test]
fn timers_become_events_and_the_clock_goes_on_after_a_move() {
    let on_event = r#"
        (func (export "init") (result i32)
            (drop (call $timer (i64.const 500) (i64.const 1000) (i64.const 20)))
            (i32.const 0))
        (func (export "on_event") (param i32 i32 i32) (result i32)
            (i64.store (i32.const 64) (call $now)) (i32.const 0))"#;
    let module = module(on_event);
    let spec = spec(&module);
    let now = |c: &Container| u64::from_le_bytes(c.memory().unwrap()[64..72].try_into().unwrap());
    for (from, to) in [(Core::M, Core::A), (Core::A, Core::M), (Core::M, Core::M), (Core::A, Core::A)] {
        let mut source = Container::load(from, &module, &spec).unwrap();
        source.at(10_000);
        assert_eq!(source.handle(None), End::Done);
        assert_eq!(source.deadline_us(), Some(10_520), "with its slack");
        source.at(10_499);
        assert_eq!(source.due(), None);
        source.at(10_500);
        let event = source.due().unwrap();
        assert_eq!((event.kind, event.source, event.time_us), (EventKind::Timer, 0, 500));
        assert_eq!(source.due(), None, "once");
        assert_eq!(source.deadline_us(), Some(11_520));
        assert_eq!(source.handle(Some(&Event::new(0, EventKind::Timer, 0, b""))), End::Done);
        assert_eq!(now(&source), 500);
        let bytes = source.capture(&[]).unwrap();
        // Another core with another clock; a long time later, which the container does not notice.
        let mut target = Container::restore(to, &module, &spec, &Snapshot::decode(&bytes).unwrap()).unwrap();
        let mut elsewhere = Container::load(to, &module, &spec).unwrap();
        elsewhere.at(77);
        target.at(500);
        assert_eq!(target.deadline_us(), Some(1520), "{from:?} {to:?}");
        target.at(1500);
        assert!(target.due().is_some());
        assert_eq!(target.handle(Some(&Event::new(0, EventKind::Timer, 0, b""))), End::Done);
        assert_eq!(now(&target), 1500, "{from:?} {to:?}");
    }
}

#[test]
fn a_changed_configuration_is_told_and_seen() {
    let module = module(r#"(func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0))"#);
    for core in CORES {
        let mut c = Container::started(core, &module, &spec(&module));
        assert_eq!(c.configure(&[("rate", "12000")]), None, "nothing changed");
        assert_eq!(c.configure(&[("rate", "1"), ("new", "x")]), Some(b"rate\nnew\n".to_vec()), "{core:?}");
        assert_eq!(c.configure(&[]), Some(b"rate\nnew\n".to_vec()), "{core:?}");
        assert_eq!(c.host().config_version, 2);
    }
}

#[test]
fn what_a_guest_prints_becomes_log_lines() {
    // Two buffers: "topic/a\0" and "button", then a line end of its own.
    let start = r#"(func (export "_start")
        (i32.store (i32.const 100) (i32.const 8)) (i32.store (i32.const 104) (i32.const 6))
        (i32.store (i32.const 108) (i32.const 120)) (i32.store (i32.const 112) (i32.const 1))
        (i32.store8 (i32.const 120) (i32.const 10))
        (drop (call $print (i32.const 1) (i32.const 100) (i32.const 2) (i32.const 200)))
        (drop (call $print (i32.const 2) (i32.const 100) (i32.const 1) (i32.const 200))))"#;
    let module = module(start);
    for core in CORES {
        let mut c = Container::load(core, &module, &spec(&module)).unwrap();
        assert_eq!(c.handle(None), End::Exited(ExitReason::Exited(0)));
        let lines = [r#"Log { level: 3, text: "button" }"#, r#"Log { level: 2, text: "button" }"#];
        assert_eq!(c.effects(), lines, "{core:?}: the second has no line end");
    }
}

#[test]
fn limits_of_table_and_stack_hold_a_container() {
    let table = prepared(
        r#"(module (table 1000 1000 funcref)
        (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#,
    )
    .bytes;
    for core in CORES {
        let mut of_table = spec(&table);
        of_table.limits.table = 1000;
        assert!(Container::load(core, &table, &of_table).is_ok(), "{core:?}");
        of_table.limits.table = 999;
        assert_eq!(Container::load(core, &table, &of_table).err().unwrap().0, 6, "{core:?}");
    }
    // How deep it comes before the stack is used up grows with the limit.
    let deep = module(
        r#"(func $down (param i32 i64 i64 i64 i64) (result i64)
            (if (result i64) (local.get 0)
                (then (i64.add (local.get 1) (call $down (i32.sub (local.get 0) (i32.const 1))
                    (local.get 2) (local.get 3) (local.get 4) (local.get 1))))
                (else (local.get 4))))
        (func (export "on_event") (param i32) (param $source i32) (param i32) (result i32)
            (drop (call $down (local.get $source) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))
            (i32.const 0))"#,
    );
    let depth = |core, stack| {
        let mut spec = spec(&deep);
        spec.limits.stack = stack;
        (0..=250_u8)
            .take_while(|depth| {
                let mut c = Container::started(core, &deep, &spec);
                let end = c.handle(Some(&Event::message(1, *depth, b"")));
                assert!(matches!(end, End::Done | End::Exited(ExitReason::StackExhausted)), "{end:?}");
                end == End::Done
            })
            .count()
    };
    let depths = [1024, 2048, 4096, 8192].map(|stack| depth(Core::M, stack));
    assert!(depths.is_sorted() && 2 * depths[0] < depths[2], "{depths:?}");
    println!("nested calls on M by the limit of the stack: {depths:?}");
}

#[test]
fn what_only_one_core_has_or_nobody_understands_is_refused() {
    let files = prepared(
        r#"(module (import "wasi_snapshot_preview1" "fd_sync" (func (param i32) (result i32)))
        (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#,
    )
    .bytes;
    let (code, says) = Container::load(Core::M, &files, &spec(&files)).err().unwrap();
    assert_eq!(code, 11);
    assert_eq!(says, "import wasi_snapshot_preview1 fd_sync exists on the A core alone: deploy the container there");
    let (code, says) = Container::load(Core::A, &files, &spec(&files)).err().unwrap();
    assert_eq!(code, 3);
    assert!(says.contains("`files`"), "{says}");
    let both = wat::parse_str(
        r#"(module (func (export "_start"))
        (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#,
    )
    .unwrap();
    for core in CORES {
        let (code, says) = Container::load(core, &both, &spec(&both)).err().unwrap();
        assert_eq!(code, 12, "{core:?}");
        assert!(says.contains("exports both on_event and _start"), "{core:?} {says}");
    }
}

#[test]
fn a_store_that_is_none_or_over_its_quota_is_refused() {
    let module = module(r#"(func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0))"#);
    for core in CORES {
        let c = Container::started(core, &module, &spec(&module));
        let bytes = c.capture(&[]).unwrap();
        let snapshot = Snapshot::decode(&bytes).unwrap();
        let with = |kv: &[u8], quota| {
            let mut out = vec![0; 4096];
            let memory = c.memory().unwrap();
            let head = snapshot.head();
            let used = coracle_migrate::snapshot::encode(head, kv, std::iter::empty(), &memory, &mut out).unwrap();
            let mut spec = spec(&module);
            spec.grants.kv = quota;
            let restored = Container::restore(core, &module, &spec, &Snapshot::decode(&out[..used]).unwrap());
            restored.map(|c| c.kv()).map_err(|(code, _)| code)
        };
        let good = [1, 2, 0, b'k', 7, 7];
        assert_eq!(with(&good, 256), Ok(good.to_vec()), "{core:?}");
        assert_eq!(with(&good, 6), Ok(good.to_vec()), "{core:?}");
        assert_eq!(with(&good[..5], 256), Err(13), "{core:?}: cut");
        assert_eq!(with(&[9, 9], 256), Err(13), "{core:?}: noise");
        assert_eq!(with(&good, 5), Err(13), "{core:?}: over the quota");
    }
}
