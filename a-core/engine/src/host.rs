//! The data of a container's store, and the host functions: from Wasmtime's calling convention to the calls that both
//! cores share, and how a call waits.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use coracle_container::{Args, ContainerSpec, Grants, Kv, Limits, Outcome, dispatch};
use coracle_guest_abi::{Import, Name, Type};
use coracle_migrate::snapshot::HostState;
use wasmtime::{
    AsContextMut, Caller, Engine, Error, Func, FuncType, Memory, Store, StoreLimits, StoreLimitsBuilder, Val, ValType,
};

use crate::LoadError;
use crate::files::Files;

pub(crate) type Host = coracle_container::Host<(), ()>;

/// What both the container and its running guest need. The container owns it; while the guest runs it lies in
/// [`Data::lent`]. So between two runs all of it is at hand, although the store is inside the suspended call.
pub(crate) struct Side {
    pub(crate) host: Host,
    pub(crate) fuel: Fuel,
    /// Length of the linear memory in bytes when it was looked at last.
    pub(crate) memory_bytes: usize,
    /// Host calls since the guest was continued; one on a file counts as many.
    pub(crate) calls: u32,
}

/// Host calls after which a guest gives the thread back. They cost next to no fuel, but time: a guest that does nothing
/// else would hold the thread for seconds within one slice.
pub(crate) const CALLS_PER_SLICE_MAX: u32 = 1000;

impl Side {
    pub(crate) fn new(host: Host) -> Self {
        Self { host, fuel: Fuel::default(), memory_bytes: 0, calls: 0 }
    }

    /// What lies in [`Data::lent`] while the container has its own.
    pub(crate) fn nobody() -> Self {
        static NOBODY: LazyLock<Arc<ContainerSpec>> = LazyLock::new(|| {
            Arc::new(ContainerSpec {
                name: Name::new(),
                image: [0; 32],
                portable: false,
                seed: [0; 16],
                limits: Limits::default(),
                grants: Grants::default(),
            })
        });
        Self::new(Host::new(Arc::clone(&NOBODY), HostState::default(), Kv::default(), ()))
    }
}

/// Fuel that a container used. A turn is what `limits.fuel_per_event` bounds: an event, or a command between two waits.
#[derive(Default)]
pub(crate) struct Fuel {
    /// In all turns before this one.
    before: u64,
    /// In this turn, as far as known.
    turn: u64,
    /// In this turn, in whole yields.
    yielded: u64,
}

impl Fuel {
    pub(crate) fn total(&self) -> u64 {
        self.before.saturating_add(self.turn)
    }

    pub(crate) fn new_turn(&mut self) {
        *self = Self { before: self.total(), turn: 0, yielded: 0 };
    }

    /// The guest yielded after `interval` more. How much it really has left is inside the store.
    pub(crate) fn yielded(&mut self, interval: u64) {
        self.yielded = self.yielded.saturating_add(interval);
        self.turn = self.turn.max(self.yielded);
    }

    /// The guest used exactly so much in this turn.
    pub(crate) fn used(&mut self, fuel: u64) {
        self.turn = self.turn.max(fuel);
    }
}

/// Where a container's [`Side`] lies while its guest runs.
pub(crate) type Lent = Arc<Mutex<Side>>;

pub(crate) fn lock(lent: &Lent) -> MutexGuard<'_, Side> {
    // It is taken by one thread at a time, for one call; nothing in it is half changed after a panic that nobody caught.
    lent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The data of a store.
pub(crate) struct Data {
    pub(crate) lent: Lent,
    /// The guest's memory; `None` until it is instantiated, and for a module without one.
    pub(crate) memory: Option<Memory>,
    pub(crate) limits: StoreLimits,
    files: Files,
}

impl Data {
    pub(crate) fn new(lent: Lent, spec: &ContainerSpec) -> Result<Self, LoadError> {
        let limits = &spec.limits;
        let limits = StoreLimitsBuilder::new()
            .instances(1)
            .memories(1)
            .memory_size(usize::try_from(limits.memory).unwrap_or(usize::MAX))
            .tables(1)
            .table_elements(usize::try_from(limits.table).unwrap_or(usize::MAX))
            .build();
        Ok(Self { lent, memory: None, limits, files: Files::open(&spec.grants.files, spec.limits.handles)? })
    }
}

/// `proc_exit`, as the error that unwinds the guest.
#[derive(Debug)]
pub(crate) struct ProcessExit(pub(crate) i32);

impl fmt::Display for ProcessExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exited {}", self.0)
    }
}

impl std::error::Error for ProcessExit {}

pub(crate) fn signature(engine: &Engine, import: &Import) -> FuncType {
    let value = |ty: &Type| match ty {
        Type::I32 => ValType::I32,
        Type::I64 => ValType::I64,
    };
    FuncType::new(engine, import.params.iter().map(value), import.result.as_ref().map(value))
}

pub(crate) fn function(store: &mut Store<Data>, signature: FuncType, import: &'static Import) -> Func {
    Func::new_async(store, signature, move |caller, params, results| Box::new(call(import, caller, params, results)))
}

async fn call(
    import: &'static Import,
    mut caller: Caller<'_, Data>,
    params: &[Val],
    results: &mut [Val],
) -> Result<(), Error> {
    let mut args = Args::default();
    for (arg, value) in args.0.iter_mut().zip(params) {
        *arg = match value {
            Val::I32(v) => u64::from(v.cast_unsigned()),
            Val::I64(v) => v.cast_unsigned(),
            _ => 0,
        };
    }
    let (outcome, calls) = guest(&mut caller, |memory, side, files| {
        let outcome = match files.dispatch(import.call, &args, memory, side) {
            Some(outcome) => outcome,
            None => {
                side.calls = side.calls.saturating_add(1);
                dispatch(import.call, &args, memory, &mut side.host)
            }
        };
        (outcome, side.calls)
    });
    let value = match outcome {
        Outcome::Return(value) => {
            if calls >= CALLS_PER_SLICE_MAX {
                suspend().await;
            }
            value
        }
        Outcome::Exit(code) => return Err(Error::new(ProcessExit(code))),
        Outcome::Park => parked(&mut caller).await?,
    };
    if let (Some(result), Some(ty)) = (results.first_mut(), import.result) {
        *result = match ty {
            Type::I64 => Val::I64(value),
            // `dispatch` returns a value that fits.
            Type::I32 => Val::I32(i32::try_from(value).unwrap_or(i32::MIN)),
        };
    }
    Ok(())
}

/// Suspends the guest until what it waits for has come; returns the call's result.
async fn parked(caller: &mut Caller<'_, Data>) -> Result<i64, Error> {
    let left = caller.get_fuel()?;
    let budget = guest(caller, |memory, side, _| {
        let budget = side.host.spec.limits.fuel_per_event;
        side.fuel.used(budget.saturating_sub(left));
        side.memory_bytes = memory.len();
        budget
    });
    loop {
        suspend().await;
        let resumed = guest(caller, |memory, side, _| {
            let new_turn = side.host.command && side.host.is_new_turn();
            let value = side.host.resume(memory)?;
            if new_turn {
                side.fuel.new_turn();
            }
            Some((value, new_turn))
        });
        if let Some((value, new_turn)) = resumed {
            if new_turn {
                caller.as_context_mut().set_fuel(budget)?;
            }
            return Ok(value);
        }
    }
}

/// Gives the thread back to [`crate::Container::run`] once.
async fn suspend() {
    let mut waited = false;
    poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Gives `f` the guest's memory, the host side and the files.
fn guest<R>(caller: &mut Caller<'_, Data>, f: impl FnOnce(&mut [u8], &mut Side, &mut Files) -> R) -> R {
    let lent = Arc::clone(&caller.data().lent);
    let mut side = lock(&lent);
    match caller.data().memory {
        Some(memory) => {
            let (memory, data) = memory.data_and_store_mut(caller);
            f(memory, &mut side, &mut data.files)
        }
        None => f(&mut [], &mut side, &mut caller.data_mut().files),
    }
}
