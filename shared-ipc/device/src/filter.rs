//! Which blocks of a sensor matter to a container.

/// A range of sample values out of which something has happened. Stateless: each block is judged by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Samples below it pass, in counts of the sensor.
    pub low: i32,
    /// Samples above it pass, in counts of the sensor.
    pub high: i32,
}

impl Filter {
    /// Whether a sample is below `low` or above `high`. With `low` above `high` none ever is.
    #[must_use]
    pub fn passes(&self, samples: &[i16]) -> bool {
        let Self { low, high } = *self;
        // One comparison for both limits: what is below `low` wraps around to the largest numbers.
        let width = high.wrapping_sub(low).cast_unsigned();
        low <= high && samples.iter().any(|sample| i32::from(*sample).wrapping_sub(low).cast_unsigned() > width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_passes_with_one_sample_outside_of_the_range() {
        let filter = Filter { low: -100, high: 250 };
        assert!(!filter.passes(&[0, -100, 250, 17]), "the limits themselves are inside");
        assert!(filter.passes(&[0, 0, 0, 251]));
        assert!(filter.passes(&[-101, 0, 0, 0]));
        assert!(!filter.passes(&[]));
    }

    #[test]
    fn an_empty_range_passes_nothing_and_a_wide_one_neither() {
        let extremes = [i16::MIN, 0, i16::MAX];
        assert!(!Filter { low: 1, high: 0 }.passes(&extremes));
        assert!(!Filter { low: i32::MAX, high: i32::MIN }.passes(&extremes));
        assert!(!Filter { low: i32::MIN, high: i32::MAX }.passes(&extremes));
        assert!(!Filter { low: -32_768, high: 32_767 }.passes(&extremes));
    }

    #[test]
    fn a_range_beyond_all_samples_passes_every_block() {
        assert!(Filter { low: 32_768, high: 32_768 }.passes(&[i16::MAX]));
        assert!(Filter { low: i32::MIN, high: i32::MIN }.passes(&[i16::MIN]));
    }
}
