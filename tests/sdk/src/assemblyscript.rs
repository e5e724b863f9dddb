//! The guest in AssemblyScript, with the compiler from npm. It is installed outside of the tree: one folder in the cache
//! for each content of `package-lock.json`, made at one stroke.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::{BuildError, guests_folder, has, run};

/// The package manager.
pub const PACKAGE_MANAGER: &str = "npm";
/// The example.
pub const EXAMPLE: &str = "averager";
/// What npm reads.
const PACKAGE_FILES: [&str; 2] = ["package.json", "package-lock.json"];
/// The compiler in an installed folder.
const COMPILER: &str = "node_modules/assemblyscript/bin/asc.js";
/// Environment variable that names the folder for downloads that can be made again.
const CACHE_VARIABLE: &str = "CORACLE_CACHE";

/// Builds the example with everything it makes below `build`, and returns the module.
///
/// # Errors
/// [`BuildError::Missing`] where the compiler is not installed; otherwise what it says.
pub fn build(build: &Path) -> Result<Vec<u8>, BuildError> {
    has("node")?;
    let compiler = installed()?.join(COMPILER);
    if !compiler.is_file() {
        return Err(BuildError::Missing("the AssemblyScript compiler".into()));
    }
    fs::create_dir_all(build).map_err(BuildError::file(build))?;
    let module = build.join(EXAMPLE).with_extension("wasm");
    let mut node = Command::new("node");
    // The options file is looked for where the compiler runs.
    node.current_dir(source()).arg(&compiler).arg(format!("{EXAMPLE}.ts")).arg("--outFile").arg(&module);
    run(&mut node)?;
    fs::read(&module).map_err(BuildError::file(&module))
}

/// Installs the compiler into the cache, unless it is there.
///
/// # Errors
/// [`BuildError::Missing`] without npm; otherwise what it says, for example that there is no network.
pub fn install() -> Result<(), BuildError> {
    let place = installed()?;
    if place.join(COMPILER).is_file() {
        return Ok(());
    }
    has(PACKAGE_MANAGER)?;
    let cache = cache_folder()?;
    fs::create_dir_all(&cache).map_err(BuildError::file(&cache))?;
    // Of its own, so that two that install at the same time do not meet.
    let fresh = tempfile::tempdir_in(&cache).map_err(BuildError::file(&cache))?;
    for name in PACKAGE_FILES {
        let to = fresh.path().join(name);
        fs::copy(source().join(name), &to).map_err(BuildError::file(&to))?;
    }
    run(Command::new(PACKAGE_MANAGER).current_dir(fresh.path()).args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ]))?;
    match fs::rename(fresh.path(), &place) {
        // Somebody else was faster.
        Err(_) if place.join(COMPILER).is_file() => Ok(()),
        renamed => renamed.map_err(BuildError::file(&place)),
    }
}

/// Where the compiler is, or will be.
fn installed() -> Result<PathBuf, BuildError> {
    let lock = source().join("package-lock.json");
    let digest = Sha256::digest(fs::read(&lock).map_err(BuildError::file(&lock))?);
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(cache_folder()?.join(format!("assemblyscript-{name}")))
}

fn source() -> PathBuf {
    guests_folder().join("assemblyscript").join(EXAMPLE)
}

fn cache_folder() -> Result<PathBuf, BuildError> {
    let given = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    given(CACHE_VARIABLE)
        .or_else(|| given("XDG_CACHE_HOME").map(|cache| cache.join("coracle")))
        // Without HOME, as in some CI runs: what the system's list of users says.
        .or_else(|| env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".cache/coracle")))
        .ok_or(BuildError::NoCache)
}
