//! Text that a firmware build script writes from a board: linker script and constants.
//!
//! The output depends on the board alone, so that equal boards give equal builds; golden files in `tests/golden` show it.

use core::fmt::Write as _;

use crate::board::{Board, Firmware};
use crate::layout::{Span, TimerSpec, UartSpec};

/// The `memory.x` that `cortex-m-rt` includes in its linker script.
///
/// Shared memory is left out on purpose: nothing may be linked there, because loading or resetting the firmware would
/// then overwrite what must survive it.
#[must_use]
pub fn memory_x(board: &Board, firmware: &Firmware) -> String {
    let (code, data) = (firmware.code, firmware.data);
    let stack = board.budget.stack_bytes;
    format!(
        "/* @generated from boards/{name}.toml: edit that file instead. */\n\
         MEMORY\n\
         {{\n  \
           FLASH (rx) : ORIGIN = {:#010x}, LENGTH = {:#x}\n  \
           RAM (rwx) : ORIGIN = {:#010x}, LENGTH = {:#x}\n\
         }}\n\
         /* The stack grows down from the end of RAM towards the variables. */\n\
         ASSERT(ORIGIN(RAM) + LENGTH(RAM) - __sheap >= {stack:#x}, \"boards/{name}.toml: variables and heap leave less \
         than budget.stack_bytes for the stack\");\n",
        code.address,
        code.bytes,
        data.address,
        data.bytes,
        name = board.name,
    )
}

/// Rust constants of the board, to be included in a module that imports the types of [`crate::layout`].
#[must_use]
pub fn constants_rs(board: &Board, firmware: &Firmware) -> String {
    let mut out = format!("// @generated from boards/{}.toml: edit that file instead.\n", board.name);
    let shared = &board.shared;
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{text}");
    };
    line(format_args!("/// Name of the board."));
    line(format_args!("pub const NAME: &str = {:?};", board.name));
    line(format_args!("/// Clock of the UARTs and timers, in hertz."));
    line(format_args!("pub const CLOCK_HZ: u32 = {};", firmware.clock_hz));
    line(format_args!("/// Where everything is in the memory that both cores see."));
    line(format_args!("pub const SHARED: SharedLayout = SharedLayout {{"));
    line(format_args!("    address: {:#010x},", shared.address));
    line(format_args!("    bytes: {:#x},", shared.bytes));
    line(format_args!("    vring_num: {},", shared.vring_num));
    line(format_args!("    vring_align: {},", shared.vring_align));
    for (key, Span { offset, bytes }) in shared.regions() {
        let span = format!("Span {{ offset: {offset:#x}, bytes: {bytes:#x} }}");
        line(format_args!("    {key}: {},", if key == "trace" { format!("Some({span})") } else { span }));
    }
    if shared.trace.is_none() {
        line(format_args!("    trace: None,"));
    }
    line(format_args!("}};"));
    let budget = &board.budget;
    line(format_args!("/// What the M core may spend."));
    line(format_args!("pub const BUDGET: Budget = Budget {{"));
    line(format_args!("    heap_bytes: {:#x},", budget.heap_bytes));
    line(format_args!("    stack_bytes: {:#x},", budget.stack_bytes));
    line(format_args!("    containers_max: {},", budget.containers_max));
    line(format_args!("    linear_memory_bytes_max: {:#x},", budget.linear_memory_bytes_max));
    line(format_args!("    module_bytes_max: {:#x},", budget.module_bytes_max));
    line(format_args!("}};"));
    for (name, UartSpec { address, rx_irq, tx_irq }) in
        [("CONSOLE", firmware.console), ("DOORBELL", firmware.doorbell), ("SENSOR", firmware.sensor)]
    {
        line(format_args!("/// The UART in the role `{}`.", name.to_lowercase()));
        line(format_args!(
            "pub const {name}: UartSpec = UartSpec {{ address: {address:#010x}, rx_irq: {rx_irq}, tx_irq: {tx_irq} }};"
        ));
    }
    for (name, TimerSpec { address, irq }) in [("CLOCK", firmware.clock), ("ALARM", firmware.alarm)] {
        line(format_args!("/// The timer in the role `{}`.", name.to_lowercase()));
        line(format_args!("pub const {name}: TimerSpec = TimerSpec {{ address: {address:#010x}, irq: {irq} }};"));
    }
    out
}
