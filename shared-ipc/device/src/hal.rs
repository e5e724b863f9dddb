//! Pins and buses with one error type, over any types of `embedded-hal`.
//!
//! `embedded-hal` lets each chip have its own errors, so its traits cannot stand behind one name. The `...Port` traits
//! here can: they are object safe and fail with an [`Errno`]. The `...Driver` types put the types of a chip behind them.
//! Nothing is checked here but what a bus could never do.

use coracle_guest_abi::Errno;
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal::i2c::{self, I2c, NoAcknowledgeSource};
use embedded_hal::spi::SpiDevice;

use crate::TRANSFER_BYTES_MAX;

/// Largest address of seven bits.
const I2C_ADDRESS_MAX: u8 = 0x7F;

/// A pin of either direction.
pub trait PinPort {
    /// Whether it is set by this core.
    fn is_output(&self) -> bool;
    /// Whether it is high. Of an output: what it was set to.
    ///
    /// # Errors
    /// [`Errno::Io`].
    fn read(&mut self) -> Result<bool, Errno>;
    /// Sets an output.
    ///
    /// # Errors
    /// [`Errno::Invalid`] for an input; [`Errno::Io`].
    fn write(&mut self, high: bool) -> Result<(), Errno>;
}

impl<P: PinPort + ?Sized> PinPort for &mut P {
    fn is_output(&self) -> bool {
        (**self).is_output()
    }
    fn read(&mut self) -> Result<bool, Errno> {
        (**self).read()
    }
    fn write(&mut self, high: bool) -> Result<(), Errno> {
        (**self).write(high)
    }
}

/// An input.
#[derive(Debug)]
pub struct InputDriver<P>(P);

impl<P: InputPin> InputDriver<P> {
    /// A port over `pin`.
    pub const fn new(pin: P) -> Self {
        Self(pin)
    }
}

impl<P: InputPin> PinPort for InputDriver<P> {
    fn is_output(&self) -> bool {
        false
    }
    fn read(&mut self) -> Result<bool, Errno> {
        self.0.is_high().map_err(|_| Errno::Io)
    }
    fn write(&mut self, _high: bool) -> Result<(), Errno> {
        Err(Errno::Invalid)
    }
}

/// An output. Reading gives back what was set last: not every chip can tell the level of an output.
#[derive(Debug)]
pub struct OutputDriver<P> {
    pin: P,
    high: bool,
}

impl<P: OutputPin> OutputDriver<P> {
    /// A port over `pin`, which the board has already set to `high`: an output has a level from its first instant.
    pub const fn new(pin: P, high: bool) -> Self {
        Self { pin, high }
    }
}

impl<P: OutputPin> PinPort for OutputDriver<P> {
    fn is_output(&self) -> bool {
        true
    }
    fn read(&mut self) -> Result<bool, Errno> {
        Ok(self.high)
    }
    fn write(&mut self, high: bool) -> Result<(), Errno> {
        self.pin.set_state(high.into()).map_err(|_| Errno::Io)?;
        self.high = high;
        Ok(())
    }
}

/// An I2C bus.
pub trait I2cPort {
    /// Writes, then after a repeated start reads until `read` is full. Either may be empty; both empty asks only whether
    /// the address is acknowledged, which not every chip can do.
    ///
    /// # Errors
    /// As [`i2c_errno`] says; [`Errno::Invalid`] for an address of more than seven bits.
    fn write_read(&mut self, address: u8, write: &[u8], read: &mut [u8]) -> Result<(), Errno>;
}

impl<P: I2cPort + ?Sized> I2cPort for &mut P {
    fn write_read(&mut self, address: u8, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
        (**self).write_read(address, write, read)
    }
}

/// A bus of `embedded-hal`.
#[derive(Debug)]
pub struct I2cDriver<B>(B);

impl<B: I2c> I2cDriver<B> {
    /// A port over `bus`.
    pub const fn new(bus: B) -> Self {
        Self(bus)
    }
}

impl<B: I2c> I2cPort for I2cDriver<B> {
    fn write_read(&mut self, address: u8, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
        if address > I2C_ADDRESS_MAX {
            return Err(Errno::Invalid);
        }
        // An empty part would still address the device for it, so it is left out.
        let done = match (write.is_empty(), read.is_empty()) {
            (_, true) => self.0.write(address, write),
            (true, false) => self.0.read(address, read),
            (false, false) => self.0.write_read(address, write, read),
        };
        done.map_err(|error| i2c_errno(&error))
    }
}

/// What an error of an I2C bus is to a guest. A missing acknowledgement of which the chip does not say what it was for
/// counts as one of the address: the address is the first thing that a device can refuse.
pub fn i2c_errno(error: &impl i2c::Error) -> Errno {
    use i2c::ErrorKind;
    match error.kind() {
        ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data) => Errno::RemoteIo,
        ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address | NoAcknowledgeSource::Unknown) => Errno::NoDevice,
        ErrorKind::ArbitrationLoss => Errno::Again,
        // `ErrorKind` may grow.
        _ => Errno::Io,
    }
}

/// A device on an SPI bus: bus, chip select and mode are in it.
pub trait SpiPort {
    /// One transaction, as long as the longer of the two; zeros are written beyond `write`.
    ///
    /// # Errors
    /// [`Errno::Io`]; [`Errno::TooLarge`] over [`TRANSFER_BYTES_MAX`].
    fn transfer(&mut self, write: &[u8], read: &mut [u8]) -> Result<(), Errno>;
}

impl<P: SpiPort + ?Sized> SpiPort for &mut P {
    fn transfer(&mut self, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
        (**self).transfer(write, read)
    }
}

/// A device of `embedded-hal`.
#[derive(Debug)]
pub struct SpiDriver<D>(D);

impl<D: SpiDevice> SpiDriver<D> {
    /// A port over `device`.
    pub const fn new(device: D) -> Self {
        Self(device)
    }
}

impl<D: SpiDevice> SpiPort for SpiDriver<D> {
    fn transfer(&mut self, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
        transfer_padded(write, read, |bytes| self.0.transfer_in_place(bytes).map_err(|_| Errno::Io))
    }
}

/// Makes a transfer in place of one with two buffers of different lengths. `embedded-hal` leaves open what is written
/// beyond the end of the shorter one; a guest's transaction must not depend on the chip.
fn transfer_padded(
    write: &[u8],
    read: &mut [u8],
    transfer: impl FnOnce(&mut [u8]) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut buffer = [0; TRANSFER_BYTES_MAX];
    let bytes = buffer.get_mut(..write.len().max(read.len())).ok_or(Errno::TooLarge)?;
    for (to, from) in bytes.iter_mut().zip(write) {
        *to = *from;
    }
    transfer(bytes)?;
    for (to, from) in read.iter_mut().zip(bytes) {
        *to = *from;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use embedded_hal::i2c::{ErrorKind, Operation};

    use super::*;

    /// A bus that fails in this way.
    struct Failing(ErrorKind);

    impl i2c::ErrorType for Failing {
        type Error = ErrorKind;
    }

    impl I2c for Failing {
        fn transaction(&mut self, _address: u8, _operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
            Err(self.0)
        }
    }

    #[test]
    fn each_error_of_a_bus_has_its_number() {
        for (kind, errno) in [
            (ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address), Errno::NoDevice),
            (ErrorKind::NoAcknowledge(NoAcknowledgeSource::Unknown), Errno::NoDevice),
            (ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data), Errno::RemoteIo),
            (ErrorKind::ArbitrationLoss, Errno::Again),
            (ErrorKind::Bus, Errno::Io),
            (ErrorKind::Overrun, Errno::Io),
            (ErrorKind::Other, Errno::Io),
        ] {
            let mut port = I2cDriver::new(Failing(kind));
            assert_eq!(port.write_read(0x48, &[0], &mut [0; 2]), Err(errno), "{kind:?}");
        }
    }

    /// Counts the parts of a transaction.
    #[derive(Default)]
    struct Parts {
        writes: usize,
        reads: usize,
    }

    impl i2c::ErrorType for Parts {
        type Error = ErrorKind;
    }

    impl I2c for Parts {
        fn transaction(&mut self, _address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
            self.writes = operations.iter().filter(|operation| matches!(operation, Operation::Write(_))).count();
            self.reads = operations.len() - self.writes;
            Ok(())
        }
    }

    #[test]
    fn an_empty_part_is_left_out() {
        let cases: [(&[u8], usize, (usize, usize)); 4] =
            [(&[1], 2, (1, 1)), (&[], 2, (0, 1)), (&[1], 0, (1, 0)), (&[], 0, (1, 0))];
        for (write, read, expected) in cases {
            let mut port = I2cDriver::new(Parts::default());
            assert_eq!(port.write_read(0x10, write, &mut [0; 2][..read]), Ok(()));
            assert_eq!((port.0.writes, port.0.reads), expected, "{} bytes out, {read} in", write.len());
        }
    }

    #[test]
    fn what_is_written_beyond_the_end_is_zero() {
        let mut sent = [0xEE; 4];
        let mut read = [0xEE; 4];
        let done = transfer_padded(&[1, 2], &mut read, |bytes| {
            sent.copy_from_slice(bytes);
            bytes.copy_from_slice(&[9, 8, 7, 6]);
            Ok(())
        });
        assert_eq!((done, sent, read), (Ok(()), [1, 2, 0, 0], [9, 8, 7, 6]));
        let mut read = [0xEE; 1];
        assert_eq!(transfer_padded(&[1, 2], &mut read, |_| Err(Errno::Io)), Err(Errno::Io));
        assert_eq!(read, [0xEE], "a failed transfer gives nothing");
    }
}
