//! The A side.

use crate::clock::{ClockOffset, Sample, join};
use crate::credit::{Channel, Credit};
use crate::frame::{FRAME_BYTES_MAX, Frame, Versions, decode, nonce, reject};
use crate::session::{Core, DownReason, DropReason, Event, LinkStats, SendError, count};

/// The A side asks for a sign of life when it heard nothing for this long, in microseconds.
pub const HEARTBEAT_US: u64 = 500_000;
/// The A side gives the M side up when its question was not answered, and nothing else heard, for this long, in
/// microseconds.
pub const SILENCE_US_MAX: u64 = 5_000_000;
/// Questions that a new session, or an A that woke, asks one after the other to compare the clocks: the quickest answer
/// says the most.
pub const CLOCK_PINGS: u8 = 4;
/// The clocks are compared again after this long at the latest, in microseconds, however busy the link is.
pub const CLOCK_REFRESH_US: u64 = 10_000_000;

/// The A side.
#[derive(Debug)]
pub struct Initiator {
    core: Core,
    versions: Versions,
    life: u32,
    sessions: u32,
    greeting: bool,
    heard_us: u64,
    /// When the Ping was sent that M has not answered.
    asked_us: Option<u64>,
    /// Questions to ask before the clocks count as compared.
    pings: u8,
    clock: Option<ClockOffset>,
    /// The next answer replaces what is known of M's clock.
    clock_is_old: bool,
    asleep: bool,
}

impl Initiator {
    /// A side without a session. `life` must differ between lives of this side; `window` is what it has room for at any
    /// time.
    #[must_use]
    pub fn new(life: u32, versions: Versions, window: Credit) -> Self {
        Self {
            core: Core::new(window),
            versions,
            life,
            sessions: 0,
            greeting: false,
            heard_us: 0,
            asked_us: None,
            pings: 0,
            clock: None,
            clock_is_old: false,
            asleep: false,
        }
    }

    /// Opens a session: returns the Hello to send. An open one is void.
    pub fn open(&mut self, now_us: u64) -> Frame<'static> {
        self.reset();
        self.sessions = self.sessions.wrapping_add(1);
        self.greeting = true;
        self.heard_us = now_us;
        Frame::Hello { versions: self.versions, nonce: self.nonce(), credit: self.core.window }
    }

    /// The nonce of the newest session.
    fn nonce(&self) -> u64 {
        nonce(self.life, self.sessions)
    }

    /// Takes a received frame. `now_us` is this side's clock, read after the frame was received; like M's, it must count
    /// on while its core sleeps.
    pub fn receive<'a>(&mut self, bytes: &'a [u8], now_us: u64) -> Event<'a> {
        let event = self.take(bytes, now_us);
        match event {
            // A wrong time is a sign of life too: asking again at once would get the same answer, without end.
            Event::Dropped(reason) if reason != DropReason::BadTime => {}
            Event::Down(_) => self.reset(),
            _ => self.heard_us = now_us,
        }
        event
    }

    fn take<'a>(&mut self, bytes: &'a [u8], now_us: u64) -> Event<'a> {
        if let Some((theirs, nonce)) = reject(bytes) {
            if !self.greeting || nonce != self.nonce() {
                return self.core.drop(DropReason::Unexpected);
            }
            self.greeting = false;
            count(&mut self.core.stats.refused);
            return Event::Refused { ours: self.versions, theirs };
        }
        match decode(bytes) {
            Some(Frame::Welcome { version, session, credit })
                if self.greeting
                    && session.a == self.nonce()
                    && credit.is_sane()
                    // M chooses among the versions that it was offered.
                    && (self.versions.min..=self.versions.max).contains(&version) =>
            {
                self.greeting = false;
                self.core.open(session, credit);
                self.pings = CLOCK_PINGS;
                Event::Up { version, session }
            }
            Some(Frame::Data { session, channel, seq, credit, sent_us, body }) => {
                self.core.data(session, channel, seq, credit, sent_us, body)
            }
            Some(Frame::Pong { session, .. } | Frame::Credit { session, .. } | Frame::Reset { session })
                if !self.core.is_open(session) =>
            {
                self.core.drop(DropReason::Stale)
            }
            Some(Frame::Pong { seq, credit, asked_us, received_us, sent_us, .. }) => {
                if self.asked_us.take_if(|asked| *asked == asked_us).is_none() {
                    return self.core.drop(DropReason::Unexpected);
                }
                match self.core.reached(seq, credit) {
                    Event::Nothing => self.compare(&Sample { asked_us, received_us, sent_us, answered_us: now_us }),
                    event => event,
                }
            }
            Some(Frame::Credit { credit, .. }) => self.core.allow(credit),
            Some(Frame::Reset { .. }) => self.core.end(DownReason::PeerReset),
            Some(_) => self.core.drop(DropReason::Unexpected),
            None => self.core.drop(DropReason::Malformed),
        }
    }

    fn compare(&mut self, sample: &Sample) -> Event<'static> {
        let Some(new) = sample.offset() else { return self.core.drop(DropReason::BadTime) };
        let is_old = core::mem::take(&mut self.clock_is_old);
        let joined = self.clock.filter(|_| !is_old).map(|old| join(old, new));
        if joined == Some(None) {
            count(&mut self.core.stats.clock_jumps);
        }
        self.clock = Some(joined.flatten().unwrap_or(new));
        Event::Nothing
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

    /// Time passed: a frame to send, or the news that the other side is gone. Silent while A sleeps.
    pub fn tick(&mut self, now_us: u64) -> (Event<'static>, Option<Frame<'static>>) {
        let Some(session) = self.core.session.filter(|_| !self.asleep) else { return (Event::Nothing, None) };
        if let Some(asked_us) = self.asked_us {
            // Counted from the question at the earliest: A itself may have been busy since the last word.
            if now_us.saturating_sub(asked_us.max(self.heard_us)) >= SILENCE_US_MAX {
                let event = self.core.end(DownReason::Silence);
                self.reset();
                return (event, None);
            }
            return (Event::Nothing, None);
        }
        let old = self.clock.is_some_and(|clock| clock.age_us(now_us) >= CLOCK_REFRESH_US);
        if self.pings == 0 && !old && now_us.saturating_sub(self.heard_us) < HEARTBEAT_US {
            return (Event::Nothing, None);
        }
        self.pings = self.pings.saturating_sub(1);
        self.asked_us = Some(now_us);
        let (seq, credit) = (self.core.next_seq(), self.core.tell());
        (Event::Nothing, Some(Frame::Ping { session: session.id, seq, credit, asked_us: now_us }))
    }

    /// A goes to sleep or wakes: no heartbeat in between, and the time asleep is not silence. When it wakes, the clocks
    /// are compared anew; until then, what was known before counts, with what they may have drifted apart since.
    pub fn set_asleep(&mut self, asleep: bool, now_us: u64) {
        if asleep == self.asleep {
            return;
        }
        (self.asleep, self.heard_us, self.asked_us) = (asleep, now_us, None);
        self.pings = if asleep { 0 } else { CLOCK_PINGS };
        self.clock_is_old |= !asleep;
    }

    /// Whether A sleeps, as far as the link was told.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// Whether nothing of the link's own is expected from M: no answer, and no credit for what it was sent. An A that goes
    /// to sleep now is not woken by the link.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.asked_us.is_none() && self.pings == 0 && !self.core.expects_credit()
    }

    /// Where M's clock stands; `None` until the clocks were compared in this session.
    #[must_use]
    pub fn clock(&self) -> Option<ClockOffset> {
        self.clock
    }

    /// The layer above cannot hold more messages that wait for credit: gives the session up.
    pub fn backlog(&mut self) -> Event<'static> {
        let event = self.core.end(DownReason::Backlog);
        self.reset();
        event
    }

    /// Whether a session is open.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.core.session.is_some()
    }

    /// The rings or the peer went away: the session is over.
    pub fn reset(&mut self) {
        self.core.session = None;
        (self.greeting, self.asked_us, self.pings, self.clock, self.clock_is_old) = (false, None, 0, None, false);
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.core.stats
    }
}
