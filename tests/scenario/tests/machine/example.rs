//! The example of `cargo demo` on both boards, moving and not moving, and with other recordings.

use std::path::PathBuf;

use crate::bench::{Bench, assert_passed, digests, example_manifest};
use coracle_api::{Core, Report, What};
use coracle_manifest::{Diagnosis, ScenarioOverride};
use coracle_test_qemu::qemu_or_skip;
use coracle_test_scenario::{Board, Outcome, Workspace};

/// Least undelivered events that must travel with each move of the example.
const QUEUED_MIN: u32 = 2;

fn tracker_digest(report: &Report) -> &str {
    let digest = &*report.containers["tracker"].state_digest;
    assert_eq!(digest.len(), 64, "a digest of SHA-256: {digest:?}");
    digest
}

fn assert_example(outcome: &Outcome) {
    assert_passed(outcome);
    let moves: Vec<_> = outcome.report.moves.iter().map(|m| (&*m.container, m.from, m.to)).collect();
    assert_eq!(moves, [("tracker", Core::M, Core::A), ("tracker", Core::A, Core::M)]);
    assert!(outcome.report.moves.iter().all(|m| m.queued >= QUEUED_MIN), "{:?}", outcome.report.moves);
    let last = outcome.events.iter().rev().find_map(|event| match &event.what {
        What::Power { awake, .. } => Some(*awake),
        _ => None,
    });
    assert_eq!(last, Some(false), "A goes back to sleep");
    assert_eq!(outcome.report.containers["tracker"].core, Some(Core::M));
    assert!(outcome.report.containers.values().all(|numbers| numbers.dropped == 0 && numbers.refused == 0));
}

#[test]
fn the_example_holds_and_a_tracker_that_never_moved_ends_in_the_same_state() {
    let mut bench = Bench::start(Board::Host);
    let plan = bench.example();
    let moved = bench.run(&plan);
    assert_example(&moved);

    let mut bench = Bench::start(Board::Host);
    let mut plan = bench.example();
    plan.pinned = true;
    let stayed = bench.run(&plan);
    assert!(stayed.report.moves.is_empty());
    assert_eq!(tracker_digest(&moved.report), tracker_digest(&stayed.report));
    assert_eq!(moved.report.containers["tracker"].events, stayed.report.containers["tracker"].events);
}

#[test]
fn both_boards_end_with_the_same_verdicts_and_states() {
    if !qemu_or_skip() {
        return;
    }
    let run = |board| {
        let mut bench = Bench::start(board);
        let plan = bench.example();
        bench.run(&plan)
    };
    let [host, emulated] = Board::ALL.map(run);
    assert_example(&emulated);
    assert_eq!(host.verdicts, emulated.verdicts);
    assert_eq!(digests(&host), digests(&emulated));
}

/// A recording of the shared data, or `None`, said aloud, where there is no such folder.
fn recording(name: &str) -> Option<PathBuf> {
    let given = std::env::var_os("CORACLE_DATA").map(PathBuf::from);
    let data = given.unwrap_or_else(|| Workspace::find().unwrap().root.join("../shared/data"));
    let path = data.join("vibration").join(name);
    if path.is_file() {
        return Some(path);
    }
    println!("SKIPPED: no recording {}; CORACLE_DATA names the folder with them", path.display());
    None
}

fn run_recording(trace: PathBuf, expect: Option<Diagnosis>) -> Outcome {
    let mut bench = Bench::start(Board::Host);
    let plan = bench.plan(&example_manifest(), &ScenarioOverride { trace: Some(trace), expect });
    bench.run(&plan)
}

fn first_wake_us(outcome: &Outcome) -> u64 {
    outcome.report.wakes.first().expect("a wake").time_us
}

#[test]
fn a_recorded_onset_wakes_once_and_not_before_it_begins() {
    let Some(trace) = recording("onset_inner_race.wav") else { return };
    let outcome = run_recording(trace, None);
    assert_passed(&outcome);
    assert_eq!(outcome.report.wakes.len(), 1);
    assert!(first_wake_us(&outcome) >= 3_000_000, "{:?}", outcome.report.wakes);
}

#[test]
fn recorded_faults_wake_at_once() {
    for name in ["inner_race_007_0hp.wav", "outer_race_007_0hp.wav", "ball_007_0hp.wav"] {
        let Some(trace) = recording(name) else { return };
        let outcome = run_recording(trace, None);
        assert_passed(&outcome);
        assert!(first_wake_us(&outcome) < 3_000_000, "{name}: {:?}", outcome.report.wakes);
    }
}

#[test]
fn a_recording_of_a_healthy_machine_never_wakes() {
    let Some(trace) = recording("normal_0hp.wav") else { return };
    let outcome = run_recording(trace.clone(), None);
    let failed: Vec<&str> = outcome.verdicts.iter().filter(|v| !v.held).map(|v| &*v.key).collect();
    assert_eq!(failed, ["scenario.expect.wakes", "scenario.expect.diagnosis"]);
    assert!(outcome.report.wakes.is_empty());
    assert_passed(&run_recording(trace, Some(Diagnosis::None)));
}
