//! Pins: lines of the kernel's GPIO character devices.
//!
//! The kernel debounces and finds edges; while nobody asks, they wait in its buffer: 16 of a line, then the oldest are
//! lost. A line is claimed at its first use and kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coracle_device::Edges;
use gpiocdev::line::{Bias, EdgeDetection, EdgeKind, EventClock, Value};
use gpiocdev::{Chip, Request};

use super::config::{LineAddress, PinBias, PinConfig, PinMode};
use super::error::DeviceProblem;

/// Who has the line, as `gpioinfo` shows it.
const CONSUMER: &str = "coracle";
/// What the nodes of chips are called, before their number.
const CHIP_PREFIX: &str = "gpiochip";

/// An edge of a line.
pub(super) struct LineEdge {
    pub(super) high: bool,
    /// On the kernel's monotonic clock, in microseconds.
    pub(super) monotonic_us: u64,
}

/// A line that this process has claimed.
#[derive(Debug)]
pub(super) struct Pin {
    request: Request,
    /// How long a level has to last, in microseconds; `None` if nobody watches.
    debounce_us: Option<u32>,
}

impl Pin {
    /// Claims the line.
    pub(super) fn open(config: &PinConfig, dev: &Path) -> Result<Self, DeviceProblem> {
        let (path, offset) = find(&config.line, dev)?;
        let mut builder = Request::builder();
        builder.on_chip(&path).with_consumer(CONSUMER).with_line(offset);
        match config.mode {
            PinMode::Input => builder.as_input(),
            PinMode::Output => builder.as_output(Value::Inactive),
        };
        if config.active_low {
            builder.as_active_low();
        }
        if let Some(bias) = match config.bias {
            PinBias::AsIs => None,
            PinBias::Disabled => Some(Bias::Disabled),
            PinBias::PullUp => Some(Bias::PullUp),
            PinBias::PullDown => Some(Bias::PullDown),
        } {
            builder.with_bias(bias);
        }
        let request = builder.request().map_err(|error| problem("claim a line of", &path, error))?;
        Ok(Self { request, debounce_us: None })
    }

    pub(super) fn read(&self) -> io::Result<bool> {
        self.request.lone_value().map(bool::from).map_err(system)
    }

    pub(super) fn write(&self, high: bool) -> io::Result<()> {
        self.request.set_lone_value(Value::from(high)).map_err(system)
    }

    /// Begins to watch for edges, or ends it. Edges of an earlier watch are forgotten.
    pub(super) fn watch(&mut self, edges: Edges, debounce_us: u32) -> io::Result<()> {
        let detection = match edges {
            Edges::None => None,
            Edges::Rising => Some(EdgeDetection::RisingEdge),
            Edges::Falling => Some(EdgeDetection::FallingEdge),
            Edges::Both => Some(EdgeDetection::BothEdges),
        };
        let mut config = self.request.config();
        config
            .with_edge_detection(detection)
            .with_event_clock(EventClock::Monotonic)
            .with_debounce_period(Duration::from_micros(detection.map_or(0, |_| debounce_us.into())));
        self.request.reconfigure(&config).map_err(system)?;
        while self.request.has_edge_event().map_err(system)? {
            self.request.read_edge_event().map_err(system)?;
        }
        self.debounce_us = detection.map(|_| debounce_us);
        Ok(())
    }

    /// The next edge, if there is one.
    pub(super) fn edge(&self) -> io::Result<Option<LineEdge>> {
        let Some(debounce_us) = self.debounce_us else { return Ok(None) };
        if !self.request.has_edge_event().map_err(system)? {
            return Ok(None);
        }
        let event = self.request.read_edge_event().map_err(system)?;
        // The kernel's time is that at which the level had lasted.
        let monotonic_us = (event.timestamp_ns / 1000).saturating_sub(debounce_us.into());
        Ok(Some(LineEdge { high: event.kind == EdgeKind::Rising, monotonic_us }))
    }

    /// What becomes readable with an edge, while somebody watches.
    pub(super) fn watched(&self) -> Option<&Request> {
        self.debounce_us.map(|_| &self.request)
    }
}

/// The chip's node and the offset of a line.
fn find(line: &LineAddress, dev: &Path) -> Result<(PathBuf, u32), DeviceProblem> {
    let name = match line {
        LineAddress::Offset { chip, offset } => return Ok((dev.join(format!("{CHIP_PREFIX}{chip}")), *offset)),
        LineAddress::Name(name) => name,
    };
    let mut found = None;
    for path in chips(dev)? {
        // A chip that cannot be opened may be the one that is meant, so what is wrong with it has to be told.
        let chip = Chip::from_path(&path).map_err(|error| problem("open", &path, error))?;
        if let Some(info) = chip.find_line_info(name) {
            if found.is_some() {
                return Err(DeviceProblem::AmbiguousLine { line: name.clone() });
            }
            found = Some((path, info.offset));
        }
    }
    found.ok_or_else(|| DeviceProblem::NoLine { dev: dev.to_owned(), line: name.clone() })
}

fn chips(dev: &Path) -> Result<Vec<PathBuf>, DeviceProblem> {
    let failed = |error| DeviceProblem::new("list", dev, error);
    let mut chips = Vec::new();
    for entry in fs::read_dir(dev).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with(CHIP_PREFIX) {
            chips.push(entry.path());
        }
    }
    chips.sort();
    Ok(chips)
}

fn problem(action: &'static str, path: &Path, error: gpiocdev::Error) -> DeviceProblem {
    match error {
        gpiocdev::Error::GpioChip(..) => DeviceProblem::NotAChip { path: path.to_owned() },
        error => DeviceProblem::new(action, path, system(error)),
    }
}

/// The system's error in one of the library's.
fn system(error: gpiocdev::Error) -> io::Error {
    match error {
        gpiocdev::Error::Os(errno) | gpiocdev::Error::Uapi(_, gpiocdev_uapi::Error::Os(errno)) => {
            io::Error::from_raw_os_error(errno.0)
        }
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(line: &str, dev: &Path) -> DeviceProblem {
        let line = LineAddress::try_from(line.to_owned()).unwrap();
        let config = PinConfig { line, mode: PinMode::Input, active_low: false, bias: PinBias::AsIs };
        Pin::open(&config, dev).unwrap_err()
    }

    #[test]
    fn a_line_that_is_not_there_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            matches!(pin("gpiochip0:4", dir.path()), DeviceProblem::Missing { path } if path.ends_with("gpiochip0"))
        );
        assert!(matches!(pin("GPIO4", dir.path()), DeviceProblem::NoLine { line, .. } if line == "GPIO4"));
        assert!(matches!(pin("GPIO4", &dir.path().join("none")), DeviceProblem::Missing { .. }));
        fs::write(dir.path().join("gpiochip0"), "a file").unwrap();
        assert!(matches!(pin("gpiochip0:4", dir.path()), DeviceProblem::NotAChip { .. }));
        assert!(matches!(pin("GPIO4", dir.path()), DeviceProblem::NotAChip { .. }));
        std::os::unix::fs::symlink("/dev/null", dir.path().join("gpiochip1")).unwrap();
        assert!(matches!(pin("gpiochip1:0", dir.path()), DeviceProblem::NotAChip { .. }));
    }

    #[test]
    fn the_systems_number_survives_the_library() {
        let raw = |error| system(error).raw_os_error();
        assert_eq!(raw(gpiocdev::Error::from(io::Error::from_raw_os_error(16))), Some(16));
        assert_eq!(raw(gpiocdev::Error::NoGpioChips()), None);
    }
}
