//! The offset between the clocks of the two cores, from questions and answers with four times (as NTP has them).
//!
//! An answer proves an interval: M read its clock after A asked and before A had the answer. Intervals of several
//! answers are intersected, each widened by what the clocks may have drifted apart since. The true offset lies inside as
//! long as both clocks keep to [`CLOCK_DRIFT_PPM`]; nothing is assumed about how the delay splits between the ways.

/// How much the clocks of the two cores may run apart, in millionths: two crystals of 100 ppm.
pub const CLOCK_DRIFT_PPM: u64 = 200;
/// A clock's last digit, at either end, in microseconds.
const RESOLUTION_US: i64 = 1;

/// Where M's clock stands against A's, as proven at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// A's time minus M's time is no less and no more than this, in microseconds.
    lower_us: i64,
    upper_us: i64,
    /// The instant, on A's clock.
    at_us: u64,
}

impl ClockOffset {
    /// A's time minus M's time, in microseconds: the middle of what is possible.
    #[must_use]
    pub fn offset_us(&self) -> i64 {
        self.lower_us.saturating_add(self.upper_us.saturating_sub(self.lower_us) / 2)
    }

    /// The time of A's clock when M's clock showed `m_us`, and by how much it may be wrong either way; both in
    /// microseconds. Negative: before A's clock began.
    #[must_use]
    pub fn to_a_us(&self, m_us: u64) -> (i64, u64) {
        let a_us = i64::try_from(m_us).unwrap_or(i64::MAX).saturating_add(self.offset_us());
        let at_us = i64::try_from(self.at_us).unwrap_or(i64::MAX);
        // One for the half that the middle rounds away.
        let spread_us = self.upper_us.saturating_sub(self.lower_us).unsigned_abs().div_ceil(2);
        (a_us, spread_us.saturating_add(drift(a_us.abs_diff(at_us))))
    }

    /// How long ago it was proven, in microseconds.
    pub(crate) fn age_us(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.at_us)
    }
}

/// How far the clocks may run apart in `us` microseconds.
fn drift(us: u64) -> u64 {
    // One for the rounding.
    (us / 1_000_000).saturating_mul(CLOCK_DRIFT_PPM).saturating_add(us % 1_000_000 * CLOCK_DRIFT_PPM / 1_000_000 + 1)
}

/// A question and its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// A's clock when it asked.
    pub(crate) asked_us: u64,
    /// M's clock when it took the question, and when it made the answer.
    pub(crate) received_us: u64,
    pub(crate) sent_us: u64,
    /// A's clock when it had the answer.
    pub(crate) answered_us: u64,
}

impl Sample {
    /// What it proves; `None` when the times contradict each other: M cannot have thought for longer than A waited.
    pub(crate) fn offset(&self) -> Option<ClockOffset> {
        let waited_us = self.answered_us.checked_sub(self.asked_us)?;
        let thought_us = self.sent_us.checked_sub(self.received_us)?;
        let slack = drift(waited_us);
        if thought_us > waited_us.saturating_add(slack) {
            return None;
        }
        let slack = i64::try_from(slack).ok()?.checked_add(RESOLUTION_US)?;
        let difference = |a: u64, m: u64| i64::try_from(a).ok()?.checked_sub(i64::try_from(m).ok()?);
        Some(ClockOffset {
            lower_us: difference(self.asked_us, self.received_us)?.checked_sub(slack)?,
            upper_us: difference(self.answered_us, self.sent_us)?.checked_add(slack)?,
            at_us: self.answered_us,
        })
    }
}

/// Both proofs together; `None` when they exclude each other, because a clock was set or stood still.
pub(crate) fn join(old: ClockOffset, new: ClockOffset) -> Option<ClockOffset> {
    let apart = i64::try_from(drift(old.age_us(new.at_us))).ok()?;
    let lower_us = new.lower_us.max(old.lower_us.saturating_sub(apart));
    let upper_us = new.upper_us.min(old.upper_us.saturating_add(apart));
    (lower_us <= upper_us).then_some(ClockOffset { lower_us, upper_us, at_us: new.at_us })
}
