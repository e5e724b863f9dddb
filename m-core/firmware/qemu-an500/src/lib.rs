//! The board `qemu-an500`: a Cortex-M7 in `qemu-system-arm -M mps2-an500`.
//!
//! On any other target the library is empty.
#![no_std]
#![cfg(target_os = "none")]

coracle_firmware_mps2::board!();
