//! A test guest for the parts of the SDK that no other guest uses: it logs the time of every message, and panics when
//! it is woken.
#![cfg_attr(target_arch = "wasm32", no_std)]

use coracle_sdk::log::Level;
use coracle_sdk::{Errno, Event, Guest, event, guest, log};

/// The container.
#[derive(Debug)]
pub struct Probe;

impl Guest for Probe {
    fn init() -> Result<Self, Errno> {
        Ok(Self)
    }

    fn on_event(&mut self, event: Event) -> Result<(), Errno> {
        match event {
            Event::Message { topic, len } => {
                let time_us = event::current()?.time_us;
                log!(Level::Debug, "message of {len} bytes on topic {topic} at {time_us} us");
            }
            Event::Wake { .. } => panic!("woken"),
            _ => {}
        }
        Ok(())
    }
}

guest!(Probe);
