//! Sessions, versions, sequence, heartbeat, named faults.

use coracle_link::{
    BODY_BYTES_MAX, CREDIT_MAX, Channel, Credit, DownReason, DropReason, Event, FRAME_BYTES_MAX, Frame, HEARTBEAT_US,
    Initiator, Responder, SILENCE_US_MAX, SendError, SessionId, VERSIONS, Versions,
};

use crate::{SESSION, WINDOW, bytes, greet, pair};

fn sent<'o>(m: &mut Responder, body: &[u8], out: &'o mut [u8; FRAME_BYTES_MAX]) -> &'o [u8] {
    m.send(Channel::Control, body, 5, out).expect("credit")
}

fn data(seq: u32, channel: Channel, credit: Credit) -> Vec<u8> {
    bytes(&Frame::Data { session: SESSION, channel, seq, credit, sent_us: 0, body: b"x" })
}

#[test]
fn messages_arrive_in_their_session_only() {
    let (mut a, mut m) = pair();
    let (mut old, mut new) = ([0; FRAME_BYTES_MAX], [0; FRAME_BYTES_MAX]);
    let stale = sent(&mut m, b"old", &mut old);
    greet(&mut a, &mut m, 5);
    assert_eq!(a.receive(stale, 7), Event::Dropped(DropReason::Stale));
    let fresh = sent(&mut m, b"new", &mut new);
    assert_eq!(a.receive(fresh, 8), Event::Message { channel: Channel::Control, sent_us: 5, body: b"new" });
    assert_eq!(a.receive(fresh, 9), Event::Down(DownReason::Gap), "a repeat is a gap in the numbering");
    assert!(!a.is_up());
    let stats = a.stats();
    assert_eq!((stats.received, stats.stale, stats.gaps, stats.dropped()), (1, 1, 1, 1));
}

#[test]
fn no_common_version_is_refused_with_both_ranges_on_both_sides() {
    let (ours, theirs) = (Versions { min: 2, max: 3 }, Versions { min: 4, max: 9 });
    let (mut a, mut m) = (Initiator::new(0, ours, WINDOW), Responder::new(0, theirs, WINDOW));
    let hello = bytes(&a.open(0));
    let (event, reject) = m.receive(&hello, 0);
    assert_eq!(event, Event::Refused { ours: theirs, theirs: ours });
    let reject = bytes(&reject.unwrap());
    assert_eq!(a.receive(&reject, 0), Event::Refused { ours, theirs });
    assert_eq!(a.receive(&reject, 0), Event::Dropped(DropReason::Unexpected), "it was answered");
    assert!(!a.is_up() && !m.is_up());
    assert_eq!((a.stats().refused, m.stats().refused), (1, 1));
    assert_eq!(Versions { min: 1, max: 5 }.common(theirs), Some(5));
    assert_eq!(theirs.common(Versions { min: 9, max: 12 }), Some(9));
}

#[test]
fn a_version_that_was_not_offered_opens_no_session() {
    for (version, opens) in [(VERSIONS.min - 1, false), (VERSIONS.max + 1, false), (VERSIONS.max, true)] {
        let (mut a, mut m) = (Initiator::new(0, VERSIONS, WINDOW), Responder::new(0, VERSIONS, WINDOW));
        let hello = bytes(&a.open(0));
        let Some(Frame::Welcome { session, credit, .. }) = m.receive(&hello, 0).1 else { panic!("not a Welcome") };
        let welcome = bytes(&Frame::Welcome { version, session, credit });
        let expected = if opens { Event::Up { version, session } } else { Event::Dropped(DropReason::Unexpected) };
        assert_eq!((a.receive(&welcome, 0), a.is_up()), (expected, opens));
    }
}

/// The greeting of version 1, as builds before version 2 sent it, and one of a version that adds to it.
#[test]
fn greetings_of_other_versions_are_refused_by_name() {
    let refused = |hello: &[u8], theirs, nonce| {
        let mut m = Responder::new(7, VERSIONS, WINDOW);
        let (event, reject) = m.receive(hello, 0);
        assert_eq!(event, Event::Refused { ours: VERSIONS, theirs });
        assert_eq!(reject, Some(Frame::Reject { versions: VERSIONS, nonce }));
        // What version 1 reads.
        let reject = bytes(&reject.unwrap());
        assert_eq!(postcard::from_bytes(&reject), Ok((2_u32, VERSIONS, u32::try_from(nonce).unwrap())));
    };
    refused(&[0, 1, 1, 0xAC, 0x02], Versions { min: 1, max: 1 }, 300);
    refused(&[0, 2, 2, 5, 1, 2, 3, 4], Versions { min: 2, max: 2 }, 5);
    refused(&[0, 4, 9, 5, 1, 2, 3, 4], Versions { min: 4, max: 9 }, 5);

    let mut a = Initiator::new(0, VERSIONS, WINDOW);
    let Frame::Hello { nonce, .. } = a.open(0) else { panic!("not a Hello") };
    let mut reject = bytes(&Frame::Reject { versions: Versions { min: 4, max: 5 }, nonce });
    reject.extend_from_slice(b"and more");
    assert_eq!(a.receive(&reject, 0), Event::Refused { ours: VERSIONS, theirs: Versions { min: 4, max: 5 } });
}

#[test]
fn silence_is_noticed_unless_a_sleeps() {
    let (mut a, mut m) = pair();
    // The first questions are about the clock.
    let mut now_us = 0;
    while let (_, Some(ping)) = a.tick(now_us) {
        let (_, pong) = m.receive(&bytes(&ping), now_us);
        now_us += 1;
        assert_eq!(a.receive(&bytes(&pong.unwrap()), now_us), Event::Nothing);
    }
    assert_eq!(a.tick(now_us + HEARTBEAT_US - 1), (Event::Nothing, None));
    now_us += HEARTBEAT_US;
    let (_, ping) = a.tick(now_us);
    assert!(!a.is_quiet(), "an answer is expected");
    let (_, pong) = m.receive(&bytes(&ping.unwrap()), 0);
    assert_eq!(a.receive(&bytes(&pong.unwrap()), now_us + 5), Event::Nothing);
    assert_eq!(a.tick(now_us + 6), (Event::Nothing, None));
    assert!(a.is_quiet());
    a.set_asleep(true, now_us + 6);
    assert_eq!(a.tick(100 * SILENCE_US_MAX), (Event::Nothing, None));
    a.set_asleep(false, 100 * SILENCE_US_MAX);
    assert!(a.is_up());
    let (event, ping) = a.tick(101 * SILENCE_US_MAX);
    assert_eq!(event, Event::Nothing, "A was busy and has asked nothing yet");
    assert!(ping.is_some());
    assert_eq!(a.tick(102 * SILENCE_US_MAX - 1), (Event::Nothing, None));
    assert_eq!(a.tick(102 * SILENCE_US_MAX), (Event::Down(DownReason::Silence), None));
    assert_eq!(a.stats().silences, 1);
    assert!(!a.is_up());
}

#[test]
fn an_unanswered_question_is_no_silence_while_m_says_something_else() {
    let (mut a, mut m) = pair();
    assert!(a.tick(0).1.is_some());
    let mut out = [0; FRAME_BYTES_MAX];
    let message = sent(&mut m, b"busy", &mut out);
    assert!(matches!(a.receive(message, SILENCE_US_MAX - 1), Event::Message { .. }));
    assert_eq!(a.tick(SILENCE_US_MAX), (Event::Nothing, None));
    assert_eq!(a.tick(2 * SILENCE_US_MAX - 1).0, Event::Down(DownReason::Silence));
}

/// A sender whose last credit went with lost messages sends no other one that would show the gap.
#[test]
fn messages_lost_with_the_last_credit_are_noticed_by_the_next_heartbeat() {
    for to_a in [true, false] {
        let (mut a, mut m) = pair();
        let mut out = [0; FRAME_BYTES_MAX];
        for _ in 0..WINDOW.control {
            // Lost on the way.
            let sent = if to_a {
                m.send(Channel::Control, b"lost", 0, &mut out)
            } else {
                a.send(Channel::Control, b"lost", 0, &mut out)
            };
            sent.unwrap();
        }
        let ping = bytes(&a.tick(1).1.unwrap());
        let (event, answer) = m.receive(&ping, 1);
        let expected = if to_a { Event::Nothing } else { Event::Down(DownReason::Gap) };
        assert_eq!(event, expected, "at M");
        let reason = if to_a { DownReason::Gap } else { DownReason::PeerReset };
        assert_eq!(a.receive(&bytes(&answer.unwrap()), 2), Event::Down(reason), "at A");
        assert_eq!((a.is_up(), m.is_up()), (false, to_a));
        greet(&mut a, &mut m, 3);
    }
}

#[test]
fn frames_that_mean_nothing_are_counted_by_cause_and_the_session_stays() {
    let (mut a, mut m) = pair();
    let credit = WINDOW;
    let stale = SessionId { a: 1, m: 1 };
    for garbage in [&[][..], &[9; 40], &[3, 1], &[7, 1, 1, 0], &[0x80]] {
        assert_eq!(a.receive(garbage, 1), Event::Dropped(DropReason::Malformed));
        assert_eq!(m.receive(garbage, 1), (Event::Dropped(DropReason::Malformed), None));
    }
    let hello = |nonce, credit| bytes(&Frame::Hello { versions: VERSIONS, nonce, credit });
    let welcome = bytes(&Frame::Welcome { version: 2, session: SESSION, credit });
    let ping = |session| bytes(&Frame::Ping { session, seq: 0, credit, asked_us: 0 });
    let pong = |session| bytes(&Frame::Pong { session, seq: 0, credit, asked_us: 3, received_us: 0, sent_us: 0 });
    let reset = |session| bytes(&Frame::Reset { session });
    let more = |session| bytes(&Frame::Credit { session, credit });
    let reject = bytes(&Frame::Reject { versions: VERSIONS, nonce: SESSION.a });
    let too_much = Credit { control: CREDIT_MAX + 1, bulk: 0 };
    for frame in [hello(5, credit), welcome.clone(), ping(SESSION), pong(SESSION), reject.clone()] {
        assert_eq!(a.receive(&frame, 1), Event::Dropped(DropReason::Unexpected), "{frame:?}");
    }
    for frame in [hello(SESSION.a, credit), hello(5, too_much), welcome, pong(SESSION), reset(SESSION), reject] {
        assert_eq!(m.receive(&frame, 1), (Event::Dropped(DropReason::Unexpected), None), "{frame:?}");
    }
    for frame in [pong(stale), reset(stale), more(stale)] {
        assert_eq!(a.receive(&frame, 1), Event::Dropped(DropReason::Stale), "{frame:?}");
    }
    for frame in [ping(stale), more(stale)] {
        let answer = (Event::Dropped(DropReason::Stale), Some(Frame::Reset { session: stale }));
        assert_eq!(m.receive(&frame, 1), answer, "{frame:?}");
    }
    assert!(a.is_up() && m.is_up());
    let (a, m) = (a.stats(), m.stats());
    assert_eq!((a.malformed, a.stale, a.unexpected, a.dropped()), (5, 3, 5, 13));
    assert_eq!((m.malformed, m.stale, m.unexpected, m.dropped()), (5, 2, 6, 13));
}

#[test]
fn a_side_that_breaks_the_credit_loses_the_session_and_m_says_so() {
    let reset = Some(Frame::Reset { session: SESSION });
    let lost = |frames: &[Vec<u8>], reason: DownReason| {
        let (mut a, mut m) = pair();
        let (last, first) = frames.split_last().unwrap();
        for frame in first {
            assert!(matches!(a.receive(frame, 0), Event::Message { .. }));
            assert!(matches!(m.receive(frame, 0), (Event::Message { .. }, None)));
        }
        assert_eq!(a.receive(last, 0), Event::Down(reason));
        assert_eq!(m.receive(last, 0), (Event::Down(reason), reset));
        assert!(!a.is_up() && !m.is_up());
        (a.stats(), m.stats())
    };
    let ok = WINDOW;
    let within: Vec<_> = (0..4).map(|seq| data(seq, Channel::Bulk, ok)).collect();
    let (a, m) = lost(&[within, vec![data(4, Channel::Bulk, ok)]].concat(), DownReason::OverCredit);
    assert_eq!((a.over_credit, m.over_credit, a.received), (1, 1, 4));
    for bad in [Credit { control: 3, bulk: 4 }, Credit { control: 4, bulk: CREDIT_MAX + 1 }] {
        let (a, m) = lost(&[data(0, Channel::Control, bad)], DownReason::BadCredit);
        assert_eq!((a.bad_credit, m.bad_credit, a.received), (1, 1, 0));
        lost(&[bytes(&Frame::Credit { session: SESSION, credit: bad })], DownReason::BadCredit);
    }
    let (a, m) = lost(&[data(1, Channel::Control, ok)], DownReason::Gap);
    assert_eq!((a.gaps, m.gaps), (1, 1));
}

#[test]
fn a_session_that_m_gave_up_or_forgot_is_opened_anew_at_once() {
    let (mut a, mut m) = pair();
    let reset = m.backlog().expect("there was a session");
    assert_eq!(m.backlog(), None);
    assert_eq!(a.receive(&bytes(&reset), 1), Event::Down(DownReason::PeerReset));
    greet(&mut a, &mut m, 2);
    let mut m = Responder::new(8, VERSIONS, WINDOW);
    let ping = bytes(&a.tick(3).1.unwrap());
    let (event, reset) = m.receive(&ping, 0);
    assert_eq!(event, Event::Dropped(DropReason::Stale));
    assert_eq!(a.receive(&bytes(&reset.unwrap()), 4), Event::Down(DownReason::PeerReset));
    greet(&mut a, &mut m, 5);
    assert_eq!(a.backlog(), Event::Down(DownReason::Backlog));
    assert_eq!((a.stats().peer_resets, a.stats().backlogs), (2, 1));
    assert!(!a.is_up());
}

#[test]
fn what_may_not_be_sent_has_a_name() {
    let mut a = Initiator::new(1, VERSIONS, WINDOW);
    let mut out = [0; FRAME_BYTES_MAX];
    assert_eq!(a.send(Channel::Control, b"x", 0, &mut out), Err(SendError::Down));
    assert_eq!(a.next(true, true), None);
    let (mut a, mut m) = pair();
    assert!(a.send(Channel::Control, &[0; BODY_BYTES_MAX], 0, &mut out).is_ok());
    assert_eq!(a.send(Channel::Control, &[0; FRAME_BYTES_MAX], 0, &mut out), Err(SendError::TooLong));
    for _ in 0..WINDOW.bulk {
        assert!(m.send(Channel::Bulk, b"x", 0, &mut out).is_ok());
    }
    assert_eq!(m.send(Channel::Bulk, b"x", 0, &mut out), Err(SendError::NoCredit));
    assert_eq!(m.stats().no_credit, 1);
    assert_eq!((m.next(false, true), m.next(true, true), m.next(false, false)), (None, Some(Channel::Control), None));
    for _ in 0..WINDOW.control {
        assert!(m.send(Channel::Control, b"x", 0, &mut out).is_ok());
    }
    assert_eq!(m.next(true, true), None);
}

/// Bulk has credit, control has none: bulk waits all the same.
#[test]
fn bulk_never_overtakes_control_that_waits() {
    let (_, mut m) = pair();
    let mut out = [0; FRAME_BYTES_MAX];
    for _ in 0..WINDOW.control {
        assert!(m.send(Channel::Control, b"x", 0, &mut out).is_ok());
    }
    assert_eq!((m.next(true, true), m.next(false, true)), (None, Some(Channel::Bulk)));
}

/// Room that a side has made and not told yet is not the other side's to use.
#[test]
fn credit_counts_from_when_it_was_told() {
    let (mut a, _) = pair();
    for seq in 0..WINDOW.bulk {
        assert!(matches!(a.receive(&data(seq, Channel::Bulk, WINDOW), 0), Event::Message { .. }));
    }
    a.grant();
    assert_eq!(a.receive(&data(WINDOW.bulk, Channel::Bulk, WINDOW), 0), Event::Down(DownReason::OverCredit));
}

#[test]
fn answers_to_an_earlier_greeting_open_and_refuse_nothing() {
    let mut a = Initiator::new(1, VERSIONS, WINDOW);
    let mut m = Responder::new(7, VERSIONS, WINDOW);
    let hello = bytes(&a.open(0));
    let early = bytes(&m.receive(&hello, 0).1.unwrap());
    let newer = Versions { min: 8, max: 9 };
    let refused = bytes(&Responder::new(7, newer, WINDOW).receive(&hello, 0).1.unwrap());
    let again = bytes(&a.open(1));
    for frame in [&early, &refused, &again] {
        assert_eq!(a.receive(frame, 1), Event::Dropped(DropReason::Unexpected), "{frame:?}");
    }
    let welcome = bytes(&m.receive(&again, 1).1.unwrap());
    assert!(matches!(a.receive(&welcome, 1), Event::Up { .. }));
}

/// After a power cut M may give the numbers of its first life once more: A's still tell the sessions apart.
#[test]
fn each_sides_number_alone_tells_sessions_apart() {
    let (mut a, _) = pair();
    let mut m = Responder::new(7, VERSIONS, WINDOW);
    greet(&mut a, &mut m, 1);
    assert!(matches!(m.receive(&data(0, Channel::Control, WINDOW), 1).0, Event::Dropped(DropReason::Stale)));
    assert_eq!(a.receive(&data(0, Channel::Control, WINDOW), 1), Event::Dropped(DropReason::Stale));
}
