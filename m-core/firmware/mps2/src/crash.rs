//! The ways to die: panic and processor fault. Both say so on the console, in the trace and in the log, then reset the
//! chip.

use core::fmt::Write as _;
use core::panic::PanicInfo;

use coracle_board_api::ResetReason;
use cortex_m_rt::{ExceptionFrame, exception};

use crate::{board, logger, trace};

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    cortex_m::interrupt::disable();
    // The console first: it needs the least to work.
    let _ = writeln!(board::console(), "M core: {info}");
    trace(format_args!("M core: {info}"));
    logger::break_free();
    defmt::error!("{}", defmt::Display2Format(info));
    board::reset(ResetReason::Panic)
}

/// # Safety
/// Called by the processor only.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    cortex_m::interrupt::disable();
    let (pc, lr) = (frame.pc(), frame.lr());
    let _ = writeln!(board::console(), "M core: processor fault at {pc:#010x}, called from {lr:#010x}");
    trace(format_args!("M core: processor fault at {pc:#010x}, called from {lr:#010x}"));
    logger::break_free();
    defmt::error!("processor fault at {}, called from {}", pc, lr);
    board::reset(ResetReason::Fault)
}
