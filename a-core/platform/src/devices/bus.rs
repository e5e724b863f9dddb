//! Buses: the kernel's `i2c-dev` and `spidev`.

use std::io;
use std::path::Path;

use coracle_device::TRANSFER_BYTES_MAX;
use coracle_guest_abi::Errno;
use i2cdev::core::{I2CMessage as _, I2CTransfer as _};
use i2cdev::linux::{LinuxI2CBus, LinuxI2CMessage};
use spidev::{SpiModeFlags, Spidev, SpidevOptions, SpidevTransfer};

use super::config::{DevicePath, SpiConfig};
use super::error::DeviceProblem;

/// Largest address of seven bits.
const I2C_ADDRESS_MAX: u8 = 0x7F;

/// An I2C bus.
pub(super) struct I2cBus(LinuxI2CBus);

impl I2cBus {
    pub(super) fn open(node: &DevicePath, dev: &Path) -> Result<Self, DeviceProblem> {
        let path = node.at(dev);
        LinuxI2CBus::new(&path).map(Self).map_err(|error| DeviceProblem::new("open", &path, error.into()))
    }

    /// One transaction. Whether a kernel driver uses the same address is not asked: the grant says who may use it.
    pub(super) fn write_read(&mut self, address: u8, write: &[u8], read: &mut [u8]) -> io::Result<()> {
        let address = u16::from(address);
        // With both empty, a write without bytes asks whether the address is acknowledged.
        let mut messages = Vec::with_capacity(2);
        if !write.is_empty() || read.is_empty() {
            messages.push(LinuxI2CMessage::write(write).with_address(address));
        }
        if !read.is_empty() {
            messages.push(LinuxI2CMessage::read(read).with_address(address));
        }
        self.0.transfer(&mut messages).map(drop).map_err(io::Error::from)
    }
}

/// Refuses an address that no bus has.
pub(super) fn check_address(address: u8) -> Result<(), Errno> {
    if address > I2C_ADDRESS_MAX { Err(Errno::Invalid) } else { Ok(()) }
}

/// Refuses a transfer that is longer than the M core's.
pub(super) fn check_length(write: &[u8], read: &[u8]) -> Result<(), Errno> {
    if write.len().max(read.len()) > TRANSFER_BYTES_MAX { Err(Errno::TooLarge) } else { Ok(()) }
}

/// A device on an SPI bus.
pub(super) struct SpiDevice(Spidev);

impl SpiDevice {
    pub(super) fn open(config: &SpiConfig, dev: &Path) -> Result<Self, DeviceProblem> {
        let path = config.device.at(dev);
        let mut device = Spidev::open(&path).map_err(|error| DeviceProblem::new("open", &path, error))?;
        let options = SpidevOptions::new()
            .bits_per_word(8)
            .max_speed_hz(config.speed_hz.hz())
            .mode(SpiModeFlags::from_bits_truncate(config.mode.number().into()))
            .build();
        device.configure(&options).map_err(|error| DeviceProblem::new("configure", &path, error))?;
        Ok(Self(device))
    }

    /// One transaction; zeros are written beyond `write`.
    pub(super) fn transfer(&mut self, write: &[u8], read: &mut [u8]) -> io::Result<()> {
        let mut bytes = write.to_vec();
        bytes.resize(write.len().max(read.len()), 0);
        self.0.transfer(&mut SpidevTransfer::read_write_in_place(&mut bytes))?;
        for (to, from) in read.iter_mut().zip(bytes) {
            *to = from;
        }
        Ok(())
    }
}
