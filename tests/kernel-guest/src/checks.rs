//! The checks, each by its name.

use std::ffi::c_long;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use coracle_kernel_guest::{BROKEN_FIRMWARE, ECHO_FIRMWARE, SUPERVISOR_FIRMWARE};
use coracle_platform::{
    Coredump, EndpointInfo, REMOTEPROC_CLASS, RPMSG_ADDRESS_ANY, Recovery, RemoteProc, RemoteProcError,
    RemoteProcProblem, RemoteProcSelector, RemoteProcState, RpmsgChannel, RpmsgControl, RpmsgControlDevice,
    RpmsgEndpoint, RpmsgError, RpmsgPaths, RpmsgProblem,
};
use coracle_rpmsg::PAYLOAD_BYTES_MAX;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{UsageWho, getrusage};

use crate::supervisor::Supervisor;
use crate::system;

/// Longest time for anything to happen. Generous, because the emulators share a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks at a state.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// Where debugfs shows the first core's trace buffer.
const TRACE: &str = "/sys/kernel/debug/remoteproc/remoteproc0/trace0";
/// The name that the device tree gives the core.
const CORE: &str = "m-core";
/// A channel that the kernel binds by itself, and M's address of it.
const RAW_CHANNEL: &str = "rpmsg-raw";
const RAW_ADDRESS: u32 = 0x1E;
/// An endpoint of M that it does not announce.
const SILENT_ADDRESS: u32 = 0x1F;
/// The endpoint at which the echo firmware takes commands: `+NAME` and `-NAME` announce a channel and its end.
const COMMAND_ADDRESS: u32 = 0x20;
/// M's address of the channel that it announces on command.
const COMMANDED_ADDRESS: u32 = 0x21;
/// Endpoints of our own: name and address.
const OWN_ENDPOINTS: [(&str, u32); 3] =
    [("coracle-one", 0x77), ("coracle-two", 0x78), ("coracle-any", RPMSG_ADDRESS_ANY)];
/// Channels of our own: name and address. The kernel has no driver for the first.
const OWN_CHANNELS: [(&str, u32); 2] = [("coracle-own", 0x300), (RAW_CHANNEL, 0x301)];
/// Messages in the flood: many times the ring's 16 buffers.
const FLOOD_MESSAGES: u16 = 400;
/// Writes in it that wait for a buffer, at least.
const FLOOD_WAITS: c_long = 3;
/// Longest wait for all buffers to be taken, in messages.
const FLOOD_MESSAGES_MAX: u16 = 40_000;
/// After about 15 seconds a waiting writer looks for a buffer by itself; before, only when M tells it to.
const KERNEL_WAIT: Duration = Duration::from_secs(14);
const CYCLES: usize = 3;

/// What the checks build up, one after the other.
#[derive(Default)]
pub(crate) struct Session {
    core: Option<RemoteProc>,
    paths: RpmsgPaths,
    raw: Option<RpmsgEndpoint>,
    stale: Option<RpmsgEndpoint>,
    supervisor: Option<Supervisor>,
}

impl Session {
    /// Does one check and says what it found.
    pub(crate) fn check(&mut self, name: &str) -> Result<String> {
        match name {
            "modules" => Ok(format!("{} loaded", system::load_modules()?)),
            "offline" => self.offline(),
            "settings" => self.settings(),
            "bad-firmware" => self.bad_firmware(),
            "start" => self.start(ECHO_FIRMWARE),
            "running" => self.running(),
            "trace" => wait_for_trace("link up"),
            "announced" => self.announced(),
            "open" => self.open(),
            "echo" => self.echo(),
            "too-long" => self.too_long(),
            "busy" => self.busy(),
            "endpoints" => self.endpoints(),
            "channel-of-m" => self.channel_of_m(),
            "channel-of-ours" => self.channel_of_ours(),
            "flood" => self.flood(),
            "stop" => self.stop(),
            "remote-gone" => self.remote_gone(),
            "restart" => self.start(ECHO_FIRMWARE),
            "stale" => self.stale(),
            "fresh" => self.fresh(),
            "cycles" => self.cycles(),
            "session" => self.session(),
            "session-of-a-restarted-m" => self.session_of_a_restarted_m(),
            "session-of-a-restarted-a" => self.session_of_a_restarted_a(),
            other => bail!("there is no check `{other}`"),
        }
    }

    fn core(&self) -> Result<&RemoteProc> {
        self.core.as_ref().context("there is no core")
    }

    fn raw(&self) -> Result<&RpmsgEndpoint> {
        self.raw.as_ref().context("the endpoint is not open")
    }

    fn offline(&mut self) -> Result<String> {
        let class = Path::new(REMOTEPROC_CLASS);
        let core = wait_for("the core", || Ok(RemoteProc::find(class, RemoteProcSelector::Name(CORE)).ok()))?;
        is_in(&core, &RemoteProcState::Offline)?;
        let detail = core.directory().display().to_string();
        self.core = Some(core);
        Ok(detail)
    }

    fn settings(&self) -> Result<String> {
        let core = self.core()?;
        for recovery in [Recovery::Disabled, Recovery::Enabled] {
            core.set_recovery(recovery)?;
            ensure!(core.recovery()? == recovery, "recovery is {:?}, not {recovery:?}", core.recovery()?);
        }
        for coredump in [Coredump::Inline, Coredump::Enabled, Coredump::Disabled] {
            core.set_coredump(coredump)?;
            ensure!(core.coredump()? == coredump, "coredump is {:?}, not {coredump:?}", core.coredump()?);
        }
        Ok("recovery and coredump change".into())
    }

    fn bad_firmware(&self) -> Result<String> {
        let core = self.core()?;
        core.set_firmware("coracle-none.elf")?;
        refused(core.start(), |problem| matches!(problem, RemoteProcProblem::FirmwareMissing { .. }))?;
        core.set_firmware(BROKEN_FIRMWARE)?;
        refused(core.start(), |problem| matches!(problem, RemoteProcProblem::FirmwareRefused { .. }))?;
        is_in(core, &RemoteProcState::Offline)?;
        Ok("a missing and a broken one are refused".into())
    }

    fn start(&self, firmware: &str) -> Result<String> {
        let core = self.core()?;
        core.set_firmware(firmware)?;
        core.start()?;
        is_in(core, &RemoteProcState::Running)?;
        Ok(core.firmware()?)
    }

    fn running(&self) -> Result<String> {
        let core = self.core()?;
        // Kernels since 5.17 count starts, earlier ones refuse the second.
        match core.start() {
            Ok(()) => {
                core.stop()?;
                is_in(core, &RemoteProcState::Running).context("one stop of two starts")?;
            }
            refusal => refused(refusal, |problem| matches!(problem, RemoteProcProblem::AlreadyStarted))?,
        }
        refused(core.set_firmware(ECHO_FIRMWARE), |problem| matches!(problem, RemoteProcProblem::NotOffline { .. }))?;
        refused(core.detach(), |problem| matches!(problem, RemoteProcProblem::WrongState { .. }))?;
        is_in(core, &RemoteProcState::Running)?;
        Ok("one of two stops, another firmware and a detach leave it running".into())
    }

    fn announced(&self) -> Result<String> {
        let EndpointInfo { name, src, dst } = self.raw_channel()?.info;
        Ok(format!("{name} from {src:#x} to {dst:#x}"))
    }

    fn raw_channel(&self) -> Result<RpmsgChannel> {
        wait_for("the raw channel", || self.channel(|info| info.name == RAW_CHANNEL && info.dst == RAW_ADDRESS))
    }

    fn channel(&self, is_wanted: impl Fn(&EndpointInfo) -> bool) -> Result<Option<RpmsgChannel>> {
        match self.paths.channels() {
            Ok(channels) => Ok(channels.into_iter().find(|channel| is_wanted(&channel.info))),
            // Without a core that runs there may be no bus.
            Err(error) if error.problem() == RpmsgProblem::NoBus => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn raw_file(&self) -> Result<PathBuf> {
        self.file_of(&self.raw_channel()?)
    }

    /// The file of the endpoint that the kernel itself made for a channel.
    fn file_of(&self, channel: &RpmsgChannel) -> Result<PathBuf> {
        let class = channel.directory.join("rpmsg");
        let name = wait_for("the channel's endpoint", || Ok(first_entry(&class)))?;
        let file = self.paths.dev.join(name);
        wait_for("the channel's file", || Ok(file.exists().then(|| file.clone())))
    }

    fn open(&mut self) -> Result<String> {
        let file = self.raw_file()?;
        // The kernel made it with the channel, and only the channel's end ends it.
        has_problem(RpmsgEndpoint::open(&file)?.destroy(), RpmsgProblem::Refused)?;
        self.raw = Some(RpmsgEndpoint::open(&file)?);
        Ok(format!("{}, which cannot be destroyed", file.display()))
    }

    fn echo(&self) -> Result<String> {
        let start = Instant::now();
        for len in 1..=PAYLOAD_BYTES_MAX {
            // No two have the same bytes at the same place, and no byte of one equals its neighbour.
            let message: Vec<u8> = (0..len).map(|at| (at * 7 + len * 13) as u8).collect();
            exchange(self.raw()?, &message)?;
        }
        Ok(format!("{PAYLOAD_BYTES_MAX} sizes in {} ms", start.elapsed().as_millis()))
    }

    fn too_long(&self) -> Result<String> {
        // Past the endpoint type, which would refuse it without asking the kernel.
        let mut file = duplicate(self.raw()?)?;
        let len = PAYLOAD_BYTES_MAX + 1;
        let error = file.write(&vec![0; len]).err().with_context(|| format!("{len} bytes were taken"))?;
        ensure!(errno(&error) == Some(Errno::EMSGSIZE), "{error}");
        exchange(self.raw()?, b"still there")?;
        Ok(format!("{len} bytes: {error}"))
    }

    fn busy(&self) -> Result<String> {
        let file = self.raw_file()?;
        has_problem(RpmsgEndpoint::open(&file), RpmsgProblem::Busy)?;
        Ok("a second open is refused".into())
    }

    fn control(&self) -> Result<RpmsgControlDevice> {
        let channel = self.raw_channel()?;
        wait_for("the control device", || match self.paths.control_of(&channel) {
            Ok(control) => Ok(control.file.exists().then_some(control)),
            Err(error) if error.problem() == RpmsgProblem::NoControl => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    /// Makes an endpoint and gives its file.
    fn create_endpoint(&self, name: &str, src: u32, dst: u32) -> Result<PathBuf> {
        let control = self.control()?;
        let info = EndpointInfo { name: name.into(), src, dst };
        RpmsgControl::open(&control.file)?.create_endpoint(&info)?;
        wait_for("the endpoint's file", || Ok(self.paths.endpoint_of(&control, &info)?.filter(|file| file.exists())))
    }

    fn endpoints(&self) -> Result<String> {
        let mut open = Vec::new();
        for (name, src) in OWN_ENDPOINTS {
            let file = self.create_endpoint(name, src, SILENT_ADDRESS)?;
            open.push((RpmsgEndpoint::open(&file)?, file, name));
        }
        // The address of the first is taken.
        let (name, src) = OWN_ENDPOINTS.first().copied().context("there are some")?;
        let twin = self.create_endpoint(&format!("{name}-twin"), src, SILENT_ADDRESS)?;
        has_problem(RpmsgEndpoint::open(&twin), RpmsgProblem::Refused)?;
        // Each gets what it sent itself, whatever order the answers come in.
        for (endpoint, _, name) in &open {
            endpoint.write(name.as_bytes())?;
        }
        for (endpoint, _, name) in open.iter().rev() {
            let answer = receive(endpoint)?;
            ensure!(answer == name.as_bytes(), "{name} got {:?}", String::from_utf8_lossy(&answer));
        }
        for (endpoint, file, _) in open {
            endpoint.destroy()?;
            wait_for("the file to go", || Ok((!file.exists()).then_some(())))?;
        }
        // Address and name are free again.
        let endpoint = RpmsgEndpoint::open(&self.create_endpoint(name, src, SILENT_ADDRESS)?)?;
        exchange(&endpoint, b"again")?;
        endpoint.destroy()?;
        Ok(format!("{} at a time, a taken address is refused", OWN_ENDPOINTS.len()))
    }

    fn channel_of_m(&self) -> Result<String> {
        let commands =
            RpmsgEndpoint::open(&self.create_endpoint("coracle-commands", RPMSG_ADDRESS_ANY, COMMAND_ADDRESS)?)?;
        // The longest name that there is, and one that the kernel binds its character device to.
        for name in ["abcdefghijklmnopqrstuvwxyz01234", RAW_CHANNEL] {
            let there = || self.channel(|info| info.name == name && info.dst == COMMANDED_ADDRESS);
            exchange(&commands, format!("+{name}").as_bytes())?;
            let channel = wait_for("the channel", there)?;
            if name == RAW_CHANNEL {
                exchange(&RpmsgEndpoint::open(&self.file_of(&channel)?)?, b"second channel")?;
            }
            exchange(&commands, format!("-{name}").as_bytes())?;
            wait_for("the channel to go", || Ok(there()?.is_none().then_some(())))?;
        }
        commands.destroy()?;
        exchange(self.raw()?, b"still there")?;
        Ok("M's announcements of a channel and its end are followed".into())
    }

    fn channel_of_ours(&self) -> Result<String> {
        let control = self.control()?;
        for (name, src) in OWN_CHANNELS {
            let info = EndpointInfo { name: name.into(), src, dst: RPMSG_ADDRESS_ANY };
            let there = || self.channel(|found| found.name == name && found.src == src);
            RpmsgControl::open(&control.file)?.create_device(&info)?;
            wait_for("the channel", there)?;
            if name == RAW_CHANNEL {
                // The kernel announces a channel that it has a driver for.
                wait_for_trace(&format!("channel at {src:#x}"))?;
            }
            RpmsgControl::open(&control.file)?.release_device(&info)?;
            wait_for("the channel to go", || Ok(there()?.is_none().then_some(())))?;
        }
        exchange(self.raw()?, b"still there")?;
        Ok("came and went, and M heard of it".into())
    }

    fn flood(&self) -> Result<String> {
        let endpoint = self.raw()?;
        let message = |number: u16| {
            let mut bytes = vec![0xA5; PAYLOAD_BYTES_MAX];
            bytes.iter_mut().zip(number.to_le_bytes()).for_each(|(byte, part)| *byte = part);
            bytes
        };
        let mut sent = 0_u16;
        let mut full = 0;
        // Without waiting, until the kernel has no buffer left.
        while full == 0 && sent < FLOOD_MESSAGES_MAX {
            match endpoint.write(&message(sent)) {
                Ok(()) => sent += 1,
                Err(error) if error.problem() == RpmsgProblem::NoBuffer => full += 1,
                Err(error) => return Err(error.into()),
            }
        }
        ensure!(full > 0, "the kernel never ran out of buffers");
        // Now a write that finds none waits until M says that it has returned some.
        let mut blocking = duplicate(endpoint)?;
        set_blocking(&blocking, true)?;
        let waits_before = waits()?;
        while sent < FLOOD_MESSAGES || waits()? - waits_before < FLOOD_WAITS {
            ensure!(sent < FLOOD_MESSAGES_MAX, "no write had to wait");
            let start = Instant::now();
            let taken = blocking.write(&message(sent)).context("a write that waits for a buffer")?;
            ensure!(start.elapsed() < KERNEL_WAIT, "M did not say that it returned buffers");
            ensure!(taken == PAYLOAD_BYTES_MAX, "{taken} bytes were taken");
            sent += 1;
        }
        set_blocking(&blocking, false)?;
        for number in 0..sent {
            let answer = receive(endpoint).with_context(|| format!("answer {number} of {sent}"))?;
            ensure!(answer == message(number), "answer {number} is {:02x?}...", answer.get(..8));
        }
        Ok(format!("{sent} messages"))
    }

    fn stop(&mut self) -> Result<String> {
        let core = self.core()?;
        core.stop()?;
        is_in(core, &RemoteProcState::Offline)?;
        self.stale = self.raw.take();
        wait_for("the raw channel to go", || {
            Ok(self.channel(|info| info.name == RAW_CHANNEL)?.is_none().then_some(()))
        })?;
        Ok("the channel went".into())
    }

    fn stale_endpoint(&self) -> Result<&RpmsgEndpoint> {
        self.stale.as_ref().context("there is no endpoint of the core's earlier life")
    }

    fn remote_gone(&self) -> Result<String> {
        let stale = self.stale_endpoint()?;
        let mut wait = [PollFd::new(stale.as_fd(), PollFlags::POLLIN)];
        poll(&mut wait, milliseconds(PATIENCE)).context("poll")?;
        let events = wait.first().and_then(PollFd::revents).context("poll says nothing known")?;
        ensure!(events.contains(PollFlags::POLLERR), "poll says {events:?}");
        ensure!(stale.is_remote_gone()?, "the endpoint does not see it");
        has_problem(stale.read(&mut [0; PAYLOAD_BYTES_MAX]), RpmsgProblem::RemoteGone)?;
        has_problem(stale.write(b"x"), RpmsgProblem::RemoteGone)?;
        let raw = duplicate(stale)?.write(b"x").err().context("the kernel took a message")?;
        ensure!(errno(&raw) == Some(Errno::EPIPE), "the kernel says {raw}");
        Ok(format!("poll: {events:?}, write: {raw}"))
    }

    fn stale(&self) -> Result<String> {
        // Newer kernels also refuse to open its device again (ENETRESET). That is not tried: 6.1 would let it be opened and
        // then use memory that it has freed.
        let stale = self.stale_endpoint()?;
        ensure!(stale.is_remote_gone()?, "it lives again");
        has_problem(stale.read(&mut [0; PAYLOAD_BYTES_MAX]), RpmsgProblem::RemoteGone)?;
        has_problem(stale.write(b"x"), RpmsgProblem::RemoteGone)?;
        Ok("an endpoint of the earlier life stays dead".into())
    }

    fn fresh(&mut self) -> Result<String> {
        self.stale = None;
        let endpoint = RpmsgEndpoint::open(&self.raw_file()?)?;
        for len in [1, PAYLOAD_BYTES_MAX] {
            exchange(&endpoint, &vec![0x5A; len])?;
        }
        Ok("echoes after the restart".into())
    }

    fn cycles(&self) -> Result<String> {
        for cycle in 0..CYCLES {
            let core = self.core()?;
            core.stop()?;
            self.start(ECHO_FIRMWARE)?;
            let endpoint = RpmsgEndpoint::open(&self.raw_file()?)?;
            exchange(&endpoint, format!("cycle {cycle}").as_bytes())?;
        }
        self.core()?.stop()?;
        Ok(format!("{CYCLES} times stopped, started, echoed"))
    }

    fn session(&mut self) -> Result<String> {
        let supervisor = self.supervisor.insert(Supervisor::new()?);
        let core = self.core.as_ref().context("there is no core")?;
        core.set_firmware(SUPERVISOR_FIRMWARE)?;
        let before_us = supervisor.now_us().cast_signed();
        core.start()?;
        let session = supervisor.open()?;
        let up_us = supervisor.now_us().cast_signed();
        let (began_us, error_us) = supervisor.ask()?;
        let (earliest_us, latest_us) =
            (began_us.saturating_sub_unsigned(error_us), began_us.saturating_add_unsigned(error_us));
        ensure!(
            latest_us >= before_us && earliest_us <= up_us,
            "M is said to have begun at {began_us} us, give or take {error_us} us, but began from {before_us} to {up_us}"
        );
        Ok(format!("{session:?}, M began at {began_us} us of A's clock, give or take {error_us} us"))
    }

    fn session_of_a_restarted_m(&mut self) -> Result<String> {
        let core = self.core.as_ref().context("there is no core")?;
        let supervisor = self.supervisor.as_mut().context("there is no supervisor")?;
        core.stop()?;
        let why = supervisor.see_loss()?;
        core.start()?;
        let session = supervisor.open()?;
        supervisor.ask()?;
        Ok(format!("{session:?} after: {why}"))
    }

    fn session_of_a_restarted_a(&mut self) -> Result<String> {
        // Its endpoint stays behind, as if the process had been killed.
        self.supervisor = None;
        let supervisor = self.supervisor.insert(Supervisor::new()?);
        let session = supervisor.open()?;
        supervisor.ask()?;
        self.core()?.stop()?;
        Ok(format!("{session:?}"))
    }
}

/// What the M core wrote to its trace buffer.
pub(crate) fn trace() -> Result<String> {
    let bytes = fs::read(TRACE).with_context(|| format!("cannot read {TRACE}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Waits until the trace holds `text`, and gives the line.
fn wait_for_trace(text: &str) -> Result<String> {
    let trace = wait_for("the M core's trace", || {
        let trace = trace()?;
        Ok((trace.ends_with('\n') && trace.contains(text)).then_some(trace))
    })?;
    Ok(trace.lines().find(|line| line.contains(text)).unwrap_or_default().to_owned())
}

/// Sends a message and waits for the same one.
fn exchange(endpoint: &RpmsgEndpoint, message: &[u8]) -> Result<()> {
    endpoint.write(message)?;
    let answer = receive(endpoint).with_context(|| format!("answer to {} bytes", message.len()))?;
    ensure!(answer == message, "{} bytes came back as {} others", message.len(), answer.len());
    Ok(())
}

/// Waits for a message.
fn receive(endpoint: &RpmsgEndpoint) -> Result<Vec<u8>> {
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(len) = endpoint.read(&mut payload)? {
            return Ok(payload.get(..len).context("more bytes than there is room for")?.to_vec());
        }
        let left = end.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "no message within {} s", PATIENCE.as_secs());
        poll(&mut [PollFd::new(endpoint.as_fd(), PollFlags::POLLIN)], milliseconds(left)).context("poll")?;
    }
}

fn milliseconds(time: Duration) -> PollTimeout {
    PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)
}

/// The same open file, without the endpoint type's own checks.
fn duplicate(endpoint: &RpmsgEndpoint) -> Result<File> {
    Ok(File::from(endpoint.as_fd().try_clone_to_owned()?))
}

fn set_blocking(file: &File, blocking: bool) -> Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = if blocking { OFlag::empty() } else { OFlag::O_NONBLOCK };
    fcntl(file, FcntlArg::F_SETFL(flags)).context("cannot change how the file waits")?;
    Ok(())
}

/// How often this program had to wait for something.
fn waits() -> Result<c_long> {
    Ok(getrusage(UsageWho::RUSAGE_SELF).context("getrusage")?.voluntary_context_switches())
}

fn errno(error: &std::io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw)
}

fn is_in(core: &RemoteProc, wanted: &RemoteProcState) -> Result<()> {
    let state = core.state()?;
    ensure!(state == *wanted, "the core is {state}, not {wanted}");
    Ok(())
}

/// Whether the kernel refused something for the right reason.
fn refused(result: Result<(), RemoteProcError>, is_right: impl Fn(&RemoteProcProblem) -> bool) -> Result<()> {
    match result {
        Ok(()) => bail!("the kernel took it"),
        Err(error) if is_right(error.problem()) => Ok(()),
        Err(error) => Err(error).context("the wrong refusal"),
    }
}

/// As [`refused`], for RPMsg devices.
fn has_problem<T>(result: Result<T, RpmsgError>, wanted: RpmsgProblem) -> Result<()> {
    match result {
        Ok(_) => bail!("it worked, but should say: {wanted}"),
        Err(error) if error.problem() == wanted => Ok(()),
        Err(error) => Err(error).with_context(|| format!("it should say: {wanted}")),
    }
}

/// The first name in a folder.
fn first_entry(folder: &Path) -> Option<std::ffi::OsString> {
    fs::read_dir(folder).ok()?.flatten().next().map(|entry| entry.file_name())
}

/// Looks until `look` finds something.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(Instant::now() < end, "waited {} s in vain for {what}", PATIENCE.as_secs());
        sleep(LOOK_INTERVAL);
    }
}
