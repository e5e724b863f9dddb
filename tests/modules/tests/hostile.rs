//! Modules with random damage: nothing may panic or hang, and what is still admitted must agree on both engines.

use coracle_lifecycle::ExitReason;
use coracle_prepare::{AdmissionLimits, prepare};
use coracle_test_modules::{CORES, Container, End, Event, MEMORY_LIMIT, spec};

const WATS: [&str; 8] = [
    include_str!("../wat/counter.wat"),
    include_str!("../wat/effects.wat"),
    include_str!("../wat/exits.wat"),
    include_str!("../wat/floats.wat"),
    include_str!("../wat/grow.wat"),
    include_str!("../wat/no_memory.wat"),
    include_str!("../wat/pages.wat"),
    include_str!("../wat/start.wat"),
];
/// Damaged modules that are tried.
const ROUNDS: u32 = 20_000;
/// Of these, at least so many must still run on both engines, or the test tests nothing.
const COMPARED_MIN: u32 = 1000;
/// Fuel an event may cost: little, because damaged loops are often endless.
const FUEL: u64 = 20_000;

/// A 64-bit linear congruential generator; the high bits are good enough to pick bytes.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

fn damage(module: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(2) {
        // Twice in three in the second half, where the code is: damaged names and types seldom stay valid.
        let half = if random.below(3) == 0 { 0 } else { module.len() / 2 };
        let at = half + random.below(module.len() - half);
        match random.below(8) {
            0 => module.truncate(at),
            1 => module.insert(at, random.below(256) as u8),
            2 if !module.is_empty() => drop(module.remove(at)),
            // Mostly one bit or one byte: what stays valid is what is interesting.
            3 | 4 => module.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << random.below(8)),
            _ => module.iter_mut().skip(at).take(1).for_each(|b| *b = random.below(256) as u8),
        }
    }
}

/// Drives a container with every kind of event; what it did, unless it met a limit that differs between the engines.
fn drive(mut container: Container, fuel: &mut Vec<u64>) -> Option<Vec<String>> {
    let mut seen = Vec::new();
    let events = [
        None,
        Some(Event::message(1, 0, b"abc")),
        Some(Event::samples(2, &[1, 2, 3])),
        Some(Event::message(3, 1, &[7; 100])),
        Some(Event::message(4, 4, &[])),
    ];
    for event in &events {
        let end = container.handle(event.as_ref());
        if matches!(end, End::Exited(ExitReason::OutOfFuel | ExitReason::StackExhausted)) {
            return None;
        }
        seen.push(format!("{end:?} {:?}", container.effects()));
        if end != End::Done {
            return Some(seen);
        }
        seen.push(format!("{:x?} {}", container.state_digest(), container.memory_bytes()));
    }
    fuel.push(container.fuel());
    Some(seen)
}

#[test]
fn damaged_modules_never_panic_and_agree_where_they_still_run() {
    let seed = std::env::var("CORACLE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x00C0_FFEE);
    println!("CORACLE_SEED={seed}");
    let mut random = Random(seed);
    let originals = WATS.map(|text| wat::parse_str(text).unwrap());
    let (mut loaded, mut admitted, mut compared) = (0, 0, 0);
    for round in 0..ROUNDS {
        let mut module = originals[random.below(originals.len())].clone();
        damage(&mut module, &mut random);
        // The sandbox must survive what was not prepared, too.
        let mut raw = spec(&module);
        raw.limits.fuel_per_event = FUEL;
        if let Ok(container) = Container::load(CORES[0], &module, &raw) {
            loaded += 1;
            drive(container, &mut Vec::new());
        }
        let Ok(prepared) = prepare(&module, &AdmissionLimits { memory: MEMORY_LIMIT }) else {
            continue;
        };
        admitted += 1;
        let again = prepare(&prepared.bytes, &AdmissionLimits { memory: MEMORY_LIMIT }).unwrap();
        assert_eq!(again.bytes, prepared.bytes, "round {round}: preparing again changed something");
        let mut spec = spec(&prepared.bytes);
        spec.limits.fuel_per_event = FUEL;
        let results = CORES.map(|core| Container::load(core, &prepared.bytes, &spec));
        match results {
            [Ok(m), Ok(a)] => {
                let mut fuel = Vec::new();
                if let (Some(m), Some(a)) = (drive(m, &mut fuel), drive(a, &mut fuel)) {
                    compared += 1;
                    assert_eq!(m, a, "round {round}");
                    assert!(fuel.is_sorted_by(|m, a| m >= a), "round {round} {fuel:?}");
                }
            }
            [Err((m, _)), Err((a, _))] => assert_eq!(m, a, "round {round}: refused differently"),
            [m, a] => panic!("round {round}: only one refused: {:?} {:?}", m.err(), a.err()),
        }
    }
    println!("{loaded} loaded as they were, {admitted} admitted, {compared} compared");
    assert!(loaded >= COMPARED_MIN && compared >= COMPARED_MIN, "the damage leaves too little to test");
}
