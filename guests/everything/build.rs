//! Link settings.

use coracle_guest_build::Memory;

fn main() {
    coracle_guest_build::link(&Memory { stack_bytes: 4096, max_bytes: None });
}
