//! The compiler that all containers share, and the modules it compiled.

use std::sync::{Arc, Mutex, PoisonError};

use coracle_migrate::snapshot::DigestBytes;
use coracle_wire::MEMORY_BYTES_MAX;
use wasmtime::{Config, Engine, Module, WasmFeatures};

use crate::{EngineError, LoadError};

/// The largest stack of a guest in bytes. A guest that needs more exits with `StackExhausted`. The thread that runs
/// containers must have more stack than this.
pub const STACK_BYTES_MAX: usize = 512 * 1024;
/// Compiled modules kept for the next container of the same image.
pub const MODULES_CACHED_MAX: usize = 32;
/// Address space reserved after a memory so that most bounds checks need no addition, in bytes.
const MEMORY_GUARD_BYTES: u64 = 64 * 1024;

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

/// A shared engine with its compiled modules. Clones are the same engine.
#[derive(Clone)]
pub struct EngineHandle {
    pub(crate) engine: Engine,
    /// Least recently used first.
    modules: Arc<Mutex<Vec<(DigestBytes, Module)>>>,
}

impl EngineHandle {
    /// Sets up the engine. Expensive; one a process is enough.
    ///
    /// # Errors
    /// [`EngineError`] when Wasmtime cannot work on this machine.
    pub fn new() -> Result<Self, EngineError> {
        let mut config = Config::new();
        config
            .wasm_features(WasmFeatures::all(), false)
            .wasm_features(FEATURES, true)
            .consume_fuel(true)
            // A NaN that was stored here must have the bits that it would have had on the M core.
            .cranelift_nan_canonicalization(true)
            .max_wasm_stack(STACK_BYTES_MAX)
            // Many small memories instead of few with gigabytes of address space each; within its limit a memory
            // still never moves.
            .memory_reservation(u64::from(MEMORY_BYTES_MAX))
            .memory_reservation_for_growth(0)
            .memory_guard_size(MEMORY_GUARD_BYTES);
        let engine = Engine::new(&config).map_err(|e| EngineError(format!("{e:#}")))?;
        Ok(Self { engine, modules: Arc::default() })
    }

    /// The module with those bytes, compiled now or before. The caller has checked that the digest fits the bytes.
    pub(crate) fn module(&self, digest: &DigestBytes, bytes: &[u8]) -> Result<Module, LoadError> {
        // A panic elsewhere cannot leave the list half changed: it holds only finished modules.
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let found = modules.iter().position(|(d, _)| d == digest).map(|at| modules.remove(at).1);
        let module = match found {
            Some(module) => module,
            None => {
                Module::from_binary(&self.engine, bytes).map_err(|e| LoadError::NotWasm { detail: format!("{e:#}") })?
            }
        };
        if modules.len() >= MODULES_CACHED_MAX {
            modules.remove(0);
        }
        modules.push((*digest, module.clone()));
        Ok(module)
    }
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
        let cached = |n: u8| handle.modules.lock().unwrap().iter().any(|(digest, _)| digest[0] == n);
        for n in 0..u8::try_from(MODULES_CACHED_MAX).unwrap() {
            handle.module(&[n; 32], &module(n)).unwrap();
        }
        // From the cache: these bytes would not compile.
        handle.module(&[0; 32], b"").unwrap();
        handle.module(&[200; 32], &module(200)).unwrap();
        assert!(cached(0) && !cached(1) && cached(2) && cached(200));
        assert_eq!(handle.modules.lock().unwrap().len(), MODULES_CACHED_MAX);
        assert!(handle.module(&[201; 32], b"").is_err());
        assert_eq!(handle.modules.lock().unwrap().len(), MODULES_CACHED_MAX, "a refused module costs no other");
    }
}
