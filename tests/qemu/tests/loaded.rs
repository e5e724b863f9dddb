//! Firmware of `qemu-an500` against a driver in this process that behaves as the kernel's: it sets up the rings, writes the
//! status into the table that was loaded with the firmware, and kicks. It knows of no epochs.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use coracle_boards::{Board, SharedLayout, Span};
use coracle_link::{CHANNEL, Credit, Event, FRAME_BYTES_MAX, Initiator, VERSIONS, encode};
use coracle_rpmsg::{
    ADDRESS_ANY, ControlWords, Driver, Endpoint, Instance, KICK_TO_DRIVER, Layout, PAYLOAD_BYTES_MAX, Received, Rpmsg,
    RpmsgError, STATUS_DRIVER_OK, VringSize, read_table,
};
use coracle_shmem::{MappedFile, Region};
use coracle_test_qemu::{PATIENCE, Qemu, firmware_of, qemu_or_skip, wait_for};
use coracle_wire::{FromM, M_ENDPOINT};
use object::{Object as _, ObjectSection as _};

const BOARD: &str = "qemu-an500";
// Endpoints of the echo program.
const ANNOUNCED: u32 = 0x1e;
const SILENT: u32 = 0x1f;
const CONTROL: u32 = 0x20;
const SECOND: u32 = 0x21;
/// Time between two looks at the rings as long as bells may be lost.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// What the device's stack gives first.
const CHOSEN: u32 = 1;

/// The machine, started, with its memory mapped here.
struct Bench {
    qemu: Qemu,
    memory: MappedFile,
    layout: SharedLayout,
    /// Offset of the shared memory in the file.
    shared_at: usize,
    /// Offset and length of the loaded table in the file.
    table: (usize, usize),
    doorbell: UnixStream,
    _run_dir: tempfile::TempDir,
}

impl Bench {
    fn start(program: &str) -> Self {
        let elf = firmware_of(BOARD, program).expect("the firmware builds");
        let board = Board::builtin(BOARD).expect("valid");
        let bytes = std::fs::read(&elf).expect("readable");
        let file = object::File::parse(&*bytes).expect("an ELF file");
        let section = file.section_by_name(".resource_table").expect("there");
        let backing = board.shared_backing;
        let table = (section.address() as usize - backing.address as usize, section.size() as usize);
        let run_dir = tempfile::tempdir().expect("a directory for the run");
        let qemu = Qemu::launch_on(BOARD, &elf, run_dir.path()).expect("the emulator starts");
        let doorbell = UnixStream::connect(qemu.doorbell_path()).expect("the emulator takes connections");
        let memory = MappedFile::open(&qemu.shared_path(), backing.bytes as usize).expect("can be mapped");
        let shared_at = (board.shared.address - backing.address) as usize;
        Self { qemu, memory, layout: board.shared, shared_at, table, doorbell, _run_dir: run_dir }
    }

    /// Loads the firmware again and starts it, as the kernel does after a stop.
    fn restart(&mut self) {
        self.qemu.kill().expect("the emulator ends");
        // What an earlier life said must not be taken for the next one's.
        let span = self.layout.trace.expect("the board has a trace buffer");
        self.shared().zero(span.offset as usize, span.bytes as usize).expect("inside");
        self.qemu.restart().expect("the emulator starts again");
        self.doorbell = UnixStream::connect(self.qemu.doorbell_path()).expect("the emulator takes connections");
    }

    fn shared(&self) -> Region<'_> {
        self.memory.region().sub(self.shared_at, self.layout.bytes as usize).expect("inside")
    }

    /// What Linux would show as `trace0`.
    fn trace(&self) -> String {
        let span = self.layout.trace.expect("the board has a trace buffer");
        let mut text = vec![0; span.bytes as usize];
        self.shared().read(span.offset as usize, &mut text).expect("inside");
        String::from_utf8_lossy(text.split(|byte| *byte == 0).next().unwrap_or_default()).into()
    }

    /// What the firmware said, for messages.
    fn state(&self) -> String {
        format!("trace: {:?}, console: {:?}", self.trace(), self.qemu.console())
    }

    fn wait_for_trace(&self, words: &str) {
        wait_for(&format!("{words:?} in the trace"), || self.trace().contains(words).then_some(()))
            .unwrap_or_else(|error| panic!("{error}; {}", self.state()));
    }

    /// Sets the rings up and says so, as the kernel does.
    fn link(&self) -> Link<'_> {
        // Then it is loaded whole: what is written before that may be overwritten.
        self.wait_for_trace("board qemu-an500 up, reset reason PowerOn\n");
        let (at, bytes) = self.table;
        let size = VringSize::new(self.layout.vring_num, self.layout.vring_align).expect("valid");
        let piece = |span: Span| (span.offset, span.bytes);
        let pieces = [self.layout.vring0, self.layout.vring1, self.layout.buffers].map(piece);
        let layout = Layout::of_pieces(self.shared(), self.layout.address, pieces, size).expect("valid");
        let vrings = [self.layout.vring0, self.layout.vring1].map(|span| self.layout.address + span.offset);
        // The file offset is a multiple of 8, because the section is.
        let table = self.memory.region().sub(at, bytes).expect("inside");
        let words = wait_for("the loaded table", || read_table(table, vrings, size).ok()).expect("a table");
        let rpmsg = Instance::new(Driver::new(&layout).expect("valid"));
        words.set_status(STATUS_DRIVER_OK).expect("inside");
        let doorbell = self.doorbell.try_clone().expect("a second handle");
        doorbell.set_read_timeout(Some(LOOK_INTERVAL)).expect("a timeout can be set");
        let mut link = Link { bench: self, rpmsg, words, doorbell, is_connected: false };
        link.ring(KICK_TO_DRIVER);
        link
    }
}

/// The kernel's side.
struct Link<'m> {
    bench: &'m Bench,
    rpmsg: Instance<Driver<'m>, 8>,
    words: ControlWords<'m>,
    doorbell: UnixStream,
    /// A bell has arrived, so none is lost any more.
    is_connected: bool,
}

impl Link<'_> {
    fn ring(&mut self, id: u8) {
        self.doorbell.write_all(&[id]).expect("the doorbell line takes a byte");
    }

    fn ring_due(&mut self) {
        while let Some(kick) = self.rpmsg.take_kick() {
            self.ring(kick);
        }
    }

    /// Takes what arrives next, waiting for a bell where nothing is there. Bells that the firmware rings before the emulator
    /// has taken this side's connection are lost, so before the first one the rings are looked at without a bell.
    fn receive(&mut self, payload: &mut [u8; PAYLOAD_BYTES_MAX]) -> Received {
        let end = Instant::now() + PATIENCE;
        loop {
            let received = self.rpmsg.receive(payload).expect("an honest device");
            self.ring_due();
            if let Some(received) = received {
                return received;
            }
            let mut bells = [0; 16];
            match self.doorbell.read(&mut bells) {
                Ok(1..) if !self.is_connected => {
                    self.is_connected = true;
                    self.doorbell.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
                }
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.is_connected && Instant::now() < end => {}
                rung => panic!("no bell: {rung:?}; status {:?}, {}", self.words.status(), self.bench.state()),
            }
            self.rpmsg.notified();
        }
    }

    fn channel(&mut self) -> (String, u32, bool) {
        match self.receive(&mut [0; PAYLOAD_BYTES_MAX]) {
            Received::Channel(channel) => (channel.name().to_owned(), channel.address, channel.destroyed),
            other => panic!("not a channel: {other:?}"),
        }
    }

    fn message(&mut self) -> (Endpoint, u32, Vec<u8>) {
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        match self.receive(&mut payload) {
            Received::Message { endpoint, src, len } => (endpoint, src, payload[..len].to_vec()),
            other => panic!("not a message: {other:?}"),
        }
    }

    fn send(&mut self, from: Endpoint, dst: u32, payload: &[u8]) -> Result<(), RpmsgError> {
        let sent = self.rpmsg.send(from, dst, payload);
        self.ring_due();
        sent
    }

    fn exchange(&mut self, from: Endpoint, dst: u32, payload: &[u8]) -> Vec<u8> {
        self.send(from, dst, payload).expect("a free buffer");
        let (to, src, answer) = self.message();
        assert_eq!((to, src), (from, dst));
        answer
    }
}

#[test]
fn announces_its_channel_and_echoes_every_size_on_every_endpoint() {
    if !qemu_or_skip() {
        return;
    }
    let bench = Bench::start("echo");
    let mut link = bench.link();
    assert_eq!(link.channel(), ("rpmsg-raw".into(), ANNOUNCED, false));
    bench.wait_for_trace("echo: link up, rpmsg-raw at 0x1e, echo at 0x1f and 0x1, commands at 0x20\n");
    let ours = link.rpmsg.create_endpoint(ADDRESS_ANY).expect("room");
    let sent: Vec<u8> = (0..PAYLOAD_BYTES_MAX).map(|i| (i as u8).wrapping_mul(31)).collect();
    for len in 1..=PAYLOAD_BYTES_MAX {
        assert_eq!(link.exchange(ours, ANNOUNCED, &sent[..len]), &sent[..len]);
    }
    for endpoint in [SILENT, CHOSEN] {
        assert_eq!(link.exchange(ours, endpoint, b"hello"), b"hello");
    }
}

#[test]
fn commands_announce_and_take_back_a_second_channel() {
    if !qemu_or_skip() {
        return;
    }
    let bench = Bench::start("echo");
    let mut link = bench.link();
    assert_eq!(link.channel(), ("rpmsg-raw".into(), ANNOUNCED, false));
    let ours = link.rpmsg.create_endpoint(ADDRESS_ANY).expect("room");
    for _ in 0..3 {
        link.send(ours, CONTROL, b"+second").expect("a free buffer");
        assert_eq!(link.channel(), ("second".into(), SECOND, false));
        assert_eq!(link.message(), (ours, CONTROL, b"+second".to_vec()));
        assert_eq!(link.exchange(ours, SECOND, b"hello"), b"hello");
        link.send(ours, CONTROL, b"-second").expect("a free buffer");
        assert_eq!(link.channel(), ("second".into(), SECOND, true));
        assert_eq!(link.message(), (ours, CONTROL, b"-second".to_vec()));
    }
    for (command, answer) in [
        (&b"-second"[..], &b"?second"[..]),
        (b"hello", b"?ello"),
        (b"+", b"?"),
        (b"+\xff", b"?\xff"),
        (b"+a name that is one byte too long", b"?a name that is one byte too long"),
    ] {
        assert_eq!(link.exchange(ours, CONTROL, command), answer);
    }
}

#[test]
fn a_sender_that_does_not_read_runs_out_of_buffers_and_loses_nothing() {
    if !qemu_or_skip() {
        return;
    }
    let bench = Bench::start("echo");
    let mut link = bench.link();
    assert_eq!(link.channel(), ("rpmsg-raw".into(), ANNOUNCED, false));
    let ours = link.rpmsg.create_endpoint(ADDRESS_ANY).expect("room");
    // Answers fill the ring to us, then the firmware holds one and takes no more, then the ring from us fills.
    let entries = u32::from(bench.layout.vring_num);
    let mut sent = 0_u32;
    while sent < 2 * entries + 1 {
        match link.send(ours, ANNOUNCED, &sent.to_le_bytes()) {
            Ok(()) => sent += 1,
            Err(RpmsgError::NoBuffer) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(link.send(ours, ANNOUNCED, b"x"), Err(RpmsgError::NoBuffer));
    for expected in 0..sent {
        assert_eq!(link.message(), (ours, ANNOUNCED, expected.to_le_bytes().to_vec()));
    }
    assert_eq!(link.exchange(ours, ANNOUNCED, b"hello"), b"hello");
}

#[test]
fn a_driver_that_goes_and_comes_back_finds_a_fresh_link() {
    if !qemu_or_skip() {
        return;
    }
    let bench = Bench::start("echo");
    for round in 1..=3 {
        let mut link = bench.link();
        assert_eq!(link.channel(), ("rpmsg-raw".into(), ANNOUNCED, false));
        let ours = link.rpmsg.create_endpoint(ADDRESS_ANY).expect("room");
        assert_eq!(link.exchange(ours, ANNOUNCED, b"hello"), b"hello");
        link.words.set_status(0).expect("inside");
        // The firmware must have seen it before the rings are set up anew; a kernel resets the core instead.
        link.ring(KICK_TO_DRIVER);
        wait_for("the firmware to let go", || {
            (bench.trace().matches("echo: link down\n").count() == round).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}; {}", bench.state()));
    }
}

#[test]
fn a_panic_is_in_the_trace_and_the_core_comes_back() {
    if !qemu_or_skip() {
        return;
    }
    let bench = Bench::start("echo");
    let mut link = bench.link();
    assert_eq!(link.channel(), ("rpmsg-raw".into(), ANNOUNCED, false));
    let ours = link.rpmsg.create_endpoint(ADDRESS_ANY).expect("room");
    link.send(ours, CONTROL, b"!").expect("a free buffer");
    bench.wait_for_trace("asked to panic");
    bench.wait_for_trace("board qemu-an500 up, reset reason Panic\n");
    let mut link = bench.link();
    assert_eq!(link.channel(), ("rpmsg-raw".into(), ANNOUNCED, false));
    let ours = link.rpmsg.create_endpoint(ADDRESS_ANY).expect("room");
    assert_eq!(link.exchange(ours, ANNOUNCED, b"hello"), b"hello");
}

#[test]
fn the_supervisor_opens_a_session_after_each_start_of_its_core() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start("coracle-firmware-qemu-an500");
    let mut initiator = Initiator::new(1, VERSIONS, Credit::for_buffers(bench.layout.vring_num));
    let mut lives = BTreeSet::new();
    for _ in 0..3 {
        let mut link = bench.link();
        assert_eq!(link.channel(), (CHANNEL.into(), M_ENDPOINT, false));
        let ours = link.rpmsg.create_endpoint(ADDRESS_ANY).expect("room");
        let hello = initiator.open(0);
        let mut frame = [0; FRAME_BYTES_MAX];
        let answer = link.exchange(ours, M_ENDPOINT, encode(&hello, &mut frame).expect("fits"));
        let event = initiator.receive(&answer, 0);
        let Event::Up { session, .. } = event else { panic!("{event:?} from {answer:02x?}") };
        assert!(lives.insert(session.m), "a session number came twice: {session:?}");
        let (_, _, bytes) = link.message();
        let Event::Message { body, .. } = initiator.receive(&bytes, 0) else { panic!("not a message: {bytes:02x?}") };
        assert_eq!(coracle_wire::decode(body), Some(FromM::InventoryEnd));
        bench.restart();
        initiator.reset();
    }
}
