//! Every pointer and length of every call, with every way in which it can lie.

use coracle_guest_abi::EventKind;

use super::build::{self, Build, END, call, command, init, make, module, on_event, row, say};

/// How much memory a pointer stands for.
enum Size {
    /// As much as the length beside it says.
    Len,
    /// At most as much as the length beside it says, so many bytes for each unit, of which there are enough for two.
    Cap(i64),
    /// So many bytes.
    Fixed(i64),
}
use Size::{Cap, Fixed, Len};

/// Where a call is made.
enum Place {
    Event(EventKind),
    Command,
    Init,
}
use Place::{Command, Event, Init};

/// A pointer of a call: its name, the call, its arguments with `P` and `L` for the pointer and its length, its size, and
/// what the call comes to when nothing is read or written at the end of the memory ([`Len`] and [`Cap`]) or when exactly
/// all of it lies inside ([`Fixed`]).
type Pointer = (&'static str, &'static str, &'static str, Size, &'static str);

const MESSAGE: Place = Event(EventKind::Message);

/// The pointers, by where they are used and what has to be done before.
fn pointers() -> Vec<(Place, String, Vec<Pointer>)> {
    let opened = [
        make("sensor.open", build::ACCEL),
        make("i2c.open", build::BUS),
        make("spi.open", build::FLASH),
        // A value of 64 bytes under a key of six.
        make("kv.set", &format!("{} {}", build::ACCEL, build::BYTES)),
    ]
    .concat();
    vec![
        (
            MESSAGE,
            opened.clone(),
            vec![
                ("text", "log.write", "3 P L", Len, "0"),
                ("key", "config.get", "P L 2048 16", Len, "-2"),
                ("buffer", "config.get", "80 4 P L", Cap(1), "5"),
                ("buffer", "event.read", "P L", Cap(1), "64"),
                ("record", "event.current", "P", Fixed(24), "0"),
                ("name", "sensor.open", "P L", Len, "-13, 1 refused"),
                ("info", "sensor.info", "0 P", Fixed(20), "-2"),
                ("label", "gpio.open", "P L", Len, "-13, 1 refused"),
                ("bus", "i2c.open", "P L", Len, "-13, 1 refused"),
                ("bytes", "i2c.write_read", "16 72 P L 2048 4", Len, "-2"),
                ("buffer", "i2c.write_read", "16 72 1024 4 P L", Len, "-2"),
                ("device", "spi.open", "P L", Len, "-13, 1 refused"),
                ("bytes", "spi.transfer", "24 P L 2048 4", Len, "-2"),
                ("buffer", "spi.transfer", "24 1024 4 P L", Len, "-2"),
                ("topic", "msg.publish", "P L 1024 4", Len, "-13, 1 refused"),
                ("payload", "msg.publish", "0 3 P L", Len, "0, 1 sent"),
                ("topic", "msg.publish_retained", "P L 1024 4", Len, "-13, 1 refused"),
                ("payload", "msg.publish_retained", "0 3 P L", Len, "0, 1 sent"),
                ("topic", "msg.subscribe", "P L", Len, "-13, 1 refused"),
                ("topic", "msg.unsubscribe", "P L", Len, "-13, 1 refused"),
                ("topic", "msg.request", "P L 1024 4 9000000", Len, "-13, 1 refused"),
                ("payload", "msg.request", "0 3 P L 9000000", Len, "1, 1 sent"),
                ("key", "kv.get", "P L 2048 64", Len, "-2"),
                ("buffer", "kv.get", "32 6 P L", Cap(1), "64"),
                ("key", "kv.set", "P L 1024 4", Len, "-22"),
                ("value", "kv.set", "72 1 P L", Len, "0"),
                ("key", "kv.delete", "P L", Len, "-2"),
                ("key", "kv.next", "P L 2048 64", Len, "6"),
                ("buffer", "kv.next", "72 0 P L", Cap(1), "6"),
                ("reason", "wake.request", "P L 1024 4", Len, "-13, 1 refused"),
                ("payload", "wake.request", "24 5 P L", Len, "0, 1 sent"),
                ("count", "wasi.args_sizes_get", "P 2048", Fixed(4), "0"),
                ("size", "wasi.args_sizes_get", "2048 P", Fixed(4), "0"),
                ("table", "wasi.args_get", "P 2048", Fixed(8), "0"),
                ("buffer", "wasi.args_get", "2048 P", Fixed(12), "0"),
                ("count", "wasi.environ_sizes_get", "P 2048", Fixed(4), "0"),
                ("size", "wasi.environ_sizes_get", "2048 P", Fixed(4), "0"),
                ("table", "wasi.environ_get", "P 2048", Fixed(4), "0"),
                ("buffer", "wasi.environ_get", "2048 P", Fixed(11), "0"),
                ("resolution", "wasi.clock_res_get", "1 P", Fixed(8), "0"),
                ("time", "wasi.clock_time_get", "1 0 P", Fixed(8), "0"),
                ("buffer", "wasi.random_get", "P L", Len, "0"),
                ("subscriptions", "wasi.poll_oneoff", "P 2048 1 2200", Fixed(48), "0"),
                ("events", "wasi.poll_oneoff", "1280 P 1 2200", Fixed(32), "0"),
                ("count", "wasi.poll_oneoff", "1280 2048 1 P", Fixed(4), "0"),
                ("table", "wasi.fd_write", "1 P 1 2048", Fixed(8), "0"),
                ("written", "wasi.fd_write", "1 1280 1 P", Fixed(4), "0"),
                ("read", "wasi.fd_read", "0 1280 1 P", Fixed(4), "0"),
                ("stat", "wasi.fd_fdstat_get", "1 P", Fixed(24), "0"),
            ],
        ),
        (
            Event(EventKind::Sensor),
            opened,
            vec![
                ("header", "sensor.read_block", "0 P 2048 8", Fixed(24), "4"),
                ("samples", "sensor.read_block", "0 2048 P L", Cap(2), "0"),
            ],
        ),
        (Event(EventKind::Request), String::new(), vec![("payload", "msg.reply", "P L", Len, "0, 1 sent")]),
        (
            Command,
            String::new(),
            vec![
                ("record", "event.wait", "0 0 P", Fixed(24), "-110"),
                ("record", "msg.wait", "0 P", Fixed(24), "-110"),
            ],
        ),
        (Init, String::new(), vec![("text in init", "log.write", "1 P L", Len, "0")]),
    ]
}

pub(super) fn rows() -> Vec<Build> {
    let mut rows = Vec::new();
    for (place, before, pointers) in pointers() {
        for (what, name, args, size, inside) in pointers {
            let fault = if name.starts_with("wasi.") { "21" } else { "-14" };
            for (attack, at, len, expected) in attacks(&size, fault, inside) {
                let args = args.replace('P', &at.to_string()).replace('L', &len.to_string());
                let body = format!("{before} {}", say(name, &args));
                rows.push(placed(&place, &format!("{name} {what}: {attack}"), &body, &expected));
            }
        }
    }
    // The buffers that a table names.
    for (attack, at, len, expected) in attacks(&Len, "21", "0") {
        let table =
            format!("(i32.store (i32.const 1280) (i32.const {at})) (i32.store (i32.const 1284) (i32.const {len}))");
        let body = format!("{table} {}", say("wasi.fd_write", "1 1280 1 2048"));
        rows.push(placed(&MESSAGE, &format!("wasi.fd_write buffer in the table: {attack}"), &body, &expected));
    }
    rows.push(more_subscriptions());
    rows.push(refused_writes_nothing("wasi.args_get"));
    rows.push(refused_writes_nothing("wasi.environ_get"));
    rows.push(without_a_memory());
    rows
}

/// The ways to lie about a pointer: their name, the pointer, the length, and what the call says.
fn attacks(size: &Size, fault: &str, inside: &str) -> Vec<(&'static str, i64, i64, String)> {
    let fault = |name, at, len| (name, at, len, fault.to_owned());
    match size {
        Fixed(n) => vec![
            fault("past the end", END, 0),
            fault("over the end by a byte", END - n + 1, 0),
            fault("at the last address", -1, 0),
            fault("wraps around", -n / 2, 0),
            ("up to the end", END - n, 0, inside.to_owned()),
        ],
        Len => vec![
            fault("past the end", END, 1),
            fault("over the end by a byte", END - 1, 2),
            fault("wraps around", -16, 32),
            fault("negative length", 16, -1),
            fault("nothing, past the end", END + 1, 0),
            ("nothing, at the end", END, 0, inside.to_owned()),
        ],
        Cap(unit) => vec![
            fault("past the end", END, 1),
            fault("over the end by a byte", END - 2 * unit + 1, 2),
            fault("wraps around", -1, 2),
            fault("negative length over the end", END - 1, -1),
            fault("nothing, past the end", END + 1, 0),
            ("nothing, at the end", END, 0, inside.to_owned()),
        ],
    }
}

fn placed(place: &Place, name: &str, body: &str, expected: &str) -> Build {
    match place {
        Event(kind) => row(name, &module("", &on_event(body))).on(*kind).is(&format!("idle: {expected}")),
        Command => row(name, &module("", &command(body))).quiet().is(&format!("exited 0: {expected}")),
        Init => row(name, &module("", &init(body))).quiet().is(&format!("idle: {expected}")),
    }
}

/// More subscriptions than a poll takes, and so many that their bytes wrap around.
fn more_subscriptions() -> Build {
    let polls: String =
        ["0", "9", "-1", "89478486"].map(|n| say("wasi.poll_oneoff", &format!("1280 2048 {n} 2200"))).concat();
    row("wasi.poll_oneoff count: none, too many, wraps around", &module("", &on_event(&polls))).is("idle: 28 35 35 35")
}

/// A call that is refused leaves the memory as it was, also what it could have written before it came to the end: the
/// table at 2048, when the texts do not fit.
fn refused_writes_nothing(name: &str) -> Build {
    let body = format!("{} (call $say (i64.load32_u (i32.const 2048)))", say(name, "2048 4091"));
    row(&format!("{name}: what is refused writes nothing"), &module("", &on_event(&body))).is("idle: 21 0")
}

/// Without a memory every address is outside.
fn without_a_memory() -> Build {
    // It cannot say anything: it exits with the sum of the two results.
    let body = format!("(return (i32.add {} {}))", call("log.write", "3 0 1"), call("event.current", "0"));
    row("log.write, event.current: no memory at all", &build::bare("", &on_event(&body))).is("returned -28")
}
