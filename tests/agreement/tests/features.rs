//! One set of features on both engines and in image preparation: a module is accepted by all or by none.

use coracle_prepare::{AdmissionLimits, FEATURES, PrepareError, prepare};
use coracle_test_agreement::{Limits, machines};
use wasmparser::{Validator, WasmFeatures};

/// Fields of a module, and the feature that they need; `None` for those that are on.
const MODULES: [(&str, Option<&str>); 28] = [
    ("(global (export \"g\") (mut i32) (i32.const 0))", None),
    ("(func (drop (i32.extend8_s (i32.const 0))))", None),
    ("(func (drop (i64.extend32_s (i64.const 0))))", None),
    ("(func (drop (i32.trunc_sat_f32_s (f32.const 0))))", None),
    ("(func (result i32 i64) (i32.const 0) (i64.const 0))", None),
    ("(func (i32.const 0) (block (param i32) (drop)))", None),
    ("(memory 1) (func (memory.copy (i32.const 0) (i32.const 0) (i32.const 1)))", None),
    ("(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1)))", None),
    ("(global i32 (i32.add (i32.const 1) (i32.const 2)))", None),
    ("(memory 7 9 (pagesize 1))", None),
    ("(func (drop (v128.const i64x2 0 0)))", Some("SIMD")),
    ("(func (drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0))))", Some("relaxed SIMD")),
    ("(memory 1 1 shared)", Some("threads")),
    ("(memory 1) (func (drop (i32.atomic.load (i32.const 0))))", Some("threads")),
    ("(table 1 externref)", Some("reference types")),
    ("(table 1 funcref) (table 1 funcref)", Some("reference types")),
    ("(table 1 funcref) (func (table.set (i32.const 0) (ref.null func)))", Some("reference types")),
    ("(func (drop (select (result i32) (i32.const 0) (i32.const 1) (i32.const 2))))", Some("reference types")),
    ("(func $f (return_call $f))", Some("tail calls")),
    ("(table 1 funcref) (func (return_call_indirect (i32.const 0)))", Some("tail calls")),
    ("(tag)", Some("exceptions")),
    ("(func (try_table))", Some("exceptions")),
    ("(type (func)) (func (param (ref 0)))", Some("function references")),
    ("(type (struct))", Some("garbage collection")),
    ("(func (drop (ref.i31 (i32.const 1))))", Some("garbage collection")),
    ("(memory i64 1)", Some("64-bit memory")),
    ("(memory 1) (memory 1)", Some("several memories")),
    (
        "(func (result i64 i64) (i64.add128 (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))",
        Some("wide arithmetic"),
    ),
];

#[test]
fn a_module_is_accepted_by_all_or_by_none() {
    let machines = machines(Limits::default());
    for (fields, off) in MODULES {
        let event = r#"(func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0))"#;
        let module = wat::parse_str(format!("(module {fields} {event})")).unwrap();
        for machine in &machines {
            let accepts = machine.accepts(&module);
            assert_eq!(accepts.is_ok(), off.is_none(), "{} {fields}: {accepts:?}", machine.name());
        }
        match (prepare(&module, &AdmissionLimits { memory: 65_536 }), off) {
            (Ok(_), None) => {}
            (Err(PrepareError::Feature { feature, .. }), Some(off)) => assert_eq!(feature, off, "{fields}"),
            (other, _) => panic!("{fields}: {other:?}"),
        }
    }
}

/// Each feature that is on is needed by one of the modules: without it, preparation's validator would refuse one.
#[test]
fn each_feature_that_is_on_is_tried() {
    for (feature, _) in FEATURES.iter_names().map(|(name, bits)| (bits, name)) {
        // Both validators take floats for granted, and the optional half of bulk memory comes with the whole.
        if feature == WasmFeatures::FLOATS || WasmFeatures::BULK_MEMORY_OPT.contains(feature) {
            continue;
        }
        let without = Validator::new_with_features(FEATURES.difference(feature));
        let needed = MODULES.iter().filter(|(_, off)| off.is_none()).any(|(fields, _)| {
            let module = wat::parse_str(format!("(module {fields})")).unwrap();
            Validator::new_with_features(*without.features()).validate_all(&module).is_err()
        });
        assert!(needed, "no module uses {feature:?}");
    }
}

#[test]
fn a_component_is_told_apart() {
    let component = b"\0asm\x0d\0\x01\0";
    let error = prepare(component, &AdmissionLimits { memory: 0 }).unwrap_err();
    assert_eq!(error, PrepareError::NotCoreModule);
    for machine in machines(Limits::default()) {
        assert!(machine.accepts(component).is_err(), "{}", machine.name());
    }
}
