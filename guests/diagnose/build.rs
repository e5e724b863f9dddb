//! Link settings.

use coracle_guest_build::Memory;

/// What `coracle_vibration::features::extract` needs, and half as much again.
const STACK_BYTES: u32 = 64 * 1024;

fn main() {
    println!("cargo::rerun-if-changed=../../manifests/examples/bearing-watch/weights.bin");
    coracle_guest_build::link(&Memory { stack_bytes: STACK_BYTES, max_bytes: None });
}
