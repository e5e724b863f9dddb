//! Either side is reset at any step; frames of earlier sessions come again at any time. No message is ever taken in
//! another session than its own, twice, or out of order, and the two sides find together again.

use std::collections::VecDeque;

use coracle_link::{Channel, Event, FRAME_BYTES_MAX, Frame, Initiator, Responder, SessionId, VERSIONS};

use crate::{Rng, WINDOW, bytes, each_seed};

/// Steps of the greeting and of the exchange after it, about.
const STEPS: u64 = 60;

struct World {
    a: Initiator,
    m: Responder,
    lives: [u32; 2],
    to_m: VecDeque<Vec<u8>>,
    to_a: VecDeque<Vec<u8>>,
    /// Every frame that was ever sent, each way.
    past: [Vec<Vec<u8>>; 2],
    /// Of the open session of a side: who it is, and how many messages it took.
    open: [Option<(SessionId, u32)>; 2],
    sent: [u32; 2],
    now_us: u64,
}

impl World {
    fn new() -> Self {
        Self {
            a: Initiator::new(1, VERSIONS, WINDOW),
            m: Responder::new(1, VERSIONS, WINDOW),
            lives: [1, 1],
            to_m: VecDeque::new(),
            to_a: VecDeque::new(),
            past: [Vec::new(), Vec::new()],
            open: [None; 2],
            sent: [0; 2],
            now_us: 0,
        }
    }

    fn a_sends(&mut self, frame: Vec<u8>) {
        self.past[0].push(frame.clone());
        self.to_m.push_back(frame);
    }

    fn m_sends(&mut self, frame: Vec<u8>) {
        self.past[1].push(frame.clone());
        self.to_a.push_back(frame);
    }

    fn open(&mut self) {
        self.open[0] = None;
        let hello = bytes(&self.a.open(self.now_us));
        self.a_sends(hello);
    }

    /// Kills a side. What was on its way stays, unless the rings went with it, which the other side is told.
    fn kill(&mut self, side: usize, rings: bool) {
        self.lives[side] += 1;
        self.open[side] = None;
        if side == 0 {
            self.a = Initiator::new(self.lives[0], VERSIONS, WINDOW);
        } else {
            self.m = Responder::new(self.lives[1], VERSIONS, WINDOW);
        }
        if rings {
            self.to_m.clear();
            self.to_a.clear();
            self.m.reset();
            self.open[1] = None;
        }
        if rings || side == 0 {
            self.open();
        }
    }

    /// A message that says whose it is: its session, and its number there.
    fn send(&mut self, side: usize) {
        let Some((session, _)) = self.open[side] else { return };
        let body = postcard::to_allocvec(&(session, self.sent[side])).unwrap();
        let mut out = [0; FRAME_BYTES_MAX];
        let frame = if side == 0 {
            self.a.send(Channel::Control, &body, self.now_us, &mut out)
        } else {
            self.m.send(Channel::Control, &body, self.now_us, &mut out)
        };
        let Ok(frame) = frame.map(<[u8]>::to_vec) else { return };
        self.sent[side] += 1;
        if side == 0 { self.a_sends(frame) } else { self.m_sends(frame) }
    }

    fn take(&mut self, side: usize, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Up { session, .. } => (self.open[side], self.sent[side]) = (Some((session, 0)), 0),
            Event::Down(_) | Event::Refused { .. } => self.open[side] = None,
            Event::Message { body, .. } => {
                let (session, number): (SessionId, u32) = postcard::from_bytes(body).unwrap();
                let Some((open, taken)) = &mut self.open[side] else {
                    return Err("a message without a session".into());
                };
                if session != *open || number != *taken {
                    return Err(format!("message {number} of {session:?} instead of {taken} of {open:?}"));
                }
                *taken += 1;
            }
            Event::Nothing | Event::Dropped(_) => {}
        }
        Ok(())
    }

    fn m_takes(&mut self, frame: &[u8]) -> Result<(), String> {
        let (event, reply) = self.m.receive(frame, self.now_us);
        self.take(1, event)?;
        self.m.grant();
        for frame in [reply, self.m.credit_frame()].into_iter().flatten() {
            self.m_sends(bytes(&frame));
        }
        Ok(())
    }

    fn a_takes(&mut self, frame: &[u8]) -> Result<(), String> {
        let event = self.a.receive(frame, self.now_us);
        self.take(0, event)?;
        if matches!(event, Event::Down(_)) {
            self.open();
        }
        self.a.grant();
        if let Some(frame) = self.a.credit_frame() {
            self.a_sends(bytes(&frame));
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), String> {
        let (event, ping) = self.a.tick(self.now_us);
        self.take(0, event)?;
        if matches!(event, Event::Down(_)) {
            self.open();
        }
        if let Some(ping) = ping {
            self.a_sends(bytes(&ping));
        }
        Ok(())
    }

    fn step(&mut self, rng: &mut Rng) -> Result<(), String> {
        self.now_us += rng.below(1000);
        match rng.below(8) {
            0 => self.send(0),
            1 => self.send(1),
            2 => self.tick()?,
            3..=5 => {
                if let Some(frame) = self.to_m.pop_front() {
                    self.m_takes(&frame)?;
                }
            }
            _ => {
                if let Some(frame) = self.to_a.pop_front() {
                    self.a_takes(&frame)?;
                }
            }
        }
        Ok(())
    }

    /// A frame of the past comes again.
    fn replay(&mut self, rng: &mut Rng) -> Result<(), String> {
        let side = usize::from(rng.once_in(2));
        let past = &self.past[side];
        if past.is_empty() {
            return Ok(());
        }
        let frame = past[usize::try_from(rng.below(past.len() as u64)).unwrap()].clone();
        if side == 0 { self.m_takes(&frame) } else { self.a_takes(&frame) }
    }

    /// Without further harm, the two are in the same session after a while and messages pass both ways.
    fn recover(&mut self, rng: &mut Rng) -> Result<(), String> {
        for _ in 0..400 {
            self.step(rng)?;
            // A Hello that nobody answers: the supervisor greets again.
            if self.to_m.is_empty() && self.to_a.is_empty() && self.open[0].is_none() {
                self.open();
            }
            let both = |world: &Self| match world.open {
                [Some((a, _)), Some((m, _))] => a == m && world.sent[0] > 0 && world.sent[1] > 0,
                _ => false,
            };
            if both(self) && self.open.iter().flatten().all(|(_, taken)| *taken > 0) {
                return Ok(());
            }
        }
        Err(format!("no common session: {:?}", self.open))
    }
}

/// Every step of the greeting and of the exchange, with each side, with and without its rings.
#[test]
fn a_reset_at_every_step_is_recovered_from() {
    for at in 0..STEPS {
        for (side, rings) in [(0, false), (0, true), (1, false), (1, true)] {
            each_seed(8, |rng| {
                let mut world = World::new();
                world.open();
                for _ in 0..at {
                    world.step(rng)?;
                }
                world.kill(side, rings);
                world.recover(rng).map_err(|e| format!("side {side} at step {at}, rings gone {rings}: {e}"))
            });
        }
    }
}

#[test]
fn no_message_of_an_earlier_session_is_ever_taken() {
    each_seed(1500, |rng| {
        let mut world = World::new();
        world.open();
        for _ in 0..400 {
            world.step(rng)?;
            if rng.once_in(60) {
                let (side, rings) = (usize::from(rng.once_in(2)), rng.once_in(2));
                world.kill(side, rings);
            }
            // Within a session a repeat is a gap, which is found: both kinds of harm cost sessions, never order.
            while rng.once_in(4) {
                world.replay(rng)?;
            }
        }
        world.recover(rng)
    });
}

/// The trap behind it: a Hello that comes again would begin its session again from 0.
#[test]
fn a_hello_that_comes_twice_does_not_begin_its_session_again() {
    let mut m = Responder::new(1, VERSIONS, WINDOW);
    let hello = bytes(&Frame::Hello { versions: VERSIONS, nonce: 9, credit: WINDOW });
    let (Event::Up { session, .. }, _) = m.receive(&hello, 0) else { panic!("no session") };
    let message = |session| {
        bytes(&Frame::Data { session, channel: Channel::Control, seq: 0, credit: WINDOW, sent_us: 0, body: b"x" })
    };
    assert!(matches!(m.receive(&message(session), 0).0, Event::Message { .. }));
    let _ = m.receive(&hello, 0);
    assert!(matches!(m.receive(&message(session), 0).0, Event::Down(_)), "taken twice");
    // The session is over now, and the same Hello begins another one.
    let (Event::Up { session: again, .. }, _) = m.receive(&hello, 0) else { panic!("no session") };
    assert_ne!(session, again);
    assert!(matches!(m.receive(&message(session), 0).0, Event::Dropped(_)));
}
