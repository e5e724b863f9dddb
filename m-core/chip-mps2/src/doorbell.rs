//! The doorbell: a UART on which one byte is the number of a virtqueue.
//!
//! Bells wait as bits, one per number, in both directions. So they never overflow: a bell that rings again before it was
//! taken, or before the line could carry it, merges with the first.

use core::sync::atomic::{AtomicU32, Ordering};

use coracle_board_api::Doorbell;
use coracle_board_api::layout::UartSpec;

use crate::uart::Uart;
use crate::unmask;

/// Numbers that can ring: 0 to 31.
const IDS: u8 = 32;

/// A UART as a doorbell. Lives in a static, because its interrupt handlers use it too.
pub struct UartDoorbell {
    uart: Uart,
    spec: UartSpec,
    arrived: AtomicU32,
    outgoing: AtomicU32,
}

impl UartDoorbell {
    /// A doorbell that is off until [`UartDoorbell::start`].
    ///
    /// # Safety
    /// `spec` describes a CMSDK UART of this chip, and nothing else uses it.
    #[must_use]
    pub const unsafe fn new(spec: UartSpec) -> Self {
        // SAFETY: the caller's promise is the one that `Uart::new` asks for.
        let uart = unsafe { Uart::new(spec) };
        Self { uart, spec, arrived: AtomicU32::new(0), outgoing: AtomicU32::new(0) }
    }

    /// Switches the UART and its interrupts on.
    pub fn start(&self) {
        self.uart.enable();
        unmask(self.spec.rx_irq);
        unmask(self.spec.tx_irq);
    }

    /// True if a bell waits to be taken.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.arrived.load(Ordering::Relaxed) != 0
    }

    /// Handler of the receive interrupt. Numbers that no virtqueue can have are ignored.
    pub fn on_receive(&self) {
        self.uart.acknowledge_receive();
        while let Some(id) = self.uart.try_receive() {
            if id < IDS {
                // Relaxed: handler and main program run on one core and exchange nothing but these bits.
                self.arrived.fetch_or(1 << id, Ordering::Relaxed);
            }
        }
    }

    /// Handler of the transmit interrupt: the line can take the next byte.
    pub fn on_transmit(&self) {
        self.uart.acknowledge_transmit();
        self.flush();
    }

    fn flush(&self) {
        // Alone, because main program and handler both come here, and a byte must not be sent twice or forgotten.
        critical_section::with(|_| {
            if let Some(id) = lowest(self.outgoing.load(Ordering::Relaxed))
                && self.uart.try_send(id)
            {
                self.outgoing.fetch_and(!(1 << id), Ordering::Relaxed);
            }
        });
    }
}

impl Doorbell for &UartDoorbell {
    fn ring(&mut self, id: u8) {
        if id < IDS {
            self.outgoing.fetch_or(1 << id, Ordering::Relaxed);
            self.flush();
        }
    }

    fn take(&mut self) -> Option<u8> {
        let id = lowest(self.arrived.load(Ordering::Relaxed))?;
        self.arrived.fetch_and(!(1 << id), Ordering::Relaxed);
        Some(id)
    }
}

/// The lowest number whose bit is set.
fn lowest(bits: u32) -> Option<u8> {
    (0..IDS).find(|id| bits & (1 << id) != 0)
}

#[cfg(test)]
mod tests {
    use super::lowest;

    #[test]
    fn bells_come_out_lowest_first() {
        assert_eq!(lowest(0), None);
        assert_eq!(lowest(0b1010), Some(1));
        assert_eq!(lowest(1 << 31), Some(31));
    }
}
