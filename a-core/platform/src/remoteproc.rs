//! The kernel's control of another core: `remoteproc` in sysfs.
//!
//! It names the firmware and starts, stops, attaches to and detaches from the core. It waits for nothing: the kernel
//! answers `start` and `stop` when they are done, and tells nobody when a core crashes or recovers by itself (the class
//! notifies no poller), so who waits for a state reads it again. It does not talk to the core: that is RPMsg.

use std::fmt::{self, Display, Formatter};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use thiserror::Error;

/// Where Linux shows the remote processors.
pub const REMOTEPROC_CLASS: &str = "/sys/class/remoteproc";

/// What the kernel does with a core now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteProcState {
    /// Stopped.
    Offline,
    /// Suspended; a message wakes it.
    Suspended,
    /// Started by the kernel.
    Running,
    /// Crashed; recovers if recovery is enabled.
    Crashed,
    /// Started by somebody else, and in the kernel's care.
    Attached,
    /// Runs, started by somebody else; `start` attaches.
    Detached,
    /// Its driver is being removed.
    Deleted,
    /// The kernel says that its own record is wrong.
    Invalid,
    /// A state that is not known here.
    Unknown(String),
}

impl RemoteProcState {
    fn from_text(text: &str) -> Self {
        match text {
            "offline" => Self::Offline,
            "suspended" => Self::Suspended,
            "running" => Self::Running,
            "crashed" => Self::Crashed,
            "attached" => Self::Attached,
            "detached" => Self::Detached,
            "deleted" => Self::Deleted,
            "invalid" => Self::Invalid,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

impl Display for RemoteProcState {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offline => "offline",
            Self::Suspended => "suspended",
            Self::Running => "running",
            Self::Crashed => "crashed",
            Self::Attached => "attached",
            Self::Detached => "detached",
            Self::Deleted => "deleted",
            Self::Invalid => "invalid",
            Self::Unknown(text) => text,
        })
    }
}

/// Whether the kernel restarts a core that crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// It does.
    Enabled,
    /// The core stays crashed until [`RemoteProc::recover`].
    Disabled,
}

/// What the kernel keeps of a core that crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coredump {
    /// Nothing.
    Disabled,
    /// A copy of its memory.
    Enabled,
    /// Its memory as it is; recovery waits for the reader.
    Inline,
}

/// Which remote processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteProcSelector<'a> {
    /// `remoteprocN`. The numbers depend on the order in which drivers came up.
    Index(u32),
    /// The name that its driver gave it (`m4`, `imx-rproc`).
    Name(&'a str),
}

impl Display for RemoteProcSelector<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "remoteproc{index}"),
            Self::Name(name) => write!(f, "`{name}`"),
        }
    }
}

/// What went wrong with a remote processor, and where.
#[derive(Debug, Error)]
#[error("cannot {action} at {path}: {problem}")]
pub struct RemoteProcError {
    action: &'static str,
    path: PathBuf,
    problem: RemoteProcProblem,
}

impl RemoteProcError {
    /// What went wrong.
    #[must_use]
    pub fn problem(&self) -> &RemoteProcProblem {
        &self.problem
    }
}

/// What went wrong with a remote processor, and what to do next.
#[derive(Debug, Error)]
pub enum RemoteProcProblem {
    /// There is no remoteproc class.
    #[error("this kernel shows no remote processors; load the driver of the chip (imx_rproc, stm32_rproc)")]
    NoClass,
    /// There is no such processor.
    #[error("there is no remote processor {wanted} (there are: {found}); load its driver, or correct the name")]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// Several processors have that name.
    #[error("several remote processors are called {wanted}: give the number")]
    Ambiguous {
        /// What was asked for.
        wanted: String,
    },
    /// The kernel does not have this control.
    #[error("this kernel does not offer it for this core (recovery and coredump came with Linux 5.9)")]
    Unsupported,
    /// The firmware's name cannot be one.
    #[error("the firmware's name must be a file name relative to the kernel's firmware path, of one line")]
    FirmwareName,
    /// The firmware can be changed only while the core is offline.
    #[error("the core is {state}; stop it first")]
    NotOffline {
        /// Its state.
        state: RemoteProcState,
    },
    /// The core is already started.
    #[error("the core is already started; stop it first")]
    AlreadyStarted,
    /// The core is in no state for that.
    #[error("the kernel refused it in the core's state ({state})")]
    WrongState {
        /// Its state.
        state: RemoteProcState,
    },
    /// The firmware file was not found.
    #[error("the firmware `{firmware}` is not in the kernel's firmware path; put it in /lib/firmware")]
    FirmwareMissing {
        /// Its name.
        firmware: String,
    },
    /// The firmware does not fit the core.
    #[error(
        "the kernel refused the firmware `{firmware}`; it must be an ELF file for this core with its segments and \
         resource table in the core's memory (the kernel's log says which is not)"
    )]
    FirmwareRefused {
        /// Its name.
        firmware: String,
    },
    /// The kernel is busy with the core, or it crashed.
    #[error("the core is busy ({state}); try again when its state has changed")]
    Busy {
        /// Its state.
        state: RemoteProcState,
    },
    /// This process may not.
    #[error("not permitted; run as root, or the driver of this core forbids control from user space")]
    NotPermitted,
    /// The kernel wrote something that is not understood.
    #[error("the kernel said `{0}`, which is not known here")]
    Unexpected(String),
    /// Anything else that the system said.
    #[error("{0}")]
    System(io::Error),
}

/// A remote processor.
#[derive(Debug, Clone)]
pub struct RemoteProc {
    directory: PathBuf,
}

impl RemoteProc {
    /// The processor `which` in the class directory `class` ([`REMOTEPROC_CLASS`]).
    ///
    /// # Errors
    /// [`RemoteProcError`], with the names that there are.
    pub fn find(class: &Path, which: RemoteProcSelector<'_>) -> Result<Self, RemoteProcError> {
        let fail = |problem| RemoteProcError { action: "find a remote processor", path: class.to_owned(), problem };
        let entries = fs::read_dir(class).map_err(|error| {
            fail(match error.kind() {
                io::ErrorKind::NotFound => RemoteProcProblem::NoClass,
                _ => RemoteProcProblem::System(error),
            })
        })?;
        let mut directories: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        directories.sort();
        let (mut matching, mut found) = (Vec::new(), Vec::new());
        for directory in directories {
            let processor = Self { directory };
            // One that vanishes meanwhile is not there.
            let Ok(name) = processor.name() else { continue };
            let number = processor.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let matches = match which {
                RemoteProcSelector::Index(index) => number == format!("remoteproc{index}"),
                RemoteProcSelector::Name(wanted) => name == wanted,
            };
            found.push(format!("{number} `{name}`"));
            if matches {
                matching.push(processor);
            }
        }
        let wanted = which.to_string();
        match (matching.pop(), matching.is_empty()) {
            (Some(one), true) => Ok(one),
            (Some(_), false) => Err(fail(RemoteProcProblem::Ambiguous { wanted })),
            (None, _) => {
                let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
                Err(fail(RemoteProcProblem::NotFound { wanted, found }))
            }
        }
    }

    /// Its directory in sysfs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The name that its driver gave it.
    ///
    /// # Errors
    /// [`RemoteProcError`].
    pub fn name(&self) -> Result<String, RemoteProcError> {
        self.read("name", "read the name")
    }

    /// Its state now.
    ///
    /// # Errors
    /// [`RemoteProcError`].
    pub fn state(&self) -> Result<RemoteProcState, RemoteProcError> {
        Ok(RemoteProcState::from_text(&self.read("state", "read the state")?))
    }

    /// The firmware's name; `unknown` when somebody else started the core.
    ///
    /// # Errors
    /// [`RemoteProcError`].
    pub fn firmware(&self) -> Result<String, RemoteProcError> {
        self.read("firmware", "read the firmware's name")
    }

    /// Names the firmware of the next start: a file in the kernel's firmware path.
    ///
    /// # Errors
    /// [`RemoteProcProblem::NotOffline`] when the core is not stopped, and others.
    pub fn set_firmware(&self, name: &str) -> Result<(), RemoteProcError> {
        const ACTION: &str = "set the firmware";
        // The kernel would take the part before a line end, and load another file than the one that was meant.
        if name.is_empty() || name.starts_with('/') || name.contains(['\n', '\0']) {
            return Err(self.fail("firmware", ACTION, RemoteProcProblem::FirmwareName));
        }
        // The kernel says only that it is busy.
        let state = self.state()?;
        if state != RemoteProcState::Offline {
            return Err(self.fail("firmware", ACTION, RemoteProcProblem::NotOffline { state }));
        }
        self.write("firmware", name, ACTION)
    }

    /// Starts the core; attaches to a detached one. Returns when it runs.
    ///
    /// # Errors
    /// [`RemoteProcError`].
    pub fn start(&self) -> Result<(), RemoteProcError> {
        self.write("state", "start", "start the core")
    }

    /// Stops the core. It keeps running while another user of the kernel's driver holds it: read the state.
    ///
    /// # Errors
    /// [`RemoteProcError`].
    pub fn stop(&self) -> Result<(), RemoteProcError> {
        self.write("state", "stop", "stop the core")
    }

    /// Leaves an attached core to itself.
    ///
    /// # Errors
    /// [`RemoteProcError`].
    pub fn detach(&self) -> Result<(), RemoteProcError> {
        self.write("state", "detach", "detach from the core")
    }

    /// Whether a crashed core is restarted.
    ///
    /// # Errors
    /// [`RemoteProcError`].
    pub fn recovery(&self) -> Result<Recovery, RemoteProcError> {
        const ACTION: &str = "read whether the core recovers";
        match self.read("recovery", ACTION)?.as_str() {
            "enabled" => Ok(Recovery::Enabled),
            "disabled" => Ok(Recovery::Disabled),
            other => Err(self.fail("recovery", ACTION, RemoteProcProblem::Unexpected(other.to_owned()))),
        }
    }

    /// Sets whether a crashed core is restarted. Enabling it also restarts one that is crashed now.
    ///
    /// # Errors
    /// [`RemoteProcError`].
    pub fn set_recovery(&self, recovery: Recovery) -> Result<(), RemoteProcError> {
        let text = match recovery {
            Recovery::Enabled => "enabled",
            Recovery::Disabled => "disabled",
        };
        self.write("recovery", text, "set whether the core recovers")
    }

    /// Restarts a crashed core once. A core that has not crashed is left alone.
    ///
    /// # Errors
    /// [`RemoteProcError`].
    pub fn recover(&self) -> Result<(), RemoteProcError> {
        self.write("recovery", "recover", "recover the core")
    }

    /// What is kept of a crash.
    ///
    /// # Errors
    /// [`RemoteProcError`].
    pub fn coredump(&self) -> Result<Coredump, RemoteProcError> {
        const ACTION: &str = "read the core dump setting";
        match self.read("coredump", ACTION)?.as_str() {
            "disabled" => Ok(Coredump::Disabled),
            // The first kernels that had the setting called it by its earlier name.
            "enabled" | "default" => Ok(Coredump::Enabled),
            "inline" => Ok(Coredump::Inline),
            other => Err(self.fail("coredump", ACTION, RemoteProcProblem::Unexpected(other.to_owned()))),
        }
    }

    /// Sets what is kept of a crash; refused while the core is crashed.
    ///
    /// # Errors
    /// [`RemoteProcError`].
    pub fn set_coredump(&self, coredump: Coredump) -> Result<(), RemoteProcError> {
        let text = match coredump {
            Coredump::Disabled => "disabled",
            Coredump::Enabled => "enabled",
            Coredump::Inline => "inline",
        };
        self.write("coredump", text, "set the core dumps")
    }

    fn fail(&self, attribute: &str, action: &'static str, problem: RemoteProcProblem) -> RemoteProcError {
        RemoteProcError { action, path: self.directory.join(attribute), problem }
    }

    fn read(&self, attribute: &str, action: &'static str) -> Result<String, RemoteProcError> {
        match fs::read_to_string(self.directory.join(attribute)) {
            Ok(text) => Ok(text.trim_end_matches('\n').to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(self.fail(attribute, action, RemoteProcProblem::Unsupported))
            }
            Err(error) => Err(self.fail(attribute, action, RemoteProcProblem::System(error))),
        }
    }

    fn write(&self, attribute: &str, text: &str, action: &'static str) -> Result<(), RemoteProcError> {
        // Two steps, because ENOENT means another thing in each: no such attribute, or no such firmware.
        let mut file = match OpenOptions::new().write(true).truncate(true).open(self.directory.join(attribute)) {
            Ok(file) => file,
            Err(error) => {
                let problem = match error.kind() {
                    io::ErrorKind::NotFound => RemoteProcProblem::Unsupported,
                    io::ErrorKind::PermissionDenied => RemoteProcProblem::NotPermitted,
                    _ => RemoteProcProblem::System(error),
                };
                return Err(self.fail(attribute, action, problem));
            }
        };
        // One write is one command.
        file.write_all(text.as_bytes()).map_err(|error| self.fail(attribute, action, self.refusal(text, error)))
    }

    /// What the kernel's answer to the command `text` means.
    fn refusal(&self, text: &str, error: io::Error) -> RemoteProcProblem {
        let errno = error.raw_os_error().map(Errno::from_raw);
        // Only for the message: what the kernel said stands.
        let state = || self.state().unwrap_or_else(|_| RemoteProcState::Unknown("unknown".to_owned()));
        let firmware = || self.firmware().unwrap_or_else(|_| "unknown".to_owned());
        match (text, errno) {
            (_, Some(Errno::EPERM | Errno::EACCES)) => RemoteProcProblem::NotPermitted,
            ("start", Some(Errno::EBUSY)) => RemoteProcProblem::AlreadyStarted,
            ("start", Some(Errno::ENOENT)) => RemoteProcProblem::FirmwareMissing { firmware: firmware() },
            ("start", Some(Errno::EINVAL | Errno::ENOEXEC)) => {
                RemoteProcProblem::FirmwareRefused { firmware: firmware() }
            }
            (_, Some(Errno::EBUSY)) => RemoteProcProblem::Busy { state: state() },
            (_, Some(Errno::EINVAL)) => RemoteProcProblem::WrongState { state: state() },
            _ => RemoteProcProblem::System(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{self, JoinHandle};
    use std::time::{Duration, Instant};

    use super::*;

    /// Longest wait for the other thread.
    const WAIT_MAX: Duration = Duration::from_secs(20);

    fn processor(class: &Path, index: u32, name: &str, state: &str) -> PathBuf {
        let directory = class.join(format!("remoteproc{index}"));
        fs::create_dir_all(&directory).unwrap();
        for (attribute, text) in [
            ("name", name),
            ("state", state),
            ("firmware", "old.elf"),
            ("recovery", "enabled"),
            ("coredump", "disabled"),
        ] {
            fs::write(directory.join(attribute), format!("{text}\n")).unwrap();
        }
        directory
    }

    /// Plays the kernel: takes each of `steps`' commands from `state` and puts the state that follows.
    fn kernel(directory: &Path, steps: &'static [(&'static str, &'static str)]) -> JoinHandle<()> {
        let file = directory.join("state");
        thread::spawn(move || {
            for (command, state) in steps {
                let until = Instant::now() + WAIT_MAX;
                while fs::read_to_string(&file).unwrap() != *command {
                    assert!(Instant::now() < until, "no `{command}` came");
                    thread::yield_now();
                }
                // Whole at once, as in sysfs.
                let new = file.with_extension("new");
                fs::write(&new, format!("{state}\n")).unwrap();
                fs::rename(new, &file).unwrap();
            }
        })
    }

    fn wait_for(processor: &RemoteProc, state: &RemoteProcState) {
        let until = Instant::now() + WAIT_MAX;
        while processor.state().unwrap() != *state {
            assert!(Instant::now() < until, "the state never became {state}");
            thread::yield_now();
        }
    }

    #[test]
    fn processors_are_found_by_number_and_name() {
        let class = tempfile::tempdir().unwrap();
        processor(class.path(), 0, "m4", "offline");
        let second = processor(class.path(), 1, "imx-rproc", "detached");
        processor(class.path(), 10, "imx-rproc", "offline");
        let find = |which| RemoteProc::find(class.path(), which);
        assert_eq!(find(RemoteProcSelector::Name("m4")).unwrap().name().unwrap(), "m4");
        let found = find(RemoteProcSelector::Index(1)).unwrap();
        assert_eq!((found.directory(), found.state().unwrap()), (&*second, RemoteProcState::Detached));
        assert!(matches!(
            find(RemoteProcSelector::Name("imx-rproc")).unwrap_err().problem(),
            RemoteProcProblem::Ambiguous { .. }
        ));
        let missing = find(RemoteProcSelector::Name("m7")).unwrap_err();
        assert!(missing.to_string().contains("remoteproc0 `m4`, remoteproc1 `imx-rproc`"), "{missing}");
        let nothing = RemoteProc::find(&class.path().join("absent"), RemoteProcSelector::Index(0)).unwrap_err();
        assert!(matches!(nothing.problem(), RemoteProcProblem::NoClass), "{nothing}");
    }

    #[test]
    fn every_state_of_the_kernel_is_known_and_others_are_kept() {
        let class = tempfile::tempdir().unwrap();
        let directory = processor(class.path(), 0, "m4", "offline");
        let m4 = RemoteProc::find(class.path(), RemoteProcSelector::Index(0)).unwrap();
        for text in ["offline", "suspended", "running", "crashed", "attached", "detached", "deleted", "invalid", "new"]
        {
            fs::write(directory.join("state"), format!("{text}\n")).unwrap();
            let state = m4.state().unwrap();
            assert_eq!(state.to_string(), text);
            assert_eq!(matches!(state, RemoteProcState::Unknown(_)), text == "new");
        }
    }

    #[test]
    fn a_core_is_started_stopped_attached_and_detached() {
        let class = tempfile::tempdir().unwrap();
        let directory = processor(class.path(), 0, "m4", "offline");
        let m4 = RemoteProc::find(class.path(), RemoteProcSelector::Name("m4")).unwrap();
        let kernel = kernel(
            &directory,
            &[("start", "running"), ("stop", "offline"), ("start", "attached"), ("detach", "detached")],
        );
        m4.set_firmware("coracle.elf").unwrap();
        assert_eq!(m4.firmware().unwrap(), "coracle.elf");
        m4.start().unwrap();
        wait_for(&m4, &RemoteProcState::Running);
        let refused = m4.set_firmware("other.elf").unwrap_err();
        assert!(
            matches!(refused.problem(), RemoteProcProblem::NotOffline { state: RemoteProcState::Running }),
            "{refused}"
        );
        assert_eq!(m4.firmware().unwrap(), "coracle.elf");
        m4.stop().unwrap();
        wait_for(&m4, &RemoteProcState::Offline);
        m4.start().unwrap();
        wait_for(&m4, &RemoteProcState::Attached);
        m4.detach().unwrap();
        wait_for(&m4, &RemoteProcState::Detached);
        kernel.join().unwrap();
    }

    #[test]
    fn recovery_and_core_dumps_are_set_and_read() {
        let class = tempfile::tempdir().unwrap();
        let directory = processor(class.path(), 0, "m4", "running");
        let m4 = RemoteProc::find(class.path(), RemoteProcSelector::Index(0)).unwrap();
        for recovery in [Recovery::Disabled, Recovery::Enabled] {
            m4.set_recovery(recovery).unwrap();
            assert_eq!(m4.recovery().unwrap(), recovery);
        }
        m4.recover().unwrap();
        assert_eq!(fs::read_to_string(directory.join("recovery")).unwrap(), "recover");
        for coredump in [Coredump::Disabled, Coredump::Enabled, Coredump::Inline] {
            m4.set_coredump(coredump).unwrap();
            assert_eq!(m4.coredump().unwrap(), coredump);
        }
        fs::write(directory.join("coredump"), "sideways\n").unwrap();
        let odd = m4.coredump().unwrap_err();
        assert!(matches!(odd.problem(), RemoteProcProblem::Unexpected(text) if text == "sideways"), "{odd}");
        fs::remove_file(directory.join("recovery")).unwrap();
        let old = m4.set_recovery(Recovery::Enabled).unwrap_err();
        assert!(matches!(old.problem(), RemoteProcProblem::Unsupported), "{old}");
        assert!(!directory.join("recovery").exists(), "sysfs files are not made by writing");
    }

    #[test]
    fn names_that_are_no_firmware_are_refused() {
        let class = tempfile::tempdir().unwrap();
        processor(class.path(), 0, "m4", "offline");
        let m4 = RemoteProc::find(class.path(), RemoteProcSelector::Index(0)).unwrap();
        for name in ["", "/lib/firmware/a.elf", "a\nb", "a\0b"] {
            let error = m4.set_firmware(name).unwrap_err();
            assert!(matches!(error.problem(), RemoteProcProblem::FirmwareName), "{name:?}: {error}");
        }
        assert_eq!(m4.firmware().unwrap(), "old.elf");
    }

    #[test]
    fn every_refusal_of_the_kernel_says_what_to_do() {
        let class = tempfile::tempdir().unwrap();
        processor(class.path(), 0, "m4", "crashed");
        let m4 = RemoteProc::find(class.path(), RemoteProcSelector::Index(0)).unwrap();
        let cases = [
            ("start", Errno::EBUSY, "already started"),
            ("start", Errno::ENOENT, "`old.elf` is not in the kernel's firmware path"),
            ("start", Errno::EINVAL, "refused the firmware `old.elf`"),
            ("start", Errno::EPERM, "run as root"),
            ("stop", Errno::EINVAL, "refused it in the core's state (crashed)"),
            ("detach", Errno::EACCES, "run as root"),
            ("inline", Errno::EBUSY, "busy (crashed)"),
            ("stop", Errno::EIO, "Input/output error"),
        ];
        for (command, errno, says) in cases {
            let problem = m4.refusal(command, errno.into());
            let error = m4.fail("state", "do it", problem).to_string();
            assert!(error.contains(says) && error.contains("remoteproc0/state"), "{command} {errno}: {error}");
        }
    }
}
