//! The undisturbed run.

use coracle_api::What;
use coracle_test_sim::{Scenario, World};

#[test]
fn first() {
    let memory = World::memory();
    let mut world = World::new(&memory, 1, Scenario::bearing_watch(false));
    let result = world.run();
    for e in &world.events { eprintln!("{e:?}"); }
    eprintln!("{:?} steps {} t {} frames {:?}", result, world.steps, world.now_us, world.frames);
    eprintln!("{:?}", world.tracker().map(|t| (t.count, t.last, t.gaps, t.repeats, t.queued, t.globals)));
    result.unwrap();
    world.check_done().unwrap();
    let _ = What::Missed { count: 0 };
}
