//! Statistics of one block of samples, in integers.
//!
//! Made for an interpreter on a microcontroller: two passes, no division per sample, no floating point. The constant
//! part of the signal (sensor offset, gravity) is removed first. Spectra are not computed here; the energy of the
//! first difference stands in for "energy in the upper half of the band".

/// Longest block, in samples. Above it the 64-bit sum of fourth powers could overflow.
pub const MAX_BLOCK_SAMPLES: usize = 1024;

/// Bits that a squared sample may have when its own square is summed: 2 x 27 bits + 10 bits of
/// [`MAX_BLOCK_SAMPLES`] fit 64 bits.
const SQUARE_BITS: u32 = 27;

/// A slice that is no block: empty, or longer than [`MAX_BLOCK_SAMPLES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLengthError {
    /// Samples that were given.
    pub samples: usize,
}

/// What a block of samples looks like. `_q4` is in 1/16, `_q8` in 1/256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockStats {
    /// Root mean square about the mean, in 1/16 LSB.
    pub rms_q4: u32,
    /// Largest distance from the mean, in LSB.
    pub peak: u32,
    /// Peak over RMS, in 1/256. Zero for a constant block.
    pub crest_q8: u32,
    /// Fourth moment over squared variance, in 1/256: about 768 for Gaussian noise, more for impacts. Zero for a
    /// constant block.
    pub kurtosis_q8: u32,
    /// Root mean square of the first difference, in 1/16 LSB: grows with energy at high frequencies.
    pub diff_rms_q4: u32,
}

impl BlockStats {
    /// Measures one block.
    pub fn of(block: &[i16]) -> Result<Self, BlockLengthError> {
        let samples = block.len();
        if samples == 0 || samples > MAX_BLOCK_SAMPLES {
            return Err(BlockLengthError { samples });
        }
        let n = samples as u64;

        let mut sum = 0i32;
        let mut low = i32::from(i16::MAX);
        let mut high = i32::from(i16::MIN);
        for &sample in block {
            let sample = i32::from(sample);
            sum += sample;
            low = low.min(sample);
            high = high.max(sample);
        }
        let mean = rounded_mean(sum, samples as i32);
        let peak = (high - mean).unsigned_abs().max((low - mean).unsigned_abs());

        // Squares are shortened only as far as the loudest sample of this block demands, so quiet blocks stay exact.
        let shift = (u32::BITS - (peak * peak).leading_zeros()).saturating_sub(SQUARE_BITS);
        let mut squares = 0u64;
        let mut short_squares = 0u64;
        let mut fourths = 0u64;
        let mut diff_squares = 0u64;
        let mut previous = block.first().map_or(0, |&sample| i32::from(sample) - mean);
        for &sample in block {
            let centred = i32::from(sample) - mean;
            // At most 65 535 squared: fits u32.
            let square = centred.unsigned_abs() * centred.unsigned_abs();
            let short = u64::from(square >> shift);
            squares += u64::from(square);
            short_squares += short;
            fourths += short * short;
            let step = (centred - previous).unsigned_abs();
            diff_squares += u64::from(step * step);
            previous = centred;
        }

        let rms_q4 = root_mean_q4(squares, n);
        let diff_rms_q4 = root_mean_q4(diff_squares, (n - 1).max(1));
        let crest_q8 = (peak << 12).checked_div(rms_q4).unwrap_or(0);
        // (mean square)^2 with 8 fraction bits dropped again after squaring; both factors below 2^32.
        let mean_square_q4 = (short_squares << 4) / n;
        let kurtosis_q8 = ((fourths / n) << 8)
            .checked_div((mean_square_q4 * mean_square_q4) >> 8)
            .map_or(0, |kurtosis| u32::try_from(kurtosis).unwrap_or(u32::MAX));
        Ok(Self { rms_q4, peak, crest_q8, kurtosis_q8, diff_rms_q4 })
    }
}

/// Mean rounded to the nearest integer; `count` is positive.
fn rounded_mean(sum: i32, count: i32) -> i32 {
    (sum + count / 2).div_euclid(count)
}

/// Square root of `sum / count` in 1/16. The sum is below 2^42 for a block, so eight more bits fit.
fn root_mean_q4(sum: u64, count: u64) -> u32 {
    // The square root of a 64-bit number has at most 32 bits.
    ((sum << 8) / count).isqrt() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn square_wave() {
        let mut block = [100i16; 512];
        for pair in block.chunks_exact_mut(2) {
            pair[1] = -100;
        }
        let stats = BlockStats::of(&block).unwrap();
        assert_eq!(stats, BlockStats { rms_q4: 1600, peak: 100, crest_q8: 256, kurtosis_q8: 256, diff_rms_q4: 3200 });
    }

    #[test]
    fn one_impact_in_silence() {
        let mut block = [0i16; 512];
        block[7] = 512;
        // Mean 1, so 511 samples of -1 and one of 511.
        let stats = BlockStats::of(&block).unwrap();
        assert_eq!(stats.peak, 511);
        assert_eq!(stats.rms_q4, 361);
        assert_eq!(stats.crest_q8, 5797);
        // 511^4 / 512 over (511^2 / 512 + 1)^2 is 508.0 .. 510.0
        assert!((508 * 256..=511 * 256).contains(&stats.kurtosis_q8), "{stats:?}");
    }

    #[test]
    fn offset_changes_nothing() {
        let ramp: [i16; 512] = core::array::from_fn(|i| (i as i16 * 37) % 211);
        let lifted = ramp.map(|sample| sample + 20_000);
        assert_eq!(BlockStats::of(&ramp), BlockStats::of(&lifted));
    }

    #[test]
    fn full_scale_does_not_overflow() {
        let mut block = [i16::MAX; MAX_BLOCK_SAMPLES];
        for pair in block.chunks_exact_mut(2) {
            pair[1] = i16::MIN;
        }
        let stats = BlockStats::of(&block).unwrap();
        assert_eq!(stats.kurtosis_q8, 256);
        assert_eq!(stats.rms_q4 / 16, 32_767);

        // The worst distance from the mean: one sample at the far end of the range.
        let mut block = [i16::MAX; MAX_BLOCK_SAMPLES];
        block[0] = i16::MIN;
        let stats = BlockStats::of(&block).unwrap();
        assert!(stats.peak > 65_400 && stats.kurtosis_q8 > 1000 * 256, "{stats:?}");
    }

    #[test]
    fn constant_and_single_sample_blocks_have_no_shape() {
        for block in [&[-5i16; 512][..], &[1234i16][..]] {
            let stats = BlockStats::of(block).unwrap();
            assert_eq!((stats.rms_q4, stats.crest_q8, stats.kurtosis_q8), (0, 0, 0));
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        assert_eq!(BlockStats::of(&[]), Err(BlockLengthError { samples: 0 }));
        let long = [0i16; MAX_BLOCK_SAMPLES + 1];
        assert_eq!(BlockStats::of(&long), Err(BlockLengthError { samples: 1025 }));
    }
}
