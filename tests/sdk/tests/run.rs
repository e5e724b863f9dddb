//! The modules of every SDK do the same on every engine: wasmi, Wasmtime, and Wasmtime's interpreter.
//!
//! The tests play the supervisor, with simulated devices and a clock that stands still until something waits for it.

mod common;

use std::sync::{Arc, LazyLock};

use common::{MEMORY, MEMORY_LARGE_PAGES, built_rust, scratch};
use coracle_container::{
    ContainerSpec, FileGrant, Grants, I2cGrant, Limits, OwnedEffect, OwnedEvent, PinGrant, PinMode, SensorGrant,
    SpiGrant, Step, Waiting, execute, request_payload,
};
use coracle_device::sim::{SimDevices, Wire, devices};
use coracle_engine::EngineHandle;
use coracle_guest_abi::{BlockHeader, Errno, EventKind, SensorInfo};
use coracle_lifecycle::ExitReason;
use coracle_migrate::snapshot::{GlobalValue, SNAPSHOT_BYTES_MAX, Snapshot};
use coracle_prepare::{AdmissionLimits, NotPortable, Prepared, prepare};
use coracle_test_sdk::{assemblyscript, c, guests_folder, or_skip, wasi};

/// Small, so that guests are interrupted often.
const SLICE_FUEL: u64 = 500;
/// Memory limit of programs with an allocator, in bytes.
const MEMORY_OF_PROGRAMS: u32 = 1024 * 1024;
/// Slices after which a guest that neither ends nor waits counts as stuck.
const SLICES_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Wasmi,
    Wasmtime,
    Pulley,
}

const ENGINES: [Engine; 3] = [Engine::Wasmi, Engine::Wasmtime, Engine::Pulley];

static NATIVE: LazyLock<EngineHandle> = LazyLock::new(|| EngineHandle::new().unwrap());
static PULLEY: LazyLock<EngineHandle> = LazyLock::new(|| EngineHandle::pulley().unwrap());

static SENSORS: [(&str, SensorInfo); 1] =
    [("accel0", SensorInfo { rate_hz: 400, rate_max_hz: 400, block: 4, scale_nano: 1000, unit: 1 })];

enum Container {
    M(Box<coracle_sandbox::Container>),
    A(Box<coracle_engine::Container>),
}

macro_rules! on {
    ($container:expr, $c:ident => $call:expr) => {
        match $container {
            Container::M($c) => $call,
            Container::A($c) => $call,
        }
    };
}

/// A container with its devices and its clock.
struct Running {
    container: Container,
    devices: SimDevices<'static>,
    wire: &'static Wire,
    now_us: u64,
    seq: u64,
    /// What devices answer instead of what they are asked for.
    broken: Option<Errno>,
}

impl Running {
    fn with(container: Container) -> Self {
        let wire: &'static Wire = Box::leak(Box::default());
        // Not 0: the core is up before the container is.
        Self { container, devices: devices(wire, &SENSORS), wire, now_us: 5_000, seq: 0, broken: None }
    }

    /// Loaded and started; says how far the first run came.
    fn start(engine: Engine, module: &Prepared, spec: &Arc<ContainerSpec>) -> (Self, Step) {
        let (bytes, spec) = (&module.bytes[..], Arc::clone(spec));
        let container = match engine {
            Engine::Wasmi => Container::M(Box::new(coracle_sandbox::Container::load(bytes, spec).unwrap())),
            Engine::Wasmtime => Container::A(Box::new(coracle_engine::Container::load(&NATIVE, bytes, spec).unwrap())),
            Engine::Pulley => Container::A(Box::new(coracle_engine::Container::load(&PULLEY, bytes, spec).unwrap())),
        };
        let mut running = Self::with(container);
        on!(&mut running.container, c => c.begin(None));
        let step = running.drive();
        (running, step)
    }

    fn captured(&self) -> Vec<u8> {
        let mut bytes = vec![0; SNAPSHOT_BYTES_MAX];
        let used = on!(&self.container, c => c.capture(std::iter::empty(), &mut bytes).unwrap());
        bytes.truncate(used);
        bytes
    }

    /// Checks that the guest has left an eighth of its stack untouched. The stack lies below all data and starts out as
    /// zeros.
    fn has_stack_left(&self) {
        let bytes = self.captured();
        let snapshot = Snapshot::decode(&bytes).unwrap();
        let mut memory = vec![0; snapshot.head().memory_len as usize];
        snapshot.fill_memory(&mut memory).unwrap();
        let Some(GlobalValue::I32(top)) = snapshot.head().globals.first().copied() else {
            panic!("the first global is the stack pointer");
        };
        let stack = usize::try_from(top).unwrap();
        let untouched = memory[..stack].iter().take_while(|byte| **byte == 0).count();
        println!("stack: {untouched} of {stack} bytes untouched");
        assert!(untouched >= stack / 8, "needs a larger stack: {untouched} of {stack} bytes were not used");
    }

    /// Moved to the other kind of core.
    fn moved(self, module: &Prepared, spec: &Arc<ContainerSpec>) -> Self {
        let bytes = self.captured();
        let snapshot = Snapshot::decode(&bytes).unwrap();
        let (module, spec) = (&module.bytes[..], Arc::clone(spec));
        let container = match self.container {
            Container::M(_) => {
                Container::A(Box::new(coracle_engine::Container::restore(&NATIVE, module, spec, &snapshot).unwrap()))
            }
            Container::A(_) => {
                Container::M(Box::new(coracle_sandbox::Container::restore(module, spec, &snapshot).unwrap()))
            }
        };
        let mut running = Self { container, ..self };
        // Its clock goes on from here.
        on!(&mut running.container, c => c.poll(running.now_us));
        running
    }

    /// Runs until the container is idle, has ended, or waits for an event. Devices answer, and sleep takes no time but the
    /// container's.
    fn drive(&mut self) -> Step {
        for _ in 0..SLICES_MAX {
            let step = on!(&mut self.container, c => c.run(self.now_us, SLICE_FUEL));
            if step == Step::Pending {
                continue;
            }
            if step != Step::Parked {
                return step;
            }
            let (broken, devices) = (self.broken, &mut self.devices);
            let answer = on!(&self.container, c => match c.waiting() {
                Some(Waiting::Device(call)) => Some(broken.map_or_else(|| execute(call, devices), Err)),
                Some(Waiting::Time) => None,
                _ => return step,
            });
            match answer {
                Some(answer) => on!(&mut self.container, c => c.answer(answer)),
                None => self.wait(),
            }
        }
        panic!("the guest is stuck");
    }

    /// Lets the time pass that the container waits for.
    fn wait(&mut self) {
        let deadline_us = on!(&self.container, c => c.deadline_us()).expect("a deadline");
        self.now_us = self.now_us.max(deadline_us);
        on!(&mut self.container, c => c.poll(self.now_us));
    }

    fn is_command(&self) -> bool {
        on!(&self.container, c => c.is_command())
    }

    /// Gives an event and runs.
    fn give(&mut self, event: OwnedEvent) -> Step {
        if self.is_command() {
            on!(&mut self.container, c => c.deliver(event)).expect("the command waits for it");
        } else {
            on!(&mut self.container, c => c.begin(Some(event)));
        }
        self.drive()
    }

    fn event(&mut self, kind: EventKind, source: u8, tag: u32, payload: &[u8]) -> Step {
        self.seq += 1;
        let payload = Arc::new(payload.to_vec());
        self.give(OwnedEvent { seq: self.seq, kind, source, tag, time_us: self.now_us, payload })
    }

    fn message(&mut self, payload: &[u8]) -> Step {
        self.event(EventKind::Message, 0, 0, payload)
    }

    fn block(&mut self, samples: &[i16]) -> Step {
        let count = u32::try_from(samples.len()).unwrap();
        let header = BlockHeader { timestamp_us: 7, sequence: 1, rate_hz: 400, dropped: 0, count };
        let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes());
        let payload: Vec<u8> = header.to_bytes().into_iter().chain(bytes).collect();
        self.event(EventKind::Sensor, 0, 0, &payload)
    }

    /// Lets the time pass until the next timer, and gives its event. Returns how long that was.
    fn timer(&mut self) -> u64 {
        let before_us = self.now_us;
        let deadline_us = on!(&self.container, c => c.deadline_us()).expect("a timer");
        self.now_us = deadline_us;
        let event = on!(&mut self.container, c => c.due(self.now_us)).expect("an event");
        assert_eq!(self.give(event), Step::Done);
        self.now_us - before_us
    }

    /// What it asked for since the last time.
    fn effects(&mut self) -> Vec<String> {
        let text = |bytes: &[u8]| format!("{}", bytes.escape_ascii());
        let effects = on!(&mut self.container, c => c.take_effects());
        let word = |effect: &OwnedEffect| match effect {
            OwnedEffect::Log { level, text } => format!("log {level} {}", text.trim_end()),
            OwnedEffect::Publish { topic, payload, retain: false } => format!("publish {topic} {}", text(payload)),
            OwnedEffect::Publish { topic, payload, retain: true } => format!("retain {topic} {}", text(payload)),
            OwnedEffect::Request { topic, payload, .. } => format!("request {topic} {}", text(payload)),
            OwnedEffect::Reply { to, id, payload } => format!("reply {to} {id} {}", text(payload)),
            OwnedEffect::Wake { reason, payload } => format!("wake {reason} {}", text(payload)),
            other => format!("{other:?}"),
        };
        effects.iter().map(word).collect()
    }
}

fn prepared(name: &str, module: &[u8], memory: u32) -> Prepared {
    prepare(module, &AdmissionLimits { memory }).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn rust(name: &str) -> Prepared {
    prepared(name, &built_rust(name), MEMORY)
}

/// The module of a guest in C, or `None` when it cannot be built here.
fn c_guest(name: &str) -> Option<Prepared> {
    let built = c::build(&guests_folder().join("c").join(name), name, &scratch(&format!("run-{name}")));
    or_skip(built).map(|module| prepared(name, &module, MEMORY))
}

fn spec(module: &Prepared, grants: Grants) -> Arc<ContainerSpec> {
    let limits = Limits { memory: MEMORY_LARGE_PAGES, ..Limits::default() };
    let name = "c".try_into().unwrap();
    Arc::new(ContainerSpec { name, image: module.digest, portable: !module.command, seed: [7; 16], limits, grants })
}

fn names<T: FromIterator<coracle_guest_abi::Name>>(names: &[&str]) -> T {
    names.iter().map(|name| (*name).try_into().unwrap()).collect()
}

fn config(entries: &[(&str, &str)]) -> Grants {
    let config = entries.iter().map(|(key, value)| ((*key).try_into().unwrap(), (*value).to_owned())).collect();
    Grants { config, ..Grants::default() }
}

fn pin(label: &str, mode: PinMode) -> PinGrant {
    PinGrant { label: label.try_into().unwrap(), mode, exclusive: false }
}

fn i2c(addresses: &[u8]) -> I2cGrant {
    I2cGrant { bus: "i2c0".try_into().unwrap(), addresses: addresses.iter().copied().collect(), exclusive: false }
}

fn sensor() -> SensorGrant {
    SensorGrant { name: "accel0".try_into().unwrap(), rate_hz: 200, exclusive: false }
}

#[test]
fn every_call_of_the_rust_sdk() {
    let module = rust("everything");
    let grants = Grants {
        sensors: [sensor()].into_iter().collect(),
        pins: [pin("led", PinMode::Output), pin("button", PinMode::Input)].into_iter().collect(),
        i2c: [i2c(&[0x48])].into_iter().collect(),
        spi: [SpiGrant { device: "spi0".try_into().unwrap(), exclusive: false }].into_iter().collect(),
        publish: names(&["topic/a"]),
        subscribe: names(&["topic/b"]),
        wake: names(&["fault"]),
        kv: 64,
        ..config(&[("rate", "12000")])
    };
    let spec = spec(&module, grants);
    for engine in ENGINES {
        let (mut running, step) = Running::start(engine, &module, &spec);
        assert_eq!(step, Step::Done, "{engine:?}");
        for (group, expected) in [
            &["log 3 get 5 none -2 version 0 tag 0 same 1"][..],
            &["log 3 set 0 remaining 1 cancel 0 again -9 slept 1 tag 0 same 1"],
            &["log 3 low 0 high 1 watch 0 unwatch 0 close 0 closed -9 tag 0 same 1"],
            // 21.5 degrees; an address without a grant is refused.
            &["Refused { call: I2cWriteRead, what: \"\" }", "log 3 read 5504 nobody -13 close 0 tag 0 same 1"],
            &["log 3 write 0 read 43981 status 0 close 0 tag 0 same 1"],
            &[
                "publish topic/a one",
                "retain topic/a two",
                "Refused { call: MsgPublish, what: \"topic/none\" }",
                "Subscribed { topic: 0 }",
                "request topic/a ping",
                "wake fault why",
                "log 3 publish 0 retained 0 denied -13 unsubscribe 0 subscribe 0 request 0 reply -11 wake 0 tag 0 same 1",
            ],
            &["log 3 none -2 set 0 get 5 next 1 last 0 delete 0 gone -2 tag 0 same 1"],
            &["log 3 event -22 msg -22 tag 0 same 1"],
            &["log 3 none tag 0 same 1"],
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(running.message(&[group as u8]), Step::Done, "{engine:?} {group}");
            assert_eq!(running.effects(), expected, "{engine:?} {group}");
        }
        let one = |running: &mut Running, step: Step| {
            assert_eq!(step, Step::Done, "{engine:?}");
            running.effects().join("; ")
        };
        let step = running.block(&[1, 2, 3]);
        let block = "log 3 early -9 mine 1 read 1 info 200 rate 100 threshold 0 close 0 tag 0 same 1";
        assert_eq!(one(&mut running, step), block, "{engine:?}");
        let step = running.event(EventKind::Wake, 0, 0, &[0; 5]);
        assert_eq!(one(&mut running, step), "log 3 wake 5 tag 0 same 1", "{engine:?}");
        let step = running.event(EventKind::Timer, 3, 0, &[]);
        assert_eq!(one(&mut running, step), "log 3 timer tag 0 same 1", "{engine:?}");
        let step = running.event(EventKind::Config, 0, 0, b"rate");
        assert_eq!(one(&mut running, step), "log 3 config 4 tag 0 same 1", "{engine:?}");
        // Its pins are closed by now.
        let step = running.event(EventKind::Pin, 9, 1, &[]);
        assert_eq!(one(&mut running, step), "log 3 pin -9 tag 1 same 1", "{engine:?}");
        let step = running.event(EventKind::Request, 0, 6, &request_payload("other", b"ping"));
        assert_eq!(one(&mut running, step), "reply other 6 pong; log 3 reply 0 tag 6 same 1", "{engine:?}");
        let step = running.event(EventKind::Reply, 0, 1, b"ok");
        assert_eq!(one(&mut running, step), "log 3 answer 2 tag 1 same 1", "{engine:?}");
        let step = running.event(EventKind::Reply, Errno::TimedOut as u8, 1, &[]);
        assert_eq!(one(&mut running, step), "log 3 answer -110 tag 1 same 1", "{engine:?}");
        running.has_stack_left();
    }
}

#[test]
fn a_driver_from_crates_io_reads_a_thermometer_and_moves() {
    let module = rust("thermometer");
    let grants = Grants {
        i2c: [i2c(&[0x48])].into_iter().collect(),
        publish: names(&["temperature"]),
        ..config(&[("period_ms", "2000")])
    };
    let spec = spec(&module, grants);
    let reading = format!("publish temperature {}", 21_500_i32.to_le_bytes().escape_ascii());
    for engine in ENGINES {
        let (mut running, step) = Running::start(engine, &module, &spec);
        assert_eq!(step, Step::Done, "{engine:?}");
        // With all its slack.
        assert_eq!(running.timer(), 2_200_000, "{engine:?}");
        assert_eq!(running.effects(), [&reading[..]], "{engine:?}");
        let mut running = running.moved(&module, &spec);
        assert_eq!(running.timer(), 2_000_000, "{engine:?}");
        assert_eq!(running.effects(), [&reading[..]], "{engine:?}");
        running.broken = Some(Errno::NoDevice);
        running.timer();
        assert_eq!(running.effects(), ["log 2 no thermometer at address 0x48 of i2c0"], "{engine:?}");
        running.timer();
        assert!(running.effects().is_empty(), "{engine:?}: said again");
        running.broken = None;
        running.timer();
        assert_eq!(running.effects(), [&reading[..]], "{engine:?}");
        running.has_stack_left();
    }
}

#[test]
fn a_command_waits_for_messages_and_time() {
    let module = rust("lamp");
    let grants = Grants {
        pins: [pin("led", PinMode::Output)].into_iter().collect(),
        publish: names(&["lamp/state"]),
        subscribe: names(&["lamp/switch"]),
        ..config(&[("off_after_s", "5")])
    };
    let spec = spec(&module, grants);
    for engine in ENGINES {
        let (mut running, step) = Running::start(engine, &module, &spec);
        assert_eq!(step, Step::Parked, "{engine:?}");
        assert_eq!(running.effects(), ["retain lamp/state 0"], "{engine:?}");
        assert_eq!(
            on!(&running.container, c => c.deadline_us()),
            None,
            "{engine:?}: a lamp that is off waits for ever"
        );
        assert_eq!(running.message(b"1"), Step::Parked, "{engine:?}");
        assert_eq!(running.effects(), ["retain lamp/state 1"], "{engine:?}");
        assert!(running.wire.is_high(), "{engine:?}");
        assert_eq!(running.message(b"on"), Step::Parked, "{engine:?}");
        let warning = "log 2 a message on lamp/switch that is neither 0 nor 1";
        assert_eq!(running.effects(), [warning], "{engine:?}");
        let before_us = running.now_us;
        running.wait();
        assert_eq!(running.drive(), Step::Parked, "{engine:?}");
        assert_eq!(running.now_us - before_us, 5_000_000, "{engine:?}");
        assert_eq!(running.effects(), ["retain lamp/state 0"], "{engine:?}");
        assert!(!running.wire.is_high(), "{engine:?}");
        running.broken = Some(Errno::NoDevice);
        let end = Step::Exited(ExitReason::Exited(Errno::NoDevice as i32));
        assert_eq!(running.message(b"1"), end, "{engine:?}: an error is the exit code");
    }
}

#[test]
fn c_in_event_style_blinks_and_moves() {
    let Some(module) = c_guest("blink") else { return };
    let pins = || [pin("led", PinMode::Output)].into_iter().collect();
    let spec = spec(&module, Grants { pins: pins(), subscribe: names(&["period"]), ..Grants::default() });
    for engine in ENGINES {
        let (mut running, step) = Running::start(engine, &module, &spec);
        assert_eq!(step, Step::Done, "{engine:?}");
        for high in [true, false, true] {
            running.timer();
            assert_eq!(running.wire.is_high(), high, "{engine:?}");
        }
        assert_eq!(running.message(b"2000"), Step::Done, "{engine:?}");
        assert_eq!(running.message(b"soon"), Step::Done, "{engine:?}");
        let warning = "log 2 a message that is no number of milliseconds above 0";
        assert_eq!(running.effects(), [warning], "{engine:?}");
        let mut running = running.moved(&module, &spec);
        assert_eq!(running.timer(), 2_200_000, "{engine:?}");
        assert!(!running.wire.is_high(), "{engine:?}: its state came along");
        running.has_stack_left();
    }
}

#[test]
fn c_names_a_useless_setting() {
    let Some(module) = c_guest("blink") else { return };
    for (value, engine) in [("0", Engine::Wasmi), ("fast", Engine::Wasmtime), ("123456789", Engine::Pulley)] {
        let pins = [pin("led", PinMode::Output)].into_iter().collect();
        let spec = spec(&module, Grants { pins, ..config(&[("period_ms", value)]) });
        let (mut running, step) = Running::start(engine, &module, &spec);
        assert_eq!(step, Step::Exited(ExitReason::Returned(-22)), "{engine:?}");
        let line = "log 1 config: period_ms is no number of milliseconds above 0";
        assert_eq!(running.effects(), [line], "{engine:?}");
    }
}

#[test]
fn c_in_command_style_uses_wasi() {
    let Some(module) = c_guest("meter") else { return };
    for engine in ENGINES {
        let with = |args: &[&str]| {
            let args = args.iter().map(|arg| (*arg).to_owned()).collect();
            spec(&module, Grants { subscribe: names(&["a"]), args, ..Grants::default() })
        };
        let (mut running, step) = Running::start(engine, &module, &with(&["2"]));
        assert_eq!(step, Step::Parked, "{engine:?}");
        assert_eq!(running.message(b"x"), Step::Parked, "{engine:?}");
        assert_eq!(running.message(b"y"), Step::Parked, "{engine:?}");
        running.wait();
        assert_eq!(running.drive(), Step::Parked, "{engine:?}");
        assert_eq!(running.effects(), ["log 3 messages: 2"], "{engine:?}");
        running.wait();
        assert_eq!(running.drive(), Step::Exited(ExitReason::Exited(0)), "{engine:?}");
        assert_eq!(running.effects(), ["log 3 messages: 0"], "{engine:?}");
        let (mut running, step) = Running::start(engine, &module, &with(&["many"]));
        assert_eq!(step, Step::Exited(ExitReason::Exited(2)), "{engine:?}");
        assert_eq!(running.effects(), ["log 3 the argument is the number of periods, 1 to 99999"], "{engine:?}");
    }
}

#[test]
fn assemblyscript_averages_and_moves() {
    let Some(module) = or_skip(assemblyscript::build(&scratch("run-averager"))) else { return };
    let module = prepared("averager", &module, MEMORY_LARGE_PAGES);
    let sensors = || [sensor()].into_iter().collect();
    let grants = Grants { sensors: sensors(), publish: names(&["average"]), ..config(&[("blocks", "3")]) };
    let spec = spec(&module, grants);
    for engine in ENGINES {
        let (mut running, step) = Running::start(engine, &module, &spec);
        assert_eq!(step, Step::Done, "{engine:?}");
        assert_eq!(running.block(&[100, 200]), Step::Done, "{engine:?}");
        assert_eq!(running.block(&[-32_768; 512]), Step::Done, "{engine:?}");
        assert!(running.effects().is_empty(), "{engine:?}");
        let mut running = running.moved(&module, &spec);
        assert_eq!(running.block(&[32_767; 512]), Step::Done, "{engine:?}");
        let average = (300 - 512) / (2 + 2 * 512);
        let expected = format!("publish average {}", i32::to_le_bytes(average).escape_ascii());
        assert_eq!(running.effects(), [expected], "{engine:?}");
    }
}

/// A program of the standard library, or `None` when it cannot be built here, with more memory than guests on both cores.
fn program(name: &str, grants: Grants) -> Option<(Prepared, Arc<ContainerSpec>)> {
    let module = prepared(name, &or_skip(wasi::build(name, &scratch(name)))?, MEMORY_OF_PROGRAMS);
    let mut spec = Arc::unwrap_or_clone(spec(&module, grants));
    spec.limits.memory = MEMORY_OF_PROGRAMS;
    Some((module, Arc::new(spec)))
}

#[test]
fn a_program_of_the_standard_library_runs() {
    let grants = Grants { args: [String::from("--x")].into_iter().collect(), ..config(&[("rate", "5")]) };
    let Some((module, spec)) = program("std", grants) else { return };
    // Too large for a real M core, but it asks for nothing that one does not have.
    let missing = |reason: &NotPortable| matches!(reason, NotPortable::Import { .. });
    assert!(!module.portable.as_ref().is_err_and(|reasons| reasons.iter().any(missing)), "{:?}", module.portable);
    for engine in ENGINES {
        let (mut running, step) = Running::start(engine, &module, &spec);
        assert_eq!(step, Step::Exited(ExitReason::Exited(7)), "{engine:?}");
        assert_eq!(
            running.effects(),
            [
                "log 3 arguments: [\"c\", \"--x\"]",
                "log 3 rate: Some(\"5\"), none: None",
                "log 3 input: Some(0)",
                "log 3 slept: true",
                "log 3 sum: 328350",
                "log 2 no end of line",
            ],
            "{engine:?}"
        );
    }
}

#[test]
fn files_of_the_standard_library_are_on_the_a_core() {
    let folder = tempfile::tempdir().unwrap();
    let files = FileGrant { guest: "/data".into(), host: folder.path().to_str().unwrap().into(), write: true };
    let grants = || Grants { files: [files.clone()].into_iter().collect(), ..Grants::default() };
    let Some((module, spec)) = program("files", grants()) else { return };
    let missing = |reason: &NotPortable| matches!(reason, NotPortable::Import { .. });
    assert!(module.portable.as_ref().is_err_and(|reasons| reasons.iter().any(missing)), "the M core has no files");
    for engine in [Engine::Wasmtime, Engine::Pulley] {
        std::fs::write(folder.path().join("in.txt"), "hello").unwrap();
        let (mut running, step) = Running::start(engine, &module, &spec);
        let effects = running.effects();
        assert_eq!(step, Step::Exited(ExitReason::Exited(0)), "{engine:?}: {effects:?}");
        assert_eq!(
            effects,
            [
                "log 3 before: Ok(\"hello\")",
                "log 3 names: [\"in.txt\", \"out.txt\", \"sub\"], 4 bytes",
                "Refused { call: WasiPathOpen, what: \"a file\" }",
                "log 3 outside: Err(PermissionDenied)",
            ],
            "{engine:?}"
        );
        assert_eq!(std::fs::read_to_string(folder.path().join("out.txt")).unwrap(), "one\n");
        assert!(!folder.path().join("in.txt").exists());
        std::fs::remove_dir(folder.path().join("sub")).unwrap();
        std::fs::remove_file(folder.path().join("out.txt")).unwrap();
    }
}
