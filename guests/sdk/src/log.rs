//! Lines for the core's log.

use crate::{Errno, Line, abi, count};

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Level {
    /// The container cannot do its work.
    Error = 1,
    /// Something is off, the work goes on.
    Warn = 2,
    /// Worth a reader's time once.
    Info = 3,
    /// For whoever works on the guest.
    Debug = 4,
}

/// Writes one line. What is over [`crate::LOG_BYTES_MAX`] bytes is cut.
///
/// # Errors
/// [`Errno::Again`] when this event has already caused as many effects as it may.
pub fn write(level: Level, text: &str) -> Result<(), Errno> {
    count(abi::log_write(level as i32, text)).map(drop)
}

/// Writes a line of information. A line that is refused is lost: logging never fails an event.
pub fn info(text: &str) {
    let _ = write(Level::Info, text);
}

/// Writes a warning; see [`info`].
pub fn warn(text: &str) {
    let _ = write(Level::Warn, text);
}

/// Writes an error; see [`info`].
pub fn error(text: &str) {
    let _ = write(Level::Error, text);
}

/// Formats a line on the stack and writes it. Behind [`crate::log!`].
#[doc(hidden)]
pub fn write_fmt(level: Level, text: core::fmt::Arguments<'_>) {
    let mut line = Line::new();
    // A `Line` takes everything; only a `Display` implementation can fail, and then the part before it is still news.
    let _ = core::fmt::write(&mut line, text);
    let _ = write(level, line.as_str());
}

/// Formats and writes one log line: `log!(Level::Info, "speed {hz} Hz")`.
///
/// Takes [`crate::LOG_BYTES_MAX`] bytes of stack and links `core::fmt`; [`info`] does neither.
#[macro_export]
macro_rules! log {
    ($level:expr, $($text:tt)+) => {
        $crate::log::write_fmt($level, ::core::format_args!($($text)+))
    };
}
