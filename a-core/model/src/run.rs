//! Containers at work on the A core: their turns, and what comes of their effects.

use std::collections::BTreeSet;
use std::sync::Arc;

use coracle_api::{self as api, What};
use coracle_bulk::BulkRef;
use coracle_container::{DeviceAnswer, DeviceCall, OwnedEffect, OwnedEvent, Payload, Waiting, request_payload};
use coracle_guest_abi::{BLOCK_SAMPLES_MAX, BlockHeader, Errno, EventKind, GRANTS_MAX, IMPORTS, Name};
use coracle_lifecycle::{ExitReason, Place as CodePlace};
use coracle_migrate::snapshot::EVENTS_MAX;
use coracle_policy::Core;
use coracle_wire::ToM;

use crate::devices;
use crate::entry::{Body, Entry, Place, Ran};
use crate::node::{Node, Output, Session};
use crate::plan::{Placement, Plan};
use crate::record::Phase;

/// Largest encoded sensor block, in bytes.
const BLOCK_BYTES_MAX: usize = BlockHeader::BYTES + 2 * BLOCK_SAMPLES_MAX;
/// The first handle of a pin: see the container crate.
const PIN_HANDLE: usize = GRANTS_MAX;
/// The number of a device call that no container waits for.
const NOBODY: u32 = 0;

impl Node<'_> {
    // ---- turns ---------------------------------------------------------------------------------------------------

    /// Gives the next container with something to do its slice, in turns.
    pub(crate) fn run_next(&mut self) {
        let now_us = self.now_us;
        if !self.entries.values().any(|e| e.is_runnable(now_us)) {
            return;
        }
        // A is awake: timers of all that are due within their slack are looked at now, and not with a wake-up each.
        for entry in self.entries.values_mut().filter(|e| !e.is_leaving()) {
            if let Some(body) = entry.body() {
                body.push_due(now_us);
            }
        }
        let mut runnable = self.entries.iter().filter(|(_, e)| e.is_runnable(now_us)).map(|(n, _)| n);
        let Some(first) = runnable.clone().next() else { return };
        let next = self.ran.as_ref().and_then(|ran| runnable.find(|n| *n > ran));
        let name = next.unwrap_or(first).clone();
        // Its time has come, or a device of this core had something for it.
        self.wake_up("a container has something to do", self.now_us);
        self.run_one(&name);
        self.ran = Some(name);
    }

    fn run_one(&mut self, name: &Name) {
        let now_us = self.now_us;
        let Some(entry) = self.entries.get_mut(name) else { return };
        let Some(ran) = entry.body().and_then(|body| body.run(now_us)) else { return };
        match ran {
            Ran::On => {}
            Ran::Dropped => {
                self.store(name, Phase::Live);
                self.ack(name);
            }
            Ran::Waits { time_us } => {
                self.after_event(name, time_us);
                self.ack(name);
            }
            Ran::Done { time_us, seq } => {
                if seq.is_some() {
                    entry.placement.event_handled();
                }
                self.after_event(name, time_us);
                if seq.is_some_and(|seq| seq > 0) {
                    self.wanted_moves();
                }
                // Also of what was not wanted while it was in the middle of an event of this core.
                self.ack(name);
            }
            Ran::Exited { time_us, reason } => return self.exited(name, reason, time_us),
        }
        self.ask_device(name);
    }

    /// What a container asked for happens: it is durable before anything of it is seen outside, so a repeat after a crash
    /// is recognised by its number.
    fn after_event(&mut self, name: &Name, time_us: Option<u64>) {
        let effects = self.entries.get_mut(name).and_then(Entry::body).map(|b| b.container.take_effects());
        self.store(name, Phase::Live);
        self.carry_out(name, effects.unwrap_or_default(), time_us);
        self.tell_sensors(name);
    }

    /// Tells M what was handled since it was told last.
    pub(crate) fn ack(&mut self, name: &Name) {
        let Some(body) = self.entries.get_mut(name).and_then(Entry::body) else { return };
        let seq = body.handled_seq();
        if seq > body.acked {
            body.acked = seq;
            self.send(&ToM::Ack { name: name.clone(), seq });
        }
    }

    fn exited(&mut self, name: &Name, reason: ExitReason, time_us: Option<u64>) {
        let effects = self.entries.get_mut(name).and_then(Entry::body).map(|b| b.container.take_effects());
        self.carry_out(name, effects.unwrap_or_default(), time_us);
        self.devices.end_of(name);
        let mut text = reason.to_string();
        if let Some(entry) = self.entries.get_mut(name) {
            text = exit_text(&entry.plan, reason);
            entry.drop_body(Place::Exited(Core::A, text.clone()));
            entry.open = None;
        }
        self.inventory.remove(name);
        self.out.push_back(Output::Forget { name: name.clone() });
        self.send(&ToM::Remove { name: name.clone() });
        self.event(None, What::Exited { container: name.to_string(), core: api::Core::A, reason: text });
    }

    // ---- effects -------------------------------------------------------------------------------------------------

    fn carry_out(&mut self, name: &Name, effects: Vec<OwnedEffect>, time_us: Option<u64>) {
        for effect in effects {
            match effect {
                OwnedEffect::Log { level, text } => self.guest_log(name, level, &text),
                OwnedEffect::Publish { topic, payload, retain } => {
                    self.publish(&topic, payload.clone(), time_us);
                    if retain {
                        self.retain(&topic, &payload);
                    }
                    let text = payload
                        .iter()
                        .map(|b| if b.is_ascii_graphic() || matches!(b, b' ' | b'\n') { *b as char } else { '.' });
                    let what =
                        What::Message { container: name.to_string(), topic: topic.to_string(), text: text.collect() };
                    self.event(time_us, what);
                }
                OwnedEffect::Request { topic, id, payload } => {
                    self.route(&topic, Some(id), Arc::new(request_payload(name, &payload)), time_us);
                }
                OwnedEffect::Reply { to, id, payload } => self.take_answer(&to, id, payload),
                OwnedEffect::Subscribed { topic } => {
                    let now_us = self.now_us;
                    let Some(body) = self.entries.get_mut(name).and_then(Entry::body) else { continue };
                    let granted = body.container.spec().grants.subscribe.get(usize::from(topic)).cloned();
                    if let Some(payload) = granted.and_then(|t| self.retained_values.get(&t)) {
                        push_topic(body, topic, EventKind::Message, 0, payload.clone(), now_us);
                    }
                }
                OwnedEffect::Wake { reason, .. } => {
                    self.guest_log(name, 4, &format!("wake for {reason}: A is awake"));
                }
                OwnedEffect::Refused { call, what } => self.refused_call(name, api::Core::A, call as u8, &what),
            }
        }
    }

    /// A message that a container here published.
    fn publish(&mut self, topic: &Name, payload: Payload, time_us: Option<u64>) {
        for entry in self.entries.values_mut() {
            if let Placement::Any { moves, .. } = &entry.plan.placement {
                entry.placement.message_published(moves, topic);
            }
        }
        self.route(topic, None, payload, time_us);
    }

    /// Brings a message or a request to the topic's subscribers: to those that are always here at once; to all others
    /// by way of M, which gives each of them one stream of events wherever it is.
    fn route(&mut self, topic: &Name, request: Option<u32>, payload: Payload, time_us: Option<u64>) {
        let kind = if request.is_some() { EventKind::Request } else { EventKind::Message };
        let at_us = time_us.unwrap_or(self.now_us);
        let mut served_by_m = false;
        for entry in self.entries.values_mut() {
            let Some(at) = entry.plan.spec.grants.subscribe.iter().position(|t| t == topic) else { continue };
            if !entry.is_served_here() {
                served_by_m = true;
            } else if let (Ok(at), Some(body)) = (u8::try_from(at), entry.body()) {
                push_topic(body, at, kind, request.unwrap_or(0), payload.clone(), at_us);
            }
        }
        if !served_by_m {
            return;
        }
        // The limits of the interface are within those of the message.
        let Ok(payload) = heapless::Vec::from_slice(&payload) else { return };
        let time_us = self.on_m_clock(self.now_us).unwrap_or(0);
        let topic = topic.clone();
        let kept = self.untaken.push(|epoch, number| ToM::Publish { epoch, number, topic, time_us, request, payload });
        if kept {
            self.losing = false;
        } else {
            self.messages_lost = self.messages_lost.saturating_add(1);
            if !std::mem::replace(&mut self.losing, true) {
                let text = "messages for the M core are lost: it has not taken the earlier ones".to_owned();
                let level = "error".to_owned();
                self.event(None, What::Log { core: api::Core::A, level, uptime_us: None, text });
            }
        }
        self.send_untaken();
    }

    /// Sends messages that wait for M, once it holds the containers that they are for.
    pub(crate) fn send_untaken(&mut self) {
        while self.session == Session::Ready
            && let Some(message) = self.untaken.next_to_send()
        {
            self.send(&message);
        }
    }

    fn retain(&mut self, topic: &Name, payload: &Payload) {
        if !self.retained_values.set(topic, payload.clone(), true) {
            let text = format!("the value of topic {topic} is not retained: too many topics have one");
            let level = "error".to_owned();
            return self.event(None, What::Log { core: api::Core::A, level, uptime_us: None, text });
        }
        if matches!(self.session, Session::Settling | Session::Ready) {
            self.tell_retained();
        }
    }

    /// Tells M the values that were published here and that it does not know.
    pub(crate) fn tell_retained(&mut self) {
        for message in self.retained_values.untold() {
            self.send(&message);
        }
    }

    /// The answer to a request, for a container wherever it is: it may have moved since it asked. Here, one that nobody
    /// waits for is dropped.
    pub(crate) fn take_answer(&mut self, to: &Name, id: u32, payload: Payload) {
        let time_us = self.now_us;
        match self.entries.get_mut(to).map(|e| &mut e.place) {
            Some(Place::OnA(body)) => {
                let kind = EventKind::Reply;
                let waits = |e: &OwnedEvent| e.kind == kind && e.tag == id;
                if body.container.is_asked(id) && !body.queue.iter().any(waits) {
                    // The answer had its place since the request was sent.
                    body.push_local(OwnedEvent { seq: 0, kind, source: 0, tag: id, time_us, payload }, usize::MAX);
                }
            }
            Some(Place::OnM | Place::Starting) => {
                if let Ok(payload) = heapless::Vec::from_slice(&payload) {
                    self.send(&ToM::Reply { to: to.clone(), id, payload });
                }
            }
            Some(Place::Exited(..)) | None => {}
        }
    }

    pub(crate) fn refused_call(&mut self, name: &Name, core: api::Core, call: u8, what: &str) {
        let import = IMPORTS.iter().find(|i| i.call as u8 == call);
        let call = import.map_or_else(|| format!("call {call}"), |i| format!("{} {}", i.module, i.name));
        self.event(None, What::Refused { container: name.to_string(), core, call, what: what.to_owned() });
    }

    pub(crate) fn guest_log(&mut self, name: &Name, level: u8, text: &str) {
        let level = match level {
            1 => "error",
            2 => "warn",
            3 => "info",
            _ => "debug",
        };
        let what =
            What::Log { core: api::Core::A, level: level.into(), uptime_us: None, text: format!("{name}: {text}") };
        self.event(None, what);
    }

    /// The values of its topics, for a container that starts here: before all that comes later.
    pub(crate) fn push_retained(&self, body: &mut Body) {
        let topics = body.container.spec().grants.subscribe.clone();
        for (at, topic) in topics.iter().enumerate().rev() {
            let (Ok(source), Some(payload)) = (u8::try_from(at), self.retained_values.get(topic)) else { continue };
            let waits = |e: &OwnedEvent| e.kind == EventKind::Message && e.source == source && e.payload == *payload;
            if body.container.is_subscribed(at) && !body.queue.iter().any(waits) && body.queue.len() < EVENTS_MAX {
                let (kind, payload, time_us) = (EventKind::Message, payload.clone(), self.now_us);
                body.queue.push_front(OwnedEvent { seq: 0, kind, source, tag: 0, time_us, payload });
            }
        }
    }

    // ---- devices -------------------------------------------------------------------------------------------------

    /// Asks for the device that a container waits for, if it waits for one.
    fn ask_device(&mut self, name: &Name) {
        let Some(body) = self.entries.get_mut(name).and_then(Entry::body) else { return };
        let Some(Waiting::Device(call)) = body.container.waiting() else { return };
        let call = call.clone();
        // Now, and not when it has its answer: until then others may ask.
        if let DeviceCall::PinWatch { label, edges, debounce_us } = &call {
            body.watches.insert(label.clone(), (*edges, *debounce_us));
        }
        let token = self.devices.begin(name.clone(), call.clone());
        let call = self.with_other_watchers(name, call);
        self.out.push_back(Output::Device { token, call });
    }

    /// A pin has one watch for all containers here: it has the edges of each of them.
    fn with_other_watchers(&self, name: &Name, call: DeviceCall) -> DeviceCall {
        let DeviceCall::PinWatch { label, mut edges, mut debounce_us } = call else { return call };
        for entry in self.entries.iter().filter(|(n, _)| *n != name).map(|(_, e)| e) {
            let Place::OnA(body) = &entry.place else { continue };
            if let Some((theirs, level_us)) = body.watches.get(&label).filter(|(edges, _)| *edges != 0) {
                debounce_us = if edges == 0 { *level_us } else { debounce_us.min(*level_us) };
                edges |= theirs;
            }
        }
        DeviceCall::PinWatch { label, edges, debounce_us }
    }

    /// A container that comes here watches its pins again.
    pub(crate) fn watch_pins(&mut self, name: &Name) {
        let Some(body) = self.entries.get_mut(name).and_then(Entry::body) else { return };
        let grants = body.container.spec().grants.pins.iter().zip(&body.container.state().pins);
        let used = grants.filter(|(_, used)| used.edges != 0);
        body.watches = used.map(|(grant, used)| (grant.label.clone(), (used.edges, used.debounce_us))).collect();
        for (label, (edges, debounce_us)) in body.watches.clone() {
            let call = self.with_other_watchers(name, DeviceCall::PinWatch { label, edges, debounce_us });
            self.out.push_back(Output::Device { token: NOBODY, call });
        }
    }

    /// What this core's devices say to an [`Output::Device`]. What they do not have, M may have.
    pub fn device_answer(&mut self, token: u32, answer: Result<DeviceAnswer, Errno>, now_us: u64) {
        self.now_us = now_us;
        let Some(wait) = self.devices.local_answer(token) else { return };
        let is_up = matches!(self.session, Session::Settling | Session::Ready);
        let answer = match answer {
            Err(Errno::NoEntry) => match devices::to_wire(&wait.call) {
                Ok(call) if is_up => {
                    self.devices.ask_remote(token, wait, now_us);
                    return self.send(&ToM::Device { token, call });
                }
                Ok(_) => Err(Errno::NoDevice),
                Err(e) => Err(e),
            },
            answer => answer,
        };
        self.device_done(&wait.name, answer);
    }

    /// A container has the answer that it waits for.
    pub(crate) fn device_done(&mut self, name: &Name, answer: Result<DeviceAnswer, Errno>) {
        if let Some(body) = self.entries.get_mut(name).and_then(Entry::body) {
            body.container.answer(answer);
        }
    }

    /// An edge of a pin of this core that is watched.
    pub fn pin_event(&mut self, label: &str, high: bool, time_us: u64, now_us: u64) {
        self.now_us = now_us;
        for body in self.entries.values_mut().filter_map(Entry::body) {
            let Some(at) = body.container.spec().grants.pins.iter().position(|p| p.label == label) else { continue };
            let state = body.container.state();
            let wanted = if high { 1 } else { 2 };
            let opened = state.handles & 1_u32.checked_shl((PIN_HANDLE + at) as u32).unwrap_or(0) != 0;
            let edges = state.pins.get(at).map_or(0, |p| p.edges);
            if !opened || edges & wanted == 0 {
                continue;
            }
            let Ok(source) = u8::try_from(PIN_HANDLE + at) else { continue };
            let (kind, tag, payload) = (EventKind::Pin, u32::from(high), Payload::default());
            let room = usize::from(body.container.spec().limits.queue);
            body.push_local(OwnedEvent { seq: 0, kind, source, tag, time_us, payload }, room);
        }
    }

    // ---- sensors -------------------------------------------------------------------------------------------------

    /// Tells M what a container here wants of its sensors, if that changed.
    pub(crate) fn tell_sensors(&mut self, name: &Name) {
        if !matches!(self.session, Session::Settling | Session::Ready) {
            return;
        }
        let Some(body) = self.entries.get_mut(name).and_then(Entry::body) else { return };
        let wanted = body.sensors();
        if wanted == body.sensors_told {
            return;
        }
        body.sensors_told.clone_from(&wanted);
        let sensors = wanted.into_iter().take(GRANTS_MAX).collect();
        self.send(&ToM::Sensors { name: name.clone(), sensors });
    }

    /// A block of one of M's sensors.
    pub(crate) fn take_block(&mut self, name: &Name, sensor: u8, time_us: u64, block: &BulkRef) {
        self.wake_up("a sensor block for a container on A", self.now_us);
        let bytes = self.fetch(block, BLOCK_BYTES_MAX);
        self.send(&ToM::Free(*block));
        let Some(bytes) = bytes else { return };
        self.push_block(name, sensor, time_us, bytes.into());
    }

    /// Tells the shell which sensors are wanted, if that changed.
    pub(crate) fn sense(&mut self) {
        let mut wanted = BTreeSet::new();
        for entry in self.entries.values() {
            let Place::OnA(body) = &entry.place else { continue };
            let grants = &body.container.spec().grants.sensors;
            let used = grants.iter().zip(&body.container.state().sensors).filter(|(_, used)| !used.off);
            wanted.extend(used.map(|(grant, _)| grant.name.clone()));
        }
        if wanted == self.sensing {
            return;
        }
        for (from, to, on) in [(&self.sensing, &wanted, false), (&wanted, &self.sensing, true)] {
            for sensor in from.difference(to) {
                self.out.push_back(Output::Sense { sensor: sensor.clone(), on });
            }
        }
        self.sensing = wanted;
    }

    /// A block of one of this core's sensors.
    pub fn sensor_block(&mut self, sensor: &str, header: &BlockHeader, samples: &[i16], now_us: u64) {
        self.now_us = now_us;
        let names: Vec<Name> = self.entries.keys().cloned().collect();
        for name in names {
            let Some(body) = self.entries.get_mut(&name).and_then(Entry::body) else { continue };
            let Some(at) = body.container.spec().grants.sensors.iter().position(|s| s.name == sensor) else { continue };
            if let Some((time_us, payload)) = body.reduce_block(at, header, samples)
                && let Ok(at) = u8::try_from(at)
            {
                self.push_block(&name, at, time_us, payload);
            }
        }
    }

    fn push_block(&mut self, name: &Name, sensor: u8, time_us: u64, payload: Payload) {
        let Some(body) = self.entries.get_mut(name).and_then(Entry::body) else { return };
        let at = usize::from(sensor);
        let granted = at < body.container.spec().grants.sensors.len();
        let off = body.container.state().sensors.get(at).is_none_or(|s| s.off);
        if !granted || off || payload.len() < BlockHeader::BYTES {
            return;
        }
        let room = usize::from(body.container.spec().limits.queue);
        let kind = EventKind::Sensor;
        body.push_local(OwnedEvent { seq: 0, kind, source: sensor, tag: 0, time_us, payload }, room);
    }
}

/// Queues a message or a request that was published here, if its topic is wanted.
fn push_topic(body: &mut Body, topic: u8, kind: EventKind, tag: u32, payload: Payload, time_us: u64) {
    if body.container.is_subscribed(usize::from(topic)) {
        let room = usize::from(body.container.spec().limits.queue);
        body.push_local(OwnedEvent { seq: 0, kind, source: topic, tag, time_us, payload }, room);
    }
}

/// Why a container ended, with the name of the function where its module has names.
pub(crate) fn exit_text(plan: &Plan, reason: ExitReason) -> String {
    if let ExitReason::Trapped(kind, Some(CodePlace { function, offset })) = reason
        && let Some(name) = coracle_engine::function_name(&plan.names, function)
    {
        return format!("trapped: {} in function `{name}` (index {function}) at offset {offset:#x}", kind.as_str());
    }
    reason.to_string()
}
