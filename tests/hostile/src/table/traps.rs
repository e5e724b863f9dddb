//! Every way to trap, and floats that could carry something.

use super::build::{Build, call, command, init, make, module, on_event, row};

pub(super) fn rows() -> Vec<Build> {
    const MEMORY: &str = "memory access out of bounds";
    let traps = [
        ("unreachable", "unreachable", "unreachable code"),
        ("i32.div_s by zero", "(drop (i32.div_s (i32.const 1) (local.get $i)))", "division by zero"),
        ("i32.div_u by zero", "(drop (i32.div_u (i32.const 1) (local.get $i)))", "division by zero"),
        ("i32.rem_s by zero", "(drop (i32.rem_s (i32.const 1) (local.get $i)))", "division by zero"),
        ("i64.div_s by zero", "(drop (i64.div_s (i64.const 1) (local.get $j)))", "division by zero"),
        ("i64.rem_u by zero", "(drop (i64.rem_u (i64.const 1) (local.get $j)))", "division by zero"),
        (
            "i32.div_s that overflows",
            "(drop (i32.div_s (i32.const -2147483648) (i32.sub (local.get $i) (i32.const 1))))",
            "integer overflow",
        ),
        (
            "i64.div_s that overflows",
            "(drop (i64.div_s (i64.const -9223372036854775808) (i64.sub (local.get $j) (i64.const 1))))",
            "integer overflow",
        ),
        (
            "i32.trunc_f32_s of no number",
            "(drop (i32.trunc_f32_s (f32.div (f32.convert_i32_s (local.get $i)) (f32.const 0))))",
            "float without an integer of that type",
        ),
        (
            "i64.trunc_f64_u of no number",
            "(drop (i64.trunc_f64_u (f64.const nan)))",
            "float without an integer of that type",
        ),
        ("i32.trunc_f64_s of too much", "(drop (i32.trunc_f64_s (f64.const 1e10)))", "integer overflow"),
        ("i64.trunc_f32_s of infinity", "(drop (i64.trunc_f32_s (f32.const inf)))", "integer overflow"),
        ("i32.trunc_f32_u of a negative", "(drop (i32.trunc_f32_u (f32.const -1)))", "integer overflow"),
        ("i32.load8_u just outside", "(drop (i32.load8_u (i32.const 4096)))", MEMORY),
        ("i64.load over the end", "(drop (i64.load (i32.const 4089)))", MEMORY),
        ("i32.load with an offset that wraps", "(drop (i32.load offset=4294967295 (i32.const 1)))", MEMORY),
        ("i32.load at the last address", "(drop (i32.load (i32.const -1)))", MEMORY),
        ("i32.store over the end", "(i32.store (i32.const 4093) (i32.const 1))", MEMORY),
        ("i64.store32 with a large offset", "(i64.store32 offset=4294967292 (local.get $i) (local.get $j))", MEMORY),
        ("memory.fill over the end", "(memory.fill (i32.const 4000) (i32.const 1) (i32.const 97))", MEMORY),
        ("memory.fill of nothing past the end", "(memory.fill (i32.const 4097) (i32.const 1) (i32.const 0))", MEMORY),
        ("memory.copy from over the end", "(memory.copy (i32.const 0) (i32.const 4000) (i32.const 97))", MEMORY),
        ("memory.copy to over the end", "(memory.copy (i32.const 4000) (i32.const 0) (i32.const 97))", MEMORY),
    ];
    let mut rows: Vec<Build> = traps
        .iter()
        .map(|(name, body, reason)| {
            row(&format!("trap: {name}"), &module("", &on_event(body))).is(&format!("trapped: {reason}"))
        })
        .collect();
    rows.push(
        // Wasmtime takes the fuel for all bytes before it looks at where they are.
        row(
            "trap: memory.copy that wraps",
            &module("", &on_event("(memory.copy (i32.const 1) (i32.const 0) (i32.const -1))")),
        )
        .differs(&format!("trapped: {MEMORY}"), "out of fuel"),
    );
    let table = "(table 4 funcref) (elem (i32.const 0) $f) (type $t (func (param i32) (result i32)))";
    let through = |name: &str, ty: &str, index: &str, reason: &str| {
        let functions = format!(
            "(func $f (param i64)) {}",
            on_event(&format!("(drop (call_indirect (type ${ty}) (i32.const 0) (i32.const {index})))"))
        );
        row(&format!("call_indirect: {name}"), &module(table, &functions)).is(&format!("trapped: {reason}"))
    };
    rows.extend([
        through("an empty element", "t", "1", "call through an empty table element"),
        through("a function of another type", "t", "0", "indirect call of another type"),
        through("past the end of the table", "t", "4", "table access out of bounds"),
        through("the last index there is", "t", "-1", "table access out of bounds"),
        row("trap: in a start section", &module("", &format!("(func $s unreachable) (start $s) {}", on_event("")))).is("trapped: unreachable code"),
        row("trap: in init", &module("", &init("unreachable"))).cycled().is("trapped: unreachable code"),
        row("trap: in _initialize", &module("", &format!("(func (export \"_initialize\") unreachable) {}", on_event("")))).raw().is("trapped: unreachable code"),
        row("trap: in a command after a wait", &module("", &command(&format!("{} unreachable", make("event.wait", "0 -1 2048"))))).is("trapped: unreachable code"),
        row(
            "trap: deep in calls",
            &module("", &format!("(func $f (param i32) (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))) (else unreachable))) {}", on_event("(call $f (i32.const 50))"))),
        )
        .cycled()
        .is("trapped: unreachable code"),
        row(
            "trap: right after a call that parked",
            &module("", &on_event(&format!("{} {} unreachable", make("gpio.open", "48 6"), make("gpio.read", "9")))),
        )
        .is("trapped: unreachable code"),
        row(
            "call_indirect: an import of the host by its type",
            &module(
                "(table 1 funcref) (elem (i32.const 0) $time.sleep) (type $t (func (param i64) (result i32)))",
                &on_event(&format!("(drop (i32.eqz {})) (call $say (i64.extend_i32_s (call_indirect (type $t) (i64.const 0) (i32.const 0))))", call("time.sleep", "0"))),
            ),
        )
        .is("idle: 0"),
    ]);
    let bits32 = |e: &str| format!("(call $say (i64.extend_i32_u (i32.reinterpret_f32 {e})))");
    let bits64 = |e: &str| format!("(call $say (i64.reinterpret_f64 {e}))");
    let floats = [
        bits32("(f32.add (f32.reinterpret_i32 (i32.const 0x7fa12345)) (f32.const 1))"),
        bits32("(f32.div (f32.const 0) (f32.convert_i32_s (local.get $i)))"),
        bits32("(f32.sqrt (f32.const -1))"),
        bits32("(f32.demote_f64 (f64.reinterpret_i64 (i64.const 0x7ff8dead00000001)))"),
        bits64("(f64.promote_f32 (f32.reinterpret_i32 (i32.const -1)))"),
        bits64("(f64.min (f64.reinterpret_i64 (i64.const -1)) (f64.const 1))"),
        bits64("(f64.mul (f64.const inf) (f64.convert_i32_s (local.get $i)))"),
    ]
    .concat();
    rows.push(row("floats: what is no number has one pattern", &module("", &on_event(&floats))).is(
        "idle: 2143289344 2143289344 2143289344 2143289344 9221120237041090560 9221120237041090560 9221120237041090560",
    ));
    let kept = [
        bits32("(f32.copysign (f32.reinterpret_i32 (i32.const 0x7fa12345)) (f32.const -1))"),
        bits32("(f32.neg (f32.reinterpret_i32 (i32.const 0x7fa12345)))"),
        bits64("(f64.abs (f64.reinterpret_i64 (i64.const 0xfff0000000000001)))"),
        "(f32.store (i32.const 2048) (f32.reinterpret_i32 (i32.const 0x7fa12345))) (call $say (i64.load32_u (i32.const 2048)))".to_owned(),
    ]
    .concat();
    rows.push(
        row("floats: what only moves bits keeps them", &module("", &on_event(&kept)))
            .is("idle: 4288750405 4288750405 9218868437227405313 2141266757"),
    );
    rows
}
