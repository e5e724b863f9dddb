//! Finds or builds what a machine is made of: the host executables, the guests' modules, the firmware.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::{Board, Error};

/// The daemon.
const DAEMON_PROGRAM: &str = "coracled";
/// The M core of the board `host`.
const M_HOST: &str = "coracle-m-host";
/// The sensor model.
const SENSOR_FEED: &str = "coracle-sensor-feed";
/// The firmware of the board `qemu-an386`: package and executable.
const FIRMWARE: &str = "coracle-firmware-qemu-an386";
/// The target of the guests.
const GUEST_TARGET: &str = "wasm32-unknown-unknown";
/// The profile of the guests, and the name of its folder.
const GUEST_PROFILE: &str = "guest";
/// The folder of the workspace with the guests' packages.
const GUESTS_FOLDER: &str = "guests";

/// Environment variable: the folder with the host executables. Whoever built them sets it with the next two, so that not
/// every test process has to ask Cargo.
pub const PROGRAMS_VARIABLE: &str = "CORACLE_PROGRAMS";
/// Environment variable: the folder with the guests' modules.
pub const MODULES_VARIABLE: &str = "CORACLE_MODULES";
/// Environment variable: the firmware's ELF.
pub const FIRMWARE_VARIABLE: &str = "CORACLE_FIRMWARE";

/// What `cargo metadata` says of this workspace.
#[derive(Debug, Clone, Deserialize)]
pub struct Workspace {
    /// The workspace's folder.
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// Where Cargo puts what it builds, whatever chose it.
    pub target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Clone, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Clone, Deserialize)]
struct Target {
    kind: Vec<String>,
}

impl Workspace {
    /// The workspace that this crate is part of.
    ///
    /// # Errors
    /// [`Error::Cargo`].
    pub fn find() -> Result<Self, Error> {
        let failed = |said: String| Error::Cargo { what: "describe the workspace".into(), said };
        let output = cargo()
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).into()));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
    }

    /// Builds the daemon, the M core of the board `host` and the sensor feed, and returns their folder.
    ///
    /// # Errors
    /// [`Error::Build`] and [`Error::Cargo`].
    pub fn build_programs(&self) -> Result<PathBuf, Error> {
        // No packages are named: features are then those of a plain `cargo build` or `cargo test`, so that nothing that
        // takes minutes, like Wasmtime, is built twice.
        let programs = [DAEMON_PROGRAM, M_HOST, SENSOR_FEED];
        self.build("the host programs", programs.iter().flat_map(|program| ["--bin", program]))?;
        Ok(self.target_directory.join("debug"))
    }

    /// Builds every guest to WebAssembly and returns the folder with the modules.
    ///
    /// # Errors
    /// [`Error::Build`] and [`Error::Cargo`].
    pub fn build_guests(&self) -> Result<PathBuf, Error> {
        let guests = self.guests().flat_map(|guest| ["--package", guest]);
        self.build("the guests", ["--profile", GUEST_PROFILE, "--target", GUEST_TARGET].into_iter().chain(guests))?;
        Ok(self.target_directory.join(GUEST_TARGET).join(GUEST_PROFILE))
    }

    /// Builds the firmware of the board `qemu-an386` and returns its ELF.
    ///
    /// # Errors
    /// [`Error::Build`].
    pub fn build_firmware(&self) -> Result<PathBuf, Error> {
        coracle_test_qemu::firmware(FIRMWARE).map_err(|said| Error::Build { what: "the firmware".into(), said })
    }

    /// Names of the packages in `guests/` that are modules, not libraries for them.
    fn guests(&self) -> impl Iterator<Item = &str> {
        let folder = self.root.join(GUESTS_FOLDER);
        let is_module = |package: &&Package| package.targets.iter().flat_map(|t| &t.kind).any(|kind| kind == "cdylib");
        self.packages
            .iter()
            .filter(move |package| package.manifest_path.starts_with(&folder))
            .filter(is_module)
            .map(|package| package.name.as_str())
    }

    fn build<'a>(&self, what: &str, arguments: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        let output = cargo()
            .current_dir(&self.root)
            .args(["build", "--quiet"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Error::Cargo { what: format!("build {what}"), said: error.to_string() })?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Build { what: what.into(), said: String::from_utf8_lossy(&output.stderr).into() })
    }
}

/// The Cargo that runs this program, or else the one on the path.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The M core of a board.
#[derive(Debug, Clone)]
pub enum MProgram {
    /// The executable of the board `host`.
    Host(PathBuf),
    /// The ELF of the board `qemu-an386`.
    QemuAn386(PathBuf),
}

/// The files that a machine is started from.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The M core; says which board it is.
    pub m_core: MProgram,
    /// `coracled`.
    pub daemon: PathBuf,
    /// The sensor model.
    pub sensor_feed: PathBuf,
    /// The folder with the guests' modules.
    pub modules: PathBuf,
}

impl Programs {
    /// Those that the environment names ([`PROGRAMS_VARIABLE`] and its like), or else freshly built ones.
    ///
    /// # Errors
    /// [`Error::Build`] and [`Error::Cargo`].
    pub fn find_or_build(board: Board) -> Result<Self, Error> {
        let workspace = Workspace::find()?;
        let given = |variable, build: &dyn Fn() -> Result<PathBuf, Error>| match env::var_os(variable) {
            Some(path) => Ok(PathBuf::from(path)),
            None => build(),
        };
        let programs = given(PROGRAMS_VARIABLE, &|| workspace.build_programs())?;
        Ok(Self {
            m_core: match board {
                Board::Host => MProgram::Host(programs.join(M_HOST)),
                Board::QemuAn386 => MProgram::QemuAn386(given(FIRMWARE_VARIABLE, &|| workspace.build_firmware())?),
            },
            daemon: programs.join(DAEMON_PROGRAM),
            sensor_feed: programs.join(SENSOR_FEED),
            modules: given(MODULES_VARIABLE, &|| workspace.build_guests())?,
        })
    }

    /// The board that they are for.
    #[must_use]
    pub fn board(&self) -> Board {
        match self.m_core {
            MProgram::Host(_) => Board::Host,
            MProgram::QemuAn386(_) => Board::QemuAn386,
        }
    }
}
