//! The devices of a real Linux machine. Nothing of it is simulated, so all of it is ignored unless asked for:
//!
//! ```text
//! CORACLE_TEST_DEVICES=devices.toml cargo nextest run -p coracle-platform --test devices_hardware --run-ignored only
//! ```
//!
//! The file names an output `led` that is wired to an input `button`, a bus `i2c0` with an LM75 at 0x48, a device `spi0`
//! whose output is wired to its input, and a sensor `accel0`.

use std::env;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use coracle_device::{Devices, Edges};
use coracle_guest_abi::Errno;
use coracle_platform::devices::{DeviceRoots, DevicesConfig, LinuxDevices};

/// Longest wait for an edge or a block.
const WAIT_MAX: Duration = Duration::from_secs(10);

fn devices() -> LinuxDevices {
    let path =
        PathBuf::from(env::var_os("CORACLE_TEST_DEVICES").expect("CORACLE_TEST_DEVICES names a file of devices"));
    LinuxDevices::new(DevicesConfig::read(&path).unwrap(), DeviceRoots::default())
}

/// Asks until there is an answer.
fn wait<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + WAIT_MAX;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "nothing came within {WAIT_MAX:?}");
        std::thread::yield_now();
    }
}

#[test]
#[ignore = "needs two GPIO lines that are wired together"]
fn an_edge_of_a_line_arrives() {
    let mut devices = devices();
    devices.pin_write("led", false).unwrap();
    devices.pin_watch("button", Edges::Rising, 1_000).unwrap();
    devices.pin_write("led", true).unwrap();
    assert!(wait(|| devices.pin_event(0).map(|event| event.high)));
    assert_eq!(devices.pin_read("button"), Ok(true));
}

#[test]
#[ignore = "needs an LM75 on an I2C bus"]
fn a_thermometer_answers_and_nobody_else() {
    let mut devices = devices();
    let mut bytes = [0; 2];
    devices.i2c("i2c0", 0x48, &[0], &mut bytes).unwrap();
    let half_degrees = i16::from_be_bytes(bytes) >> 7;
    assert!((-110..=250).contains(&half_degrees), "{half_degrees} half degrees");
    let nobody = devices.i2c("i2c0", 0x4F, &[0], &mut bytes);
    assert!(matches!(nobody, Err(Errno::NoDevice | Errno::RemoteIo)), "{nobody:?}");
}

#[test]
#[ignore = "needs an SPI device whose output is wired to its input"]
fn a_loop_returns_what_was_sent() {
    let mut bytes = [0xFF; 4];
    devices().spi("spi0", &[1, 2, 3], &mut bytes).unwrap();
    assert_eq!(bytes, [1, 2, 3, 0]);
}

#[test]
#[ignore = "needs an IIO device with a buffer"]
fn a_sensor_gives_blocks_in_order() {
    let mut devices = devices();
    let info = devices.sensor_info("accel0").unwrap();
    devices.sensor_enable("accel0", true).unwrap();
    for sequence in 0..3 {
        let header = wait(|| devices.sensor_block(u64::from(u32::MAX)).map(|(_, block)| block.header));
        assert_eq!((header.sequence, header.count, header.dropped), (sequence, info.block, 0));
    }
}
