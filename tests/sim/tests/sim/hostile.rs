//! The other side sends and writes anything.

use coracle_api::What;
use coracle_link::{FRAME_BYTES_MAX, Frame, Versions};
use coracle_migrate::role::Step;
use coracle_test_sim::{Direction, Kill, Rng, Scenario, World, change_step};

/// What must hold whatever the peer does: each core still has the containers that only it may have.
fn keeps_its_own(world: &World<'_>) -> Result<(), String> {
    let (on_m, on_a) = world.live();
    for (list, name) in [(&on_a, "diagnose"), (&on_m, "sentinel")] {
        if !list.iter().any(|n| n == name) {
            return Err(format!("{name} is gone: {on_m:?} {on_a:?} {:#?}", world.events));
        }
    }
    Ok(())
}

fn running(world: &mut World<'_>) -> bool {
    world.sensor.given >= 3
}

#[test]
fn versions_without_overlap_are_refused_with_both_ranges() {
    let memory = World::memory();
    let mut world = World::new(&memory, 1, Scenario::bearing_watch(false));
    world.tamper = Some(Box::new(|_, frame, _, _| {
        let bytes = frame.clone();
        if let Ok(Frame::Hello { nonce, credit, .. }) = postcard::from_bytes(&bytes) {
            let hello = Frame::Hello { versions: Versions { min: 7, max: 9 }, nonce, credit };
            *frame = coracle_link::encode(&hello, &mut [0; FRAME_BYTES_MAX]).unwrap().to_vec();
        }
    }));
    world.run().unwrap();
    let told = |e: &What| matches!(e, What::LinkDown { reason } if reason.contains("update the older"));
    assert_eq!(world.count(told), 1, "{:#?}", world.events);
}

/// Frames of one direction are damaged, repeated or replaced by noise; nothing panics, and the
/// honest side keeps what only it may have.
#[test]
fn garbage_frames_cost_sessions_but_no_container() {
    super::each_seed(60, |seed| {
        for hostile in [Direction::ToM, Direction::ToA] {
            let memory = World::memory();
            let mut world = World::new(&memory, seed, Scenario::bearing_watch(false));
            if !world.run_until(running)? {
                return Err("it does not start".into());
            }
            let mut rng = Rng::new(seed);
            world.tamper = Some(Box::new(move |way, frame, _, _| {
                if way != hostile || !rng.once_in(4) {
                    return;
                }
                match rng.below(3) {
                    0 => {
                        let at = usize::try_from(rng.below(frame.len() as u64)).unwrap();
                        frame[at] ^= 1 << rng.below(8);
                    }
                    1 => frame.truncate(1 + usize::try_from(rng.below(frame.len() as u64)).unwrap()),
                    _ => *frame = (0..1 + rng.below(400)).map(|_| rng.next_u64().to_le_bytes()[0]).collect(),
                }
            }));
            // It may stand still or be of two minds: only that nobody falls is asked here.
            let steps = world.steps + 3000;
            let _ = world.run_until(|w| w.steps >= steps);
            world.tamper = None;
            // What a damaged frame says of the sender's own containers may cost it those: it has to be believed there.
            let (on_m, on_a) = world.live();
            let (list, name) = match hostile {
                Direction::ToM => (&on_m, "sentinel"),
                Direction::ToA => (&on_a, "diagnose"),
            };
            if !list.iter().any(|n| n == name) {
                return Err(format!("{name} is gone: {on_m:?} {on_a:?} {:#?}", world.events));
            }
        }
        Ok(())
    });
}

#[test]
fn wild_descriptors_are_refused() {
    super::each_seed(60, |seed| {
        for hostile in [Direction::ToM, Direction::ToA] {
            let memory = World::memory();
            let mut world = World::new(&memory, seed, Scenario::bearing_watch(false));
            let mut rng = Rng::new(seed);
            let mut left = 2;
            world.tamper = Some(Box::new(move |way, frame, _, _| {
                change_step(way, frame, |step| {
                    if let Step::State { bulk } = step
                        && way == hostile
                        && left > 0
                    {
                        left -= 1;
                        match rng.below(4) {
                            0 => bulk.offset = rng.next_u64() as u32,
                            1 => bulk.len = rng.next_u64() as u32,
                            2 => bulk.offset += 8,
                            _ => bulk.generation ^= 1 << rng.below(32),
                        }
                    }
                });
            }));
            world.run()?;
            world.check_done()?;
            super::undisturbed::check_state(&world, hostile.target())?;
        }
        Ok(())
    });
}

/// Bytes anywhere in the shared memory change; nothing panics, and after a power cut all is well again.
#[test]
fn wild_writes_bring_nobody_down() {
    super::each_seed(100, |seed| {
        let memory = World::memory();
        let mut world = World::new(&memory, seed, Scenario::bearing_watch(false));
        if !world.run_until(running)? {
            return Err("it does not start".into());
        }
        // The vrings and the table are small: aim at them.
        let mut rng = Rng::new(seed);
        world.noise = 100;
        let targets = [world.layout.vring0, world.layout.vring1, world.layout.resource_table, world.layout.buffers];
        let steps = world.steps + 2000;
        let _ = world.run_until(|w| {
            if rng.once_in(10) {
                let span = targets[usize::try_from(rng.below(4)).unwrap()];
                let at = span.offset + u32::try_from(rng.below(u64::from(span.bytes.min(4096)) - 2)).unwrap();
                w.region.write(at as usize, &rng.next_u64().to_le_bytes()[..2]).unwrap();
            }
            w.steps >= steps
        });
        keeps_its_own(&world)?;
        world.noise = 0;
        world.kill(Kill::Power);
        world.run()?;
        world.check_done()
    });
}
