//! The link: the A-M connection above one RPMsg endpoint. Version agreement, sessions, sequence, heartbeat.
//!
//! Sans-IO: frames and the time go in, frames and [`Event`]s come out. A session is one life of both sides together;
//! a frame of any other session is counted and dropped, so nothing from before a reset is ever taken for new. The A
//! side ([`Initiator`]) opens sessions and watches the M side by heartbeat while A is awake; the M side
//! ([`Responder`]) only answers, so that it is silent while A sleeps.
//!
//! RPMsg loses nothing while both sides live, so there are no retransmissions: a gap in the sequence means that a side
//! was reset, and the answer is a new session. What a lost session leaves undone is for the layers above, which keep
//! every message of consequence until it is answered.
//!
//! ```text
//! Initiator: Down --open()--> Greeting --Welcome--> Up --timeout, gap, reset--> Down
//!                                \--Reject--> Refused
//! ```
#![no_std]
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

/// The RPMsg channel that the M core announces.
pub const CHANNEL: &str = "coracle-link";
/// Largest frame: one RPMsg payload.
pub const FRAME_BYTES_MAX: usize = 496;
/// Largest body of a [`Frame::Data`] that surely fits a frame with its head.
pub const BODY_BYTES_MAX: usize = 464;
/// The A side asks for a sign of life when it heard nothing for this long, in microseconds.
pub const HEARTBEAT_US: u64 = 500_000;
/// The A side gives the M side up when its question was not answered for this long, in microseconds.
pub const SILENCE_US_MAX: u64 = 5_000_000;

/// An inclusive range of protocol versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Oldest version spoken.
    pub min: u16,
    /// Newest version spoken.
    pub max: u16,
}

/// What this build speaks.
pub const VERSIONS: Versions = Versions { min: 1, max: 1 };

impl Versions {
    /// The newest version that both speak.
    #[must_use]
    pub fn common(self, other: Versions) -> Option<u16> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }
}

impl core::fmt::Display for Versions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.min == self.max { write!(f, "{}", self.min) } else { write!(f, "{} to {}", self.min, self.max) }
    }
}

/// Identifies a session: the nonces that each side gave. A nonce never repeats between lives of its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionId {
    /// The A side's nonce.
    pub a: u32,
    /// The M side's nonce.
    pub m: u32,
}

/// The frames of the link, postcard-encoded. New variants go at the end; existing ones never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame<'a> {
    /// A opens a session.
    Hello {
        /// What A speaks.
        versions: Versions,
        /// A's nonce.
        nonce: u32,
    },
    /// M accepts.
    Welcome {
        /// The version of the session.
        version: u16,
        /// The session.
        session: SessionId,
    },
    /// M refuses: no common version.
    Reject {
        /// What M speaks.
        versions: Versions,
        /// The nonce of the Hello that is refused.
        nonce: u32,
    },
    /// A message of the layer above.
    Data {
        /// The session.
        session: SessionId,
        /// Counts the Data frames of this direction and session from 0.
        seq: u32,
        /// The message.
        body: &'a [u8],
    },
    /// A asks for a sign of life.
    Ping {
        /// The session.
        session: SessionId,
    },
    /// M gives one.
    Pong {
        /// The session.
        session: SessionId,
    },
}

/// Encodes a frame into `out`; `None` when it does not fit.
#[must_use]
pub fn encode<'o>(frame: &Frame<'_>, out: &'o mut [u8; FRAME_BYTES_MAX]) -> Option<&'o [u8]> {
    postcard::to_slice(frame, out).ok().map(|used| &*used)
}

/// Decodes a frame; trailing bytes are refused.
fn decode(bytes: &[u8]) -> Option<Frame<'_>> {
    let (frame, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(frame)
}

/// What the link tells the layer above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Event<'a> {
    /// Nothing to do.
    Nothing,
    /// A session began: everything of the last one is void.
    Up {
        /// Its version.
        version: u16,
        /// Its identity.
        session: SessionId,
    },
    /// The session ended.
    Down(DownReason),
    /// The two sides have no version in common. No session will come about.
    Refused {
        /// What this side speaks.
        ours: Versions,
        /// What the other side speaks.
        theirs: Versions,
    },
    /// A message of the session.
    Message(&'a [u8]),
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownReason {
    /// The other side was silent for [`SILENCE_US_MAX`].
    Silence,
    /// A message is missing.
    Gap,
    /// The side below (rings, mailbox) was set up anew, or the process on the other side ended.
    Reset,
}

/// Counters of one side, for diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkStats {
    /// Messages sent.
    pub sent: u32,
    /// Messages received.
    pub received: u32,
    /// Frames that were malformed or of another session.
    pub dropped: u32,
}

/// An open session: numbering of both directions.
#[derive(Debug, Clone, Copy)]
struct Session {
    id: SessionId,
    send_seq: u32,
    receive_seq: u32,
}

impl Session {
    fn new(id: SessionId) -> Self {
        Self { id, send_seq: 0, receive_seq: 0 }
    }
}

/// What both sides share.
#[derive(Debug, Default)]
struct Core {
    session: Option<Session>,
    stats: LinkStats,
}

impl Core {
    fn wrap<'o>(&mut self, body: &[u8], out: &'o mut [u8; FRAME_BYTES_MAX]) -> Option<&'o [u8]> {
        let session = self.session.as_mut()?;
        let frame = Frame::Data { session: session.id, seq: session.send_seq, body };
        let used = encode(&frame, out)?;
        session.send_seq = session.send_seq.wrapping_add(1);
        self.stats.sent = self.stats.sent.wrapping_add(1);
        Some(used)
    }

    fn data<'a>(&mut self, id: SessionId, seq: u32, body: &'a [u8]) -> Event<'a> {
        match self.session.as_mut().filter(|s| s.id == id) {
            Some(s) if s.receive_seq == seq => {
                s.receive_seq = seq.wrapping_add(1);
                self.stats.received = self.stats.received.wrapping_add(1);
                Event::Message(body)
            }
            Some(_) => {
                self.session = None;
                Event::Down(DownReason::Gap)
            }
            None => self.stray(),
        }
    }

    fn stray(&mut self) -> Event<'static> {
        self.stats.dropped = self.stats.dropped.wrapping_add(1);
        Event::Nothing
    }
}

/// The M side.
#[derive(Debug)]
pub struct Responder {
    core: Core,
    versions: Versions,
    nonce: u32,
}

impl Responder {
    /// A side that waits for a Hello. `nonce` must differ between boots.
    #[must_use]
    pub fn new(nonce: u32, versions: Versions) -> Self {
        Self { core: Core::default(), versions, nonce }
    }

    /// Takes a received frame. The second value is a frame to send first, if any.
    pub fn receive<'a>(&mut self, bytes: &'a [u8]) -> (Event<'a>, Option<Frame<'static>>) {
        match decode(bytes) {
            Some(Frame::Hello { versions, nonce }) => match self.versions.common(versions) {
                Some(version) => {
                    let session = SessionId { a: nonce, m: self.nonce };
                    self.core.session = Some(Session::new(session));
                    (Event::Up { version, session }, Some(Frame::Welcome { version, session }))
                }
                None => {
                    self.core.session = None;
                    let event = Event::Refused { ours: self.versions, theirs: versions };
                    (event, Some(Frame::Reject { versions: self.versions, nonce }))
                }
            },
            Some(Frame::Data { session, seq, body }) => (self.core.data(session, seq, body), None),
            Some(Frame::Ping { session }) if self.core.session.is_some_and(|s| s.id == session) => {
                (Event::Nothing, Some(Frame::Pong { session }))
            }
            _ => (self.core.stray(), None),
        }
    }

    /// Wraps a message for sending. `None` when there is no session or the message is over [`BODY_BYTES_MAX`].
    #[must_use]
    pub fn send<'o>(&mut self, body: &[u8], out: &'o mut [u8; FRAME_BYTES_MAX]) -> Option<&'o [u8]> {
        self.core.wrap(body, out)
    }

    /// Whether a session is open.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.core.session.is_some()
    }

    /// The rings were taken away: the session is over.
    pub fn reset(&mut self) {
        self.core.session = None;
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.core.stats
    }
}

/// The A side.
#[derive(Debug)]
pub struct Initiator {
    core: Core,
    versions: Versions,
    nonce: u32,
    greeting: bool,
    heard_us: u64,
    /// When the Ping was sent that nothing has answered.
    pinged_us: Option<u64>,
    asleep: bool,
}

impl Initiator {
    /// A side without a session. `first_nonce` must not have been used by an earlier life of this side.
    #[must_use]
    pub fn new(first_nonce: u32, versions: Versions) -> Self {
        Self {
            core: Core::default(),
            versions,
            nonce: first_nonce,
            greeting: false,
            heard_us: 0,
            pinged_us: None,
            asleep: false,
        }
    }

    /// Opens a session: returns the Hello to send. An open one is void.
    pub fn open(&mut self, now_us: u64) -> Frame<'static> {
        self.core.session = None;
        self.nonce = self.nonce.wrapping_add(1);
        self.greeting = true;
        (self.heard_us, self.pinged_us) = (now_us, None);
        Frame::Hello { versions: self.versions, nonce: self.nonce }
    }

    /// Takes a received frame.
    pub fn receive<'a>(&mut self, bytes: &'a [u8], now_us: u64) -> Event<'a> {
        let event = match decode(bytes) {
            Some(Frame::Welcome { version, session }) if self.greeting && session.a == self.nonce => {
                self.greeting = false;
                self.core.session = Some(Session::new(session));
                Event::Up { version, session }
            }
            Some(Frame::Reject { versions, nonce }) if self.greeting && nonce == self.nonce => {
                self.greeting = false;
                Event::Refused { ours: self.versions, theirs: versions }
            }
            Some(Frame::Data { session, seq, body }) => self.core.data(session, seq, body),
            Some(Frame::Pong { session }) if self.core.session.is_some_and(|s| s.id == session) => Event::Nothing,
            _ => return self.core.stray(),
        };
        (self.heard_us, self.pinged_us) = (now_us, None);
        event
    }

    /// Wraps a message for sending. `None` when there is no session or the message is over [`BODY_BYTES_MAX`].
    #[must_use]
    pub fn send<'o>(&mut self, body: &[u8], out: &'o mut [u8; FRAME_BYTES_MAX]) -> Option<&'o [u8]> {
        self.core.wrap(body, out)
    }

    /// Time passed: a frame to send, or the news that the other side is gone. Silent while A sleeps.
    pub fn tick(&mut self, now_us: u64) -> (Event<'static>, Option<Frame<'static>>) {
        let Some(session) = self.core.session.filter(|_| !self.asleep) else { return (Event::Nothing, None) };
        match self.pinged_us {
            // Counted from the question, not from the last word: A itself may have been busy in between.
            Some(asked_us) if now_us.saturating_sub(asked_us) >= SILENCE_US_MAX => {
                self.core.session = None;
                return (Event::Down(DownReason::Silence), None);
            }
            None if now_us.saturating_sub(self.heard_us) >= HEARTBEAT_US => {
                self.pinged_us = Some(now_us);
                return (Event::Nothing, Some(Frame::Ping { session: session.id }));
            }
            _ => {}
        }
        (Event::Nothing, None)
    }

    /// A goes to sleep or wakes: no heartbeat in between, and the time asleep is not silence.
    pub fn set_asleep(&mut self, asleep: bool, now_us: u64) {
        self.asleep = asleep;
        (self.heard_us, self.pinged_us) = (now_us, None);
    }

    /// Whether a session is open.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.core.session.is_some()
    }

    /// The rings or the peer went away: the session is over.
    pub fn reset(&mut self) {
        self.core.session = None;
        self.greeting = false;
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.core.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Initiator, Responder) {
        let (mut a, mut m) = (Initiator::new(10, VERSIONS), Responder::new(77, VERSIONS));
        let mut buf = [0; FRAME_BYTES_MAX];
        let hello = a.open(0);
        let (event, reply) = m.receive(encode(&hello, &mut buf).unwrap());
        let session = SessionId { a: 11, m: 77 };
        assert_eq!(event, Event::Up { version: 1, session });
        let mut buf = [0; FRAME_BYTES_MAX];
        assert_eq!(a.receive(encode(&reply.unwrap(), &mut buf).unwrap(), 0), Event::Up { version: 1, session });
        (a, m)
    }

    #[test]
    fn messages_arrive_in_their_session_only() {
        let (mut a, mut m) = pair();
        let (mut old, mut buf) = ([0; FRAME_BYTES_MAX], [0; FRAME_BYTES_MAX]);
        let stale = m.send(b"old", &mut old).unwrap();
        let hello = a.open(5);
        let (_, reply) = m.receive(encode(&hello, &mut buf).unwrap());
        let mut buf = [0; FRAME_BYTES_MAX];
        let _ = a.receive(encode(&reply.unwrap(), &mut buf).unwrap(), 6);
        assert_eq!(a.receive(stale, 7), Event::Nothing, "a message of the session before");
        assert_eq!(a.stats().dropped, 1);
        let mut buf = [0; FRAME_BYTES_MAX];
        let fresh = m.send(b"new", &mut buf).unwrap();
        assert_eq!(a.receive(fresh, 8), Event::Message(b"new"));
        assert_eq!(a.receive(fresh, 9), Event::Down(DownReason::Gap), "a repeat is a gap in the numbering");
        assert!(!a.is_up());
    }

    #[test]
    fn no_common_version_is_refused_with_both_ranges_on_both_sides() {
        let (ours, theirs) = (Versions { min: 2, max: 3 }, Versions { min: 4, max: 9 });
        let (mut a, mut m) = (Initiator::new(0, ours), Responder::new(0, theirs));
        let mut buf = [0; FRAME_BYTES_MAX];
        let (event, reply) = m.receive(encode(&a.open(0), &mut buf).unwrap());
        assert_eq!(event, Event::Refused { ours: theirs, theirs: ours });
        let mut buf = [0; FRAME_BYTES_MAX];
        let event = a.receive(encode(&reply.unwrap(), &mut buf).unwrap(), 0);
        assert_eq!(event, Event::Refused { ours, theirs });
        assert!(!a.is_up() && !m.is_up());
        assert_eq!(Versions { min: 1, max: 5 }.common(theirs), Some(5));
        assert_eq!(theirs.common(Versions { min: 9, max: 12 }), Some(9));
    }

    #[test]
    fn silence_is_noticed_unless_a_sleeps() {
        let (mut a, mut m) = pair();
        assert_eq!(a.tick(HEARTBEAT_US - 1), (Event::Nothing, None));
        let (_, ping) = a.tick(HEARTBEAT_US);
        let mut buf = [0; FRAME_BYTES_MAX];
        let (_, pong) = m.receive(encode(&ping.unwrap(), &mut buf).unwrap());
        let mut buf = [0; FRAME_BYTES_MAX];
        assert_eq!(a.receive(encode(&pong.unwrap(), &mut buf).unwrap(), HEARTBEAT_US + 5), Event::Nothing);
        assert_eq!(a.tick(HEARTBEAT_US + 6), (Event::Nothing, None));
        a.set_asleep(true, HEARTBEAT_US + 6);
        assert_eq!(a.tick(100 * SILENCE_US_MAX), (Event::Nothing, None));
        a.set_asleep(false, 100 * SILENCE_US_MAX);
        assert!(a.is_up());
        let (event, ping) = a.tick(101 * SILENCE_US_MAX);
        assert_eq!(event, Event::Nothing, "A was busy and has asked nothing yet");
        assert!(ping.is_some());
        assert_eq!(a.tick(102 * SILENCE_US_MAX - 1), (Event::Nothing, None));
        assert_eq!(a.tick(102 * SILENCE_US_MAX), (Event::Down(DownReason::Silence), None));
    }

    #[test]
    fn garbage_is_counted_and_the_session_stays() {
        let (mut a, mut m) = pair();
        for bytes in [&[][..], &[9; 40], &[3, 1], &[5, 11, 77, 0]] {
            assert_eq!(a.receive(bytes, 1), Event::Nothing);
            assert_eq!(m.receive(bytes), (Event::Nothing, None));
        }
        assert!(a.is_up() && m.is_up());
        assert_eq!((a.stats().dropped, m.stats().dropped), (4, 4));
    }

    #[test]
    fn the_largest_body_fits_a_frame() {
        let (mut a, _) = pair();
        let mut buf = [0; FRAME_BYTES_MAX];
        assert!(a.send(&[0; BODY_BYTES_MAX], &mut buf).is_some());
        assert!(a.send(&[0; FRAME_BYTES_MAX], &mut buf).is_none());
    }
}
