//! Turns the board file into the linker script and the constants of this firmware.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use coracle_boards::{Board, generate};

const BOARD: &str = "qemu-an386";

/// Puts the build id where the program can read it: the log names the program whose frames it holds.
const BUILD_ID_X: &str = "\
SECTIONS
{
  .note.gnu.build-id : ALIGN(4) { __build_id = .; KEEP(*(.note.gnu.build-id)); } > FLASH
} INSERT AFTER .rodata;
";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    // Elsewhere this package is a stub, so that the whole workspace can be checked on a laptop.
    if env::var("CARGO_CFG_TARGET_OS")? != "none" {
        return Ok(());
    }
    let board = Board::builtin(BOARD)?;
    let firmware = board.firmware.as_ref().ok_or("the board file has no [firmware]")?;
    let target = env::var("TARGET")?;
    if target != firmware.target {
        return Err(format!("board {BOARD} is built with --target {}, not {target}", firmware.target).into());
    }
    // Without it defmt compiles every line below `error` out, silently.
    println!("cargo::rerun-if-env-changed=DEFMT_LOG");
    if env::var_os("DEFMT_LOG").is_none() {
        return Err("set DEFMT_LOG=debug in the environment: it decides which log lines the firmware contains".into());
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("memory.x"), generate::memory_x(&board, firmware))?;
    fs::write(out.join("build_id.x"), BUILD_ID_X)?;
    fs::write(out.join("constants.rs"), generate::constants_rs(&board, firmware))?;
    println!("cargo::rustc-link-search={}", out.display());
    // Order matters: link.x defines the section that build_id.x inserts after.
    for argument in ["--nmagic", "--build-id=sha1", "-Tlink.x", "-Tdefmt.x", "-Tbuild_id.x"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    Ok(())
}
