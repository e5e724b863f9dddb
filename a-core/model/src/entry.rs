//! One container as the A core knows it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use coracle_container::{FuelBudget, Kv, OwnedEvent, Payload, Step, Usage, Waiting};
use coracle_device::{Decimator, Filter};
use coracle_engine::{Container, EngineHandle};
use coracle_guest_abi::{BlockHeader, EventKind, Name};
use coracle_lifecycle::ExitReason;
use coracle_migrate::role::{Source, SourcePhase, Target};
use coracle_migrate::snapshot::{
    self, DigestBytes, EVENTS_MAX, EventHead, Head, HostState, SNAPSHOT_BYTES_MAX, SensorUse, Snapshot,
};
use coracle_policy::{Core, PlacementState};
use coracle_wire::RemoteSensor;

use crate::plan::{Placement, Plan};

/// Room that the encoding of a snapshot needs beside memory, store and payloads, in bytes.
const SNAPSHOT_OVERHEAD_BYTES: usize = 1024;
/// Fuel after which the other containers have their turn: some milliseconds.
const SLICE_FUEL: u64 = 2_000_000;

/// A copy with a body: live, frozen for a move, or restored and not live yet.
pub(crate) struct Body {
    pub(crate) container: Container,
    pub(crate) queue: VecDeque<OwnedEvent>,
    /// Sequence number of the last event that was queued.
    pub(crate) cursor: u64,
    /// Events that were missing in the stream, or found the queue full.
    pub(crate) gaps: u64,
    /// For sensors of this core that give more samples a second than it wants, by their index in its grants.
    decimators: BTreeMap<usize, Decimator>,
    /// What M was told last of the sensors that it wants.
    pub(crate) sensors_told: Vec<RemoteSensor>,
    /// What it asked of pins: edges and how long a level has to last.
    pub(crate) watches: BTreeMap<Name, (u8, u32)>,
    /// What M was told of as handled.
    pub(crate) acked: u64,
    /// What was stored last of a container that cannot be captured.
    kept: Option<Kept>,
    activity: Activity,
    /// The time of the event that is being handled. Unless the container is a command, that is the first of the queue.
    current: Option<u64>,
    fuel: FuelBudget,
    fuel_used: u64,
    /// Not before this time, in microseconds: it used more fuel a second than it may.
    throttled_us: u64,
}

/// What the container does between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Between events.
    Idle,
    /// In the middle of an event, its slice was used up.
    Busy,
    /// In the middle of a call that waits.
    Parked,
}

/// Most events that wait here: what a snapshot carries.
const QUEUE_MAX: usize = EVENTS_MAX;

/// What there is to store of a container that cannot be captured as a whole.
pub(crate) enum Captured {
    /// What is stored already.
    Same,
    /// A record, and whether it is the first one of this body.
    Host { bytes: Vec<u8>, first: bool },
    /// Nothing.
    Impossible,
}

/// What [`Body::capture_host`] keeps, but for the time.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    kv: Kv,
    handled_seq: u64,
    host: HostState,
}

/// How far a slice came.
pub(crate) enum Ran {
    /// The event is not done.
    On,
    /// An answer that it does not wait for any more was taken out of the queue.
    Dropped,
    /// A command waits: what it asked for can happen.
    Waits { time_us: Option<u64> },
    /// The event is done; of its first run there is no number.
    Done { time_us: Option<u64>, seq: Option<u64> },
    /// The container ended.
    Exited { time_us: Option<u64>, reason: ExitReason },
}

impl Body {
    fn new(container: Container, queue: VecDeque<OwnedEvent>, cursor: u64) -> Self {
        Self {
            container,
            queue,
            cursor,
            gaps: 0,
            decimators: BTreeMap::new(),
            sensors_told: Vec::new(),
            watches: BTreeMap::new(),
            acked: 0,
            kept: None,
            activity: Activity::Idle,
            current: None,
            fuel: FuelBudget::default(),
            fuel_used: 0,
            throttled_us: 0,
        }
    }

    pub(crate) fn restore(engine: &EngineHandle, plan: &Plan, snapshot: &Snapshot<'_>) -> Result<Self, String> {
        let spec = Arc::new(plan.spec.clone());
        let head = snapshot.head();
        let container = if is_host_only(head) {
            let kv = Kv::from_bytes(snapshot.kv()).ok_or("its stored values are damaged")?;
            Container::load_with(engine, &plan.module, spec, head.host, kv)
        } else {
            Container::restore(engine, &plan.module, spec, snapshot)
        };
        let queue = snapshot
            .events()
            .filter_map(|(head, payload)| {
                let kind = EventKind::from_u8(head.kind)?;
                let (seq, source, tag, time_us) = (head.seq, head.source, head.tag, head.time_us);
                Some(OwnedEvent { seq, kind, source, tag, time_us, payload: payload.to_vec().into() })
            })
            .collect();
        Ok(Self::new(container.map_err(|e| e.to_string())?, queue, head.host.cursor))
    }

    pub(crate) fn fresh(engine: &EngineHandle, plan: &Plan, cursor: u64) -> Result<Self, String> {
        let container =
            Container::load(engine, &plan.module, Arc::new(plan.spec.clone())).map_err(|e| e.to_string())?;
        Ok(Self::new(container, VecDeque::new(), cursor))
    }

    // ---- the queue -----------------------------------------------------------------------------------------------

    /// Queues an event of M's stream unless it is a repeat. Whether it waits now.
    pub(crate) fn push(&mut self, event: OwnedEvent) -> bool {
        if event.seq <= self.cursor {
            return false;
        }
        self.gaps = self.gaps.saturating_add(event.seq - self.cursor - 1);
        self.cursor = event.seq;
        let is_topic = matches!(event.kind, EventKind::Message | EventKind::Request);
        if is_topic && !self.container.is_subscribed(usize::from(event.source)) {
            return false;
        }
        self.push_local(event, QUEUE_MAX)
    }

    /// Queues an event unless `room` or more wait; then it is counted. Whether it waits now.
    pub(crate) fn push_local(&mut self, event: OwnedEvent, room: usize) -> bool {
        let fits = self.queue.len() < room.min(QUEUE_MAX);
        if fits {
            self.queue.push_back(event);
        } else {
            self.gaps = self.gaps.saturating_add(1);
        }
        fits
    }

    /// Queues what time alone causes.
    pub(crate) fn push_due(&mut self, now_us: u64) {
        let handled = self.in_hand();
        while let Some(event) = self.container.due(now_us) {
            let waits = |e: &OwnedEvent| e.kind == EventKind::Timer && e.source == event.source;
            // A timer that waits to be looked at says it all.
            if event.kind != EventKind::Timer || !self.queue.iter().skip(handled).any(waits) {
                self.push_local(event, QUEUE_MAX);
            }
        }
    }

    /// The last event that was handled: everything before the queue.
    pub(crate) fn handled_seq(&self) -> u64 {
        self.queue.iter().find(|e| e.seq > 0).map_or(self.cursor, |e| e.seq - 1)
    }

    // ---- running -------------------------------------------------------------------------------------------------

    pub(crate) fn activity(&self) -> Activity {
        self.activity
    }

    /// Whether it has to wait for something that will come by itself, or is in the middle of an event: A stays awake.
    pub(crate) fn is_in_event(&self) -> bool {
        match self.activity {
            Activity::Idle => false,
            Activity::Busy => true,
            Activity::Parked => matches!(self.container.waiting(), None | Some(Waiting::Device(_))),
        }
    }

    /// Whether [`Body::capture`] or [`Body::capture_host`] tell its state: not in the middle of an event.
    pub(crate) fn is_storable(&self) -> bool {
        self.activity == Activity::Idle || self.container.is_command()
    }

    /// When it can go on, in microseconds; `None` while only something outside can change that.
    pub(crate) fn ready_us(&self) -> Option<u64> {
        let now = match self.activity {
            Activity::Busy => true,
            Activity::Idle => !self.queue.is_empty() || !self.container.state().initialised,
            Activity::Parked => match self.container.waiting() {
                None => true,
                Some(Waiting::Event { kinds }) => self.queue.iter().any(|e| kinds & e.kind.bit() != 0),
                Some(Waiting::Notice) => !self.queue.is_empty(),
                Some(Waiting::Time) => false,
                // Its time-out is the node's.
                Some(Waiting::Device(_)) => return None,
            },
        };
        let at = if now { 0 } else { self.deadline_us()? };
        Some(at.max(self.throttled_us))
    }

    /// When time alone changes something. A timer whose last event still waits changes nothing, however often it is due.
    fn deadline_us(&self) -> Option<u64> {
        let waiting = self.queue.iter().skip(self.in_hand()).filter(|e| e.kind == EventKind::Timer);
        let timers = waiting.fold(0, |mask, e| mask | 1_u8.checked_shl(u32::from(e.source)).unwrap_or(0));
        // All bits would leave the requests out, and somebody has to end them.
        let is_asking = self.is_asking() && timers == u8::MAX;
        self.container.deadline_without(if is_asking { timers >> 1 } else { timers })
    }

    /// Whether a request of it has neither an answer nor an end.
    pub(crate) fn is_asking(&self) -> bool {
        self.container.state().requests.iter().any(Option::is_some)
    }

    /// Events at the front of the queue that were handed over.
    fn in_hand(&self) -> usize {
        usize::from(self.current.is_some() && !self.container.is_command())
    }

    /// Runs it for a slice, if it has something to do. The event that is handled stays in the queue until it is done,
    /// unless the container is a command, which takes its events itself.
    pub(crate) fn run(&mut self, now_us: u64) -> Option<Ran> {
        self.push_due(now_us);
        if self.drop_unasked() {
            return Some(Ran::Dropped);
        }
        match self.activity {
            Activity::Busy => {}
            Activity::Idle => {
                let initialised = self.container.state().initialised;
                let event = self.queue.front().filter(|_| initialised).cloned();
                if initialised && event.is_none() {
                    return None;
                }
                self.current = event.as_ref().map(|e| e.time_us);
                self.container.begin(event);
            }
            Activity::Parked => self.unpark(now_us)?,
        }
        let step = self.container.run(now_us, SLICE_FUEL);
        let used = self.container.usage().fuel_total;
        let per_second = self.container.spec().limits.fuel_per_second;
        self.fuel.used(used.saturating_sub(self.fuel_used), now_us, per_second);
        self.fuel_used = used;
        self.throttled_us = self.fuel.ready_us(now_us, per_second).unwrap_or(0);
        self.activity = match step {
            Step::Done | Step::Exited(_) => Activity::Idle,
            Step::Pending => Activity::Busy,
            Step::Parked => Activity::Parked,
        };
        let time_us = self.current;
        Some(match step {
            Step::Pending => Ran::On,
            Step::Parked if !self.container.is_command() => Ran::On,
            Step::Parked => Ran::Waits { time_us },
            Step::Done => {
                let event = self.current.take().and_then(|_| self.queue.pop_front());
                Ran::Done { time_us, seq: event.map(|e| e.seq) }
            }
            Step::Exited(reason) => Ran::Exited { time_us, reason },
        })
    }

    /// Takes the event that is handed over next out of the queue if it is an answer that nobody waits for. If somebody
    /// does, the request ends here and not before: until then queue and request are stored and moved together.
    fn drop_unasked(&mut self) -> bool {
        let at = match self.activity {
            Activity::Idle if self.container.state().initialised => Some(0),
            Activity::Parked => match self.container.waiting() {
                Some(Waiting::Event { kinds }) => self.queue.iter().position(|e| kinds & e.kind.bit() != 0),
                _ => None,
            },
            Activity::Idle | Activity::Busy => None,
        };
        let Some((at, event)) = at.and_then(|at| Some((at, self.queue.get(at)?))) else { return false };
        // One with an error is the request's end by its time.
        let is_answer = event.kind == EventKind::Reply && event.source == 0;
        let is_unasked = is_answer && !self.container.answered(event.tag);
        if is_unasked {
            self.queue.remove(at);
        }
        is_unasked
    }

    /// Gives a container that waits what it waits for. `None` when it has to wait on.
    fn unpark(&mut self, now_us: u64) -> Option<()> {
        if let Some(Waiting::Event { kinds }) = self.container.waiting()
            && let Some(at) = self.queue.iter().position(|e| kinds & e.kind.bit() != 0)
            && let Some(event) = self.queue.remove(at)
        {
            self.current = Some(event.time_us);
            if let Err(event) = self.container.deliver(event) {
                self.queue.push_front(event);
            }
        }
        if !self.queue.is_empty() {
            self.container.notice();
        }
        self.container.poll(now_us);
        self.container.waiting().is_none().then_some(())
    }

    // ---- capture -------------------------------------------------------------------------------------------------

    fn queued(&self) -> impl Iterator<Item = (EventHead, &[u8])> + Clone {
        self.queue.iter().map(|e| (head_of(e), e.payload.as_slice()))
    }

    fn buffer(&self, memory_bytes: usize) -> Vec<u8> {
        let payloads: usize = self.queue.iter().map(|e| e.payload.len() + 32).sum();
        vec![0; memory_bytes + self.container.kv().as_bytes().len() + payloads + SNAPSHOT_OVERHEAD_BYTES]
    }

    /// The whole state, with the queue, encoded. `None` when it is over the format's limits or not idle.
    pub(crate) fn capture(&mut self) -> Option<Vec<u8>> {
        if self.container.is_command() {
            return None;
        }
        self.container.state_mut().cursor = self.cursor;
        let mut out = self.buffer(self.container.usage().memory_bytes);
        let len = self.container.capture(self.queued(), &mut out).ok().filter(|len| *len <= SNAPSHOT_BYTES_MAX)?;
        out.truncate(len);
        Some(out)
    }

    /// What survives of a container that cannot be captured: its values, its clock, what waits for it. It starts afresh
    /// with them. [`Captured::Same`] when nothing of it changed but the time.
    pub(crate) fn capture_host(&mut self) -> Captured {
        let state = self.container.state();
        let host = HostState {
            handled: state.handled,
            cursor: self.cursor,
            last_request: state.last_request,
            random: state.random,
            config_version: state.config_version,
            ..HostState::default()
        };
        let kept = Kept { kv: self.container.kv().clone(), handled_seq: self.handled_seq(), host };
        if self.kept.as_ref() == Some(&kept) {
            return Captured::Same;
        }
        let host = HostState { clock_us: state.clock_us, ..host };
        let spec = self.container.spec();
        let (name, image, globals) = (spec.name.clone(), spec.image, heapless::Vec::new());
        let head = Head { name, image, host, globals, memory_len: 0, kv_len: 0, events: 0 };
        let mut out = self.buffer(0);
        let Ok(len) = snapshot::encode(&head, kept.kv.as_bytes(), self.queued(), &[], &mut out) else {
            return Captured::Impossible;
        };
        out.truncate(len);
        Captured::Host { bytes: out, first: self.kept.replace(kept).is_none() }
    }

    /// What it gets of a block of one of this core's sensors: at its rate, and if its threshold lets it pass. With the time
    /// of the first sample.
    pub(crate) fn reduce_block(&mut self, at: usize, header: &BlockHeader, samples: &[i16]) -> Option<(u64, Payload)> {
        let wish = self.sensors().into_iter().nth(at).filter(|wish| !wish.off)?;
        let mut out: Vec<i16>;
        let (header, samples) = if wish.rate_hz > 0 && wish.rate_hz < header.rate_hz {
            if self.decimators.get(&at).is_none_or(|d| d.rate_hz() != wish.rate_hz) {
                self.decimators.insert(at, Decimator::new(header.rate_hz, wish.rate_hz)?);
            }
            out = vec![0; samples.len()];
            let header = self.decimators.get_mut(&at)?.block(header, samples, &mut out)?;
            (header, out.get(..header.count as usize)?)
        } else {
            (*header, samples)
        };
        if wish.threshold.is_some_and(|(low, high)| !Filter { low, high }.passes(samples)) {
            return None;
        }
        let mut payload = header.to_bytes().to_vec();
        payload.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
        Some((header.timestamp_us, payload.into()))
    }

    /// What it wants of its sensors.
    pub(crate) fn sensors(&self) -> Vec<RemoteSensor> {
        let used = &self.container.state().sensors;
        let of = |(at, grant): (usize, &coracle_container::SensorGrant)| {
            let SensorUse { off, rate_hz, threshold } = used.get(at).copied().unwrap_or_default();
            let rate_hz = match (grant.rate_hz, rate_hz) {
                (granted, 0) => granted,
                (0, asked) => asked,
                (granted, asked) => granted.min(asked),
            };
            RemoteSensor { name: grant.name.clone(), rate_hz, threshold, off }
        };
        self.container.spec().grants.sensors.iter().enumerate().map(of).collect()
    }
}

/// An event as a snapshot describes it.
pub(crate) fn head_of(e: &OwnedEvent) -> EventHead {
    EventHead { seq: e.seq, kind: e.kind as u8, source: e.source, tag: e.tag, time_us: e.time_us, len: 0 }
}

/// Whether the snapshot has no memory because the container could not be captured, or never ran.
fn is_host_only(head: &Head) -> bool {
    !head.host.initialised && head.memory_len == 0 && head.globals.is_empty()
}

/// An open move.
#[expect(clippy::large_enum_variant, reason = "there are few containers, and a move ends soon")]
pub(crate) enum Move {
    /// To A: asked for, M has not offered yet.
    Asked,
    /// To A: accepted; with the restored copy once it is Ready.
    In { target: Target, prepared: Option<Body>, bytes: u64, queued: u32 },
    /// To M.
    Out { source: Source, bytes: u64, queued: u32 },
}

/// Where the container is.
pub(crate) enum Place {
    /// Nowhere yet: being started.
    Starting,
    /// M has it.
    OnM,
    /// Here.
    OnA(Box<Body>),
    /// Ended, on that core, for that reason.
    Exited(Core, String),
}

pub(crate) struct Entry {
    pub(crate) plan: Plan,
    pub(crate) place: Place,
    pub(crate) open: Option<(u32, u64, Move)>,
    /// Conditions of the placement rules, counted since it came to where it is.
    pub(crate) placement: PlacementState,
    /// After a refused move: not before this time, in microseconds.
    pub(crate) retry_us: u64,
    /// Moves that were refused since it came to where it is.
    pub(crate) refusals: u8,
    /// The last move to A that was committed here: its Commit may be repeated.
    pub(crate) moved_in: Option<u32>,
    /// It was started before, by this or an earlier supervisor.
    pub(crate) known: bool,
    /// What earlier lives of it on this core used, and events that they missed.
    pub(crate) earlier: Usage,
    pub(crate) earlier_gaps: u64,
    /// What M last said of it.
    pub(crate) on_m: MNumbers,
    /// M, where it knows the container, knows this configuration.
    pub(crate) config_told: bool,
    /// M has no room for it, and does not serve it more than one that stays here.
    pub(crate) m_refused: bool,
}

/// M's numbers of a container, as last reported.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MNumbers {
    pub(crate) memory: u32,
    pub(crate) fuel: u64,
    pub(crate) handled: u64,
    pub(crate) queued: u64,
    pub(crate) dropped: u32,
    pub(crate) refused: u32,
    pub(crate) digest: Option<DigestBytes>,
    pub(crate) logs_dropped: u32,
    pub(crate) overhead: u32,
}

impl Entry {
    pub(crate) fn new(plan: Plan) -> Self {
        let placement = PlacementState::arrived(plan.placement.initial());
        Self {
            plan,
            place: Place::Starting,
            open: None,
            placement,
            retry_us: 0,
            refusals: 0,
            moved_in: None,
            known: false,
            earlier: Usage::default(),
            earlier_gaps: 0,
            on_m: MNumbers::default(),
            config_told: false,
            m_refused: false,
        }
    }

    /// It is on that core now: conditions count anew.
    pub(crate) fn arrived(&mut self, core: Core) {
        self.placement = PlacementState::arrived(core);
        (self.retry_us, self.refusals) = (0, 0);
        self.known = true;
    }

    pub(crate) fn body(&mut self) -> Option<&mut Body> {
        match &mut self.place {
            Place::OnA(body) => Some(body),
            _ => None,
        }
    }

    /// Whether the copy here is the one that counts.
    pub(crate) fn is_live(&self) -> bool {
        let committed = matches!(
            &self.open,
            Some((_, _, Move::Out { source, .. })) if source.phase == SourcePhase::Committed
        );
        matches!(self.place, Place::OnA(_)) && !committed
    }

    /// Whether messages that are published here reach it here, and not by way of M.
    pub(crate) fn is_served_here(&self) -> bool {
        match self.plan.placement {
            Placement::Fixed(core) => core == Core::A,
            Placement::Any { .. } => self.m_refused && matches!(self.place, Place::OnA(_)),
        }
    }

    /// Whether it is being moved away.
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self.open, Some((_, _, Move::Out { .. })))
    }

    /// When it is here and can go on, in microseconds. Once it is being moved away, it only ends the event that it is in.
    pub(crate) fn ready_us(&self) -> Option<u64> {
        let Place::OnA(body) = &self.place else { return None };
        if self.is_leaving() && body.activity() == Activity::Idle { None } else { body.ready_us() }
    }

    /// Whether it can go on now.
    pub(crate) fn is_runnable(&self, now_us: u64) -> bool {
        self.ready_us().is_some_and(|at| at <= now_us)
    }

    /// Where a rule wants it to be, if that is not where it is.
    pub(crate) fn wanted(&self) -> Option<Core> {
        match &self.plan.placement {
            Placement::Any { moves, .. } => moves.evaluate(&self.placement),
            Placement::Fixed(_) => None,
        }
    }

    /// What it used on this core, over all its lives here.
    pub(crate) fn usage(&self) -> Usage {
        let now = match &self.place {
            Place::OnA(body) => body.container.usage(),
            _ => Usage::default(),
        };
        Usage {
            memory_bytes: now.memory_bytes,
            fuel_total: self.earlier.fuel_total + now.fuel_total,
            events: self.earlier.events + now.events,
            refused_calls: self.earlier.refused_calls.saturating_add(now.refused_calls),
            logs_dropped: self.earlier.logs_dropped.saturating_add(now.logs_dropped),
        }
    }

    /// Events that were missing here, over all its lives here.
    pub(crate) fn gaps(&self) -> u64 {
        let now = if let Place::OnA(body) = &self.place { body.gaps } else { 0 };
        self.earlier_gaps.saturating_add(now)
    }

    /// Takes the body away and keeps what it used.
    pub(crate) fn drop_body(&mut self, place: Place) {
        self.earlier_gaps = self.gaps();
        self.earlier = Usage { memory_bytes: 0, ..self.usage() };
        self.place = place;
    }
}
