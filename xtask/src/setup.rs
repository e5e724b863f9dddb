//! Checks that the tools are there, and installs those that are not.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use coracle_boards::Board;

use crate::runs;

/// The target of the example containers.
const GUEST_TARGET: &str = "wasm32-unknown-unknown";
/// The board whose firmware has a target of its own.
const FIRMWARE_BOARD: &str = "qemu-an386";
/// The emulator.
const EMULATOR: &str = "qemu-system-arm";
/// Its Debian package.
const EMULATOR_PACKAGE: &str = "qemu-system-arm";

/// Everything that any task needs.
pub(crate) fn everything() -> Result<()> {
    rust_targets()?;
    emulator()?;
    eprintln!("set-up: nothing is missing");
    Ok(())
}

/// The Rust targets of guests and firmware.
pub(crate) fn rust_targets() -> Result<()> {
    let board = Board::builtin(FIRMWARE_BOARD)?;
    let firmware_target = board.firmware.context("the board runs no firmware")?.target;
    // One after the other: two rustup processes at a time spoil each other's downloads.
    for target in [GUEST_TARGET, &firmware_target] {
        if !has_target(target)? {
            eprintln!("set-up: adding the Rust target {target}");
            let status = Command::new("rustup").args(["target", "add", target]).status().with_context(|| {
                format!("cannot run rustup; install the Rust target {target} as this Rust was installed")
            })?;
            if !status.success() {
                bail!("`rustup target add {target}` failed; see above, and run it again");
            }
        }
    }
    Ok(())
}

/// Whether the compiler has the libraries of `target`.
fn has_target(target: &str) -> Result<bool> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .context("cannot run rustc; install Rust with rustup (https://rustup.rs)")?;
    let folder = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success() && Path::new(folder.trim()).is_dir())
}

/// The emulator.
pub(crate) fn emulator() -> Result<()> {
    if has_emulator() {
        return Ok(());
    }
    let install = ["install", "-y", "--no-install-recommends", EMULATOR_PACKAGE];
    if !is_root() || !runs(Command::new("apt-get").arg("--version")) {
        bail!(
            "{EMULATOR} is missing; install it, on Debian and its like with:\n    \
             sudo apt-get update && sudo apt-get {}",
            install.join(" ")
        );
    }
    eprintln!("set-up: installing {EMULATOR_PACKAGE}");
    for arguments in [&["update"][..], &install] {
        // Its output belongs to the set-up, not to what a task prints.
        let status = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(std::io::stderr())
            .status()
            .context("cannot run apt-get")?;
        if !status.success() {
            bail!("`apt-get {}` failed; see above", arguments.join(" "));
        }
    }
    if !has_emulator() {
        bail!("{EMULATOR_PACKAGE} is installed, but {EMULATOR} does not run");
    }
    Ok(())
}

/// Whether the emulator is there.
pub(crate) fn has_emulator() -> bool {
    runs(Command::new(EMULATOR).arg("--version"))
}

/// Whether this process may install packages.
fn is_root() -> bool {
    // The owner of one's own entry is the effective user.
    std::os::unix::fs::MetadataExt::uid(&match std::fs::metadata("/proc/self") {
        Ok(own) => own,
        Err(_) => return false,
    }) == 0
}
