//! A machine in a folder of its own, and the example's plan for it.

use std::path::{Path, PathBuf};

use coracle_manifest::ScenarioOverride;
use coracle_test_scenario::{Board, Cancel, Happening, Machine, Outcome, Plan, Programs, Workspace, run_scenario};
use tempfile::TempDir;

/// A machine and its folder.
pub(crate) struct Bench {
    // Dropped first: its processes use the folder.
    pub(crate) machine: Machine,
    pub(crate) folder: TempDir,
}

impl Bench {
    /// Starts a machine.
    pub(crate) fn start(board: Board) -> Self {
        let programs = Programs::find_or_build(board).unwrap_or_else(|error| panic!("{error}"));
        let folder = tempfile::Builder::new().prefix("coracle-").tempdir().unwrap();
        let machine = Machine::start(programs, folder.path(), Cancel::default());
        Self { machine: machine.unwrap_or_else(|error| panic!("{error}")), folder }
    }

    /// The scenario of a manifest, with some of it replaced.
    pub(crate) fn plan(&self, manifest: &Path, given: &ScenarioOverride) -> Plan {
        Plan::read(manifest, self.machine.modules(), given).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The example's scenario.
    pub(crate) fn example(&self) -> Plan {
        self.plan(&example_manifest(), &ScenarioOverride::default())
    }

    /// Runs a scenario to its end. What happened is printed, for the case that the test fails.
    pub(crate) fn run(&mut self, plan: &Plan) -> Outcome {
        let outcome = run_scenario(&mut self.machine, plan, &mut print);
        outcome.unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Prints a happening, for the case that the test fails.
pub(crate) fn print(happening: &Happening) {
    println!("{happening:?}");
}

/// The manifest of `cargo demo`.
pub(crate) fn example_manifest() -> PathBuf {
    Workspace::find().unwrap().root.join("manifests/examples/bearing-watch.toml")
}

/// The digests of all containers' states in the end.
pub(crate) fn digests(outcome: &Outcome) -> Vec<(&str, &str)> {
    outcome.report.containers.iter().map(|(name, numbers)| (&**name, &*numbers.state_digest)).collect()
}

/// Fails unless every expectation held.
pub(crate) fn assert_passed(outcome: &Outcome) {
    assert!(outcome.passed(), "{:#?}\n{:#?}", outcome.verdicts, outcome.report);
}
