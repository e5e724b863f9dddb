//! Every host call with usual and with hostile arguments: both engines return the same, write the same, and ask for the
//! same, in a module with `on_event` and in a command.

use std::fmt::Write as _;

use coracle_container::DeviceAnswer;
use coracle_guest_abi::{Call, Cores, Errno, EventKind, IMPORTS, Import, SensorInfo, Type};
use coracle_lifecycle::ExitReason;
use coracle_test_modules::{CORES, Container, End, Event, prepared, spec};

/// What the modules here have in memory: names that are granted and names that are not.
const NAMES: &str = "accel0topic/atopic/bfaultratei2c0flashledbuttonkeydenied";
/// Where the arguments of a call are, and where its result goes.
const ARGS_AT: usize = 128;
const RESULT_AT: usize = 208;
const MEMORY: usize = 4096;
/// Random calls of each import in each style.
const ROUNDS: usize = 400;

/// Address and length of a name.
fn name(name: &str) -> [i64; 2] {
    [NAMES.find(name).unwrap() as i64, name.len() as i64]
}

/// A module that calls one import with the arguments that an event brings.
fn module(import: &Import, command: bool) -> Vec<u8> {
    let types =
        |types: &[Type]| types.iter().map(|t| if *t == Type::I32 { "i32 " } else { "i64 " }).collect::<String>();
    let mut call = String::from("(call $f");
    for (n, ty) in import.params.iter().enumerate() {
        let load = format!("(i64.load (i32.const {}))", ARGS_AT + 8 * n);
        match ty {
            Type::I32 => write!(call, " (i32.wrap_i64 {load})").unwrap(),
            Type::I64 => write!(call, " {load}").unwrap(),
        }
    }
    call.push(')');
    let work = match import.result {
        Some(Type::I32) => format!("(i64.store (i32.const {RESULT_AT}) (i64.extend_i32_s {call}))"),
        Some(Type::I64) => format!("(i64.store (i32.const {RESULT_AT}) {call})"),
        None => call,
    };
    let read = format!("(drop (call $read (i32.const {ARGS_AT}) (i32.const 80)))");
    // Every handle is open, so that calls come to their work.
    let opened = [("sensor", "accel0"), ("pin", "led"), ("pin", "button"), ("i2c", "i2c0"), ("spi", "flash")];
    let open: String = opened
        .iter()
        .map(|(kind, what)| {
            let [at, len] = name(what);
            format!("(drop (call ${kind} (i32.const {at}) (i32.const {len})))")
        })
        .collect();
    let main = if command {
        format!(
            r#"(func (export "_start") {open} (loop $again
            (drop (call $wait (i32.const 4) (i64.const -1) (i32.const 3000)))
            {read} {work}
            (drop (call $publish (i32.const 6) (i32.const 7) (i32.const {ARGS_AT}) (i32.const 192)))
            (br $again)))"#
        )
    } else {
        format!(
            r#"(func (export "init") (result i32) {open} (i32.const 0))
            (func (export "on_event") (param i32 i32 i32) (result i32) {read} {work} (i32.const 0))"#
        )
    };
    let text = format!(
        r#"(module
        (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
        (import "coracle:event@1" "wait" (func $wait (param i32 i64 i32) (result i32)))
        (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
        (import "coracle:sensor@1" "open" (func $sensor (param i32 i32) (result i32)))
        (import "coracle:gpio@1" "open" (func $pin (param i32 i32) (result i32)))
        (import "coracle:i2c@1" "open" (func $i2c (param i32 i32) (result i32)))
        (import "coracle:spi@1" "open" (func $spi (param i32 i32) (result i32)))
        (import "{}" "{}" (func $f (param {}) (result {})))
        (memory {MEMORY} {MEMORY} (pagesize 1)) (data (i32.const 0) "{NAMES}") {main})"#,
        import.module,
        import.name,
        types(import.params),
        import.result.map_or(String::new(), |r| types(&[r])),
    );
    prepared(&text).bytes
}

/// The same container on both engines.
struct Pair {
    m: Container,
    a: Container,
    seq: u64,
}

impl Pair {
    fn new(import: &Import, command: bool) -> Self {
        let module = module(import, command);
        let mut spec = spec(&module);
        spec.portable = !command;
        let [m, a] = CORES.map(|core| Container::started(core, &module, &spec));
        Self { m, a, seq: 0 }
    }

    fn both(&mut self, what: &str, mut run: impl FnMut(&mut Container) -> End) -> End {
        let ends = [run(&mut self.m), run(&mut self.a)];
        assert_eq!(ends[0], ends[1], "{what}");
        assert_eq!(self.m.waiting(), self.a.waiting(), "{what}");
        ends[0]
    }

    /// Makes the call in both, answers what it waits for, and compares everything that can be seen.
    fn call(&mut self, kind: EventKind, args: &[i64]) -> End {
        self.seq += 1;
        let mut payload: Vec<u8> = args.iter().flat_map(|a| a.to_le_bytes()).collect();
        payload.resize(80, 0);
        let mut event = Event::new(self.seq, kind, 0, &payload);
        if kind == EventKind::Request {
            event = Event { tag: 9, payload: coracle_container::request_payload("peer", &payload), ..event };
        }
        let what = format!("{kind:?} {args:x?}");
        let command = self.m.is_command();
        let mut end = self.both(&what, |c| if command { c.deliver(&event).unwrap() } else { c.handle(Some(&event)) });
        // At most one wait, whose answer depends on what it is for.
        if end == End::Parked && !self.m.waiting().unwrap().contains("kinds: 4 ") {
            let waiting = self.m.waiting().unwrap();
            assert!(command || !waiting.starts_with("Event"), "{what} {waiting}");
            let due = self.m.deadline_us();
            assert_eq!(due, self.a.deadline_us(), "{what}");
            let answer = match &waiting {
                w if w.contains("PinRead") => Ok(DeviceAnswer::Level(true)),
                w if w.contains("PinW") => Ok(DeviceAnswer::Done),
                w if w.contains("I2c") => Ok(DeviceAnswer::Bytes(vec![7; args[5] as u32 as usize])),
                w if w.contains("SensorInfo") => {
                    Ok(DeviceAnswer::Info(SensorInfo { rate_hz: 5, ..SensorInfo::default() }))
                }
                _ => Err(Errno::RemoteIo),
            };
            end = self.both(&what, |c| match &waiting {
                w if w.starts_with("Device") => c.answer(answer.clone()),
                w if w.starts_with("Notice") => c.notice(),
                w if w.starts_with("Event") && due.is_none() => c
                    .deliver(&event)
                    .or_else(|| {
                        // It waits for other kinds.
                        let kind =
                            EventKind::ALL.into_iter().find_map(|k| c.deliver(&Event { kind: k, ..event.clone() }));
                        Some(kind.unwrap_or(End::Parked))
                    })
                    .unwrap(),
                _ => {
                    c.at(due.unwrap());
                    c.go_on()
                }
            });
        }
        assert_eq!(self.m.effects(), self.a.effects(), "{what}");
        assert_eq!(self.m.host(), self.a.host(), "{what}");
        assert_eq!(self.m.kv(), self.a.kv(), "{what}");
        assert_eq!(self.m.refused_calls(), self.a.refused_calls(), "{what}");
        if end == End::Done {
            assert_eq!(self.m.memory(), self.a.memory(), "{what}");
            assert_eq!(self.m.state_digest(), self.a.state_digest(), "{what}");
        }
        end
    }

    fn result(&self) -> i64 {
        let memory = self.m.memory().unwrap();
        i64::from_le_bytes(memory[RESULT_AT..RESULT_AT + 8].try_into().unwrap())
    }
}

struct Random(u64);

impl Random {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from[(self.0 >> 33) as usize % from.len()]
    }
}

fn imports() -> impl Iterator<Item = &'static Import> {
    IMPORTS.iter().filter(|i| i.cores == Cores::Both)
}

#[test]
fn both_engines_agree_on_every_call_with_any_arguments() {
    let seed = std::env::var("CORACLE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x00CA_1150);
    println!("CORACLE_SEED={seed}");
    let mut random = Random(seed);
    let edges = [
        0,
        1,
        9,
        2,
        3,
        4,
        7,
        8,
        16,
        24,
        0x48,
        100,
        192,
        193,
        300,
        1000,
        1024,
        1025,
        4064,
        4072,
        4095,
        4096,
        4097,
        8192,
        0xFFFF,
        0x7FFF_FFFF,
        0x8000_0000,
        0xFFFF_FF00,
        0xFFFF_FFFF,
        -1,
        i64::MIN,
        i64::MAX,
        1 << 40,
    ];
    let names = ["accel0", "topic/a", "topic/b", "fault", "rate", "i2c0", "flash", "led", "button", "key", "denied"];
    let kinds = [EventKind::Message, EventKind::Request, EventKind::Sensor];
    for import in imports() {
        for command in [false, true] {
            let mut pair = Pair::new(import, command);
            for _ in 0..ROUNDS {
                let mut args = [0; 9].map(|_: i64| random.pick(&edges));
                // Half of them with a name, so that more than the first check is reached.
                if random.pick(&[true, false]) {
                    args[..2].copy_from_slice(&name(random.pick(&names)));
                }
                if command {
                    // A wait of half a day is tested elsewhere; here the clock must not run over.
                    args.iter_mut().for_each(|a| *a = (*a).min(1 << 41));
                }
                let kind = if command { EventKind::Message } else { random.pick(&kinds) };
                match pair.call(kind, &args) {
                    End::Exited(ExitReason::Exited(code)) if import.call == Call::WasiProcExit => {
                        assert_eq!(code, args[0] as i32);
                        pair = Pair::new(import, command);
                    }
                    End::Done if !command => {}
                    // Nothing ends some waits: for no kind of event, or for the end of all time.
                    End::Parked if !pair.m.waiting().unwrap().contains("kinds: 4 ") => {
                        pair = Pair::new(import, command);
                    }
                    End::Parked if command => {}
                    end => panic!("{} {}: {end:?} {args:x?}", import.module, import.name),
                }
            }
        }
    }
}

/// One usual call of each import, with the result that it must have: the random ones above could all be refused.
#[test]
fn every_call_does_its_work() {
    let cases: Vec<(Call, Vec<i64>, i64)> = vec![
        (Call::LogWrite, vec![3, name("rate")[0], 4], 0),
        (Call::ConfigGet, [&name("rate")[..], &[300, 16]].concat(), 5),
        (Call::ConfigVersion, vec![], 0),
        (Call::EventRead, vec![300, 100], 80),
        (Call::EventCurrent, vec![300], 0),
        (Call::EventWait, vec![0, -1, 300], -22),
        (Call::MsgWait, vec![-1, 300], -22),
        (Call::TimeNow, vec![], 1000),
        (Call::TimeSetTimer, vec![500, 0, 10], 0),
        (Call::TimeCancel, vec![0], -9),
        (Call::TimeRemaining, vec![0], -9),
        (Call::TimeSleep, vec![0], 0),
        (Call::SensorOpen, name("accel0").to_vec(), 0),
        (Call::SensorClose, vec![0], 0),
        (Call::SensorInfo, vec![0, 300], 0),
        (Call::SensorReadBlock, vec![0, 300, 400, 10], -11),
        (Call::SensorSetRate, vec![0, 100], 100),
        (Call::SensorSetThreshold, vec![0, -1, 1], 0),
        (Call::GpioOpen, name("button").to_vec(), 9),
        (Call::GpioClose, vec![9], 0),
        (Call::GpioRead, vec![9], 1),
        (Call::GpioWrite, vec![8, 1], 0),
        (Call::GpioWatch, vec![9, 3, 100], 0),
        (Call::I2cOpen, name("i2c0").to_vec(), 16),
        (Call::I2cClose, vec![16], 0),
        (Call::I2cWriteRead, vec![16, 0x48, 0, 2, 300, 4], 4),
        (Call::SpiOpen, name("flash").to_vec(), 24),
        (Call::SpiClose, vec![24], 0),
        (Call::SpiTransfer, vec![24, 0, 4, 300, 4], -121),
        (Call::MsgPublish, [&name("topic/a")[..], &[0, 8]].concat(), 0),
        (Call::MsgPublishRetained, [&name("topic/a")[..], &[0, 8]].concat(), 0),
        (Call::MsgSubscribe, name("topic/b").to_vec(), 0),
        (Call::MsgUnsubscribe, name("topic/b").to_vec(), 0),
        (Call::MsgRequest, [&name("topic/a")[..], &[0, 8, 1000]].concat(), 1),
        (Call::MsgReply, vec![0, 8], -11),
        (Call::KvGet, [&name("key")[..], &[300, 16]].concat(), -2),
        (Call::KvSet, [&name("key")[..], &[0, 16]].concat(), 0),
        (Call::KvDelete, name("key").to_vec(), -2),
        (Call::KvNext, vec![0, 0, 300, 31], -2),
        (Call::WakeRequest, [&name("fault")[..], &[0, 1000]].concat(), 0),
        (Call::WasiArgsSizesGet, vec![300, 304], 0),
        (Call::WasiArgsGet, vec![300, 400], 0),
        (Call::WasiEnvironSizesGet, vec![300, 304], 0),
        (Call::WasiEnvironGet, vec![300, 400], 0),
        (Call::WasiClockResGet, vec![1, 304], 0),
        (Call::WasiClockTimeGet, vec![1, 0, 304], 0),
        (Call::WasiRandomGet, vec![300, 100], 0),
        (Call::WasiSchedYield, vec![], 0),
        (Call::WasiPollOneoff, vec![300, 400, 0, 500], 28),
        (Call::WasiFdWrite, vec![1, 300, 0, 400], 0),
        (Call::WasiFdRead, vec![0, 300, 0, 400], 0),
        (Call::WasiFdClose, vec![3], 8),
        (Call::WasiFdSeek, vec![1, 0, 0, 300], 70),
        (Call::WasiFdFdstatGet, vec![1, 300], 0),
        (Call::WasiFdPrestatGet, vec![3, 300], 8),
        (Call::WasiFdPrestatDirName, vec![3, 300, 10], 8),
    ];
    for import in imports().filter(|i| i.call != Call::WasiProcExit) {
        let (_, args, result) = cases.iter().find(|(call, ..)| *call == import.call).unwrap_or_else(|| {
            panic!("{} {} has no case", import.module, import.name);
        });
        let mut pair = Pair::new(import, false);
        assert_eq!(pair.call(EventKind::Message, args), End::Done, "{} {}", import.module, import.name);
        assert_eq!(pair.result(), *result, "{} {}", import.module, import.name);
    }
}
