//! The guests of this repository as they really run: built for wasm32, prepared, and driven in the M core's sandbox.

use std::collections::HashMap;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use bearing_watch::{DIAGNOSIS_TOPIC, FAULT_REASON, SENSOR, SUMMARY_TOPIC, Summary, TrackerState, WindowHeader};
use coracle_container::{ContainerSpec, Grants, Limits, SensorGrant};
use coracle_guest_abi::{BLOCK_SAMPLES_MAX, BlockHeader, EventKind, find_import};
use coracle_lifecycle::{ExitReason, TrapKind};
use coracle_migrate::snapshot::{GlobalValue, SNAPSHOT_BYTES_MAX, Snapshot, encode};
use coracle_prepare::{AdmissionLimits, Prepared, prepare};
use coracle_sandbox::{Container, OwnedEffect, OwnedEvent, Step};
use coracle_sensor_feed::trace::Trace;

const GUESTS: [&str; 6] = ["sentinel", "tracker", "diagnose", "spinner", "greedy", "probe"];

/// What the manifest gives the containers on M.
const M_MEMORY: u32 = 16 * 1024;
const A_MEMORY: u32 = 1024 * 1024;
const FUEL_PER_EVENT: u64 = 200_000_000;
const SLICE_FUEL: u64 = 20_000;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The guests' modules as the compiler wrote them. Built once for all tests; a guest that does not build fails here.
static MODULES: LazyLock<HashMap<&str, Vec<u8>>> = LazyLock::new(|| {
    // The folder for test files lies in the target folder.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder");
    let status = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["build", "--profile", "guest", "--target", "wasm32-unknown-unknown", "--target-dir"])
        .arg(target)
        .args(GUESTS.iter().flat_map(|name| ["--package", name]))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the guests do not build");
    let read = |name| {
        let path = target.join("wasm32-unknown-unknown/guest").join(name).with_extension("wasm");
        (name, std::fs::read(path).expect("a built module"))
    };
    GUESTS.into_iter().map(read).collect()
});

fn prepared(name: &str) -> Prepared {
    let memory = if name == "diagnose" { A_MEMORY } else { M_MEMORY };
    // `greedy` declares more than it may have, and is meant to be refused while it runs.
    let memory = if name == "greedy" { 2 * A_MEMORY } else { memory };
    prepare(&MODULES[name], &AdmissionLimits { memory }).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Where the guest's instance lies: the value of the constant global that the SDK exports.
fn instance_address(name: &str) -> usize {
    use wasmparser::{ExternalKind, Operator, Parser, Payload};
    let (mut globals, mut export) = (Vec::new(), None);
    for payload in Parser::new(0).parse_all(&MODULES[name]) {
        match payload.unwrap() {
            Payload::GlobalSection(section) => globals.extend(section.into_iter().map(|global| {
                match global.unwrap().init_expr.get_operators_reader().read().unwrap() {
                    Operator::I32Const { value } => Some(value as usize),
                    _ => None,
                }
            })),
            Payload::ExportSection(section) => {
                let found = section.into_iter().map(Result::unwrap).find(|e| e.name == "coracle_guest");
                export = found.filter(|e| e.kind == ExternalKind::Global).map(|e| e.index as usize);
            }
            _ => {}
        }
    }
    globals[export.expect("the export `coracle_guest`")].expect("an address")
}

fn grants(config: &[(&str, &str)]) -> Grants {
    let list = |names: &[&str]| names.iter().map(|n| (*n).try_into().unwrap()).collect();
    Grants {
        sensors: std::iter::once(SensorGrant { name: SENSOR.try_into().unwrap(), rate_hz: 0, exclusive: false })
            .collect(),
        publish: list(&[SUMMARY_TOPIC, DIAGNOSIS_TOPIC]),
        subscribe: list(&[SUMMARY_TOPIC]),
        wake: list(&[FAULT_REASON]),
        config: config.iter().map(|(k, v)| ((*k).try_into().unwrap(), (*v).into())).collect(),
        ..Grants::default()
    }
}

fn spec(name: &str, module: &Prepared, grants: Grants) -> ContainerSpec {
    ContainerSpec {
        name: name.try_into().unwrap(),
        image: module.digest,
        portable: true,
        seed: [0; 16],
        limits: Limits {
            memory: if name == "diagnose" { A_MEMORY } else { M_MEMORY },
            fuel_per_event: FUEL_PER_EVENT,
            ..Limits::default()
        },
        grants,
    }
}

/// A container and the events it got so far.
struct Running {
    container: Container,
    seq: u64,
}

impl Running {
    fn load(name: &str, grants: Grants) -> Self {
        let module = prepared(name);
        let container = Container::load(&module.bytes, Arc::new(spec(name, &module, grants)));
        Self { container: container.unwrap_or_else(|error| panic!("{name}: {error}")), seq: 0 }
    }

    /// Loaded and past its `init`.
    fn start(name: &str, grants: Grants) -> Self {
        let mut running = Self::load(name, grants);
        assert_eq!(running.finish(None), Step::Done, "{:?}", running.container.take_effects());
        running
    }

    fn finish(&mut self, event: Option<OwnedEvent>) -> Step {
        self.container.begin(event);
        loop {
            match self.container.run(self.seq * 1000, SLICE_FUEL) {
                Step::Pending => {}
                step => return step,
            }
        }
    }

    fn event(&mut self, kind: EventKind, payload: &[u8]) -> Vec<OwnedEffect> {
        self.seq += 1;
        let event = event(self.seq, kind, payload);
        assert_eq!(self.finish(Some(event)), Step::Done, "event {}", self.seq);
        self.container.take_effects()
    }

    /// The next block of a sensor at 12 kHz.
    fn block(&mut self, sequence: u32, samples: &[i16]) -> Vec<OwnedEffect> {
        let header = BlockHeader {
            timestamp_us: u64::from(sequence) * 512 * 1_000_000 / 12_000,
            sequence,
            rate_hz: 12_000,
            dropped: 0,
            count: samples.len() as u32,
        };
        let mut payload = header.to_bytes().to_vec();
        payload.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        self.event(EventKind::Sensor, &payload)
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut out = vec![0; SNAPSHOT_BYTES_MAX];
        let used = self.container.capture(std::iter::empty(), &mut out).unwrap();
        out.truncate(used);
        out
    }

    fn tracker_state(&self) -> TrackerState {
        TrackerState::read(&memory(&self.snapshot()), instance_address("tracker")).unwrap()
    }
}

fn event(seq: u64, kind: EventKind, payload: &[u8]) -> OwnedEvent {
    OwnedEvent { seq, kind, source: 0, tag: 0, time_us: seq * 1000, payload: Arc::new(payload.to_vec()) }
}

/// How much of its stack a guest has left untouched, and how much it has, in bytes. The stack lies below all data and
/// starts out as zeros.
fn stack_left(running: &Running) -> (usize, usize) {
    let snapshot = running.snapshot();
    let GlobalValue::I32(top) = Snapshot::decode(&snapshot).unwrap().head().globals[0] else {
        panic!("the first global is the stack pointer");
    };
    let top = top as usize;
    let untouched = memory(&snapshot)[..top].iter().take_while(|byte| **byte == 0).count();
    (untouched, top)
}

/// The linear memory in a snapshot.
fn memory(snapshot: &[u8]) -> Vec<u8> {
    let snapshot = Snapshot::decode(snapshot).unwrap();
    let mut memory = vec![0; snapshot.head().memory_len as usize];
    snapshot.fill_memory(&mut memory).unwrap();
    memory
}

fn logs(effects: &[OwnedEffect]) -> Vec<&str> {
    effects
        .iter()
        .filter_map(|e| if let OwnedEffect::Log { text, .. } = e { Some(text.as_str()) } else { None })
        .collect()
}

fn published<'a>(effects: &'a [OwnedEffect], wanted: &str) -> Vec<&'a [u8]> {
    let matching = effects.iter().filter_map(|e| match e {
        OwnedEffect::Publish { topic, payload, .. } if topic == wanted => Some(&payload[..]),
        _ => None,
    });
    matching.collect()
}

fn wakes(effects: &[OwnedEffect]) -> Vec<&[u8]> {
    let matching = effects.iter().filter_map(|e| match e {
        OwnedEffect::Wake { reason, payload } if reason == FAULT_REASON => Some(&payload[..]),
        _ => None,
    });
    matching.collect()
}

fn onset_trace() -> Trace {
    Trace::read(&root().join("manifests/examples/bearing-watch/onset.wav"), None).unwrap()
}

/// What the healthy machine in the trace was made to measure (`manifests/examples/bearing-watch/train`): 143 LSB RMS.
const HEALTHY: [(&str, &str); 3] =
    [("baseline_rms_q4", "2288"), ("baseline_diff_rms_q4", "3432"), ("baseline_kurtosis_q8", "768")];

/// The bearing of the example's simulated machine.
const BEARING: [(&str, &str); 5] = [
    ("shaft_hz", "29.95"),
    ("outer_race", "3.585"),
    ("inner_race", "5.415"),
    ("ball_spin", "2.357"),
    ("cage", "0.398"),
];

fn summary(number: u64) -> [u8; Summary::BYTES] {
    let rms_q4 = (number * 7919 % 5000) as u32;
    Summary { number, time_us: number * 10_667, rms_q4, peak: 90, kurtosis_q8: 768, diff_rms_q4: 5 }.to_bytes()
}

#[test]
fn guests_are_admitted_and_small() {
    // Name, largest module, largest memory, mutable globals.
    for (name, module_bytes, memory_bytes, globals) in [
        ("sentinel", 12 * 1024, 7 * 1024, 1),
        ("tracker", 2 * 1024, 768, 3),
        ("diagnose", 64 * 1024, 128 * 1024, 1),
        ("spinner", 512, 512, 1),
        ("greedy", 3 * 1024, 1024, 1),
    ] {
        let module = prepared(name);
        println!(
            "{name}: {} bytes prepared, {} of memory, imports {:?}",
            module.bytes.len(),
            module.memory_min,
            module.imports
        );
        assert_eq!(module.page_size, 1, "{name}");
        assert!(module.bytes.len() <= module_bytes, "{name} has {} bytes", module.bytes.len());
        assert!(module.memory_min <= memory_bytes, "{name} has {} bytes of memory", module.memory_min);
        assert_eq!(module.globals, globals, "{name}");
        if name != "greedy" {
            assert_eq!(module.memory_max, Some(module.memory_min), "{name} can grow");
            assert_eq!(module.portable, Ok(()), "{name}");
        }
    }
}

#[test]
fn every_import_is_in_the_table_of_the_interface() {
    for name in GUESTS {
        for (module, field) in prepared(name).imports {
            assert!(find_import(&module, &field).is_some(), "{name}: {module} {field}");
        }
    }
}

#[test]
fn tracker_counts_and_moves_with_its_globals() {
    let numbers = [0, 1, 2, 5, 5, 4, 6, 7, 8, 9];
    let mut straight = Running::start("tracker", grants(&[]));
    for number in numbers {
        assert_eq!(straight.event(EventKind::Message, &summary(number)), []);
    }
    let state = straight.tracker_state();
    assert_eq!((state.count, state.gaps, state.repeats, state.last), (10, 2, 2, 9));

    let module = prepared("tracker");
    let spec = Arc::new(spec("tracker", &module, grants(&[])));
    let finish = |snapshot: &[u8]| {
        let snapshot = Snapshot::decode(snapshot).unwrap();
        let container = Container::restore(&module.bytes, Arc::clone(&spec), &snapshot).unwrap();
        let mut moved = Running { container, seq: 5 };
        for number in &numbers[5..] {
            moved.event(EventKind::Message, &summary(*number));
        }
        (moved.container.state_digest(), moved.tracker_state())
    };
    let mut source = Running::start("tracker", grants(&[]));
    for number in &numbers[..5] {
        source.event(EventKind::Message, &summary(*number));
    }
    let snapshot = source.snapshot();
    assert_eq!(finish(&snapshot), (straight.container.state_digest(), state));

    // Each part that a careless move would leave out shows in the state that the tracker itself keeps.
    let head = Snapshot::decode(&snapshot).unwrap().head().clone();
    assert_eq!(head.globals.len(), 3);
    assert_eq!(head.globals[1], GlobalValue::I64(5));
    assert!(head.globals[2] != GlobalValue::I32(0));
    let without = |change: &dyn Fn(&mut coracle_migrate::snapshot::Head, &mut Vec<u8>)| {
        let (mut head, mut memory) = (head.clone(), memory(&snapshot));
        change(&mut head, &mut memory);
        let mut out = vec![0; SNAPSHOT_BYTES_MAX];
        let used = encode(&head, &[], std::iter::empty(), &memory, &mut out).unwrap();
        finish(&out[..used]).1
    };
    assert_eq!(without(&|_, _| ()), state, "the way there and back changes nothing");
    let no_count = without(&|head, _| head.globals[1] = GlobalValue::I64(0));
    assert_eq!((no_count.count, no_count.gaps), (5, 2));
    assert_ne!(no_count.chain, state.chain);
    assert_ne!(without(&|head, _| head.globals[2] = GlobalValue::I32(0)), state);
    // Of the fields in memory, all but the copies of the globals.
    let fields = [offset_of!(TrackerState, chain), offset_of!(TrackerState, gaps), offset_of!(TrackerState, repeats)];
    let more = [offset_of!(TrackerState, last), offset_of!(TrackerState, rms_sum_q4), TrackerState::BYTES - 76];
    for field in fields.into_iter().chain(more) {
        let byte = instance_address("tracker") + field;
        assert_ne!(without(&|_, memory| memory[byte] ^= 1), state, "field at {field}");
    }
}

#[test]
fn tracker_survives_messages_that_are_none() {
    let mut tracker = Running::start("tracker", grants(&[]));
    for payload in [&[][..], &[0xFF; 31], &[0xFF; 192]] {
        assert_eq!(tracker.event(EventKind::Message, payload), []);
    }
    tracker.event(EventKind::Wake, &[0; 5000]);
    let state = tracker.tracker_state();
    assert_eq!((state.malformed, state.count), (3, 0));
}

#[test]
fn a_fault_goes_from_sensor_to_diagnosis() {
    let trace = onset_trace();
    let mut sentinel = Running::start("sentinel", grants(&HEALTHY));
    let mut tracker = Running::start("tracker", grants(&[]));
    let mut onset = None;
    for (sequence, samples) in (0u32..).zip(trace.samples().chunks(BLOCK_SAMPLES_MAX)) {
        let effects = sentinel.block(sequence, samples);
        for message in published(&effects, SUMMARY_TOPIC) {
            tracker.event(EventKind::Message, message);
        }
        let (lines, wakes) = (logs(&effects), wakes(&effects));
        assert_eq!(lines.len(), wakes.len(), "{lines:?}");
        if let [wake] = wakes[..] {
            println!("block {sequence}: {}", lines[0]);
            assert!(lines[0].starts_with("onset of a fault: "), "{lines:?}");
            assert!(onset.is_none(), "a second wake at block {sequence}");
            onset = Some((sequence as usize, wake.to_vec()));
        }
    }
    let (block, wake) = onset.expect("a wake");
    assert!(block * 512 > 3 * 12_000, "before the fault: block {block}");
    let (header, window) = WindowHeader::split(&wake).unwrap();
    let end = (block + 1) * 512;
    let expected: Vec<u8> = trace.samples()[end - 2048..end].iter().flat_map(|s| s.to_le_bytes()).collect();
    assert!(window == expected, "the window is not the samples up to the onset");
    // The times of the window and of its last block are rounded down each.
    assert!(header.time_us.abs_diff((end as u64 - 2048) * 1_000_000 / 12_000) <= 1);

    let state = tracker.tracker_state();
    assert_eq!((state.count, state.gaps, state.repeats), (trace.samples().len() as u64 / 128, 0, 0));
    assert_eq!(state.last + 1, state.count);

    let mut diagnose = Running::start("diagnose", grants(&BEARING));
    let effects = diagnose.event(EventKind::Wake, &wake);
    let text = std::str::from_utf8(published(&effects, DIAGNOSIS_TOPIC)[0]).unwrap();
    println!("{text}\n{:?}", logs(&effects));
    assert_eq!(text.lines().next(), Some("inner race"));
    assert_eq!(logs(&effects), [format!("fault: inner race (window at {} us)", header.time_us)]);
    for (name, running) in [("sentinel", &sentinel), ("tracker", &tracker), ("diagnose", &diagnose)] {
        let usage = running.container.usage();
        let (untouched, stack) = stack_left(running);
        println!(
            "{name}: {} fuel an event, stack {untouched} of {stack} bytes untouched",
            usage.fuel_total / usage.events
        );
        assert!(untouched >= stack / 8, "{name} needs a larger stack: {untouched} of {stack} bytes were not used");
    }
}

#[test]
fn diagnose_refuses_windows_that_do_not_fit() {
    let mut diagnose = Running::start("diagnose", grants(&BEARING));
    let slow = [&WindowHeader { time_us: 0, rate_hz: 6000, samples: 2048 }.to_bytes()[..], &[0; 4096]].concat();
    for (payload, problem) in [(&slow[..], "12000 samples a second"), (&slow[..100], "header"), (&[0; 8192], "header")]
    {
        let effects = diagnose.event(EventKind::Wake, payload);
        assert!(published(&effects, DIAGNOSIS_TOPIC).is_empty());
        assert!(logs(&effects)[0].contains(problem), "{:?}", logs(&effects));
    }
}

#[test]
fn sentinel_ignores_a_block_that_comes_again() {
    let trace = onset_trace();
    let mut blocks = (0u32..).zip(trace.samples().chunks(BLOCK_SAMPLES_MAX));
    let mut sentinel = Running::start("sentinel", grants(&HEALTHY));
    let (sequence, samples) = blocks.next().unwrap();
    assert_eq!(sentinel.block(sequence, samples).len(), 4);
    assert_eq!(sentinel.block(sequence, samples), []);
    let (sequence, samples) = blocks.next().unwrap();
    let effects = sentinel.block(sequence, samples);
    let numbers: Vec<u64> =
        published(&effects, SUMMARY_TOPIC).iter().map(|m| Summary::from_bytes(m).unwrap().number).collect();
    assert_eq!(numbers, [4, 5, 6, 7]);
}

#[test]
fn sentinel_asks_again_a_few_times_when_a_wake_is_refused() {
    let mut refusing = grants(&HEALTHY);
    refusing.wake = ["other"].iter().map(|n| (*n).try_into().unwrap()).collect();
    let mut sentinel = Running::start("sentinel", refusing);
    let mut lines = Vec::new();
    let loud: Vec<i16> = (0..512).map(|i| if i % 2 == 0 { 9000 } else { -9000 }).collect();
    for sequence in 0..20 {
        let effects = sentinel.block(sequence, &loud);
        lines.extend(logs(&effects).into_iter().map(|line| (sequence, line.to_owned())));
    }
    assert_eq!(sentinel.container.usage().refused_calls, 5);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[1], (7, "wake for a fault refused; giving up".into()));
}

#[test]
fn a_missing_or_useless_setting_is_named() {
    for (guest, config, expected) in [
        ("sentinel", &HEALTHY[..2], "config: baseline_kurtosis_q8 is missing"),
        ("sentinel", &[("baseline_rms_q4", "-4")], "config: baseline_rms_q4 is no whole number that fits"),
        ("diagnose", &BEARING[1..], "config: shaft_hz is missing"),
        ("diagnose", &[("outer_race", "three")], "config: outer_race is no number"),
    ] {
        let mut running = Running::load(guest, grants(config));
        assert!(matches!(running.finish(None), Step::Exited(ExitReason::Returned(-22 | -2))), "{expected}");
        assert_eq!(logs(&running.container.take_effects()), [expected]);
    }
}

#[test]
fn a_panic_is_a_line_in_the_log_and_a_trap() {
    let mut probe = Running::start("probe", grants(&[]));
    let effects = probe.event(EventKind::Message, &[0; 7]);
    assert_eq!(logs(&effects), ["message of 7 bytes on topic 0 at 1000 us"]);
    let end = probe.finish(Some(event(2, EventKind::Wake, &[])));
    assert!(matches!(end, Step::Exited(ExitReason::Trapped(TrapKind::Unreachable, _))), "{end:?}");
    let effects = probe.container.take_effects();
    assert!(
        matches!(logs(&effects)[..], [line] if line.starts_with("panicked at guests/probe/src/lib.rs:")),
        "{effects:?}"
    );
}

#[test]
fn spinner_never_comes_back() {
    let mut spinner = Running::start("spinner", grants(&[]));
    spinner.container.begin(Some(event(1, EventKind::Wake, &[])));
    for _ in 0..1000 {
        assert_eq!(spinner.container.run(0, SLICE_FUEL), Step::Pending);
    }
}

#[test]
fn greedy_gets_what_its_limit_leaves() {
    let mut greedy = Running::start("greedy", grants(&[]));
    for _ in 0..2 {
        let effects = greedy.event(EventKind::Message, &[]);
        assert_eq!(logs(&effects), ["granted bytes: 15360"]);
    }
    assert!(greedy.container.usage().memory_bytes <= M_MEMORY as usize);
}
