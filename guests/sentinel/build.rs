//! Link settings.

use coracle_guest_build::Memory;

fn main() {
    // Twice the measured need and more, for the log lines that only a bad configuration causes.
    coracle_guest_build::link(&Memory { stack_bytes: 1024, max_bytes: None });
}
