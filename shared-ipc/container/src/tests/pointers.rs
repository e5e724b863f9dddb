//! Every pointer argument of every call, up to the last byte of memory and beyond it.

use std::format;
use std::string::String;
use std::vec::Vec;

use coracle_guest_abi::{BlockHeader, Call, Errno, EventKind, EventRecord, IMPORTS, SensorInfo, wasi};

use super::*;
use crate::request_payload;

/// Stands for the address under test among the arguments.
const P: i64 = i64::MIN;

struct Case {
    call: Call,
    args: Vec<i64>,
    /// What has to lie there; of a place that is written, so many bytes of anything.
    content: Vec<u8>,
    event: Option<OwnedEvent>,
}

/// Places of what the other arguments point at.
const TOPIC: i64 = 16;
const KEY: i64 = 32;
const CONFIG: i64 = 48;
const REASON: i64 = 64;
const BYTES: i64 = 80;
const IOVEC: i64 = 96;
const SUBSCRIPTION: i64 = 128;
const COUNT: i64 = 1024;

/// Waits until it can write to descriptor 1, which it can.
fn subscription() -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[8] = 2;
    bytes[16] = 1;
    bytes
}

fn rig() -> Rig {
    let mut rig = Rig::open();
    rig.host.command = true;
    rig.host.kv.set("k", b"val", 64).unwrap();
    let places: [(i64, &[u8]); 7] = [
        (TOPIC, b"a/b"),
        (KEY, b"k"),
        (CONFIG, b"limit"),
        (REASON, b"bearing"),
        (BYTES, b"xyz"),
        (IOVEC, &[80, 0, 0, 0, 3, 0, 0, 0]),
        (SUBSCRIPTION, &subscription()),
    ];
    for (at, bytes) in places {
        rig.memory[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }
    rig
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let block = [&BlockHeader { count: 2, ..BlockHeader::default() }.to_bytes()[..], &[1, 2, 3, 4]].concat();
    let mut add = |call, args: &[i64], content: &[u8]| {
        let event = match call {
            Call::SensorReadBlock => event(EventKind::Sensor, ACCEL as u8, &block),
            Call::MsgReply => event(EventKind::Request, 0, &request_payload("asker", b"body")),
            _ => event(EventKind::Message, 1, b"xyz"),
        };
        all.push(Case { call, args: args.to_vec(), content: content.to_vec(), event: Some(event) });
    };
    let record = [0; EventRecord::BYTES];
    add(Call::LogWrite, &[3, P, 4], b"line");
    add(Call::ConfigGet, &[P, 5, OUT, 16], b"limit");
    add(Call::ConfigGet, &[CONFIG, 5, P, 16], &[0; 2]);
    add(Call::EventRead, &[P, 16], &[0; 3]);
    add(Call::EventCurrent, &[P], &record);
    add(Call::EventWait, &[0, -1, P], &record);
    add(Call::MsgWait, &[-1, P], &record);
    add(Call::SensorOpen, &[P, 6], b"accel0");
    add(Call::SensorInfo, &[ACCEL, P], &[0; SensorInfo::BYTES]);
    add(Call::SensorReadBlock, &[ACCEL, P, OUT, 2], &[0; BlockHeader::BYTES]);
    add(Call::SensorReadBlock, &[ACCEL, OUT, P, 9], &[0; 4]);
    add(Call::GpioOpen, &[P, 3], b"led");
    add(Call::I2cOpen, &[P, 4], b"i2c1");
    add(Call::I2cWriteRead, &[BUS, 0x48, P, 3, OUT, 2], b"xyz");
    add(Call::I2cWriteRead, &[BUS, 0x48, BYTES, 3, P, 2], &[0; 2]);
    add(Call::SpiOpen, &[P, 3], b"adc");
    add(Call::SpiTransfer, &[ADC, P, 3, OUT, 2], b"xyz");
    add(Call::SpiTransfer, &[ADC, BYTES, 3, P, 2], &[0; 2]);
    for call in [Call::MsgPublish, Call::MsgPublishRetained, Call::MsgRequest] {
        add(call, &[P, 3, BYTES, 3, 9], b"a/b");
        add(call, &[TOPIC, 3, P, 3, 9], b"xyz");
    }
    add(Call::MsgSubscribe, &[P, 2], b"in");
    add(Call::MsgUnsubscribe, &[P, 2], b"in");
    add(Call::MsgReply, &[P, 3], b"xyz");
    add(Call::KvGet, &[P, 1, OUT, 9], b"k");
    add(Call::KvGet, &[KEY, 1, P, 9], &[0; 3]);
    add(Call::KvSet, &[P, 1, BYTES, 3], b"k");
    add(Call::KvSet, &[KEY, 1, P, 3], b"xyz");
    add(Call::KvDelete, &[P, 1], b"k");
    add(Call::KvNext, &[P, 1, OUT, 9], b"a");
    add(Call::KvNext, &[0, 0, P, 9], &[0]);
    add(Call::WakeRequest, &[P, 7, BYTES, 3], b"bearing");
    add(Call::WakeRequest, &[REASON, 7, P, 3], b"xyz");
    for call in [Call::WasiArgsSizesGet, Call::WasiEnvironSizesGet] {
        add(call, &[P, OUT], &[0; 4]);
        add(call, &[OUT, P], &[0; 4]);
    }
    add(Call::WasiArgsGet, &[P, OUT], &[0; 12]);
    add(Call::WasiArgsGet, &[OUT, P], &[0; "tracker\0--x\0two words\0".len()]);
    add(Call::WasiEnvironGet, &[P, OUT], &[0; 8]);
    add(Call::WasiEnvironGet, &[OUT, P], &[0; "limit=12\0word=hé\0".len()]);
    add(Call::WasiClockResGet, &[1, P], &[0; 8]);
    add(Call::WasiClockTimeGet, &[1, 0, P], &[0; 8]);
    add(Call::WasiRandomGet, &[P, 100], &[0; 100]);
    add(Call::WasiPollOneoff, &[P, OUT, 1, COUNT], &subscription());
    add(Call::WasiPollOneoff, &[SUBSCRIPTION, P, 1, COUNT], &[0; 32]);
    add(Call::WasiPollOneoff, &[SUBSCRIPTION, OUT, 1, P], &[0; 4]);
    add(Call::WasiFdWrite, &[1, P, 1, OUT], &[80, 0, 0, 0, 3, 0, 0, 0]);
    add(Call::WasiFdWrite, &[1, IOVEC, 1, P], &[0; 4]);
    add(Call::WasiFdRead, &[0, 0, 0, P], &[0; 4]);
    add(Call::WasiFdFdstatGet, &[1, P], &[0; 24]);
    all
}

fn run(case: &Case, address: u64) -> (Rig, String, Outcome) {
    let mut rig = rig();
    rig.host.event.clone_from(&case.event);
    let start = usize::try_from(address).unwrap();
    if let Some(to) = rig.memory.get_mut(start..start.saturating_add(case.content.len())) {
        to.copy_from_slice(&case.content);
    }
    let before = rig.everything();
    let args: Vec<i64> = case.args.iter().map(|a| if *a == P { address.cast_signed() } else { *a }).collect();
    let outcome = rig.call(case.call, &args);
    (rig, before, outcome)
}

#[test]
fn every_pointer_is_good_to_the_last_byte_and_not_beyond() {
    for case in cases() {
        let (len, need) = (MEMORY_BYTES as u64, case.content.len() as u64);
        let (rig, _, outcome) = run(&case, len - need);
        match outcome {
            Outcome::Return(value) => assert!(value >= 0 && (!case.call.is_wasi() || value == 0), "{:?}", case.args),
            Outcome::Park => assert!(rig.host.is_parked()),
            Outcome::Exit(code) => panic!("{:?} {:?} exits {code}", case.call, case.args),
        }
        let fault = if case.call.is_wasi() { i64::from(wasi::errno(Errno::Fault)) } else { -14 };
        let max = u64::from(u32::MAX);
        let beyond = [len - need + 1, len, len + 1, 1 << 31, max - need, max - need + 1, max - need + 2, max];
        for address in beyond.into_iter().filter(|a| *a <= max) {
            let (rig, before, outcome) = run(&case, address);
            let what = format!("{:?} {:?} at {address:#x}", case.call, case.args);
            assert_eq!(outcome, Outcome::Return(fault), "{what}");
            assert_eq!(rig.everything(), before, "{what} changed something");
        }
    }
}

/// An address is 32 bits; what an engine hands over above them does not count.
#[test]
fn the_upper_half_of_an_address_does_not_count() {
    let mut rig = rig();
    let high = 7 << 32;
    assert_eq!(rig.get(Call::MsgPublish, &[TOPIC + high, 3 + high, BYTES + high, 3 + high]), 0);
}

/// A length that leads around the end of the address space.
#[test]
fn a_length_is_never_trusted() {
    for case in cases() {
        for (i, arg) in case.args.iter().enumerate() {
            let length = case.args.get(i + 1).filter(|n| *arg == P && **n > 0 && **n <= 100);
            let is_capacity = matches!(
                (case.call, i),
                (Call::ConfigGet | Call::KvGet | Call::KvNext, 2) | (Call::EventRead, 0) | (Call::SensorReadBlock, 2)
            );
            // Of these the second argument is no length.
            let counts = matches!(
                case.call,
                Call::WasiPollOneoff | Call::WasiFdWrite | Call::WasiArgsSizesGet | Call::WasiEnvironSizesGet
            );
            if length.is_none() || is_capacity || counts {
                continue;
            }
            for bad in [i64::from(u32::MAX), 1 << 31, MEMORY_BYTES as i64 + 1] {
                let mut args = case.args.clone();
                args[i + 1] = bad;
                let case = Case { args, content: case.content.clone(), event: case.event.clone(), ..case };
                let (rig, before, outcome) = run(&case, 512);
                assert!(matches!(outcome, Outcome::Return(-14 | 21)), "{:?} {:?}: {outcome:?}", case.call, case.args);
                assert_eq!(rig.everything(), before);
            }
        }
    }
}

/// A buffer that is longer than what there is may reach beyond the end: what is written counts.
#[test]
fn a_capacity_may_be_anything() {
    let mut rig = rig();
    rig.host.event = Some(event(EventKind::Message, 0, b"xyz"));
    let end = MEMORY_BYTES as i64;
    assert_eq!(rig.get(Call::EventRead, &[end - 3, i64::from(u32::MAX)]), 3);
    assert_eq!(rig.at(end - 3, 3), b"xyz");
    // What does not fit is cut; the length is the whole one.
    assert_eq!(rig.get(Call::EventRead, &[OUT, 2]), 3);
    assert_eq!(rig.at(OUT, 3), [b'x', b'y', FILL]);
    assert_eq!(rig.get(Call::EventRead, &[end, 0]), 3);
    assert_eq!(rig.get(Call::EventRead, &[end + 1, 0]), -14);
}

#[test]
fn inner_pointers_of_wasi_are_checked_before_anything_happens() {
    for (address, len) in [(4094_u32, 3_u32), (4097, 0), (u32::MAX, 1), (0, u32::MAX), (u32::MAX, u32::MAX)] {
        let mut rig = rig();
        let good = [&80_u32.to_le_bytes()[..], &3_u32.to_le_bytes()].concat();
        let bad = [&address.to_le_bytes()[..], &len.to_le_bytes()].concat();
        let at = 512;
        rig.memory[at..at + 16].copy_from_slice(&[good, bad].concat());
        let before = rig.everything();
        assert_eq!(rig.get(Call::WasiFdWrite, &[1, at as i64, 2, OUT]), 21);
        rig.host.end_lines();
        assert_eq!(rig.everything(), before, "part of a refused write was printed");
    }
}

/// No call that takes a pointer is without a case above.
#[test]
fn every_call_with_a_pointer_has_a_case() {
    use coracle_guest_abi::GrantKind;
    let without = [
        Call::ConfigVersion,
        Call::TimeNow,
        Call::TimeSetTimer,
        Call::TimeCancel,
        Call::TimeRemaining,
        Call::TimeSleep,
        Call::SensorClose,
        Call::SensorSetRate,
        Call::SensorSetThreshold,
        Call::GpioClose,
        Call::GpioRead,
        Call::GpioWrite,
        Call::GpioWatch,
        Call::I2cClose,
        Call::SpiClose,
        Call::WasiSchedYield,
        Call::WasiProcExit,
        // No descriptor has these.
        Call::WasiFdClose,
        Call::WasiFdSeek,
        Call::WasiFdPrestatGet,
        Call::WasiFdPrestatDirName,
    ];
    let cases = cases();
    for import in IMPORTS.iter().filter(|i| i.grant != Some(GrantKind::Files)) {
        let has = cases.iter().any(|c| c.call == import.call);
        assert!(has != without.contains(&import.call), "{:?}", import.call);
    }
}
