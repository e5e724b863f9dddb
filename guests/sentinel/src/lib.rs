//! Watches a machine's vibration on the M core: silent while it is healthy, asks for the A core when a fault begins.
//!
//! For every 128 samples it publishes a [`bearing_watch::Summary`]; every 512 samples go through the detector of
//! `coracle-vibration`, whose idea of healthy is the container's configuration; at the onset of a fault the last 2048
//! samples travel with a wake. It does not say what the fault is (`diagnose` does), and does not learn.
//!
//! | configuration key | |
//! | --- | --- |
//! | `baseline_rms_q4`, `baseline_diff_rms_q4`, `baseline_kurtosis_q8` | the healthy machine, as `coracle_vibration::detector::Baseline`; required |
//! | `rms_ratio_q8`, `diff_ratio_q8`, `kurtosis_ratio_q8`, `confirm`, `of`, `rearm` | `coracle_vibration::detector::Thresholds`; each has its default |
#![cfg_attr(target_arch = "wasm32", no_std)]

mod settings;
mod watch;
mod window;

use bearing_watch::{FAULT_REASON, SENSOR, SUMMARY_TOPIC};
use coracle_sdk::sensor::{self, Sensor};
use coracle_sdk::{Errno, Event, Guest, Line, guest, log, msg, wake};
use coracle_vibration::detector::{Measure, Onset};
use static_cell::ConstStaticCell;

use crate::watch::{Output, Watch};
use crate::window::Window;

/// Blocks at which a refused wake is asked for again: as long as part of the onset is in the window.
const WAKE_RETRIES_MAX: u8 = 4;

/// Over 4 KiB: too much to cross the stack.
static WINDOW: ConstStaticCell<Window> = ConstStaticCell::new(Window::new());

/// The container.
pub struct Sentinel {
    sensor: Sensor,
    watch: Watch,
    window: &'static mut Window,
    /// How often a wake may still be asked for; 0 when none is due.
    wake_attempts: u8,
}

impl Guest for Sentinel {
    fn init() -> Result<Self, Errno> {
        let watch = Watch::new(settings::detector()?);
        let sensor = sensor::open(SENSOR)?;
        let window = WINDOW.try_take().ok_or(Errno::Invalid)?;
        Ok(Self { sensor, watch, window, wake_attempts: 0 })
    }

    fn on_event(&mut self, event: Event) -> Result<(), Errno> {
        match event {
            Event::Sensor { sensor, samples } if sensor == self.sensor => self.block(samples),
            _ => Ok(()),
        }
    }
}

impl Sentinel {
    fn block(&mut self, samples: usize) -> Result<(), Errno> {
        let (header, _) = self.sensor.read_block(&mut [])?;
        if self.window.has(&header) {
            return Ok(());
        }
        let header = self.window.append(samples, |tail| self.sensor.read_block(tail))?;
        self.watch.appended(self.window, &header, |output| match output {
            Output::Summary(summary) => match msg::publish(SUMMARY_TOPIC, &summary.to_bytes()) {
                // The summary is lost, and its number with it: the receiver sees a gap, not a wrong count.
                Ok(()) | Err(Errno::Again) => Ok(()),
                Err(errno) => Err(errno),
            },
            Output::Onset(onset) => {
                report(&onset);
                self.wake_attempts = 1 + WAKE_RETRIES_MAX;
                Ok(())
            }
        })?;
        self.ask_for_wake();
        Ok(())
    }

    fn ask_for_wake(&mut self) {
        if self.wake_attempts == 0 {
            return;
        }
        // Right after lost samples the window is not full yet; waiting for it is no attempt.
        let Some(payload) = self.window.payload() else { return };
        match wake::request(FAULT_REASON, payload) {
            Ok(()) => self.wake_attempts = 0,
            Err(_) => {
                self.wake_attempts -= 1;
                if self.wake_attempts == 0 {
                    log::warn("wake for a fault refused; giving up");
                }
            }
        }
    }
}

/// The one line of an onset. Without `core::fmt`, which would double the module.
fn report(onset: &Onset) {
    let mut line = Line::new();
    line.push_str("onset of a fault: ");
    line.push_str(match onset.measure {
        Measure::Rms => "rms",
        Measure::DiffRms => "rms of difference",
        Measure::Kurtosis => "kurtosis",
    });
    line.push_str(" at ");
    line.push_u32((u64::from(onset.ratio_q8) * 100 / 256).try_into().unwrap_or(u32::MAX));
    line.push_str(" % of healthy");
    log::info(line.as_str());
}

guest!(Sentinel);
