//! The M end of the rings: writes the resource table at boot, lets go of the rings when the driver asks, announces the
//! channel, and moves link frames. See `coracle_rpmsg`'s resource table for the handshake.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use coracle_board_api::SharedLayout;
use coracle_link::CHANNEL;
use coracle_rpmsg::{
    ControlWords, Device, KICK_TO_DEVICE, KICK_TO_DRIVER, Layout, NAME_SERVICE_ADDRESS, NameService, PAYLOAD_BYTES_MAX,
    STATUS_DRIVER_OK, SendError, VringSize, write_table,
};
use coracle_shmem::{OutOfRegion, Region};
use coracle_wire::M_ENDPOINT;

/// Frames that may wait for a free buffer. More than a ring holds: a full queue means that A stopped reading.
const FRAMES_MAX: usize = 128;

/// What a poll of the port brought.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum PortEvent {
    /// Nothing.
    Idle,
    /// The driver took the rings away: every session on them is over.
    Reset,
    /// A frame; its bytes are the first `usize` bytes of the caller's buffer.
    Frame(usize),
}

/// The device end of the channel to A.
#[derive(Debug)]
pub struct Port<'m> {
    layout: Layout<'m>,
    words: ControlWords<'m>,
    boot_id: u32,
    epoch: u32,
    device: Option<Device<'m>>,
    /// A's endpoint, learnt from its first frame.
    peer: Option<u32>,
    frames: VecDeque<Vec<u8>>,
    kick_driver: bool,
    kick_device: bool,
}

impl<'m> Port<'m> {
    /// Writes the resource table into `shared` and waits for a driver.
    ///
    /// # Errors
    /// [`OutOfRegion`] when the layout does not fit the region: the board description is wrong.
    pub fn new(shared: Region<'m>, layout: &SharedLayout) -> Result<Self, OutOfRegion> {
        let sub = |span: coracle_board_api::Span| shared.sub(span.offset as usize, span.bytes as usize);
        let size = VringSize::new(layout.vring_num, layout.vring_align).ok_or(OutOfRegion)?;
        let table = sub(layout.resource_table)?;
        let address = |span: coracle_board_api::Span| layout.address.wrapping_add(span.offset);
        let boot_id = write_table(&table, [address(layout.vring0), address(layout.vring1)], size)?;
        Ok(Self {
            layout: Layout {
                vring0: sub(layout.vring0)?,
                vring1: sub(layout.vring1)?,
                buffers: sub(layout.buffers)?,
                buffers_address: u64::from(address(layout.buffers)),
                size,
            },
            words: ControlWords::new(table),
            boot_id,
            epoch: 0,
            device: None,
            peer: None,
            frames: VecDeque::new(),
            // A driver that is attached since before our reset learns of it.
            kick_driver: true,
            kick_device: false,
        })
    }

    /// Counts the boots of this core; never repeats while the shared memory is retained.
    #[must_use]
    pub fn boot_id(&self) -> u32 {
        self.boot_id
    }

    /// The id of a kick that has to be sent now, if any. Call until it is `None`.
    pub fn take_kick(&mut self) -> Option<u8> {
        if core::mem::take(&mut self.kick_driver) {
            return Some(KICK_TO_DRIVER);
        }
        core::mem::take(&mut self.kick_device).then_some(KICK_TO_DEVICE)
    }

    /// Whether frames wait for a buffer.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Takes a frame for sending. Without a driver it is dropped: the session that it belongs to is over.
    pub fn send(&mut self, frame: &[u8]) {
        if self.device.is_some() && self.frames.len() < FRAMES_MAX {
            self.frames.push_back(frame.to_vec());
        }
        self.flush();
    }

    /// Looks at the handshake words and the receive ring.
    ///
    /// # Errors
    /// [`OutOfRegion`] never, for a layout that [`Port::new`] accepted.
    pub fn poll(&mut self, payload: &mut [u8; PAYLOAD_BYTES_MAX]) -> Result<PortEvent, OutOfRegion> {
        let epoch = self.words.driver_epoch()?;
        if epoch != self.epoch {
            self.let_go();
            self.epoch = epoch;
            self.words.set_device_epoch(epoch)?;
            self.kick_driver = true;
            return Ok(PortEvent::Reset);
        }
        if self.device.is_none() {
            if self.epoch == 0 || self.words.status()? != STATUS_DRIVER_OK {
                return Ok(PortEvent::Idle);
            }
            self.device = Device::new(&self.layout).ok();
            let announcement = NameService::new(CHANNEL, M_ENDPOINT, false).to_bytes();
            self.transmit(NAME_SERVICE_ADDRESS, &announcement);
        }
        self.flush();
        loop {
            let Some(device) = self.device.as_mut() else { return Ok(PortEvent::Idle) };
            match device.receive(payload) {
                Ok(None) => return Ok(PortEvent::Idle),
                Ok(Some((message, kick))) => {
                    self.kick_device |= kick;
                    if message.dst == M_ENDPOINT {
                        self.peer = Some(message.src);
                        return Ok(PortEvent::Frame(message.len));
                    }
                    coracle_board_api::debug!("message for unknown endpoint {} dropped", message.dst);
                }
                Err(_) => {
                    // The rings cannot be trusted any more. A finds out by its heartbeat and sets them up anew.
                    coracle_board_api::error!("A broke the ring protocol; waiting for it to set the rings up anew");
                    self.let_go();
                    return Ok(PortEvent::Reset);
                }
            }
        }
    }

    fn let_go(&mut self) {
        self.device = None;
        self.peer = None;
        self.frames.clear();
    }

    fn flush(&mut self) {
        let Some(peer) = self.peer else { return };
        while let Some(frame) = self.frames.pop_front() {
            if !self.transmit(peer, &frame) {
                self.frames.push_front(frame);
                return;
            }
        }
    }

    /// Whether the frame is on its way, or can never be.
    fn transmit(&mut self, dst: u32, payload: &[u8]) -> bool {
        let Some(device) = self.device.as_mut() else { return true };
        match device.send(M_ENDPOINT, dst, payload) {
            Ok(kick) => self.kick_driver |= kick,
            Err(SendError::NoBuffer) => return false,
            Err(SendError::Size | SendError::Fault(_)) => self.let_go(),
        }
        true
    }
}
