//! What the guest of the kernel test reports, and how: lines on the console, one for each check and one at the end.
//!
//! The program (`main.rs`) is the guest's init; it does the checks and writes the lines. The test reads them.
#![forbid(unsafe_code)]

use std::fmt;

/// Firmware that answers every message with the same one, as a file in the guest's firmware folder.
pub const ECHO_FIRMWARE: &str = "coracle-echo.elf";
/// The supervisor's firmware, likewise.
pub const SUPERVISOR_FIRMWARE: &str = "coracle-supervisor.elf";
/// Not a firmware.
pub const BROKEN_FIRMWARE: &str = "coracle-broken.elf";
/// The guest's folder of kernel modules. It loads them in the order of their names.
pub const MODULES_FOLDER: &str = "/modules";

/// Every check, in order.
pub const CHECKS: &[&str] = &[
    "modules",
    "offline",
    "settings",
    "bad-firmware",
    "start",
    "running",
    "trace",
    "announced",
    "open",
    "echo",
    "too-long",
    "busy",
    "endpoints",
    "channel-of-m",
    "channel-of-ours",
    "flood",
    "stop",
    "remote-gone",
    "restart",
    "stale",
    "fresh",
    "cycles",
    "session",
    "session-of-a-restarted-m",
    "session-of-a-restarted-a",
];

/// What marks a line as one of ours among whatever else is on the console.
const MARK: &str = "coracle-check";
const PASSED: &str = "passed";
const FAILED: &str = "FAILED";
const END: &str = "end";

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A check ended.
    Check {
        /// One of [`CHECKS`].
        name: String,
        /// Whether it passed.
        passed: bool,
        /// What was found, or what was wrong.
        detail: String,
    },
    /// All checks ended.
    End,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check { name, passed, detail } => {
                let word = if *passed { PASSED } else { FAILED };
                write!(f, "{MARK} {word} {name}: {}", detail.replace(['\r', '\n'], " "))
            }
            Self::End => write!(f, "{MARK} {END}"),
        }
    }
}

impl Line {
    /// The line that `text` is, if it is one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.trim().strip_prefix(MARK)?.strip_prefix(' ')?;
        if rest == END {
            return Some(Self::End);
        }
        let (word, rest) = rest.split_once(' ')?;
        let passed = match word {
            PASSED => true,
            FAILED => false,
            _ => return None,
        };
        let (name, detail) = rest.split_once(": ").unwrap_or((rest.trim_end_matches(':'), ""));
        Some(Self::Check { name: name.into(), passed, detail: detail.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn lines_are_read_as_they_were_written() {
        for line in [
            Line::Check { name: "echo".into(), passed: true, detail: "496 sizes: all".into() },
            Line::Check { name: "echo".into(), passed: false, detail: String::new() },
            Line::End,
        ] {
            assert_eq!(Line::parse(&format!("{line}\r")), Some(line));
        }
        for other in ["", "coracle-check", "coracle-check maybe echo: 1", "[    1.0] coracle-check end"] {
            assert_eq!(Line::parse(other), None, "{other}");
        }
    }
}
