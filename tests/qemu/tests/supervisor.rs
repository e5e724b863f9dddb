//! The real firmware from the A side: rings, announcement, session, and both again after a reset of the M core.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use coracle_boards::{Board, SharedLayout, Span};
use coracle_link::{CHANNEL, Credit, DownReason, Event, FRAME_BYTES_MAX, Frame, Initiator, VERSIONS, Versions, encode};
use coracle_rpmsg::{
    ControlWords, Driver, Endpoint, Instance, KICK_TO_DRIVER, Layout, PAYLOAD_BYTES_MAX, Received, Rpmsg as _,
    STATUS_DRIVER_OK, VringSize, read_table,
};
use coracle_shmem::{MappedFile, Region};
use coracle_test_qemu::{Qemu, firmware, qemu_or_skip, wait_for};
use coracle_wire::{A_ENDPOINT, FromM, M_ENDPOINT};

const FIRMWARE: &str = "coracle-firmware-qemu-an386";

/// The A side, reduced to what these tests need.
struct ASide<'m> {
    words: ControlWords<'m>,
    rpmsg: Instance<Driver<'m>, 1>,
    ours: Endpoint,
    doorbell: UnixStream,
}

impl<'m> ASide<'m> {
    /// Takes the rings over, as a user-space driver does: see the resource table's handshake.
    fn attach(shared: Region<'m>, layout: &SharedLayout, mut doorbell: UnixStream) -> Self {
        let size = VringSize::new(layout.vring_num, layout.vring_align).expect("valid");
        let vrings = [layout.vring0, layout.vring1].map(|span| layout.address + span.offset);
        let span = layout.resource_table;
        let table = shared.sub(span.offset as usize, span.bytes as usize).expect("inside");
        let words =
            wait_for("a resource table as the board file has it", || read_table(table, vrings, size).ok()).unwrap();
        let epoch = words.driver_epoch().unwrap() + 1;
        words.set_status(0).unwrap();
        words.set_driver_epoch(epoch).unwrap();
        doorbell.write_all(&[KICK_TO_DRIVER]).unwrap();
        wait_for("M to let go of the rings", || (words.device_epoch() == Ok(epoch)).then_some(())).unwrap();
        let pieces = [layout.vring0, layout.vring1, layout.buffers].map(|span: Span| (span.offset, span.bytes));
        let rings = Layout::of_pieces(shared, layout.address, pieces, size).expect("valid");
        let mut rpmsg = Instance::new(Driver::new(&rings).unwrap());
        let ours = rpmsg.create_endpoint(A_ENDPOINT).unwrap();
        words.set_status(STATUS_DRIVER_OK).unwrap();
        let mut a = Self { words, rpmsg, ours, doorbell };
        a.doorbell.write_all(&[KICK_TO_DRIVER]).unwrap();
        a.ring_due();
        a
    }

    fn ring_due(&mut self) {
        while let Some(kick) = self.rpmsg.take_kick() {
            self.doorbell.write_all(&[kick]).unwrap();
        }
    }

    /// What arrives next, with its payload.
    fn receive(&mut self) -> (Received, Vec<u8>) {
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        let received = wait_for("a message from M", || self.rpmsg.receive(&mut payload).unwrap()).unwrap();
        self.ring_due();
        let len = if let Received::Message { len, .. } = received { len } else { 0 };
        (received, payload[..len].to_vec())
    }

    /// The next frame of M's link.
    fn frame(&mut self) -> Vec<u8> {
        let (received, bytes) = self.receive();
        let expected = Received::Message { endpoint: self.ours, src: M_ENDPOINT, len: bytes.len() };
        assert_eq!(received, expected);
        bytes
    }

    fn send(&mut self, frame: &Frame<'_>) {
        let mut out = [0; FRAME_BYTES_MAX];
        let bytes = encode(frame, &mut out).expect("fits");
        self.rpmsg.send(self.ours, M_ENDPOINT, bytes).unwrap();
        self.ring_due();
    }

    fn expect_announcement(&mut self) {
        let (received, _) = self.receive();
        let Received::Channel(channel) = received else { panic!("not an announcement: {received:?}") };
        assert_eq!((channel.name(), channel.address, channel.destroyed), (CHANNEL, M_ENDPOINT, false));
    }

    /// Opens a session and reads the inventory of a core without containers.
    fn expect_session(&mut self, link: &mut Initiator) {
        let hello = link.open(0);
        self.send(&hello);
        let bytes = self.frame();
        let event = link.receive(&bytes, 0);
        assert!(matches!(event, Event::Up { version: 3, .. }), "{event:?} from {bytes:02x?}");
        let bytes = self.frame();
        let Event::Message { body, .. } = link.receive(&bytes, 0) else { panic!("not a message: {bytes:02x?}") };
        assert_eq!(coracle_wire::decode(body), Some(FromM::InventoryEnd));
    }
}

#[test]
fn the_firmware_opens_a_session_and_again_after_each_reset() {
    if !qemu_or_skip() {
        return;
    }
    let elf = firmware(FIRMWARE).expect("the firmware builds");
    let run_dir = tempfile::tempdir().unwrap();
    let mut qemu = Qemu::launch(&elf, run_dir.path()).unwrap();
    let layout = Board::builtin("qemu-an386").unwrap().shared;
    let memory = MappedFile::open(&qemu.shared_path(), layout.bytes as usize).unwrap();
    let mut link = Initiator::new(1, VERSIONS, Credit::for_buffers(64));
    for boot_id in 1..=3 {
        let doorbell = UnixStream::connect(qemu.doorbell_path()).unwrap();
        let mut a = ASide::attach(memory.region(), &layout, doorbell);
        assert_eq!(a.words.boot_id(), Ok(boot_id));
        a.expect_announcement();
        a.expect_session(&mut link);
        // A driver that died and comes back, while M lives.
        let doorbell = a.doorbell.try_clone().unwrap();
        let mut a = ASide::attach(memory.region(), &layout, doorbell);
        a.expect_announcement();
        a.expect_session(&mut link);
        // The old session is given up when a question of it stays unanswered.
        assert!(link.tick(u64::MAX / 2).1.is_some(), "a ping");
        assert_eq!(link.tick(u64::MAX).0, Event::Down(DownReason::Silence));
        qemu.restart().unwrap();
        wait_for("M to boot again", || (a.words.boot_id() == Ok(boot_id + 1)).then_some(())).unwrap();
        assert_eq!(a.words.device_epoch(), Ok(0), "an attached driver must see that it has to start again");
    }
}

#[test]
fn a_session_without_a_common_version_is_refused_with_both_ranges() {
    if !qemu_or_skip() {
        return;
    }
    let elf = firmware(FIRMWARE).expect("the firmware builds");
    let run_dir = tempfile::tempdir().unwrap();
    let qemu = Qemu::launch(&elf, run_dir.path()).unwrap();
    let layout = Board::builtin("qemu-an386").unwrap().shared;
    let memory = MappedFile::open(&qemu.shared_path(), layout.bytes as usize).unwrap();
    let mut a = ASide::attach(memory.region(), &layout, UnixStream::connect(qemu.doorbell_path()).unwrap());
    a.expect_announcement();
    let ours = Versions { min: 700, max: 800 };
    let mut link = Initiator::new(1, ours, Credit::for_buffers(64));
    let hello = link.open(0);
    a.send(&hello);
    let bytes = a.frame();
    assert_eq!(link.receive(&bytes, 0), Event::Refused { ours, theirs: VERSIONS });
}
