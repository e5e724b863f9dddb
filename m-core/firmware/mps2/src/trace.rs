//! The trace buffer: plain text for whoever looks at Linux's `trace0`, on boards that have one.

use core::cell::RefCell;
use core::fmt;

use coracle_boards::trace::TraceBuffer;
use coracle_shmem::Region;
use critical_section::Mutex;

static TRACE: Mutex<RefCell<Option<TraceBuffer<'static>>>> = Mutex::new(RefCell::new(None));

/// Opens the buffer, with the text of an earlier life if `keep`. Lines written before are lost.
pub(crate) fn start(region: Region<'static>, keep: bool) {
    // Succeeds: the board file's reader checked the size. Without a buffer, lines would be lost and nothing else.
    let buffer = TraceBuffer::open(region, keep).ok();
    critical_section::with(|section| *TRACE.borrow_ref_mut(section) = buffer);
}

/// Writes a line that a person should find without tools: boot, panic, a test program's news. Interrupts are masked
/// while it is formatted; everything else belongs in the log.
pub fn trace(line: fmt::Arguments<'_>) {
    critical_section::with(|section| {
        // A panic while a line is formatted comes here again; its words reach the console and the log.
        if let Ok(mut buffer) = TRACE.borrow(section).try_borrow_mut()
            && let Some(buffer) = buffer.as_mut()
        {
            buffer.line(line);
        }
    });
}
