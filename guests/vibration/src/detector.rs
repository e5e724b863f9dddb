//! Decides, block by block, when a machine stops being healthy.
//!
//! The healthy level is configuration, never learned: a machine that is already damaged when the container starts
//! must be noticed too. One loud block is not a fault (doors slam, trolleys hit): a fault is `confirm` conspicuous
//! blocks among the last `of`.
//!
//! ```text
//!            confirm of the last `of` blocks conspicuous: Some(Onset)
//!   watching ---------------------------------------------------------> latched
//!            <---------------------------------------------------------
//!                      `rearm` healthy blocks without a break
//! ```
//!
//! It does not say what is wrong, and it does not adapt to speed or load.

use crate::stats::BlockStats;

/// Longest history the confirmation can look at, in blocks.
pub const MAX_HISTORY_BLOCKS: u8 = 32;

/// What the healthy machine measures, in the units of [`BlockStats`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Baseline {
    /// Root mean square, in 1/16 LSB.
    pub rms_q4: u32,
    /// Root mean square of the first difference, in 1/16 LSB.
    pub diff_rms_q4: u32,
    /// Kurtosis, in 1/256.
    pub kurtosis_q8: u32,
}

/// How far from the baseline a block is conspicuous, and how many such blocks make a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Smallest conspicuous ratio of RMS to baseline, in 1/256.
    pub rms_ratio_q8: u32,
    /// The same for the first difference.
    pub diff_ratio_q8: u32,
    /// The same for kurtosis.
    pub kurtosis_ratio_q8: u32,
    /// Conspicuous blocks that make a fault.
    pub confirm: u8,
    /// Blocks looked back at for them, at most [`MAX_HISTORY_BLOCKS`].
    pub of: u8,
    /// Healthy blocks in a row after which a new fault is reported again.
    pub rearm: u16,
}

impl Default for Thresholds {
    /// Level +3 dB or kurtosis x 1.5, in four of six blocks of 43 ms: when all four follow each other they fill
    /// exactly one analysis window. Armed again after 10 s of health.
    fn default() -> Self {
        Self { rms_ratio_q8: 358, diff_ratio_q8: 358, kurtosis_ratio_q8: 384, confirm: 4, of: 6, rearm: 234 }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigError {
    /// A baseline value is zero: every block would be infinitely far from it. Measure the healthy machine.
    ZeroBaseline,
    /// A ratio is at most 256 (1.0): the healthy machine itself would be conspicuous.
    RatioTooSmall,
    /// Not 1 <= `confirm` <= `of` <= [`MAX_HISTORY_BLOCKS`].
    Confirmation,
    /// `rearm` is zero: the same fault would be reported again and again.
    ZeroRearm,
}

/// The statistic that left the baseline furthest behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Overall level.
    Rms,
    /// Level of the first difference: high frequencies.
    DiffRms,
    /// Impulsiveness.
    Kurtosis,
}

/// The start of a fault, reported once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Onset {
    /// What exceeded its threshold by most in the block that confirmed the fault.
    pub measure: Measure,
    /// Ratio of that statistic to its baseline, in 1/256, saturated.
    pub ratio_q8: u32,
}

/// The detector's whole state: plain numbers, so it survives a move between cores inside guest memory.
#[derive(Debug, Clone, Copy)]
pub struct Detector {
    baseline: Baseline,
    thresholds: Thresholds,
    /// Bit 0 is the newest block; one means conspicuous.
    history: u32,
    healthy_run: u16,
    latched: bool,
}

impl Detector {
    /// A detector that has seen nothing yet.
    pub fn new(baseline: Baseline, thresholds: Thresholds) -> Result<Self, ConfigError> {
        if baseline.rms_q4 == 0 || baseline.diff_rms_q4 == 0 || baseline.kurtosis_q8 == 0 {
            return Err(ConfigError::ZeroBaseline);
        }
        let ratios = [thresholds.rms_ratio_q8, thresholds.diff_ratio_q8, thresholds.kurtosis_ratio_q8];
        if ratios.iter().any(|&ratio| ratio <= 256) {
            return Err(ConfigError::RatioTooSmall);
        }
        if thresholds.confirm == 0 || thresholds.confirm > thresholds.of || thresholds.of > MAX_HISTORY_BLOCKS {
            return Err(ConfigError::Confirmation);
        }
        if thresholds.rearm == 0 {
            return Err(ConfigError::ZeroRearm);
        }
        Ok(Self { baseline, thresholds, history: 0, healthy_run: 0, latched: false })
    }

    /// Takes the next block. Returns the onset in the block that confirms a fault, and `None` in every other one.
    pub fn block(&mut self, stats: &BlockStats) -> Option<Onset> {
        let worst = self.worst(stats);
        let kept = u32::MAX >> (u32::from(MAX_HISTORY_BLOCKS) - u32::from(self.thresholds.of));
        self.history = ((self.history << 1) | u32::from(worst.is_some())) & kept;
        let Some(onset) = worst else {
            self.healthy_run = self.healthy_run.saturating_add(1);
            if self.healthy_run >= self.thresholds.rearm {
                self.latched = false;
            }
            return None;
        };
        self.healthy_run = 0;
        if self.latched || self.history.count_ones() < u32::from(self.thresholds.confirm) {
            return None;
        }
        self.latched = true;
        Some(onset)
    }

    /// The statistic furthest above its threshold, if any is at or above it.
    fn worst(&self, stats: &BlockStats) -> Option<Onset> {
        let (baseline, limits) = (&self.baseline, &self.thresholds);
        let candidates = [
            (Measure::Rms, stats.rms_q4, baseline.rms_q4, limits.rms_ratio_q8),
            (Measure::DiffRms, stats.diff_rms_q4, baseline.diff_rms_q4, limits.diff_ratio_q8),
            (Measure::Kurtosis, stats.kurtosis_q8, baseline.kurtosis_q8, limits.kurtosis_ratio_q8),
        ];
        let mut worst = None;
        let mut worst_excess_q8 = 0;
        for (measure, value, healthy, limit_q8) in candidates {
            let ratio_q8 = ratio_q8(value, healthy);
            let excess_q8 = (u64::from(ratio_q8) << 8) / u64::from(limit_q8.max(1));
            if ratio_q8 >= limit_q8 && excess_q8 > worst_excess_q8 {
                worst_excess_q8 = excess_q8;
                worst = Some(Onset { measure, ratio_q8 });
            }
        }
        worst
    }
}

/// `value / healthy` in 1/256, saturated.
fn ratio_q8(value: u32, healthy: u32) -> u32 {
    let ratio = (u64::from(value) << 8) / u64::from(healthy.max(1));
    u32::try_from(ratio).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASELINE: Baseline = Baseline { rms_q4: 1600, diff_rms_q4: 2400, kurtosis_q8: 768 };

    fn healthy() -> BlockStats {
        BlockStats { rms_q4: 1600, peak: 300, crest_q8: 768, kurtosis_q8: 768, diff_rms_q4: 2400 }
    }

    fn loud() -> BlockStats {
        BlockStats { rms_q4: 3200, ..healthy() }
    }

    fn detector() -> Detector {
        Detector::new(BASELINE, Thresholds::default()).unwrap()
    }

    #[test]
    fn confirms_with_the_fourth_of_six() {
        let mut detector = detector();
        let blocks = [loud(), healthy(), loud(), loud(), healthy(), loud()];
        let fired: [bool; 6] = blocks.map(|block| detector.block(&block).is_some());
        assert_eq!(fired, [false, false, false, false, false, true]);
    }

    #[test]
    fn rare_loud_blocks_never_add_up() {
        let mut detector = detector();
        for i in 0..1000 {
            // Three of any six.
            let block = if i % 2 == 0 { loud() } else { healthy() };
            assert_eq!(detector.block(&block), None, "block {i}");
        }
    }

    #[test]
    fn reports_an_episode_once_and_rearms_after_a_long_healthy_stretch() {
        let mut detector = detector();
        let mut onsets =
            |block: BlockStats, count: u16| (0..count).filter(|_| detector.block(&block).is_some()).count();
        let rearm = Thresholds::default().rearm;
        assert_eq!(onsets(loud(), 500), 1);
        assert_eq!(onsets(healthy(), rearm - 1), 0);
        assert_eq!(onsets(loud(), 500), 0, "still the same episode");
        assert_eq!(onsets(healthy(), 1), 0);
        assert_eq!(onsets(loud(), 500), 0, "the healthy stretch was broken");
        assert_eq!(onsets(healthy(), rearm), 0);
        assert_eq!(onsets(loud(), 500), 1, "a new episode");
    }

    #[test]
    fn each_measure_alone_is_enough() {
        let cases = [
            (Measure::Rms, loud()),
            (Measure::DiffRms, BlockStats { diff_rms_q4: 4800, ..healthy() }),
            (Measure::Kurtosis, BlockStats { kurtosis_q8: 1536, ..healthy() }),
        ];
        for (measure, block) in cases {
            let mut detector = detector();
            let onset = (0..4).find_map(|_| detector.block(&block));
            assert_eq!(onset, Some(Onset { measure, ratio_q8: 512 }));
        }
    }

    #[test]
    fn useless_configurations_are_refused() {
        let with = |change: fn(&mut Baseline, &mut Thresholds)| {
            let (mut baseline, mut thresholds) = (BASELINE, Thresholds::default());
            change(&mut baseline, &mut thresholds);
            Detector::new(baseline, thresholds).err()
        };
        assert_eq!(with(|b, _| b.kurtosis_q8 = 0), Some(ConfigError::ZeroBaseline));
        assert_eq!(with(|_, t| t.diff_ratio_q8 = 256), Some(ConfigError::RatioTooSmall));
        assert_eq!(with(|_, t| t.confirm = 0), Some(ConfigError::Confirmation));
        assert_eq!(with(|_, t| t.confirm = 7), Some(ConfigError::Confirmation));
        assert_eq!(with(|_, t| t.of = 33), Some(ConfigError::Confirmation));
        assert_eq!(with(|_, t| t.rearm = 0), Some(ConfigError::ZeroRearm));
        assert_eq!(with(|_, t| (t.confirm, t.of) = (32, 32)), None);
    }
}
