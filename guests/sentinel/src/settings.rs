//! The detector from the container's configuration. A setting that is missing or useless is named in the log: the
//! errno that `init` returns cannot say which one it was.

use coracle_sdk::{Errno, Line, config, log};
use coracle_vibration::detector::{Baseline, ConfigError, Detector, Thresholds};

/// Reads the configuration and makes the detector.
pub(crate) fn detector() -> Result<Detector, Errno> {
    let baseline = Baseline {
        rms_q4: required("baseline_rms_q4")?,
        diff_rms_q4: required("baseline_diff_rms_q4")?,
        kurtosis_q8: required("baseline_kurtosis_q8")?,
    };
    let standard = Thresholds::default();
    let thresholds = Thresholds {
        rms_ratio_q8: optional("rms_ratio_q8", standard.rms_ratio_q8)?,
        diff_ratio_q8: optional("diff_ratio_q8", standard.diff_ratio_q8)?,
        kurtosis_ratio_q8: optional("kurtosis_ratio_q8", standard.kurtosis_ratio_q8)?,
        confirm: optional("confirm", standard.confirm)?,
        of: optional("of", standard.of)?,
        rearm: optional("rearm", standard.rearm)?,
    };
    Detector::new(baseline, thresholds).map_err(|error| {
        log::error(match error {
            ConfigError::ZeroBaseline => "config: a baseline_* value is 0; measure the healthy machine",
            ConfigError::RatioTooSmall => "config: a *_ratio_q8 value is not above 256 (1.0)",
            ConfigError::Confirmation => "config: not 1 <= confirm <= of <= 32",
            ConfigError::ZeroRearm => "config: rearm is 0",
        });
        Errno::Invalid
    })
}

fn required(key: &str) -> Result<u32, Errno> {
    config::get_u32(key).inspect_err(|errno| complain(key, *errno))
}

fn optional<T: TryFrom<u32>>(key: &str, standard: T) -> Result<T, Errno> {
    match config::get_u32(key).and_then(|value| T::try_from(value).map_err(|_| Errno::Invalid)) {
        Err(Errno::NoEntry) => Ok(standard),
        Err(errno) => {
            complain(key, errno);
            Err(errno)
        }
        Ok(value) => Ok(value),
    }
}

fn complain(key: &str, errno: Errno) {
    let mut line = Line::new();
    line.push_str("config: ");
    line.push_str(key);
    line.push_str(if errno == Errno::NoEntry { " is missing" } else { " is no whole number that fits" });
    log::error(line.as_str());
}
