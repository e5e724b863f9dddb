//! What the speed and size of the inter-core path are measured with: two ends of a ring that poll, the code size of the
//! remote role, and instruction counts from the emulator.
//!
//! `benches/ipc.rs` does the timing and `cargo xtask bench ipc` prints all of it as one table. Nothing here judges times:
//! tests check only what repeats exactly (sizes, instruction counts, allocations).
#![cfg_attr(target_os = "none", no_std)]

#[cfg(not(target_os = "none"))]
mod code_size;
#[cfg(not(target_os = "none"))]
mod instructions;
#[cfg(not(target_os = "none"))]
mod ring;

#[cfg(not(target_os = "none"))]
pub use code_size::{CodeSize, REMOTE_CODE_BYTES_MAX, remote_size};
#[cfg(not(target_os = "none"))]
pub use instructions::{Cost, instructions};
#[cfg(not(target_os = "none"))]
pub use ring::{Client, Control, PAYLOADS, layout, local_pair, memory_bytes, serve, stay_on};
