//! Runs the models of the rings in loom, which tries the orders in which two cores may see each other's stores, and the
//! models' own tests: that they notice a barrier that is missing and an index that is published too early.
//!
//! The orders are bounded by how often a core may be interrupted where nothing forces it.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use coracle_test_scenario::{Cancel, Workspace};

use crate::cargo;

/// The models.
const PACKAGE: &str = "coracle-test-loom";
/// Makes `coracle-shmem` use loom's memory.
const FLAG: &str = "--cfg loom";
/// Default of [`Options::preemptions`]: some seconds. With 3 it is some minutes.
const PREEMPTIONS: u32 = 2;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Interruptions of a core, where nothing forces one, that each model is tried with.
    #[arg(long, value_name = "COUNT", default_value_t = PREEMPTIONS)]
    preemptions: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { preemptions: PREEMPTIONS }
    }
}

/// Runs all models.
pub(crate) fn run(options: &Options, cancel: &Cancel) -> Result<ExitCode> {
    let passed = command(&Workspace::find()?, options).status().context("cannot run cargo")?.success();
    cancel.check()?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The command to run.
pub(crate) fn command(workspace: &Workspace, options: &Options) -> Command {
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags = format!("{flags} {FLAG}");
    let mut command = cargo();
    command.args(["test", "--package", PACKAGE, "--tests", "--release", "--target-dir"]);
    // Of its own: with other flags, everything in the usual one would be built anew.
    command.arg(workspace.target_directory.join("loom"));
    // The mutants fail on purpose, many times.
    command.env("RUST_BACKTRACE", "0");
    command.env("RUSTFLAGS", flags.trim()).env("LOOM_MAX_PREEMPTIONS", options.preemptions.to_string());
    command.current_dir(&workspace.root).stdin(Stdio::null());
    command
}
