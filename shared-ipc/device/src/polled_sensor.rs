//! A sensor on a bus of this core, which the core itself reads.

use coracle_guest_abi::{Errno, SensorInfo};

use crate::FrontEnd;

/// Most samples in a block of such a sensor. Who needs more of them has a sensor with a memory of its own.
pub const POLLED_SAMPLES_MAX: usize = 32;
/// Blocks that wait for a container.
const BLOCKS: usize = 2;

/// Where a sensor has its value: two bytes, the more significant one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SensorRegister {
    /// A register behind an address of an I2C bus.
    I2c {
        /// The bus.
        bus: &'static str,
        /// The sensor's address, seven bits.
        address: u8,
        /// The register.
        register: u8,
    },
    /// What an SPI device answers to a byte.
    Spi {
        /// The device.
        device: &'static str,
        /// The byte.
        command: u8,
    },
}

/// A sensor that is read at a fixed rate while it is on.
#[derive(Debug)]
pub struct PolledSensor {
    pub(crate) name: &'static str,
    pub(crate) register: SensorRegister,
    unused_bits: u8,
    pub(crate) info: SensorInfo,
    pub(crate) front_end: FrontEnd<POLLED_SAMPLES_MAX, BLOCKS>,
    pub(crate) on: bool,
}

impl PolledSensor {
    /// A sensor that is off. The last `unused_bits` of its register, at most 15, are no part of the value; `info` has the
    /// rate, at most a million samples a second, and the size of a block, at most [`POLLED_SAMPLES_MAX`]. `None` for
    /// numbers beyond that.
    #[must_use]
    pub const fn new(name: &'static str, register: SensorRegister, unused_bits: u8, info: SensorInfo) -> Option<Self> {
        if unused_bits > 15 || info.block as usize > POLLED_SAMPLES_MAX {
            return None;
        }
        match FrontEnd::new(info.rate_hz, info.block as usize) {
            Some(front_end) => Some(Self { name, register, unused_bits, info, front_end, on: false }),
            None => None,
        }
    }

    /// Takes the sample that is due, if one is, with `read`, which fills the bytes from the register.
    pub(crate) fn poll(&mut self, now_us: u64, read: impl FnOnce(SensorRegister, &mut [u8; 2]) -> Result<(), Errno>) {
        let Self { register, unused_bits, .. } = *self;
        self.front_end.poll(now_us, || {
            let mut bytes = [0; 2];
            read(register, &mut bytes)?;
            Ok(i16::from_be_bytes(bytes) >> unused_bits)
        });
    }

    /// When it has to be polled. With a full ring there is no hurry: what is missed then would be lost anyway.
    pub(crate) fn deadline_us(&self) -> Option<u64> {
        let reads = self.on && !self.front_end.ring().is_full();
        reads.then(|| self.front_end.deadline_us().unwrap_or(0))
    }
}
