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

/// Frames that may wait for a free buffer before nothing more is taken from A. A single message from A causes no more
/// than two frames a container.
const FRAMES_MAX: usize = 32;

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
    /// The rings of `epoch` may be taken up: A set them up for this life of ours, and nothing went wrong since.
    confirmed: bool,
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
        let words = ControlWords::new(table);
        // A driver that is ready drives rings of our earlier life. It must see the device epoch that was just cleared,
        // so its epoch is not confirmed: only the next one is, which it takes when it has noticed.
        let epoch = if words.status()? == STATUS_DRIVER_OK { words.driver_epoch()? } else { 0 };
        Ok(Self {
            layout: Layout {
                vring0: sub(layout.vring0)?,
                vring1: sub(layout.vring1)?,
                buffers: sub(layout.buffers)?,
                buffers_address: u64::from(address(layout.buffers)),
                size,
            },
            words,
            boot_id,
            epoch,
            confirmed: false,
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
    pub fn send(&mut self, frame: Vec<u8>) {
        if self.device.is_some() {
            self.frames.push_back(frame);
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
            (self.epoch, self.confirmed) = (epoch, true);
            self.words.set_device_epoch(epoch)?;
            self.kick_driver = true;
            return Ok(PortEvent::Reset);
        }
        if self.device.is_none() {
            if !self.confirmed || self.words.status()? != STATUS_DRIVER_OK {
                return Ok(PortEvent::Idle);
            }
            self.device = Device::new(&self.layout).ok();
            let announcement = NameService::new(CHANNEL, M_ENDPOINT, false).to_bytes();
            self.transmit(NAME_SERVICE_ADDRESS, &announcement);
        }
        self.flush();
        // An A that sends and does not read must not make this core hold ever more answers. A full queue is looked at
        // again when A gives buffers back, which it rings for.
        while self.frames.len() < FRAMES_MAX {
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
                    self.give_up();
                    return Ok(PortEvent::Reset);
                }
            }
        }
        Ok(PortEvent::Idle)
    }

    /// The rings cannot be trusted any more: says so, and waits for A to set them up anew.
    fn give_up(&mut self) {
        coracle_board_api::error!("A broke the ring protocol; waiting for it to set the rings up anew");
        self.let_go();
        self.confirmed = false;
        // Cannot fail: the table was written at boot.
        let _ = self.words.set_device_epoch(0);
        self.kick_driver = true;
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
            // No frame of ours has a wrong size.
            Err(SendError::Size) => {}
            Err(SendError::Fault(_)) => self.give_up(),
        }
        true
    }
}
