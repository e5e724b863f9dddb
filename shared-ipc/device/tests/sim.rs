//! The simulated board through [`Devices`], and its parts through drivers that others wrote for the real ones.

use coracle_device::sim::{self, Eeprom, LM75_ADDRESS, SimI2c, Wire};
use coracle_device::{Devices, Edges, I2cDriver, PinEvent, TRANSFER_BYTES_MAX};
use coracle_guest_abi::{Errno, SensorInfo};
use eeprom25aa02e48::Eeprom25aa02e48;
use lm75::{Address, Lm75};

const SENSORS: &[(&str, SensorInfo)] = &[sim::ACCEL0];

#[test]
fn a_published_lm75_driver_works_with_the_simulated_part() {
    let mut bus = SimI2c::default();
    for (half_degrees, expected) in [(43, 21.5), (-1, -0.5), (-110, -55.0), (250, 125.0), (300, 125.0), (0, 0.0)] {
        bus.lm75.set_temperature(half_degrees);
        let mut driver = Lm75::new(&mut bus, Address::default());
        assert_eq!(driver.read_temperature().ok(), Some(expected), "{half_degrees} half degrees");
    }
    let mut driver = Lm75::new(&mut bus, Address::default());
    driver.set_os_temperature(62.5).expect("in range");
    driver.set_hysteresis_temperature(-10.0).expect("in range");
    driver.disable().expect("acknowledged");
    assert_eq!(driver.read_temperature().ok(), Some(0.0), "the other registers are others");
    let mut registers = [0; 2];
    let mut port = I2cDriver::new(bus);
    for (register, expected) in [(1, [1, 1]), (2, [0xF6, 0]), (3, [62, 0x80])] {
        coracle_device::I2cPort::write_read(&mut port, LM75_ADDRESS, &[register], &mut registers).expect("there");
        assert_eq!(registers, expected, "register {register}");
    }
}

#[test]
fn a_published_eeprom_driver_works_with_the_simulated_part() {
    let mut eeprom = Eeprom25aa02e48::new(Eeprom::default());
    assert_eq!(eeprom.read_eui48(), Ok(Eeprom::NODE_ADDRESS));
    eeprom.write_page(0x20, b"kept").expect("no errors");
    let mut read = [0; 6];
    eeprom.read(0x1F, &mut read).expect("no errors");
    assert_eq!(&read, b"\xFFkept\xFF");
}

#[test]
fn a_bus_says_who_is_not_there() {
    let wire = Wire::new();
    let mut devices = sim::devices(&wire, SENSORS);
    let mut read = [0; 2];
    assert_eq!(devices.i2c("i2c0", LM75_ADDRESS, &[0], &mut read), Ok(()));
    assert_eq!(read, [21, 0x80]);
    for address in (0..=0x7F).filter(|address| *address != LM75_ADDRESS) {
        assert_eq!(devices.i2c("i2c0", address, &[0], &mut read), Err(Errno::NoDevice), "{address:#x}");
    }
    assert_eq!(devices.i2c("i2c0", 0x80, &[0], &mut read), Err(Errno::Invalid));
    assert_eq!(devices.i2c("i2c1", LM75_ADDRESS, &[0], &mut read), Err(Errno::NoEntry));
    assert_eq!(devices.i2c("i2c0", LM75_ADDRESS, &[], &mut []), Ok(()), "asks whether it is there");
    assert_eq!(devices.i2c("i2c0", 0x49, &[], &mut []), Err(Errno::NoDevice));
    let mut long = [0xAA; TRANSFER_BYTES_MAX + 1];
    assert_eq!(devices.i2c("i2c0", LM75_ADDRESS, &[0], &mut long), Err(Errno::TooLarge));
    assert_eq!(devices.i2c("i2c0", LM75_ADDRESS, &long, &mut []), Err(Errno::TooLarge));
    assert_eq!(devices.i2c("i2c0", LM75_ADDRESS, &[], &mut long[1..]), Ok(()));
    assert_eq!(long[1..5], [21, 0x80, 21, 0x80], "who reads on gets the same again");
}

#[test]
fn an_spi_transfer_is_as_long_as_the_longer_side() {
    let wire = Wire::new();
    let mut devices = sim::devices(&wire, SENSORS);
    assert_eq!(devices.spi("spi0", &[0x06], &mut []), Ok(()));
    let mut status = [0; 2];
    assert_eq!(devices.spi("spi0", &[0x05], &mut status), Ok(()));
    assert_eq!(status, [0xFF, 0x02], "writing is enabled");
    // Twenty bytes from 0x0C: the page ends after four, and the others go around.
    let mut command = [0; 22];
    command[..2].copy_from_slice(&[0x02, 0x0C]);
    (1..=20).zip(&mut command[2..]).for_each(|(value, byte)| *byte = value);
    assert_eq!(devices.spi("spi0", &command, &mut []), Ok(()));
    let mut read = [0; 2 + 17];
    assert_eq!(devices.spi("spi0", &[0x03, 0x00], &mut read), Ok(()));
    assert_eq!(read[2..], [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 0xFF]);
    assert_eq!(devices.spi("spi0", &[0x02, 0, 1], &mut []), Ok(()), "not enabled: the write before ended that");
    assert_eq!(devices.spi("spi0", &[0x03, 0x00], &mut read[..3]), Ok(()));
    assert_eq!(read[2], 5);
    assert_eq!(devices.spi("spi1", &[1], &mut []), Err(Errno::NoEntry));
    assert_eq!(devices.spi("spi0", &[1; TRANSFER_BYTES_MAX + 1], &mut []), Err(Errno::TooLarge));
    assert_eq!(devices.spi("spi0", &[], &mut [1; TRANSFER_BYTES_MAX + 1]), Err(Errno::TooLarge));
}

#[test]
fn the_led_makes_the_edges_of_the_button() {
    let wire = Wire::new();
    let mut devices = sim::devices(&wire, SENSORS);
    assert_eq!(devices.pin_watch("led", Edges::Both, 0), Err(Errno::Invalid), "an output has no edges to wait for");
    assert_eq!(devices.pin_write("button", true), Err(Errno::Invalid));
    assert_eq!(devices.pin_read("lid"), Err(Errno::NoEntry));
    assert_eq!(devices.pin_write("lid", true), Err(Errno::NoEntry));
    assert_eq!(devices.pin_watch("lid", Edges::Both, 0), Err(Errno::NoEntry));

    assert_eq!(devices.pin_watch("button", Edges::Rising, 0), Ok(()));
    assert_eq!(devices.pin_event(1), None);
    assert_eq!(devices.pin_write("led", true), Ok(()));
    assert_eq!((devices.pin_read("button"), devices.pin_read("led")), (Ok(true), Ok(true)));
    assert_eq!(devices.pin_event(2), Some(PinEvent { label: "button", high: true, time_us: 2 }));
    assert_eq!(devices.pin_event(2), None, "an edge is one event");
    assert_eq!(devices.pin_write("led", false), Ok(()));
    assert_eq!(devices.pin_event(3), None, "only rising ones are watched for");

    assert_eq!(devices.pin_watch("button", Edges::Both, 500), Ok(()));
    assert_eq!(devices.deadline_us(), None);
    wire.set(true);
    assert_eq!(devices.pin_event(10), None);
    assert_eq!(devices.deadline_us(), Some(510));
    assert_eq!(devices.pin_event(510), Some(PinEvent { label: "button", high: true, time_us: 10 }));
    assert_eq!(devices.deadline_us(), None);
    assert_eq!(devices.pin_watch("button", Edges::None, 0), Ok(()));
    wire.set(false);
    assert_eq!(devices.pin_event(2000), None);
    assert_eq!(devices.deadline_us(), None);
}

#[test]
fn a_sensor_is_what_the_board_says() {
    let wire = Wire::new();
    let mut devices = sim::devices(&wire, SENSORS);
    assert_eq!(devices.sensor_info("accel0"), Ok(sim::ACCEL0.1));
    assert_eq!(devices.sensor_info("accel1"), Err(Errno::NoEntry));
}

#[test]
fn a_sensor_that_the_core_reads_shares_its_bus_with_containers() {
    let wire = Wire::new();
    let mut devices = sim::devices(&wire, SENSORS);
    let info = SensorInfo { rate_hz: 8, rate_max_hz: 8, block: 8, scale_nano: 500_000_000, unit: 2 };
    assert_eq!(devices.sensor_info("temp0"), Ok(info));
    assert_eq!(devices.sensor_enable("accel0", true), Err(Errno::NoEntry), "its blocks come on another way");
    assert_eq!(devices.sensor_enable("temp0", true), Ok(()));
    let mut read = [0; 2];
    let mut now_us = 1_000;
    let block = loop {
        // A container leaves the thermometer's pointer at another register.
        assert_eq!(devices.i2c("i2c0", LM75_ADDRESS, &[3], &mut read), Ok(()));
        assert_eq!(read, [80, 0]);
        if let Some((name, block)) = devices.sensor_block(now_us) {
            assert_eq!((name, block.samples), ("temp0", &[43; 8][..]), "21.5 degrees");
            break block.header;
        }
        now_us = devices.deadline_us().expect("on");
    };
    assert_eq!((block.rate_hz, block.timestamp_us, block.dropped, now_us), (8, 1_000, 0, 876_000));
}
