//! The devices of a board, by name.

use coracle_guest_abi::{Errno, SensorInfo};

use crate::hal::{I2cPort, PinPort, SpiPort};
use crate::polled_sensor::{PolledSensor, SensorRegister};
use crate::{Devices, Edges, PinEvent, PinWatch, SensorBlock, TRANSFER_BYTES_MAX};

/// [`Devices`] over what a board has: `NP` pins, `NI` I2C buses, `NS` SPI devices, `NR` sensors that the core reads. Names
/// are looked up in order: of two that are the same, the second is never found.
///
/// A board whose pins or buses are of several types registers `&mut dyn` of the port.
#[derive(Debug)]
pub struct Registry<P, I, S, const NP: usize, const NI: usize, const NS: usize, const NR: usize> {
    pins: [NamedPin<P>; NP],
    i2c: [(&'static str, I); NI],
    spi: [(&'static str, S); NS],
    sensors: [PolledSensor; NR],
    other_sensors: &'static [(&'static str, SensorInfo)],
    /// The pin at which the next search for an edge begins, so that one that never rests does not hide the others.
    next_pin: usize,
    /// The sensor at which the next search for a block begins.
    next_sensor: usize,
    /// The sensor whose oldest block was lent.
    lent: Option<usize>,
}

#[derive(Debug)]
struct NamedPin<P> {
    label: &'static str,
    port: P,
    watch: Option<PinWatch>,
}

impl<P: PinPort, I: I2cPort, S: SpiPort, const NP: usize, const NI: usize, const NS: usize, const NR: usize>
    Registry<P, I, S, NP, NI, NS, NR>
{
    /// A registry of these. Of the `other_sensors` here is only what they are: the board has a way of its own for their
    /// blocks.
    #[must_use]
    pub fn new(
        pins: [(&'static str, P); NP],
        i2c: [(&'static str, I); NI],
        spi: [(&'static str, S); NS],
        sensors: [PolledSensor; NR],
        other_sensors: &'static [(&'static str, SensorInfo)],
    ) -> Self {
        let pins = pins.map(|(label, port)| NamedPin { label, port, watch: None });
        Self { pins, i2c, spi, sensors, other_sensors, next_pin: 0, next_sensor: 0, lent: None }
    }

    fn pin(&mut self, label: &str) -> Result<&mut NamedPin<P>, Errno> {
        self.pins.iter_mut().find(|pin| pin.label == label).ok_or(Errno::NoEntry)
    }
}

/// The entry of that name.
fn named<'a, T>(entries: &'a mut [(&'static str, T)], name: &str) -> Result<&'a mut T, Errno> {
    entries.iter_mut().find(|(known, _)| *known == name).map(|(_, entry)| entry).ok_or(Errno::NoEntry)
}

impl<P: PinPort, I: I2cPort, S: SpiPort, const NP: usize, const NI: usize, const NS: usize, const NR: usize> Devices
    for Registry<P, I, S, NP, NI, NS, NR>
{
    fn pin_read(&mut self, label: &str) -> Result<bool, Errno> {
        self.pin(label)?.port.read()
    }

    fn pin_write(&mut self, label: &str, high: bool) -> Result<(), Errno> {
        self.pin(label)?.port.write(high)
    }

    fn pin_watch(&mut self, label: &str, edges: Edges, debounce_us: u32) -> Result<(), Errno> {
        let pin = self.pin(label)?;
        if pin.port.is_output() {
            return Err(Errno::Invalid);
        }
        pin.watch = match edges {
            Edges::None => None,
            _ => Some(PinWatch::new(edges, debounce_us, pin.port.read()?)),
        };
        Ok(())
    }

    fn pin_event(&mut self, now_us: u64) -> Option<PinEvent<'_>> {
        for _ in 0..NP {
            let at = self.next_pin;
            self.next_pin = (at + 1) % NP;
            let Some(NamedPin { label, port, watch: Some(watch) }) = self.pins.get_mut(at) else { continue };
            // A pin that cannot be read has no edges; who reads it is told why.
            let Ok(level) = port.read() else { continue };
            if let Some((high, time_us)) = watch.sample(level, now_us) {
                return Some(PinEvent { label, high, time_us });
            }
        }
        None
    }

    fn deadline_us(&self) -> Option<u64> {
        let pins = self.pins.iter().filter_map(|pin| pin.watch?.deadline_us());
        pins.chain(self.sensors.iter().filter_map(PolledSensor::deadline_us)).min()
    }

    fn i2c(&mut self, bus: &str, address: u8, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
        let bus = named(&mut self.i2c, bus)?;
        if write.len().max(read.len()) > TRANSFER_BYTES_MAX {
            return Err(Errno::TooLarge);
        }
        bus.write_read(address, write, read)
    }

    fn spi(&mut self, device: &str, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
        named(&mut self.spi, device)?.transfer(write, read)
    }

    fn sensor_info(&mut self, name: &str) -> Result<SensorInfo, Errno> {
        let polled = self.sensors.iter().map(|sensor| (sensor.name, sensor.info));
        let mut all = polled.chain(self.other_sensors.iter().copied());
        all.find(|(known, _)| *known == name).map(|(_, info)| info).ok_or(Errno::NoEntry)
    }

    fn sensor_enable(&mut self, name: &str, on: bool) -> Result<(), Errno> {
        let sensor = self.sensors.iter_mut().find(|sensor| sensor.name == name).ok_or(Errno::NoEntry)?;
        if sensor.on && !on {
            sensor.front_end.stop();
        }
        sensor.on = on;
        Ok(())
    }

    fn sensor_block(&mut self, now_us: u64) -> Option<(&str, SensorBlock<'_>)> {
        if let Some(sensor) = self.lent.take().and_then(|at| self.sensors.get_mut(at)) {
            sensor.front_end.ring_mut().release();
        }
        let (i2c, spi) = (&mut self.i2c, &mut self.spi);
        for sensor in self.sensors.iter_mut().filter(|sensor| sensor.on) {
            sensor.poll(now_us, |register, bytes| match register {
                SensorRegister::I2c { bus, address, register } => {
                    named(i2c, bus)?.write_read(address, &[register], bytes)
                }
                SensorRegister::Spi { device, command } => {
                    // What comes back while the command goes out says nothing.
                    let mut answer = [0; 3];
                    named(spi, device)?.transfer(&[command], &mut answer)?;
                    let [_, value @ ..] = answer;
                    *bytes = value;
                    Ok(())
                }
            });
        }
        let has_block = |at: &usize| {
            self.sensors.get(*at).is_some_and(|sensor| sensor.on && sensor.front_end.ring().block().is_some())
        };
        let at = (0..NR).map(|step| (self.next_sensor + step) % NR).find(has_block)?;
        (self.next_sensor, self.lent) = (at + 1, Some(at));
        let sensor = self.sensors.get(at)?;
        Some((sensor.name, sensor.front_end.ring().block()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An input that changes whenever it is read, or cannot be read.
    struct Restless(Option<bool>);

    impl PinPort for Restless {
        fn is_output(&self) -> bool {
            false
        }
        fn read(&mut self) -> Result<bool, Errno> {
            self.0 = Some(!self.0.ok_or(Errno::Io)?);
            self.0.ok_or(Errno::Io)
        }
        fn write(&mut self, _high: bool) -> Result<(), Errno> {
            Err(Errno::Invalid)
        }
    }

    /// No bus.
    struct Nothing;

    impl I2cPort for Nothing {
        fn write_read(&mut self, _address: u8, _write: &[u8], _read: &mut [u8]) -> Result<(), Errno> {
            Err(Errno::Io)
        }
    }

    impl SpiPort for Nothing {
        fn transfer(&mut self, _write: &[u8], _read: &mut [u8]) -> Result<(), Errno> {
            Err(Errno::Io)
        }
    }

    #[test]
    fn a_pin_that_never_rests_does_not_hide_the_next() {
        let mut pins = [Restless(Some(false)), Restless(None), Restless(Some(false))];
        let [first, second, third] = &mut pins;
        // Behind `dyn`, as a board with pins of several types has them.
        let pins: [(&str, &mut dyn PinPort); 3] = [("first", first), ("second", second), ("third", third)];
        let mut registry = Registry::<_, Nothing, Nothing, 3, 0, 0, 0>::new(pins, [], [], [], &[]);
        for (label, watched) in [("first", Ok(())), ("second", Err(Errno::Io)), ("third", Ok(()))] {
            assert_eq!(registry.pin_watch(label, Edges::Both, 0), watched, "{label}");
        }
        for (now_us, expected) in (1..).zip(["first", "third", "first", "third"]) {
            assert_eq!(registry.pin_event(now_us).map(|event| event.label), Some(expected));
        }
        let mut empty = Registry::<&mut dyn PinPort, Nothing, Nothing, 0, 0, 0, 0>::new([], [], [], [], &[]);
        assert_eq!(empty.pin_event(0), None);
    }

    /// A bus whose devices answer with their address in the upper byte.
    struct Addresses;

    impl I2cPort for Addresses {
        fn write_read(&mut self, address: u8, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
            assert_eq!((write, read.len()), (&[7][..], 2));
            read.copy_from_slice(&[address, 0x50]);
            Ok(())
        }
    }

    fn sensor(name: &'static str, address: u8, rate_hz: u32) -> PolledSensor {
        let register = SensorRegister::I2c { bus: "bus", address, register: 7 };
        let info = SensorInfo { rate_hz, rate_max_hz: rate_hz, block: 2, scale_nano: 1, unit: 0 };
        PolledSensor::new(name, register, 4, info).expect("few samples")
    }

    #[test]
    fn sensors_that_are_on_are_read_and_take_turns() {
        let sensors = [sensor("slow", 0x10, 1_000), sensor("fast", 0x90, 2_000), sensor("off", 0x30, 1_000)];
        let mut registry =
            Registry::<&mut dyn PinPort, _, Nothing, 0, 1, 0, 3>::new([], [("bus", Addresses)], [], sensors, &[]);
        assert_eq!(registry.deadline_us(), None);
        assert!(registry.sensor_block(0).is_none());
        for (name, enabled) in [("slow", Ok(())), ("fast", Ok(())), ("none", Err(Errno::NoEntry))] {
            assert_eq!(registry.sensor_enable(name, true), enabled, "{name}");
        }
        assert_eq!(registry.deadline_us(), Some(0), "the first sample is due at once");
        assert!(registry.sensor_block(10_000).is_none());
        assert_eq!(registry.deadline_us(), Some(10_500));
        let mut got = [("", 0, 0); 4];
        let mut now_us = 10_000;
        for slot in &mut got {
            *slot = loop {
                if let Some((name, block)) = registry.sensor_block(now_us) {
                    let name = if name == "fast" { "fast" } else { "slow" };
                    break (name, block.header.sequence, block.samples[0]);
                }
                now_us = registry.deadline_us().expect("on");
            };
        }
        assert_eq!(got, [("fast", 0, -0x6FB), ("slow", 0, 0x105), ("fast", 1, -0x6FB), ("fast", 2, -0x6FB)]);
        assert_eq!(registry.sensor_enable("fast", false), Ok(()));
        assert_eq!(registry.sensor_enable("slow", false), Ok(()));
        assert_eq!(registry.deadline_us(), None, "what is off costs nothing");
        assert!(registry.sensor_block(now_us + 1_000_000).is_none());
    }

    #[test]
    fn a_sensor_that_always_has_a_block_does_not_hide_the_next() {
        let sensors = [sensor("first", 1, 1_000), sensor("second", 2, 1_000)];
        let mut registry =
            Registry::<&mut dyn PinPort, _, Nothing, 0, 1, 0, 2>::new([], [("bus", Addresses)], [], sensors, &[]);
        for sensor in &mut registry.sensors {
            sensor.on = true;
            (0..4).for_each(|n| sensor.poll(n * 1_000, |_, _| Ok(())));
        }
        for expected in ["first", "second", "first", "second"] {
            assert_eq!(registry.sensor_block(3_000).map(|(name, _)| name), Some(expected));
        }
    }

    #[test]
    fn a_full_ring_wakes_nobody() {
        let mut registry = Registry::<&mut dyn PinPort, _, Nothing, 0, 1, 0, 1>::new(
            [],
            [("bus", Addresses)],
            [],
            [sensor("only", 1, 1_000)],
            &[],
        );
        assert_eq!(registry.sensor_enable("only", true), Ok(()));
        // Lent blocks are given back with the next call, so time has to run without one.
        let poll = |registry: &mut Registry<_, _, _, 0, 1, 0, 1>, now_us| {
            registry.sensors[0].poll(now_us, |_, _| Ok(()));
        };
        (0..4).for_each(|n| poll(&mut registry, n * 1_000));
        assert_eq!(registry.deadline_us(), None);
        let first = registry.sensor_block(50_000).map(|(_, block)| block.header);
        let second = registry.sensor_block(50_000).map(|(_, block)| block.header);
        assert_eq!(first.zip(second).map(|(first, second)| (first.sequence, second.sequence)), Some((0, 1)));
        assert_eq!(registry.deadline_us(), Some(51_000));
    }
}
