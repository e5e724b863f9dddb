//! How a row is made: the text of a module around the call that attacks, and a specification that grants everything.

use std::fmt::Write as _;

use coracle_container::{ContainerSpec, FileGrant, Grants, I2cGrant, Limits, PinGrant, PinMode, SensorGrant, SpiGrant};
use coracle_guest_abi::{BlockHeader, EventKind, IMPORTS, Import, Type};
use coracle_prepare::{AdmissionLimits, PrepareError, prepare};
use sha2::{Digest as _, Sha256};

use super::{Expected, Row};
use crate::{Act, Case};

/// Bytes of memory of the modules here: the first address outside.
pub(super) const END: i64 = 4096;
/// `limits.memory` of the cases here.
pub(super) const MEMORY_LIMIT: u32 = 8192;
/// `limits.fuel_per_event`.
pub(super) const FUEL: u64 = 100_000;

// Where the texts lie in the memory of the modules here.
pub(super) const OUT: &str = "(i32.const 0) (i32.const 3)";
pub(super) const IN: &str = "(i32.const 8) (i32.const 2)";
pub(super) const FAULT: &str = "(i32.const 24) (i32.const 5)";
pub(super) const ACCEL: &str = "(i32.const 32) (i32.const 6)";
pub(super) const LED: &str = "(i32.const 40) (i32.const 3)";
pub(super) const BUTTON: &str = "(i32.const 48) (i32.const 6)";
pub(super) const BUS: &str = "(i32.const 56) (i32.const 4)";
pub(super) const FLASH: &str = "(i32.const 64) (i32.const 5)";
pub(super) const KEY: &str = "(i32.const 72) (i32.const 1)";
pub(super) const NEIGHBOUR: &str = "(i32.const 136) (i32.const 12)";
/// 64 bytes of letters.
pub(super) const BYTES: &str = "(i32.const 1024) (i32.const 64)";

const DATA: &str = r#"
  (data (i32.const 0) "out") (data (i32.const 8) "in") (data (i32.const 16) "req") (data (i32.const 24) "fault")
  (data (i32.const 32) "accel0") (data (i32.const 40) "led") (data (i32.const 48) "button") (data (i32.const 56) "i2c0")
  (data (i32.const 64) "flash") (data (i32.const 72) "k") (data (i32.const 80) "rate") (data (i32.const 88) "other")
  (data (i32.const 96) "a\ff\fe") (data (i32.const 104) "0123456789abcdefghijklmnopqrstuv")
  (data (i32.const 136) "to/neighbour") (data (i32.const 152) "accel1")
  (data (i32.const 1024) "The quick brown fox jumps over the lazy dog, and then once more.")"#;

/// Writes a number as a log line that the driver reads.
const SAY: &str = r#"
  (func $say (param $v i64) (local $i i32)
    (local.set $i (i32.const 16))
    (i32.store8 (i32.const 3000) (i32.const 61))
    (loop $l
      (local.set $i (i32.sub (local.get $i) (i32.const 1)))
      (i32.store8 offset=3001 (local.get $i)
        (i32.add (i32.const 97) (i32.wrap_i64 (i64.and (local.get $v) (i64.const 15)))))
      (local.set $v (i64.shr_u (local.get $v) (i64.const 4)))
      (br_if $l (local.get $i)))
    (drop (call $log.write (i32.const 3) (i32.const 3000) (i32.const 17))))"#;

/// A neighbour: counts its events with some work for each.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn neighbour() -> Case {
    let text = module(
        "(global $n (mut i64) (i64.const 0))",
        &on_event(
            "(local.set $i (i32.const 200))
             (loop $l (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
             (global.set $n (i64.add (global.get $n) (i64.const 1)))
             (call $say (global.get $n))",
        ),
    );
    let mut build = row("neighbour", &text);
    build.case.spec.name = "neighbour".try_into().unwrap();
    build.is("").finish().case
}

/// The import that is `$name` in the texts here: its interface without package and version, a dot, its name.
pub(super) fn import(name: &str) -> &'static Import {
    let found = IMPORTS.iter().find(|i| short(i) == name);
    found.unwrap_or_else(|| panic!("there is no import {name}"))
}

fn short(import: &Import) -> String {
    let interface = import.module.strip_prefix("coracle:").and_then(|m| m.strip_suffix("@1")).unwrap_or("wasi");
    format!("{interface}.{}", import.name)
}

fn import_text(import: &Import) -> String {
    let word = |ty: &Type| match ty {
        Type::I32 => " i32",
        Type::I64 => " i64",
    };
    let params: String = import.params.iter().map(word).collect();
    let result: String = import.result.iter().map(word).collect();
    let name = short(import);
    format!("(import \"{}\" \"{}\" (func ${name} (param{params}) (result{result})))", import.module, import.name)
}

/// A module with the memory and the texts above, the imports that its functions call, `fields` and `functions`.
pub(super) fn module(fields: &str, functions: &str) -> String {
    let memory = format!("(memory (export \"memory\") {END} (pagesize 1)) {DATA}");
    bare(&format!("{memory} {fields}"), functions)
}

/// A module without a memory of its own.
pub(super) fn bare(fields: &str, functions: &str) -> String {
    let say = if functions.contains("$say ") { SAY } else { "" };
    let all = format!("{functions} {say}");
    let mut imports = String::new();
    for import in IMPORTS.iter().filter(|i| {
        let call = format!("(call ${}", short(i));
        all.contains(&format!("{call} ")) || all.contains(&format!("{call})"))
    }) {
        imports.push_str(&import_text(import));
    }
    format!("(module {imports} {fields} {all})")
}

/// A function with two numbers to work with, exported as `on_event`.
pub(super) fn on_event(body: &str) -> String {
    format!(
        "(func (export \"on_event\") (param $kind i32) (param $source i32) (param $len i32) (result i32)
           (local $i i32) (local $j i64) {body} (i32.const 0))"
    )
}

/// `init`, and an `on_event` that does nothing.
pub(super) fn init(body: &str) -> String {
    format!("(func (export \"init\") (result i32) (local $i i32) (local $j i64) {body} (i32.const 0)) {}", on_event(""))
}

/// `_start`.
pub(super) fn command(body: &str) -> String {
    format!("(func (export \"_start\") (local $i i32) (local $j i64) {body})")
}

/// The call with these arguments; the words are numbers or expressions in parentheses, and numbers become constants of
/// the parameters' types.
pub(super) fn call(name: &str, args: &str) -> String {
    let import = import(name);
    let mut text = format!("(call ${name}");
    let mut params = import.params.iter();
    let mut rest = args.trim();
    while !rest.is_empty() {
        if rest.starts_with('(') {
            let mut depth = 0;
            let end = rest.find(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                depth == 0
            });
            let (word, after) = rest.split_at(end.expect("balanced parentheses") + 1);
            write!(text, " {word}").unwrap();
            params.next();
            rest = after.trim_start();
        } else {
            let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
            let ty = if params.next() == Some(&Type::I64) { "i64" } else { "i32" };
            write!(text, " ({ty}.const {word})").unwrap();
            rest = after.trim_start();
        }
    }
    text.push(')');
    text
}

/// Makes the call and says its result.
pub(super) fn say(name: &str, args: &str) -> String {
    match import(name).result {
        Some(Type::I64) => format!("(call $say {})", call(name, args)),
        _ => format!("(call $say (i64.extend_i32_s {}))", call(name, args)),
    }
}

/// Makes the call.
pub(super) fn make(name: &str, args: &str) -> String {
    format!("(drop {})", call(name, args))
}

/// Does it so many times.
pub(super) fn times(n: u32, body: &str) -> String {
    format!(
        "(local.set $i (i32.const {n}))
         (loop $times {body} (br_if $times (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))"
    )
}

/// A row that is being made.
pub(super) struct Build {
    pub(super) case: Case,
    wasm: Vec<u8>,
    raw: bool,
    admission: String,
    on_m: Option<String>,
    on_a: Option<String>,
}

/// A row with this module, which gets one message.
pub(super) fn row(name: &str, text: &str) -> Build {
    let wasm = wat::parse_str(text).unwrap_or_else(|e| panic!("{name}: {e}"));
    bytes(name, wasm).message(&[b'm'; 64])
}

/// A row with these bytes, which gets nothing.
pub(super) fn bytes(name: &str, wasm: Vec<u8>) -> Build {
    let case = Case {
        name: name.to_owned(),
        module: Vec::new(),
        spec: spec(),
        snapshot: None,
        script: Vec::new(),
        host_only: false,
        floods: false,
        cycled: false,
    };
    Build { case, wasm, raw: false, admission: "portable".to_owned(), on_m: None, on_a: None }
}

impl Build {
    /// The outcome on both cores.
    pub(super) fn is(mut self, outcome: &str) -> Self {
        self.on_m = Some(outcome.to_owned());
        self.on_a = Some(outcome.to_owned());
        self
    }

    /// The outcome on the M core, and that on the A core.
    pub(super) fn differs(mut self, on_m: &str, on_a: &str) -> Self {
        self.on_m = Some(on_m.to_owned());
        self.on_a = Some(on_a.to_owned());
        self
    }

    /// The outcome on the M core; the A core does not get it.
    pub(super) fn on_m_only(mut self, outcome: &str) -> Self {
        self.on_m = Some(outcome.to_owned());
        self
    }

    /// Preparation refuses it for that reason.
    pub(super) fn refused(mut self, reason: &str) -> Self {
        self.admission = format!("refused {reason}");
        self
    }

    /// Preparation binds it to the A core for that reason, where it comes to that outcome.
    pub(super) fn bound(mut self, reason: &str, outcome: &str) -> Self {
        self.admission = format!("bound {reason}");
        self.on_a = Some(outcome.to_owned());
        self
    }

    /// Not prepared: the engines get the bytes as they are.
    pub(super) fn raw(mut self) -> Self {
        self.raw = true;
        self.admission = "skipped".to_owned();
        self
    }

    /// It gets no events but those that are told from here on.
    pub(super) fn quiet(mut self) -> Self {
        self.case.script.clear();
        self
    }

    /// It gets a message.
    pub(super) fn message(self, payload: &[u8]) -> Self {
        self.event(EventKind::Message, 0, payload)
    }

    pub(super) fn event(mut self, kind: EventKind, source: u8, payload: &[u8]) -> Self {
        self.case.script.push(Act::Event { kind: kind as u8, source, tag: 7, payload: payload.to_vec() });
        self
    }

    /// Instead of the message it gets an event of that kind.
    pub(super) fn on(self, kind: EventKind) -> Self {
        let build = self.quiet();
        match kind {
            EventKind::Sensor => {
                let header = BlockHeader { timestamp_us: 1, sequence: 2, rate_hz: 100, dropped: 0, count: 4 };
                let samples: Vec<u8> = (0..8).collect();
                build.event(kind, 0, &[&header.to_bytes()[..], &samples].concat())
            }
            EventKind::Request => build.event(kind, 1, &coracle_container::request_payload("who", &[b'r'; 64])),
            _ => build.event(kind, 0, &[b'e'; 64]),
        }
    }

    /// Then so many turns pass.
    pub(super) fn turns(mut self, turns: u32) -> Self {
        self.case.script.push(Act::Turns(turns));
        self
    }

    pub(super) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.case.spec.limits);
        self
    }

    pub(super) fn grants(mut self, change: impl FnOnce(&mut Grants)) -> Self {
        change(&mut self.case.spec.grants);
        self
    }

    pub(super) fn snapshot(mut self, bytes: Vec<u8>) -> Self {
        self.case.snapshot = Some(bytes);
        self
    }

    /// The digest in its specification.
    pub(super) fn image(mut self, digest: [u8; 32]) -> Self {
        self.case.spec.image = digest;
        self
    }

    /// More than the memory of a small core holds: no M core is given such bytes, because they were not prepared.
    pub(super) fn host_only(mut self) -> Self {
        self.case.host_only = true;
        self
    }

    pub(super) fn floods(mut self) -> Self {
        self.case.floods = true;
        self
    }

    pub(super) fn cycled(mut self) -> Self {
        self.case.cycled = true;
        self
    }

    /// What the module is after preparation; for snapshots that name its digest.
    pub(super) fn prepared(&self) -> Vec<u8> {
        prepare(&self.wasm, &AdmissionLimits { memory: self.case.spec.limits.memory }).expect("it is admitted").bytes
    }

    pub(super) fn finish(mut self) -> Row {
        let admission = if self.raw {
            self.case.module = self.wasm;
            "skipped".to_owned()
        } else {
            match prepare(&self.wasm, &AdmissionLimits { memory: self.case.spec.limits.memory }) {
                Ok(prepared) => {
                    self.case.module = prepared.bytes;
                    match prepared.portable {
                        Ok(()) => "portable".to_owned(),
                        Err(reasons) => format!("bound {}", reasons.first().map(word).unwrap_or_default()),
                    }
                }
                Err(error) => format!("refused {}", reason(&error)),
            }
        };
        // A specification that names another image keeps its wrong digest.
        if self.case.spec.image == [0; 32] {
            self.case.spec.image = Sha256::digest(&self.case.module).into();
        }
        let expected = Expected { admission: self.admission, on_m: self.on_m, on_a: self.on_a };
        Row { case: self.case, admission, expected }
    }
}

fn reason(error: &PrepareError) -> String {
    match error {
        PrepareError::Feature { feature, .. } => format!("Feature {feature}"),
        error => word(error),
    }
}

/// The name of an enum's variant.
fn word(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
}

/// Grants all there is, within tight limits.
fn spec() -> ContainerSpec {
    let names = |list: &[&str]| list.iter().map(|n| (*n).try_into().unwrap()).collect();
    ContainerSpec {
        name: "hostile".try_into().unwrap(),
        image: [0; 32],
        portable: true,
        seed: [7; 16],
        limits: Limits {
            memory: MEMORY_LIMIT,
            fuel_per_event: FUEL,
            queue: 8,
            logs_per_second: 1000,
            ..Limits::default()
        },
        grants: Grants {
            sensors: [SensorGrant { name: "accel0".try_into().unwrap(), rate_hz: 100, exclusive: false }]
                .into_iter()
                .collect(),
            pins: [("led", PinMode::Output), ("button", PinMode::Input)]
                .map(|(label, mode)| PinGrant { label: label.try_into().unwrap(), mode, exclusive: false })
                .into_iter()
                .collect(),
            i2c: [I2cGrant {
                bus: "i2c0".try_into().unwrap(),
                addresses: [0x48].into_iter().collect(),
                exclusive: false,
            }]
            .into_iter()
            .collect(),
            spi: [SpiGrant { device: "flash".try_into().unwrap(), exclusive: false }].into_iter().collect(),
            publish: names(&["out", "to/neighbour"]),
            subscribe: names(&["in", "req"]),
            wake: names(&["fault"]),
            kv: 256,
            hosts: std::iter::empty().collect(),
            files: std::iter::empty().collect(),
            config: [("rate".try_into().unwrap(), "12000".to_owned())].into_iter().collect(),
            args: ["--x".to_owned()].into_iter().collect(),
        },
    }
}

/// A folder of the A core that does not exist.
pub(super) fn folder() -> FileGrant {
    FileGrant { guest: "/data".to_owned(), host: "/nonexistent".to_owned(), write: false }
}
