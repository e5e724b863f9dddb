//! Calls that park: what they wait for, and how they go on.

use coracle_guest_abi::{EventRecord, SensorInfo};

use super::*;
use crate::{DeviceAnswer, Waiting};

const TIMED_OUT: i64 = -110;

fn message() -> OwnedEvent {
    event(EventKind::Message, 1, b"xyz")
}

/// A command that runs since 0 on the core's clock.
fn command() -> Rig {
    let mut rig = Rig::open();
    rig.host.command = true;
    rig.host.set_now(0);
    rig
}

fn resume(rig: &mut Rig) -> Option<i64> {
    rig.host.resume(&mut rig.memory)
}

#[test]
fn an_event_ends_the_wait_for_it() {
    let mut rig = command();
    rig.host.event = Some(event(EventKind::Wake, 0, b"before"));
    assert_eq!(rig.call(Call::EventWait, &[0, -1, OUT]), Outcome::Park);
    assert_eq!(rig.host.waiting(), Some(Waiting::Event { kinds: u32::MAX }));
    assert_eq!((rig.host.deadline_us(), resume(&mut rig)), (None, None));
    assert!(!rig.host.is_new_turn());
    rig.host.set_now(u64::MAX / 2);
    rig.host.poll();
    assert_eq!(resume(&mut rig), None, "it waits for ever");
    assert_eq!(rig.host.state.handled, 0);
    rig.host.deliver(message()).unwrap();
    assert_eq!(rig.host.state.handled, 1, "the one before is handled when the next comes");
    assert!(rig.host.is_new_turn() && rig.host.is_parked());
    assert_eq!((rig.host.waiting(), rig.host.deadline_us()), (None, None));
    assert_eq!(rig.host.deliver(message()), Err(message()), "one at a time");
    assert_eq!(resume(&mut rig), Some(0));
    assert_eq!(EventRecord::from_bytes(rig.at(OUT, EventRecord::BYTES)), Some(message().record()));
    assert!(!rig.host.is_parked());
    assert_eq!((resume(&mut rig), rig.host.event.clone()), (None, Some(message())));
}

#[test]
fn only_the_kinds_that_are_waited_for_come() {
    for wanted in EventKind::ALL {
        for kind in EventKind::ALL {
            let mut rig = command();
            assert_eq!(rig.call(Call::EventWait, &[i64::from(wanted.bit()), -1, OUT]), Outcome::Park);
            let came = event(kind, 0, b"");
            assert_eq!(rig.host.deliver(came.clone()).is_ok(), kind == wanted);
            assert_eq!(rig.host.event.is_some(), kind == wanted);
        }
    }
    for kind in EventKind::ALL {
        let mut rig = command();
        assert_eq!(rig.call(Call::MsgWait, &[-1, OUT]), Outcome::Park);
        let message = matches!(kind, EventKind::Message | EventKind::Request | EventKind::Reply);
        assert_eq!(rig.host.deliver(event(kind, 0, b"")).is_ok(), message);
    }
}

#[test]
fn a_wait_ends_with_its_time() {
    for (call, args) in [(Call::EventWait, [0, 500, OUT]), (Call::MsgWait, [500, OUT, 0])] {
        let mut rig = command();
        rig.host.event = Some(message());
        assert_eq!(rig.call(call, &args), Outcome::Park);
        assert_eq!(rig.host.deadline_us(), Some(500));
        let before = rig.everything();
        rig.host.set_now(499);
        rig.host.poll();
        assert_eq!(resume(&mut rig), None);
        rig.host.set_now(500);
        rig.host.poll();
        assert!(rig.host.is_new_turn());
        assert_eq!(resume(&mut rig), Some(TIMED_OUT));
        rig.host.state.clock_us = 0;
        assert_eq!(rig.everything().replace(" false ", " true "), before, "nothing was written");
    }
    // At once, and later than ever.
    let mut rig = command();
    assert_eq!(rig.call(Call::EventWait, &[0, 0, OUT]), Outcome::Park);
    rig.host.poll();
    assert_eq!(resume(&mut rig), Some(TIMED_OUT));
    rig.host.state.clock_us = u64::MAX - 1;
    assert_eq!(rig.call(Call::EventWait, &[0, i64::MAX, OUT]), Outcome::Park);
    let _ = rig.host.deadline_us();
}

#[test]
fn an_event_that_is_there_comes_before_the_end_of_the_time() {
    let mut rig = command();
    assert_eq!(rig.call(Call::EventWait, &[0, 500, OUT]), Outcome::Park);
    rig.host.set_now(700);
    rig.host.deliver(message()).unwrap();
    rig.host.poll();
    assert_eq!(resume(&mut rig), Some(0));
}

#[test]
fn sleep_is_for_its_time_alone() {
    let mut rig = command();
    assert_eq!(rig.get(Call::TimeSleep, &[0]), 0, "without parking");
    assert_eq!(rig.call(Call::TimeSleep, &[300]), Outcome::Park);
    assert_eq!((rig.host.waiting(), rig.host.deadline_us()), (Some(Waiting::Time), Some(300)));
    assert!(rig.host.deliver(message()).is_err());
    rig.host.notice();
    rig.host.answer(Ok(DeviceAnswer::Done));
    assert_eq!(resume(&mut rig), None);
    rig.host.set_now(300);
    rig.host.poll();
    assert_eq!(resume(&mut rig), Some(0));
    assert_eq!(rig.call(Call::TimeSleep, &[-1]), Outcome::Park);
    rig.host.set_now(1 << 60);
    rig.host.poll();
    assert_eq!(resume(&mut rig), None, "the longest sleep");
}

#[test]
fn a_container_that_does_not_wait_takes_nothing() {
    let mut rig = command();
    assert_eq!(rig.host.waiting(), None);
    assert_eq!(rig.host.deliver(message()), Err(message()));
    rig.host.notice();
    rig.host.answer(Ok(DeviceAnswer::Level(true)));
    rig.host.poll();
    assert!(!rig.host.is_parked() && !rig.host.is_new_turn());
    assert_eq!(resume(&mut rig), None);
}

#[test]
fn nothing_but_its_device_ends_the_wait_for_one() {
    let mut rig = command();
    assert_eq!(rig.call(Call::GpioRead, &[BUTTON]), Outcome::Park);
    assert!(matches!(rig.host.waiting(), Some(Waiting::Device(_))));
    assert_eq!(rig.host.deadline_us(), None);
    assert_eq!(rig.host.deliver(message()), Err(message()));
    rig.host.notice();
    rig.host.set_now(1 << 60);
    rig.host.poll();
    assert_eq!(resume(&mut rig), None);
    rig.host.answer(Ok(DeviceAnswer::Level(true)));
    assert!(!rig.host.is_new_turn(), "a device is part of the event");
    rig.host.answer(Ok(DeviceAnswer::Level(false)));
    assert_eq!(resume(&mut rig), Some(1), "the first answer counts");
}

#[test]
fn an_answer_for_another_wait_is_nothing() {
    let mut rig = command();
    assert_eq!(rig.call(Call::EventWait, &[0, -1, OUT]), Outcome::Park);
    rig.host.answer(Ok(DeviceAnswer::Info(SensorInfo::default())));
    rig.host.notice();
    assert_eq!(resume(&mut rig), None);
    rig.host.abandon();
    assert!(!rig.host.is_parked());
    rig.host.answer(Ok(DeviceAnswer::Done));
    assert_eq!((rig.host.deliver(message()), resume(&mut rig)), (Err(message()), None));
}

/// Timers and requests go on while a call waits, and the earliest of all is when the supervisor has to look.
#[test]
fn the_deadline_is_the_earliest_of_all() {
    let mut rig = command();
    assert_eq!(rig.get(Call::TimeSetTimer, &[400, 0, 0]), 0);
    assert_eq!(rig.paid(Call::MsgRequest, "a/b", b"q", &[600]), 1);
    assert_eq!(rig.call(Call::EventWait, &[0, 500, OUT]), Outcome::Park);
    assert_eq!(rig.host.deadline_us(), Some(400));
    rig.host.set_now(400);
    let timer = rig.host.due().unwrap();
    assert_eq!(rig.host.deadline_us(), Some(500));
    rig.host.deliver(timer).unwrap();
    assert_eq!(rig.host.deadline_us(), Some(600));
    assert_eq!(resume(&mut rig), Some(0));
}

#[test]
fn lines_end_when_a_turn_does_but_not_at_a_device() {
    let mut rig = command();
    rig.host.print(0, b"temperature ");
    assert_eq!(rig.call(Call::GpioRead, &[BUTTON]), Outcome::Park);
    assert_eq!(rig.lines(), []);
    rig.host.answer(Ok(DeviceAnswer::Level(true)));
    assert_eq!(resume(&mut rig), Some(1));
    rig.host.print(0, b"is 1\nnext");
    assert_eq!(rig.lines(), [(3, String::from("temperature is 1"))]);
    assert_eq!(rig.call(Call::TimeSleep, &[5]), Outcome::Park);
    assert_eq!(rig.lines(), [(3, String::from("next"))]);
    rig.host.print(1, b"bad");
    rig.host.event_done();
    assert_eq!(rig.lines(), [(2, String::from("bad"))]);
}
