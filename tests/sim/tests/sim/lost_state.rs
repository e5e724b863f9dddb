//! Every part of a moved state matters: whichever is left out on the way, the comparison with the run in which nothing
//! moves fails.

use coracle_migrate::role::Step;
use coracle_migrate::snapshot::{EventHead, GlobalValue, Head, SNAPSHOT_BYTES_MAX, Snapshot, encode};
use coracle_test_sim::{Direction, Scenario, World, change_block, change_step};

/// A snapshot in parts.
struct Parts {
    head: Head,
    events: Vec<(EventHead, Vec<u8>)>,
    memory: Vec<u8>,
}

fn rewrite(bytes: &[u8], change: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let snapshot = Snapshot::decode(bytes).unwrap();
    let mut memory = vec![0; snapshot.head().memory_len as usize];
    snapshot.fill_memory(&mut memory).unwrap();
    let events = snapshot.events().map(|(head, payload)| (head, payload.to_vec())).collect();
    let mut parts = Parts { head: snapshot.head().clone(), events, memory };
    change(&mut parts);
    let mut out = vec![0; SNAPSHOT_BYTES_MAX];
    let events = parts.events.iter().map(|(head, payload)| (*head, payload.as_slice()));
    let len = encode(&parts.head, snapshot.kv(), events, &parts.memory, &mut out).unwrap();
    out.truncate(len);
    out
}

type Change = fn(&mut Parts);

/// A run with two moves in which the snapshots of one direction are changed on their way.
fn run(direction: Direction, change: Change) -> Result<(), String> {
    let memory = World::memory();
    let mut world = World::new(&memory, 3, Scenario::bearing_watch(false));
    world.tamper = Some(Box::new(move |way, frame, region, layout| {
        change_step(way, frame, |step| {
            if let Step::State { bulk } = step
                && way == direction
            {
                change_block(way, region, layout, bulk, |bytes| rewrite(&bytes, change));
            }
        });
    }));
    world.run()?;
    world.check_done()?;
    super::undisturbed::check_whole(&world)
}

#[test]
fn a_state_that_loses_any_part_on_its_way_is_noticed() {
    let parts: [(&str, Change); 9] = [
        ("memory", |p| p.memory.fill(0)),
        ("one byte of memory", |p| p.memory[1024] = 0),
        ("the i64 global", |p| p.head.globals[0] = GlobalValue::I64(0)),
        ("the i32 global", |p| p.head.globals[1] = GlobalValue::I32(0)),
        ("the f64 global", |p| p.head.globals[2] = GlobalValue::F64(0)),
        ("all queued events", |p| p.events.clear()),
        ("one queued event", |p| drop(p.events.pop())),
        ("the cursor", |p| p.head.host.cursor = 0),
        ("the count of handled events", |p| p.head.host.handled = 0),
    ];
    for direction in [Direction::ToA, Direction::ToM] {
        // The way there and back through the hook changes nothing by itself.
        run(direction, |_| {}).unwrap();
        for (name, change) in parts {
            assert!(run(direction, change).is_err(), "{name} was lost {direction:?} and nobody noticed");
        }
    }
}
