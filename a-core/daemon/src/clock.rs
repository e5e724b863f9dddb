//! The daemon's clock. It counts on while the system is suspended, so that what is known of the M core's clock stays
//! true across a suspension.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use nix::time::ClockId;

/// Counts from when it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Duration,
}

impl Clock {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { start: since_boot().context("cannot read CLOCK_BOOTTIME")? })
    }

    /// Microseconds.
    pub(crate) fn now_us(&self) -> u64 {
        // What could be read once can be read again.
        let now = since_boot().unwrap_or(self.start);
        u64::try_from(now.saturating_sub(self.start).as_micros()).unwrap_or(u64::MAX)
    }
}

/// Unix time minus the time of this clock, in microseconds. `None` before 1970.
pub(crate) fn wall_offset_us(now_us: u64) -> Option<i64> {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(wall.as_micros()).ok()?.checked_sub(i64::try_from(now_us).ok()?)
}

fn since_boot() -> nix::Result<Duration> {
    Ok(ClockId::CLOCK_BOOTTIME.now()?.into())
}
