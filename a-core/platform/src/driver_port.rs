//! The A end of the rings: waits for the firmware's resource table, asks M to let go, sets the rings up, waits for the
//! channel's announcement, and moves link frames. See `coracle_rpmsg`'s resource table for the handshake.
//!
//! ```text
//! Absent --table--> Resetting --M let go--> Up --announcement--> Open
//!    ^------------------------- M was reset, or broke the protocol ---'
//! ```

use std::collections::VecDeque;

use coracle_boards::{SharedLayout, Span};
use coracle_link::CHANNEL;
use coracle_rpmsg::{
    ControlWords, Driver, KICK_TO_DEVICE, KICK_TO_DRIVER, Layout, NAME_SERVICE_ADDRESS, NameService, PAYLOAD_BYTES_MAX,
    STATUS_DRIVER_OK, SendError, TableError, VringSize, read_table,
};
use coracle_shmem::{OutOfRegion, Region};
use coracle_wire::A_ENDPOINT;
use thiserror::Error;

/// Frames that may wait for a free buffer; beyond, M has stopped reading and the oldest session is lost anyway.
const FRAMES_MAX: usize = 4096;

/// The board description does not fit the shared memory.
#[derive(Debug, Error)]
#[error("the board's shared layout does not fit its memory: correct the board file")]
pub struct LayoutError(#[from] OutOfRegion);

/// What a poll of the port brought.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum PortEvent {
    /// Nothing.
    Idle,
    /// M announced the channel: a session can be opened.
    Open,
    /// The rings are gone; the port starts again by itself.
    Lost(&'static str),
    /// A frame; its bytes are the first `usize` bytes of the caller's buffer.
    Frame(usize),
}

#[derive(Debug)]
enum State<'m> {
    Absent,
    Resetting,
    Up(Box<Driver<'m>>),
    Open(Box<Driver<'m>>, u32),
}

/// The driver end of the channel to M.
#[derive(Debug)]
pub struct DriverPort<'m> {
    layout: Layout<'m>,
    table: Region<'m>,
    words: ControlWords<'m>,
    ring_addresses: [u32; 2],
    epoch: u32,
    state: State<'m>,
    frames: VecDeque<Vec<u8>>,
    /// M spoiled the ring that A sends on.
    faulty: bool,
    kick_driver: bool,
    kick_device: bool,
    complaint: Option<TableError>,
}

impl<'m> DriverPort<'m> {
    /// A port on the shared memory of a board. Nothing is written before M's table is there.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn new(shared: Region<'m>, layout: &SharedLayout) -> Result<Self, LayoutError> {
        let sub = |span: Span| shared.sub(span.offset as usize, span.bytes as usize);
        let address = |span: Span| layout.address.wrapping_add(span.offset);
        let size = VringSize::new(layout.vring_num, layout.vring_align).ok_or(OutOfRegion)?;
        let table = sub(layout.resource_table)?;
        let words = ControlWords::new(table);
        Ok(Self {
            layout: Layout {
                vring0: sub(layout.vring0)?,
                vring1: sub(layout.vring1)?,
                buffers: sub(layout.buffers)?,
                buffers_address: u64::from(address(layout.buffers)),
                size,
            },
            table,
            words,
            ring_addresses: [address(layout.vring0), address(layout.vring1)],
            // Rises above every epoch of an earlier driver, so that no two lives of A share one.
            epoch: words.driver_epoch()?,
            state: State::Absent,
            frames: VecDeque::new(),
            faulty: false,
            kick_driver: false,
            kick_device: false,
            complaint: None,
        })
    }

    /// The epoch that the next attachment will have at least; differs between lives of this side.
    #[must_use]
    pub fn first_epoch(&self) -> u32 {
        self.epoch.wrapping_add(1)
    }

    /// Why M's table was refused, once.
    pub fn take_complaint(&mut self) -> Option<TableError> {
        self.complaint.take()
    }

    /// The id of a kick that has to be sent now, if any. Call until it is `None`.
    pub fn take_kick(&mut self) -> Option<u8> {
        if std::mem::take(&mut self.kick_device) {
            return Some(KICK_TO_DEVICE);
        }
        std::mem::take(&mut self.kick_driver).then_some(KICK_TO_DRIVER)
    }

    /// Takes a frame for sending. Without an open channel it is dropped: its session is over.
    pub fn send(&mut self, frame: &[u8]) {
        if matches!(self.state, State::Open(..)) && self.frames.len() < FRAMES_MAX {
            self.frames.push_back(frame.to_vec());
        }
        self.flush();
    }

    /// Whether something waits for M: frames for a buffer, or a handshake.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.frames.is_empty() || !matches!(self.state, State::Open(..))
    }

    /// Gives the rings up and starts again: M is known to be dead or confused.
    pub fn restart(&mut self) {
        self.state = State::Absent;
        self.faulty = false;
        self.frames.clear();
    }

    /// Looks at the handshake words and the receive ring.
    ///
    /// # Errors
    /// [`LayoutError`] never, for a layout that [`DriverPort::new`] accepted.
    pub fn poll(&mut self, payload: &mut [u8; PAYLOAD_BYTES_MAX]) -> Result<PortEvent, LayoutError> {
        loop {
            match &self.state {
                State::Absent => {
                    match read_table(&self.table, self.ring_addresses, self.layout.size) {
                        Ok(()) => {}
                        Err(TableError::Missing) => return Ok(PortEvent::Idle),
                        Err(error) => {
                            self.complaint = Some(error);
                            return Ok(PortEvent::Idle);
                        }
                    }
                    self.words.set_status(0)?;
                    self.epoch = self.epoch.wrapping_add(1).max(1);
                    self.words.set_driver_epoch(self.epoch)?;
                    self.kick_device = true;
                    self.state = State::Resetting;
                    return Ok(PortEvent::Idle);
                }
                State::Resetting => {
                    if self.words.device_epoch()? != self.epoch {
                        return Ok(PortEvent::Idle);
                    }
                    let driver = Driver::new(&self.layout).map_err(|_| OutOfRegion)?;
                    self.words.set_status(STATUS_DRIVER_OK)?;
                    self.kick_device = true;
                    self.state = State::Up(Box::new(driver));
                }
                State::Up(_) | State::Open(..) => {
                    if self.words.device_epoch()? != self.epoch {
                        return Ok(self.lost("M was reset"));
                    }
                    self.flush();
                    if std::mem::take(&mut self.faulty) {
                        return Ok(self.lost("M broke the ring protocol"));
                    }
                    return Ok(self.receive(payload));
                }
            }
        }
    }

    fn lost(&mut self, why: &'static str) -> PortEvent {
        self.restart();
        PortEvent::Lost(why)
    }

    fn receive(&mut self, payload: &mut [u8; PAYLOAD_BYTES_MAX]) -> PortEvent {
        // Bounded: M may send to endpoints that nobody has for ever.
        for _ in 0..self.layout.size.entries() {
            let (State::Up(driver) | State::Open(driver, _)) = &mut self.state else { return PortEvent::Idle };
            let message = match driver.receive(payload) {
                Ok(Some(message)) => message,
                Ok(None) => return PortEvent::Idle,
                Err(_) => return self.lost("M broke the ring protocol"),
            };
            // A buffer went back: M may wait for it.
            self.kick_driver = true;
            if message.dst == A_ENDPOINT {
                return PortEvent::Frame(message.len);
            }
            let announced = (message.dst == NAME_SERVICE_ADDRESS)
                .then(|| NameService::from_bytes(payload.get(..message.len).unwrap_or_default()))
                .flatten()
                .filter(|ns| ns.name() == CHANNEL);
            match announced {
                Some(ns) if ns.destroyed => return self.lost("M closed the channel"),
                Some(ns) => {
                    if let State::Up(driver) = std::mem::replace(&mut self.state, State::Absent) {
                        self.state = State::Open(driver, ns.address);
                        return PortEvent::Open;
                    }
                    return self.lost("M announced the channel twice");
                }
                None => {}
            }
        }
        PortEvent::Idle
    }

    fn flush(&mut self) {
        let State::Open(driver, peer) = &mut self.state else { return };
        while let Some(frame) = self.frames.pop_front() {
            match driver.send(A_ENDPOINT, *peer, &frame) {
                Ok(kick) => self.kick_device |= kick,
                Err(SendError::NoBuffer) => {
                    self.frames.push_front(frame);
                    return;
                }
                // An empty or oversized frame is not one of ours.
                Err(SendError::Size) => {}
                // The next poll says so.
                Err(SendError::Fault(_)) => {
                    self.faulty = true;
                    return;
                }
            }
        }
    }
}
