//! I2C buses. What driver crates need is in [`crate::hal`].

use crate::{Errno, abi, count};

/// An open bus. A plain number, valid on both cores: it moves with the container.
#[derive(Debug, PartialEq, Eq)]
pub struct Bus(pub(crate) i32);

/// Opens the bus of that name.
///
/// # Errors
/// [`Errno::Denied`] when the manifest does not grant it, [`Errno::NoSpace`] when `limits.handles` are open.
pub fn open(bus: &str) -> Result<Bus, Errno> {
    let handle = abi::i2c_open(bus);
    count(handle).map(|_| Bus(handle))
}

impl Bus {
    /// Writes `bytes` to the device at the seven-bit `address`, then, after a repeated start, reads until `buffer` is
    /// full. Either may be empty. May park the container.
    ///
    /// # Errors
    /// [`Errno::Denied`] when the manifest does not grant the address, [`Errno::NoDevice`] when nobody answers there,
    /// [`Errno::RemoteIo`] when the device refuses, [`Errno::Io`] when the bus fails, [`Errno::TooLarge`] above
    /// `limits.payload`, [`Errno::BadHandle`] when the bus is not open.
    pub fn write_read(&mut self, address: u8, bytes: &[u8], buffer: &mut [u8]) -> Result<(), Errno> {
        count(abi::i2c_write_read(self.0, u32::from(address), bytes, buffer)).map(drop)
    }

    /// Ends the use of the bus.
    ///
    /// # Errors
    /// [`Errno::BadHandle`] when it is not open.
    pub fn close(self) -> Result<(), Errno> {
        count(abi::i2c_close(self.0)).map(drop)
    }
}
