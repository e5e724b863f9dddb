//! The process as a launcher, an A core and a sensor see it. Everything waits for bells, lines or the end of the
//! process, never for time to pass.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use coracle_board_api::log_ring::Consumer;
use coracle_board_api::sensor_wire::{Block, CREDIT, FRAME_BYTES_MAX};
use coracle_board_api::{SharedLayout, Span};
use coracle_boards::Board;
use coracle_bulk::BulkWriter;
use coracle_container::{ContainerSpec, Grants, Limits, SensorGrant};
use coracle_guest_abi::Name;
use coracle_link::{CHANNEL, Credit, Event, FRAME_BYTES_MAX as LINK_BYTES_MAX, Frame, Initiator, VERSIONS, Versions};
use coracle_rpmsg::{
    ControlWords, Driver, Endpoint, Instance, KICK_TO_DEVICE, Layout, PAYLOAD_BYTES_MAX, Received, Rpmsg as _,
    STATUS_DRIVER_OK, VringSize, read_table,
};
use coracle_shmem::{MappedFile, Region};
use coracle_wire::{A_ENDPOINT, FromM, M_ENDPOINT, ToM};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than any test takes.
const ROOM: Credit = Credit { control: 1000, bulk: 1000 };
/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_coracle-m-host");

/// The process, killed at the end of the test.
struct Host {
    child: Child,
}

impl Host {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(PROGRAM).arg("--run-dir").arg(dir).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { child }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(mut self, signal: Signal) -> ExitStatus {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
        self.child.wait().unwrap()
    }

    /// A line of `/proc/PID/status`.
    fn status(&self, key: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        text.lines().find_map(|line| line.strip_prefix(key)).unwrap().trim().to_owned()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connect(dir: &Path, socket: &str) -> UnixStream {
    let stream = UnixStream::connect(dir.join(socket)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn layout() -> SharedLayout {
    Board::builtin("host").unwrap().shared
}

fn map(dir: &Path) -> MappedFile {
    MappedFile::open(&dir.join("shared.mem"), layout().bytes as usize).unwrap()
}

fn part(memory: &MappedFile, span: Span) -> Region<'_> {
    memory.region().sub(span.offset as usize, span.bytes as usize).unwrap()
}

fn vring_size() -> VringSize {
    VringSize::new(layout().vring_num, layout().vring_align).unwrap()
}

/// The words of the handshake in M's resource table, which is as the board file says.
fn control_words(memory: &MappedFile) -> ControlWords<'_> {
    let shared = layout();
    let vrings = [shared.vring0, shared.vring1].map(|span| shared.address + span.offset);
    read_table(part(memory, shared.resource_table), vrings, vring_size()).unwrap()
}

/// The A core, by hand.
struct A<'m> {
    memory: &'m MappedFile,
    bell: UnixStream,
    words: ControlWords<'m>,
    rpmsg: Instance<Driver<'m>, 1>,
    ours: Endpoint,
    link: Initiator,
}

impl<'m> A<'m> {
    /// Takes the rings over as the resource table's documentation says, and waits for the announcement.
    fn attach(dir: &Path, memory: &'m MappedFile, versions: Versions) -> Self {
        let shared = layout();
        let words = control_words(memory);
        let mut bell = connect(dir, "doorbell.sock");
        let epoch = words.driver_epoch().unwrap() + 1;
        words.set_status(0).unwrap();
        words.set_driver_epoch(epoch).unwrap();
        bell.write_all(&[KICK_TO_DEVICE]).unwrap();
        while words.device_epoch().unwrap() != epoch {
            hear(&mut bell);
        }
        let pieces = [shared.vring0, shared.vring1, shared.buffers].map(|span| (span.offset, span.bytes));
        let rings = Layout::of_pieces(memory.region(), shared.address, pieces, vring_size()).unwrap();
        let mut rpmsg = Instance::new(Driver::new(&rings).unwrap());
        let ours = rpmsg.create_endpoint(A_ENDPOINT).unwrap();
        words.set_status(STATUS_DRIVER_OK).unwrap();
        bell.write_all(&[KICK_TO_DEVICE]).unwrap();
        let mut a = Self { memory, bell, words, rpmsg, ours, link: Initiator::new(100, versions, ROOM) };
        let (received, _) = a.receive();
        let Received::Channel(announced) = received else { panic!("not an announcement: {received:?}") };
        assert_eq!((announced.name(), announced.address, announced.destroyed), (CHANNEL, M_ENDPOINT, false));
        a
    }

    fn ring_due(&mut self) {
        while let Some(kick) = self.rpmsg.take_kick() {
            self.bell.write_all(&[kick]).unwrap();
        }
    }

    fn receive(&mut self) -> (Received, Vec<u8>) {
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        loop {
            if let Some(received) = self.rpmsg.receive(&mut payload).unwrap() {
                self.ring_due();
                let len = if let Received::Message { len, .. } = received { len } else { 0 };
                return (received, payload[..len].to_vec());
            }
            hear(&mut self.bell);
        }
    }

    fn receive_frame(&mut self) -> Vec<u8> {
        let (received, frame) = self.receive();
        assert_eq!(received, Received::Message { endpoint: self.ours, src: M_ENDPOINT, len: frame.len() });
        frame
    }

    fn send_frame(&mut self, frame: &[u8]) {
        self.rpmsg.send(self.ours, M_ENDPOINT, frame).unwrap();
        self.ring_due();
    }

    /// Sends a Hello and returns the answer.
    fn greet(&mut self) -> Vec<u8> {
        let hello = self.link.open(0);
        self.send_frame(coracle_link::encode(&hello, &mut [0; LINK_BYTES_MAX]).unwrap());
        self.receive_frame()
    }

    /// Opens the first session with an M core that holds nothing, and returns the number of M's life.
    fn open_session(&mut self) -> u64 {
        let welcome = self.greet();
        let Event::Up { version: 3, session } = self.link.receive(&welcome, 0) else { panic!("no session") };
        assert_eq!(self.message(), FromM::InventoryEnd);
        self.tell(&ToM::Begin);
        session.m >> 24
    }

    fn tell(&mut self, message: &ToM) {
        let (mut body, mut frame) = ([0; LINK_BYTES_MAX], [0; LINK_BYTES_MAX]);
        let body = coracle_wire::encode(message, &mut body).unwrap();
        let frame = self.link.send(message.channel(), body, 0, &mut frame).unwrap();
        self.send_frame(frame);
    }

    fn message(&mut self) -> FromM {
        loop {
            let frame = self.receive_frame();
            match self.link.receive(&frame, 0) {
                Event::Message { body, .. } => return coracle_wire::decode(body).unwrap(),
                // Credit.
                Event::Nothing => {}
                other => panic!("not a message: {other:?}"),
            }
        }
    }

    /// Everything in the log so far. Call once.
    fn log(&self) -> String {
        let mut consumer = Consumer::attach(part(self.memory, layout().log)).unwrap();
        let mut bytes = vec![0; layout().log.bytes as usize];
        let len = consumer.drain(&mut bytes).unwrap();
        bytes.truncate(len);
        String::from_utf8(bytes).unwrap()
    }
}

/// Waits for a bell.
fn hear(bell: &mut UnixStream) {
    assert_ne!(bell.read(&mut [0; 64]).expect("a bell in time"), 0, "the M core closed the doorbell");
}

/// Waits for credits and returns how many came.
fn credits(sensor: &mut UnixStream) -> usize {
    let mut bytes = [0; 8];
    let read = sensor.read(&mut bytes).expect("a credit in time");
    assert!(read > 0 && bytes[..read].iter().all(|byte| *byte == CREDIT));
    read
}

#[test]
fn a_hello_is_answered_and_logged() {
    let dir = TempDir::new().unwrap();
    let host = Host::start(dir.path());
    let memory = map(dir.path());
    let mut a = A::attach(dir.path(), &memory, VERSIONS);
    assert_eq!(a.open_session(), 1, "the first boot");
    a.tell(&ToM::Query);
    assert!(matches!(a.message(), FromM::Stats { time_us: 0, .. }));
    let log = a.log();
    for line in log.lines() {
        let mut words = line.splitn(3, ' ');
        assert!(["error", "warn", "info", "debug"].contains(&words.next().unwrap()), "{line}");
        assert!(words.next().unwrap().parse::<u64>().is_ok(), "{line}");
    }
    assert!(log.lines().next().unwrap().contains("M core started"), "{log}");
    assert!(log.contains(" session with A opened, version 3\n"), "{log}");
    drop(host);
}

#[test]
fn a_killed_process_comes_back_with_a_higher_boot_id() {
    let dir = TempDir::new().unwrap();
    let memory = map(dir.path());
    for life in 1..=3 {
        let host = Host::start(dir.path());
        let mut a = A::attach(dir.path(), &memory, VERSIONS);
        assert_eq!(a.words.boot_id(), Ok(life));
        assert_eq!(a.open_session(), u64::from(life));
        host.kill();
        // Bells may still be on the line; behind them the end of the connection tells A.
        match a.bell.read_to_end(&mut Vec::new()) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
        assert!(dir.path().join("doorbell.sock").exists(), "a stale socket for the next life to replace");
    }
}

#[test]
fn an_attached_a_learns_of_a_restart_by_the_first_bell() {
    let dir = TempDir::new().unwrap();
    let memory = map(dir.path());
    let host = Host::start(dir.path());
    let a = A::attach(dir.path(), &memory, VERSIONS);
    host.kill();
    let _host = Host::start(dir.path());
    let mut bell = connect(dir.path(), "doorbell.sock");
    hear(&mut bell);
    assert_eq!(a.words.boot_id(), Ok(2));
}

#[test]
fn a_version_mismatch_is_refused_with_both_ranges() {
    let dir = TempDir::new().unwrap();
    let _host = Host::start(dir.path());
    let memory = map(dir.path());
    let newer = Versions { min: 7, max: 9 };
    let mut a = A::attach(dir.path(), &memory, newer);
    let reject = a.greet();
    assert_eq!(a.link.receive(&reject, 0), Event::Refused { ours: newer, theirs: VERSIONS });
    let (log, ours) = (a.log(), VERSIONS);
    assert!(log.contains(&format!("A speaks versions 7 to 9, this firmware {} to {}", ours.min, ours.max)), "{log}");
    // The same process still takes an A that it understands.
    drop(a);
    assert_eq!(A::attach(dir.path(), &memory, VERSIONS).open_session(), 1);
}

#[test]
fn a_lost_doorbell_ends_neither_the_process_nor_the_session() {
    let dir = TempDir::new().unwrap();
    let mut host = Host::start(dir.path());
    let memory = map(dir.path());
    let mut a = A::attach(dir.path(), &memory, VERSIONS);
    a.open_session();
    for _ in 0..20 {
        a.bell.shutdown(std::net::Shutdown::Both).unwrap();
        a.bell = connect(dir.path(), "doorbell.sock");
        a.tell(&ToM::Query);
        assert!(matches!(a.message(), FromM::Stats { .. }));
    }
    assert!(host.child.try_wait().unwrap().is_none());
}

/// Every prefix of the handshake, cut off by the death of A, and then a whole one.
#[test]
fn an_a_that_dies_in_the_handshake_leaves_a_core_that_the_next_one_can_use() {
    let dir = TempDir::new().unwrap();
    let _host = Host::start(dir.path());
    let memory = map(dir.path());
    let words = control_words(&memory);
    for steps in 0..6 {
        let mut bell = connect(dir.path(), "doorbell.sock");
        if steps > 0 {
            words.set_status(0).unwrap();
        }
        if steps > 1 {
            words.set_driver_epoch(words.driver_epoch().unwrap() + 1).unwrap();
        }
        if steps > 2 {
            bell.write_all(&[KICK_TO_DEVICE]).unwrap();
        }
        if steps > 3 {
            while words.device_epoch() != words.driver_epoch() {
                hear(&mut bell);
            }
        }
        if steps > 4 {
            // Rings of its own making: what it would have put there is not there yet.
            part(&memory, layout().vring0).zero(0, layout().vring0.bytes as usize).unwrap();
            part(&memory, layout().vring1).zero(0, layout().vring1.bytes as usize).unwrap();
            words.set_status(STATUS_DRIVER_OK).unwrap();
            bell.write_all(&[KICK_TO_DEVICE]).unwrap();
        }
        drop(bell);
        assert_eq!(A::attach(dir.path(), &memory, VERSIONS).open_session(), 1, "{steps} steps");
    }
}

#[test]
fn only_the_newest_doorbell_connection_counts() {
    let dir = TempDir::new().unwrap();
    let _host = Host::start(dir.path());
    let memory = map(dir.path());
    let mut a = A::attach(dir.path(), &memory, VERSIONS);
    a.open_session();
    let mut old = std::mem::replace(&mut a.bell, connect(dir.path(), "doorbell.sock"));
    let mut rest = Vec::new();
    old.read_to_end(&mut rest).expect("closed by the M core");
    a.tell(&ToM::Query);
    assert!(matches!(a.message(), FromM::Stats { .. }));
}

#[test]
fn the_sensor_is_asked_once_a_block_and_again_when_it_reconnects() {
    let dir = TempDir::new().unwrap();
    let _host = Host::start(dir.path());
    let memory = map(dir.path());
    let mut a = A::attach(dir.path(), &memory, VERSIONS);
    a.open_session();
    let module = wat::parse_str(
        r#"(module (memory (export "memory") 1)
            (func (export "init") (result i32) i32.const 0)
            (func (export "on_event") (param i32 i32 i32) (result i32) i32.const 0))"#,
    )
    .unwrap();
    let name = Name::try_from("listener").unwrap();
    let mut grants = Grants::default();
    let sensor = SensorGrant { name: Name::try_from("accel0").unwrap(), rate_hz: 0, exclusive: false };
    grants.sensors.push(sensor).unwrap();
    let limits = Limits { memory: 65536, fuel_per_event: 10_000, queue: 4, ..Limits::default() };
    let image = Sha256::digest(&module).into();
    let spec = ContainerSpec { name, image, portable: false, seed: [0; 16], limits, grants };
    let mut bytes = [0; 512];
    let mut bulk = BulkWriter::new(part(&memory, layout().bulk_to_m), 1);
    let spec = bulk.put(&[coracle_wire::encode(&spec, &mut bytes).unwrap()]).unwrap();
    let module = bulk.put(&[&module]).unwrap();
    a.tell(&ToM::Deploy { token: 5, spec, module, snapshot: None, live: true });
    assert_eq!(a.message(), FromM::Deployed { token: 5 });

    // The M core wants a block since the deployment; nobody was there to ask.
    let mut sequence = 0;
    let mut block = |samples: &[i16]| {
        let mut frame = [0; FRAME_BYTES_MAX];
        let len = Block::new(sequence, 1000 * u64::from(sequence), 12_000, 0, samples).unwrap().encode(&mut frame);
        sequence += 1;
        frame[..len].to_vec()
    };
    let mut sensor = connect(dir.path(), "sensor.sock");
    assert_eq!(credits(&mut sensor), 1);
    sensor.write_all(&block(&[1; 512])).unwrap();
    assert_eq!(credits(&mut sensor), 1);
    // Dies in the middle of its answer: the request counts again on the next connection, where a short frame must not
    // be taken for the rest of the long one.
    let long = block(&[2; 512]);
    sensor.write_all(&long[..long.len() / 2]).unwrap();
    // An answer says that the M core has taken what was on its lines before.
    a.tell(&ToM::Query);
    let answers = [a.message(), a.message(), a.message()];
    let expected =
        matches!(answers, [FromM::ContainerStats { handled: 1, .. }, FromM::MoreStats { .. }, FromM::Stats { .. }]);
    assert!(expected, "{answers:?}");
    drop(sensor);
    let mut sensor = connect(dir.path(), "sensor.sock");
    assert_eq!(credits(&mut sensor), 1);
    sensor.write_all(&block(&[3])).unwrap();
    assert_eq!(credits(&mut sensor), 1);
    // Two blocks at once, more than was asked for: both are taken, without any other event in between.
    sensor.write_all(&[block(&[4]), block(&[5])].concat()).unwrap();
    let mut asked = 0;
    while asked < 2 {
        asked += credits(&mut sensor);
    }
    assert_eq!(asked, 2);
    a.tell(&ToM::Query);
    let FromM::ContainerStats { handled, .. } = a.message() else { panic!("no numbers") };
    assert_eq!(handled, 4);
    assert!(matches!(a.message(), FromM::MoreStats { .. }));
    let FromM::Stats { time_us, .. } = a.message() else { panic!("no numbers") };
    assert_eq!(time_us, 4000);
}

/// Starts a process that must not get ready; returns how it ended and what it said.
fn refused(dir: &Path) -> (ExitStatus, String) {
    let mut command = Command::new(PROGRAM);
    command.arg("--run-dir").arg(dir).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut host = Host { child: command.spawn().unwrap() };
    let mut line = String::new();
    BufReader::new(host.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "", "it started");
    let mut said = String::new();
    host.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (host.child.wait().unwrap(), said)
}

#[test]
fn a_signal_ends_it_with_0_and_removes_the_sockets() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let dir = TempDir::new().unwrap();
        let host = Host::start(dir.path());
        assert_eq!(host.end(signal).code(), Some(0));
        assert!(!dir.path().join("doorbell.sock").exists() && !dir.path().join("sensor.sock").exists());
        assert!(dir.path().join("shared.mem").exists(), "retained memory");
    }
}

#[test]
fn a_second_process_in_the_directory_is_refused() {
    let dir = TempDir::new().unwrap();
    let _host = Host::start(dir.path());
    let (status, said) = refused(dir.path());
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("m-core.lock") && said.contains("end that process first"), "{said}");
    let memory = map(dir.path());
    assert_eq!(A::attach(dir.path(), &memory, VERSIONS).open_session(), 1, "the first one is unharmed");
}

#[test]
fn errors_name_the_path_and_what_to_do() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    std::fs::create_dir(dir.path().join("doorbell.sock")).unwrap();
    for (run_dir, path, advice) in
        [(file.as_path(), "/file", "that you may write to"), (dir.path(), "doorbell.sock", "give --run-dir")]
    {
        let (status, said) = refused(run_dir);
        assert_eq!(status.code(), Some(1));
        assert!(said.contains(path) && said.contains(advice), "{said}");
    }
}

/// Nothing wakes an idle M core: it stays in one and the same wait. The pause is what is observed, not a rendezvous.
#[test]
fn an_idle_process_does_not_run() {
    const OBSERVED: Duration = Duration::from_millis(300);
    let dir = TempDir::new().unwrap();
    let host = Host::start(dir.path());
    let memory = map(dir.path());
    let mut a = A::attach(dir.path(), &memory, VERSIONS);
    a.open_session();
    a.tell(&ToM::Query);
    assert!(matches!(a.message(), FromM::Stats { .. }));
    let start = Instant::now();
    while !host.status("State:").starts_with('S') {
        assert!(start.elapsed() < PATIENCE, "never idle");
        std::thread::yield_now();
    }
    let switches = || (host.status("voluntary_ctxt_switches:"), host.status("nonvoluntary_ctxt_switches:"));
    let before = switches();
    std::thread::sleep(OBSERVED);
    assert_eq!(switches(), before);
}

/// Frames of other layers and of nobody, in both directions of damage: the process answers the next Hello.
#[test]
fn garbage_on_every_line_is_survived() {
    let dir = TempDir::new().unwrap();
    let _host = Host::start(dir.path());
    let memory = map(dir.path());
    let mut a = A::attach(dir.path(), &memory, VERSIONS);
    let mut sensor = connect(dir.path(), "sensor.sock");
    let bytes: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    sensor.write_all(&bytes).unwrap();
    a.bell.write_all(&bytes).unwrap();
    for len in [1, 7, PAYLOAD_BYTES_MAX] {
        // From 200 on: no frame begins with such a byte.
        a.send_frame(&bytes[200..200 + len]);
    }
    let session = coracle_link::SessionId { a: 1, m: 1 };
    a.send_frame(coracle_link::encode(&Frame::Reset { session }, &mut [0; LINK_BYTES_MAX]).unwrap());
    assert_eq!(a.open_session(), 1);
}
