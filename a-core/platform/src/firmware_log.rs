//! Decodes the defmt frames that come out of the log ring, with the help of the firmware's ELF.
//!
//! The ELF is trusted (it is our own build); the frames are not: they come from the other core. A frame that cannot be
//! decoded becomes a line with its bytes. What remains: a frame whose format holds a slice of structures can make
//! `defmt-decoder` ask for a lot of memory, so firmware does not log those (the log facade's rules).

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use defmt_decoder::{DecodeError, Table};
use object::Object as _;

/// Longest frame that is waited for, in bytes. The log ring never holds a longer one on the boards there are.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Most bytes of an undecodable frame that are shown.
const SHOWN_BYTES_MAX: usize = 48;

/// A line of the firmware's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// `error`, `warn`, `info`, `debug` or `trace`; `None` if the frame could not be decoded.
    pub level: Option<&'static str>,
    /// Time since the M core started, in microseconds; `None` if the frame could not be decoded.
    pub time_us: Option<u64>,
    /// The message, or the bytes and why they could not be decoded.
    pub text: String,
}

/// Why an ELF file cannot be used to decode logs.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// It is not an ELF file, or a broken one.
    #[error("not a firmware ELF file: {0}")]
    Malformed(String),
    /// It has no log strings.
    #[error("the ELF file has no defmt table; give the file that the build made, not a stripped or raw image")]
    NoTable,
}

/// Turns the bytes of a log ring into lines.
pub struct LogDecoder {
    table: Table,
    build_id: u64,
    pending: Vec<u8>,
}

impl LogDecoder {
    /// A decoder for the firmware in `elf`.
    ///
    /// # Errors
    /// [`ElfError`].
    pub fn new(elf: &[u8]) -> Result<Self, ElfError> {
        let file = object::File::parse(elf).map_err(|error| ElfError::Malformed(error.to_string()))?;
        let build_id = file.build_id().map_err(|error| ElfError::Malformed(error.to_string()))?;
        let build_id = build_id.and_then(|id| id.first_chunk()).map_or(0, |id| u64::from_le_bytes(*id));
        let table = Table::parse(elf).map_err(|error| ElfError::Malformed(error.to_string()))?;
        Ok(Self { table: table.ok_or(ElfError::NoTable)?, build_id, pending: Vec::new() })
    }

    /// The first 8 bytes of the ELF's build id; 0 if it has none.
    #[must_use]
    pub fn build_id(&self) -> u64 {
        self.build_id
    }

    /// Takes bytes as they came out of a ring written by the program `producer_id` (0 if unknown), and returns the lines
    /// that are complete. An unfinished one waits for more.
    pub fn feed(&mut self, producer_id: u64, bytes: &[u8]) -> Vec<LogLine> {
        let mut lines = Vec::new();
        for byte in bytes {
            if *byte != 0 && self.pending.len() < FRAME_BYTES_MAX {
                self.pending.push(*byte);
            } else if !self.pending.is_empty() {
                // An overlong frame is cut here; what follows up to the next zero is undecodable too.
                lines.push(self.line(producer_id));
                self.pending.clear();
            }
        }
        lines
    }

    /// The line of the pending frame.
    fn line(&self, producer_id: u64) -> LogLine {
        if producer_id != 0 && producer_id != self.build_id {
            let (ring, elf) = (producer_id, self.build_id);
            return self.raw(&format!("ELF does not match: the firmware's id is {ring:016x}, the ELF's {elf:016x}"));
        }
        // defmt-decoder is written for frames of one's own firmware: it may panic on those of a hostile one.
        match catch_unwind(AssertUnwindSafe(|| self.decoded())) {
            Ok(Ok(line)) => line,
            Ok(Err(error)) => self.raw(&error.to_string()),
            Err(_) => self.raw("the decoder failed"),
        }
    }

    fn decoded(&self) -> Result<LogLine, DecodeError> {
        let mut stream = self.table.new_stream_decoder();
        stream.received(&self.pending);
        stream.received(&[0]);
        let frame = stream.decode()?;
        let time_us = frame.display_timestamp().and_then(|time| microseconds(&time.to_string()));
        let level = frame.level().map(|level| level.as_str());
        Ok(LogLine { level, time_us, text: frame.display_message().to_string() })
    }

    fn raw(&self, why: &str) -> LogLine {
        let mut text = format!("undecodable log frame ({why}):");
        for byte in self.pending.iter().take(SHOWN_BYTES_MAX) {
            // Writing to a String cannot fail.
            let _ = write!(text, " {byte:02x}");
        }
        if self.pending.len() > SHOWN_BYTES_MAX {
            let _ = write!(text, " … {} bytes", self.pending.len());
        }
        LogLine { level: None, time_us: None, text }
    }
}

/// Reads a time as defmt's `us` hint prints it: seconds, a point, six digits.
fn microseconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.')?;
    let fraction = (fraction.len() == 6).then(|| fraction.parse::<u64>().ok())??;
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_printed() {
        assert_eq!(microseconds("0.000042"), Some(42));
        assert_eq!(microseconds("171.798691"), Some(171_798_691));
        assert_eq!(microseconds("42"), None);
        assert_eq!(microseconds("99999999999999999.000000"), None);
    }

    #[test]
    fn files_that_are_no_firmware_are_refused() {
        assert!(matches!(LogDecoder::new(b"not an ELF"), Err(ElfError::Malformed(_))));
        let own = std::fs::read(std::env::current_exe().expect("known")).expect("readable");
        assert!(matches!(LogDecoder::new(&own), Err(ElfError::NoTable)));
    }
}
