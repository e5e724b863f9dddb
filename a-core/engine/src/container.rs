//! An instance and its state, as one thing that is loaded, run, captured and dropped.

use std::mem;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use coracle_container::{ContainerSpec, DeviceAnswer, Kv, OwnedEffect, OwnedEvent, Step, Text, Usage, Waiting};
use coracle_guest_abi::{
    EXPORT_COMMAND, EXPORT_GLOBAL_PREFIX, EXPORT_INIT, EXPORT_INITIALIZE, EXPORT_MEMORY, EXPORT_ON_EVENT, EXPORT_START,
    Errno, Name, find_import,
};
use coracle_lifecycle::{ExitReason, Place, TrapKind};
use coracle_migrate::snapshot::{
    self, DigestBytes, EventHead, GLOBALS_MAX, GlobalValue, Head, HostState, Snapshot, state_digest,
};
use sha2::{Digest, Sha256};
use wasmtime::{
    Error, Extern, ExternType, FuncType, Global, Instance, Module, Mutability, Store, Trap, TypedFunc, Val,
    WasmBacktrace, WasmParams, WasmResults,
};

use crate::host::{CALLS_PER_SLICE_MAX, Data, Host, Lent, ProcessExit, Side, function, lock, signature};
use crate::{CaptureError, EngineHandle, LoadError};

/// Fuel after which a guest gives the thread back to [`Container::run`], which counts slices in steps of it.
const YIELD_FUEL: u64 = 100_000;

/// A loaded container. Holding one proves that its module is the image its specification names, that every import it
/// has is granted, and that its memory is within its limit.
pub struct Container {
    side: Side,
    lent: Lent,
    activity: Activity,
    command: bool,
    /// The globals' values at the last safe point: Wasmtime reads a global only through a mutable store, and a capture
    /// must not need one.
    values: heapless::Vec<GlobalValue, GLOBALS_MAX>,
    /// Events that it had handled when it was loaded here.
    handled_before: u64,
}

type Globals = heapless::Vec<Global, GLOBALS_MAX>;

enum Activity {
    Idle(Box<Machine>),
    Begun(Box<Machine>),
    Running {
        call: Pin<Box<dyn Future<Output = Ended> + Send>>,
        /// Fuel between two yields.
        interval: u64,
    },
    /// For good. The machine is kept for what can be asked of it afterwards.
    Exited(ExitReason, Option<Box<Machine>>),
}

/// The end of a call into the guest.
struct Ended {
    machine: Box<Machine>,
    result: Result<i32, Error>,
}

/// The engine's part of a container. While the guest is suspended it is inside the call's future.
struct Machine {
    store: Store<Data>,
    globals: Globals,
    start: Option<TypedFunc<(), ()>>,
    initialize: Option<TypedFunc<(), ()>>,
    entry: Entry,
}

enum Entry {
    Events { init: Option<TypedFunc<(), i32>>, on_event: TypedFunc<(i32, i32, i32), i32> },
    Command(TypedFunc<(), ()>),
}

impl Container {
    /// Makes a fresh container of a prepared module, which is compiled unless `engine` still has it. No guest code
    /// runs.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(engine: &EngineHandle, module: &[u8], spec: Arc<ContainerSpec>) -> Result<Self, LoadError> {
        Self::instantiate(engine, module, spec, HostState::default(), Kv::default())
    }

    /// Makes a fresh container that keeps what an earlier one had beside its memory: for one that no snapshot holds.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_with(
        engine: &EngineHandle,
        module: &[u8],
        spec: Arc<ContainerSpec>,
        state: HostState,
        kv: Kv,
    ) -> Result<Self, LoadError> {
        Self::instantiate(engine, module, spec, state, kv)
    }

    /// Makes a container that goes on where the one of the snapshot stopped. No guest code runs; the snapshot's
    /// undelivered events are the supervisor's to queue.
    ///
    /// # Errors
    /// See [`LoadError`]; a snapshot that does not fit the module and its limits is refused as a whole.
    pub fn restore(
        engine: &EngineHandle,
        module: &[u8],
        spec: Arc<ContainerSpec>,
        snapshot: &Snapshot<'_>,
    ) -> Result<Self, LoadError> {
        let head = snapshot.head();
        if head.image != spec.image {
            return Err(LoadError::SnapshotImage);
        }
        let kv = Kv::from_bytes(snapshot.kv())
            .filter(|kv| kv.as_bytes().len() <= usize::from(spec.grants.kv))
            .ok_or(LoadError::SnapshotKv)?;
        let mut container = Self::instantiate(engine, module, spec, head.host, kv)?;
        if !head.host.initialised && head.memory_len == 0 && head.globals.is_empty() {
            // Of a container that has to start again; see `capture_host`.
            return Ok(container);
        }
        if let Activity::Idle(machine) = &mut container.activity {
            machine.restore(snapshot)?;
            container.values = machine.read_globals();
            container.side.memory_bytes = machine.memory().len();
        }
        Ok(container)
    }

    fn instantiate(
        engine: &EngineHandle,
        bytes: &[u8],
        spec: Arc<ContainerSpec>,
        state: HostState,
        kv: Kv,
    ) -> Result<Self, LoadError> {
        if Sha256::digest(bytes)[..] != spec.image {
            return Err(LoadError::Digest);
        }
        let module = engine.module(&spec.image, bytes, spec.limits.stack)?;
        if has_start_section(bytes) {
            return Err(LoadError::NotWasm { detail: "it has a start section, which would run unlimited".to_owned() });
        }
        if let Some(ExternType::Memory(ty)) = module.get_export(EXPORT_MEMORY) {
            let need = ty.minimum().saturating_mul(ty.page_size());
            if need > u64::from(spec.limits.memory) {
                return Err(LoadError::Memory { need, limit: spec.limits.memory });
            }
        }
        let lent = Arc::new(Mutex::new(Side::nobody()));
        let mut machine = Machine::new(&module, &spec, &lent)?;
        let mut host = Host::new(spec, state, kv, ());
        host.command = matches!(machine.entry, Entry::Command(_));
        let mut side = Side::new(host);
        side.memory_bytes = machine.memory().len();
        Ok(Self {
            command: side.host.command,
            values: machine.read_globals(),
            handled_before: side.host.state.handled,
            side,
            lent,
            activity: Activity::Idle(Box::new(machine)),
        })
    }

    // ---- running -------------------------------------------------------------------------------------------------

    /// Begins an event, or with `None` the container's first run: the module's former `start` function, then
    /// `_initialize` and `init`, whichever exist, or `_start` of a command. The container must be idle, and a command
    /// takes its events by itself; otherwise the call does nothing. Effects that nobody took are dropped.
    pub fn begin(&mut self, event: Option<OwnedEvent>) {
        if self.command && event.is_some() {
            return;
        }
        self.activity = match mem::replace(&mut self.activity, Activity::Exited(ExitReason::Trap, None)) {
            Activity::Idle(machine) => {
                self.side.host.event = event;
                self.side.host.effects.clear();
                Activity::Begun(machine)
            }
            other => other,
        };
    }

    /// Moves the container's clock to `now_us`, a time of this core's clock, and continues what [`Container::begin`]
    /// began for about `slice_fuel` units of fuel, counted in steps of 100 000, or for 1000 host calls. An event that needs more than
    /// `limits.fuel_per_event` in all ends the container; of a command, every wait for an event or the time starts that
    /// budget anew.
    ///
    /// When the container exits, all effects that nobody took but its log lines are dropped; those of a command that ends
    /// by itself stay.
    pub fn run(&mut self, now_us: u64, slice_fuel: u64) -> Step {
        self.side.host.set_now(now_us);
        // The placeholder stays only if something below panics.
        let (mut call, interval) = match mem::replace(&mut self.activity, Activity::Exited(ExitReason::Trap, None)) {
            Activity::Idle(machine) => {
                self.activity = Activity::Idle(machine);
                return Step::Done;
            }
            Activity::Exited(reason, machine) => {
                self.activity = Activity::Exited(reason, machine);
                return Step::Exited(reason);
            }
            Activity::Begun(machine) => {
                let interval = slice_fuel.clamp(1, YIELD_FUEL);
                let budget = self.side.host.spec.limits.fuel_per_event;
                let event = self.side.host.event.as_ref();
                let event = event.map(|e| (e.kind as i32, i32::from(e.source), e.guest_len()));
                self.side.fuel.new_turn();
                let call: Pin<Box<dyn Future<Output = Ended> + Send>> = Box::pin(machine.call(event, budget, interval));
                (call, interval)
            }
            Activity::Running { call, interval } => (call, interval),
        };
        let mut slice_left = slice_fuel;
        self.side.calls = 0;
        let step = loop {
            if self.side.host.waiting().is_some() {
                break Step::Parked;
            }
            mem::swap(&mut self.side, &mut lock(&self.lent));
            let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            mem::swap(&mut self.side, &mut lock(&self.lent));
            if let Poll::Ready(ended) = polled {
                return self.ended(ended);
            }
            if self.side.host.is_parked() {
                continue;
            }
            if self.side.calls >= CALLS_PER_SLICE_MAX {
                break Step::Pending;
            }
            self.side.fuel.yielded(interval);
            slice_left = slice_left.saturating_sub(interval);
            if slice_left == 0 {
                break Step::Pending;
            }
        };
        self.activity = Activity::Running { call, interval };
        step
    }

    fn ended(&mut self, ended: Ended) -> Step {
        let Ended { mut machine, result } = ended;
        let host = &mut self.side.host;
        let budget = host.spec.limits.fuel_per_event;
        self.side.fuel.used(budget.saturating_sub(machine.store.get_fuel().unwrap_or(0)));
        self.side.memory_bytes = machine.memory().len();
        self.values = machine.read_globals();
        let exit = match result {
            Ok(_) if self.command => Some(ExitReason::Exited(0)),
            Ok(code) if code < 0 => Some(ExitReason::Returned(code)),
            Ok(_) => None,
            Err(e) => Some(exit_reason(&e)),
        };
        match exit {
            None => {
                if host.event.is_none() {
                    host.state.initialised = true;
                }
                host.event_done();
                self.activity = Activity::Idle(machine);
                Step::Done
            }
            Some(reason) => {
                if self.command && matches!(reason, ExitReason::Exited(_)) {
                    // Nobody undoes what it did in its last turn: it came to its end.
                    host.event_done();
                } else {
                    host.abandon();
                }
                self.activity = Activity::Exited(reason, Some(machine));
                Step::Exited(reason)
            }
        }
    }

    /// Whether the container is between events and did not exit: the safe point at which it can be captured.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.activity, Activity::Idle(_))
    }

    /// Whether it is a command: it runs `_start` and waits for its events itself.
    #[must_use]
    pub fn is_command(&self) -> bool {
        self.command
    }

    // ---- waiting -------------------------------------------------------------------------------------------------

    /// What the container waits for; `None` when it is not parked, or what it waits for has come.
    #[must_use]
    pub fn waiting(&self) -> Option<Waiting<'_>> {
        self.side.host.waiting()
    }

    /// Gives a waiting container its event; gives it back when it does not wait for one of that kind.
    ///
    /// # Errors
    /// The event.
    pub fn deliver(&mut self, event: OwnedEvent) -> Result<(), OwnedEvent> {
        self.side.host.deliver(event)
    }

    /// Tells a container that waits for it that an event waits in its queue.
    pub fn notice(&mut self) {
        self.side.host.notice();
    }

    /// Gives the answer to the device call that the container waits for; otherwise does nothing.
    pub fn answer(&mut self, answer: Result<DeviceAnswer, Errno>) {
        self.side.host.answer(answer);
    }

    /// Ends the wait if its time is over at `now_us`. An event that is there comes first.
    pub fn poll(&mut self, now_us: u64) {
        self.side.host.set_now(now_us);
        self.side.host.poll();
    }

    /// The next event that time alone causes, if one is due at `now_us`. Call it until it is `None`.
    pub fn due(&mut self, now_us: u64) -> Option<OwnedEvent> {
        self.side.host.set_now(now_us);
        self.side.host.due()
    }

    /// When the supervisor has to look at the container at the latest, on this core's clock.
    #[must_use]
    pub fn deadline_us(&self) -> Option<u64> {
        self.side.host.deadline_us()
    }

    /// Ends a request because its answer is about to be handed over; false when nobody waits for it any more.
    pub fn answered(&mut self, id: u32) -> bool {
        self.side.host.answered(id)
    }

    /// Whether it still waits for an answer to that request.
    #[must_use]
    pub fn is_asked(&self, id: u32) -> bool {
        self.side.host.is_asked(id)
    }

    /// [`Container::deadline_us`] without these timers (bits); with all bits without requests too.
    #[must_use]
    pub fn deadline_without(&self, timers: u8) -> Option<u64> {
        self.side.host.deadline_without(timers)
    }

    // ---- what it holds -------------------------------------------------------------------------------------------

    /// Replaces the configuration. The event that tells it is the supervisor's to queue, with this payload: the keys
    /// that changed, one a line. `None` when nothing did.
    pub fn configure(&mut self, config: &[(Name, Text)]) -> Option<Vec<u8>> {
        self.side.host.configure(config)
    }

    /// Whether it wants the messages on the granted topic with that index now.
    #[must_use]
    pub fn is_subscribed(&self, topic: usize) -> bool {
        self.side.host.is_subscribed(topic)
    }

    /// Unix time minus this core's clock, in microseconds, where it is known.
    pub fn set_wall_offset(&mut self, offset_us: Option<i64>) {
        self.side.host.wall_offset_us = offset_us;
    }

    /// What the guest asked for, in order. Take it when the event is done; of a command, whenever it is parked.
    pub fn take_effects(&mut self) -> Vec<OwnedEffect> {
        mem::take(&mut self.side.host.effects)
    }

    /// The specification that it was loaded with, with its configuration of now.
    #[must_use]
    pub fn spec(&self) -> &Arc<ContainerSpec> {
        &self.side.host.spec
    }

    /// The host-side state.
    #[must_use]
    pub fn state(&self) -> &HostState {
        &self.side.host.state
    }

    /// The host-side state, for the supervisor to move its cursor.
    pub fn state_mut(&mut self) -> &mut HostState {
        &mut self.side.host.state
    }

    /// Its key-value store.
    #[must_use]
    pub fn kv(&self) -> &Kv {
        &self.side.host.kv
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
        let Activity::Idle(machine) = &self.activity else { return Err(CaptureError::NotIdle) };
        Ok(snapshot::encode(&self.head(), self.kv().as_bytes(), queued, machine.memory(), out)?)
    }

    /// Encodes what survives when the container has to start again: its store, its clock, its counters. For a command,
    /// which is never between events. Returns the bytes used.
    ///
    /// # Errors
    /// What the snapshot format refuses.
    pub fn capture_host(&self, out: &mut [u8]) -> Result<usize, CaptureError> {
        let host = self.side.host.surviving_state();
        let head = Head { host, globals: heapless::Vec::new(), ..self.head() };
        Ok(snapshot::encode(&head, self.kv().as_bytes(), std::iter::empty(), &[], out)?)
    }

    /// The digest of the state that the guest itself can tell apart; equal on both cores after equal events. While the
    /// guest is in the middle of something its memory is not at hand and counts as empty.
    #[must_use]
    pub fn state_digest(&self) -> DigestBytes {
        let memory = match &self.activity {
            Activity::Idle(m) | Activity::Begun(m) | Activity::Exited(_, Some(m)) => m.memory(),
            Activity::Running { .. } | Activity::Exited(_, None) => &[],
        };
        state_digest(&self.head(), self.kv().as_bytes(), memory)
    }

    /// What it has used since it was loaded here. While the guest is in the middle of something, the length of its
    /// memory is that of its last wait, and its fuel is rounded down to whole yields.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let host = &self.side.host;
        Usage {
            memory_bytes: self.side.memory_bytes,
            fuel_total: self.side.fuel.total(),
            events: host.state.handled.saturating_sub(self.handled_before),
            refused_calls: host.refused_calls,
            logs_dropped: host.logs_dropped,
        }
    }

    fn head(&self) -> Head {
        let host = &self.side.host;
        Head {
            name: host.spec.name.clone(),
            image: host.spec.image,
            host: host.state,
            globals: self.values.clone(),
            memory_len: 0,
            kv_len: 0,
            events: 0,
        }
    }
}

impl Machine {
    fn new(module: &Module, spec: &ContainerSpec, lent: &Lent) -> Result<Self, LoadError> {
        let mut store = Store::new(module.engine(), Data::new(Arc::clone(lent), spec)?);
        store.limiter(|data| &mut data.limits);
        let imports = link(&mut store, module, spec)?;
        let cannot = |e: Error| LoadError::Instantiate { detail: format!("{e:#}") };
        // The segments of tables cost fuel; guest code does not run.
        store.set_fuel(u64::MAX).map_err(cannot)?;
        let instance = {
            let instantiation = pin!(Instance::new_async(&mut store, module, &imports));
            match instantiation.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(instance) => instance.map_err(cannot)?,
                // Without guest code there is nothing to wait for.
                Poll::Pending => return Err(LoadError::Instantiate { detail: "it did not come to an end".to_owned() }),
            }
        };
        let globals = find_globals(&mut store, instance, module)?;
        let memory = instance.get_memory(&mut store, EXPORT_MEMORY);
        store.data_mut().memory = memory;
        let start = optional(&mut store, instance, EXPORT_START)?;
        let initialize = optional(&mut store, instance, EXPORT_INITIALIZE)?;
        let command = optional(&mut store, instance, EXPORT_COMMAND)?;
        let on_event = optional(&mut store, instance, EXPORT_ON_EVENT)?;
        let entry = match (on_event, command) {
            (Some(on_event), None) => Entry::Events { init: optional(&mut store, instance, EXPORT_INIT)?, on_event },
            (None, Some(command)) => Entry::Command(command),
            (None, None) => return Err(LoadError::MissingExport { name: EXPORT_ON_EVENT }),
            (Some(_), Some(_)) => return Err(LoadError::BothStyles),
        };
        Ok(Self { store, globals, start, initialize, entry })
    }

    fn restore(&mut self, snapshot: &Snapshot<'_>) -> Result<(), LoadError> {
        let head = snapshot.head();
        let refused = || LoadError::SnapshotMemory { len: head.memory_len };
        match self.store.data().memory {
            Some(memory) => {
                let page = memory.page_size(&self.store);
                let min = memory.size(&self.store).saturating_mul(page);
                let more = u64::from(head.memory_len).checked_sub(min).filter(|more| more % page == 0);
                let grown = memory.grow(&mut self.store, more.ok_or_else(refused)? / page).is_ok();
                if !grown || snapshot.fill_memory(memory.data_mut(&mut self.store)).is_err() {
                    return Err(refused());
                }
            }
            None if head.memory_len > 0 => return Err(refused()),
            None => {}
        }
        if head.globals.len() != self.globals.len() {
            return Err(LoadError::SnapshotGlobals);
        }
        for (global, value) in self.globals.iter().zip(&head.globals) {
            global.set(&mut self.store, to_val(*value)).map_err(|_| LoadError::SnapshotGlobals)?;
        }
        Ok(())
    }

    async fn call(mut self: Box<Self>, event: Option<(i32, i32, i32)>, budget: u64, interval: u64) -> Ended {
        let result = self.guest(event, budget, interval).await;
        Ended { machine: self, result }
    }

    async fn guest(&mut self, event: Option<(i32, i32, i32)>, budget: u64, interval: u64) -> Result<i32, Error> {
        self.store.set_fuel(budget)?;
        self.store.fuel_async_yield_interval(Some(interval))?;
        if let (Some(event), Entry::Events { on_event, .. }) = (event, &self.entry) {
            return on_event.call_async(&mut self.store, event).await;
        }
        for function in [&self.start, &self.initialize].into_iter().flatten() {
            function.call_async(&mut self.store, ()).await?;
        }
        match &self.entry {
            Entry::Events { init: Some(init), .. } => init.call_async(&mut self.store, ()).await,
            Entry::Events { init: None, .. } => Ok(0),
            Entry::Command(start) => start.call_async(&mut self.store, ()).await.map(|()| 0),
        }
    }

    fn read_globals(&mut self) -> heapless::Vec<GlobalValue, GLOBALS_MAX> {
        self.globals.iter().filter_map(|g| from_val(&g.get(&mut self.store))).collect()
    }

    fn memory(&self) -> &[u8] {
        self.store.data().memory.map_or(&[], |m| m.data(&self.store))
    }
}

fn link(store: &mut Store<Data>, module: &Module, spec: &ContainerSpec) -> Result<Vec<Extern>, LoadError> {
    let mut externs = Vec::new();
    for import in module.imports() {
        let refused =
            |grant| LoadError::Import { module: import.module().to_owned(), name: import.name().to_owned(), grant };
        let known = find_import(import.module(), import.name()).ok_or_else(|| refused(None))?;
        let signature = signature(store.engine(), known);
        if !matches!(import.ty(), ExternType::Func(ty) if FuncType::eq(&ty, &signature)) {
            return Err(refused(None));
        }
        if let Some(grant) = known.grant
            && !spec.grants.links(grant)
        {
            return Err(refused(Some(grant)));
        }
        externs.push(Extern::Func(function(store, signature, known)));
    }
    Ok(externs)
}

/// The exported mutable globals in the order of their indices, whatever order the exports have.
fn find_globals(
    store: &mut Store<Data>,
    instance: Instance,
    module: &Module,
) -> Result<heapless::Vec<Global, GLOBALS_MAX>, LoadError> {
    let mut found = Vec::new();
    for export in module.exports() {
        let Some(index) = export.name().strip_prefix(EXPORT_GLOBAL_PREFIX).and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        if matches!(export.ty(), ExternType::Global(ty) if ty.mutability() == Mutability::Var)
            && let Some(global) = instance.get_global(&mut *store, export.name())
        {
            found.push((index, global));
        }
    }
    found.sort_unstable_by_key(|(index, _)| *index);
    let mut globals = heapless::Vec::new();
    for (_, global) in found {
        globals.push(global).map_err(|_| LoadError::TooManyGlobals)?;
    }
    Ok(globals)
}

/// The function exported under `name`; a wrong type is an error, absence is not.
fn optional<P: WasmParams, R: WasmResults>(
    store: &mut Store<Data>,
    instance: Instance,
    name: &'static str,
) -> Result<Option<TypedFunc<P, R>>, LoadError> {
    match instance.get_export(&mut *store, name) {
        None => Ok(None),
        Some(Extern::Func(func)) => match func.typed(store) {
            Ok(typed) => Ok(Some(typed)),
            Err(_) => Err(LoadError::MissingExport { name }),
        },
        Some(_) => Err(LoadError::MissingExport { name }),
    }
}

/// Whether a valid module has a `start` section. Wasmtime would run it while instantiating, and cannot be told not to.
fn has_start_section(module: &[u8]) -> bool {
    const PREAMBLE_BYTES: usize = 8;
    const START_SECTION: u8 = 8;
    let mut rest = module.get(PREAMBLE_BYTES..).unwrap_or_default();
    while let Some((id, tail)) = rest.split_first() {
        if *id == START_SECTION {
            return true;
        }
        let (mut len, mut at) = (0_usize, 0_usize);
        // A section's length is a LEB128 number of at most five bytes.
        for byte in tail.iter().take(5) {
            len |= usize::from(byte & 0x7f) << (7 * at);
            at += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        rest = tail.get(at..).and_then(|t| t.get(len..)).unwrap_or_default();
    }
    false
}

fn exit_reason(error: &Error) -> ExitReason {
    if let Some(ProcessExit(code)) = error.downcast_ref() {
        return ExitReason::Exited(*code);
    }
    let kind = match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => return ExitReason::StackExhausted,
        Some(Trap::OutOfFuel) => return ExitReason::OutOfFuel,
        Some(Trap::AllocationTooLarge) => return ExitReason::OutOfMemory,
        Some(Trap::UnreachableCodeReached) => TrapKind::Unreachable,
        Some(Trap::MemoryOutOfBounds) => TrapKind::MemoryOutOfBounds,
        Some(Trap::TableOutOfBounds) => TrapKind::TableOutOfBounds,
        Some(Trap::IndirectCallToNull) => TrapKind::IndirectCallToNull,
        Some(Trap::BadSignature) => TrapKind::BadSignature,
        Some(Trap::IntegerDivisionByZero) => TrapKind::DivisionByZero,
        Some(Trap::IntegerOverflow) => TrapKind::IntegerOverflow,
        Some(Trap::BadConversionToInteger) => TrapKind::BadConversion,
        _ => return ExitReason::Trap,
    };
    let frame = error.downcast_ref::<WasmBacktrace>().and_then(|trace| trace.frames().first());
    let place = frame.map(|frame| Place {
        function: frame.func_index(),
        offset: frame.module_offset().and_then(|at| u32::try_from(at).ok()).unwrap_or(0),
    });
    ExitReason::Trapped(kind, place)
}

fn to_val(value: GlobalValue) -> Val {
    match value {
        GlobalValue::I32(bits) => Val::I32(bits.cast_signed()),
        GlobalValue::I64(bits) => Val::I64(bits.cast_signed()),
        GlobalValue::F32(bits) => Val::F32(bits),
        GlobalValue::F64(bits) => Val::F64(bits),
    }
}

/// The value of a global; `None` for types that no module here can have (references, vectors).
fn from_val(value: &Val) -> Option<GlobalValue> {
    Some(match value {
        Val::I32(v) => GlobalValue::I32(v.cast_unsigned()),
        Val::I64(v) => GlobalValue::I64(v.cast_unsigned()),
        Val::F32(bits) => GlobalValue::F32(*bits),
        Val::F64(bits) => GlobalValue::F64(*bits),
        _ => return None,
    })
}
