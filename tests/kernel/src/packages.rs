//! The Debian kernel: fetched once, kept outside the clone.
//!
//! armhf is not an architecture of this system and does not become one: packages come through an apt configuration in a
//! folder of its own, with its own sources, lists and state, and are unpacked, not installed. The system's apt only lends
//! its programs, its keyring and how it reaches its servers.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// Environment variable that names the folder for downloads that can be made again.
pub const CACHE_VARIABLE: &str = "CORACLE_CACHE";
/// Modules that the guest loads, in this order: each needs only what comes before it or is built in.
pub const MODULES: [&str; 7] = [
    "drivers/rpmsg/rpmsg_core.ko",
    "drivers/rpmsg/rpmsg_ns.ko",
    "drivers/rpmsg/rpmsg_char.ko",
    "drivers/rpmsg/rpmsg_ctrl.ko",
    "drivers/rpmsg/virtio_rpmsg_bus.ko",
    "drivers/mailbox/stm32-ipcc.ko",
    "drivers/remoteproc/stm32_rproc.ko",
];

/// The package that depends on the newest kernel.
const META_PACKAGE: &str = "linux-image-armmp";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const SOURCES: &str = "\
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm
Components: main
Architectures: armhf
Signed-By: ";
/// Folder in the cache.
const FOLDER: &str = "kernel-armhf";
/// In it: the name of the version to use.
const CURRENT: &str = "current";
/// Longest silence of a package server, in seconds.
const SERVER_TIMEOUT_S: u32 = 20;

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// A program or file of Debian is missing.
    #[error("{0} is missing; fetching the Debian kernel works on Debian and its like")]
    NotDebian(&'static str),
    /// There is no place for the cache.
    #[error("no folder for downloads, because this user has no home; set {CACHE_VARIABLE}")]
    NoCache,
    /// A command failed.
    #[error("`{command}` failed: {said}")]
    Command {
        /// The command.
        command: String,
        /// What it said.
        said: String,
    },
    /// A file could not be made, moved or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The package is not what it was.
    #[error("{package}: {what}")]
    Package {
        /// The package.
        package: String,
        /// What is wrong with it.
        what: String,
    },
}

/// A kernel in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// The package and its version.
    pub version: String,
    /// The image to boot.
    pub image: PathBuf,
    /// [`MODULES`], in that order.
    pub modules: Vec<PathBuf>,
}

/// The kernel, from the cache or else from the package server.
///
/// # Errors
/// [`PackagesError`].
pub fn kernel() -> Result<Kernel, PackagesError> {
    let folder = cache_folder()?.join(FOLDER);
    if let Some(kernel) = cached(&folder) {
        return Ok(kernel);
    }
    fetch(&folder)?;
    cached(&folder).ok_or_else(|| PackagesError::Package {
        package: META_PACKAGE.into(),
        what: format!("what was put in {} is not there any more", folder.display()),
    })
}

fn cache_folder() -> Result<PathBuf, PackagesError> {
    let given = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    given(CACHE_VARIABLE)
        .or_else(|| given("XDG_CACHE_HOME").map(|cache| cache.join("coracle")))
        // Without HOME, as in some CI runs: what the system's list of users says.
        .or_else(|| env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".cache/coracle")))
        .ok_or(PackagesError::NoCache)
}

/// The kernel that [`fetch`] put in place; it does so at one stroke, so a half-made one is never found.
fn cached(folder: &Path) -> Option<Kernel> {
    let version = fs::read_to_string(folder.join(CURRENT)).ok()?;
    let place = folder.join(&version);
    let modules = MODULES.iter().map(|module| place.join(file_name(module))).collect::<Vec<_>>();
    let image = place.join("vmlinuz");
    let whole = image.is_file() && modules.iter().all(|module| module.is_file());
    whole.then_some(Kernel { version, image, modules })
}

fn fetch(folder: &Path) -> Result<(), PackagesError> {
    if !Path::new(KEYRING).is_file() {
        return Err(PackagesError::NotDebian(KEYRING));
    }
    fs::create_dir_all(folder).map_err(|source| PackagesError::File { path: folder.into(), source })?;
    // Of its own, so that two that fetch at the same time do not meet.
    let work = tempfile::Builder::new().prefix("fetch-").tempdir_in(folder);
    let work = work.map_err(|source| PackagesError::File { path: folder.into(), source })?;
    let apt = Apt::new(work.path())?;
    eprintln!("fetching the Debian armhf kernel");
    apt.run("apt-get", &["update", "--error-on=any"])?;
    let depends = apt.run("apt-cache", &["depends", META_PACKAGE])?;
    let package = kernel_package(&depends).ok_or_else(|| PackagesError::Package {
        package: META_PACKAGE.into(),
        what: format!("depends on no kernel: {depends}"),
    })?;
    apt.run("apt-get", &["download", package])?;
    let wrong = |what: String| PackagesError::Package { package: package.into(), what };
    let file = entries(work.path())?.into_iter().find(|path| path.extension() == Some(OsStr::new("deb")));
    let file = file.ok_or_else(|| wrong("apt-get downloaded no file".into()))?;
    let version = run(Command::new("dpkg-deb").arg("--field").arg(&file).arg("Version"))?;
    let unpacked = work.path().join("unpacked");
    run(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(&unpacked))?;

    let ready = work.path().join("ready");
    let moved = |from: PathBuf, name: &str| {
        fs::rename(&from, ready.join(name)).map_err(|source| PackagesError::File { path: from, source })
    };
    fs::create_dir(&ready).map_err(|source| PackagesError::File { path: ready.clone(), source })?;
    let release = package.trim_start_matches("linux-image-");
    moved(unpacked.join(format!("boot/vmlinuz-{release}")), "vmlinuz")?;
    for module in MODULES {
        moved(unpacked.join(format!("lib/modules/{release}/kernel/{module}")), file_name(module))?;
    }
    let name = format!("{package}_{}", version.trim());
    match fs::rename(&ready, folder.join(&name)) {
        // Not empty: somebody else was faster, with the same.
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
            return Err(PackagesError::File { path: folder.join(name), source: error });
        }
        _ => {}
    }
    let pointer = work.path().join(CURRENT);
    fs::write(&pointer, name)
        .and_then(|()| fs::rename(&pointer, folder.join(CURRENT)))
        .map_err(|source| PackagesError::File { path: pointer, source })
}

/// The kernel package in what `apt-cache depends` says of the package for the newest one.
fn kernel_package(depends: &str) -> Option<&str> {
    let packages = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    packages.into_iter().find(|package| package.starts_with("linux-image-"))
}

/// An apt that leaves the system's alone.
struct Apt<'a> {
    root: &'a Path,
    configuration: PathBuf,
}

impl<'a> Apt<'a> {
    fn new(root: &'a Path) -> Result<Self, PackagesError> {
        let apt = Self { root, configuration: root.join("apt.conf") };
        let file = |path: PathBuf, text: String| {
            let parent = path.parent().unwrap_or(root);
            let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
            written.map_err(|source| PackagesError::File { path: path.clone(), source })
        };
        for folder in ["etc/apt.conf.d", "etc/preferences.d", "lists/partial", "cache/archives/partial", "state"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(|source| PackagesError::File { path: folder, source })?;
        }
        // How this system reaches its servers: proxies, limits, checks of dates.
        let system = run(Command::new("apt-config").arg("dump"))?;
        let system: String =
            system.lines().filter(|line| line.starts_with("Acquire::")).flat_map(|line| [line, "\n"]).collect();
        let here = root.display();
        let settings = format!(
            "Dir \"{here}\";\nDir::Etc \"{here}/etc\";\nDir::State \"{here}/state\";\n\
             Dir::State::Lists \"{here}/lists\";\nDir::State::status \"{here}/status\";\nDir::Cache \"{here}/cache\";\n\
             APT::Architecture \"armhf\";\nAPT::Architectures {{ \"armhf\"; }};\nAPT::Sandbox::User \"\";\n\
             Acquire::Languages \"none\";\nAcquire::Retries \"1\";\nAcquire::http::Timeout \"{SERVER_TIMEOUT_S}\";\n"
        );
        file(apt.configuration.clone(), system + &settings)?;
        file(root.join("etc/sources.list.d/debian.sources"), format!("{SOURCES}{KEYRING}\n"))?;
        file(root.join("status"), String::new())?;
        Ok(apt)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, PackagesError> {
        let mut command = Command::new(program);
        run(command.args(arguments).current_dir(self.root).env("APT_CONFIG", &self.configuration))
    }
}

/// Runs a command and gives what it prints.
fn run(command: &mut Command) -> Result<String, PackagesError> {
    let shown = || {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    };
    let shown = shown();
    let failed = |said: String| PackagesError::Command { command: shown.clone(), said };
    let output = command.env("LC_ALL", "C").stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, PackagesError> {
    let read = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    read.map_err(|source| PackagesError::File { path: folder.into(), source })
}

/// The last part of a path of [`MODULES`].
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_package_is_found_among_the_dependencies() {
        let depends = "linux-image-armmp\n  Depends: linux-image-6.1.0-50-armmp\n  Suggests: foo\n";
        assert_eq!(kernel_package(depends), Some("linux-image-6.1.0-50-armmp"));
        assert_eq!(kernel_package("linux-image-armmp\n"), None);
    }

    #[test]
    fn a_cache_without_one_of_its_files_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(cached(folder.path()), None);
        let place = folder.path().join("k_1");
        fs::create_dir(&place).expect("new");
        fs::write(folder.path().join(CURRENT), "k_1").expect("written");
        for name in MODULES.map(file_name).into_iter().chain(["vmlinuz"]) {
            assert_eq!(cached(folder.path()), None);
            fs::write(place.join(name), "").expect("written");
        }
        assert_eq!(cached(folder.path()).expect("whole").version, "k_1");
    }
}
