//! The two emulators and the mailbox between them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use coracle_boards::Board;
use coracle_kernel_guest::BROKEN_FIRMWARE;
use coracle_mailbox_model::{Summary, registers};
use coracle_shmem::MappedFile;
use coracle_test_qemu::{QEMU_PROGRAM, wait_for};

use crate::device_tree::{self, MemoryPlan, Part};
use crate::{build, initramfs::Archive, packages::Kernel};

/// The board of the firmware.
pub const BOARD: &str = "qemu-an500";
const M_MACHINE: &str = "mps2-an500";
const A_MACHINE: &str = "virt,highmem=off,gic-version=2";
const A_PROCESSOR: &str = "cortex-a7";
/// Where the emulator's memory begins on the A core; its own ends where the shared one begins.
const A_MEMORY_ADDRESS: u32 = 0x4000_0000;
/// Quiet, because the kernel's messages would come in the middle of the guest's lines. A panic is still told.
const A_KERNEL_ARGUMENTS: &str = "console=ttyAMA0 loglevel=1 panic=-1";

const SHARED_FILE: &str = "shared.mem";
const DOORBELL: &str = "doorbell.sock";
const M_QMP: &str = "m-qmp.sock";
const A_QMP: &str = "a-qmp.sock";
const A_QTEST: &str = "a-qtest.sock";
const M_CONSOLE: &str = "m-console.log";
const A_CONSOLE: &str = "a-console.log";
const BASE_TREE: &str = "base.dtb";
const TREE: &str = "machine.dtb";
const INITRAMFS: &str = "initramfs.cpio";
const BLANK: &str = "blank.bin";

/// Longest time from switching on to switching off. Generous, because the machine may be busy with other tests.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);
/// Time between two looks at whether the guest has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Why the machine did not run.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The board file is broken.
    #[error("board {BOARD} is not usable")]
    Board(#[from] coracle_boards::BoardError),
    /// A file could not be made or read.
    #[error("cannot prepare {}: {source}", path.display())]
    Prepare {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program of the machine could not be built.
    #[error("{0}")]
    Build(String),
    /// A process could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// A process ended that should not, or came not up.
    #[error("{0}")]
    NotUp(String),
    /// The guest did not switch off.
    #[error("the guest did not switch off within {} s; its console:\n{console}", RUN_TIMEOUT.as_secs())]
    Hangs {
        /// What the guest wrote.
        console: String,
    },
}

/// Everything that a run leaves.
#[derive(Debug)]
pub struct Ended {
    /// What the guest wrote to its console.
    pub console: String,
    /// What the firmware wrote to its console.
    pub m_console: String,
    /// What the mailbox did.
    pub mailbox: Summary,
}

/// The parts of a machine. Nothing runs yet.
#[derive(Debug)]
pub struct Machine<'a> {
    /// The A core's kernel.
    pub kernel: &'a Kernel,
    /// The guest's init.
    pub init: &'a Path,
    /// Firmware images: name in the guest's firmware folder, and the file.
    pub firmware: &'a [(&'a str, &'a Path)],
    /// The mailbox's program.
    pub mailbox: &'a Path,
}

impl Machine<'_> {
    /// Switches the machine on and waits until the guest switches it off. All files are in `run_dir`, which must exist.
    ///
    /// # Errors
    /// [`MachineError`]; whatever was started is killed.
    pub fn run(&self, run_dir: &Path) -> Result<Ended, MachineError> {
        let board = Board::builtin(BOARD)?;
        let plan = memory_plan(&board);
        self.prepare(run_dir, &plan)?;
        let word = plan.shared.address + registers::SYSCON_PAGE + registers::SYSCON_DEEP_SLEEP;
        let stub = build::boot_stub(run_dir, word, plan.firmware.address).map_err(MachineError::Build)?;

        let mut m_core = Process::start(run_dir, "m-core", &mut m_emulator(&plan, &stub))?;
        let mut a_core = Process::start(run_dir, "a-core", &mut self.a_emulator(&plan))?;
        let sockets = [DOORBELL, M_QMP, A_QMP, A_QTEST].map(|name| run_dir.join(name));
        let up = wait_for("the emulators' sockets", || {
            let ended = !m_core.is_running() || !a_core.is_running();
            (ended || sockets.iter().all(|socket| socket.exists())).then_some(!ended)
        });
        if up != Ok(true) {
            return Err(MachineError::NotUp(format!("{}{}", m_core.said(), a_core.said())));
        }
        let mut command = Command::new(self.mailbox);
        command.args(["--shared", SHARED_FILE, "--doorbell", DOORBELL, "--m-qmp", M_QMP]);
        command.args(["--a-qmp", A_QMP, "--a-qtest", A_QTEST]);
        let mut mailbox = Process::start(run_dir, "mailbox", &mut command)?;

        let end = Instant::now() + RUN_TIMEOUT;
        while a_core.is_running() && m_core.is_running() && mailbox.is_running() {
            if Instant::now() >= end {
                return Err(MachineError::Hangs { console: text(&run_dir.join(A_CONSOLE)) });
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        let switched_off = wait_for("the end", || (!a_core.is_running() && !mailbox.is_running()).then_some(()));
        let clean = switched_off.is_ok() && m_core.is_running() && mailbox.succeeded();
        let console = text(&run_dir.join(A_CONSOLE));
        if !clean {
            let (m_core, a_core, mailbox) = (m_core.said(), a_core.said(), mailbox.said());
            let m_console = text(&run_dir.join(M_CONSOLE));
            return Err(MachineError::NotUp(format!(
                "{m_core}{a_core}{mailbox}\nthe M core's console:\n{m_console}\nthe guest's console:\n{console}"
            )));
        }
        let mailbox = serde_json::from_str(&text(&mailbox.log))
            .map_err(|error| MachineError::NotUp(format!("the mailbox's summary: {error}; {}", mailbox.said())))?;
        Ok(Ended { console, m_console: text(&run_dir.join(M_CONSOLE)), mailbox })
    }

    fn prepare(&self, run_dir: &Path, plan: &MemoryPlan) -> Result<(), MachineError> {
        let memory = run_dir.join(SHARED_FILE);
        let fails = |path: &Path, source| MachineError::Prepare { path: path.into(), source };
        let mapped = MappedFile::open(&memory, plan.shared.bytes as usize).map_err(|error| fails(&memory, error))?;
        registers::power_on(&mapped.region())
            .map_err(|error| fails(&memory, io::Error::other(format!("{error:?}"))))?;

        let blank = run_dir.join(BLANK);
        fs::File::create(&blank)
            .and_then(|file| file.set_len(u64::from(plan.firmware.bytes)))
            .map_err(|error| fails(&blank, error))?;
        let archive = run_dir.join(INITRAMFS);
        self.archive().and_then(|bytes| fs::write(&archive, bytes).map_err(|error| fails(&archive, error)))?;

        let mut dump = emulator();
        dump.args(["-M", &format!("{A_MACHINE},dumpdtb={BASE_TREE}")]).args(a_memory(plan)).current_dir(run_dir);
        build::run(&mut dump).map_err(MachineError::Build)?;
        let additions = device_tree::additions(plan);
        device_tree::compile(run_dir, &run_dir.join(BASE_TREE), &additions, &run_dir.join(TREE))
            .map_err(MachineError::Build)
    }

    /// What the guest finds at its root.
    fn archive(&self) -> Result<Vec<u8>, MachineError> {
        let read = |path: &Path| fs::read(path).map_err(|source| MachineError::Prepare { path: path.into(), source });
        let mut archive = Archive::new();
        for folder in ["dev", "modules", "lib", "lib/firmware"] {
            archive.folder(folder);
        }
        archive.character_device("dev/console", 5, 1);
        archive.program("init", &read(self.init)?);
        for (number, module) in self.kernel.modules.iter().enumerate() {
            archive.file(&format!("modules/{number:02}.ko"), &read(module)?);
        }
        for (name, path) in self.firmware {
            archive.file(&format!("lib/firmware/{name}"), &read(path)?);
        }
        archive.file(&format!("lib/firmware/{BROKEN_FIRMWARE}"), b"no ELF file");
        Ok(archive.finish())
    }

    fn a_emulator(&self, plan: &MemoryPlan) -> Command {
        let mut command = emulator();
        command.args(["-M", A_MACHINE]).args(a_memory(plan));
        // Interrupts come in through the test protocol, which by itself would stop the processor's own clock.
        command.args(["-accel", "tcg", "-qtest", &listening(A_QTEST), "-qtest-log", "none"]);
        command.args(["-qmp", &listening(A_QMP), "-serial", &format!("file:{A_CONSOLE}"), "-no-reboot"]);
        command.arg("-kernel").arg(&self.kernel.image);
        command.args(["-dtb", TREE, "-initrd", INITRAMFS, "-append", A_KERNEL_ARGUMENTS]);
        command
    }
}

fn m_emulator(plan: &MemoryPlan, stub: &Path) -> Command {
    let mut command = emulator();
    command.args(["-M", &format!("{M_MACHINE},memory-backend=shared")]).args(shared_memory(plan));
    command.args(["-serial", &format!("file:{M_CONSOLE}")]);
    command.args(["-chardev", &format!("socket,id=doorbell,path={DOORBELL},server=on,wait=off")]);
    command.args(["-serial", "chardev:doorbell", "-qmp", &listening(M_QMP), "-kernel"]).arg(stub);
    // Written again at each reset. The emulator keeps what it translated of the firmware's code and does not notice that
    // another process writes other code there; it does notice its own writes.
    command.args(["-device", &format!("loader,file={BLANK},addr={:#x},force-raw=on", plan.firmware.address)]);
    command
}

fn emulator() -> Command {
    let mut command = Command::new(QEMU_PROGRAM);
    command.args(["-display", "none", "-monitor", "none", "-net", "none"]);
    command
}

fn listening(socket: &str) -> String {
    format!("unix:{socket},server=on,wait=off")
}

/// Names are relative to the run directory: QEMU takes a comma in a path for the end of the option, and paths of sockets
/// are limited to 108 bytes.
fn shared_memory(plan: &MemoryPlan) -> [String; 2] {
    let bytes = plan.shared.bytes;
    ["-object".into(), format!("memory-backend-file,id=shared,mem-path={SHARED_FILE},size={bytes},share=on")]
}

/// Processor and memory of the A core: its own, and the shared one right behind it, as a second node.
fn a_memory(plan: &MemoryPlan) -> Vec<OsString> {
    let own = plan.shared.address - A_MEMORY_ADDRESS;
    let all_mib = (own + plan.shared.bytes) >> 20;
    let mut arguments: Vec<OsString> = shared_memory(plan).into_iter().map(OsString::from).collect();
    for argument in [
        "-cpu",
        A_PROCESSOR,
        "-m",
        &all_mib.to_string(),
        "-object",
        &format!("memory-backend-ram,id=own,size={own}"),
        "-numa",
        "node,memdev=own",
        "-numa",
        "node,memdev=shared",
    ] {
        arguments.push(argument.into());
    }
    arguments
}

/// Who uses what of the board's memory: the firmware everything before the rings.
fn memory_plan(board: &Board) -> MemoryPlan {
    let shared = Part { address: board.shared_backing.address, bytes: board.shared_backing.bytes };
    let part = |span: coracle_boards::Span| Part { address: board.shared.address + span.offset, bytes: span.bytes };
    let vring0 = part(board.shared.vring0);
    MemoryPlan {
        shared,
        firmware: Part { address: shared.address, bytes: vring0.address - shared.address },
        vring0,
        vring1: part(board.shared.vring1),
        buffers: part(board.shared.buffers),
    }
}

/// A process of the machine. Dropping it kills it.
#[derive(Debug)]
struct Process {
    child: Child,
    log: PathBuf,
    name: &'static str,
    status: Option<ExitStatus>,
}

impl Process {
    fn start(run_dir: &Path, name: &'static str, command: &mut Command) -> Result<Self, MachineError> {
        let log = run_dir.join(format!("{name}.log"));
        let created = fs::File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (output, errors) = created.map_err(|source| MachineError::Prepare { path: log.clone(), source })?;
        let child = command
            .current_dir(run_dir)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|source| MachineError::Start { program: display(command.get_program()), source })?;
        Ok(Self { child, log, name, status: None })
    }

    fn is_running(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status.is_none()
    }

    fn succeeded(&mut self) -> bool {
        !self.is_running() && self.status.is_some_and(|status| status.success())
    }

    /// What it said and how it ended.
    fn said(&mut self) -> String {
        let state = match (self.is_running(), self.status) {
            (false, Some(status)) => status.to_string(),
            _ => "runs".into(),
        };
        format!("{}: {state}: {}\n", self.name, text(&self.log).trim())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn display(program: &OsStr) -> String {
    program.to_string_lossy().into_owned()
}

fn text(path: &Path) -> String {
    fs::read(path).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}
