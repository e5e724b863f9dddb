//! The targets under libFuzzer. `CORACLE_FUZZ_TARGET` names one; the arguments are libFuzzer's.
#![no_main]

use std::sync::OnceLock;

use coracle_test_fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("CORACLE_FUZZ_TARGET").expect("CORACLE_FUZZ_TARGET names a target");
        *TARGETS.iter().find(|target| target.name == name).expect("there is no such target")
    });
    (target.run)(bytes);
});
