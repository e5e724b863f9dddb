//! Link settings: pages of one byte, this much stack, and no growth, so that the container costs what it uses.

use coracle_guest_build::Memory;

fn main() {
    coracle_guest_build::link(&Memory { stack_bytes: 1024, max_bytes: None });
}
