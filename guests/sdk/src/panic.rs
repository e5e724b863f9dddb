//! What becomes of a guest that panics: one log line with the place, then a trap, which ends the container.

use core::panic::PanicInfo;

use crate::{Line, log};

/// Writes only the place, by hand: formatting the message would link `core::fmt` into guests that log nothing.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut line = Line::new();
    line.push_str("panicked");
    if let Some(place) = info.location() {
        line.push_str(" at ");
        line.push_str(place.file());
        line.push_str(":");
        line.push_u32(place.line());
    }
    log::error(line.as_str());
    core::arch::wasm32::unreachable()
}
