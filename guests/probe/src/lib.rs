//! A test guest for the parts of the SDK that no other guest uses: it logs the time of every message, and panics when
//! it is woken.
#![cfg_attr(target_arch = "wasm32", no_std)]

use coracle_sdk::log::Level;
use coracle_sdk::{Errno, Event, Guest, guest, log, time};

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
                log!(Level::Debug, "message of {len} bytes on topic {topic} at {} us", time::now_us());
            }
            Event::Wake { .. } => panic!("woken"),
            Event::Sensor { .. } => {}
        }
        Ok(())
    }
}

guest!(Probe);
