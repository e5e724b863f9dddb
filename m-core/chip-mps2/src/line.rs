//! A UART as a byte line with a receive buffer.
//!
//! When the buffer is full, bytes stay where they are: the handler leaves the UART's one-byte buffer full, and the
//! sender (the emulator's socket) has to wait. On hardware the UART would lose bytes then, so a protocol over this line
//! must not let more than [`LINE_BUFFER_BYTES`] be under way.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use coracle_board_api::BytePort;
use coracle_board_api::layout::UartSpec;
use coracle_board_api::sensor_wire::FRAME_BYTES_MAX;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;

use crate::uart::Uart;
use crate::unmask;

/// Bytes received that can wait to be taken.
pub const LINE_BUFFER_BYTES: usize = 2048;

// One sensor frame is under way at most, and must fit.
const _: () = assert!(LINE_BUFFER_BYTES >= FRAME_BYTES_MAX);

/// A UART as a byte line. Lives in a static, because its interrupt handler uses it too.
pub struct UartLine {
    uart: Uart,
    spec: UartSpec,
    received: Pipe<CriticalSectionRawMutex, LINE_BUFFER_BYTES>,
    /// A byte waits in the UART because the buffer was full; no interrupt will announce it again.
    stalled: AtomicBool,
    /// Bytes that have to wait in the buffer before a sleep ends for them.
    wanted: AtomicUsize,
}

impl UartLine {
    /// A line that is off until [`UartLine::start`].
    ///
    /// # Safety
    /// `spec` describes a CMSDK UART of this chip, and nothing else uses it.
    #[must_use]
    pub const unsafe fn new(spec: UartSpec) -> Self {
        // SAFETY: the caller's promise is the one that `Uart::new` asks for.
        let uart = unsafe { Uart::new(spec) };
        Self { uart, spec, received: Pipe::new(), stalled: AtomicBool::new(false), wanted: AtomicUsize::new(1) }
    }

    /// Switches the UART and its receive interrupt on.
    pub fn start(&self) {
        self.uart.enable();
        unmask(self.spec.rx_irq);
    }

    /// True if as many bytes wait to be taken as their reader wants at least.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.received.len() >= self.wanted.load(Ordering::Relaxed)
    }

    /// Handler of the receive interrupt.
    pub fn on_receive(&self) {
        self.uart.acknowledge_receive();
        self.collect();
    }

    /// Moves what the UART holds into the buffer.
    fn collect(&self) {
        critical_section::with(|_| {
            while !self.received.is_full() {
                let Some(byte) = self.uart.try_receive() else {
                    self.stalled.store(false, Ordering::Relaxed);
                    return;
                };
                // Cannot fail: there is room for one byte, and nobody else writes in this critical section.
                let _written = self.received.try_write(&[byte]);
            }
            self.stalled.store(true, Ordering::Relaxed);
        });
    }
}

impl BytePort for &UartLine {
    fn send(&mut self, byte: u8) -> bool {
        self.uart.try_send(byte)
    }

    fn receive(&mut self) -> Option<u8> {
        let mut byte = [0];
        let taken = self.received.try_read(&mut byte).is_ok();
        if self.stalled.load(Ordering::Relaxed) {
            self.collect();
        }
        let [byte] = byte;
        taken.then_some(byte)
    }

    fn expect(&mut self, bytes: usize) {
        // More than the buffer holds would never come together.
        self.wanted.store(bytes.clamp(1, LINE_BUFFER_BYTES), Ordering::Relaxed);
    }
}
