//! Any host calls of any container: what a guest, a manifest of the other core and a snapshot may bring.

use std::sync::Arc;

use coracle_container::{
    Args, ContainerSpec, DeviceAnswer, DeviceCall, EFFECT_BYTES_PER_EVENT_MAX, Grants, Host, I2cGrant, Kv, Limits,
    Outcome, OwnedEffect, OwnedEvent, PinGrant, PinMode, SensorGrant, SpiGrant, Waiting, dispatch, request_payload,
};
use coracle_guest_abi::{
    Call, EFFECTS_PER_EVENT_MAX, Errno, EventKind, GRANTS_MAX, IMPORTS, KV_BYTES_MAX, LOG_BYTES_MAX, Name,
    REQUESTS_MAX, SensorInfo, TIMERS_MAX,
};
use coracle_migrate::snapshot::HostState;

use crate::bytes::Bytes;

const MEMORY_BYTES: usize = 1024;
/// Most events that time alone may cause at once: every timer and every request.
const DUE_MAX: usize = TIMERS_MAX + REQUESTS_MAX;

type Subject = Host<(), ()>;

fn name(text: &str) -> Name {
    text.try_into().unwrap()
}

/// A container that may do something of every kind.
fn usual() -> ContainerSpec {
    let pin = |label, mode| PinGrant { label: name(label), mode, exclusive: false };
    let grants = Grants {
        sensors: [SensorGrant { name: name("s"), rate_hz: 100, exclusive: false }].into_iter().collect(),
        pins: [pin("i", PinMode::Input), pin("o", PinMode::Output)].into_iter().collect(),
        i2c: [I2cGrant { bus: name("b"), addresses: [0x48].into_iter().collect(), exclusive: false }]
            .into_iter()
            .collect(),
        spi: [SpiGrant { device: name("d"), exclusive: false }].into_iter().collect(),
        publish: [name("p")].into_iter().collect(),
        subscribe: [name("t"), name("u")].into_iter().collect(),
        wake: [name("w")].into_iter().collect(),
        kv: 40,
        config: [(name("c"), "v".into())].into_iter().collect(),
        args: ["a".into()].into_iter().collect(),
        ..Grants::default()
    };
    let limits =
        Limits { timers: 2, subscriptions: 1, handles: 3, logs_per_second: 5, payload: 64, ..Limits::default() };
    ContainerSpec { name: name("n"), image: [1; 32], portable: true, seed: [2; 16], limits, grants }
}

/// Whatever is called: nothing beyond the grants, the limits and the memory, and nothing written by a refused call.
pub(crate) fn host_calls(input: &[u8]) {
    let mut input = Bytes(input);
    let own = input.below(4);
    let spec = if own & 1 == 0 {
        usual()
    } else {
        let len = usize::from(input.u16());
        let Ok(spec) = postcard::from_bytes::<ContainerSpec>(input.take(len)) else { return };
        if spec.over_limit().is_some() {
            return;
        }
        spec
    };
    let (mut state, mut kv) = (HostState::default(), Kv::default());
    if own & 2 != 0 {
        let len = usize::from(input.u8());
        let Ok(hostile) = postcard::from_bytes(input.take(len)) else { return };
        state = hostile;
        let len = usize::from(input.u8());
        let Some(hostile) = Kv::from_bytes(input.take(len)) else { return };
        kv = hostile;
    }
    let trusted = own & 2 == 0;
    let mut run = Run {
        host: Subject::new(Arc::new(spec), state, kv, ()),
        memory: vec![0; MEMORY_BYTES],
        core_us: 0,
        clock_us: state.clock_us,
        trusted,
    };
    while !input.is_empty() {
        run.step(&mut input);
        run.check();
    }
}

struct Run {
    host: Subject,
    memory: Vec<u8>,
    core_us: u64,
    /// What the container's clock said last.
    clock_us: u64,
    /// Its state began with nothing, so that all in it was granted.
    trusted: bool,
}

impl Run {
    fn step(&mut self, input: &mut Bytes<'_>) {
        match input.below(16) {
            0..=5 => self.call(input),
            6 => {
                let (at, len) = (usize::from(input.u16()) % MEMORY_BYTES, input.below(64));
                let bytes = input.take(len);
                let end = (at + bytes.len()).min(MEMORY_BYTES);
                self.memory[at..end].copy_from_slice(&bytes[..end - at]);
            }
            7 => {
                self.core_us = match input.below(4) {
                    0 => number(input),
                    _ => self.core_us.saturating_add(u64::from(input.u16())),
                };
                self.host.set_now(self.core_us);
                self.host.poll();
            }
            8 => {
                let due = core::iter::from_fn(|| self.host.due()).take(DUE_MAX + 1).count();
                assert!(due <= DUE_MAX, "time alone never stops causing events");
            }
            9 => {
                let event = event(input);
                let waiting = self.host.waiting().is_some();
                if let Err(back) = self.host.deliver(event.clone()) {
                    assert_eq!(back, event);
                } else {
                    assert!(waiting && self.host.event == Some(event));
                }
            }
            10 => {
                self.host.answer(answer(input));
                self.host.notice();
            }
            11 => {
                if let Some(result) = self.host.resume(&mut self.memory) {
                    assert!(!self.host.is_parked());
                    assert!(result >= -122, "{result}");
                }
            }
            12 => {
                self.host.event_done();
                self.host.effects.clear();
                self.host.command = input.below(2) == 0;
                self.host.event = Some(event(input));
            }
            13 => {
                let config: Vec<_> = (0..input.below(20))
                    .map(|_| (name(["a", "b", "c=", "d\0"][input.below(4)]), "\0x".repeat(input.below(3))))
                    .collect();
                if let Some(changed) = self.host.configure(&config) {
                    assert!(!changed.is_empty() && changed.last() == Some(&b'\n'));
                }
            }
            14 => self.host.abandon(),
            _ => {
                // It moves: everything that travels, and nothing else.
                let spec = Arc::clone(&self.host.spec);
                let state = HostState { initialised: true, ..self.host.state };
                let kv = Kv::from_bytes(self.host.kv.as_bytes()).expect("a store of ours");
                let dropped = self.host.effects.len();
                self.host = Subject::new(spec, state, kv, ());
                assert!(dropped <= EFFECTS_PER_EVENT_MAX + IMPORTS.len());
            }
        }
        let _ = (self.host.deadline_us(), self.host.is_new_turn());
    }

    fn call(&mut self, input: &mut Bytes<'_>) {
        let import = &IMPORTS[input.below(IMPORTS.len())];
        let mut args = Args::default();
        for arg in args.0.iter_mut().take(import.params.len()) {
            *arg = number(input);
        }
        if self.host.is_parked() {
            // No engine calls for a guest that is suspended.
            self.host.abandon();
        }
        let before = self.memory.clone();
        let kv = self.host.kv.clone();
        let failed = match dispatch(import.call, &args, &mut self.memory, &mut self.host) {
            Outcome::Return(value) if import.call.is_wasi() => {
                assert!((0..=76).contains(&value), "{:?} returns {value}", import.call);
                value != 0
            }
            Outcome::Return(value) => {
                let known = Errno::ALL.iter().any(|e| i64::from(e.as_result()) == value);
                assert!(value >= 0 || known || import.call == Call::TimeNow, "{:?} returns {value}", import.call);
                value < 0
            }
            Outcome::Park => {
                assert!(self.host.is_parked());
                self.asks_for_what_is_granted();
                true
            }
            Outcome::Exit(_) => {
                assert_eq!(import.call, Call::WasiProcExit);
                true
            }
        };
        assert!(!failed || self.memory == before, "{:?} wrote without a result", import.call);
        assert!(!failed || self.host.kv == kv, "{:?} stored without a result", import.call);
    }

    fn asks_for_what_is_granted(&self) {
        let Some(Waiting::Device(call)) = self.host.waiting() else { return };
        let (grants, most) = (&self.host.spec.grants, usize::from(self.host.spec.limits.payload));
        let granted = match call {
            DeviceCall::PinRead { label } => grants.pins.iter().any(|p| p.label == *label),
            DeviceCall::PinWrite { label, .. } => {
                grants.pins.iter().any(|p| p.label == *label && p.mode == PinMode::Output)
            }
            DeviceCall::PinWatch { label, edges, .. } => {
                *edges < 4 && grants.pins.iter().any(|p| p.label == *label && p.mode == PinMode::Input)
            }
            DeviceCall::I2c { bus, address, write, read } => {
                write.len().max(usize::from(*read)) <= most
                    && grants.i2c.iter().any(|b| b.bus == *bus && b.addresses.contains(address))
            }
            DeviceCall::Spi { device, write, read } => {
                write.len().max(usize::from(*read)) <= most && grants.spi.iter().any(|d| d.device == *device)
            }
            DeviceCall::SensorInfo { name } => grants.sensors.iter().any(|s| s.name == *name),
        };
        assert!(granted, "{call:?} is beyond the grants");
    }

    fn check(&mut self) {
        let host = &self.host;
        let (spec, state) = (&host.spec, &host.state);
        assert!(state.clock_us >= self.clock_us, "the clock went back");
        self.clock_us = state.clock_us;
        assert!(host.kv.as_bytes().len() <= KV_BYTES_MAX);
        if self.trusted {
            assert!(host.kv.as_bytes().len() <= usize::from(spec.grants.kv), "over the quota");
            let kinds =
                [spec.grants.sensors.len(), spec.grants.pins.len(), spec.grants.i2c.len(), spec.grants.spi.len()];
            for (kind, granted) in kinds.into_iter().enumerate() {
                let handles = (state.handles >> (kind * GRANTS_MAX)) & 0xFF;
                assert_eq!(handles >> granted, 0, "a handle that nobody granted");
            }
            assert!(state.handles.count_ones() <= u32::from(spec.limits.handles));
            let timers = usize::from(spec.limits.timers);
            assert!(state.timers.iter().skip(timers).all(Option::is_none), "too many timers");
            let subscribed = (0..GRANTS_MAX).filter(|t| host.is_subscribed(*t)).count();
            assert!(subscribed <= usize::from(spec.limits.subscriptions), "too many subscriptions");
            for (used, grant) in state.sensors.iter().zip(spec.grants.sensors.iter()) {
                assert!(grant.rate_hz == 0 || used.rate_hz <= grant.rate_hz, "faster than granted");
            }
        }
        self.check_effects();
    }

    fn check_effects(&self) {
        let (grants, most) = (&self.host.spec.grants, usize::from(self.host.spec.limits.payload));
        let (mut number, mut bytes) = (0, 0);
        for effect in &self.host.effects {
            number += 1;
            bytes += match effect {
                OwnedEffect::Log { level, text } => {
                    assert!((1..=4).contains(level) && text.len() <= LOG_BYTES_MAX);
                    text.len()
                }
                OwnedEffect::Publish { topic, payload, .. } | OwnedEffect::Request { topic, payload, .. } => {
                    assert!(grants.publish.contains(topic) && payload.len() <= most);
                    payload.len()
                }
                OwnedEffect::Reply { payload, .. } => {
                    assert!(payload.len() <= most);
                    payload.len()
                }
                OwnedEffect::Subscribed { topic } => {
                    assert!(usize::from(*topic) < grants.subscribe.len());
                    0
                }
                OwnedEffect::Wake { reason, payload } => {
                    assert!(grants.wake.contains(reason));
                    payload.len()
                }
                OwnedEffect::Refused { .. } => {
                    number -= 1;
                    0
                }
            };
        }
        assert!(number <= EFFECTS_PER_EVENT_MAX && bytes <= EFFECT_BYTES_PER_EVENT_MAX);
    }
}

/// A number as a guest might pass: small, about the end of memory, or anything.
fn number(input: &mut Bytes<'_>) -> u64 {
    match input.u8() {
        small @ 0..200 => u64::from(small),
        200..220 => u64::from(input.u16()),
        220..235 => (MEMORY_BYTES as u64).wrapping_add_signed(i64::from(input.u8().cast_signed())),
        235..245 => u64::from(input.u32()),
        _ => u64::from(input.u32()) << 32 | u64::from(input.u32()),
    }
}

fn event(input: &mut Bytes<'_>) -> OwnedEvent {
    let kind = EventKind::ALL[input.below(8)];
    let (source, len) = (input.u8() % 34, input.below(80));
    let bytes = input.take(len);
    let payload = if input.below(2) == 0 { request_payload("asker", bytes) } else { bytes.to_vec() };
    OwnedEvent { seq: 1, kind, source, tag: input.u32(), time_us: 7, payload: payload.into() }
}

fn answer(input: &mut Bytes<'_>) -> Result<DeviceAnswer, Errno> {
    Ok(match input.below(6) {
        0 => DeviceAnswer::Done,
        1 => DeviceAnswer::Level(input.below(2) == 0),
        2 | 3 => DeviceAnswer::Bytes(vec![7; usize::from(input.u8())]),
        4 => DeviceAnswer::Info(SensorInfo { rate_hz: input.u32(), ..SensorInfo::default() }),
        _ => return Err(Errno::ALL[input.below(Errno::ALL.len())]),
    })
}
