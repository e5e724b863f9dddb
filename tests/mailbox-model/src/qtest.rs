//! Interrupts into an emulated A core, through the emulator's test protocol (one line a command, one line an answer).

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

/// Lines that report interrupts and answer nothing.
const REPORT: &str = "IRQ";
const OK: &str = "OK";

/// A connection to the emulator.
#[derive(Debug)]
pub(crate) struct QTest {
    stream: BufReader<UnixStream>,
    line: String,
}

impl QTest {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream: BufReader::new(stream), line: String::new() }
    }

    /// The connection, to wait for its end.
    pub(crate) fn stream(&self) -> &UnixStream {
        self.stream.get_ref()
    }

    /// Raises and lowers input `number` of the interrupt controller at `path`.
    pub(crate) fn pulse(&mut self, path: &str, number: u32) -> io::Result<()> {
        for level in [1, 0] {
            self.command(&format!("set_irq_in {path} unnamed-gpio-in {number} {level}\n"))?;
        }
        Ok(())
    }

    fn command(&mut self, command: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(command.as_bytes())?;
        loop {
            self.line.clear();
            if self.stream.read_line(&mut self.line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.line.starts_with(OK) {
                return Ok(());
            }
            if !self.line.starts_with(REPORT) {
                return Err(io::Error::other(format!("to `{}` it said `{}`", command.trim(), self.line.trim())));
            }
        }
    }
}
