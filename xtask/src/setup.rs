//! Checks that the tools are there, and installs those that are not.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use coracle_boards::Board;
use coracle_test_kernel::build::{CROSS_COMPILER, GUEST_TARGET as KERNEL_GUEST_TARGET};
use coracle_test_kernel::packages;
use coracle_test_sdk::{assemblyscript, c, wasi};

use crate::runs;

/// The target of the example containers.
const GUEST_TARGET: &str = "wasm32-unknown-unknown";
/// The board whose firmware has a target of its own.
const FIRMWARE_BOARD: &str = "qemu-an386";
/// The emulator, and its Debian package.
const EMULATOR: Tool = Tool { program: "qemu-system-arm", packages: &["qemu-system-arm"] };
/// What the kernel test needs besides: the compiler of the machine's description, and the linker and C library of the
/// program in its guest.
const KERNEL_TEST_TOOLS: [Tool; 2] = [
    Tool { program: "dtc", packages: &["device-tree-compiler"] },
    Tool { program: CROSS_COMPILER, packages: &["gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross"] },
];
/// What builds the guests that are not in Rust.
const GUEST_TOOLS: [Tool; 3] = [
    Tool { program: c::COMPILER, packages: &["clang"] },
    Tool { program: "make", packages: &["make"] },
    Tool { program: assemblyscript::PACKAGE_MANAGER, packages: &["nodejs", "npm"] },
];

/// A program that a task runs.
#[derive(Clone, Copy)]
struct Tool {
    program: &'static str,
    /// The Debian packages that it needs.
    packages: &'static [&'static str],
}

/// Everything that any task needs.
pub(crate) fn everything() -> Result<()> {
    rust_targets()?;
    emulator()?;
    kernel_test()?;
    guest_languages()?;
    eprintln!("set-up: nothing is missing");
    Ok(())
}

/// The Rust targets of guests and firmware.
pub(crate) fn rust_targets() -> Result<()> {
    let board = Board::builtin(FIRMWARE_BOARD)?;
    let firmware_target = board.firmware.context("the board runs no firmware")?.target;
    [GUEST_TARGET, &firmware_target].into_iter().try_for_each(rust_target)
}

/// Adds a Rust target. One after the other: two rustup processes at a time spoil each other's downloads.
fn rust_target(target: &str) -> Result<()> {
    if !has_target(target)? {
        eprintln!("set-up: adding the Rust target {target}");
        let status = Command::new("rustup").args(["target", "add", target]).status().with_context(|| {
            format!("cannot run rustup; install the Rust target {target} as this Rust was installed")
        })?;
        if !status.success() {
            bail!("`rustup target add {target}` failed; see above, and run it again");
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
    install(&[EMULATOR])
}

/// What the kernel test needs besides the emulator: tools, a Rust target, and the Debian kernel in its cache.
pub(crate) fn kernel_test() -> Result<()> {
    install(&KERNEL_TEST_TOOLS)?;
    rust_target(KERNEL_GUEST_TARGET)?;
    packages::kernel().context("there is no kernel for the kernel test").map(drop)
}

/// What builds the guests in C and AssemblyScript and programs for WASI: tools, a Rust target, and the AssemblyScript
/// compiler in its cache.
pub(crate) fn guest_languages() -> Result<()> {
    install(&GUEST_TOOLS)?;
    rust_target(wasi::TARGET)?;
    assemblyscript::install().context("there is no AssemblyScript compiler")
}

/// Installs those of `tools` that are missing.
fn install(tools: &[Tool]) -> Result<()> {
    let missing: Vec<Tool> = tools.iter().copied().filter(|tool| !has(*tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs = missing.iter().map(|tool| tool.program).collect::<Vec<_>>().join(", ");
    let packages: Vec<&str> = missing.iter().flat_map(|tool| tool.packages).copied().collect();
    let install = [&["install", "-y", "--no-install-recommends"], packages.as_slice()].concat();
    if !is_root() || !runs(Command::new("apt-get").arg("--version")) {
        bail!(
            "{programs} missing; install what is, on Debian and its like with:\n    \
             sudo apt-get update && sudo apt-get {}",
            install.join(" ")
        );
    }
    eprintln!("set-up: installing {}", packages.join(" "));
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
    match missing.into_iter().find(|tool| !has(*tool)) {
        Some(tool) => bail!("{} is installed, but {} does not run", tool.packages.join(" "), tool.program),
        None => Ok(()),
    }
}

/// Whether the emulator is there.
pub(crate) fn has_emulator() -> bool {
    has(EMULATOR)
}

fn has(tool: Tool) -> bool {
    runs(Command::new(tool.program).arg("--version"))
}

/// Whether this process may install packages.
fn is_root() -> bool {
    // The owner of one's own entry is the effective user.
    std::os::unix::fs::MetadataExt::uid(&match std::fs::metadata("/proc/self") {
        Ok(own) => own,
        Err(_) => return false,
    }) == 0
}
