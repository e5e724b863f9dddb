//! The calls on a host without an engine.

extern crate std;

mod calls;
mod devices;
mod pointers;
mod property;
mod time;
mod wait;
mod wasi;

use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use coracle_guest_abi::{Call, EventKind, Name};
use coracle_migrate::snapshot::HostState;

use crate::{
    Args, ContainerSpec, Grants, Host, I2cGrant, Kv, Limits, Outcome, OwnedEffect, OwnedEvent, PinGrant, PinMode,
    SensorGrant, SpiGrant, dispatch,
};

const MEMORY_BYTES: usize = 4096;
/// What memory holds where nothing was written.
const FILL: u8 = 0xA5;
/// A place for results, beyond what [`Rig::put`] uses.
const OUT: i64 = 2048;
/// The handles of what [`spec`] grants.
const ACCEL: i64 = 0;
const TEMP: i64 = 1;
const BUTTON: i64 = 8;
const LED: i64 = 9;
const BUS: i64 = 16;
const ADC: i64 = 24;

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

/// A container that may do something of every kind.
fn spec() -> ContainerSpec {
    let grants = Grants {
        sensors: [("accel0", 100), ("temp", 0)]
            .into_iter()
            .map(|(n, rate_hz)| SensorGrant { name: name(n), rate_hz, exclusive: false })
            .collect(),
        pins: [("button", PinMode::Input), ("led", PinMode::Output)]
            .into_iter()
            .map(|(n, mode)| PinGrant { label: name(n), mode, exclusive: false })
            .collect(),
        i2c: [I2cGrant { bus: name("i2c1"), addresses: [0x48, 0x49].into_iter().collect(), exclusive: false }]
            .into_iter()
            .collect(),
        spi: [SpiGrant { device: name("adc"), exclusive: false }].into_iter().collect(),
        publish: [name("a/b")].into_iter().collect(),
        subscribe: [name("in"), name("other")].into_iter().collect(),
        wake: [name("bearing")].into_iter().collect(),
        kv: 64,
        config: [(name("limit"), "12".into()), (name("word"), "hé".into())].into_iter().collect(),
        args: ["--x".into(), "two words".into()].into_iter().collect(),
        ..Grants::default()
    };
    let limits = Limits::default();
    ContainerSpec { name: name("tracker"), image: [7; 32], portable: true, seed: [9; 16], limits, grants }
}

fn host(spec: ContainerSpec) -> Host<(), ()> {
    Host::new(Arc::new(spec), HostState::default(), Kv::default(), ())
}

fn event(kind: EventKind, source: u8, payload: &[u8]) -> OwnedEvent {
    OwnedEvent { seq: 3, kind, source, tag: 77, time_us: 1_000_000, payload: payload.to_vec().into() }
}

/// A host and a guest's memory.
struct Rig {
    host: Host<(), ()>,
    memory: Vec<u8>,
    /// Where the next text goes.
    next: usize,
}

impl Rig {
    fn of(spec: ContainerSpec) -> Self {
        Self { host: host(spec), memory: std::vec![FILL; MEMORY_BYTES], next: 16 }
    }

    fn new() -> Self {
        Self::of(spec())
    }

    /// With every handle open.
    fn open() -> Self {
        let mut rig = Self::new();
        rig.host.state.handles = [ACCEL, TEMP, BUTTON, LED, BUS, ADC].iter().fold(0, |all, h| all | 1 << h);
        rig
    }

    fn call(&mut self, call: Call, args: &[i64]) -> Outcome {
        let mut all = Args::default();
        for (to, from) in all.0.iter_mut().zip(args) {
            *to = from.cast_unsigned();
        }
        dispatch(call, &all, &mut self.memory, &mut self.host)
    }

    /// The result of a call that does not park.
    fn get(&mut self, call: Call, args: &[i64]) -> i64 {
        match self.call(call, args) {
            Outcome::Return(value) => value,
            other => panic!("{call:?} {args:?}: {other:?}"),
        }
    }

    /// Puts bytes into memory and returns their address.
    fn put(&mut self, bytes: impl AsRef<[u8]>) -> i64 {
        let (at, bytes) = (self.next, bytes.as_ref());
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
        self.next += bytes.len() + 1;
        assert!((self.next as i64) < OUT);
        at as i64
    }

    /// A call whose first arguments are a text.
    fn named(&mut self, call: Call, text: &str, rest: &[i64]) -> i64 {
        let at = self.put(text);
        self.get(call, &[&[at, text.len() as i64], rest].concat())
    }

    /// A call whose first arguments are a text and a payload.
    fn paid(&mut self, call: Call, text: &str, payload: &[u8], rest: &[i64]) -> i64 {
        let at = self.put(payload);
        self.named(call, text, &[&[at, payload.len() as i64], rest].concat())
    }

    fn at(&self, at: i64, len: usize) -> &[u8] {
        &self.memory[at as usize..at as usize + len]
    }

    fn u32(&self, at: i64) -> u32 {
        u32::from_le_bytes(self.at(at, 4).try_into().unwrap())
    }

    fn u64(&self, at: i64) -> u64 {
        u64::from_le_bytes(self.at(at, 8).try_into().unwrap())
    }

    /// The lines of its log since the last call, with their levels.
    fn lines(&mut self) -> Vec<(u8, String)> {
        let lines = self.host.effects.drain(..).filter_map(|e| match e {
            OwnedEffect::Log { level, text } => Some((level, text)),
            _ => None,
        });
        lines.collect()
    }

    /// Everything that a refused call must leave as it was.
    fn everything(&self) -> String {
        let h = &self.host;
        let parked = h.is_parked();
        std::format!("{:?} {:?} {:?} {:?} {parked} {:?}", h.state, h.kv, h.event, h.effects, self.memory)
    }
}
