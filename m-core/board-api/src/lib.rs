//! What the M-core supervisor needs from a board: traits for doorbell, clock, sleep, sensor and reset.
//!
//! The traits are small groups, so that a piece of the supervisor asks for the one that it uses. They contain no logic,
//! do not block (except [`Sleep`], whose purpose that is), and say nothing about interrupts or sockets: a Cortex-M chip
//! and a Linux process implement them alike.
//!
//! Beside them: [`sensor_wire`], the byte format between board and sensor; the [log](log_facade) macros
//! [`error!`], [`warn!`], [`info!`] and [`debug!`]; and the layout types and log ring of `coracle-boards`.
#![no_std]

pub mod log_facade;
pub mod sensor_wire;

pub use coracle_boards::{Budget, SharedLayout, Span, layout, log_ring};

use sensor_wire::Block;

/// The bell between the cores. It carries the number of a virtqueue and no data.
///
/// Bells of the same number may merge: the number says where to look, not how often something happened.
pub trait Doorbell {
    /// Rings the other core. Never waits: if the line is busy, the bell goes out later.
    fn ring(&mut self, id: u8);
    /// The next number that the other core rang, or `None` if all were taken.
    fn take(&mut self) -> Option<u8>;
}

/// The time since this core started.
pub trait Clock {
    /// Microseconds, never decreasing.
    fn now_us(&self) -> u64;
}

/// Waiting without work.
pub trait Sleep {
    /// Returns when there may be input to take (doorbell, sensor), at the latest at `deadline_us` on [`Clock`].
    ///
    /// Returns at once if input arrived since it was last taken: an event between the caller's last look and this call
    /// is not slept through. May return early without a reason.
    fn sleep_until(&mut self, deadline_us: Option<u64>);
}

/// The source of sample blocks. Nothing arrives unasked.
pub trait Sensor {
    /// Asks for one block. False if the request could not be sent now; it is then right to ask again later.
    fn request(&mut self) -> bool;
    /// The next complete block, or `None` if none has arrived.
    fn take(&mut self) -> Option<&Block>;
}

/// Why this core started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ResetReason {
    /// Power came, or whoever started the core cleared its memory.
    PowerOn,
    /// The firmware asked for it through [`Reset::reset`].
    Requested,
    /// The firmware panicked.
    Panic,
    /// The processor reported a fault.
    Fault,
}

/// Restarting this core.
pub trait Reset {
    /// Why the core started last.
    fn reason(&self) -> ResetReason;
    /// Starts the core anew. Shared memory keeps its contents.
    fn reset(&mut self) -> !;
}

/// A line that carries single bytes both ways, such as a UART or a socket.
pub trait BytePort {
    /// Sends a byte. False if the line cannot take it now.
    fn send(&mut self, byte: u8) -> bool;
    /// The next byte received, or `None` if all were taken.
    fn receive(&mut self) -> Option<u8>;
    /// A hint: fewer than `bytes` more are of no use to the caller, so a sleep need not end for them.
    fn expect(&mut self, bytes: usize);
}
