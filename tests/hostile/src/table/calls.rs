//! What is not granted, and arguments that can never be right.

use coracle_guest_abi::{EventKind, GrantKind, IMPORTS};

use super::build::{self, Build, call, command, init, make, module, on_event, row, say, times};

pub(super) fn rows() -> Vec<Build> {
    let mut rows = foreign_names();
    rows.extend(imports());
    rows.extend(arguments());
    rows.extend(styles());
    rows.extend(wasi());
    rows
}

/// Names that are not the container's to use.
fn foreign_names() -> Vec<Build> {
    let calls = [
        ("sensor.open", "N", "accel0"),
        ("gpio.open", "N", "led"),
        ("i2c.open", "N", "i2c0"),
        ("spi.open", "N", "flash"),
        ("msg.publish", "N 1024 4", "out"),
        ("msg.publish_retained", "N 1024 4", "out"),
        ("msg.request", "N 1024 4 1000", "out"),
        ("msg.subscribe", "N", "in"),
        ("msg.unsubscribe", "N", "in"),
        ("wake.request", "N 1024 4", "fault"),
    ];
    let mut rows = Vec::new();
    for (name, args, own) in calls {
        let denied = "-13, 1 refused";
        let mut attempt = |attack: &str, text: String, len: usize, expected: &str| {
            let data = format!("(data (i32.const 512) \"{text}\")");
            let body = say(name, &args.replace('N', &format!("512 {len}")));
            let text = module(&data, &on_event(&body));
            rows.push(row(&format!("{name}: {attack}"), &text).is(&format!("idle: {expected}")));
        };
        attempt("a foreign name", "secret".to_owned(), 6, denied);
        attempt("the first letters of its own", own.to_owned(), own.len() - 1, denied);
        attempt("its own with a zero behind", format!("{own}\\00"), own.len() + 1, denied);
        attempt("its own in capitals", own.to_uppercase(), own.len(), denied);
        attempt("a name of 32 bytes", "x".repeat(32), 32, "-90");
        attempt("a name that is no UTF-8", "\\ff\\fe\\80".to_owned(), 3, "-22");
    }
    let storm = times(1000, &make("msg.publish", "88 5 1024 4"));
    rows.push(row("msg.publish: a thousand foreign topics", &module("", &on_event(&storm))).is("idle, 1000 refused"));
    rows.push(
        row("sensor.open: another sensor of the board", &module("", &on_event(&say("sensor.open", "152 6"))))
            .is("idle: -13, 1 refused"),
    );
    let own = [say("msg.publish", "8 2 1024 4"), say("msg.subscribe", "0 3")].concat();
    rows.push(
        row("msg: publishing what it subscribes, subscribing what it publishes", &module("", &on_event(&own)))
            .is("idle: -13 -13, 2 refused"),
    );
    rows
}

/// Imports that are not linked.
fn imports() -> Vec<Build> {
    let mut rows = Vec::new();
    for import in IMPORTS.iter().filter(|i| i.grant.is_some()) {
        let kind = import.grant.unwrap();
        let name = format!("{} {}", import.module, import.name);
        let types: String = import.params.iter().map(|t| format!(" {t:?}").to_lowercase()).collect();
        let text = |params: &str| {
            format!(
                "(module (import \"{}\" \"{}\" (func (param{params}) (result i32))) {})",
                import.module,
                import.name,
                on_event("")
            )
        };
        let without = row(&format!("import {name}: without the grant"), &text(&types)).grants(|g| match kind {
            GrantKind::Sensors => g.sensors = None.into_iter().collect(),
            GrantKind::Pins => g.pins = None.into_iter().collect(),
            GrantKind::I2c => g.i2c = None.into_iter().collect(),
            GrantKind::Spi => g.spi = None.into_iter().collect(),
            GrantKind::Publish => g.publish = None.into_iter().collect(),
            GrantKind::Subscribe => g.subscribe = None.into_iter().collect(),
            GrantKind::Wake => g.wake = None.into_iter().collect(),
            GrantKind::Kv => g.kv = 0,
            GrantKind::Files => {}
        });
        rows.push(if kind == GrantKind::Files {
            // It exists on the A core alone, and is not granted there either.
            without.raw().differs("refused 11", "refused 3")
        } else {
            without.is("refused 3")
        });
        if kind == GrantKind::Files {
            let granted = row(&format!("import {name}: on the M core, with the grant"), &text(&types)).raw();
            let mut granted = granted.grants(|g| g.files = [build::folder()].into_iter().collect());
            granted = granted.on_m_only("refused 11");
            rows.push(granted);
        }
        let more = text(&format!("{types} i32"));
        rows.push(row(&format!("import {name}: with one parameter more"), &more).raw().is("refused 3"));
    }
    let raw = |name: &str, import: &str| {
        let text = format!("(module (import {import}) {})", on_event(""));
        row(&format!("import {name}"), &text).raw().is("refused 3")
    };
    rows.extend([
        raw("of a module that does not exist", "\"env\" \"system\" (func (param i32) (result i32))"),
        raw("of a function that does not exist", "\"coracle:log@1\" \"read\" (func (param i32 i32 i32) (result i32))"),
        raw("of another version", "\"coracle:log@2\" \"write\" (func (param i32 i32 i32) (result i32))"),
        raw("without a version", "\"coracle:log\" \"write\" (func (param i32 i32 i32) (result i32))"),
        raw("with a longer name", "\"coracle:log@1\\00\" \"write\" (func (param i32 i32 i32) (result i32))"),
        raw("with empty names", "\"\" \"\" (func)"),
        raw("with another result", "\"coracle:log@1\" \"write\" (func (param i32 i32 i32) (result i64))"),
        raw("without its result", "\"coracle:log@1\" \"write\" (func (param i32 i32 i32))"),
        raw("of a memory", "\"coracle:log@1\" \"write\" (memory 1)"),
        raw("of a table", "\"coracle:log@1\" \"write\" (table 1 funcref)"),
        raw("of a global", "\"coracle:log@1\" \"write\" (global i32)"),
        raw("of the host's memory", "\"env\" \"memory\" (memory 1)"),
        raw("with a name of 200 bytes", &format!("\"{}\" \"x\" (func)", "x".repeat(200))),
    ]);
    // Preparation says so earlier.
    let prepared = |name: &str, import: &str, reason: &str| {
        row(&format!("prepare: import {name}"), &format!("(module (import {import}) {})", on_event(""))).refused(reason)
    };
    rows.extend([
        prepared("of a module that does not exist", "\"env\" \"system\" (func)", "UnknownImport"),
        prepared("with another type", "\"coracle:log@1\" \"write\" (func)", "ImportType"),
        prepared("of a memory", "\"coracle:log@1\" \"write\" (memory 1)", "ImportKind"),
    ]);
    rows
}

/// Numbers that can never be right.
fn arguments() -> Vec<Build> {
    let open = [
        make("sensor.open", build::ACCEL),
        make("gpio.open", build::LED),
        make("gpio.open", build::BUTTON),
        make("i2c.open", build::BUS),
        make("spi.open", build::FLASH),
    ]
    .concat();
    let one = |name: &str, calls: &[(&str, &str)], expected: &str| {
        let body: String = calls.iter().map(|(name, args)| say(name, args)).collect();
        row(name, &module("", &on_event(&format!("{open} {body}")))).is(&format!("idle: {expected}"))
    };
    vec![
        one(
            "log.write: levels that are none",
            &[("log.write", "0 0 1"), ("log.write", "5 0 1"), ("log.write", "-1 0 1"), ("log.write", "259 0 1")],
            "-22 -22 -22 -22",
        ),
        one("log.write: no UTF-8", &[("log.write", "3 96 3"), ("log.write", "3 96 2")], "-22 -22"),
        one("log.write: half the memory", &[("log.write", "3 1024 3072")], "0"),
        one("config.get: a key that is none", &[("config.get", "88 5 2048 16")], "-2"),
        one("config.get: a key that is no UTF-8", &[("config.get", "96 3 2048 16")], "-22"),
        one("config.get: a key of 32 bytes", &[("config.get", "104 32 2048 16")], "-90"),
        one("gpio.write: an input", &[("gpio.write", "9 1")], "-13, 1 refused"),
        one("gpio.watch: an output", &[("gpio.watch", "8 3 0")], "-13, 1 refused"),
        one("gpio.write: levels that are none", &[("gpio.write", "8 2"), ("gpio.write", "8 -1")], "-22 -22"),
        one(
            "gpio.watch: edges that are none",
            &[("gpio.watch", "9 4 0"), ("gpio.watch", "9 -1 0"), ("gpio.watch", "9 259 0")],
            "-22 -22 -22",
        ),
        one("i2c.write_read: a foreign address", &[("i2c.write_read", "16 73 1024 4 2048 4")], "-13, 1 refused"),
        one("i2c.write_read: the general call", &[("i2c.write_read", "16 0 1024 4 2048 4")], "-13, 1 refused"),
        one(
            "i2c.write_read: addresses of more than seven bits",
            &[
                ("i2c.write_read", "16 200 1024 4 2048 4"),
                ("i2c.write_read", "16 328 1024 4 2048 4"),
                ("i2c.write_read", "16 -1 1024 4 2048 4"),
            ],
            "-22 -22 -22",
        ),
        one(
            "i2c.write_read: more than the limit",
            &[("i2c.write_read", "16 72 1024 193 2048 4"), ("i2c.write_read", "16 72 1024 4 2048 193")],
            "-90 -90",
        ),
        one(
            "spi.transfer: more than the limit",
            &[("spi.transfer", "24 1024 193 2048 4"), ("spi.transfer", "24 1024 4 2048 193")],
            "-90 -90",
        ),
        one("spi.transfer: the whole memory", &[("spi.transfer", "24 0 4096 0 4096")], "-90"),
        one(
            "sensor.set_rate: rates that are none",
            &[("sensor.set_rate", "0 0"), ("sensor.set_rate", "0 -1"), ("sensor.set_rate", "0 -2147483648")],
            "-22 -22 -22",
        ),
        one("sensor.set_rate: more than granted", &[("sensor.set_rate", "0 2147483647")], "100"),
        one("sensor.set_threshold: extremes", &[("sensor.set_threshold", "0 2147483647 -2147483648")], "0"),
        one("sensor.read_block: in a message", &[("sensor.read_block", "0 2048 2080 4")], "-11"),
        row(
            "sensor.read_block: a block of another sensor",
            &module("", &on_event(&format!("{open} {}", say("sensor.read_block", "0 2048 2080 4")))),
        )
        .quiet()
        .event(EventKind::Sensor, 1, &[0; 32])
        .is("idle: -11"),
        row(
            "sensor.read_block: a block that is cut short",
            &module("", &on_event(&format!("{open} {}", say("sensor.read_block", "0 2048 2080 4")))),
        )
        .quiet()
        .event(EventKind::Sensor, 0, &[0; 23])
        .is("idle: -22"),
        one("msg.reply: to no request", &[("msg.reply", build::BYTES)], "-11"),
        row("msg.reply: to a request that is none", &module("", &on_event(&say("msg.reply", build::BYTES))))
            .quiet()
            .event(EventKind::Request, 0, &[200, 1, 2])
            .is("idle: -22"),
        row(
            "msg.reply: to somebody with a name that is too long",
            &module("", &on_event(&say("msg.reply", build::BYTES))),
        )
        .quiet()
        .event(EventKind::Request, 0, &[[40].as_slice(), &[b'x'; 40]].concat())
        .is("idle: -22"),
        one("kv.set: an empty key", &[("kv.set", "72 0 1024 4")], "-22"),
        one("kv.set: a key of 32 bytes", &[("kv.set", "104 32 1024 4")], "-90"),
        one("kv.set: a key that is no UTF-8", &[("kv.set", "96 3 1024 4")], "-22"),
        one(
            "kv.get, delete, next: nothing there",
            &[("kv.get", "72 1 2048 4"), ("kv.delete", "72 1"), ("kv.next", "72 1 2048 4")],
            "-2 -2 -2",
        ),
        one(
            "time.set_timer: the longest of all",
            &[("time.set_timer", "-1 -1 -1"), ("time.remaining", "0")],
            "0 9223372036854775807",
        ),
        row(
            "event.current, read: between events",
            &module("", &init(&[say("event.current", "2048"), say("event.read", "2048 64")].concat())),
        )
        .quiet()
        .is("idle: -11 -11"),
    ]
}

/// Calls of one style in the other, and guests that are their own callers.
fn styles() -> Vec<Build> {
    let waits = [say("event.wait", "0 -1 2048"), say("msg.wait", "-1 2048")].concat();
    vec![
        row("event.wait, msg.wait: in on_event", &module("", &on_event(&waits))).is("idle: -22 -22"),
        row("event.wait, msg.wait: in init", &module("", &init(&waits))).quiet().is("idle: -22 -22"),
        row("wasi.proc_exit: in on_event", &module("", &on_event(&call("wasi.proc_exit", "3")))).is("exited 3"),
        row("wasi.proc_exit: in init", &module("", &init(&call("wasi.proc_exit", "0")))).is("exited 0"),
        row("wasi.proc_exit: a negative code", &module("", &on_event(&call("wasi.proc_exit", "-2147483648"))))
            .is("exited -2147483648"),
        row(
            "wasi.proc_exit: in a start section",
            &module("", &format!("(func $s {}) (start $s) {}", call("wasi.proc_exit", "9"), on_event(""))),
        )
        .is("exited 9"),
        row("on_event: the most negative result", &module("", &on_event("(return (i32.const -2147483648))")))
            .is("returned -2147483648"),
        row("init: a negative result", &module("", &init("(return (i32.const -1))"))).is("returned -1"),
        row("_start: it returns at once", &module("", &command("nop"))).is("exited 0"),
        row("event.wait: a kind that is none", &module("", &command(&say("event.wait", "-2147483648 -1 2048"))))
            .is("parked"),
        row(
            "event.wait: a time that never comes",
            &module("", &command(&say("event.wait", "4 9223372036854775807 2048"))),
        )
        .quiet()
        .turns(50)
        .is("parked"),
        row(
            "event.wait: an event that another guest would take",
            &module("", &command(&say("event.wait", "2 -1 2048"))),
        )
        .is("parked"),
        row("time.sleep: for ever, in on_event", &module("", &on_event(&say("time.sleep", "-1"))))
            .message(b"x")
            .turns(50)
            .is("parked"),
        row("time.sleep: for ever, in init", &module("", &init(&say("time.sleep", "-1")))).cycled().is("parked"),
        row(
            "time.sleep: for a microsecond, again and again",
            &module("", &command(&format!("(loop $l {} (br $l))", make("time.sleep", "1")))),
        )
        .quiet()
        .turns(200)
        .is("parked"),
        row(
            "event.wait: without time, again and again",
            &module("", &command(&format!("(loop $l {} (br $l))", make("event.wait", "0 0 2048")))),
        )
        .quiet()
        .turns(200)
        .is("parked"),
        row(
            "on_event: calls itself",
            &module(
                "(table 1 funcref) (elem (i32.const 0) $e) (type $t (func (param i32 i32 i32) (result i32)))",
                "(func $e (export \"on_event\") (param i32 i32 i32) (result i32)
                   (if (result i32) (i32.gt_s (local.get 0) (i32.const 0))
                     (then (call_indirect (type $t) (i32.const -9) (i32.const 0) (i32.const 0) (i32.const 0)))
                     (else (i32.const -7))))",
            ),
        )
        .is("returned -7"),
        row(
            "init: called again by the guest",
            &module(
                "",
                &format!(
                    "(func $init (export \"init\") (result i32) {} (i32.const 0)) {}",
                    say("event.current", "2048"),
                    on_event("(drop (call $init))")
                ),
            ),
        )
        .is("idle: -11 0"),
        row(
            "coracle_start: called again by the guest",
            &module(
                "(global $n (mut i32) (i32.const 0))",
                &format!(
                    "(func $s (global.set $n (i32.add (global.get $n) (i32.const 1)))) (start $s) {}",
                    on_event("(call $s) (call $say (i64.extend_i32_s (global.get $n)))")
                ),
            ),
        )
        .is("idle: 2"),
    ]
}

/// WASI's own numbers.
fn wasi() -> Vec<Build> {
    let one = |name: &str, calls: &[(&str, &str)], expected: &str| {
        let body: String = calls.iter().map(|(name, args)| say(name, args)).collect();
        row(name, &module("", &on_event(&body))).is(&format!("idle: {expected}"))
    };
    let polls = |name: &str, tag: u32, which: u32, expected: &str| {
        // One subscription at 1280; the error is at 8 in the event.
        let body = format!(
            "(i32.store8 (i32.const 1288) (i32.const {tag})) (i32.store (i32.const 1296) (i32.const {which})) {}
             (call $say (i64.load16_u (i32.const 2056)))",
            say("wasi.poll_oneoff", "1280 2048 1 2200")
        );
        row(name, &module("", &on_event(&body))).is(&format!("idle: {expected}"))
    };
    vec![
        one(
            "wasi.fd_write: descriptors that are none",
            &[
                ("wasi.fd_write", "0 1280 1 2048"),
                ("wasi.fd_write", "3 1280 1 2048"),
                ("wasi.fd_write", "-1 1280 1 2048"),
            ],
            "8 8 8",
        ),
        one(
            "wasi.fd_read: descriptors that are none",
            &[("wasi.fd_read", "1 1280 1 2048"), ("wasi.fd_read", "-1 1280 1 2048")],
            "8 8",
        ),
        one(
            "wasi.fd_close, fd_fdstat_get: descriptors that are none",
            &[("wasi.fd_close", "3"), ("wasi.fd_close", "-1"), ("wasi.fd_fdstat_get", "3 2048")],
            "8 8 8",
        ),
        one("wasi.fd_seek: the log", &[("wasi.fd_seek", "1 0 0 2048"), ("wasi.fd_seek", "3 0 0 2048")], "70 8"),
        one(
            "wasi.fd_prestat_get, fd_prestat_dir_name: no folder is open",
            &[("wasi.fd_prestat_get", "3 2048"), ("wasi.fd_prestat_dir_name", "3 2048 16")],
            "8 8",
        ),
        one(
            "wasi.clock_time_get: clocks that are none",
            &[
                ("wasi.clock_time_get", "0 0 2048"),
                ("wasi.clock_time_get", "2 0 2048"),
                ("wasi.clock_time_get", "-1 0 2048"),
            ],
            "58 28 28",
        ),
        one(
            "wasi.random_get: more than its limit",
            &[("wasi.random_get", "0 1025"), ("wasi.random_get", "2048 1024")],
            "35 0",
        ),
        polls("wasi.poll_oneoff: a kind that is none", 3, 0, "28 0"),
        polls("wasi.poll_oneoff: a clock that is none", 0, 7, "0 28"),
        polls("wasi.poll_oneoff: reading a descriptor that is none", 1, 9, "0 8"),
        polls("wasi.poll_oneoff: writing standard input", 2, 0, "0 8"),
        row(
            "wasi.poll_oneoff: a time that never comes",
            &module(
                "",
                &command(&format!(
                    "(i32.store (i32.const 1296) (i32.const 1)) (i64.store (i32.const 1304) (i64.const -1)) {}",
                    say("wasi.poll_oneoff", "1280 2048 1 2200")
                )),
            ),
        )
        .turns(50)
        .is("parked"),
        one("wasi.sched_yield: ten thousand times", &[("wasi.sched_yield", "")], "0"),
    ]
}
