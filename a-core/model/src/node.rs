//! The supervisor proper. See the crate documentation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use coracle_api::{self as api, ClockTime, Event, Reply, Request, What};
use coracle_bulk::{BulkReader, BulkRef, BulkWriter, RetainedReader, SLOTS_MAX};
use coracle_container::{DeviceCall, OwnedEvent, Payload};
use coracle_engine::EngineHandle;
use coracle_guest_abi::{Errno, EventKind, GRANTS_MAX, Name, WAKE_BYTES_MAX};
use coracle_link::{
    BODY_BYTES_MAX, Credit, DownReason, Event as LinkEvent, FRAME_BYTES_MAX, Frame, Initiator, SILENCE_US_MAX, VERSIONS,
};
use coracle_migrate::role::{MigrationId, RefuseReason, Source, SourceAction, Step as MoveStep, Target, TargetAction};
use coracle_migrate::snapshot::{SNAPSHOT_BYTES_MAX, Snapshot};
use coracle_policy::Core;
use coracle_shmem::Region;
use coracle_wire::{FromM, Power, ToM};

use crate::devices::{self, Waits};
use crate::entry::{Activity, Body, Captured, Entry, Move, Place};
use crate::outbox::Outbox;
use crate::plan::{Desired, Placement};
use crate::reconcile::MCopy;
use crate::record::{NO_MOVE, Phase, Record};
use crate::retained::{self, RetainedRecord};
use crate::run::exit_text;
use crate::topics::{Retained, Untaken};

/// Events kept for clients that connect later.
const EVENTS_KEPT_MAX: usize = 4096;
/// Longest that a move out of A waits for its drill's events, in microseconds.
const HOLD_US_MAX: u64 = 3_000_000;
/// After a move was refused for the first time: when it is tried again, in microseconds. Twice as late every time.
const RETRY_US: u64 = 1_000_000;
/// The latest is this many doublings.
const RETRY_DOUBLINGS_MAX: u8 = 6;
/// Refusals for which A stays awake to try again; after that, it tries when it is awake for another reason.
const REFUSALS_AWAKE_MAX: u8 = 3;
/// How often the drill's wait is looked at, in microseconds.
const POLL_US: u64 = 10_000;
/// Wakes and moves that a report lists: the latest.
const REPORTED_MAX: usize = 4096;
/// Containers that M may claim to hold in one inventory; more than any M core has room for.
const INVENTORY_MAX: usize = 64;
/// Messages that may wait for M's credit: more than a manifest's containers and their events ever cause. An M that lets
/// more wait takes none.
const WAITING_MAX: usize = 4096;
/// M is told the time anew when what it was told is wrong by this much, in microseconds.
const WALL_STEP_US: u64 = 10_000;

/// How a container is said to have started that was there all along.
const ATTACHED: &str = "attached";

/// The shared memory that the supervisor works with, beside the rings.
#[derive(Debug, Clone, Copy)]
pub struct Memories<'m> {
    /// A writes, M reads.
    pub bulk_to_m: Region<'m>,
    /// M writes, A reads.
    pub bulk_to_a: Region<'m>,
    /// M's checkpoints, read after M was reset.
    pub retained: Region<'m>,
}

/// Names a request until it is answered.
pub type RequestId = u64;

/// What the shell has to do, in this order.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum Output {
    /// Store the record durably, replacing an earlier one of the same name.
    Store {
        /// The container.
        name: Name,
        /// [`Record::to_bytes`].
        record: Vec<u8>,
    },
    /// Remove the record.
    Forget {
        /// The container.
        name: Name,
    },
    /// Store the desired state durably.
    StoreDesired(Vec<u8>),
    /// Send a frame on the link's endpoint.
    Send(Vec<u8>),
    /// Ask this core's devices, and give the answer to [`Node::device_answer`].
    Device {
        /// Comes back with the answer.
        token: u32,
        /// What a container wants. Its grants were checked.
        call: DeviceCall,
    },
    /// Switch a sensor on or off, if this core has one of that name.
    Sense {
        /// Its name.
        sensor: Name,
        /// Whether [`Node::sensor_block`] wants its blocks.
        on: bool,
    },
    /// Tell the clients.
    Event(Event),
    /// Answer a request.
    Reply(RequestId, Reply),
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Session {
    Down,
    /// M is listing what it holds.
    Inventory,
    /// M was told what to hold; not all is confirmed.
    Settling,
    Ready,
}

/// The id of the first move in a life of A. Lives keep apart while they make fewer than 4096 moves.
fn first_move(epoch: u32) -> MigrationId {
    (epoch << 12).max(NO_MOVE + 1)
}

/// The next id.
fn move_after(id: MigrationId) -> MigrationId {
    id.wrapping_add(1).max(NO_MOVE + 1)
}

/// The state of the A core. See the crate documentation.
pub struct Node<'m> {
    pub(crate) engine: EngineHandle,
    pub(crate) link: Initiator,
    pub(crate) session: Session,
    /// Of the session.
    version: u16,
    pub(crate) sessions: u32,
    bulk_in: BulkReader<'m>,
    bulk_out: BulkWriter<'m>,
    retained: RetainedReader<'m>,
    pub(crate) desired: Desired,
    pub(crate) entries: BTreeMap<Name, Entry>,
    /// Records of an earlier life, until they are used.
    records: BTreeMap<Name, Record>,
    pub(crate) inventory: BTreeMap<Name, MCopy>,
    /// Containers of replaced manifests that M may still hold.
    removed: BTreeSet<Name>,
    /// Deployments to M that wait for the one under way.
    deploys: VecDeque<(Name, Option<Vec<u8>>, bool, &'static str)>,
    deploying: Option<(u16, Name, bool, &'static str, Vec<BulkRef>)>,
    tokens: u16,
    next_move: MigrationId,
    /// Blocks of snapshots that M has not answered.
    move_blocks: BTreeMap<MigrationId, BulkRef>,
    pub(crate) asleep: bool,
    apply: Option<RequestId>,
    apply_errors: Vec<String>,
    pub(crate) reports: Vec<RequestId>,
    pub(crate) wakes: Vec<api::WakeReport>,
    pub(crate) wakes_held_back: u32,
    pub(crate) moves: Vec<api::MoveReport>,
    pub(crate) bulk_sent_bytes: u64,
    pub(crate) bulk_received_bytes: u64,
    pub(crate) time_us: u64,
    /// The time of the last input, in microseconds.
    pub(crate) now_us: u64,
    pub(crate) out: VecDeque<Output>,
    outbox: Outbox,
    /// When M sent the message that is being taken, on A's clock.
    told: Option<ClockTime>,
    /// M's clock at the last line of its log in this session, in microseconds.
    m_log_us: u64,
    /// M's log is of a life with which there is no session yet.
    m_reborn: bool,
    events: u64,
    kept: VecDeque<Event>,
    /// When a Hello went out that is not answered yet, in microseconds.
    greeted_us: Option<u64>,
    /// The rings have to be set up anew.
    restart: bool,
    /// The container that ran last: the others have their turn before it.
    pub(crate) ran: Option<Name>,
    /// Values of topics.
    pub(crate) retained_values: Retained,
    pub(crate) untaken: Untaken,
    /// Messages for M that were lost because too many waited.
    pub(crate) messages_lost: u64,
    /// The last one was.
    pub(crate) losing: bool,
    /// Sensors that containers here want, as the shell knows.
    pub(crate) sensing: BTreeSet<Name>,
    /// Device calls of containers here.
    pub(crate) devices: Waits,
    /// Configurations that M has not taken.
    configuring: BTreeMap<Name, BulkRef>,
    /// Unix time minus this core's clock, in microseconds.
    wall_offset_us: Option<i64>,
    /// Unix time minus M's clock, as M was told in this session.
    wall_told_us: Option<i64>,
}

impl<'m> Node<'m> {
    /// A supervisor that knows what an earlier life stored. `epoch` must differ between lives (the driver epoch of the
    /// rings does); `room` is what the ring from M holds.
    #[must_use]
    pub fn new(
        engine: EngineHandle,
        memories: Memories<'m>,
        epoch: u32,
        desired: Option<Desired>,
        records: Vec<Record>,
        room: Credit,
    ) -> Self {
        let mut node = Self {
            engine,
            link: Initiator::new(epoch, VERSIONS, room),
            session: Session::Down,
            version: 0,
            sessions: 0,
            bulk_in: BulkReader::new(memories.bulk_to_a),
            bulk_out: BulkWriter::new(memories.bulk_to_m, epoch),
            retained: RetainedReader::new(memories.retained),
            desired: Desired::default(),
            entries: BTreeMap::new(),
            records: records.into_iter().map(|r| (r.name.clone(), r)).collect(),
            inventory: BTreeMap::new(),
            removed: BTreeSet::new(),
            deploys: VecDeque::new(),
            deploying: None,
            tokens: 0,
            next_move: first_move(epoch),
            move_blocks: BTreeMap::new(),
            asleep: false,
            apply: None,
            apply_errors: Vec::new(),
            reports: Vec::new(),
            wakes: Vec::new(),
            wakes_held_back: 0,
            moves: Vec::new(),
            bulk_sent_bytes: 0,
            bulk_received_bytes: 0,
            time_us: 0,
            now_us: 0,
            out: VecDeque::new(),
            outbox: Outbox::default(),
            told: None,
            m_log_us: 0,
            m_reborn: false,
            events: 0,
            kept: VecDeque::new(),
            greeted_us: None,
            restart: false,
            ran: None,
            retained_values: Retained::default(),
            untaken: Untaken::new(epoch),
            messages_lost: 0,
            losing: false,
            sensing: BTreeSet::new(),
            devices: Waits::default(),
            configuring: BTreeMap::new(),
            wall_offset_us: None,
            wall_told_us: None,
        };
        if let Some(desired) = desired {
            for plan in &desired.plans {
                let entry = Entry { known: true, ..Entry::new(plan.clone()) };
                node.entries.insert(plan.spec.name.clone(), entry);
            }
            node.desired = desired;
        }
        // Of a manifest that was replaced just before this process's last life ended.
        let strays: Vec<Name> = node.records.keys().filter(|n| !node.entries.contains_key(*n)).cloned().collect();
        for name in strays {
            node.records.remove(&name);
            node.out.push_back(Output::Forget { name });
        }
        node
    }

    // ---- what the shell asks -------------------------------------------------------------------------------------

    /// The next thing to do, if any.
    pub fn take_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Whether the shell has to give the rings up and set them up anew: M did not answer, and may have lost them.
    pub fn take_restart(&mut self) -> bool {
        std::mem::take(&mut self.restart)
    }

    /// Whether [`Node::step`] has work to do now.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.entries.values().any(|e| e.is_runnable(self.now_us))
    }

    /// The containers whose live copy is here: not those past the commit point of their move to M.
    pub fn live(&self) -> impl Iterator<Item = &Name> {
        self.entries.iter().filter(|(_, e)| e.is_live()).map(|(name, _)| name)
    }

    /// Whether no session is being opened or settled and no move is open.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.session == Session::Ready && self.entries.values().all(|e| e.open.is_none())
    }

    /// Whether A sleeps: it runs no engine work and waits for the doorbell.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// When [`Node::step`] has to be called at the latest, in microseconds from the time of the last input. `None`: a
    /// sleeping A waits for the doorbell alone. No container's time but the next one makes A wake up.
    #[must_use]
    pub fn wait_us(&self) -> Option<u64> {
        let bodies = self.entries.values().filter_map(Entry::ready_us);
        let containers = bodies.chain(self.devices.deadline_us()).min().map(|at| at.saturating_sub(self.now_us));
        let holding = self.entries.values().any(|e| matches!(e.open, Some((_, _, Move::Out { .. }))));
        let link = match self.session {
            Session::Ready if self.asleep && self.link.is_asleep() => None,
            _ if holding => Some(POLL_US),
            _ => Some(coracle_link::HEARTBEAT_US),
        };
        [containers, link].into_iter().flatten().min()
    }

    /// Events kept for a client that connects now.
    pub fn kept_events(&self) -> impl Iterator<Item = &Event> {
        self.kept.iter()
    }

    // ---- what comes in -------------------------------------------------------------------------------------------

    /// The rings are up and M announced the channel: open a session.
    pub fn channel_up(&mut self, now_us: u64) {
        self.now_us = now_us;
        self.outbox.clear();
        let hello = self.link.open(now_us);
        self.greeted_us = Some(now_us);
        self.send_frame(&hello);
    }

    /// The rings or M went away.
    pub fn channel_down(&mut self, reason: &str) {
        self.link.reset();
        self.greeted_us = None;
        self.session_down(reason);
    }

    /// A frame of the link. `now_us` is the clock, read after the frame was received.
    pub fn frame(&mut self, bytes: &[u8], now_us: u64) {
        self.now_us = now_us;
        match self.link.receive(bytes, now_us) {
            LinkEvent::Nothing | LinkEvent::Dropped(_) => {}
            LinkEvent::Up { version, .. } => {
                self.greeted_us = None;
                (self.m_reborn, self.m_log_us) = (false, 0);
                self.sessions += 1;
                self.session = Session::Inventory;
                self.inventory.clear();
                self.bulk_out.free_all();
                self.link.set_asleep(false, now_us);
                self.version = version;
            }
            LinkEvent::Down(reason) => {
                self.session_down(reason.as_str());
                self.channel_up(now_us);
            }
            LinkEvent::Refused { ours, theirs } => {
                self.greeted_us = None;
                let text = format!(
                    "the firmware speaks link version {theirs}, this supervisor {ours}: update the older of the two"
                );
                self.fail_apply(&text);
                self.event(None, What::LinkDown { reason: text });
            }
            LinkEvent::Message { body, sent_us, .. } => {
                self.told = self.on_a_clock(sent_us);
                match coracle_wire::decode::<FromM>(body) {
                    Some(message) => self.message(message, now_us),
                    None => self.event(None, What::LinkDown { reason: "M sent a malformed message; dropped".into() }),
                }
                self.told = None;
            }
        }
        self.link.grant();
    }

    /// A request of a client. It is answered by an [`Output::Reply`], at once or later.
    pub fn request(&mut self, id: RequestId, request: Request, now_us: u64) {
        self.now_us = now_us;
        match request {
            Request::Report => {
                if self.session == Session::Ready {
                    // A dead M does not answer: listen for its heartbeat until it has.
                    self.link.set_asleep(false, now_us);
                    self.reports.push(id);
                    self.send(&ToM::Query);
                } else {
                    let report = self.report();
                    self.reply(id, Reply::Report(report));
                }
            }
            Request::Move { container, to } => {
                let to = if to == api::Core::M { Core::M } else { Core::A };
                match self.start_move(&container, to, "asked for", now_us) {
                    Ok(()) => self.reply(id, Reply::Ok),
                    Err(message) => self.reply(id, Reply::Error { message }),
                }
            }
            // The shell answers these; see `Node::apply` for the first.
            Request::Apply { .. } | Request::Events | Request::Shutdown => {
                self.reply(id, Reply::Error { message: "not a request for the supervisor".into() });
            }
        }
    }

    /// Makes `desired` the state to reach. Answered when every container runs, or one was refused.
    pub fn apply(&mut self, id: RequestId, desired: Desired, now_us: u64) {
        self.now_us = now_us;
        self.fail_apply("another manifest was applied before this one was done");
        self.wake_up("a manifest is applied", now_us);
        self.out.push_back(Output::StoreDesired(desired.to_bytes()));
        let stays = |name: &Name, entry: &Entry| {
            desired.plans.iter().any(|p| p.spec.name == *name && entry.plan.is_same_but_config(p))
        };
        let gone: Vec<Name> =
            self.entries.iter().filter(|(name, entry)| !stays(name, entry)).map(|(name, _)| name.clone()).collect();
        for name in gone {
            self.entries.remove(&name);
            self.records.remove(&name);
            self.inventory.remove(&name);
            self.deploys.retain(|(deployed, ..)| *deployed != name);
            self.devices.end_of(&name);
            if let Some((_, deployed, ..)) = self.deploying.as_mut().filter(|(_, deployed, ..)| *deployed == name) {
                // Its answer concerns nobody any more.
                *deployed = Name::new();
            }
            self.out.push_back(Output::Forget { name: name.clone() });
            if !matches!(self.session, Session::Ready | Session::Settling) {
                self.removed.insert(name.clone());
            }
            self.send(&ToM::Remove { name });
        }
        for plan in &desired.plans {
            let entry = self.entries.entry(plan.spec.name.clone()).or_insert_with(|| Entry::new(plan.clone()));
            // Applying again is how an operator starts anew what ended.
            if matches!(entry.place, Place::Exited(..)) {
                entry.place = Place::Starting;
            }
            if entry.plan != *plan {
                entry.plan = plan.clone();
                entry.config_told = false;
            }
        }
        self.desired = desired;
        self.reconfigure_all();
        (self.apply, self.apply_errors) = (Some(id), Vec::new());
        if matches!(self.session, Session::Ready | Session::Settling) {
            self.tell_rules();
            self.place_all(now_us);
        }
    }

    /// One bounded piece of work: at most one event is handled.
    pub fn step(&mut self, now_us: u64) {
        self.now_us = now_us;
        let (event, frame) = self.link.tick(now_us);
        if let Some(frame) = frame {
            self.send_frame(&frame);
        }
        let event = if self.outbox.len() > WAITING_MAX { self.link.backlog() } else { event };
        let unanswered = self.greeted_us.is_some_and(|at| now_us.saturating_sub(at) >= SILENCE_US_MAX);
        let lost = match event {
            LinkEvent::Down(reason) => Some(reason),
            _ => unanswered.then_some(DownReason::Silence),
        };
        if let Some(reason) = lost {
            // It may be dead, slow, or have lost the rings: a Hello on new rings is right for all three.
            self.channel_down(reason.as_str());
            self.restart = true;
        }
        for wait in self.devices.give_up(Some(now_us)) {
            self.device_done(&wait.name, Err(Errno::TimedOut));
        }
        self.run_next();
        self.poll_moves(now_us);
        self.tell_wall_clock();
        self.sense();
        self.maybe_sleep(now_us);
        if self.asleep && self.session == Session::Ready && self.reports.is_empty() && self.link.is_quiet() {
            // A report is done.
            self.link.set_asleep(true, now_us);
        }
        self.flush();
        if let Some(frame) = self.link.credit_frame() {
            self.send_frame(&frame);
        }
    }

    // ---- what is stored ------------------------------------------------------------------------------------------

    /// Stores what is here of a container, with its queue.
    pub(crate) fn store(&mut self, name: &Name, phase: Phase) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        // Past the commit point of its move, the record that says so must stay.
        if phase == Phase::Live && !entry.is_live() {
            return;
        }
        let Some(body) = entry.body() else { return };
        // In the middle of an event there is no memory to store: the record from before it is the better one.
        if !body.is_storable() {
            return;
        }
        if let Some(snapshot) = body.capture() {
            return self.store_bytes(name, phase, snapshot);
        }
        let is_command = body.container.is_command();
        match body.capture_host() {
            Captured::Same => {}
            Captured::Host { bytes, first } => {
                self.store_bytes(name, phase, bytes);
                if first && !is_command {
                    let text = "its memory is over the limits of a snapshot: only its stored values survive this \
                                supervisor";
                    self.guest_log(name, 2, text);
                }
            }
            Captured::Impossible => {
                // An older record that stayed would be taken for the last state.
                self.out.push_back(Output::Forget { name: name.clone() });
                self.guest_log(
                    name,
                    2,
                    "what waits for it is over the limits of a snapshot: it would not survive this supervisor",
                );
            }
        }
    }

    fn store_bytes(&mut self, name: &Name, phase: Phase, snapshot: Vec<u8>) {
        let record = Record { name: name.clone(), phase, snapshot }.to_bytes();
        self.out.push_back(Output::Store { name: name.clone(), record });
    }

    // ---- session -------------------------------------------------------------------------------------------------

    fn session_down(&mut self, reason: &str) {
        self.outbox.clear();
        if self.session == Session::Down {
            return;
        }
        self.session = Session::Down;
        self.bulk_out.free_all();
        self.move_blocks.clear();
        self.deploying = None;
        self.deploys.clear();
        self.untaken.session_ended();
        self.retained_values.session_ended();
        self.wall_told_us = None;
        for name in std::mem::take(&mut self.configuring).into_keys() {
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.config_told = false;
            }
        }
        for wait in self.devices.give_up(None) {
            self.device_done(&wait.name, Err(Errno::NoDevice));
        }
        for (name, entry) in &mut self.entries {
            match &mut entry.open {
                Some((_, _, Move::Asked)) => entry.open = None,
                Some((id, _, Move::In { target, prepared, .. })) => {
                    if target.link_down() == TargetAction::Drop {
                        entry.open = None;
                    } else if let (Some(mut body), id) = (prepared.take(), *id) {
                        // In doubt: keep it the way an earlier life would have left it, and let the next session tell.
                        if let Some(snapshot) = body.capture() {
                            let record = Record { name: name.clone(), phase: Phase::Prepared(id), snapshot };
                            self.records.insert(name.clone(), record);
                        }
                        entry.open = None;
                    }
                }
                Some((id, _, Move::Out { source, .. })) => match source.link_down() {
                    SourceAction::Resume(_) => entry.open = None,
                    _ => {
                        if let (Place::OnA(body), id) = (&mut entry.place, *id)
                            && let Some(snapshot) = body.capture()
                        {
                            let record = Record { name: name.clone(), phase: Phase::MovedOut(id), snapshot };
                            self.records.insert(name.clone(), record);
                        }
                        entry.drop_body(Place::Starting);
                        entry.open = None;
                    }
                },
                None => {}
            }
        }
        self.event(None, What::LinkDown { reason: reason.to_owned() });
        let reports = std::mem::take(&mut self.reports);
        for id in reports {
            let report = self.report();
            self.reply(id, Reply::Report(report));
        }
    }

    /// Tells M the rules that it evaluates alone.
    fn tell_rules(&mut self) {
        let reasons = self.desired.wake.iter().map(|rule| rule.reason.clone()).take(GRANTS_MAX).collect();
        self.send(&ToM::KeepWakeRules { reasons });
        for rule in self.desired.wake.clone() {
            self.send(&ToM::WakeRule { rule });
        }
        self.send(&ToM::Lockstep(self.desired.lockstep));
    }

    /// The inventory is complete: brings both cores to one view, then deploys what is missing.
    fn settle(&mut self, now_us: u64) {
        let attached = !self.inventory.is_empty();
        self.event(None, What::LinkUp { version: self.version, attached });
        let mut retained = self.read_retained();
        self.asleep = false;
        // What M holds and nobody wants any more.
        let mut unwanted = std::mem::take(&mut self.removed);
        unwanted.extend(self.inventory.keys().filter(|n| !self.entries.contains_key(*n)).cloned());
        for name in unwanted {
            retained.remove(&name);
            self.send(&ToM::Remove { name });
        }
        self.session = Session::Settling;
        let names: Vec<Name> = self.entries.keys().cloned().collect();
        for name in names {
            self.reconcile(&name, retained.get(&name), now_us);
        }
        // Not before what was read from M's slots is stored here: M clears them now.
        self.send(&ToM::Begin);
        self.tell_rules();
        self.tell_retained();
        self.send(&ToM::Power(Power::Awake));
        self.deploy_next();
        self.check_settled(now_us);
    }

    /// Puts containers that are nowhere yet to where they start.
    fn place_all(&mut self, now_us: u64) {
        self.session = Session::Settling;
        let names: Vec<Name> = self
            .entries
            .iter()
            .filter(|(_, e)| matches!(e.place, Place::Starting) && e.open.is_none())
            .map(|(n, _)| n.clone())
            .collect();
        for name in names {
            let under_way = self.deploying.as_ref().is_some_and(|(_, n, ..)| *n == name)
                || self.deploys.iter().any(|(n, ..)| *n == name);
            if !under_way {
                self.start_fresh(&name, false);
            }
        }
        self.deploy_next();
        self.check_settled(now_us);
    }

    fn check_settled(&mut self, now_us: u64) {
        if self.session != Session::Settling || self.deploying.is_some() || !self.deploys.is_empty() {
            return;
        }
        self.session = Session::Ready;
        self.send_untaken();
        self.reconfigure_all();
        if let Some(id) = self.apply.take() {
            let errors = std::mem::take(&mut self.apply_errors);
            let reply = if errors.is_empty() { Reply::Ok } else { Reply::Error { message: errors.join("\n") } };
            self.reply(id, reply);
        }
        self.maybe_sleep(now_us);
    }

    fn fail_apply(&mut self, message: &str) {
        if let Some(id) = self.apply.take() {
            self.reply(id, Reply::Error { message: message.to_owned() });
        }
    }

    /// Copies what counts in the retained slots out: state snapshots and queues by name.
    fn read_retained(&self) -> BTreeMap<Name, Vec<RetainedRecord>> {
        let mut found: BTreeMap<Name, Vec<RetainedRecord>> = BTreeMap::new();
        for slot in 0..SLOTS_MAX {
            let Some(len) = self.retained.len(slot) else { continue };
            let mut bytes = vec![0; len];
            if self.retained.read(slot, &mut bytes).is_err() {
                continue;
            }
            if let Some(record) = RetainedRecord::parse(bytes) {
                found.entry(record.name.clone()).or_default().push(record);
            }
        }
        found
    }

    // ---- messages ------------------------------------------------------------------------------------------------

    fn message(&mut self, message: FromM, now_us: u64) {
        match message {
            FromM::Holds { name, image, state, in_doubt, committed } => {
                if self.session == Session::Inventory && self.inventory.len() < INVENTORY_MAX {
                    // Of a manifest that was replaced while M could not be told. A container that M only knows by name
                    // has no image there.
                    let other = |e: &Entry| image != [0; 32] && image != e.plan.spec.image;
                    if self.removed.contains(&name) || self.entries.get(&name).is_some_and(other) {
                        self.removed.insert(name);
                        return;
                    }
                    if let Some(entry) = self.entries.get_mut(&name) {
                        entry.m_refused = image == [0; 32];
                    }
                    self.inventory.insert(name, MCopy { state, in_doubt, committed });
                }
            }
            FromM::InventoryEnd => {
                if self.session == Session::Inventory {
                    self.settle(now_us);
                }
            }
            FromM::Deployed { token } => self.deployed(token, None, now_us),
            FromM::DeployRefused { token, detail } => self.deployed(token, Some(&detail), now_us),
            FromM::Event { name, seq, source, time_us, payload } => {
                self.wake_up("an event for a container on A", now_us);
                let (kind, tag, payload) = (EventKind::Message, 0, payload.to_vec().into());
                self.deliver(&name, OwnedEvent { seq, kind, source, tag, time_us, payload });
            }
            FromM::Delivery { name, seq, kind, source, tag, time_us, payload } => {
                self.wake_up("an event for a container on A", now_us);
                let Some(kind) = EventKind::from_u8(kind) else { return };
                let payload = payload.to_vec().into();
                self.deliver(&name, OwnedEvent { seq, kind, source, tag, time_us, payload });
            }
            FromM::Block { name, sensor, time_us, payload } => self.take_block(&name, sensor, time_us, &payload),
            FromM::Taken { epoch, number } => self.untaken.taken(epoch, number),
            FromM::Retain { topic, payload } => {
                if !self.retained_values.set(&topic, payload.to_vec().into(), false) {
                    let text = format!("the value of topic {topic} is not retained here: too many topics have one");
                    let level = "error".to_owned();
                    self.event(None, What::Log { core: api::Core::A, level, uptime_us: None, text });
                }
            }
            FromM::Reply { to, id, payload } => {
                self.wake_up("an answer for a container on A", now_us);
                self.take_answer(&to, id, Payload::from(payload.to_vec()));
            }
            FromM::Device { token, answer } => {
                if let Some(wait) = self.devices.remote_answer(token) {
                    self.device_done(&wait.name, answer.map(devices::from_wire));
                }
            }
            FromM::Configured { name } => {
                if let Some(block) = self.configuring.remove(&name) {
                    self.bulk_out.free(&block);
                }
                // It may have changed again meanwhile.
                self.reconfigure(&name);
            }
            FromM::Refused { name, call } => self.refused_call(&name, api::Core::M, call, ""),
            FromM::MoreStats { name, logs_dropped, overhead } => {
                if let Some(entry) = self.entries.get_mut(&name) {
                    (entry.on_m.logs_dropped, entry.on_m.overhead) = (logs_dropped, overhead);
                }
            }
            FromM::Wake { reason, name, seq, time_us, payload } => {
                self.wake_up(&reason, now_us);
                let bytes = self.fetch(&payload, WAKE_BYTES_MAX);
                let Some(bytes) = bytes else { return };
                let repeat = self.entries.get_mut(&name).and_then(Entry::body).is_some_and(|b| seq <= b.cursor);
                if !repeat {
                    let len = bytes.len() as u64;
                    if self.wakes.len() == REPORTED_MAX {
                        self.wakes.remove(0);
                    }
                    self.wakes.push(api::WakeReport {
                        reason: reason.to_string(),
                        time_us,
                        latency_us: None,
                        bytes: len,
                    });
                    let what = What::Wake { reason: reason.to_string(), container: name.to_string(), bytes: len };
                    self.event(Some(time_us), what);
                }
                let (kind, payload) = (EventKind::Wake, bytes.into());
                let event = OwnedEvent { seq, kind, source: 0, tag: 0, time_us, payload };
                self.deliver(&name, event);
            }
            FromM::Woken { reason, latency_us } => {
                if let Some(wake) = self.wakes.iter_mut().rev().find(|w| w.reason == reason.as_str()) {
                    wake.latency_us = Some(latency_us);
                }
                self.event(None, What::Woken { reason: reason.to_string(), latency_us });
            }
            FromM::Exited { name, reason } => {
                // What lives here is not M's to end.
                let Some(entry) = self.entries.get_mut(&name).filter(|e| !matches!(e.place, Place::OnA(_))) else {
                    return;
                };
                let reason = exit_text(&entry.plan, reason);
                entry.place = Place::Exited(Core::M, reason.clone());
                entry.open = None;
                let what = What::Exited { container: name.to_string(), core: api::Core::M, reason };
                self.event(None, what);
            }
            FromM::MoveRefused { id, name, reason } => self.move_refused(&name, id, reason, now_us),
            FromM::Migrate { id, name, step } => self.migrate(id, &name, &step, now_us),
            FromM::ContainerStats { name, memory, fuel, handled, queued, dropped, refused, digest, .. } => {
                if let Some(entry) = self.entries.get_mut(&name) {
                    let old = entry.on_m;
                    entry.on_m =
                        crate::entry::MNumbers { memory, fuel, handled, queued, dropped, refused, digest, ..old };
                }
            }
            FromM::Stats { time_us, wakes, .. } => {
                self.time_us = time_us;
                self.wakes_held_back = wakes[1].saturating_add(wakes[2]);
                let ids = std::mem::take(&mut self.reports);
                for id in ids {
                    let report = self.report();
                    self.reply(id, Reply::Report(report));
                }
            }
        }
    }

    fn deliver(&mut self, name: &Name, event: OwnedEvent) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let Some(body) = entry.body() else { return };
        let repeat = event.seq <= body.cursor;
        let waits = body.push(event);
        let (seq, is_storable) = (body.handled_seq(), body.is_storable());
        // A repeat is acknowledged again: the acknowledgement was lost with its session.
        if repeat && seq > 0 {
            body.acked = seq;
            return self.send(&ToM::Ack { name: name.clone(), seq });
        }
        // One that it does not want now is handled with that.
        if !repeat && !waits && is_storable && seq > body.acked {
            self.store(name, Phase::Live);
            self.ack(name);
        }
    }

    pub(crate) fn fetch(&mut self, block: &BulkRef, limit: usize) -> Option<Vec<u8>> {
        let fetched = self.bulk_in.check(block, limit).and_then(|len| {
            let mut bytes = vec![0; len];
            self.bulk_in.get(block, &mut bytes).map(|()| bytes)
        });
        match fetched {
            Ok(bytes) => {
                self.bulk_received_bytes += bytes.len() as u64;
                Some(bytes)
            }
            Err(error) => {
                let text = format!("M sent a bulk descriptor that was refused: {error}");
                let what = What::Log { core: api::Core::A, level: "error".into(), uptime_us: None, text };
                self.event(None, what);
                None
            }
        }
    }

    // ---- deployment ----------------------------------------------------------------------------------------------

    /// Queues a deployment to M: live there, or only known there because it lives here.
    pub(crate) fn deploy(&mut self, name: &Name, snapshot: Option<Vec<u8>>, live: bool, from: &'static str) {
        let senses = |name: &Name| self.entries.get(name).is_some_and(|e| !e.plan.spec.grants.sensors.is_empty());
        // What a sensor drives goes last: its messages would be lost on containers that are not there yet.
        let end = self.deploys.len();
        let at = if senses(name) { end } else { self.deploys.iter().position(|(n, ..)| senses(n)).unwrap_or(end) };
        self.deploys.insert(at, (name.clone(), snapshot, live, from));
    }

    fn deploy_next(&mut self) {
        if self.deploying.is_some() {
            return;
        }
        while let Some((name, snapshot, live, from)) = self.deploys.pop_front() {
            let Some(entry) = self.entries.get(&name) else { continue };
            let mut spec = [0; coracle_wire::SPEC_BYTES_MAX];
            let Some(spec) = coracle_wire::encode(&entry.plan.spec, &mut spec) else {
                let most = coracle_wire::SPEC_BYTES_MAX;
                let detail = format!("its grants, configuration and arguments are over {most} bytes: shorten them");
                self.refused(&name, live, &detail);
                continue;
            };
            let parts = [Some(spec), Some(entry.plan.module.as_slice()), snapshot.as_deref()];
            let mut blocks = Vec::new();
            for part in parts.into_iter().flatten() {
                match self.bulk_out.put(&[part]) {
                    Ok(block) => {
                        self.bulk_sent_bytes += u64::from(block.len);
                        blocks.push(block);
                    }
                    Err(_) => break,
                }
            }
            let wanted = 2 + usize::from(snapshot.is_some());
            let (Some(spec), Some(module), true) = (blocks.first(), blocks.get(1), blocks.len() == wanted) else {
                for block in &blocks {
                    self.bulk_out.free(block);
                }
                self.refused(&name, live, "the module and its state do not fit the bulk region");
                continue;
            };
            self.tokens = self.tokens.wrapping_add(1);
            let token = self.tokens;
            let message = ToM::Deploy { token, spec: *spec, module: *module, snapshot: blocks.get(2).copied(), live };
            self.send(&message);
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.config_told = true;
            }
            self.deploying = Some((token, name, live, from, blocks));
            return;
        }
    }

    fn deployed(&mut self, token: u16, refusal: Option<&str>, now_us: u64) {
        let Some((_, name, live, from, blocks)) = self.deploying.take_if(|(t, ..)| *t == token) else { return };
        for block in &blocks {
            self.bulk_out.free(block);
        }
        if let Some(entry) = self.entries.get_mut(&name) {
            entry.m_refused = false;
        }
        match refusal {
            _ if !self.entries.contains_key(&name) => {}
            Some(detail) => self.refused(&name, live, detail),
            None if live => {
                if let Some(entry) = self.entries.get_mut(&name) {
                    entry.place = Place::OnM;
                    entry.arrived(Core::M);
                }
                self.records.remove(&name);
                self.out.push_back(Output::Forget { name: name.clone() });
                self.started(&name, api::Core::M, from);
            }
            None => {
                // What it was sent meanwhile is only in memory, and M forgets what it is told to be here.
                self.store(&name, Phase::Live);
                self.tell_remote(&name);
            }
        }
        self.deploy_next();
        self.check_settled(now_us);
    }

    fn refused(&mut self, name: &Name, live: bool, detail: &str) {
        if !live {
            // It lives here and stays; M only has no room to take it some day. It still wants its events.
            if let Some(entry) = self.entries.get_mut(name) {
                entry.m_refused = true;
            }
            let text = format!("{name} cannot move to M: {detail}");
            self.event(None, What::Log { core: api::Core::A, level: "warn".into(), uptime_us: None, text });
            return self.tell_remote(name);
        }
        self.apply_errors.push(format!("container `{name}` was refused by the M core: {detail}"));
        if let Some(entry) = self.entries.get_mut(name) {
            entry.place = Place::Exited(Core::M, format!("refused: {detail}"));
        }
        let what = What::Exited { container: name.to_string(), core: api::Core::M, reason: detail.to_owned() };
        self.event(None, what);
    }

    fn started(&mut self, name: &Name, core: api::Core, from: &str) {
        self.event(None, What::Started { container: name.to_string(), core, from: from.to_owned() });
    }

    /// Tells M that a container is here and from where on it wants its events.
    pub(crate) fn tell_remote(&mut self, name: &Name) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let subscribe = entry.plan.spec.grants.subscribe.iter().take(GRANTS_MAX).cloned().collect();
        let Some(body) = entry.body() else { return };
        let cursor = body.cursor;
        body.sensors_told.clear();
        self.send(&ToM::Remote { name: name.clone(), subscribe, cursor });
        self.tell_sensors(name);
    }

    /// Starts a container afresh where it prefers to be.
    pub(crate) fn start_fresh(&mut self, name: &Name, lost: bool) {
        if lost {
            let detail = "no checkpoint of its state was left; it starts afresh".to_owned();
            self.event(None, What::Lost { container: name.to_string(), detail });
        }
        let Some(entry) = self.entries.get_mut(name) else { return };
        match entry.plan.placement.initial() {
            Core::M => self.deploy(name, None, true, "fresh"),
            Core::A => match Body::fresh(&self.engine, &entry.plan, 0) {
                Ok(body) => self.live_here(name, body, "fresh"),
                Err(error) => {
                    entry.place = Place::Exited(Core::A, error.clone());
                    self.apply_errors.push(format!("container `{name}` cannot start on A: {error}"));
                }
            },
        }
    }

    /// A container is live here from now on; M is told, if it does not know.
    pub(crate) fn live_here(&mut self, name: &Name, mut body: Body, from: &str) {
        let held = self.inventory.contains_key(name);
        self.arrives(&mut body);
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.place = Place::OnA(Box::new(body));
        if from != ATTACHED {
            entry.arrived(Core::A);
            self.watch_pins(name);
        }
        let Some(entry) = self.entries.get_mut(name) else { return };
        let movable = matches!(entry.plan.placement, Placement::Any { .. });
        self.store(name, Phase::Live);
        self.records.remove(name);
        self.started(name, api::Core::A, from);
        if movable && !held {
            self.deploy(name, None, false, "");
        } else {
            self.tell_remote(name);
        }
    }

    /// What a body gets that begins to run here.
    fn arrives(&self, body: &mut Body) {
        body.container.set_wall_offset(self.wall_offset_us);
        // Its clock goes on from now: before that, its times are of no clock of this core.
        body.container.poll(self.now_us);
        if !body.container.state().initialised && body.activity() == Activity::Idle {
            self.push_retained(body);
        }
    }

    // ---- configuration and time ----------------------------------------------------------------------------------

    fn reconfigure_all(&mut self) {
        let names: Vec<Name> = self.entries.keys().cloned().collect();
        for name in names {
            self.reconfigure(&name);
        }
    }

    /// Brings the configuration of the manifest to a container that runs, here and on M.
    fn reconfigure(&mut self, name: &Name) {
        let now_us = self.now_us;
        let Some(entry) = self.entries.get_mut(name) else { return };
        let config = entry.plan.spec.grants.config.clone();
        let movable = matches!(entry.plan.placement, Placement::Any { .. });
        let told = entry.config_told;
        if let Some(body) = entry.body() {
            // Once it is on its way to M, M's own word changes it there.
            if let Some(keys) = body.container.configure(&config) {
                let (kind, payload) = (EventKind::Config, keys.into());
                let event = OwnedEvent { seq: 0, kind, source: 0, tag: 0, time_us: now_us, payload };
                body.push_local(event, usize::MAX);
                self.store(name, Phase::Live);
            }
        }
        let Some(entry) = self.entries.get_mut(name) else { return };
        let known_to_m = match entry.place {
            Place::OnM => true,
            Place::OnA(_) => movable,
            Place::Starting | Place::Exited(..) => false,
        };
        if told || !known_to_m || self.session != Session::Ready || self.configuring.contains_key(name) {
            return;
        }
        let mut bytes = [0; coracle_wire::SPEC_BYTES_MAX];
        // Its limits keep it far below the buffer's.
        let Some(bytes) = coracle_wire::encode(&config, &mut bytes) else { return };
        match self.bulk_out.put(&[bytes]) {
            Ok(block) => {
                self.bulk_sent_bytes += bytes.len() as u64;
                self.configuring.insert(name.clone(), block);
                entry.config_told = true;
                self.send(&ToM::Configure { name: name.clone(), config: block });
            }
            Err(error) => {
                let text = format!("the configuration of {name} cannot be sent to M now: {error}; apply it again");
                let level = "error".to_owned();
                self.event(None, What::Log { core: api::Core::A, level, uptime_us: None, text });
            }
        }
    }

    /// Tells the time: Unix time minus this core's clock, in microseconds. M gets it as soon as the clocks were compared.
    pub fn set_wall_clock(&mut self, offset_us: i64) {
        if self.wall_offset_us.is_some_and(|old| old.abs_diff(offset_us) < WALL_STEP_US) {
            return;
        }
        self.wall_offset_us = Some(offset_us);
        for body in self.entries.values_mut().filter_map(Entry::body) {
            body.container.set_wall_offset(Some(offset_us));
        }
    }

    fn tell_wall_clock(&mut self) {
        if !matches!(self.session, Session::Settling | Session::Ready) {
            return;
        }
        let (Some(wall), Some(clock)) = (self.wall_offset_us, self.link.clock()) else { return };
        let offset_us = wall.saturating_add(clock.offset_us());
        if self.wall_told_us.is_none_or(|told| told.abs_diff(offset_us) >= WALL_STEP_US) {
            self.wall_told_us = Some(offset_us);
            self.send(&ToM::WallClock { offset_us });
        }
    }

    // ---- reconciliation (see reconcile.rs for the decision) -----------------------------------------------------

    fn reconcile(&mut self, name: &Name, retained: Option<&Vec<RetainedRecord>>, now_us: u64) {
        use crate::reconcile::{Verdict, decide};
        let Some(entry) = self.entries.get_mut(name) else { return };
        let here = match &entry.place {
            Place::OnA(_) => Some(Phase::Live),
            // What ended here ended, whatever becomes of the link; what ended on M does not come back with its reset.
            Place::Exited(Core::A, _) => return,
            Place::Exited(Core::M, _) if !self.inventory.contains_key(name) => return,
            _ => self.records.get(name).map(|r| r.phase),
        };
        let m = self.inventory.get(name).copied();
        let retained = retained.filter(|_| m.is_none());
        let kind = retained.and_then(|r| r.iter().find_map(RetainedRecord::kind));
        let verdict = match entry.plan.placement {
            // Never on M, whatever M says.
            Placement::Fixed(Core::A) => decide(None, None, here, entry.known),
            _ => decide(m, kind, here, entry.known),
        };
        match verdict {
            Verdict::OnM => {
                // Where it was already, the conditions of its rules go on counting.
                if !matches!(entry.place, Place::OnM) {
                    entry.arrived(Core::M);
                }
                entry.place = Place::OnM;
                self.records.remove(name);
                self.out.push_back(Output::Forget { name: name.clone() });
                self.started(name, api::Core::M, ATTACHED);
            }
            Verdict::ExitedOnM => {
                entry.place = Place::Exited(Core::M, "ended before this supervisor started".into());
                self.records.remove(name);
                self.out.push_back(Output::Forget { name: name.clone() });
            }
            Verdict::OnA(confirm) => {
                self.revive_here(name, retained);
                if let Some(id) = confirm {
                    self.send(&ToM::Migrate { id, name: name.clone(), step: MoveStep::Committed });
                }
            }
            Verdict::OnAAbort(id) => {
                let step = MoveStep::Abort(RefuseReason::LinkLost);
                self.send(&ToM::Migrate { id, name: name.clone(), step });
                self.revive_here(name, None);
            }
            Verdict::OnAOnly => {
                self.inventory.remove(name);
                self.send(&ToM::Remove { name: name.clone() });
                self.revive_here(name, None);
            }
            Verdict::CommitToM(id) => {
                entry.place = Place::Starting;
                let source = Source { id, name: name.clone(), phase: coracle_migrate::role::SourcePhase::Committed };
                entry.open = Some((id, now_us, Move::Out { source, bytes: 0, queued: 0 }));
                self.send(&ToM::Migrate { id, name: name.clone(), step: MoveStep::Commit });
            }
            Verdict::RestoreRetained => match retained.and_then(|r| RetainedRecord::merge(r)) {
                Some(snapshot) => self.redeploy(name, snapshot),
                None => self.start_fresh(name, true),
            },
            Verdict::RestoreRecord => {
                let queued = retained.into_iter().flatten().flat_map(RetainedRecord::queued);
                match self.records.get(name).and_then(|r| retained::with_events(&r.snapshot, queued)) {
                    Some(snapshot) => self.redeploy(name, snapshot),
                    None => self.start_fresh(name, true),
                }
            }
            Verdict::Fresh { lost } => self.start_fresh(name, lost),
        }
    }

    /// Brings a container that is M's back to M. The state is stored until M has it: M's slots are cleared before.
    fn redeploy(&mut self, name: &Name, snapshot: Vec<u8>) {
        let phase = Phase::MovedOut(NO_MOVE);
        self.records.insert(name.clone(), Record { name: name.clone(), phase, snapshot: snapshot.clone() });
        self.store_bytes(name, phase, snapshot.clone());
        self.deploy(name, Some(snapshot), true, "checkpoint");
    }

    /// Makes a container live here: the body that is already here, or the stored record, with what M's retained queue
    /// has beyond it.
    fn revive_here(&mut self, name: &Name, retained: Option<&Vec<RetainedRecord>>) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let (plan, place) = (entry.plan.clone(), std::mem::replace(&mut entry.place, Place::Starting));
        let (body, from) = match place {
            Place::OnA(body) => (Ok(*body), ATTACHED),
            _ => {
                let record = self.records.get(name).map(|r| r.snapshot.clone()).unwrap_or_default();
                let restored = Snapshot::decode(&record)
                    .map_err(|e| e.to_string())
                    .and_then(|s| Body::restore(&self.engine, &plan, &s));
                (restored, "checkpoint")
            }
        };
        match body {
            Ok(mut body) => {
                for event in retained.into_iter().flatten().flat_map(RetainedRecord::queued) {
                    body.push(event);
                }
                self.live_here(name, body, from);
            }
            Err(error) => {
                let detail = format!("its stored state cannot be used ({error}); it starts afresh");
                self.event(None, What::Lost { container: name.to_string(), detail });
                self.start_fresh(name, false);
            }
        }
    }

    // ---- moves ---------------------------------------------------------------------------------------------------

    /// Begins a move.
    fn start_move(&mut self, container: &str, to: Core, reason: &str, now_us: u64) -> Result<(), String> {
        let name = Name::try_from(container).map_err(|_| format!("no container is named `{container}`"))?;
        self.wake_up("a container moves", now_us);
        let id = self.next_move;
        let queued_min = self.desired.queued_at_move;
        let ready = self.session == Session::Ready;
        let entry = self.entries.get_mut(&name).ok_or_else(|| format!("no container is named `{container}`"))?;
        if !matches!(entry.plan.placement, Placement::Any { .. }) {
            return Err(format!("`{container}` may not move: its manifest says core = one core only"));
        }
        if !ready || entry.open.is_some() {
            return Err(format!("`{container}` cannot move now: the link is down or another move is open"));
        }
        let from = match (&entry.place, to) {
            (Place::OnM, Core::A) => {
                entry.open = Some((id, now_us, Move::Asked));
                self.send(&ToM::MoveOut { id, name: name.clone(), queued_min });
                api::Core::M
            }
            (Place::OnA(_), Core::M) => {
                let source = Source::new(id, name.clone(), queued_min, now_us.saturating_add(HOLD_US_MAX));
                entry.open = Some((id, now_us, Move::Out { source, bytes: 0, queued: 0 }));
                api::Core::A
            }
            (Place::OnM | Place::OnA(_), _) => return Err(format!("`{container}` is there already")),
            _ => return Err(format!("`{container}` does not run")),
        };
        self.next_move = move_after(id);
        let to = if from == api::Core::M { api::Core::A } else { api::Core::M };
        let what = What::MoveStarted { container: name.to_string(), from, to, reason: reason.to_owned() };
        self.event(None, what);
        Ok(())
    }

    /// Marks the moves that the placement rules ask for; they begin in this very step, before M hears that the event
    /// that asked for them is done.
    pub(crate) fn wanted_moves(&mut self) {
        let wanted: Vec<(Name, Core)> = self
            .entries
            .iter()
            .filter(|(_, e)| e.open.is_none() && e.retry_us == 0)
            .filter_map(|(n, e)| Some((n.clone(), e.wanted()?)))
            .collect();
        for (name, to) in wanted {
            // A refusal here means that it cannot move now; the rule asks again.
            let _ = self.start_move(&name, to, "its placement rule", self.now_us);
        }
    }

    fn poll_moves(&mut self, now_us: u64) {
        for entry in self.entries.values_mut() {
            if entry.retry_us > 0 && now_us >= entry.retry_us {
                entry.retry_us = 0;
            }
        }
        self.wanted_moves();
        let names: Vec<Name> = self.entries.keys().cloned().collect();
        for name in names {
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            let (image, memory) = (entry.plan.spec.image, entry.plan.spec.limits.memory);
            let queued = match &entry.place {
                // In the middle of an event there is nothing to capture.
                Place::OnA(body) if body.activity() == Activity::Idle => body.queue.len(),
                _ => continue,
            };
            if let Some((id, since_us, Move::Out { source, .. })) = &mut entry.open
                && source.poll(queued, now_us) == SourceAction::SendOffer
            {
                *since_us = now_us;
                let (id, name) = (*id, name.clone());
                self.send(&ToM::Migrate { id, name, step: MoveStep::Offer { image, memory } });
            }
        }
    }

    fn migrate(&mut self, id: MigrationId, name: &Name, step: &MoveStep<BulkRef>, now_us: u64) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let send_step = |step| ToM::Migrate { id, name: name.clone(), step };
        match (&mut entry.open, step) {
            (Some((open, since_us, slot @ Move::Asked)), MoveStep::Offer { image, .. }) if *open == id => {
                if *image != entry.plan.spec.image {
                    let refusal = send_step(MoveStep::Refuse(RefuseReason::NoImage));
                    self.send(&refusal);
                    return self.move_refused(name, id, RefuseReason::NoImage, now_us);
                }
                *since_us = now_us;
                *slot = Move::In { target: Target::new(id, name.clone()), prepared: None, bytes: 0, queued: 0 };
                let accept = send_step(MoveStep::Accept);
                self.send(&accept);
            }
            (Some((open, _, Move::In { target, .. })), _) if *open == id => match (target.told(step), step) {
                (TargetAction::Restore, MoveStep::State { bulk }) => {
                    let bulk = *bulk;
                    match self.prepare_move(id, name, &bulk) {
                        Ok(()) => {
                            let ready = send_step(MoveStep::Ready);
                            self.send(&ready);
                        }
                        Err(reason) => {
                            let refusal = send_step(MoveStep::Refuse(reason));
                            self.send(&refusal);
                            self.move_refused(name, id, reason, now_us);
                        }
                    }
                }
                (TargetAction::GoLive, _) => self.go_live(id, name, now_us),
                (TargetAction::Drop, MoveStep::Abort(reason)) => {
                    let reason = *reason;
                    self.out.push_back(Output::Forget { name: name.clone() });
                    self.move_refused(name, id, reason, now_us);
                }
                _ => {}
            },
            (Some((open, _, Move::Out { source, .. })), _) if *open == id => {
                let action = source.answer(step);
                self.source_action(id, name, action, now_us);
            }
            // The Committed that answered this Commit was lost with its session.
            (_, MoveStep::Commit) if entry.moved_in == Some(id) || matches!(entry.place, Place::OnA(_)) => {
                let committed = send_step(MoveStep::Committed);
                self.send(&committed);
            }
            _ => {}
        }
    }

    fn prepare_move(&mut self, id: MigrationId, name: &Name, bulk: &BulkRef) -> Result<(), RefuseReason> {
        let bytes = self.fetch(bulk, SNAPSHOT_BYTES_MAX).ok_or(RefuseReason::BadState)?;
        let snapshot = Snapshot::decode(&bytes).map_err(|_| RefuseReason::BadState)?;
        let entry = self.entries.get_mut(name).ok_or(RefuseReason::NotHere)?;
        let body = Body::restore(&self.engine, &entry.plan, &snapshot).map_err(|_| RefuseReason::BadState)?;
        if let Some((_, _, Move::In { target, prepared, bytes: size, queued })) = &mut entry.open {
            (*size, *queued) = (bytes.len() as u64, u32::from(snapshot.head().events));
            *prepared = Some(body);
            target.restored();
        }
        self.store_bytes(name, Phase::Prepared(id), bytes);
        Ok(())
    }

    fn go_live(&mut self, id: MigrationId, name: &Name, now_us: u64) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let Some((_, since_us, Move::In { prepared: Some(body), bytes, queued, .. })) = entry.open.take() else {
            return;
        };
        let mut body = Box::new(body);
        body.container.set_wall_offset(self.wall_offset_us);
        body.container.poll(now_us);
        entry.place = Place::OnA(body);
        entry.moved_in = Some(id);
        entry.arrived(Core::A);
        self.store(name, Phase::Live);
        self.send(&ToM::Migrate { id, name: name.clone(), step: MoveStep::Committed });
        self.watch_pins(name);
        self.tell_sensors(name);
        self.reconfigure(name);
        let downtime_us = now_us.saturating_sub(since_us);
        self.moved(name, api::Core::M, api::Core::A, bytes, queued, downtime_us);
    }

    fn source_action(&mut self, id: MigrationId, name: &Name, action: SourceAction, now_us: u64) {
        match action {
            SourceAction::Nothing | SourceAction::SendOffer | SourceAction::SendCommit => {}
            SourceAction::SendState => {
                let captured = self.entries.get_mut(name).and_then(Entry::body).and_then(|body| {
                    let queued = u32::try_from(body.queue.len()).unwrap_or(u32::MAX);
                    Some((body.capture()?, queued))
                });
                let put = captured.and_then(|(snapshot, queued)| {
                    Some((self.bulk_out.put(&[&snapshot]).ok()?, snapshot.len() as u64, queued))
                });
                let Some((bulk, size, count)) = put else {
                    let step = MoveStep::Abort(RefuseReason::TooLarge);
                    self.send(&ToM::Migrate { id, name: name.clone(), step });
                    return self.move_refused(name, id, RefuseReason::TooLarge, now_us);
                };
                self.bulk_sent_bytes += size;
                self.move_blocks.insert(id, bulk);
                if let Some((_, _, Move::Out { bytes, queued, .. })) =
                    self.entries.get_mut(name).and_then(|e| e.open.as_mut())
                {
                    (*bytes, *queued) = (size, count);
                }
                self.send(&ToM::Migrate { id, name: name.clone(), step: MoveStep::State { bulk } });
            }
            SourceAction::Commit => {
                self.free_move(id);
                // The commit point: once this record is stored, M's copy is the live one.
                self.store(name, Phase::MovedOut(id));
                self.send(&ToM::Migrate { id, name: name.clone(), step: MoveStep::Commit });
            }
            SourceAction::Release => {
                let Some(entry) = self.entries.get_mut(name) else { return };
                let Some((_, since_us, Move::Out { bytes, queued, .. })) = entry.open.take() else { return };
                // Answers that came after the state had gone.
                let late = entry.body().map_or_else(Vec::new, |b| b.queue.drain(..).skip(queued as usize).collect());
                entry.drop_body(Place::OnM);
                entry.arrived(Core::M);
                for OwnedEvent { tag: id, payload, .. } in late.into_iter().filter(|e| e.kind == EventKind::Reply) {
                    if let Ok(payload) = heapless::Vec::from_slice(&payload) {
                        self.send(&ToM::Reply { to: name.clone(), id, payload });
                    }
                }
                self.records.remove(name);
                self.out.push_back(Output::Forget { name: name.clone() });
                let downtime_us = now_us.saturating_sub(since_us);
                self.moved(name, api::Core::A, api::Core::M, bytes, queued, downtime_us);
            }
            SourceAction::Resume(reason) => {
                self.free_move(id);
                self.move_refused(name, id, reason, now_us);
            }
        }
    }

    fn free_move(&mut self, id: MigrationId) {
        if let Some(block) = self.move_blocks.remove(&id) {
            self.bulk_out.free(&block);
        }
    }

    fn move_refused(&mut self, name: &Name, id: MigrationId, reason: RefuseReason, now_us: u64) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        if entry.open.as_ref().is_none_or(|(open, ..)| *open != id) {
            return;
        }
        let to = if matches!(entry.open, Some((_, _, Move::Out { .. }))) { api::Core::M } else { api::Core::A };
        entry.open = None;
        entry.retry_us = now_us.saturating_add(RETRY_US << entry.refusals.min(RETRY_DOUBLINGS_MAX));
        entry.refusals = entry.refusals.saturating_add(1);
        let what = What::MoveRefused { container: name.to_string(), to, reason: reason.as_str().to_owned() };
        self.event(None, what);
    }

    fn moved(&mut self, name: &Name, from: api::Core, to: api::Core, bytes: u64, queued: u32, downtime_us: u64) {
        let container = name.to_string();
        if self.moves.len() == REPORTED_MAX {
            self.moves.remove(0);
        }
        self.moves.push(api::MoveReport { container: container.clone(), from, to, bytes, queued, downtime_us });
        self.event(None, What::Moved { container, from, to, bytes, queued, downtime_us });
    }

    // ---- sleep ---------------------------------------------------------------------------------------------------

    pub(crate) fn wake_up(&mut self, reason: &str, now_us: u64) {
        if !self.asleep {
            return;
        }
        self.asleep = false;
        self.link.set_asleep(false, now_us);
        // First of all, so that M's latency is that of the wake and not of the work.
        self.send(&ToM::Power(Power::Awake));
        self.event(None, What::Power { awake: true, reason: reason.to_owned() });
    }

    /// Goes to sleep when nothing holds A awake.
    fn maybe_sleep(&mut self, now_us: u64) {
        let held = self.asleep
            || self.session != Session::Ready
            || self.entries.is_empty()
            || !self.reports.is_empty()
            || self.apply.is_some()
            || !self.untaken.is_empty()
            || !self.configuring.is_empty()
            // M keeps no blocks for a sleeping A.
            || !self.sensing.is_empty()
            || self.outbox.len() > 0
            // M is silent while A sleeps, so what it owes comes before.
            || !self.link.is_quiet()
            || self.entries.values().any(|e| {
                // What came from M goes back before A sleeps; its events keep coming until then.
                let guest_of_m = matches!(e.place, Place::OnA(_))
                    && matches!(e.plan.placement, Placement::Any { prefer: Core::M, .. });
                let tries = e.retry_us > 0 && e.refusals < REFUSALS_AWAKE_MAX;
                // What it asked for is answered while A is awake, or comes to its end.
                let in_event = matches!(&e.place, Place::OnA(body) if body.is_in_event() || body.is_asking());
                e.open.is_some() || e.is_runnable(now_us) || in_event || guest_of_m || tries
            });
        if held {
            return;
        }
        self.asleep = true;
        self.send(&ToM::Power(Power::Asleep));
        self.link.set_asleep(true, now_us);
        self.event(None, What::Power { awake: false, reason: "nothing left to do".into() });
    }

    // ---- out -----------------------------------------------------------------------------------------------------

    /// Sends a message, now or when M has room. Without a session it is dropped: the next one begins with an inventory.
    pub(crate) fn send(&mut self, message: &ToM) {
        let mut body = [0; BODY_BYTES_MAX];
        if let Some(body) = coracle_wire::encode(message, &mut body).filter(|_| self.link.is_up()) {
            self.outbox.push(message.channel(), body);
            self.flush();
        }
    }

    /// Sends what waits for credit, as far as there is some.
    fn flush(&mut self) {
        let mut out = [0; FRAME_BYTES_MAX];
        while let Some((channel, body)) = self.outbox.take_next(&self.link) {
            if let Ok(frame) = self.link.send(channel, &body, self.now_us, &mut out) {
                self.out.push_back(Output::Send(frame.to_vec()));
            }
        }
    }

    fn send_frame(&mut self, frame: &Frame<'_>) {
        let mut out = [0; FRAME_BYTES_MAX];
        if let Some(bytes) = coracle_link::encode(frame, &mut out) {
            self.out.push_back(Output::Send(bytes.to_vec()));
        }
    }

    fn reply(&mut self, id: RequestId, reply: Reply) {
        self.out.push_back(Output::Reply(id, reply));
    }

    /// A time of this core's clock on M's, where the two were compared.
    pub(crate) fn on_m_clock(&self, us: u64) -> Option<u64> {
        let offset_us = self.link.clock()?.offset_us();
        u64::try_from(i64::try_from(us).ok()?.saturating_sub(offset_us)).ok()
    }

    /// A time of M's clock on A's, where the two were compared.
    fn on_a_clock(&self, m_us: u64) -> Option<ClockTime> {
        let (us, bound_us) = self.link.clock()?.to_a_us(m_us);
        Some(ClockTime { us, bound_us })
    }

    /// When something happened, on A's clock.
    fn clock_of(&mut self, what: &What) -> Option<ClockTime> {
        match what {
            What::Log { core: api::Core::M, uptime_us, .. } => {
                let m_us = (*uptime_us)?;
                // The log of a core that was reset is read before the link knows of it: what is known is of another clock.
                // Lines of one life come in the order of their times.
                self.m_reborn |= m_us < self.m_log_us;
                self.m_log_us = m_us;
                if self.m_reborn { None } else { self.on_a_clock(m_us) }
            }
            What::Wake { .. } | What::Woken { .. } | What::Exited { core: api::Core::M, .. } => self.told,
            _ => Some(ClockTime { us: i64::try_from(self.now_us).unwrap_or(i64::MAX), bound_us: 0 }),
        }
    }

    /// Tells the clients, now and later.
    pub fn event(&mut self, time_us: Option<u64>, what: What) {
        self.events += 1;
        let clock = self.clock_of(&what);
        let event = Event { number: self.events, time_us, clock, what };
        if self.kept.len() == EVENTS_KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(event.clone());
        self.out.push_back(Output::Event(event));
    }
}

#[cfg(test)]
mod tests {
    use coracle_link::Responder;
    use coracle_shmem::HeapRegion;

    use super::*;

    /// Carries frames both ways until none is left, at one time of both clocks.
    fn exchange(node: &mut Node<'_>, m: &mut Responder, now_us: u64) {
        node.step(now_us);
        while let Some(output) = node.take_output() {
            let Output::Send(frame) = output else { continue };
            if let (_, Some(answer)) = m.receive(&frame, now_us) {
                let mut out = [0; FRAME_BYTES_MAX];
                node.frame(coracle_link::encode(&answer, &mut out).unwrap(), now_us);
                node.step(now_us);
            }
        }
    }

    /// The first line of M's new life is read while the link still knows the clock of the old one, here when that had last
    /// logged soon after its start.
    #[test]
    fn a_line_of_ms_new_life_gets_no_time_of_the_old_clock() {
        let memory = HeapRegion::new(0x4000);
        let region = memory.region();
        let piece = |offset| region.sub(offset, 0x1000).unwrap();
        let memories = Memories { bulk_to_m: piece(0), bulk_to_a: piece(0x1000), retained: piece(0x2000) };
        let room = Credit::for_buffers(16);
        let mut node = Node::new(EngineHandle::new().unwrap(), memories, 1, None, Vec::new(), room);
        let dated = |node: &mut Node<'_>, m_us| {
            let (core, level, text) = (api::Core::M, "info".into(), String::new());
            node.event(None, What::Log { core, level, uptime_us: Some(m_us), text });
            node.kept_events().last().unwrap().clock.is_some()
        };
        for life in 1..3 {
            let mut m = Responder::new(life, VERSIONS, room);
            node.channel_up(3_600_000_000);
            exchange(&mut node, &mut m, 3_600_000_000);
            assert!(node.link.clock().is_some());
            assert!(dated(&mut node, 100) && dated(&mut node, 50_000));
            assert!(!dated(&mut node, 90) && !dated(&mut node, 60_000));
        }
    }

    #[test]
    fn no_move_has_the_number_of_none() {
        for epoch in [0, 1, 1 << 20, 1 << 31, u32::MAX] {
            assert_ne!(first_move(epoch), NO_MOVE, "{epoch}");
        }
        assert_eq!((first_move(3), move_after(3 << 12)), (3 << 12, (3 << 12) + 1));
        assert_eq!(move_after(MigrationId::MAX), NO_MOVE + 1);
    }
}
