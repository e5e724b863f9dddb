//! An instance and its state, as one thing that is loaded, run, captured and dropped.

use std::mem;

use coracle_guest_abi::{
    EXPORT_GLOBAL_PREFIX, EXPORT_INIT, EXPORT_MEMORY, EXPORT_ON_EVENT, EXPORT_START, Import, find_import,
    host::dispatch,
};
use coracle_lifecycle::ExitReason;
use coracle_migrate::snapshot::{
    self, DigestBytes, EventHead, GLOBALS_MAX, GlobalValue, Head, HostState, Snapshot, state_digest,
};
use coracle_wire::ContainerSpec;
use sha2::{Digest, Sha256};
use wasmtime::{
    Engine, Error, Extern, ExternType, Func, FuncType, Global, Instance, Module, Mutability, Store, Trap, Val, ValType,
    WasmParams, WasmResults,
};

use crate::{
    CaptureError, EngineHandle, LoadError, OwnedEffect, OwnedEvent, Step, Usage,
    host::{Host, host},
};

/// A loaded container. Holding one proves that its module is the image its specification names, that every import it
/// has is granted, and that its memory is within its limit.
pub struct Container {
    store: Store<Host>,
    globals: heapless::Vec<Global, GLOBALS_MAX>,
    /// The globals' values at the last safe point: Wasmtime reads a global only through a mutable store, and a capture
    /// must not need one.
    values: heapless::Vec<GlobalValue, GLOBALS_MAX>,
    start: Option<wasmtime::TypedFunc<(), ()>>,
    init: Option<wasmtime::TypedFunc<(), i32>>,
    on_event: wasmtime::TypedFunc<(i32, i32, i32), i32>,
    activity: Activity,
    fuel_total: u64,
    events: u64,
}

#[derive(Clone, Copy)]
enum Activity {
    Idle,
    Running,
    Exited(ExitReason),
}

impl Container {
    /// Makes a fresh container of a prepared module, which is compiled unless `engine` still has it. No guest code
    /// runs.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(engine: &EngineHandle, module: &[u8], spec: &ContainerSpec) -> Result<Self, LoadError> {
        Self::instantiate(engine, module, spec, HostState::default())
    }

    /// Makes a container that goes on where the one of the snapshot stopped. No guest code runs; the snapshot's
    /// undelivered events are the supervisor's to queue.
    ///
    /// # Errors
    /// See [`LoadError`]; a snapshot that does not fit the module and its limits is refused as a whole.
    pub fn restore(
        engine: &EngineHandle,
        module: &[u8],
        spec: &ContainerSpec,
        snapshot: &Snapshot<'_>,
    ) -> Result<Self, LoadError> {
        let head = snapshot.head();
        if head.image != spec.image {
            return Err(LoadError::SnapshotImage);
        }
        let mut container = Self::instantiate(engine, module, spec, head.host)?;
        container.restore_memory(snapshot)?;
        if head.globals.len() != container.globals.len() {
            return Err(LoadError::SnapshotGlobals);
        }
        for (global, value) in container.globals.iter().zip(&head.globals) {
            global.set(&mut container.store, to_val(*value)).map_err(|_| LoadError::SnapshotGlobals)?;
        }
        container.read_globals();
        Ok(container)
    }

    /// Begins an event, or with `None` the container's first run: the module's former `start` function, then `init`,
    /// whichever exist. The container must be idle; otherwise the call does nothing. Effects of the event before that
    /// nobody took are dropped.
    pub fn begin(&mut self, event: Option<OwnedEvent>) {
        if !self.is_idle() {
            return;
        }
        let host = self.store.data_mut();
        host.event = event;
        host.effects.clear();
        self.activity = Activity::Running;
    }

    /// Runs what [`Container::begin`] began to its end. `slice_fuel` is not used: a synchronous Wasmtime call that ran
    /// out of fuel cannot be continued, so the event gets its whole budget, `limits.fuel_per_event`, at once. An event
    /// that needs more ends the container.
    ///
    /// When the container exits, all effects of the event but its log lines are dropped.
    pub fn run(&mut self, _slice_fuel: u64) -> Step {
        match self.activity {
            Activity::Idle => return Step::Done,
            Activity::Exited(reason) => return Step::Exited(reason),
            Activity::Running => {}
        }
        let budget = self.store.data().spec.limits.fuel_per_event;
        let result = self.store.set_fuel(budget).and_then(|()| self.call_guest());
        let used = budget.saturating_sub(self.store.get_fuel().unwrap_or(0));
        self.fuel_total = self.fuel_total.saturating_add(used);
        let exit = match result {
            Ok(code) if code < 0 => Some(ExitReason::Returned(code)),
            Ok(_) => None,
            Err(e) => Some(exit_reason(&e)),
        };
        let host = self.store.data_mut();
        let event = host.event.take();
        if let Some(reason) = exit {
            host.effects.retain(|e| matches!(e, OwnedEffect::Log { .. }));
            self.activity = Activity::Exited(reason);
            return Step::Exited(reason);
        }
        if event.is_some() {
            host.state.handled = host.state.handled.saturating_add(1);
            self.events = self.events.saturating_add(1);
        } else {
            host.state.initialised = true;
        }
        self.read_globals();
        self.activity = Activity::Idle;
        Step::Done
    }

    /// Whether the container is between events and did not exit: the safe point at which it can be captured.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.activity, Activity::Idle)
    }

    /// What the guest asked for in the last event, in order. Take it when the event is done.
    pub fn take_effects(&mut self) -> Vec<OwnedEffect> {
        mem::take(&mut self.store.data_mut().effects)
    }

    /// The specification that it was loaded with.
    #[must_use]
    pub fn spec(&self) -> &ContainerSpec {
        &self.store.data().spec
    }

    /// The host-side state.
    #[must_use]
    pub fn host(&self) -> &HostState {
        &self.store.data().state
    }

    /// The host-side state, for the supervisor to move its cursor.
    pub fn host_mut(&mut self) -> &mut HostState {
        &mut self.store.data_mut().state
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
        Ok(snapshot::encode(&self.head(), queued, self.memory(), out)?)
    }

    /// The digest of the state that the guest itself can tell apart; equal on both cores after equal events.
    #[must_use]
    pub fn state_digest(&self) -> DigestBytes {
        state_digest(&self.head(), self.memory())
    }

    /// What it has used since it was loaded here.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            memory_bytes: self.memory().len(),
            fuel_total: self.fuel_total,
            events: self.events,
            refused_calls: self.store.data().refused_calls,
        }
    }

    fn instantiate(
        engine: &EngineHandle,
        bytes: &[u8],
        spec: &ContainerSpec,
        state: HostState,
    ) -> Result<Self, LoadError> {
        if Sha256::digest(bytes)[..] != spec.image {
            return Err(LoadError::Digest);
        }
        let module = engine.module(&spec.image, bytes)?;
        if has_start_section(bytes) {
            return Err(LoadError::NotWasm { detail: "it has a start section, which would run unlimited".to_owned() });
        }
        if let Some(ExternType::Memory(ty)) = module.get_export(EXPORT_MEMORY) {
            let need = ty.minimum().saturating_mul(ty.page_size());
            if need > u64::from(spec.limits.memory) {
                return Err(LoadError::Memory { need, limit: spec.limits.memory });
            }
        }
        let mut store = Store::new(&engine.engine, host(spec.clone(), state));
        store.limiter(|host| &mut host.limits);
        let imports = link(&mut store, &module)?;
        let cannot = |e: Error| LoadError::Instantiate { detail: format!("{e:#}") };
        // The segments of tables cost fuel; guest code does not run.
        store.set_fuel(u64::MAX).map_err(cannot)?;
        let instance = Instance::new(&mut store, &module, &imports).map_err(cannot)?;
        let globals = find_globals(&mut store, instance, &module)?;
        let memory = instance.get_memory(&mut store, EXPORT_MEMORY);
        store.data_mut().memory = memory;
        let start = optional(&mut store, instance, EXPORT_START)?;
        let init = optional(&mut store, instance, EXPORT_INIT)?;
        let on_event = optional(&mut store, instance, EXPORT_ON_EVENT)?
            .ok_or(LoadError::MissingExport { name: EXPORT_ON_EVENT })?;
        let mut container = Self {
            store,
            globals,
            values: heapless::Vec::new(),
            start,
            init,
            on_event,
            activity: Activity::Idle,
            fuel_total: 0,
            events: 0,
        };
        container.read_globals();
        Ok(container)
    }

    fn restore_memory(&mut self, snapshot: &Snapshot<'_>) -> Result<(), LoadError> {
        let len = snapshot.head().memory_len;
        let refused = LoadError::SnapshotMemory { len };
        let Some(memory) = self.store.data().memory else {
            return if len == 0 { Ok(()) } else { Err(refused) };
        };
        let page = memory.page_size(&self.store);
        let min = memory.size(&self.store).saturating_mul(page);
        let Some(more) = u64::from(len).checked_sub(min).filter(|more| more % page == 0) else {
            return Err(refused);
        };
        let grown = memory.grow(&mut self.store, more / page).is_ok();
        if !grown || snapshot.fill_memory(memory.data_mut(&mut self.store)).is_err() {
            return Err(refused);
        }
        Ok(())
    }

    fn call_guest(&mut self) -> Result<i32, Error> {
        if let Some(event) = &self.store.data().event {
            let args = (event.kind as i32, i32::from(event.source), event.guest_len());
            return self.on_event.call(&mut self.store, args);
        }
        if let Some(start) = &self.start {
            start.call(&mut self.store, ())?;
        }
        self.init.as_ref().map_or(Ok(0), |init| init.call(&mut self.store, ()))
    }

    fn read_globals(&mut self) {
        self.values = self.globals.iter().filter_map(|g| from_val(&g.get(&mut self.store))).collect();
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
            globals: self.values.clone(),
            memory_len: 0,
            events: 0,
        }
    }
}

fn link(store: &mut Store<Host>, module: &Module) -> Result<Vec<Extern>, LoadError> {
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
            && !store.data().spec.grants.links(grant)
        {
            return Err(refused(Some(grant)));
        }
        externs.push(Extern::Func(host_func(store, signature, known)));
    }
    Ok(externs)
}

fn signature(engine: &Engine, import: &Import) -> FuncType {
    let result = if import.wide_result { ValType::I64 } else { ValType::I32 };
    FuncType::new(engine, std::iter::repeat_n(ValType::I32, import.params), [result])
}

/// Most arguments of an import.
const ARGS_MAX: usize = 4;

fn host_func(store: &mut Store<Host>, signature: FuncType, import: &'static Import) -> Func {
    Func::new(&mut *store, signature, |mut caller, params, results| {
        let mut args = [0; ARGS_MAX];
        for (arg, value) in args.iter_mut().zip(params) {
            *arg = value.i32().unwrap_or(0);
        }
        let value = match caller.data().memory {
            Some(memory) => {
                let (bytes, host) = memory.data_and_store_mut(&mut caller);
                dispatch(import.call, &args, bytes, host)
            }
            None => dispatch(import.call, &args, &mut [], caller.data_mut()),
        };
        if let Some(result) = results.first_mut() {
            // `dispatch` returns a value that fits an i32 for every import but the wide ones.
            *result =
                if import.wide_result { Val::I64(value) } else { Val::I32(i32::try_from(value).unwrap_or(i32::MIN)) };
        }
        Ok(())
    })
}

/// The exported mutable globals in the order of their indices, whatever order the exports have.
fn find_globals(
    store: &mut Store<Host>,
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
    store: &mut Store<Host>,
    instance: Instance,
    name: &'static str,
) -> Result<Option<wasmtime::TypedFunc<P, R>>, LoadError> {
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
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => ExitReason::StackExhausted,
        Some(Trap::OutOfFuel) => ExitReason::OutOfFuel,
        Some(Trap::AllocationTooLarge) => ExitReason::OutOfMemory,
        _ => ExitReason::Trap,
    }
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
