//! Sensors: one channel of a device of the kernel's Industrial I/O, sampled into its buffer.
//!
//! A device is found by label or name in `bus/iio/devices` of sysfs, set up by writing its attributes, and read from its
//! character device. The kernel takes the samples, at its own trigger, with a time each; where times are further apart
//! than the rate says, samples were lost. What a channel's attributes mean is in the kernel's ABI/testing/sysfs-bus-iio.
//!
//! Not here: events of IIO, several channels of one device, and devices without a buffer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use coracle_device::{BlockRing, SensorBlock};
use coracle_guest_abi::{BLOCK_SAMPLES_MAX, SensorInfo};
use nix::fcntl::OFlag;
use nix::time::{ClockId, clock_gettime};

use super::config::SensorConfig;
use super::error::DeviceProblem;
use super::scan_type::{ScanType, scan_layout};

/// Devices and triggers, below sysfs.
const DEVICES_DIR: &str = "bus/iio/devices";
/// What the folders of devices are called, before their number; the nodes are called the same.
const DEVICE_PREFIX: &str = "iio:device";
/// What the folders of triggers are called, before their number.
const TRIGGER_PREFIX: &str = "trigger";
/// The channel that is the time of a scan, in nanoseconds.
const TIMESTAMP: &str = "timestamp";
/// Longest attribute that is read, in bytes: a page, as in the kernel.
const ATTRIBUTE_BYTES_MAX: u64 = 4096;
/// Blocks that the kernel keeps for us, and that wait here for a container.
const BLOCKS: usize = 4;

/// The unit of a type of channel and its factor to what the kernel gives it in.
const UNITS: [(&str, u32, f64); 5] =
    [("accel", 1, 1.0), ("temp", 2, 1e-3), ("pressure", 3, 1e3), ("voltage", 4, 1e-3), ("humidityrelative", 5, 1e-3)];

/// A sensor that this process samples, until it is dropped.
#[derive(Debug)]
pub(super) struct IioSensor {
    dir: PathBuf,
    node: PathBuf,
    file: File,
    scan: Scan,
    ring: Box<BlockRing<BLOCK_SAMPLES_MAX, BLOCKS>>,
    /// The clock of the kernel's times.
    clock: ClockId,
    /// How far the core's clock is behind it, in microseconds.
    behind_us: Option<i128>,
    /// Room for the scans of a block.
    buffer: Vec<u8>,
    /// The start of a scan whose end was not read yet.
    partial: Vec<u8>,
    /// The time of the scan before, in nanoseconds.
    last_ns: Option<i128>,
    /// The oldest block is with a container.
    lent: bool,
}

/// Where the value and the time are in a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scan {
    bytes: usize,
    value: (usize, ScanType),
    time: Option<(usize, ScanType)>,
    /// What is added to a value.
    offset: i128,
}

impl Scan {
    /// The sample in a scan, within what fits it.
    fn sample(&self, scan: &[u8]) -> Option<i16> {
        let (at, form) = self.value;
        let value = form.value(scan.get(at..)?)?.saturating_add(self.offset) >> form.excess_bits();
        Some(value.clamp(i16::MIN.into(), i16::MAX.into()) as i16)
    }

    /// The time of a scan, in nanoseconds.
    fn time_ns(&self, scan: &[u8]) -> Option<i128> {
        let (at, form) = self.time?;
        form.value(scan.get(at..)?)
    }
}

/// What the sensor gives, without switching it on.
pub(super) fn info(config: &SensorConfig, sys: &Path) -> Result<SensorInfo, DeviceProblem> {
    let device = Device::find(config, sys)?;
    let form = device.form(config.channel.as_str())?;
    let rate_hz = config.rate_hz.hz();
    let (unit, scale_nano) = device.scale(config.channel.as_str(), form)?;
    let block = u32::try_from(config.block.count()).unwrap_or(u32::MAX);
    Ok(SensorInfo { rate_hz, rate_max_hz: rate_hz, block, scale_nano, unit })
}

impl IioSensor {
    /// Sets the sensor up and switches it on.
    pub(super) fn start(config: &SensorConfig, sys: &Path, dev: &Path) -> Result<Self, DeviceProblem> {
        let device = Device::find(config, sys)?;
        // Before anything is changed: a device without that channel, or that another process has open, stays as it is.
        device.form(config.channel.as_str())?;
        let node = dev.join(&device.node);
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(&node)
            .map_err(|error| DeviceProblem::new("open", &node, error))?;
        device.write("buffer/enable", "0")?;
        device.set_rate(config, sys)?;
        let scan = device.select(config.channel.as_str())?;
        let clock = device.set_clock()?;
        let block = config.block.count();
        device.write("buffer/length", &(BLOCKS * block).to_string())?;
        if device.dir.join("buffer/watermark").exists() {
            device.write("buffer/watermark", &block.to_string())?;
        }
        let ring = BlockRing::new(config.rate_hz.hz(), block).map(Box::new).ok_or_else(|| {
            let error = io::Error::other("a block has more samples than there is room for");
            DeviceProblem::System { action: "sample", path: node.clone(), error }
        })?;
        device.write("buffer/enable", "1")?;
        Ok(Self {
            dir: device.dir,
            node,
            file,
            scan,
            ring,
            clock,
            behind_us: None,
            buffer: vec![0; block * scan.bytes],
            partial: Vec::new(),
            last_ns: None,
            lent: false,
        })
    }

    /// Takes in what the kernel has; returns whether there is a block. The block lent before is given back.
    pub(super) fn poll(&mut self, now_us: u64) -> Result<bool, DeviceProblem> {
        if std::mem::take(&mut self.lent) {
            self.ring.release();
        }
        // A block's worth at a time, and only when there is none: so what nobody takes stays with the kernel, which drops
        // what comes last when it has no more room; the times show it.
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut result = Ok(());
        while self.ring.block().is_none() {
            match (&self.file).read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => self.take(buffer.get(..read).unwrap_or(&[]), now_us),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    result = Err(DeviceProblem::new("read", &self.node, error));
                    break;
                }
            }
        }
        self.buffer = buffer;
        result.map(|()| self.ring.block().is_some())
    }

    /// The oldest block, until [`IioSensor::poll`].
    pub(super) fn lend(&mut self) -> Option<SensorBlock<'_>> {
        self.lent = true;
        self.ring.block()
    }

    /// What becomes readable with a block.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Cuts bytes of the device into scans.
    fn take(&mut self, bytes: &[u8], now_us: u64) {
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(bytes);
        let mut scans = partial.chunks_exact(self.scan.bytes);
        for scan in &mut scans {
            self.take_scan(scan, now_us);
        }
        self.partial = scans.remainder().to_vec();
    }

    fn take_scan(&mut self, scan: &[u8], now_us: u64) {
        let Some(sample) = self.scan.sample(scan) else { return };
        let Some(time_ns) = self.scan.time_ns(scan) else {
            // Nothing better is known of the time than when it came.
            return self.ring.push(sample, now_us);
        };
        if let Some(last_ns) = self.last_ns.replace(time_ns) {
            let periods_nano = (time_ns - last_ns).saturating_mul(self.ring.rate_hz().into());
            let periods = (periods_nano + 500_000_000).div_euclid(1_000_000_000);
            self.ring.lose(u64::try_from(periods - 1).unwrap_or(0));
        }
        let clock = self.clock;
        let behind_us = *self.behind_us.get_or_insert_with(|| now_on(clock) - i128::from(now_us));
        let time_us = (time_ns / 1000 - behind_us).clamp(0, u64::MAX.into());
        self.ring.push(sample, u64::try_from(time_us).unwrap_or(0));
    }
}

impl Drop for IioSensor {
    fn drop(&mut self) {
        // A device that is gone is off as well.
        let _ = fs::write(self.dir.join("buffer/enable"), "0");
    }
}

/// Microseconds on that clock; 0 if it does not exist, which no Linux is without.
fn now_on(clock: ClockId) -> i128 {
    clock_gettime(clock).map_or(0, |time| i128::from(time.tv_sec()) * 1_000_000 + i128::from(time.tv_nsec()) / 1000)
}

/// A device's folder in sysfs.
struct Device {
    dir: PathBuf,
    /// Its folder's and its node's name.
    node: String,
}

impl Device {
    fn find(config: &SensorConfig, sys: &Path) -> Result<Self, DeviceProblem> {
        let devices = sys.join(DEVICES_DIR);
        let mut known = Vec::new();
        let mut found = None;
        for (node, dir) in entries(&devices, DEVICE_PREFIX)? {
            // Both are optional in the kernel's ABI.
            let names: Vec<String> = ["label", "name"].iter().filter_map(|file| read(&dir.join(file)).ok()).collect();
            if names.contains(&config.iio) {
                if found.is_some() {
                    return Err(DeviceProblem::AmbiguousIioDevice { wanted: config.iio.clone() });
                }
                found = Some(Self { dir, node });
            }
            known.extend(names);
        }
        let found_names = if known.is_empty() { "none".into() } else { known.join(", ") };
        found.ok_or(DeviceProblem::NoIioDevice { path: devices, wanted: config.iio.clone(), found: found_names })
    }

    fn write(&self, attribute: &str, value: &str) -> Result<(), DeviceProblem> {
        write(&self.dir.join(attribute), value)
    }

    /// The channels that can be in a scan, by name.
    fn channels(&self) -> Result<Vec<String>, DeviceProblem> {
        let dir = self.dir.join("scan_elements");
        let mut channels = Vec::new();
        let listed = match entries(&dir, "in_") {
            // A device without a buffer has no such folder.
            Err(DeviceProblem::Missing { .. }) => Vec::new(),
            listed => listed?,
        };
        for (file, _) in listed {
            if let Some(channel) = file.strip_prefix("in_").and_then(|name| name.strip_suffix("_en")) {
                channels.push(channel.to_owned());
            }
        }
        channels.sort();
        Ok(channels)
    }

    /// How a channel is stored.
    fn form(&self, channel: &str) -> Result<ScanType, DeviceProblem> {
        let channels = self.channels()?;
        if !channels.iter().any(|known| known == channel) {
            let samples: Vec<String> = channels.into_iter().filter(|known| known != TIMESTAMP).collect();
            let found = if samples.is_empty() { "none".into() } else { samples.join(", ") };
            return Err(DeviceProblem::NoChannel { path: self.dir.clone(), wanted: channel.to_owned(), found });
        }
        let path = self.dir.join(format!("scan_elements/in_{channel}_type"));
        let text = read(&path)?;
        ScanType::parse(&text).ok_or(DeviceProblem::Unexpected { path, text })
    }

    /// Has the channel and the time in a scan and nothing else, as far as the driver can; returns what a scan is then.
    fn select(&self, channel: &str) -> Result<Scan, DeviceProblem> {
        let channels = self.channels()?;
        let file = |known: &str, what: &str| format!("scan_elements/in_{known}_{what}");
        for known in &channels {
            self.write(&file(known, "en"), if known == channel || known == TIMESTAMP { "1" } else { "0" })?;
        }
        // Some devices have channels only together: what is really in a scan is what the driver says now.
        let mut selected = Vec::new();
        for known in &channels {
            if read(&self.dir.join(file(known, "en")))? == "1" {
                let index: u32 = self.number(&file(known, "index"))?;
                selected.push((index, known.as_str(), self.form(known)?));
            }
        }
        selected.sort_by_key(|(index, ..)| *index);
        let forms: Vec<ScanType> = selected.iter().map(|(_, _, form)| *form).collect();
        let (offsets, bytes) = scan_layout(&forms);
        let place = |wanted: &str| {
            let at = selected.iter().position(|(_, known, _)| *known == wanted)?;
            Some((*offsets.get(at)?, *forms.get(at)?))
        };
        let Some(value) = place(channel) else {
            return Err(DeviceProblem::Unexpected { path: self.dir.join(file(channel, "en")), text: "0".into() });
        };
        let offset = self.decimal(channel, "offset")?.unwrap_or(0.0).round() as i128;
        Ok(Scan { bytes, value, time: place(TIMESTAMP), offset })
    }

    /// The unit, and what a count is in billionths of it; 0 for what no number can say.
    fn scale(&self, channel: &str, form: ScanType) -> Result<(u32, u32), DeviceProblem> {
        let kind = kind(channel);
        let (unit, factor) =
            UNITS.iter().find(|(known, ..)| *known == kind).map_or((0, 1.0), |(_, unit, factor)| (*unit, *factor));
        let scale = self.decimal(channel, "scale")?.unwrap_or(1.0);
        let nano = (scale * factor * 1e9 * f64::from(form.excess_bits()).exp2()).round();
        let fits = (1.0..=f64::from(u32::MAX)).contains(&nano);
        Ok((unit, if fits { nano as u32 } else { 0 }))
    }

    /// Sets the rate, where the device or its trigger lets one.
    fn set_rate(&self, config: &SensorConfig, sys: &Path) -> Result<(), DeviceProblem> {
        let rate_hz = config.rate_hz.hz();
        let mut attribute = self.attribute(config.channel.as_str(), "sampling_frequency");
        if let Some(trigger) = &config.trigger {
            self.write("trigger/current_trigger", trigger)?;
            for (_, dir) in entries(&sys.join(DEVICES_DIR), TRIGGER_PREFIX)? {
                let path = dir.join("sampling_frequency");
                if path.exists() && read(&dir.join("name")).is_ok_and(|name| name == *trigger) {
                    attribute = Some(path);
                }
            }
        }
        let Some(path) = attribute else { return Ok(()) };
        write(&path, &rate_hz.to_string())?;
        // A driver may round to what the chip can do.
        let got = read(&path)?;
        match got.parse::<f64>() {
            Ok(hz) if hz.round() == f64::from(rate_hz) => Ok(()),
            Ok(_) => Err(DeviceProblem::Rate { path, wanted: rate_hz, got }),
            Err(_) => Err(DeviceProblem::Unexpected { path, text: got }),
        }
    }

    /// Has the times on the clock that is not set, if the driver can; returns the one they are on.
    fn set_clock(&self) -> Result<ClockId, DeviceProblem> {
        let attribute = "current_timestamp_clock";
        if !self.dir.join(attribute).exists() {
            return Ok(ClockId::CLOCK_REALTIME);
        }
        self.write(attribute, "monotonic")?;
        Ok(ClockId::CLOCK_MONOTONIC)
    }

    /// The file of an attribute, which is the channel's, its type's or the device's.
    fn attribute(&self, channel: &str, what: &str) -> Option<PathBuf> {
        let numberless: String = channel.chars().filter(|letter| !letter.is_ascii_digit()).collect();
        let names = [channel, &numberless, kind(channel)].map(|name| format!("in_{name}_{what}"));
        names.into_iter().chain([what.to_owned()]).map(|name| self.dir.join(name)).find(|path| path.exists())
    }

    /// The number in an attribute of a channel, if it has the attribute.
    fn decimal(&self, channel: &str, what: &str) -> Result<Option<f64>, DeviceProblem> {
        let Some(path) = self.attribute(channel, what) else { return Ok(None) };
        let text = read(&path)?;
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(DeviceProblem::Unexpected { path, text }),
        }
    }

    fn number(&self, attribute: &str) -> Result<u32, DeviceProblem> {
        let path = self.dir.join(attribute);
        let text = read(&path)?;
        text.parse().map_err(|_| DeviceProblem::Unexpected { path, text })
    }
}

/// The type of a channel: `voltage` of `voltage0`, `accel` of `accel_x`.
fn kind(channel: &str) -> &str {
    channel.split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or(channel)
}

/// The entries of a folder whose names begin so.
fn entries(dir: &Path, prefix: &str) -> Result<Vec<(String, PathBuf)>, DeviceProblem> {
    let failed = |error| DeviceProblem::new("list", dir, error);
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Ok(name) = entry.file_name().into_string()
            && name.starts_with(prefix)
        {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

/// The text of an attribute.
fn read(path: &Path) -> Result<String, DeviceProblem> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(ATTRIBUTE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|error| DeviceProblem::new("read", path, error))?;
    Ok(text.trim_ascii().to_owned())
}

fn write(path: &Path, value: &str) -> Result<(), DeviceProblem> {
    let open = OpenOptions::new().write(true).truncate(true).open(path);
    open.and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
        .map_err(|error| DeviceProblem::new("write", path, error))
}
