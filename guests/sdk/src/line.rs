//! A text line in a fixed buffer, so that formatting needs no allocator.

use core::fmt;

use crate::LOG_BYTES_MAX;

/// Text of at most [`LOG_BYTES_MAX`] bytes. What does not fit is cut at a character, never an error: a long log line
/// must not end a container.
#[derive(Debug, Clone)]
pub struct Line {
    bytes: [u8; LOG_BYTES_MAX],
    len: usize,
    cut: bool,
}

impl Line {
    /// An empty line.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; LOG_BYTES_MAX], len: 0, cut: false }
    }

    /// Appends as much of `text` as fits.
    pub fn push_str(&mut self, text: &str) {
        if self.cut {
            // A shorter piece that would still fit must not follow a cut one.
            return;
        }
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let fitting = (0..=text.len().min(room.len())).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        if let (Some(to), Some(from)) = (room.get_mut(..fitting), text.as_bytes().get(..fitting)) {
            to.copy_from_slice(from);
            self.len += fitting;
        }
        self.cut = fitting < text.len();
    }

    /// Appends a number in decimal. For code that must stay without `core::fmt`, which costs a guest several KiB.
    pub fn push_u32(&mut self, number: u32) {
        let mut digits = [0; 10];
        let mut rest = number;
        let mut first = digits.len();
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            // A remainder of 10 fits u8.
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            first = at;
            if rest == 0 {
                break;
            }
        }
        self.push_str(core::str::from_utf8(digits.get(first..).unwrap_or_default()).unwrap_or_default());
    }

    /// The text so far.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only whole characters were copied.
        core::str::from_utf8(self.bytes.get(..self.len).unwrap_or_default()).unwrap_or_default()
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use core::fmt::Write as _;
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn formats_and_cuts_at_a_character() {
        let mut line = Line::new();
        write!(line, "x{}", "é".repeat(100)).unwrap();
        assert_eq!(line.as_str(), std::format!("x{}", "é".repeat(79)));
        line.push_str("y");
        assert_eq!(line.as_str().chars().last(), Some('é'), "nothing follows a cut");
    }

    #[test]
    fn numbers_as_core_fmt_writes_them() {
        for number in [0, 1, 9, 10, 99, 100, 4_294_967_295] {
            let mut line = Line::new();
            line.push_u32(number);
            assert_eq!(line.as_str(), number.to_string());
        }
    }
}
