//! Sensors whose blocks arrive as events.

use coracle_guest_abi::SensorInfo;

use crate::{BlockHeader, Errno, abi, count};

/// An open sensor. A plain number, valid on both cores: it moves with the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sensor(pub(crate) i32);

/// Opens the sensor of that name, to recognise its blocks, which arrive as [`crate::Event::Sensor`], and to read them.
///
/// # Errors
/// [`Errno::Denied`] when the manifest does not grant it, [`Errno::NoSpace`] when `limits.handles` are open.
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

    /// What the sensor gives. May park the container.
    ///
    /// # Errors
    /// [`Errno::BadHandle`] when it is not open, [`Errno::NoDevice`] when it is gone.
    pub fn info(self) -> Result<SensorInfo, Errno> {
        let mut info = [0; SensorInfo::BYTES];
        count(abi::sensor_info(self.0, &mut info))?;
        SensorInfo::from_bytes(&info).ok_or(Errno::Invalid)
    }

    /// Asks for `rate_hz` samples a second; returns the rate that it gets, at most the one that the manifest grants.
    ///
    /// # Errors
    /// [`Errno::BadHandle`] when it is not open, [`Errno::Invalid`] for a rate of 0.
    pub fn set_rate(self, rate_hz: u32) -> Result<u32, Errno> {
        // A count fits u32 on every target: it was an i32.
        count(abi::sensor_set_rate(self.0, rate_hz)).map(|rate| rate as u32)
    }

    /// From now on a block is an event only if one of its samples is below `low` or above `high`; with `low` above
    /// `high`, none is.
    ///
    /// # Errors
    /// [`Errno::BadHandle`] when it is not open.
    pub fn set_threshold(self, low: i32, high: i32) -> Result<(), Errno> {
        count(abi::sensor_set_threshold(self.0, low, high)).map(drop)
    }

    /// Ends the use of the sensor; its blocks are no events any more.
    ///
    /// # Errors
    /// [`Errno::BadHandle`] when it is not open.
    pub fn close(self) -> Result<(), Errno> {
        count(abi::sensor_close(self.0)).map(drop)
    }
}
