//! The M core's log, read from its ring and turned into lines, whichever encoding the board uses.

use coracle_boards::log_ring::{Consumer, Encoding};
use coracle_shmem::Region;

use crate::firmware_log::{LogDecoder, LogLine};

/// Bytes taken from the ring at once.
const CHUNK_BYTES: usize = 4096;
/// Chunks taken in one call.
const CHUNKS_MAX: usize = 32;
/// Longest text line that is waited for, in bytes.
const LINE_BYTES_MAX: usize = 1024;

/// Reads lines as they come. Waits for nothing: a ring that is not there yet, or is being set up anew, has no lines.
pub struct LogReader<'m> {
    region: Region<'m>,
    consumer: Option<Consumer<'m>>,
    decoder: Option<LogDecoder>,
    pending: Vec<u8>,
    dropped: u32,
}

impl<'m> LogReader<'m> {
    /// A reader of the ring in `region`; `decoder` is for firmware that logs by defmt.
    #[must_use]
    pub fn new(region: Region<'m>, decoder: Option<LogDecoder>) -> Self {
        Self { region, consumer: None, decoder, pending: Vec::new(), dropped: 0 }
    }

    /// The lines that are complete.
    pub fn lines(&mut self) -> Vec<LogLine> {
        let mut lines = Vec::new();
        if self.consumer.is_none() {
            self.consumer = Consumer::attach(self.region).ok();
        }
        let mut chunk = [0; CHUNK_BYTES];
        // Bounded: M may write faster than this reads.
        for _ in 0..CHUNKS_MAX {
            let Some(consumer) = &mut self.consumer else { break };
            let Ok(len @ 1..) = consumer.drain(&mut chunk) else { break };
            let bytes = chunk.get(..len).unwrap_or_default();
            match consumer.encoding() {
                Encoding::Defmt => match &mut self.decoder {
                    Some(decoder) => lines.extend(decoder.feed(consumer.producer_id(), bytes)),
                    None => lines.push(LogLine {
                        level: None,
                        time_us: None,
                        text: format!("{len} bytes of encoded log: start coracled with --firmware to read them"),
                    }),
                },
                Encoding::Text => self.feed_text(bytes, &mut lines),
            }
        }
        if let Some(consumer) = &self.consumer {
            let dropped = consumer.dropped();
            let more = dropped.wrapping_sub(self.dropped);
            // A restart of M counts from 0 again.
            if dropped > self.dropped {
                lines.push(LogLine { level: None, time_us: None, text: format!("{more} log lines were dropped") });
            }
            self.dropped = dropped;
        }
        lines
    }

    fn feed_text(&mut self, bytes: &[u8], lines: &mut Vec<LogLine>) {
        for byte in bytes {
            if *byte != b'\n' && self.pending.len() < LINE_BYTES_MAX {
                self.pending.push(*byte);
            } else if !self.pending.is_empty() {
                lines.push(text_line(&String::from_utf8_lossy(&self.pending)));
                self.pending.clear();
            }
        }
    }
}

/// `LEVEL MICROSECONDS TEXT`; anything else is a line without level and time.
fn text_line(line: &str) -> LogLine {
    let mut parts = line.splitn(3, ' ');
    let (level, time, text) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let level = ["error", "warn", "info", "debug"].into_iter().find(|l| *l == level);
    match (level, time.parse()) {
        (Some(level), Ok(time)) => LogLine { level: Some(level), time_us: Some(time), text: text.to_owned() },
        _ => LogLine { level: None, time_us: None, text: line.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use coracle_boards::log_ring::{BYTES_MIN, Producer};
    use coracle_shmem::HeapRegion;

    use super::*;

    #[test]
    fn text_lines_come_with_level_and_time_and_others_as_they_are() {
        let memory = HeapRegion::new(BYTES_MIN as usize);
        let mut reader = LogReader::new(memory.region(), None);
        assert!(reader.lines().is_empty(), "no ring yet");
        let mut ring = Producer::open(memory.region(), Encoding::Text, 0).unwrap();
        ring.frame(b"info 42 hello there\nnonsense\nwarn 4");
        let lines = reader.lines();
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].level, lines[0].time_us, lines[0].text.as_str()), (Some("info"), Some(42), "hello there"));
        assert_eq!((lines[1].level, lines[1].text.as_str()), (None, "nonsense"));
        ring.frame(b"3 end\n");
        assert_eq!(reader.lines()[0].time_us, Some(43));
    }
}
