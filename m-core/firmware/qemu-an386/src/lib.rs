//! The board `qemu-an386`: a Cortex-M4 in `qemu-system-arm -M mps2-an386`, put together for the supervisor.
//!
//! This library owns what a program can have only one of: the peripherals, the interrupt handlers, the heap, the defmt
//! logger and the ways to die. Programs (`main.rs`, `bin/bringup.rs`) call [`start`] once and get a [`Board`].
//!
//! On any other target the library is empty.
#![no_std]
#![cfg(target_os = "none")]
#![expect(unsafe_code, reason = "statics over peripherals, shared memory, the allocator and the logger need it")]

mod board;
mod crash;
mod heap;
mod logger;

/// The board file's numbers.
pub mod constants {
    use coracle_board_api::layout::{Budget, SharedLayout, Span, TimerSpec, UartSpec};

    include!(concat!(env!("OUT_DIR"), "/constants.rs"));
}

pub use board::{Board, Restart, start};
pub use heap::{HeapUse, heap_use};
