//! What the library says when it does not do a thing.

use coracle_rpmsg::{Fault, RpmsgError};

/// A result code of the library other than success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LibraryError {
    /// `RL_ERR_NO_MEM`: no memory, or no buffer in time.
    NoMemory,
    /// `RL_ERR_BUFF_SIZE`: a payload that does not fit.
    BufferSize,
    /// `RL_ERR_PARAM`: an argument that is null or unknown.
    Parameter,
    /// `RL_ERR_DEV_ID`: no such device.
    DeviceId,
    /// `RL_ERR_MAX_VQ`: no more queues.
    MaxQueues,
    /// `RL_ERR_NO_BUFF`: no message in time.
    NoBuffer,
    /// `RL_NOT_READY`: the link is not up.
    NotReady,
    /// `RL_ALREADY_DONE`: nothing to do.
    AlreadyDone,
    /// A code that version 5 does not have.
    Unknown(i32),
}

impl LibraryError {
    /// What a result code means.
    ///
    /// # Errors
    /// This error, unless the code is 0.
    pub const fn check(code: i32) -> Result<(), Self> {
        Err(match code {
            0 => return Ok(()),
            -5001 => Self::NoMemory,
            -5002 => Self::BufferSize,
            -5003 => Self::Parameter,
            -5004 => Self::DeviceId,
            -5005 => Self::MaxQueues,
            -5006 => Self::NoBuffer,
            -5007 => Self::NotReady,
            -5008 => Self::AlreadyDone,
            code => Self::Unknown(code),
        })
    }
}

impl core::fmt::Display for LibraryError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoMemory => "RL_ERR_NO_MEM: no memory or no buffer in time",
            Self::BufferSize => "RL_ERR_BUFF_SIZE: the payload does not fit",
            Self::Parameter => "RL_ERR_PARAM: an argument is null or unknown",
            Self::DeviceId => "RL_ERR_DEV_ID: no such device",
            Self::MaxQueues => "RL_ERR_MAX_VQ: no more queues",
            Self::NoBuffer => "RL_ERR_NO_BUFF: no message in time",
            Self::NotReady => "RL_NOT_READY: the link is not up",
            Self::AlreadyDone => "RL_ALREADY_DONE: nothing to do",
            Self::Unknown(code) => return write!(f, "result code {code}, which RPMsg-Lite 5 does not have"),
        })
    }
}

impl core::error::Error for LibraryError {}

impl From<LibraryError> for RpmsgError {
    /// As a result of sending: what [`crate::Instance`] checks beforehand the library does not complain about.
    fn from(error: LibraryError) -> Self {
        match error {
            LibraryError::NoMemory | LibraryError::NoBuffer => Self::NoBuffer,
            LibraryError::BufferSize => Self::Size,
            LibraryError::Parameter => Self::UnknownEndpoint,
            LibraryError::NotReady => Self::NotReady,
            LibraryError::DeviceId | LibraryError::MaxQueues | LibraryError::AlreadyDone | LibraryError::Unknown(_) => {
                Self::Fault(Fault::Layout)
            }
        }
    }
}

/// Why a side of a link was not created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitError {
    /// The link id is larger than the library's environment layer supports.
    LinkId,
    /// There is an instance with this link id.
    LinkInUse,
    /// The geometry is not the one of the library's configuration.
    Geometry,
    /// The memory is smaller than the geometry needs, not aligned to 8 bytes, or beyond the library's 32-bit addresses.
    Memory,
    /// The library returned null.
    Refused,
    /// The library's master set up rings of another count or size: it was built with another configuration than the one
    /// that these bindings were built with.
    Configuration,
}

impl core::fmt::Display for InitError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::LinkId => "the link id is too large; use one up to 15",
            Self::LinkInUse => "the link id is in use; end the other instance first",
            Self::Geometry => {
                "count or size of the buffers differ from rpmsg_config.h; correct the board description or build the \
                 library with RL_ALLOW_CUSTOM_SHMEM_CONFIG 1"
            }
            Self::Memory => "the memory is too small, not aligned to 8 bytes, or beyond 32-bit addresses",
            Self::Refused => "the library refused to create the instance",
            Self::Configuration => {
                "the library set up rings of another RL_BUFFER_COUNT or RL_BUFFER_PAYLOAD_SIZE than rpmsg_config.h says; \
                 use the rpmsg_config.h that it was built with"
            }
        })
    }
}

impl core::error::Error for InitError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_name() {
        assert_eq!(LibraryError::check(0), Ok(()));
        let names = [
            (-5001, "RL_ERR_NO_MEM"),
            (-5002, "RL_ERR_BUFF_SIZE"),
            (-5003, "RL_ERR_PARAM"),
            (-5004, "RL_ERR_DEV_ID"),
            (-5005, "RL_ERR_MAX_VQ"),
            (-5006, "RL_ERR_NO_BUFF"),
            (-5007, "RL_NOT_READY"),
            (-5008, "RL_ALREADY_DONE"),
            (-5009, "-5009"),
            (1, "result code 1"),
        ];
        for (code, name) in names {
            let text = std::string::ToString::to_string(&LibraryError::check(code).unwrap_err());
            assert!(text.contains(name), "{code}: {text}");
        }
    }
}
