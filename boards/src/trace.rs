//! The text buffer that Linux's `remoteproc` shows as `trace0` in debugfs.
//!
//! The format is the kernel's: text up to the first NUL, or to the end. It has no index and no lock, so a reader may
//! see half a line. There is nobody to say that text was read, so nothing waits for a reader: when a line does not fit
//! any more, the text starts over and says so. For few lines that a person reads (boot, panic); the log ring is
//! for everything else.

use core::fmt;

use coracle_shmem::{OutOfRegion, Region, release_barrier};

/// Smallest buffer in bytes: holds the boot line and a panic message.
pub const BYTES_MIN: u32 = 512;

/// First line of a text that started over.
const STARTED_OVER: &[u8] = b"(earlier lines dropped)\n";

/// The writing end: the M core.
#[derive(Debug)]
pub struct TraceBuffer<'m> {
    region: Region<'m>,
    /// Bytes of text.
    len: usize,
}

impl<'m> TraceBuffer<'m> {
    /// An empty text in `region`, or, if `keep`, the one that an earlier life left there: after a panic it says why this
    /// life began.
    ///
    /// # Errors
    /// [`OutOfRegion`] when the region is shorter than [`BYTES_MIN`].
    pub fn open(region: Region<'m>, keep: bool) -> Result<Self, OutOfRegion> {
        if region.len() < BYTES_MIN as usize {
            return Err(OutOfRegion);
        }
        if keep {
            for len in 0..region.len() {
                if region.load_u8(len)? == 0 {
                    return Ok(Self { region, len });
                }
            }
        }
        region.zero(0, region.len())?;
        Ok(Self { region, len: 0 })
    }

    /// Appends a line; a line break is added. What does not fit an empty buffer is cut off.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        let mut size = Counter(0);
        // Neither counting nor writing fails; what a `Display` of the caller refuses to print is missing.
        let _ = fmt::write(&mut size, line);
        // One byte for the line break, one for the NUL.
        if self.len.saturating_add(size.0).saturating_add(2) > self.region.len() && self.len > 0 {
            // Cannot fail: it is the region's own length.
            let _ = self.region.zero(0, self.region.len());
            self.len = 0;
            self.push(STARTED_OVER);
        }
        let _ = fmt::write(self, line);
        self.push(b"\n");
        release_barrier();
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.region.len().saturating_sub(self.len + 1);
        let bytes = bytes.get(..room).unwrap_or(bytes);
        if self.region.write(self.len, bytes).is_ok() {
            self.len += bytes.len();
        }
    }
}

impl fmt::Write for TraceBuffer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Counts the bytes of a text.
struct Counter(usize);

impl fmt::Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coracle_shmem::HeapRegion;

    const BYTES: usize = BYTES_MIN as usize;

    /// What the kernel would show.
    fn text(region: Region<'_>) -> String {
        let mut bytes = [0; BYTES];
        region.read(0, &mut bytes).expect("inside");
        let end = bytes.iter().position(|byte| *byte == 0).expect("the text ends inside the buffer");
        String::from_utf8(bytes[..end].to_vec()).expect("text")
    }

    #[test]
    fn lines_follow_each_other_and_a_new_life_starts_empty_or_goes_on() {
        let memory = HeapRegion::new(BYTES);
        let mut trace = TraceBuffer::open(memory.region(), false).expect("large enough");
        trace.line(format_args!("board {} up", "b"));
        trace.line(format_args!("second"));
        assert_eq!(text(memory.region()), "board b up\nsecond\n");
        let mut next = TraceBuffer::open(memory.region(), true).expect("large enough");
        next.line(format_args!("third"));
        assert_eq!(text(memory.region()), "board b up\nsecond\nthird\n");
        let _again = TraceBuffer::open(memory.region(), false).expect("large enough");
        assert_eq!(text(memory.region()), "");
        // Not a text: whoever shares the memory wrote over it.
        memory.region().write(0, &[b'x'; BYTES]).expect("inside");
        let mut next = TraceBuffer::open(memory.region(), true).expect("large enough");
        next.line(format_args!("fourth"));
        assert_eq!(text(memory.region()), "fourth\n");
        let small = HeapRegion::new(BYTES - 8);
        assert!(TraceBuffer::open(small.region(), true).is_err());
    }

    #[test]
    fn a_full_buffer_starts_over_and_keeps_the_newest_line_whole() {
        let memory = HeapRegion::new(BYTES);
        let mut trace = TraceBuffer::open(memory.region(), false).expect("large enough");
        for number in 0..1000 {
            trace.line(format_args!("line {number}"));
            let shown = text(memory.region());
            assert!(shown.ends_with(&format!("line {number}\n")), "{shown:?}");
        }
        assert!(text(memory.region()).starts_with("(earlier lines dropped)\n"));
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_off() {
        let memory = HeapRegion::new(BYTES);
        let mut trace = TraceBuffer::open(memory.region(), false).expect("large enough");
        trace.line(format_args!("{}", "x".repeat(BYTES)));
        assert_eq!(text(memory.region()), "x".repeat(BYTES - 1));
        trace.line(format_args!("y"));
        assert_eq!(text(memory.region()), "(earlier lines dropped)\ny\n");
    }
}
