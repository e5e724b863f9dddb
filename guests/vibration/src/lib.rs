//! Vibration analysis for the `bearing-watch` example: is this machine still healthy, and if not, which part of the
//! rolling bearing is damaged.
//!
//! Two halves with nothing in common but the sample format:
//!
//! - [`stats`] and [`detector`] run on the M core, block by block, in integers only. They say *that* something changed.
//! - [`features`] and [`net`] run once a wake on the A core, over the window that showed the change. They say *what*.
//!
//! Everything is a pure function over slices and fixed arrays: no allocation, no I/O, no clock. Reading a sensor,
//! keeping the last samples and talking to the other core are the work of the guests that call this crate.
//!
//! Samples are `i16` at [`SAMPLE_RATE_HZ`]. No function here depends on what one LSB means in g; only the numbers in
//! a [`detector::Baseline`] do.

#![no_std]
#![forbid(unsafe_code)]

pub mod detector;
pub mod features;
mod fft;
pub mod net;
pub mod stats;

/// Sample rate that every frequency in this crate assumes, in Hz.
pub const SAMPLE_RATE_HZ: u32 = 12_000;

/// Samples in one block of the detector.
pub const BLOCK_SAMPLES: usize = 512;

/// Samples in the window that [`features::extract`] analyses: 171 ms, four blocks.
pub const WINDOW_SAMPLES: usize = 2048;
