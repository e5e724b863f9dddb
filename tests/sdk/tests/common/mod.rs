//! What both tests need: limits, a place for files, guests in Rust.

use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_test_sdk::guests_folder;

/// Memory limit of the guests for both cores, in bytes.
pub(crate) const MEMORY: u32 = 16 * 1024;
/// Memory limit of a guest with pages of 64 KiB.
pub(crate) const MEMORY_LARGE_PAGES: u32 = 64 * 1024;

/// A folder for what tests make. Tests run at the same time: each needs its own.
pub(crate) fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The module of a guest in Rust, as the linker wrote it.
pub(crate) fn built_rust(name: &str) -> Vec<u8> {
    // The folder for test files lies in the target folder.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder");
    let built = Command::new(env!("CARGO"))
        .current_dir(guests_folder())
        .args(["build", "--quiet", "--profile", "guest", "--target", "wasm32-unknown-unknown", "--package", name])
        .arg("--target-dir")
        .arg(target)
        .status();
    assert!(built.expect("cargo runs").success(), "{name} does not build");
    std::fs::read(target.join("wasm32-unknown-unknown/guest").join(name).with_extension("wasm")).expect("a module")
}
