//! Limits a second.

const SECOND_US: u64 = 1_000_000;

/// A bucket of tokens: so many a second, at most a second's worth at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    /// Tokens used and not refilled, times a second in microseconds.
    used: u64,
    at_us: u64,
}

impl Bucket {
    /// Takes a token; false when there is none.
    pub fn take(&mut self, now_us: u64, per_second: u32) -> bool {
        let refill = now_us.saturating_sub(self.at_us).saturating_mul(u64::from(per_second));
        self.used = self.used.saturating_sub(refill);
        self.at_us = self.at_us.max(now_us);
        if self.used.saturating_add(SECOND_US) > u64::from(per_second).saturating_mul(SECOND_US) {
            return false;
        }
        self.used += SECOND_US;
        true
    }
}

/// The fuel of `limits.fuel_per_second`. A container may use a second's worth at once, then it waits until it is even.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuelBudget {
    debt: u64,
    at_us: u64,
}

impl FuelBudget {
    /// Counts fuel that was used.
    pub fn used(&mut self, fuel: u64, now_us: u64, per_second: u64) {
        self.settle(now_us, per_second);
        self.debt = self.debt.saturating_add(fuel);
    }

    /// When the container may run again, in microseconds; `None`: now.
    #[must_use]
    pub fn ready_us(&self, now_us: u64, per_second: u64) -> Option<u64> {
        if per_second == 0 {
            return None;
        }
        let mut settled = *self;
        settled.settle(now_us, per_second);
        let over = settled.debt.checked_sub(per_second).filter(|over| *over > 0)?;
        let wait = u128::from(over) * u128::from(SECOND_US) / u128::from(per_second);
        Some(now_us.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX).max(1)))
    }

    fn settle(&mut self, now_us: u64, per_second: u64) {
        let paid = u128::from(now_us.saturating_sub(self.at_us)) * u128::from(per_second) / u128::from(SECOND_US);
        // What is less than one unit of fuel is not lost: the time counts only once it paid something.
        if paid > 0 || self.debt == 0 {
            self.debt = self.debt.saturating_sub(u64::try_from(paid).unwrap_or(u64::MAX));
            self.at_us = self.at_us.max(now_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_and_not_more() {
        let mut bucket = Bucket::default();
        let taken = (0..10_000_000).step_by(1000).filter(|t| bucket.take(*t, 20)).count();
        // A second's worth at once, then 20 a second.
        assert!((219..=220).contains(&taken), "{taken}");
        assert!(!Bucket::default().take(5, 0), "none is allowed");
    }

    #[test]
    fn a_fuel_budget_holds_on_average() {
        let mut budget = FuelBudget::default();
        let (mut now, mut used) = (0, 0_u64);
        while now < 10_000_000 {
            match budget.ready_us(now, 50_000) {
                None => {
                    budget.used(20_000, now, 50_000);
                    used += 20_000;
                    now += 10;
                }
                Some(at) => {
                    assert!(at > now);
                    now = at;
                }
            }
        }
        // Ten seconds, one ahead, and the slice that crossed the line.
        assert!((500_000..=50_000 * 11 + 20_000).contains(&used), "{used}");
        assert_eq!(budget.ready_us(now, 0), None, "0 is no limit");
    }
}
