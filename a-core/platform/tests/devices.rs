//! The devices of a Linux machine, on folders that look like its `/dev` and `/sys`.
//!
//! The files do not behave like a kernel's: what is written to an attribute is what it says afterwards, and nothing
//! answers an ioctl. What is tested is what is written, how bytes are understood, and what is told when something is
//! wrong.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_device::{Devices, Edges, TRANSFER_BYTES_MAX};
use coracle_guest_abi::{Errno, SensorInfo};
use coracle_platform::devices::{DeviceRoots, DevicesConfig, LinuxDevices};
use tempfile::TempDir;

/// A machine in a folder.
struct Machine {
    dir: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(machine.path("dev")).unwrap();
        fs::create_dir_all(machine.path("sys/bus/iio/devices")).unwrap();
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// An IIO device with these `(channel, form)` in its buffer, in order.
    fn iio(&self, number: u32, name: &str, channels: &[(&str, &str)]) -> String {
        let dir = format!("sys/bus/iio/devices/iio:device{number}");
        self.write(&format!("{dir}/name"), &format!("{name}\n"));
        for (index, (channel, form)) in channels.iter().enumerate() {
            self.write(&format!("{dir}/scan_elements/in_{channel}_en"), "0\n");
            self.write(&format!("{dir}/scan_elements/in_{channel}_type"), &format!("{form}\n"));
            self.write(&format!("{dir}/scan_elements/in_{channel}_index"), &format!("{index}\n"));
        }
        self.write(&format!("{dir}/buffer/enable"), "0\n");
        self.write(&format!("{dir}/buffer/length"), "2\n");
        self.write(&format!("dev/iio:device{number}"), "");
        dir
    }

    /// An accelerometer with two axes and times, 100 Hz.
    fn accelerometer(&self) -> String {
        let channels = [("accel_x", "le:s12/16>>4"), ("accel_y", "le:s12/16>>4"), ("timestamp", "le:s64/64>>0")];
        let dir = self.iio(0, "lis3dh", &channels);
        self.write(&format!("{dir}/sampling_frequency"), "1.000000\n");
        self.write(&format!("{dir}/in_accel_scale"), "0.009806\n");
        self.write(&format!("{dir}/buffer/watermark"), "1\n");
        self.write(&format!("{dir}/current_timestamp_clock"), "realtime\n");
        dir
    }

    /// The bytes come out of the device.
    fn give(&self, node: &str, bytes: &[u8]) {
        OpenOptions::new().append(true).open(self.path(&format!("dev/{node}"))).unwrap().write_all(bytes).unwrap();
    }

    fn devices(&self, config: &str) -> LinuxDevices {
        let config = DevicesConfig::parse(config, Path::new("devices.toml")).unwrap();
        LinuxDevices::new(config, DeviceRoots { dev: self.path("dev"), sys: self.path("sys") })
    }
}

const ACCEL: &str =
    "[devices.sensors]\naccel0 = { iio = \"lis3dh\", channel = \"accel_x\", rate_hz = 100, block = 4 }\n";

/// A scan of the accelerometer with this value, at this time in milliseconds.
fn scan(value: i16, time_ms: i64) -> Vec<u8> {
    // The four bits below the value are noise; what is between value and time is of no matter.
    let mut bytes = ((value << 4) | 0xA).to_le_bytes().to_vec();
    bytes.extend([0xEE; 6]);
    bytes.extend((time_ms * 1_000_000).to_le_bytes());
    bytes
}

/// Sequence, dropped, time and samples of all blocks that are there.
fn blocks(devices: &mut LinuxDevices) -> Vec<(u32, u32, u64, Vec<i16>)> {
    let mut blocks = Vec::new();
    while let Some((name, block)) = devices.sensor_block(1 << 50) {
        assert_eq!(name, "accel0");
        assert_eq!((block.header.rate_hz, block.header.count as usize), (100, block.samples.len()));
        let header = block.header;
        blocks.push((header.sequence, header.dropped, header.timestamp_us, block.samples.to_vec()));
        assert!(blocks.len() < 100, "the same block again and again");
    }
    blocks
}

fn problems(devices: &mut LinuxDevices) -> Vec<String> {
    devices.take_problems().iter().map(ToString::to_string).collect()
}

#[test]
fn a_sensor_is_set_up_and_its_bytes_become_blocks() {
    let machine = Machine::new();
    let dir = machine.accelerometer();
    let mut devices = machine.devices(ACCEL);
    assert!(devices.sensor_block(0).is_none(), "off until somebody switches it on");
    assert_eq!(devices.descriptors().count(), 0);
    assert_eq!(machine.read(&format!("{dir}/sampling_frequency")), "1.000000\n", "nothing is touched before");

    assert_eq!(devices.sensor_enable("accel0", true), Ok(()));
    let written = |file: &str| machine.read(&format!("{dir}/{file}"));
    let elements = ["accel_x", "accel_y", "timestamp"].map(|name| written(&format!("scan_elements/in_{name}_en")));
    assert_eq!(elements, ["1", "0", "1"]);
    assert_eq!((written("sampling_frequency"), written("current_timestamp_clock")), ("100".into(), "monotonic".into()));
    assert_eq!(
        (written("buffer/length"), written("buffer/watermark"), written("buffer/enable")),
        ("16".into(), "4".into(), "1".into())
    );
    assert_eq!(devices.descriptors().count(), 1);

    // Ten scans, with up to 4 ms of jitter: two blocks, and the beginning of one.
    for n in 0..10 {
        machine.give("iio:device0", &scan(n as i16 - 5, 1000 + 10 * n + [0, 4, -4][n as usize % 3]));
    }
    let got = blocks(&mut devices);
    let samples: Vec<_> =
        got.iter().map(|(sequence, dropped, _, samples)| (*sequence, *dropped, samples.clone())).collect();
    assert_eq!(samples, [(0, 0, vec![-5, -4, -3, -2]), (1, 0, vec![-1, 0, 1, 2])]);
    assert_eq!(got[1].2 - got[0].2, 44_000, "the fifth scan's time, with its jitter");

    assert_eq!(devices.sensor_enable("accel0", false), Ok(()));
    assert_eq!((written("buffer/enable").as_str(), devices.descriptors().count()), ("0", 0));
    machine.give("iio:device0", &scan(0, 2000).repeat(8));
    assert!(devices.sensor_block(0).is_none());
    assert_eq!(problems(&mut devices), [""; 0]);
}

#[test]
fn bytes_may_come_in_any_pieces() {
    let machine = Machine::new();
    machine.accelerometer();
    let all: Vec<u8> = (0..8).flat_map(|n| scan(n, 1000 + 10 * i64::from(n))).collect();
    for piece in [1, 3, 16, 17, 100] {
        fs::write(machine.path("dev/iio:device0"), "").unwrap();
        let mut devices = machine.devices(ACCEL);
        assert_eq!(devices.sensor_enable("accel0", true), Ok(()));
        let mut got = Vec::new();
        for part in all.chunks(piece) {
            machine.give("iio:device0", part);
            got.extend(blocks(&mut devices).into_iter().map(|(.., samples)| samples));
        }
        assert_eq!(got, [[0, 1, 2, 3], [4, 5, 6, 7]], "pieces of {piece}");
    }
}

#[test]
fn a_gap_in_the_times_is_counted() {
    let machine = Machine::new();
    machine.accelerometer();
    let mut devices = machine.devices(ACCEL);
    assert_eq!(devices.sensor_enable("accel0", true), Ok(()));
    // After the sixth, three are missing, and the next is early.
    for n in (0..6).chain(9..13) {
        machine.give("iio:device0", &scan(n as i16, 10 * n - if n == 9 { 4 } else { 0 }));
    }
    // Then time goes back, as a clock that is set does: that is no gap.
    for n in 0..4 {
        machine.give("iio:device0", &scan(100 + n as i16, 10 * n));
    }
    let got: Vec<_> = blocks(&mut devices).into_iter().map(|(n, dropped, _, samples)| (n, dropped, samples)).collect();
    assert_eq!(got, [(0, 0, vec![0, 1, 2, 3]), (2, 5, vec![9, 10, 11, 12]), (3, 5, vec![100, 101, 102, 103])]);
}

#[test]
fn blocks_that_nobody_takes_do_not_pile_up_here() {
    let machine = Machine::new();
    machine.accelerometer();
    let mut devices = machine.devices(ACCEL);
    assert_eq!(devices.sensor_enable("accel0", true), Ok(()));
    for n in 0..600 {
        machine.give("iio:device0", &scan(n, 10 * i64::from(n)));
    }
    for first in (0..600).step_by(4) {
        let (_, block) = devices.sensor_block(0).expect("600 samples");
        assert_eq!((block.samples[0], block.header.dropped), (first, 0), "what waits is with the kernel");
    }
    assert!(devices.sensor_block(0).is_none());
}

#[test]
fn channels_that_the_driver_forces_on_move_the_value() {
    let machine = Machine::new();
    let dir = machine.accelerometer();
    // Whoever switches y on has x, too.
    let x = machine.path(&format!("{dir}/scan_elements/in_accel_x_en"));
    fs::remove_file(&x).unwrap();
    std::os::unix::fs::symlink("in_accel_y_en", x).unwrap();
    let mut devices = machine.devices(&ACCEL.replace("accel_x", "accel_y"));
    assert_eq!(devices.sensor_enable("accel0", true), Ok(()));
    for n in 0..4_i16 {
        let mut bytes = vec![0x70, 0x77];
        bytes.extend((-n << 4).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend((i64::from(n) * 10_000_000).to_le_bytes());
        machine.give("iio:device0", &bytes);
    }
    assert_eq!(blocks(&mut devices)[0].3, [0, -1, -2, -3]);
}

#[test]
fn scale_unit_and_offset_are_those_of_the_kernel() {
    let machine = Machine::new();
    let text = |channel: &str, number: u32| {
        format!(
            "[devices.sensors]\naccel0 = {{ iio = \"d{number}\", channel = \"{channel}\", rate_hz = 100, block = 4 }}\n"
        )
    };
    for (number, (channel, form, file, scale, unit, scale_nano)) in [
        ("accel_x", "le:s12/16>>4", "in_accel_scale", "0.009806", 1, 9_806_000),
        ("accel_x", "le:s12/16>>4", "in_accel_x_scale", "0.019612", 1, 19_612_000),
        ("temp", "le:s16/16>>0", "in_temp_scale", "62.5", 2, 62_500_000),
        // 24 bits and no sign: 9 too many. One count is then 0.000000244140 kPa * 512.
        ("pressure", "le:u24/32>>8", "in_pressure_scale", "0.000000244140", 3, 124_999_680),
        ("voltage3", "be:u12/16>>0", "in_voltage_scale", "0.805664062", 4, 805_664),
        ("voltage0-voltage1", "be:s16/16>>0", "in_voltage-voltage_scale", "2", 4, 2_000_000),
        ("humidityrelative", "le:u16/16>>0", "in_humidityrelative_scale", "10", 5, 20_000_000),
        ("magn_z", "le:s16/16>>0", "in_magn_scale", "0.001", 0, 1_000_000),
        ("magn_z", "le:s16/16>>0", "other", "", 0, 1_000_000_000),
        // What is too much for the number, or no scale.
        ("magn_z", "le:s16/16>>0", "in_magn_scale", "5", 0, 0),
        ("magn_z", "le:s16/16>>0", "in_magn_scale", "-1", 0, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let dir = machine.iio(number as u32, &format!("d{number}"), &[(channel, form)]);
        machine.write(&format!("{dir}/{file}"), scale);
        let info = SensorInfo { rate_hz: 100, rate_max_hz: 100, block: 4, scale_nano, unit };
        let mut devices = machine.devices(&text(channel, number as u32));
        assert_eq!(devices.sensor_info("accel0"), Ok(info), "{channel} {form} {file} {scale}");
        assert_eq!(machine.read(&format!("{dir}/buffer/enable")), "0\n", "asking switches nothing on");
    }

    let dir = machine.iio(90, "d90", &[("voltage0", "be:u16/16>>0")]);
    machine.write(&format!("{dir}/in_voltage0_offset"), "-32767.7");
    let mut devices = machine.devices(&text("voltage0", 90));
    assert_eq!(devices.sensor_enable("accel0", true), Ok(()));
    machine.give("iio:device90", &[0, 0, 0x80, 0, 0x80, 4, 0xFF, 0xFF]);
    assert_eq!(blocks(&mut devices)[0].3, [-16_384, 0, 2, 16_383], "with the offset, in half as many counts");
    machine.write(&format!("{dir}/in_voltage0_offset"), "70000");
    let mut devices = machine.devices(&text("voltage0", 90));
    assert_eq!(devices.sensor_enable("accel0", true), Ok(()));
    assert_eq!(blocks(&mut devices)[0].3, [32_767; 4], "what is more than a sample can be is the most");
}

#[test]
fn a_trigger_is_chosen_and_sets_the_rate() {
    let machine = Machine::new();
    let dir = machine.iio(0, "adc", &[("voltage0", "le:u12/16>>0")]);
    machine.write(&format!("{dir}/trigger/current_trigger"), "\n");
    machine.write("sys/bus/iio/devices/trigger7/name", "timer\n");
    machine.write("sys/bus/iio/devices/trigger7/sampling_frequency", "1\n");
    let mut devices = machine.devices(
        "[devices.sensors]\naccel0 = { iio = \"adc\", channel = \"voltage0\", trigger = \"timer\", rate_hz = 50, block = 2 }",
    );
    assert_eq!(devices.sensor_enable("accel0", true), Ok(()));
    assert_eq!(machine.read(&format!("{dir}/trigger/current_trigger")), "timer");
    assert_eq!(machine.read("sys/bus/iio/devices/trigger7/sampling_frequency"), "50");
    // Without a time in the scan, a block has the one at which it came.
    machine.give("iio:device0", &[1, 0, 2, 0]);
    let (_, block) = devices.sensor_block(777).unwrap();
    assert_eq!((block.header.timestamp_us, block.samples), (777, &[1, 2][..]));
}

#[test]
fn what_is_wrong_with_a_sensor_is_told_once() {
    let machine = Machine::new();
    let dir = "sys/bus/iio/devices/iio:device0";
    let mut devices = machine.devices(ACCEL);
    let mut fails = |part: &str, errno| {
        assert_eq!(devices.sensor_enable("accel0", true), Err(errno), "{part}");
        let told = problems(&mut devices);
        assert!(told.len() == 1 && told[0].starts_with("sensor `accel0`: "), "{told:?}, expected one with {part:?}");
        assert!(told[0].contains(part), "{told:?}, expected {part:?}");
        assert_eq!(devices.sensor_enable("accel0", true), Err(errno), "{part}");
        assert_eq!(problems(&mut devices), [""; 0], "the same is not told again");
        // A device that works may fail again and is told again.
        devices = machine.devices(ACCEL);
    };
    fails("no IIO device `lis3dh`", Errno::NoDevice);
    machine.iio(1, "bmp280", &[]);
    fails("there are: bmp280", Errno::NoDevice);
    machine.iio(0, "lis3dh", &[("accel_y", "le:s16/16>>0"), ("timestamp", "le:s64/64>>0")]);
    fails("it can sample: accel_y)", Errno::NoDevice);
    machine.accelerometer();
    machine.write(&format!("{dir}/scan_elements/in_accel_x_type"), "nonsense");
    fails("in_accel_x_type says `nonsense`", Errno::Io);
    assert_eq!(machine.read(&format!("{dir}/sampling_frequency")), "1.000000\n", "nothing was changed so far");
    machine.accelerometer();
    machine.write(&format!("{dir}/scan_elements/in_accel_x_index"), "-1");
    fails("in_accel_x_index says `-1`", Errno::Io);
    machine.accelerometer();
    fs::remove_file(machine.path("dev/iio:device0")).unwrap();
    fails("iio:device0 does not exist", Errno::NoDevice);
    assert_eq!(machine.read(&format!("{dir}/sampling_frequency")), "1.000000\n", "nothing was changed");
    machine.accelerometer();
    machine.iio(2, "lis3dh", &[]);
    fails("several IIO devices", Errno::NoDevice);
    machine.write("sys/bus/iio/devices/iio:device0/label", "left");
    let mut labelled = machine.devices(&ACCEL.replace("lis3dh", "left"));
    assert_eq!(labelled.sensor_enable("accel0", true), Ok(()), "a label tells them apart");
    assert_eq!(labelled.sensor_enable("accel1", true), Err(Errno::NoEntry));
}

#[test]
fn a_device_without_data_is_not_waited_for() {
    let machine = Machine::new();
    machine.accelerometer();
    let fifo = machine.path("dev/iio:device0");
    fs::remove_file(&fifo).unwrap();
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut devices = machine.devices(ACCEL);
    assert_eq!(devices.sensor_enable("accel0", true), Ok(()));
    let mut sensor = OpenOptions::new().write(true).open(&fifo).unwrap();
    assert!(devices.sensor_block(0).is_none(), "open and empty: a reader that waits would hang here");
    for n in 0..4 {
        sensor.write_all(&scan(n, 10 * i64::from(n))).unwrap();
    }
    assert!(devices.sensor_block(0).is_some());
    assert!(devices.sensor_block(0).is_none());
    assert_eq!(problems(&mut devices), [""; 0]);
}

#[test]
fn a_bus_that_is_not_there_is_told_and_found_when_it_comes() {
    let machine = Machine::new();
    let mut devices = machine.devices(
        "[devices.i2c]\ni2c0 = \"/dev/i2c-1\"\n[devices.spi]\nspi0 = { device = \"spidev0.0\", speed_hz = 1000000 }\n",
    );
    assert_eq!(devices.i2c("i2c1", 0x48, &[0], &mut [0; 2]), Err(Errno::NoEntry));
    assert_eq!(devices.spi("spi1", &[0], &mut []), Err(Errno::NoEntry));
    for _ in 0..2 {
        assert_eq!(devices.i2c("i2c0", 0x48, &[0], &mut [0; 2]), Err(Errno::NoDevice));
        assert_eq!(devices.spi("spi0", &[0], &mut [0; 2]), Err(Errno::NoDevice));
    }
    let told = problems(&mut devices);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("I2C bus `i2c0`: ") && told[0].contains("dev/i2c-1 does not exist"), "{told:?}");
    assert!(told[1].starts_with("SPI device `spi0`: ") && told[1].contains("dev/spidev0.0 does not exist"), "{told:?}");

    // Files take no ioctl, and that is what is told now: the nodes were opened.
    machine.write("dev/i2c-1", "");
    machine.write("dev/spidev0.0", "");
    assert_eq!(devices.i2c("i2c0", 0x48, &[0], &mut [0; 2]), Err(Errno::Io));
    assert_eq!(devices.spi("spi0", &[0], &mut [0; 2]), Err(Errno::Io));

    assert_eq!(devices.i2c("i2c0", 0x80, &[0], &mut []), Err(Errno::Invalid));
    let long = [0; TRANSFER_BYTES_MAX + 1];
    assert_eq!(devices.i2c("i2c0", 0x48, &long, &mut []), Err(Errno::TooLarge));
    assert_eq!(devices.i2c("i2c0", 0x48, &[], &mut long.clone()), Err(Errno::TooLarge));
    assert_eq!(devices.spi("spi0", &long, &mut []), Err(Errno::TooLarge));
    assert_eq!(devices.spi("spi0", &[], &mut long.clone()), Err(Errno::TooLarge));
}

#[test]
fn a_pin_is_used_as_it_is_configured() {
    let machine = Machine::new();
    let mut devices = machine.devices(
        "[devices.pins]\nled = { line = \"gpiochip0:1\", mode = \"output\" }\nbutton = { line = \"KEY\", mode = \"input\" }\n",
    );
    assert_eq!(devices.pin_read("lid"), Err(Errno::NoEntry));
    assert_eq!(devices.pin_write("button", true), Err(Errno::Invalid));
    assert_eq!(devices.pin_watch("led", Edges::Both, 0), Err(Errno::Invalid));
    assert_eq!(problems(&mut devices), [""; 0], "for that, no line is claimed");
    assert_eq!(devices.pin_write("led", true), Err(Errno::NoDevice));
    assert_eq!(devices.pin_watch("button", Edges::Both, 0), Err(Errno::NoDevice));
    let told = problems(&mut devices);
    assert!(told[0].contains("gpiochip0 does not exist") && told[1].contains("has a line named `KEY`"), "{told:?}");
    assert!(devices.pin_event(0).is_none());
    assert_eq!(devices.descriptors().count(), 0);
}
