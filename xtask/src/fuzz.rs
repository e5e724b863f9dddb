//! Fuzzes what reads bytes of the other core, with libFuzzer, which follows the coverage of the code.
//!
//! The corpus in `tests/fuzz/corpus` is where it starts. An ordinary test replays that corpus without an engine, so a
//! laptop without a nightly toolchain checks everything that was ever found.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use coracle_test_scenario::{Cancel, Workspace};

use crate::runs;

const PACKAGE: &str = "coracle-test-fuzz";
/// The target that needs both engines, and is fuzzed only when it is asked for.
const ENGINES: &str = "engines";
/// Names the target to the fuzzing program.
const TARGET_VARIABLE: &str = "CORACLE_FUZZ_TARGET";
/// Only nightly compilers take the flags below.
const TOOLCHAIN: &str = "nightly";
/// Build scripts are built for the machine without a named target, and the flags must not reach them.
const MACHINE: &str = "x86_64-unknown-linux-gnu";
/// Coverage as libFuzzer wants it, the address sanitizer, and the checks of a debug build.
const FLAGS: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Zsanitizer=address",
    "-Cdebug-assertions",
    "-Ccodegen-units=1",
];
/// Default of [`Options::seconds`].
const SECONDS: u32 = 5;
/// Longest input in bytes: longer ones only do the same again.
const INPUT_BYTES_MAX: u32 = 1024;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fuzz this target only; its name is that of its folder in tests/fuzz/corpus. `engines` runs only when named.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Time for each target.
    #[arg(long, value_name = "COUNT", default_value_t = SECONDS)]
    seconds: u32,
    /// Put what was found into the corpus, as few inputs as reach the same code.
    #[arg(long)]
    keep: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { target: None, seconds: SECONDS, keep: false }
    }
}

/// Fuzzes the targets one after the other; skips it with the reason where the engine cannot be built. An input at fault
/// is left in `target/fuzz/found`.
pub(crate) fn run(options: &Options, cancel: &Cancel) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let corpora = workspace.root.join("tests/fuzz/corpus");
    let targets = targets(&corpora, options.target.as_deref())?;
    if let Err(reason) = ready() {
        println!("SKIPPED fuzzing: {reason}");
        return Ok(ExitCode::SUCCESS);
    }
    let work = workspace.target_directory.join("fuzz");
    let with_engines = targets.iter().any(|target| target == ENGINES);
    if !build(&workspace, &work, with_engines).status().context("cannot run rustup")?.success() {
        bail!("the fuzzing program does not build; see above");
    }
    let program = work.join(MACHINE).join("release/fuzz");
    let mut failed = Vec::new();
    for target in targets {
        cancel.check()?;
        eprintln!("== {target}, {} s", options.seconds);
        let (grown, found) = (work.join("corpus").join(&target), work.join("found"));
        for folder in [&grown, &found] {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let corpus = corpora.join(&target);
        let engine = |arguments: &[String], folders: [&Path; 2]| -> Result<bool> {
            let mut command = Command::new(&program);
            command.args(arguments).args(folders).env(TARGET_VARIABLE, &target).stdin(Stdio::null());
            Ok(command.status().with_context(|| format!("cannot run {}", program.display()))?.success())
        };
        let fuzz = [
            format!("-max_total_time={}", options.seconds),
            format!("-max_len={INPUT_BYTES_MAX}"),
            format!("-artifact_prefix={}/{target}-", found.display()),
            "-verbosity=0".into(),
            "-print_funcs=0".into(),
            "-print_final_stats=1".into(),
        ];
        if !engine(&fuzz, [&grown, &corpus])? {
            eprintln!("input at fault in {}", found.display());
            failed.push(target);
        } else if options.keep
            && !engine(&["-merge=1".into(), "-use_counters=0".into(), "-verbosity=0".into()], [&corpus, &grown])?
        {
            bail!("cannot add to {}", corpus.display());
        }
    }
    cancel.check()?;
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// The targets to fuzz: those that have a corpus.
fn targets(corpora: &Path, only: Option<&str>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in std::fs::read_dir(corpora).with_context(|| format!("cannot read {}", corpora.display()))? {
        names.push(folder?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    match only {
        // Its program takes half an hour to build; tests/agreement compares generated modules without it.
        None => Ok(names.into_iter().filter(|name| name != ENGINES).collect()),
        Some(name) if names.iter().any(|known| known == name) => Ok(vec![name.to_owned()]),
        Some(name) => bail!("there is no target {name}; there are {}", names.join(", ")),
    }
}

/// Whether the engine can be built here. The error is the reason to skip.
pub(crate) fn ready() -> Result<(), String> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu")) {
        return Err(format!("the engine is set up for {MACHINE} only"));
    }
    if !runs(Command::new("rustup").args(["run", TOOLCHAIN, "cargo", "--version"])) {
        return Err(format!("there is no nightly toolchain; install it: rustup toolchain install {TOOLCHAIN}"));
    }
    if !runs(Command::new("c++").arg("--version")) {
        return Err("there is no C++ compiler, in which libFuzzer is written; install g++".into());
    }
    Ok(())
}

fn build(workspace: &Workspace, work: &Path, with_engines: bool) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", TOOLCHAIN, "cargo", "build", "--package", PACKAGE, "--features", "engine", "--release"]);
    command.args(["--no-default-features"]).args(with_engines.then_some(["--features", ENGINES]).into_iter().flatten());
    command.args(["--target", MACHINE, "--target-dir"]).arg(work);
    command.env("RUSTFLAGS", FLAGS.join(" ")).current_dir(&workspace.root).stdin(Stdio::null());
    command
}
