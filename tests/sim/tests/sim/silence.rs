//! M is silent while A sleeps.

use coracle_api::{Reply, Request};
use coracle_test_sim::{Scenario, World};

#[test]
fn one_frame_and_one_bell_wake_a_and_nothing_else_disturbs_it() {
    super::each_seed(100, |seed| {
        let memory = World::memory();
        let mut world = World::new(&memory, seed, Scenario::bearing_watch(false));
        // With little room, M owes A credit when A goes to sleep.
        if seed % 2 == 0 {
            world.layout.vring_num = [2, 4, 8, 16][usize::try_from(world.rng.below(4)).unwrap()];
        }
        world.run()?;
        world.check_done()?;
        if world.while_asleep != [1, 1] {
            return Err(format!("frames and bells while A slept: {:?}", world.while_asleep));
        }
        // Six requests in less than the debounce time: one wake.
        let a = world.a.as_mut().ok_or("A is dead")?;
        a.node.request(9, Request::Report, world.now_us);
        a.collect();
        world.run()?;
        match world.replies.last() {
            Some(Reply::Report(report)) if report.wakes.len() == 1 && report.wakes_held_back == 5 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}
