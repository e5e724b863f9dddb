//! Both supervisors against each other. `CORACLE_SEED=n` repeats one seed, `CORACLE_SEEDS=n` sets how many are tried.

mod exchange;
mod hostile;
mod kills;
mod lost_state;
mod refusals;
mod silence;
mod slices;
mod small_rings;
mod undisturbed;

use coracle_test_sim::{Scenario, TrackerState, World};

/// The seeds to try: `count` of them, unless the environment says otherwise.
fn seeds(count: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|v: String| v.parse::<u64>().expect("a number"));
    match number("CORACLE_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("CORACLE_SEEDS").unwrap_or(count)).collect(),
    }
}

/// Runs every seed and reports all that failed.
fn each_seed(count: u64, mut run: impl FnMut(u64) -> Result<(), String>) {
    let seeds = seeds(count);
    let failed: Vec<(u64, String)> = seeds.iter().filter_map(|s| run(*s).err().map(|e| (*s, e))).collect();
    for (seed, error) in failed.iter().take(20) {
        eprintln!("CORACLE_SEED={seed}: {error}");
    }
    assert!(failed.is_empty(), "{} of {} seeds failed, the first: {:?}", failed.len(), seeds.len(), failed[0]);
}

/// The tracker's state after a run in which nothing moves and nothing dies.
fn pinned() -> TrackerState {
    let memory = World::memory();
    let mut world = World::new(&memory, 0, Scenario::bearing_watch(true));
    world.run().and_then(|()| world.check_done()).unwrap();
    world.tracker().unwrap()
}
