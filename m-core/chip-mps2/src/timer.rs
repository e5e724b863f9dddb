//! CMSDK APB timers: one counts all the time and is the clock, one counts down to the next alarm.
//!
//! The counter has 32 bits and wraps after minutes. It is extended to 64 bits by adding up the ticks between readings,
//! which is right in whatever order counter, interrupt and reading meet, as long as readings are less than one wrap
//! apart. The alarm sees to that: it is never further away than [`ALARM_US_MAX`], and its handler reads the clock.

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};

use coracle_board_api::Clock;
use coracle_board_api::layout::TimerSpec;
use critical_section::Mutex;

use crate::register::Register;
use crate::unmask;

const CONTROL_ENABLE: u32 = 1 << 0;
const CONTROL_INTERRUPT: u32 = 1 << 3;

/// Longest time to an alarm, in microseconds. The counter wraps after 171 s at 25 MHz.
pub const ALARM_US_MAX: u64 = 60_000_000;

/// Microseconds in a second.
const US_PER_S: u32 = 1_000_000;

/// Fastest clock for which a wrap (86 s) lasts well longer than an alarm, in hertz.
const CLOCK_HZ_MAX: u32 = 50_000_000;

struct Timer {
    control: Register,
    value: Register,
    reload: Register,
    interrupt: Register,
}

impl Timer {
    /// # Safety
    /// `spec` describes a CMSDK timer of this chip, and nothing else uses it.
    const unsafe fn new(spec: TimerSpec) -> Self {
        // SAFETY: the caller promised a timer there; these are its registers (DDI 0479, table 4-2).
        unsafe {
            Self {
                control: Register::new(spec.address, 0x0),
                value: Register::new(spec.address, 0x4),
                reload: Register::new(spec.address, 0x8),
                interrupt: Register::new(spec.address, 0xC),
            }
        }
    }

    /// Counts down from `ticks`, then from the top again, with or without an interrupt at zero.
    fn run(&self, ticks: u32, control: u32) {
        self.control.write(0);
        self.reload.write(u32::MAX);
        self.value.write(ticks);
        self.interrupt.write(1);
        self.control.write(CONTROL_ENABLE | control);
    }

    /// Stops counting and acknowledges the interrupt.
    fn stop(&self) {
        self.control.write(0);
        self.interrupt.write(1);
    }
}

/// A counter of 32 bits that counts down, extended to 64 bits that count up.
#[derive(Clone, Copy)]
struct Extended {
    last: u32,
    ticks: u64,
}

impl Extended {
    const START: Self = Self { last: u32::MAX, ticks: 0 };

    /// After a reading of the counter, less than one wrap after the reading before it.
    fn advanced(self, value: u32) -> Self {
        Self { last: value, ticks: self.ticks + u64::from(self.last.wrapping_sub(value)) }
    }
}

/// Two timers as clock and alarm. Lives in a static, because its interrupt handler uses it too.
pub struct TimerClock {
    counter: Timer,
    alarm: Timer,
    alarm_irq: u16,
    ticks_per_us: u32,
    alarm_set: AtomicBool,
    extended: Mutex<Cell<Extended>>,
}

impl TimerClock {
    /// A clock that stands until [`TimerClock::start`]. `clock_hz` is what the timers count.
    ///
    /// # Panics
    /// If `clock_hz` is not a whole number of megahertz, or above 50 MHz. Meant for statics, where that stops the build.
    ///
    /// # Safety
    /// `counter` and `alarm` describe two CMSDK timers of this chip, and nothing else uses them.
    #[must_use]
    pub const unsafe fn new(counter: TimerSpec, alarm: TimerSpec, clock_hz: u32) -> Self {
        assert!(clock_hz >= US_PER_S && clock_hz <= CLOCK_HZ_MAX && clock_hz.is_multiple_of(US_PER_S));
        // SAFETY: the caller's promise is the one that `Timer::new` asks for.
        let (counter, alarm_timer) = unsafe { (Timer::new(counter), Timer::new(alarm)) };
        Self {
            counter,
            alarm: alarm_timer,
            alarm_irq: alarm.irq,
            ticks_per_us: clock_hz / US_PER_S,
            alarm_set: AtomicBool::new(false),
            extended: Mutex::new(Cell::new(Extended::START)),
        }
    }

    /// Starts the clock at zero and lets the alarm interrupt.
    pub fn start(&self) {
        critical_section::with(|section| {
            self.extended.borrow(section).set(Extended::START);
            self.counter.run(u32::MAX, 0);
        });
        unmask(self.alarm_irq);
    }

    /// Sets the alarm, at most [`ALARM_US_MAX`] from now; it replaces the one before. False if the time has passed.
    pub fn set_alarm(&self, at_us: u64) -> bool {
        let now_us = self.now_us();
        if at_us <= now_us {
            return false;
        }
        let wait_us = (at_us - now_us).min(ALARM_US_MAX);
        // Fits: 60 s at 50 MHz are 3.0e9 ticks.
        let ticks = u32::try_from(wait_us * u64::from(self.ticks_per_us)).unwrap_or(u32::MAX);
        // First the flag: the alarm may ring at once.
        self.alarm_set.store(true, Ordering::Relaxed);
        self.alarm.run(ticks, CONTROL_INTERRUPT);
        true
    }

    /// True from [`TimerClock::set_alarm`] until the alarm rings.
    #[must_use]
    pub fn is_alarm_set(&self) -> bool {
        self.alarm_set.load(Ordering::Relaxed)
    }

    /// Handler of the alarm's interrupt. Its only effects are that a sleep ends and that the clock was read.
    pub fn on_alarm(&self) {
        self.alarm.stop();
        self.alarm_set.store(false, Ordering::Relaxed);
        let _ = self.now_us();
    }
}

impl Clock for TimerClock {
    fn now_us(&self) -> u64 {
        critical_section::with(|section| {
            let extended = self.extended.borrow(section);
            extended.set(extended.get().advanced(self.counter.value.read()));
            extended.get().ticks / u64::from(self.ticks_per_us)
        })
    }
}

impl Clock for &TimerClock {
    fn now_us(&self) -> u64 {
        (**self).now_us()
    }
}

#[cfg(test)]
mod tests {
    use super::Extended;

    #[test]
    fn readings_add_up_across_wraps() {
        let mut clock = Extended::START;
        // The counter value is what is left of a full turn; a reading of exactly zero is the emulator's favourite.
        let step = 3_000_000_000_u64;
        for n in 1..20 {
            let ticks = step * n;
            clock = clock.advanced(u32::MAX - (ticks % (1 << 32)) as u32);
            assert_eq!(clock.ticks, ticks);
        }
        let before = clock.ticks;
        let at_zero = clock.advanced(0);
        assert_eq!(at_zero.advanced(0).ticks, at_zero.ticks, "standing at zero is no time");
        assert_eq!(at_zero.advanced(u32::MAX).ticks, at_zero.ticks + 1, "the wrap is one tick");
        assert!(at_zero.ticks > before);
    }
}
