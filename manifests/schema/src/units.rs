//! Sizes and durations as manifests write them: a whole number and a unit.

use std::time::Duration;

/// Reads `512`, `16KiB` or `2MiB` into bytes. `None` if it is anything else or does not fit.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let bytes_per_unit = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    number.checked_mul(bytes_per_unit)
}

/// Reads `250us`, `500ms`, `30s`, `5min` or `1h`. `None` if it is anything else or does not fit.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let us_per_unit = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "min" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    number.checked_mul(us_per_unit).map(Duration::from_micros)
}

/// Bytes as a manifest would write them, in the largest unit that needs no fraction.
pub(crate) fn size_text(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match bytes {
        0 => "0".to_owned(),
        _ if bytes.is_multiple_of(MIB) => format!("{}MiB", bytes / MIB),
        _ if bytes.is_multiple_of(KIB) => format!("{}KiB", bytes / KIB),
        _ => bytes.to_string(),
    }
}

/// A duration as a manifest would write it, in the largest unit that needs no fraction.
pub(crate) fn duration_text(duration: Duration) -> String {
    let us = duration.as_micros();
    let units = [(3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1_000, "ms")];
    let unit = units.iter().find(|(us_per_unit, _)| us.is_multiple_of(*us_per_unit));
    let (us_per_unit, name) = unit.unwrap_or(&(1, "us"));
    format!("{}{name}", us / us_per_unit)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::{duration_text, parse_duration, parse_size, size_text};
    use std::time::Duration;

    #[test]
    fn sizes() {
        for (text, bytes) in [("1", 1), ("7B", 7), ("16KiB", 16384), ("2MiB", 2 << 20), ("0", 0)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            "KiB",
            "16KB",
            "16kib",
            "16 KiB",
            "-1",
            "+1",
            "1.5KiB",
            "16KiBs",
            "99999999999999999999",
            "18446744073709551615KiB",
            "1\u{b5}",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
        for bytes in [0, 1, 1023, 1024, 1 << 20, (1 << 20) + 1024] {
            assert_eq!(parse_size(&size_text(bytes)), Some(bytes));
        }
    }

    #[test]
    fn durations() {
        for (text, us) in [
            ("0s", 0),
            ("250us", 250),
            ("500ms", 500_000),
            ("30s", 30_000_000),
            ("5min", 300_000_000),
            ("2h", 7_200_000_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_micros(us)), "{text}");
        }
        for us in [0, 7, 1_000, 90_000_000, 120_000_000, 7_200_000_000] {
            let duration = Duration::from_micros(us);
            assert_eq!(parse_duration(&duration_text(duration)), Some(duration));
        }
        for text in ["", "30", "s", "3 s", "3m", "1.5s", "-1s", "18446744073709551615h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
