//! A container that never ends its work on M.

use coracle_api::What;
use coracle_test_sim::{Scenario, World, spinner};

/// Turns of M until the sensor has given 30 blocks.
fn turns(world: &mut World<'_>) -> u64 {
    assert!(world.run_until(|w| w.sensor.given == 1).unwrap());
    let start = world.m.as_ref().unwrap().turns;
    assert!(world.run_until(|w| w.sensor.given == 30).unwrap());
    world.m.as_ref().unwrap().turns - start
}

#[test]
fn an_endless_loop_takes_no_more_than_its_turn_and_ends_out_of_fuel() {
    let memory = World::memory();
    let mut alone = World::new(&memory, 1, Scenario::bearing_watch(true));
    let alone = turns(&mut alone);

    let memory = World::memory();
    let mut scenario = Scenario::bearing_watch(true);
    let mut endless = spinner();
    // Far more slices than this test has turns.
    endless.spec.limits.fuel_per_event = 100_000_000;
    scenario.desired.plans.push(endless);
    let mut beside = World::new(&memory, 1, scenario);
    let beside = turns(&mut beside);
    println!("turns for 29 blocks: {alone} alone, {beside} beside an endless loop");
    assert!(beside <= 2 * alone, "{beside} turns instead of {alone}");

    let memory = World::memory();
    let mut scenario = Scenario::bearing_watch(true);
    scenario.desired.plans.push(spinner());
    let mut world = World::new(&memory, 1, scenario);
    world.run().and_then(|()| world.check_done()).unwrap();
    let ended = |e: &What| matches!(e, What::Exited { container, reason, .. } if container == "spinner" && reason == "out of fuel");
    assert_eq!(world.count(ended), 1, "{:#?}", world.events);
    assert_eq!(world.tracker(), Some(super::pinned()));
}
