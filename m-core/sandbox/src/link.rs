//! Which imports a container gets, and the way of a host call from the engine to its meaning and back.

use alloc::vec::Vec;
use core::fmt;

use coracle_container::{Args, Outcome, dispatch};
use coracle_guest_abi::{Call, Cores, Import, Type, find_import};
use wasmi::errors::HostError;
use wasmi::{Caller, Error, Extern, ExternType, Func, FuncType, Module, Store, Val, ValType};

use crate::LoadError;
use crate::error::detail;
use crate::host::Host;

/// Most work of host calls in a slice, in units of [`coracle_container::Host::work`]: about as many instructions as the
/// fuel of a slice lasts for.
const WORK_PER_SLICE_MAX: u32 = 1000;

/// Why a host call did not return to the guest.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// It waits.
    Parked {
        /// What for.
        call: Call,
    },
    /// It has its result, but the slice has done enough.
    Yielded {
        /// Which call.
        call: Call,
        /// Its result.
        value: i64,
    },
    /// It ends the guest with this code.
    Exit(i32),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Parked { .. } => f.write_str("parked"),
            Stop::Yielded { .. } => f.write_str("yielded"),
            Stop::Exit(code) => write!(f, "exited {code}"),
        }
    }
}

impl HostError for Stop {}

/// The imports of `module` in their order. What is not granted is not linked.
pub(crate) fn link(store: &mut Store<Host>, module: &Module) -> Result<Vec<Extern>, LoadError> {
    let mut externs = Vec::new();
    for import in module.imports() {
        let name = || (detail(import.module()), detail(import.name()));
        let refused = |grant| {
            let (module, name) = name();
            LoadError::Import { module, name, grant }
        };
        let known = find_import(import.module(), import.name()).ok_or_else(|| refused(None))?;
        if !matches!(import.ty(), ExternType::Func(ty) if *ty == signature(known)) {
            return Err(refused(None));
        }
        if known.cores == Cores::A {
            let (module, name) = name();
            return Err(LoadError::OtherCore { module, name });
        }
        if let Some(grant) = known.grant
            && !store.data().spec.grants.links(grant)
        {
            return Err(refused(Some(grant)));
        }
        externs.push(Extern::Func(host_func(store, known).ok_or_else(|| refused(None))?));
    }
    Ok(externs)
}

fn signature(import: &Import) -> FuncType {
    let value = |ty: &Type| match ty {
        Type::I32 => ValType::I32,
        Type::I64 => ValType::I64,
    };
    FuncType::new(import.params.iter().map(value), import.result.iter().map(value))
}

/// The import as a function of the engine; `None` when it has a shape that no import on this core has. A function of
/// fixed types costs 170 instructions of our own a call; one that takes its arguments as a list costs 620.
fn host_func(store: &mut Store<Host>, import: &'static Import) -> Option<Func> {
    const I: Type = Type::I32;
    const L: Type = Type::I64;
    let call = import.call;
    macro_rules! function {
        ($result:ty; $($name:ident: $type:ty),*) => {
            Func::wrap(store, move |mut caller: Caller<'_, Host>, $($name: $type),*| -> Result<$result, Error> {
                host_call(&mut caller, call, &args([$(u64::from($name)),*])).map(<$result as Narrow>::narrow)
            })
        };
    }
    Some(match (import.params, import.result) {
        ([], Some(I)) => function!(i32;),
        ([], Some(L)) => function!(i64;),
        ([I], None) => function!((); a: u32),
        ([I], Some(I)) => function!(i32; a: u32),
        ([I], Some(L)) => function!(i64; a: u32),
        ([L], Some(I)) => function!(i32; a: u64),
        ([I, I], Some(I)) => function!(i32; a: u32, b: u32),
        ([L, I], Some(I)) => function!(i32; a: u64, b: u32),
        ([I, I, I], Some(I)) => function!(i32; a: u32, b: u32, c: u32),
        ([I, L, I], Some(I)) => function!(i32; a: u32, b: u64, c: u32),
        ([L, L, L], Some(I)) => function!(i32; a: u64, b: u64, c: u64),
        ([I, I, I, I], Some(I)) => function!(i32; a: u32, b: u32, c: u32, d: u32),
        ([I, L, I, I], Some(I)) => function!(i32; a: u32, b: u64, c: u32, d: u32),
        ([I, I, I, I, I], Some(I)) => function!(i32; a: u32, b: u32, c: u32, d: u32, e: u32),
        ([I, I, I, I, L], Some(I)) => function!(i32; a: u32, b: u32, c: u32, d: u32, e: u64),
        ([I, I, I, I, I, I], Some(I)) => function!(i32; a: u32, b: u32, c: u32, d: u32, e: u32, f: u32),
        _ => return None,
    })
}

fn args<const N: usize>(values: [u64; N]) -> Args {
    let mut args = Args::default();
    for (arg, value) in args.0.iter_mut().zip(values) {
        *arg = value;
    }
    args
}

fn host_call(caller: &mut Caller<'_, Host>, call: Call, args: &Args) -> Result<i64, Error> {
    let outcome = match caller.data().memory {
        Some(memory) => {
            let (bytes, host) = memory.data_and_store_mut(&mut *caller);
            dispatch(call, args, bytes, host)
        }
        None => dispatch(call, args, &mut [], caller.data_mut()),
    };
    match outcome {
        // No fuel is charged for what a call does: its work ends the slice instead.
        Outcome::Return(value) if caller.data().work > WORK_PER_SLICE_MAX => {
            Err(Error::host(Stop::Yielded { call, value }))
        }
        Outcome::Return(value) => Ok(value),
        Outcome::Park => Err(Error::host(Stop::Parked { call })),
        Outcome::Exit(code) => Err(Error::host(Stop::Exit(code))),
    }
}

/// The result of a call as the type that its import has.
trait Narrow {
    fn narrow(value: i64) -> Self;
}

impl Narrow for () {
    fn narrow(_value: i64) {}
}

impl Narrow for i64 {
    fn narrow(value: i64) -> i64 {
        value
    }
}

impl Narrow for i32 {
    /// `dispatch` returns a value that fits for every import with this type.
    fn narrow(value: i64) -> i32 {
        i32::try_from(value).unwrap_or(i32::MIN)
    }
}

/// The result of a call that was parked, as the engine takes it.
pub(crate) fn resumed(call: Call, value: i64) -> Val {
    match call.import().and_then(|import| import.result) {
        Some(Type::I64) => Val::I64(value),
        _ => Val::I32(i32::narrow(value)),
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;

    use coracle_container::{ContainerSpec, Kv, Limits};
    use coracle_guest_abi::IMPORTS;
    use coracle_migrate::snapshot::HostState;
    use wasmi::Engine;

    use super::*;
    use crate::host::host;

    #[test]
    fn every_import_of_this_core_is_a_function_of_its_type() {
        let spec = ContainerSpec {
            name: coracle_guest_abi::Name::new(),
            image: [0; 32],
            portable: false,
            seed: [0; 16],
            limits: Limits::default(),
            grants: coracle_container::Grants::default(),
        };
        let engine = Engine::default();
        let mut store = Store::new(&engine, host(Arc::new(spec), HostState::default(), Kv::default()));
        for import in IMPORTS.iter().filter(|i| i.cores == Cores::Both) {
            let func = host_func(&mut store, import).unwrap_or_else(|| panic!("{} {}", import.module, import.name));
            assert_eq!(func.ty(&store), signature(import), "{} {}", import.module, import.name);
        }
    }
}
