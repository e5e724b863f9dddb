//! The guests of this repository as they really run: built for wasm32, prepared, and driven in the M core's sandbox.

use std::collections::HashMap;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use bearing_watch::{DIAGNOSIS_TOPIC, FAULT_REASON, SENSOR, SUMMARY_TOPIC, Summary, TrackerState, WindowHeader};
use coracle_guest_abi::host::Grants;
use coracle_guest_abi::{BLOCK_SAMPLES_MAX, BlockHeader, EventKind, find_import};
use coracle_lifecycle::ExitReason;
use coracle_migrate::snapshot::{GlobalValue, SNAPSHOT_BYTES_MAX, Snapshot, encode};
use coracle_prepare::{AdmissionLimits, Prepared, prepare};
use coracle_sandbox::{Container, OwnedEffect, OwnedEvent, Step};
use coracle_sensor_feed::trace::Trace;
use coracle_wire::{ContainerSpec, Limits};

const GUESTS: [&str; 5] = ["sentinel", "tracker", "diagnose", "spin", "greedy"];

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
        sensors: list(&[SENSOR]),
        publish: list(&[SUMMARY_TOPIC, DIAGNOSIS_TOPIC]),
        subscribe: list(&[SUMMARY_TOPIC]),
        wake: list(&[FAULT_REASON]),
        config: config.iter().map(|(k, v)| ((*k).try_into().unwrap(), (*v).try_into().unwrap())).collect(),
    }
}

fn spec(name: &str, module: &Prepared, grants: Grants) -> ContainerSpec {
    ContainerSpec {
        name: name.try_into().unwrap(),
        image: module.digest,
        portable: true,
        limits: Limits {
            memory: if name == "diagnose" { A_MEMORY } else { M_MEMORY },
            fuel_per_event: FUEL_PER_EVENT,
            queue: 16,
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
        let container = Container::load(&module.bytes, &spec(name, &module, grants));
        Self { container: container.unwrap_or_else(|error| panic!("{name}: {error}")), seq: 0 }
    }

    /// Loaded and past its `init`.
    fn start(name: &str, grants: Grants) -> Self {
        let mut running = Self::load(name, grants);
        assert_eq!(running.to_end(None), Step::Done, "{:?}", running.container.take_effects());
        running
    }

    fn to_end(&mut self, event: Option<OwnedEvent>) -> Step {
        self.container.begin(event);
        loop {
            match self.container.run(SLICE_FUEL) {
                Step::Pending => {}
                step => return step,
            }
        }
    }

    fn event(&mut self, kind: EventKind, payload: &[u8]) -> Vec<OwnedEffect> {
        self.seq += 1;
        let event = OwnedEvent { seq: self.seq, kind, source: 0, time_us: self.seq * 1000, payload: payload.to_vec() };
        assert_eq!(self.to_end(Some(event)), Step::Done, "event {}", self.seq);
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
        OwnedEffect::Publish { topic, payload } if topic == wanted => Some(&payload[..]),
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
fn real() {
    for f in ["normal_0hp", "onset_inner_race", "inner_race_007_0hp", "outer_race_007_0hp", "ball_007_0hp"] {
        let trace = Trace::read(Path::new(&format!("/work/shared/data/vibration/{f}.wav")), None).unwrap();
        for (what, base) in [
            ("demo", HEALTHY),
            (
                "normal",
                [("baseline_rms_q4", "1171"), ("baseline_diff_rms_q4", "1000"), ("baseline_kurtosis_q8", "768")],
            ),
        ] {
            let mut sentinel = Running::start("sentinel", grants(&base));
            let mut rms = vec![];
            let mut dif = vec![];
            let mut kur = vec![];
            let mut hits = vec![];
            let mut diagnose = Running::start("diagnose", grants(&BEARING));
            for (sequence, samples) in (0u32..).zip(trace.samples().chunks(BLOCK_SAMPLES_MAX)) {
                let effects = sentinel.block(sequence, samples);
                for m in published(&effects, SUMMARY_TOPIC) {
                    let s = Summary::from_bytes(m).unwrap();
                    rms.push(s.rms_q4);
                    dif.push(s.diff_rms_q4);
                    kur.push(s.kurtosis_q8);
                }
                for w in wakes(&effects) {
                    let e = diagnose.event(EventKind::Wake, w);
                    hits.push((
                        sequence,
                        format!("{:?} {:?}", logs(&effects), std::str::from_utf8(published(&e, DIAGNOSIS_TOPIC)[0])),
                    ));
                }
            }
            rms.sort();
            dif.sort();
            kur.sort();
            println!(
                "{f} {what}: rms med {} max {} diff med {} max {} kurt med {} -> {hits:?}",
                rms[rms.len() / 2],
                rms[rms.len() - 1],
                dif[dif.len() / 2],
                dif[dif.len() - 1],
                kur[kur.len() / 2]
            );
        }
    }
}
