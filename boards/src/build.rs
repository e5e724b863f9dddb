//! The build script of a firmware package: from the name of a board to linker scripts and constants.
//!
//! It prints what Cargo reads and writes to Cargo's output directory, so it is of use in a build script only.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use crate::board::Board;
use crate::generate;

/// Sections that `cortex-m-rt` knows nothing of: the build id, because the log names the program whose frames it holds,
/// and the resource table, because Linux looks for a section of this name and writes into the loaded copy: with the code, because start-up code
/// would overwrite variables.
const SECTIONS_X: &str = "\
SECTIONS
{
  .note.gnu.build-id : ALIGN(4) { __build_id = .; KEEP(*(.note.gnu.build-id)); } > FLASH
  .resource_table : ALIGN(8) { KEEP(*(.resource_table)) } > FLASH
} INSERT AFTER .rodata;
";

/// Does everything that the build script of the firmware for the built-in board `name` has to do. On other targets that
/// is nothing: the package is a stub there, so that the whole workspace can be checked on a laptop.
///
/// # Errors
/// What is wrong with the board, the target or the environment, in words.
pub fn firmware(name: &str) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS")? != "none" {
        return Ok(());
    }
    let board = Board::builtin(name)?;
    let firmware = board.firmware.as_ref().ok_or("the board file has no [firmware]")?;
    let target = env::var("TARGET")?;
    if target != firmware.target {
        return Err(format!("board {name} is built with --target {}, not {target}", firmware.target).into());
    }
    // Without it defmt compiles every line below `error` out, silently.
    println!("cargo::rerun-if-env-changed=DEFMT_LOG");
    if env::var_os("DEFMT_LOG").is_none() {
        return Err("set DEFMT_LOG=debug in the environment: it decides which log lines the firmware contains".into());
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("memory.x"), generate::memory_x(&board, firmware))?;
    fs::write(out.join("sections.x"), SECTIONS_X)?;
    fs::write(out.join("constants.rs"), generate::constants_rs(&board, firmware))?;
    println!("cargo::rustc-link-search={}", out.display());
    // Order matters: link.x defines the section that sections.x inserts after.
    for argument in ["--nmagic", "--build-id=sha1", "-Tlink.x", "-Tdefmt.x", "-Tsections.x"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    Ok(())
}
