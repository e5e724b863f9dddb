//! Follows the vibration summaries: counts them, notices gaps and repeats, and keeps statistics and a hash of them all.
//!
//! It exists to be moved: it is portable, its state is small and every bit of it depends on every message, and part of
//! the state is in mutable Wasm globals, which a move that only carries linear memory would lose. It says nothing and
//! answers nothing; who wants to know reads [`bearing_watch::TrackerState`] from a snapshot.
#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(target_arch = "wasm32")]
mod guest;
mod state;

pub use state::{Registers, Tracker};
