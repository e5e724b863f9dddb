//! The emulator process and its run directory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs, io};

use coracle_boards::{Board, BoardError};

use crate::wait_for;

/// The emulator.
pub const QEMU_PROGRAM: &str = "qemu-system-arm";
/// The board that the example runs on, and most tests.
const BOARD: &str = "qemu-an386";

/// Name in the run directory of the file behind the chip's memory that the shared memory is, or is a part of.
pub const SHARED_FILE: &str = "shared.mem";
/// Name in the run directory of the doorbell's socket.
pub const DOORBELL_SOCKET: &str = "doorbell.sock";
/// Name in the run directory of the sensor's socket.
pub const SENSOR_SOCKET: &str = "sensor.sock";
/// Name in the run directory of the firmware's console output.
pub const CONSOLE_FILE: &str = "console.log";
/// Name in the run directory of what the emulator itself says.
const QEMU_LOG_FILE: &str = "qemu.log";

/// Why the emulator could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The board file is broken.
    #[error("the board is not usable")]
    Board(#[from] BoardError),
    /// The board is none that the emulator plays.
    #[error("board {board} runs no firmware")]
    NoFirmware {
        /// Its name.
        board: String,
    },
    /// A file in the run directory could not be made.
    #[error("cannot prepare {path}")]
    Prepare {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The emulator could not be started at all.
    #[error("cannot start {QEMU_PROGRAM}; install it (Debian: apt-get install qemu-system-arm)")]
    Start(#[source] io::Error),
    /// The emulator started and gave up, or never opened its sockets.
    #[error("{QEMU_PROGRAM} does not come up: {said}")]
    NotUp {
        /// What it said, and what was waited for.
        said: String,
    },
}

/// A running emulator. Dropping it kills the process; the run directory stays.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    board: String,
    elf: PathBuf,
    run_dir: PathBuf,
}

impl Qemu {
    /// Starts `elf` on the board `qemu-an386`, see [`Qemu::launch_on`].
    ///
    /// # Errors
    /// [`LaunchError`].
    pub fn launch(elf: &Path, run_dir: &Path) -> Result<Self, LaunchError> {
        Self::launch_on(BOARD, elf, run_dir)
    }

    /// Starts `elf` on the board of this name with its files in `run_dir`, which must exist. A shared memory that is there
    /// already is kept, as a restart of the M core alone would find it; the emulator loads `elf` over what a part of it
    /// holds, on boards whose code lies in the memory behind the shared memory. Returns when both sockets take
    /// connections.
    ///
    /// # Errors
    /// [`LaunchError`].
    pub fn launch_on(board: &str, elf: &Path, run_dir: &Path) -> Result<Self, LaunchError> {
        let child = start(board, elf, run_dir)?;
        let mut qemu = Self { child, board: board.to_owned(), elf: elf.to_owned(), run_dir: run_dir.to_owned() };
        qemu.wait_until_up()?;
        Ok(qemu)
    }

    /// Kills the emulator, as a power cut of the M core would: nothing in it gets to react.
    ///
    /// # Errors
    /// What the system said.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Kills the emulator and starts it again with the same shared memory.
    ///
    /// # Errors
    /// [`LaunchError`].
    pub fn restart(&mut self) -> Result<(), LaunchError> {
        self.kill().map_err(LaunchError::Start)?;
        self.child = start(&self.board, &self.elf, &self.run_dir)?;
        self.wait_until_up()
    }

    /// True while the process runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The socket that carries bells. One peer at a time; bells that the firmware rings while none is connected are lost,
    /// so a peer looks everywhere after it connects.
    #[must_use]
    pub fn doorbell_path(&self) -> PathBuf {
        self.run_dir.join(DOORBELL_SOCKET)
    }

    /// The socket to which the sensor connects.
    #[must_use]
    pub fn sensor_path(&self) -> PathBuf {
        self.run_dir.join(SENSOR_SOCKET)
    }

    /// The file behind the chip's memory that the shared memory is, or is a part of.
    #[must_use]
    pub fn shared_path(&self) -> PathBuf {
        self.run_dir.join(SHARED_FILE)
    }

    /// What the firmware wrote to its console since the emulator started.
    #[must_use]
    pub fn console(&self) -> String {
        fs::read(self.run_dir.join(CONSOLE_FILE))
            .map_or_else(|_| String::new(), |text| String::from_utf8_lossy(&text).into())
    }

    fn wait_until_up(&mut self) -> Result<(), LaunchError> {
        let sockets = [self.doorbell_path(), self.sensor_path()];
        let up = wait_for("the emulator to open its sockets or to end", || {
            let ended = !self.is_running();
            (ended || sockets.iter().all(|socket| socket.exists())).then_some(ended)
        });
        match up {
            Ok(false) => Ok(()),
            Ok(true) => {
                let said = fs::read_to_string(self.run_dir.join(QEMU_LOG_FILE)).unwrap_or_default();
                Err(LaunchError::NotUp { said })
            }
            Err(said) => Err(LaunchError::NotUp { said }),
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // An error means that it has ended already, which is what is wanted.
        let _ = self.kill();
    }
}

fn start(board: &str, elf: &Path, run_dir: &Path) -> Result<Child, LaunchError> {
    let board = Board::builtin(board)?;
    let Some(firmware) = &board.firmware else { return Err(LaunchError::NoFirmware { board: board.name }) };
    let (machine, bytes) = (&board.chip.name, board.shared_backing.bytes);
    let path = |name: &str| run_dir.join(name);
    let prepared = |name: &str, result: io::Result<()>| {
        result.map_err(|source| LaunchError::Prepare { path: run_dir.join(name), source })
    };
    let memory = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path(SHARED_FILE));
    prepared(SHARED_FILE, memory.and_then(|file| file.set_len(u64::from(bytes))))?;
    // Sockets of a killed emulator stay behind; connecting to one would fail, and waiting for the new one would not wait.
    for socket in [DOORBELL_SOCKET, SENSOR_SOCKET] {
        let removed = fs::remove_file(path(socket));
        prepared(
            socket,
            removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }),
        )?;
    }
    let log = fs::File::create(path(QEMU_LOG_FILE))
        .map_err(|source| LaunchError::Prepare { path: path(QEMU_LOG_FILE), source })?;
    // In the run directory and with relative names: socket paths are limited to 108 bytes, and QEMU takes a comma in a
    // path for the end of the option.
    Command::new(QEMU_PROGRAM)
        .current_dir(run_dir)
        .args(["-M", &format!("{machine},memory-backend=shared"), "-display", "none", "-monitor", "none"])
        .args(["-object", &format!("memory-backend-file,id=shared,mem-path={SHARED_FILE},size={bytes},share=on")])
        .args(["-global", &format!("armv7m.init-nsvtor={:#x}", firmware.code.address)])
        .args(["-serial", &format!("file:{CONSOLE_FILE}")])
        .args(["-chardev", &format!("socket,id=doorbell,path={DOORBELL_SOCKET},server=on,wait=off")])
        .args(["-serial", "chardev:doorbell"])
        .args(["-chardev", &format!("socket,id=sensor,path={SENSOR_SOCKET},server=on,wait=off")])
        .args(["-serial", "chardev:sensor"])
        .arg("-kernel")
        .arg(elf)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(LaunchError::Start)
}

/// True if the emulator is installed. If not, says so and returns false, so that a test can end.
///
/// # Panics
/// If it is not installed and `CI_REQUIRE_QEMU=1`: a test that must run must not pass by being skipped.
#[must_use]
pub fn qemu_or_skip() -> bool {
    let version = Command::new(QEMU_PROGRAM).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if version.is_ok_and(|status| status.success()) {
        return true;
    }
    let required = env::var("CI_REQUIRE_QEMU").is_ok_and(|value| value == "1");
    assert!(!required, "{QEMU_PROGRAM} not found, and CI_REQUIRE_QEMU=1 requires it");
    println!("SKIPPED: {QEMU_PROGRAM} not found");
    false
}

/// Builds a program of the firmware package of the board `qemu-an386`, see [`firmware_of`].
///
/// # Errors
/// What is wrong with the board file, or what the build said.
pub fn firmware(program: &str) -> Result<PathBuf, String> {
    firmware_of(BOARD, program)
}

/// Builds a program of the firmware package of the board of this name and returns its ELF.
///
/// # Errors
/// What is wrong with the board file, or what the build said.
pub fn firmware_of(board: &str, program: &str) -> Result<PathBuf, String> {
    let package = format!("coracle-firmware-{board}");
    let board = Board::builtin(board).map_err(|error| error.to_string())?;
    let target = board.firmware.ok_or("the board runs no firmware")?.target;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target_dir = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |set| root.join(set));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(&root)
        .args(["build", "--quiet", "--profile", "firmware", "--package", &package])
        .args(["--bin", program, "--target", &target])
        .env("DEFMT_LOG", env::var_os("DEFMT_LOG").unwrap_or_else(|| "debug".into()))
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("building {program} failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let elf = target_dir.join(target).join("firmware").join(program);
    elf.canonicalize().map_err(|error| format!("the build made no {}: {error}", elf.display()))
}
