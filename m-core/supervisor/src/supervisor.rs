//! The supervisor proper. See the crate documentation.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use coracle_board_api::{Budget, error, info, warn};
use coracle_bulk::{BulkReader, BulkRef, BulkWriter, RetainedWriter, SLOTS_MAX};
use coracle_container::{ContainerSpec, Grants, Limits, List, OwnedEvent, Payload, QUEUE_LEN_MAX, Text};
use coracle_guest_abi::{
    CONFIG_ENTRIES_MAX, CONFIG_VALUE_BYTES_MAX, EFFECTS_PER_EVENT_MAX, EventKind, GRANTS_MAX, Name,
};
use coracle_lifecycle::{Change, State};
use coracle_link::{BODY_BYTES_MAX, Credit, Event, FRAME_BYTES_MAX, Frame, Responder, VERSIONS};
use coracle_migrate::retained::{RECORD_HEAD_BYTES, RecordKind};
use coracle_migrate::role::{MigrationId, RefuseReason, Source, SourceAction, Step as MoveStep, Target, TargetAction};
use coracle_migrate::snapshot::{self, Head, HostState, SNAPSHOT_BYTES_MAX, Snapshot};
use coracle_policy::{WakeLedger, WakePolicy, WakeRule};
use coracle_sandbox::Container;
use coracle_shmem::Region;
use coracle_wire::{self as wire, DETAIL_BYTES_MAX, FromM, Power, RemoteSensor, SPEC_BYTES_MAX, ToM};

use crate::entry::{Entry, Prepared, Role};
use crate::outbox::Outbox;
use crate::running::BOARD_SENSOR;
use crate::topics::Topics;

/// Fuel of one slice: how much of the core a container gets before another one may run.
pub const SLICE_FUEL: u64 = 20_000;
/// Longest that a move waits for its drill's events, in microseconds.
const HOLD_US_MAX: u64 = 3_000_000;
/// In lockstep: events that may be unacknowledged before the sensor is left alone.
const LOCKSTEP_EVENTS_MAX: usize = 8;
/// Most frames of one turn; the rest follows in the next. It bounds what a slow A makes this core hold.
const FRAMES_AT_ONCE_MAX: usize = 16;
/// While more messages than this wait for A's credit, A gets none for more requests: each may cause further messages.
const WAITING_GRANT_MAX: usize = 16;
/// Messages that may wait for A's credit. What A may still ask for when it is granted no more causes fewer; an A that
/// makes more wait does not keep to the protocol.
const WAITING_MAX: usize = 128;
/// Questions for numbers that are taken at once: each is answered by a message a container.
const QUESTIONS_MAX: u32 = 2;
/// Heap that a container needs beside memory, code and its call stack: engine, store, specification, in bytes.
const HEAP_CONTAINER_BYTES: u64 = 16 * 1024;
/// Heap of an element of a table, in bytes.
const HEAP_TABLE_ELEMENT_BYTES: u64 = 4;
/// Heap a byte of module: the module itself, and up to nine times as much translated code (measured for wasmi 2.0 with
/// direct dispatch).
const HEAP_PER_MODULE_BYTE: u64 = 10;
/// Heap for queues, frames and checkpoints, in bytes.
const HEAP_RESERVED_BYTES: u64 = 192 * 1024;
/// Wake payloads that may wait for A, in bytes: what a retained slot of the boards there are can hold.
pub(crate) const WAKE_BYTES_WAITING_MAX: usize = 14 * 1024;
const _: () = assert!(WAKE_BYTES_WAITING_MAX >= coracle_guest_abi::WAKE_BYTES_MAX);
/// Most containers: each has two retained slots.
const CONTAINERS_MAX: usize = SLOTS_MAX / 2;
/// Room that the encoding of a snapshot needs beside memory and payloads, in bytes.
const SNAPSHOT_OVERHEAD_BYTES: usize = 1024;

/// The shared memory that the supervisor works with, beside the rings.
#[derive(Debug, Clone, Copy)]
pub struct Memories<'m> {
    /// A writes, M reads.
    pub bulk_to_m: Region<'m>,
    /// M writes, A reads.
    pub bulk_to_a: Region<'m>,
    /// M's checkpoints.
    pub retained: Region<'m>,
}

/// The state of the M core. See the crate documentation.
pub struct Supervisor<'m> {
    pub(crate) budget: Budget,
    pub(crate) link: Responder,
    pub(crate) bulk_in: BulkReader<'m>,
    pub(crate) bulk_out: BulkWriter<'m>,
    pub(crate) retained_area: Region<'m>,
    pub(crate) retained: Option<RetainedWriter<'m>>,
    /// Slots were written since the last commit.
    pub(crate) uncommitted: bool,
    /// Slot pair `i` belongs to entry `i`; a removed entry leaves a hole so that slots never change their owner.
    pub(crate) entries: Vec<Option<Entry>>,
    /// Whether A has taken stock in this session; before, nothing is delivered to it.
    pub(crate) adopted: bool,
    pub(crate) power: Power,
    pub(crate) lockstep: bool,
    pub(crate) ledger: WakeLedger,
    /// The wake that A has not confirmed: reason and when it was asked for.
    pub(crate) waking: Option<(Name, u64)>,
    pub(crate) frames: VecDeque<Vec<u8>>,
    pub(crate) outbox: Outbox,
    /// Frames wait for a buffer: nothing is added that can wait here as well.
    pub(crate) blocked: bool,
    pub(crate) next: usize,
    pub(crate) time_us: u64,
    pub(crate) samples_dropped: u32,
    /// The retained values of topics.
    pub(crate) topics: Topics,
    /// Device calls of A that wait for a step.
    pub(crate) device_calls: VecDeque<(u32, wire::DeviceCall)>,
    /// The polled sensors that are on.
    pub(crate) sensors_on: Vec<Name>,
    /// Messages that wait until A is awake.
    pub(crate) held: VecDeque<FromM>,
    /// What containers watch may have changed.
    pub(crate) rewatch: bool,
    /// The pins that are watched, with their edges and how long a level has to last.
    pub(crate) watched: Vec<(Name, u8, u32)>,
    /// There were more edges than one step takes.
    pub(crate) pins_waiting: bool,
    /// When the last block came, on this core's clock in microseconds.
    pub(crate) block_at_us: u64,
    /// Unix time minus this core's clock, in microseconds, once A told it.
    pub(crate) wall_offset_us: Option<i64>,
    /// The last message of A's containers that was taken: A's life and its number.
    pub(crate) published: (u32, u32),
    /// The clock at the last step, in microseconds.
    pub(crate) seen_us: u64,
}

impl<'m> Supervisor<'m> {
    /// A supervisor without containers. `boot_id` must differ between boots; `room` is what the ring from A holds.
    #[must_use]
    pub fn new(memories: Memories<'m>, budget: Budget, boot_id: u32, room: Credit) -> Self {
        let window = Credit { bulk: room.bulk.min(QUESTIONS_MAX), ..room };
        Self {
            budget,
            link: Responder::new(boot_id, VERSIONS, window),
            bulk_in: BulkReader::new(memories.bulk_to_m),
            bulk_out: BulkWriter::new(memories.bulk_to_a, boot_id),
            retained_area: memories.retained,
            retained: None,
            uncommitted: false,
            entries: Vec::new(),
            adopted: false,
            power: Power::Awake,
            lockstep: false,
            ledger: WakeLedger::default(),
            waking: None,
            frames: VecDeque::new(),
            outbox: Outbox::default(),
            blocked: false,
            next: 0,
            time_us: 0,
            samples_dropped: 0,
            topics: Topics::default(),
            device_calls: VecDeque::new(),
            sensors_on: Vec::new(),
            held: VecDeque::new(),
            rewatch: false,
            watched: Vec::new(),
            pins_waiting: false,
            block_at_us: 0,
            wall_offset_us: None,
            published: (0, 0),
            seen_us: 0,
        }
    }

    // ---- what the shell asks -------------------------------------------------------------------------------------

    /// The next frame to send, if any.
    pub fn take_frame(&mut self) -> Option<Vec<u8>> {
        self.frames.pop_front()
    }

    /// Whether frames that were taken still wait for a buffer.
    pub fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    /// The containers that this core knows and their states here.
    pub fn containers(&self) -> impl Iterator<Item = (&str, State)> {
        self.entries.iter().flatten().map(|e| (e.spec.name.as_str(), e.state))
    }

    /// Whether [`Supervisor::step`] has something to do.
    #[must_use]
    pub fn has_work(&self) -> bool {
        (0..self.entries.len()).any(|i| self.is_runnable(i, self.seen_us))
            || !self.device_calls.is_empty()
            || self.pins_waiting
    }

    /// When `step` has to be called at the latest, in microseconds, if nothing arrives before.
    #[must_use]
    pub fn deadline_us(&self) -> Option<u64> {
        let holding = self.entries.iter().flatten().filter_map(|e| match &e.role {
            Role::Source(Source { phase: coracle_migrate::role::SourcePhase::Holding { deadline_us, .. }, .. }) => {
                Some(*deadline_us)
            }
            _ => None,
        });
        holding.chain(self.next_attention_us()).min()
    }

    /// Whether another sensor block can be taken without losing anything that it causes.
    #[must_use]
    pub fn wants_block(&self) -> bool {
        let mut sensing = false;
        let mut unacknowledged = 0;
        for entry in self.entries.iter().flatten() {
            if entry.is_on_a() && entry.sensor_wish(BOARD_SENSOR).is_some() {
                sensing |= self.adopted && self.power == Power::Awake;
            }
            if entry.state == State::Running && entry.sensor_wish(BOARD_SENSOR).is_some() {
                sensing = true;
                // One in hand, one waiting: more would only be older when their turn comes. In lockstep one alone: asking
                // says that the one before is committed, so that a reset loses none.
                let held = if self.lockstep { 1 } else { 2 };
                if entry.queue.len() >= held && !entry.is_stuck(EventKind::Sensor, self.seen_us) {
                    return false;
                }
            } else if !entry.spec.grants.subscribe.is_empty()
                && match entry.state {
                    State::Running | State::Frozen => true,
                    // What waits for an A that sleeps by its own will overflows and is counted: a sensor that stood
                    // still for it could never wake A again.
                    State::Gone => !(self.adopted && self.power == Power::Asleep),
                    State::Created | State::Exited(_) => false,
                }
                && !entry.queue.is_empty()
                && !entry.has_room(EFFECTS_PER_EVENT_MAX)
                && !entry.is_stuck(EventKind::Message, self.seen_us)
            {
                return false;
            }
            if entry.is_on_a() {
                // What waits for an A that sleeps is not under way to it.
                if !(self.adopted && self.power == Power::Asleep) {
                    unacknowledged += entry.queue.len();
                }
                if self.lockstep && entry.queue.iter().any(|e| e.kind == EventKind::Wake) {
                    return false;
                }
            }
        }
        sensing && !(self.lockstep && unacknowledged > LOCKSTEP_EVENTS_MAX)
    }

    // ---- what comes in -------------------------------------------------------------------------------------------

    /// The rings were taken away: the session is over, A may be dead.
    pub fn rings_reset(&mut self) {
        self.link.reset();
        self.session_ended();
    }

    /// A frame of the link. `now_us` is the board's clock, read after the frame was received.
    pub fn frame(&mut self, bytes: &[u8], now_us: u64) {
        let (event, reply) = self.link.receive(bytes, now_us);
        // Before the reply: what waits to be sent is of the old session, the reply of the new one.
        if matches!(event, Event::Up { .. } | Event::Down(_) | Event::Refused { .. }) {
            self.session_ended();
        }
        if let Some(reply) = reply {
            self.send_frame(&reply);
        }
        match event {
            Event::Nothing | Event::Dropped(_) => {}
            Event::Up { version, .. } => {
                info!("session with A opened, version {}", version);
                self.power = Power::Awake;
                self.send_inventory();
            }
            Event::Down(reason) => warn!("the session with A is over: {}", reason.as_str()),
            Event::Refused { ours, theirs } => error!(
                "A speaks versions {} to {}, this firmware {} to {}: update one of them",
                theirs.min, theirs.max, ours.min, ours.max
            ),
            Event::Message { body, .. } => match coracle_wire::decode::<ToM>(body) {
                Some(message) => self.message(message, now_us),
                None => warn!("a message from A is malformed and was dropped"),
            },
        }
    }

    /// Makes frames of what can be sent. `now_us` is the board's clock after the work: what a message tells happened
    /// before it was sent.
    pub fn send_out(&mut self, now_us: u64) {
        self.seen_us = now_us;
        if self.outbox.len() <= WAITING_GRANT_MAX {
            self.link.grant();
            if self.adopted && self.power == Power::Awake {
                // State, not a stream: what A is told is the last value, whenever it has room for it.
                if let Some((topic, payload)) = self.topics.tell()
                    && let Ok(payload) = heapless::Vec::from_slice(&payload)
                {
                    self.send(&FromM::Retain { topic, payload });
                }
                if let Some(message) = self.held.pop_front() {
                    self.send(&message);
                }
            }
        }
        self.deliver_to_a(now_us);
        // A sleeping A is not told: it asks when it wakes.
        if self.power == Power::Awake
            && !self.blocked
            && let Some(frame) = self.link.credit_frame()
        {
            self.send_frame(&frame);
        }
    }

    // ---- towards A -----------------------------------------------------------------------------------------------

    /// Sends what waits, and then what waits for containers on A, as far as the session, A's credit and its power allow.
    fn deliver_to_a(&mut self, now_us: u64) {
        self.flush(now_us);
        if !self.adopted {
            return;
        }
        for index in 0..self.entries.len() {
            // An event is made a message when it can go out at once: until then the container's queue keeps it.
            while self.may_send() && self.outbox.len() == 0 && self.link.next(false, true).is_some() {
                let Some(message) = self.next_delivery(index, now_us) else { break };
                self.send(&message);
                self.flush(now_us);
            }
        }
    }

    fn may_send(&self) -> bool {
        !self.blocked && self.frames.len() < FRAMES_AT_ONCE_MAX
    }

    /// Sends what waits for credit, as far as there is some.
    fn flush(&mut self, now_us: u64) {
        if self.outbox.len() > WAITING_MAX
            && let Some(frame) = self.link.backlog()
        {
            warn!("A takes no messages: the session is over");
            self.session_ended();
            self.send_frame(&frame);
        }
        let mut out = [0; FRAME_BYTES_MAX];
        while self.may_send() {
            let Some((channel, body)) = self.outbox.take_next(&self.link) else { return };
            if let Ok(frame) = self.link.send(channel, &body, now_us, &mut out) {
                self.frames.push_back(frame.to_vec());
            }
        }
    }

    /// The next message for container `index` on A, marked as sent.
    fn next_delivery(&mut self, index: usize, now_us: u64) -> Option<FromM> {
        let entry = self.entries.get_mut(index)?.as_mut()?;
        // While a move out is open the events belong to the snapshot or to this core.
        if !entry.is_on_a() || !matches!(entry.role, Role::None) {
            return None;
        }
        let mut waiting = entry.queue.iter().filter(|e| e.seq > entry.sent);
        // Nothing but a wake disturbs a sleeping A; events wait, unless a wake is behind them.
        if self.power == Power::Asleep && !waiting.clone().any(|e| e.kind == EventKind::Wake) {
            return None;
        }
        let event = waiting.next()?;
        let (seq, source, time_us, name) = (event.seq, event.source, event.time_us, entry.spec.name.clone());
        let message = match event.kind {
            EventKind::Wake => {
                let rule = self.ledger.policy().as_slice().get(usize::from(source));
                let reason = rule.map(|r| r.reason.clone()).unwrap_or_default();
                let payload = self.bulk_out.put(&[&event.payload]).ok()?;
                entry.blocks.push((seq, payload));
                if self.power == Power::Asleep {
                    self.waking = Some((reason.clone(), now_us));
                } else {
                    self.waking = None;
                }
                FromM::Wake { reason, name, seq, time_us, payload }
            }
            EventKind::Message => {
                let payload = heapless::Vec::from_slice(&event.payload).ok()?;
                FromM::Event { name, seq, source, time_us, payload }
            }
            kind => {
                // A sensor block does not fit, and is not waited for: it was of another place.
                let bytes = if kind == EventKind::Sensor { &[][..] } else { &event.payload[..] };
                let payload = heapless::Vec::from_slice(bytes).ok()?;
                FromM::Delivery { name, seq, kind: kind as u8, source, tag: event.tag, time_us, payload }
            }
        };
        entry.sent = seq;
        Some(message)
    }

    fn send_inventory(&mut self) {
        let mut messages = Vec::new();
        for entry in self.entries.iter().flatten() {
            let in_doubt = match &entry.role {
                Role::Target(target) if entry.prepared.is_some() => Some(target.id),
                _ => None,
            };
            messages.push(FromM::Holds {
                name: entry.spec.name.clone(),
                image: entry.spec.image,
                state: entry.state,
                in_doubt,
                committed: entry.moved_out,
            });
        }
        // Before A starts anything that subscribes them.
        while let Some((topic, payload)) = self.topics.tell() {
            messages.extend(heapless::Vec::from_slice(&payload).map(|payload| FromM::Retain { topic, payload }));
        }
        messages.push(FromM::InventoryEnd);
        for message in messages {
            self.send(&message);
        }
    }

    /// Sends a message, now or when A has room. Without a session it is dropped: the next one begins with an inventory.
    pub(crate) fn send(&mut self, message: &FromM) {
        let mut body = [0; BODY_BYTES_MAX];
        if let Some(body) = coracle_wire::encode(message, &mut body).filter(|_| self.link.is_up()) {
            self.outbox.push(message.channel(), body);
        }
    }

    fn send_frame(&mut self, frame: &Frame<'_>) {
        let mut out = [0; FRAME_BYTES_MAX];
        if let Some(bytes) = coracle_link::encode(frame, &mut out) {
            self.frames.push_back(bytes.to_vec());
        }
    }

    /// The session is over: what was under way with A is void, what A had not confirmed will be sent again.
    fn session_ended(&mut self) {
        self.adopted = false;
        self.topics.forget_told();
        self.device_calls.clear();
        self.held.clear();
        self.frames.clear();
        self.outbox.clear();
        self.bulk_out.free_all();
        self.waking = None;
        // Until A says otherwise, assume that nobody there wants to be disturbed.
        self.power = Power::Asleep;
        for entry in self.entries.iter_mut().flatten() {
            entry.sent = 0;
            entry.blocks.clear();
            entry.remote_blocks.clear();
            entry.remote_sensors.clear();
            match &mut entry.role {
                Role::Source(source) => {
                    if let SourceAction::Resume(_) = source.link_down() {
                        resume(entry);
                    }
                }
                Role::Target(target) => {
                    if target.link_down() == TargetAction::Drop {
                        (entry.role, entry.prepared) = (Role::None, None);
                    }
                }
                Role::None => {}
            }
        }
    }

    // ---- messages ------------------------------------------------------------------------------------------------

    fn message(&mut self, message: ToM, now_us: u64) {
        match message {
            ToM::Begin => self.begin(),
            ToM::Deploy { token, spec, module, snapshot, live } => {
                let answer = match self.deploy(&spec, &module, snapshot.as_ref(), live) {
                    Ok(()) => FromM::Deployed { token },
                    Err(detail) => {
                        let mut text = heapless::String::new();
                        for c in detail.chars() {
                            if text.push(c).is_err() {
                                break;
                            }
                        }
                        FromM::DeployRefused { token, detail: text }
                    }
                };
                self.send(&answer);
            }
            ToM::Remote { name, subscribe, cursor } => self.remote(name, subscribe, cursor),
            ToM::Remove { name } => {
                if let Some((index, entry)) = self.find_mut(&name) {
                    info!("{} removed", entry.spec.name.as_str());
                    self.vacate(index);
                    self.commit();
                }
            }
            ToM::WakeRule { rule } => self.wake_rule(rule),
            ToM::KeepWakeRules { reasons } => {
                let mut policy = WakePolicy::new();
                for rule in self.ledger.policy().as_slice().iter().filter(|r| reasons.contains(&r.reason)) {
                    // Fits: it comes from a policy of the same capacity.
                    let _ = policy.push(rule.clone());
                }
                self.ledger.replace_policy(policy);
            }
            ToM::Ack { name, seq } => {
                if let Some((_, entry)) = self.find_mut(&name) {
                    entry.acknowledge(seq);
                    let (done, open) = entry.blocks.iter().copied().partition(|(at, _)| *at <= seq);
                    entry.blocks = open;
                    let done: Vec<(u64, BulkRef)> = done;
                    for (_, block) in done {
                        self.bulk_out.free(&block);
                    }
                }
            }
            ToM::Power(power) => {
                self.power = power;
                if let (Power::Awake, Some((reason, since_us))) = (power, self.waking.take()) {
                    self.send(&FromM::Woken { reason, latency_us: now_us.saturating_sub(since_us) });
                }
            }
            ToM::Lockstep(on) => self.lockstep = on,
            ToM::MoveOut { id, name, queued_min } => self.move_out(id, name, queued_min, now_us),
            ToM::Migrate { id, name, step } => self.migrate(id, name, step),
            ToM::Query => self.send_stats(),
            ToM::Publish { epoch, number, topic, time_us, request, payload } => {
                if self.published.0 != epoch || number > self.published.1 {
                    self.published = (epoch, number);
                    let payload = Payload::new(payload.to_vec());
                    self.publish(&topic, request, time_us, &payload, false);
                    self.commit();
                }
                // Not before it is committed: from here on A does not keep it.
                self.send(&FromM::Taken { epoch, number });
            }
            ToM::Retain { topic, payload } => {
                if !self.topics.set(&topic, Payload::new(payload.to_vec()), false) {
                    warn!("no place for another retained value");
                }
            }
            ToM::Reply { to, id, payload } => {
                let time_us = self.time_us;
                self.reply(&to, id, time_us, Payload::new(payload.to_vec()), false);
                self.commit();
            }
            ToM::Configure { name, config } => {
                if let Err(why) = self.configure(&name, &config) {
                    warn!("{}: the new configuration was not taken: {}", name.as_str(), why);
                }
                self.send(&FromM::Configured { name });
            }
            ToM::Device { token, call } => self.device_asked(token, call),
            ToM::Sensors { name, sensors } => {
                if let Some((_, entry)) = self.find_mut(&name) {
                    entry.remote_sensors = sensors.iter().cloned().collect::<Vec<RemoteSensor>>();
                }
            }
            ToM::WallClock { offset_us } => self.wall_offset_us = Some(offset_us),
            ToM::Free(block) => {
                for entry in self.entries.iter_mut().flatten() {
                    entry.remote_blocks.retain(|b| *b != block);
                }
                self.bulk_out.free(&block);
            }
        }
    }

    /// Takes a configuration that changed, for a container that runs here or may come.
    fn configure(&mut self, name: &Name, block: &BulkRef) -> Result<(), &'static str> {
        let bytes = self.fetch(block, SPEC_BYTES_MAX)?;
        let config: List<(Name, Text), CONFIG_ENTRIES_MAX> = coracle_wire::decode(&bytes).ok_or("it is malformed")?;
        if config.iter().any(|(_, value)| value.len() > CONFIG_VALUE_BYTES_MAX) {
            return Err("a value is over its maximum");
        }
        let time_us = self.time_us;
        let Some((_, entry)) = self.find_mut(name) else { return Err("no such container") };
        let changed = entry.body.as_mut().and_then(|body| body.configure(&config));
        if let Some(changed) = changed {
            entry.push(EventKind::Config, 0, 0, time_us, changed.into());
            entry.state_dirty = true;
        }
        Arc::make_mut(&mut entry.spec).grants.config = config;
        self.commit();
        Ok(())
    }

    fn begin(&mut self) {
        if self.retained.is_none() {
            match RetainedWriter::start(self.retained_area) {
                Ok(writer) => self.retained = Some(writer),
                Err(_) => error!("no retained memory: containers will not survive a reset of this core"),
            }
        }
        self.adopted = true;
        let mut again = Vec::new();
        for entry in self.entries.iter().flatten() {
            if let Role::Source(source) = &entry.role
                && source.link_up() == SourceAction::SendCommit
            {
                again.push((source.id, entry.spec.name.clone()));
            }
        }
        for (id, name) in again {
            self.send(&FromM::Migrate { id, name, step: MoveStep::Commit });
        }
        self.commit();
    }

    fn wake_rule(&mut self, rule: WakeRule) {
        let mut policy = WakePolicy::new();
        for old in self.ledger.policy().as_slice().iter().filter(|r| r.reason != rule.reason) {
            // Fits: it comes from a policy of the same capacity.
            let _ = policy.push(old.clone());
        }
        if policy.push(rule).is_err() {
            warn!("too many wake rules: the last one was dropped");
        }
        self.ledger.replace_policy(policy);
    }

    /// Reads a block of A's bulk area.
    fn fetch(&mut self, block: &BulkRef, limit: usize) -> Result<Vec<u8>, &'static str> {
        let len = self.bulk_in.check(block, limit).map_err(|_| "a bulk descriptor is outside its area or stale")?;
        let mut bytes = vec![0; len];
        self.bulk_in.get(block, &mut bytes).map_err(|_| "a bulk block changed while it was read")?;
        Ok(bytes)
    }

    fn deploy(
        &mut self,
        spec: &BulkRef,
        module: &BulkRef,
        snapshot: Option<&BulkRef>,
        live: bool,
    ) -> Result<(), heapless::String<DETAIL_BYTES_MAX>> {
        let spec = self.fetch(spec, SPEC_BYTES_MAX).map_err(detail)?;
        let spec: ContainerSpec =
            coracle_wire::decode(&spec).ok_or_else(|| detail("the specification is malformed"))?;
        if let Some(over) = spec.over_limit() {
            return Err(detail(over));
        }
        let module = self.fetch(module, self.budget.module_bytes_max as usize).map_err(detail)?;
        self.admit(&spec, module.len()).map_err(detail)?;
        let state = if live { State::Created } else { State::Gone };
        let mut entry = Entry::new(Arc::new(spec), module, state);
        if live {
            let loaded = match snapshot {
                Some(block) => {
                    let bytes = self.fetch(block, SNAPSHOT_BYTES_MAX).map_err(detail)?;
                    let state = Snapshot::decode(&bytes).map_err(|_| detail("the snapshot is damaged"))?;
                    entry.cursor = state.head().host.cursor;
                    entry.initialised = state.head().host.initialised;
                    entry.queue = Entry::events_of(&state).into();
                    Container::restore(&entry.module, entry.spec.clone(), &state)
                }
                None => Container::load(&entry.module, entry.spec.clone()),
            };
            entry.body = Some(Box::new(loaded.map_err(display)?));
            if !entry.initialised {
                self.push_retained(&mut entry);
            }
            entry.change(Change::Start);
            self.rewatch = true;
        }
        let name = entry.spec.name.clone();
        if let Some((index, _)) = self.find_mut(&name) {
            self.vacate(index);
        }
        self.add(entry);
        if live {
            info!("{} runs", name.as_str());
        }
        self.commit();
        Ok(())
    }

    /// Whether the core has room for a container; the refusal names the number that does not fit.
    fn admit(&self, spec: &ContainerSpec, module_bytes: usize) -> Result<(), &'static str> {
        let others = || self.entries.iter().flatten().filter(|e| e.spec.name != spec.name);
        if self.entries.iter().flatten().any(|e| e.spec.name == spec.name && e.state.is_live()) {
            return Err("a container of that name runs on this core already");
        }
        if others().count() >= CONTAINERS_MAX.min(usize::from(self.budget.containers_max)) {
            return Err("this core holds as many containers as its board allows (budget.containers_max)");
        }
        let here = |e: &&Entry| e.state.is_live() || matches!(e.role, Role::Target(_));
        if others().filter(here).any(|e| e.spec.grants.conflict(&spec.grants).is_some()) {
            return Err("a container here has alone what this one is granted (exclusive)");
        }
        let memory: u64 = others().filter(here).map(|e| u64::from(e.spec.limits.memory)).sum();
        if memory + u64::from(spec.limits.memory) > u64::from(self.budget.linear_memory_bytes_max) {
            return Err("limits.memory is more than this core has left (budget.linear_memory_bytes_max)");
        }
        let heap: u64 = others()
            .map(|e| match (&e.role, e.state.is_live()) {
                (Role::Target(_), _) | (_, true) => heap_need(e.module.len(), &e.spec),
                _ => e.module.len() as u64,
            })
            .sum();
        let heap = heap + heap_need(module_bytes, spec) + HEAP_RESERVED_BYTES;
        if heap > u64::from(self.budget.heap_bytes) {
            return Err("module, memory and engine need more than this core's heap has left (budget.heap_bytes)");
        }
        Ok(())
    }

    fn remote(&mut self, name: Name, subscribe: heapless::Vec<Name, GRANTS_MAX>, cursor: u64) {
        if let Some((_, entry)) = self.find_mut(&name) {
            if entry.is_on_a() {
                Arc::make_mut(&mut entry.spec).grants.subscribe = subscribe.into_iter().collect();
                entry.acknowledge(cursor);
                entry.sent = cursor;
            } else {
                error!("{} runs here; A thinks that it has it", name.as_str());
            }
            return;
        }
        let spec = ContainerSpec {
            name,
            image: [0; 32],
            portable: false,
            seed: [0; 16],
            limits: Limits { memory: 0, fuel_per_event: 0, queue: QUEUE_LEN_MAX, ..Limits::default() },
            grants: Grants { subscribe: subscribe.into_iter().collect(), ..Grants::default() },
        };
        if self.entries.iter().flatten().count() >= CONTAINERS_MAX {
            error!("{}: no slot left for its events", spec.name.as_str());
            return;
        }
        let mut entry = Entry::new(Arc::new(spec), Vec::new(), State::Gone);
        (entry.cursor, entry.sent) = (cursor, cursor);
        self.add(entry);
    }

    /// Puts an entry into the first free place.
    fn add(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|e| e.is_none()) {
            Some(slot) => *slot = Some(entry),
            None => self.entries.push(Some(entry)),
        }
    }

    /// Drops an entry, with the blocks that A will not answer any more.
    fn vacate(&mut self, index: usize) {
        let Some(entry) = self.entries.get_mut(index).and_then(Option::take) else { return };
        for block in entry.blocks.iter().map(|(_, block)| block).chain(&entry.remote_blocks) {
            self.bulk_out.free(block);
        }
        self.empty_slots(index);
        self.rewatch = true;
    }

    // ---- migration -----------------------------------------------------------------------------------------------

    fn move_out(&mut self, id: MigrationId, name: Name, queued_min: u8, now_us: u64) {
        let reason = match self.find_mut(&name) {
            Some((_, entry)) if !matches!(entry.role, Role::None) || entry.freeze => RefuseReason::Busy,
            Some((_, entry)) if entry.state == State::Running && entry.spec.portable => {
                info!("{} stops for its move to A", name.as_str());
                entry.freeze = true;
                entry.role = Role::Source(Source::new(id, name, queued_min, now_us.saturating_add(HOLD_US_MAX)));
                return;
            }
            _ => RefuseReason::NotHere,
        };
        self.send(&FromM::MoveRefused { id, name, reason });
    }

    /// Freezes what reached its safe point, and lets sources go on whose drill is over.
    pub(crate) fn poll_moves(&mut self, now_us: u64) {
        for index in 0..self.entries.len() {
            let Some(Some(entry)) = self.entries.get_mut(index) else { continue };
            if entry.freeze
                && let Role::Source(Source {
                    id,
                    name,
                    phase: coracle_migrate::role::SourcePhase::Holding { deadline_us, .. },
                    ..
                }) = &entry.role
                && now_us > *deadline_us
                && (entry.busy || !entry.initialised)
            {
                // It sleeps in an event, or has no fuel: nobody knows when it will be between two.
                let refusal = FromM::MoveRefused { id: *id, name: name.clone(), reason: RefuseReason::Busy };
                resume(entry);
                self.send(&refusal);
                continue;
            }
            if entry.freeze && !entry.busy && entry.initialised && entry.state == State::Running {
                entry.change(Change::Freeze);
                entry.freeze = false;
                entry.state_dirty = false;
            }
            if entry.state != State::Frozen {
                continue;
            }
            let queued = entry.queue.len();
            let (image, memory) = (entry.spec.image, entry.spec.limits.memory);
            if let Role::Source(source) = &mut entry.role
                && source.poll(queued, now_us) == SourceAction::SendOffer
            {
                let (id, name) = (source.id, source.name.clone());
                self.send(&FromM::Migrate { id, name, step: MoveStep::Offer { image, memory } });
            }
        }
    }

    fn migrate(&mut self, id: MigrationId, name: Name, step: MoveStep<BulkRef>) {
        if let MoveStep::Offer { image, .. } = step {
            let step = match self.accept(id, &name, image) {
                Ok(()) => MoveStep::Accept,
                Err(reason) => MoveStep::Refuse(reason),
            };
            self.send(&FromM::Migrate { id, name, step });
            return;
        }
        let Some((index, entry)) = self.find_mut(&name) else { return };
        match &mut entry.role {
            Role::Source(source) if source.id == id => {
                let action = source.answer(&step);
                self.source_action(index, id, name, action);
            }
            Role::Target(target) if target.id == id => {
                let action = target.told(&step);
                self.target_action(index, id, name, action, &step);
            }
            // The Committed that answered this Commit was lost with its session.
            _ if step == MoveStep::Commit && entry.moved_in == Some(id) => {
                self.send(&FromM::Migrate { id, name, step: MoveStep::Committed });
            }
            _ => {}
        }
    }

    fn source_action(&mut self, index: usize, id: MigrationId, name: Name, action: SourceAction) {
        match action {
            SourceAction::Nothing | SourceAction::SendOffer | SourceAction::SendCommit => {}
            SourceAction::SendState => match self.capture_for_move(index) {
                Some(bulk) => self.send(&FromM::Migrate { id, name, step: MoveStep::State { bulk } }),
                None => {
                    if let Some(Some(entry)) = self.entries.get_mut(index) {
                        resume(entry);
                    }
                    self.send(&FromM::Migrate { id, name, step: MoveStep::Abort(RefuseReason::TooLarge) });
                }
            },
            SourceAction::Commit => {
                let Some(Some(entry)) = self.entries.get_mut(index) else { return };
                entry.change(Change::HandOver);
                entry.drop_body();
                self.rewatch = true;
                entry.moved_out = Some(id);
                // What travelled in the snapshot is A's now; what came later waits here for A.
                entry.acknowledge(entry.captured);
                (entry.state_dirty, entry.queue_dirty) = (true, true);
                // The commit point: from here on A's copy is the live one, whatever happens to this core.
                self.commit();
                info!("{} moved to A", name.as_str());
                self.send(&FromM::Migrate { id, name, step: MoveStep::Commit });
            }
            SourceAction::Release => {
                let Some(Some(entry)) = self.entries.get_mut(index) else { return };
                entry.role = Role::None;
                let blocks = core::mem::take(&mut entry.blocks);
                for (_, block) in blocks {
                    self.bulk_out.free(&block);
                }
            }
            SourceAction::Resume(reason) => {
                warn!("{} stays: {}", name.as_str(), reason.as_str());
                let Some(Some(entry)) = self.entries.get_mut(index) else { return };
                resume(entry);
                let blocks = core::mem::take(&mut entry.blocks);
                for (_, block) in blocks {
                    self.bulk_out.free(&block);
                }
            }
        }
    }

    fn capture_for_move(&mut self, index: usize) -> Option<BulkRef> {
        let entry = self.entries.get_mut(index)?.as_mut()?;
        let payloads: usize = entry.queue.iter().map(|e| e.payload.len() + 32).sum();
        let body = entry.body.as_mut()?;
        body.state_mut().cursor = entry.cursor;
        // Zero stretches are left out, so a larger memory may still fit; if not, the move is refused as too large.
        let room = body.usage().memory_bytes + body.kv().as_bytes().len() + payloads + SNAPSHOT_OVERHEAD_BYTES;
        let mut out = vec![0; room.min(SNAPSHOT_BYTES_MAX)];
        let body = entry.body.as_ref()?;
        let len = body.capture(entry.queued(), &mut out).ok()?;
        let block = self.bulk_out.put(&[out.get(..len)?]).ok()?;
        entry.captured = entry.cursor;
        entry.blocks.push((u64::MAX, block));
        Some(block)
    }

    fn accept(&mut self, id: MigrationId, name: &Name, image: [u8; 32]) -> Result<(), RefuseReason> {
        let Some((_, entry)) = self.find_mut(name) else { return Err(RefuseReason::NoImage) };
        if entry.spec.image != image || entry.module.is_empty() {
            return Err(RefuseReason::NoImage);
        }
        if !entry.is_on_a() || !matches!(entry.role, Role::None) {
            return Err(RefuseReason::Busy);
        }
        let (spec, module_bytes) = (entry.spec.clone(), entry.module.len());
        self.admit(&spec, module_bytes).map_err(|_| RefuseReason::NoMemory)?;
        if let Some((_, entry)) = self.find_mut(name) {
            entry.role = Role::Target(Target::new(id, name.clone()));
        }
        Ok(())
    }

    fn target_action(
        &mut self,
        index: usize,
        id: MigrationId,
        name: Name,
        action: TargetAction,
        step: &MoveStep<BulkRef>,
    ) {
        match (action, step) {
            (TargetAction::Restore, MoveStep::State { bulk }) => {
                let step = match self.restore_for_move(index, bulk) {
                    Ok(()) => MoveStep::Ready,
                    Err(reason) => {
                        warn!("{} cannot come here: {}", name.as_str(), reason.as_str());
                        if let Some(Some(entry)) = self.entries.get_mut(index) {
                            entry.role = Role::None;
                        }
                        MoveStep::Refuse(reason)
                    }
                };
                self.send(&FromM::Migrate { id, name, step });
            }
            (TargetAction::GoLive, _) => {
                let Some(Some(entry)) = self.entries.get_mut(index) else { return };
                let Some(mut prepared) = entry.prepared.take() else { return };
                // What was configured while it was on its way.
                let configured = prepared.body.configure(&entry.spec.grants.config);
                // Events that M kept for A and that the snapshot does not have yet come after those it has.
                let later = entry.queue.drain(..).filter(|e| e.seq > prepared.cursor);
                let mut queue: VecDeque<OwnedEvent> = prepared.events.into_iter().chain(later).collect();
                let over = queue.len().saturating_sub(usize::from(QUEUE_LEN_MAX));
                queue.truncate(usize::from(QUEUE_LEN_MAX));
                entry.dropped = entry.dropped.saturating_add(u32::try_from(over).unwrap_or(u32::MAX));
                entry.queue = queue;
                entry.cursor = entry.cursor.max(prepared.cursor);
                entry.initialised = prepared.body.state().initialised;
                entry.body = Some(prepared.body);
                entry.role = Role::None;
                entry.moved_in = Some(id);
                entry.remote_sensors.clear();
                self.rewatch = true;
                for (_, block) in core::mem::take(&mut entry.blocks) {
                    self.bulk_out.free(&block);
                }
                // A new copy begins its life here.
                entry.state = State::Created;
                entry.change(Change::Start);
                if let Some(changed) = configured {
                    entry.push(EventKind::Config, 0, 0, self.time_us, changed.into());
                }
                (entry.state_dirty, entry.queue_dirty) = (true, true);
                self.commit();
                info!("{} came back from A", name.as_str());
                self.send(&FromM::Migrate { id, name, step: MoveStep::Committed });
            }
            (TargetAction::Drop, _) => {
                if let Some(Some(entry)) = self.entries.get_mut(index) {
                    (entry.role, entry.prepared) = (Role::None, None);
                }
            }
            _ => {}
        }
    }

    fn restore_for_move(&mut self, index: usize, bulk: &BulkRef) -> Result<(), RefuseReason> {
        let bytes = self.fetch(bulk, SNAPSHOT_BYTES_MAX).map_err(|_| RefuseReason::BadState)?;
        let state = Snapshot::decode(&bytes).map_err(|_| RefuseReason::BadState)?;
        let Some(Some(entry)) = self.entries.get_mut(index) else { return Err(RefuseReason::NotHere) };
        let body = Container::restore(&entry.module, entry.spec.clone(), &state).map_err(|_| RefuseReason::BadState)?;
        entry.prepared =
            Some(Prepared { body: Box::new(body), events: Entry::events_of(&state), cursor: state.head().host.cursor });
        if let Role::Target(target) = &mut entry.role {
            target.restored();
        }
        Ok(())
    }

    // ---- checkpoints ---------------------------------------------------------------------------------------------

    /// Writes what changed to the retained slots and makes it count, in one transaction.
    pub(crate) fn commit(&mut self) {
        if self.retained.is_none() {
            return;
        }
        for index in 0..self.entries.len() {
            let (state, queue) = match self.entries.get_mut(index) {
                Some(Some(entry)) => {
                    // A busy container is captured when its event is done.
                    let state = (!entry.busy || entry.command) && core::mem::take(&mut entry.state_dirty);
                    (state, core::mem::take(&mut entry.queue_dirty))
                }
                _ => continue,
            };
            let mut fits = true;
            if state {
                let record = self.state_record(index);
                fits &= record.is_some_and(|record| self.write_slot(2 * index, &record));
            }
            if queue {
                let record = self.queue_record(index);
                fits &= record.is_some_and(|record| self.write_slot(2 * index + 1, &record));
            }
            if !fits {
                warn!("a checkpoint does not fit its slot: the container would not survive a reset of this core");
                self.empty_slots(index);
                if let Some(Some(entry)) = self.entries.get_mut(index) {
                    (entry.state_dirty, entry.queue_dirty) = (true, true);
                }
            }
        }
        if core::mem::take(&mut self.uncommitted)
            && let Some(writer) = &mut self.retained
        {
            let _ = writer.commit();
        }
    }

    fn write_slot(&mut self, slot: usize, record: &[u8]) -> bool {
        let written = self.retained.as_mut().is_some_and(|writer| writer.write(slot, record).is_ok());
        self.uncommitted |= written;
        written
    }

    /// Says that nothing is kept of a container: an older state or queue that stayed would be taken for the last.
    fn empty_slots(&mut self, index: usize) {
        for slot in [2 * index, 2 * index + 1] {
            self.write_slot(slot, &RecordKind::Empty.to_bytes());
        }
    }

    /// A zeroed buffer for a record, no larger than a slot.
    fn record_buffer(&self, bytes: usize) -> Vec<u8> {
        let slot = self.retained.as_ref().map_or(0, RetainedWriter::payload_max);
        vec![0; (RECORD_HEAD_BYTES + bytes + SNAPSHOT_OVERHEAD_BYTES).min(slot)]
    }

    fn state_record(&mut self, index: usize) -> Option<Vec<u8>> {
        let entry = self.entries.get(index)?.as_ref()?;
        let kv = entry.body.as_ref().map_or(0, |b| b.kv().as_bytes().len());
        let mut record = self.record_buffer(entry.usage().memory_bytes + kv);
        let entry = self.entries.get_mut(index)?.as_mut()?;
        let kind = match (&entry.state, entry.body.as_ref()) {
            (State::Running | State::Frozen, Some(_)) => RecordKind::Live,
            (State::Gone, _) => RecordKind::Gone(entry.moved_out.unwrap_or(0)),
            _ => return Some(RecordKind::Empty.to_bytes().to_vec()),
        };
        let (head, rest) = record.split_at_mut_checked(RECORD_HEAD_BYTES)?;
        head.copy_from_slice(&kind.to_bytes());
        let cursor = entry.cursor;
        let len = match entry.body.as_mut().filter(|_| kind == RecordKind::Live) {
            Some(body) => {
                body.state_mut().cursor = cursor;
                if body.is_command() {
                    // It cannot be captured in the middle: its store and clock survive, and it starts again.
                    body.capture_host(rest).ok()?
                } else {
                    body.capture(core::iter::empty(), rest).ok()?
                }
            }
            None => snapshot::encode(&empty_head(entry), &[], core::iter::empty(), &[], rest).ok()?,
        };
        record.truncate(RECORD_HEAD_BYTES + len);
        Some(record)
    }

    fn queue_record(&self, index: usize) -> Option<Vec<u8>> {
        let entry = self.entries.get(index)?.as_ref()?;
        // Sensor blocks are not kept: the sensor's stream is not repeated after a reset.
        let events = entry.queued().filter(|(head, _)| head.kind != EventKind::Sensor as u8);
        let payloads: usize = events.clone().map(|(_, p)| p.len() + 32).sum();
        let mut record = self.record_buffer(payloads);
        let (head, rest) = record.split_at_mut_checked(RECORD_HEAD_BYTES)?;
        head.copy_from_slice(&RecordKind::Queue.to_bytes());
        let len = snapshot::encode(&empty_head(entry), &[], events, &[], rest).ok()?;
        record.truncate(RECORD_HEAD_BYTES + len);
        Some(record)
    }

    // ---- numbers -------------------------------------------------------------------------------------------------

    fn send_stats(&mut self) {
        let mut messages = Vec::new();
        let mut unacknowledged = 0;
        for entry in self.entries.iter().flatten() {
            if entry.is_on_a() {
                unacknowledged += entry.queue.len();
            }
            let usage = entry.usage();
            let idle = entry.body.as_ref().filter(|b| b.is_idle());
            messages.push(FromM::ContainerStats {
                name: entry.spec.name.clone(),
                state: entry.state,
                memory: u32::try_from(usage.memory_bytes).unwrap_or(u32::MAX),
                fuel: usage.fuel_total,
                handled: entry.body.as_ref().map_or(0, |b| b.state().handled),
                queued: entry.cursor,
                dropped: entry.dropped,
                refused: usage.refused_calls,
                digest: idle.map(|b| b.state_digest()),
            });
            messages.push(FromM::MoreStats {
                name: entry.spec.name.clone(),
                logs_dropped: usage.logs_dropped,
                overhead: 0,
            });
        }
        let mut wakes = [0, 0, 0];
        for rule in self.ledger.policy().as_slice() {
            if let Some(counts) = self.ledger.counts(&rule.reason) {
                wakes[0] += counts.woken;
                wakes[1] += counts.debounced;
                wakes[2] += counts.over_budget;
            }
        }
        messages.push(FromM::Stats {
            time_us: self.time_us,
            wakes,
            samples_dropped: self.samples_dropped,
            unacknowledged: u16::try_from(unacknowledged).unwrap_or(u16::MAX),
        });
        for message in messages {
            self.send(&message);
        }
    }

    pub(crate) fn find_mut(&mut self, name: &str) -> Option<(usize, &mut Entry)> {
        self.entries
            .iter_mut()
            .enumerate()
            .find_map(|(i, e)| e.as_mut().filter(|e| e.spec.name == name).map(|e| (i, e)))
    }
}

/// A migration was given up on the source: the copy here runs on.
fn resume(entry: &mut Entry) {
    entry.role = Role::None;
    entry.freeze = false;
    if entry.state == State::Frozen {
        entry.change(Change::Resume);
    }
}

/// Heap that a container takes at most. wasmi cannot report that the arena is full: it would end the firmware, so a
/// container is only let in when it cannot come to that.
fn heap_need(module_bytes: usize, spec: &ContainerSpec) -> u64 {
    let limits = &spec.limits;
    let code = HEAP_PER_MODULE_BYTE * module_bytes as u64;
    let table = HEAP_TABLE_ELEMENT_BYTES * u64::from(limits.table);
    // A store that changes is there twice.
    let store = 2 * u64::from(spec.grants.kv);
    HEAP_CONTAINER_BYTES + u64::from(limits.stack) + table + store + code + u64::from(limits.memory)
}

fn empty_head(entry: &Entry) -> Head {
    Head {
        name: entry.spec.name.clone(),
        image: entry.spec.image,
        host: HostState { cursor: entry.cursor, ..HostState::default() },
        globals: heapless::Vec::new(),
        memory_len: 0,
        kv_len: 0,
        events: 0,
    }
}

fn detail(text: &str) -> heapless::String<DETAIL_BYTES_MAX> {
    display(text)
}

fn display(value: impl core::fmt::Display) -> heapless::String<DETAIL_BYTES_MAX> {
    use core::fmt::Write as _;
    let mut out = heapless::String::new();
    for c in alloc::format!("{value}").chars() {
        if out.write_char(c).is_err() {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use coracle_link::{FRAME_BYTES_MAX, Versions};
    use coracle_shmem::HeapRegion;

    use super::*;

    const BUDGET: Budget = Budget {
        heap_bytes: 0x1_0000,
        stack_bytes: 0x1000,
        containers_max: 4,
        linear_memory_bytes_max: 0x1000,
        module_bytes_max: 0x1000,
    };

    fn hello(versions: Versions, nonce: u64) -> Vec<u8> {
        let frame = Frame::Hello { versions, nonce, credit: Credit::for_buffers(16) };
        coracle_link::encode(&frame, &mut [0; FRAME_BYTES_MAX]).unwrap().to_vec()
    }

    /// An A of another version comes after one that was awake: nothing of the session with that stays.
    #[test]
    fn a_refused_greeting_ends_the_session() {
        let memory = HeapRegion::new(0x4000);
        let region = memory.region();
        let piece = |offset| region.sub(offset, 0x1000).unwrap();
        let memories = Memories { bulk_to_m: piece(0), bulk_to_a: piece(0x1000), retained: piece(0x2000) };
        let mut supervisor = Supervisor::new(memories, BUDGET, 1, Credit::for_buffers(16));
        supervisor.frame(&hello(VERSIONS, 1), 0);
        assert!(supervisor.link.is_up() && supervisor.power == Power::Awake && supervisor.outbox.len() > 0);
        supervisor.frame(&hello(Versions { min: 1, max: 1 }, 2), 1);
        assert!(!supervisor.link.is_up() && supervisor.power == Power::Asleep && supervisor.outbox.len() == 0);
        assert!(supervisor.take_frame().is_some(), "no Reject");
        assert_eq!(supervisor.take_frame(), None, "a frame of the session that ended");
    }
}
