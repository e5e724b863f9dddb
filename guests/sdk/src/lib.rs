//! The Rust SDK for Coracle guests: safe calls to the core a container runs on, and the macros that make a module's
//! exports: [`guest!`] of a [`Guest`], which is told of one event at a time, [`command!`] of a function that waits.
//!
//! The meaning of every call is in `shared-ipc/guest-abi/wit/coracle.wit`; this crate only moves slices across the
//! boundary. Drivers written for `embedded-hal` 1.0 run on its buses and pins: see [`hal`]. It does not
//! allocate, keeps no buffers of its own and knows neither core. On a target other than `wasm32` it compiles, so that
//! guests can be checked and unit-tested on a laptop, but every call answers [`Errno::NoEntry`]: there is no host.
//!
//! ```no_run
//! use coracle_sdk::{Errno, Event, Guest, guest};
//!
//! struct Counter {
//!     messages: u32,
//! }
//!
//! impl Guest for Counter {
//!     fn init() -> Result<Self, Errno> {
//!         Ok(Self { messages: 0 })
//!     }
//!
//!     fn on_event(&mut self, event: Event) -> Result<(), Errno> {
//!         if let Event::Message { .. } = event {
//!             self.messages += 1;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! guest!(Counter);
//! # fn main() {}
//! ```
#![no_std]

mod abi;
pub mod command;
pub mod config;
pub mod event;
pub mod gpio;
pub mod hal;
pub mod i2c;
mod instance;
pub mod kv;
mod line;
pub mod log;
pub mod msg;
#[cfg(all(feature = "panic-handler", target_arch = "wasm32"))]
mod panic;
pub mod sensor;
pub mod spi;
pub mod time;
pub mod wake;

pub use coracle_guest_abi::{
    BLOCK_SAMPLES_MAX, BlockHeader, CONFIG_VALUE_BYTES_MAX, EFFECTS_PER_EVENT_MAX, Errno, EventKind, LOG_BYTES_MAX,
    MESSAGE_BYTES_MAX, SensorInfo, WAKE_BYTES_MAX,
};

pub use crate::event::Event;
#[doc(hidden)]
pub use crate::instance::Instance;
pub use crate::line::Line;

/// A container's code: made once, then told of one event at a time.
///
/// Everything in it lives in linear memory, so it moves between the cores with the container. Large buffers belong in a
/// static (`static_cell::ConstStaticCell`), not in the value that [`Guest::init`] returns: that one crosses the stack.
pub trait Guest: Sized {
    /// Makes the container's state. Called once in its life, before its first event; not again after a move.
    ///
    /// # Errors
    /// Whatever makes the container useless, for example a configuration key that is missing. The core reports the
    /// number and does not start the container.
    fn init() -> Result<Self, Errno>;

    /// Handles one event. Returns soon: the container's other events wait. A call that may park, such as a bus
    /// transfer, holds neither core.
    ///
    /// # Errors
    /// Only for what the container cannot go on after: the core ends it.
    fn on_event(&mut self, event: Event) -> Result<(), Errno>;
}

/// Exports `init` and `on_event` for a type that is a [`Guest`]; once in a module.
///
/// The address of the instance is exported too, as the constant global `coracle_guest`, so that a debugger or test can
/// find the state of a `#[repr(C)]` guest in a snapshot. On a target other than `wasm32` the macro only checks the type.
#[macro_export]
macro_rules! guest {
    ($guest:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[unsafe(export_name = "coracle_guest")]
            static INSTANCE: $crate::Instance<$guest> = $crate::Instance::new();

            #[unsafe(export_name = "init")]
            extern "C" fn init() -> i32 {
                INSTANCE.init()
            }

            #[unsafe(export_name = "on_event")]
            extern "C" fn on_event(kind: i32, source: i32, len: i32) -> i32 {
                INSTANCE.on_event(kind, source, len)
            }
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: $crate::Instance<$guest> = $crate::Instance::new();
    };
}

/// What a call returned, as a count.
fn count(result: i32) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| errno(result))
}

/// The error behind a negative result. A number that this SDK does not know counts as [`Errno::Invalid`]: a newer core
/// may have more of them, and all of them mean that the call did nothing.
fn errno(result: i32) -> Errno {
    // Not a search in `Errno::ALL`, which would lie in every guest's memory.
    match result.wrapping_neg() {
        2 => Errno::NoEntry,
        5 => Errno::Io,
        6 => Errno::NoDevice,
        9 => Errno::BadHandle,
        11 => Errno::Again,
        13 => Errno::Denied,
        14 => Errno::Fault,
        16 => Errno::Busy,
        28 => Errno::NoSpace,
        52 => Errno::NotHere,
        90 => Errno::TooLarge,
        110 => Errno::TimedOut,
        121 => Errno::RemoteIo,
        _ => Errno::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counts_or_errors() {
        assert_eq!(count(0), Ok(0));
        assert_eq!(count(i32::MAX), Ok(i32::MAX as usize));
        assert_eq!(count(-11), Err(Errno::Again));
        assert_eq!(count(-90), Err(Errno::TooLarge));
        assert_eq!(count(-12345), Err(Errno::Invalid));
        assert_eq!(count(i32::MIN), Err(Errno::Invalid));
    }

    #[test]
    fn every_error_is_known() {
        for known in Errno::ALL {
            assert_eq!(errno(known.as_result()), known);
        }
    }

    #[test]
    fn without_a_core_every_call_says_so() {
        assert_eq!(log::write(log::Level::Info, "x"), Err(Errno::NoEntry));
        assert_eq!(config::get("key", &mut [0; 8]), Err(Errno::NoEntry));
        assert_eq!(event::read(&mut [0; 8]), Err(Errno::NoEntry));
        assert_eq!(sensor::open("accel0").err(), Some(Errno::NoEntry));
        assert_eq!(msg::publish("topic", &[]), Err(Errno::NoEntry));
        assert_eq!(wake::request("fault", &[]), Err(Errno::NoEntry));
        assert_eq!(gpio::input("button").err(), Some(Errno::NoEntry));
        assert_eq!(i2c::open("i2c0").err(), Some(Errno::NoEntry));
        assert_eq!(spi::open("flash").err(), Some(Errno::NoEntry));
        assert_eq!(kv::set("key", &[]), Err(Errno::NoEntry));
        assert_eq!(event::current(), Err(Errno::NoEntry));
        assert_eq!(time::set_timer(time::Schedule::once(1)), Err(Errno::NoEntry));
        assert_eq!(time::Timer(0).remaining_us(), Err(Errno::NoEntry));
        assert_eq!((time::now_us(), config::version()), (0, 0));
    }
}
