//! A target that cannot take the container leaves its source running.

use coracle_api::What;
use coracle_migrate::role::Step;
use coracle_model::Placement;
use coracle_policy::Core;
use coracle_test_sim::{Direction, Scenario, World, change_block, change_step, plan, tracker};

fn refusals(world: &World<'_>, text: &str) -> usize {
    world.count(|e| matches!(e, What::MoveRefused { reason, .. } if reason.contains(text)))
}

/// The first two offers or states of that direction are spoilt; in the end the tracker has moved as if they were not.
fn spoilt_twice(direction: Direction, reason: &str, spoil_state: bool) {
    let memory = World::memory();
    let mut world = World::new(&memory, 5, Scenario::bearing_watch(false));
    let mut left = 2;
    world.tamper = Some(Box::new(move |way, frame, region, layout| {
        change_step(way, frame, |step| match step {
            Step::Offer { image, .. } if !spoil_state && way == direction && left > 0 => {
                image[0] ^= 1;
                left -= 1;
            }
            Step::State { bulk } if spoil_state && way == direction && left > 0 => {
                change_block(way, region, layout, bulk, |mut bytes| {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    bytes
                });
                left -= 1;
            }
            _ => {}
        });
    }));
    world.run().and_then(|()| world.check_done()).unwrap();
    assert_eq!(refusals(&world, reason), 2, "{:#?}", world.events);
    super::undisturbed::check_state(&world, direction.target()).unwrap();
}

#[test]
fn a_missing_image_is_refused_and_tried_again() {
    for direction in [Direction::ToA, Direction::ToM] {
        spoilt_twice(direction, "does not have the module", false);
    }
}

#[test]
fn a_damaged_snapshot_is_refused_and_tried_again() {
    for direction in [Direction::ToA, Direction::ToM] {
        spoilt_twice(direction, "did not restore", true);
    }
}

#[test]
fn a_core_without_memory_refuses_and_the_source_runs_on() {
    let memory = World::memory();
    let scenario = Scenario::bearing_watch(false);
    let mut desired = scenario.desired.clone();
    let mut world = World::new(&memory, 5, scenario);
    // Sentinel and tracker, and not a byte more.
    world.budget.linear_memory_bytes_max = 2048 + 3072;
    let on_a = |world: &mut World<'_>| world.live().1.iter().any(|n| n == "tracker");
    assert!(world.run_until(on_a).unwrap());
    // Now something else takes the place that the tracker left.
    let text = include_str!("../../src/wat/tracker.wat");
    desired.plans.push(plan("hog", text, 3072, 16, Placement::Fixed(Core::M), Default::default()));
    world.apply(desired.clone());
    let done = |world: &mut World<'_>| world.sensor.ended && refusals(world, "too little memory") >= 3;
    assert!(world.run_until(done).unwrap(), "{:#?}", world.events);
    assert!(on_a(&mut world));
    // And goes again.
    desired.plans.pop();
    world.apply(desired);
    world.run().and_then(|()| world.check_done()).unwrap();
    assert!(!on_a(&mut world));
    assert_eq!(world.tracker(), Some(super::pinned()));
}

/// M has no room even for the module of a container that lives on A: it stays there, alive.
#[test]
fn a_container_that_m_could_never_take_lives_on_a() {
    let memory = World::memory();
    let mut scenario = Scenario::bearing_watch(false);
    let mut big = tracker(24, false);
    big.placement = Placement::Any { prefer: Core::A, moves: coracle_policy::MoveRules::new() };
    scenario.desired.plans[2] = big;
    let mut world = World::new(&memory, 5, scenario);
    world.budget.linear_memory_bytes_max = 2048;
    world.run().and_then(|()| world.check_done()).unwrap();
    assert!(world.live().1.iter().any(|n| n == "tracker"), "{:#?}", world.events);
}
