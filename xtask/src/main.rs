//! `cargo xtask`: the tasks of this repository. Each subcommand's comment is its help.
//!
//! Arguments and processes only: what a machine is made of and how a scenario runs is in `coracle-test-scenario`.
#![forbid(unsafe_code)]

mod bench;
mod demo;
mod fuzz;
mod loom;
mod miri;
mod report;
mod rpmsg_lite;
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
    /// Check for the Rust targets, the emulator, and what the kernel test and the guests in C and AssemblyScript need, and
    /// install what is missing.
    ///
    /// Rust targets come through rustup, programs through apt-get if this is Debian and root, the kernel test's armhf kernel
    /// through an apt of its own and the AssemblyScript compiler through npm into the cache (CORACLE_CACHE, else
    /// ~/.cache/coracle). Otherwise the commands to run are printed. Quick if nothing is missing. `demo` and `test` do the same by themselves.
    Setup,
    /// Build the example containers to WebAssembly and print the folder with the modules.
    Guests,
    /// Start a machine, run the manifest's scenario on it, and show what happens.
    ///
    /// Exits with 0 only if every expectation of the scenario held.
    Demo(demo::Options),
    /// Run every check: formatting, lints, documentation examples, tests.
    Test(test::Options),
    /// Run the tests of the shared-memory crates in miri, which finds undefined behaviour and data races.
    ///
    /// Needs a nightly toolchain, and says SKIPPED without one; adds miri to it. What is built goes to target/miri.
    Miri(miri::Options),
    /// Measure what messages between the cores cost, and print it as tables.
    ///
    /// Takes some minutes. The times mean something only on a machine that does nothing else.
    Bench(bench::Options),
    /// Run the models of the rings in loom, which tries every order in which two cores see each other's stores.
    ///
    /// Every barrier is left out once, to see that a model notices. What is built goes to target/loom.
    Loom(loom::Options),
    /// Fuzz what reads bytes of the other core: rings, messages, resource table, link, snapshots.
    ///
    /// Needs a nightly toolchain and a C++ compiler, and says SKIPPED without them. What is built goes to target/fuzz.
    Fuzz(fuzz::Options),
    /// Build librpmsg_lite.a, this stack under the C interface of NXP's RPMsg-Lite, and print its folder.
    RpmsgLite(rpmsg_lite::Options),
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
        Task::Miri(options) => miri::run(&options, &cancel),
        Task::Loom(options) => loom::run(&options, &cancel),
        Task::Fuzz(options) => fuzz::run(&options, &cancel),
        Task::Bench(options) => bench::run(&options),
        Task::RpmsgLite(options) => rpmsg_lite::run(&options),
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
