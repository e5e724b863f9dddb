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
    ControlWords, Driver, Endpoint, Fault, Instance, KICK_TO_DEVICE, Layout, PAYLOAD_BYTES_MAX, Received, Rpmsg,
    RpmsgError, STATUS_DRIVER_OK, TableError, VringSize, read_table,
};
use coracle_shmem::{OutOfRegion, Region};
use coracle_wire::A_ENDPOINT;
use thiserror::Error;

/// Frames that may wait for a free buffer; beyond, M has stopped reading and the oldest session is lost anyway.
const FRAMES_MAX: usize = 4096;

/// The board description does not fit the shared memory.
#[derive(Debug, Error)]
#[error("the board's shared layout does not fit its memory: correct the board file")]
pub struct LayoutError;

impl From<OutOfRegion> for LayoutError {
    fn from(_: OutOfRegion) -> Self {
        Self
    }
}

impl From<Fault> for LayoutError {
    fn from(_: Fault) -> Self {
        Self
    }
}

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
    Resetting(ControlWords<'m>),
    Up(Box<Channel<'m>>),
    Open(Box<Channel<'m>>),
}

/// Rings that are set up.
#[derive(Debug)]
struct Channel<'m> {
    words: ControlWords<'m>,
    rpmsg: Instance<Driver<'m>, 1>,
    endpoint: Endpoint,
    /// M's endpoint, once it was announced.
    peer: u32,
}

/// The driver end of the channel to M.
#[derive(Debug)]
pub struct DriverPort<'m> {
    layout: Layout<'m>,
    table: Region<'m>,
    ring_addresses: [u32; 2],
    epoch: u32,
    state: State<'m>,
    frames: VecDeque<Vec<u8>>,
    /// M spoiled the ring that A sends on.
    faulty: bool,
    kick_device: bool,
    complaint: Option<TableError>,
}

impl<'m> DriverPort<'m> {
    /// A port on the shared memory of a board. Nothing is written before M's table is there.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn new(shared: Region<'m>, layout: &SharedLayout) -> Result<Self, LayoutError> {
        let address = |span: Span| layout.address.wrapping_add(span.offset);
        let piece = |span: Span| (span.offset, span.bytes);
        let size = VringSize::new(layout.vring_num, layout.vring_align).ok_or(LayoutError)?;
        let pieces = [piece(layout.vring0), piece(layout.vring1), piece(layout.buffers)];
        let table = layout.resource_table;
        let mut port = Self {
            layout: Layout::of_pieces(shared, layout.address, pieces, size)?,
            table: shared.sub(table.offset as usize, table.bytes as usize)?,
            ring_addresses: [address(layout.vring0), address(layout.vring1)],
            epoch: 0,
            state: State::Absent,
            frames: VecDeque::new(),
            faulty: false,
            kick_device: false,
            complaint: None,
        };
        if let Ok(words) = port.read_table() {
            port.raise_epoch(words.driver_epoch()?);
        }
        Ok(port)
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
        let (State::Up(channel) | State::Open(channel)) = &mut self.state else { return None };
        channel.rpmsg.take_kick()
    }

    /// Takes a frame for sending. Without an open channel it is dropped: its session is over.
    pub fn send(&mut self, frame: &[u8]) {
        if matches!(self.state, State::Open(_)) && self.frames.len() < FRAMES_MAX {
            self.frames.push_back(frame.to_vec());
        }
        self.flush();
    }

    /// Whether something waits for M: frames for a buffer, or a handshake.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.frames.is_empty() || !matches!(self.state, State::Open(_))
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
                    let words = match self.read_table() {
                        Ok(words) => words,
                        Err(TableError::Missing) => return Ok(PortEvent::Idle),
                        Err(error) => {
                            self.complaint = Some(error);
                            return Ok(PortEvent::Idle);
                        }
                    };
                    words.set_status(0)?;
                    self.raise_epoch(words.driver_epoch()?);
                    self.epoch = self.first_epoch().max(1);
                    words.set_driver_epoch(self.epoch)?;
                    self.kick_device = true;
                    self.state = State::Resetting(words);
                    return Ok(PortEvent::Idle);
                }
                State::Resetting(words) => {
                    let words = *words;
                    if words.device_epoch()? != self.epoch {
                        return Ok(PortEvent::Idle);
                    }
                    let mut rpmsg = Instance::new(Driver::new(&self.layout)?);
                    // Cannot fail: it is the only endpoint.
                    let endpoint = rpmsg.create_endpoint(A_ENDPOINT).map_err(|_| LayoutError)?;
                    words.set_status(STATUS_DRIVER_OK)?;
                    self.kick_device = true;
                    self.state = State::Up(Box::new(Channel { words, rpmsg, endpoint, peer: 0 }));
                }
                State::Up(channel) | State::Open(channel) => {
                    if channel.words.device_epoch()? != self.epoch {
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

    fn read_table(&self) -> Result<ControlWords<'m>, TableError> {
        read_table(self.table, self.ring_addresses, self.layout.geometry.vring())
    }

    /// Rises to the epoch of an earlier driver, so that no two lives of A share one.
    fn raise_epoch(&mut self, found: u32) {
        self.epoch = self.epoch.max(found);
    }

    fn lost(&mut self, why: &'static str) -> PortEvent {
        self.restart();
        PortEvent::Lost(why)
    }

    fn receive(&mut self, payload: &mut [u8; PAYLOAD_BYTES_MAX]) -> PortEvent {
        // Bounded: M may announce strange channels for ever.
        for _ in 0..self.layout.geometry.vring().entries() {
            let (State::Up(channel) | State::Open(channel)) = &mut self.state else { return PortEvent::Idle };
            let announced = match channel.rpmsg.receive(payload) {
                Ok(Some(Received::Message { len, .. })) => return PortEvent::Frame(len),
                Ok(Some(Received::Channel(announced))) if announced.name() == CHANNEL => announced,
                Ok(Some(Received::Channel(_))) => continue,
                Ok(None) => return PortEvent::Idle,
                Err(_) => return self.lost("M broke the ring protocol"),
            };
            if announced.destroyed {
                return self.lost("M closed the channel");
            }
            let State::Up(mut channel) = std::mem::replace(&mut self.state, State::Absent) else {
                return self.lost("M announced the channel twice");
            };
            channel.peer = announced.address;
            self.state = State::Open(channel);
            return PortEvent::Open;
        }
        PortEvent::Idle
    }

    fn flush(&mut self) {
        let State::Open(channel) = &mut self.state else { return };
        let Channel { rpmsg, endpoint, peer, .. } = channel.as_mut();
        // M kicks for buffers it gave back only while some are waited for.
        if rpmsg.want_buffer_kick(!self.frames.is_empty()).is_err() {
            self.faulty = true;
        }
        while let Some(frame) = self.frames.pop_front() {
            match rpmsg.send(*endpoint, *peer, &frame) {
                Err(RpmsgError::NoBuffer) => {
                    self.frames.push_front(frame);
                    return;
                }
                // The next poll says so.
                Err(RpmsgError::Fault(_)) => {
                    self.faulty = true;
                    return;
                }
                // Nothing else is wrong with a frame of ours to an endpoint that M announced; if it is, M made it so.
                Ok(()) | Err(_) => {}
            }
        }
        if rpmsg.want_buffer_kick(false).is_err() {
            self.faulty = true;
        }
    }
}
