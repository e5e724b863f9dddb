//! A test guest that never comes back from its first event: what a core does to it must cost its neighbours nothing.
#![cfg_attr(target_arch = "wasm32", no_std)]

use core::hint::black_box;

use coracle_sdk::{Errno, Event, Guest, guest};

/// The container; its state is the number of turns so far, so that a test can see it run.
#[repr(transparent)]
pub struct Spinner(u32);

impl Guest for Spinner {
    fn init() -> Result<Self, Errno> {
        Ok(Self(0))
    }

    fn on_event(&mut self, _event: Event) -> Result<(), Errno> {
        loop {
            *black_box(&mut self.0) = self.0.wrapping_add(1);
        }
    }
}

guest!(Spinner);
