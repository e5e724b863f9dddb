//! Guests in C, by their own `Makefile`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{BuildError, has, run};

/// The compiler.
pub const COMPILER: &str = "clang";

/// Builds the project `name` in `folder` with everything it makes below `build`, and returns the module.
///
/// # Errors
/// [`BuildError::Missing`] without compiler or make; otherwise what they say.
pub fn build(folder: &Path, name: &str, build: &Path) -> Result<Vec<u8>, BuildError> {
    has(COMPILER)?;
    // A make around this one must not hand down its flags and its jobs.
    let clean = ["MAKEFLAGS", "MFLAGS", "MAKELEVEL"];
    let mut make = Command::new("make");
    for variable in clean {
        make.env_remove(variable);
    }
    let mut argument = std::ffi::OsString::from("BUILD=");
    argument.push(build);
    run(make.current_dir(folder).arg("--silent").arg(argument))?;
    let module = build.join(name).with_extension("wasm");
    fs::read(&module).map_err(BuildError::file(&module))
}
