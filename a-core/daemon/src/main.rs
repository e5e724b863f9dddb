//! `coracled`: the A-core supervisor.
//!
//! It attaches to an M core that somebody else started (a launcher, systemd, remoteproc): its own death and restart
//! leave that core running. One owner thread holds the [`coracle_model::Node`], the rings and the store; clients are
//! served by threads that only carry lines between their socket and the owner.
#![forbid(unsafe_code)]

mod plan;
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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match supervise::run(&arguments.run_dir, &arguments.board, arguments.firmware.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coracled: {error:#}");
            ExitCode::FAILURE
        }
    }
}
