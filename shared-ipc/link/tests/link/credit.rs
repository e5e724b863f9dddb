//! Credit under every schedule: nothing is dropped, nothing is held beyond what was granted, control goes first.

use std::collections::VecDeque;

use coracle_link::{Channel, Credit, Event, FRAME_BYTES_MAX, Frame, Initiator, Responder, WINDOW_MAX};

use crate::{Rng, bytes, each_seed, pair_with};

#[test]
fn what_is_granted_fits_the_ring() {
    for buffers in 0..=1024 {
        let Credit { control, bulk } = Credit::for_buffers(buffers);
        assert!(control == bulk && (1..=WINDOW_MAX).contains(&control));
        assert!(buffers < 8 || control + bulk + 6 <= u32::from(buffers), "{buffers}");
    }
    assert_eq!(Credit::for_buffers(16), Credit { control: 5, bulk: 5 });
    assert_eq!(Credit::for_buffers(64), Credit { control: 16, bulk: 16 });
}

/// One end: the link, a queue for each channel, and the ring that it sends into.
struct End<L> {
    link: L,
    /// Numbers of the messages that wait.
    control: VecDeque<u32>,
    bulk: VecDeque<u32>,
    /// Numbers given so far.
    made: [u32; 2],
    /// Numbers that came from the other end, in their order.
    got: [Vec<u32>; 2],
    /// Taken, and not dealt with yet: what this end has to hold.
    holds: u32,
    /// Frames of the link that found the ring full.
    port: VecDeque<Vec<u8>>,
    ring: VecDeque<Vec<u8>>,
    buffers: usize,
    /// Rings of fewer than 8 buffers may be full.
    ring_was_full: bool,
}

/// A message with its number, and a frame to answer with.
type Taken = (Option<(Channel, u32)>, Option<Frame<'static>>);

trait Link {
    fn next(&self, control: bool, bulk: bool) -> Option<Channel>;
    fn send(&mut self, channel: Channel, body: &[u8], out: &mut [u8; FRAME_BYTES_MAX]) -> Vec<u8>;
    fn grant(&mut self);
    fn credit_frame(&mut self) -> Option<Frame<'static>>;
    fn take(&mut self, frame: &[u8]) -> Result<Taken, String>;
}

macro_rules! link {
    ($type:ty, |$link:ident, $frame:ident| $take:expr) => {
        impl Link for $type {
            fn next(&self, control: bool, bulk: bool) -> Option<Channel> {
                <$type>::next(self, control, bulk)
            }
            fn send(&mut self, channel: Channel, body: &[u8], out: &mut [u8; FRAME_BYTES_MAX]) -> Vec<u8> {
                <$type>::send(self, channel, body, 0, out).expect("next said so").to_vec()
            }
            fn grant(&mut self) {
                <$type>::grant(self);
            }
            fn credit_frame(&mut self) -> Option<Frame<'static>> {
                <$type>::credit_frame(self)
            }
            fn take(&mut self, $frame: &[u8]) -> Result<Taken, String> {
                let $link = self;
                let (event, reply) = $take;
                match event {
                    Event::Nothing => Ok((None, reply)),
                    Event::Message { channel, body, .. } => {
                        Ok((Some((channel, u32::from_le_bytes(body.try_into().unwrap()))), reply))
                    }
                    other => Err(format!("{other:?}")),
                }
            }
        }
    };
}

link!(Initiator, |link, frame| (link.receive(frame, 0), None));
link!(Responder, |link, frame| link.receive(frame, 0));

impl<L: Link> End<L> {
    fn new(link: L, buffers: usize) -> Self {
        Self {
            link,
            control: VecDeque::new(),
            bulk: VecDeque::new(),
            made: [0; 2],
            got: [Vec::new(), Vec::new()],
            holds: 0,
            port: VecDeque::new(),
            ring: VecDeque::new(),
            buffers,
            ring_was_full: false,
        }
    }

    fn put(&mut self, frame: Vec<u8>) {
        self.port.push_back(frame);
        self.flush_port();
    }

    fn flush_port(&mut self) {
        while self.ring.len() < self.buffers
            && let Some(frame) = self.port.pop_front()
        {
            self.ring.push_back(frame);
        }
        self.ring_was_full |= !self.port.is_empty();
    }

    fn make(&mut self, channel: Channel) {
        let (queue, at) = if channel == Channel::Control { (&mut self.control, 0) } else { (&mut self.bulk, 1) };
        queue.push_back(self.made[at]);
        self.made[at] += 1;
    }

    fn send_one(&mut self) -> bool {
        let Some(channel) = self.link.next(!self.control.is_empty(), !self.bulk.is_empty()) else { return false };
        assert!(channel == Channel::Control || self.control.is_empty(), "control goes first");
        let queue = if channel == Channel::Control { &mut self.control } else { &mut self.bulk };
        let body = queue.pop_front().expect("next said so").to_le_bytes();
        let frame = self.link.send(channel, &body, &mut [0; FRAME_BYTES_MAX]);
        self.put(frame);
        true
    }

    /// Deals with all that it holds.
    fn grant(&mut self) {
        self.holds = 0;
        self.link.grant();
        if let Some(frame) = self.link.credit_frame() {
            self.put(bytes(&frame));
        }
    }
}

/// Takes a frame from the other end's ring.
fn take<T: Link, F: Link>(to: &mut End<T>, from: &mut End<F>, window: Credit) -> Result<bool, String> {
    let Some(frame) = from.ring.pop_front() else { return Ok(false) };
    from.flush_port();
    let (message, reply) = to.link.take(&frame)?;
    if let Some((channel, number)) = message {
        to.got[usize::from(channel == Channel::Bulk)].push(number);
        to.holds += 1;
        if to.holds > window.control + window.bulk {
            return Err(format!("{} messages to hold where there is room for {window:?}", to.holds));
        }
    }
    if let Some(reply) = reply {
        to.put(bytes(&reply));
    }
    Ok(true)
}

fn run(rng: &mut Rng, buffers: [u16; 2]) -> Result<(), String> {
    // The ring that an end sends into is the room that the other has.
    let windows = [Credit::for_buffers(buffers[1]), Credit::for_buffers(buffers[0])];
    let (a, m) = pair_with(windows[0], windows[1]);
    let (mut a, mut m) = (End::new(a, usize::from(buffers[0])), End::new(m, usize::from(buffers[1])));
    // Bursts, so that rings fill up: mostly one side's turn for a while.
    let mut bias = 5;
    for step in 0..3000 {
        if rng.once_in(100) {
            bias = rng.below(10);
        }
        let a_turn = rng.below(10) < bias;
        let channel = if rng.once_in(3) { Channel::Control } else { Channel::Bulk };
        match (rng.below(9), a_turn) {
            (0 | 1, true) if step < 2500 => a.make(channel),
            (0 | 1, false) if step < 2500 => m.make(channel),
            (2..=4, true) => drop(a.send_one()),
            (2..=4, false) => drop(m.send_one()),
            (5 | 6, true) => drop(take(&mut a, &mut m, windows[0])?),
            (5 | 6, false) => drop(take(&mut m, &mut a, windows[1])?),
            (7, true) => a.grant(),
            (7, false) => m.grant(),
            (_, true) => {
                // Its own times do not matter here.
                if let (_, Some(ping)) = a.link.tick(0) {
                    a.put(bytes(&ping));
                }
            }
            _ => {}
        }
    }
    // Then everybody does what there is to do: nothing may stay behind.
    loop {
        a.grant();
        m.grant();
        if !(a.send_one() | m.send_one() | take(&mut a, &mut m, windows[0])? | take(&mut m, &mut a, windows[1])?) {
            break;
        }
    }
    for (made, got) in [(a.made, &m.got), (m.made, &a.got)] {
        for (made, got) in made.iter().zip(got) {
            if !got.iter().copied().eq(0..*made) {
                return Err(format!("{made} messages were made, {} came, the last {:?}", got.len(), got.last()));
            }
        }
    }
    let short = buffers.iter().any(|b| *b < 8);
    if !short && (a.ring_was_full || m.ring_was_full) {
        return Err(format!("a ring of {buffers:?} was full"));
    }
    Ok(())
}

#[test]
fn nothing_is_dropped_and_no_ring_overflows() {
    each_seed(300, |rng| {
        let buffers = [8 + rng.below(60), 8 + rng.below(60)].map(|b| u16::try_from(b).unwrap());
        run(rng, buffers)
    });
}

#[test]
fn in_rings_too_small_for_any_credit_frames_wait_and_nothing_is_dropped() {
    each_seed(300, |rng| {
        let buffers = [1 + rng.below(8), 1 + rng.below(8)].map(|b| u16::try_from(b).unwrap());
        run(rng, buffers)
    });
}

/// A sender that is out of credit learns of new room without asking, also when the other side has nothing to say.
#[test]
fn credit_comes_in_a_frame_of_its_own_when_half_of_it_is_used() {
    let window = Credit { control: 2, bulk: 6 };
    let (mut a, mut m) = pair_with(window, window);
    let mut out = [0; FRAME_BYTES_MAX];
    let mut pass = |a: &mut Initiator, m: &mut Responder| {
        let frame = m.send(Channel::Bulk, b"x", 0, &mut out).unwrap().to_vec();
        assert!(matches!(a.receive(&frame, 0), Event::Message { .. }));
    };
    for _ in 0..3 {
        assert_eq!(a.credit_frame(), None, "most of it is left");
        pass(&mut a, &mut m);
    }
    assert_eq!(a.credit_frame(), None, "nothing was dealt with");
    a.grant();
    assert!(matches!(a.credit_frame(), Some(Frame::Credit { credit: Credit { control: 2, bulk: 9 }, .. })));
    for _ in 0..3 {
        pass(&mut a, &mut m);
    }
    a.grant();
    let Some(frame @ Frame::Credit { credit, .. }) = a.credit_frame() else { panic!("no credit") };
    assert_eq!(credit, Credit { control: 2, bulk: 12 });
    assert_eq!(a.credit_frame(), None, "said once");
    assert_eq!(m.next(false, true), None);
    assert_eq!(m.receive(&bytes(&frame), 0), (Event::Nothing, None));
    assert_eq!(m.next(false, true), Some(Channel::Bulk));
    // And it rides on whatever goes that way.
    for _ in 0..2 {
        pass(&mut a, &mut m);
        a.grant();
        assert_eq!(a.credit_frame(), None, "most of it is left");
    }
    let (_, ping) = a.tick(0);
    assert!(matches!(ping, Some(Frame::Ping { credit: Credit { control: 2, bulk: 14 }, .. })));
}

/// The question that [`Initiator::is_quiet`] answers: M sends credit, and A knows that it will.
#[test]
fn an_a_that_used_half_of_its_credit_waits_for_more_before_it_sleeps() {
    each_seed(200, |rng| {
        let window = Credit { control: 1 + rng.below(6) as u32, bulk: 1 + rng.below(6) as u32 };
        let (mut a, mut m) = pair_with(window, window);
        let mut now = 0;
        while let (_, Some(ping)) = a.tick(now) {
            now += 1;
            let (_, pong) = m.receive(&bytes(&ping), now);
            let _ = a.receive(&bytes(&pong.unwrap()), now);
        }
        let mut out = [0; FRAME_BYTES_MAX];
        for _ in 0..30 {
            let channel = if rng.once_in(2) { Channel::Control } else { Channel::Bulk };
            let Ok(frame) = a.send(channel, b"x", 0, &mut out) else { continue };
            let _ = m.receive(frame, 0);
            m.grant();
            let quiet = a.is_quiet();
            let credit = m.credit_frame();
            if quiet != credit.is_none() {
                return Err(format!("quiet {quiet}, then {credit:?}, {window:?}"));
            }
            if let Some(credit) = credit {
                let _ = a.receive(&bytes(&credit), 0);
                if !a.is_quiet() {
                    return Err("not quiet after all credit came".into());
                }
            }
        }
        Ok(())
    });
}
