//! `coracle-mailbox-model`: the mailbox between two emulators. Arguments and printing only.
#![forbid(unsafe_code)]

use std::error::Error;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use coracle_mailbox_model::{Sockets, registers, serve};
use coracle_shmem::MappedFile;

/// Gives the words that pose as mailbox and reset registers the effects of an STM32MP1's.
///
/// Start it when both emulators have opened their sockets. It ends with the A core's emulator, and prints what it did as a
/// line of JSON.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// File behind the memory that both emulators share. Its register pages must be in their power-on state.
    #[arg(long)]
    shared: PathBuf,
    /// Socket of the M core's doorbell.
    #[arg(long)]
    doorbell: PathBuf,
    /// QMP socket of the M core's emulator.
    #[arg(long)]
    m_qmp: PathBuf,
    /// QMP socket of the A core's emulator.
    #[arg(long)]
    a_qmp: PathBuf,
    /// Test protocol socket of the A core's emulator.
    #[arg(long)]
    a_qtest: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("mailbox model: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String, Box<dyn Error>> {
    let memory = MappedFile::open(&arguments.shared, (registers::MAILBOX_PAGE + registers::PAGE_BYTES) as usize)?;
    let connect = |path: &Path| {
        UnixStream::connect(path).map_err(|error| format!("cannot connect to {}: {error}", path.display()))
    };
    let sockets = Sockets {
        doorbell: connect(&arguments.doorbell)?,
        m_control: connect(&arguments.m_qmp)?,
        a_control: connect(&arguments.a_qmp)?,
        a_interrupts: connect(&arguments.a_qtest)?,
    };
    Ok(serde_json::to_string(&serve(&memory.region(), sockets)?)?)
}
