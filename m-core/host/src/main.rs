//! The `host` board: a Linux process that is an M core.
//!
//! It runs the supervisor, sandbox and RPMsg code of the firmware over a shared file and two Unix sockets, all in the
//! run directory:
//!
//! ```text
//! shared.mem     what both cores see, laid out as boards/host.toml says
//! doorbell.sock  the A core connects; one byte = the number of a virtqueue, both ways
//! sensor.sock    the sensor model connects; coracle_board_api::sensor_wire
//! m-core.lock    held while the process lives
//! ```
//!
//! `ready` on stdout says that both sockets listen. SIGTERM and SIGINT end the process with code 0; SIGKILL is what a
//! power cut of the M core is on this board. Whoever starts the process restarts it: it does not do so itself, and it
//! knows neither containers nor manifests.
#![forbid(unsafe_code)]

mod board;
mod devices;
mod error;
mod logger;

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use coracle_board_api::{error, info};
use coracle_boards::Board;
use coracle_m_supervisor::Core;
use coracle_shmem::MappedFile;

use crate::board::HostBoard;
use crate::error::HostError;

/// The shared memory.
const MEMORY_FILE: &str = "shared.mem";
/// Held by the process that owns the run directory.
const LOCK_FILE: &str = "m-core.lock";

/// The M core of the `host` board as a Linux process.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Directory for the shared memory and the sockets; created if it does not exist
    #[arg(long, value_name = "DIR")]
    run_dir: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse().run_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Both: the log is lost on whoever did not map the memory yet, stderr on whoever reads only the log.
            error!("{}", problem);
            eprintln!("coracle-m-host: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(dir: &Path) -> Result<(), HostError> {
    let description = Board::builtin("host")?;
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| HostError::File { path, source }
    };
    fs::create_dir_all(dir).map_err(at(dir))?;
    // Until the process ends, however it ends: two M cores on one memory would destroy the rings.
    let _lock = lock(&dir.join(LOCK_FILE))?;
    let path = dir.join(MEMORY_FILE);
    let memory = MappedFile::open(&path, description.shared.bytes as usize).map_err(at(&path))?;
    // For ever: the logger is a static, and the process ends when the M core does.
    let shared = Box::leak(Box::new(memory)).region();
    let log = shared.sub(description.shared.log.offset as usize, description.shared.log.bytes as usize)?;
    let clock = logger::start(log)?;
    let mut core = Core::new(shared, &description.shared, description.budget, None)?;
    // After the resource table, which A reads when it has connected.
    let mut board = HostBoard::open(dir, clock)?;
    info!("M core started, process {}", std::process::id());
    let mut stdout = std::io::stdout();
    // Whoever closed our stdout does not want to know.
    let _ = stdout.write_all(b"ready\n").and_then(|()| stdout.flush());
    let mut devices = devices::devices();
    loop {
        let activity = core.run_once(&mut board, &mut devices)?;
        if board.wait(activity)? {
            info!("M core ended by a signal");
            return Ok(());
        }
    }
}

fn lock(path: &Path) -> Result<File, HostError> {
    let failed = |source| HostError::File { path: path.to_owned(), source };
    let file = File::options().write(true).create(true).truncate(false).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(HostError::Running { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
