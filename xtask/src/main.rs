//! `cargo xtask`: the tasks of this repository. Each subcommand's comment is its help.
//!
//! Arguments and processes only: what a machine is made of and how a scenario runs is in `coracle-test-scenario`.
#![forbid(unsafe_code)]

mod demo;
mod report;
mod setup;
mod size;
mod test;
mod timeline;

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use coracle_test_scenario::{Cancel, Workspace};

/// Builds, runs and tests Coracle.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check for the Rust targets and the emulator, and install what is missing.
    ///
    /// Rust targets come through rustup, the emulator through apt-get if this is Debian and root. Otherwise the commands
    /// to run are printed. Quick if nothing is missing. `demo` and `test` do the same by themselves.
    Setup,
    /// Build the example containers to WebAssembly and print the folder with the modules.
    Guests,
    /// Start a machine, run the manifest's scenario on it, and show what happens.
    ///
    /// Exits with 0 only if every expectation of the scenario held.
    Demo(demo::Options),
    /// Run every check: formatting, lints, documentation examples, tests.
    Test(test::Options),
    /// Print how large the firmware is, and how much memory its containers take.
    ///
    /// Runs the example's scenario on the emulated board to measure; without the emulator, only what the ELF says.
    Size,
    /// Write the files anew that golden tests compare with. Read the difference before you commit it.
    Bless,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let cancel = Cancel::default();
    let done = cancel_on_signals(&cancel).and_then(|()| match arguments.task {
        Task::Setup => setup::everything().map(|()| ExitCode::SUCCESS),
        Task::Guests => guests().map(|()| ExitCode::SUCCESS),
        Task::Demo(options) => demo::run(&options, &cancel),
        Task::Test(options) => test::run(&options, &cancel),
        Task::Size => size::run(&cancel).map(|()| ExitCode::SUCCESS),
        Task::Bless => bless().map(|()| ExitCode::SUCCESS),
    });
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Makes Ctrl-C, SIGTERM and SIGHUP end every wait, so that what was started is killed on the way out.
fn cancel_on_signals(cancel: &Cancel) -> Result<()> {
    let cancel = cancel.clone();
    ctrlc::set_handler(move || cancel.cancel()).context("cannot handle signals")
}

fn guests() -> Result<()> {
    setup::rust_targets()?;
    println!("{}", Workspace::find()?.build_guests()?.display());
    Ok(())
}

fn bless() -> Result<()> {
    let status = cargo()
        .args(["test", "--quiet", "--test", "golden"])
        .env("CORACLE_BLESS", "1")
        .current_dir(Workspace::find()?.root)
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("the golden tests failed; see above");
    }
    Ok(())
}

/// The Cargo that runs this program.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Whether a program can be run at all.
fn runs(program: &mut Command) -> bool {
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}
