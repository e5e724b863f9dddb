//! Cores die at any point.

use coracle_test_sim::{Kill, Rng, Scenario, TrackerState, World};

/// Steps of an undisturbed run, about: deaths come in this time, and a little after.
const STEPS: u64 = 700;

/// One to four deaths of those kinds; some follow hard upon another.
fn deaths(seed: u64, kinds: &[Kill]) -> Vec<(u64, Kill)> {
    let mut rng = Rng::new(seed ^ 0xdead);
    let mut at = 0;
    (0..=rng.below(4))
        .map(|_| {
            at = if at > 0 && rng.once_in(2) { at + rng.below(60) } else { rng.below(STEPS) };
            (at, kinds[usize::try_from(rng.below(kinds.len() as u64)).unwrap()])
        })
        .collect()
}

fn run(seed: u64, kinds: &[Kill]) -> Result<TrackerState, String> {
    let memory = World::memory();
    let mut world = World::new(&memory, seed, Scenario::bearing_watch(false));
    world.kills = deaths(seed, kinds);
    let mut rng = Rng::new(seed ^ 0x0e5);
    world.moves = (0..rng.below(5)).map(|_| 100 + rng.below(STEPS)).collect();
    let deaths = world.kills.clone();
    let result = world.run().and_then(|()| world.check_done());
    if std::env::var("CORACLE_SEED").is_ok() {
        eprintln!("{deaths:?}");
        for event in &world.events {
            eprintln!("{event:?}");
        }
    }
    result.map_err(|e| format!("{e} {deaths:?}"))?;
    world.tracker().ok_or_else(|| format!("the tracker is nowhere {deaths:?}"))
}

#[test]
fn deaths_of_a_change_nothing() {
    let pinned = super::pinned();
    super::each_seed(200, |seed| {
        let state = run(seed, &[Kill::A])?;
        if state != pinned {
            return Err(format!("{} events, {} gaps, {} repeats", state.count, state.gaps, state.repeats));
        }
        Ok(())
    });
}

#[test]
fn deaths_of_m_lose_samples_but_no_message() {
    super::each_seed(200, |seed| whole(&run(seed, &[Kill::M, Kill::MTorn])?));
}

#[test]
fn deaths_of_either_or_both_lose_samples_but_no_message() {
    super::each_seed(200, |seed| whole(&run(seed, &[Kill::A, Kill::M, Kill::MTorn, Kill::Both])?));
}

/// Whether every message up to the last was handled once.
fn whole(state: &TrackerState) -> Result<(), String> {
    let handled = usize::try_from(state.last + 1).unwrap();
    let once = state.handled.iter().take(handled).all(|n| *n == 1);
    if state.gaps > 0
        || state.repeats > 0
        || !once
        || state.count != handled as u64
        || state.host.handled != state.count
    {
        return Err(format!(
            "{} events up to {}, {} gaps, {} repeats",
            state.count, state.last, state.gaps, state.repeats
        ));
    }
    Ok(())
}

#[test]
fn power_cuts_leave_one_copy_of_everything() {
    super::each_seed(100, |seed| run(seed, &[Kill::Power, Kill::A, Kill::M]).map(|_| ()));
}
