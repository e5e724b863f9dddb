//! Board descriptions: what a board's memories are, how the two cores share them, and what the M core may spend.
//!
//! A board is a TOML file in `boards/` that names a chip file in `boards/chips/`. This crate reads the pair, checks it
//! ([`Board`]), and generates from it what a firmware build needs: a linker script and Rust constants ([`generate`]),
//! which a firmware's build script gets by one call ([`build`]).
//! Both cores get the offsets of the shared regions from here and from nowhere else.
//!
//! It does not touch a register or map memory. Firmware uses the types of [`layout`], the log ring format of
//! [`log_ring`] and the text format of [`trace`] alone, with the `std` feature off.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod layout;
pub mod log_ring;
pub mod trace;

#[cfg(feature = "std")]
mod board;
#[cfg(feature = "std")]
pub mod build;
#[cfg(feature = "std")]
mod file;
#[cfg(feature = "std")]
pub mod generate;

#[cfg(feature = "std")]
pub use board::{BUILTIN_BOARDS, Board, BoardError, Chip, Firmware, Memory};
pub use layout::{Budget, SharedLayout, Span, TimerSpec, UartSpec};
