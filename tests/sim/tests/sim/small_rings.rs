//! Hardly any room on the other side: everything takes longer and nothing is lost.

use coracle_link::Credit;
use coracle_test_sim::{Direction, Kill, Rng, Scenario, World, change_credit};

use super::undisturbed::check_whole;

#[test]
fn in_small_rings_everything_is_the_same() {
    super::each_seed(15, |seed| {
        for buffers in [2, 4, 8, 16] {
            let memory = World::memory();
            let mut world = World::new(&memory, seed, Scenario::bearing_watch(false));
            world.layout.vring_num = buffers;
            world.run()?;
            world.check_done()?;
            check_whole(&world).map_err(|e| format!("{buffers} buffers: {e}"))?;
        }
        Ok(())
    });
}

#[test]
fn in_small_rings_deaths_of_a_change_nothing() {
    super::each_seed(50, |seed| {
        let memory = World::memory();
        let mut world = World::new(&memory, seed, Scenario::bearing_watch(false));
        let mut rng = Rng::new(seed);
        world.layout.vring_num = 4;
        world.kills = (0..3).map(|_| (rng.below(900), Kill::A)).collect();
        world.run()?;
        world.check_done()?;
        let state = world.tracker().ok_or("no tracker")?;
        if state == super::pinned() { Ok(()) } else { Err(format!("{state:?}")) }
    });
}

/// One side makes room and the other does not hear of it for a while: what it wants to say waits, and is said then.
#[test]
fn credit_that_does_not_come_stops_a_side_until_it_comes() {
    super::each_seed(30, |seed| {
        for withheld in [Direction::ToM, Direction::ToA] {
            let memory = World::memory();
            let mut world = World::new(&memory, seed, Scenario::bearing_watch(false));
            world.tamper = Some(Box::new(move |way, frame, _, _| {
                change_credit(frame, |credit| {
                    if way == withheld {
                        *credit = Credit { control: credit.control.min(12), bulk: credit.bulk.min(2) };
                    }
                });
            }));
            let steps = 200 + world.rng.below(1500);
            let all = world.run_until(|w| w.steps >= steps || w.sensor.ended)?;
            if all && world.sensor.ended {
                return Err(format!("{withheld:?}: the credit of the greeting was enough for all"));
            }
            world.tamper = None;
            world.run()?;
            world.check_done()?;
            check_whole(&world).map_err(|e| format!("{withheld:?}: {e}"))?;
        }
        Ok(())
    });
}
