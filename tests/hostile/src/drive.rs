//! Runs a hostile container between two honest ones, in turns, and says what came of it.
//!
//! A turn gives each container that has something to do one slice, as the supervisors do. The neighbours get an event
//! every few turns and count; what they do in which turn must be what they do without the hostile one.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use coracle_container::{OwnedEffect, OwnedEvent, Payload, Step, Usage, Waiting};
use coracle_guest_abi::EventKind;
use coracle_lifecycle::ExitReason;

use crate::{Act, Case};

/// Fuel of a slice.
pub const SLICE_FUEL: u64 = 1000;
/// Most turns of a case; one that takes more is stuck.
pub const TURNS_MAX: u32 = 4000;
/// Time that a turn takes.
const TURN_US: u64 = 1000;
/// Turns between two events of a neighbour.
const NEIGHBOUR_TURNS: u32 = 4;
/// The topic that the second neighbour subscribes; the first has none.
const NEIGHBOUR_TOPIC: &str = "to/neighbour";
/// Begins a log line with a number that a guest says.
const SAID: char = '=';
/// Most numbers that an outcome shows.
const SAID_MAX: usize = 16;

/// A container of some engine: the part of its interface that a supervisor uses.
pub trait Guest: Sized {
    /// Loads the case's module, or restores its snapshot.
    ///
    /// # Errors
    /// The number of the refusal.
    fn load(case: &Case) -> Result<Self, u8>;
    /// See the sandbox.
    fn begin(&mut self, event: Option<OwnedEvent>);
    /// See the sandbox.
    fn run(&mut self, now_us: u64, fuel: u64) -> Step;
    /// See the sandbox.
    fn is_idle(&self) -> bool;
    /// See the sandbox.
    fn is_command(&self) -> bool;
    /// See the sandbox.
    fn take_effects(&mut self) -> Vec<OwnedEffect>;
    /// See the sandbox.
    fn waiting(&self) -> Option<Waiting<'_>>;
    /// See the sandbox.
    ///
    /// # Errors
    /// See the sandbox.
    fn deliver(&mut self, event: OwnedEvent) -> Result<(), OwnedEvent>;
    /// See the sandbox.
    fn notice(&mut self);
    /// Carries out the device call that the container waits for: there are no devices.
    fn answer(&mut self);
    /// See the sandbox.
    fn poll(&mut self, now_us: u64);
    /// See the sandbox.
    fn due(&mut self, now_us: u64) -> Option<OwnedEvent>;
    /// See the sandbox.
    fn usage(&self) -> Usage;
}

/// Implements [`Guest`] for a container type whose methods have the names of the sandbox's; `$load` gives it or the
/// refusal's number.
#[macro_export]
macro_rules! guest {
    ($name:ty, $inner:tt, $load:expr) => {
        impl $crate::Guest for $name {
            fn load(case: &$crate::Case) -> Result<Self, u8> {
                $load(case)
            }

            fn begin(&mut self, event: Option<OwnedEvent>) {
                self.$inner.begin(event);
            }

            fn run(&mut self, now_us: u64, fuel: u64) -> Step {
                self.$inner.run(now_us, fuel)
            }

            fn is_idle(&self) -> bool {
                self.$inner.is_idle()
            }

            fn is_command(&self) -> bool {
                self.$inner.is_command()
            }

            fn take_effects(&mut self) -> Vec<OwnedEffect> {
                self.$inner.take_effects()
            }

            fn waiting(&self) -> Option<Waiting<'_>> {
                self.$inner.waiting()
            }

            fn deliver(&mut self, event: OwnedEvent) -> Result<(), OwnedEvent> {
                self.$inner.deliver(event)
            }

            fn notice(&mut self) {
                self.$inner.notice();
            }

            fn answer(&mut self) {
                let Some(Waiting::Device(call)) = self.$inner.waiting() else { return };
                let answer = execute(call, &mut NoDevices);
                self.$inner.answer(answer);
            }

            fn poll(&mut self, now_us: u64) {
                self.$inner.poll(now_us);
            }

            fn due(&mut self, now_us: u64) -> Option<OwnedEvent> {
                self.$inner.due(now_us)
            }

            fn usage(&self) -> Usage {
                self.$inner.usage()
            }
        }
    };
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended and what the guest said, the same on every engine: `idle`, `parked`, `stuck`, `refused` with the
    /// number of the load error, or the reason of its exit; a colon and the numbers that it said; and how often it was
    /// held back, where it was.
    pub outcome: String,
    /// What the neighbours noticed; `None`: nothing.
    pub complaint: Option<String>,
    /// Turns that the case took.
    pub turns: u32,
    /// Most fuel of one slice of it.
    pub slice_fuel: u64,
    /// Most ticks of one slice of it, or of its loading, on the caller's clock.
    pub slice_ticks: u64,
}

/// The turns in which a neighbour handles its events when nobody disturbs it.
pub type Neighbours = Vec<u32>;

/// A neighbour that counts its events.
struct Honest<G> {
    guest: G,
    queue: VecDeque<OwnedEvent>,
    limit: usize,
    started: bool,
    /// The turns in which it handled an event.
    handled: Neighbours,
    dropped: u32,
}

impl<G: Guest> Honest<G> {
    fn new(case: &Case) -> Result<Self, String> {
        let guest = G::load(case).map_err(|code| format!("a neighbour does not load: {code}"))?;
        let limit = usize::from(case.spec.limits.queue);
        Ok(Self { guest, queue: VecDeque::new(), limit, started: false, handled: Vec::new(), dropped: 0 })
    }

    fn push(&mut self, source: u8, payload: Payload) {
        if self.queue.len() < self.limit {
            self.queue.push_back(event(source, payload));
        } else {
            self.dropped += 1;
        }
    }

    fn turn(&mut self, turn: u32) -> Result<(), String> {
        if turn.is_multiple_of(NEIGHBOUR_TURNS) {
            self.push(1, Payload::default());
        }
        if self.guest.is_idle() {
            let event = if self.started { self.queue.pop_front() } else { None };
            if event.is_none() && self.started {
                return Ok(());
            }
            self.started = true;
            self.guest.begin(event);
        }
        match self.guest.run(u64::from(turn) * TURN_US, SLICE_FUEL) {
            Step::Pending => return Ok(()),
            Step::Done => {}
            step => return Err(format!("a neighbour ended in turn {turn}: {step:?}")),
        }
        for effect in self.guest.take_effects() {
            self.handled.push(turn);
            let count = i64::try_from(self.handled.len()).unwrap_or(0);
            if said(&effect) != Some(count) {
                return Err(format!("a neighbour says {effect:?} for its event {count}"));
            }
        }
        Ok(())
    }
}

fn event(source: u8, payload: Payload) -> OwnedEvent {
    OwnedEvent { seq: 0, kind: EventKind::Message, source, tag: 0, time_us: 0, payload }
}

/// The number that a guest says with this effect: a log line of sixteen letters, `a` for 0 to `p` for 15.
fn said(effect: &OwnedEffect) -> Option<i64> {
    let OwnedEffect::Log { text, .. } = effect else { return None };
    let digits = text.strip_prefix(SAID).filter(|d| d.len() == 16)?;
    let number = digits.bytes().try_fold(0_u64, |n, b| {
        let digit = b.checked_sub(b'a').filter(|d| *d < 16)?;
        Some(n << 4 | u64::from(digit))
    });
    number.map(u64::cast_signed)
}

/// The hostile container on its way through its script.
struct Hostile<'c, G> {
    case: &'c Case,
    guest: G,
    queue: VecDeque<OwnedEvent>,
    next_act: usize,
    turns_left: u32,
    started: bool,
    ended: Option<ExitReason>,
    said: Vec<i64>,
    effects: u32,
    lost: u32,
    slice_fuel: u64,
    slice_ticks: u64,
    sent: Vec<Payload>,
}

impl<'c, G: Guest> Hostile<'c, G> {
    fn load(case: &'c Case, clock: &dyn Fn() -> u64) -> Result<Self, u8> {
        let start = clock();
        let guest = G::load(case)?;
        Ok(Self {
            case,
            guest,
            queue: VecDeque::new(),
            next_act: 0,
            turns_left: 0,
            started: false,
            ended: None,
            said: Vec::new(),
            effects: 0,
            lost: 0,
            slice_fuel: 0,
            slice_ticks: clock().saturating_sub(start),
            sent: Vec::new(),
        })
    }

    fn push(&mut self, event: OwnedEvent) {
        if self.queue.len() < usize::from(self.case.spec.limits.queue) {
            self.queue.push_back(event);
        } else {
            self.lost += 1;
        }
    }

    /// One turn; false when the script is over.
    fn turn(&mut self, now_us: u64, clock: &dyn Fn() -> u64) -> bool {
        while let Some(event) = self.guest.due(now_us) {
            let waits = |e: &OwnedEvent| e.kind == EventKind::Timer && (e.kind, e.source) == (event.kind, event.source);
            if !self.queue.iter().any(waits) {
                self.push(event);
            }
        }
        match self.guest.waiting() {
            Some(Waiting::Event { kinds }) => {
                let at = self.queue.iter().position(|e| kinds & e.kind.bit() != 0);
                if let Some(event) = at.and_then(|at| self.queue.remove(at))
                    && self.guest.deliver(event).is_err()
                {
                    self.lost += 1;
                }
            }
            Some(Waiting::Notice) if !self.queue.is_empty() => self.guest.notice(),
            Some(Waiting::Device(_)) => self.guest.answer(),
            _ => {}
        }
        self.guest.poll(now_us);
        if self.guest.is_idle() {
            if !self.started {
                self.started = true;
                self.guest.begin(None);
            } else if let Some(event) = self.queue.pop_front() {
                self.guest.begin(Some(event));
            }
        }
        let ran = !self.guest.is_idle() && self.guest.waiting().is_none();
        if ran {
            self.slice(now_us, clock);
        }
        if self.ended.is_some() {
            return false;
        }
        if self.turns_left > 0 {
            self.turns_left -= 1;
            return self.turns_left > 0 || self.next_act < self.case.script.len();
        }
        match self.case.script.get(self.next_act) {
            // It may never come to rest.
            Some(Act::Turns(turns)) => self.turns_left = *turns,
            None => return ran,
            Some(act) => {
                if let Some(event) = act.event() {
                    self.push(event);
                }
            }
        }
        self.next_act += 1;
        true
    }

    fn slice(&mut self, now_us: u64, clock: &dyn Fn() -> u64) {
        let (fuel, start) = (self.guest.usage().fuel_total, clock());
        let step = self.guest.run(now_us, SLICE_FUEL);
        self.slice_ticks = self.slice_ticks.max(clock().saturating_sub(start));
        self.slice_fuel = self.slice_fuel.max(self.guest.usage().fuel_total.saturating_sub(fuel));
        if step == Step::Pending {
            return;
        }
        for effect in self.guest.take_effects() {
            self.said.extend(said(&effect));
            match effect {
                OwnedEffect::Log { .. } | OwnedEffect::Refused { .. } => continue,
                OwnedEffect::Publish { topic, payload, .. } if topic == NEIGHBOUR_TOPIC => self.sent.push(payload),
                _ => {}
            }
            self.effects += 1;
        }
        if let Step::Exited(reason) = step {
            self.ended = Some(reason);
        }
    }

    fn outcome(&self, over: bool) -> String {
        let mut text = match self.ended {
            // Where it was is not the same on every engine.
            Some(ExitReason::Trapped(kind, _)) => ExitReason::Trapped(kind, None).to_string(),
            Some(reason) => reason.to_string(),
            None if !over => "stuck".into(),
            None if self.guest.is_idle() => "idle".into(),
            None => "parked".into(),
        };
        for (n, number) in self.said.iter().take(SAID_MAX).enumerate() {
            text.push_str(if n == 0 { ": " } else { " " });
            text.push_str(&number.to_string());
        }
        let usage = self.guest.usage();
        let counts = [
            (usage.refused_calls, "refused"),
            (usage.logs_dropped, "log lines dropped"),
            (self.effects, "sent"),
            (self.lost, "events lost"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            text.push_str(&format!(", {count} {what}"));
        }
        text
    }
}

/// The turns in which `neighbour` handles its events when it has the core for itself.
///
/// # Errors
/// What is wrong with it.
pub fn reference<G: Guest>(neighbour: &Case) -> Result<Neighbours, String> {
    let mut honest = Honest::<G>::new(neighbour)?;
    for turn in 0..=TURNS_MAX {
        honest.turn(turn)?;
    }
    Ok(honest.handled)
}

/// The turn in which the hostile container is loaded, and how many turns the neighbours go on after its end.
const MARGIN_TURNS: u32 = 16;

/// Runs a case between two neighbours and compares what those do with the `reference`. `clock` counts what the caller
/// likes.
#[must_use]
pub fn beside<G: Guest>(case: &Case, neighbour: &Case, reference: &[u32], clock: &dyn Fn() -> u64) -> Report {
    let mut report = Report { outcome: String::new(), complaint: None, turns: 0, slice_fuel: 0, slice_ticks: 0 };
    report.complaint = run_beside::<G>(case, neighbour, reference, clock, &mut report).err();
    report
}

fn run_beside<G: Guest>(
    case: &Case,
    neighbour: &Case,
    reference: &[u32],
    clock: &dyn Fn() -> u64,
    report: &mut Report,
) -> Result<(), String> {
    let (mut first, mut second) = (Honest::<G>::new(neighbour)?, Honest::<G>::new(neighbour)?);
    let mut hostile: Option<Hostile<'_, G>> = None;
    let mut last = None;
    for turn in 0..TURNS_MAX {
        first.turn(turn)?;
        if turn == MARGIN_TURNS {
            match Hostile::load(case, clock) {
                Ok(loaded) => hostile = Some(loaded),
                Err(code) => {
                    report.outcome = format!("refused {code}");
                    last = Some(turn + MARGIN_TURNS);
                }
            }
        }
        if let Some(hostile) = hostile.as_mut().filter(|_| last.is_none()) {
            let goes_on = hostile.turn(u64::from(turn) * TURN_US, clock);
            for payload in hostile.sent.drain(..) {
                second.push(0, payload);
            }
            if !goes_on {
                report.outcome = hostile.outcome(true);
                last = Some(turn + MARGIN_TURNS);
            }
        }
        second.turn(turn)?;
        report.turns = turn;
        if last == Some(turn) {
            break;
        }
    }
    if let Some(hostile) = &hostile {
        if report.outcome.is_empty() {
            report.outcome = hostile.outcome(false);
        }
        (report.slice_fuel, report.slice_ticks) = (hostile.slice_fuel, hostile.slice_ticks);
    }
    let expected: Vec<u32> = reference.iter().copied().filter(|turn| *turn <= report.turns).collect();
    compare("first", &first.handled, &expected)?;
    if first.dropped > 0 {
        return Err(format!("the first neighbour lost {} events", first.dropped));
    }
    if !case.floods {
        return compare("second", &second.handled, &expected);
    }
    if second.dropped == 0 {
        return Err("a flood that overflows no queue is none".into());
    }
    if second.handled.len() < expected.len() {
        return Err(format!("the flooded neighbour handled {} events, alone {}", second.handled.len(), expected.len()));
    }
    Ok(())
}

fn compare(which: &str, handled: &[u32], expected: &[u32]) -> Result<(), String> {
    if handled == expected {
        return Ok(());
    }
    let at = handled.iter().zip(expected).position(|(h, e)| h != e).unwrap_or(handled.len().min(expected.len()));
    let (handled, expected) = (handled.get(at), expected.get(at));
    Err(format!("the {which} neighbour handled event {at} in turn {handled:?}, alone in turn {expected:?}"))
}

/// Runs a case without neighbours and returns its outcome.
#[must_use]
pub fn alone<G: Guest>(case: &Case) -> String {
    let mut hostile = match Hostile::<G>::load(case, &|| 0) {
        Ok(loaded) => loaded,
        Err(code) => return format!("refused {code}"),
    };
    let over = (0..TURNS_MAX).any(|turn| !hostile.turn(u64::from(turn) * TURN_US, &|| 0));
    hostile.outcome(over)
}

/// The sandbox of the M core.
mod wasmi {
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    use coracle_container::{OwnedEffect, OwnedEvent, Step, Usage, Waiting, execute};
    use coracle_device::NoDevices;
    use coracle_migrate::snapshot::Snapshot;
    use coracle_sandbox::Container;

    use crate::Case;

    /// A container on wasmi.
    pub struct Wasmi(Container);

    guest!(Wasmi, 0, load);

    fn load(case: &Case) -> Result<Wasmi, u8> {
        let spec = Arc::new(case.spec.clone());
        let loaded = match &case.snapshot {
            None => Container::load(&case.module, spec),
            Some(bytes) => {
                let snapshot = Snapshot::decode(bytes).map_err(|_| crate::drive::DAMAGED)?;
                Container::restore(&case.module, spec, &snapshot)
            }
        };
        loaded.map(Wasmi).map_err(|e| e.code())
    }
}

pub use wasmi::Wasmi;

/// The number of a refusal for a snapshot that is none.
pub const DAMAGED: u8 = 255;
