//! Edges of one pin, out of readings of its level.
//!
//! Pure: it neither reads the pin nor a clock. It sees a level only when it is told one, so whoever feeds it has to come
//! at every interrupt of the pin and at [`PinWatch::deadline_us`]; a pulse that is over before anybody looks is no edge.

use crate::Edges;

/// A watch over a pin. A level counts once it has lasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinWatch {
    edges: Edges,
    debounce_us: u32,
    /// The level that counts.
    high: bool,
    /// Since when the pin has had the other one, in microseconds.
    changed_us: Option<u64>,
}

impl PinWatch {
    /// A watch over a pin that is `high` now. A level counts once it has lasted `debounce_us` microseconds.
    #[must_use]
    pub const fn new(edges: Edges, debounce_us: u32, high: bool) -> Self {
        Self { edges, debounce_us, high, changed_us: None }
    }

    /// Takes the level that the pin has at `now_us`. If with that an edge counts that is watched for, returns the new
    /// level and the time since when the pin has had it.
    pub fn sample(&mut self, high: bool, now_us: u64) -> Option<(bool, u64)> {
        if high == self.high {
            self.changed_us = None;
            return None;
        }
        let changed_us = *self.changed_us.get_or_insert(now_us);
        if now_us.saturating_sub(changed_us) < u64::from(self.debounce_us) {
            return None;
        }
        self.high = high;
        self.changed_us = None;
        let watched = match self.edges {
            Edges::None => false,
            Edges::Rising => high,
            Edges::Falling => !high,
            Edges::Both => true,
        };
        watched.then_some((high, changed_us))
    }

    /// When a level that the pin has now will have lasted long enough, if it lasts.
    #[must_use]
    pub fn deadline_us(&self) -> Option<u64> {
        self.changed_us.map(|changed_us| changed_us.saturating_add(u64::from(self.debounce_us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The edges out of `(time, level)` readings.
    fn edges<const N: usize>(mut watch: PinWatch, readings: &[(u64, bool)]) -> [Option<(bool, u64)>; N] {
        let mut found = readings.iter().filter_map(|&(at, high)| watch.sample(high, at));
        let edges = core::array::from_fn(|_| found.next());
        assert_eq!(found.next(), None, "more edges than expected");
        edges
    }

    #[test]
    fn without_debounce_every_change_is_an_edge() {
        let readings = [(1, false), (2, true), (3, true), (4, false)];
        assert_eq!(edges(PinWatch::new(Edges::Both, 0, false), &readings), [Some((true, 2)), Some((false, 4))]);
        assert_eq!(edges(PinWatch::new(Edges::Rising, 0, false), &readings), [Some((true, 2)), None]);
        assert_eq!(edges(PinWatch::new(Edges::Falling, 0, false), &readings), [Some((false, 4)), None]);
        assert_eq!(edges(PinWatch::new(Edges::None, 0, false), &readings), [None]);
    }

    #[test]
    fn a_bouncing_contact_is_one_edge_at_its_last_change() {
        let bounce = [(100, true), (150, false), (180, true), (900, true), (1179, true), (1180, true), (5000, true)];
        assert_eq!(edges(PinWatch::new(Edges::Both, 1000, false), &bounce), [Some((true, 180)), None]);
    }

    #[test]
    fn a_glitch_is_no_edge_and_leaves_no_deadline() {
        let mut watch = PinWatch::new(Edges::Both, 1000, false);
        assert_eq!(watch.sample(true, 100), None);
        assert_eq!(watch.deadline_us(), Some(1100));
        assert_eq!(watch.sample(false, 1099), None);
        assert_eq!(watch.deadline_us(), None);
        assert_eq!(watch.sample(false, 1100), None);
    }

    #[test]
    fn an_edge_that_is_not_watched_for_still_counts_for_the_next() {
        // Falling only: without noting the rise, the fall would be no change.
        assert_eq!(
            edges(PinWatch::new(Edges::Falling, 10, false), &[(0, true), (10, true), (20, false), (30, false)]),
            [Some((false, 20)), None]
        );
    }

    #[test]
    fn a_clock_at_its_end_does_no_harm() {
        let mut watch = PinWatch::new(Edges::Both, u32::MAX, false);
        assert_eq!(watch.sample(true, u64::MAX - 1), None);
        assert_eq!(watch.deadline_us(), Some(u64::MAX));
    }
}
