//! Sleep and reset of the Cortex-M core.

use core::sync::atomic::{AtomicU32, Ordering};

use coracle_board_api::{Clock as _, ResetReason, Sleep};
use cortex_m::peripheral::SCB;

use crate::timer::{ALARM_US_MAX, TimerClock};

/// Sleep until an interrupt brings input, or the alarm of `clock` rings.
pub struct Idle {
    clock: &'static TimerClock,
    pending: fn() -> bool,
    wakes: u32,
}

impl Idle {
    /// `pending` tells whether input waits to be taken; it is called with interrupts masked and must be quick.
    #[must_use]
    pub const fn new(clock: &'static TimerClock, pending: fn() -> bool) -> Self {
        Self { clock, pending, wakes: 0 }
    }

    /// How often the core slept and woke, for whoever watches what it costs. Wraps around.
    #[must_use]
    pub fn wakes(&self) -> u32 {
        self.wakes
    }
}

impl Sleep for Idle {
    fn sleep_until(&mut self, deadline_us: Option<u64>) {
        let latest_us = self.clock.now_us() + ALARM_US_MAX;
        if !self.clock.set_alarm(deadline_us.unwrap_or(latest_us).min(latest_us)) {
            return;
        }
        while self.wait() {
            self.wakes = self.wakes.wrapping_add(1);
        }
    }
}

impl Idle {
    /// Waits for one interrupt. False if there was no need to, because input waits or the alarm rang.
    fn wait(&self) -> bool {
        // Masked from the last look to the sleep itself. An interrupt in between stays pending, and a pending interrupt
        // ends WFI even while masked; unmasked, its handler could run just before WFI, which would then sleep on it.
        // The handler runs when the mask ends, that is before the next look.
        critical_section::with(|_| {
            let sleeps = self.clock.is_alarm_set() && !(self.pending)();
            if sleeps {
                cortex_m::asm::dsb();
                cortex_m::asm::wfi();
            }
            sleeps
        })
    }
}

// What a record holds. Arbitrary numbers, so that memory after power-on hardly ever looks like one.
const RECORD_REQUESTED: u32 = 0x5e5e_0001;
const RECORD_PANIC: u32 = 0x5e5e_0002;
const RECORD_FAULT: u32 = 0x5e5e_0003;

/// A word that survives a reset and says why it happened. Belongs into memory that start-up code leaves alone.
pub struct ResetRecord(AtomicU32);

impl Default for ResetRecord {
    fn default() -> Self {
        Self::new()
    }
}

impl ResetRecord {
    /// An empty record. In memory that start-up code leaves alone, this value is never stored.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Why the core started, forgetting it: a reset that nobody announced then counts as [`ResetReason::PowerOn`].
    #[must_use]
    pub fn take(&self) -> ResetReason {
        let word = self.0.load(Ordering::Relaxed);
        self.0.store(0, Ordering::Relaxed);
        match word {
            RECORD_REQUESTED => ResetReason::Requested,
            RECORD_PANIC => ResetReason::Panic,
            RECORD_FAULT => ResetReason::Fault,
            _ => ResetReason::PowerOn,
        }
    }

    /// Notes why the next reset happens.
    pub fn set(&self, reason: ResetReason) {
        let word = match reason {
            ResetReason::PowerOn => 0,
            ResetReason::Requested => RECORD_REQUESTED,
            ResetReason::Panic => RECORD_PANIC,
            ResetReason::Fault => RECORD_FAULT,
        };
        self.0.store(word, Ordering::Relaxed);
    }
}

/// Resets the chip, after noting why.
pub fn request_reset(record: &ResetRecord, reason: ResetReason) -> ! {
    record.set(reason);
    SCB::sys_reset()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_once() {
        let record = ResetRecord::new();
        assert_eq!(record.take(), ResetReason::PowerOn);
        for reason in [ResetReason::Requested, ResetReason::Panic, ResetReason::Fault] {
            record.set(reason);
            assert_eq!(record.take(), reason);
            assert_eq!(record.take(), ResetReason::PowerOn);
        }
    }
}
