//! Programs of this workspace, built on demand.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The target of the guest's program.
pub const GUEST_TARGET: &str = "armv7-unknown-linux-gnueabihf";
/// The compiler whose linker and C library the guest's program needs.
pub const CROSS_COMPILER: &str = "arm-linux-gnueabihf-gcc";
const ASSEMBLER: &str = "arm-linux-gnueabihf-as";
const LINKER: &str = "arm-linux-gnueabihf-ld";
const GUEST_PACKAGE: &str = "coracle-kernel-guest";
const MAILBOX_PACKAGE: &str = "coracle-mailbox-model";
const BOOT_STUB: &str = include_str!("boot_stub.s");

/// What of the needed programs is not there, by name.
#[must_use]
pub fn missing_tools() -> Vec<&'static str> {
    let runs = |program: &str| {
        let mut command = Command::new(program);
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let mut missing: Vec<_> =
        [coracle_test_qemu::QEMU_PROGRAM, "dtc", CROSS_COMPILER].into_iter().filter(|program| !runs(program)).collect();
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", GUEST_TARGET]).output();
    let there = |output: &[u8]| Path::new(String::from_utf8_lossy(output).trim()).is_dir();
    if !libraries.is_ok_and(|output| output.status.success() && there(&output.stdout)) {
        missing.push(GUEST_TARGET);
    }
    missing
}

/// The program that runs in the guest.
///
/// # Errors
/// What the build said.
pub fn guest_program() -> Result<PathBuf, String> {
    // Linked statically: the guest has no C library.
    let variables = [
        ("CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_LINKER", CROSS_COMPILER),
        ("CARGO_TARGET_ARMV7_UNKNOWN_LINUX_GNUEABIHF_RUSTFLAGS", "-C target-feature=+crt-static -C strip=symbols"),
    ];
    cargo_build(GUEST_PACKAGE, &["--target", GUEST_TARGET], &variables)?;
    built(&[GUEST_TARGET, "debug", GUEST_PACKAGE])
}

/// The mailbox.
///
/// # Errors
/// What the build said.
pub fn mailbox_program() -> Result<PathBuf, String> {
    cargo_build(MAILBOX_PACKAGE, &[], &[])?;
    built(&["debug", MAILBOX_PACKAGE])
}

/// Assembles the program that the M core runs from its reset on, into `folder`.
///
/// # Errors
/// What the assembler or the linker said.
pub fn boot_stub(folder: &Path, deep_sleep_word: u32, firmware: u32) -> Result<PathBuf, String> {
    let path = |name: &str| folder.join(name);
    std::fs::write(path("boot_stub.s"), BOOT_STUB).map_err(|error| format!("cannot write the boot stub: {error}"))?;
    let mut assembler = Command::new(ASSEMBLER);
    for (name, value) in [("DEEP_SLEEP", deep_sleep_word), ("FIRMWARE", firmware)] {
        assembler.args(["--defsym", &format!("{name}={value:#x}")]);
    }
    assembler.args(["-mcpu=cortex-m7", "-mthumb", "-o"]).arg(path("boot_stub.o")).arg(path("boot_stub.s"));
    run(&mut assembler)?;
    let mut linker = Command::new(LINKER);
    linker.args(["-Ttext=0", "--entry=reset", "-o"]).arg(path("boot_stub.elf")).arg(path("boot_stub.o"));
    run(&mut linker)?;
    Ok(path("boot_stub.elf"))
}

fn cargo_build(package: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<(), String> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["build", "--quiet", "--package", package, "--bin", package]).args(arguments);
    if !variables.is_empty() {
        // They come before the flags for one target, and the guest's program would not be linked statically.
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    }
    run(cargo.envs(variables.iter().copied()))
}

/// A file in the target folder.
fn built(parts: &[&str]) -> Result<PathBuf, String> {
    let target = root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let path = parts.iter().fold(target, |path, part| path.join(part));
    path.canonicalize().map_err(|error| format!("the build made no {}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs a command of the build.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let arguments = command.get_args().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ");
    Err(format!("`{program} {arguments}` failed:\n{}", String::from_utf8_lossy(&output.stderr)))
}
