//! The same modules on every engine that Coracle runs: wasmi, Wasmtime's native code and Wasmtime's Pulley bytecode,
//! each with the settings that the sandbox and the engine use.
//!
//! A container moves between the cores, so what a guest can tell must not depend on the engine: results, traps, memory,
//! globals, the bits of a NaN, the sizes that growing reaches. This crate is the harness ([`Machine`], [`script`],
//! [`random`]); the comparisons are in `tests/`. Host calls are not compared here: modules run without a container, on
//! imports that only record. Everything here panics on failure: it is for tests.
#![forbid(unsafe_code)]

mod compiled;
mod interpreted;
pub mod random;
pub mod script;

use std::fmt;

use coracle_lifecycle::TrapKind;

pub use compiled::Compiled;
pub use interpreted::Interpreted;

/// Fuel that a new store has. Finite, so that a guest that spins ends the test.
pub(crate) const FUEL: u64 = 20_000_000;

/// A number that crosses between guest and host. Floats are their bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// `i32`.
    I32(u32),
    /// `i64`.
    I64(u64),
    /// `f32`.
    F32(u32),
    /// `f64`.
    F64(u64),
}

/// The type of a [`Value`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `i32`.
    I32,
    /// `i64`.
    I64,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
}

impl Type {
    /// The value of that type with the low bits of `bits`.
    pub fn value(self, bits: u64) -> Value {
        // Truncation is the point: a 32-bit type takes the low half.
        let low = bits as u32;
        match self {
            Self::I32 => Value::I32(low),
            Self::I64 => Value::I64(bits),
            Self::F32 => Value::F32(low),
            Self::F64 => Value::F64(bits),
        }
    }
}

/// Why a module did not load or a call did not return. Equal on all engines, but for the texts.
#[derive(Debug, Clone)]
pub enum Failure {
    /// The engine refuses the module.
    Refused(String),
    /// An import is missing or has another type.
    Unlinkable(String),
    /// A trap of the specification.
    Trap(TrapKind),
    /// No fuel is left.
    OutOfFuel,
    /// Too many nested calls, or too large ones.
    StackExhausted,
    /// Anything else.
    Other(String),
}

impl Failure {
    /// What must be equal on all engines.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Refused(_) => "module refused",
            Self::Unlinkable(_) => "module not linked",
            Self::Trap(kind) => kind.as_str(),
            Self::OutOfFuel => "out of fuel",
            Self::StackExhausted => "stack exhausted",
            Self::Other(_) => "other error",
        }
    }

    /// Whether a limit ended it that the engines share in kind but not in amount.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::OutOfFuel | Self::StackExhausted)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text) | Self::Unlinkable(text) | Self::Other(text) => write!(f, "{}: {text}", self.class()),
            other => f.write_str(other.class()),
        }
    }
}

/// What an export is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Export {
    /// A function with these parameter and result types; `None` where one is a reference.
    Func(Option<(Vec<Type>, Vec<Type>)>),
    /// A global.
    Global,
    /// A memory.
    Memory,
    /// A table of this many elements.
    Table(u64),
}

/// Number of an instance in its machine, in order of instantiation.
pub type Instance = usize;

/// An engine with one store.
pub trait Machine {
    /// Its name in messages.
    fn name(&self) -> &'static str;
    /// Whether the engine accepts the module.
    ///
    /// # Errors
    /// Its reason if not.
    fn accepts(&self, module: &[u8]) -> Result<(), String>;
    /// Instantiates a module, linked to what is registered.
    ///
    /// # Errors
    /// See [`Failure`]; a start function or an active segment can trap.
    fn instantiate(&mut self, module: &[u8]) -> Result<Instance, Failure>;
    /// Makes the exports of an instance importable from modules under that name.
    ///
    /// # Errors
    /// What the engine says.
    fn register(&mut self, instance: Instance, name: &str) -> Result<(), String>;
    /// The exports by name: wasmi does not keep the module's order.
    fn exports(&mut self, instance: Instance) -> Vec<(String, Export)>;
    /// Calls an exported function with [`Machine::set_fuel`]'s fuel; `None` in the result for a reference.
    ///
    /// # Errors
    /// See [`Failure`].
    fn call(&mut self, instance: Instance, export: &str, args: &[Value]) -> Result<Vec<Option<Value>>, Failure>;
    /// An exported global, unless it is a reference or is not there.
    fn global(&mut self, instance: Instance, export: &str) -> Option<Value>;
    /// The bytes of an exported memory.
    fn memory(&mut self, instance: Instance, export: &str) -> Option<Vec<u8>>;
    /// Gives the store that much fuel.
    fn set_fuel(&mut self, fuel: u64);
    /// The fuel that is left.
    fn fuel(&self) -> u64;
    /// The arguments of the calls that the host got since the last time, each behind its import's number.
    fn host_calls(&mut self) -> Vec<(usize, Vec<Value>)>;
}

/// Most that a memory and a table may grow to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a memory.
    pub memory_bytes: usize,
    /// Elements of a table.
    pub table_elements: usize,
}

impl Default for Limits {
    /// More than the official tests ask for.
    fn default() -> Self {
        Self { memory_bytes: 1 << 30, table_elements: 1 << 20 }
    }
}

/// The three engines, each with an empty store.
pub fn machines(limits: Limits) -> [Box<dyn Machine>; 3] {
    [
        Box::new(Interpreted::new(limits)),
        Box::new(Compiled::new(coracle_engine::Backend::Native, limits)),
        Box::new(Compiled::new(coracle_engine::Backend::Pulley, limits)),
    ]
}
