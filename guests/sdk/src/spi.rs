//! SPI devices. What driver crates need is in [`crate::hal`].

use crate::{Errno, abi, count};

/// An open device: bus, chip select and mode are the board's. A plain number, valid on both cores: it moves with the
/// container.
#[derive(Debug, PartialEq, Eq)]
pub struct Device(pub(crate) i32);

/// Opens the device of that name.
///
/// # Errors
/// [`Errno::Denied`] when the manifest does not grant it, [`Errno::NoSpace`] when `limits.handles` are open.
pub fn open(device: &str) -> Result<Device, Errno> {
    let handle = abi::spi_open(device);
    count(handle).map(|_| Device(handle))
}

impl Device {
    /// One transaction: writes `bytes` and reads into `buffer` at the same time, for as long as the longer of the two.
    /// What is written beyond `bytes` is 0; what is read beyond `buffer` is dropped. May park the container.
    ///
    /// # Errors
    /// [`Errno::Io`] when the bus fails, [`Errno::NoDevice`] when it is gone, [`Errno::TooLarge`] above
    /// `limits.payload`, [`Errno::BadHandle`] when the device is not open.
    pub fn transfer(&mut self, bytes: &[u8], buffer: &mut [u8]) -> Result<(), Errno> {
        count(abi::spi_transfer(self.0, bytes, buffer)).map(drop)
    }

    /// As [`Device::transfer`]: writes what is in `bytes` and reads over it.
    ///
    /// # Errors
    /// As [`Device::transfer`].
    pub fn transfer_in_place(&mut self, bytes: &mut [u8]) -> Result<(), Errno> {
        count(abi::spi_transfer_in_place(self.0, bytes)).map(drop)
    }

    /// Ends the use of the device.
    ///
    /// # Errors
    /// [`Errno::BadHandle`] when it is not open.
    pub fn close(self) -> Result<(), Errno> {
        count(abi::spi_close(self.0)).map(drop)
    }
}
