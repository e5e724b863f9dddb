//! The models hold, and each of them notices the mistakes that it is there for.
#![cfg(loom)]
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use coracle_shmem::loom::{Mutant, barriers, set_mutant};
use coracle_test_loom as models;
use loom::model::Builder;

/// Thread switches at places where nothing forces one, unless `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: usize = 2;

type Model = (&'static str, fn());

/// The quick ones first: a mutant is tried on each until one notices.
const MODELS: [Model; 12] = [
    ("device waits for a message", models::device_waits_for_message),
    ("driver waits for a buffer", models::driver_waits_for_buffer),
    ("device waits for a buffer", models::device_waits_for_buffer),
    ("boot", models::boot),
    ("each word announces what came before it", models::words),
    ("driver to device, 1 entry", || models::driver_to_device(1)),
    ("device to driver, 1 entry", || models::device_to_driver(1)),
    ("driver to device, 2 entries", || models::driver_to_device(2)),
    ("device to driver, 2 entries", || models::device_to_driver(2)),
    ("restart, polled", models::restart_polled),
    ("restart, by doorbell", models::restart_by_doorbell),
    ("start by a kernel", models::kernel),
];

fn check(model: fn()) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    builder.check(model);
}

/// Whether some model fails with `mutant`, and which.
fn noticed(mutant: &Mutant) -> Option<&'static str> {
    let found = MODELS.iter().find(|(_, model)| {
        set_mutant(Some(mutant.clone()));
        catch_unwind(AssertUnwindSafe(|| check(*model))).is_err()
    });
    set_mutant(None);
    found.map(|(name, _)| *name)
}

#[test]
fn the_models_hold() {
    for (name, model) in MODELS {
        eprintln!("MODEL {name}");
        check(model);
    }
}

/// There is no barrier too many, and none whose loss would go unnoticed.
#[test]
fn a_missing_barrier_is_noticed() {
    for (_, model) in MODELS {
        check(model);
    }
    let all = barriers();
    assert!(!all.is_empty());
    let mut unnoticed = Vec::new();
    for barrier in all {
        match noticed(&Mutant::WithoutBarrier(barrier)) {
            Some(model) => eprintln!("MUTANT without {}:{}: noticed by {model}", barrier.file, barrier.line),
            None => unnoticed.push(barrier),
        }
    }
    assert!(unnoticed.is_empty(), "nothing noticed that these are missing: {unnoticed:#?}");
}

/// What is published by an index has to be there before it.
#[test]
fn an_index_before_what_it_publishes_is_noticed() {
    for entries in [1, 2] {
        let rings = models::Ring::both(entries);
        for (ring, buffers) in rings.iter().zip(models::buffers(entries)) {
            let (avail, used) = (ring.avail_index, ring.used_index);
            // Ring 0 goes from the device to the driver: its buffers are published by the used index.
            let buffers_by = if ring.avail_index == rings[0].avail_index { used } else { avail };
            for (what, data, index) in [
                ("descriptors", ring.descriptors.clone(), avail),
                ("avail entries", ring.avail_entries.clone(), avail),
                ("used entries", ring.used_entries.clone(), used),
                ("buffers", buffers, buffers_by),
            ] {
                let mutant = Mutant::PublishedTooEarly { data, index };
                let by = noticed(&mutant);
                eprintln!("MUTANT late {what} of {entries}: noticed by {by:?}");
                assert!(by.is_some(), "nothing noticed that {what} come after their index: {mutant:?}");
            }
        }
    }
}
