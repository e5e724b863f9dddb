//! Reads an LM75 thermometer every second and publishes what it reads; an example of a driver from crates.io, `lm75`,
//! that runs in a container as it is.
//!
//! The container is portable: the bus may be on either core, the driver does not see where.
//!
//! | manifest | |
//! | --- | --- |
//! | `grants.i2c` | bus `i2c0`, address 0x48 (72) |
//! | `grants.publish` | [`TOPIC`]: the temperature in thousandths of a degree Celsius, an `i32`, little-endian |
//! | `config.period_ms` | milliseconds between readings; 1000 if left out |
#![cfg_attr(target_arch = "wasm32", no_std)]

use coracle_sdk::hal::Error;
use coracle_sdk::i2c::{self, Bus};
use coracle_sdk::time::{self, Schedule, Timer};
use coracle_sdk::{Errno, Event, Guest, config, guest, log, msg};
use embedded_hal::i2c::I2c;
use lm75::ic;

/// Where readings are published.
pub const TOPIC: &str = "temperature";
/// The board's name of the bus.
const BUS: &str = "i2c0";
/// The device's address with all its pins low.
const ADDRESS: u8 = 0x48;
/// Milliseconds between readings unless the manifest says otherwise.
const PERIOD_MS: u32 = 1000;
/// The core may be a tenth of a period late, to wake once for several containers.
const SLACK_DIVISOR: u64 = 10;

/// The driver, over this SDK's bus.
type Driver = lm75::Lm75<Bus, ic::Lm75>;

/// The container.
pub struct Thermometer {
    driver: Driver,
    timer: Timer,
    period_us: u64,
    /// The last reading failed: said once, not at every period.
    silent: bool,
}

impl Guest for Thermometer {
    fn init() -> Result<Self, Errno> {
        let driver = Driver::new(i2c::open(BUS)?, ADDRESS);
        let period_us = period_us()?;
        Ok(Self { driver, timer: start(period_us)?, period_us, silent: false })
    }

    fn on_event(&mut self, event: Event) -> Result<(), Errno> {
        match event {
            Event::Timer { timer } if timer == self.timer => self.read(),
            Event::Config { .. } => self.configure(),
            _ => Ok(()),
        }
    }
}

impl Thermometer {
    fn read(&mut self) -> Result<(), Errno> {
        match thousandths(&mut self.driver) {
            Ok(thousandths) => {
                self.silent = false;
                match msg::publish(TOPIC, &thousandths.to_le_bytes()) {
                    // The next reading is worth more than this one.
                    Ok(()) | Err(Errno::Again) => Ok(()),
                    Err(errno) => Err(errno),
                }
            }
            Err(problem) => {
                if !self.silent {
                    log::warn(problem);
                }
                self.silent = true;
                Ok(())
            }
        }
    }

    fn configure(&mut self) -> Result<(), Errno> {
        let period_us = period_us()?;
        if period_us != self.period_us {
            self.timer.cancel()?;
            self.timer = start(period_us)?;
            self.period_us = period_us;
        }
        Ok(())
    }
}

/// The temperature, or what to say in the log.
fn thousandths<I>(driver: &mut lm75::Lm75<I, ic::Lm75>) -> Result<i32, &'static str>
where
    I: I2c<Error = Error>,
{
    match driver.read_temperature() {
        // At most 128 degrees.
        Ok(degrees) => Ok((degrees * 1000.0) as i32),
        Err(lm75::Error::I2C(Error::Core(Errno::NoDevice))) => Err("no thermometer at address 0x48 of i2c0"),
        Err(_) => Err("the thermometer cannot be read"),
    }
}

fn start(period_us: u64) -> Result<Timer, Errno> {
    time::set_timer(Schedule::every(period_us).slack(period_us / SLACK_DIVISOR))
}

fn period_us() -> Result<u64, Errno> {
    let period_ms = match config::get_u32("period_ms") {
        Err(Errno::NoEntry) => PERIOD_MS,
        Ok(0) | Err(_) => {
            log::error("config: period_ms is no whole number above 0");
            return Err(Errno::Invalid);
        }
        Ok(period_ms) => period_ms,
    };
    Ok(u64::from(period_ms) * 1000)
}

guest!(Thermometer);

#[cfg(test)]
mod tests {
    use embedded_hal::i2c::{ErrorType, Operation};

    use super::*;

    /// A bus with one register.
    struct Register(Result<[u8; 2], Errno>);

    impl ErrorType for Register {
        type Error = Error;
    }

    impl I2c for Register {
        fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Error> {
            let [Operation::Write([0]), Operation::Read(data)] = operations else { panic!("{operations:?}") };
            assert_eq!(address, ADDRESS);
            data.copy_from_slice(&self.0?);
            Ok(())
        }
    }

    #[test]
    fn readings_are_thousandths_of_a_degree() {
        for (register, reading) in [
            (Ok([25, 0x80]), Ok(25_500)),
            (Ok([0xFF, 0x80]), Ok(-500)),
            (Err(Errno::NoDevice), Err("no thermometer at address 0x48 of i2c0")),
            (Err(Errno::Io), Err("the thermometer cannot be read")),
        ] {
            let mut driver = lm75::Lm75::new(Register(register), ADDRESS);
            assert_eq!(thousandths(&mut driver), reading);
        }
    }
}
