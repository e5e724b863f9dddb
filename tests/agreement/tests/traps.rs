//! Every way to trap, every limit that a guest can run into, and the bits of NaNs, on all engines.

use coracle_engine::Backend;
use coracle_lifecycle::TrapKind;
use coracle_test_agreement::{Compiled, Failure, Instance, Interpreted, Limits, Machine, Type, Value, machines};

const PAGE: usize = 65_536;

fn wasm(text: &str) -> Vec<u8> {
    coracle_prepare::mend(&wat::parse_str(text).unwrap()).unwrap()
}

/// The same module on all engines.
fn instances(text: &str, limits: Limits) -> Vec<(Box<dyn Machine>, Instance)> {
    let module = wasm(text);
    machines(limits)
        .into_iter()
        .map(|mut machine| {
            let instance = machine.instantiate(&module).unwrap_or_else(|e| panic!("{}: {e}", machine.name()));
            (machine, instance)
        })
        .collect()
}

fn i32s(values: &[i32]) -> Vec<Value> {
    values.iter().map(|v| Value::I32(v.cast_unsigned())).collect()
}

#[test]
fn each_trap_has_the_same_kind() {
    let text = r#"(module
        (memory (export "memory") 1 1) (func $ones (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))) (start $ones)
        (table 3 3 funcref) (elem (i32.const 0) $f) (func $f) (type $other (func (param i64)))
        (func (export "unreachable") unreachable)
        (func (export "load") (drop (i32.load (i32.const 65533))))
        (func (export "load past 32 bits") (drop (i64.load8_u offset=4294967295 (i32.const -1))))
        (func (export "store") (i64.store (i32.const 65529) (i64.const 0)))
        (func (export "fill") (memory.fill (i32.const 65535) (i32.const 2) (i32.const 2)))
        (func (export "copy") (memory.copy (i32.const 0) (i32.const 65535) (i32.const 2)))
        (func (export "no element") (call_indirect (i32.const 3)))
        (func (export "far element") (call_indirect (i32.const -1)))
        (func (export "empty element") (call_indirect (i32.const 1)))
        (func (export "other type") (call_indirect (type $other) (i64.const 0) (i32.const 0)))
        (func (export "div_s 0") (drop (i32.div_s (i32.const 1) (i32.const 0))))
        (func (export "div_u 0") (drop (i64.div_u (i64.const 1) (i64.const 0))))
        (func (export "rem_s 0") (drop (i64.rem_s (i64.const 1) (i64.const 0))))
        (func (export "rem_u 0") (drop (i32.rem_u (i32.const 1) (i32.const 0))))
        (func (export "div_s min") (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))
        (func (export "div_s min 64") (drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1))))
        (func (export "trunc large") (drop (i32.trunc_f32_s (f32.const 3e9))))
        (func (export "trunc negative") (drop (i64.trunc_f64_u (f64.const -1))))
        (func (export "trunc infinite") (drop (i64.trunc_f32_s (f32.const inf))))
        (func (export "trunc nan") (drop (i32.trunc_f64_u (f64.const nan)))))"#;
    let expected = [
        ("unreachable", TrapKind::Unreachable),
        ("load", TrapKind::MemoryOutOfBounds),
        ("load past 32 bits", TrapKind::MemoryOutOfBounds),
        ("store", TrapKind::MemoryOutOfBounds),
        ("fill", TrapKind::MemoryOutOfBounds),
        ("copy", TrapKind::MemoryOutOfBounds),
        ("no element", TrapKind::TableOutOfBounds),
        ("far element", TrapKind::TableOutOfBounds),
        ("empty element", TrapKind::IndirectCallToNull),
        ("other type", TrapKind::BadSignature),
        ("div_s 0", TrapKind::DivisionByZero),
        ("div_u 0", TrapKind::DivisionByZero),
        ("rem_s 0", TrapKind::DivisionByZero),
        ("rem_u 0", TrapKind::DivisionByZero),
        ("div_s min", TrapKind::IntegerOverflow),
        ("div_s min 64", TrapKind::IntegerOverflow),
        ("trunc large", TrapKind::IntegerOverflow),
        ("trunc negative", TrapKind::IntegerOverflow),
        ("trunc infinite", TrapKind::IntegerOverflow),
        ("trunc nan", TrapKind::BadConversion),
    ];
    for kind in TrapKind::ALL {
        assert!(expected.iter().any(|(_, k)| *k == kind), "nothing here traps with {kind:?}");
    }
    for (mut machine, instance) in instances(text, Limits::default()) {
        for (export, kind) in expected {
            match machine.call(instance, export, &[]) {
                Err(Failure::Trap(found)) => assert_eq!(found, kind, "{} {export}", machine.name()),
                other => panic!("{} {export}: {other:?}", machine.name()),
            }
        }
        // What traps for its bounds has done nothing before.
        assert_eq!(machine.memory(instance, "memory").unwrap(), vec![1; PAGE], "{}", machine.name());
    }
}

#[test]
fn growing_stops_at_the_same_sizes_with_the_same_results() {
    // Pages asked for, and what comes back with 1 page now, 5 in the type and 3 in the limit.
    let asked = [0, 1, 1, 1, -1, 0x10000, 4, 0];
    let expected = [1, 1, 2, -1, -1, -1, -1, 3];
    for (page, log) in [(PAGE, ""), (1, "(pagesize 1)")] {
        let text = format!(
            r#"(module (memory (export "m") 1 5 {log})
            (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
            (func (export "size") (result i32) (memory.size)))"#
        );
        let limits = Limits { memory_bytes: 3 * page, ..Limits::default() };
        for (mut machine, instance) in instances(&text, limits) {
            let results: Vec<_> = asked
                .iter()
                .map(|pages| {
                    machine.set_fuel(1 << 40);
                    machine.call(instance, "grow", &i32s(&[*pages])).unwrap()[0]
                })
                .collect();
            let expected: Vec<_> = i32s(&expected).into_iter().map(Some).collect();
            assert_eq!(results, expected, "{} pages of {page}", machine.name());
            assert_eq!(machine.call(instance, "size", &[]).unwrap(), [Some(Value::I32(3))]);
            assert_eq!(machine.memory(instance, "m").unwrap(), vec![0; 3 * page], "{}", machine.name());
        }
    }
}

#[test]
fn growing_costs_fuel_for_what_was_added_only() {
    let text = r#"(module (memory 0 100 (pagesize 1))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;
    for (mut machine, instance) in instances(text, Limits::default()) {
        // Refused: if asking were charged, this would run out.
        machine.set_fuel(50);
        assert_eq!(
            machine.call(instance, "grow", &i32s(&[-1])).unwrap(),
            i32s(&[-1]).into_iter().map(Some).collect::<Vec<_>>()
        );
        let left = machine.fuel();
        assert!(left > 40, "{}: {left} of 50 left", machine.name());
    }
}

#[test]
fn tables_do_not_grow_and_hold_to_their_limit() {
    // No instruction grows a table without reference types; what is left is the size that it starts with.
    for mut machine in machines(Limits { table_elements: 10, ..Limits::default() }) {
        machine.instantiate(&wasm("(module (table 10 20 funcref))")).unwrap();
    }
    for mut machine in machines(Limits { table_elements: 10, ..Limits::default() }) {
        let outcome = machine.instantiate(&wasm("(module (table 11 20 funcref))"));
        assert!(matches!(outcome, Err(Failure::Unlinkable(_))), "{}: {outcome:?}", machine.name());
    }
    for machine in machines(Limits::default()) {
        let grow = "(module (table 1 funcref) (func (drop (table.grow 0 (ref.null func) (i32.const 1)))))";
        assert!(machine.accepts(&wat::parse_str(grow).unwrap()).is_err(), "{}", machine.name());
    }
}

#[test]
fn a_memory_over_the_limit_does_not_start() {
    for mut machine in machines(Limits { memory_bytes: 3 * PAGE - 1, ..Limits::default() }) {
        machine.instantiate(&wasm("(module (memory 2 9))")).unwrap();
        let outcome = machine.instantiate(&wasm("(module (memory 3 9))"));
        assert!(matches!(outcome, Err(Failure::Unlinkable(_))), "{}: {outcome:?}", machine.name());
    }
}

/// Calls that nest and return: as deep as the M core allows they work everywhere, and without end they exhaust the
/// stack everywhere. How deep each engine goes is its own.
#[test]
fn nesting_without_end_exhausts_the_stack() {
    let text = r#"(module
        (table 1 1 funcref) (elem (i32.const 0) $down)
        (type $t (func (param i32) (result i32)))
        (func $down (export "down") (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0))
                (then (i32.const 0))
                (else (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))))
        (func (export "indirect") (param i32) (result i32)
            (call_indirect (type $t) (local.get 0) (i32.const 0)))
        (func $wide (export "wide") (param i32) (result i32)
            (local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
            (if (result i32) (i32.eqz (local.get 0))
                (then (i32.const 0))
                (else (i32.add (i32.const 1) (call $wide (i32.sub (local.get 0) (i32.const 1))))))))"#;
    let within = i32::try_from(coracle_sandbox::RECURSION_DEPTH_MAX).unwrap() / 2;
    for (mut machine, instance) in instances(text, Limits::default()) {
        for export in ["down", "indirect"] {
            let outcome = machine.call(instance, export, &i32s(&[within])).unwrap();
            assert_eq!(outcome, [Some(Value::I32(within.cast_unsigned()))], "{} {export}", machine.name());
        }
        for export in ["down", "indirect", "wide"] {
            let outcome = machine.call(instance, export, &i32s(&[-1]));
            assert!(matches!(outcome, Err(Failure::StackExhausted)), "{} {export}: {outcome:?}", machine.name());
            // The instance can be called again.
            assert!(machine.call(instance, export, &i32s(&[3])).is_ok());
        }
    }
}

#[test]
fn a_loop_without_end_runs_out_of_fuel() {
    let text = r#"(module (func (export "spin") (loop (br 0))))"#;
    for (mut machine, instance) in instances(text, Limits::default()) {
        machine.set_fuel(10_000);
        let outcome = machine.call(instance, "spin", &[]);
        assert!(matches!(outcome, Err(Failure::OutOfFuel)), "{}: {outcome:?}", machine.name());
        // wasmi does not enter a stretch of code that it cannot pay for.
        assert!(machine.fuel() < 5, "{}", machine.name());
    }
}

/// Every operation that can make a NaN of numbers or of other NaNs: the operator, its operands' types, the result's.
fn nan_operations() -> Vec<(String, Vec<Type>, Type)> {
    let mut operations = Vec::new();
    for (ty, name) in [(Type::F32, "f32"), (Type::F64, "f64")] {
        for operator in ["add", "sub", "mul", "div", "min", "max"] {
            operations.push((format!("{name}.{operator}"), vec![ty, ty], ty));
        }
        for operator in ["sqrt", "ceil", "floor", "trunc", "nearest"] {
            operations.push((format!("{name}.{operator}"), vec![ty], ty));
        }
        // These move a sign only, and keep the other bits of any NaN.
        operations.push((format!("{name}.copysign"), vec![ty, ty], ty));
        operations.push((format!("{name}.abs"), vec![ty], ty));
        operations.push((format!("{name}.neg"), vec![ty], ty));
    }
    operations.push(("f32.demote_f64".to_owned(), vec![Type::F64], Type::F32));
    operations.push(("f64.promote_f32".to_owned(), vec![Type::F32], Type::F64));
    operations
}

/// Operands with every kind of NaN: canonical, other quiet and signalling payloads, both signs.
fn operands(ty: Type) -> Vec<Value> {
    let bits: &[u64] = match ty {
        Type::F32 => &[
            0,
            0x8000_0000,
            0x3f80_0000,
            0x7f80_0000,
            0xff80_0000,
            0x7fc0_0000,
            0xffc0_0000,
            0x7fc0_1234,
            0xffff_ffff,
            0x7fa0_0001,
            0xff80_0001,
        ],
        Type::F64 => &[
            0,
            1 << 63,
            0x3ff0_0000_0000_0000,
            0x7ff0_0000_0000_0000,
            0xfff0_0000_0000_0000,
            0x7ff8_0000_0000_0000,
            0xfff8_0000_0000_0000,
            0x7ff8_0000_1234_5678,
            0xffff_ffff_ffff_ffff,
            0x7ff4_0000_0000_0001,
            0xfff0_0000_0000_0001,
        ],
        Type::I32 | Type::I64 => panic!("no float"),
    };
    bits.iter().map(|bits| ty.value(*bits)).collect()
}

fn nan_module() -> Vec<u8> {
    let name = |ty: &Type| if *ty == Type::F32 { "f32" } else { "f64" };
    let functions: String = nan_operations()
        .iter()
        .map(|(operator, params, result)| {
            let types: Vec<_> = params.iter().map(name).collect();
            let gets: String = (0..params.len()).map(|n| format!("(local.get {n})")).collect();
            format!(
                "(func (export {operator:?}) (param {}) (result {}) ({operator} {gets}))",
                types.join(" "),
                name(result)
            )
        })
        .collect();
    wasm(&format!("(module {functions})"))
}

/// The results of every operation on every operand, and how many are NaNs.
fn nan_results(machine: &mut dyn Machine) -> (Vec<(String, Vec<Value>, Value)>, usize) {
    let instance = machine.instantiate(&nan_module()).unwrap();
    let mut results = Vec::new();
    let mut nans = 0;
    for (operator, params, _) in nan_operations() {
        let mut lists: Vec<Vec<Value>> = vec![vec![]];
        for ty in &params {
            lists = lists
                .iter()
                .flat_map(|list| operands(*ty).into_iter().map(move |v| [list.as_slice(), &[v]].concat()))
                .collect();
        }
        for args in lists {
            let result = machine.call(instance, &operator, &args).unwrap()[0].unwrap();
            nans += usize::from(match result {
                Value::F32(bits) => f32::from_bits(bits).is_nan(),
                Value::F64(bits) => f64::from_bits(bits).is_nan(),
                Value::I32(_) | Value::I64(_) => false,
            });
            results.push((operator.clone(), args, result));
        }
    }
    (results, nans)
}

#[test]
fn nans_have_the_same_bits_and_arithmetic_makes_the_canonical_one() {
    let [mut wasmi, mut native, mut pulley] = machines(Limits::default());
    let (expected, nans) = nan_results(&mut *wasmi);
    assert!(nans > 1000, "only {nans} NaNs");
    for machine in [&mut native, &mut pulley] {
        let (found, _) = nan_results(&mut **machine);
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(expected, found, "wasmi and {}", machine.name());
        }
    }
    let moves_signs = |operator: &str| ["abs", "neg", "copysign"].iter().any(|o| operator.ends_with(o));
    for (operator, args, result) in expected.iter().filter(|(operator, ..)| !moves_signs(operator)) {
        match *result {
            Value::F32(bits) if f32::from_bits(bits).is_nan() => assert_eq!(bits, 0x7fc0_0000, "{operator} {args:x?}"),
            Value::F64(bits) if f64::from_bits(bits).is_nan() => {
                assert_eq!(bits, 0x7ff8_0000_0000_0000, "{operator} {args:x?}");
            }
            _ => {}
        }
    }
}

/// The test above must notice a core without the setting.
#[test]
fn without_canonical_nans_the_bits_differ() {
    let mut config = coracle_engine::config(Backend::Native).unwrap();
    config.cranelift_nan_canonicalization(false);
    let mut raw = Compiled::with_config(&config, "Wasmtime without canonical NaNs", Limits::default());
    let mut wasmi = Interpreted::new(Limits::default());
    assert_ne!(nan_results(&mut raw).0, nan_results(&mut wasmi).0);
}
