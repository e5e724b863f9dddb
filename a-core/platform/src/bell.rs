//! The doorbell of boards whose mailbox is a socket: one byte is a virtqueue id.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The doorbell cannot be reached.
#[derive(Debug, Error)]
#[error("cannot reach the M core's doorbell at {path}: is the board running?")]
pub struct BellError {
    path: PathBuf,
    source: io::Error,
}

/// A connection to M's doorbell.
#[derive(Debug)]
pub struct Bell {
    stream: UnixStream,
    /// Kicks that the socket did not take yet, by id.
    waiting: [bool; 2],
}

impl Bell {
    /// Connects.
    ///
    /// # Errors
    /// [`BellError`].
    pub fn connect(path: &Path) -> Result<Self, BellError> {
        let connect = || {
            let stream = UnixStream::connect(path)?;
            stream.set_nonblocking(true)?;
            Ok(Self { stream, waiting: [false; 2] })
        };
        connect().map_err(|source| BellError { path: path.to_owned(), source })
    }

    /// Rings. A bell that the line cannot take now goes out later; bells of one id merge.
    ///
    /// # Errors
    /// The line is dead: M or its board ended.
    pub fn ring(&mut self, id: u8) -> io::Result<()> {
        if let Some(waiting) = self.waiting.get_mut(usize::from(id)) {
            *waiting = true;
        }
        self.flush()
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// As [`Bell::ring`].
    pub fn flush(&mut self) -> io::Result<()> {
        for (id, waiting) in (0u8..).zip(&mut self.waiting) {
            if !*waiting {
                continue;
            }
            match self.stream.write(&[id]) {
                Ok(1) => *waiting = false,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Whether bells wait for the line.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.waiting.contains(&true)
    }

    /// Takes all bells that rang. The ids only say where to look, and both rings are looked at anyway.
    ///
    /// # Errors
    /// The line is dead.
    pub fn take(&mut self) -> io::Result<bool> {
        let mut rang = false;
        let mut ids = [0; 64];
        loop {
            match self.stream.read(&mut ids) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => rang = true,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(rang),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
