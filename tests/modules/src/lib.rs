//! Small modules (`wat/`) that run on both engines, so that their results can be compared.
//!
//! This crate is the harness: one type over the M core's sandbox and the A core's engine, and helpers to make modules,
//! specifications and events. The comparisons are in `tests/`. Everything here panics on failure: it is for tests.

use std::sync::{Arc, LazyLock};

use coracle_container::{
    ContainerSpec, DeviceAnswer, Grants, I2cGrant, Limits, OwnedEffect, OwnedEvent, PinGrant, PinMode, SensorGrant,
    SpiGrant, Step, Waiting,
};
use coracle_engine::EngineHandle;
use coracle_guest_abi::{BlockHeader, Errno, EventKind};
use coracle_lifecycle::ExitReason;
use coracle_migrate::snapshot::{DigestBytes, EventHead, HostState, SNAPSHOT_BYTES_MAX, Snapshot};
use coracle_prepare::{AdmissionLimits, Prepared};
use sha2::{Digest, Sha256};

/// Fuel of a slice in these tests: small, so that events are interrupted often.
pub const SLICE_FUEL: u64 = 50;
/// Memory limit of the containers here, in bytes.
pub const MEMORY_LIMIT: u32 = 8192;

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Core {
    /// wasmi.
    M,
    /// Wasmtime.
    A,
}

/// Both of them.
pub const CORES: [Core; 2] = [Core::M, Core::A];

static ENGINE: LazyLock<EngineHandle> = LazyLock::new(|| EngineHandle::new().unwrap());

/// The shared Wasmtime engine.
pub fn engine() -> &'static EngineHandle {
    &ENGINE
}

/// An event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Position in the stream.
    pub seq: u64,
    /// Kind.
    pub kind: EventKind,
    /// Sensor handle, topic index, whatever the kind says.
    pub source: u8,
    /// What the kind says.
    pub tag: u32,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Event {
    /// An event of `kind` without a tag.
    pub fn new(seq: u64, kind: EventKind, source: u8, payload: &[u8]) -> Self {
        Self { seq, kind, source, tag: 0, payload: payload.to_vec() }
    }

    /// A message with `payload` on topic `source`.
    pub fn message(seq: u64, source: u8, payload: &[u8]) -> Self {
        Self::new(seq, EventKind::Message, source, payload)
    }

    /// A block of `samples` from sensor 0.
    pub fn samples(seq: u64, samples: &[i16]) -> Self {
        let header = BlockHeader {
            timestamp_us: seq * 1000,
            sequence: u32::try_from(seq).unwrap(),
            rate_hz: 12_000,
            dropped: 0,
            count: u32::try_from(samples.len()).unwrap(),
        };
        let mut payload = header.to_bytes().to_vec();
        payload.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
        Self::new(seq, EventKind::Sensor, 0, &payload)
    }

    /// When it happened, in microseconds.
    pub fn time_us(&self) -> u64 {
        self.seq * 1000
    }

    /// As it waits in a snapshot.
    pub fn head(&self) -> EventHead {
        EventHead {
            seq: self.seq,
            kind: self.kind as u8,
            source: self.source,
            tag: self.tag,
            time_us: self.time_us(),
            len: 0,
        }
    }

    /// As a supervisor gives it to a container.
    pub fn owned(&self) -> OwnedEvent {
        OwnedEvent {
            seq: self.seq,
            kind: self.kind,
            source: self.source,
            tag: self.tag,
            time_us: self.time_us(),
            payload: self.payload.clone().into(),
        }
    }
}

/// How far an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Handled.
    Done,
    /// A call waits.
    Parked,
    /// The container exited. Without the place: only one of the engines tells it.
    Exited(ExitReason),
}

enum Engine {
    M(Box<coracle_sandbox::Container>),
    A(Box<coracle_engine::Container>),
}

/// A container on either engine, and the clock of the core that it is on.
pub struct Container {
    engine: Engine,
    now_us: u64,
}

macro_rules! on_both {
    ($self:expr, $c:ident => $call:expr) => {
        match $self.engine {
            Engine::M(ref $c) => $call,
            Engine::A(ref $c) => $call,
        }
    };
    (mut $self:expr, $c:ident => $call:expr) => {
        match $self.engine {
            Engine::M(ref mut $c) => $call,
            Engine::A(ref mut $c) => $call,
        }
    };
}

impl Container {
    /// A fresh container whose first run is done, or parked if it is a command.
    pub fn started(core: Core, module: &[u8], spec: &ContainerSpec) -> Self {
        let mut container = Self::load(core, module, spec).unwrap();
        let end = container.handle(None);
        assert_eq!(end, if container.is_command() { End::Parked } else { End::Done }, "{core:?}");
        container
    }

    /// A fresh container, or the refusal as its code and text.
    pub fn load(core: Core, module: &[u8], spec: &ContainerSpec) -> Result<Self, (u8, String)> {
        let spec = Arc::new(spec.clone());
        let engine = match core {
            Core::M => coracle_sandbox::Container::load(module, spec)
                .map(|c| Engine::M(Box::new(c)))
                .map_err(|e| (e.code(), e.to_string()))?,
            Core::A => coracle_engine::Container::load(engine(), module, spec)
                .map(|c| Engine::A(Box::new(c)))
                .map_err(|e| (e.code(), e.to_string()))?,
        };
        Ok(Self { engine, now_us: 0 })
    }

    /// A container restored from `snapshot`, or the refusal as its code and text. Its new core's clock shows what its own
    /// does; set another with [`Container::at`].
    pub fn restore(
        core: Core,
        module: &[u8],
        spec: &ContainerSpec,
        snapshot: &Snapshot<'_>,
    ) -> Result<Self, (u8, String)> {
        let spec = Arc::new(spec.clone());
        let engine = match core {
            Core::M => coracle_sandbox::Container::restore(module, spec, snapshot)
                .map(|c| Engine::M(Box::new(c)))
                .map_err(|e| (e.code(), e.to_string()))?,
            Core::A => coracle_engine::Container::restore(engine(), module, spec, snapshot)
                .map(|c| Engine::A(Box::new(c)))
                .map_err(|e| (e.code(), e.to_string()))?,
        };
        let mut container = Self { engine, now_us: 0 };
        container.at(snapshot.head().host.clock_us);
        Ok(container)
    }

    /// Sets the clock of its core, and ends a wait whose time is over.
    pub fn at(&mut self, now_us: u64) {
        self.now_us = now_us;
        on_both!(mut self, c => c.poll(now_us));
    }

    /// Runs an event (or the first run) until it is over or parked, at the event's time.
    pub fn handle(&mut self, event: Option<&Event>) -> End {
        self.now_us = self.now_us.max(event.map_or(0, Event::time_us));
        let event = event.map(Event::owned);
        on_both!(mut self, c => c.begin(event));
        self.go_on()
    }

    /// Runs on in slices until the event is over or parked.
    pub fn go_on(&mut self) -> End {
        loop {
            match on_both!(mut self, c => c.run(self.now_us, SLICE_FUEL)) {
                Step::Done => return End::Done,
                Step::Pending => {}
                Step::Parked => return End::Parked,
                Step::Exited(ExitReason::Trapped(kind, _)) => return End::Exited(ExitReason::Trapped(kind, None)),
                Step::Exited(reason) => return End::Exited(reason),
            }
        }
    }

    /// What it waits for, as text.
    pub fn waiting(&self) -> Option<String> {
        on_both!(self, c => c.waiting().map(|w: Waiting<'_>| format!("{w:?}")))
    }

    /// Gives it the event that it waits for and runs on; `None` when it does not wait for that.
    pub fn deliver(&mut self, event: &Event) -> Option<End> {
        self.now_us = self.now_us.max(event.time_us());
        on_both!(mut self, c => c.deliver(event.owned())).ok()?;
        Some(self.go_on())
    }

    /// Gives it the answer of a device and runs on.
    pub fn answer(&mut self, answer: Result<DeviceAnswer, Errno>) -> End {
        on_both!(mut self, c => c.answer(answer));
        self.go_on()
    }

    /// Tells it that an event waits, and runs on.
    pub fn notice(&mut self) -> End {
        on_both!(mut self, c => c.notice());
        self.go_on()
    }

    /// The next event that is due now, without a place in its stream.
    pub fn due(&mut self) -> Option<OwnedEvent> {
        on_both!(mut self, c => c.due(self.now_us))
    }

    /// When it has to be looked at, on its core's clock.
    pub fn deadline_us(&self) -> Option<u64> {
        on_both!(self, c => c.deadline_us())
    }

    /// Takes an answer to a request.
    pub fn answered(&mut self, id: u32) -> bool {
        on_both!(mut self, c => c.answered(id))
    }

    /// Whether it wants that topic now.
    pub fn is_subscribed(&self, topic: usize) -> bool {
        on_both!(self, c => c.is_subscribed(topic))
    }

    /// Replaces its configuration; the payload of the event for it.
    pub fn configure(&mut self, config: &[(&str, &str)]) -> Option<Vec<u8>> {
        let config: Vec<_> = config.iter().map(|(k, v)| ((*k).try_into().unwrap(), (*v).into())).collect();
        on_both!(mut self, c => c.configure(&config))
    }

    /// Tells it Unix time minus its core's clock.
    pub fn set_wall_offset(&mut self, offset_us: Option<i64>) {
        on_both!(mut self, c => c.set_wall_offset(offset_us));
    }

    /// Whether it is a command.
    pub fn is_command(&self) -> bool {
        on_both!(self, c => c.is_command())
    }

    /// The effects that nobody took yet, as text.
    pub fn effects(&mut self) -> Vec<String> {
        on_both!(mut self, c => c.take_effects()).iter().map(|e: &OwnedEffect| format!("{e:?}")).collect()
    }

    /// The digest of its state.
    pub fn state_digest(&self) -> DigestBytes {
        on_both!(self, c => c.state_digest())
    }

    /// Its host-side state.
    pub fn host(&self) -> HostState {
        *on_both!(self, c => c.state())
    }

    /// The bytes of its key-value store.
    pub fn kv(&self) -> Vec<u8> {
        on_both!(self, c => c.kv().as_bytes().to_vec())
    }

    /// Fuel used so far.
    pub fn fuel(&self) -> u64 {
        on_both!(self, c => c.usage().fuel_total)
    }

    /// Refused host calls so far.
    pub fn refused_calls(&self) -> u32 {
        on_both!(self, c => c.usage().refused_calls)
    }

    /// Log lines that were dropped.
    pub fn logs_dropped(&self) -> u32 {
        on_both!(self, c => c.usage().logs_dropped)
    }

    /// Events handled on this core.
    pub fn events(&self) -> u64 {
        on_both!(self, c => c.usage().events)
    }

    /// Length of its memory in bytes.
    pub fn memory_bytes(&self) -> usize {
        on_both!(self, c => c.usage().memory_bytes)
    }

    /// A snapshot with the events of `queued`, or `None` when the container is not idle.
    pub fn capture(&self, queued: &[Event]) -> Option<Vec<u8>> {
        let mut out = vec![0; SNAPSHOT_BYTES_MAX];
        let events = queued.iter().map(|e| (e.head(), &e.payload[..]));
        let used = on_both!(self, c => c.capture(events, &mut out).ok())?;
        out.truncate(used);
        Some(out)
    }

    /// Its linear memory, out of a snapshot of it; `None` when the container is not idle.
    pub fn memory(&self) -> Option<Vec<u8>> {
        let bytes = self.capture(&[])?;
        let snapshot = Snapshot::decode(&bytes).unwrap();
        let mut memory = vec![0; snapshot.head().memory_len as usize];
        snapshot.fill_memory(&mut memory).unwrap();
        Some(memory)
    }
}

/// The events in a snapshot.
pub fn queued(snapshot: &Snapshot<'_>) -> Vec<Event> {
    snapshot
        .events()
        .map(|(head, payload)| Event {
            seq: head.seq,
            kind: EventKind::from_u8(head.kind).unwrap(),
            source: head.source,
            tag: head.tag,
            payload: payload.to_vec(),
        })
        .collect()
}

/// Assembles and prepares text.
pub fn prepared(wat: &str) -> Prepared {
    coracle_prepare::prepare(&wat::parse_str(wat).unwrap(), &AdmissionLimits { memory: MEMORY_LIMIT }).unwrap()
}

/// A specification for `module` that grants everything the modules here ask for.
pub fn spec(module: &[u8]) -> ContainerSpec {
    let list = |names: &[&str]| names.iter().map(|n| (*n).try_into().unwrap()).collect();
    let pin = |label: &str, mode| PinGrant { label: label.try_into().unwrap(), mode, exclusive: false };
    ContainerSpec {
        name: "c".try_into().unwrap(),
        image: Sha256::digest(module).into(),
        portable: true,
        seed: [7; 16],
        limits: Limits {
            memory: MEMORY_LIMIT,
            fuel_per_event: 1_000_000,
            queue: 8,
            logs_per_second: 1000,
            ..Limits::default()
        },
        grants: Grants {
            sensors: [SensorGrant { name: "accel0".try_into().unwrap(), rate_hz: 12_000, exclusive: false }]
                .into_iter()
                .collect(),
            pins: [pin("led", PinMode::Output), pin("button", PinMode::Input)].into_iter().collect(),
            i2c: [I2cGrant {
                bus: "i2c0".try_into().unwrap(),
                addresses: [0x48].into_iter().collect(),
                exclusive: false,
            }]
            .into_iter()
            .collect(),
            spi: [SpiGrant { device: "flash".try_into().unwrap(), exclusive: false }].into_iter().collect(),
            publish: list(&["topic/a"]),
            subscribe: list(&["topic/b", "topic/c"]),
            wake: list(&["fault"]),
            kv: 256,
            config: [("rate".try_into().unwrap(), "12000".into())].into_iter().collect(),
            args: ["--fast".into()].into_iter().collect(),
            ..Grants::default()
        },
    }
}
