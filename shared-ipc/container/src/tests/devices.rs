//! Calls of devices: what is asked for, and what an answer may do.

use std::string::ToString;
use std::vec;

use coracle_device::{Devices, Edges, TRANSFER_BYTES_MAX};
use coracle_guest_abi::{Errno, SensorInfo};
use coracle_migrate::snapshot::PinUse;

use super::*;
use crate::{DeviceAnswer, DeviceCall, Waiting, execute};

const DENIED: i64 = -13;
const INVALID: i64 = -22;
const TOO_LARGE: i64 = -90;
const IO: i64 = -5;

const INFO: SensorInfo = SensorInfo { rate_hz: 400, rate_max_hz: 400, block: 32, scale_nano: 9, unit: 1 };

/// What the parked call asks for.
fn asked(rig: &Rig) -> DeviceCall {
    match rig.host.waiting() {
        Some(Waiting::Device(call)) => call.clone(),
        other => panic!("{other:?}"),
    }
}

/// Every device call with its right answer and what it returns then.
fn calls(rig: &mut Rig) -> Vec<(Call, Vec<i64>, DeviceCall, DeviceAnswer, i64)> {
    let bytes = rig.put("xyz");
    let (bus, device, led, button) = (name("i2c1"), name("adc"), name("led"), name("button"));
    let write = || b"xyz".to_vec();
    let two = DeviceAnswer::Bytes(vec![7, 8]);
    vec![
        (Call::GpioRead, vec![LED], DeviceCall::PinRead { label: led.clone() }, DeviceAnswer::Level(true), 1),
        (Call::GpioRead, vec![BUTTON], DeviceCall::PinRead { label: button.clone() }, DeviceAnswer::Level(false), 0),
        (Call::GpioWrite, vec![LED, 1], DeviceCall::PinWrite { label: led, high: true }, DeviceAnswer::Done, 0),
        (
            Call::GpioWatch,
            vec![BUTTON, 3, -1],
            DeviceCall::PinWatch { label: button, edges: 3, debounce_us: u32::MAX },
            DeviceAnswer::Done,
            0,
        ),
        (
            Call::I2cWriteRead,
            vec![BUS, 0x49, bytes, 3, OUT, 2],
            DeviceCall::I2c { bus, address: 0x49, write: write(), read: 2 },
            two.clone(),
            2,
        ),
        (Call::SpiTransfer, vec![ADC, bytes, 3, OUT, 2], DeviceCall::Spi { device, write: write(), read: 2 }, two, 2),
        (
            Call::SensorInfo,
            vec![ACCEL, OUT],
            DeviceCall::SensorInfo { name: name("accel0") },
            DeviceAnswer::Info(INFO),
            0,
        ),
    ]
}

#[test]
fn what_is_asked_and_what_comes_back() {
    let mut rig = Rig::open();
    for (call, args, want, answer, result) in calls(&mut rig) {
        rig.memory[OUT as usize..].fill(FILL);
        assert_eq!(rig.call(call, &args), Outcome::Park, "{call:?}");
        assert_eq!(asked(&rig), want);
        rig.host.answer(Ok(answer.clone()));
        assert_eq!(rig.host.resume(&mut rig.memory), Some(result));
        if let DeviceAnswer::Bytes(bytes) = answer {
            assert_eq!(rig.at(OUT, 3), [&bytes[..], &[FILL]].concat());
        }
    }
    assert_eq!(rig.host.state.pins[0], PinUse { edges: 3, debounce_us: u32::MAX });
}

#[test]
fn what_a_device_refuses_is_the_guests_result() {
    for error in Errno::ALL {
        let mut rig = Rig::open();
        for (call, args, ..) in calls(&mut rig) {
            assert_eq!(rig.call(call, &args), Outcome::Park);
            rig.host.answer(Err(error));
            let before = rig.memory.clone();
            assert_eq!(rig.host.resume(&mut rig.memory), Some(error.as_result().into()), "{call:?}");
            assert_eq!(rig.memory, before);
        }
        assert_eq!(rig.host.state.pins[0], PinUse::default(), "a watch that was refused is none");
    }
}

/// From the other core may come anything.
#[test]
fn an_answer_to_another_question_is_an_error() {
    let answers = [
        DeviceAnswer::Done,
        DeviceAnswer::Level(true),
        DeviceAnswer::Bytes(vec![1; 3]),
        DeviceAnswer::Bytes(vec![1]),
        DeviceAnswer::Bytes(vec![1; 5000]),
        DeviceAnswer::Info(INFO),
    ];
    let mut rig = Rig::open();
    for (call, args, _, right, _) in calls(&mut rig) {
        for answer in &answers {
            if core::mem::discriminant(answer) == core::mem::discriminant(&right)
                && !matches!(answer, DeviceAnswer::Bytes(_))
            {
                continue;
            }
            assert_eq!(rig.call(call, &args), Outcome::Park);
            rig.host.answer(Ok(answer.clone()));
            let before = rig.memory.clone();
            assert_eq!(rig.host.resume(&mut rig.memory), Some(IO), "{call:?} {answer:?}");
            assert_eq!(rig.memory, before);
        }
    }
}

#[test]
fn addresses_modes_and_levels_are_checked_before_anybody_waits() {
    let mut rig = Rig::open();
    let refused: [(Call, &[i64], i64); 11] = [
        (Call::I2cWriteRead, &[BUS, 0x4A, OUT, 0, OUT, 0], DENIED),
        (Call::I2cWriteRead, &[BUS, 0, OUT, 0, OUT, 0], DENIED),
        (Call::I2cWriteRead, &[BUS, 0x80, OUT, 0, OUT, 0], INVALID),
        (Call::I2cWriteRead, &[BUS, 0x148, OUT, 0, OUT, 0], INVALID),
        (Call::I2cWriteRead, &[BUS, -1, OUT, 0, OUT, 0], INVALID),
        (Call::GpioWrite, &[BUTTON, 1], DENIED),
        (Call::GpioWrite, &[LED, 2], INVALID),
        (Call::GpioWrite, &[LED, -1], INVALID),
        (Call::GpioWatch, &[LED, 1, 0], DENIED),
        (Call::GpioWatch, &[BUTTON, 4, 0], INVALID),
        (Call::GpioWatch, &[BUTTON, -1, 0], INVALID),
    ];
    for (call, args, want) in refused {
        assert_eq!(rig.get(call, args), want, "{call:?} {args:?}");
        assert!(!rig.host.is_parked());
    }
    let told: Vec<_> = rig.host.effects.iter().collect();
    let want = |call| OwnedEffect::Refused { call, what: String::new() };
    assert_eq!(told, [&want(Call::I2cWriteRead), &want(Call::GpioWrite), &want(Call::GpioWatch)]);
    assert_eq!(rig.host.refused_calls, 4);
}

#[test]
fn transfers_have_a_limit() {
    let mut spec = spec();
    spec.limits.payload = 5;
    let mut rig = Rig::of(spec);
    rig.host.state.handles = u32::MAX;
    for (write, read, want) in [(5, 5, None), (6, 0, Some(TOO_LARGE)), (0, 6, Some(TOO_LARGE)), (0, 0, None)] {
        for (call, head) in [(Call::I2cWriteRead, &[BUS, 0x48][..]), (Call::SpiTransfer, &[ADC])] {
            let args = [head, &[16, write, OUT, read]].concat();
            let want = want.map_or(Outcome::Park, Outcome::Return);
            assert_eq!(rig.call(call, &args), want, "{call:?} {write} {read}");
            rig.host.abandon();
        }
    }
}

#[test]
fn a_sensor_tells_the_rates_that_this_container_gets() {
    // Handle, what it asked for, what the sensor gives, the rate it gets, the highest it may have.
    let cases = [
        (ACCEL, None, 400, 100, 100),
        (ACCEL, None, 50, 50, 50),
        (ACCEL, Some(30), 400, 30, 100),
        (ACCEL, Some(80), 50, 50, 50),
        (TEMP, None, 400, 400, 400),
        (TEMP, Some(1000), 400, 400, 400),
    ];
    for (handle, ask, gives, rate_hz, rate_max_hz) in cases {
        let mut rig = Rig::open();
        if let Some(rate) = ask {
            rig.get(Call::SensorSetRate, &[handle, rate]);
        }
        assert_eq!(rig.call(Call::SensorInfo, &[handle, OUT]), Outcome::Park);
        rig.host.answer(Ok(DeviceAnswer::Info(SensorInfo { rate_hz: gives, ..INFO })));
        assert_eq!(rig.host.resume(&mut rig.memory), Some(0));
        let info = SensorInfo::from_bytes(rig.at(OUT, SensorInfo::BYTES));
        assert_eq!(info, Some(SensorInfo { rate_hz, rate_max_hz, ..INFO }));
    }
}

/// Writes down what it is asked.
#[derive(Default)]
struct Recorder(Vec<String>);

impl Devices for Recorder {
    fn pin_read(&mut self, label: &str) -> Result<bool, Errno> {
        self.0.push(std::format!("read {label}"));
        Ok(true)
    }
    fn pin_write(&mut self, label: &str, high: bool) -> Result<(), Errno> {
        self.0.push(std::format!("write {label} {high}"));
        Ok(())
    }
    fn pin_watch(&mut self, label: &str, edges: Edges, debounce_us: u32) -> Result<(), Errno> {
        self.0.push(std::format!("watch {label} {edges:?} {debounce_us}"));
        Ok(())
    }
    fn i2c(&mut self, bus: &str, address: u8, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
        self.0.push(std::format!("i2c {bus} {address} {write:?}"));
        read.fill(7);
        Ok(())
    }
    fn spi(&mut self, device: &str, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
        self.0.push(std::format!("spi {device} {write:?}"));
        read.fill(8);
        Ok(())
    }
    fn sensor_info(&mut self, name: &str) -> Result<SensorInfo, Errno> {
        self.0.push(std::format!("info {name}"));
        Err(Errno::NoDevice)
    }
}

#[test]
fn a_call_is_carried_out_by_its_device() {
    let mut devices = Recorder::default();
    let watch = |edges| DeviceCall::PinWatch { label: name("p"), edges, debounce_us: 5 };
    let i2c = |read| DeviceCall::I2c { bus: name("b"), address: 1, write: vec![2], read };
    let spi = |read| DeviceCall::Spi { device: name("d"), write: vec![3], read };
    let too_long = u16::try_from(TRANSFER_BYTES_MAX + 1).unwrap();
    let calls = [
        (DeviceCall::PinRead { label: name("p") }, Ok(DeviceAnswer::Level(true))),
        (DeviceCall::PinWrite { label: name("p"), high: false }, Ok(DeviceAnswer::Done)),
        (watch(0), Ok(DeviceAnswer::Done)),
        (watch(1), Ok(DeviceAnswer::Done)),
        (watch(2), Ok(DeviceAnswer::Done)),
        (watch(3), Ok(DeviceAnswer::Done)),
        (i2c(2), Ok(DeviceAnswer::Bytes(vec![7, 7]))),
        (spi(0), Ok(DeviceAnswer::Bytes(vec![]))),
        (DeviceCall::SensorInfo { name: name("s") }, Err(Errno::NoDevice)),
        (i2c(too_long), Err(Errno::TooLarge)),
        (spi(u16::MAX), Err(Errno::TooLarge)),
    ];
    for (call, want) in calls {
        assert_eq!(execute(&call, &mut devices), want);
    }
    let want = [
        "read p",
        "write p false",
        "watch p None 5",
        "watch p Rising 5",
        "watch p Falling 5",
        "watch p Both 5",
        "i2c b 1 [2]",
        "spi d [3]",
        "info s",
    ];
    assert_eq!(devices.0, want.map(|s| s.to_string()));
}
