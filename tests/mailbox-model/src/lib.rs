//! The mailbox and the reset control of an STM32MP1, for two emulators that share memory and nothing else.
//!
//! Linux in one emulator drives an M core in another through its own drivers `stm32-ipcc` and `stm32_rproc`. Their
//! registers are plain words in the shared memory ([`registers`]). The process made of [`Model`] (pure: which word
//! changes lead to which bells, interrupts and resets) and [`serve`] (memory, sockets) gives these words the effects
//! that the hardware would.
//!
//! It knows nothing of RPMsg, of rings or of what the M core runs, and it models no clock gating, no security states and
//! no second client of the mailbox.
#![forbid(unsafe_code)]

mod model;
mod qmp;
mod qtest;
pub mod registers;
mod serve;

pub use model::{Interrupt, Model, Seen, Step};
pub use serve::{RX_OCCUPIED_SPI, ServeError, Sockets, Summary, TX_FREE_SPI, serve};
