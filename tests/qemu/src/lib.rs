//! Cortex-M firmware in QEMU, for tests: build it, start it, talk to its sockets, read its log.
//!
//! [`Qemu`] owns an emulator process and its run directory; [`firmware`] builds an ELF; [`wait_for`] waits for a
//! state with a bound. What the firmware does is up to the tests.

mod counted;
mod qemu;

pub use counted::run_counted;
pub use qemu::{
    CONSOLE_FILE, DOORBELL_SOCKET, LaunchError, QEMU_PROGRAM, Qemu, SENSOR_SOCKET, SHARED_FILE, firmware, firmware_of,
    qemu_or_skip,
};

use std::time::{Duration, Instant};

/// Longest time for anything to happen in a test. Generous, because the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at a state.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Looks until `look` finds something.
///
/// # Errors
/// A message with `what` if nothing was found within [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() >= end {
            return Err(format!("waited {} s in vain for: {what}", PATIENCE.as_secs()));
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}
