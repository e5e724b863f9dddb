//! Turns the board file into the linker scripts and the constants of this firmware, and the modules that `guest-cost`
//! and `idle` run into bytes.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

/// The modules of `guest-cost` and `idle`, in `guests/`.
const GUESTS: [&str; 6] = ["cost", "empty", "publishing", "sensing", "ticking", "waiting"];

fn main() -> Result<(), Box<dyn Error>> {
    coracle_boards::build::firmware("qemu-an386")?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for guest in GUESTS {
        let source = format!("guests/{guest}.wat");
        println!("cargo::rerun-if-changed={source}");
        fs::write(out.join(format!("{guest}.wasm")), wat::parse_file(&source)?)?;
    }
    Ok(())
}
