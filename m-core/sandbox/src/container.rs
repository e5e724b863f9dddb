//! A module, its instance and its state, as one thing that is loaded, run, captured and dropped.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use coracle_container::{ContainerSpec, DeviceAnswer, Kv, OwnedEffect, OwnedEvent, Step, Text, Usage, Waiting};
use coracle_guest_abi::{
    EXPORT_COMMAND, EXPORT_GLOBAL_PREFIX, EXPORT_INIT, EXPORT_INITIALIZE, EXPORT_MEMORY, EXPORT_ON_EVENT, EXPORT_START,
    Errno, Name, STACK_BYTES_MAX, STACK_BYTES_MIN,
};
use coracle_lifecycle::{ExitReason, TrapKind};
use coracle_migrate::snapshot::{
    self, DigestBytes, EventHead, GLOBALS_MAX, GlobalValue, Head, HostState, Snapshot, state_digest,
};
use sha2::{Digest, Sha256};
use wasmi::{
    CompilationMode, Config, CustomFuelCosts, Engine, Error, Extern, ExternType, Func, Global, Instance, MemoryType,
    Module, Mutability, ResumableCall, ResumableCallHostTrap, ResumableCallOutOfFuel, Store, TrapCode, Val, ValType,
};

use crate::host::{Host, host};
use crate::link::{Stop, link, resumed};
use crate::{CaptureError, LoadError, error::detail, sections};

/// Most nested calls. A guest that nests deeper exits with `StackExhausted`.
pub const RECURSION_DEPTH_MAX: usize = 256;
/// Bytes that `memory.copy`, `memory.fill` and `memory.grow` move for one unit of fuel. More than they cost, but it is
/// what Wasmtime charges, and an event's fuel should last about as long on both cores.
pub const COPIED_BYTES_PER_FUEL: u32 = 1;

/// A loaded container. Holding one proves that its module is the image its specification names, that every import it
/// has is granted, and that its memory is within its limit.
pub struct Container {
    store: Store<Host>,
    globals: Globals,
    exports: Exports,
    activity: Activity,
    event_fuel: u64,
    fuel_total: u64,
    /// Events it had handled when it was loaded here.
    handled_before: u64,
}

type Globals = heapless::Vec<Global, GLOBALS_MAX>;

/// The functions that the container itself calls.
struct Exports {
    start: Option<Func>,
    initialize: Option<Func>,
    init: Option<Func>,
    /// `on_event` or `_start`.
    main: Func,
}

enum Activity {
    Idle,
    Running { stage: Stage, call: Call },
    Exited(ExitReason),
}

#[derive(Clone, Copy)]
enum Stage {
    Start,
    Initialize,
    Init,
    Event,
    Command,
}

/// How a stage goes on.
enum Call {
    Fresh,
    Interrupted(ResumableCallOutOfFuel),
    Parked(ResumableCallHostTrap),
}

impl Container {
    /// Makes a fresh container of a prepared module. No guest code runs.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(module: &[u8], spec: Arc<ContainerSpec>) -> Result<Self, LoadError> {
        Self::instantiate(module, spec, HostState::default(), Kv::default())
    }

    /// Makes a container that goes on where the one of the snapshot stopped. No guest code runs; the snapshot's
    /// undelivered events are the supervisor's to queue.
    ///
    /// # Errors
    /// See [`LoadError`]; a snapshot that does not fit the module and its limits is refused as a whole.
    pub fn restore(module: &[u8], spec: Arc<ContainerSpec>, snapshot: &Snapshot<'_>) -> Result<Self, LoadError> {
        let head = snapshot.head();
        if head.image != spec.image {
            return Err(LoadError::SnapshotImage);
        }
        let kv = Kv::from_bytes(snapshot.kv())
            .filter(|kv| kv.as_bytes().len() <= usize::from(spec.grants.kv))
            .ok_or(LoadError::SnapshotKv)?;
        let mut container = Self::instantiate(module, spec, head.host, kv)?;
        if !head.host.initialised && head.memory_len == 0 && head.globals.is_empty() {
            // Of a container that has to start again; see `capture_host`.
            return Ok(container);
        }
        container.restore_memory(snapshot)?;
        if head.globals.len() != container.globals.len() {
            return Err(LoadError::SnapshotGlobals);
        }
        for (global, value) in container.globals.iter().zip(&head.globals) {
            global.set(&mut container.store, to_val(*value)).map_err(|_| LoadError::SnapshotGlobals)?;
        }
        Ok(container)
    }

    // ---- running -------------------------------------------------------------------------------------------------

    /// Begins an event, or with `None` the container's first run: the module's former `start` function, then
    /// `_initialize`, then `init` or the command `_start`, whichever exist. The container must be idle, and a command
    /// takes its events itself; otherwise the call does nothing. Effects of the event before that nobody took are
    /// dropped.
    pub fn begin(&mut self, event: Option<OwnedEvent>) {
        if !self.is_idle() || (event.is_some() && self.is_command()) {
            return;
        }
        let stage = if event.is_some() { Stage::Event } else { Stage::Start };
        let host = self.store.data_mut();
        host.event = event;
        host.effects.clear();
        self.event_fuel = 0;
        self.activity = Activity::Running { stage, call: Call::Fresh };
    }

    /// Continues what [`Container::begin`] began for about `slice_fuel` units of fuel: a little more when the guest
    /// stands before a stretch of code that is only run as a whole. `now_us` is the core's clock. An event that needs
    /// more than `limits.fuel_per_event` in all ends the container; for a command that is what it uses between two
    /// waits for something outside.
    ///
    /// A function is translated when it is first called, which costs no fuel and is not interrupted; image preparation
    /// bounds how long it takes. The engine charges a stretch of code up to the next label when it enters it, so an
    /// event costs at least as much fuel here as on the A core: a budget that suffices here suffices there.
    ///
    /// When the container exits, effects that nobody took are dropped, but not its log lines; a command that ended itself
    /// ([`ExitReason::Exited`]) keeps them all.
    pub fn run(&mut self, now_us: u64, slice_fuel: u64) -> Step {
        self.store.data_mut().set_now(now_us);
        self.store.data_mut().work = 0;
        let mut slice_left = slice_fuel;
        loop {
            let (stage, call) = match mem::replace(&mut self.activity, Activity::Idle) {
                Activity::Idle => return Step::Done,
                Activity::Exited(reason) => {
                    self.activity = Activity::Exited(reason);
                    return Step::Exited(reason);
                }
                Activity::Running { stage, call } => (stage, call),
            };
            let (required, value) = match &call {
                Call::Fresh => (0, None),
                Call::Interrupted(call) => (call.required_fuel(), None),
                Call::Parked(stopped) => {
                    let yielded = match stopped.host_error().downcast_ref() {
                        Some(Stop::Yielded { value, .. }) => Some(*value),
                        _ => None,
                    };
                    let Some(value) = yielded.or_else(|| self.wait_result()) else {
                        self.activity = Activity::Running { stage, call };
                        return Step::Parked;
                    };
                    (0, Some(value))
                }
            };
            let budget_left = self.store.data().spec.limits.fuel_per_event.saturating_sub(self.event_fuel);
            if required > budget_left {
                return self.exit(ExitReason::OutOfFuel);
            }
            let granted = slice_left.max(required).min(budget_left);
            let Some(func) = self.function(stage) else {
                self.finish(stage);
                continue;
            };
            let outcome = self.call(func, stage, call, value, granted);
            let used = granted.saturating_sub(self.store.get_fuel().unwrap_or(0));
            self.event_fuel = self.event_fuel.saturating_add(used);
            self.fuel_total = self.fuel_total.saturating_add(used);
            slice_left = slice_left.saturating_sub(used);
            match outcome {
                Ok(Outcome::Returned(code)) if code < 0 => return self.exit(ExitReason::Returned(code)),
                Ok(Outcome::Returned(_)) => self.finish(stage),
                Ok(Outcome::Interrupted(call)) => {
                    self.activity = Activity::Running { stage, call: Call::Interrupted(call) };
                    if granted == budget_left {
                        return self.exit(ExitReason::OutOfFuel);
                    }
                    return Step::Pending;
                }
                Ok(Outcome::Parked(call)) => {
                    self.activity = Activity::Running { stage, call: Call::Parked(call) };
                    return Step::Parked;
                }
                Ok(Outcome::Yielded(call)) => {
                    self.activity = Activity::Running { stage, call: Call::Parked(call) };
                    return Step::Pending;
                }
                Err(reason) => return self.exit(reason),
            }
        }
    }

    /// Whether the container is between events and did not exit: the safe point at which it can be captured.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.activity, Activity::Idle)
    }

    /// Whether its module is a command, which runs `_start` and waits for its events itself.
    #[must_use]
    pub fn is_command(&self) -> bool {
        self.store.data().command
    }

    /// What the guest asked for, in order. Take it when the event is done; of a command, whenever it is parked.
    pub fn take_effects(&mut self) -> Vec<OwnedEffect> {
        mem::take(&mut self.store.data_mut().effects)
    }

    // ---- waiting -------------------------------------------------------------------------------------------------

    /// What a parked container waits for; `None` when it is not parked, or what it waits for has come.
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting<'_>> {
        self.store.data().waiting()
    }

    /// Gives a waiting container its event; gives it back when it does not wait for one of that kind.
    ///
    /// # Errors
    /// The event.
    pub fn deliver(&mut self, event: OwnedEvent) -> Result<(), OwnedEvent> {
        self.store.data_mut().deliver(event)
    }

    /// Tells a container that waits for it that an event waits in its queue.
    pub fn notice(&mut self) {
        self.store.data_mut().notice();
    }

    /// Gives the answer to the device call that the container waits for; otherwise does nothing.
    pub fn answer(&mut self, answer: Result<DeviceAnswer, Errno>) {
        self.store.data_mut().answer(answer);
    }

    /// Ends the wait if its time is over at `now_us` of the core's clock.
    pub fn poll(&mut self, now_us: u64) {
        let host = self.store.data_mut();
        host.set_now(now_us);
        host.poll();
    }

    /// The next event that time alone causes, if one is due at `now_us` of the core's clock. Call it until it is `None`.
    pub fn due(&mut self, now_us: u64) -> Option<OwnedEvent> {
        let host = self.store.data_mut();
        host.set_now(now_us);
        host.due()
    }

    /// When the supervisor has to look at the container at the latest, on the core's clock.
    #[must_use]
    pub fn deadline_us(&self) -> Option<u64> {
        self.store.data().deadline_us()
    }

    /// Ends a request because its answer is about to be handed over; false when nobody waits for it any more.
    pub fn answered(&mut self, id: u32) -> bool {
        self.store.data_mut().answered(id)
    }

    /// Whether it still waits for an answer to that request.
    #[must_use]
    pub fn is_asked(&self, id: u32) -> bool {
        self.store.data().is_asked(id)
    }

    /// [`Container::deadline_us`] without these timers (bits); with all bits without requests too.
    #[must_use]
    pub fn deadline_without(&self, timers: u8) -> Option<u64> {
        self.store.data().deadline_without(timers)
    }

    // ---- state ---------------------------------------------------------------------------------------------------

    /// The specification that it was loaded with. Its configuration is what it is now.
    #[must_use]
    pub fn spec(&self) -> &Arc<ContainerSpec> {
        &self.store.data().spec
    }

    /// The host-side state.
    #[must_use]
    pub fn state(&self) -> &HostState {
        &self.store.data().state
    }

    /// The host-side state, for the supervisor to move its cursor.
    pub fn state_mut(&mut self) -> &mut HostState {
        &mut self.store.data_mut().state
    }

    /// The key-value store.
    #[must_use]
    pub fn kv(&self) -> &Kv {
        &self.store.data().kv
    }

    /// Whether it wants the messages of its granted topic with that index now.
    #[must_use]
    pub fn is_subscribed(&self, topic: usize) -> bool {
        self.store.data().is_subscribed(topic)
    }

    /// Replaces the configuration. The event that tells it is the supervisor's to queue, with this payload: the keys that
    /// changed, one a line. `None` when nothing did.
    pub fn configure(&mut self, config: &[(Name, Text)]) -> Option<Vec<u8>> {
        self.store.data_mut().configure(config)
    }

    /// Sets Unix time minus the core's clock, in microseconds; `None` when the core does not know it.
    pub fn set_wall_offset(&mut self, offset_us: Option<i64>) {
        self.store.data_mut().wall_offset_us = offset_us;
    }

    /// Encodes the container's state and the events that wait for it into `out`; returns the bytes used.
    ///
    /// # Errors
    /// [`CaptureError::NotIdle`] unless [`Container::is_idle`]; otherwise what the snapshot format refuses.
    pub fn capture<'e>(
        &self,
        queued: impl Iterator<Item = (EventHead, &'e [u8])> + Clone,
        out: &mut [u8],
    ) -> Result<usize, CaptureError> {
        if !self.is_idle() {
            return Err(CaptureError::NotIdle);
        }
        Ok(snapshot::encode(&self.head(), self.kv().as_bytes(), queued, self.memory(), out)?)
    }

    /// Encodes what survives when the container has to start again: its store, its clock, its counters. For a command,
    /// which is never between events. Returns the bytes used.
    ///
    /// # Errors
    /// What the snapshot format refuses.
    pub fn capture_host(&self, out: &mut [u8]) -> Result<usize, CaptureError> {
        let host = self.store.data().surviving_state();
        let head = Head { host, globals: heapless::Vec::new(), ..self.head() };
        Ok(snapshot::encode(&head, self.kv().as_bytes(), core::iter::empty(), &[], out)?)
    }

    /// The digest of the state that the guest itself can tell apart; equal on both cores after equal events.
    #[must_use]
    pub fn state_digest(&self) -> DigestBytes {
        state_digest(&self.head(), self.kv().as_bytes(), self.memory())
    }

    /// What it has used since it was loaded here.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let host = self.store.data();
        Usage {
            memory_bytes: self.memory().len(),
            fuel_total: self.fuel_total,
            events: host.state.handled.saturating_sub(self.handled_before),
            refused_calls: host.refused_calls,
            logs_dropped: host.logs_dropped,
        }
    }

    fn instantiate(bytes: &[u8], spec: Arc<ContainerSpec>, state: HostState, kv: Kv) -> Result<Self, LoadError> {
        if Sha256::digest(bytes)[..] != spec.image {
            return Err(LoadError::Digest);
        }
        if !sections::fit(bytes) {
            return Err(LoadError::NotWasm { detail: detail("a section reaches beyond the end") });
        }
        let mut config = config();
        let stack = spec.limits.stack.clamp(STACK_BYTES_MIN, STACK_BYTES_MAX);
        config.set_max_stack_height(stack as usize);
        let engine = Engine::new(&config);
        let module = Module::new(&engine, bytes).map_err(|e| LoadError::NotWasm { detail: detail(e) })?;
        if let Some(ExternType::Memory(ty)) = module.get_export(EXPORT_MEMORY) {
            let need = ty.minimum().saturating_mul(page_size(ty));
            if need > u64::from(spec.limits.memory) {
                return Err(LoadError::Memory { need, limit: spec.limits.memory });
            }
        }
        let handled_before = state.handled;
        let mut store = Store::new(&engine, host(spec, state, kv));
        store.limiter(|host| &mut host.limits);
        let imports = link(&mut store, &module)?;
        let instance =
            Instance::new(&mut store, &module, &imports).map_err(|e| LoadError::Instantiate { detail: detail(e) })?;
        let globals = find_globals(&store, instance)?;
        let memory = instance.get_memory(&store, EXPORT_MEMORY);
        let on_event = optional(&store, instance, EXPORT_ON_EVENT, &[ValType::I32; 3], &[ValType::I32])?;
        let command = optional(&store, instance, EXPORT_COMMAND, &[], &[])?;
        let host = store.data_mut();
        host.memory = memory;
        host.command = command.is_some();
        let main = match (on_event, command) {
            (Some(_), Some(_)) => return Err(LoadError::BothStyles),
            (None, None) => return Err(LoadError::MissingExport { name: EXPORT_ON_EVENT }),
            (Some(main), None) | (None, Some(main)) => main,
        };
        let exports = Exports {
            start: optional(&store, instance, EXPORT_START, &[], &[])?,
            initialize: optional(&store, instance, EXPORT_INITIALIZE, &[], &[])?,
            init: optional(&store, instance, EXPORT_INIT, &[], &[ValType::I32])?,
            main,
        };
        Ok(Self { store, globals, exports, activity: Activity::Idle, event_fuel: 0, fuel_total: 0, handled_before })
    }

    fn restore_memory(&mut self, snapshot: &Snapshot<'_>) -> Result<(), LoadError> {
        let len = snapshot.head().memory_len;
        let refused = LoadError::SnapshotMemory { len };
        let Some(memory) = self.store.data().memory else {
            return if len == 0 { Ok(()) } else { Err(refused) };
        };
        let page = page_size(memory.ty(&self.store));
        let min = u64::try_from(memory.data_size(&self.store)).unwrap_or(u64::MAX);
        let Some(more) = u64::from(len).checked_sub(min).filter(|more| more % page == 0) else {
            return Err(refused);
        };
        // Growing through the API costs fuel like the guest's own growing.
        let grown = self.store.set_fuel(u64::MAX).is_ok() && memory.grow(&mut self.store, more / page).is_ok();
        if !grown || snapshot.fill_memory(memory.data_mut(&mut self.store)).is_err() {
            return Err(refused);
        }
        Ok(())
    }

    fn function(&self, stage: Stage) -> Option<Func> {
        match stage {
            Stage::Start => self.exports.start,
            Stage::Initialize => self.exports.initialize,
            Stage::Init => self.exports.init,
            Stage::Event | Stage::Command => Some(self.exports.main),
        }
    }

    /// The result of the call that the guest is parked in, if it has come.
    fn wait_result(&mut self) -> Option<i64> {
        let is_new_turn = self.is_command() && self.store.data().is_new_turn();
        let value = match self.store.data().memory {
            Some(memory) => {
                let (bytes, host) = memory.data_and_store_mut(&mut self.store);
                host.resume(bytes)
            }
            None => self.store.data_mut().resume(&mut []),
        };
        if is_new_turn {
            self.event_fuel = 0;
        }
        value
    }

    /// Calls, or goes on with the value that the guest waited for.
    fn call(
        &mut self,
        func: Func,
        stage: Stage,
        call: Call,
        value: Option<i64>,
        fuel: u64,
    ) -> Result<Outcome, ExitReason> {
        self.store.set_fuel(fuel).map_err(|e| exit_reason(&e))?;
        let mut result = [Val::I32(0)];
        let results = if matches!(stage, Stage::Init | Stage::Event) { &mut result[..] } else { &mut [] };
        let outcome = match call {
            Call::Interrupted(call) => call.resume(&mut self.store, results),
            Call::Parked(call) => {
                let Some(Stop::Parked { call: parked_in } | Stop::Yielded { call: parked_in, .. }) =
                    call.host_error().downcast_ref()
                else {
                    return Err(ExitReason::Trap);
                };
                let value = resumed(*parked_in, value.unwrap_or(0));
                call.resume(&mut self.store, &[value], results)
            }
            Call::Fresh => match (stage, &self.store.data().event) {
                (Stage::Event, Some(event)) => {
                    let args = [event.kind as i32, i32::from(event.source), event.guest_len()].map(Val::I32);
                    func.call_resumable(&mut self.store, &args, results)
                }
                _ => func.call_resumable(&mut self.store, &[], results),
            },
        };
        match outcome {
            Ok(ResumableCall::Finished) => Ok(Outcome::Returned(result[0].i32().unwrap_or(0))),
            Ok(ResumableCall::OutOfFuel(call)) => Ok(Outcome::Interrupted(call)),
            Ok(ResumableCall::HostTrap(call)) => match call.host_error().downcast_ref() {
                Some(Stop::Parked { .. }) => Ok(Outcome::Parked(call)),
                Some(Stop::Yielded { .. }) => Ok(Outcome::Yielded(call)),
                Some(Stop::Exit(code)) => Err(ExitReason::Exited(*code)),
                None => Err(exit_reason(call.host_error())),
            },
            Err(e) => Err(exit_reason(&e)),
        }
    }

    fn finish(&mut self, stage: Stage) {
        let next = match stage {
            Stage::Start => Stage::Initialize,
            Stage::Initialize if self.is_command() => Stage::Command,
            Stage::Initialize => Stage::Init,
            Stage::Init => {
                self.store.data_mut().event_done();
                self.store.data_mut().state.initialised = true;
                return;
            }
            Stage::Event => return self.store.data_mut().event_done(),
            Stage::Command => {
                self.exit(ExitReason::Exited(0));
                return;
            }
        };
        self.activity = Activity::Running { stage: next, call: Call::Fresh };
    }

    fn exit(&mut self, reason: ExitReason) -> Step {
        let host = self.store.data_mut();
        if host.command && matches!(reason, ExitReason::Exited(_)) {
            // Nobody undoes what it did in its last turn: it came to its end.
            host.event_done();
        } else {
            host.abandon();
        }
        // The stacks of a call that does not go on are given back here.
        self.activity = Activity::Exited(reason);
        Step::Exited(reason)
    }

    fn memory(&self) -> &[u8] {
        self.store.data().memory.map_or(&[], |m| m.data(&self.store))
    }

    fn head(&self) -> Head {
        let host = self.store.data();
        Head {
            name: host.spec.name.clone(),
            image: host.spec.image,
            host: host.state,
            globals: self.globals.iter().filter_map(|g| from_val(&g.get(&self.store))).collect(),
            memory_len: 0,
            kv_len: 0,
            events: 0,
        }
    }
}

enum Outcome {
    Returned(i32),
    Interrupted(ResumableCallOutOfFuel),
    Parked(ResumableCallHostTrap),
    /// Stopped within a host call that has its result.
    Yielded(ResumableCallHostTrap),
}

/// The engine's settings, also for tests that run modules on it without a container. The features are those that image
/// preparation admits and the A core's engine has; every one that the engine knows is named here, on or off.
#[must_use]
pub fn config() -> Config {
    let mut config = Config::default();
    config
        .wasm_mutable_global(true)
        .wasm_sign_extension(true)
        .wasm_saturating_float_to_int(true)
        .wasm_multi_value(true)
        .wasm_bulk_memory(true)
        .wasm_extended_const(true)
        .wasm_custom_page_sizes(true)
        .floats(true)
        .wasm_multi_memory(false)
        .wasm_reference_types(false)
        .wasm_tail_call(false)
        .wasm_wide_arithmetic(false)
        .consume_fuel(true)
        // Operators cost what the engine charges by default, the same as on the A core: a table of our own would be
        // copied for every function that is translated.
        // Translation costs nothing: a first call that ran out of fuel while translating could not be resumed.
        // Preparation bounds the size of bodies instead.
        .fuel_cost(CustomFuelCosts {
            bytes_copied_per_fuel: COPIED_BYTES_PER_FUEL,
            fuel_per_bytes_translated: 0,
            fuel_per_bytes_validated: 0,
        })
        // All is validated at load, and a function is translated when it is first called: code that never runs costs
        // its Wasm bytes only.
        .compilation_mode(CompilationMode::LazyTranslation)
        .ignore_custom_sections(true)
        // Instantiation cannot be interrupted, so it must not run guest code.
        .allow_start_fn(false)
        .set_max_recursion_depth(RECURSION_DEPTH_MAX)
        .set_min_stack_height(STACK_BYTES_MIN as usize)
        .set_max_stack_height(STACK_BYTES_MAX as usize)
        .set_max_cached_stacks(1);
    config
}

/// The exported mutable globals in the order of their indices, whatever order the exports have.
fn find_globals(store: &Store<Host>, instance: Instance) -> Result<Globals, LoadError> {
    let mut found: heapless::Vec<(u32, Global), GLOBALS_MAX> = heapless::Vec::new();
    for export in instance.exports(store) {
        let Some(index) = export.name().strip_prefix(EXPORT_GLOBAL_PREFIX).and_then(|n| n.parse().ok()) else {
            continue;
        };
        let Some(global) = export.into_global().filter(|g| g.ty(store).mutability() == Mutability::Var) else {
            continue;
        };
        found.push((index, global)).map_err(|_| LoadError::TooManyGlobals)?;
    }
    found.sort_unstable_by_key(|(index, _)| *index);
    Ok(found.into_iter().map(|(_, global)| global).collect())
}

/// The page size of a memory in bytes. The engine does not tell it, but it compares types, and there are two sizes.
fn page_size(ty: MemoryType) -> u64 {
    let mut bytewise = MemoryType::builder();
    bytewise.min(ty.minimum()).max(ty.maximum()).page_size_log2(0);
    if bytewise.build().is_ok_and(|b| b == ty) { 1 } else { 65_536 }
}

/// The function exported under `name`; a wrong type is an error, absence is not.
fn optional(
    store: &Store<Host>,
    instance: Instance,
    name: &'static str,
    params: &[ValType],
    results: &[ValType],
) -> Result<Option<Func>, LoadError> {
    match instance.get_export(store, name) {
        None => Ok(None),
        Some(Extern::Func(func)) => {
            let ty = func.ty(store);
            if ty.params() == params && ty.results() == results {
                Ok(Some(func))
            } else {
                Err(LoadError::MissingExport { name })
            }
        }
        Some(_) => Err(LoadError::MissingExport { name }),
    }
}

fn exit_reason(error: &Error) -> ExitReason {
    let kind = match error.as_trap_code() {
        Some(TrapCode::StackOverflow) => return ExitReason::StackExhausted,
        Some(TrapCode::OutOfFuel) => return ExitReason::OutOfFuel,
        Some(TrapCode::GrowthOperationLimited | TrapCode::OutOfSystemMemory) => return ExitReason::OutOfMemory,
        Some(TrapCode::UnreachableCodeReached) => TrapKind::Unreachable,
        Some(TrapCode::MemoryOutOfBounds) => TrapKind::MemoryOutOfBounds,
        Some(TrapCode::TableOutOfBounds) => TrapKind::TableOutOfBounds,
        Some(TrapCode::IndirectCallToNull) => TrapKind::IndirectCallToNull,
        Some(TrapCode::BadSignature) => TrapKind::BadSignature,
        Some(TrapCode::IntegerDivisionByZero) => TrapKind::DivisionByZero,
        Some(TrapCode::IntegerOverflow) => TrapKind::IntegerOverflow,
        Some(TrapCode::BadConversionToInteger) => TrapKind::BadConversion,
        // The engine gave up over the module itself, such as a function that it cannot translate.
        None => return ExitReason::Trap,
    };
    // This engine does not tell where.
    ExitReason::Trapped(kind, None)
}

fn to_val(value: GlobalValue) -> Val {
    match value {
        GlobalValue::I32(bits) => Val::I32(bits.cast_signed()),
        GlobalValue::I64(bits) => Val::I64(bits.cast_signed()),
        GlobalValue::F32(bits) => Val::F32(wasmi::F32::from_bits(bits)),
        GlobalValue::F64(bits) => Val::F64(wasmi::F64::from_bits(bits)),
    }
}

/// The value of a global; `None` for types that no module here can have (references, vectors).
fn from_val(value: &Val) -> Option<GlobalValue> {
    Some(match value {
        Val::I32(v) => GlobalValue::I32(v.cast_unsigned()),
        Val::I64(v) => GlobalValue::I64(v.cast_unsigned()),
        Val::F32(v) => GlobalValue::F32(v.to_bits()),
        Val::F64(v) => GlobalValue::F64(v.to_bits()),
        Val::V128(_) | Val::FuncRef(_) | Val::ExternRef(_) => return None,
    })
}
