//! Snapshots that another core made up.

use coracle_container::Kv;
use coracle_guest_abi::Name;
use coracle_migrate::snapshot::{
    GlobalValue, Head, HostState, PinUse, Request, SNAPSHOT_BYTES_MAX, SensorUse, Timer, encode,
};

use super::build::{self, Build, END, module, on_event, row, say};

/// A snapshot of the module with that digest, changed.
fn snapshot(build: &Build, kv: &[u8], memory: &[u8], change: impl FnOnce(&mut Head)) -> Vec<u8> {
    use sha2::Digest as _;

    let mut head = Head {
        name: Name::try_from("hostile").unwrap(),
        image: sha2::Sha256::digest(build.prepared()).into(),
        host: HostState { initialised: true, ..HostState::default() },
        globals: [GlobalValue::I32(0)].into_iter().collect(),
        memory_len: 0,
        kv_len: 0,
        events: 0,
    };
    change(&mut head);
    let mut out = vec![0; SNAPSHOT_BYTES_MAX];
    let len = encode(&head, kv, core::iter::empty(), memory, &mut out).expect("it fits");
    out.truncate(len);
    out
}

pub(super) fn rows() -> Vec<Build> {
    let mut memory = vec![0; END as usize];
    for (at, text) in [(0, "out"), (32, "accel0"), (64, "flash")] {
        memory[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    let memory = memory;
    let global = "(global (mut i32) (i32.const 5))";
    let guest = |name: &str, body: &str| row(&format!("restore: {name}"), &module(global, &on_event(body)));
    let state = |name: &str, body: &str, change: &dyn Fn(&mut HostState)| {
        let build = guest(name, body);
        let bytes = snapshot(&build, &[], &memory, |head| change(&mut head.host));
        build.snapshot(bytes)
    };
    let head = |name: &str, kv: &[u8], memory: &[u8], change: &dyn Fn(&mut Head)| {
        let build = guest(name, "");
        let bytes = snapshot(&build, kv, memory, change);
        build.snapshot(bytes)
    };
    let mut store = Kv::default();
    store.set("key", &[1; 300], 4096).unwrap();
    let timer = Timer { due_us: 0, period_us: 1, slack_us: u64::MAX };
    let bytes = guest("", "").prepared();
    let damaged = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let build = guest(name, "");
        let mut bytes = snapshot(&build, &[], &memory, |_| {});
        change(&mut bytes);
        build.snapshot(bytes).is("refused 255")
    };
    vec![
        head("what is right", &[], &memory, &|_| {}).cycled().is("idle"),
        head("another image's", &[], &memory, &|h| h.image[0] ^= 1).is("refused 8"),
        head("less memory than the module begins with", &[], &memory[..100], &|_| {}).is("refused 9"),
        head("more memory than the limit", &[], &[0; 8193], &|_| {}).is("refused 9"),
        head("no memory", &[], &[], &|_| {}).is("refused 9"),
        head("no globals", &[], &memory, &|h| h.globals.clear()).is("refused 10"),
        head("a global too many", &[], &memory, &|h| h.globals.push(GlobalValue::I32(1)).unwrap()).is("refused 10"),
        head("a global of another type", &[], &memory, &|h| h.globals[0] = GlobalValue::F64(1)).is("refused 10"),
        head("a store that is none", &[1, 9, 0, 1], &memory, &|_| {}).is("refused 13"),
        head("a store over its quota", store.as_bytes(), &memory, &|_| {}).is("refused 13"),
        head("memory without its initial state", &[], &memory, &|h| h.host.initialised = false).is("idle"),
        damaged("nothing at all", &Vec::clear),
        damaged("a damaged byte", &|b| b[40] ^= 1),
        damaged("cut in the middle", &|b| b.truncate(b.len() / 2)),
        damaged("another version", &|b| b[4] = 1),
        damaged("a length beyond all", &|b| b[8..12].fill(0xff)),
        {
            let build = guest("the module instead of a snapshot", "");
            build.snapshot(bytes).is("refused 255")
        },
        state(
            "handles that are not granted",
            &[
                say("sensor.info", "7 2048"),
                say("gpio.read", "15"),
                say("i2c.write_read", "23 72 0 1 0 1"),
                say("spi.transfer", "31 0 1 0 1"),
            ]
            .concat(),
            &|s| s.handles = u32::MAX,
        )
        .is("idle: -9 -9 -9 -9"),
        state("more handles than the limit", &say("spi.open", build::FLASH), &|s| s.handles = 1 | 1 << 8 | 1 << 16)
            .limits(|l| l.handles = 2)
            .is("idle: -28"),
        state("handles of what is not granted count for nothing", &say("spi.open", build::FLASH), &|s| {
            s.handles = 0xfe
        })
        .limits(|l| l.handles = 2)
        .is("idle: 24"),
        state("timers beyond the limit, all due", "", &|s| s.timers = [Some(timer); 8])
            .limits(|l| l.timers = 1)
            .quiet()
            .turns(50)
            .is("idle"),
        state("timers of another age", &say("time.remaining", "0"), &|s| {
            s.timers[0] = Some(Timer { due_us: u64::MAX, period_us: u64::MAX, slack_us: u64::MAX });
        })
        .is("idle: 9223372036854775807"),
        state("a clock at its end", &say("time.now", ""), &|s| s.clock_us = u64::MAX).turns(5).is("idle: -1"),
        state(
            "a clock at its end, and timers from there",
            &format!(
                "(if (i32.eq (local.get $kind) (i32.const 2)) (then {} {}))",
                say("time.set_timer", "1 1 1"),
                say("time.sleep", "1")
            ),
            &|s| s.clock_us = u64::MAX,
        )
        .turns(20)
        .is("idle: 0 0"),
        state("requests that nobody made", &say("msg.request", "0 3 1024 4 1000"), &|s| {
            s.requests = [Some(Request { id: u32::MAX, due_us: u64::MAX }); 4]
        })
        .is("idle: -28"),
        state("the last number of a request", &say("msg.request", "0 3 1024 4 9000000"), &|s| {
            s.last_request = u32::MAX
        })
        .is("idle: 0, 1 sent"),
        state("edges that are none", "", &|s| s.pins = [PinUse { edges: 255, debounce_us: u32::MAX }; 8]).is("idle"),
        state("sensors that are not granted", &say("sensor.open", build::ACCEL), &|s| {
            s.sensors = [SensorUse { off: true, rate_hz: u32::MAX, threshold: Some((i32::MIN, i32::MAX)) }; 8];
        })
        .is("idle: 0"),
        state(
            "counters at their ends",
            &[say("config.version", ""), say("wasi.random_get", "2048 8")].concat(),
            &|s| {
                (s.handled, s.cursor, s.random, s.config_version, s.unsubscribed) =
                    (u64::MAX, u64::MAX, u64::MAX, u32::MAX, u8::MAX);
            },
        )
        .is("idle: -1 0"),
    ]
}
