//! What the speed and size of the inter-core path and of guests are measured with: two ends of a ring that poll, the code
//! size of the remote role, and counts of instructions and of bytes of memory from the emulator.
//!
//! `benches/ipc.rs` does the timing; `cargo xtask bench ipc` and `cargo xtask bench guest` print all of it. Nothing here judges times:
//! tests check only what repeats exactly (sizes, instruction counts, allocations).
#![cfg_attr(target_os = "none", no_std)]

#[cfg(not(target_os = "none"))]
mod code_size;
#[cfg(not(target_os = "none"))]
mod guest;
#[cfg(not(target_os = "none"))]
mod instructions;
#[cfg(not(target_os = "none"))]
mod ring;

#[cfg(not(target_os = "none"))]
pub use code_size::{CodeSize, REMOTE_CODE_BYTES_MAX, remote_size};
#[cfg(not(target_os = "none"))]
pub use guest::{CONTAINER_BYTES_MAX, CallCost, GuestCosts, OWN_CALL_MAX, guest_costs};
#[cfg(not(target_os = "none"))]
pub use instructions::{Cost, instructions};
#[cfg(not(target_os = "none"))]
pub use ring::{Client, Control, PAYLOADS, layout, local_pair, memory_bytes, serve, stay_on};
