//! Switches an output pin by messages; an example in command style: one function that waits for what comes next.
//!
//! A message of `1` on [`SWITCH`] turns the lamp on, `0` turns it off, anything else is ignored with a warning. What it
//! is goes out as the retained value of [`STATE`]. Without a message for a minute the lamp goes off.
//!
//! | manifest | |
//! | --- | --- |
//! | `grants.pins` | `led`, an output |
//! | `grants.subscribe` | [`SWITCH`] alone |
//! | `grants.publish` | [`STATE`] |
//! | `config.off_after_s` | seconds without a message after which the lamp goes off; 60 if left out |
#![cfg_attr(target_arch = "wasm32", no_std)]

use coracle_sdk::{Errno, Event, command, config, event, gpio, log, msg};

/// Where the lamp is switched.
pub const SWITCH: &str = "lamp/switch";
/// Where the lamp says what it is: `0` or `1`.
pub const STATE: &str = "lamp/state";
/// The board's label of the pin.
const PIN: &str = "led";
/// Seconds, unless the manifest says otherwise.
const OFF_AFTER_S: u32 = 60;

fn run() -> Result<(), Errno> {
    let mut pin = gpio::output(PIN)?;
    let off_after_s = match config::get_u32("off_after_s") {
        Err(Errno::NoEntry) => OFF_AFTER_S,
        seconds => seconds?,
    };
    let mut on = false;
    loop {
        pin.set(on)?;
        match msg::publish_retained(STATE, if on { b"1" } else { b"0" }) {
            // The pin is right; who watches it hears of the next change.
            Ok(()) | Err(Errno::Again) => {}
            Err(errno) => return Err(errno),
        }
        on = next(on, off_after_s)?;
    }
}

/// Waits until the lamp is to be switched, and says to what.
fn next(on: bool, off_after_s: u32) -> Result<bool, Errno> {
    loop {
        // A lamp that is off has nothing to wait for but messages.
        let timeout_us = on.then_some(u64::from(off_after_s) * 1_000_000);
        match msg::wait(timeout_us) {
            Err(Errno::TimedOut) => return Ok(false),
            record => {
                let Event::Message { .. } = record?.event else { continue };
            }
        }
        let mut buffer = [0; 1];
        match event::read(&mut buffer) {
            Ok(b"1") => return Ok(true),
            Ok(b"0") => return Ok(false),
            Ok(_) | Err(Errno::TooLarge) => log::warn("a message on lamp/switch that is neither 0 nor 1"),
            Err(errno) => return Err(errno),
        }
    }
}

command!(run);
