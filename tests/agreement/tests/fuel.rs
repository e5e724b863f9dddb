//! Fuel: every operator costs the same on all engines, and what is left of a difference is bounded and in one direction.

use coracle_engine::Backend;
use coracle_test_agreement::{Compiled, Interpreted, Limits, Machine, Value, machines};
use wasmtime::OperatorCost;

const KERNELS: &str = include_str!("../wat/kernels.wat");
/// The kernels and the size to run each with.
const SIZES: [(&str, u32); 8] = [
    ("sum", 1000),
    ("crc32", 200),
    ("sort", 100),
    ("fib", 15),
    ("indirect", 1000),
    ("filter", 200),
    ("states", 1000),
    ("copy", 20),
];
/// Most that wasmi takes for one unit of Wasmtime's, over a whole kernel.
const RATIO_MAX: f64 = 2.25;

/// Stretches of code that leave the stack as it was, in a function with a local of each type (0 to 3: i32, i64, f32,
/// f64), a memory, a global and a table.
fn stretches() -> Vec<String> {
    let mut out = Vec::new();
    for (int, local) in [("i32", 0), ("i64", 1)] {
        for operator in ["add", "sub", "mul", "and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr"] {
            out.push(format!("(drop ({int}.{operator} (local.get {local}) (local.get {local})))"));
        }
        for operator in ["eq", "ne", "lt_s", "lt_u", "gt_s", "gt_u", "le_s", "le_u", "ge_s", "ge_u"] {
            out.push(format!("(drop ({int}.{operator} (local.get {local}) (local.get {local})))"));
        }
        for operator in ["div_s", "div_u", "rem_s", "rem_u"] {
            out.push(format!("(drop ({int}.{operator} (local.get {local}) ({int}.const 7)))"));
        }
        for operator in ["clz", "ctz", "popcnt", "eqz", "extend8_s", "extend16_s"] {
            out.push(format!("(drop ({int}.{operator} (local.get {local})))"));
        }
        for load in ["load", "load8_s", "load8_u", "load16_s", "load16_u"] {
            out.push(format!("(drop ({int}.{load} (i32.const 8)))"));
        }
        for store in ["store", "store8", "store16"] {
            out.push(format!("({int}.{store} (i32.const 8) (local.get {local}))"));
        }
    }
    for (float, local) in [("f32", 2), ("f64", 3)] {
        for operator in ["add", "sub", "mul", "div", "min", "max", "copysign", "eq", "ne", "lt", "gt", "le", "ge"] {
            out.push(format!("(drop ({float}.{operator} (local.get {local}) (local.get {local})))"));
        }
        for operator in ["abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt"] {
            out.push(format!("(drop ({float}.{operator} (local.get {local})))"));
        }
        for int in ["i32", "i64"] {
            for sign in ["s", "u"] {
                out.push(format!("(drop ({int}.trunc_{float}_{sign} (local.get {local})))"));
                out.push(format!("(drop ({int}.trunc_sat_{float}_{sign} (local.get {local})))"));
                let source = if int == "i32" { 0 } else { 1 };
                out.push(format!("(drop ({float}.convert_{int}_{sign} (local.get {source})))"));
            }
        }
        out.push(format!("(drop ({float}.load (i32.const 8)))"));
        out.push(format!("({float}.store (i32.const 8) (local.get {local}))"));
    }
    let others = [
        "(drop (i64.extend32_s (local.get 1)))",
        "(drop (i64.load32_s (i32.const 8)))",
        "(drop (i64.load32_u (i32.const 8)))",
        "(i64.store32 (i32.const 8) (local.get 1))",
        "(drop (i32.wrap_i64 (local.get 1)))",
        "(drop (i64.extend_i32_s (local.get 0)))",
        "(drop (i64.extend_i32_u (local.get 0)))",
        "(drop (f32.demote_f64 (local.get 3)))",
        "(drop (f64.promote_f32 (local.get 2)))",
        "(drop (i32.reinterpret_f32 (local.get 2)))",
        "(drop (i64.reinterpret_f64 (local.get 3)))",
        "(drop (f32.reinterpret_i32 (local.get 0)))",
        "(drop (f64.reinterpret_i64 (local.get 1)))",
        "(nop)",
        "(drop (i32.const 1))",
        "(drop (i64.const 1))",
        "(drop (f32.const 1))",
        "(drop (f64.const 1))",
        "(local.set 0 (i32.const 1))",
        "(drop (local.tee 0 (i32.const 1)))",
        "(drop (global.get 0))",
        "(global.set 0 (i32.const 1))",
        "(drop (select (i32.const 1) (i32.const 2) (local.get 0)))",
        "(drop (memory.size))",
        "(memory.fill (i32.const 0) (i32.const 0) (i32.const 100))",
        "(memory.copy (i32.const 0) (i32.const 0) (i32.const 100))",
        "(block)",
        "(block (br 0))",
        "(block (br_if 0 (i32.eqz (local.get 0))))",
        "(block (br_if 0 (local.get 0)))",
        "(block (br_table 0 0 (local.get 0)))",
        "(if (i32.eqz (local.get 0)) (then))",
        "(loop)",
        "(call $empty)",
        "(call_indirect (i32.const 0))",
    ];
    out.extend(others.map(str::to_owned));
    out
}

fn call_fuel(machine: &mut dyn Machine, module: &[u8]) -> u64 {
    const FUEL: u64 = 1 << 32;
    let instance = machine.instantiate(module).unwrap();
    machine.set_fuel(FUEL);
    machine.call(instance, "run", &[]).unwrap();
    FUEL - machine.fuel()
}

/// The fuel of one stretch: that of twenty less that of ten, so that entering the function is left out.
fn stretch_fuel(machine: &mut dyn Machine, stretch: &str) -> u64 {
    let [ten, twenty] = [10, 20].map(|times| {
        let text = format!(
            r#"(module (memory 1) (global (mut i32) (i32.const 0)) (table 1 1 funcref) (elem (i32.const 0) $empty)
            (func $empty)
            (func (export "run") (local i32 i64 f32 f64) (local.set 0 (i32.const 1)) {}))"#,
            stretch.repeat(times)
        );
        call_fuel(machine, &wat::parse_str(text).unwrap())
    });
    let ten_of_them = twenty - ten;
    assert_eq!(ten_of_them % 10, 0, "{stretch}");
    ten_of_them / 10
}

/// The stretches that do not cost the same, with their fuel.
fn differing(machines: [&mut dyn Machine; 3]) -> Vec<(String, [u64; 3])> {
    let mut machines = machines;
    stretches()
        .into_iter()
        .map(|stretch| {
            let fuel = machines.each_mut().map(|m| stretch_fuel(&mut **m, &stretch));
            (stretch, fuel)
        })
        .filter(|(_, fuel)| fuel[0] != fuel[1] || fuel[1] != fuel[2])
        .collect()
}

#[test]
fn every_operator_costs_the_same() {
    let [mut m, mut a, mut p] = machines(Limits::default());
    let differing = differing([&mut *m, &mut *a, &mut *p]);
    assert_eq!(differing, [], "wasmi, Wasmtime, Pulley");
}

/// The test above must notice another table.
#[test]
fn another_cost_is_noticed() {
    let mut config = coracle_engine::config(Backend::Native).unwrap();
    config.operator_cost(OperatorCost { I64Rotl: 2, ..OperatorCost::new() });
    let [mut first, mut second] = [(); 2].map(|()| Compiled::with_config(&config, "other", Limits::default()));
    let found = differing([&mut Interpreted::new(Limits::default()), &mut first, &mut second]);
    let names: Vec<_> = found.iter().map(|(stretch, _)| stretch.as_str()).collect();
    // Its loops are free as well, unlike those of the table in use.
    assert_eq!(names, ["(drop (i64.rotl (local.get 1) (local.get 1)))", "(loop)"]);
}

/// What the table cannot align: wasmi charges a stretch of code to the next label when it enters it, and 1 for every
/// iteration and every arm of an `if`; and growing by what it adds.
#[test]
fn whole_programs_cost_about_the_same_and_never_more_on_the_a_core() {
    const FUEL: u64 = 1 << 32;
    let module = coracle_prepare::mend(&wat::parse_str(KERNELS).unwrap()).unwrap();
    let mut machines = machines(Limits::default());
    let instances = machines.each_mut().map(|m| m.instantiate(&module).unwrap());
    println!("{:10} {:>10} {:>10} {:>6}", "kernel", "wasmi", "Wasmtime", "ratio");
    for (export, size) in SIZES {
        let mut runs = machines.iter_mut().zip(instances).map(|(m, instance)| {
            m.set_fuel(FUEL);
            let result = m.call(instance, export, &[Value::I32(size)]).unwrap();
            (result, FUEL - m.fuel())
        });
        let [m, a, p] = [(); 3].map(|()| runs.next().unwrap());
        assert!(m.0 == a.0 && a.0 == p.0, "{export}: {m:?}, {a:?}, {p:?}");
        assert_eq!(a.1, p.1, "{export}: Wasmtime and Pulley");
        #[expect(clippy::cast_precision_loss, reason = "fuel of a short run")]
        let ratio = m.1 as f64 / a.1 as f64;
        println!("{export:10} {:>10} {:>10} {ratio:>6.3}", m.1, a.1);
        assert!((1.0..=RATIO_MAX).contains(&ratio), "{export}: {} on wasmi, {} on Wasmtime", m.1, a.1);
    }
}

#[test]
fn a_budget_that_suffices_on_the_m_core_suffices_on_the_a_core() {
    let module = coracle_prepare::mend(&wat::parse_str(KERNELS).unwrap()).unwrap();
    for (export, size) in SIZES {
        let [mut m, mut a, mut p] = machines(Limits::default());
        let instance = m.instantiate(&module).unwrap();
        m.set_fuel(1 << 32);
        m.call(instance, export, &[Value::I32(size)]).unwrap();
        let needed = (1 << 32) - m.fuel();
        for machine in [&mut m, &mut a, &mut p] {
            let instance = machine.instantiate(&module).unwrap();
            machine.set_fuel(needed);
            let outcome = machine.call(instance, export, &[Value::I32(size)]);
            assert!(outcome.is_ok(), "{} {export} with {needed}: {outcome:?}", machine.name());
        }
    }
}
