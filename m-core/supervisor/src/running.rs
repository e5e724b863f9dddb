//! Running containers: slices, what parks them, timers, devices, and what their effects cause.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use coracle_board_api::sensor_wire::Block;
use coracle_board_api::{error, info, warn};
use coracle_container::{DeviceAnswer, DeviceCall, OwnedEffect, Payload, Step, Waiting, execute, request_payload};
use coracle_device::{Decimator, Devices, Filter};
use coracle_guest_abi::{BlockHeader, Call, Errno, EventKind, GRANTS_MAX, Name};
use coracle_lifecycle::{Change, ExitReason, State};
use coracle_migrate::snapshot::PinUse;
use coracle_policy::WakeDecision;
use coracle_sandbox::Container;
use coracle_wire::{self as wire, FromM, Power};

use crate::entry::{Entry, Role};
use crate::supervisor::{SLICE_FUEL, Supervisor, WAKE_BYTES_WAITING_MAX};

/// Blocks of a sensor that A may hold at once for one container; more are lost until it gives one back.
const REMOTE_BLOCKS_MAX: usize = 4;
/// Device calls of A that wait for their turn.
const DEVICE_CALLS_MAX: usize = 8;
/// The sensor whose blocks come by the board's own way. Others are polled devices.
pub(crate) const BOARD_SENSOR: &str = "accel0";
/// Blocks of polled sensors that are taken in one step.
const POLLED_BLOCKS_MAX: usize = 4;
/// Messages that wait until A is awake: answers, of which the requests of more time out, and refusals, which are counted
/// in any case.
const HELD_MAX: usize = 16;
/// Edges of pins that are taken in one step.
const PIN_EVENTS_MAX: usize = 8;
/// Handle of the first pin: see the guest interface.
const FIRST_PIN: usize = GRANTS_MAX;

impl Supervisor<'_> {
    /// A block of the sensor.
    pub fn sensor_block(&mut self, block: &Block) {
        self.samples_dropped = block.dropped;
        if block.end {
            info!("the sensor has nothing more to give");
            return;
        }
        self.time_us = block.timestamp_us;
        self.block_at_us = self.seen_us;
        let samples = block.samples();
        let header = BlockHeader {
            timestamp_us: block.timestamp_us,
            sequence: block.sequence,
            rate_hz: block.rate_hz,
            dropped: block.dropped,
            count: u32::try_from(samples.len()).unwrap_or(0),
        };
        self.block(BOARD_SENSOR, &header, samples);
    }

    /// Gives a block to all that are granted the sensor, as each wants it.
    fn block(&mut self, sensor: &str, header: &BlockHeader, samples: &[i16]) {
        // Made once for all that take it as it is.
        let mut whole: Option<Payload> = None;
        for index in 0..self.entries.len() {
            let Some(Some(entry)) = self.entries.get_mut(index) else { continue };
            let Some(wish) = entry.sensor_wish(sensor) else { continue };
            let mut reduced = Vec::new();
            let (header, samples) = if wish.rate_hz > 0 && wish.rate_hz < header.rate_hz {
                let Some(decimator) = entry.decimators.get_mut(usize::from(wish.index)) else { continue };
                let decimator = match decimator {
                    Some(d) if d.rate_hz() == wish.rate_hz => d,
                    slot => match Decimator::new(header.rate_hz, wish.rate_hz) {
                        Some(new) => slot.insert(new),
                        None => continue,
                    },
                };
                if reduced.try_reserve_exact(samples.len()).is_err() {
                    entry.dropped = entry.dropped.saturating_add(1);
                    continue;
                }
                reduced.resize(samples.len(), 0);
                let Some(header) = decimator.block(header, samples, &mut reduced) else { continue };
                let count = header.count as usize;
                (header, reduced.get(..count).unwrap_or_default())
            } else {
                (*header, samples)
            };
            if wish.threshold.is_some_and(|(low, high)| !Filter { low, high }.passes(samples)) {
                continue;
            }
            let payload = match &whole {
                Some(whole) if reduced.is_empty() => whole.clone(),
                _ => {
                    let Some(payload) = encode_block(&header, samples) else {
                        entry.dropped = entry.dropped.saturating_add(1);
                        continue;
                    };
                    if reduced.is_empty() {
                        whole = Some(payload.clone());
                    }
                    payload
                }
            };
            if entry.is_on_a() {
                self.send_block(index, wish.index, header.timestamp_us, &payload);
            } else {
                // A block that waits is not committed: it is not part of the record.
                let dirty = entry.queue_dirty;
                entry.drop_old_block(wish.index);
                entry.push(EventKind::Sensor, wish.index, 0, header.timestamp_us, payload);
                entry.queue_dirty = dirty;
            }
        }
    }

    /// A block for a container on A, if A is there and has given the last ones back.
    fn send_block(&mut self, index: usize, sensor: u8, time_us: u64, payload: &Payload) {
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        if !self.adopted || self.power == Power::Asleep || entry.remote_blocks.len() >= REMOTE_BLOCKS_MAX {
            return;
        }
        let Ok(block) = self.bulk_out.put(&[payload]) else { return };
        entry.remote_blocks.push(block);
        let name = entry.spec.name.clone();
        self.send(&FromM::Block { name, sensor, time_us, payload: block });
    }

    /// Does one bounded piece of work: at most one container runs for one slice.
    pub fn step(&mut self, now_us: u64, devices: &mut impl Devices) {
        self.seen_us = now_us;
        self.poll_moves(now_us);
        self.answer_device(devices);
        self.watch_pins(now_us, devices);
        self.poll_sensors(now_us, devices);
        let count = self.entries.len();
        for index in 0..count {
            self.attend(index, now_us, devices);
        }
        let turn = (0..count).map(|i| (self.next + i) % count.max(1)).find(|i| self.is_runnable(*i, now_us));
        if let Some(turn) = turn {
            self.next = turn + 1;
            self.run_slice(turn, now_us);
            self.poll_moves(now_us);
        }
    }

    pub(crate) fn is_runnable(&self, index: usize, now_us: u64) -> bool {
        self.entries
            .get(index)
            .and_then(Option::as_ref)
            .is_some_and(|e| e.has_work() && e.throttled_us(now_us).is_none())
    }

    /// When a container needs attention though nothing arrives, in microseconds.
    pub(crate) fn next_attention_us(&self) -> Option<u64> {
        let running = self.entries.iter().flatten().filter(|e| e.state == State::Running);
        let attention = |e: &Entry| match e.has_work() {
            // What its timers add meanwhile it could not take either.
            true => e.throttled_us(self.seen_us),
            false => e.body.as_ref().and_then(|b| b.deadline_without(e.waiting_timers())),
        };
        running.filter_map(attention).min()
    }

    /// Timers that are due become events; a parked container gets what it waits for.
    fn attend(&mut self, index: usize, now_us: u64, devices: &mut impl Devices) {
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        if entry.state != State::Running || entry.freeze && !entry.busy {
            return;
        }
        // What finds no room stays due: taken out of the container's state it would be lost.
        while entry.has_room(1)
            && let Some(event) = entry.body.as_mut().and_then(|body| body.due(now_us))
        {
            // A timer that nobody took yet is one event, however often it was due.
            let waits = event.kind == EventKind::Timer
                && entry.unhandled().any(|e| e.kind == EventKind::Timer && e.source == event.source);
            if !waits {
                entry.push(event.kind, event.source, event.tag, event.time_us, event.payload);
            }
            entry.state_dirty = true;
        }
        drop_stale_replies(entry, usize::from(entry.busy && !entry.command && entry.initialised));
        let Some(body) = entry.body.as_mut() else { return };
        match body.waiting() {
            None => return,
            Some(Waiting::Event { kinds }) => {
                if let Some(at) = entry.queue.iter().position(|e| kinds & e.kind.bit() != 0)
                    && let Some(event) = entry.queue.remove(at)
                {
                    (entry.queue_dirty, entry.slices) = (true, 0);
                    if event.kind == EventKind::Reply && event.source == 0 {
                        body.answered(event.tag);
                    }
                    if body.deliver(event).is_err() {
                        error!("{}: an event was lost", entry.spec.name.as_str());
                    }
                }
            }
            Some(Waiting::Notice) if !entry.queue.is_empty() => body.notice(),
            Some(Waiting::Device(call)) => {
                let call = call.clone();
                let answer = self.device(index, &call, devices);
                if let Some(Some(entry)) = self.entries.get_mut(index)
                    && let Some(body) = entry.body.as_mut()
                {
                    entry.watch_pending = matches!(call, DeviceCall::PinWatch { .. }) && answer.is_ok();
                    body.answer(answer);
                }
                return;
            }
            Some(Waiting::Notice | Waiting::Time) => {}
        }
        body.poll(now_us);
    }

    pub(crate) fn run_slice(&mut self, index: usize, now_us: u64) {
        let wall = self.wall_offset_us;
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        let Some(body) = entry.body.as_mut() else {
            // Running without a body cannot be; end it rather than spin on it.
            self.exit(index, ExitReason::StartFailed);
            return;
        };
        if !entry.busy {
            let event = if entry.initialised { entry.queue.front().cloned() } else { None };
            if let Some(reply) = event.as_ref().filter(|e| e.kind == EventKind::Reply && e.source == 0) {
                body.answered(reply.tag);
            }
            body.set_wall_offset(wall);
            body.begin(event);
            (entry.busy, entry.slices, entry.command) = (true, 0, body.is_command());
        }
        entry.slices = entry.slices.saturating_add(1);
        let before = body.usage().fuel_total;
        let step = body.run(now_us, SLICE_FUEL);
        let used = body.usage().fuel_total.saturating_sub(before);
        entry.fuel.used(used, now_us, entry.spec.limits.fuel_per_second);
        entry.watch_pending = false;
        // Its handles and watches may have changed.
        self.rewatch |= !entry.spec.grants.pins.is_empty() && step != Step::Pending;
        match step {
            Step::Pending => {}
            Step::Parked if !entry.command => {}
            Step::Parked => {
                let effects = body.take_effects();
                let time_us = self.time_us;
                // What it kept has to be committed before anything of it is seen.
                let state = body.state();
                let counters = (state.handled, state.last_request, state.random, state.config_version);
                entry.state_dirty |= entry.spec.grants.kv > 0 || entry.kept != Some(counters);
                entry.kept = Some(counters);
                self.carry_out(index, effects, time_us);
                self.commit();
            }
            Step::Exited(reason) => {
                let effects = body.take_effects();
                let time_us = self.time_us;
                // Of a command all of them, of an event only what the log gets.
                self.carry_out(index, effects, time_us);
                self.exit(index, reason);
            }
            Step::Done => {
                let mut time_us = self.time_us;
                let effects = body.take_effects();
                entry.busy = false;
                if entry.initialised {
                    if let Some(event) = entry.queue.pop_front() {
                        time_us = event.time_us;
                    }
                } else {
                    entry.initialised = true;
                }
                (entry.state_dirty, entry.queue_dirty) = (true, true);
                self.carry_out(index, effects, time_us);
                self.commit();
            }
        }
    }

    fn carry_out(&mut self, index: usize, effects: Vec<OwnedEffect>, time_us: u64) {
        let Some(Some(entry)) = self.entries.get(index) else { return };
        let spec = entry.spec.clone();
        let name = &spec.name;
        for effect in effects {
            match effect {
                OwnedEffect::Log { level, text } => guest_log(name, level, &text),
                OwnedEffect::Publish { topic, payload, retain } => {
                    if retain && !self.topics.set(&topic, payload.clone(), true) {
                        warn!("{}: no place for another retained value", name.as_str());
                    }
                    self.publish(&topic, None, time_us, &payload, true);
                }
                OwnedEffect::Request { topic, id, payload } => {
                    let payload = request_payload(name, &payload).into();
                    self.publish(&topic, Some(id), time_us, &payload, true);
                }
                OwnedEffect::Reply { to, id, payload } => self.reply(&to, id, time_us, payload, true),
                OwnedEffect::Subscribed { topic } => {
                    let value = spec.grants.subscribe.get(usize::from(topic)).and_then(|t| self.topics.get(t)).cloned();
                    if let (Some(value), Some(Some(entry))) = (value, self.entries.get_mut(index)) {
                        entry.push(EventKind::Message, topic, 0, time_us, value);
                    }
                }
                OwnedEffect::Wake { reason, payload } => self.wake(reason, time_us, payload),
                OwnedEffect::Refused { call, what } => {
                    let call_name = call.import().map_or("", |i| i.name);
                    warn!("{}: {} of {} refused: not granted", name.as_str(), call_name, what.as_str());
                    self.tell_refused(name.clone(), call);
                }
            }
        }
    }

    fn tell_refused(&mut self, name: Name, call: Call) {
        self.hold(FromM::Refused { name, call: call as u8 });
    }

    /// Keeps a message that is no reason to wake A until A is awake.
    fn hold(&mut self, message: FromM) {
        if self.held.len() < HELD_MAX {
            self.held.push_back(message);
        }
    }

    /// Delivers a message, or with `request` a request of that number, to all that subscribe the topic. One that A sent is
    /// not given back to containers that only A runs: they have it.
    pub(crate) fn publish(&mut self, topic: &str, request: Option<u32>, time_us: u64, payload: &Payload, ours: bool) {
        let (kind, tag) = request.map_or((EventKind::Message, 0), |id| (EventKind::Request, id));
        for entry in self.entries.iter_mut().flatten() {
            let Some(at) = entry.spec.grants.subscribe.iter().position(|t| t == topic) else { continue };
            let wanted = entry.body.as_ref().is_none_or(|b| b.is_subscribed(at));
            if !wanted || (!ours && entry.is_fixed_on_a()) {
                continue;
            }
            if let Ok(source) = u8::try_from(at) {
                entry.push(kind, source, tag, time_us, payload.clone());
            }
        }
    }

    /// Gives an answer to who asked, here or, if it is ours, on A.
    pub(crate) fn reply(&mut self, to: &Name, id: u32, time_us: u64, payload: Payload, ours: bool) {
        match self.find_mut(to) {
            // One on A gets it in its stream, and it is dropped there if nobody waits for it any more.
            Some((_, entry)) if entry.is_on_a() || entry.body.as_ref().is_some_and(|b| b.is_asked(id)) => {
                entry.push(EventKind::Reply, 0, id, time_us, payload);
            }
            Some(_) => {}
            // Who asked may have given up when A wakes.
            _ if ours => {
                if let Ok(payload) = heapless::Vec::from_slice(&payload) {
                    self.hold(FromM::Reply { to: to.clone(), id, payload });
                }
            }
            _ => {}
        }
    }

    fn wake(&mut self, reason: Name, time_us: u64, payload: Payload) {
        // One clock for all wakes, whoever asks and whatever clock its event had: the sensor's, and this core's since its
        // last block.
        let ledger_us = self.time_us.saturating_add(self.seen_us.saturating_sub(self.block_at_us));
        match self.ledger.request(&reason, ledger_us) {
            WakeDecision::Wake => {}
            WakeDecision::Debounced => return info!("wake for {} held back by its debounce time", reason.as_str()),
            WakeDecision::OverBudget => return warn!("wake for {} is over its budget", reason.as_str()),
            WakeDecision::UnknownReason => return warn!("no wake rule for {}", reason.as_str()),
        }
        let rules = self.ledger.policy().as_slice();
        let Some((index, rule)) = (0u8..).zip(rules).find(|(_, rule)| rule.reason == reason) else { return };
        let container = rule.container.clone();
        match self.find_mut(&container) {
            Some((_, entry)) if entry.wake_bytes() + payload.len() > WAKE_BYTES_WAITING_MAX => {
                entry.dropped = entry.dropped.saturating_add(1);
                warn!("wake for {}: A has not taken the last ones, this one is dropped", reason.as_str());
            }
            Some((_, entry)) if entry.is_on_a() => {
                info!("{} for {} at {} us", reason.as_str(), container.as_str(), time_us);
                // Until it is sent, `source` says which rule it was; the receiver gets 0.
                entry.push(EventKind::Wake, index, 0, time_us, payload);
            }
            _ => warn!("wake for {}: {} is not on A", reason.as_str(), container.as_str()),
        }
    }

    pub(crate) fn exit(&mut self, index: usize, reason: ExitReason) {
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        let text = format!("{reason}");
        match reason {
            ExitReason::Exited(0) => info!("{}: {}", entry.spec.name.as_str(), text.as_str()),
            _ => warn!("{}: {}", entry.spec.name.as_str(), text.as_str()),
        }
        entry.change(Change::Exit(reason));
        entry.drop_body();
        entry.queue.clear();
        entry.queue_dirty = true;
        entry.role = Role::None;
        self.rewatch = true;
        let message = FromM::Exited { name: entry.spec.name.clone(), reason };
        self.send(&message);
        self.commit();
    }

    /// What a new container is told first: the values that its topics have.
    pub(crate) fn push_retained(&self, entry: &mut Entry) {
        for (source, topic) in (0..).zip(entry.spec.clone().grants.subscribe.iter()) {
            let wanted = entry.body.as_ref().is_none_or(|b| b.is_subscribed(usize::from(source)));
            if let Some(value) = self.topics.get(topic).filter(|_| wanted) {
                entry.push(EventKind::Message, source, 0, self.time_us, value.clone());
            }
        }
    }

    // ---- devices -------------------------------------------------------------------------------------------------

    /// A call for the container `index` here.
    fn device(&mut self, index: usize, call: &DeviceCall, devices: &mut impl Devices) -> Result<DeviceAnswer, Errno> {
        let DeviceCall::PinWatch { label, edges, debounce_us } = call else { return execute(call, devices) };
        let (others, shortest) = self.wanted(label, Some(index));
        let debounce_us = if *edges == 0 { shortest } else { shortest.min(*debounce_us) };
        self.watch(label, others | edges, debounce_us, devices)
    }

    /// Watches a pin for all that want its edges.
    fn watch(
        &mut self,
        label: &Name,
        edges: u8,
        debounce_us: u32,
        devices: &mut impl Devices,
    ) -> Result<DeviceAnswer, Errno> {
        let debounce_us = if edges == 0 { 0 } else { debounce_us };
        let answer = execute(&DeviceCall::PinWatch { label: label.clone(), edges, debounce_us }, devices)?;
        self.watched.retain(|(known, ..)| known != label);
        if edges > 0 {
            self.watched.push((label.clone(), edges, debounce_us));
        }
        Ok(answer)
    }

    /// The edges of a pin that containers here want, but `except`, and the shortest time that a level has to last for one.
    fn wanted(&self, label: &str, except: Option<usize>) -> (u8, u32) {
        let others = self.entries.iter().enumerate().filter(|(index, _)| Some(*index) != except);
        let uses = others.filter_map(|(_, e)| watch(e.as_ref()?, label)).filter(|(_, used)| used.edges > 0);
        uses.fold((0, u32::MAX), |(edges, shortest), (_, used)| (edges | used.edges, shortest.min(used.debounce_us)))
    }

    /// Edges become events, and pins are watched as containers want it after some came, went or changed their minds.
    fn watch_pins(&mut self, now_us: u64, devices: &mut impl Devices) {
        // A container that has its answer but has not gone on does not say yet what it watches.
        if self.rewatch && !self.entries.iter().flatten().any(|e| e.watch_pending) {
            self.rewatch = false;
            let granted =
                self.entries.iter().flatten().flat_map(|e| e.spec.grants.pins.iter().map(|p| p.label.clone()));
            let labels: Vec<Name> = self.watched.iter().map(|(label, ..)| label.clone()).chain(granted).collect();
            for label in labels {
                let (edges, debounce_us) = self.wanted(&label, None);
                let known =
                    self.watched.iter().find(|(known, ..)| *known == label).map_or((0, 0), |(_, e, d)| (*e, *d));
                let unchanged = known == (edges, debounce_us) || (known.0 == 0 && edges == 0);
                if !unchanged && self.watch(&label, edges, debounce_us, devices).is_err() {
                    warn!("pin {} cannot be watched here", label.as_str());
                }
            }
        }
        self.pins_waiting = true;
        for _ in 0..PIN_EVENTS_MAX {
            let Some(event) = devices.pin_event(now_us) else {
                self.pins_waiting = false;
                return;
            };
            let edge = if event.high { 1 } else { 2 };
            for entry in self.entries.iter_mut().flatten() {
                if let Some((source, used)) = watch(entry, event.label)
                    && used.edges & edge != 0
                {
                    entry.push(EventKind::Pin, source, event.high.into(), event.time_us, Payload::default());
                }
            }
        }
    }

    /// Switches polled sensors as containers want them, and takes their blocks.
    fn poll_sensors(&mut self, now_us: u64, devices: &mut impl Devices) {
        for index in 0..self.entries.len() {
            let Some(Some(entry)) = self.entries.get(index) else { continue };
            let local = entry.spec.grants.sensors.iter().map(|s| &s.name);
            let names: Vec<Name> = local.chain(entry.remote_sensors.iter().map(|s| &s.name)).cloned().collect();
            for name in names {
                let wanted =
                    self.entries.get(index).and_then(Option::as_ref).is_some_and(|e| e.sensor_wish(&name).is_some());
                // One that this core does not have may be the other core's.
                if wanted
                    && name != BOARD_SENSOR
                    && self.sensors_on.len() < GRANTS_MAX
                    && !self.sensors_on.contains(&name)
                    && devices.sensor_enable(&name, true).is_ok()
                {
                    self.sensors_on.push(name);
                }
            }
        }
        let entries = &self.entries;
        self.sensors_on.retain(|name| {
            let wanted = entries.iter().flatten().any(|e| e.sensor_wish(name).is_some());
            if !wanted {
                // It was switched on, so it is there.
                let _ = devices.sensor_enable(name, false);
            }
            wanted
        });
        for _ in 0..POLLED_BLOCKS_MAX {
            let Some((name, block)) = devices.sensor_block(now_us) else { return };
            self.block(name, &block.header, block.samples);
        }
    }

    /// Keeps a call of A for the next step.
    pub(crate) fn device_asked(&mut self, token: u32, call: wire::DeviceCall) {
        if self.device_calls.len() < DEVICE_CALLS_MAX {
            self.device_calls.push_back((token, call));
        } else {
            self.send(&FromM::Device { token, answer: Err(Errno::Again) });
        }
    }

    fn answer_device(&mut self, devices: &mut impl Devices) {
        let Some((token, call)) = self.device_calls.pop_front() else { return };
        let call = match call {
            wire::DeviceCall::PinRead { label } => DeviceCall::PinRead { label },
            wire::DeviceCall::PinWrite { label, high } => DeviceCall::PinWrite { label, high },
            wire::DeviceCall::I2c { bus, address, write, read } => {
                DeviceCall::I2c { bus, address, write: write.to_vec(), read }
            }
            wire::DeviceCall::Spi { device, write, read } => DeviceCall::Spi { device, write: write.to_vec(), read },
            wire::DeviceCall::SensorInfo { name } => DeviceCall::SensorInfo { name },
        };
        let answer = execute(&call, devices).and_then(|answer| {
            Ok(match answer {
                DeviceAnswer::Done => wire::DeviceAnswer::Done,
                DeviceAnswer::Level(high) => wire::DeviceAnswer::Level(high),
                DeviceAnswer::Info(info) => wire::DeviceAnswer::Info(info),
                DeviceAnswer::Bytes(bytes) => {
                    wire::DeviceAnswer::Bytes(heapless::Vec::from_slice(&bytes).map_err(|_| Errno::TooLarge)?)
                }
            })
        });
        self.send(&FromM::Device { token, answer });
    }
}

/// The handle of the pin with that label in a container here that has it open, and what it asked.
fn watch(entry: &Entry, label: &str) -> Option<(u8, PinUse)> {
    let body: &Container = entry.body.as_ref().filter(|_| entry.state == State::Running).map(Box::as_ref)?;
    let at = entry.spec.grants.pins.iter().position(|p| p.label == label)?;
    let handle = u8::try_from(FIRST_PIN + at).ok()?;
    let open = body.state().handles.checked_shr(handle.into()).unwrap_or(0) & 1 == 1;
    Some((handle, *body.state().pins.get(at)?)).filter(|_| open)
}

/// Takes answers out of the queue that nobody waits for any more; the event being handled stays.
fn drop_stale_replies(entry: &mut Entry, handled: usize) {
    let Some(body) = entry.body.as_ref() else { return };
    let mut place = 0;
    entry.queue.retain(|e| {
        place += 1;
        place <= handled || e.kind != EventKind::Reply || e.source != 0 || body.is_asked(e.tag)
    });
}

/// `None` when there is no memory for it.
fn encode_block(header: &BlockHeader, samples: &[i16]) -> Option<Payload> {
    let mut payload = Vec::new();
    payload.try_reserve_exact(BlockHeader::BYTES + 2 * samples.len()).ok()?;
    payload.extend_from_slice(&header.to_bytes());
    for sample in samples {
        payload.extend_from_slice(&sample.to_le_bytes());
    }
    Some(payload.into())
}

fn guest_log(name: &Name, level: u8, text: &str) {
    match level {
        1 => error!("{}: {}", name.as_str(), text),
        2 => warn!("{}: {}", name.as_str(), text),
        3 => info!("{}: {}", name.as_str(), text),
        _ => coracle_board_api::debug!("{}: {}", name.as_str(), text),
    }
}
