//! `cargo demo`: one scenario on one board, as a user sees it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use coracle_manifest::{Diagnosis, ScenarioOverride};
use coracle_test_scenario::{Board, Cancel, Machine, Pace, Plan, Programs, Workspace, run_scenario};

use crate::report;
use crate::setup;
use crate::timeline::{Output, Timeline};

/// The manifest that the demo applies, in the workspace.
pub(crate) const MANIFEST: &str = "manifests/examples/bearing-watch.toml";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Board to run on: `host`, where the M core is a Linux process, or `qemu-an386`, where it is Cortex-M4 firmware.
    #[arg(long, default_value = "host")]
    board: Board,
    /// Manifest to apply instead of the example's.
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Recording to play instead of the manifest's own: a 16-bit mono WAV file, or CSV.
    ///
    /// Without --expect, one wake and any diagnosis are expected of it.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Diagnosis to expect: `none` (and no wake), `any`, or the name of a fault class.
    #[arg(long, value_name = "DIAGNOSIS")]
    expect: Option<String>,
    /// Play the recording at its own speed, instead of as fast as the board takes it.
    #[arg(long)]
    realtime: bool,
    /// Print one JSON object per line instead.
    #[arg(long)]
    json: bool,
    /// Leave the folder with the sockets, logs and shared memory behind.
    #[arg(long)]
    keep: bool,
}

/// Runs the scenario; success means that every expectation held.
pub(crate) fn run(options: &Options, cancel: &Cancel) -> Result<ExitCode> {
    setup::rust_targets()?;
    if options.board == Board::QemuAn386 {
        setup::emulator()?;
    }
    eprintln!("building for board {}; the first time takes some minutes", options.board.name());
    let programs = Programs::find_or_build(options.board)?;
    cancel.check()?;

    let given =
        ScenarioOverride { trace: options.trace.clone(), expect: options.expect.as_deref().map(Diagnosis::from) };
    let manifest = match &options.manifest {
        // The daemon has a working directory of its own.
        Some(given) => std::path::absolute(given).with_context(|| format!("cannot use {}", given.display()))?,
        None => Workspace::find()?.root.join(MANIFEST),
    };
    let mut plan = Plan::read(&manifest, &programs.modules, &given)?;
    if options.realtime {
        plan.pace = Pace::Realtime;
    }

    let run_dir = run_dir(options.keep)?;
    let mut timeline = Timeline::new(if options.json { Output::Json } else { Output::for_terminal() });
    let mut machine = Machine::start(programs, run_dir.path(), cancel.clone())?;
    let outcome = run_scenario(&mut machine, &plan, &mut |happening| timeline.tell(happening))?;
    drop(machine);
    report::print(&outcome, &timeline);
    Ok(if outcome.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A new folder in the system's folder for temporary files: its path must be short, because it holds Unix sockets.
fn run_dir(keep: bool) -> Result<tempfile::TempDir> {
    let mut folder =
        tempfile::Builder::new().prefix("coracle-").tempdir().context("cannot make a folder for the run")?;
    if keep {
        folder.disable_cleanup(true);
        eprintln!("files of this run: {}", folder.path().display());
    }
    Ok(folder)
}
