//! The two sides, what lies between them, and the scheduler.

use std::collections::BTreeSet;

use coracle_api::{Core, Reply, Request, What};
use coracle_boards::{Board, Budget, SharedLayout};
use coracle_bulk::{RetainedReader, SLOTS_MAX};
use coracle_lifecycle::State;
use coracle_migrate::retained::{RecordKind, read_record};
use coracle_migrate::snapshot::{DigestBytes, GlobalValue, HostState, Snapshot, state_digest};
use coracle_model::{Desired, Output, Phase, Record};
use coracle_shmem::{HeapRegion, Region};

use crate::a_side::{ASide, Did, Store};
use crate::guests::Scenario;
use crate::m_side::{MSide, Sensor};
use crate::rng::Rng;

/// Steps after which a world counts as stuck.
const STEPS_MAX: u64 = 60_000;
/// Virtual time without progress after which a world counts as settled, in microseconds: longer than every timeout.
const QUIET_US: u64 = 25_000_000;

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From A to M.
    ToM,
    /// From M to A.
    ToA,
}

impl Direction {
    /// The core that it leads to.
    #[must_use]
    pub fn target(self) -> Core {
        match self {
            Direction::ToM => Core::M,
            Direction::ToA => Core::A,
        }
    }
}

/// May change a frame on its way, and the shared memory with it.
pub type Tamper<'m> = Box<dyn FnMut(Direction, &mut Vec<u8>, Region<'m>, &SharedLayout) + 'm>;

/// What dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// The A core's process.
    A,
    /// The M core is reset.
    M,
    /// The M core is reset just before the store that makes a checkpoint count.
    MTorn,
    /// Both.
    Both,
    /// Both, and the shared memory loses its contents.
    Power,
}

/// What the tracker's state says.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackerState {
    /// Messages taken.
    pub count: u64,
    /// Number of the last one.
    pub last: i64,
    /// Numbers left out.
    pub gaps: u64,
    /// Numbers that were not above the last.
    pub repeats: u64,
    /// How often each number was handled.
    pub handled: Vec<u8>,
    /// Values of its globals.
    pub globals: Vec<GlobalValue>,
    /// Its host-side state.
    pub host: HostState,
    /// Digest of what the guest itself can tell.
    pub digest: DigestBytes,
    /// Undelivered events.
    pub queued: usize,
}

/// The world. See the crate's documentation.
pub struct World<'m> {
    /// What decides about everything.
    pub rng: Rng,
    /// The shared memory.
    pub region: Region<'m>,
    /// Its layout.
    pub layout: SharedLayout,
    /// What M may use from its next boot on.
    pub budget: Budget,
    /// Virtual time.
    pub now_us: u64,
    /// The sensor.
    pub sensor: Sensor,
    /// The M core, while it is not dead.
    pub m: Option<MSide<'m>>,
    /// The A core, while it is not dead.
    pub a: Option<ASide<'m>>,
    /// What survives A.
    pub store: Store,
    /// What was told to clients, over all lives of A.
    pub events: Vec<What>,
    /// What was told without a time on A's clock, or with one that was still to come, over all lives of A.
    pub undated: Vec<What>,
    /// Answers, over all lives of A.
    pub replies: Vec<Reply>,
    /// Frames that A sent and took.
    pub frames: [u64; 2],
    /// Frames that A took, and bells that M rang, while A slept.
    pub while_asleep: [u64; 2],
    scenario: Scenario,
    bells_to_m: Vec<u8>,
    bells_to_a: Vec<u8>,
    /// Deaths to come: at which step, and what.
    pub kills: Vec<(u64, Kill)>,
    /// Steps at which the operator moves the tracker to the other core.
    pub moves: Vec<u64>,
    /// How often in a thousand steps a few bytes anywhere in the shared memory become noise.
    pub noise: u64,
    /// When the dead come back: A's step, M's step.
    revive: [u64; 2],
    /// Steps so far.
    pub steps: u64,
    progress_us: u64,
    /// Changes frames.
    pub tamper: Option<Tamper<'m>>,
    /// The desired state was accepted.
    applied: bool,
    /// Names that must be live exactly once when nothing happens.
    expected: BTreeSet<String>,
}

impl<'m> World<'m> {
    /// Memory for a world.
    #[must_use]
    pub fn memory() -> HeapRegion {
        HeapRegion::new(Board::builtin("host").unwrap().shared.bytes as usize)
    }

    /// A world in which both sides are about to start.
    #[must_use]
    pub fn new(memory: &'m HeapRegion, seed: u64, scenario: Scenario) -> Self {
        let board = Board::builtin("host").unwrap();
        let expected = scenario.desired.plans.iter().map(|p| p.spec.name.to_string()).collect();
        Self {
            rng: Rng::new(seed),
            region: memory.region(),
            layout: board.shared,
            budget: board.budget,
            now_us: 1_000,
            sensor: Sensor { blocks: scenario.blocks, given: 0, asked: false, ended: false },
            m: None,
            a: None,
            store: Store::default(),
            events: Vec::new(),
            undated: Vec::new(),
            replies: Vec::new(),
            frames: [0; 2],
            while_asleep: [0; 2],
            scenario,
            bells_to_m: Vec::new(),
            bells_to_a: Vec::new(),
            kills: Vec::new(),
            moves: Vec::new(),
            noise: 0,
            revive: [0; 2],
            steps: 0,
            progress_us: 0,
            tamper: None,
            applied: false,
            expected,
        }
    }

    /// Runs until nothing happens any more.
    ///
    /// # Errors
    /// What went wrong: two live copies, none, or no end.
    pub fn run(&mut self) -> Result<(), String> {
        self.progress_us = self.now_us;
        loop {
            if !self.advance()? {
                return Ok(());
            }
        }
    }

    /// Runs until `done`, or until nothing happens any more. Returns whether it was done.
    ///
    /// # Errors
    /// As [`World::run`].
    pub fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> Result<bool, String> {
        self.progress_us = self.now_us;
        loop {
            if done(self) {
                return Ok(true);
            }
            if !self.advance()? {
                return Ok(false);
            }
        }
    }

    /// One step of whoever the scheduler picks; `false` when nothing is left to happen.
    fn advance(&mut self) -> Result<bool, String> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(format!("no end after {STEPS_MAX} steps"));
        }
        self.now_us += self.rng.below(40);
        if let Some(at) = self.kills.iter().position(|(step, _)| *step <= self.steps) {
            let (_, kill) = self.kills.remove(at);
            self.kill(kill);
        }
        if let Some(at) = self.moves.iter().position(|step| *step <= self.steps) {
            self.moves.remove(at);
            self.move_tracker();
        }
        if self.rng.below(1000) < self.noise {
            let bytes = self.rng.next_u64().to_le_bytes();
            let at = usize::try_from(self.rng.below(self.region.len() as u64 - 8)).unwrap();
            self.region.write(at, &bytes).unwrap();
        }
        let mut choices: Vec<u8> = Vec::new();
        match &self.m {
            Some(m) if m.is_due(self.now_us) => choices.extend([0, 0, 0]),
            None if self.revive[1] <= self.steps => choices.push(5),
            _ => {}
        }
        match &self.a {
            Some(a) if a.is_due(self.now_us) => choices.extend([1, 1, 1]),
            None if self.revive[0] <= self.steps => choices.push(6),
            _ => {}
        }
        if self.m.is_some() && !self.bells_to_m.is_empty() {
            choices.push(2);
        }
        if self.a.is_some() && !self.bells_to_a.is_empty() {
            choices.push(3);
        }
        if self.sensor.asked && self.m.as_ref().is_some_and(|m| !m.has_block()) {
            choices.push(4);
        }
        if choices.is_empty() {
            return self.idle();
        }
        let choice = choices[usize::try_from(self.rng.below(choices.len() as u64)).unwrap()];
        match choice {
            0 => self.step_m(),
            1 => self.step_a(),
            2 => {
                let id = self.bells_to_m.remove(0);
                if let Some(m) = &mut self.m {
                    m.bell(id);
                }
            }
            3 => {
                self.bells_to_a.clear();
                if let Some(a) = &mut self.a {
                    a.bell();
                }
            }
            4 => {
                let block = self.sensor.give();
                if !block.end {
                    self.progress_us = self.now_us;
                }
                if let Some(m) = &mut self.m {
                    m.block(block);
                }
            }
            5 => self.start_m(),
            _ => self.start_a(),
        }
        self.check_never_two()?;
        Ok(true)
    }

    /// Nobody has anything to do: time passes.
    fn idle(&mut self) -> Result<bool, String> {
        // The dead come back, and deaths to come are not waited for.
        if self.a.is_none() || self.m.is_none() {
            self.revive = [self.steps; 2];
            return Ok(true);
        }
        self.check_exactly_one()?;
        let a = self.a.as_ref().and_then(ASide::deadline_us);
        let m = self.m.as_ref().and_then(MSide::deadline_us);
        let next = [a, m].into_iter().flatten().min();
        let quiet = next.is_none_or(|t| t > self.progress_us + QUIET_US);
        if quiet {
            if let Some(first) = self.kills.first_mut() {
                first.0 = self.steps;
                self.progress_us = self.now_us;
                return Ok(true);
            }
            return Ok(false);
        }
        self.now_us = self.now_us.max(next.unwrap_or(0));
        Ok(true)
    }

    fn step_m(&mut self) {
        if let Some(m) = &mut self.m {
            let bells = m.turn(self.now_us, &mut self.sensor);
            if self.a.as_ref().is_some_and(|a| a.node.is_asleep()) {
                self.while_asleep[1] += bells.len() as u64;
            }
            self.bells_to_a.extend(bells);
        }
    }

    fn step_a(&mut self) {
        let Some(a) = &mut self.a else { return };
        let asleep = a.node.is_asleep();
        let frames = &mut self.frames;
        let (region, layout, tamper) = (self.region, &self.layout, &mut self.tamper);
        let did = a.step(self.now_us, &mut self.store, &mut self.bells_to_m, |to_a, frame| {
            frames[usize::from(to_a)] += 1;
            let direction = if to_a { Direction::ToA } else { Direction::ToM };
            if let Some(tamper) = tamper {
                tamper(direction, frame, region, layout);
            }
        });
        match did {
            Did::Received if asleep => self.while_asleep[0] += 1,
            Did::Output(Output::Event(event)) => {
                if !matches!(event.what, What::Log { .. }) {
                    self.progress_us = self.now_us;
                }
                let earliest_us = event.clock.map(|clock| clock.us.saturating_sub_unsigned(clock.bound_us));
                if earliest_us.is_none_or(|us| us > self.now_us.cast_signed()) {
                    self.undated.push(event.what.clone());
                }
                self.events.push(event.what);
            }
            Did::Output(Output::Reply(id, reply)) => {
                self.applied |= id < 3 && reply == Reply::Ok;
                self.progress_us = self.now_us;
                self.replies.push(reply);
            }
            Did::Output(Output::Store { .. } | Output::Forget { .. }) => self.progress_us = self.now_us,
            _ => {}
        }
    }

    fn start_m(&mut self) {
        self.m = Some(MSide::boot(self.region, &self.layout, self.budget, self.now_us));
        self.progress_us = self.now_us;
    }

    fn start_a(&mut self) {
        let mut a = ASide::start(self.region, &self.layout, &self.store);
        if self.store.desired.is_none() {
            // The operator tries again.
            a.node.apply(1, self.scenario.desired.clone(), self.now_us);
            a.collect();
        } else {
            // Stored is as good as answered.
            self.applied = true;
        }
        self.a = Some(a);
        self.progress_us = self.now_us;
    }

    /// Applies another desired state.
    pub fn apply(&mut self, desired: Desired) {
        self.expected = desired.plans.iter().map(|p| p.spec.name.to_string()).collect();
        self.scenario.desired = desired.clone();
        if let Some(a) = &mut self.a {
            a.node.apply(2, desired, self.now_us);
            a.collect();
        }
    }

    /// The operator moves the tracker to the core where it is not.
    fn move_tracker(&mut self) {
        let (on_m, _) = self.live();
        let to = if on_m.iter().any(|n| n == "tracker") { Core::A } else { Core::M };
        if let Some(a) = &mut self.a {
            a.node.request(3, Request::Move { container: "tracker".into(), to }, self.now_us);
            a.collect();
        }
    }

    /// Lets something die now.
    pub fn kill(&mut self, kill: Kill) {
        self.progress_us = self.now_us;
        if kill == Kill::MTorn {
            self.tear();
        }
        if matches!(kill, Kill::A | Kill::Both | Kill::Power) {
            self.a = None;
            self.bells_to_a.clear();
            self.revive[0] = self.steps + self.rng.below(100);
        }
        if matches!(kill, Kill::M | Kill::MTorn | Kill::Both | Kill::Power) {
            self.m = None;
            self.bells_to_m.clear();
            // The sensor answers to whoever asks next.
            self.sensor.asked = false;
            self.revive[1] = self.steps + self.rng.below(100);
        }
        if kill == Kill::Power {
            self.region.zero(0, self.region.len()).unwrap();
        }
    }

    /// Lets M run until a turn that commits, and undoes all of that turn but the slots: a reset in the middle of it.
    fn tear(&mut self) {
        let retained = self.layout.retained;
        let area = self.region.sub(retained.offset as usize, retained.bytes as usize).unwrap();
        let mut before = vec![0; self.region.len()];
        for _ in 0..200 {
            let Some(m) = &self.m else { return };
            if !m.is_due(self.now_us) {
                return;
            }
            self.region.read(0, &mut before).unwrap();
            let word = area.load_u32(0).unwrap();
            self.step_m();
            if area.load_u32(0).unwrap() == word.wrapping_add(1) && word > 0 {
                let mut slots = vec![0; area.len()];
                area.read(0, &mut slots).unwrap();
                self.region.write(0, &before).unwrap();
                area.write(4, &slots[4..]).unwrap();
                return;
            }
        }
    }

    // ---- what must hold ------------------------------------------------------------------------------------------

    /// Names of the live copies on M and on A.
    #[must_use]
    pub fn live(&self) -> (Vec<String>, Vec<String>) {
        let on_m = self.m.as_ref().map_or_else(Vec::new, |m| {
            m.core.containers().filter(|(_, s)| s.is_live()).map(|(n, _)| n.to_owned()).collect()
        });
        let on_a = self.a.as_ref().map_or_else(Vec::new, |a| a.node.live().map(ToString::to_string).collect());
        (on_m, on_a)
    }

    fn check_never_two(&self) -> Result<(), String> {
        let (on_m, on_a) = self.live();
        match on_m.iter().find(|n| on_a.contains(n)) {
            Some(name) => Err(format!("{name} is live on both cores at step {}", self.steps)),
            None => Ok(()),
        }
    }

    fn check_exactly_one(&self) -> Result<(), String> {
        if !self.applied || self.a.as_ref().is_none_or(|a| !a.node.is_settled()) {
            return Ok(());
        }
        let (on_m, on_a) = self.live();
        for name in &self.expected {
            let copies = on_m.iter().chain(&on_a).filter(|n| *n == name).count();
            let exited = self
                .m
                .as_ref()
                .is_some_and(|m| m.core.containers().any(|(n, s)| n == name && matches!(s, State::Exited(_))));
            let exited = exited
                || self.a.as_ref().is_some_and(|a| {
                    a.node.report().containers.get(name).is_some_and(|c| c.state.starts_with("exited"))
                });
            if copies != 1 && !exited {
                return Err(format!("{name} has {copies} live copies while nothing happens, at step {}", self.steps));
            }
        }
        Ok(())
    }

    /// What the tracker's newest durable state says, wherever it lives; `None` when it lives nowhere.
    #[must_use]
    pub fn tracker(&self) -> Option<TrackerState> {
        let (on_m, on_a) = self.live();
        let lives = |list: &[String]| list.iter().any(|n| n == "tracker");
        if lives(&on_a) {
            let record = Record::from_bytes(self.store.records.get("tracker")?).unwrap();
            assert_eq!(record.phase, Phase::Live);
            return Some(state_of(&Snapshot::decode(&record.snapshot).unwrap(), None));
        }
        if !lives(&on_m) {
            return None;
        }
        let span = self.layout.retained;
        let reader = RetainedReader::new(self.region.sub(span.offset as usize, span.bytes as usize).unwrap());
        let slots: Vec<Vec<u8>> = (0..SLOTS_MAX)
            .filter_map(|slot| {
                let mut bytes = vec![0; reader.len(slot)?];
                reader.read(slot, &mut bytes).unwrap();
                Some(bytes)
            })
            .collect();
        let records: Vec<_> = slots.iter().filter_map(|b| read_record(b).unwrap()).collect();
        let find = |kind| records.iter().find(|r| r.kind == kind && r.snapshot.head().name == "tracker");
        let queue = find(RecordKind::Queue).map(|r| usize::from(r.snapshot.head().events));
        Some(state_of(&find(RecordKind::Live)?.snapshot, queue))
    }

    /// How many of the events were of that kind.
    #[must_use]
    pub fn count(&self, matches: impl Fn(&What) -> bool) -> usize {
        self.events.iter().filter(|e| matches(e)).count()
    }

    /// Whether the trace was taken to its end.
    ///
    /// # Errors
    /// Names what stands still.
    pub fn check_done(&self) -> Result<(), String> {
        if !self.applied {
            return Err(format!("the manifest was not applied: {:?}", self.replies));
        }
        if !self.sensor.ended {
            return Err(format!(
                "stuck: {} of {} blocks were taken; live on M and A: {:?}",
                self.sensor.given,
                self.sensor.blocks,
                self.live()
            ));
        }
        if self.a.as_ref().is_none_or(|a| !a.node.is_settled()) {
            return Err("the A core did not settle".into());
        }
        self.check_exactly_one()
    }
}

fn state_of(snapshot: &Snapshot<'_>, queued: Option<usize>) -> TrackerState {
    let head = snapshot.head();
    let mut memory = vec![0; head.memory_len as usize];
    snapshot.fill_memory(&mut memory).unwrap();
    let word = |at: usize| u64::from_le_bytes(memory[at..at + 8].try_into().unwrap());
    TrackerState {
        count: word(0),
        last: word(8).cast_signed(),
        gaps: word(16),
        repeats: word(24),
        handled: memory[1024..].to_vec(),
        globals: head.globals.to_vec(),
        // The time at which it was captured is no part of what must be the same.
        host: HostState { clock_us: 0, ..head.host },
        digest: state_digest(head, snapshot.kv(), &memory),
        queued: queued.unwrap_or(usize::from(head.events)),
    }
}
