//! The link: one side against a peer that sends any frame at any time, and both sides over a bad line.

use std::collections::{BTreeSet, VecDeque};

use coracle_link::{
    Channel, Credit, DownReason, Event, FRAME_BYTES_MAX, Frame, Initiator, LinkStats, Responder, SILENCE_US_MAX,
    SendError, SessionId, VERSIONS, Versions, encode,
};

use crate::bytes::Bytes;

/// What each side has room for, in messages of each channel.
const WINDOW: Credit = Credit { control: 3, bulk: 2 };
/// Steps within which both sides must be together again when the line is good again.
const STEPS_MAX: usize = 40;

/// Either side of the link.
enum Side {
    A(Initiator),
    M(Responder),
}

impl Side {
    fn a(life: u32) -> Self {
        Self::A(Initiator::new(life, VERSIONS, WINDOW))
    }

    fn m(life: u32) -> Self {
        Self::M(Responder::new(life, VERSIONS, WINDOW))
    }

    fn receive<'a>(&mut self, bytes: &'a [u8], now_us: u64) -> (Event<'a>, Option<Frame<'static>>) {
        match self {
            Self::A(a) => (a.receive(bytes, now_us), None),
            Self::M(m) => m.receive(bytes, now_us),
        }
    }

    fn send(&mut self, channel: Channel, body: &[u8], now_us: u64) -> Result<Vec<u8>, SendError> {
        let mut out = [0; FRAME_BYTES_MAX];
        match self {
            Self::A(a) => a.send(channel, body, now_us, &mut out),
            Self::M(m) => m.send(channel, body, now_us, &mut out),
        }
        .map(<[u8]>::to_vec)
    }

    fn grant(&mut self) {
        match self {
            Self::A(a) => a.grant(),
            Self::M(m) => m.grant(),
        }
    }

    fn credit_frame(&mut self) -> Option<Frame<'static>> {
        match self {
            Self::A(a) => a.credit_frame(),
            Self::M(m) => m.credit_frame(),
        }
    }

    fn is_up(&self) -> bool {
        match self {
            Self::A(a) => a.is_up(),
            Self::M(m) => m.is_up(),
        }
    }

    fn reset(&mut self) {
        match self {
            Self::A(a) => a.reset(),
            Self::M(m) => m.reset(),
        }
    }

    fn stats(&self) -> LinkStats {
        match self {
            Self::A(a) => a.stats(),
            Self::M(m) => m.stats(),
        }
    }
}

fn bytes_of(frame: &Frame<'_>) -> Vec<u8> {
    encode(frame, &mut [0; FRAME_BYTES_MAX]).expect("every frame of its own fits").to_vec()
}

fn ended(stats: &LinkStats) -> u32 {
    stats.silences + stats.gaps + stats.over_credit + stats.bad_credit + stats.peer_resets + stats.backlogs
}

/// One side, and a peer that sends what it likes: frames of any session, number, credit and time, and bytes that are no
/// frames. What is dropped and what ends a session is counted; messages come only in an open session, in its order, and
/// no more of them than there was credit for; no session is opened twice.
pub(crate) fn link_hostile_peer(input: &[u8]) {
    let mut input = Bytes(input);
    let is_a = input.below(2) == 0;
    let side = if is_a { Side::a(1) } else { Side::m(1) };
    let mut one = One { side, now_us: 1, hello: 0, session: None, seen: BTreeSet::new(), open: Open::default() };
    while !input.is_empty() {
        match input.below(10) {
            0 => {
                let len = usize::from(input.u8());
                let bytes = input.take(len);
                one.receives(bytes);
            }
            1..=5 => {
                let frame = one.frame(&mut input);
                if let Some(bytes) = encode(&frame, &mut [0; FRAME_BYTES_MAX]) {
                    one.receives(bytes);
                }
            }
            6 => one.now_us = one.now_us.saturating_add(u64::from(input.u32())),
            7 => one.sends(&mut input),
            8 => {
                one.side.grant();
                one.open.granted = [one.open.taken[0] + WINDOW.control, one.open.taken[1] + WINDOW.bulk];
                one.side.credit_frame();
            }
            _ => one.opens_or_ticks(&mut input),
        }
    }
}

/// What one side did in its open session.
#[derive(Default)]
struct Open {
    messages: u32,
    taken: [u32; 2],
    granted: [u32; 2],
}

struct One {
    side: Side,
    now_us: u64,
    /// The nonce of the last Hello of the A side.
    hello: u64,
    session: Option<SessionId>,
    seen: BTreeSet<(u64, u64)>,
    open: Open,
}

impl One {
    fn frame<'a>(&self, input: &mut Bytes<'a>) -> Frame<'a> {
        let mut session = self.session.unwrap_or(SessionId { a: self.hello, m: 0 });
        match input.below(8) {
            0 => session.a ^= u64::from(input.u8()),
            1 => session.m ^= u64::from(input.u8()),
            _ => {}
        }
        let credit = match input.below(3) {
            0 => Credit { control: input.u32(), bulk: input.u32() },
            _ => Credit { control: u32::from(input.u8()), bulk: u32::from(input.u8()) },
        };
        let near = |input: &mut Bytes<'_>| self.now_us.wrapping_add_signed(i64::from(input.u8().cast_signed()));
        match input.below(10) {
            0 => {
                let versions =
                    if input.below(4) == 0 { Versions { min: input.u16(), max: input.u16() } } else { VERSIONS };
                Frame::Hello { versions, nonce: u64::from(input.u8()), credit }
            }
            1 => {
                let version = if input.below(8) == 0 { input.u16() } else { VERSIONS.max };
                Frame::Welcome { version, session, credit }
            }
            2 => Frame::Reject { versions: Versions { min: input.u16(), max: input.u16() }, nonce: session.a },
            3 => Frame::Ping { session, seq: self.seq(input), credit, asked_us: near(input) },
            4 => Frame::Pong {
                session,
                seq: self.seq(input),
                credit,
                asked_us: near(input),
                received_us: u64::from(input.u32()),
                sent_us: u64::from(input.u32()),
            },
            5 => Frame::Credit { session, credit },
            6 => Frame::Reset { session },
            _ => {
                let channel = Channel::ALL[input.below(2)];
                let seq = self.seq(input);
                let len = usize::from(input.u8());
                Frame::Data { session, channel, seq, credit, sent_us: near(input), body: input.take(len) }
            }
        }
    }

    /// Mostly the right number of a message.
    fn seq(&self, input: &mut Bytes<'_>) -> u32 {
        if input.below(8) == 0 { input.u32() } else { self.open.messages }
    }

    fn receives(&mut self, bytes: &[u8]) {
        let (before, was_up) = (self.side.stats(), self.side.is_up());
        let (event, answer) = self.side.receive(bytes, self.now_us);
        if let Some(frame) = answer {
            bytes_of(&frame);
        }
        let after = self.side.stats();
        let (dropped, downs) = (after.dropped() - before.dropped(), ended(&after) - ended(&before));
        let (messages, refused) = (after.received - before.received, after.refused - before.refused);
        let counted = (dropped, downs, messages, refused);
        match event {
            Event::Nothing => assert_eq!(counted, (0, 0, 0, 0)),
            Event::Dropped(_) => {
                assert_eq!(counted, (1, 0, 0, 0));
                assert_eq!(self.side.is_up(), was_up, "a dropped frame changed the session");
            }
            Event::Down(_) => assert_eq!((counted, was_up, self.side.is_up()), ((0, 1, 0, 0), true, false)),
            Event::Refused { .. } => assert_eq!((counted, self.side.is_up()), ((0, 0, 0, 1), false)),
            Event::Up { session, version } => {
                assert_eq!((counted, self.side.is_up(), version), ((0, 0, 0, 0), true, VERSIONS.max));
                let ours = if matches!(self.side, Side::A(_)) { (session.a, 0) } else { (0, session.m) };
                let again = was_up && self.session.is_some_and(|open| open.a == session.a);
                assert!(!again, "the same Hello again began another session");
                assert!(ours.0 == 0 || ours.0 == self.hello, "a session that A did not ask for");
                assert!(self.seen.insert(ours), "{session:?} again");
                self.session = Some(session);
                self.open = Open { granted: [WINDOW.control, WINDOW.bulk], ..Open::default() };
            }
            Event::Message { channel, body, .. } => {
                assert_eq!((counted, was_up), ((0, 0, 1, 0), true));
                assert!(body.len() < bytes.len());
                let open = &mut self.open;
                open.messages += 1;
                let index = usize::from(channel == Channel::Bulk);
                open.taken[index] += 1;
                assert!(open.taken[index] <= open.granted[index], "a message beyond the credit");
            }
        }
    }

    fn sends(&mut self, input: &mut Bytes<'_>) {
        let (channel, len) = (Channel::ALL[input.below(2)], 2 * usize::from(input.u8()));
        match self.side.send(channel, &vec![7; len], self.now_us) {
            Ok(frame) => assert!(self.side.is_up() && frame.len() > len),
            Err(SendError::Down) => assert!(!self.side.is_up()),
            Err(SendError::NoCredit) => assert!(self.side.is_up()),
            Err(SendError::TooLong) => assert!(len > coracle_link::BODY_BYTES_MAX, "{len} bytes are too long"),
        }
    }

    fn opens_or_ticks(&mut self, input: &mut Bytes<'_>) {
        match (input.below(8), &mut self.side) {
            (0, side) => side.reset(),
            (1 | 2, Side::A(a)) => {
                let Frame::Hello { nonce, .. } = a.open(self.now_us) else { panic!("opened without a Hello") };
                assert!(nonce != self.hello, "the same nonce again");
                (self.hello, self.session) = (nonce, None);
            }
            (3, Side::A(a)) => a.set_asleep(input.below(2) == 0, self.now_us),
            (4, Side::A(a)) => drop(a.backlog()),
            (4, Side::M(m)) => drop(m.backlog()),
            (_, Side::A(a)) => {
                let (event, frame) = a.tick(self.now_us);
                assert!(matches!(event, Event::Nothing | Event::Down(DownReason::Silence)));
                assert!(frame.is_none() || !a.is_asleep(), "a frame while A sleeps");
            }
            _ => {}
        }
    }
}

/// Both sides over a line that loses, doubles, delays and brings back old frames, with resets of either side in the
/// middle of anything. What a side gets in a session is what the other sent in it, in order and without a gap, as far as
/// it came; and when the line is good again, they come together.
pub(crate) fn link_bad_line(input: &[u8]) {
    let mut input = Bytes(input);
    let mut pair = Pair {
        sides: [Side::a(1), Side::m(1)],
        lives: [1, 1],
        lines: [VecDeque::new(), VecDeque::new()],
        old: [Vec::new(), Vec::new()],
        session: [None, None],
        sent: [0, 0],
        got: [0, 0],
        now_us: 1,
    };
    while !input.is_empty() {
        let who = input.below(2);
        match input.below(12) {
            0..=3 => pair.deliver(who),
            4 | 5 => pair.send(who, Channel::ALL[input.below(2)]),
            6 => {
                pair.sides[who].grant();
                pair.credit(who);
            }
            7 => pair.open(),
            8 => pair.tick(u64::from(input.u16()) * 100),
            9 => pair.reset(who),
            10 => pair.disturb(who, &mut input),
            _ => {
                if let Side::A(a) = &mut pair.sides[0] {
                    a.set_asleep(who == 0, pair.now_us);
                }
            }
        }
    }
    pair.heal();
}

struct Pair {
    sides: [Side; 2],
    lives: [u32; 2],
    /// Frames under way to each side.
    lines: [VecDeque<Vec<u8>>; 2],
    /// The first of all that ever were.
    old: [Vec<Vec<u8>>; 2],
    session: [Option<SessionId>; 2],
    /// Messages sent in the session of each side, and received.
    sent: [u32; 2],
    got: [u32; 2],
    now_us: u64,
}

impl Pair {
    fn put(&mut self, from: usize, frame: Vec<u8>) {
        let old = &mut self.old[1 - from];
        if old.len() < 64 {
            old.push(frame.clone());
        }
        self.lines[1 - from].push_back(frame);
    }

    fn deliver(&mut self, who: usize) {
        self.now_us += 10;
        let Some(frame) = self.lines[who].pop_front() else { return };
        let (event, answer) = self.sides[who].receive(&frame, self.now_us);
        match event {
            Event::Up { session, .. } => {
                self.session[who] = Some(session);
                (self.sent[who], self.got[who]) = (0, 0);
            }
            Event::Message { body, .. } => {
                let session = self.session[who].expect("a message without a session");
                assert_eq!(
                    body,
                    body_of(session, 1 - who, self.got[who]),
                    "another message than the next of the session"
                );
                self.got[who] += 1;
            }
            _ => {}
        }
        if let Some(frame) = answer {
            self.put(who, bytes_of(&frame));
        }
    }

    fn send(&mut self, who: usize, channel: Channel) {
        let Some(session) = self.session[who].filter(|_| self.sides[who].is_up()) else { return };
        if let Ok(frame) = self.sides[who].send(channel, &body_of(session, who, self.sent[who]), self.now_us) {
            self.sent[who] += 1;
            self.put(who, frame);
        }
    }

    fn credit(&mut self, who: usize) {
        if let Some(frame) = self.sides[who].credit_frame() {
            self.put(who, bytes_of(&frame));
        }
    }

    fn open(&mut self) {
        if let Side::A(a) = &mut self.sides[0] {
            let hello = bytes_of(&a.open(self.now_us));
            self.put(0, hello);
        }
    }

    fn tick(&mut self, us: u64) {
        self.now_us += us;
        if let Side::A(a) = &mut self.sides[0]
            && let (_, Some(frame)) = a.tick(self.now_us)
        {
            self.put(0, bytes_of(&frame));
        }
    }

    /// A side is reset: a new life, or only its rings.
    fn reset(&mut self, who: usize) {
        self.lives[who] += 1;
        self.sides[who] = if who == 0 { Side::a(self.lives[0]) } else { Side::m(self.lives[1]) };
        self.session[who] = None;
        self.lines[who].clear();
    }

    fn disturb(&mut self, who: usize, input: &mut Bytes<'_>) {
        let line = &mut self.lines[who];
        match input.below(4) {
            0 => drop(line.pop_front()),
            1 => line.extend(line.front().cloned()),
            2 => line.rotate_left(usize::from(line.len() > 1)),
            _ if !self.old[who].is_empty() => {
                let old = &self.old[who];
                line.push_front(old[input.below(old.len())].clone());
            }
            _ => {}
        }
    }

    /// The line is good from now on. The layer above opens a session whenever A has none.
    fn heal(&mut self) {
        if let Side::A(a) = &mut self.sides[0] {
            a.set_asleep(false, self.now_us);
        }
        for _ in 0..STEPS_MAX {
            while self.lines.iter().any(|line| !line.is_empty()) {
                self.deliver(0);
                self.deliver(1);
            }
            if !self.sides[0].is_up() {
                self.open();
                continue;
            }
            let before = self.got;
            for who in [0, 1] {
                self.sides[who].grant();
                self.credit(who);
                self.deliver(1 - who);
                self.send(who, Channel::Control);
                self.deliver(1 - who);
            }
            if self.session[0] == self.session[1] && self.got == [before[0] + 1, before[1] + 1] {
                return;
            }
            // Whatever is not answered is silence in the end.
            self.tick(SILENCE_US_MAX);
        }
        panic!("the two sides did not come together again");
    }
}

/// The body of the `number`th message that `from` sends in a session.
fn body_of(session: SessionId, from: usize, number: u32) -> Vec<u8> {
    [&session.a.to_le_bytes()[..], &session.m.to_le_bytes(), &[from as u8], &number.to_le_bytes()].concat()
}
