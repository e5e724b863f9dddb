//! Handles that were never given, were given back, or belong to something else.

use coracle_guest_abi::EventKind;

use super::build::{self, Build, make, module, on_event, row, say};

/// The calls that take a handle: the call, its other arguments, the handle that would be right.
const CALLS: [(&str, &str, i64); 13] = [
    ("sensor.close", "", 0),
    ("sensor.info", "2048", 0),
    ("sensor.read_block", "2048 2080 4", 0),
    ("sensor.set_rate", "50", 0),
    ("sensor.set_threshold", "1 2", 0),
    ("gpio.close", "", 8),
    ("gpio.read", "", 8),
    ("gpio.write", "1", 8),
    ("gpio.watch", "3 0", 9),
    ("i2c.close", "", 16),
    ("i2c.write_read", "72 1024 4 2048 4", 16),
    ("spi.close", "", 24),
    ("spi.transfer", "1024 4 2048 4", 24),
];

pub(super) fn rows() -> Vec<Build> {
    let all = [
        make("sensor.open", build::ACCEL),
        make("gpio.open", build::LED),
        make("gpio.open", build::BUTTON),
        make("i2c.open", build::BUS),
        make("spi.open", build::FLASH),
    ]
    .concat();
    let mut rows = Vec::new();
    for (name, rest, own) in CALLS {
        let (interface, _) = name.split_once('.').unwrap();
        let use_of = |handle: i64| say(name, &format!("{handle} {rest}"));
        let closed = format!("{all} {}", make(&format!("{interface}.close"), &own.to_string()));
        // The first of the next kind is open; the last of the own kind is not granted.
        let attacks = [
            ("never opened", String::new(), own),
            ("closed before", closed, own),
            ("of another kind", all.clone(), (own / 8 + 1) % 4 * 8),
            ("that is not granted", all.clone(), own / 8 * 8 + 7),
            ("beyond all", all.clone(), 32 + own),
            ("that wraps to the right bit", all.clone(), 1 << 31 | own),
            ("negative", all.clone(), own - 32),
        ];
        for (attack, before, handle) in attacks {
            let text = module("", &on_event(&format!("{before} {}", use_of(handle))));
            rows.push(row(&format!("{name}: a handle {attack}"), &text).on(EventKind::Sensor).is("idle: -9"));
        }
    }
    for (name, wrong) in [("time.cancel", "-9"), ("time.remaining", "-9")] {
        let set = make("time.set_timer", "9000000 0 0");
        let attacks = [
            ("never set", String::new(), 0),
            ("cancelled before", format!("{set} {}", make("time.cancel", "0")), 0),
            ("beyond all", set.clone(), 8),
            ("huge", set.clone(), 0x7fff_ffff),
            ("negative", set.clone(), -1),
        ];
        for (attack, before, timer) in attacks {
            let text = module("", &on_event(&format!("{before} {}", say(name, &timer.to_string()))));
            rows.push(row(&format!("{name}: a timer {attack}"), &text).is(&format!("idle: {wrong}")));
        }
    }
    // Opening again gives the same handle, and closing twice closes nothing else.
    let body = [
        say("sensor.open", build::ACCEL),
        say("sensor.open", build::ACCEL),
        say("sensor.close", "0"),
        say("sensor.close", "0"),
        say("gpio.open", build::LED),
        say("gpio.close", "8"),
    ]
    .concat();
    rows.push(row("sensor.open, close: twice", &module("", &on_event(&body))).is("idle: 0 0 0 -9 8 0"));
    rows
}
