//! A test guest that asks for memory at every event until it is refused, and writes down how much it got.
#![cfg_attr(target_arch = "wasm32", no_std)]

use coracle_sdk::{Errno, Event, Guest, Line, guest, log};

/// How much is asked for at a time, in pages of one byte.
const STEP_BYTES: usize = 1024;

/// The container.
#[derive(Debug)]
#[repr(C)]
pub struct Greedy {
    /// Bytes granted on top of the initial memory.
    granted_bytes: u32,
    /// Events at which the core refused more.
    refusals: u32,
}

impl Guest for Greedy {
    fn init() -> Result<Self, Errno> {
        Ok(Self { granted_bytes: 0, refusals: 0 })
    }

    fn on_event(&mut self, _event: Event) -> Result<(), Errno> {
        while grow(STEP_BYTES) {
            self.granted_bytes += STEP_BYTES as u32;
        }
        self.refusals = self.refusals.saturating_add(1);
        let mut line = Line::new();
        line.push_str("granted bytes: ");
        line.push_u32(self.granted_bytes);
        log::info(line.as_str());
        Ok(())
    }
}

#[cfg(target_arch = "wasm32")]
fn grow(pages: usize) -> bool {
    core::arch::wasm32::memory_grow::<0>(pages) != usize::MAX
}

/// No memory but Wasm's grows.
#[cfg(not(target_arch = "wasm32"))]
fn grow(_pages: usize) -> bool {
    false
}

guest!(Greedy);
