//! The container `{{name}}`: counts, and publishes the count every few seconds.
#![cfg_attr(target_arch = "wasm32", no_std)]

use coracle_sdk::event::Kinds;
use coracle_sdk::{Errno, EventKind, command, config, event, log, msg};

/// Where the count goes, as a little-endian `u32`. The manifest grants it.
const COUNT: &str = "count";

/// Runs from start to end. While it waits, the core does something else.
fn run() -> Result<(), Errno> {
    log::info("{{name}} started");
    let mut count = 0_u32;
    loop {
        let period_s = config::get_u32("period_s")?;
        match event::wait(Kinds::of(&[EventKind::Config]), Some(u64::from(period_s) * 1_000_000)) {
            // The configuration changed while the container runs.
            Ok(_) => {}
            Err(Errno::TimedOut) => {
                count = count.wrapping_add(1);
                msg::publish(COUNT, &count.to_le_bytes())?;
            }
            Err(errno) => return Err(errno),
        }
    }
}

command!(run);
