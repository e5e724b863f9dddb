//! What is admitted, what is refused and with which words, and what comes out.

use coracle_container::{Grants, SensorGrant};
use coracle_guest_abi::GrantKind;
use coracle_prepare::{
    AdmissionLimits, FEATURES, NotPortable, PORTABLE_BODY_BYTES_MAX, PORTABLE_FUNCTIONS_MAX, PORTABLE_LOCALS_MAX,
    PORTABLE_MEMORY_BYTES_MAX, PORTABLE_MODULE_BYTES_MAX, PORTABLE_NESTING_MAX, PrepareError, Prepared,
    TABLE_ELEMENTS_MAX, check_grants, prepare,
};
use wasm_encoder as encode;
use wasmparser::{Parser, Payload, Validator};

const LIMITS: AdmissionLimits = AdmissionLimits { memory: 65_536 };
const EVENT: &str = r#"(func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0))"#;

fn module(fields: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {fields} {EVENT})")).unwrap()
}

fn ok(fields: &str) -> Prepared {
    prepare(&module(fields), &LIMITS).unwrap()
}

fn refused(fields: &str) -> (PrepareError, String) {
    let error = prepare(&module(fields), &LIMITS).unwrap_err();
    let text = error.to_string();
    (error, text)
}

fn not_portable(fields: &str) -> Vec<NotPortable> {
    ok(fields).portable.unwrap_err()
}

fn exports(bytes: &[u8]) -> Vec<String> {
    Parser::new(0)
        .parse_all(bytes)
        .filter_map(|p| match p.unwrap() {
            Payload::ExportSection(reader) => Some(reader),
            _ => None,
        })
        .flat_map(|reader| reader.into_iter().map(|e| e.unwrap().name.to_owned()))
        .collect()
}

#[test]
fn the_module_is_normalised() {
    let before = module(
        r#"(import "coracle:time@1" "now" (func $now (result i64)))
        (import "coracle:log@1" "write" (func (param i32 i32 i32) (result i32)))
        (memory (export "mem") 100 200 (pagesize 1))
        (global (mut i32) (i32.const 1)) (global (export "x") i32 (i32.const 2)) (global (mut f64) (f64.const 3))
        (func $start) (start $start) (func (export "helper"))
        (func (export "init") (result i32) (i32.const 0))
        (@custom "producers" "abc") (@custom ".debug_info" "abc")"#,
    );
    let prepared = prepare(&before, &LIMITS).unwrap();
    assert_eq!(
        exports(&prepared.bytes),
        ["memory", "coracle_global_0", "coracle_global_2", "coracle_start", "init", "on_event"]
    );
    for payload in Parser::new(0).parse_all(&prepared.bytes) {
        let payload = payload.unwrap();
        assert!(!matches!(payload, Payload::CustomSection(_) | Payload::StartSection { .. }), "{payload:?}");
    }
    assert_eq!(
        prepared.imports,
        [("coracle:time@1".to_owned(), "now".to_owned()), ("coracle:log@1".to_owned(), "write".to_owned())]
    );
    assert_eq!((prepared.memory_min, prepared.memory_max, prepared.page_size), (100, Some(200), 1));
    assert_eq!(prepared.globals, 2);
    assert_eq!(prepared.portable, Ok(()));
    // Preparing is a function of the module: the same again, and nothing left to do the second time.
    assert_eq!(prepare(&before, &LIMITS).unwrap(), prepared);
    let again = prepare(&prepared.bytes, &LIMITS).unwrap();
    assert_eq!(again.names, [], "names are no part of prepared bytes");
    assert_eq!(Prepared { names: prepared.names.clone(), ..again }, prepared);
}

#[test]
fn memory_sizes_are_in_bytes() {
    let pages = ok("(memory 1)");
    assert_eq!((pages.memory_min, pages.memory_max, pages.page_size), (65_536, None, 65_536));
    let none = ok("");
    assert_eq!((none.memory_min, none.memory_max), (0, Some(0)));
    assert_eq!(none.portable, Ok(()));
}

/// What rustc and clang emit for `call_indirect` since they know reference types: the table index in five bytes.
#[test]
fn overlong_table_indices_become_plain() {
    let mut out = encode::Module::new();
    let mut types = encode::TypeSection::new();
    types.ty().function([encode::ValType::I32; 3], [encode::ValType::I32]);
    types.ty().function([], [encode::ValType::I32]);
    out.section(&types);
    let mut functions = encode::FunctionSection::new();
    functions.function(0);
    out.section(&functions);
    let mut tables = encode::TableSection::new();
    tables.table(encode::TableType {
        element_type: encode::RefType::FUNCREF,
        table64: false,
        minimum: 1,
        maximum: Some(1),
        shared: false,
    });
    out.section(&tables);
    let mut exports = encode::ExportSection::new();
    exports.export("on_event", encode::ExportKind::Func, 0);
    out.section(&exports);
    let mut code = encode::CodeSection::new();
    let mut body = encode::Function::new([]);
    // i32.const 0; call_indirect type 1 table 0, padded; end
    body.raw([0x41, 0x00, 0x11, 0x01, 0x80, 0x80, 0x80, 0x80, 0x00, 0x0b]);
    code.function(&body);
    out.section(&code);
    let wasm = out.finish();
    assert!(Validator::new_with_features(FEATURES).validate_all(&wasm).is_err(), "plain MVP refuses it");
    let prepared = prepare(&wasm, &LIMITS).unwrap();
    assert!(Validator::new_with_features(FEATURES).validate_all(&prepared.bytes).is_ok());
    assert_eq!(prepared.bytes.len(), wasm.len() - 4);
}

#[test]
fn files_that_are_no_core_module_are_told_apart() {
    let error = |bytes: &[u8]| prepare(bytes, &LIMITS).unwrap_err();
    assert_eq!(error(b""), PrepareError::NotWasm);
    assert_eq!(error(b"\x7fELF..."), PrepareError::NotWasm);
    assert_eq!(error(b"\0asm\x0d\0\x01\0"), PrepareError::NotCoreModule);
    assert!(matches!(error(b"\0asm"), PrepareError::Invalid { .. }));
    assert!(matches!(error(b"\0asm\x01\0"), PrepareError::Invalid { .. }));
    assert_eq!(
        error(&vec![0; coracle_prepare::MODULE_BYTES_MAX + 1]),
        PrepareError::TooLarge {
            bytes: coracle_prepare::MODULE_BYTES_MAX + 1,
            limit: coracle_prepare::MODULE_BYTES_MAX
        }
    );
}

#[test]
fn every_cut_of_a_module_is_refused() {
    // The code comes last: without a section after it that a module can do without, any cut is a loss.
    let whole = module("(memory 1) (func (drop (i32.load (i32.const 0))))");
    for len in 0..whole.len() {
        assert!(prepare(&whole[..len], &LIMITS).is_err(), "cut at {len}");
    }
}

#[test]
fn what_a_snapshot_cannot_carry_is_refused_with_its_place() {
    let table = "(table 2 2 funcref) (elem $e func $f) (func $f)";
    let data = r#"(memory 1) (data $d "abc")"#;
    for (fields, name) in [
        (format!("{data} (func (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1)))"), "memory.init"),
        (format!("{data} (func (data.drop $d))"), "data.drop"),
        (format!("{table} (func (table.init $e (i32.const 0) (i32.const 0) (i32.const 1)))"), "table.init"),
        (format!("{table} (func (elem.drop $e))"), "elem.drop"),
        (format!("{table} (func (table.copy (i32.const 0) (i32.const 0) (i32.const 1)))"), "table.copy"),
    ] {
        let (error, text) = refused(&fields);
        let PrepareError::Operator { operator, offset, .. } = error else { panic!("{name}: {text}") };
        assert_eq!(operator, name);
        // The place is that of the instruction: a bulk operation has the prefix 0xfc.
        assert_eq!(module(&fields)[offset as usize], 0xfc, "{name}");
        assert!(text.contains(name) && text.contains("instead"), "{text}");
    }
    for (fields, section, index) in
        [("(memory 1) (data (i32.const 0) \"a\") (data \"b\")", "data", 1), ("(elem func $f) (func $f)", "element", 0)]
    {
        let (error, text) = refused(fields);
        assert_eq!(error, PrepareError::PassiveSegment { section, index });
        assert!(text.contains("make it active"), "{text}");
    }
}

/// The table of features: fields of a module, the name, and the function that uses it (imports come first).
#[test]
fn a_feature_that_is_off_is_refused_by_name_with_its_place() {
    let in_function = |fields| (fields, Some(1));
    let outside = |fields| (fields, None);
    for ((fields, function), name) in [
        (in_function("(func) (func (drop (v128.const i64x2 0 0)))"), "SIMD"),
        (in_function("(func) (func (local v128))"), "SIMD"),
        (outside("(func (param v128))"), "SIMD"),
        (
            in_function(
                "(memory 1) (func) (func (drop (f32x4.add (v128.load (i32.const 0)) (v128.load (i32.const 1)))))",
            ),
            "SIMD",
        ),
        (
            in_function(
                "(func) (func (param i32) (drop (i8x16.relaxed_swizzle (i8x16.splat (local.get 0)) \
                 (i8x16.splat (local.get 0)))))",
            ),
            "relaxed SIMD",
        ),
        (in_function("(memory 1) (func) (func (drop (i32.atomic.load (i32.const 0))))"), "threads"),
        (in_function("(func) (func (atomic.fence))"), "threads"),
        (outside("(memory 1 1 shared)"), "threads"),
        (outside("(table 1 externref)"), "reference types"),
        (outside("(func (param externref))"), "reference types"),
        (outside("(table 1 funcref) (table 1 funcref)"), "reference types"),
        (in_function("(table 1 funcref) (func) (func (table.set (i32.const 0) (ref.null func)))"), "reference types"),
        (in_function("(table 1 funcref) (func) (func (drop (table.size 0)))"), "reference types"),
        (
            in_function("(table 1 funcref) (func) (func (drop (table.grow (ref.null func) (i32.const 1))))"),
            "reference types",
        ),
        (in_function("(func) (func $f (return_call $f))"), "tail calls"),
        (in_function("(table 1 funcref) (func) (func (return_call_indirect (i32.const 0)))"), "tail calls"),
        (outside("(tag)"), "exceptions"),
        (in_function("(func) (func (try_table))"), "exceptions"),
        (outside("(type (func)) (func (param (ref 0)))"), "function references"),
        (outside("(type (struct (field i32)))"), "garbage collection"),
        (outside("(type (array i8))"), "garbage collection"),
        (in_function("(func) (func (drop (ref.i31 (i32.const 1))))"), "garbage collection"),
        (outside("(memory i64 1)"), "64-bit memory"),
        (outside("(memory 1) (memory 1)"), "several memories"),
        (
            in_function(
                "(func) (func (result i64 i64) \
                 (i64.add128 (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))",
            ),
            "wide arithmetic",
        ),
    ] {
        let (error, text) = refused(fields);
        let PrepareError::Feature { feature, function: found, offset } = error else { panic!("{fields}: {text}") };
        assert_eq!((feature, found), (name, function), "{fields}: {text}");
        assert!(offset < module(fields).len() as u64);
        assert!(text.contains(&format!("{offset:#x}")) && text.contains("wasm32v1-none"), "{text}");
    }
}

#[test]
fn the_place_of_a_feature_is_that_of_its_first_instruction() {
    let fields = r#"(import "coracle:time@1" "now" (func (result i64))) (func) (func (drop (v128.const i64x2 0 0)))"#;
    let (error, text) = refused(fields);
    let PrepareError::Feature { feature: "SIMD", function: Some(2), offset } = error else { panic!("{text}") };
    assert_eq!(module(fields)[offset as usize], 0xfd, "the prefix of SIMD instructions: {text}");
    assert!(text.starts_with(&format!("the module uses SIMD (function 2, offset {offset:#x})")), "{text}");
}

#[test]
fn a_module_that_needs_several_features_names_one_of_them() {
    let (error, text) = refused("(func (drop (v128.const i64x2 0 0))) (func $f (return_call $f))");
    assert!(matches!(error, PrepareError::Feature { feature: "SIMD", function: Some(0), .. }), "{text}");
    // The memories are checked before any body.
    let (error, text) = refused("(memory i64 1) (func $f (return_call $f))");
    assert!(matches!(error, PrepareError::Feature { feature: "64-bit memory", function: None, .. }), "{text}");
}

#[test]
fn a_module_that_no_feature_mends_is_not_told_of_features() {
    for fields in ["(func (i32.const 0))", "(func (result i32))", "(func (drop (i32.add (i32.const 0) (i64.const 0))))"]
    {
        let (error, text) = refused(fields);
        assert!(matches!(error, PrepareError::Invalid { .. }), "{fields}: {text}");
    }
}

#[test]
fn every_feature_that_is_on_is_admitted() {
    for fields in [
        "(global (export \"g\") (mut i32) (i32.const 0))",
        "(func (drop (i32.extend8_s (i32.const 0))))",
        "(func (drop (i32.trunc_sat_f32_s (f32.const 0))))",
        "(func (result i32 i64) (i32.const 0) (i64.const 0))",
        "(memory 1) (func (memory.copy (i32.const 0) (i32.const 0) (i32.const 1)))",
        "(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1)))",
        "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
        "(memory 7 9 (pagesize 1))",
    ] {
        assert!(ok(fields).portable.is_ok(), "{fields}");
    }
}

#[test]
fn imports_must_exist_with_their_type() {
    let (error, text) = refused(r#"(import "env" "abort" (func))"#);
    assert_eq!(error, PrepareError::UnknownImport { module: "env".into(), name: "abort".into() });
    assert!(text.contains("coracle:log@1 write"), "{text}");
    let (error, text) = refused(r#"(import "coracle:time@1" "now" (func (result i32)))"#);
    assert!(matches!(error, PrepareError::ImportType { .. }), "{text}");
    assert!(text.contains("type () -> (i32), it is () -> (i64)"), "{text}");
    for (field, kind) in [
        (r#"(import "a" "b" (memory 1))"#, "memory"),
        (r#"(import "a" "b" (global i32))"#, "global"),
        (r#"(import "a" "b" (table 1 funcref))"#, "table"),
    ] {
        let (error, text) = refused(field);
        assert_eq!(error, PrepareError::ImportKind { module: "a".into(), name: "b".into(), kind });
        assert!(text.contains("define the"), "{text}");
    }
}

#[test]
fn exports_must_exist_with_their_type() {
    let error = |wat: &str| prepare(&wat::parse_str(wat).unwrap(), &LIMITS).unwrap_err();
    assert!(matches!(error("(module)"), PrepareError::MissingExport { name: "on_event", .. }));
    assert!(matches!(
        error(r#"(module (func (export "on_event")))"#),
        PrepareError::ExportType { name: "on_event", .. }
    ));
    assert!(matches!(
        error(r#"(module (memory (export "on_event") 1))"#),
        PrepareError::ExportType { name: "on_event", ref found, .. } if found == "memory"
    ));
    assert!(matches!(refused(r#"(func (export "init"))"#).0, PrepareError::ExportType { name: "init", .. }));
    assert_eq!(
        refused(r#"(func $s (export "coracle_start")) (start $s)"#).0,
        PrepareError::ReservedExport { name: "coracle_start" }
    );
    // The reserved name of a global cannot be taken: it is given anew.
    let taken = ok(r#"(global (mut i32) (i32.const 0)) (func (export "coracle_global_0"))"#);
    assert_eq!(exports(&taken.bytes), ["coracle_global_0", "on_event"]);
    assert_eq!(taken.globals, 1);
}

#[test]
fn limits_are_exact() {
    assert_eq!(refused("(memory 65537 (pagesize 1))").0, PrepareError::Memory { need: 65_537, limit: 65_536 });
    assert!(ok("(memory 65536 (pagesize 1))").portable.is_ok());
    let max = TABLE_ELEMENTS_MAX;
    assert_eq!(
        refused(&format!("(table {} funcref)", max + 1)).0,
        PrepareError::Table { elements: max + 1, limit: max }
    );
    ok(&format!("(table {max} funcref)"));
    assert_eq!(refused(&"(global (mut i64) (i64.const 0))".repeat(17)).0, PrepareError::TooManyGlobals { found: 17 });
    assert_eq!(ok(&"(global (mut i64) (i64.const 0))".repeat(16)).globals, 16);
}

#[test]
fn what_binds_to_the_a_core_is_listed() {
    let nested = |n: usize| format!("(func {} {})", "(block ".repeat(n), ")".repeat(n));
    assert!(ok(&nested(PORTABLE_NESTING_MAX)).portable.is_ok());
    assert!(matches!(
        not_portable(&nested(PORTABLE_NESTING_MAX + 1))[..],
        [NotPortable::Nesting { function: 0, depth, .. }] if depth == PORTABLE_NESTING_MAX + 1
    ));
    let locals = |n: u64| format!("(func (param i32) (local {}))", "i64 ".repeat(n as usize - 1));
    assert!(ok(&locals(PORTABLE_LOCALS_MAX)).portable.is_ok());
    assert!(matches!(not_portable(&locals(PORTABLE_LOCALS_MAX + 1))[..], [NotPortable::Locals { .. }]));
    // A body of nops: its size is the nops, one byte for the count of locals, one for the end.
    let body = |n: usize| format!("(func {})", "nop ".repeat(n - 2));
    assert!(ok(&body(PORTABLE_BODY_BYTES_MAX)).portable.is_ok());
    assert!(matches!(not_portable(&body(PORTABLE_BODY_BYTES_MAX + 1))[..], [NotPortable::BodyBytes { .. }]));
    let functions = |n: usize| "(func)".repeat(n - 1);
    assert!(ok(&functions(PORTABLE_FUNCTIONS_MAX)).portable.is_ok());
    assert!(matches!(not_portable(&functions(PORTABLE_FUNCTIONS_MAX + 1))[..], [NotPortable::Functions { .. }]));
    let large = format!("(memory 1) (data (i32.const 0) \"{}\")", "x".repeat(PORTABLE_MODULE_BYTES_MAX));
    assert!(matches!(not_portable(&large)[..], [NotPortable::ModuleBytes { .. }]));
    // A memory counts with what it may grow to: its maximum or the limit, whichever is less.
    let roomy = AdmissionLimits { memory: 1 << 20 };
    let portable = |wat: &str| prepare(&module(wat), &roomy).unwrap().portable;
    assert!(portable(&format!("(memory 1 {PORTABLE_MEMORY_BYTES_MAX} (pagesize 1))")).is_ok());
    assert_eq!(
        portable("(memory 1)"),
        Err(vec![NotPortable::Memory { bytes: 1 << 20, limit: PORTABLE_MEMORY_BYTES_MAX }])
    );
    // A hostile module has a reason for each function; the list stays short.
    assert!(not_portable(&locals(PORTABLE_LOCALS_MAX + 1).repeat(100)).len() <= 32);
}

#[test]
fn missing_grants_are_all_named() {
    let prepared = ok(r#"
        (import "coracle:log@1" "write" (func (param i32 i32 i32) (result i32)))
        (import "coracle:sensor@1" "open" (func (param i32 i32) (result i32)))
        (import "coracle:msg@1" "publish" (func (param i32 i32 i32 i32) (result i32)))"#);
    let missing = check_grants(&prepared, &Grants::default()).unwrap_err();
    let grants: Vec<_> = missing.iter().map(|m| (m.import_name.as_str(), m.grant)).collect();
    assert_eq!(grants, [("open", GrantKind::Sensors), ("publish", GrantKind::Publish)]);
    assert_eq!(missing[0].to_string(), "the module imports coracle:sensor@1 open; add `sensors` to its grants");
    let mut granted = Grants::default();
    let accel = SensorGrant { name: "accel0".try_into().unwrap(), rate_hz: 0, exclusive: false };
    granted.sensors.push(accel).unwrap();
    granted.publish.push("a".try_into().unwrap()).unwrap();
    assert_eq!(check_grants(&prepared, &granted), Ok(()));
}

#[test]
fn what_an_engine_gets_wrong_is_mended_once() {
    let select = "(func (param i32) (result i32) (select (i32.const 1) (local.get 0) (i32.eqz (local.get 0))))";
    let block = "(func (param i64) (local.get 0) (i32.const 1) (block (param i32) (drop)) (drop))";
    for (fields, added) in [
        // i32.const 0; i32.gt_u
        (select, 3),
        // block; end
        (block, 3),
    ] {
        let plain = module(fields);
        let prepared = ok(fields);
        // The export section is the same, so all that grew is the body.
        assert_eq!(prepared.bytes.len(), plain.len() + added, "{fields}");
        assert_eq!(prepare(&prepared.bytes, &LIMITS).unwrap(), prepared, "{fields}: preparing again changes more");
    }
}
