//! Using things up: fuel, memory, stack, effects, log lines, timers, requests, handles, store, and the neighbours' queues.

use coracle_guest_abi::EventKind;

use super::build::{self, Build, FUEL, MEMORY_LIMIT, bare, command, init, make, module, on_event, row, say, times};

const FOR_EVER: &str = "(loop $ever (br $ever))";

pub(super) fn rows() -> Vec<Build> {
    let mut rows = fuel();
    rows.extend(memory());
    rows.extend(stack());
    rows.extend(host_side());
    rows.extend(storms());
    rows
}

fn fuel() -> Vec<Build> {
    let out = |name: &str, text: String| row(name, &text).is("out of fuel");
    let straight = "(local.set $i (i32.add (local.get $i) (i32.const 1)))".repeat(1500);
    let work = |fuel: u32| {
        format!(
            "(local.set $i (i32.const {})) (loop $w (br_if $w (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))",
            fuel / 6
        )
    };
    vec![
        out("fuel: for ever in a start section", module("", &format!("(func $s {FOR_EVER}) (start $s) {}", on_event("")))),
        out(
            "fuel: for ever in _initialize",
            module("", &format!("(func (export \"_initialize\") {FOR_EVER}) {}", on_event(""))),
        )
        .raw(),
        out("fuel: for ever in init", module("", &init(FOR_EVER))).cycled(),
        out("fuel: for ever in on_event", module("", &on_event(FOR_EVER))).cycled(),
        out("fuel: for ever in a command", module("", &command(FOR_EVER))),
        out(
            "fuel: for ever in a command after a wait",
            module("", &command(&format!("{} {FOR_EVER}", make("event.wait", "0 -1 2048")))),
        ),
        out("fuel: for ever with host calls", module("", &on_event(&format!("(loop $l {} (br $l))", make("config.version", ""))))),
        out(
            "fuel: for ever in nested loops",
            module("", &on_event("(loop $a (loop $b (loop $c (br $c)) (br $b)) (br $a))")),
        ),
        out(
            "fuel: calls of an empty function for ever",
            module("", &format!("(func $f) {}", on_event("(loop $l (call $f) (br $l))"))),
        ),
        out(
            "fuel: filling everything for ever",
            module("", &on_event("(loop $l (memory.fill (i32.const 0) (i32.const 7) (i32.const 4096)) (br $l))")),
        )
        .cycled(),
        out(
            "fuel: copying everything for ever",
            module("", &on_event("(loop $l (memory.copy (i32.const 0) (i32.const 1) (i32.const 4095)) (br $l))")),
        ),
        out(
            "fuel: one fill that costs more than an event may",
            module("", &on_event("(memory.fill (i32.const 0) (i32.const 7) (i32.const 4096))")),
        )
        .limits(|l| l.fuel_per_event = 2000),
        out(
            "fuel: a straight stretch that costs more than a slice and an event may",
            module("", &on_event(&format!("{straight} (loop)"))),
        )
        .limits(|l| l.fuel_per_event = 5000),
        // Wasmtime looks at the fuel where code may come by again, which the end of a function is not.
        row("fuel: a straight stretch at the end of an event", &module("", &on_event(&straight)))
            .limits(|l| l.fuel_per_event = 5000)
            .differs("out of fuel", "idle"),
        row("fuel: none at all", &module("", &on_event(FOR_EVER))).limits(|l| l.fuel_per_event = 0).is("out of fuel"),
        row("fuel: nearly all in every event", &module("", &on_event(&work(90_000)))).message(b"").message(b"").is("idle"),
        row(
            "fuel: nearly all between two waits, again and again",
            &module("", &command(&times(4, &format!("{} (local.set $j (i64.const 12000)) (loop $w (br_if $w (i32.wrap_i64 (local.tee $j (i64.sub (local.get $j) (i64.const 1))))))", make("time.sleep", "1"))))),
        )
        .quiet()
        .is("exited 0"),
        out(
            "fuel: a device call in the middle does not give new fuel",
            module(
                "",
                &on_event(&format!(
                    "{} (loop $l {} {} (br $l))",
                    make("gpio.open", build::BUTTON),
                    make("gpio.read", "9"),
                    "(local.set $j (i64.const 3000)) (loop $w (br_if $w (i32.wrap_i64 (local.tee $j (i64.sub (local.get $j) (i64.const 1))))))"
                )),
            ),
        ),
        out(
            "fuel: a sleep of no time does not give new fuel",
            module("", &command(&format!("(loop $l {} (br $l))", make("time.sleep", "0")))),
        ),
    ]
}

fn memory() -> Vec<Build> {
    let grow = |by: &str| format!("(call $say (i64.extend_i32_s (memory.grow (i32.const {by}))))");
    let size = "(call $say (i64.extend_i32_s (memory.size)))";
    vec![
        row(
            "memory.grow: all there is",
            &module("", &on_event(&format!("{}{}{}{size}", grow("-1"), grow("4097"), grow("4096")))),
        )
        .is("idle: -1 -1 4096 8192"),
        row(
            "memory.grow: a byte at a time until it fails",
            &module(
                "",
                &on_event(&format!("(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) {size}")),
            ),
        )
        .is("idle: 8192"),
        row(
            "memory.grow: ten thousand times too much",
            &module("", &on_event(&format!("{} {size}", times(10_000, "(drop (memory.grow (i32.const -1)))")))),
        )
        .is("idle: 4096"),
        row("memory.grow: for ever", &module("", &on_event("(loop $l (drop (memory.grow (i32.const 1))) (br $l))")))
            .is("out of fuel"),
        row(
            "memory.grow: past the module's own maximum",
            &bare(
                "(memory 16 32 (pagesize 1))",
                &on_event("(drop (memory.grow (i32.const 16))) (return (memory.grow (i32.const 1)))"),
            ),
        )
        .is("returned -1"),
        row("memory.grow: pages of 64 KiB", &bare("(memory 0)", &on_event("(return (memory.grow (i32.const 1)))")))
            .is("returned -1"),
        row("memory: starts over its limit", &bare("(memory (export \"memory\") 8193 (pagesize 1))", &on_event("")))
            .refused("Memory"),
        row(
            "memory: starts over its limit, not prepared",
            &bare("(memory (export \"memory\") 8193 (pagesize 1))", &on_event("")),
        )
        .raw()
        .is("refused 4"),
        row("memory: starts over its limit and hides it", &bare("(memory 8193 (pagesize 1))", &on_event("")))
            .raw()
            .is("refused 6"),
        row("memory: 4 GiB at once", &bare("(memory (export \"memory\") 65536)", &on_event(""))).raw().is("refused 4"),
        row("table: over what any container may have", &module("(table 4097 funcref)", &on_event(""))).refused("Table"),
        row("table: over its limit", &module("(table 1025 funcref)", &on_event(""))).is("refused 6"),
        row("table: as large as its limit", &module("(table 1024 funcref)", &on_event(""))).cycled().is("idle"),
        row("table: four thousand million elements", &module("(table 4294967295 funcref)", &on_event("")))
            .raw()
            .is("refused 6"),
        row(
            "globals: one more than a snapshot carries",
            &module(&"(global (mut i64) (i64.const 1))".repeat(17), &on_event("")),
        )
        .refused("TooManyGlobals"),
    ]
}

fn stack() -> Vec<Build> {
    let exhausted = |name: &str, text: String| row(name, &text).is("stack exhausted");
    let locals = "(local i64)".repeat(100);
    vec![
        exhausted("stack: recursion for ever", module("", &format!("(func $f (call $f)) {}", on_event("(call $f)")))).cycled(),
        exhausted(
            "stack: recursion for ever in init",
            module("", &format!("(func $f (param i32) (result i32) (i32.add (i32.const 1) (call $f (local.get 0)))) {}", init("(drop (call $f (i32.const 1)))"))),
        ),
        exhausted(
            "stack: recursion for ever in a start section",
            module("", &format!("(func $f (call $f) (call $f)) (start $f) {}", on_event(""))),
        ),
        exhausted(
            "stack: recursion for ever through a table",
            module(
                "(table 2 funcref) (elem (i32.const 0) $a $b) (type $t (func (param i32)))",
                &format!(
                    "(func $a (param i32) (call_indirect (type $t) (local.get 0) (i32.const 1)))
                     (func $b (param i32) (call_indirect (type $t) (local.get 0) (i32.const 0))) {}",
                    on_event("(call $a (i32.const 0))")
                ),
            ),
        ),
        exhausted(
            "stack: recursion with a hundred locals",
            module("", &format!("(func $f {locals} (call $f) (call $f)) {}", on_event("(call $f)"))),
        ),
        exhausted(
            "stack: recursion for ever within the smallest stack",
            module("", &format!("(func $f (call $f)) {}", on_event("(call $f)"))),
        )
        .limits(|l| l.stack = 512),
        exhausted(
            "stack: recursion for ever within the largest stack",
            module("", &format!("(func $f (param i64 i64) (call $f (local.get 1) (local.get 0))) {}", on_event("(call $f (i64.const 1) (i64.const 2))"))),
        )
        .limits(|l| l.stack = 32 * 1024),
        exhausted(
            "stack: recursion for ever in a command after a wait",
            module("", &format!("(func $f (call $f)) {}", command(&format!("{} (call $f)", make("event.wait", "0 -1 2048"))))),
        ),
        row(
            "stack: a hundred calls deep is allowed",
            &module(
                "",
                &format!(
                    "(func $f (param i32) (result i32) (if (result i32) (local.get 0)
                       (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0)))) {}",
                    on_event("(call $say (i64.extend_i32_s (call $f (i32.const 100))))")
                ),
            ),
        )
        .is("idle: 100"),
    ]
}

fn host_side() -> Vec<Build> {
    let one = |name: &str, body: String| row(name, &module("", &on_event(&body)));
    let publish = |n: u32| times(n, &make("msg.publish", &format!("{} {}", build::OUT, build::BYTES)));
    let timer = say("time.set_timer", "9000000 0 0");
    let request = |timeout: &str| say("msg.request", &format!("{} {} {timeout}", build::OUT, build::BYTES));
    let log = make("log.write", "3 1024 64");
    vec![
        one("effects: one more than an event may cause", format!("{} (return {})", publish(16), build::call("msg.publish", "0 3 0 3")))
            .is("returned -11"),
        one("effects: a thousand messages", publish(1000)).is("idle, 16 sent"),
        one("effects: a thousand in each of four events", publish(1000)).message(b"").message(b"").message(b"").is("idle, 64 sent"),
        one("effects: those of an event that fails do not happen", format!("{} unreachable", publish(5))).is("trapped: unreachable code"),
        row("effects: a thousand in init", &module("", &init(&publish(1000)))).quiet().is("idle, 16 sent"),
        row(
            "effects: a command that waits and sends",
            &module("", &command(&times(3, &[make("time.sleep", "1"), make("msg.publish", "0 3 1024 4")].concat()))),
        )
        .quiet()
        .is("exited 0, 3 sent"),
        row(
            "wake.request: twice the largest payload",
            &bare(
                &format!("(memory (export \"memory\") {MEMORY_LIMIT} (pagesize 1)) (data (i32.const 24) \"fault\")"),
                &on_event(&[say("wake.request", &format!("{} 0 8192", build::FAULT)), say("wake.request", &format!("{} 0 8192", build::FAULT))].concat()),
            ),
        )
        .is("idle: 0 -11, 1 sent"),
        row(
            "wake.request: a byte more than the largest payload",
            &bare(
                "(memory (export \"memory\") 8200 (pagesize 1)) (data (i32.const 24) \"fault\")",
                &on_event(&say("wake.request", &format!("{} 0 8193", build::FAULT))),
            ),
        )
        .limits(|l| l.memory = 16 * 1024)
        .is("idle: -90"),
        one("msg.publish: a byte more than a message may have", say("msg.publish", "0 3 1024 193")).is("idle: -90"),
        one("msg.publish: a byte more than limits.payload", say("msg.publish", "0 3 1024 17")).limits(|l| l.payload = 16).is("idle: -90"),
        one("msg.publish: with limits.payload 0", [say("msg.publish", "0 3 1024 1"), say("msg.publish", "0 3 1024 0")].concat())
            .limits(|l| l.payload = 0)
            .is("idle: -90 0, 1 sent"),
        one("log.write: a thousand lines", times(1000, &log)).is("idle, 984 log lines dropped"),
        one("log.write: more a second than allowed", times(12, &log))
            .limits(|l| l.logs_per_second = 5)
            .message(b"")
            .message(b"")
            .is("idle, 31 log lines dropped"),
        one("log.write: with none allowed", times(12, &log)).limits(|l| l.logs_per_second = 0).is("idle, 12 log lines dropped"),
        one("log.write: a flood in an event that fails is still counted", format!("{} unreachable", times(1000, &log)))
            .is("trapped: unreachable code, 984 log lines dropped"),
        one(
            "wasi.fd_write: a thousand empty lines",
            format!("(memory.fill (i32.const 2048) (i32.const 10) (i32.const 1000)) (i32.store (i32.const 1280) (i32.const 2048)) (i32.store (i32.const 1284) (i32.const 1000)) {}", make("wasi.fd_write", "1 1280 1 2040")),
        )
        .is("idle, 984 log lines dropped"),
        one(
            "wasi.fd_write: a line that never ends",
            format!("(memory.fill (i32.const 2048) (i32.const 65) (i32.const 900)) (i32.store (i32.const 1280) (i32.const 2048)) (i32.store (i32.const 1284) (i32.const 900)) {}", times(100, &make("wasi.fd_write", "2 1280 1 2040"))),
        )
        .is("idle"),
        one(
            "wasi.fd_write: a thousand buffers, of which few are taken",
            format!("(i32.store (i32.const 1284) (i32.const 4096)) {} (call $say (i64.load32_u (i32.const 2040)))", say("wasi.fd_write", "1 1280 300 2040")),
        )
        .is("idle: 0 1024"),
        one("time.set_timer: one more than the limit", timer.repeat(5)).is("idle: 0 1 2 3 -28"),
        one("time.set_timer: with none allowed", timer.clone()).limits(|l| l.timers = 0).is("idle: -28"),
        one("time.set_timer: ten thousand times", format!("{} {timer}", times(10_000, &make("time.set_timer", "9000000 0 0"))))
            .limits(|l| l.fuel_per_event = 1_000_000)
            .is("idle: -28"),
        one("msg.request: one more than may wait", request("9000000").repeat(5)).is("idle: 1 2 3 4 -28, 4 sent"),
        one("msg.request: that nobody can answer in time", format!("(if (i32.eq (local.get $kind) (i32.const 8)) (then (call $say (i64.extend_i32_u (local.get $source)))) (else {}))", request("0").repeat(4)))
            .turns(10)
            .is("idle: 1 2 3 4 110 110 110 110, 4 sent"),
        one("msg.subscribe: a hundred times", times(100, &make("msg.subscribe", build::IN))).is("idle, 16 sent"),
        one(
            "msg.subscribe: one more than the limit",
            [say("msg.subscribe", "16 3"), say("msg.subscribe", build::IN), say("msg.unsubscribe", build::IN), say("msg.subscribe", "16 3")].concat(),
        )
        .limits(|l| l.subscriptions = 1)
        .is("idle: -28 0 0 1, 2 sent"),
        one("handles: one more than the limit", [say("sensor.open", build::ACCEL), say("gpio.open", build::LED), say("spi.open", build::FLASH), say("sensor.open", build::ACCEL)].concat())
            .limits(|l| l.handles = 2)
            .is("idle: 0 8 -28 0"),
        one("handles: with none allowed", say("gpio.open", build::LED)).limits(|l| l.handles = 0).is("idle: -28"),
        one("kv.set: over its quota", [say("kv.set", "72 1 0 300"), say("kv.set", "72 1 0 252"), say("kv.set", "72 1 0 253")].concat())
            .is("idle: -28 0 -28"),
        one("kv.set: more than any store holds", say("kv.set", "72 1 0 4096")).grants(|g| g.kv = 4096).is("idle: -28"),
        one(
            "kv.set: until nothing fits",
            format!(
                "(local.set $i (i32.const 0)) (loop $l (i32.store8 (i32.const 72) (i32.add (i32.const 33) (local.get $i)))
                 (local.set $i (i32.add (local.get $i) (i32.const 1)))
                 (br_if $l (i32.eqz {}))) (call $say (i64.extend_i32_s (local.get $i)))",
                build::call("kv.set", &format!("{} 1024 4", build::KEY))
            ),
        )
        .cycled()
        .is("idle: 33"),
        one("kv.set: the same key ten thousand times", format!("{} {}", times(10_000, &make("kv.set", "72 1 1024 60")), say("kv.get", "72 1 2048 60")))
            .limits(|l| l.fuel_per_event = 1_000_000)
            .is("idle: 60"),
        one(
            "config: ten thousand looks",
            times(10_000, &make("config.get", "80 4 2048 16")),
        )
        .limits(|l| l.fuel_per_event = 1_000_000)
        .is("idle"),
        one("wasi.random_get: a thousand times the most", times(20, &make("wasi.random_get", "2048 1024"))).is("idle"),
    ]
}

fn storms() -> Vec<Build> {
    let one = |name: &str, body: String| row(name, &module("", &on_event(&body)));
    let send = make("msg.publish", &format!("{} {}", build::NEIGHBOUR, build::BYTES));
    let many = |mut build: Build| {
        for _ in 0..20 {
            build = build.turns(10).message(b"");
        }
        build.turns(10)
    };
    vec![
        many(one("storm: messages to a neighbour in every event", times(100, &send))).floods().is("idle, 336 sent"),
        row(
            "storm: a command sends to a neighbour for ever",
            &module("", &command(&format!("(loop $l {} {send} (br $l))", make("time.sleep", "1")))),
        )
        .quiet()
        .turns(200)
        .floods()
        .is("parked, 200 sent"),
        row(
            "storm: timers of a microsecond",
            &module(
                "",
                &format!(
                    "(func (export \"init\") (result i32) {} (i32.const 0)) {}",
                    make("time.set_timer", "0 1 0").repeat(8),
                    on_event("")
                ),
            ),
        )
        .quiet()
        .limits(|l| l.timers = 8)
        .turns(300)
        .cycled()
        .is("idle"),
        row(
            "storm: timers that set timers",
            &module(
                "",
                &format!(
                    "(func (export \"init\") (result i32) {} (i32.const 0)) {}",
                    make("time.set_timer", "0 0 0").repeat(8),
                    on_event(&make("time.set_timer", "0 0 0").repeat(2))
                ),
            ),
        )
        .quiet()
        .limits(|l| l.timers = 8)
        .turns(300)
        .is("idle"),
        one("storm: requests in every event", request_storm()).message(b"").message(b"").turns(50).is("idle, 4 sent"),
        (0..20)
            .fold(one("storm: its own queue overflows while it works", times(10_000, "nop")), |build, _| {
                build.message(b"")
            })
            .is("idle, 12 events lost"),
        one(
            "storm: device calls",
            format!(
                "{} {}",
                make("i2c.open", build::BUS),
                times(100, &make("i2c.write_read", "16 72 1024 192 2048 192"))
            ),
        )
        .is("idle"),
        one("storm: work for every event, of every kind", times(1000, "nop"))
            .event(EventKind::Wake, 0, &[1; 100])
            .event(EventKind::Config, 0, b"rate\n")
            .event(EventKind::Pin, 9, &[])
            .event(EventKind::Reply, 110, &[])
            .event(EventKind::Timer, 255, &[])
            .event(EventKind::Sensor, 255, &[])
            .limits(|l| l.fuel_per_event = FUEL)
            .is("idle"),
    ]
}

fn request_storm() -> String {
    times(1000, &make("msg.request", &format!("{} 1024 4 9000000", build::OUT)))
}
