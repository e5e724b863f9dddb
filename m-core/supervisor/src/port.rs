//! The M end of the rings: writes the resource table at boot, lets go of the rings when the driver asks, announces the
//! channel, and moves link frames. See `coracle_rpmsg`'s resource table for the handshake.
//!
//! The driver is either a process on the A core, which takes the table in the shared memory and agrees on epochs, or the
//! Linux kernel, which takes the table that it loaded with the firmware and knows of no epochs: its status alone says
//! whether the rings are there. A kernel that stops the core resets it, so that a status that goes away is rare.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use coracle_board_api::SharedLayout;
use coracle_link::CHANNEL;
use coracle_rpmsg::{
    ControlWords, Device, Endpoint, Instance, KICK_TO_DRIVER, Layout, PAYLOAD_BYTES_MAX, Received, Rpmsg, RpmsgError,
    Table, TableSpec, VringSize, write_table,
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
    /// The table that the kernel loaded with the firmware, on boards where a kernel may be the driver.
    loaded: Option<Loaded<'m>>,
    ring_addresses: [u32; 2],
    boot_id: u32,
    epoch: u32,
    /// The rings of `epoch` may be taken up: A set them up for this life of ours, and nothing went wrong since.
    confirmed: bool,
    channel: Option<Channel<'m>>,
    frames: VecDeque<Vec<u8>>,
    kick_driver: bool,
}

/// The table in the firmware's own image.
#[derive(Debug)]
struct Loaded<'m> {
    region: Region<'m>,
    words: ControlWords<'m>,
    /// The kernel broke the ring protocol, or put the rings where they must not be; its rings are taken up again only
    /// after it has set them up anew.
    spoiled: bool,
}

/// Rings that were taken up.
#[derive(Debug)]
struct Channel<'m> {
    rpmsg: Instance<Device<'m>, 1>,
    endpoint: Endpoint,
    announced: bool,
    /// The kernel set the rings up.
    kernel: bool,
    /// A's endpoint, learnt from its first frame.
    peer: Option<u32>,
}

impl<'m> Port<'m> {
    /// Writes the resource table into `shared` and waits for a driver. `loaded` is the memory of the table in the firmware's
    /// own image, when a kernel may have loaded that.
    ///
    /// # Errors
    /// [`OutOfRegion`] when the layout does not fit the region: the board description is wrong.
    pub fn new(shared: Region<'m>, layout: &SharedLayout, loaded: Option<Region<'m>>) -> Result<Self, OutOfRegion> {
        let piece = |span: coracle_board_api::Span| (span.offset, span.bytes);
        let address = |span: coracle_board_api::Span| layout.address.wrapping_add(span.offset);
        let size = VringSize::new(layout.vring_num, layout.vring_align).ok_or(OutOfRegion)?;
        let pieces = [piece(layout.vring0), piece(layout.vring1), piece(layout.buffers)];
        let ring_addresses = [address(layout.vring0), address(layout.vring1)];
        let table = shared.sub(layout.resource_table.offset as usize, layout.resource_table.bytes as usize)?;
        let spec = TableSpec { vrings: ring_addresses, size, carveouts: &[], traces: &[] };
        let bytes = spec.build::<{ TableSpec::BARE_BYTES }>().ok_or(OutOfRegion)?;
        let (words, boot_id) = write_table(table, &bytes).map_err(|_| OutOfRegion)?;
        let loaded = loaded.and_then(|region| {
            let words = ControlWords::new(region, &Table::read(&region).ok()?).ok()?;
            Some(Loaded { region, words, spoiled: false })
        });
        // A driver that is ready drives rings of our earlier life. It must see the device epoch that was just cleared,
        // so its epoch is not confirmed: only the next one is, which it takes when it has noticed.
        let epoch = if words.driver_is_ready()? { words.driver_epoch()? } else { 0 };
        Ok(Self {
            layout: Layout::of_pieces(shared, layout.address, pieces, size).map_err(|_| OutOfRegion)?,
            words,
            loaded,
            ring_addresses,
            boot_id,
            epoch,
            confirmed: false,
            channel: None,
            frames: VecDeque::new(),
            // A driver that is attached since before our reset learns of it.
            kick_driver: true,
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
        self.channel.as_mut()?.rpmsg.take_kick()
    }

    /// Whether frames wait for a buffer.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Takes a frame for sending. Without a driver it is dropped: the session that it belongs to is over.
    pub fn send(&mut self, frame: Vec<u8>) {
        if self.channel.is_some() {
            self.frames.push_back(frame);
        }
        self.flush();
    }

    /// Looks at the handshake words and the receive ring.
    ///
    /// # Errors
    /// [`OutOfRegion`] never, for a layout that [`Port::new`] accepted.
    pub fn poll(&mut self, payload: &mut [u8; PAYLOAD_BYTES_MAX]) -> Result<PortEvent, OutOfRegion> {
        let kernel = self.kernel_is_ready();
        let epoch = self.words.driver_epoch()?;
        if epoch != self.epoch {
            self.let_go();
            (self.epoch, self.confirmed) = (epoch, true);
            self.words.set_device_epoch(epoch)?;
            self.kick_driver = true;
            return Ok(PortEvent::Reset);
        }
        match &self.channel {
            // A kernel that detached and attached again between two looks is not seen in the status.
            Some(channel) if channel.kernel && (!kernel || channel.rpmsg.role().was_replaced()) => {
                self.let_go();
                return Ok(PortEvent::Reset);
            }
            Some(_) => {}
            None if kernel => {
                if !self.kernel_agrees() {
                    return Ok(PortEvent::Idle);
                }
                self.take_up(true);
            }
            None if self.confirmed && self.words.driver_is_ready()? => self.take_up(false),
            None => return Ok(PortEvent::Idle),
        }
        self.flush();
        // An A that sends and does not read must not make this core hold ever more answers. A full queue is looked at
        // again when A gives buffers back, which it rings for.
        while self.frames.len() < FRAMES_MAX {
            let Some(channel) = self.channel.as_mut() else { return Ok(PortEvent::Idle) };
            match channel.rpmsg.receive(payload) {
                Ok(None) => return Ok(PortEvent::Idle),
                Ok(Some(Received::Message { src, len, .. })) => {
                    channel.peer = Some(src);
                    return Ok(PortEvent::Frame(len));
                }
                // A serves no channels that M uses.
                Ok(Some(Received::Channel(_))) => {}
                Err(_) => {
                    self.give_up();
                    return Ok(PortEvent::Reset);
                }
            }
        }
        Ok(PortEvent::Idle)
    }

    /// Whether a kernel says that the rings are there.
    fn kernel_is_ready(&mut self) -> bool {
        let Some(loaded) = &mut self.loaded else { return false };
        let ready = loaded.words.driver_is_ready() == Ok(true);
        loaded.spoiled &= ready;
        ready && !loaded.spoiled
    }

    /// Whether the kernel put the rings where the board description says.
    fn kernel_agrees(&mut self) -> bool {
        let Some(loaded) = &mut self.loaded else { return false };
        let table = Table::read(&loaded.region);
        let agrees = table.is_ok_and(|table| table.vrings.map(|ring| ring.device_address) == self.ring_addresses);
        if !agrees {
            // Said once, not at every look.
            loaded.spoiled = true;
            coracle_board_api::error!("the kernel put the rings elsewhere than the board description says");
        }
        agrees
    }

    fn take_up(&mut self, kernel: bool) {
        // A kernel does not notice when this core alone is reset: the rings may have been in use.
        let device = if kernel { Device::resume(&self.layout) } else { Device::new(&self.layout) };
        let Ok(device) = device else { return };
        let mut rpmsg = Instance::new(device);
        rpmsg.set_link_up();
        // Cannot fail: it is the only endpoint.
        let Ok(endpoint) = rpmsg.create_endpoint(M_ENDPOINT) else { return };
        self.channel = Some(Channel { rpmsg, endpoint, announced: false, kernel, peer: None });
    }

    /// The rings cannot be trusted any more: says so, and waits for A to set them up anew.
    fn give_up(&mut self) {
        coracle_board_api::error!("A broke the ring protocol; waiting for it to set the rings up anew");
        if let (Some(loaded), Some(Channel { kernel: true, rpmsg, .. })) = (&mut self.loaded, &self.channel) {
            // It may be doing that this very moment: then these rings are the new ones.
            loaded.spoiled = !rpmsg.role().was_replaced();
        }
        self.let_go();
        self.confirmed = false;
        // Cannot fail: the table was written at boot.
        let _ = self.words.set_device_epoch(0);
        self.kick_driver = true;
    }

    fn let_go(&mut self) {
        self.channel = None;
        self.frames.clear();
    }

    fn flush(&mut self) {
        if self.transmit().is_err() {
            self.give_up();
        }
    }

    /// Sends the announcement and then what waits, as far as there are buffers.
    fn transmit(&mut self) -> Result<(), RpmsgError> {
        let Some(Channel { rpmsg, endpoint, announced, peer, .. }) = self.channel.as_mut() else { return Ok(()) };
        // A kicks for buffers that it gave back only while some are waited for.
        rpmsg.want_buffer_kick(!*announced || !self.frames.is_empty())?;
        if !*announced {
            match rpmsg.announce(*endpoint, CHANNEL, false) {
                Err(RpmsgError::NoBuffer) => return Ok(()),
                sent => sent?,
            }
            *announced = true;
        }
        let Some(peer) = *peer else { return Ok(()) };
        while let Some(frame) = self.frames.front() {
            match rpmsg.send(*endpoint, peer, frame) {
                Err(RpmsgError::NoBuffer) => return Ok(()),
                sent @ Err(RpmsgError::Fault(_)) => return sent,
                // Nothing else is wrong with a frame of ours, unless A gave itself an impossible address.
                Ok(()) | Err(_) => self.frames.pop_front(),
            };
        }
        rpmsg.want_buffer_kick(false)
    }
}

#[cfg(test)]
mod tests {
    use coracle_board_api::Span;
    use coracle_rpmsg::{Driver, Fault, STATUS_DRIVER_OK};
    use coracle_shmem::HeapRegion;

    use super::*;

    const ADDRESS: u32 = 0x6080_0000;

    fn layout() -> SharedLayout {
        let span = |offset, bytes| Span { offset, bytes };
        SharedLayout {
            address: ADDRESS,
            bytes: 0x1_0000,
            vring_num: 16,
            vring_align: 16,
            vring0: span(0, 0x1000),
            vring1: span(0x1000, 0x1000),
            buffers: span(0x2000, 0x4000),
            resource_table: span(0x6000, 0x400),
            trace: None,
            log: span(0x7000, 0x1000),
            bulk_to_m: span(0x8000, 0x1000),
            bulk_to_a: span(0x9000, 0x1000),
            retained: span(0xa000, 0x1000),
        }
    }

    /// The kernel's part: a table that it loaded, and rings that it sets up where the table says.
    struct Kernel {
        shared: HeapRegion,
        image: HeapRegion,
    }

    impl Kernel {
        fn new() -> Self {
            Self {
                shared: HeapRegion::new(0x1_0000),
                image: HeapRegion::new(TableSpec::BARE_BYTES.next_multiple_of(8)),
            }
        }

        /// What remoteproc does before it starts the core.
        fn load(&self) {
            let spec =
                TableSpec { vrings: [ADDRESS, ADDRESS + 0x1000], size: VringSize::ST, carveouts: &[], traces: &[] };
            self.image.region().write(0, &spec.build::<{ TableSpec::BARE_BYTES }>().unwrap()).unwrap();
        }

        fn words(&self) -> ControlWords<'_> {
            ControlWords::new(self.image.region(), &Table::read(&self.image.region()).unwrap()).unwrap()
        }

        fn port(&self) -> Port<'_> {
            Port::new(self.shared.region(), &layout(), Some(self.image.region())).unwrap()
        }

        /// What virtio_rpmsg_bus does when its device is registered.
        fn probe(&self) -> (Instance<Driver<'_>, 1>, Endpoint) {
            let pieces = [(0, 0x1000), (0x1000, 0x1000), (0x2000, 0x4000)];
            let layout = Layout::of_pieces(self.shared.region(), ADDRESS, pieces, VringSize::ST).unwrap();
            let mut driver = Instance::new(Driver::new(&layout).unwrap());
            let endpoint = driver.create_endpoint(0x400).unwrap();
            self.words().set_status(STATUS_DRIVER_OK).unwrap();
            (driver, endpoint)
        }
    }

    fn poll(port: &mut Port<'_>) -> PortEvent {
        port.poll(&mut [0; PAYLOAD_BYTES_MAX]).unwrap()
    }

    fn announcement(driver: &mut Instance<Driver<'_>, 1>) -> u32 {
        match driver.receive(&mut [0; PAYLOAD_BYTES_MAX]) {
            Ok(Some(Received::Channel(channel))) if channel.name() == CHANNEL => channel.address,
            other => panic!("not an announcement: {other:?}"),
        }
    }

    #[test]
    fn a_kernel_that_loaded_the_firmware_gets_a_channel_without_epochs() {
        let kernel = Kernel::new();
        kernel.load();
        let mut port = kernel.port();
        assert_eq!(poll(&mut port), PortEvent::Idle, "no driver yet");
        let (mut driver, endpoint) = kernel.probe();
        assert_eq!(poll(&mut port), PortEvent::Idle);
        let m = announcement(&mut driver);
        driver.send(endpoint, m, b"frame").unwrap();
        assert_eq!(poll(&mut port), PortEvent::Frame(5));
        port.send(b"answer".to_vec());
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        assert_eq!(driver.receive(&mut payload), Ok(Some(Received::Message { endpoint, src: m, len: 6 })));

        // The M core alone is reset: the kernel does not notice, and nothing is lost or repeated.
        driver.send(endpoint, m, b"while dead").unwrap();
        let mut port = kernel.port();
        assert_eq!((port.boot_id(), poll(&mut port)), (2, PortEvent::Frame(10)));
        assert_eq!(announcement(&mut driver), m);

        // The kernel stops and starts the core.
        kernel.words().set_status(0).unwrap();
        assert_eq!((poll(&mut port), poll(&mut port)), (PortEvent::Reset, PortEvent::Idle));
        kernel.load();
        let mut port = kernel.port();
        let (mut driver, _) = kernel.probe();
        assert_eq!((port.boot_id(), poll(&mut port)), (3, PortEvent::Idle));
        announcement(&mut driver);
    }

    #[test]
    fn a_kernel_that_breaks_the_rings_is_left_alone_until_it_sets_them_up_anew() {
        let kernel = Kernel::new();
        kernel.load();
        let mut port = kernel.port();
        let (mut driver, _) = kernel.probe();
        assert_eq!(poll(&mut port), PortEvent::Idle);
        announcement(&mut driver);
        let avail_index = 16 * 16 + 2;
        kernel.shared.region().store_u16(0x1000 + avail_index, 999).unwrap();
        assert_eq!(poll(&mut port), PortEvent::Reset);
        for _ in 0..10 {
            assert_eq!(poll(&mut port), PortEvent::Idle, "not again and again");
        }
        kernel.words().set_status(0).unwrap();
        assert_eq!(poll(&mut port), PortEvent::Idle);
        let (mut driver, _) = kernel.probe();
        assert_eq!(poll(&mut port), PortEvent::Idle);
        announcement(&mut driver);
        assert_eq!(driver.counters().get(Fault::Index), 0);
    }

    #[test]
    fn a_kernel_that_puts_the_rings_elsewhere_is_not_followed() {
        let kernel = Kernel::new();
        kernel.load();
        let mut port = kernel.port();
        kernel.image.region().store_u32(48, ADDRESS + 0x8000).unwrap();
        let (mut driver, _) = kernel.probe();
        assert_eq!(poll(&mut port), PortEvent::Idle);
        assert_eq!(driver.receive(&mut [0; PAYLOAD_BYTES_MAX]), Ok(None));
        assert!(port.loaded.as_ref().is_some_and(|loaded| loaded.spoiled), "said once");
        // It starts the core's device again, and does better.
        kernel.words().set_status(0).unwrap();
        assert_eq!(poll(&mut port), PortEvent::Idle);
        kernel.load();
        let (mut driver, _) = kernel.probe();
        assert_eq!(poll(&mut port), PortEvent::Idle);
        announcement(&mut driver);
    }

    /// Detach and attach while this core sleeps: the status is the same as before, the rings are not.
    #[test]
    fn a_kernel_that_attaches_again_unseen_gets_a_new_channel() {
        let kernel = Kernel::new();
        kernel.load();
        let mut port = kernel.port();
        for messages in [0, 1, 2, 15, 16, 17, 40] {
            let (mut driver, endpoint) = kernel.probe();
            let first = poll(&mut port);
            assert!(matches!(first, PortEvent::Idle | PortEvent::Reset), "{messages}: {first:?}");
            assert_eq!(poll(&mut port), PortEvent::Idle, "{messages}");
            let m = announcement(&mut driver);
            for _ in 0..messages {
                driver.send(endpoint, m, b"frame").unwrap();
                assert_eq!(poll(&mut port), PortEvent::Frame(5), "{messages}");
            }
            assert_eq!(driver.counters().total(), 0, "{messages}");
            kernel.words().set_status(0).unwrap();
        }
    }
}
