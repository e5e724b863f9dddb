//! The container's clock, its timers, and the end of its requests.

use coracle_guest_abi::TIMERS_MAX;

use super::*;

const BAD_HANDLE: i64 = -9;
const NO_SPACE: i64 = -28;

fn now(rig: &mut Rig) -> i64 {
    rig.get(Call::TimeNow, &[])
}

/// Kind, source, tag and time of what is due.
fn due(rig: &mut Rig) -> Vec<(EventKind, u8, u32, u64)> {
    core::iter::from_fn(|| rig.host.due()).map(|e| (e.kind, e.source, e.tag, e.time_us)).take(100).collect()
}

#[test]
fn the_clock_starts_at_zero_and_never_goes_back() {
    let mut rig = Rig::new();
    assert_eq!(now(&mut rig), 0);
    rig.host.set_now(5_000_000);
    assert_eq!(now(&mut rig), 0, "it begins with the container, not with the core");
    rig.host.set_now(5_000_700);
    assert_eq!(now(&mut rig), 700);
    rig.host.set_now(5_000_600);
    assert_eq!(now(&mut rig), 700, "a core's clock that steps back");
    rig.host.set_now(3);
    assert_eq!(now(&mut rig), 700);
    rig.host.set_now(5_000_701);
    assert_eq!(now(&mut rig), 701);
    rig.host.set_now(u64::MAX);
    assert!(now(&mut rig) > 701);
    rig.host.set_now(0);
    assert!(now(&mut rig) > 701);
}

/// A new host is another core, or the same one after a restart: its clock has nothing to do with the old one.
#[test]
fn the_clock_goes_on_where_it_stood() {
    let mut rig = Rig::new();
    rig.host.set_now(1_000_000);
    rig.host.set_now(1_000_900);
    for core_us in [0, 40, 7_000_000, u64::MAX / 4] {
        let state = HostState { initialised: true, ..rig.host.state };
        let before = state.clock_us;
        rig.host = Host::new(Arc::new(spec()), state, Kv::default(), ());
        assert_eq!(now(&mut rig).cast_unsigned(), before, "it stands still until it runs");
        rig.host.set_now(core_us);
        assert_eq!(now(&mut rig).cast_unsigned(), before);
        rig.host.set_now(core_us + 100);
        assert_eq!(now(&mut rig).cast_unsigned(), before + 100);
    }
}

#[test]
fn what_survives_a_new_start_is_the_clock_and_the_counters() {
    let mut rig = Rig::open();
    rig.host.set_now(0);
    rig.host.set_now(500);
    rig.host.state =
        HostState { handled: 3, cursor: 4, last_request: 5, random: 6, config_version: 7, ..rig.host.state };
    assert_eq!(rig.get(Call::TimeSetTimer, &[1, 1, 1]), 0);
    let kept = rig.host.surviving_state();
    let want = HostState {
        handled: 3,
        cursor: 4,
        clock_us: 500,
        last_request: 5,
        random: 6,
        config_version: 7,
        ..HostState::default()
    };
    assert_eq!(kept, want);
}

#[test]
fn wall_time_is_known_where_the_core_knows_it() {
    let mut rig = Rig::new();
    rig.host.set_now(1000);
    rig.host.set_now(1500);
    assert_eq!(rig.host.wall_us(), None);
    rig.host.wall_offset_us = Some(1_700_000_000_000_000);
    assert_eq!(rig.host.wall_us(), Some(1_700_000_000_001_500));
    rig.host.wall_offset_us = Some(-2000);
    assert_eq!(rig.host.wall_us(), None, "before 1970");
    for extreme in [i64::MIN, i64::MAX] {
        rig.host.wall_offset_us = Some(extreme);
        let _ = rig.host.wall_us();
    }
}

#[test]
fn a_timer_is_an_event_when_its_time_has_come() {
    let mut rig = Rig::new();
    rig.host.set_now(1_000_000);
    assert_eq!(rig.host.deadline_us(), None);
    assert_eq!(rig.get(Call::TimeSetTimer, &[500, 0, 20]), 0);
    assert_eq!(rig.get(Call::TimeRemaining, &[0]), 500);
    assert_eq!(rig.host.deadline_us(), Some(1_000_520), "on the core's clock, with its slack");
    rig.host.set_now(1_000_499);
    assert_eq!((rig.get(Call::TimeRemaining, &[0]), due(&mut rig)), (1, Vec::new()));
    rig.host.set_now(1_000_500);
    assert_eq!(rig.get(Call::TimeRemaining, &[0]), 0);
    assert_eq!(due(&mut rig), [(EventKind::Timer, 0, 0, 500)]);
    assert_eq!((rig.get(Call::TimeRemaining, &[0]), rig.host.deadline_us()), (BAD_HANDLE, None));
    assert_eq!(due(&mut rig), []);
}

#[test]
fn periods_that_were_missed_are_one_event() {
    let mut rig = Rig::new();
    rig.host.set_now(0);
    assert_eq!(rig.get(Call::TimeSetTimer, &[100, 30, 0]), 0);
    rig.host.set_now(100);
    assert_eq!(due(&mut rig), [(EventKind::Timer, 0, 0, 100)]);
    assert_eq!(rig.get(Call::TimeRemaining, &[0]), 30);
    rig.host.set_now(129);
    assert_eq!(due(&mut rig), []);
    rig.host.set_now(225);
    // Of 130, 160, 190 and 220, and the next is 250.
    assert_eq!(due(&mut rig), [(EventKind::Timer, 0, 0, 130)]);
    assert_eq!((rig.get(Call::TimeRemaining, &[0]), rig.host.deadline_us()), (25, Some(250)));
    rig.host.set_now(250);
    assert_eq!(due(&mut rig), [(EventKind::Timer, 0, 0, 250)]);
    assert_eq!(rig.get(Call::TimeCancel, &[0]), 0);
    rig.host.set_now(10_000);
    assert_eq!(due(&mut rig), []);
}

#[test]
fn events_of_time_come_in_its_order() {
    let mut rig = Rig::new();
    rig.host.set_now(0);
    for delay in [300, 100, 200] {
        rig.get(Call::TimeSetTimer, &[delay, 0, 0]);
    }
    assert_eq!(rig.paid(Call::MsgRequest, "a/b", b"q", &[250]), 1);
    assert_eq!(rig.paid(Call::MsgRequest, "a/b", b"q", &[150]), 2);
    assert_eq!(rig.host.deadline_us(), Some(100));
    rig.host.set_now(1000);
    let timed_out = 110;
    let want = [
        (EventKind::Timer, 1, 0, 100),
        (EventKind::Reply, timed_out, 2, 150),
        (EventKind::Timer, 2, 0, 200),
        (EventKind::Reply, timed_out, 1, 250),
        (EventKind::Timer, 0, 0, 300),
    ];
    assert_eq!(due(&mut rig), want);
}

#[test]
fn an_answer_in_time_ends_the_time_out() {
    let mut rig = Rig::new();
    rig.host.set_now(0);
    assert_eq!(rig.paid(Call::MsgRequest, "a/b", b"q", &[250]), 1);
    assert_eq!(rig.paid(Call::MsgRequest, "a/b", b"q", &[-1]), 2);
    assert_eq!(rig.host.deadline_us(), Some(250));
    assert!(rig.host.answered(1));
    rig.host.set_now(10_000);
    assert_eq!(due(&mut rig), [], "the longest time-out is not over");
    assert!(rig.host.answered(2));
    assert_eq!(rig.paid(Call::MsgRequest, "a/b", b"q", &[0]), 3);
    assert_eq!(due(&mut rig), [(EventKind::Reply, 110, 3, 10_000)]);
    assert!(!rig.host.answered(3), "too late");
}

#[test]
fn timers_have_a_limit_and_numbers_come_back() {
    let mut rig = Rig::new();
    for number in 0..4 {
        assert_eq!(rig.get(Call::TimeSetTimer, &[10, 10, 0]), number);
    }
    assert_eq!(rig.get(Call::TimeSetTimer, &[10, 10, 0]), NO_SPACE);
    assert_eq!(rig.get(Call::TimeCancel, &[2]), 0);
    assert_eq!(rig.get(Call::TimeSetTimer, &[10, 10, 0]), 2);
    for bad in [4, 8, 100, -1, i64::from(i32::MIN)] {
        assert_eq!(rig.get(Call::TimeCancel, &[bad]), BAD_HANDLE);
        assert_eq!(rig.get(Call::TimeRemaining, &[bad]), BAD_HANDLE);
    }
    let mut spec = spec();
    spec.limits.timers = 0;
    assert_eq!(Rig::of(spec.clone()).get(Call::TimeSetTimer, &[10, 10, 0]), NO_SPACE);
    spec.limits.timers = u8::MAX;
    let mut rig = Rig::of(spec);
    let set = (0..20).filter(|_| rig.get(Call::TimeSetTimer, &[10, 10, 0]) >= 0).count();
    assert_eq!(set, TIMERS_MAX);
}

/// The ends of 64 bits, as arguments and as what a hostile snapshot says.
#[test]
fn extreme_times_neither_panic_nor_spin() {
    let extremes = [0, 1, -1, i64::MAX, i64::MIN, i64::from(u32::MAX)];
    for clock_us in [0, 1, 1 << 40, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        for delay in extremes {
            for period in extremes {
                for slack in extremes {
                    let mut rig = Rig::new();
                    rig.host.state.clock_us = clock_us;
                    rig.host.set_now(5);
                    assert_eq!(rig.get(Call::TimeSetTimer, &[delay, period, slack]), 0);
                    rig.paid(Call::MsgRequest, "a/b", b"q", &[delay]);
                    assert!(rig.get(Call::TimeRemaining, &[0]) >= 0);
                    let _ = rig.host.deadline_us();
                    for core in [6, 1 << 40, u64::MAX / 2, u64::MAX] {
                        rig.host.set_now(core);
                        assert!(due(&mut rig).len() <= 2, "clock {clock_us} delay {delay} period {period}");
                        let _ = rig.host.deadline_us();
                    }
                    assert!(rig.host.state.clock_us >= clock_us);
                }
            }
        }
    }
}

#[test]
fn the_longest_timer_is_far_away_not_now() {
    let mut rig = Rig::new();
    rig.host.set_now(100);
    assert_eq!(rig.get(Call::TimeSetTimer, &[-1, -1, -1]), 0);
    assert_eq!(rig.get(Call::TimeRemaining, &[0]), i64::MAX);
    rig.host.set_now(1 << 50);
    assert_eq!(due(&mut rig), []);
    assert!(rig.host.deadline_us().is_some_and(|at| at > 1 << 60));
}
