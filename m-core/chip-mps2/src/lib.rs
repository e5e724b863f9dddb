//! Registers of the ARM MPS2 FPGA images: CMSDK UARTs as doorbell, byte line and console, CMSDK timers as clock and
//! alarm, sleep and reset of the Cortex-M core.
//!
//! Facts: ARM DDI 0479 (Cortex-M System Design Kit), chapters 4.1 and 4.3, and the emulator's `hw/char/cmsdk-apb-uart.c`
//! and `hw/timer/cmsdk-apb-timer.c`. Addresses and interrupt numbers come from the chip's board file.
//!
//! What this crate cannot establish and relies on: every peripheral has one owner, its interrupt number in the board
//! file is right, and the vector table calls the owner's handler for it. It sets no interrupt priorities (all handlers
//! have the same one, so none interrupts another), leaves the clock tree as reset left it, and knows neither the meaning
//! of a bell nor of a byte.
#![no_std]
#![expect(unsafe_code, reason = "device registers are reached through raw pointers, and nothing else is unsafe here")]

mod doorbell;
mod line;
mod power;
mod register;
mod timer;
mod uart;

pub use doorbell::UartDoorbell;
pub use line::{LINE_BUFFER_BYTES, UartLine};
pub use power::{Idle, ResetRecord, request_reset};
pub use timer::{ALARM_US_MAX, TimerClock};
pub use uart::Console;

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

/// The number of an interrupt of the chip.
#[derive(Clone, Copy)]
struct Irq(u16);

// SAFETY: `number` gives the number as it was made, always the same for one value. Numbers come from the board file,
// whose chip has 32 interrupts; the core ignores the enable bits of interrupts that it does not have.
unsafe impl InterruptNumber for Irq {
    fn number(self) -> u16 {
        self.0
    }
}

/// Lets an interrupt reach the core.
fn unmask(irq: u16) {
    // SAFETY: unmasking breaks critical sections that work by masking single interrupts; this crate and
    // `critical-section` mask all of them at once (PRIMASK) instead.
    unsafe { NVIC::unmask(Irq(irq)) }
}
