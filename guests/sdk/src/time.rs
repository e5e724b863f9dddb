//! The container's clock, timers and sleep.

use crate::{Errno, abi, count};

/// Microseconds since the container was created. Never goes back, and stands still while the container moves to the
/// other core. When the event being handled happened is [`crate::event::Record::time_us`].
#[must_use]
pub fn now_us() -> u64 {
    // Negative only where there is no core.
    u64::try_from(abi::time_now()).unwrap_or(0)
}

/// When a timer becomes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Microseconds until the first event.
    pub delay_us: u64,
    /// Microseconds between events after that, or 0 for a single one.
    pub period_us: u64,
    /// Microseconds that the core may be late, to wake once for several timers.
    pub slack_us: u64,
}

impl Schedule {
    /// One event, as punctual as the core can.
    #[must_use]
    pub const fn once(delay_us: u64) -> Self {
        Self { delay_us, period_us: 0, slack_us: 0 }
    }

    /// An event every `period_us` microseconds from now on, the first one after that time.
    #[must_use]
    pub const fn every(period_us: u64) -> Self {
        Self { delay_us: period_us, period_us, slack_us: 0 }
    }

    /// The same with that much slack.
    #[must_use]
    pub const fn slack(self, slack_us: u64) -> Self {
        Self { slack_us, ..self }
    }
}

/// A timer that was set. A plain number: it moves with the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer(pub(crate) i32);

/// Sets a timer; its events are [`crate::Event::Timer`].
///
/// # Errors
/// [`Errno::NoSpace`] when `limits.timers` are set already.
pub fn set_timer(schedule: Schedule) -> Result<Timer, Errno> {
    let timer = abi::time_set_timer(schedule.delay_us, schedule.period_us, schedule.slack_us);
    count(timer).map(|_| Timer(timer))
}

impl Timer {
    /// Ends the timer. Events of it that wait are still delivered.
    ///
    /// # Errors
    /// [`Errno::BadHandle`] when it is not set any more.
    pub fn cancel(self) -> Result<(), Errno> {
        count(abi::time_cancel(self.0)).map(drop)
    }

    /// Microseconds until its next event.
    ///
    /// # Errors
    /// [`Errno::BadHandle`] when it is not set any more.
    pub fn remaining_us(self) -> Result<u64, Errno> {
        let remaining = abi::time_remaining(self.0);
        // Errors fit an i32; what does not is no number that this SDK knows.
        u64::try_from(remaining).map_err(|_| crate::errno(i32::try_from(remaining).unwrap_or(0)))
    }
}

/// Waits for `duration_us` microseconds. The container is parked, the core is not held; events wait in its queue.
///
/// # Errors
/// Whatever the core refuses; the time is not over then.
pub fn sleep(duration_us: u64) -> Result<(), Errno> {
    count(abi::time_sleep(duration_us)).map(drop)
}

/// The argument of a call that waits: more than an `i64` of microseconds is for ever.
pub(crate) fn timeout(timeout_us: Option<u64>) -> i64 {
    timeout_us.and_then(|us| i64::try_from(us).ok()).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        assert_eq!(Schedule::once(7), Schedule { delay_us: 7, period_us: 0, slack_us: 0 });
        assert_eq!(Schedule::every(9).slack(2), Schedule { delay_us: 9, period_us: 9, slack_us: 2 });
    }

    #[test]
    fn timeouts_that_no_clock_reaches_are_for_ever() {
        assert_eq!([None, Some(0), Some(5), Some(u64::MAX)].map(timeout), [-1, 0, 5, -1]);
    }
}
