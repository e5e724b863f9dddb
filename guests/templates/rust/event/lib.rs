//! The container `{{name}}`: counts, and publishes the count every few seconds.
#![cfg_attr(target_arch = "wasm32", no_std)]

use coracle_sdk::time::{self, Schedule, Timer};
use coracle_sdk::{Errno, Event, Guest, config, guest, log, msg};

/// Where the count goes, as a little-endian `u32`. The manifest grants it.
const COUNT: &str = "count";

/// The container's state. It moves with the container.
pub struct Counter {
    timer: Timer,
    count: u32,
}

impl Guest for Counter {
    /// Called once in the container's life.
    fn init() -> Result<Self, Errno> {
        log::info("{{name}} started");
        Ok(Self { timer: start()?, count: 0 })
    }

    /// Called for one event at a time. An error ends the container.
    fn on_event(&mut self, event: Event) -> Result<(), Errno> {
        match event {
            Event::Timer { .. } => {
                self.count = self.count.wrapping_add(1);
                msg::publish(COUNT, &self.count.to_le_bytes())?;
            }
            // The configuration changed while the container runs.
            Event::Config { .. } => {
                self.timer.cancel()?;
                self.timer = start()?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Starts the timer that the configuration asks for.
fn start() -> Result<Timer, Errno> {
    let period_s = config::get_u32("period_s")?;
    time::set_timer(Schedule::every(u64::from(period_s) * 1_000_000))
}

guest!(Counter);
