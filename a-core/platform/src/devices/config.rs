//! The file that says which device of this machine has which name.
//!
//! ```toml
//! [devices.pins]
//! led    = { line = "GPIO17", mode = "output" }
//! button = { line = "gpiochip0:4", mode = "input", active_low = true, bias = "pull-up" }
//!
//! [devices.i2c]
//! i2c0 = "/dev/i2c-1"
//!
//! [devices.spi]
//! spi0 = { device = "/dev/spidev0.0", mode = 0, speed_hz = 1_000_000 }
//!
//! [devices.sensors]
//! accel0 = { iio = "lis3dh_accel", channel = "accel_x", rate_hz = 100, block = 64 }
//! ```
//!
//! Reading it opens no device: what is not there yet may come later.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use coracle_guest_abi::{BLOCK_SAMPLES_MAX, NAME_BYTES_MAX};
use serde::Deserialize;
use thiserror::Error;

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Fastest clock of an SPI bus, in hertz.
const SPI_HZ_MAX: u32 = 100_000_000;
/// Most samples a second of one sensor.
const RATE_HZ_MAX: u32 = 1_000_000;

/// Why a file of devices cannot be used.
#[derive(Debug, Error)]
pub enum DevicesConfigError {
    /// It could not be read.
    #[error("cannot read the devices in {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It says something wrong.
    #[error("{path}:{line}: {message}")]
    Content {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
}

/// Which device has which name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DevicesConfig {
    /// GPIO lines by label.
    pub pins: BTreeMap<DeviceName, PinConfig>,
    /// I2C buses: `/dev/i2c-N`.
    pub i2c: BTreeMap<DeviceName, DevicePath>,
    /// SPI devices.
    pub spi: BTreeMap<DeviceName, SpiConfig>,
    /// Sensors.
    pub sensors: BTreeMap<DeviceName, SensorConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DevicesFile {
    #[serde(default)]
    devices: DevicesConfig,
}

impl DevicesConfig {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`DevicesConfigError`].
    pub fn read(path: &Path) -> Result<Self, DevicesConfigError> {
        let failed = |source| DevicesConfigError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
        if read.map_err(failed)? as u64 > FILE_BYTES_MAX {
            return Err(failed(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("more than {FILE_BYTES_MAX} bytes"),
            )));
        }
        Self::parse(&text, path)
    }

    /// Takes `text`, the content of the file at `path`.
    ///
    /// # Errors
    /// [`DevicesConfigError::Content`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, DevicesConfigError> {
        let content = |error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
            let line = 1 + before.matches('\n').count();
            DevicesConfigError::Content { path: path.to_owned(), line, message: error.message().to_owned() }
        };
        toml::from_str(text).map_err(content).map(|DevicesFile { devices }| devices)
    }
}

/// The name of a device in manifests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct DeviceName(String);

impl DeviceName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DeviceName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(known) {
            return Err(format!(
                "the name `{name}` must have 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` or `.`, as in a manifest"
            ));
        }
        Ok(Self(name))
    }
}

/// A device node, relative to `/dev`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PathBuf")]
pub struct DevicePath(PathBuf);

impl DevicePath {
    /// The node in the folder `dev`.
    #[must_use]
    pub fn at(&self, dev: &Path) -> PathBuf {
        dev.join(&self.0)
    }
}

impl TryFrom<PathBuf> for DevicePath {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<Self, String> {
        let relative = path.strip_prefix("/dev").unwrap_or(&path);
        let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || relative.as_os_str().is_empty() {
            return Err(format!("`{}` must be a device node below /dev", path.display()));
        }
        Ok(Self(relative.to_owned()))
    }
}

/// Where a GPIO line is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LineAddress {
    /// The line's name in the device tree, unique among all chips.
    Name(String),
    /// `gpiochipN:OFFSET`. The numbers of chips depend on the order in which drivers came up.
    Offset {
        /// The chip's number.
        chip: u32,
        /// The line on it.
        offset: u32,
    },
}

impl TryFrom<String> for LineAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let Some(numbers) = text.strip_prefix("gpiochip") else {
            return if text.is_empty() { Err("a line needs a name".into()) } else { Ok(Self::Name(text)) };
        };
        let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        match numbers.split_once(':').map(|(chip, offset)| (number(chip), number(offset))) {
            Some((Some(chip), Some(offset))) => Ok(Self::Offset { chip, offset }),
            _ => Err(format!("`{text}` must be the name of a line, or chip and line as in `gpiochip0:4`")),
        }
    }
}

/// What a pin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinMode {
    /// Read and watched.
    Input,
    /// Set. Starts low.
    Output,
}

/// The resistor at a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PinBias {
    /// As the firmware or the device tree left it.
    #[default]
    AsIs,
    /// None.
    Disabled,
    /// To the supply.
    PullUp,
    /// To ground.
    PullDown,
}

/// A GPIO line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinConfig {
    /// Where it is.
    pub line: LineAddress,
    /// What it is for.
    pub mode: PinMode,
    /// Whether a container's high is the low level of the line.
    #[serde(default)]
    pub active_low: bool,
    /// Its resistor.
    #[serde(default)]
    pub bias: PinBias,
}

/// A device on an SPI bus.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpiConfig {
    /// `/dev/spidevB.C`: bus and chip select.
    pub device: DevicePath,
    /// Clock polarity and phase, 0 to 3.
    #[serde(default)]
    pub mode: SpiMode,
    /// Fastest clock.
    pub speed_hz: SpiSpeed,
}

/// An SPI mode: clock polarity in bit 1, phase in bit 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "u8")]
pub struct SpiMode(u8);

impl SpiMode {
    /// 0 to 3.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for SpiMode {
    type Error = String;

    fn try_from(mode: u8) -> Result<Self, String> {
        if mode > 3 { Err(format!("there is no SPI mode {mode}, only 0 to 3")) } else { Ok(Self(mode)) }
    }
}

/// A clock in hertz.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct SpiSpeed(u32);

impl SpiSpeed {
    /// In hertz.
    #[must_use]
    pub fn hz(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for SpiSpeed {
    type Error = String;

    fn try_from(hz: u32) -> Result<Self, String> {
        if hz == 0 || hz > SPI_HZ_MAX { Err(format!("must be 1 to {SPI_HZ_MAX} Hz")) } else { Ok(Self(hz)) }
    }
}

/// A sensor of the kernel's Industrial I/O.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SensorConfig {
    /// The `label` or `name` of the device.
    pub iio: String,
    /// The channel, as its files are called: `accel_x` of `in_accel_x_raw`.
    pub channel: ChannelName,
    /// The trigger to use, by name; that of the driver if there is none.
    pub trigger: Option<String>,
    /// Samples a second.
    pub rate_hz: SampleRate,
    /// Samples in a block.
    pub block: BlockSamples,
}

/// The name of a channel, as it is part of file names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ChannelName(String);

impl ChannelName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ChannelName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        // What the kernel makes of type, number, modifier and name; above all no slash.
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
            return Err(format!("`{name}` is no channel; `accel_x` is the one of in_accel_x_raw"));
        }
        Ok(Self(name))
    }
}

/// Samples a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct SampleRate(u32);

impl SampleRate {
    /// In hertz.
    #[must_use]
    pub fn hz(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for SampleRate {
    type Error = String;

    fn try_from(hz: u32) -> Result<Self, String> {
        if hz == 0 || hz > RATE_HZ_MAX {
            return Err(format!("must be 1 to {RATE_HZ_MAX} samples a second"));
        }
        Ok(Self(hz))
    }
}

/// Samples in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "usize")]
pub struct BlockSamples(usize);

impl BlockSamples {
    /// How many.
    #[must_use]
    pub fn count(self) -> usize {
        self.0
    }
}

impl TryFrom<usize> for BlockSamples {
    type Error = String;

    fn try_from(count: usize) -> Result<Self, String> {
        if count == 0 || count > BLOCK_SAMPLES_MAX {
            return Err(format!("must be 1 to {BLOCK_SAMPLES_MAX} samples"));
        }
        Ok(Self(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DevicesConfig, String> {
        DevicesConfig::parse(text, Path::new("/etc/coracle/devices.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_is_understood() {
        let example: String = include_str!("config.rs")
            .lines()
            .skip_while(|line| *line != "//! ```toml")
            .skip(1)
            .take_while(|line| *line != "//! ```")
            .map(|line| format!("{}\n", line.trim_start_matches("//!")))
            .collect();
        let config = parse(&example).unwrap();
        let button = &config.pins[&DeviceName("button".into())];
        assert_eq!(button.line, LineAddress::Offset { chip: 0, offset: 4 });
        assert_eq!((button.mode, button.active_low, button.bias), (PinMode::Input, true, PinBias::PullUp));
        let led = &config.pins[&DeviceName("led".into())];
        assert_eq!((&led.line, led.mode), (&LineAddress::Name("GPIO17".into()), PinMode::Output));
        let bus = &config.i2c[&DeviceName("i2c0".into())];
        assert_eq!(bus.at(Path::new("/fake")), Path::new("/fake/i2c-1"));
        let spi = &config.spi[&DeviceName("spi0".into())];
        assert_eq!((spi.mode.number(), spi.speed_hz.hz()), (0, 1_000_000));
        let sensor = &config.sensors[&DeviceName("accel0".into())];
        assert_eq!((sensor.iio.as_str(), sensor.channel.as_str()), ("lis3dh_accel", "accel_x"));
        assert_eq!((sensor.rate_hz.hz(), sensor.block.count()), (100, 64));
        assert_eq!(parse("").unwrap(), DevicesConfig::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let pin =
            |rest: &str| format!("# pins\n[devices.pins]\n\nled = {{ line = \"GPIO1\", mode = \"output\"{rest} }}\n");
        let sensor = |rate: &str, block: &str, channel: &str| {
            format!(
                "[devices.sensors]\n[devices.sensors.a]\niio = \"x\"\nchannel = \"{channel}\"\nrate_hz = {rate}\n\
                 block = {block}\n"
            )
        };
        for (text, line, part) in [
            (pin(", pull = \"up\""), 4, "unknown field `pull`"),
            (pin(", bias = \"up\""), 4, "unknown variant `up`"),
            ("[devices.pins]\nled = { line = \"gpiochip0\", mode = \"input\" }".into(), 2, "gpiochip0:4"),
            ("[devices.pins]\nled = { line = \"gpiochip0:+4\", mode = \"input\" }".into(), 2, "gpiochip0:4"),
            ("[devices.pins]\nled = { line = \"gpiochip0:4294967296\", mode = \"input\" }".into(), 2, "gpiochip0:4"),
            ("[devices.pins]\nled = { line = \"\", mode = \"input\" }".into(), 2, "needs a name"),
            ("[devices.pins]\nled = { mode = \"input\" }".into(), 2, "missing field `line`"),
            ("[devices.i2c]\n\n\"a b\" = \"/dev/i2c-1\"".into(), 3, "`a b`"),
            (format!("[devices.i2c]\n{} = \"/dev/i2c-1\"", "x".repeat(32)), 2, "1 to 31"),
            ("[devices.i2c]\ni2c0 = \"/etc/passwd\"".into(), 2, "below /dev"),
            ("[devices.i2c]\ni2c0 = \"/dev/../etc/passwd\"".into(), 2, "below /dev"),
            ("[devices.i2c]\ni2c0 = \"/dev\"".into(), 2, "below /dev"),
            ("[devices.i2c]\ni2c0 = 1".into(), 2, "invalid type"),
            ("[devices.spi]\nspi0 = { device = \"spidev0.0\", mode = 4, speed_hz = 1 }".into(), 2, "SPI mode 4"),
            ("[devices.spi]\nspi0 = { device = \"spidev0.0\", speed_hz = 0 }".into(), 2, "100000000 Hz"),
            (sensor("0", "1", "accel_x"), 5, "samples a second"),
            (sensor("-1", "1", "accel_x"), 5, "invalid value"),
            (sensor("100", "513", "accel_x"), 6, "1 to 512"),
            (sensor("100", "0", "accel_x"), 6, "1 to 512"),
            (sensor("100", "1", "../x"), 4, "no channel"),
            ("[device.pins]".into(), 1, "unknown field `device`"),
            ("\n\n[devices.gpio]".into(), 3, "unknown field `gpio`"),
            ("[devices.i2c]\ni2c0 = \"i2c-1\"\ni2c0 = \"i2c-2\"".into(), 3, "duplicate"),
            ("[devices.i2c\n".into(), 1, "unclosed"),
        ] {
            let message = parse(&text).expect_err(&text);
            assert!(message.starts_with(&format!("/etc/coracle/devices.toml:{line}: ")), "{text:?} gives {message:?}");
            assert!(message.contains(part), "{text:?} gives {message:?}, without {part:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("devices.toml");
        assert!(DevicesConfig::read(&missing).unwrap_err().to_string().contains("devices.toml"));
        std::fs::write(&missing, vec![b'#'; FILE_BYTES_MAX as usize]).unwrap();
        assert_eq!(DevicesConfig::read(&missing).unwrap(), DevicesConfig::default());
        std::fs::write(&missing, vec![b'#'; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(matches!(DevicesConfig::read(&missing), Err(DevicesConfigError::Read { .. })));
    }
}
