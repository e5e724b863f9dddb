//! The board `qemu-an386`: a Cortex-M4 in `qemu-system-arm -M mps2-an386`.
//!
//! On any other target the library is empty.
#![no_std]
#![cfg(target_os = "none")]

coracle_firmware_mps2::board!();
