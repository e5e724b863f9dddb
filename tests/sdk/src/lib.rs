//! Builds the guests that Cargo does not build, those in C and AssemblyScript and Rust programs for WASI, and says why
//! where it cannot.
//!
//! What is needed beside Rust: clang and make; npm and, in the cache, the AssemblyScript compiler in the version of the
//! example's `package-lock.json`, which [`assemblyscript::install`] fetches; the Rust target [`wasi::TARGET`]. Nothing is
//! written into the tree.
#![forbid(unsafe_code)]

pub mod assemblyscript;
pub mod c;
pub mod wasi;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Environment variable that is set on build servers, where nothing may be skipped.
pub const CI_VARIABLE: &str = "CI";
/// What to do about a tool that is missing.
const SET_UP: &str = "`cargo xtask setup` installs it";

/// Why there is no module.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool is not there.
    #[error("{0} is missing; {SET_UP}")]
    Missing(String),
    /// There is no place for what is fetched.
    #[error("no folder for downloads, because this user has no home; set CORACLE_CACHE")]
    NoCache,
    /// A command failed.
    #[error("`{command}` failed: {said}")]
    Command {
        /// The command.
        command: String,
        /// What it said.
        said: String,
    },
    /// A file could not be read, made or moved.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BuildError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// The module, or `None` after saying why its test is skipped.
///
/// # Panics
/// When it cannot be built for another reason than a missing tool, and on a build server for every reason.
#[must_use]
pub fn or_skip(built: Result<Vec<u8>, BuildError>) -> Option<Vec<u8>> {
    match built {
        Ok(module) => Some(module),
        Err(missing @ (BuildError::Missing(_) | BuildError::NoCache)) if std::env::var_os(CI_VARIABLE).is_none() => {
            println!("SKIPPED: {missing}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The folder of the repository with the guests.
#[must_use]
pub fn guests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests")
}

/// Runs a command to its end.
fn run(command: &mut Command) -> Result<(), BuildError> {
    let said = match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BuildError::Missing(command.get_program().display().to_string()));
        }
        Err(error) => error.to_string(),
    };
    Err(BuildError::Command { command: format!("{command:?}"), said })
}

/// Whether a program can be run at all.
fn has(program: &str) -> Result<(), BuildError> {
    run(Command::new(program).arg("--version"))
}
