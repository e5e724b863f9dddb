//! Both engines must give the same effects, states and exit reasons, and take over from each other at every event.

use std::sync::Arc;

use coracle_container::{ContainerSpec, Step};
use coracle_lifecycle::{ExitReason, TrapKind};
use coracle_migrate::snapshot::{GlobalValue, Head, SNAPSHOT_BYTES_MAX, Snapshot, encode};
use coracle_test_modules::{CORES, Container, Core, End, Event, prepared, queued, spec};

const COUNTER: &str = include_str!("../wat/counter.wat");
const EFFECTS: &str = include_str!("../wat/effects.wat");
const EXITS: &str = include_str!("../wat/exits.wat");
const FLOATS: &str = include_str!("../wat/floats.wat");
const GROW: &str = include_str!("../wat/grow.wat");
const NO_MEMORY: &str = include_str!("../wat/no_memory.wat");
const PAGES: &str = include_str!("../wat/pages.wat");
const START: &str = include_str!("../wat/start.wat");

/// A module, its memory limit in bytes, and the events it is driven with.
struct Case {
    name: &'static str,
    wat: &'static str,
    memory: u32,
    events: Vec<Event>,
}

fn cases() -> Vec<Case> {
    let counter = (1..=12)
        .map(|seq| match seq % 3 {
            0 => Event::samples(seq, &[1, -2, 3, i16::MIN, seq as i16]),
            _ => Event::message(seq, 0, &vec![seq as u8; (seq * 7) as usize]),
        })
        .collect();
    let sources = |last| (0..=last).map(|source| Event::message(u64::from(source) + 1, source, b"")).collect();
    let growing = [0, 1, 100, 3000, 6000, 4991, 1, 0].into_iter().zip(1..);
    vec![
        Case { name: "counter", wat: COUNTER, memory: 8192, events: counter },
        Case { name: "floats", wat: FLOATS, memory: 8192, events: sources(4) },
        Case {
            name: "grow",
            wat: GROW,
            memory: 8192,
            events: growing.map(|(more, seq)| Event::message(seq, 0, &vec![0; more])).collect(),
        },
        Case { name: "pages", wat: PAGES, memory: 3 * 65_536, events: sources(3) },
        Case { name: "start", wat: START, memory: 8192, events: sources(1) },
        Case { name: "effects", wat: EFFECTS, memory: 9000, events: sources(1) },
        Case { name: "no_memory", wat: NO_MEMORY, memory: 0, events: sources(2) },
    ]
}

impl Case {
    fn module(&self) -> Vec<u8> {
        let limits = coracle_prepare::AdmissionLimits { memory: self.memory };
        coracle_prepare::prepare(&wat::parse_str(self.wat).unwrap(), &limits).unwrap().bytes
    }

    fn spec(&self, module: &[u8]) -> ContainerSpec {
        let mut spec = spec(module);
        spec.limits.memory = self.memory;
        spec
    }
}

#[test]
fn effects_and_state_are_equal_after_every_event() {
    for case in cases() {
        let module = case.module();
        let spec = case.spec(&module);
        let [mut m, mut a] = CORES.map(|core| Container::started(core, &module, &spec));
        assert_eq!(m.effects(), a.effects(), "{} init", case.name);
        assert!(m.host().initialised && a.host().initialised);
        for (event, handled) in case.events.iter().zip(1..) {
            assert_eq!(m.handle(Some(event)), End::Done, "{} {event:?}", case.name);
            assert_eq!(a.handle(Some(event)), End::Done, "{} {event:?}", case.name);
            assert_eq!(m.effects(), a.effects(), "{} {event:?}", case.name);
            assert_eq!(m.state_digest(), a.state_digest(), "{} {event:?}", case.name);
            assert_eq!(m.host(), a.host());
            assert_eq!(m.host().handled, handled);
            assert_eq!(m.refused_calls(), a.refused_calls());
        }
        println!("{:10} fuel: wasmi {}, Wasmtime {}", case.name, m.fuel(), a.fuel());
        // An event that is within its budget on the M core is within it on the A core.
        assert!(a.fuel() <= m.fuel(), "{}: fuel {} on A, {} on M", case.name, a.fuel(), m.fuel());
    }
}

#[test]
fn the_counter_reaches_every_host_call() {
    let module = prepared(COUNTER);
    let spec = spec(&module.bytes);
    for core in CORES {
        let mut c = Container::started(core, &module.bytes, &spec);
        let refused = r#"Refused { call: SensorOpen, what: "denied" }"#;
        assert_eq!(c.effects(), [refused, r#"Log { level: 3, text: "hello" }"#]);
        assert_eq!(c.host().handles, 1);
        for seq in 1..=5 {
            c.handle(Some(&Event::message(seq, 0, b"payload")));
        }
        let effects = c.effects();
        assert_eq!(effects.len(), 2, "{effects:?}");
        assert!(effects[0].starts_with(r#"Publish { topic: "topic/a""#), "{effects:?}");
        assert!(effects[1].starts_with(r#"Wake { reason: "fault""#), "{effects:?}");
        // "denied" as a sensor in init, and as a topic in each event.
        assert_eq!(c.refused_calls(), 6);
    }
}

#[test]
fn every_exit_has_the_same_reason_and_keeps_only_log_lines() {
    let module = prepared(EXITS);
    let mut spec = spec(&module.bytes);
    spec.limits.fuel_per_event = 200_000;
    let trapped = |kind| ExitReason::Trapped(kind, None);
    let reasons = [
        trapped(TrapKind::Unreachable),
        trapped(TrapKind::MemoryOutOfBounds),
        trapped(TrapKind::DivisionByZero),
        trapped(TrapKind::IntegerOverflow),
        trapped(TrapKind::BadConversion),
        trapped(TrapKind::BadSignature),
        trapped(TrapKind::IndirectCallToNull),
        trapped(TrapKind::TableOutOfBounds),
        ExitReason::OutOfFuel,
        ExitReason::StackExhausted,
        ExitReason::Returned(-7),
        trapped(TrapKind::MemoryOutOfBounds),
        trapped(TrapKind::MemoryOutOfBounds),
        trapped(TrapKind::MemoryOutOfBounds),
    ];
    for core in CORES {
        for (source, reason) in (1..).zip(reasons) {
            let mut c = Container::started(core, &module.bytes, &spec);
            assert_eq!(c.handle(Some(&Event::message(1, 0, b""))), End::Done);
            assert_eq!(c.effects().len(), 2);
            assert_eq!(c.handle(Some(&Event::message(2, source, b""))), End::Exited(reason), "{core:?} {source}");
            assert_eq!(c.effects(), [r#"Log { level: 1, text: "last words" }"#], "{core:?} {source}");
            // It stays exited, and an exited container is no safe point.
            assert_eq!(c.handle(Some(&Event::message(3, 0, b""))), End::Exited(reason));
            assert!(c.capture(&[]).is_none());
            assert_eq!(c.host().handled, 1);
        }
    }
}

#[test]
fn an_endless_loop_gives_the_core_back_after_every_slice() {
    let module = prepared(EXITS);
    let mut spec = spec(&module.bytes);
    // More than any stretch of code that this module runs as a whole.
    const SLICE_FUEL: u64 = 200;
    spec.limits.fuel_per_event = 100 * SLICE_FUEL;
    let mut c = coracle_sandbox::Container::load(&module.bytes, Arc::new(spec.clone())).unwrap();
    c.begin(Some(Event::message(1, 9, b"").owned()));
    let mut slices = 0;
    let end = loop {
        let before = c.usage().fuel_total;
        let step = c.run(0, SLICE_FUEL);
        assert!(c.usage().fuel_total - before <= SLICE_FUEL, "a slice over its fuel");
        if step != Step::Pending {
            break step;
        }
        assert!(!c.is_idle());
        assert!(c.capture(std::iter::empty(), &mut [0; 1024]).is_err());
        slices += 1;
    };
    assert_eq!(end, Step::Exited(ExitReason::OutOfFuel));
    assert!((99..=110).contains(&slices), "{slices} slices for the fuel of 100");
}

#[test]
fn slices_of_any_size_make_progress_and_no_difference() {
    let module = prepared(COUNTER);
    let spec = spec(&module.bytes);
    let mut digests = Vec::new();
    for slice in [0, 1, 7, 1000, u64::MAX] {
        let mut c = coracle_sandbox::Container::load(&module.bytes, Arc::new(spec.clone())).unwrap();
        let mut run = |event| {
            c.begin(event);
            let end = loop {
                let step = c.run(0, slice);
                if step != Step::Pending {
                    break step;
                }
            };
            assert_eq!(end, Step::Done, "slice {slice}");
        };
        run(None);
        for seq in 1..4 {
            run(Some(Event::message(seq, 0, &[1, 2, 3]).owned()));
        }
        digests.push((c.state_digest(), c.usage().fuel_total));
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "slices changed the state or the fuel");
}

/// The effects, without refusals: each core tells the first of each kind.
fn effects(container: &mut Container) -> impl Iterator<Item = String> {
    container.effects().into_iter().filter(|e| !e.starts_with("Refused"))
}

/// Runs `case` and moves the container at boundary `at` from `from` to `to`, with up to two events waiting.
fn moved(case: &Case, module: &[u8], at: usize, from: Core, to: Core) -> (Container, Vec<String>) {
    let spec = case.spec(module);
    let (before, after) = case.events.split_at(at);
    let (waiting, later) = after.split_at(after.len().min(2));
    let mut seen = Vec::new();
    let mut source = Container::started(from, module, &spec);
    seen.extend(effects(&mut source));
    for event in before {
        assert_eq!(source.handle(Some(event)), End::Done);
        seen.extend(effects(&mut source));
    }
    let bytes = source.capture(waiting).unwrap();
    let snapshot = Snapshot::decode(&bytes).unwrap();
    let mut target = Container::restore(to, module, &spec, &snapshot).unwrap();
    assert_eq!(target.state_digest(), source.state_digest());
    assert_eq!(target.host(), source.host());
    assert_eq!(target.capture(waiting).unwrap(), bytes, "a restored container is captured to the same bytes");
    for event in queued(&snapshot).iter().chain(later) {
        assert_eq!(target.handle(Some(event)), End::Done);
        seen.extend(effects(&mut target));
    }
    (target, seen)
}

#[test]
fn a_container_moved_at_any_event_ends_like_one_that_stayed() {
    for case in cases() {
        let module = case.module();
        let (stayed, effects) = moved(&case, &module, case.events.len(), Core::M, Core::M);
        for at in 0..=case.events.len() {
            for (from, to) in CORES.into_iter().flat_map(|from| CORES.map(|to| (from, to))) {
                let (container, moved_effects) = moved(&case, &module, at, from, to);
                let what = format!("{} moved {from:?} to {to:?} after {at} events", case.name);
                assert_eq!(container.state_digest(), stayed.state_digest(), "{what}");
                assert_eq!(container.host(), stayed.host(), "{what}");
                assert_eq!(moved_effects, effects, "{what}");
            }
        }
    }
}

#[test]
fn each_part_of_the_state_that_is_left_out_shows_in_the_end() {
    let case = cases().remove(0);
    let module = case.module();
    let spec = case.spec(&module);
    let (at, last) = (6, case.events.len());
    for (from, to) in [(Core::M, Core::A), (Core::A, Core::M)] {
        let mut source = Container::started(from, &module, &spec);
        let fresh = Container::load(from, &module, &spec).unwrap().capture(&[]).unwrap();
        let fresh = Snapshot::decode(&fresh).unwrap().head().clone();
        for event in &case.events[..at] {
            source.handle(Some(event));
        }
        let bytes = source.capture(&case.events[at..at + 2]).unwrap();
        let whole = Snapshot::decode(&bytes).unwrap();
        let mut memory = vec![0; whole.head().memory_len as usize];
        whole.fill_memory(&mut memory).unwrap();
        let events = queued(&whole);

        let finish = |head: &Head, memory: &[u8], events: &[Event]| {
            let mut out = vec![0; SNAPSHOT_BYTES_MAX];
            let used =
                encode(head, whole.kv(), events.iter().map(|e| (e.head(), &e.payload[..])), memory, &mut out).unwrap();
            let snapshot = Snapshot::decode(&out[..used]).unwrap();
            let mut target = Container::restore(to, &module, &spec, &snapshot).unwrap();
            for event in queued(&snapshot).iter().chain(&case.events[at + 2..last]) {
                assert_eq!(target.handle(Some(event)), End::Done);
            }
            target.state_digest()
        };

        let right = finish(whole.head(), &memory, &events);
        let (stayed, _) = moved(&case, &module, 0, from, from);
        assert_eq!(right, stayed.state_digest());

        let globals = whole.head().globals.len();
        assert_eq!(globals, 4);
        for left_out in 0..globals {
            let mut head = whole.head().clone();
            head.globals[left_out] = fresh.globals[left_out];
            assert_ne!(head.globals, whole.head().globals, "the module must use global {left_out}");
            assert_ne!(finish(&head, &memory, &events), right, "{from:?}: global {left_out} left out");
        }
        for at in [64, 112, 2048 + 3] {
            let mut memory = memory.clone();
            memory[at] ^= 1;
            // 64 is written by init only, 112 accumulates, 2051 was written by the third event only.
            assert_ne!(finish(whole.head(), &memory, &events), right, "{from:?}: byte {at} of memory left out");
        }
        let mut head = whole.head().clone();
        head.host.handles = 0;
        assert_ne!(finish(&head, &memory, &events), right, "{from:?}: handles left out");
        let mut head = whole.head().clone();
        head.host.handled = 0;
        assert_ne!(finish(&head, &memory, &events), right, "{from:?}: handled left out");
        assert_ne!(finish(whole.head(), &memory, &events[1..]), right, "{from:?}: a waiting event left out");
    }
}

#[test]
fn a_snapshot_that_does_not_fit_is_refused() {
    let module = prepared(GROW);
    let spec = spec(&module.bytes);
    for core in CORES {
        let c = Container::started(core, &module.bytes, &spec);
        let bytes = c.capture(&[]).unwrap();
        let head = Snapshot::decode(&bytes).unwrap().head().clone();
        let try_with = |head: &Head, len: usize| {
            let mut out = vec![0; SNAPSHOT_BYTES_MAX];
            let used = encode(head, b"", std::iter::empty(), &vec![0; len], &mut out).unwrap();
            let snapshot = Snapshot::decode(&out[..used]).unwrap();
            Container::restore(core, &module.bytes, &spec, &snapshot).err().map(|(code, _)| code)
        };
        assert_eq!(try_with(&head, 100), None);
        assert_eq!(try_with(&head, 8192), None);
        assert_eq!(try_with(&head, 8193), Some(9), "over the limit");
        assert_eq!(try_with(&head, 99), Some(9), "under the minimum");
        assert_eq!(try_with(&Head { image: [0; 32], ..head.clone() }, 100), Some(8));
        let mut other = head.clone();
        other.globals.pop();
        assert_eq!(try_with(&other, 100), Some(10));
        let mut other = head.clone();
        other.globals[0] = GlobalValue::F32(0);
        assert_eq!(try_with(&other, 100), Some(10));
    }
}

#[test]
fn refusals_to_load_have_the_same_code_and_say_what_to_do() {
    let module = prepared(COUNTER).bytes;
    let granted = spec(&module);
    let mut no_sensors = granted.clone();
    no_sensors.grants.sensors = std::iter::empty().collect();
    let mut small = granted.clone();
    small.limits.memory = 2999;
    let with = |wat: &str| wat::parse_str(wat).unwrap();
    let text = |t: &str| t.as_bytes().to_vec();
    let cut = module[..module.len() - 9].to_vec();
    let no_event = with(r#"(module (func (export "init") (result i32) (i32.const 0)))"#);
    let wrong_event = with(r#"(module (func (export "on_event")))"#);
    let unknown = with(r#"(module (import "coracle:gpio@1" "set" (func)))"#);
    let wrong_import = with(r#"(module (import "coracle:log@1" "write" (func (param i32))))"#);
    let far_data = with(
        r#"(module (memory 4 4 (pagesize 1)) (data (i32.const 2) "abc")
        (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#,
    );
    let start = with(
        r#"(module (func $f) (start $f)
        (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#,
    );
    let mut wrong_digest = granted.clone();
    wrong_digest.image = [0; 32];
    let cases: [(&str, &[u8], &ContainerSpec, u8, &str); 12] = [
        ("digest", &module, &wrong_digest, 1, "digest"),
        ("text", &text("hello"), &spec(b"hello"), 2, "prepare it again"),
        ("empty", b"", &spec(b""), 2, "prepare it again"),
        ("cut", &cut, &spec(&cut), 2, "prepare it again"),
        ("start", &start, &spec(&start), 2, "prepare it again"),
        ("not granted", &module, &no_sensors, 3, "add `sensors` to the grants"),
        ("unknown", &unknown, &spec(&unknown), 3, "coracle:gpio@1 set does not exist"),
        ("wrong import", &wrong_import, &spec(&wrong_import), 3, "with that type"),
        ("memory", &module, &small, 4, "needs 3000 bytes of memory, limit 2999: raise limits.memory"),
        ("no on_event", &no_event, &spec(&no_event), 5, "on_event"),
        ("wrong on_event", &wrong_event, &spec(&wrong_event), 5, "on_event"),
        ("far data", &far_data, &spec(&far_data), 6, "cannot be instantiated"),
    ];
    for core in CORES {
        for (name, module, spec, code, says) in &cases {
            let (got, message) = Container::load(core, module, spec).err().unwrap();
            assert_eq!(got, *code, "{core:?} {name}: {message}");
            assert!(message.contains(says), "{core:?} {name}: {message}");
        }
        let too_much = with(
            r#"(module (memory (export "memory") 65536)
            (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#,
        );
        assert_eq!(Container::load(core, &too_much, &spec(&too_much)).err().unwrap().0, 4, "4 GiB on {core:?}");
        let hidden = with(
            r#"(module (memory 60000)
            (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#,
        );
        assert_eq!(Container::load(core, &hidden, &spec(&hidden)).err().unwrap().0, 6, "hidden memory on {core:?}");
    }
}

#[test]
fn features_that_preparation_refuses_are_off_in_both_engines() {
    for fields in [
        "(memory 1) (memory 1)",
        "(memory i64 1)",
        "(memory 1 1 shared)",
        "(func (drop (v128.const i64x2 0 0)))",
        "(func (param externref))",
        "(table 1 funcref) (func (table.set (i32.const 0) (ref.null func)))",
        "(table 1 funcref) (table 1 funcref)",
        "(func $f (return_call $f))",
        "(func (result i64 i64) (i64.add128 (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))",
        "(tag)",
        "(type (struct))",
        "(type (func)) (func (param (ref 0)))",
    ] {
        let text =
            format!(r#"(module {fields} (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))"#);
        let module = wat::parse_str(text).unwrap();
        for core in CORES {
            let refused = Container::load(core, &module, &spec(&module)).err();
            assert_eq!(refused.map(|(code, _)| code), Some(2), "{core:?}: {fields}");
        }
    }
}
