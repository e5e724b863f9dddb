//! The `log` logger: lines of text go into the log ring of the shared memory.
//!
//! A line is `LEVEL MICROSECONDS TEXT\n` in UTF-8: the level is `error`, `warn`, `info` or `debug`, the time counts from
//! the start of this process, and control characters in the text are escaped, so that no guest can forge a line of
//! another. A full ring drops lines and counts them; logging never waits for the A core.

use std::fmt::{self, Write};
use std::sync::{Mutex, OnceLock, TryLockError};
use std::time::Instant;

use coracle_board_api::log_ring::{Encoding, Producer, RingError};
use coracle_shmem::Region;
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Finest level that is logged.
const LEVEL: LevelFilter = LevelFilter::Debug;

static LOGGER: OnceLock<RingLogger> = OnceLock::new();

struct RingLogger {
    ring: Mutex<Producer<'static>>,
    start: Instant,
}

/// Opens the ring, sends panics there too, and returns the instant that the times of the lines count from.
///
/// # Errors
/// [`RingError`] when the region is too small: the board description is wrong.
pub(crate) fn start(region: Region<'static>) -> Result<Instant, RingError> {
    // No id: text needs no program to be read.
    let ring = Mutex::new(Producer::open(region, Encoding::Text, 0)?);
    let logger = LOGGER.get_or_init(|| RingLogger { ring, start: Instant::now() });
    // Fails only if a logger is set already, which then is this one.
    let _ = log::set_logger(logger);
    log::set_max_level(LEVEL);
    let on_stderr = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        log::error!("M core: {panic}");
        on_stderr(panic);
    }));
    Ok(logger.start)
}

impl Log for RingLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LEVEL
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        // A line inside a line (a panic while one is formatted) would wait for itself: it is dropped instead.
        let mut ring = match self.ring.try_lock() {
            Ok(ring) => ring,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        write_line(&mut ring, record.level(), self.start.elapsed().as_micros(), record.args());
    }

    fn flush(&self) {
        // The A core reads when it wants to; there is nothing to wait for.
    }
}

fn write_line(ring: &mut Producer<'_>, level: Level, time_us: u128, text: &fmt::Arguments<'_>) {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    };
    ring.begin();
    // A Display implementation that fails leaves a line that ends early.
    let _ = write!(Line(ring), "{level} {time_us} {text}");
    ring.push(b"\n");
    // Dropped lines are counted in the ring's header, where the reader finds them.
    let _published = ring.commit();
}

/// The inside of a line: control characters are escaped.
struct Line<'r, 'm>(&'r mut Producer<'m>);

impl Write for Line<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(char::is_control) {
            let plain = piece.trim_end_matches(char::is_control);
            self.0.push(plain.as_bytes());
            for c in piece.chars().skip(plain.chars().count()).flat_map(char::escape_default) {
                self.0.push(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use coracle_board_api::log_ring::{BYTES_MIN, Consumer};
    use coracle_shmem::HeapRegion;

    use super::*;

    #[test]
    fn a_line_has_level_time_and_text_and_stays_one_line() {
        let memory = HeapRegion::new(BYTES_MIN as usize);
        let mut ring = Producer::open(memory.region(), Encoding::Text, 0).unwrap();
        write_line(&mut ring, Level::Warn, 1_234_567, &format_args!("sentinel: {} é", "a\nerror 1 b\r\u{1b}\tc"));
        write_line(&mut ring, Level::Error, 0, &format_args!(""));
        let mut consumer = Consumer::attach(memory.region()).unwrap();
        let mut out = [0; 512];
        let len = consumer.drain(&mut out).unwrap();
        let text = std::str::from_utf8(&out[..len]).unwrap();
        assert_eq!(text, "warn 1234567 sentinel: a\\nerror 1 b\\r\\u{1b}\\tc é\nerror 0 \n");
    }

    #[test]
    fn a_line_over_the_ring_is_dropped_whole_and_counted() {
        let memory = HeapRegion::new(BYTES_MIN as usize);
        let mut ring = Producer::open(memory.region(), Encoding::Text, 0).unwrap();
        write_line(&mut ring, Level::Info, 1, &format_args!("{}", "x".repeat(BYTES_MIN as usize)));
        write_line(&mut ring, Level::Info, 2, &format_args!("next"));
        let mut consumer = Consumer::attach(memory.region()).unwrap();
        let mut out = [0; 512];
        let len = consumer.drain(&mut out).unwrap();
        assert_eq!(&out[..len], b"info 2 next\n");
        assert_eq!(consumer.dropped(), 1);
    }
}
