//! The host side of one container: what its calls may see and change, its clock, and the limits of its store.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use coracle_guest_abi::{
    Call, EFFECTS_PER_EVENT_MAX, Errno, EventKind, LOG_BYTES_MAX, MESSAGE_BYTES_MAX, WAKE_BYTES_MAX,
};
use coracle_migrate::snapshot::{HostState, PinUse, Request, Timer};

use crate::park::Parked;
use crate::{Bucket, ContainerSpec, Kv, OwnedEffect, OwnedEvent, Payload, PinMode};

/// Most payload bytes that the effects of one event hold together: one wake, and messages for the rest. Without it a
/// guest could make the core buffer a full wake payload for every effect.
pub const EFFECT_BYTES_PER_EVENT_MAX: usize = WAKE_BYTES_MAX + EFFECTS_PER_EVENT_MAX * MESSAGE_BYTES_MAX;

/// The data of a container's store. `M` is the engine's handle of a memory, `L` its limiter.
#[derive(Debug)]
pub struct Host<M, L> {
    /// What it was deployed with. Its configuration is what it is now.
    pub spec: Arc<ContainerSpec>,
    /// The host-side state that travels with it.
    pub state: HostState,
    /// Its key-value store, which travels with it.
    pub kv: Kv,
    /// The event being handled.
    pub event: Option<OwnedEvent>,
    /// What the event caused so far.
    pub effects: Vec<OwnedEffect>,
    /// Calls refused for want of a grant.
    pub refused_calls: u32,
    /// Log lines dropped.
    pub logs_dropped: u32,
    /// What host calls cost since the engine last set it to 0, in units of about 500 instructions: no fuel is charged for
    /// them, so the engine ends a slice by this.
    pub work: u32,
    /// Whether it runs `_start`, which waits for its events itself.
    pub command: bool,
    /// Unix time minus the core's clock, in microseconds, where the core knows it.
    pub wall_offset_us: Option<i64>,
    /// The guest's memory; `None` until it is instantiated, and for a module without one.
    pub memory: Option<M>,
    /// Holds memory and table to their limits; growing beyond them fails the guest's way, with -1.
    pub limits: L,
    /// The core's clock minus the container's, in microseconds; `None` until it runs here.
    offset_us: Option<i64>,
    /// The calls that were refused at least once, by their number.
    refused_once: u128,
    logs: Bucket,
    /// What was written to standard output and error since the last line end.
    lines: [Vec<u8>; 2],
    pub(crate) parked: Option<Parked>,
}

impl<M, L> Host<M, L> {
    /// The host side of a container that handles no event. A fresh one has the default `state` and an empty `kv`.
    #[must_use]
    pub fn new(spec: Arc<ContainerSpec>, mut state: HostState, kv: Kv, limits: L) -> Self {
        restrict(&mut state, &spec);
        if !state.initialised {
            // Topics beyond the limit are not subscribed from the start; the guest may choose others.
            let most = u32::from(spec.limits.subscriptions);
            state.unsubscribed = u8::MAX.checked_shl(most).unwrap_or(0);
        }
        Self {
            spec,
            state,
            kv,
            event: None,
            effects: Vec::new(),
            refused_calls: 0,
            logs_dropped: 0,
            work: 0,
            command: false,
            wall_offset_us: None,
            memory: None,
            limits,
            offset_us: None,
            refused_once: 0,
            logs: Bucket::default(),
            lines: [Vec::new(), Vec::new()],
            parked: None,
        }
    }

    // ---- time ----------------------------------------------------------------------------------------------------

    /// Moves the container's clock to the core's. It goes on where it stood when the container ran last, wherever that
    /// was, and never back.
    pub fn set_now(&mut self, core_us: u64) {
        let core = signed(core_us);
        let offset = *self.offset_us.get_or_insert_with(|| core.saturating_sub(signed(self.state.clock_us)));
        let now = u64::try_from(core.saturating_sub(offset)).unwrap_or(0);
        self.state.clock_us = self.state.clock_us.max(now);
    }

    /// A time of the container's clock on the core's.
    fn on_core(&self, own_us: u64) -> u64 {
        u64::try_from(signed(own_us).saturating_add(self.offset_us.unwrap_or(0))).unwrap_or(0)
    }

    /// Unix time in microseconds, where the core knows it.
    pub(crate) fn wall_us(&self) -> Option<u64> {
        let core = self.on_core(self.state.clock_us);
        u64::try_from(signed(core).saturating_add(self.wall_offset_us?)).ok()
    }

    /// When the supervisor has to look at the container at the latest, on the core's clock: a timer with its slack, the
    /// end of a wait, a request that nobody answered.
    #[must_use]
    pub fn deadline_us(&self) -> Option<u64> {
        self.deadline_without(0)
    }

    /// [`Host::deadline_us`] without the timers in the bit set, and with all bits without the requests too: what becomes an
    /// event that nobody can take is no reason to look.
    #[must_use]
    pub fn deadline_without(&self, timers: u8) -> Option<u64> {
        let ignored = timers;
        let timers = (0..).zip(&self.state.timers).filter(|(n, _)| ignored.checked_shr(*n).unwrap_or(0) & 1 == 0);
        let timers = timers.filter_map(|(_, t)| t.as_ref()).map(|t| t.due_us.saturating_add(t.slack_us));
        let requests = self.state.requests.iter().flatten().filter(|_| ignored != u8::MAX).map(|r| r.due_us);
        let wait = self.parked.as_ref().and_then(Parked::until_us);
        timers.chain(requests).chain(wait).min().map(|own| self.on_core(own))
    }

    /// The next event that time alone causes, if one is due: a timer, or a request without an answer. They come in the
    /// order of their times. Call [`Host::set_now`] before, and this until it is `None`.
    pub fn due(&mut self) -> Option<OwnedEvent> {
        let now = self.state.clock_us;
        let event =
            |kind, source, tag, time_us| OwnedEvent { seq: 0, kind, source, tag, time_us, payload: Payload::default() };
        let timers = (0..).zip(&mut self.state.timers).filter(|(_, slot)| slot.is_some_and(|t| t.due_us <= now));
        let timer = timers.min_by_key(|(_, slot)| slot.map(|t| t.due_us));
        let requests = self.state.requests.iter_mut().filter(|slot| slot.is_some_and(|r| r.due_us <= now));
        let request = requests.min_by_key(|slot| slot.map(|r| r.due_us));
        if let Some((slot, Request { id, due_us })) = request.and_then(|slot| slot.map(|r| (slot, r)))
            && timer.as_ref().and_then(|(_, slot)| **slot).is_none_or(|t| due_us < t.due_us)
        {
            *slot = None;
            return Some(event(EventKind::Reply, Errno::TimedOut as u8, id, due_us));
        }
        let (number, slot) = timer?;
        let timer = slot.take()?;
        // What was missed is not made up for: a timer is one event, however long nobody looked.
        *slot = now
            .saturating_sub(timer.due_us)
            .checked_div(timer.period_us)
            .map(|missed| missed.saturating_add(1).saturating_mul(timer.period_us))
            .map(|step| Timer { due_us: timer.due_us.saturating_add(step), ..timer })
            // At the end of time the next one would be due at once, and again.
            .filter(|next| next.due_us > now);
        Some(event(EventKind::Timer, number, 0, timer.due_us))
    }

    /// Whether the container still waits for an answer to that request.
    #[must_use]
    pub fn is_asked(&self, id: u32) -> bool {
        self.state.requests.iter().flatten().any(|r| r.id == id)
    }

    /// Ends a request of this container because its answer is about to be handed over; false when nobody waits for it any
    /// more, and the answer has to be dropped. Not before: an answer that waits in a queue may still be lost with it.
    pub fn answered(&mut self, id: u32) -> bool {
        self.state.requests.iter_mut().any(|slot| slot.take_if(|r| r.id == id).is_some())
    }

    // ---- effects -------------------------------------------------------------------------------------------------

    /// Takes an effect.
    ///
    /// # Errors
    /// [`Errno::Again`] when the event already caused as many effects as it may, or the core has no memory for it.
    pub(crate) fn effect(&mut self, effect: OwnedEffect) -> Result<(), Errno> {
        let held: usize = self.effects.iter().map(payload_bytes).sum();
        let number = self.effects.iter().filter(|e| !matches!(e, OwnedEffect::Refused { .. })).count();
        if number >= EFFECTS_PER_EVENT_MAX
            || held + payload_bytes(&effect) > EFFECT_BYTES_PER_EVENT_MAX
            || self.effects.try_reserve(1).is_err()
        {
            return Err(Errno::Again);
        }
        self.effects.push(effect);
        Ok(())
    }

    /// Counts a call that was refused for want of a grant; the first of each kind is told to the supervisor.
    pub fn refused(&mut self, call: Call, what: &str) {
        self.refused_calls = self.refused_calls.saturating_add(1);
        let bit = 1_u128.checked_shl(u32::from(call as u8)).unwrap_or(0);
        if self.refused_once & bit == 0 {
            self.refused_once |= bit;
            let effect = OwnedEffect::Refused { call, what: String::from(what) };
            // It is bounded by the number of calls, so it needs no place among the effects of the event.
            if self.effects.try_reserve(1).is_ok() {
                self.effects.push(effect);
            }
        }
    }

    /// Takes a log line, or counts it as dropped.
    ///
    /// # Errors
    /// [`Errno::Again`] when it is one too many; it is counted.
    pub(crate) fn log(&mut self, level: u8, text: &str) -> Result<(), Errno> {
        let cut = (0..=text.len().min(LOG_BYTES_MAX)).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        let allowed = self.logs.take(self.state.clock_us, u32::from(self.spec.limits.logs_per_second));
        let line = copy(text.get(..cut).unwrap_or("").as_bytes()).map(String::from_utf8);
        let taken = match line {
            Ok(Ok(text)) if allowed => self.effect(OwnedEffect::Log { level, text }),
            _ => Err(Errno::Again),
        };
        if taken.is_err() {
            self.logs_dropped = self.logs_dropped.saturating_add(1);
        }
        taken
    }

    /// Takes bytes of standard output (`stream` 0) or error (1); whole lines become log lines.
    pub(crate) fn print(&mut self, stream: usize, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line(stream);
            } else if let Some(line) = self.lines.get_mut(stream)
                && line.len() < LOG_BYTES_MAX
                && line.try_reserve(1).is_ok()
            {
                line.push(*byte);
            }
        }
    }

    /// Ends lines that have none yet: nothing that a guest printed is lost because it ends or waits.
    pub(crate) fn end_lines(&mut self) {
        for stream in 0..self.lines.len() {
            if self.lines.get(stream).is_some_and(|l| !l.is_empty()) {
                self.end_line(stream);
            }
        }
    }

    fn end_line(&mut self, stream: usize) {
        let Some(line) = self.lines.get_mut(stream).map(core::mem::take) else { return };
        let level = if stream == 0 { 3 } else { 2 };
        // A line that is dropped is counted.
        let _ = self.log(level, &String::from_utf8_lossy(&line));
    }

    /// Whether any of its topics with that index is wanted now.
    #[must_use]
    pub fn is_subscribed(&self, topic: usize) -> bool {
        topic < self.spec.grants.subscribe.len() && self.state.unsubscribed & (1 << topic.min(7)) == 0
    }

    /// Replaces the configuration of a container that runs. The event that tells it is the supervisor's to queue, with
    /// this payload: the keys that changed, one a line. `None` when nothing did.
    pub fn configure(&mut self, config: &[(coracle_guest_abi::Name, crate::Text)]) -> Option<Vec<u8>> {
        let old = &self.spec.grants.config;
        let gone = old.iter().filter(|(k, _)| !config.iter().any(|(new, _)| new == k));
        let other = config.iter().filter(|entry| !old.contains(entry));
        let changed: Vec<u8> = gone.chain(other).flat_map(|(k, _)| k.bytes().chain([b'\n'])).collect();
        if changed.is_empty() {
            return None;
        }
        // The event has to fit a message; which of so many keys changed is then no longer told.
        let end = changed.iter().take(MESSAGE_BYTES_MAX).rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let changed = changed.get(..end).unwrap_or_default().to_vec();
        Arc::make_mut(&mut self.spec).grants.config = config.iter().cloned().collect();
        self.state.config_version = self.state.config_version.wrapping_add(1);
        Some(changed)
    }

    /// What stays of the state when the container has to start again: its clock and its counters.
    #[must_use]
    pub fn surviving_state(&self) -> HostState {
        let HostState { handled, cursor, clock_us, last_request, random, config_version, .. } = self.state;
        HostState { handled, cursor, clock_us, last_request, random, config_version, ..HostState::default() }
    }

    /// Ends the event being handled. Effects stay for the supervisor.
    pub fn event_done(&mut self) {
        self.end_lines();
        if self.event.take().is_some() {
            self.state.handled = self.state.handled.saturating_add(1);
        }
    }

    /// The container ended in the middle of an event: what it asked for does not happen, but its log lines stay.
    pub fn abandon(&mut self) {
        self.end_lines();
        self.event = None;
        self.parked = None;
        self.effects.retain(|e| matches!(e, OwnedEffect::Log { .. } | OwnedEffect::Refused { .. }));
    }
}

/// Takes away what a snapshot claims and the specification does not allow: it may come from anywhere.
fn restrict(state: &mut HostState, spec: &ContainerSpec) {
    let grants = &spec.grants;
    for slot in state.timers.iter_mut().skip(usize::from(spec.limits.timers)) {
        *slot = None;
    }
    let lists = [grants.sensors.len(), grants.pins.len(), grants.i2c.len(), grants.spi.len()];
    let granted = (0_u32..).zip(lists).fold(0_u32, |mask, (kind, len)| {
        let of_kind = u32::MAX.checked_shl(u32::try_from(len).unwrap_or(u32::MAX)).map_or(u32::MAX, |m| !m) & 0xff;
        mask | of_kind << (8 * kind)
    });
    state.handles &= granted;
    for (index, pin) in state.pins.iter_mut().enumerate() {
        if grants.pins.get(index).is_none_or(|p| p.mode != PinMode::Input) || pin.edges > 3 {
            *pin = PinUse::default();
        }
    }
}

fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

fn payload_bytes(effect: &OwnedEffect) -> usize {
    match effect {
        OwnedEffect::Log { text, .. } => text.len(),
        OwnedEffect::Publish { payload, .. }
        | OwnedEffect::Request { payload, .. }
        | OwnedEffect::Reply { payload, .. }
        | OwnedEffect::Wake { payload, .. } => payload.len(),
        OwnedEffect::Subscribed { .. } | OwnedEffect::Refused { .. } => 0,
    }
}

/// A copy on the heap; a full arena is the guest's `Again`, not the core's end.
pub(crate) fn copy(bytes: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    out.try_reserve_exact(bytes.len()).map_err(|_| Errno::Again)?;
    out.extend_from_slice(bytes);
    Ok(out)
}
