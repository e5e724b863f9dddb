//! The processes of one machine: the M core, the daemon, the sensor.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use coracle_api::{Client, Reply, Report, Request};
use coracle_test_qemu::{Qemu, SENSOR_SOCKET};

use crate::process::{Process, last_words};
use crate::{Cancel, Error, MProgram, Programs};

/// Name in the run directory of the daemon's socket.
const DAEMON_SOCKET: &str = "coracled.sock";
/// The line with which the M core of the board `host` says that its sockets are there.
const READY_LINE: &str = "ready";
/// How often an M core is started again before the launcher gives up on it.
pub const M_RESTARTS_MAX: u32 = 5;
/// Longest time for a process to come up. Generous, because the machine may be busy with other tests.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for an answer of the daemon that needs no work of a container.
const REPLY_PATIENCE: Duration = Duration::from_secs(60);

/// A board that can be started on a laptop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// The M core is a Linux process.
    Host,
    /// The M core is Cortex-M4 firmware in QEMU.
    QemuAn386,
}

impl Board {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Host, Self::QemuAn386];

    /// The name of its board file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::QemuAn386 => "qemu-an386",
        }
    }
}

impl FromStr for Board {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|board| board.name() == text);
        named.ok_or_else(|| format!("there are the boards {}", Self::ALL.map(Self::name).join(" and ")))
    }
}

/// What paces a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The M core: it gets the next block when it asks for it.
    Virtual,
    /// The trace's own rate.
    Realtime,
}

#[derive(Debug)]
enum MCore {
    Host(Process),
    Emulated(Qemu),
}

/// The processes of one machine and their files. Dropping it kills the processes; the run directory stays.
///
/// The daemon attaches to the M core and does not own it: each can be killed and started again without the other.
#[derive(Debug)]
pub struct Machine {
    programs: Programs,
    run_dir: PathBuf,
    cancel: Cancel,
    m_core: MCore,
    /// How often the M core died without being told to.
    m_deaths: u32,
    daemon: Option<Process>,
    feed: Option<Process>,
}

impl Machine {
    /// Starts the M core, then the daemon, with their files in `run_dir`, which must exist and have a short path: it
    /// holds Unix sockets. Returns when the daemon takes requests.
    ///
    /// # Errors
    /// What could not be started, or did not come up.
    pub fn start(programs: Programs, run_dir: &Path, cancel: Cancel) -> Result<Self, Error> {
        let m_core = start_m_core(&programs.m_core, run_dir, &cancel)?;
        let run_dir = run_dir.to_owned();
        let mut machine = Self { programs, run_dir, cancel, m_core, m_deaths: 0, daemon: None, feed: None };
        machine.start_daemon()?;
        Ok(machine)
    }

    /// The folder with the machine's files.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// The folder with the guests' modules.
    #[must_use]
    pub fn modules(&self) -> &Path {
        &self.programs.modules
    }

    /// What ends the machine's waits.
    #[must_use]
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// A new connection to the daemon.
    ///
    /// # Errors
    /// [`Error::Daemon`].
    pub fn client(&self) -> Result<Client, Error> {
        let mut client = Client::connect(&self.run_dir.join(DAEMON_SOCKET))?;
        client.set_timeout(Some(REPLY_PATIENCE))?;
        Ok(client)
    }

    /// The machine in numbers.
    ///
    /// # Errors
    /// [`Error::Daemon`] and [`Error::WrongReply`].
    pub fn report(&self) -> Result<Report, Error> {
        match self.client()?.call(&Request::Report)? {
            Reply::Report(report) => Ok(report),
            reply => Err(Error::WrongReply { request: "a request for a report".into(), reply: format!("{reply:?}") }),
        }
    }

    /// Starts the daemon, again after [`Machine::kill_daemon`]. Returns when it takes requests.
    ///
    /// # Errors
    /// [`Error::Start`], [`Error::Ended`] or [`Error::TimedOut`].
    pub fn start_daemon(&mut self) -> Result<(), Error> {
        let mut arguments = vec!["--run-dir".into(), self.run_dir.clone().into_os_string()];
        arguments.extend(["--board".into(), self.programs.board().name().into()]);
        if let MProgram::QemuAn386(elf) = &self.programs.m_core {
            arguments.extend(["--firmware".into(), elf.into()]);
        }
        let daemon = Process::start("coracled", &self.programs.daemon, arguments, &self.run_dir)?;
        let daemon = self.daemon.insert(daemon);
        let socket = self.run_dir.join(DAEMON_SOCKET);
        self.cancel.wait("coracled to take requests", START_PATIENCE, || match daemon.ended()? {
            Some(status) => Err(daemon.unexpected_end(status)),
            None => Ok(Client::connect(&socket).ok().map(drop)),
        })
    }

    /// Kills the daemon as nothing can prevent.
    pub fn kill_daemon(&mut self) {
        self.daemon = None;
    }

    /// Kills the M core as a power cut would. The next [`Machine::supervise`] starts it again.
    pub fn kill_m_core(&mut self) {
        match &mut self.m_core {
            MCore::Host(process) => process.kill(),
            // An error means that it has ended already, which is what is wanted.
            MCore::Emulated(qemu) => drop(qemu.kill()),
        }
    }

    /// Looks whether everything runs, and starts an M core again that does not. Returns how it had ended.
    ///
    /// # Errors
    /// [`Error::Ended`] when the daemon has, [`Error::MCoreKeepsDying`] after [`M_RESTARTS_MAX`] restarts, and whatever
    /// prevents a restart.
    pub fn supervise(&mut self) -> Result<Option<String>, Error> {
        self.cancel.check()?;
        if let Some(daemon) = &mut self.daemon
            && let Some(status) = daemon.ended()?
        {
            return Err(daemon.unexpected_end(status));
        }
        let how = match &mut self.m_core {
            MCore::Host(process) => process.ended()?.map(|status| status.to_string()),
            MCore::Emulated(qemu) => (!qemu.is_running()).then(|| "the emulator ended".into()),
        };
        let Some(how) = how else { return Ok(None) };
        self.m_deaths += 1;
        if self.m_deaths > M_RESTARTS_MAX {
            let last_words = last_words(&self.m_core_log());
            return Err(Error::MCoreKeepsDying { deaths: self.m_deaths, last_words });
        }
        self.m_core = start_m_core(&self.programs.m_core, &self.run_dir, &self.cancel)?;
        Ok(Some(how))
    }

    /// Starts to play a trace to the M core's sensor, `block_samples` at a time. A CSV trace has `csv_rate_hz` samples a
    /// second.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub fn feed(&mut self, trace: &Path, pace: Pace, block_samples: u16, csv_rate_hz: u32) -> Result<(), Error> {
        let mut arguments = vec!["--socket".into(), self.run_dir.join(SENSOR_SOCKET).into_os_string()];
        arguments.extend(["--trace".into(), trace.into()]);
        arguments.extend(["--block".into(), block_samples.to_string().into()]);
        arguments.extend(["--rate".into(), csv_rate_hz.to_string().into()]);
        if pace == Pace::Realtime {
            arguments.push("--realtime".into());
        }
        self.feed = Some(Process::start("sensor-feed", &self.programs.sensor_feed, arguments, &self.run_dir)?);
        Ok(())
    }

    /// Whether the M core has taken the whole trace. Also true if there is none.
    ///
    /// # Errors
    /// [`Error::Ended`] if the sensor feed gave up.
    pub fn feed_done(&mut self) -> Result<bool, Error> {
        let Some(feed) = &mut self.feed else { return Ok(true) };
        match feed.ended()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => Err(feed.unexpected_end(status)),
        }
    }

    /// What the M core printed; not its log, which goes through shared memory.
    fn m_core_log(&self) -> String {
        match &self.m_core {
            MCore::Host(process) => process.printed(),
            MCore::Emulated(qemu) => qemu.console(),
        }
    }
}

fn start_m_core(program: &MProgram, run_dir: &Path, cancel: &Cancel) -> Result<MCore, Error> {
    match program {
        MProgram::Host(program) => {
            let arguments = ["--run-dir".as_ref(), run_dir.as_os_str()];
            let mut process = Process::start("m-core", program, arguments, run_dir)?;
            cancel.wait("the M core to be ready", START_PATIENCE, || match process.ended()? {
                Some(status) => Err(process.unexpected_end(status)),
                None => Ok(process.printed().lines().any(|line| line == READY_LINE).then_some(())),
            })?;
            Ok(MCore::Host(process))
        }
        MProgram::QemuAn386(elf) => Ok(MCore::Emulated(Qemu::launch(elf, run_dir)?)),
    }
}
