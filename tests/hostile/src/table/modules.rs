//! Modules that are broken, huge, hard to compile, or use what is switched off.

use super::build::{Build, bare, bytes, command, module, on_event, row};

pub(super) fn rows() -> Vec<Build> {
    let mut rows = broken();
    rows.extend(features());
    rows.extend(exports());
    rows.extend(segments());
    rows.extend(compile_time());
    rows
}

/// A good module's bytes.
fn good() -> Vec<u8> {
    wat::parse_str(module("", &on_event(""))).unwrap()
}

fn broken() -> Vec<Build> {
    let mut rows = Vec::new();
    let mut both = |name: &str, wasm: Vec<u8>, reason: &str| {
        rows.push(bytes(&format!("prepare: {name}"), wasm.clone()).refused(reason));
        rows.push(bytes(&format!("load: {name}"), wasm).raw().is("refused 2"));
    };
    both("nothing at all", Vec::new(), "NotWasm");
    both("a script", b"#!/bin/sh\nrm -rf /\n".to_vec(), "NotWasm");
    both("four bytes", b"\0asm".to_vec(), "Invalid");
    both("a later version", b"\0asm\x02\0\0\0".to_vec(), "NotCoreModule");
    both("a component", b"\0asm\x0d\0\x01\0".to_vec(), "NotCoreModule");
    let whole = good();
    both("cut in the middle", whole[..whole.len() / 2].to_vec(), "Invalid");
    both("a byte behind its end", [&whole[..], &[1]].concat(), "Invalid");
    both(
        "a section longer than the module",
        [&whole[..], &[0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, b'x']].concat(),
        "Invalid",
    );
    let far = b"\xff\xff\xff\xff\x0f";
    let types = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x06\x01";
    both("a body longer than the module", [&types[..], far].concat(), "Invalid");
    let memory = b"\0asm\x01\0\0\0\x05\x03\x01\0\x01\x0b\x0a\x01\0\x41\0\x0b";
    both("data longer than the module", [&memory[..], far].concat(), "Invalid");
    both("a name longer than the module", [&b"\0asm\x01\0\0\0\x02\x06\x01"[..], far].concat(), "Invalid");
    both("a count of four thousand million types", b"\0asm\x01\0\0\0\x01\x05\xff\xff\xff\xff\x0f".to_vec(), "Invalid");
    both(
        "a count of four thousand million functions",
        b"\0asm\x01\0\0\0\x03\x05\xff\xff\xff\xff\x0f".to_vec(),
        "Invalid",
    );
    // (import "\ff" "") is no UTF-8.
    both(
        "an import whose name is no UTF-8",
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x06\x01\x01\xff\0\0\0".to_vec(),
        "Invalid",
    );
    both(
        "an export whose name is no UTF-8",
        b"\0asm\x01\0\0\0\x05\x03\x01\0\x01\x07\x06\x01\x02\xc3\x28\x02\0".to_vec(),
        "Invalid",
    );
    // A body that takes a number from an empty stack.
    both(
        "a function that takes what is not there",
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x05\x01\x03\0\x1a\x0b".to_vec(),
        "Invalid",
    );
    let digest = bytes("load: another module than the specification names", good()).raw();
    rows.push(digest.image([9; 32]).is("refused 1"));
    let names = [&good()[..], &[0, 6, 4, b'n', b'a', b'm', b'e', 0xff]].concat();
    rows.push(bytes("prepare: a name section that is rubbish", names.clone()).message(b"").is("idle"));
    rows.push(bytes("load: a name section that is rubbish", names).raw().message(b"").is("idle"));
    let mut custom = good();
    for n in 0..3000_u32 {
        custom.extend([0, 5, 4]);
        custom.extend(n.to_le_bytes().map(|b| b'a' + b % 16));
    }
    rows.push(bytes("prepare: three thousand custom sections", custom).message(b"").is("idle"));
    rows
}

fn features() -> Vec<Build> {
    let cases = [
        ("SIMD", "(func (drop (v128.const i32x4 1 2 3 4)))", "SIMD"),
        ("atomics", "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))", "threads"),
        ("shared memory", "(memory 1 1 shared)", "threads"),
        ("tail calls", "(func $f return_call $f)", "tail calls"),
        ("reference types", "(func (param externref))", "reference types"),
        (
            "table.grow",
            "(table 1 funcref) (func (drop (table.grow (ref.null func) (i32.const 9999))))",
            "reference types",
        ),
        ("64-bit memory", "(memory i64 1)", "64-bit memory"),
        ("several memories", "(memory 1) (memory 1)", "several memories"),
        ("exceptions", "(tag $e) (func (throw $e))", "exceptions"),
        ("garbage collection", "(type (struct (field i32)))", "garbage collection"),
        ("wide arithmetic", "(func (result i64 i64) (i64.mul_wide_s (i64.const 1) (i64.const 2)))", "wide arithmetic"),
    ];
    let mut rows = Vec::new();
    for (name, text, feature) in cases {
        let text = format!("(module {text} {})", on_event(""));
        rows.push(row(&format!("prepare: {name}"), &text).refused(&format!("Feature {feature}")));
        rows.push(row(&format!("load: {name}"), &text).raw().is("refused 2"));
    }
    rows
}

fn exports() -> Vec<Build> {
    let raw = |name: &str, text: &str, code: &str| row(&format!("load: {name}"), text).raw().is(code);
    let none = "(func (export \"main\"))";
    let wrong = "(func (export \"on_event\") (param i32) (result i32) (i32.const 0))";
    let global = "(global (export \"on_event\") i32 (i32.const 0))";
    let wrong_init = format!("(func (export \"init\") (param i32)) {}", on_event(""));
    let wrong_start = "(func (export \"_start\") (result i32) (i32.const 0))";
    let both = format!("{} {}", on_event(""), command(""));
    let starts = format!("(func $s) (start $s) {}", on_event(""));
    let spoofed = format!(
        "(global (export \"coracle_global_99\") (mut i32) (i32.const 1)) (global (export \"coracle_global_x\") i32 (i32.const 1))
         (global (export \"coracle_global_-1\") (mut i32) (i32.const 1)) {}",
        on_event("")
    );
    let many: String =
        (0..40).map(|n| format!("(global (export \"coracle_global_{n}\") (mut i32) (i32.const 1))")).collect();
    vec![
        raw("no export at all", &bare("", none), "refused 5"),
        raw("on_event of another type", &bare("", wrong), "refused 5"),
        raw("on_event that is a global", &bare(global, ""), "refused 5"),
        raw("init of another type", &bare("", &wrong_init), "refused 5"),
        raw("_start of another type", &bare("", wrong_start), "refused 5"),
        raw("both styles", &bare("", &both), "refused 12"),
        raw("a start section", &bare("", &starts), "refused 2"),
        raw("memory that is a function", &bare("", &format!("(func (export \"memory\")) {}", on_event(""))), "idle"),
        raw("names of globals that are none of ours", &bare("", &spoofed), "idle"),
        raw("more globals than a snapshot carries", &bare(&many, &on_event("")), "refused 7"),
        row("prepare: no export at all", &bare("", none)).refused("MissingExport"),
        row("prepare: on_event of another type", &bare("", wrong)).refused("ExportType"),
        row("prepare: on_event that is a global", &bare(global, "")).refused("ExportType"),
        row("prepare: init of another type", &bare("", &wrong_init)).refused("ExportType"),
        row("prepare: both styles, of which one counts", &bare("", &both)).is("idle"),
        row("prepare: names of globals that are none of ours", &bare("", &spoofed)).is("idle"),
        row(
            "prepare: a start section and the name for it",
            &bare("", &format!("(func $s (export \"coracle_start\")) (start $s) {}", on_event(""))),
        )
        .refused("ReservedExport"),
        row(
            "prepare: memory under two names, and a function called memory",
            &module("(export \"m\" (memory 0))", &on_event("")),
        )
        .is("idle"),
    ]
}

fn segments() -> Vec<Build> {
    let outside = |name: &str, fields: &str| row(name, &bare(fields, &on_event(""))).is("refused 6");
    vec![
        outside("data: past the end of the memory", "(memory 16 (pagesize 1)) (data (i32.const 16) \"x\")"),
        outside("data: over the end of the memory", "(memory 16 (pagesize 1)) (data (i32.const 12) \"12345\")"),
        outside("data: at a negative address", "(memory 16 (pagesize 1)) (data (i32.const -1) \"\")"),
        outside("elements: past the end of the table", "(table 1 funcref) (func $f) (elem (i32.const 1) $f)"),
        outside("elements: at a negative index", "(table 1 funcref) (func $f) (elem (i32.const -1))"),
        row("prepare: passive data", &bare("(memory 16 (pagesize 1)) (data \"x\")", &on_event("")))
            .refused("PassiveSegment"),
        row(
            "prepare: memory.init",
            &bare(
                "(memory 16 (pagesize 1)) (data \"x\")",
                &on_event("(memory.init 0 (i32.const 0) (i32.const 0) (i32.const 1))"),
            ),
        )
        .refused("Operator"),
        row(
            "prepare: table.copy",
            &bare("(table 9 funcref)", &on_event("(table.copy (i32.const 0) (i32.const 1) (i32.const 1))")),
        )
        .refused("Operator"),
        row(
            "load: memory.init over the end",
            &bare(
                "(memory 16 (pagesize 1)) (data \"x\")",
                &on_event("(memory.init 0 (i32.const 0) (i32.const 0) (i32.const 2))"),
            ),
        )
        .raw()
        .is("trapped: memory access out of bounds"),
        row(
            "load: table.copy over the end",
            &bare("(table 9 funcref)", &on_event("(table.copy (i32.const 0) (i32.const 1) (i32.const 9))")),
        )
        .raw()
        .is("trapped: table access out of bounds"),
    ]
}

/// Modules that are hard to compile: those at the bounds of admission work everywhere, those beyond are bound to the A
/// core or refused.
fn compile_time() -> Vec<Build> {
    let nested = |depth: usize| format!("{}{}", "(block ".repeat(depth), ")".repeat(depth));
    let looped = |depth: usize| format!("{}{}", "(loop ".repeat(depth), ")".repeat(depth));
    let branches = |n: usize| format!("(block $b (br_table {} (local.get $len)))", "$b ".repeat(n));
    let locals = |n: usize| {
        format!("(func $f (local{}) (local.set 0 (i64.const 1))) {}", " i64".repeat(n), on_event("(call $f)"))
    };
    let add = "(local.set $i (i32.add (local.get $i) (i32.const 1)))";
    let long = |bytes: usize| add.repeat(bytes / 7);
    let functions = |n: usize| format!("{} {}", "(func)".repeat(n), on_event(""));
    let event = |name: &str, body: String| row(name, &module("", &on_event(&body)));
    let deep_expression = format!("(drop {}(local.get $i){})", "(i32.eqz ".repeat(5000), ")".repeat(5000));
    let wide = format!("{} {}", "(i32.const 1)".repeat(400), "drop ".repeat(400));
    vec![
        event("compile: blocks nested 120 deep", nested(120)).is("idle"),
        event("compile: loops nested 120 deep", looped(120)).is("idle"),
        event("compile: blocks nested 5000 deep", nested(5000)).bound("Nesting", "idle"),
        event("compile: blocks nested 50 000 deep, not prepared", nested(50_000)).raw().host_only().is("idle"),
        event("compile: a br_table of 14 000 targets", branches(14_000)).is("idle"),
        event("compile: a br_table of 60 000 targets", branches(60_000)).bound("BodyBytes", "idle"),
        event("compile: a br_table of more targets than Wasmtime takes", branches(100_000))
            .bound("BodyBytes", "refused 2"),
        row("compile: 500 locals", &module("", &locals(500))).is("idle"),
        row("compile: 45 000 locals", &module("", &locals(45_000))).bound("Locals", "idle"),
        row("compile: 60 000 locals", &module("", &locals(60_000))).refused("Invalid"),
        event("compile: a body of 16 000 bytes", long(16_000)).is("idle").cycled(),
        event("compile: a body of 200 000 bytes", long(200_000)).bound("BodyBytes", "idle"),
        event("compile: an expression 5000 deep", deep_expression).is("idle"),
        event("compile: a stack of 400 numbers", wide).is("idle"),
        row("compile: a thousand functions", &module("", &functions(1000))).is("idle"),
        row("compile: ten thousand functions", &module("", &functions(10_000))).bound("Functions", "idle"),
        row(
            "compile: a thousand types",
            &module(
                &(0..1000).map(|n| format!("(type (func{}))", " (param i32)".repeat(n % 30))).collect::<String>(),
                &on_event(""),
            ),
        )
        .is("idle"),
        row(
            "compile: a function of 900 parameters",
            &module("", &format!("(func (param{})) {}", " i64".repeat(900), on_event(""))),
        )
        .bound("Locals", "idle"),
        row(
            "compile: a function of 1001 parameters",
            &module("", &format!("(func (param{})) {}", " i64".repeat(1001), on_event(""))),
        )
        .refused("Invalid"),
        row(
            "compile: a function of a thousand results",
            &module("", &format!("(func (result{}) unreachable) {}", " i32".repeat(1000), on_event(""))),
        )
        .is("idle"),
        row(
            "compile: a module of 60 000 bytes of data",
            &bare(
                &format!("(memory 60000 (pagesize 1)) (data (i32.const 0) \"{}\")", "x".repeat(59_000)),
                &on_event(""),
            ),
        )
        .limits(|l| l.memory = 60_000)
        .is("idle"),
        row(
            "compile: a module of 100 000 bytes of data",
            &bare(
                &format!("(memory 100000 (pagesize 1)) (data (i32.const 0) \"{}\")", "x".repeat(99_000)),
                &on_event(""),
            ),
        )
        .limits(|l| l.memory = 100_000)
        .bound("Memory", "idle"),
        bytes("prepare: a module of nine megabytes", [good(), vec![0; 9 << 20]].concat()).refused("TooLarge"),
    ]
}
