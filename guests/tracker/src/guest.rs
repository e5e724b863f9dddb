//! The tracker as a module: messages in, globals read before and written after.

use coracle_sdk::{Errno, Event, Guest, MESSAGE_BYTES_MAX, event, guest};

use crate::{Registers, Tracker};

/// The accessors of the globals, from the object file that the build script writes.
mod globals {
    #![expect(unsafe_code, reason = "Rust has no Wasm globals; these are linked in")]

    // SAFETY: the build script writes the object with exactly these signatures; each function only reads or sets
    // its own global, for any value.
    unsafe extern "C" {
        pub(super) safe fn tracker_count_get() -> u64;
        pub(super) safe fn tracker_count_set(value: u64);
        pub(super) safe fn tracker_checksum_get() -> u32;
        pub(super) safe fn tracker_checksum_set(value: u32);
    }
}

impl Guest for Tracker {
    fn init() -> Result<Self, Errno> {
        Ok(Self::new())
    }

    fn on_event(&mut self, event: Event) -> Result<(), Errno> {
        let Event::Message { .. } = event else { return Ok(()) };
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        let message = event::read(&mut buffer)?;
        let mut registers =
            Registers { count: globals::tracker_count_get(), checksum: globals::tracker_checksum_get() };
        self.take(message, &mut registers);
        globals::tracker_count_set(registers.count);
        globals::tracker_checksum_set(registers.checksum);
        Ok(())
    }
}

guest!(Tracker);
