//! Sensors whose blocks arrive as events.

use crate::{BlockHeader, Errno, abi, count};

/// An open sensor. A plain number, valid on both cores: it moves with the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sensor(pub(crate) i32);

/// Opens the sensor of that name; from then on its blocks arrive as [`crate::Event::Sensor`].
///
/// # Errors
/// [`Errno::Denied`] when the manifest does not grant it.
pub fn open(name: &str) -> Result<Sensor, Errno> {
    let handle = abi::sensor_open(name);
    count(handle).map(|_| Sensor(handle))
}

impl Sensor {
    /// Reads the block of the event being handled into the front of `samples`; returns its header and how many samples
    /// were written. Samples that do not fit are not delivered again.
    ///
    /// # Errors
    /// [`Errno::Again`] when the event is not one of this sensor, [`Errno::BadHandle`] when it was not opened.
    pub fn read_block(self, samples: &mut [i16]) -> Result<(BlockHeader, usize), Errno> {
        let mut header = [0; BlockHeader::BYTES];
        let written = count(abi::sensor_read_block(self.0, &mut header, samples))?;
        let header = BlockHeader::from_bytes(&header).ok_or(Errno::Invalid)?;
        Ok((header, written.min(samples.len())))
    }
}
