//! Processes that die in the middle of the example's scenario, without a warning.

use crate::bench::{Bench, assert_passed, print};
use coracle_api::{Core, Report, What};
use coracle_test_scenario::{Board, Error, Happening, M_RESTARTS_MAX, Note, Outcome, Plan, Run};

/// A point of the scenario at which something dies: its name, and how to know it.
type Point = (&'static str, fn(&What) -> bool);

const POINTS: [Point; 4] = [
    ("the wake", |what| matches!(what, What::Wake { .. })),
    ("the diagnosis", |what| matches!(what, What::Message { .. })),
    ("the start of a move", |what| matches!(what, What::MoveStarted { .. })),
    ("the end of a move", |what| matches!(what, What::Moved { .. })),
];

/// Most sensor blocks that a death of the M core may cost: the one at work and the one that waits behind it.
const BLOCKS_LOST_MAX: u64 = 2;
/// Summaries that `sentinel` makes of a block of the example.
const SUMMARIES_IN_BLOCK: u64 = 4;

/// The scenario without any death.
fn undisturbed() -> Report {
    let mut bench = Bench::start(Board::Host);
    let plan = bench.example();
    let outcome = bench.run(&plan);
    assert_passed(&outcome);
    outcome.report
}

/// Runs the scenario, and does `disturb` to it at a point.
fn disturbed(point: Point, disturb: fn(&mut Run<'_>)) -> (Outcome, Vec<Happening>) {
    let mut bench = Bench::start(Board::Host);
    let plan = bench.example();
    let mut told = Vec::new();
    let mut tell = |happening: &Happening| {
        print(happening);
        told.push(happening.clone());
    };
    let outcome = run_disturbed(&mut bench, &plan, &mut tell, point, disturb);
    let outcome = outcome.unwrap_or_else(|error| panic!("{error}"));
    (outcome, told)
}

fn run_disturbed(
    bench: &mut Bench,
    plan: &Plan,
    tell: &mut dyn FnMut(&Happening),
    (name, at): Point,
    disturb: fn(&mut Run<'_>),
) -> Result<Outcome, Error> {
    let mut run = Run::start(&mut bench.machine, plan, tell)?;
    run.play()?;
    run.until(name, at)?;
    disturb(&mut run);
    run.finish()
}

/// The tracker took every event exactly once.
fn assert_nothing_lost_or_doubled(outcome: &Outcome, reference: &Report, name: &str) {
    let (tracker, expected) = (&outcome.report.containers["tracker"], &reference.containers["tracker"]);
    assert_eq!(tracker.events, expected.events, "after a death at {name}");
    assert_eq!(tracker.state_digest, expected.state_digest, "after a death at {name}");
    assert_eq!(tracker.dropped, 0, "after a death at {name}");
}

#[test]
fn the_daemon_may_die_and_the_next_one_attaches_again() {
    let reference = undisturbed();
    for point @ (name, _) in POINTS {
        let (outcome, told) = disturbed(point, |run| {
            run.machine().kill_daemon();
            run.machine().start_daemon().unwrap();
            run.reattach().unwrap();
        });
        assert_nothing_lost_or_doubled(&outcome, &reference, name);
        let restarted = told.iter().any(|told| matches!(told, Happening::Note(Note::MCoreRestarted { .. })));
        assert!(!restarted, "M went on at {name}");
        let attached = |what: &What| matches!(what, What::Started { core: Core::M, from, .. } if from == "attached");
        assert!(outcome.events.iter().any(|event| attached(&event.what)), "after a death at {name}");
    }
}

#[test]
fn an_m_core_that_dies_is_started_again_and_its_containers_with_it() {
    let reference = undisturbed();
    for point in POINTS {
        let (outcome, told) = disturbed(point, |run| run.machine().kill_m_core());
        let restarts = told.iter().filter(|told| matches!(told, Happening::Note(Note::MCoreRestarted { .. }))).count();
        assert_eq!(restarts, 1, "at {}", point.0);
        let lost = |name: &str| {
            let says = |what: &What| matches!(what, What::Lost { container, .. } if container == name);
            outcome.events.iter().any(|event| says(&event.what))
        };
        let container = |name: &str| &outcome.report.containers[name];
        for name in reference.containers.keys() {
            assert!(container(name).core.is_some() || lost(name), "{name} after a death at {}", point.0);
        }
        assert!(!lost("sentinel") && !lost("tracker"), "their states are in the retained memory");
        // What waited in the dead core's memory is lost, whole blocks of it, but nothing is taken twice: `sentinel` skips
        // a block that the sensor sends again.
        let (handled, expected) = (container("tracker").events, reference.containers["tracker"].events);
        let missing = expected.checked_sub(handled).expect("no summary is taken twice");
        println!("a death at {} cost {missing} of {expected} summaries", point.0);
        assert!(missing % SUMMARIES_IN_BLOCK == 0, "{missing} summaries lost by a death at {}", point.0);
        assert!(missing / SUMMARIES_IN_BLOCK <= BLOCKS_LOST_MAX, "{missing} summaries lost by a death at {}", point.0);
        if missing == 0 {
            assert_nothing_lost_or_doubled(&outcome, &reference, point.0);
        }
    }
}

#[test]
fn an_m_core_that_dies_again_and_again_is_given_up() {
    let mut bench = Bench::start(Board::Host);
    for _ in 0..M_RESTARTS_MAX {
        bench.machine.kill_m_core();
        assert!(bench.machine.supervise().unwrap().is_some());
        assert_eq!(bench.machine.supervise().unwrap(), None);
    }
    bench.machine.kill_m_core();
    let error = bench.machine.supervise().unwrap_err();
    assert!(matches!(error, Error::MCoreKeepsDying { .. }), "{error}");
}

#[test]
fn a_daemon_that_dies_by_itself_is_an_error_with_its_last_words() {
    let mut bench = Bench::start(Board::Host);
    let mut client = bench.machine.client().unwrap();
    // Its answer may or may not make it out.
    drop(client.call(&coracle_api::Request::Shutdown));
    let cancel = bench.machine.cancel().clone();
    let ended = cancel
        .wait("the daemon's end", std::time::Duration::from_secs(30), || bench.machine.supervise().map(|_| None::<()>));
    let error = ended.unwrap_err();
    assert!(matches!(error, Error::Ended { .. }), "{error}");
}
