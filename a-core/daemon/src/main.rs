//! `coracled`: the A-core supervisor.
//!
//! It attaches to an M core that somebody else started (a launcher, systemd, remoteproc): its own death and restart
//! leave that core running. One owner thread holds the [`coracle_model::Node`], the rings and the store; clients are
//! served by threads that only carry lines between their socket and the owner.
#![forbid(unsafe_code)]

mod clock;
mod plan;
mod secret;
mod server;
mod supervise;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// The A-core supervisor of Coracle.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Directory of the board's shared memory and sockets, and of this daemon's socket and state.
    #[arg(long)]
    run_dir: PathBuf,
    /// The board: a built-in name or the path of a board file.
    #[arg(long, default_value = "host")]
    board: String,
    /// The firmware's ELF file, to read its log.
    #[arg(long)]
    firmware: Option<PathBuf>,
    /// Who drives the channel to the M core: `shm`, this daemon, through the run directory's shared memory and doorbell;
    /// `rpmsg`, the kernel, through /dev/rpmsg*. In both cases the run directory's `shared.mem` holds the containers'
    /// bulk memory and the M core's log. Nothing provides that file yet on a board whose kernel drives the M core.
    #[arg(long, value_enum, default_value = "shm")]
    transport: supervise::TransportKind,
    /// The file that names this machine's pins, buses and sensors. Without it containers use those of the M core alone.
    #[arg(long)]
    devices: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (firmware, devices) = (arguments.firmware.as_deref(), arguments.devices.as_deref());
    match supervise::run(&arguments.run_dir, &arguments.board, firmware, arguments.transport, devices) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coracled: {error:#}");
            ExitCode::FAILURE
        }
    }
}
