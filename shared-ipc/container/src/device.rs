//! Device calls that wait for their answer.

use alloc::{vec, vec::Vec};

use coracle_device::{Devices, Edges, TRANSFER_BYTES_MAX};
use coracle_guest_abi::{Errno, Name, SensorInfo};

/// What a parked container wants of a device. Its grants were checked; the names are the manifest's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceCall {
    /// The level of a pin.
    PinRead {
        /// Its label.
        label: Name,
    },
    /// Set a pin.
    PinWrite {
        /// Its label.
        label: Name,
        /// The level.
        high: bool,
    },
    /// Watch a pin.
    PinWatch {
        /// Its label.
        label: Name,
        /// 0 none, 1 rising, 2 falling, 3 both.
        edges: u8,
        /// How long a level has to last, in microseconds.
        debounce_us: u32,
    },
    /// Write, then read, on an I2C bus.
    I2c {
        /// The bus.
        bus: Name,
        /// Seven bits.
        address: u8,
        /// What is written.
        write: Vec<u8>,
        /// How many bytes are read.
        read: u16,
    },
    /// A transaction with an SPI device.
    Spi {
        /// The device.
        device: Name,
        /// What is written.
        write: Vec<u8>,
        /// How many bytes are read.
        read: u16,
    },
    /// What a sensor gives.
    SensorInfo {
        /// Its name.
        name: Name,
    },
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceAnswer {
    /// It is done.
    Done,
    /// A pin's level.
    Level(bool),
    /// Bytes that were read.
    Bytes(Vec<u8>),
    /// What a sensor gives.
    Info(SensorInfo),
}

/// Carries a call out.
///
/// # Errors
/// What the device says; [`Errno::TooLarge`] for a transfer over [`TRANSFER_BYTES_MAX`].
pub fn execute(call: &DeviceCall, devices: &mut (impl Devices + ?Sized)) -> Result<DeviceAnswer, Errno> {
    let buffer = |n: u16| {
        let n = usize::from(n);
        if n > TRANSFER_BYTES_MAX { Err(Errno::TooLarge) } else { Ok(vec![0; n]) }
    };
    match call {
        DeviceCall::PinRead { label } => devices.pin_read(label).map(DeviceAnswer::Level),
        DeviceCall::PinWrite { label, high } => devices.pin_write(label, *high).map(|()| DeviceAnswer::Done),
        DeviceCall::PinWatch { label, edges, debounce_us } => {
            let edges = match edges {
                0 => Edges::None,
                1 => Edges::Rising,
                2 => Edges::Falling,
                _ => Edges::Both,
            };
            devices.pin_watch(label, edges, *debounce_us).map(|()| DeviceAnswer::Done)
        }
        DeviceCall::I2c { bus, address, write, read } => {
            let mut bytes = buffer(*read)?;
            devices.i2c(bus, *address, write, &mut bytes).map(|()| DeviceAnswer::Bytes(bytes))
        }
        DeviceCall::Spi { device, write, read } => {
            let mut bytes = buffer(*read)?;
            devices.spi(device, write, &mut bytes).map(|()| DeviceAnswer::Bytes(bytes))
        }
        DeviceCall::SensorInfo { name } => devices.sensor_info(name).map(DeviceAnswer::Info),
    }
}
