//! The Linux kernel as the judge of this RPMsg stack: a stock Debian armhf kernel, whose own drivers load and drive
//! Cortex-M firmware.
//!
//! [`packages`] fetches the kernel, [`initramfs`] packs what it runs, [`device_tree`] describes the machine,
//! [`Machine`] starts the two emulators and the mailbox between them, [`judge`] reads what the guest reports. What is
//! tried in the guest is up to `coracle-kernel-guest`.
#![forbid(unsafe_code)]

pub mod build;
pub mod device_tree;
pub mod initramfs;
mod machine;
pub mod packages;
mod verdict;

pub use machine::{BOARD, Ended, Machine, MachineError};
pub use verdict::judge;
