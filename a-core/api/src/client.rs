//! A blocking client of the socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::{Event, LINE_BYTES_MAX, Reply, Request};

/// Why a request has no good answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("cannot reach coracled at {path}: is it running?")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The connection broke, or nothing came in time.
    #[error("the connection to coracled broke")]
    Io(#[from] io::Error),
    /// The answer is not one.
    #[error("coracled answered something that this version does not understand")]
    Malformed(#[from] serde_json::Error),
    /// The daemon refused.
    #[error("{0}")]
    Refused(String),
}

/// A connection to `coracled`.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`ClientError::Connect`].
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream =
            UnixStream::connect(path).map_err(|source| ClientError::Connect { path: path.to_owned(), source })?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Bounds every wait for an answer; `None` waits for ever.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> Result<(), ClientError> {
        Ok(self.stream.get_ref().set_read_timeout(timeout)?)
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// See [`ClientError`]; [`Reply::Error`] comes as [`ClientError::Refused`].
    pub fn call(&mut self, request: &Request) -> Result<Reply, ClientError> {
        self.send(request)?;
        match serde_json::from_str(&self.line()?)? {
            Reply::Error { message } => Err(ClientError::Refused(message)),
            reply => Ok(reply),
        }
    }

    /// Turns the connection into a stream of events.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn events(mut self) -> Result<impl Iterator<Item = Result<Event, ClientError>>, ClientError> {
        self.send(&Request::Events)?;
        Ok(std::iter::from_fn(move || match self.line() {
            Ok(line) => Some(serde_json::from_str(&line).map_err(ClientError::from)),
            Err(ClientError::Io(e)) if e.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(e) => Some(Err(e)),
        }))
    }

    fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        Ok(self.stream.get_mut().write_all(line.as_bytes())?)
    }

    fn line(&mut self) -> Result<String, ClientError> {
        let mut line = String::new();
        let read = (&mut self.stream).take(LINE_BYTES_MAX as u64).read_line(&mut line)?;
        if read == 0 { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(line) }
    }
}
