//! Link settings.

use coracle_guest_build::Memory;

fn main() {
    coracle_guest_build::link(&Memory { stack_bytes: 1024, max_bytes: None });
}
