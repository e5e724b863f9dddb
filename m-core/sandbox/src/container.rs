//! A module, its instance and its state, as one thing that is loaded, run, captured and dropped.

use alloc::vec::Vec;
use core::mem;

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
use wasmi::{
    CompilationMode, Config, CustomFuelCosts, Engine, Error, Extern, ExternType, Func, FuncType, Global, Instance,
    MemoryType, Module, Mutability, ResumableCall, ResumableCallOutOfFuel, Store, TrapCode, Val, ValType,
};

use crate::{
    CaptureError, LoadError, OwnedEffect, OwnedEvent, Step, Usage,
    error::detail,
    host::{Host, host},
};

/// The value stack that a container keeps while it is idle, in bytes.
pub const STACK_BYTES_MIN: usize = 512;
/// The largest value stack, in bytes. A guest that needs more exits with `StackExhausted`.
pub const STACK_BYTES_MAX: usize = 32 * 1024;
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
    start: Option<Func>,
    init: Option<Func>,
    on_event: Func,
    activity: Activity,
    event_fuel: u64,
    fuel_total: u64,
    events: u64,
}

type Globals = heapless::Vec<Global, GLOBALS_MAX>;

enum Activity {
    Idle,
    Running { stage: Stage, call: Call },
    Exited(ExitReason),
}

#[derive(Clone, Copy)]
enum Stage {
    Start,
    Init,
    Event,
}

enum Call {
    Fresh,
    Interrupted(ResumableCallOutOfFuel),
}

impl Container {
    /// Makes a fresh container of a prepared module. No guest code runs.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(module: &[u8], spec: &ContainerSpec) -> Result<Self, LoadError> {
        Self::instantiate(module, spec, HostState::default())
    }

    /// Makes a container that goes on where the one of the snapshot stopped. No guest code runs; the snapshot's
    /// undelivered events are the supervisor's to queue.
    ///
    /// # Errors
    /// See [`LoadError`]; a snapshot that does not fit the module and its limits is refused as a whole.
    pub fn restore(module: &[u8], spec: &ContainerSpec, snapshot: &Snapshot<'_>) -> Result<Self, LoadError> {
        let head = snapshot.head();
        if head.image != spec.image {
            return Err(LoadError::SnapshotImage);
        }
        let mut container = Self::instantiate(module, spec, head.host)?;
        container.restore_memory(snapshot)?;
        if head.globals.len() != container.globals.len() {
            return Err(LoadError::SnapshotGlobals);
        }
        for (global, value) in container.globals.iter().zip(&head.globals) {
            global.set(&mut container.store, to_val(*value)).map_err(|_| LoadError::SnapshotGlobals)?;
        }
        Ok(container)
    }

    /// Begins an event, or with `None` the container's first run: the module's former `start` function, then `init`,
    /// whichever exist. The container must be idle; otherwise the call does nothing. Effects of the event before that
    /// nobody took are dropped.
    pub fn begin(&mut self, event: Option<OwnedEvent>) {
        if !self.is_idle() {
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
    /// stands before a stretch of code that is only run as a whole. An event that needs more than
    /// `limits.fuel_per_event` in all ends the container.
    ///
    /// A function is translated when it is first called, which costs no fuel and is not interrupted; image preparation
    /// bounds how long it takes. The engine charges a stretch of code up to the next label when it enters it, so an
    /// event costs at least as much fuel here as on the A core: a budget that suffices here suffices there.
    ///
    /// When the container exits, all effects of the event but its log lines are dropped.
    pub fn run(&mut self, slice_fuel: u64) -> Step {
        let mut slice_left = slice_fuel;
        loop {
            let (stage, call) = match mem::replace(&mut self.activity, Activity::Idle) {
                Activity::Idle => return Step::Done,
                Activity::Exited(reason) => return self.exit(reason),
                Activity::Running { stage, call } => (stage, call),
            };
            let required = match &call {
                Call::Fresh => 0,
                Call::Interrupted(call) => call.required_fuel(),
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
            let outcome = self.call(func, stage, call, granted);
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
                Err(reason) => return self.exit(reason),
            }
        }
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

    fn instantiate(bytes: &[u8], spec: &ContainerSpec, state: HostState) -> Result<Self, LoadError> {
        if Sha256::digest(bytes)[..] != spec.image {
            return Err(LoadError::Digest);
        }
        let engine = Engine::new(&config());
        let module = Module::new(&engine, bytes).map_err(|e| LoadError::NotWasm { detail: detail(e) })?;
        if let Some(ExternType::Memory(ty)) = module.get_export(EXPORT_MEMORY) {
            let need = ty.minimum().saturating_mul(page_size(ty));
            if need > u64::from(spec.limits.memory) {
                return Err(LoadError::Memory { need, limit: spec.limits.memory });
            }
        }
        let mut store = Store::new(&engine, host(spec.clone(), state));
        store.limiter(|host| &mut host.limits);
        let imports = link(&mut store, &module)?;
        let instance =
            Instance::new(&mut store, &module, &imports).map_err(|e| LoadError::Instantiate { detail: detail(e) })?;
        let globals = find_globals(&store, instance)?;
        let memory = instance.get_memory(&store, EXPORT_MEMORY);
        store.data_mut().memory = memory;
        let start = optional(&store, instance, EXPORT_START, &[], &[])?;
        let init = optional(&store, instance, EXPORT_INIT, &[], &[ValType::I32])?;
        let on_event = optional(&store, instance, EXPORT_ON_EVENT, &[ValType::I32; 3], &[ValType::I32])?
            .ok_or(LoadError::MissingExport { name: EXPORT_ON_EVENT })?;
        Ok(Self {
            store,
            globals,
            start,
            init,
            on_event,
            activity: Activity::Idle,
            event_fuel: 0,
            fuel_total: 0,
            events: 0,
        })
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
            Stage::Start => self.start,
            Stage::Init => self.init,
            Stage::Event => Some(self.on_event),
        }
    }

    fn call(&mut self, func: Func, stage: Stage, call: Call, fuel: u64) -> Result<Outcome, ExitReason> {
        self.store.set_fuel(fuel).map_err(|e| exit_reason(&e))?;
        let mut result = [Val::I32(0)];
        let results = if matches!(stage, Stage::Start) { &mut [] } else { &mut result[..] };
        let outcome = match call {
            Call::Interrupted(call) => call.resume(&mut self.store, results),
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
            // No host call of ours returns an error.
            Ok(ResumableCall::HostTrap(call)) => Err(exit_reason(call.host_error())),
            Err(e) => Err(exit_reason(&e)),
        }
    }

    fn finish(&mut self, stage: Stage) {
        let host = self.store.data_mut();
        match stage {
            Stage::Start => self.activity = Activity::Running { stage: Stage::Init, call: Call::Fresh },
            Stage::Init => host.state.initialised = true,
            Stage::Event => {
                host.event = None;
                host.state.handled = host.state.handled.saturating_add(1);
                self.events = self.events.saturating_add(1);
            }
        }
    }

    fn exit(&mut self, reason: ExitReason) -> Step {
        let host = self.store.data_mut();
        host.event = None;
        host.effects.retain(|e| matches!(e, OwnedEffect::Log { .. }));
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
            events: 0,
        }
    }
}

enum Outcome {
    Returned(i32),
    Interrupted(ResumableCallOutOfFuel),
}

/// The engine's settings. The features are those that image preparation admits and the A core's engine has.
fn config() -> Config {
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
        .set_min_stack_height(STACK_BYTES_MIN)
        .set_max_stack_height(STACK_BYTES_MAX)
        .set_max_cached_stacks(1);
    config
}

fn link(store: &mut Store<Host>, module: &Module) -> Result<Vec<Extern>, LoadError> {
    let mut externs = Vec::new();
    for import in module.imports() {
        let refused = |grant| LoadError::Import { module: detail(import.module()), name: detail(import.name()), grant };
        let known = find_import(import.module(), import.name()).ok_or_else(|| refused(None))?;
        if !matches!(import.ty(), ExternType::Func(ty) if *ty == signature(known)) {
            return Err(refused(None));
        }
        if let Some(grant) = known.grant
            && !store.data().spec.grants.links(grant)
        {
            return Err(refused(Some(grant)));
        }
        externs.push(Extern::Func(host_func(store, known)));
    }
    Ok(externs)
}

fn signature(import: &Import) -> FuncType {
    let result = if import.wide_result { ValType::I64 } else { ValType::I32 };
    FuncType::new(core::iter::repeat_n(ValType::I32, import.params), [result])
}

fn host_func(store: &mut Store<Host>, import: &'static Import) -> Func {
    Func::new(&mut *store, signature(import), |mut caller, params, results| {
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

/// Most arguments of an import.
const ARGS_MAX: usize = 4;

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
    match error.as_trap_code() {
        Some(TrapCode::StackOverflow) => ExitReason::StackExhausted,
        Some(TrapCode::OutOfFuel) => ExitReason::OutOfFuel,
        Some(TrapCode::GrowthOperationLimited | TrapCode::OutOfSystemMemory) => ExitReason::OutOfMemory,
        _ => ExitReason::Trap,
    }
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
