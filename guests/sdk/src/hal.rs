//! `embedded-hal` 1.0 on the buses and pins of the core, so that driver crates run inside a container unchanged:
//! [`I2c`] for [`Bus`], [`SpiDevice`] for [`Device`], [`InputPin`] and [`OutputPin`] for [`Input`] and [`Output`], and
//! [`DelayNs`] for [`Delay`].
//!
//! One `transaction` is one call of the core, so that nothing of another container comes between its operations:
//! * I2C: adjacent operations of one kind are joined. Writes, reads, and writes followed by reads are one transaction on
//!   the bus. Any other order needs more than one, and is [`Error::Pattern`].
//! * SPI: all operations are joined to one transfer. A pause within it is [`Error::Pattern`].
//!
//! Joining copies, through [`TRANSFER_BYTES_MAX`] bytes of stack for each direction; a single operation and a write
//! followed by a read, which is what nearly every driver does, are passed through. Everything here may park the
//! container; no core is held meanwhile.

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{self, InputPin, OutputPin};
use embedded_hal::i2c::{self, I2c, NoAcknowledgeSource};
use embedded_hal::spi::{self, SpiDevice};

use crate::gpio::{Input, Output};
use crate::i2c::Bus;
use crate::spi::Device;
use crate::{Errno, MESSAGE_BYTES_MAX, time};

/// Most bytes of one transaction on a bus that are joined, in each direction.
pub const TRANSFER_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// Why an operation of a driver failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The core's answer.
    Core(Errno),
    /// Operations in an order that is not one transaction; nothing was sent. Split them.
    Pattern,
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Error::Core(errno)
    }
}

impl i2c::Error for Error {
    fn kind(&self) -> i2c::ErrorKind {
        match self {
            Error::Core(Errno::NoDevice) => i2c::ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            Error::Core(Errno::RemoteIo) => i2c::ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data),
            Error::Core(Errno::Io) => i2c::ErrorKind::Bus,
            // Also of a bus on the other core while the way there is full: in both cases the driver may try again.
            Error::Core(Errno::Again) => i2c::ErrorKind::ArbitrationLoss,
            Error::Core(_) | Error::Pattern => i2c::ErrorKind::Other,
        }
    }
}

impl spi::Error for Error {
    fn kind(&self) -> spi::ErrorKind {
        spi::ErrorKind::Other
    }
}

impl digital::Error for Error {
    fn kind(&self) -> digital::ErrorKind {
        digital::ErrorKind::Other
    }
}

impl i2c::ErrorType for Bus {
    type Error = Error;
}

impl I2c for Bus {
    fn read(&mut self, address: u8, read: &mut [u8]) -> Result<(), Error> {
        Ok(self.write_read(address, &[], read)?)
    }

    fn write(&mut self, address: u8, write: &[u8]) -> Result<(), Error> {
        Ok(self.write_read(address, write, &mut [])?)
    }

    fn write_read(&mut self, address: u8, write: &[u8], read: &mut [u8]) -> Result<(), Error> {
        Ok(Bus::write_read(self, address, write, read)?)
    }

    fn transaction(&mut self, address: u8, operations: &mut [i2c::Operation<'_>]) -> Result<(), Error> {
        i2c_transaction(operations, |write, read| Bus::write_read(self, address, write, read))
    }
}

/// Turns `operations` into one `transfer`, which writes its first argument, then reads its second one.
fn i2c_transaction(
    operations: &mut [i2c::Operation<'_>],
    transfer: impl FnOnce(&[u8], &mut [u8]) -> Result<(), Errno>,
) -> Result<(), Error> {
    use i2c::Operation::{Read, Write};
    match operations {
        [] => Ok(()),
        [Write(write)] => Ok(transfer(write, &mut [])?),
        [Read(read)] => Ok(transfer(&[], read)?),
        [Write(write), Read(read)] => Ok(transfer(write, read)?),
        _ => {
            let (mut write, mut read) = (Buffer::new(), Buffer::new());
            for operation in operations.iter() {
                match operation {
                    Write(_) if read.used > 0 => return Err(Error::Pattern),
                    Write(bytes) => write.append(bytes.len())?.copy_from_slice(bytes),
                    Read(bytes) => read.append(bytes.len()).map(drop)?,
                }
            }
            transfer(write.filled(), read.filled())?;
            let mut rest: &[u8] = read.filled();
            for operation in operations {
                if let Read(bytes) = operation {
                    rest = copy_front(rest, bytes);
                }
            }
            Ok(())
        }
    }
}

impl spi::ErrorType for Device {
    type Error = Error;
}

impl SpiDevice for Device {
    fn read(&mut self, buf: &mut [u8]) -> Result<(), Error> {
        Ok(Device::transfer(self, &[], buf)?)
    }

    fn write(&mut self, buf: &[u8]) -> Result<(), Error> {
        Ok(Device::transfer(self, buf, &mut [])?)
    }

    fn transfer(&mut self, read: &mut [u8], write: &[u8]) -> Result<(), Error> {
        Ok(Device::transfer(self, write, read)?)
    }

    fn transfer_in_place(&mut self, buf: &mut [u8]) -> Result<(), Error> {
        Ok(Device::transfer_in_place(self, buf)?)
    }

    fn transaction(&mut self, operations: &mut [spi::Operation<'_, u8>]) -> Result<(), Error> {
        spi_transaction(operations, |bytes| Device::transfer_in_place(self, bytes))
    }
}

/// Turns `operations` into one `transfer`, which writes its argument and reads over it.
fn spi_transaction(
    operations: &mut [spi::Operation<'_, u8>],
    transfer: impl FnOnce(&mut [u8]) -> Result<(), Errno>,
) -> Result<(), Error> {
    use spi::Operation::{DelayNs, Read, Transfer, TransferInPlace, Write};
    if operations.is_empty() {
        return Ok(());
    }
    let mut buffer = Buffer::new();
    for operation in operations.iter() {
        match operation {
            // Zeros are written meanwhile.
            Read(bytes) => buffer.append(bytes.len()).map(drop)?,
            Write(bytes) => buffer.append(bytes.len())?.copy_from_slice(bytes),
            Transfer(read, write) => {
                let place = buffer.append(read.len().max(write.len()))?;
                if let Some(place) = place.get_mut(..write.len()) {
                    place.copy_from_slice(write);
                }
            }
            TransferInPlace(bytes) => buffer.append(bytes.len())?.copy_from_slice(bytes),
            DelayNs(_) => return Err(Error::Pattern),
        }
    }
    transfer(buffer.filled())?;
    let mut rest: &[u8] = buffer.filled();
    for operation in operations {
        rest = match operation {
            Read(bytes) | TransferInPlace(bytes) => copy_front(rest, bytes),
            Write(bytes) => rest.get(bytes.len()..).unwrap_or_default(),
            Transfer(read, write) => {
                let after = copy_front(rest, read);
                after.get(write.len().saturating_sub(read.len())..).unwrap_or_default()
            }
            DelayNs(_) => rest,
        };
    }
    Ok(())
}

/// Where operations are joined. Zeros where nothing was written.
struct Buffer {
    bytes: [u8; TRANSFER_BYTES_MAX],
    used: usize,
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: [0; TRANSFER_BYTES_MAX], used: 0 }
    }

    /// The next `len` bytes.
    fn append(&mut self, len: usize) -> Result<&mut [u8], Errno> {
        let from = self.used;
        let place = self.bytes.get_mut(from..).and_then(|rest| rest.get_mut(..len)).ok_or(Errno::TooLarge)?;
        self.used = from + len;
        Ok(place)
    }

    fn filled(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.used).unwrap_or_default()
    }
}

/// Fills `to` from the front of `from`, and returns what follows.
fn copy_front<'a>(from: &'a [u8], to: &mut [u8]) -> &'a [u8] {
    let (front, rest) = from.split_at_checked(to.len()).unwrap_or_default();
    if front.len() == to.len() {
        to.copy_from_slice(front);
    }
    rest
}

impl digital::ErrorType for Input {
    type Error = Error;
}

impl InputPin for Input {
    fn is_high(&mut self) -> Result<bool, Error> {
        Ok(Input::is_high(*self)?)
    }

    fn is_low(&mut self) -> Result<bool, Error> {
        Ok(!Input::is_high(*self)?)
    }
}

impl digital::ErrorType for Output {
    type Error = Error;
}

impl OutputPin for Output {
    fn set_low(&mut self) -> Result<(), Error> {
        Ok(self.set(false)?)
    }

    fn set_high(&mut self) -> Result<(), Error> {
        Ok(self.set(true)?)
    }
}

/// Pauses for drivers: [`time::sleep`], rounded up to microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delay;

/// # Panics
/// When the core refuses to sleep: `DelayNs` cannot report it, and a driver that goes on too early reads nonsense.
impl DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        pause(u64::from(ns.div_ceil(1000)));
    }

    fn delay_us(&mut self, us: u32) {
        pause(u64::from(us));
    }

    fn delay_ms(&mut self, ms: u32) {
        pause(u64::from(ms) * 1000);
    }
}

fn pause(us: u64) {
    assert!(time::sleep(us).is_ok(), "the core refuses to sleep");
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    /// What was written, and how much was read.
    type I2cCalls = Vec<(Vec<u8>, usize)>;

    /// Runs I2C operations against a device that answers 1, 2, 3, and so on.
    fn on_i2c(operations: &mut [i2c::Operation<'_>]) -> (Result<(), Error>, I2cCalls) {
        let mut calls = Vec::new();
        let result = i2c_transaction(operations, |write, read| {
            calls.push((write.to_vec(), read.len()));
            for (to, from) in read.iter_mut().zip(1..) {
                *to = from;
            }
            Ok(())
        });
        (result, calls)
    }

    #[test]
    fn an_i2c_transaction_is_one_call() {
        use i2c::Operation::{Read, Write};
        assert_eq!(on_i2c(&mut []), (Ok(()), [].into()));
        assert_eq!(on_i2c(&mut [Write(&[7, 8])]), (Ok(()), [([7, 8].into(), 0)].into()));
        assert_eq!(on_i2c(&mut [Write(&[7]), Write(&[]), Write(&[8, 9])]), (Ok(()), [([7, 8, 9].into(), 0)].into()));
        let (mut one, mut two) = ([0; 1], [0; 2]);
        assert_eq!(on_i2c(&mut [Read(&mut two)]), (Ok(()), [([].into(), 2)].into()));
        let joined = on_i2c(&mut [Write(&[7]), Write(&[8]), Read(&mut two), Read(&mut one)]);
        assert_eq!(joined, (Ok(()), [([7, 8].into(), 3)].into()));
        assert_eq!((two, one), ([1, 2], [3]));
    }

    #[test]
    fn other_orders_on_i2c_are_an_error_of_their_own() {
        use i2c::Operation::{Read, Write};
        let (mut one, mut two) = ([0; 1], [0; 2]);
        assert_eq!(on_i2c(&mut [Read(&mut one), Write(&[1])]), (Err(Error::Pattern), [].into()));
        let again = on_i2c(&mut [Write(&[1]), Read(&mut one), Write(&[1]), Read(&mut two)]);
        assert_eq!(again, (Err(Error::Pattern), [].into()));
        let long = [0; TRANSFER_BYTES_MAX];
        let too_long = on_i2c(&mut [Write(&long), Write(&[1])]);
        assert_eq!(too_long, (Err(Error::Core(Errno::TooLarge)), [].into()));
        assert!(on_i2c(&mut [Write(&long), Write(&[]), Read(&mut one)]).0.is_ok());
    }

    #[test]
    fn kinds_of_i2c_errors_follow_the_errno() {
        use i2c::{Error as _, ErrorKind};
        for (errno, kind) in [
            (Errno::NoDevice, ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)),
            (Errno::RemoteIo, ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data)),
            (Errno::Io, ErrorKind::Bus),
            (Errno::Again, ErrorKind::ArbitrationLoss),
            (Errno::Denied, ErrorKind::Other),
        ] {
            assert_eq!(Error::Core(errno).kind(), kind);
        }
        assert_eq!(Error::Pattern.kind(), ErrorKind::Other);
    }

    /// Runs SPI operations against a device that answers each byte with its complement.
    fn on_spi(operations: &mut [spi::Operation<'_, u8>]) -> (Result<(), Error>, Vec<Vec<u8>>) {
        let mut calls = Vec::new();
        let result = spi_transaction(operations, |bytes| {
            calls.push(bytes.to_vec());
            for byte in bytes {
                *byte = !*byte;
            }
            Ok(())
        });
        (result, calls)
    }

    #[test]
    fn an_spi_transaction_is_one_call() {
        use spi::Operation::{Read, Transfer, TransferInPlace, Write};
        let (mut read, mut short, mut long, mut place) = ([1; 2], [1; 1], [1; 3], [0x30, 0x31]);
        let joined = on_spi(&mut [
            Write(&[0x10, 0x11]),
            Read(&mut read),
            Transfer(&mut short, &[0x20, 0x21]),
            Transfer(&mut long, &[0x22]),
            TransferInPlace(&mut place),
        ]);
        let sent = [0x10, 0x11, 0, 0, 0x20, 0x21, 0x22, 0, 0, 0x30, 0x31];
        assert_eq!(joined, (Ok(()), [sent.to_vec()].into()));
        assert_eq!((read, short, long, place), ([0xFF; 2], [0xDF], [0xDD, 0xFF, 0xFF], [0xCF, 0xCE]));
        assert_eq!(on_spi(&mut []), (Ok(()), [].into()));
    }

    #[test]
    fn what_is_no_spi_transfer_is_an_error() {
        use spi::Operation::{DelayNs, Read, Write};
        let mut long = [0; TRANSFER_BYTES_MAX];
        assert_eq!(on_spi(&mut [Write(&[1]), DelayNs(5), Write(&[2])]), (Err(Error::Pattern), [].into()));
        let too_long = on_spi(&mut [Write(&[1]), Read(&mut long)]);
        assert_eq!(too_long, (Err(Error::Core(Errno::TooLarge)), [].into()));
    }
}
