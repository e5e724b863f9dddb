//! The ioctls of Linux's `rpmsg_ctrl` and `rpmsg_char` (`include/uapi/linux/rpmsg.h`): the only unsafe code of this
//! crate. It knows numbers and layouts; when to call what is up to the caller.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Bytes of a channel's name, its NUL included.
pub(crate) const NAME_BYTES: usize = 32;

/// `struct rpmsg_endpoint_info`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EndpointInfo {
    /// NUL-padded; the kernel forces the last byte to NUL.
    pub(crate) name: [u8; NAME_BYTES],
    pub(crate) src: u32,
    pub(crate) dst: u32,
}

/// What a control device does with an [`EndpointInfo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlCommand {
    /// Make `/dev/rpmsgN`.
    CreateEndpoint,
    /// Make a channel (Linux 5.18).
    CreateDevice,
    /// Remove a channel (Linux 5.18).
    ReleaseDevice,
}

mod raw {
    use std::mem::size_of;

    // Its width differs between C libraries.
    use nix::sys::ioctl::ioctl_num_type;

    use super::EndpointInfo;

    /// The type byte of all RPMsg ioctls.
    const RPMSG: u8 = 0xB5;
    pub(super) const CREATE_ENDPOINT: ioctl_num_type = nix::request_code_write!(RPMSG, 1, size_of::<EndpointInfo>());
    pub(super) const DESTROY_ENDPOINT: ioctl_num_type = nix::request_code_none!(RPMSG, 2);
    pub(super) const CREATE_DEVICE: ioctl_num_type = nix::request_code_write!(RPMSG, 3, size_of::<EndpointInfo>());
    pub(super) const RELEASE_DEVICE: ioctl_num_type = nix::request_code_write!(RPMSG, 4, size_of::<EndpointInfo>());

    nix::ioctl_write_ptr_bad!(create_endpoint, CREATE_ENDPOINT, EndpointInfo);
    nix::ioctl_none_bad!(destroy_endpoint, DESTROY_ENDPOINT);
    nix::ioctl_write_ptr_bad!(create_device, CREATE_DEVICE, EndpointInfo);
    nix::ioctl_write_ptr_bad!(release_device, RELEASE_DEVICE, EndpointInfo);
}

/// Gives a command to a control device.
pub(crate) fn control(control: BorrowedFd<'_>, command: ControlCommand, info: &EndpointInfo) -> Result<(), Errno> {
    let fd = control.as_raw_fd();
    // SAFETY: the kernel reads 40 bytes, the whole of `info` (asserted by a test), during the call, and writes none; the
    // descriptor is open for the length of the borrow. The number holds direction and size, so that the driver of another
    // kind of device that knew it would read no more either.
    unsafe {
        match command {
            ControlCommand::CreateEndpoint => raw::create_endpoint(fd, info),
            ControlCommand::CreateDevice => raw::create_device(fd, info),
            ControlCommand::ReleaseDevice => raw::release_device(fd, info),
        }
    }
    .map(drop)
}

/// Destroys the endpoint device behind `endpoint`.
pub(crate) fn destroy_endpoint(endpoint: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the ioctl takes no argument and touches no memory of this process; the descriptor is open for the length
    // of the borrow.
    unsafe { raw::destroy_endpoint(endpoint.as_raw_fd()) }.map(drop)
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::{EndpointInfo, raw};

    #[test]
    fn numbers_and_layout_are_those_of_the_kernel() {
        assert_eq!(size_of::<EndpointInfo>(), 40);
        assert_eq!(
            (offset_of!(EndpointInfo, name), offset_of!(EndpointInfo, src), offset_of!(EndpointInfo, dst)),
            (0, 32, 36)
        );
        assert_eq!(raw::CREATE_ENDPOINT, 0x4028_B501);
        assert_eq!(raw::DESTROY_ENDPOINT, 0x0000_B502);
        assert_eq!(raw::CREATE_DEVICE, 0x4028_B503);
        assert_eq!(raw::RELEASE_DEVICE, 0x4028_B504);
    }

    #[test]
    fn another_kind_of_file_refuses_the_commands() {
        use std::os::fd::AsFd as _;

        use super::{ControlCommand, control, destroy_endpoint};

        let file = std::fs::File::open("/dev/null").unwrap();
        let info = EndpointInfo { name: [0; 32], src: 0, dst: 0 };
        for command in [ControlCommand::CreateEndpoint, ControlCommand::CreateDevice, ControlCommand::ReleaseDevice] {
            assert_eq!(control(file.as_fd(), command, &info), Err(nix::errno::Errno::ENOTTY));
        }
        assert_eq!(destroy_endpoint(file.as_fd()), Err(nix::errno::Errno::ENOTTY));
    }
}
