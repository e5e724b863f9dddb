//! Link settings.

use coracle_guest_build::Memory;

fn main() {
    // Measured need: under 500 bytes, most of it a log line.
    coracle_guest_build::link(&Memory { stack_bytes: 1024, max_bytes: None });
}
