//! The M side.

use crate::credit::{Channel, Credit};
use crate::frame::{FRAME_BYTES_MAX, Frame, SessionId, Versions, decode, hello, nonce};
use crate::session::{Core, DownReason, DropReason, Event, LinkStats, SendError, count};

/// The M side.
#[derive(Debug)]
pub struct Responder {
    core: Core,
    versions: Versions,
    life: u32,
    sessions: u32,
}

impl Responder {
    /// A side that waits for a Hello. `life` must differ between boots; `window` is what this side has room for at any
    /// time.
    #[must_use]
    pub fn new(life: u32, versions: Versions, window: Credit) -> Self {
        Self { core: Core::new(window), versions, life, sessions: 0 }
    }

    /// Takes a received frame. `now_us` is this side's clock, read after the frame was received. The second value is a
    /// frame to send first, if any.
    pub fn receive<'a>(&mut self, bytes: &'a [u8], now_us: u64) -> (Event<'a>, Option<Frame<'static>>) {
        if let Some((theirs, nonce)) = hello(bytes)
            && self.versions.common(theirs).is_none()
        {
            self.core.session = None;
            count(&mut self.core.stats.refused);
            let event = Event::Refused { ours: self.versions, theirs };
            return (event, Some(Frame::Reject { versions: self.versions, nonce }));
        }
        match decode(bytes) {
            Some(Frame::Hello { versions, nonce, credit }) => self.hello(versions, nonce, credit),
            Some(Frame::Data { session, channel, seq, credit, sent_us, body }) => {
                let event = self.core.data(session, channel, seq, credit, sent_us, body);
                let lost = matches!(event, Event::Down(_) | Event::Dropped(_));
                (event, lost.then_some(Frame::Reset { session }))
            }
            Some(Frame::Ping { session, seq, credit, asked_us }) => {
                match self.of_session(session, |core| core.reached(seq, credit)) {
                    (Event::Nothing, _) => {
                        let (seq, credit) = (self.core.next_seq(), self.core.tell());
                        let pong = Frame::Pong { session, seq, credit, asked_us, received_us: now_us, sent_us: now_us };
                        (Event::Nothing, Some(pong))
                    }
                    lost => lost,
                }
            }
            Some(Frame::Credit { session, credit }) => self.of_session(session, |core| core.allow(credit)),
            Some(_) => (self.core.drop(DropReason::Unexpected), None),
            None => (self.core.drop(DropReason::Malformed), None),
        }
    }

    fn hello(&mut self, versions: Versions, a: u64, credit: Credit) -> (Event<'static>, Option<Frame<'static>>) {
        // Twice the same: its session would begin again from 0 and take old messages for new.
        let repeated = self.core.session.is_some_and(|s| s.id.a == a);
        match self.versions.common(versions) {
            Some(version) if credit.is_sane() && !repeated => {
                self.sessions = self.sessions.wrapping_add(1);
                let session = SessionId { a, m: nonce(self.life, self.sessions) };
                self.core.open(session, credit);
                let credit = self.core.window;
                (Event::Up { version, session }, Some(Frame::Welcome { version, session, credit }))
            }
            _ => (self.core.drop(DropReason::Unexpected), None),
        }
    }

    /// Takes a frame that only the open session may send; another one, or one that ends it, is answered by a Reset.
    fn of_session(
        &mut self,
        session: SessionId,
        take: impl FnOnce(&mut Core) -> Event<'static>,
    ) -> (Event<'static>, Option<Frame<'static>>) {
        let event = if self.core.is_open(session) { take(&mut self.core) } else { self.core.drop(DropReason::Stale) };
        (event, (event != Event::Nothing).then_some(Frame::Reset { session }))
    }

    /// Wraps a message for sending; `now_us` is this side's clock.
    ///
    /// # Errors
    /// [`SendError`]; the message was not sent and changed nothing.
    pub fn send<'o>(
        &mut self,
        channel: Channel,
        body: &[u8],
        now_us: u64,
        out: &'o mut [u8; FRAME_BYTES_MAX],
    ) -> Result<&'o [u8], SendError> {
        self.core.wrap(channel, body, now_us, out)
    }

    /// The channel to send from next, when messages wait as said; `None` when nothing waits or may be sent. Messages in
    /// bulk never overtake those of [`Channel::Control`].
    #[must_use]
    pub fn next(&self, control_waits: bool, bulk_waits: bool) -> Option<Channel> {
        self.core.next(control_waits, bulk_waits)
    }

    /// Everything received so far has been dealt with, and there is room for a whole window more. The other side learns
    /// of it by the next frame.
    pub fn grant(&mut self) {
        self.core.grant();
    }

    /// A frame that says what was granted, when the other side needs it and no other frame said so.
    pub fn credit_frame(&mut self) -> Option<Frame<'static>> {
        self.core.credit_frame()
    }

    /// The layer above cannot hold more messages that wait for credit: gives the session up. Returns the frame that tells
    /// the other side, if there was a session.
    pub fn backlog(&mut self) -> Option<Frame<'static>> {
        let session = self.core.session?.id;
        let _ = self.core.end(DownReason::Backlog);
        Some(Frame::Reset { session })
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
