//! Generated modules on all engines. `CORACLE_SEED=<seed>` repeats a run from a module on; `CORACLE_ROUNDS=<n>` sets
//! how many there are.

use coracle_test_agreement::random::{Random, Report, compare, module};

/// Modules of a run: some twenty seconds.
const ROUNDS: u64 = 600;
/// Bytes that a module is made of.
const DATA_BYTES: usize = 4096;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn generated_modules_behave_alike() {
    let first = number("CORACLE_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_nanos() as u64
    });
    let mut report = Report::default();
    for seed in (0..number("CORACLE_ROUNDS").unwrap_or(ROUNDS)).map(|n| first.wrapping_add(n)) {
        // Shown with a failure: the last one is the seed of the module that failed.
        println!("CORACLE_SEED={seed}");
        let data = Random(seed).bytes(DATA_BYTES);
        if let Some(module) = module(&data) {
            compare(&module, seed, &mut report);
        }
    }
    println!("{report}");
    if number("CORACLE_ROUNDS").is_none() {
        // A generator that makes nothing of use would pass.
        assert!(report.instances > ROUNDS / 4 && report.returned > ROUNDS && report.trapped > 0, "{report}");
        assert!(report.host_calls > 0 && report.nans > 0, "{report}");
    }
}
