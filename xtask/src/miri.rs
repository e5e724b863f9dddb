//! Runs the tests of the shared-memory crates in miri, which watches every access for undefined behaviour: bounds,
//! alignment, provenance, uninitialised bytes, and races between the threads of one program.
//!
//! It says nothing of a peer in another process or on another core: those accesses are outside the program. Shared
//! mappings of files do not exist in miri, so the tests of mapped files are left out there.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use coracle_test_scenario::{Cancel, Workspace};

use crate::runs;

/// Only nightly toolchains have miri.
const TOOLCHAIN: &str = "nightly";
/// What it needs besides: itself, and the source of the library that it interprets as well.
const COMPONENTS: [&str; 2] = ["miri", "rust-src"];
/// The crates in which memory is shared: the one with `unsafe` in it, and what is built on it.
const PACKAGES: [&str; 3] = ["coracle-shmem", "coracle-bulk", "coracle-rpmsg"];
/// Tests with two threads have this in their names: they run once for each seed, which decides who runs when and how old
/// a value a load may see.
const THREADED: &str = "two_threads";
/// The test programs that have such tests.
const THREADED_PROGRAMS: [&str; 2] = ["threads", "ring"];
/// Those that have none. Others wait on clocks and files, which miri does not have.
const OTHER_PROGRAMS: [&str; 2] = ["area", "incoherent"];
/// Default of [`Options::cases`].
const CASES: u32 = 1;
/// Default of [`Options::seeds`].
const SEEDS: u32 = 4;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Cases of each randomised test.
    #[arg(long, value_name = "COUNT", default_value_t = CASES)]
    cases: u32,
    /// Schedules of the tests with two threads.
    #[arg(long, value_name = "COUNT", default_value_t = SEEDS, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { cases: CASES, seeds: SEEDS }
    }
}

/// Runs all of it; skips it with the reason where miri cannot be had.
pub(crate) fn run(options: &Options, cancel: &Cancel) -> Result<ExitCode> {
    if let Err(reason) = ready() {
        println!("SKIPPED miri: {reason}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut passed = true;
    for mut command in commands(&Workspace::find()?, options) {
        cancel.check()?;
        passed &= command.status().context("cannot run rustup")?.success();
    }
    cancel.check()?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks for miri and adds it to the nightly toolchain if only that is missing. The error is the reason to skip.
pub(crate) fn ready() -> Result<(), String> {
    if !runs(Command::new("rustup").arg("--version")) {
        return Err("rustup is not installed; miri needs a nightly toolchain (https://rustup.rs)".into());
    }
    if !runs(cargo_of_nightly().arg("--version")) {
        return Err(format!("there is no nightly toolchain; install it: rustup toolchain install {TOOLCHAIN}"));
    }
    if runs(cargo_of_nightly().args(["miri", "--version"])) && has_library_source() {
        return Ok(());
    }
    let add = ["component", "add", "--toolchain", TOOLCHAIN];
    eprintln!("set-up: adding {} to the {TOOLCHAIN} toolchain", COMPONENTS.join(" and "));
    // Its output belongs to the set-up, not to what a task prints.
    let added = Command::new("rustup").args(add).args(COMPONENTS).stdout(std::io::stderr()).status();
    if !added.is_ok_and(|status| status.success()) {
        return Err(format!("`rustup {} {}` failed; see above", add.join(" "), COMPONENTS.join(" ")));
    }
    Ok(())
}

/// Whether the toolchain has the source of the standard library.
fn has_library_source() -> bool {
    let sysroot = Command::new("rustup").args(["run", TOOLCHAIN, "rustc", "--print", "sysroot"]).output();
    sysroot.is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout);
        std::path::Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/Cargo.lock").is_file()
    })
}

/// The commands to run, one after the other: every test once, then those with two threads in other schedules.
pub(crate) fn commands(workspace: &Workspace, options: &Options) -> [Command; 2] {
    let command = |flags: &str| {
        let mut command = cargo_of_nightly();
        command.args(["miri", "test", "--features", "coracle-shmem/std", "--target-dir"]);
        // In the clone, whatever folder the others share: what miri builds remembers where its sources are, and another
        // clone with the same sources would be sent there.
        command.arg(workspace.root.join("target/miri"));
        for package in PACKAGES {
            command.args(["--package", package]);
        }
        // Tests see no environment but this: what they do depends on the seed alone.
        let flags = format!(
            "-Zmiri-strict-provenance -Zmiri-env-set=PROPTEST_CASES={} \
             -Zmiri-env-set=PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 {flags}",
            options.cases
        );
        command.env("MIRIFLAGS", flags).current_dir(&workspace.root).stdin(Stdio::null());
        command
    };
    // One thread sees no old values; and tests that store half of a word, as a hostile peer may, crash the model of them.
    let mut all = command("-Zmiri-disable-weak-memory-emulation");
    all.arg("--lib");
    for program in OTHER_PROGRAMS.iter().chain(&THREADED_PROGRAMS) {
        all.args(["--test", program]);
    }
    let mut schedules = command(&format!("-Zmiri-many-seeds=1..{}", options.seeds.saturating_add(1)));
    for program in THREADED_PROGRAMS {
        schedules.args(["--test", program]);
    }
    schedules.args(["--", THREADED]);
    [all, schedules]
}

fn cargo_of_nightly() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", TOOLCHAIN, "cargo"]);
    command
}
