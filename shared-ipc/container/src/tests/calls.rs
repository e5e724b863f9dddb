//! What the calls do when their pointers are right: results, refusals, grants, handles, quotas.

use std::string::ToString;
use std::{format, vec};

use coracle_guest_abi::{
    BlockHeader, EFFECTS_PER_EVENT_MAX, EventRecord, LOG_BYTES_MAX, MESSAGE_BYTES_MAX, NAME_BYTES_MAX, WAKE_BYTES_MAX,
};

use super::*;
use crate::{Payload, request_payload};

const NO_ENTRY: i64 = -2;
const BAD_HANDLE: i64 = -9;
const AGAIN: i64 = -11;
const DENIED: i64 = -13;
const INVALID: i64 = -22;
const NO_SPACE: i64 = -28;
const TOO_LARGE: i64 = -90;

fn payload(bytes: &[u8]) -> Payload {
    bytes.to_vec().into()
}

// ---- log -------------------------------------------------------------------------------------------------------------

#[test]
fn a_line_of_every_level() {
    let mut rig = Rig::new();
    let at = rig.put("line");
    for level in 1..=4 {
        assert_eq!(rig.get(Call::LogWrite, &[level, at, 4]), 0);
    }
    for level in [0, 5, 257, -1] {
        assert_eq!(rig.get(Call::LogWrite, &[level, at, 4]), INVALID);
    }
    let want: Vec<_> = (1..=4).map(|level| (level, "line".to_string())).collect();
    assert_eq!(rig.lines(), want);
}

#[test]
fn long_lines_are_cut_at_a_character_and_broken_ones_refused() {
    let mut rig = Rig::new();
    let lines: [(&[u8], Result<usize, i64>); 9] = [
        (&[b'x'; LOG_BYTES_MAX], Ok(LOG_BYTES_MAX)),
        (&[b'x'; LOG_BYTES_MAX + 1], Ok(LOG_BYTES_MAX)),
        (&["x", &"é".repeat(100)].concat().into_bytes(), Ok(159)),
        (&"\u{1F6F6}".repeat(50).into_bytes(), Ok(LOG_BYTES_MAX)),
        (&["xyz", &"\u{1F6F6}".repeat(50)].concat().into_bytes(), Ok(159)),
        (b"", Ok(0)),
        (b"\xC3", Err(INVALID)),
        (b"ab\xFFcd", Err(INVALID)),
        (&[&[b'x'; LOG_BYTES_MAX][..], b"\xFF"].concat(), Err(INVALID)),
    ];
    for (line, want) in lines {
        rig.next = 16;
        let at = rig.put(line);
        let got = rig.get(Call::LogWrite, &[3, at, line.len() as i64]);
        assert_eq!(got, want.err().unwrap_or(0), "{line:?}");
        assert_eq!(rig.lines().first().map(|(_, l)| l.len()), want.ok(), "{line:?}");
    }
}

#[test]
fn lines_over_the_rate_are_dropped_and_counted() {
    let mut spec = spec();
    spec.limits.logs_per_second = 3;
    let mut rig = Rig::of(spec);
    rig.host.set_now(0);
    let at = rig.put("x");
    let results = |rig: &mut Rig| (0..5).map(|_| rig.get(Call::LogWrite, &[3, at, 1])).collect::<Vec<_>>();
    assert_eq!(results(&mut rig), [0, 0, 0, AGAIN, AGAIN]);
    rig.host.set_now(333_000);
    assert_eq!(rig.get(Call::LogWrite, &[3, at, 1]), AGAIN, "not a third of a second yet");
    rig.host.set_now(334_000);
    assert_eq!(results(&mut rig), [0, AGAIN, AGAIN, AGAIN, AGAIN]);
    rig.host.set_now(100_000_000);
    assert_eq!(results(&mut rig), [0, 0, 0, AGAIN, AGAIN], "a second's worth at once, not more");
    assert_eq!((rig.lines().len(), rig.host.logs_dropped), (7, 9));
}

#[test]
fn a_container_without_log_lines_has_none() {
    let mut spec = spec();
    spec.limits.logs_per_second = 0;
    let mut rig = Rig::of(spec);
    let at = rig.put("x");
    assert_eq!(rig.get(Call::LogWrite, &[3, at, 1]), AGAIN);
    assert_eq!((rig.host.logs_dropped, rig.host.effects.len()), (1, 0));
}

// ---- config ----------------------------------------------------------------------------------------------------------

#[test]
fn configuration_is_read_and_changes() {
    let mut rig = Rig::new();
    assert_eq!(rig.named(Call::ConfigGet, "limit", &[OUT, 8]), 2);
    assert_eq!(rig.at(OUT, 3), [b'1', b'2', FILL]);
    assert_eq!(rig.named(Call::ConfigGet, "limit", &[OUT + 8, 1]), 2);
    assert_eq!(rig.at(OUT + 8, 2), [b'1', FILL]);
    assert_eq!(rig.named(Call::ConfigGet, "limi", &[OUT, 8]), NO_ENTRY);
    assert_eq!(rig.named(Call::ConfigGet, "", &[OUT, 8]), NO_ENTRY);
    assert_eq!(rig.named(Call::ConfigGet, &"k".repeat(NAME_BYTES_MAX + 1), &[OUT, 8]), TOO_LARGE);
    let broken = rig.put(b"\xFF\xFF");
    assert_eq!(rig.get(Call::ConfigGet, &[broken, 2, OUT, 8]), INVALID);

    assert_eq!(rig.get(Call::ConfigVersion, &[]), 0);
    let same: Vec<_> = rig.host.spec.grants.config.to_vec();
    assert_eq!(rig.host.configure(&same), None);
    assert_eq!(rig.get(Call::ConfigVersion, &[]), 0, "nothing changed");
    // One changed, one gone, one new.
    let new = [(name("limit"), "13".to_string()), (name("new"), String::new())];
    let changed = String::from_utf8(rig.host.configure(&new).unwrap()).unwrap();
    let mut keys: Vec<_> = changed.lines().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["limit", "new", "word"]);
    assert_eq!(rig.get(Call::ConfigVersion, &[]), 1);
    assert_eq!(rig.named(Call::ConfigGet, "limit", &[OUT, 8]), 2);
    assert_eq!(rig.at(OUT, 2), b"13");
    assert_eq!(rig.named(Call::ConfigGet, "word", &[OUT, 8]), NO_ENTRY);
    assert_eq!(rig.named(Call::ConfigGet, "new", &[OUT, 8]), 0);
    assert_eq!(rig.host.configure(&[]).as_deref(), Some(&b"limit\nnew\n"[..]));
    rig.host.state.config_version = u32::MAX;
    assert!(rig.host.configure(&new).is_some());
    assert_eq!(rig.get(Call::ConfigVersion, &[]), 0, "it wraps");
}

// ---- events ----------------------------------------------------------------------------------------------------------

#[test]
fn the_event_being_handled() {
    let mut rig = Rig::new();
    assert_eq!(rig.get(Call::EventRead, &[OUT, 8]), AGAIN);
    assert_eq!(rig.get(Call::EventCurrent, &[OUT]), AGAIN);
    rig.host.event = Some(event(EventKind::Message, 1, b"xyz"));
    assert_eq!(rig.get(Call::EventRead, &[OUT, 8]), 3);
    assert_eq!(rig.get(Call::EventCurrent, &[OUT + 8]), 0);
    let record = |rig: &Rig| EventRecord::from_bytes(rig.at(OUT + 8, EventRecord::BYTES)).unwrap();
    let want = EventRecord { kind: 2, source: 1, len: 3, tag: 77, time_us: 1_000_000 };
    assert_eq!(record(&rig), want);
    // Of a request the guest sees the body.
    rig.host.event = Some(event(EventKind::Request, 1, &request_payload("asker", b"body")));
    assert_eq!(rig.get(Call::EventRead, &[OUT, 8]), 4);
    assert_eq!(rig.at(OUT, 4), b"body");
    assert_eq!(rig.get(Call::EventCurrent, &[OUT + 8]), 0);
    assert_eq!(record(&rig), EventRecord { kind: 7, len: 4, ..want });
    // Of a sensor block the length is in samples, and half a sample is none.
    rig.host.event = Some(event(EventKind::Sensor, 1, &[0; BlockHeader::BYTES + 5]));
    assert_eq!(rig.get(Call::EventCurrent, &[OUT + 8]), 0);
    assert_eq!(record(&rig), EventRecord { kind: 1, len: 2, ..want });
}

#[test]
fn events_are_waited_for_in_command_style_alone() {
    for (call, args) in [(Call::EventWait, [0, -1, OUT]), (Call::MsgWait, [-1, OUT, 0])] {
        let mut rig = Rig::new();
        assert_eq!(rig.get(call, &args), INVALID);
        assert!(!rig.host.is_parked());
        rig.host.command = true;
        assert_eq!(rig.call(call, &args), Outcome::Park);
    }
}

// ---- handles ---------------------------------------------------------------------------------------------------------

#[test]
fn handles_are_opened_by_name_and_closed_once() {
    type Names = &'static [(&'static str, i64)];
    let kinds: [(Call, Call, Names, &str); 4] = [
        (Call::SensorOpen, Call::SensorClose, &[("accel0", ACCEL), ("temp", TEMP)], "accel1"),
        (Call::GpioOpen, Call::GpioClose, &[("button", BUTTON), ("led", LED)], "accel0"),
        (Call::I2cOpen, Call::I2cClose, &[("i2c1", BUS)], "adc"),
        (Call::SpiOpen, Call::SpiClose, &[("adc", ADC)], ""),
    ];
    for (open, close, names, foreign) in kinds {
        let mut rig = Rig::new();
        for (text, handle) in names {
            assert_eq!(rig.get(close, &[*handle]), BAD_HANDLE, "not open yet");
            assert_eq!(rig.named(open, text, &[]), *handle);
            assert_eq!(rig.named(open, text, &[]), *handle, "the same again");
            assert_eq!(rig.get(close, &[*handle]), 0);
            assert_eq!(rig.get(close, &[*handle]), BAD_HANDLE, "closed twice");
        }
        assert_eq!(rig.host.state.handles, 0);
        assert_eq!(rig.named(open, foreign, &[]), DENIED);
        assert_eq!(rig.named(open, &"k".repeat(NAME_BYTES_MAX + 1), &[]), TOO_LARGE);
        assert_eq!((rig.host.state.handles, rig.host.refused_calls), (0, 1));
    }
}

#[test]
fn a_handle_of_another_kind_or_none_is_refused() {
    let uses: [(Call, i64, &[i64]); 11] = [
        (Call::SensorClose, ACCEL, &[]),
        (Call::SensorInfo, ACCEL, &[OUT]),
        (Call::SensorReadBlock, ACCEL, &[OUT, OUT, 4]),
        (Call::SensorSetRate, ACCEL, &[10]),
        (Call::SensorSetThreshold, ACCEL, &[0, 0]),
        (Call::GpioClose, LED, &[]),
        (Call::GpioRead, LED, &[]),
        (Call::GpioWrite, LED, &[1]),
        (Call::GpioWatch, BUTTON, &[1, 0]),
        (Call::I2cWriteRead, BUS, &[0x48, OUT, 0, OUT, 0]),
        (Call::SpiTransfer, ADC, &[OUT, 0, OUT, 0]),
    ];
    for (call, right, rest) in uses {
        // Every other handle is open, also those that nobody granted.
        let others = (0..32).filter(|h| h / 8 != right / 8).chain([right]);
        let nonsense = [-1, -8, 32, 33, 32 + right, 256 + right, i64::from(i32::MIN), i64::from(i32::MAX)];
        for handle in others.chain(nonsense) {
            let mut rig = Rig::new();
            rig.host.state.handles = !(1_u32 << right);
            let before = rig.everything();
            assert_eq!(rig.get(call, &[&[handle], rest].concat()), BAD_HANDLE, "{call:?} {handle}");
            assert_eq!(rig.everything(), before);
        }
    }
}

/// Handles of a snapshot whose grants are gone, as after a deployment with fewer.
#[test]
fn an_open_handle_without_its_grant_does_nothing() {
    let mut spec = spec();
    let config = spec.grants.config.clone();
    spec.grants = Grants { config, ..Grants::default() };
    let mut rig = Rig::of(spec);
    rig.host.state.handles = u32::MAX;
    let uses: [(Call, &[i64]); 5] = [
        (Call::SensorInfo, &[ACCEL, OUT]),
        (Call::GpioRead, &[LED]),
        (Call::GpioWrite, &[LED, 1]),
        (Call::I2cWriteRead, &[BUS, 0x48, OUT, 0, OUT, 0]),
        (Call::SpiTransfer, &[ADC, OUT, 0, OUT, 0]),
    ];
    for (call, args) in uses {
        assert_eq!(rig.get(call, args), BAD_HANDLE, "{call:?}");
    }
}

#[test]
fn only_so_many_handles_are_open_at_once() {
    let mut spec = spec();
    spec.limits.handles = 2;
    let mut rig = Rig::of(spec);
    assert_eq!(rig.named(Call::SensorOpen, "accel0", &[]), ACCEL);
    assert_eq!(rig.named(Call::GpioOpen, "led", &[]), LED);
    assert_eq!(rig.named(Call::I2cOpen, "i2c1", &[]), NO_SPACE);
    assert_eq!(rig.named(Call::GpioOpen, "led", &[]), LED, "that one is open");
    assert_eq!(rig.get(Call::GpioClose, &[LED]), 0);
    assert_eq!(rig.named(Call::I2cOpen, "i2c1", &[]), BUS);
    assert_eq!(rig.host.refused_calls, 0, "a limit is no grant");
}

// ---- sensors ---------------------------------------------------------------------------------------------------------

#[test]
fn a_block_needs_its_handle_and_its_event() {
    let mut rig = Rig::new();
    let header = BlockHeader { timestamp_us: 9, sequence: 1, rate_hz: 100, dropped: 0, count: 3 };
    let block = [&header.to_bytes()[..], &[1, 0, 255, 255, 7, 0]].concat();
    rig.host.event = Some(event(EventKind::Sensor, TEMP as u8, &block));
    let read = [TEMP, OUT, OUT + 64, 100];
    assert_eq!(rig.get(Call::SensorReadBlock, &read), BAD_HANDLE);
    assert_eq!(rig.named(Call::SensorOpen, "temp", &[]), TEMP);
    assert_eq!(rig.get(Call::SensorReadBlock, &read), 3);
    assert_eq!(BlockHeader::from_bytes(rig.at(OUT, BlockHeader::BYTES)), Some(header));
    assert_eq!(rig.at(OUT + 64, 7), [1, 0, 255, 255, 7, 0, FILL]);
    // Fewer than there are.
    assert_eq!(rig.get(Call::SensorReadBlock, &[TEMP, OUT, OUT + 128, 1]), 1);
    assert_eq!(rig.at(OUT + 128, 3), [1, 0, FILL]);
    assert_eq!(rig.get(Call::SensorReadBlock, &[TEMP, OUT, OUT + 192, 0]), 0);
    assert_eq!(rig.at(OUT + 192, 1), [FILL]);
    // Of another sensor, and no block at all.
    assert_eq!(rig.named(Call::SensorOpen, "accel0", &[]), ACCEL);
    assert_eq!(rig.get(Call::SensorReadBlock, &[ACCEL, OUT, OUT + 64, 100]), AGAIN);
    rig.host.event = Some(event(EventKind::Message, TEMP as u8, &block));
    assert_eq!(rig.get(Call::SensorReadBlock, &read), AGAIN);
    rig.host.event = None;
    assert_eq!(rig.get(Call::SensorReadBlock, &read), AGAIN);
    // A block that is none: the supervisor's mistake is not the guest's end.
    rig.host.event = Some(event(EventKind::Sensor, TEMP as u8, &[0; 23]));
    assert_eq!(rig.get(Call::SensorReadBlock, &read), INVALID);
}

#[test]
fn rates_are_at_most_the_granted_ones() {
    let mut rig = Rig::open();
    let rates = [(ACCEL, 50, 50), (ACCEL, 100, 100), (ACCEL, 101, 100), (TEMP, 101, 101)];
    for (handle, asked, want) in rates {
        assert_eq!(rig.get(Call::SensorSetRate, &[handle, asked]), want);
        assert_eq!(i64::from(rig.host.state.sensors[handle as usize].rate_hz), want);
    }
    assert_eq!(rig.get(Call::SensorSetRate, &[TEMP, i64::from(i32::MAX)]), i64::from(i32::MAX));
    for bad in [0, -1, i64::from(i32::MIN)] {
        assert_eq!(rig.get(Call::SensorSetRate, &[ACCEL, bad]), INVALID);
    }
    assert_eq!(rig.host.state.sensors[0].rate_hz, 100);
}

#[test]
fn thresholds_and_closing_are_state() {
    let mut rig = Rig::open();
    assert_eq!(rig.get(Call::SensorSetThreshold, &[TEMP, -5, 7]), 0);
    assert_eq!(rig.host.state.sensors[1].threshold, Some((-5, 7)));
    assert_eq!(rig.get(Call::SensorSetThreshold, &[TEMP, i64::from(i32::MAX), i64::from(i32::MIN)]), 0);
    assert_eq!(rig.host.state.sensors[1].threshold, Some((i32::MAX, i32::MIN)));
    assert!(!rig.host.state.sensors[1].off);
    assert_eq!(rig.get(Call::SensorClose, &[TEMP]), 0);
    assert!(rig.host.state.sensors[1].off && !rig.host.state.sensors[0].off);
    assert_eq!(rig.named(Call::SensorOpen, "temp", &[]), TEMP);
    assert!(!rig.host.state.sensors[1].off);
}

// ---- messages and wakes ----------------------------------------------------------------------------------------------

#[test]
fn messages_leave_on_granted_topics() {
    let mut rig = Rig::new();
    assert_eq!(rig.paid(Call::MsgPublish, "a/b", b"xyz", &[]), 0);
    assert_eq!(rig.paid(Call::MsgPublishRetained, "a/b", b"", &[]), 0);
    let publish = |bytes, retain| OwnedEffect::Publish { topic: name("a/b"), payload: payload(bytes), retain };
    assert_eq!(rig.host.effects, [publish(b"xyz", false), publish(b"", true)]);
    // What it subscribes is not what it may publish.
    for foreign in ["in", "a/", "a/bc", ""] {
        assert_eq!(rig.paid(Call::MsgPublish, foreign, b"x", &[]), DENIED);
        assert_eq!(rig.paid(Call::MsgRequest, foreign, b"x", &[9]), DENIED);
    }
    assert_eq!((rig.host.refused_calls, rig.host.state.last_request), (8, 0));
}

#[test]
fn payloads_have_a_limit() {
    let mut spec = spec();
    spec.limits.payload = 5;
    let mut rig = Rig::of(spec);
    rig.host.event = Some(event(EventKind::Request, 0, &request_payload("x", b"")));
    for (len, want) in [(5, true), (6, false)] {
        let result = |ok: i64| if want { ok } else { TOO_LARGE };
        let bytes = vec![1; len];
        assert_eq!(rig.paid(Call::MsgPublish, "a/b", &bytes, &[]), result(0));
        assert_eq!(rig.paid(Call::MsgPublishRetained, "a/b", &bytes, &[]), result(0));
        assert_eq!(rig.paid(Call::MsgRequest, "a/b", &bytes, &[9]), result(1));
        let at = rig.put(&bytes);
        assert_eq!(rig.get(Call::MsgReply, &[at, len as i64]), result(0));
    }
    let mut rig = Rig::new();
    assert_eq!(rig.paid(Call::MsgPublish, "a/b", &[1; MESSAGE_BYTES_MAX], &[]), 0);
    assert_eq!(rig.paid(Call::MsgPublish, "a/b", &[1; MESSAGE_BYTES_MAX + 1], &[]), TOO_LARGE);
}

#[test]
fn an_event_causes_so_much_and_no_more() {
    let mut rig = Rig::new();
    for _ in 0..EFFECTS_PER_EVENT_MAX {
        rig.next = 16;
        assert_eq!(rig.paid(Call::MsgPublish, "a/b", b"x", &[]), 0);
    }
    rig.next = 16;
    let before = format!("{:?}", rig.host.state);
    assert_eq!(rig.paid(Call::MsgPublish, "a/b", b"x", &[]), AGAIN);
    assert_eq!(rig.paid(Call::MsgRequest, "a/b", b"x", &[9]), AGAIN);
    assert_eq!(rig.paid(Call::WakeRequest, "bearing", b"x", &[]), AGAIN);
    rig.host.state.unsubscribed = 1;
    assert_eq!(rig.named(Call::MsgSubscribe, "in", &[]), AGAIN);
    assert_eq!(rig.host.state.unsubscribed, 1, "half subscribed");
    rig.host.state.unsubscribed = 0;
    let at = rig.put("x");
    assert_eq!(rig.get(Call::LogWrite, &[3, at, 1]), AGAIN);
    assert_eq!((format!("{:?}", rig.host.state), rig.host.logs_dropped), (before, 1));
    // The next event has room again.
    rig.host.effects.clear();
    assert_eq!(rig.paid(Call::MsgPublish, "a/b", b"x", &[]), 0);
}

#[test]
fn wakes_carry_more_but_not_twice() {
    let mut rig = Rig::new();
    rig.memory = vec![7; 3 * WAKE_BYTES_MAX];
    let len = WAKE_BYTES_MAX as i64;
    let at = rig.put("bearing");
    assert_eq!(rig.get(Call::WakeRequest, &[at, 7, 0, len + 1]), TOO_LARGE);
    assert_eq!(rig.get(Call::WakeRequest, &[at, 7, 0, len]), 0);
    assert_eq!(rig.get(Call::WakeRequest, &[at, 7, 0, len]), AGAIN, "two full ones do not fit an event");
    assert_eq!(rig.named(Call::WakeRequest, "bearin", &[0, 1]), DENIED);
    assert!(matches!(&rig.host.effects[0], OwnedEffect::Wake { reason, payload }
        if reason == "bearing" && payload.len() == WAKE_BYTES_MAX));
}

#[test]
fn topics_are_subscribed_until_they_are_not() {
    let mut rig = Rig::new();
    assert!(rig.host.is_subscribed(0) && rig.host.is_subscribed(1));
    for beyond in [2, 7, 8, 9, usize::MAX] {
        assert!(!rig.host.is_subscribed(beyond));
    }
    assert_eq!(rig.named(Call::MsgUnsubscribe, "other", &[]), 0);
    assert!(rig.host.is_subscribed(0) && !rig.host.is_subscribed(1));
    assert_eq!(rig.named(Call::MsgUnsubscribe, "other", &[]), 0, "twice is once");
    assert_eq!(rig.named(Call::MsgSubscribe, "other", &[]), 1);
    assert!(rig.host.is_subscribed(1));
    assert_eq!(rig.named(Call::MsgSubscribe, "other", &[]), 1, "asks for the retained value again");
    let subscribed = OwnedEffect::Subscribed { topic: 1 };
    assert_eq!(rig.host.effects, [subscribed.clone(), subscribed]);
    assert_eq!(rig.named(Call::MsgSubscribe, "a/b", &[]), DENIED);
    assert_eq!(rig.named(Call::MsgUnsubscribe, "a/b", &[]), DENIED);
}

#[test]
fn subscriptions_have_a_limit() {
    let mut spec = spec();
    spec.limits.subscriptions = 1;
    let mut rig = Rig::of(spec.clone());
    assert!(rig.host.is_subscribed(0) && !rig.host.is_subscribed(1));
    assert_eq!(rig.named(Call::MsgSubscribe, "other", &[]), NO_SPACE);
    assert_eq!(rig.named(Call::MsgUnsubscribe, "in", &[]), 0);
    assert_eq!(rig.named(Call::MsgSubscribe, "other", &[]), 1);
    assert_eq!(rig.named(Call::MsgSubscribe, "in", &[]), NO_SPACE);
    assert!(!rig.host.is_subscribed(0) && rig.host.is_subscribed(1));
    // It stays chosen when the container moves.
    let state = HostState { initialised: true, ..rig.host.state };
    let moved: Host<(), ()> = Host::new(Arc::new(spec.clone()), state, Kv::default(), ());
    assert!(!moved.is_subscribed(0) && moved.is_subscribed(1));
    spec.limits.subscriptions = 0;
    let mut rig = Rig::of(spec.clone());
    assert!(!rig.host.is_subscribed(0));
    assert_eq!(rig.named(Call::MsgSubscribe, "in", &[]), NO_SPACE);
    spec.limits.subscriptions = u8::MAX;
    assert!(Rig::of(spec).host.is_subscribed(1));
}

#[test]
fn requests_are_numbered_and_answered_once() {
    let mut rig = Rig::new();
    for id in 1..=4 {
        assert_eq!(rig.paid(Call::MsgRequest, "a/b", b"q", &[1000]), id);
    }
    assert_eq!(rig.paid(Call::MsgRequest, "a/b", b"q", &[1000]), NO_SPACE);
    assert!(matches!(&rig.host.effects[..], [OwnedEffect::Request { topic, id: 1, payload }, ..]
        if topic == "a/b" && ***payload == *b"q"));
    assert_eq!(rig.host.effects.len(), 4, "the refused one left nothing");
    assert!(rig.host.answered(2));
    assert!(!rig.host.answered(2), "the first answer alone counts");
    assert!(!rig.host.answered(99) && !rig.host.answered(0));
    assert_eq!(rig.paid(Call::MsgRequest, "a/b", b"q", &[1000]), 5, "a number is not used twice");
    // The highest number that is a positive i32, then from 0 again.
    rig.host.state.requests = Default::default();
    rig.host.state.last_request = i32::MAX.cast_unsigned() - 1;
    rig.host.effects.clear();
    assert_eq!(rig.paid(Call::MsgRequest, "a/b", b"q", &[1000]), i64::from(i32::MAX));
    assert_eq!(rig.paid(Call::MsgRequest, "a/b", b"q", &[1000]), 0);
    rig.host.state.last_request = u32::MAX;
    assert!(rig.paid(Call::MsgRequest, "a/b", b"q", &[1000]) >= 0, "a number of a hostile snapshot");
}

#[test]
fn replies_go_to_who_asked() {
    let mut rig = Rig::new();
    let at = rig.put("answer");
    assert_eq!(rig.get(Call::MsgReply, &[at, 6]), AGAIN, "nothing is being handled");
    rig.host.event = Some(event(EventKind::Message, 0, &request_payload("asker", b"")));
    assert_eq!(rig.get(Call::MsgReply, &[at, 6]), AGAIN, "a message is no request");
    rig.host.event = Some(event(EventKind::Request, 0, &request_payload("asker", b"body")));
    assert_eq!(rig.get(Call::MsgReply, &[at, 6]), 0);
    let reply = OwnedEffect::Reply { to: name("asker"), id: 77, payload: payload(b"answer") };
    assert_eq!(rig.host.effects, [reply]);
    // Requests that no supervisor of ours makes.
    for bad in [&b""[..], &[9, b'x'], &[2, 0xFF, 0xFF], &[32; 40]] {
        rig.host.event = Some(event(EventKind::Request, 0, bad));
        assert_eq!(rig.get(Call::MsgReply, &[at, 6]), INVALID, "{bad:?}");
    }
}

#[test]
fn a_request_carries_its_way_back() {
    let bytes = request_payload("tracker", b"body");
    assert_eq!(crate::request_parts(&bytes), Some(("tracker", &b"body"[..])));
    assert_eq!(crate::request_parts(&request_payload("", b"")), Some(("", &b""[..])));
    assert_eq!(crate::request_parts(b""), None);
}

// ---- store -----------------------------------------------------------------------------------------------------------

#[test]
fn the_store_keeps_to_its_quota() {
    let mut rig = Rig::new();
    assert_eq!(rig.paid(Call::KvSet, "k", b"value", &[]), 0);
    assert_eq!(rig.named(Call::KvGet, "k", &[OUT, 99]), 5);
    assert_eq!(rig.at(OUT, 6), [b'v', b'a', b'l', b'u', b'e', FILL]);
    assert_eq!(rig.named(Call::KvGet, "k", &[OUT + 16, 2]), 5);
    assert_eq!(rig.at(OUT + 16, 3), [b'v', b'a', FILL]);
    assert_eq!(rig.named(Call::KvGet, "j", &[OUT, 99]), NO_ENTRY);
    // 64 bytes: three for the lengths, one for the key.
    assert_eq!(rig.paid(Call::KvSet, "k", &[1; 60], &[]), 0);
    assert_eq!(rig.paid(Call::KvSet, "k", &[1; 61], &[]), NO_SPACE);
    assert_eq!(rig.paid(Call::KvSet, "j", b"", &[]), NO_SPACE);
    assert_eq!(rig.named(Call::KvGet, "k", &[OUT, 99]), 60, "the old value stays");
    assert_eq!(rig.named(Call::KvDelete, "k", &[]), 0);
    assert_eq!(rig.named(Call::KvDelete, "k", &[]), NO_ENTRY);
    assert_eq!(rig.paid(Call::KvSet, "", b"x", &[]), INVALID);
    assert_eq!(rig.paid(Call::KvSet, &"k".repeat(NAME_BYTES_MAX + 1), b"x", &[]), TOO_LARGE);
    assert_eq!(rig.paid(Call::KvSet, &"k".repeat(NAME_BYTES_MAX), b"", &[]), 0);
    assert_eq!(rig.named(Call::KvDelete, "", &[]), NO_ENTRY);
    let long = [0_i64, 4097];
    rig.memory.resize(8192, 0);
    assert_eq!(rig.named(Call::KvSet, "x", &long), TOO_LARGE);
    assert_eq!(rig.host.refused_calls, 0);
}

#[test]
fn keys_are_listed_in_order() {
    let mut rig = Rig::new();
    for key in ["b", "aa", "é", "a"] {
        assert_eq!(rig.paid(Call::KvSet, key, b"", &[]), 0);
    }
    let mut seen = Vec::new();
    let mut key = String::new();
    loop {
        match rig.named(Call::KvNext, &key, &[OUT, 31]) {
            NO_ENTRY => break,
            len => key = String::from_utf8(rig.at(OUT, len as usize).to_vec()).unwrap(),
        }
        seen.push(key.clone());
    }
    assert_eq!(seen, ["a", "aa", "b", "é"]);
}

// ---- refusals --------------------------------------------------------------------------------------------------------

#[test]
fn refusals_are_counted_and_told_once_a_call() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        assert_eq!(rig.paid(Call::MsgPublish, "secret", b"x", &[]), DENIED);
        assert_eq!(rig.named(Call::GpioOpen, "door", &[]), DENIED);
    }
    assert_eq!(rig.host.refused_calls, 6);
    let refused = |call, what: &str| OwnedEffect::Refused { call, what: what.into() };
    assert_eq!(rig.host.effects, [refused(Call::MsgPublish, "secret"), refused(Call::GpioOpen, "door")]);
    // They do not take the place of what the guest may do.
    for _ in 0..EFFECTS_PER_EVENT_MAX {
        rig.next = 16;
        assert_eq!(rig.paid(Call::MsgPublish, "a/b", b"x", &[]), 0);
    }
    assert_eq!(rig.named(Call::SpiOpen, "flash", &[]), DENIED);
    assert_eq!(rig.host.effects.len(), EFFECTS_PER_EVENT_MAX + 3);
    // And when the container ends they stay, with its lines.
    rig.host.abandon();
    assert_eq!(rig.host.effects.len(), 3);
}

#[test]
fn an_abandoned_event_leaves_its_lines_only() {
    let mut rig = Rig::new();
    rig.host.event = Some(event(EventKind::Message, 0, b""));
    let at = rig.put("line");
    assert_eq!(rig.get(Call::LogWrite, &[1, at, 4]), 0);
    assert_eq!(rig.paid(Call::MsgPublish, "a/b", b"x", &[]), 0);
    rig.host.print(0, b"half");
    rig.host.abandon();
    assert_eq!((rig.host.effects.len(), rig.host.state.handled, &rig.host.event), (2, 0, &None));
    assert_eq!(rig.lines(), [(1, "line".to_string()), (3, "half".to_string())]);
}

// ---- specification ---------------------------------------------------------------------------------------------------

#[test]
fn a_specification_over_a_limit_is_named() {
    assert_eq!(spec().over_limit(), None);
    type Change = fn(&mut ContainerSpec);
    let changes: [(&str, Change); 15] = [
        ("queue", |s| s.limits.queue = 0),
        ("queue", |s| s.limits.queue = 65),
        ("memory", |s| s.limits.memory = 16 * 1024 * 1024 + 1),
        ("table", |s| s.limits.table = 4097),
        ("stack", |s| s.limits.stack = 511),
        ("stack", |s| s.limits.stack = 32 * 1024 + 1),
        ("timers", |s| s.limits.timers = 9),
        ("subscriptions", |s| s.limits.subscriptions = 9),
        ("handles", |s| s.limits.handles = 33),
        ("logs_per_second", |s| s.limits.logs_per_second = 1001),
        ("payload", |s| s.limits.payload = 193),
        ("kv", |s| s.grants.kv = 4097),
        ("config", |s| s.grants.config = [(name("k"), "x".repeat(64))].into_iter().collect()),
        ("argument", |s| s.grants.args = ["x".repeat(64)].into_iter().collect()),
        ("I2C", |s| {
            let addresses = [0x48, 0x80].into_iter().collect();
            s.grants.i2c = [I2cGrant { bus: name("i2c1"), addresses, exclusive: false }].into_iter().collect();
        }),
    ];
    for (word, change) in changes {
        let mut spec = spec();
        change(&mut spec);
        assert!(spec.over_limit().is_some_and(|text| text.contains(word)), "{word}: {:?}", spec.over_limit());
    }
    let mut spec = spec();
    spec.limits = Limits {
        memory: 16 * 1024 * 1024,
        table: 4096,
        stack: 32 * 1024,
        queue: 64,
        timers: 8,
        subscriptions: 8,
        handles: 32,
        logs_per_second: 1000,
        payload: 192,
        ..spec.limits
    };
    spec.grants.kv = 4096;
    spec.grants.args = ["x".repeat(63)].into_iter().collect();
    assert_eq!(spec.over_limit(), None);
}

/// What is not granted is not linked, whatever else is.
#[test]
fn imports_are_linked_by_their_grant() {
    use coracle_guest_abi::GrantKind;
    let all = spec().grants;
    let kinds = [
        GrantKind::Sensors,
        GrantKind::Pins,
        GrantKind::I2c,
        GrantKind::Spi,
        GrantKind::Publish,
        GrantKind::Subscribe,
        GrantKind::Wake,
        GrantKind::Kv,
    ];
    for kind in kinds {
        assert!(all.links(kind) && !Grants::default().links(kind), "{kind:?}");
        let without = match kind {
            GrantKind::Sensors => Grants { sensors: Default::default(), ..all.clone() },
            GrantKind::Pins => Grants { pins: Default::default(), ..all.clone() },
            GrantKind::I2c => Grants { i2c: Default::default(), ..all.clone() },
            GrantKind::Spi => Grants { spi: Default::default(), ..all.clone() },
            GrantKind::Publish => Grants { publish: Default::default(), ..all.clone() },
            GrantKind::Subscribe => Grants { subscribe: Default::default(), ..all.clone() },
            GrantKind::Wake => Grants { wake: Default::default(), ..all.clone() },
            _ => Grants { kv: 0, ..all.clone() },
        };
        assert!(!without.links(kind), "{kind:?}");
    }
    assert!(!all.links(GrantKind::Files));
}
