//! What is wrong with a device of this machine, in words for its operator and as a number for a container.

use std::io;
use std::path::{Path, PathBuf};

use coracle_guest_abi::Errno;
use thiserror::Error;

/// A device of the file that cannot be used.
#[derive(Debug, Error)]
#[error("{kind} `{name}`: {problem}")]
pub struct DeviceError {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) problem: DeviceProblem,
}

impl DeviceError {
    /// The device's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> &DeviceProblem {
        &self.problem
    }
}

/// What is wrong with a device, and what to do next.
#[derive(Debug, Error)]
pub enum DeviceProblem {
    /// There is no such file.
    #[error("{path} does not exist; load the device's driver, or correct the name in the file of devices")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// This process may not.
    #[error("not permitted to use {path}; run as root, or in the group that owns it")]
    NotPermitted {
        /// The file.
        path: PathBuf,
    },
    /// Another process or driver has it.
    #[error("{path} is in use by another process or driver; end that first")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The device went away.
    #[error("it is gone; it is opened again when a container uses it")]
    Gone,
    /// The file is no GPIO chip.
    #[error("{path} is not a GPIO chip; correct the line in the file of devices")]
    NotAChip {
        /// The file.
        path: PathBuf,
    },
    /// No chip has a line of that name.
    #[error("no GPIO chip in {dev} has a line named `{line}`; correct it, or give chip and line as in `gpiochip0:4`")]
    NoLine {
        /// The folder that was searched.
        dev: PathBuf,
        /// The name.
        line: String,
    },
    /// Several lines have that name.
    #[error("several lines are named `{line}`; give chip and line as in `gpiochip0:4`")]
    AmbiguousLine {
        /// The name.
        line: String,
    },
    /// No IIO device has that name.
    #[error("there is no IIO device `{wanted}` in {path} (there are: {found}); load its driver, or correct the name")]
    NoIioDevice {
        /// The folder that was searched.
        path: PathBuf,
        /// The name.
        wanted: String,
        /// The names and labels there.
        found: String,
    },
    /// Several IIO devices have that name.
    #[error("several IIO devices are called `{wanted}`; give one a label in the device tree, and use that")]
    AmbiguousIioDevice {
        /// The name.
        wanted: String,
    },
    /// The IIO device has no buffer for that channel.
    #[error("{path} has no channel `{wanted}` (it can sample: {found}); correct it, or configure a trigger")]
    NoChannel {
        /// The device.
        path: PathBuf,
        /// The channel.
        wanted: String,
        /// Those that it has.
        found: String,
    },
    /// The device samples at another rate than was asked for.
    #[error("{path} is {got} after {wanted} was written; use a rate that the device has (see ..._frequency_available)")]
    Rate {
        /// The file.
        path: PathBuf,
        /// Samples a second that were asked for.
        wanted: u32,
        /// What the device says.
        got: String,
    },
    /// The kernel wrote something that is not understood.
    #[error("{path} says `{text}`, which is not understood here")]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: String,
    },
    /// Anything else that the system said.
    #[error("cannot {action} {path}: {error}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl DeviceProblem {
    /// What `error` means that came when `action` was tried with `path`.
    pub(super) fn new(action: &'static str, path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.raw_os_error() {
            Some(number::ENOENT) => Self::Missing { path },
            Some(number::EACCES | number::EPERM) => Self::NotPermitted { path },
            Some(number::EBUSY) => Self::InUse { path },
            _ if is_gone(&error) => Self::Gone,
            _ => Self::System { action, path, error },
        }
    }

    /// What a container is told.
    pub(super) fn errno(&self) -> Errno {
        match self {
            Self::InUse { .. } => Errno::Busy,
            Self::NotPermitted { .. } | Self::Unexpected { .. } | Self::Rate { .. } => Errno::Io,
            Self::System { error, .. } => errno_of(error),
            _ => Errno::NoDevice,
        }
    }
}

/// Linux's numbers, as patterns.
mod number {
    use nix::errno::Errno;

    pub(super) const ENOENT: i32 = Errno::ENOENT as i32;
    pub(super) const ENXIO: i32 = Errno::ENXIO as i32;
    pub(super) const EACCES: i32 = Errno::EACCES as i32;
    pub(super) const EPERM: i32 = Errno::EPERM as i32;
    pub(super) const EAGAIN: i32 = Errno::EAGAIN as i32;
    pub(super) const EBUSY: i32 = Errno::EBUSY as i32;
    pub(super) const ENODEV: i32 = Errno::ENODEV as i32;
    pub(super) const ESHUTDOWN: i32 = Errno::ESHUTDOWN as i32;
    pub(super) const EREMOTEIO: i32 = Errno::EREMOTEIO as i32;
}

/// Whether the device behind a file went away, so that only opening it again can help.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(number::ENODEV | number::ESHUTDOWN))
}

/// What a container is told of an error of a device that is there. The numbers of I2C are those of the kernel's
/// i2c/fault-codes; some drivers say `EREMOTEIO` for any missing acknowledgement.
pub(super) fn errno_of(error: &io::Error) -> Errno {
    match error.raw_os_error() {
        Some(number::ENXIO | number::ENODEV | number::ESHUTDOWN | number::ENOENT) => Errno::NoDevice,
        Some(number::EREMOTEIO) => Errno::RemoteIo,
        Some(number::EAGAIN) => Errno::Again,
        Some(number::EBUSY) => Errno::Busy,
        _ => Errno::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_numbers_become_those_of_a_guest() {
        use nix::errno::Errno as Linux;
        for (linux, errno) in [
            (Linux::ENXIO, Errno::NoDevice),
            (Linux::ENODEV, Errno::NoDevice),
            (Linux::EREMOTEIO, Errno::RemoteIo),
            (Linux::EAGAIN, Errno::Again),
            (Linux::EBUSY, Errno::Busy),
            (Linux::EIO, Errno::Io),
            (Linux::ETIMEDOUT, Errno::Io),
            (Linux::EPERM, Errno::Io),
        ] {
            assert_eq!(errno_of(&linux.into()), errno, "{linux}");
        }
        assert_eq!(errno_of(&io::Error::other("no number")), Errno::Io);
    }

    #[test]
    fn a_problem_says_what_to_do() {
        let problem = |errno: nix::errno::Errno| DeviceProblem::new("open", Path::new("/dev/i2c-1"), errno.into());
        for (errno, part, told) in [
            (nix::errno::Errno::ENOENT, "load the device's driver", Errno::NoDevice),
            (nix::errno::Errno::EACCES, "run as root", Errno::Io),
            (nix::errno::Errno::EBUSY, "end that first", Errno::Busy),
            (nix::errno::Errno::ENODEV, "is gone", Errno::NoDevice),
            (nix::errno::Errno::EINVAL, "cannot open /dev/i2c-1: Invalid argument", Errno::Io),
        ] {
            let problem = problem(errno);
            let error = DeviceError { kind: "I2C bus", name: "i2c0".into(), problem };
            let text = error.to_string();
            assert!(text.starts_with("I2C bus `i2c0`: ") && text.contains(part), "{text}");
            assert_eq!(error.problem().errno(), told, "{errno}");
        }
    }
}
