//! One container as the M core knows it, whether it lives here or on A.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use coracle_container::{ContainerSpec, FuelBudget, OwnedEvent, Payload, QUEUE_LEN_MAX, Usage, Waiting};
use coracle_device::Decimator;
use coracle_guest_abi::{EFFECTS_PER_EVENT_MAX, EventKind, GRANTS_MAX};
use coracle_lifecycle::{Change, State};
use coracle_migrate::role::{MigrationId, Source, Target};
use coracle_migrate::snapshot::EventHead;
use coracle_sandbox::Container;
use coracle_wire::RemoteSensor;

/// Slices after which a container counts as stuck: twice what the largest example takes for an event.
const STUCK_SLICES: u32 = 16;

/// Blocks of one sensor that wait for a command.
const BLOCKS_MAX: usize = 2;
/// Most payload bytes that wait for one container, beside wakes.
const QUEUE_BYTES_MAX: usize = 16 * 1024;

/// A copy restored from a migration, not live before its Commit.
pub(crate) struct Prepared {
    pub(crate) body: Box<Container>,
    pub(crate) events: Vec<OwnedEvent>,
    pub(crate) cursor: u64,
}

/// What a container wants of a sensor.
pub(crate) struct SensorWish {
    /// Index among its grants: the handle.
    pub(crate) index: u8,
    /// Most samples a second; 0: all.
    pub(crate) rate_hz: u32,
    /// See `sensor.set_threshold`.
    pub(crate) threshold: Option<(i32, i32)>,
}

/// The open migration of a container, if any.
#[derive(Debug)]
pub(crate) enum Role {
    None,
    Source(Source),
    Target(Target),
}

pub(crate) struct Entry {
    pub(crate) spec: Arc<ContainerSpec>,
    /// The prepared module, kept while the container may come (back) to this core.
    pub(crate) module: Vec<u8>,
    pub(crate) state: State,
    pub(crate) body: Option<Box<Container>>,
    /// Undelivered events. Here: to handle. On A: not acknowledged yet. The event being handled stays at the front
    /// until it is done, so that a checkpoint in between has it.
    pub(crate) queue: VecDeque<OwnedEvent>,
    /// Whether the front of the queue (or `init`) is being handled; of a command: whether it has begun.
    pub(crate) busy: bool,
    /// It ends in its own time and takes its events out of the queue itself.
    pub(crate) command: bool,
    /// What it owes of its fuel a second.
    pub(crate) fuel: FuelBudget,
    /// Bring its sensors' blocks to the rates that it gets, in the order of its grants.
    pub(crate) decimators: [Option<Decimator>; GRANTS_MAX],
    /// On A: what it wants of the sensors here, and the blocks that A has not given back.
    pub(crate) remote_sensors: Vec<RemoteSensor>,
    pub(crate) remote_blocks: Vec<coracle_bulk::BulkRef>,
    /// It was answered that a pin is watched, and has not gone on yet.
    pub(crate) watch_pending: bool,
    /// Of a command: its counters at the last checkpoint.
    pub(crate) kept: Option<(u64, u32, u64, u32)>,
    /// Slices that the event being handled has had.
    pub(crate) slices: u32,
    pub(crate) initialised: bool,
    /// Sequence number of the last event that was queued.
    pub(crate) cursor: u64,
    /// On A: sequence number of the last event sent in this session.
    pub(crate) sent: u64,
    /// The blocks of wake payloads that A has not acknowledged.
    pub(crate) blocks: Vec<(u64, coracle_bulk::BulkRef)>,
    /// Freeze at the next safe point.
    pub(crate) freeze: bool,
    pub(crate) role: Role,
    pub(crate) prepared: Option<Prepared>,
    /// The last migration that was committed here as the source, or as the target.
    pub(crate) moved_out: Option<MigrationId>,
    pub(crate) moved_in: Option<MigrationId>,
    /// The cursor that went into the snapshot of the open migration.
    pub(crate) captured: u64,
    pub(crate) dropped: u32,
    /// What earlier lives of it on this core used.
    pub(crate) earlier: Usage,
    /// The slots that have to be written at the next commit.
    pub(crate) state_dirty: bool,
    pub(crate) queue_dirty: bool,
}

impl Entry {
    pub(crate) fn new(spec: Arc<ContainerSpec>, module: Vec<u8>, state: State) -> Self {
        Self {
            spec,
            module,
            state,
            body: None,
            queue: VecDeque::new(),
            busy: false,
            command: false,
            fuel: FuelBudget::default(),
            decimators: [None; GRANTS_MAX],
            remote_sensors: Vec::new(),
            remote_blocks: Vec::new(),
            watch_pending: false,
            kept: None,
            slices: 0,
            initialised: false,
            cursor: 0,
            sent: 0,
            blocks: Vec::new(),
            freeze: false,
            role: Role::None,
            prepared: None,
            moved_out: None,
            moved_in: None,
            captured: 0,
            dropped: 0,
            earlier: Usage::default(),
            state_dirty: true,
            queue_dirty: true,
        }
    }

    /// Changes the state; a change that the machine does not have is ignored, which leaves the old state valid.
    pub(crate) fn change(&mut self, change: Change) {
        match self.state.next(change) {
            Ok(state) => {
                self.state = state;
                self.state_dirty = true;
            }
            Err(_) => coracle_board_api::error!("{}: a state change was refused", self.spec.name.as_str()),
        }
    }

    pub(crate) fn is_on_a(&self) -> bool {
        self.state == State::Gone
    }

    /// Whether it will not take an event of that kind soon: its own takes too long, it waits for something else, or it has
    /// used its fuel. Nobody waits for it then; its queue overflows and is counted.
    pub(crate) fn is_stuck(&self, kind: EventKind, now_us: u64) -> bool {
        let elsewhere = match self.waiting() {
            Some(Waiting::Event { kinds }) => kinds & kind.bit() == 0,
            Some(_) => true,
            None => false,
        };
        elsewhere || (self.busy && self.slices > STUCK_SLICES) || self.throttled_us(now_us).is_some()
    }

    /// The timers (bits) whose events wait in the queue; all bits when the queue has no room for any.
    pub(crate) fn waiting_timers(&self) -> u8 {
        if !self.has_room(1) {
            return u8::MAX;
        }
        self.unhandled().filter(|e| e.kind == EventKind::Timer).fold(0, |bits, e| bits | 1 << (e.source % 8))
    }

    /// The events that wait, without the one being handled.
    pub(crate) fn unhandled(&self) -> impl Iterator<Item = &OwnedEvent> {
        self.queue.iter().skip(usize::from(self.busy && !self.command && self.initialised))
    }

    /// Makes room for another block of a sensor in the queue of a command, which may not take any: the oldest goes.
    pub(crate) fn drop_old_block(&mut self, source: u8) {
        let of = |e: &OwnedEvent| e.kind == EventKind::Sensor && e.source == source;
        if self.command
            && self.queue.iter().filter(|e| of(e)).count() >= BLOCKS_MAX
            && let Some(oldest) = self.queue.iter().position(of)
        {
            self.queue.remove(oldest);
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Whether it has something to do here, were it not for its fuel a second.
    pub(crate) fn has_work(&self) -> bool {
        match (&self.state, self.waiting()) {
            (State::Running, None) => self.busy || !self.initialised || (!self.freeze && !self.queue.is_empty()),
            (State::Running, Some(Waiting::Event { kinds })) => self.queue.iter().any(|e| kinds & e.kind.bit() != 0),
            (State::Running, Some(Waiting::Notice)) => !self.queue.is_empty(),
            (State::Running, Some(Waiting::Device(_))) => true,
            _ => false,
        }
    }

    /// What it is parked for.
    pub(crate) fn waiting(&self) -> Option<Waiting<'_>> {
        self.body.as_ref().and_then(|b| b.waiting())
    }

    /// When its fuel a second lets it run again, in microseconds; `None`: now.
    pub(crate) fn throttled_us(&self, now_us: u64) -> Option<u64> {
        self.fuel.ready_us(now_us, self.spec.limits.fuel_per_second)
    }

    /// Its image is on A alone: it never runs here.
    pub(crate) fn is_fixed_on_a(&self) -> bool {
        self.is_on_a() && self.module.is_empty()
    }

    /// What it wants of the sensor `name`: its own index of it, and what it asked.
    pub(crate) fn sensor_wish(&self, name: &str) -> Option<SensorWish> {
        match (&self.state, &self.body) {
            (State::Running, Some(body)) => {
                let asked = body.state().sensors;
                let (index, (grant, used)) = (0..)
                    .zip(self.spec.grants.sensors.iter().zip(asked))
                    .find(|(_, (grant, used))| grant.name == name && !used.off)?;
                let rate_hz = match (grant.rate_hz, used.rate_hz) {
                    (granted, 0) => granted,
                    (0, asked) => asked,
                    (granted, asked) => granted.min(asked),
                };
                Some(SensorWish { index, rate_hz, threshold: used.threshold })
            }
            (State::Gone, _) => {
                let (index, wish) = (0..).zip(&self.remote_sensors).find(|(_, wish)| wish.name == name && !wish.off)?;
                Some(SensorWish { index, rate_hz: wish.rate_hz, threshold: wish.threshold })
            }
            _ => None,
        }
    }

    /// Whether `more` events fit its queue. Beyond `limits.queue` there is room for what one event more may cause: the
    /// sensor is asked as long as that room is free, so that a queue with a few events in it neither stops the sensor
    /// nor loses anything.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        let capacity = usize::from(self.spec.limits.queue) + EFFECTS_PER_EVENT_MAX;
        self.queue.len() + more <= capacity.min(usize::from(QUEUE_LEN_MAX))
    }

    /// Queues an event, or counts it as dropped.
    pub(crate) fn push(&mut self, kind: EventKind, source: u8, tag: u32, time_us: u64, payload: Payload) {
        if matches!(self.state, State::Exited(_)) {
            return;
        }
        // A peer may have set it to anything.
        self.cursor = self.cursor.saturating_add(1);
        if kind == EventKind::Wake && !self.has_room(1) {
            // Messages that wait for a sleeping A must not keep it from being woken.
            if let Some(oldest) = self.queue.iter().position(|e| e.kind != EventKind::Wake) {
                self.queue.remove(oldest);
                self.dropped = self.dropped.saturating_add(1);
            }
        }
        let held: usize = self.queue.iter().filter(|e| e.kind != EventKind::Wake).map(|e| e.payload.len()).sum();
        let fits = kind == EventKind::Wake || held + payload.len() <= QUEUE_BYTES_MAX;
        if self.has_room(1) && fits {
            self.queue.push_back(OwnedEvent { seq: self.cursor, kind, source, tag, time_us, payload });
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
        self.queue_dirty = true;
    }

    /// Bytes of the wake payloads that wait.
    pub(crate) fn wake_bytes(&self) -> usize {
        self.queue.iter().filter(|e| e.kind == EventKind::Wake).map(|e| e.payload.len()).sum()
    }

    /// A confirmed events up to `seq`.
    pub(crate) fn acknowledge(&mut self, seq: u64) {
        while self.queue.front().is_some_and(|e| e.seq <= seq) {
            self.queue.pop_front();
            self.queue_dirty = true;
        }
        self.sent = self.sent.max(seq);
        self.cursor = self.cursor.max(seq);
    }

    /// The queue as a snapshot carries it.
    pub(crate) fn queued(&self) -> impl Iterator<Item = (EventHead, &[u8])> + Clone {
        self.queue.iter().map(|e| {
            let head =
                EventHead { seq: e.seq, kind: e.kind as u8, source: e.source, tag: e.tag, time_us: e.time_us, len: 0 };
            (head, e.payload.as_slice())
        })
    }

    /// What it used on this core, over all its lives here.
    pub(crate) fn usage(&self) -> Usage {
        let now = self.body.as_ref().map(|b| b.usage()).unwrap_or_default();
        Usage {
            memory_bytes: now.memory_bytes,
            fuel_total: self.earlier.fuel_total + now.fuel_total,
            events: self.earlier.events + now.events,
            refused_calls: self.earlier.refused_calls.saturating_add(now.refused_calls),
            logs_dropped: self.earlier.logs_dropped.saturating_add(now.logs_dropped),
        }
    }

    /// Drops the engine and keeps what it used.
    pub(crate) fn drop_body(&mut self) {
        self.earlier = Usage { memory_bytes: 0, ..self.usage() };
        self.body = None;
        self.busy = false;
    }

    /// The reverse of [`Entry::queued`], for events out of a checked snapshot. Unknown kinds are left out: this build
    /// has no way to deliver them.
    pub(crate) fn events_of(snapshot: &coracle_migrate::snapshot::Snapshot<'_>) -> Vec<OwnedEvent> {
        snapshot
            .events()
            .filter_map(|(head, payload)| {
                let kind = EventKind::from_u8(head.kind)?;
                let (seq, source, tag, time_us) = (head.seq, head.source, head.tag, head.time_us);
                Some(OwnedEvent { seq, kind, source, tag, time_us, payload: payload.to_vec().into() })
            })
            .collect()
    }
}
