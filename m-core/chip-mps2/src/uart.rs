//! CMSDK APB UART: the registers, and the console that writes by polling.

use core::fmt;

use coracle_board_api::layout::UartSpec;

use crate::register::Register;

const STATE_TX_FULL: u32 = 1 << 0;
const STATE_RX_FULL: u32 = 1 << 1;
const CTRL_TX_ENABLE: u32 = 1 << 0;
const CTRL_RX_ENABLE: u32 = 1 << 1;
const CTRL_TX_INTERRUPT: u32 = 1 << 2;
const CTRL_RX_INTERRUPT: u32 = 1 << 3;
const INTERRUPT_TX: u32 = 1 << 0;
const INTERRUPT_RX: u32 = 1 << 1;

/// The smallest divider that works; below 16 the UART stays silent. Wires do not exist here, so faster is better.
const BAUD_DIVIDER: u32 = 16;

/// Polls of a full transmitter before the console gives a byte up. A crash must end in a reset even if nobody reads.
const CONSOLE_POLLS_MAX: u32 = 1_000_000;

/// One UART. One byte of buffer in each direction.
pub(crate) struct Uart {
    data: Register,
    state: Register,
    control: Register,
    interrupt: Register,
    divider: Register,
}

impl Uart {
    /// # Safety
    /// `spec` describes a CMSDK UART of this chip, and nothing else uses it.
    pub(crate) const unsafe fn new(spec: UartSpec) -> Self {
        // SAFETY: the caller promised a UART there; these are its registers (DDI 0479, table 4-5).
        unsafe {
            Self {
                data: Register::new(spec.address, 0x0),
                state: Register::new(spec.address, 0x4),
                control: Register::new(spec.address, 0x8),
                interrupt: Register::new(spec.address, 0xC),
                divider: Register::new(spec.address, 0x10),
            }
        }
    }

    /// Switches transmitter, receiver and both their interrupts on.
    pub(crate) fn enable(&self) {
        self.divider.write(BAUD_DIVIDER);
        self.control.write(CTRL_TX_ENABLE | CTRL_RX_ENABLE | CTRL_TX_INTERRUPT | CTRL_RX_INTERRUPT);
    }

    /// Switches the transmitter alone on.
    fn enable_output(&self) {
        self.divider.write(BAUD_DIVIDER);
        self.control.write(CTRL_TX_ENABLE);
    }

    /// Sends a byte; false if the last one is still waiting.
    pub(crate) fn try_send(&self, byte: u8) -> bool {
        let free = self.state.read() & STATE_TX_FULL == 0;
        if free {
            self.data.write(u32::from(byte));
        }
        free
    }

    /// The byte in the receive buffer.
    pub(crate) fn try_receive(&self) -> Option<u8> {
        (self.state.read() & STATE_RX_FULL != 0).then(|| (self.data.read() & 0xFF) as u8)
    }

    /// Acknowledges the receive interrupt. To be done *before* the buffer is read: a byte that arrives in between then
    /// raises it again, while the other order would acknowledge an interrupt whose byte nobody has seen.
    pub(crate) fn acknowledge_receive(&self) {
        self.interrupt.write(INTERRUPT_RX);
    }

    /// Acknowledges the transmit interrupt. To be done before the transmitter is looked at, for the same reason.
    pub(crate) fn acknowledge_transmit(&self) {
        self.interrupt.write(INTERRUPT_TX);
    }
}

/// Text output that needs no interrupts, for the last words of a crash.
pub struct Console(Uart);

impl Console {
    /// Switches the UART on for output.
    ///
    /// # Safety
    /// `spec` describes a CMSDK UART of this chip. Several consoles on one UART mix their text but do no other harm.
    #[must_use]
    pub unsafe fn new(spec: UartSpec) -> Self {
        // SAFETY: the caller promised the UART; sharing it between consoles is harmless, because each access is one
        // volatile write.
        let uart = unsafe { Uart::new(spec) };
        uart.enable_output();
        Self(uart)
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // Lost after too many polls: text is worth less than getting on.
            let _sent = (0..CONSOLE_POLLS_MAX).any(|_| self.0.try_send(byte));
        }
        Ok(())
    }
}
