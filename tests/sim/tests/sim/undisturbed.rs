//! Nobody dies.

use coracle_api::{Core, What};
use coracle_test_sim::{Scenario, World};

/// What an undisturbed run must have shown.
pub(crate) fn check(world: &World<'_>) -> Result<(), String> {
    let expect = |what: &str, ok: bool| if ok { Ok(()) } else { Err(format!("{what}: {:#?}", world.events)) };
    expect("one wake", world.count(|e| matches!(e, What::Wake { .. })) == 1)?;
    expect("its payload", world.count(|e| matches!(e, What::Wake { bytes: 1000, .. })) == 1)?;
    let said =
        |e: &What| matches!(e, What::Message { topic, text, .. } if topic == "diagnosis" && text == "inner race");
    expect("one diagnosis", world.count(said) == 1)?;
    for to in [Core::A, Core::M] {
        let moved = |e: &What| matches!(e, What::Moved { to: t, queued, .. } if *t == to && *queued >= 2);
        expect("a move with undelivered events", world.count(moved) == 1)?;
    }
    expect("everything has its time on A's clock", world.undated.is_empty())?;
    expect("A sleeps", world.a.as_ref().is_some_and(|a| a.node.is_asleep()))
}

#[test]
fn a_wake_a_diagnosis_and_two_moves_change_nothing_in_the_tracker() {
    pinned_is_whole();
    super::each_seed(50, |seed| {
        let memory = World::memory();
        let mut world = World::new(&memory, seed, Scenario::bearing_watch(false));
        world.run()?;
        world.check_done()?;
        check_whole(&world)
    });
}

/// As [`check`], and the tracker's state is that of a run in which nothing moves.
pub(crate) fn check_whole(world: &World<'_>) -> Result<(), String> {
    check(world)?;
    check_state(world, Core::M)
}

/// The tracker moved to that core, and its state is that of a run in which nothing moves.
pub(crate) fn check_state(world: &World<'_>, to: Core) -> Result<(), String> {
    if world.count(|e| matches!(e, What::Moved { to: t, .. } if *t == to)) != 1 {
        return Err(format!("not one move to {to:?}: {:#?}", world.events));
    }
    let (state, pinned) = (world.tracker().ok_or("no tracker")?, super::pinned());
    if state != pinned {
        return Err(format!("{state:?}\ninstead of\n{pinned:?}"));
    }
    let report = world.a.as_ref().map(|a| a.node.report()).unwrap_or_default();
    let dropped: u64 = report.containers.values().map(|c| c.dropped).sum();
    if dropped > 0 {
        return Err(format!("{dropped} events were dropped"));
    }
    Ok(())
}

fn pinned_is_whole() {
    let state = super::pinned();
    assert_eq!((state.count, state.last, state.gaps, state.repeats, state.queued), (160, 159, 0, 0, 0));
    assert!(state.handled[..160].iter().all(|n| *n == 1));
}
