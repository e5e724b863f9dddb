//! The owner: waits, feeds the node, and carries out what it says, in its order.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use coracle_api::{Core, Reply, Request, What};
use coracle_boards::{BUILTIN_BOARDS, Board, Span};
use coracle_container::execute;
use coracle_device::Devices as _;
use coracle_engine::EngineHandle;
use coracle_link::Credit;
use coracle_model::{Desired, Memories, Node, Output, Record, RequestId};
use coracle_platform::devices::{DeviceRoots, DevicesConfig, LinuxDevices};
use coracle_platform::{
    CharPort, DriverPort, FileStore, LogDecoder, LogReader, PortEvent, RpmsgPaths, SharedMemoryPort, Transport, Waiter,
};
use coracle_rpmsg::PAYLOAD_BYTES_MAX;
use coracle_shmem::MappedFile;

use crate::clock::{Clock, wall_offset_us};
use crate::plan;
use crate::secret::Secret;
use crate::server::{self, Client, FromClient};

/// How often applies that wait for M are looked at, in microseconds.
const APPLIES_US: u64 = 10_000;
/// Frames that are taken from M before clients are looked at.
const FRAMES_A_TURN_MAX: usize = 256;
/// Edges of pins that are taken before anything else is looked at.
const PIN_EVENTS_A_TURN_MAX: usize = 64;
/// Blocks of this core's sensors that are taken before anything else is looked at.
const BLOCKS_A_TURN_MAX: usize = 16;
/// Longest that an apply waits for the M core.
const APPLY_MAX: Duration = Duration::from_secs(30);

struct Owner<'m> {
    node: Node<'m>,
    port: Box<dyn Transport + 'm>,
    store: FileStore,
    secret: Secret,
    devices: LinuxDevices,
    board: Board,
    log: LogReader<'m>,
    clock: Clock,
    /// Where replies go.
    waiting: BTreeMap<RequestId, Client>,
    applies: BTreeMap<RequestId, Instant>,
    subscribers: Vec<Client>,
    next_request: RequestId,
    /// M may have sent more than the last turn took.
    backlog: bool,
    shutdown: bool,
}

/// Who drives the rings of the channel to M.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TransportKind {
    /// This process, through shared memory and a doorbell.
    Shm,
    /// The kernel: RPMsg devices.
    Rpmsg,
}

/// Runs until SIGTERM, SIGINT or a client's shutdown.
///
/// # Errors
/// What keeps the daemon from starting, or from storing what it must.
pub(crate) fn run(
    run_dir: &Path,
    board: &str,
    firmware: Option<&Path>,
    transport: TransportKind,
    devices: Option<&Path>,
) -> Result<()> {
    // Before any thread: they inherit the blocked signals.
    let mut waiter = Waiter::new().context("cannot set up signals")?;
    let board = if BUILTIN_BOARDS.contains(&board) { Board::builtin(board)? } else { Board::load(Path::new(board))? };
    let devices = devices.map(DevicesConfig::read).transpose()?.unwrap_or_default();
    let decoder = match firmware {
        Some(path) => {
            let elf = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(LogDecoder::new(&elf).with_context(|| format!("cannot use {}", path.display()))?)
        }
        None => None,
    };
    let memory = run_dir.join("shared.mem");
    // Mapping would make the file, and the M core would never see what is put there.
    if transport == TransportKind::Rpmsg && !memory.exists() {
        bail!(
            "{} is not there: with --transport rpmsg it must lead to memory that the M core sees, laid out as the board \
             file says; nothing provides it yet on a board whose kernel drives the M core",
            memory.display()
        );
    }
    let mapped = MappedFile::open(&memory, board.shared.bytes as usize)
        .with_context(|| format!("cannot map {}: give --run-dir the directory of a running board", memory.display()))?;
    let shared = mapped.region();
    let sub = |span: Span| {
        shared
            .sub(span.offset as usize, span.bytes as usize)
            .map_err(|_| anyhow!("board `{}`: its shared regions do not fit its memory", board.name))
    };
    let memories = Memories {
        bulk_to_m: sub(board.shared.bulk_to_m)?,
        bulk_to_a: sub(board.shared.bulk_to_a)?,
        retained: sub(board.shared.retained)?,
    };
    let port: Box<dyn Transport + '_> = match transport {
        TransportKind::Shm => {
            Box::new(SharedMemoryPort::new(DriverPort::new(shared, &board.shared)?, run_dir.join("doorbell.sock")))
        }
        TransportKind::Rpmsg => Box::new(CharPort::new(RpmsgPaths::default()).context("cannot read /dev/urandom")?),
    };
    let state_dir = run_dir.join("state");
    let store = FileStore::open(&state_dir)?;
    let secret = Secret::open(&state_dir)?;
    let (desired, records, damaged) = read_state(&store)?;
    let room = Credit::for_buffers(board.shared.vring_num);
    let mut node = Node::new(EngineHandle::new()?, memories, port.first_nonce(), desired, records, room);
    for text in damaged {
        node.event(None, What::Log { core: Core::A, level: "error".into(), uptime_us: None, text });
    }
    let requests = server::listen(&run_dir.join("coracled.sock"), waiter.handle())?;
    let mut owner = Owner {
        node,
        port,
        store,
        secret,
        devices: LinuxDevices::new(devices, DeviceRoots::default()),
        log: LogReader::new(sub(board.shared.log)?, decoder),
        board,
        clock: Clock::start()?,
        waiting: BTreeMap::new(),
        applies: BTreeMap::new(),
        subscribers: Vec::new(),
        next_request: 0,
        backlog: false,
        shutdown: false,
    };
    while !owner.shutdown {
        owner.turn(&mut waiter, &requests)?;
    }
    Ok(())
}

/// What an earlier life left. Files that cannot be used are set aside, never dropped silently.
fn read_state(store: &FileStore) -> Result<(Option<Desired>, Vec<Record>, Vec<String>)> {
    let mut damaged = Vec::new();
    let mut set_aside = |path: &Path, why: &str| -> Result<()> {
        let aside = store.set_aside(path)?;
        damaged.push(format!("{} cannot be used ({why}); it was set aside as {}", path.display(), aside.display()));
        Ok(())
    };
    let desired = match store.desired()? {
        Some(bytes) => {
            let desired = Desired::from_bytes(&bytes);
            if desired.is_none() {
                set_aside(&store.desired_path(), "damaged or of another version")?;
            }
            desired
        }
        None => None,
    };
    let mut records = Vec::new();
    for (path, bytes) in store.records()? {
        match Record::from_bytes(&bytes) {
            Ok(record) => records.push(record),
            Err(error) => set_aside(&path, &error.to_string())?,
        }
    }
    Ok((desired, records, damaged))
}

impl Owner<'_> {
    fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// Waits for something, then does a bounded amount of work.
    fn turn(&mut self, waiter: &mut Waiter, requests: &Receiver<FromClient>) -> Result<()> {
        let ready = waiter.wait(self.port.readiness(), self.devices.descriptors(), self.wait_us())?;
        if ready.end {
            self.shutdown = true;
            return Ok(());
        }
        while let Ok(FromClient::Request(request, client)) = requests.try_recv() {
            self.request(request, client);
        }
        // First, so that what M logged before it rang comes before what that causes here.
        self.read_log()?;
        self.work()?;
        self.read_log()?;
        self.expire();
        self.carry_out()
    }

    /// How long to wait at most.
    fn wait_us(&self) -> Option<u64> {
        if self.node.has_work() || self.backlog {
            return Some(0);
        }
        let applies = (!self.applies.is_empty()).then_some(APPLIES_US);
        let devices = self.devices.deadline_us().map(|at| at.saturating_sub(self.now_us()));
        [self.port.wait_us(), applies, self.node.wait_us(), devices].into_iter().flatten().min()
    }

    /// Takes what M sent and does the work that comes of it.
    fn work(&mut self) -> Result<()> {
        let now = self.now_us();
        if let Some(offset_us) = wall_offset_us(now) {
            self.node.set_wall_clock(offset_us);
        }
        for _ in 0..PIN_EVENTS_A_TURN_MAX {
            let Some(event) = self.devices.pin_event(now) else { break };
            self.node.pin_event(event.label, event.high, event.time_us, now);
        }
        for _ in 0..BLOCKS_A_TURN_MAX {
            let Some((sensor, block)) = self.devices.sensor_block(now) else { break };
            self.node.sensor_block(sensor, &block.header, block.samples, now);
        }
        for problem in self.devices.take_problems() {
            let (level, text) = ("error".to_owned(), problem.to_string());
            self.node.event(None, What::Log { core: Core::A, level, uptime_us: None, text });
        }
        // Bounded: neither an M that floods nor a guest that never runs out of events keeps clients and signals waiting.
        for _ in 0..FRAMES_A_TURN_MAX {
            let mut payload = [0; PAYLOAD_BYTES_MAX];
            let event = self.port.poll(&mut payload);
            // Not before: A must not claim to have had an answer before M gave it.
            let now = self.now_us();
            self.backlog = event != PortEvent::Idle;
            match event {
                PortEvent::Idle => {}
                PortEvent::Open => self.node.channel_up(now),
                PortEvent::Lost(why) => self.node.channel_down(why),
                PortEvent::Frame(len) => self.node.frame(payload.get(..len).unwrap_or_default(), now),
            }
            if let Some(complaint) = self.port.take_complaint() {
                let what = What::Log { core: Core::A, level: "error".into(), uptime_us: None, text: complaint };
                self.node.event(None, what);
            }
            self.node.step(now);
            if self.node.take_restart() {
                self.port.restart();
            }
            self.carry_out()?;
            if !self.backlog {
                break;
            }
        }
        Ok(())
    }

    /// Does what the node says, in its order: what must be durable is, before anything is sent that depends on it.
    fn carry_out(&mut self) -> Result<()> {
        while let Some(output) = self.node.take_output() {
            match output {
                Output::Store { name, record } => self.store.put(&name, &record)?,
                Output::Forget { name } => self.store.remove(&name)?,
                Output::StoreDesired(bytes) => self.store.put_desired(&bytes)?,
                Output::Send(frame) => self.port.send(&frame),
                Output::Device { token, call } => {
                    let answer = execute(&call, &mut self.devices);
                    self.node.device_answer(token, answer, self.now_us());
                }
                Output::Sense { sensor, on } => {
                    // One that is not here is M's; what else is wrong is told by `take_problems`.
                    let _ = self.devices.sensor_enable(&sensor, on);
                }
                Output::Event(event) => self.subscribers.retain_mut(|client| client.event(&event)),
                Output::Reply(id, reply) => {
                    self.applies.remove(&id);
                    if let Some(client) = self.waiting.remove(&id) {
                        client.reply(&reply);
                    }
                }
            }
        }
        self.port.flush();
        Ok(())
    }

    fn request(&mut self, request: Request, mut client: Client) {
        let now = self.now_us();
        self.next_request += 1;
        let id = self.next_request;
        match request {
            Request::Events => {
                if self.node.kept_events().all(|event| client.event(event)) {
                    self.subscribers.push(client);
                }
            }
            Request::Shutdown => {
                client.reply(&Reply::Ok);
                self.shutdown = true;
            }
            Request::Apply { manifest, modules_dir, lockstep, pinned } => {
                match plan::load(&manifest, modules_dir.as_deref(), lockstep, pinned, &self.board, &self.secret) {
                    Ok(desired) => {
                        self.waiting.insert(id, client);
                        self.applies.insert(id, Instant::now());
                        self.node.apply(id, desired, now);
                    }
                    Err(error) => client.reply(&Reply::Error { message: format!("{error:#}") }),
                }
            }
            Request::Report | Request::Move { .. } => {
                self.waiting.insert(id, client);
                self.node.request(id, request, now);
            }
        }
    }

    fn read_log(&mut self) -> Result<()> {
        for line in self.log.lines() {
            let what = What::Log {
                core: Core::M,
                level: line.level.unwrap_or("warn").to_owned(),
                uptime_us: line.time_us,
                text: line.text,
            };
            self.node.event(None, what);
        }
        self.carry_out()
    }

    /// An apply that waits for an M core that does not come is answered; the desired state stays.
    fn expire(&mut self) {
        let late: Vec<RequestId> =
            self.applies.iter().filter(|(_, since)| since.elapsed() > APPLY_MAX).map(|(id, _)| *id).collect();
        for id in late {
            self.applies.remove(&id);
            if let Some(client) = self.waiting.remove(&id) {
                let message = format!(
                    "the M core did not answer within {} s; the manifest is kept and applied when it does",
                    APPLY_MAX.as_secs()
                );
                client.reply(&Reply::Error { message });
            }
        }
    }
}
