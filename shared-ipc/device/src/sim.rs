//! Pins, buses and devices on them for boards that have none, at the level of registers: drivers written for the real
//! parts work with them. Deterministic: no clock, no noise, and no wear; nothing takes time.
//!
//! | name | what is there |
//! | --- | --- |
//! | pin `led` | output, starts low, wired to `button` |
//! | pin `button` | input |
//! | I2C bus `i2c0` | [`Lm75`], a thermometer, at address 0x48; no other address is acknowledged |
//! | SPI device `spi0` | [`Eeprom`], 256 bytes like Microchip's 25AA02E48 |
//! | sensor `temp0` | the thermometer again, read by the core eight times a second |

use core::convert::Infallible;
use core::sync::atomic::{AtomicBool, Ordering};

use coracle_guest_abi::{Errno, SensorInfo};
use embedded_hal::digital::{self, InputPin, OutputPin};
use embedded_hal::i2c::{self, I2c, NoAcknowledgeSource};
use embedded_hal::spi::{self, SpiDevice};

use crate::hal::{I2cDriver, InputDriver, OutputDriver, PinPort, SpiDriver};
use crate::polled_sensor::{PolledSensor, SensorRegister};
use crate::registry::Registry;

/// Address of the thermometer on `i2c0`.
pub const LM75_ADDRESS: u8 = 0x48;
/// Bytes of the memory behind `spi0`.
pub const EEPROM_BYTES: usize = 256;

/// The sensor that a board without hardware is fed from outside: 12 kHz in blocks of 512. What a count is depends on the
/// recording that is played, so the scale is unknown.
pub const ACCEL0: (&str, SensorInfo) =
    ("accel0", SensorInfo { rate_hz: 12_000, rate_max_hz: 12_000, block: 512, scale_nano: 0, unit: 0 });

/// A block a second, in half degrees.
const TEMP0: PolledSensor = {
    let register = SensorRegister::I2c { bus: "i2c0", address: LM75_ADDRESS, register: 0 };
    let info = SensorInfo { rate_hz: 8, rate_max_hz: 8, block: 8, scale_nano: 500_000_000, unit: 2 };
    match PolledSensor::new("temp0", register, 7, info) {
        Some(sensor) => sensor,
        None => panic!("the numbers above are out of range"),
    }
};

/// What a board without hardware has. [`devices`] makes it.
pub type SimDevices<'w> = Registry<SimPin<'w>, I2cDriver<SimI2c>, SpiDriver<Eeprom>, 2, 1, 1, 1>;

/// The devices of the table above, with `wire` between the pins, and what the board's own `sensors` are.
#[must_use]
pub fn devices<'w>(wire: &'w Wire, sensors: &'static [(&'static str, SensorInfo)]) -> SimDevices<'w> {
    wire.set(false);
    let led = OutputDriver::new(wire, false);
    Registry::new(
        [("led", SimPin::Output(led)), ("button", SimPin::Input(InputDriver::new(wire)))],
        [("i2c0", I2cDriver::new(SimI2c::default()))],
        [("spi0", SpiDriver::new(Eeprom::default()))],
        [TEMP0],
        sensors,
    )
}

/// A wire between pins.
#[derive(Debug, Default)]
pub struct Wire(AtomicBool);

impl Wire {
    /// A wire that is low.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Whether it is high.
    #[must_use]
    pub fn is_high(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets its level, as something outside of the board could.
    pub fn set(&self, high: bool) {
        self.0.store(high, Ordering::Relaxed);
    }
}

impl digital::ErrorType for &Wire {
    type Error = Infallible;
}

impl InputPin for &Wire {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(Wire::is_high(self))
    }
    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!Wire::is_high(self))
    }
}

impl OutputPin for &Wire {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.set(false);
        Ok(())
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        self.set(true);
        Ok(())
    }
}

/// A pin at one end of a [`Wire`].
#[derive(Debug)]
pub enum SimPin<'w> {
    /// Reads it.
    Input(InputDriver<&'w Wire>),
    /// Sets it.
    Output(OutputDriver<&'w Wire>),
}

impl PinPort for SimPin<'_> {
    fn is_output(&self) -> bool {
        match self {
            Self::Input(pin) => pin.is_output(),
            Self::Output(pin) => pin.is_output(),
        }
    }
    fn read(&mut self) -> Result<bool, Errno> {
        match self {
            Self::Input(pin) => pin.read(),
            Self::Output(pin) => pin.read(),
        }
    }
    fn write(&mut self, high: bool) -> Result<(), Errno> {
        match self {
            Self::Input(pin) => pin.write(high),
            Self::Output(pin) => pin.write(high),
        }
    }
}

/// A bus with a thermometer on it.
#[derive(Debug, Default)]
pub struct SimI2c {
    /// The thermometer.
    pub lm75: Lm75,
}

impl i2c::ErrorType for SimI2c {
    type Error = i2c::ErrorKind;
}

impl I2c for SimI2c {
    fn transaction(&mut self, address: u8, operations: &mut [i2c::Operation<'_>]) -> Result<(), i2c::ErrorKind> {
        if address != LM75_ADDRESS {
            return Err(i2c::ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
        }
        let mut written_before = false;
        for operation in operations {
            let writes = matches!(operation, i2c::Operation::Write(_));
            // Between two writes or two reads there is no start condition: they are one.
            if writes != written_before {
                self.lm75.start();
            }
            written_before = writes;
            match operation {
                i2c::Operation::Write(bytes) => bytes.iter().for_each(|byte| self.lm75.write(*byte)),
                i2c::Operation::Read(bytes) => bytes.iter_mut().for_each(|byte| *byte = self.lm75.read()),
            }
        }
        self.lm75.start();
        Ok(())
    }
}

/// The registers of an LM75 with half-degree steps: temperature, configuration, hysteresis and overtemperature. Its
/// output pin and its shutdown are not there.
#[derive(Debug)]
pub struct Lm75 {
    /// Of the register that is read and written next.
    pointer: u8,
    /// Bytes since the last start condition.
    position: u8,
    temperature: [u8; 2],
    configuration: u8,
    hysteresis: [u8; 2],
    overtemperature: [u8; 2],
}

impl Default for Lm75 {
    /// As after power came, at 21.5 degrees.
    fn default() -> Self {
        let halves = |halves: i16| (halves << 7).to_be_bytes();
        Self {
            pointer: 0,
            position: 0,
            temperature: halves(43),
            configuration: 0,
            hysteresis: halves(150),
            overtemperature: halves(160),
        }
    }
}

impl Lm75 {
    /// Bits of the configuration register that exist.
    const CONFIGURATION_BITS: u8 = 0x1F;
    /// Temperatures that it can tell, in half degrees: -55 to 125.
    const HALF_DEGREES: core::ops::RangeInclusive<i16> = -110..=250;

    /// Sets the temperature around it, in half degrees; beyond what the part can tell it stays at the end.
    pub fn set_temperature(&mut self, half_degrees: i16) {
        let shown = half_degrees.clamp(*Self::HALF_DEGREES.start(), *Self::HALF_DEGREES.end());
        self.temperature = (shown << 7).to_be_bytes();
    }

    fn start(&mut self) {
        self.position = 0;
    }

    fn write(&mut self, byte: u8) {
        match (self.position, self.pointer) {
            (0, _) => self.pointer = byte & 3,
            (1, 1) => self.configuration = byte & Self::CONFIGURATION_BITS,
            (1, 2) => self.hysteresis[0] = byte,
            (2, 2) => self.hysteresis[1] = byte & 0x80,
            (1, 3) => self.overtemperature[0] = byte,
            (2, 3) => self.overtemperature[1] = byte & 0x80,
            // The temperature cannot be written, and no register has more bytes.
            _ => {}
        }
        self.position = self.position.saturating_add(1);
    }

    fn read(&mut self) -> u8 {
        let register = match self.pointer {
            0 => self.temperature,
            1 => [self.configuration; 2],
            2 => self.hysteresis,
            _ => self.overtemperature,
        };
        // Who reads on gets the same bytes again.
        let byte = register.get(usize::from(self.position % 2)).copied().unwrap_or(0);
        self.position = self.position.wrapping_add(1);
        byte
    }
}

/// A memory with the commands of Microchip's 25-series and the identity of its 25AA02E48. The write protection bits of the
/// status register are kept and protect nothing; a write is done at once.
#[derive(Debug)]
pub struct Eeprom {
    bytes: [u8; EEPROM_BYTES],
    write_enabled: bool,
    status: u8,
}

impl Default for Eeprom {
    /// As delivered: empty but for the node address at the end.
    fn default() -> Self {
        let mut bytes = [0xFF; EEPROM_BYTES];
        if let Some(identity) = bytes.last_chunk_mut() {
            *identity = Self::NODE_ADDRESS;
        }
        Self { bytes, write_enabled: false, status: 0 }
    }
}

impl Eeprom {
    /// The last bytes of a new memory: a number that no other part has. This one has a prefix for local use.
    pub const NODE_ADDRESS: [u8; 6] = [0x02, 0x00, 0x00, 0x43, 0x4F, 0x52];

    const WRITE_STATUS: u8 = 0x01;
    const WRITE: u8 = 0x02;
    const READ: u8 = 0x03;
    const WRITE_DISABLE: u8 = 0x04;
    const READ_STATUS: u8 = 0x05;
    const WRITE_ENABLE: u8 = 0x06;
    const STATUS_WRITE_ENABLED: u8 = 0x02;
    /// Bits of the status register that can be written.
    const STATUS_PROTECTION: u8 = 0x0C;
    /// Writing goes around within so many bytes.
    const PAGE_BYTES: u8 = 16;

    /// The byte that the memory sends while it gets number `position` of the transaction.
    fn exchange(&mut self, transaction: &mut Transaction, byte: u8) -> u8 {
        let position = transaction.position;
        transaction.position = position.saturating_add(1);
        match (position, transaction.command) {
            (0, _) => {
                transaction.command = byte;
                match byte {
                    Self::WRITE_ENABLE => self.write_enabled = true,
                    Self::WRITE_DISABLE => self.write_enabled = false,
                    _ => {}
                }
                0xFF
            }
            (_, Self::READ_STATUS) => self.status | if self.write_enabled { Self::STATUS_WRITE_ENABLED } else { 0 },
            (1, Self::WRITE_STATUS) if self.write_enabled => {
                self.status = byte & Self::STATUS_PROTECTION;
                transaction.wrote = true;
                0xFF
            }
            (1, Self::READ | Self::WRITE) => {
                transaction.address = byte;
                0xFF
            }
            (_, Self::READ) => {
                let at = transaction.address;
                transaction.address = at.wrapping_add(1);
                self.bytes.get(usize::from(at)).copied().unwrap_or(0xFF)
            }
            (_, Self::WRITE) if self.write_enabled => {
                let at = transaction.address;
                let page = at & !(Self::PAGE_BYTES - 1);
                transaction.address = page | (at.wrapping_add(1) & (Self::PAGE_BYTES - 1));
                if let Some(to) = self.bytes.get_mut(usize::from(at)) {
                    *to = byte;
                }
                transaction.wrote = true;
                0xFF
            }
            _ => 0xFF,
        }
    }
}

/// From chip select to chip select.
#[derive(Default)]
struct Transaction {
    command: u8,
    address: u8,
    /// Bytes so far; stays at its largest value, beyond which all are alike.
    position: u8,
    wrote: bool,
}

impl spi::ErrorType for Eeprom {
    type Error = Infallible;
}

impl SpiDevice for Eeprom {
    fn transaction(&mut self, operations: &mut [spi::Operation<'_, u8>]) -> Result<(), Infallible> {
        use spi::Operation;
        let mut transaction = Transaction::default();
        for operation in operations {
            match operation {
                Operation::Read(read) => {
                    read.iter_mut().for_each(|byte| *byte = self.exchange(&mut transaction, 0));
                }
                Operation::Write(write) => write.iter().for_each(|byte| {
                    self.exchange(&mut transaction, *byte);
                }),
                Operation::TransferInPlace(bytes) => {
                    bytes.iter_mut().for_each(|byte| *byte = self.exchange(&mut transaction, *byte));
                }
                Operation::Transfer(read, write) => {
                    for at in 0..read.len().max(write.len()) {
                        let sent = self.exchange(&mut transaction, write.get(at).copied().unwrap_or(0));
                        if let Some(byte) = read.get_mut(at) {
                            *byte = sent;
                        }
                    }
                }
                Operation::DelayNs(_) => {}
            }
        }
        // What was written counts with the end of the transaction, which also ends the permission for it.
        self.write_enabled &= !transaction.wrote;
        Ok(())
    }
}
