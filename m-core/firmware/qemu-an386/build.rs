//! Turns the board file into the linker scripts and the constants of this firmware.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    coracle_boards::build::firmware("qemu-an386")
}
