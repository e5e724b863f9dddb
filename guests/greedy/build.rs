//! Link settings.

use coracle_guest_build::Memory;

/// More than an M core gives a container, so that it is the core that refuses, not the module.
const MAX_BYTES: u32 = 1024 * 1024;

fn main() {
    coracle_guest_build::link(&Memory { stack_bytes: 512, max_bytes: Some(MAX_BYTES) });
}
