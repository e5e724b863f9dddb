//! Turns a WebAssembly module as a compiler wrote it into an image's module: admitted, normalised, digest-addressed.
//!
//! A module is prepared once, when its image is built; after that both cores run the same bytes. Preparing it
//! 1. validates it with one feature set, the one that both engines have ([`FEATURES`]), and names the feature that a
//!    refused module would need;
//! 2. refuses what a snapshot cannot carry: changes to tables, passive segments, imported memories, unknown imports;
//! 3. normalises it: the memory is exported as `memory`, every mutable global as `coracle_global_N`, the `start`
//!    function as `coracle_start`; of the other exports only `init` and `on_event`, or `_start`, stay, and no custom sections;
//! 4. replaces instructions that an engine is known to get wrong by equal ones ([`mend()`]).
//!
//! The output depends on nothing but the input: the same module gives the same bytes, and preparing prepared bytes
//! gives them back. This crate reads no files and runs no guest code.
#![forbid(unsafe_code)]

mod check;
mod encode;
mod error;
mod feature;
mod grants;
mod mend;
mod read;

use coracle_migrate::snapshot::{DigestBytes, SNAPSHOT_BYTES_MAX};
use sha2::{Digest, Sha256};
use wasm_encoder::reencode::Reencode;
use wasmparser::{Parser, Validator, WasmFeatures};

pub use error::{NotPortable, PrepareError};
pub use grants::{MissingGrant, check_grants};

/// The features that prepared modules use at most: those of both engines.
pub const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::FLOATS);

/// Compilers that know reference types write table indices in more bytes than needed. Encoding anew makes them short,
/// so the engines need no such feature.
const INPUT_FEATURES: WasmFeatures = FEATURES.union(WasmFeatures::CALL_INDIRECT_OVERLONG);

/// Largest module, in bytes, that is prepared at all.
pub const MODULE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most elements of a table. Both engines hold modules to it.
pub const TABLE_ELEMENTS_MAX: u64 = 4096;

/// Largest prepared module, in bytes, that fits the M core.
pub const PORTABLE_MODULE_BYTES_MAX: usize = 64 * 1024;
/// Most functions a portable module defines: the M core keeps a slot and a copy of the body for each.
pub const PORTABLE_FUNCTIONS_MAX: usize = 1024;
/// Longest body of a portable function, in bytes. The M core translates a function when it is first called, and
/// nothing interrupts that: at some 700 instructions a byte this is a hundred milliseconds at 100 MHz.
pub const PORTABLE_BODY_BYTES_MAX: usize = 16 * 1024;
/// Most locals of a portable function, parameters included. Each takes 8 bytes of the M core's 32 KiB guest stack.
pub const PORTABLE_LOCALS_MAX: u64 = 512;
/// Deepest nesting of blocks in a portable function: it bounds the translator's own memory.
pub const PORTABLE_NESTING_MAX: usize = 128;
/// Largest memory that a portable container may grow to, in bytes: a snapshot holds it, and 32 KiB of events beside.
pub const PORTABLE_MEMORY_BYTES_MAX: u64 = (SNAPSHOT_BYTES_MAX - 32 * 1024) as u64;

/// A valid module with the instructions replaced that an engine is known to get wrong; nothing else changes, and a
/// mended module is left as it is. [`prepare`] does this; tests do it to modules that are no images.
///
/// # Errors
/// [`PrepareError`] for what cannot be read or encoded.
pub fn mend(wasm: &[u8]) -> Result<Vec<u8>, PrepareError> {
    let module = read::Module::read(wasm)?;
    let mut out = wasm_encoder::Module::new();
    mend::Mender::new(&module)
        .parse_core_module(&mut out, Parser::new(0), wasm)
        .map_err(|e| PrepareError::Encode { detail: e.to_string() })?;
    Ok(out.finish())
}

/// What the container may use at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// `limits.memory` of the manifest, in bytes.
    pub memory: u32,
}

/// A module that both engines accept, and what admission found out about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The module's bytes.
    pub bytes: Vec<u8>,
    /// Their SHA-256: the image's address.
    pub digest: DigestBytes,
    /// What it imports, as module and field name, in the order of first use. All exist.
    pub imports: Vec<(String, String)>,
    /// Bytes of memory it starts with; 0 without a memory.
    pub memory_min: u64,
    /// Bytes of memory that it declares as its maximum.
    pub memory_max: Option<u64>,
    /// Page size of its memory in bytes: 1 or 65 536.
    pub page_size: u32,
    /// Number of its mutable globals.
    pub globals: usize,
    /// Whether it is a command, which exports `_start` and waits for its events itself. It may run on the M core, but it
    /// cannot move.
    pub command: bool,
    /// The names of its functions: a module that has nothing else. Empty where it has none. They are apart, because they
    /// would only take the M core's memory.
    pub names: Vec<u8>,
    /// Whether it may run on the M core, or every reason why not.
    pub portable: Result<(), Vec<NotPortable>>,
}

/// Prepares `wasm`.
///
/// # Errors
/// See [`PrepareError`]; each says what is wrong, where, and what to do.
pub fn prepare(wasm: &[u8], limits: &AdmissionLimits) -> Result<Prepared, PrepareError> {
    if wasm.len() > MODULE_BYTES_MAX {
        return Err(PrepareError::TooLarge { bytes: wasm.len(), limit: MODULE_BYTES_MAX });
    }
    check::magic(wasm)?;
    Validator::new_with_features(INPUT_FEATURES).validate_all(wasm).map_err(|e| feature::name(wasm, e))?;
    let module = read::Module::read(wasm)?;
    let checked = check::admit(&module, limits)?;
    let bytes = encode::encode(&module)?;
    // What the engines will see is what was checked: a mistake in the encoder must not get past here.
    Validator::new_with_features(FEATURES).validate_all(&bytes)?;
    let mut reasons = checked.not_portable;
    if bytes.len() > PORTABLE_MODULE_BYTES_MAX {
        reasons.push(NotPortable::ModuleBytes { bytes: bytes.len(), limit: PORTABLE_MODULE_BYTES_MAX });
    }
    Ok(Prepared {
        digest: Sha256::digest(&bytes).into(),
        bytes,
        imports: checked.imports,
        memory_min: checked.memory.min,
        memory_max: checked.memory.max,
        page_size: checked.memory.page_size,
        globals: module.mutable_globals().count(),
        command: checked.command,
        names: encode::names(&module),
        portable: if reasons.is_empty() { Ok(()) } else { Err(reasons) },
    })
}
