//! RPMsg through the kernel's driver: the control device, which makes endpoints, and the endpoint devices.
//!
//! Nothing here waits or retries. A device's file appears some time after the kernel made the device (devtmpfs, udev and
//! its rules): who needs it looks again until it is there. Which core is behind a device is a matter of sysfs:
//!
//! ```text
//! .../virtio0/virtio0.NAME.SRC.DST                              a channel that the core announced
//! .../virtio0/virtio0.rpmsg_ctrl.0.0/rpmsg/rpmsg_ctrl0          the control device of the same core
//! .../virtio0/virtio0.rpmsg_ctrl.0.0/rpmsg/rpmsg_ctrl0/rpmsg0   an endpoint that it made
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use coracle_rpmsg::PAYLOAD_BYTES_MAX;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use thiserror::Error;

use crate::linux::{self, ControlCommand, NAME_BYTES};

/// "Any address": the kernel chooses.
pub const RPMSG_ADDRESS_ANY: u32 = u32::MAX;

/// Name and addresses of a channel or an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointInfo {
    /// The channel's name, 1 to 31 bytes.
    pub name: String,
    /// Our address; [`RPMSG_ADDRESS_ANY`] when the kernel chooses at each open.
    pub src: u32,
    /// The remote core's address.
    pub dst: u32,
}

impl EndpointInfo {
    fn to_raw(&self) -> Option<linux::EndpointInfo> {
        let mut name = [0; NAME_BYTES];
        // The last byte stays NUL: the kernel forces it, and would cut the name silently.
        let (_, field) = name.split_last_mut()?;
        let field = field.get_mut(..self.name.len())?;
        if self.name.is_empty() || self.name.contains('\0') {
            return None;
        }
        field.copy_from_slice(self.name.as_bytes());
        Some(linux::EndpointInfo { name, src: self.src, dst: self.dst })
    }
}

/// What failed with an RPMsg device, and where.
#[derive(Debug, Error)]
#[error("cannot {action} {path}: {problem}")]
pub struct RpmsgError {
    action: &'static str,
    path: PathBuf,
    problem: RpmsgProblem,
}

impl RpmsgError {
    pub(crate) fn new(action: &'static str, path: &Path, problem: RpmsgProblem) -> Self {
        Self { action, path: path.to_owned(), problem }
    }

    fn from_io(action: &'static str, path: &Path, error: &io::Error) -> Self {
        let problem = match error.raw_os_error().map(Errno::from_raw) {
            Some(errno) => RpmsgProblem::from_errno(errno),
            None => RpmsgProblem::System(Errno::UnknownErrno),
        };
        Self::new(action, path, problem)
    }

    /// What failed.
    #[must_use]
    pub fn problem(&self) -> RpmsgProblem {
        self.problem
    }
}

/// What failed with an RPMsg device, and what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RpmsgProblem {
    /// The kernel has no RPMsg support loaded.
    #[error("the kernel shows no RPMsg bus; load the driver of the remote core (it brings virtio_rpmsg_bus)")]
    NoBus,
    /// The core has a channel but no control device.
    #[error("the core has no control device; load rpmsg_ctrl (before Linux 5.18: rpmsg_char)")]
    NoControl,
    /// The device's file is not there (yet).
    #[error("it is not there; the kernel has removed the device, or udev has not made its file yet")]
    Missing,
    /// Another process has the endpoint open.
    #[error("another process has it open; end that first")]
    Busy,
    /// This process may not.
    #[error("not permitted; run as root, or add a udev rule for the subsystem `rpmsg`")]
    NotPermitted,
    /// The kernel refused the argument. At an open: the address is taken.
    #[error("the kernel refused it; at an open, another driver or process has the endpoint's address")]
    Refused,
    /// The name is empty, over 31 bytes, or has a NUL.
    #[error("a channel's name has 1 to 31 bytes and no NUL")]
    Name,
    /// All buffers are with the remote core.
    #[error("all buffers are with the remote core; try again when it has read some")]
    NoBuffer,
    /// The message is empty or too long.
    #[error("a message has 1 to {PAYLOAD_BYTES_MAX} bytes")]
    Size,
    /// The remote core stopped, crashed or was restarted.
    #[error("the remote core is gone; close the endpoint, and look for its channel again")]
    RemoteGone,
    /// Anything else that the system said.
    #[error("{0}")]
    System(Errno),
}

impl RpmsgProblem {
    fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::EAGAIN => Self::NoBuffer,
            Errno::EMSGSIZE => Self::Size,
            Errno::EPIPE | Errno::ENETRESET => Self::RemoteGone,
            // A device's file that outlived its device answers ENXIO or ENODEV.
            Errno::ENOENT | Errno::ENXIO | Errno::ENODEV => Self::Missing,
            Errno::EBUSY => Self::Busy,
            Errno::EACCES | Errno::EPERM => Self::NotPermitted,
            Errno::EINVAL => Self::Refused,
            other => Self::System(other),
        }
    }

    /// What a refused write means. The virtio driver says ENOMEM when all buffers are out, which `rpmsg_char` makes EAGAIN
    /// in later kernels only.
    fn of_write(errno: Errno) -> Self {
        match errno {
            Errno::ENOMEM => Self::NoBuffer,
            other => Self::from_errno(other),
        }
    }
}

/// Where the kernel shows its RPMsg devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpmsgPaths {
    /// The devices of the bus.
    pub bus: PathBuf,
    /// The class of control and endpoint devices.
    pub class: PathBuf,
    /// The device files.
    pub dev: PathBuf,
}

impl Default for RpmsgPaths {
    fn default() -> Self {
        Self { bus: "/sys/bus/rpmsg/devices".into(), class: "/sys/class/rpmsg".into(), dev: "/dev".into() }
    }
}

/// A channel that the kernel knows: announced by the remote core, or created through a control device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpmsgChannel {
    /// Its name and addresses; `src` is [`RPMSG_ADDRESS_ANY`] until a kernel driver binds it.
    pub info: EndpointInfo,
    /// Its directory in sysfs, without symbolic links.
    pub directory: PathBuf,
    /// The inode of the directory: a restarted core's channel often has the same name and addresses.
    pub(crate) inode: u64,
}

impl RpmsgChannel {
    /// Whether the channel still exists. One that the core announced after a restart is another one.
    #[must_use]
    pub fn exists(&self) -> bool {
        fs::metadata(&self.directory).is_ok_and(|metadata| metadata.ino() == self.inode)
    }
}

/// A control device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpmsgControlDevice {
    /// Its file.
    pub file: PathBuf,
    /// Its directory in sysfs, without symbolic links.
    pub directory: PathBuf,
}

impl RpmsgPaths {
    /// The channels that there are, sorted by directory.
    ///
    /// # Errors
    /// [`RpmsgProblem::NoBus`].
    pub fn channels(&self) -> Result<Vec<RpmsgChannel>, RpmsgError> {
        let mut channels = Vec::new();
        for (_, directory) in list("list the channels in", &self.bus)? {
            if let (Some(info), Ok(metadata)) = (read_info(&directory), fs::metadata(&directory)) {
                channels.push(RpmsgChannel { info, directory, inode: metadata.ino() });
            }
        }
        Ok(channels)
    }

    /// The control device of the core behind `channel`.
    ///
    /// # Errors
    /// [`RpmsgProblem::NoControl`], also while its driver is still coming up.
    pub fn control_of(&self, channel: &RpmsgChannel) -> Result<RpmsgControlDevice, RpmsgError> {
        const ACTION: &str = "find the control device in";
        list(ACTION, &self.class)?
            .into_iter()
            .find(|(name, directory)| {
                name.starts_with("rpmsg_ctrl")
                    && channel.directory.parent().is_some_and(|core| directory.starts_with(core))
            })
            .map(|(name, directory)| RpmsgControlDevice { file: self.dev.join(name), directory })
            .ok_or_else(|| RpmsgError::new(ACTION, &self.class, RpmsgProblem::NoControl))
    }

    /// The file of the endpoint that `control` made for `info`; `None` if there is none (yet). The file itself may come
    /// later than this answer.
    ///
    /// # Errors
    /// [`RpmsgError`].
    pub fn endpoint_of(
        &self,
        control: &RpmsgControlDevice,
        info: &EndpointInfo,
    ) -> Result<Option<PathBuf>, RpmsgError> {
        Ok(list("find the endpoint in", &self.class)?
            .into_iter()
            .find(|(_, directory)| {
                *directory != control.directory
                    && directory.starts_with(&control.directory)
                    && read_info(directory).as_ref() == Some(info)
            })
            .map(|(name, _)| self.dev.join(name)))
    }
}

/// Names and real directories of what is in `directory`, sorted. What vanishes meanwhile is left out.
fn list(action: &'static str, directory: &Path) -> Result<Vec<(String, PathBuf)>, RpmsgError> {
    let entries = fs::read_dir(directory).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => RpmsgError::new(action, directory, RpmsgProblem::NoBus),
        _ => RpmsgError::from_io(action, directory, &error),
    })?;
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, fs::canonicalize(entry.path()).ok()?)))
        .collect();
    found.sort();
    Ok(found)
}

/// The attributes `name`, `src` and `dst` of a device. `None` if it has none or vanished meanwhile.
fn read_info(directory: &Path) -> Option<EndpointInfo> {
    let read = |attribute: &str| {
        let text = fs::read_to_string(directory.join(attribute)).ok()?;
        Some(text.trim_end_matches('\n').to_owned())
    };
    Some(EndpointInfo { name: read("name")?, src: parse_address(&read("src")?)?, dst: parse_address(&read("dst")?)? })
}

/// An address as the kernel prints it: hexadecimal on the bus, and as a *signed* decimal on endpoints.
fn parse_address(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse::<i32>().map(i32::cast_unsigned).or_else(|_| text.parse()).ok(),
    }
}

/// An open control device.
///
/// Open it for a command and drop it at once: a kernel whose remote core has gone meanwhile uses memory that it has
/// freed when the open device gets another command.
#[derive(Debug)]
pub struct RpmsgControl {
    file: File,
    path: PathBuf,
}

impl RpmsgControl {
    /// Opens the device.
    ///
    /// # Errors
    /// [`RpmsgProblem::Missing`] when its file is not there (yet), and others.
    pub fn open(path: &Path) -> Result<Self, RpmsgError> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Ok(Self { file, path: path.to_owned() }),
            Err(error) => Err(RpmsgError::from_io("open the control device", path, &error)),
        }
    }

    /// Makes an endpoint device. The kernel does not say which: see [`RpmsgPaths::endpoint_of`]. Its address is taken
    /// when it is opened.
    ///
    /// # Errors
    /// [`RpmsgError`].
    pub fn create_endpoint(&self, info: &EndpointInfo) -> Result<(), RpmsgError> {
        self.command(ControlCommand::CreateEndpoint, info, "create an endpoint through")
    }

    /// Creates a channel, as if the remote core had announced it (Linux 5.18).
    ///
    /// # Errors
    /// [`RpmsgError`].
    pub fn create_device(&self, info: &EndpointInfo) -> Result<(), RpmsgError> {
        self.command(ControlCommand::CreateDevice, info, "create a channel through")
    }

    /// Removes a channel (Linux 5.18).
    ///
    /// # Errors
    /// [`RpmsgError`].
    pub fn release_device(&self, info: &EndpointInfo) -> Result<(), RpmsgError> {
        self.command(ControlCommand::ReleaseDevice, info, "release a channel through")
    }

    fn command(&self, command: ControlCommand, info: &EndpointInfo, action: &'static str) -> Result<(), RpmsgError> {
        let fail = |problem| RpmsgError::new(action, &self.path, problem);
        let raw = info.to_raw().ok_or_else(|| fail(RpmsgProblem::Name))?;
        linux::control(self.file.as_fd(), command, &raw).map_err(|errno| fail(RpmsgProblem::from_errno(errno)))
    }
}

/// An open endpoint device. Nothing blocks; its descriptor is readable when a message is there, and has an error
/// condition once the remote core is gone. The kernel's virtio driver never reports room for writing: who met
/// [`RpmsgProblem::NoBuffer`] has to try again by time.
#[derive(Debug)]
pub struct RpmsgEndpoint {
    file: File,
    path: PathBuf,
}

impl RpmsgEndpoint {
    /// Opens the device. One process can.
    ///
    /// # Errors
    /// [`RpmsgProblem::Busy`] when another process has it, [`RpmsgProblem::Refused`] when its address is taken,
    /// [`RpmsgProblem::RemoteGone`] when its core is gone, and others.
    pub fn open(path: &Path) -> Result<Self, RpmsgError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(nix::libc::O_NONBLOCK);
        match options.open(path) {
            Ok(file) => Ok(Self { file, path: path.to_owned() }),
            Err(error) => Err(RpmsgError::from_io("open the endpoint", path, &error)),
        }
    }

    /// Takes one message: its length in `payload`, or `None` if there is none. A message may be empty.
    ///
    /// # Errors
    /// [`RpmsgProblem::RemoteGone`]; [`RpmsgProblem::Size`] for a message over [`PAYLOAD_BYTES_MAX`] bytes, which is
    /// lost; and others.
    pub fn read(&self, payload: &mut [u8; PAYLOAD_BYTES_MAX]) -> Result<Option<usize>, RpmsgError> {
        const ACTION: &str = "read from";
        // The kernel cuts a message that is longer than the room: one byte more tells.
        let mut excess = [0; 1];
        let mut room = [IoSliceMut::new(payload), IoSliceMut::new(&mut excess)];
        match (&self.file).read_vectored(&mut room) {
            Ok(len) if len > PAYLOAD_BYTES_MAX => Err(RpmsgError::new(ACTION, &self.path, RpmsgProblem::Size)),
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(RpmsgError::from_io(ACTION, &self.path, &error)),
        }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// [`RpmsgProblem::NoBuffer`], [`RpmsgProblem::Size`], [`RpmsgProblem::RemoteGone`], and others. Nothing was sent.
    pub fn write(&self, payload: &[u8]) -> Result<(), RpmsgError> {
        const ACTION: &str = "write to";
        // A kernel with larger buffers would take more than the rest of the system can.
        if payload.is_empty() || payload.len() > PAYLOAD_BYTES_MAX {
            return Err(RpmsgError::new(ACTION, &self.path, RpmsgProblem::Size));
        }
        // The kernel takes all of it or nothing.
        (&self.file).write_all(payload).map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
            Some(errno) => RpmsgError::new(ACTION, &self.path, RpmsgProblem::of_write(errno)),
            None => RpmsgError::from_io(ACTION, &self.path, &error),
        })
    }

    /// Whether the remote core is gone.
    ///
    /// # Errors
    /// What `poll` said.
    pub fn is_remote_gone(&self) -> Result<bool, RpmsgError> {
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::empty())];
        match poll(&mut fds, PollTimeout::ZERO) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(RpmsgError::new("poll", &self.path, RpmsgProblem::from_errno(errno))),
        }
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
        Ok(fds.iter().filter_map(PollFd::revents).any(|events| events.intersects(gone)))
    }

    /// Destroys the endpoint and its file. When the remote core is gone, the kernel has done that already.
    ///
    /// # Errors
    /// [`RpmsgProblem::Refused`] for the endpoint of a channel that the kernel bound itself (`rpmsg-raw`), and others.
    pub fn destroy(self) -> Result<(), RpmsgError> {
        // The kernel does not check whether it destroyed the device before, and spoils its own memory if it did. What is
        // left is the instant between the two calls.
        if self.is_remote_gone()? {
            return Ok(());
        }
        match linux::destroy_endpoint(self.file.as_fd()) {
            Ok(()) => Ok(()),
            Err(errno) => Err(RpmsgError::new("destroy", &self.path, RpmsgProblem::from_errno(errno))),
        }
    }
}

impl AsFd for RpmsgEndpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;

    /// A `/sys` and `/dev` as the kernel lays them out.
    struct Tree {
        root: TempDir,
        paths: RpmsgPaths,
    }

    impl Tree {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let [bus, class, dev] = ["bus", "class", "dev"].map(|part| {
                let path = root.path().join(part);
                fs::create_dir(&path).unwrap();
                path
            });
            Self { root, paths: RpmsgPaths { bus, class, dev } }
        }

        /// A device at `path` below the devices, linked from `from`.
        fn device(&self, from: &Path, path: &str, info: Option<(&str, &str, &str)>) -> PathBuf {
            let directory = self.root.path().join("devices").join(path);
            fs::create_dir_all(&directory).unwrap();
            if let Some((name, src, dst)) = info {
                for (attribute, text) in [("name", name), ("src", src), ("dst", dst)] {
                    fs::write(directory.join(attribute), format!("{text}\n")).unwrap();
                }
            }
            symlink(&directory, from.join(directory.file_name().unwrap())).unwrap();
            fs::canonicalize(directory).unwrap()
        }
    }

    fn info(name: &str, src: u32, dst: u32) -> EndpointInfo {
        EndpointInfo { name: name.to_owned(), src, dst }
    }

    #[test]
    fn channels_control_devices_and_endpoints_of_one_core_belong_together() {
        let tree = Tree::new();
        let (bus, class) = (&tree.paths.bus, &tree.paths.class);
        // Ten cores, so that one's directory begins like another's.
        for core in ["virtio1", "virtio10"] {
            tree.device(
                bus,
                &format!("{core}/{core}.coracle-link.-1.30"),
                Some(("coracle-link", "0xffffffff", "0x1e")),
            );
            tree.device(bus, &format!("{core}/{core}.rpmsg_ctrl.0.0"), Some(("rpmsg_ctrl", "0x0", "0x0")));
        }
        tree.device(class, "virtio10/virtio10.rpmsg_ctrl.0.0/rpmsg/rpmsg_ctrl0", None);
        let channels = tree.paths.channels().unwrap();
        let named: Vec<_> = channels.iter().filter(|c| c.info == info("coracle-link", u32::MAX, 30)).collect();
        assert_eq!((channels.len(), named.len()), (4, 2));
        let (one, ten) = (named[0], named[1]);
        assert!(one.directory.ends_with("virtio1/virtio1.coracle-link.-1.30") && one.exists());
        assert_eq!(tree.paths.control_of(one).unwrap_err().problem(), RpmsgProblem::NoControl);
        let control = tree.paths.control_of(ten).unwrap();
        assert_eq!(control.file, tree.paths.dev.join("rpmsg_ctrl0"));

        // Signed, as the kernel prints them there.
        let wanted = info("coracle-link", 0x400, 0x8000_0001);
        assert_eq!(tree.paths.endpoint_of(&control, &wanted).unwrap(), None);
        let below = "virtio10/virtio10.rpmsg_ctrl.0.0/rpmsg/rpmsg_ctrl0";
        tree.device(class, &format!("{below}/rpmsg3"), Some(("coracle-link", "1024", "30")));
        tree.device(class, &format!("{below}/rpmsg4"), Some(("coracle-link", "1024", "-2147483647")));
        // The same addresses on another core.
        let other = "virtio1/virtio1.rpmsg_ctrl.0.0/rpmsg/rpmsg_ctrl1";
        tree.device(class, other, None);
        tree.device(class, &format!("{other}/rpmsg1"), Some(("coracle-link", "1024", "-2147483647")));
        assert_eq!(tree.paths.endpoint_of(&control, &wanted).unwrap(), Some(tree.paths.dev.join("rpmsg4")));
        let other = tree.paths.control_of(one).unwrap();
        assert_eq!(tree.paths.endpoint_of(&other, &wanted).unwrap(), Some(tree.paths.dev.join("rpmsg1")));

        // The core restarts: the same name, but another channel.
        let (new, old) = (tree.root.path().join("new"), tree.root.path().join("old"));
        fs::create_dir(&new).unwrap();
        fs::rename(&one.directory, &old).unwrap();
        fs::rename(&new, &one.directory).unwrap();
        assert!(!one.exists());
        fs::remove_dir_all(&one.directory).unwrap();
        assert!(!one.exists());
        assert_eq!(tree.paths.channels().unwrap().len(), 3, "a link to a device that went");
    }

    #[test]
    fn what_is_missing_is_named() {
        let nowhere = RpmsgPaths { bus: "/nowhere".into(), class: "/nowhere".into(), dev: "/nowhere".into() };
        assert_eq!(nowhere.channels().unwrap_err().problem(), RpmsgProblem::NoBus);
        let missing = RpmsgControl::open(Path::new("/nowhere/rpmsg_ctrl0")).unwrap_err();
        assert_eq!(missing.problem(), RpmsgProblem::Missing);
        assert!(missing.to_string().contains("/nowhere/rpmsg_ctrl0"), "{missing}");
        assert_eq!(RpmsgEndpoint::open(Path::new("/nowhere/rpmsg0")).unwrap_err().problem(), RpmsgProblem::Missing);
    }

    #[test]
    fn addresses_are_read_as_the_kernel_prints_them() {
        let cases = [
            ("0x1e", Some(30)),
            ("0xffffffff", Some(u32::MAX)),
            ("30", Some(30)),
            ("-1", Some(u32::MAX)),
            ("4294967295", Some(u32::MAX)),
            ("", None),
            ("0x", None),
            ("ten", None),
            ("4294967296", None),
        ];
        for (text, address) in cases {
            assert_eq!(parse_address(text), address, "{text:?}");
        }
    }

    #[test]
    fn a_name_fills_the_field_to_its_last_but_one_byte() {
        let longest = "n".repeat(31);
        let raw = info(&longest, 1, 2).to_raw().unwrap();
        assert_eq!((&raw.name[..31], raw.name[31], raw.src, raw.dst), (longest.as_bytes(), 0, 1, 2));
        let null = RpmsgControl::open(Path::new("/dev/null")).unwrap();
        for name in ["", "a\0b", &"n".repeat(32), &"n".repeat(1000)] {
            let refused = null.create_endpoint(&info(name, 1, 2)).unwrap_err();
            assert_eq!(refused.problem(), RpmsgProblem::Name, "{name:?}");
        }
        // The command itself is not for this device.
        let refused = null.create_device(&info("n", 1, 2)).unwrap_err();
        assert_eq!(refused.problem(), RpmsgProblem::System(Errno::ENOTTY));
    }

    #[test]
    fn errors_of_the_kernel_have_their_meaning() {
        use RpmsgProblem as Problem;
        let cases = [
            (Errno::EAGAIN, Problem::NoBuffer),
            (Errno::EMSGSIZE, Problem::Size),
            (Errno::EPIPE, Problem::RemoteGone),
            (Errno::ENETRESET, Problem::RemoteGone),
            (Errno::ENOENT, Problem::Missing),
            (Errno::ENXIO, Problem::Missing),
            (Errno::ENODEV, Problem::Missing),
            (Errno::EBUSY, Problem::Busy),
            (Errno::EACCES, Problem::NotPermitted),
            (Errno::EPERM, Problem::NotPermitted),
            (Errno::EINVAL, Problem::Refused),
            (Errno::EIO, Problem::System(Errno::EIO)),
        ];
        for (errno, problem) in cases {
            assert_eq!(Problem::from_errno(errno), problem);
            assert_eq!(Problem::of_write(errno), problem);
        }
        assert_eq!(Problem::of_write(Errno::ENOMEM), Problem::NoBuffer, "a full ring, before the kernel said EAGAIN");
    }

    /// A FIFO returns what was written to it, as an echoing core does, except that it does not keep messages apart.
    #[test]
    fn an_endpoint_reads_and_writes_without_blocking() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rpmsg0");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let endpoint = RpmsgEndpoint::open(&path).unwrap();
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        assert_eq!(endpoint.read(&mut payload).unwrap(), None);
        for len in [1, 16, PAYLOAD_BYTES_MAX] {
            endpoint.write(&vec![7; len]).unwrap();
            assert_eq!(endpoint.read(&mut payload).unwrap(), Some(len));
            assert!(payload[..len].iter().all(|byte| *byte == 7));
        }
        for len in [0, PAYLOAD_BYTES_MAX + 1] {
            assert_eq!(endpoint.write(&vec![7; len]).unwrap_err().problem(), RpmsgProblem::Size);
        }
        assert!(!endpoint.is_remote_gone().unwrap());
        // More than fits is an error, not a message that was cut.
        endpoint.write(&[7; PAYLOAD_BYTES_MAX]).unwrap();
        endpoint.write(&[7; 1]).unwrap();
        assert_eq!(endpoint.read(&mut payload).unwrap_err().problem(), RpmsgProblem::Size);
        let full =
            std::iter::repeat_with(|| endpoint.write(&[7; PAYLOAD_BYTES_MAX])).take(10_000).find_map(Result::err);
        assert_eq!(full.unwrap().problem(), RpmsgProblem::NoBuffer);
        assert_eq!(endpoint.destroy().unwrap_err().problem(), RpmsgProblem::System(Errno::ENOTTY));
    }
}
