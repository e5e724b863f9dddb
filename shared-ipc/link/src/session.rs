//! What both sides share: the numbering and the credit of an open session, events, counters.

use core::fmt;

use crate::credit::{Channel, Credit};
use crate::frame::{FRAME_BYTES_MAX, Frame, SessionId, Versions, encode};

/// What the link tells the layer above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Event<'a> {
    /// Nothing to do.
    Nothing,
    /// The frame was counted and dropped; the session, if there is one, stays.
    Dropped(DropReason),
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
    Message {
        /// The channel that it came on.
        channel: Channel,
        /// When it was sent, in microseconds of the other side's clock.
        sent_us: u64,
        /// The message.
        body: &'a [u8],
    },
}

/// Why a frame was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// It is not a frame of this version.
    Malformed,
    /// It belongs to a session that is over.
    Stale,
    /// It says nothing here and now: an answer that nobody asked for, a greeting that was answered, a frame that only the
    /// other side sends.
    Unexpected,
    /// An answer whose times contradict each other.
    BadTime,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownReason {
    /// The other side was silent for [`crate::SILENCE_US_MAX`].
    Silence,
    /// A message is missing.
    Gap,
    /// The other side sent a message for which it had no credit.
    OverCredit,
    /// The other side took credit back, or granted more than anybody has room for.
    BadCredit,
    /// The other side does not know the session: it was reset, or gave the session up.
    PeerReset,
    /// The layer above has no room left for messages that wait for credit.
    Backlog,
}

impl DownReason {
    /// As a text for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silence => "the other core is silent",
            Self::Gap => "a message is missing",
            Self::OverCredit => "the other core sent more than it had credit for",
            Self::BadCredit => "the other core granted an impossible credit",
            Self::PeerReset => "the other core does not know the session any more",
            Self::Backlog => "the other core takes no messages",
        }
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a message cannot be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// There is no session.
    Down,
    /// The other side has no room on this channel: try again when it granted some.
    NoCredit,
    /// The message is over [`crate::BODY_BYTES_MAX`].
    TooLong,
}

/// Counters of one side since it began, for diagnosis. They wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkStats {
    /// Messages sent.
    pub sent: u32,
    /// Messages received.
    pub received: u32,
    /// Messages that had to wait because the other side had no room.
    pub no_credit: u32,
    /// Frames dropped: see [`DropReason::Malformed`].
    pub malformed: u32,
    /// Frames dropped: see [`DropReason::Stale`].
    pub stale: u32,
    /// Frames dropped: see [`DropReason::Unexpected`].
    pub unexpected: u32,
    /// Frames dropped: see [`DropReason::BadTime`].
    pub bad_time: u32,
    /// Sessions that did not come about for want of a common version.
    pub refused: u32,
    /// Sessions ended: see [`DownReason::Silence`].
    pub silences: u32,
    /// Sessions ended: see [`DownReason::Gap`].
    pub gaps: u32,
    /// Sessions ended: see [`DownReason::OverCredit`].
    pub over_credit: u32,
    /// Sessions ended: see [`DownReason::BadCredit`].
    pub bad_credit: u32,
    /// Sessions ended: see [`DownReason::PeerReset`].
    pub peer_resets: u32,
    /// Sessions ended: see [`DownReason::Backlog`].
    pub backlogs: u32,
    /// Times that the other core's clock was not where it had to be.
    pub clock_jumps: u32,
}

impl LinkStats {
    /// Frames dropped for any reason.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        [self.malformed, self.stale, self.unexpected, self.bad_time].into_iter().fold(0, u32::wrapping_add)
    }
}

/// Counts one more.
pub(crate) fn count(counter: &mut u32) {
    *counter = counter.wrapping_add(1);
}

/// An open session: numbering and credit of both directions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    send_seq: u32,
    receive_seq: u32,
    /// Messages sent, and what the other side has room for.
    sent: Credit,
    allowed: Credit,
    /// What the other side granted at the start.
    their_window: Credit,
    /// Messages received, what is granted, and how much of that the other side was told.
    taken: Credit,
    granted: Credit,
    told: Credit,
}

/// What both sides share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) session: Option<Session>,
    pub(crate) stats: LinkStats,
    /// What this side has room for.
    pub(crate) window: Credit,
}

impl Core {
    pub(crate) fn new(window: Credit) -> Self {
        Self { session: None, stats: LinkStats::default(), window }
    }

    /// Opens a session with a side that has room for `theirs`; this one was offered [`Core::window`].
    pub(crate) fn open(&mut self, id: SessionId, theirs: Credit) {
        let none = Credit::default();
        let (granted, told) = (self.window, self.window);
        self.session = Some(Session {
            id,
            send_seq: 0,
            receive_seq: 0,
            sent: none,
            allowed: theirs,
            their_window: theirs,
            taken: none,
            granted,
            told,
        });
    }

    /// Whether that session is open.
    pub(crate) fn is_open(&self, id: SessionId) -> bool {
        self.session.is_some_and(|s| s.id == id)
    }

    /// Wraps a message.
    pub(crate) fn wrap<'o>(
        &mut self,
        channel: Channel,
        body: &[u8],
        sent_us: u64,
        out: &'o mut [u8; FRAME_BYTES_MAX],
    ) -> Result<&'o [u8], SendError> {
        let session = self.session.as_mut().ok_or(SendError::Down)?;
        if session.room().get(channel) == 0 {
            count(&mut self.stats.no_credit);
            return Err(SendError::NoCredit);
        }
        let (id, seq, credit) = (session.id, session.send_seq, session.granted);
        let frame = Frame::Data { session: id, channel, seq, credit, sent_us, body };
        let used = encode(&frame, out).ok_or(SendError::TooLong)?;
        session.told = session.granted;
        session.send_seq = seq.wrapping_add(1);
        let sent = session.sent.get_mut(channel);
        *sent = sent.wrapping_add(1);
        count(&mut self.stats.sent);
        Ok(used)
    }

    /// The channel to send from next, when messages wait as said. What is urgent goes first: while it waits for credit,
    /// nothing in bulk overtakes it.
    pub(crate) fn next(&self, control_waits: bool, bulk_waits: bool) -> Option<Channel> {
        let first = if control_waits { Channel::Control } else { Channel::Bulk };
        let room = self.session.as_ref()?.room().get(first);
        ((control_waits || bulk_waits) && room > 0).then_some(first)
    }

    /// Takes a received message.
    pub(crate) fn data<'a>(
        &mut self,
        id: SessionId,
        channel: Channel,
        seq: u32,
        credit: Credit,
        sent_us: u64,
        body: &'a [u8],
    ) -> Event<'a> {
        let Some(session) = self.session.as_mut().filter(|s| s.id == id) else { return self.drop(DropReason::Stale) };
        if session.receive_seq != seq {
            return self.end(DownReason::Gap);
        }
        if session.told.ahead_of(session.taken).get(channel) == 0 {
            return self.end(DownReason::OverCredit);
        }
        if !session.allow(credit) {
            return self.end(DownReason::BadCredit);
        }
        session.receive_seq = seq.wrapping_add(1);
        let taken = session.taken.get_mut(channel);
        *taken = taken.wrapping_add(1);
        count(&mut self.stats.received);
        Event::Message { channel, sent_us, body }
    }

    /// Takes the credit that came with another frame of the open session.
    pub(crate) fn allow(&mut self, credit: Credit) -> Event<'static> {
        let sane = self.session.as_mut().is_none_or(|session| session.allow(credit));
        if sane { Event::Nothing } else { self.end(DownReason::BadCredit) }
    }

    /// Takes number and credit of a Ping or a Pong of the open session. It shows that the last messages before it were
    /// lost: no other one follows when their credit was the last.
    pub(crate) fn reached(&mut self, seq: u32, credit: Credit) -> Event<'static> {
        if self.session.as_ref().is_some_and(|session| session.receive_seq != seq) {
            return self.end(DownReason::Gap);
        }
        self.allow(credit)
    }

    /// The number of the next message to send.
    pub(crate) fn next_seq(&self) -> u32 {
        self.session.as_ref().map_or(0, |session| session.send_seq)
    }

    /// All that was received has been dealt with: there is room for a whole window again.
    pub(crate) fn grant(&mut self) {
        if let Some(session) = &mut self.session {
            session.granted = session.taken.plus(self.window);
        }
    }

    /// What is granted, for a frame that says so.
    pub(crate) fn tell(&mut self) -> Credit {
        let Some(session) = &mut self.session else { return Credit::default() };
        session.told = session.granted;
        session.told
    }

    /// A frame that grants more, when the other side has little left and no other frame said so.
    pub(crate) fn credit_frame(&mut self) -> Option<Frame<'static>> {
        let session = self.session.as_ref()?;
        let low = session.told.ahead_of(session.taken).is_low(self.window);
        let id = session.id;
        (low && session.told != session.granted).then(|| Frame::Credit { session: id, credit: self.tell() })
    }

    /// Whether the other side is about to grant more: it does when this side has used half of what it was offered.
    pub(crate) fn expects_credit(&self) -> bool {
        self.session.as_ref().is_some_and(|s| s.room().is_low(s.their_window))
    }

    pub(crate) fn drop(&mut self, reason: DropReason) -> Event<'static> {
        count(match reason {
            DropReason::Malformed => &mut self.stats.malformed,
            DropReason::Stale => &mut self.stats.stale,
            DropReason::Unexpected => &mut self.stats.unexpected,
            DropReason::BadTime => &mut self.stats.bad_time,
        });
        Event::Dropped(reason)
    }

    /// Ends the session.
    pub(crate) fn end(&mut self, reason: DownReason) -> Event<'static> {
        self.session = None;
        count(match reason {
            DownReason::Silence => &mut self.stats.silences,
            DownReason::Gap => &mut self.stats.gaps,
            DownReason::OverCredit => &mut self.stats.over_credit,
            DownReason::BadCredit => &mut self.stats.bad_credit,
            DownReason::PeerReset => &mut self.stats.peer_resets,
            DownReason::Backlog => &mut self.stats.backlogs,
        });
        Event::Down(reason)
    }
}

impl Session {
    /// Messages that may be sent now.
    fn room(&self) -> Credit {
        self.allowed.ahead_of(self.sent)
    }

    /// Takes the other side's word on its room; false when it cannot be true.
    fn allow(&mut self, credit: Credit) -> bool {
        let sane = credit.ahead_of(self.allowed).is_sane() && credit.ahead_of(self.sent).is_sane();
        if sane {
            self.allowed = credit;
        }
        sane
    }
}
