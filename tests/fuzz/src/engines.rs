//! The engines of both cores must agree on any module that uses what they both have.

use coracle_test_agreement::random::{Report, compare, module};

/// Makes a module of the bytes and runs it on wasmi, on Wasmtime's native code and on its Pulley bytecode.
pub(crate) fn engines(data: &[u8]) {
    if let Some(module) = module(data) {
        // The arguments follow from the bytes too, so that an input says all.
        let seed = data.iter().fold(0, |seed: u64, byte| seed.rotate_left(8) ^ u64::from(*byte));
        compare(&module, seed, &mut Report::default());
    }
}
