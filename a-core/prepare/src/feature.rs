//! Names the feature that a refused module uses, and the function that uses it.

use wasmparser::{Parser, Payload, TypeRef, Validator, WasmFeatures};

use crate::{INPUT_FEATURES, PrepareError};

/// Features that no prepared module uses, each with what it rests on. One that others rest on comes before them, so the
/// first that helps is the least that is missing.
const FEATURES_OFF: &[(&str, WasmFeatures)] = &[
    ("SIMD", WasmFeatures::SIMD),
    ("relaxed SIMD", WasmFeatures::SIMD.union(WasmFeatures::RELAXED_SIMD)),
    ("threads", WasmFeatures::THREADS),
    ("tail calls", WasmFeatures::TAIL_CALL),
    ("several memories", WasmFeatures::MULTI_MEMORY),
    ("64-bit memory", WasmFeatures::MEMORY64),
    ("wide arithmetic", WasmFeatures::WIDE_ARITHMETIC),
    ("compact imports", WasmFeatures::COMPACT_IMPORTS),
    ("reference types", REFERENCES),
    ("exceptions", REFERENCES.union(WasmFeatures::EXCEPTIONS)),
    ("legacy exceptions", REFERENCES.union(WasmFeatures::EXCEPTIONS).union(WasmFeatures::LEGACY_EXCEPTIONS)),
    ("function references", REFERENCES.union(WasmFeatures::FUNCTION_REFERENCES)),
    ("garbage collection", OBJECTS),
    ("custom descriptors", OBJECTS.union(WasmFeatures::CUSTOM_DESCRIPTORS)),
    (
        "stack switching",
        OBJECTS.union(WasmFeatures::EXCEPTIONS).union(WasmFeatures::TAIL_CALL).union(WasmFeatures::STACK_SWITCHING),
    ),
    ("shared-everything threads", OBJECTS.union(WasmFeatures::THREADS).union(WasmFeatures::SHARED_EVERYTHING_THREADS)),
    ("memory control", WasmFeatures::MEMORY_CONTROL),
];

const REFERENCES: WasmFeatures = WasmFeatures::REFERENCE_TYPES.union(WasmFeatures::GC_TYPES);
const OBJECTS: WasmFeatures = REFERENCES.union(WasmFeatures::FUNCTION_REFERENCES).union(WasmFeatures::GC);

/// The refusal of a module that the validator refused with `error`: with the feature that it lacks, or as it is when no
/// single feature would help.
pub(crate) fn name(wasm: &[u8], error: wasmparser::Error) -> PrepareError {
    let offset = error.offset();
    match missing(wasm, offset) {
        Some(feature) => PrepareError::Feature { feature, function: function_at(wasm, offset), offset },
        None => error.into(),
    }
}

/// The first feature that makes the module valid; else the first that makes the error at `offset` go away, because the
/// module may use several.
fn missing(wasm: &[u8], offset: u64) -> Option<&'static str> {
    let mut moved = None;
    for &(name, features) in FEATURES_OFF {
        match Validator::new_with_features(INPUT_FEATURES.union(features)).validate_all(wasm) {
            Ok(_) => return Some(name),
            Err(e) if e.offset() != offset => moved = moved.or(Some(name)),
            Err(_) => {}
        }
    }
    moved
}

/// The index of the function whose body spans `offset`.
fn function_at(wasm: &[u8], offset: u64) -> Option<u32> {
    let mut function = 0_u32;
    // What cannot be parsed comes after the last function that can be named.
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        match payload {
            Payload::ImportSection(reader) => {
                let imported = reader.into_imports().flatten().filter(|i| matches!(i.ty, TypeRef::Func(_))).count();
                function = u32::try_from(imported).ok()?;
            }
            Payload::CodeSectionEntry(body) => {
                if body.range().contains(&offset) {
                    return Some(function);
                }
                function = function.saturating_add(1);
            }
            _ => {}
        }
    }
    None
}
