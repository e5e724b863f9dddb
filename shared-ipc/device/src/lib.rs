//! What a core has for its containers to use: pins, buses and sensors, by name.
//!
//! [`Devices`] is what a supervisor asks on behalf of a container, after it checked the container's grants; a call is
//! short and bounded by its buffers. This crate decides nothing about who may use what, and knows no chip and no OS.
//!
//! * [`Registry`] is `Devices` over the types of `embedded-hal` 1.0 that a board has.
//! * [`FrontEnd`] reads a sensor at a fixed rate into a [`BlockRing`], in a registry as a [`PolledSensor`]; [`Filter`] and [`Decimator`] make of its blocks what one
//!   container asked for.
//! * [`sim`] has pins and buses for boards that have none.
#![no_std]
#![forbid(unsafe_code)]

mod block_ring;
mod decimator;
mod filter;
mod front_end;
mod hal;
mod pin_watch;
mod polled_sensor;
mod registry;
pub mod sim;

pub use block_ring::{BlockRing, SensorBlock};
pub use decimator::Decimator;
pub use filter::Filter;
pub use front_end::FrontEnd;
pub use hal::{I2cDriver, I2cPort, InputDriver, OutputDriver, PinPort, SpiDriver, SpiPort, i2c_errno};
pub use pin_watch::PinWatch;
pub use polled_sensor::{POLLED_SAMPLES_MAX, PolledSensor, SensorRegister};
pub use registry::Registry;

use coracle_guest_abi::{Errno, SensorInfo};

/// Longest transfer on a bus, in bytes, in one direction.
pub const TRANSFER_BYTES_MAX: usize = 192;

/// Which edges of a pin matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edges {
    /// None.
    None,
    /// Low to high.
    Rising,
    /// High to low.
    Falling,
    /// Both.
    Both,
}

/// A pin that is watched changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinEvent<'a> {
    /// Its label.
    pub label: &'a str,
    /// Its level now.
    pub high: bool,
    /// When, in microseconds of the core's clock.
    pub time_us: u64,
}

/// The devices of a core. A name that the core does not have is [`Errno::NoEntry`]; the errors of a bus are
/// [`Errno::NoDevice`] (no acknowledgement of the address), [`Errno::RemoteIo`] (of a byte), [`Errno::Again`] (arbitration
/// lost) and [`Errno::Io`] (everything else).
pub trait Devices {
    /// Whether the pin is high.
    ///
    /// # Errors
    /// See the trait.
    fn pin_read(&mut self, label: &str) -> Result<bool, Errno> {
        let _ = label;
        Err(Errno::NoEntry)
    }
    /// Sets an output pin.
    ///
    /// # Errors
    /// See the trait; [`Errno::Invalid`] for an input.
    fn pin_write(&mut self, label: &str, high: bool) -> Result<(), Errno> {
        let _ = (label, high);
        Err(Errno::NoEntry)
    }
    /// Makes edges of an input pin events of [`Devices::pin_event`]. A level counts once it has lasted `debounce_us`.
    ///
    /// # Errors
    /// See the trait; [`Errno::Invalid`] for an output.
    fn pin_watch(&mut self, label: &str, edges: Edges, debounce_us: u32) -> Result<(), Errno> {
        let _ = (label, edges, debounce_us);
        Err(Errno::NoEntry)
    }
    /// The next edge of a watched pin, if any. `now_us` is the core's clock.
    fn pin_event(&mut self, now_us: u64) -> Option<PinEvent<'_>> {
        let _ = now_us;
        None
    }
    /// When [`Devices::pin_event`] and [`Devices::sensor_block`] have to be asked again without an interrupt, in
    /// microseconds of the core's clock.
    fn deadline_us(&self) -> Option<u64> {
        None
    }
    /// Writes, then after a repeated start reads `read.len()` bytes; either may be empty. `address` has seven bits.
    ///
    /// # Errors
    /// See the trait.
    fn i2c(&mut self, bus: &str, address: u8, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
        let _ = (bus, address, write, read);
        Err(Errno::NoEntry)
    }
    /// One transaction, as long as the longer of the two; zeros are written beyond `write`.
    ///
    /// # Errors
    /// See the trait.
    fn spi(&mut self, device: &str, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
        let _ = (device, write, read);
        Err(Errno::NoEntry)
    }
    /// What a sensor of this core gives.
    ///
    /// # Errors
    /// See the trait.
    fn sensor_info(&mut self, name: &str) -> Result<SensorInfo, Errno> {
        let _ = name;
        Err(Errno::NoEntry)
    }
    /// Switches a sensor on or off. All are off at first, and cost nothing then.
    ///
    /// # Errors
    /// See the trait; [`Errno::NoEntry`] also for a sensor whose blocks come to the supervisor on a way of their own.
    fn sensor_enable(&mut self, name: &str, on: bool) -> Result<(), Errno> {
        let _ = (name, on);
        Err(Errno::NoEntry)
    }
    /// The next block of a sensor that is on, and the sensor's name, if there is one. The room of a block is given back
    /// with the next call. `now_us` is the core's clock, to which the time in the block belongs.
    fn sensor_block(&mut self, now_us: u64) -> Option<(&str, SensorBlock<'_>)> {
        let _ = now_us;
        None
    }
}

/// A core without devices.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDevices;

impl Devices for NoDevices {}
