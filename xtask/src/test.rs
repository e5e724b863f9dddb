//! Every check of the repository, in one go.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use coracle_test_scenario::{Cancel, FIRMWARE_VARIABLE, MODULES_VARIABLE, PROGRAMS_VARIABLE, Workspace};

use crate::{cargo, fuzz, loom, miri, rpmsg_lite, runs, setup};

/// Environment variable with which the tests of the emulated board fail instead of skipping without an emulator.
const REQUIRE_EMULATOR_VARIABLE: &str = "CI_REQUIRE_QEMU";

/// The packages that run on a board: nothing in them may panic for a guest, a peer, a file or a user.
const PRODUCT: [&str; 26] = [
    "coracle-api",
    "coracle-board-api",
    "coracle-boards",
    "coracle-bulk",
    "coracle-cli",
    "coracle-container",
    "coracle-daemon",
    "coracle-device",
    "coracle-engine",
    "coracle-guest-abi",
    "coracle-lifecycle",
    "coracle-link",
    "coracle-m-host",
    "coracle-m-supervisor",
    "coracle-manifest",
    "coracle-migrate",
    "coracle-model",
    "coracle-platform",
    "coracle-policy",
    "coracle-prepare",
    "coracle-rpmsg",
    "coracle-rpmsg-lite",
    "coracle-rpmsg-lite-abi",
    "coracle-sandbox",
    "coracle-shmem",
    "coracle-wire",
];
/// Clippy's lints against code that may panic. Unit tests are not linted here.
const PANICS: [&str; 6] = [
    "clippy::expect_used",
    "clippy::indexing_slicing",
    "clippy::panic",
    "clippy::todo",
    "clippy::unreachable",
    "clippy::unwrap_used",
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only the tests whose name contains this, and no other check.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

/// Runs all checks, also after one failed, and says in the end how each ended.
pub(crate) fn run(options: &Options, cancel: &Cancel) -> Result<ExitCode> {
    let on_build_server = std::env::var_os("CI").is_some();
    setup::rust_targets()?;
    match setup::emulator() {
        Err(error) if on_build_server => return Err(error),
        Err(error) => eprintln!("The tests of the emulated board will be skipped: {error}"),
        Ok(()) => {}
    }
    match setup::kernel_test() {
        Err(error) if on_build_server => return Err(error),
        Err(error) => eprintln!("The kernel test will be skipped: {error:#}"),
        Ok(()) => {}
    }
    match setup::guest_languages() {
        Err(error) if on_build_server => return Err(error),
        Err(error) => eprintln!("The tests of guests in C and AssemblyScript will be skipped: {error:#}"),
        Ok(()) => {}
    }
    let workspace = Workspace::find()?;
    let mut checks = Checks { workspace, cancel, on_build_server, failed: Vec::new(), counts: Counts::default() };
    if options.filter.is_none() {
        checks.lints()?;
    }
    checks.tests(options.filter.as_deref())?;
    if options.filter.is_none() {
        checks.shared_memory()?;
    }
    Ok(checks.conclude())
}

struct Checks<'a> {
    workspace: Workspace,
    cancel: &'a Cancel,
    /// Nothing is skipped there.
    on_build_server: bool,
    failed: Vec<&'static str>,
    counts: Counts,
}

impl Checks<'_> {
    fn lints(&mut self) -> Result<()> {
        // Components may be missing where Rust does not come from rustup.
        if runs(cargo().args(["fmt", "--version"])) {
            self.check("formatting", cargo().args(["fmt", "--all", "--check"]))?;
        } else {
            eprintln!("SKIPPED formatting: cargo fmt is not installed");
        }
        // The whole workspace: guests and firmware have stubs on a laptop, so that editors can check them too.
        if runs(cargo().args(["clippy", "--version"])) {
            let arguments =
                ["clippy", "--quiet", "--workspace", "--all-targets", "--keep-going", "--", "--deny", "warnings"];
            self.check("lints", cargo().args(arguments))?;
            let mut product = cargo();
            product.args(["clippy", "--quiet"]);
            for package in PRODUCT {
                product.args(["--package", package]);
            }
            product.arg("--");
            for lint in PANICS {
                product.args(["--deny", lint]);
            }
            self.check("lints against panics", &mut product)
        } else {
            eprintln!("SKIPPED lints: cargo clippy is not installed");
            self.check("cargo check", cargo().args(["check", "--quiet", "--workspace", "--all-targets"]))
        }
    }

    fn tests(&mut self, filter: Option<&str>) -> Result<()> {
        announce("building programs, guests and firmware");
        let variables = [
            (PROGRAMS_VARIABLE, self.workspace.build_programs()?),
            (MODULES_VARIABLE, self.workspace.build_guests()?),
            (FIRMWARE_VARIABLE, self.workspace.build_firmware()?),
        ];
        let on_build_server = self.on_build_server;
        let prepared = |mut command: Command| {
            command.envs(variables.iter().map(|(name, path)| (name, path)));
            if on_build_server {
                command.env(REQUIRE_EMULATOR_VARIABLE, "1");
            }
            command
        };
        if filter.is_none() {
            let mut examples = prepared(cargo());
            self.check("documentation examples", examples.args(["test", "--quiet", "--doc"]))?;
        }
        let mut tests = prepared(cargo());
        if runs(cargo().args(["nextest", "--version"])) {
            // A filter that hits nothing is a mistake, except that some packages have no tests.
            tests.args(["nextest", "run", "--no-fail-fast"]);
            tests.args(["--color", if io::stderr().is_terminal() { "always" } else { "never" }]);
        } else {
            tests.args(["test", "--no-fail-fast", "--lib", "--bins", "--tests"]);
        }
        self.check("tests", tests.args(filter))
    }

    /// The checks of shared memory that need a build of their own, at small bounds: the tasks of the same names do more.
    fn shared_memory(&mut self) -> Result<()> {
        for (what, mut command) in rpmsg_lite::tests(&self.workspace)? {
            self.check(what, &mut command)?;
        }
        self.check("loom", &mut loom::command(&self.workspace, &loom::Options::default()))?;
        if self.ready("miri", miri::ready()) {
            for mut command in miri::commands(&self.workspace, &miri::Options::default()) {
                self.check("miri", &mut command)?;
            }
        }
        self.cancel.check()?;
        if self.ready("fuzzing", fuzz::ready()) {
            announce("fuzzing");
            if fuzz::run(&fuzz::Options::default(), self.cancel)? != ExitCode::SUCCESS {
                self.failed.push("fuzzing");
            }
        }
        Ok(())
    }

    /// Whether a check can be made here. If not it is skipped, except on a build server, where that is a failure.
    fn ready(&mut self, what: &'static str, ready: Result<(), String>) -> bool {
        match ready {
            Ok(()) => return true,
            Err(reason) if self.on_build_server => {
                eprintln!("{what}: {reason}");
                self.failed.push(what);
            }
            Err(reason) => eprintln!("SKIPPED {what}: {reason}"),
        }
        false
    }

    /// Runs a command of Cargo in the workspace, and copies what it prints while it counts tests.
    fn check(&mut self, what: &'static str, command: &mut Command) -> Result<()> {
        self.cancel.check()?;
        announce(what);
        // Both runners' summaries are counted; one writes to the standard error, one to the standard output.
        let (reader, writer) = io::pipe().context("cannot make a pipe")?;
        command.current_dir(&self.workspace.root).stdin(Stdio::null());
        command.stdout(writer.try_clone().context("cannot copy a pipe")?).stderr(writer);
        let mut child = command.spawn().context("cannot run cargo")?;
        // The command holds the pipe's other end open as long as it lives.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        for line in BufReader::new(reader).split(b'\n') {
            let line = line.context("cannot read what cargo prints")?;
            let line = String::from_utf8_lossy(&line);
            eprintln!("{line}");
            self.counts.take(&line);
        }
        if !child.wait().context("cannot wait for cargo")?.success() {
            self.failed.push(what);
        }
        self.cancel.check()?;
        Ok(())
    }

    fn conclude(&self) -> ExitCode {
        let Counts { passed, failed } = self.counts;
        if self.failed.is_empty() {
            println!("{passed} passed, {failed} failed");
            ExitCode::SUCCESS
        } else {
            println!("{passed} passed, {failed} failed; not in order: {}", self.failed.join(", "));
            ExitCode::FAILURE
        }
    }
}

fn announce(what: &str) {
    eprintln!("== {what}");
}

/// Tests by result.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

impl Counts {
    /// Adds the numbers of a summary, if `line` is one.
    fn take(&mut self, line: &str) {
        let plain = without_escapes(line);
        // cargo test has one such line for each test program, nextest one for all.
        if plain.starts_with("test result: ") || plain.trim_start().starts_with("Summary [") {
            self.passed += number_before(&plain, "passed");
            self.failed += number_before(&plain, "failed") + number_before(&plain, "timed");
        }
    }
}

/// The number in front of a word of `line`; 0 if there is none.
fn number_before(line: &str, word: &str) -> u64 {
    let words: Vec<&str> = line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let found = words.windows(2).find(|pair| pair.get(1) == Some(&word));
    found.and_then(|pair| pair.first()?.parse().ok()).unwrap_or(0)
}

/// `line` without the escape sequences of colours.
fn without_escapes(line: &str) -> String {
    let mut pieces = line.split('\u{1b}');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_both_runners_are_counted() {
        let mut counts = Counts::default();
        for line in [
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "     Summary [   3.221s] 40 tests run: 38 passed (1 slow), 1 failed, 1 timed out, 2 skipped",
            "\u{1b}[32;1m     Summary\u{1b}[0m [   3.221s] \u{1b}[1m1\u{1b}[0m test run: \u{1b}[1m1\u{1b}[0m passed",
            "test chatter::test_result ... 100 passed",
        ] {
            counts.take(line);
        }
        assert_eq!(counts, Counts { passed: 12 + 3 + 38 + 1, failed: 2 + 2 });
    }
}
