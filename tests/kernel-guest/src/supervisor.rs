//! A session with the supervisor's firmware, over the transport that `coracled` uses.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use coracle_link::{
    BODY_BYTES_MAX, Credit, DropReason, Event, FRAME_BYTES_MAX, Initiator, SessionId, VERSIONS, encode,
};
use coracle_platform::{CharPort, PortEvent, RpmsgPaths, Transport, Waiter};
use coracle_rpmsg::PAYLOAD_BYTES_MAX;
use coracle_wire::{FromM, ToM};

/// Longest time for anything to happen. Longer than the link needs to notice that M is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest wait for the channel's descriptor, in microseconds; the clock of the link ticks at least that often.
const TURN_US: u64 = 20_000;
/// Buffers of a ring of this board.
const RING_BUFFERS: u16 = 16;

/// What came of a turn.
enum News {
    Nothing,
    /// The channel to M is there.
    Open,
    /// It is gone.
    Lost(&'static str),
    /// A session began.
    Up(SessionId),
    /// The session ended.
    Down(&'static str),
    Message(Box<FromM>),
}

/// The A end of the session, without what `coracled` does with it.
pub(crate) struct Supervisor {
    port: CharPort,
    link: Initiator,
    waiter: Waiter,
    clock: Instant,
}

impl Supervisor {
    /// One life of the A side. M need not be there yet.
    pub(crate) fn new() -> Result<Self> {
        let port = CharPort::new(RpmsgPaths::default()).context("no random numbers")?;
        let link = Initiator::new(port.first_nonce(), VERSIONS, Credit::for_buffers(RING_BUFFERS));
        Ok(Self { port, link, waiter: Waiter::new().context("cannot set up signals")?, clock: Instant::now() })
    }

    /// Waits for a session and for the end of M's inventory, which must be empty.
    pub(crate) fn open(&mut self) -> Result<SessionId> {
        let session = self.wait_for("a session", |news| match news {
            News::Up(session) => Ok(Some(session)),
            _ => Ok(None),
        })?;
        self.wait_for("the inventory", |news| match news {
            News::Message(message) => match *message {
                FromM::InventoryEnd => Ok(Some(())),
                other => bail!("a core without containers reports {other:?}"),
            },
            News::Down(why) | News::Lost(why) => bail!("the session ended: {why}"),
            _ => Ok(None),
        })?;
        Ok(session)
    }

    /// Asks M for its numbers, and waits until the clocks are compared, too. Gives when M began, on this side's clock, and
    /// by how much that may be wrong, in microseconds.
    pub(crate) fn ask(&mut self) -> Result<(i64, u64)> {
        self.send(&ToM::Begin)?;
        self.send(&ToM::Query)?;
        self.wait_for("the numbers", |news| match news {
            News::Message(message) => match *message {
                FromM::Stats { wakes: [0, 0, 0], unacknowledged: 0, .. } => Ok(Some(())),
                other => bail!("a core without containers reports {other:?}"),
            },
            News::Down(why) | News::Lost(why) => bail!("the session ended: {why}"),
            _ => Ok(None),
        })?;
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(offset) = self.link.clock() {
                return Ok(offset.to_a_us(0));
            }
            ensure!(Instant::now() < end, "the clocks were not compared");
            if let News::Down(why) | News::Lost(why) = self.turn()? {
                bail!("the session ended: {why}");
            }
        }
    }

    /// Waits until the channel is seen to be gone, and gives the reason.
    pub(crate) fn see_loss(&mut self) -> Result<&'static str> {
        self.wait_for("the loss of the channel", |news| match news {
            News::Lost(why) => Ok(Some(why)),
            News::Down(why) => bail!("the link noticed before the port: {why}"),
            _ => Ok(None),
        })
    }

    fn wait_for<T>(&mut self, what: &str, mut wanted: impl FnMut(News) -> Result<Option<T>>) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        loop {
            let news = self.turn()?;
            if let Some(found) = wanted(news)? {
                return Ok(found);
            }
            if let Some(complaint) = self.port.take_complaint() {
                bail!("while waiting for {what}: {complaint}");
            }
            ensure!(Instant::now() < end, "waited {} s in vain for {what}", PATIENCE.as_secs());
        }
    }

    /// Takes one thing that happened, or waits for a while.
    fn turn(&mut self) -> Result<News> {
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        let event = self.port.poll(&mut payload);
        let now = self.now_us();
        let news = match event {
            PortEvent::Idle => {
                let wait_us = self.port.wait_us().map_or(TURN_US, |us| us.min(TURN_US));
                self.waiter.wait(self.port.readiness(), std::iter::empty(), Some(wait_us)).context("cannot wait")?;
                News::Nothing
            }
            PortEvent::Open => {
                let hello = self.link.open(now);
                self.send_frame(&hello)?;
                News::Open
            }
            PortEvent::Lost(why) => {
                self.link.reset();
                News::Lost(why)
            }
            PortEvent::Frame(len) => {
                let frame = payload.get(..len).context("more bytes than there is room for")?;
                let news = match self.link.receive(frame, now) {
                    Event::Up { session, .. } => News::Up(session),
                    Event::Down(reason) => News::Down(reason.as_str()),
                    Event::Message { body, .. } => {
                        News::Message(Box::new(coracle_wire::decode(body).context("M sent what is no message")?))
                    }
                    // M may still speak to this side's earlier life.
                    Event::Dropped(DropReason::Stale) => News::Nothing,
                    Event::Dropped(reason) => bail!("a frame was dropped: {reason:?}"),
                    Event::Refused { ours, theirs } => bail!("M speaks {theirs:?}, not {ours:?}"),
                    Event::Nothing => News::Nothing,
                };
                self.link.grant();
                news
            }
        };
        let (event, frame) = self.link.tick(self.now_us());
        if let Some(frame) = frame {
            self.send_frame(&frame)?;
        }
        if let Some(frame) = self.link.credit_frame() {
            self.send_frame(&frame)?;
        }
        self.port.flush();
        match event {
            Event::Down(reason) => Ok(News::Down(reason.as_str())),
            _ => Ok(news),
        }
    }

    fn send(&mut self, message: &ToM) -> Result<()> {
        let mut body = [0; BODY_BYTES_MAX];
        let body = coracle_wire::encode(message, &mut body).context("a message that is too long")?;
        let mut frame = [0; FRAME_BYTES_MAX];
        let now = self.now_us();
        match self.link.send(message.channel(), body, now, &mut frame) {
            Ok(frame) => self.port.send(frame),
            Err(error) => bail!("cannot send: {error:?}"),
        }
        self.port.flush();
        Ok(())
    }

    fn send_frame(&mut self, frame: &coracle_link::Frame<'_>) -> Result<()> {
        let mut out = [0; FRAME_BYTES_MAX];
        self.port.send(encode(frame, &mut out).context("a frame that is too long")?);
        Ok(())
    }

    /// This side's clock, in microseconds.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
