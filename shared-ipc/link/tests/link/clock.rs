//! Two clocks with offset and drift, answers that take any time either way: the truth is always inside the bound.

use coracle_link::{
    CLOCK_DRIFT_PPM, CLOCK_PINGS, CLOCK_REFRESH_US, ClockOffset, DropReason, Event, Frame, HEARTBEAT_US, Initiator,
    Responder,
};

use crate::{Rng, SESSION, WINDOW, bytes, each_seed, greet, pair};

/// A clock, read at a time in nanoseconds that nobody knows.
#[derive(Clone, Copy)]
struct Clock {
    started_us: u64,
    ppm: i64,
}

impl Clock {
    fn at_ns(self, true_ns: u64) -> u64 {
        let drift = i128::from(true_ns) * i128::from(self.ppm) / 1_000_000;
        (i128::from(true_ns) + drift) as u64 / 1000 + self.started_us
    }
}

/// What A's clock showed when M's showed what it does at `true_ns`, against what is believed.
fn check(clock: ClockOffset, a: Clock, m: Clock, true_ns: u64) -> Result<u64, String> {
    let (got_us, bound_us) = clock.to_a_us(m.at_ns(true_ns));
    let truth_us = a.at_ns(true_ns).cast_signed();
    if got_us.abs_diff(truth_us) > bound_us {
        return Err(format!("{got_us} us instead of {truth_us}, bound {bound_us}"));
    }
    Ok(bound_us)
}

/// A question and its answer, with a delay of up to `delay_us` each way, often all of it or none. Returns the event and the time after it.
fn ask(a: &mut Initiator, m: &mut Responder, clocks: [Clock; 2], rng: &mut Rng, now_ns: u64, delay_us: u64) -> u64 {
    let (_, Some(ping)) = a.tick(clocks[0].at_ns(now_ns)) else { return now_ns };
    let mut delay = || if rng.once_in(3) { 1000 * delay_us * rng.below(2) } else { rng.below(1000 * delay_us + 1) };
    let there_ns = now_ns + delay();
    let (_, pong) = m.receive(&bytes(&ping), clocks[1].at_ns(there_ns));
    let back_ns = there_ns + delay();
    assert_eq!(a.receive(&bytes(&pong.unwrap()), clocks[0].at_ns(back_ns)), Event::Nothing);
    back_ns
}

#[test]
fn the_truth_is_inside_the_bound() {
    each_seed(500, |rng| {
        let (mut a, mut m) = pair();
        // Each within half of what they may run apart.
        let half = CLOCK_DRIFT_PPM.cast_signed() / 2;
        let clock = |rng: &mut Rng| Clock {
            started_us: if rng.once_in(4) { 0 } else { rng.below(1 << 40) },
            ppm: if rng.once_in(3) {
                half
            } else if rng.once_in(2) {
                -half
            } else {
                rng.below(2 * half.unsigned_abs() + 1).cast_signed() - half
            },
        };
        let clocks = [clock(rng), clock(rng)];
        // A session opens at some time.
        let mut now_ns = rng.below(1 << 40);
        greet(&mut a, &mut m, clocks[0].at_ns(now_ns));
        assert_eq!(a.clock(), None);
        for round in 0..60 {
            let delay_us = [0, 1, 200, 20_000, 4_000_000][usize::try_from(rng.below(5)).unwrap()];
            now_ns = ask(&mut a, &mut m, clocks, rng, now_ns, delay_us);
            let known = a.clock().ok_or("no clock")?;
            // Now, before, and after.
            for at_ns in [now_ns, now_ns.saturating_sub(rng.below(1 << 33)), now_ns + rng.below(1 << 33)] {
                check(known, clocks[0], clocks[1], at_ns)?;
            }
            if round > 0 {
                now_ns += rng.below(20_000_000_000);
            }
        }
        if a.stats().clock_jumps > 0 {
            return Err("the clocks never jumped".into());
        }
        Ok(())
    });
}

#[test]
fn a_quick_answer_makes_the_bound_small_and_a_slow_one_does_not_spoil_it() {
    let (mut a, mut m) = pair();
    let (_, ping) = a.tick(1000);
    let (_, pong) = m.receive(&bytes(&ping.unwrap()), 500_010);
    let _ = a.receive(&bytes(&pong.unwrap()), 1020);
    let clock = a.clock().unwrap();
    assert_eq!(clock.offset_us(), 1010 - 500_010);
    let (a_us, bound_us) = clock.to_a_us(500_010);
    assert_eq!(a_us, 1010);
    assert!((10..=14).contains(&bound_us), "{bound_us}");
    // 10 ms, all of it on the way there.
    let (_, ping) = a.tick(2000);
    let (_, pong) = m.receive(&bytes(&ping.unwrap()), 511_000);
    let _ = a.receive(&bytes(&pong.unwrap()), 12_001);
    let (a_us, bound_us) = a.clock().unwrap().to_a_us(511_000);
    assert!(a_us.abs_diff(12_000) <= bound_us && bound_us <= 16, "{a_us} {bound_us}");
}

#[test]
fn after_a_sleep_and_in_a_new_session_the_clocks_are_compared_anew() {
    let (mut a, mut m) = pair();
    let burst = |a: &mut Initiator, m: &mut Responder, now_us: u64| {
        let mut pings = 0;
        while let (_, Some(ping)) = a.tick(now_us) {
            pings += 1;
            let (_, pong) = m.receive(&bytes(&ping), now_us);
            assert_eq!(a.receive(&bytes(&pong.unwrap()), now_us), Event::Nothing);
        }
        pings
    };
    assert_eq!(burst(&mut a, &mut m, 10), CLOCK_PINGS);
    assert!(a.clock().is_some());
    assert_eq!(a.tick(11), (Event::Nothing, None));
    a.set_asleep(false, 12);
    assert!(a.clock().is_some(), "it did not sleep");
    a.set_asleep(true, 20);
    assert_eq!(a.tick(21), (Event::Nothing, None));
    let (_, bound_us) = a.clock().expect("as before").to_a_us(21);
    let (_, later_us) = a.clock().expect("as before").to_a_us(1_000_000_021);
    assert_eq!(later_us - bound_us, 1000 * CLOCK_DRIFT_PPM);
    // An answer to a question from before the sleep says nothing.
    a.set_asleep(false, 30);
    let known = a.clock();
    let (_, ping) = a.tick(31);
    let (_, pong) = m.receive(&bytes(&ping.unwrap()), 31);
    a.set_asleep(true, 32);
    a.set_asleep(false, 1_000_000);
    assert_eq!(a.receive(&bytes(&pong.unwrap()), 1_000_000), Event::Dropped(DropReason::Unexpected));
    assert_eq!(a.clock(), known);
    // Another clock than before: not a jump, for it is compared anew.
    let pong = m.receive(&bytes(&a.tick(1_000_001).1.unwrap()), 9_000_001).1;
    assert_eq!(a.receive(&bytes(&pong.unwrap()), 1_000_001), Event::Nothing);
    assert_eq!((a.clock().unwrap().offset_us(), a.stats().clock_jumps), (-8_000_000, 0));
    assert_eq!(burst(&mut a, &mut m, 9_000_002), CLOCK_PINGS - 1);
    assert_eq!(a.stats().clock_jumps, 1, "A's clock jumped");
    greet(&mut a, &mut m, 1_000_002);
    assert_eq!(a.clock(), None);
    assert_eq!(burst(&mut a, &mut m, 1_000_003), CLOCK_PINGS);
}

/// A busy link has no heartbeat, and still the clocks are compared.
#[test]
fn the_clocks_are_compared_again_before_they_drift_far() {
    let (mut a, mut m) = pair();
    for now_us in 0..u64::from(CLOCK_PINGS) {
        let (_, ping) = a.tick(now_us);
        let (_, pong) = m.receive(&bytes(&ping.unwrap()), now_us);
        let _ = a.receive(&bytes(&pong.unwrap()), now_us);
    }
    let mut asked = 0;
    for now_us in (100_000..=3 * CLOCK_REFRESH_US).step_by(100_000) {
        let credit = bytes(&Frame::Credit { session: SESSION, credit: WINDOW });
        assert_eq!(a.receive(&credit, now_us), Event::Nothing);
        if let (_, Some(ping)) = a.tick(now_us) {
            asked += 1;
            let (_, pong) = m.receive(&bytes(&ping), now_us);
            let _ = a.receive(&bytes(&pong.unwrap()), now_us);
        }
    }
    assert_eq!(asked, 2);
}

#[test]
fn impossible_times_are_refused_and_a_clock_that_jumps_is_followed() {
    let (mut a, _) = pair();
    let mut answer = |now_us: u64, received_us: u64, sent_us: u64, back_us: u64| {
        let (_, Some(Frame::Ping { session, seq, credit, asked_us })) = a.tick(now_us) else { panic!("no question") };
        let pong = Frame::Pong { session, seq, credit, asked_us, received_us, sent_us };
        let taken = a.receive(&bytes(&pong), back_us) == Event::Nothing;
        (taken, a.clock(), a.stats())
    };
    for (received_us, sent_us) in [(5, 4), (0, 1000), (u64::MAX, u64::MAX)] {
        let (taken, clock, _) = answer(10, received_us, sent_us, 20);
        assert_eq!((taken, clock), (false, None), "{received_us} {sent_us}");
    }
    let (taken, clock, stats) = answer(100, 50, 52, 104);
    assert_eq!((taken, clock.unwrap().offset_us(), stats.bad_time), (true, 51, 3));
    let later_us = 100 + CLOCK_REFRESH_US;
    let (_, clock, stats) = answer(later_us + 10, 7, 7, later_us + 20);
    assert_eq!((clock.unwrap().offset_us(), stats.clock_jumps), (later_us.cast_signed() + 8, 1));
}

/// An answer with a wrong time answers the question whether M lives; asking again at once would never end.
#[test]
fn wrong_times_do_not_make_a_ask_without_end() {
    let (mut a, _) = pair();
    let mut asked = 0;
    // Until the heartbeat asks once more.
    for now_us in 0..HEARTBEAT_US * 3 / 2000 {
        let (_, Some(Frame::Ping { session, seq, credit, asked_us })) = a.tick(1000 * now_us) else { continue };
        asked += 1;
        let wrong = Frame::Pong { session, seq, credit, asked_us, received_us: 1, sent_us: 0 };
        assert_eq!(a.receive(&bytes(&wrong), 1000 * now_us), Event::Dropped(DropReason::BadTime));
    }
    assert_eq!(asked, CLOCK_PINGS + 1);
}

/// An answer to another question than the one that is open says nothing about its time.
#[test]
fn an_answer_counts_for_its_own_question_only() {
    let (mut a, mut m) = pair();
    let pong = bytes(&m.receive(&bytes(&a.tick(0).1.unwrap()), 0).1.unwrap());
    assert_eq!(a.receive(&pong, 1), Event::Nothing);
    assert!(a.tick(2).1.is_some());
    assert_eq!(a.receive(&pong, 3), Event::Dropped(DropReason::Unexpected));
    assert!(!a.is_quiet(), "the answer is still to come");
}
