//! Small modules (`wat/`) that run on both engines, so that their results can be compared.
//!
//! This crate is the harness: one type over the M core's sandbox and the A core's engine, and helpers to make modules,
//! specifications and events. The comparisons are in `tests/`. Everything here panics on failure: it is for tests.

use std::sync::LazyLock;

use coracle_engine::EngineHandle;
use coracle_guest_abi::{BlockHeader, EventKind, host::Grants};
use coracle_lifecycle::ExitReason;
use coracle_migrate::snapshot::{DigestBytes, EventHead, HostState, SNAPSHOT_BYTES_MAX, Snapshot};
use coracle_prepare::{AdmissionLimits, Prepared};
use coracle_wire::{ContainerSpec, Limits};
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

/// An event, before it becomes one of either crate's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Position in the stream.
    pub seq: u64,
    /// Kind.
    pub kind: EventKind,
    /// Sensor handle or topic index.
    pub source: u8,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Event {
    /// A message with `payload` on topic `source`.
    pub fn message(seq: u64, source: u8, payload: &[u8]) -> Self {
        Self { seq, kind: EventKind::Message, source, payload: payload.to_vec() }
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
        Self { seq, kind: EventKind::Sensor, source: 0, payload }
    }

    fn time_us(&self) -> u64 {
        self.seq * 1000
    }

    /// As it waits in a snapshot.
    pub fn head(&self) -> EventHead {
        EventHead { seq: self.seq, kind: self.kind as u8, source: self.source, time_us: self.time_us(), len: 0 }
    }
}

/// How an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Handled.
    Done,
    /// The container exited.
    Exited(ExitReason),
}

/// A container on either engine.
pub enum Container {
    /// On wasmi.
    M(Box<coracle_sandbox::Container>),
    /// On Wasmtime.
    A(Box<coracle_engine::Container>),
}

macro_rules! on_both {
    ($self:expr, $c:ident => $call:expr) => {
        match $self {
            Container::M($c) => $call,
            Container::A($c) => $call,
        }
    };
}

impl Container {
    /// A fresh container whose first run is done.
    pub fn started(core: Core, module: &[u8], spec: &ContainerSpec) -> Self {
        let mut container = Self::load(core, module, spec).unwrap();
        assert_eq!(container.handle(None), End::Done);
        container
    }

    /// A fresh container, or the refusal as its code and text.
    pub fn load(core: Core, module: &[u8], spec: &ContainerSpec) -> Result<Self, (u8, String)> {
        match core {
            Core::M => coracle_sandbox::Container::load(module, spec)
                .map(|c| Self::M(Box::new(c)))
                .map_err(|e| (e.code(), e.to_string())),
            Core::A => coracle_engine::Container::load(engine(), module, spec)
                .map(|c| Self::A(Box::new(c)))
                .map_err(|e| (e.code(), e.to_string())),
        }
    }

    /// A container restored from `snapshot`, or the refusal as its code and text.
    pub fn restore(
        core: Core,
        module: &[u8],
        spec: &ContainerSpec,
        snapshot: &Snapshot<'_>,
    ) -> Result<Self, (u8, String)> {
        match core {
            Core::M => coracle_sandbox::Container::restore(module, spec, snapshot)
                .map(|c| Self::M(Box::new(c)))
                .map_err(|e| (e.code(), e.to_string())),
            Core::A => coracle_engine::Container::restore(engine(), module, spec, snapshot)
                .map(|c| Self::A(Box::new(c)))
                .map_err(|e| (e.code(), e.to_string())),
        }
    }

    /// Runs an event (or the first run) to its end, in slices where the engine has them.
    pub fn handle(&mut self, event: Option<&Event>) -> End {
        match self {
            Container::M(c) => {
                c.begin(event.map(|e| coracle_sandbox::OwnedEvent {
                    seq: e.seq,
                    kind: e.kind,
                    source: e.source,
                    time_us: e.time_us(),
                    payload: e.payload.clone(),
                }));
                loop {
                    match c.run(SLICE_FUEL) {
                        coracle_sandbox::Step::Done => return End::Done,
                        coracle_sandbox::Step::Pending => {}
                        coracle_sandbox::Step::Exited(reason) => return End::Exited(reason),
                    }
                }
            }
            Container::A(c) => {
                c.begin(event.map(|e| coracle_engine::OwnedEvent {
                    seq: e.seq,
                    kind: e.kind,
                    source: e.source,
                    time_us: e.time_us(),
                    payload: e.payload.clone(),
                }));
                match c.run(SLICE_FUEL) {
                    coracle_engine::Step::Done => End::Done,
                    coracle_engine::Step::Exited(reason) => End::Exited(reason),
                    coracle_engine::Step::Pending => panic!("the A core runs events to their end"),
                }
            }
        }
    }

    /// The effects of the last event, as text that is the same for both engines' types.
    pub fn effects(&mut self) -> Vec<String> {
        on_both!(self, c => c.take_effects().iter().map(|e| format!("{e:?}")).collect())
    }

    /// The digest of its state.
    pub fn state_digest(&self) -> DigestBytes {
        on_both!(self, c => c.state_digest())
    }

    /// Its host-side state.
    pub fn host(&self) -> HostState {
        *on_both!(self, c => c.host())
    }

    /// Fuel used so far.
    pub fn fuel(&self) -> u64 {
        on_both!(self, c => c.usage().fuel_total)
    }

    /// Refused host calls so far.
    pub fn refused_calls(&self) -> u32 {
        on_both!(self, c => c.usage().refused_calls)
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
}

/// The events in a snapshot.
pub fn queued(snapshot: &Snapshot<'_>) -> Vec<Event> {
    snapshot
        .events()
        .map(|(head, payload)| Event {
            seq: head.seq,
            kind: EventKind::from_u8(head.kind).unwrap(),
            source: head.source,
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
    ContainerSpec {
        name: "c".try_into().unwrap(),
        image: Sha256::digest(module).into(),
        portable: true,
        limits: Limits { memory: MEMORY_LIMIT, fuel_per_event: 1_000_000, queue: 8 },
        grants: Grants {
            sensors: list(&["accel0"]),
            publish: list(&["topic/a"]),
            subscribe: list(&["topic/b"]),
            wake: list(&["fault"]),
            config: [("rate".try_into().unwrap(), "12000".try_into().unwrap())].into_iter().collect(),
        },
    }
}
