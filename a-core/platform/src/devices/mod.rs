//! The devices of this Linux machine, for its containers: [`Devices`] over the kernel's interfaces to user space.
//!
//! [`DevicesConfig`] gives names to GPIO lines, I2C buses, SPI devices and IIO sensors. [`LinuxDevices`] opens a device
//! when it is first used, keeps it open, and opens it again after it was unplugged. What is wrong with one is an
//! [`Errno`] to the container that asked and a [`DeviceError`] to the operator, once until it works again.
//!
//! Calls wait for the bus, as the kernel does; nothing here waits for an event. Who wants to sleep until there is one
//! polls [`LinuxDevices::descriptors`].

mod bus;
mod config;
mod error;
mod gpio;
mod iio;
mod scan_type;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;

use coracle_device::{Devices, Edges, PinEvent, SensorBlock};
use coracle_guest_abi::{Errno, SensorInfo};
use nix::time::{ClockId, clock_gettime};

use bus::{I2cBus, SpiDevice, check_address, check_length};
use error::{errno_of, is_gone};
use gpio::Pin;
use iio::IioSensor;

pub use config::{
    BlockSamples, ChannelName, DeviceName, DevicePath, DevicesConfig, DevicesConfigError, LineAddress, PinBias,
    PinConfig, PinMode, SampleRate, SensorConfig, SpiConfig, SpiMode, SpiSpeed,
};
pub use error::{DeviceError, DeviceProblem};

/// Where Linux shows its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRoots {
    /// Device nodes.
    pub dev: PathBuf,
    /// The kernel's view of devices.
    pub sys: PathBuf,
}

impl Default for DeviceRoots {
    fn default() -> Self {
        Self { dev: "/dev".into(), sys: "/sys".into() }
    }
}

/// The devices of this machine that the file of devices names.
pub struct LinuxDevices {
    roots: DeviceRoots,
    pins: Vec<Entry<PinConfig, Pin>>,
    i2c: Vec<Entry<DevicePath, I2cBus>>,
    spi: Vec<Entry<SpiConfig, SpiDevice>>,
    sensors: Vec<Entry<SensorConfig, IioSensor>>,
    /// Where the next search for an edge or a block begins, so that one that never rests does not hide the others.
    next_pin: usize,
    next_sensor: usize,
    problems: Vec<DeviceError>,
}

/// A device by its name.
struct Entry<C, D> {
    kind: &'static str,
    name: String,
    config: C,
    device: Option<D>,
    /// That it cannot be used was told, and it has not worked since.
    told: bool,
}

impl<C, D> Entry<C, D> {
    fn list(kind: &'static str, configs: BTreeMap<DeviceName, C>) -> Vec<Self> {
        let entry = |(name, config): (DeviceName, C)| {
            let name = name.as_str().to_owned();
            Self { kind, name, config, device: None, told: false }
        };
        configs.into_iter().map(entry).collect()
    }

    /// Notes what is wrong with the device; returns what a container is told.
    fn fail(&mut self, problem: DeviceProblem, problems: &mut Vec<DeviceError>) -> Errno {
        let errno = problem.errno();
        self.device = None;
        if !std::mem::replace(&mut self.told, true) {
            problems.push(DeviceError { kind: self.kind, name: self.name.clone(), problem });
        }
        errno
    }

    /// Uses the device, and opens it first where needed.
    fn with<R>(
        &mut self,
        problems: &mut Vec<DeviceError>,
        open: impl FnOnce(&C) -> Result<D, DeviceProblem>,
        action: impl FnOnce(&mut D) -> io::Result<R>,
    ) -> Result<R, Errno> {
        let device = match &mut self.device {
            Some(device) => device,
            None => match open(&self.config) {
                Ok(device) => self.device.insert(device),
                Err(problem) => return Err(self.fail(problem, problems)),
            },
        };
        match action(device) {
            Ok(result) => {
                self.told = false;
                Ok(result)
            }
            Err(error) if is_gone(&error) => Err(self.fail(DeviceProblem::Gone, problems)),
            // A device that refuses, or does not answer at an address, is the container's to handle.
            Err(error) => Err(errno_of(&error)),
        }
    }
}

fn named<'a, C, D>(entries: &'a mut [Entry<C, D>], name: &str) -> Result<&'a mut Entry<C, D>, Errno> {
    entries.iter_mut().find(|entry| entry.name == name).ok_or(Errno::NoEntry)
}

impl LinuxDevices {
    /// The devices of `config`, below `roots`. Opens none of them.
    #[must_use]
    pub fn new(config: DevicesConfig, roots: DeviceRoots) -> Self {
        Self {
            roots,
            pins: Entry::list("pin", config.pins),
            i2c: Entry::list("I2C bus", config.i2c),
            spi: Entry::list("SPI device", config.spi),
            sensors: Entry::list("sensor", config.sensors),
            next_pin: 0,
            next_sensor: 0,
            problems: Vec::new(),
        }
    }

    /// What is wrong with devices, as far as it was not returned before. A device has one entry until it works again.
    pub fn take_problems(&mut self) -> Vec<DeviceError> {
        std::mem::take(&mut self.problems)
    }

    /// What becomes readable when [`Devices::pin_event`] or [`Devices::sensor_block`] may have something. The list
    /// changes with [`Devices::pin_watch`], [`Devices::sensor_enable`] and what goes away.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let pins = self.pins.iter().filter_map(|pin| Some(pin.device.as_ref()?.watched()?.as_fd()));
        let sensors = self.sensors.iter().filter_map(|sensor| Some(sensor.device.as_ref()?.file().as_fd()));
        pins.chain(sensors)
    }
}

impl Devices for LinuxDevices {
    fn pin_read(&mut self, label: &str) -> Result<bool, Errno> {
        let dev = &self.roots.dev;
        named(&mut self.pins, label)?.with(&mut self.problems, |config| Pin::open(config, dev), |pin| pin.read())
    }

    fn pin_write(&mut self, label: &str, high: bool) -> Result<(), Errno> {
        let dev = &self.roots.dev;
        let pin = named(&mut self.pins, label)?;
        if pin.config.mode != PinMode::Output {
            return Err(Errno::Invalid);
        }
        pin.with(&mut self.problems, |config| Pin::open(config, dev), |pin| pin.write(high))
    }

    fn pin_watch(&mut self, label: &str, edges: Edges, debounce_us: u32) -> Result<(), Errno> {
        let dev = &self.roots.dev;
        let pin = named(&mut self.pins, label)?;
        if pin.config.mode != PinMode::Input {
            return Err(Errno::Invalid);
        }
        pin.with(&mut self.problems, |config| Pin::open(config, dev), |pin| pin.watch(edges, debounce_us))
    }

    fn pin_event(&mut self, now_us: u64) -> Option<PinEvent<'_>> {
        for at in rotation(self.next_pin, self.pins.len()) {
            let Some(pin) = self.pins.get_mut(at) else { continue };
            let Some(device) = &pin.device else { continue };
            match device.edge() {
                Ok(None) => {}
                Ok(Some(edge)) => {
                    self.next_pin = at + 1;
                    let age_us = monotonic_us().saturating_sub(edge.monotonic_us);
                    let time_us = now_us.saturating_sub(age_us);
                    return Some(PinEvent { label: &self.pins.get(at)?.name, high: edge.high, time_us });
                }
                Err(error) => {
                    let path = PathBuf::from(&pin.name);
                    pin.fail(DeviceProblem::new("read edges of", &path, error), &mut self.problems);
                }
            }
        }
        None
    }

    fn i2c(&mut self, bus: &str, address: u8, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
        let dev = &self.roots.dev;
        let bus = named(&mut self.i2c, bus)?;
        check_address(address)?;
        check_length(write, read)?;
        bus.with(&mut self.problems, |node| I2cBus::open(node, dev), |bus| bus.write_read(address, write, read))
    }

    fn spi(&mut self, device: &str, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
        let dev = &self.roots.dev;
        let device = named(&mut self.spi, device)?;
        check_length(write, read)?;
        device.with(&mut self.problems, |config| SpiDevice::open(config, dev), |device| device.transfer(write, read))
    }

    fn sensor_info(&mut self, name: &str) -> Result<SensorInfo, Errno> {
        let sensor = named(&mut self.sensors, name)?;
        iio::info(&sensor.config, &self.roots.sys).map_err(|problem| sensor.fail(problem, &mut self.problems))
    }

    fn sensor_enable(&mut self, name: &str, on: bool) -> Result<(), Errno> {
        let DeviceRoots { dev, sys } = &self.roots;
        let sensor = named(&mut self.sensors, name)?;
        if !on {
            sensor.device = None;
            return Ok(());
        }
        sensor.with(&mut self.problems, |config| IioSensor::start(config, sys, dev), |_| Ok(()))
    }

    fn sensor_block(&mut self, now_us: u64) -> Option<(&str, SensorBlock<'_>)> {
        let mut ready = None;
        for at in rotation(self.next_sensor, self.sensors.len()) {
            let Some(sensor) = self.sensors.get_mut(at) else { continue };
            let Some(device) = &mut sensor.device else { continue };
            match device.poll(now_us) {
                Ok(false) => {}
                Ok(true) => {
                    ready = Some(at);
                    break;
                }
                Err(problem) => drop(sensor.fail(problem, &mut self.problems)),
            }
        }
        self.next_sensor = ready? + 1;
        let sensor = self.sensors.get_mut(ready?)?;
        Some((&sensor.name, sensor.device.as_mut()?.lend()?))
    }
}

/// The indices of `len` entries from `start` around.
fn rotation(start: usize, len: usize) -> impl Iterator<Item = usize> {
    (0..len).map(move |step| (start + step) % len)
}

/// The clock of the kernel's events, in microseconds; 0 if it does not exist, which no Linux is without.
fn monotonic_us() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC);
    time.map_or(0, |time| {
        u64::try_from(i128::from(time.tv_sec()) * 1_000_000 + i128::from(time.tv_nsec()) / 1000).unwrap_or(0)
    })
}
