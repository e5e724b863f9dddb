//! The compiler that all containers share, and the modules it compiled.

use std::sync::{Arc, Mutex, PoisonError};

use coracle_container::MEMORY_BYTES_MAX;
use coracle_migrate::snapshot::DigestBytes;
use wasmtime::{Config, Engine, Module, OperatorCost, VariableOperatorCost, WasmFeatures};

use crate::{EngineError, LoadError};

/// Bytes of stack for each byte of `limits.stack`, which counts the M core's stack. Compiled code keeps more on its stack
/// than an interpreter on its own: what fits there must fit here.
const STACK_FACTOR: usize = 16;
/// The smallest stack of a guest, in bytes.
const STACK_BYTES_MIN: usize = 64 * 1024;
/// Sizes of stacks: each twice the one before.
const STACK_CLASSES: usize = 4;
/// The largest stack of a guest, in bytes. A guest that needs more than it has exits with `StackExhausted`.
pub const STACK_BYTES_MAX: usize = STACK_BYTES_MIN << (STACK_CLASSES - 1);
/// Stack for the host calls of a guest, which run above its own, in bytes.
const HOST_STACK_BYTES: usize = 256 * 1024;
/// Compiled modules kept for the next container of the same image.
pub const MODULES_CACHED_MAX: usize = 32;
/// Address space reserved after a memory so that most bounds checks need no addition, in bytes.
const MEMORY_GUARD_BYTES: u64 = 64 * 1024;
/// Wasmtime's name of Pulley with pointers of this machine's size.
#[cfg(target_pointer_width = "64")]
const PULLEY_TARGET: &str = "pulley64";
/// Wasmtime's name of Pulley with pointers of this machine's size.
#[cfg(target_pointer_width = "32")]
const PULLEY_TARGET: &str = "pulley32";

/// The features that modules may use: those that image preparation admits and the M core's engine has. All else is
/// off, or a module could run here and never move.
const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::FLOATS);

/// What modules are compiled to. Both run them alike, and fuel is counted alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// This processor's instructions. Cranelift has them for 64-bit processors only.
    Native,
    /// Bytecode of the Pulley interpreter, for every processor; some ten times slower.
    Pulley,
}

/// The engine's settings, also for tests that run modules on it without a container.
///
/// # Errors
/// [`EngineError`] when Wasmtime does not have that back end.
pub fn config(backend: Backend) -> Result<Config, EngineError> {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES, true)
        .consume_fuel(true)
        .operator_cost(operator_cost())
        // A NaN that was stored here must have the bits that it would have had on the M core.
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        // Many small memories instead of few with gigabytes of address space each; within its limit a memory still
        // never moves.
        .memory_reservation(u64::from(MEMORY_BYTES_MAX))
        .memory_reservation_for_growth(0)
        .memory_guard_size(MEMORY_GUARD_BYTES);
    if backend == Backend::Pulley {
        config.target(PULLEY_TARGET).map_err(|e| EngineError(format!("{e:#}")))?;
    }
    Ok(config)
}

/// What operators cost here, so that an event's fuel lasts about as long on both cores, and a budget that suffices on
/// the M core suffices here. The M core's engine charges 1 for every operator but `nop`, `drop`, `block`, `loop`,
/// `unreachable`, `return`, `else` and `end`, which are free, and 1 more for entering a function, an arm of an `if`, or
/// an iteration of a loop.
fn operator_cost() -> OperatorCost {
    OperatorCost {
        // Its engine's share of a loop, in the first iteration; there is no operator for the later ones.
        Loop: 1,
        variable: VariableOperatorCost {
            memory_copy_per_byte: 1,
            memory_fill_per_byte: 1,
            // The M core charges memory that was added; this would charge what was asked for, also when it is refused.
            memory_grow_per_page: 0,
            ..VariableOperatorCost::new()
        },
        ..OperatorCost::new()
    }
}

/// The engines with their compiled modules. Clones are the same.
#[derive(Clone)]
pub struct EngineHandle {
    backend: Backend,
    compiled: Arc<Mutex<Compiled>>,
}

/// Wasmtime bounds the stack by an engine, so there is one for each class of `limits.stack`, made when it is first
/// needed.
struct Compiled {
    engines: [Option<Engine>; STACK_CLASSES],
    /// Least recently used first.
    modules: Vec<(DigestBytes, usize, Module)>,
}

impl EngineHandle {
    /// Sets up the engine for this machine's processor, which is [`EngineHandle::pulley`]'s where Cranelift does not know
    /// it. One a process is enough: modules are compiled once for each.
    ///
    /// # Errors
    /// [`EngineError`] when Wasmtime cannot work on this machine.
    pub fn new() -> Result<Self, EngineError> {
        Self::with_backend(Backend::Native)
    }

    /// Sets up the engine that interprets Pulley, which works on every processor.
    ///
    /// # Errors
    /// [`EngineError`] when Wasmtime cannot work on this machine.
    pub fn pulley() -> Result<Self, EngineError> {
        Self::with_backend(Backend::Pulley)
    }

    /// Sets up the engine with the back end of that choice.
    ///
    /// # Errors
    /// [`EngineError`] when Wasmtime cannot work on this machine.
    pub fn with_backend(backend: Backend) -> Result<Self, EngineError> {
        let mut engines = [const { None }; STACK_CLASSES];
        // Whether the machine is fit shows with the first one.
        if let Some(first) = engines.first_mut() {
            *first = Some(engine(backend, 0)?);
        }
        let compiled = Compiled { engines, modules: Vec::new() };
        Ok(Self { backend, compiled: Arc::new(Mutex::new(compiled)) })
    }

    /// The module with those bytes for containers with `stack` bytes of `limits.stack`, compiled now or before. The
    /// caller has checked that the digest fits the bytes.
    pub(crate) fn module(&self, digest: &DigestBytes, bytes: &[u8], stack: u32) -> Result<Module, LoadError> {
        let class = stack_class(stack);
        // A panic elsewhere cannot leave the list half changed: it holds only finished modules.
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        let Compiled { engines, modules } = &mut *compiled;
        let found = modules.iter().position(|(d, c, _)| d == digest && *c == class).map(|at| modules.remove(at).2);
        let module = match found {
            Some(module) => module,
            None => {
                let engine = match engines.get(class).cloned().flatten() {
                    Some(engine) => engine,
                    None => {
                        let engine = engine(self.backend, class);
                        let engine = engine.map_err(|e| LoadError::Instantiate { detail: e.to_string() })?;
                        if let Some(slot) = engines.get_mut(class) {
                            *slot = Some(engine.clone());
                        }
                        engine
                    }
                };
                Module::from_binary(&engine, bytes).map_err(|e| LoadError::NotWasm { detail: format!("{e:#}") })?
            }
        };
        if modules.len() >= MODULES_CACHED_MAX {
            modules.remove(0);
        }
        modules.push((*digest, class, module.clone()));
        Ok(module)
    }
}

/// The class of stacks that hold `stack` bytes of `limits.stack`: the number of times that the smallest is doubled.
fn stack_class(stack: u32) -> usize {
    let bytes = usize::try_from(stack).unwrap_or(usize::MAX).saturating_mul(STACK_FACTOR);
    (0..STACK_CLASSES).find(|class| STACK_BYTES_MIN << class >= bytes).unwrap_or(STACK_CLASSES - 1)
}

/// An engine of that stack class.
fn engine(backend: Backend, class: usize) -> Result<Engine, EngineError> {
    let mut config = config(backend)?;
    let stack = STACK_BYTES_MIN << class;
    config.max_wasm_stack(stack).async_stack_size(stack + HOST_STACK_BYTES);
    Engine::new(&config).map_err(|e| EngineError(format!("{e:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty module with a custom section that makes it the `n`th.
    fn module(n: u8) -> Vec<u8> {
        [b"\0asm\x01\0\0\0".as_slice(), &[0, 3, 1, b'n', n]].concat()
    }

    #[test]
    fn the_modules_used_last_stay_compiled() {
        let handle = EngineHandle::new().unwrap();
        let cached = |n: u8| handle.compiled.lock().unwrap().modules.iter().any(|(digest, ..)| digest[0] == n);
        for n in 0..u8::try_from(MODULES_CACHED_MAX).unwrap() {
            handle.module(&[n; 32], &module(n), 0).unwrap();
        }
        // From the cache: these bytes would not compile.
        handle.module(&[0; 32], b"", 0).unwrap();
        handle.module(&[200; 32], &module(200), 0).unwrap();
        assert!(cached(0) && !cached(1) && cached(2) && cached(200));
        assert_eq!(handle.compiled.lock().unwrap().modules.len(), MODULES_CACHED_MAX);
        assert!(handle.module(&[201; 32], b"", 0).is_err());
        assert_eq!(
            handle.compiled.lock().unwrap().modules.len(),
            MODULES_CACHED_MAX,
            "a refused module costs no other"
        );
    }
}
