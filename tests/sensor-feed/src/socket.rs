//! Connects a [`Feed`] to the M core's Unix socket, and again after every reset of the M core.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coracle_board_api::sensor_wire::CREDIT;

use crate::feed::Feed;

/// How long to wait for the M core's socket, at the start and after a reset.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The same when the trace has ended: then the M core may well be gone for good.
pub const CONNECT_TIMEOUT_AFTER_END: Duration = Duration::from_secs(5);
/// How long to stay after the end was sent, for an M core that does not ask again and so does not say that it has taken
/// it.
pub const END_QUIET: Duration = Duration::from_secs(2);
/// Pause between two attempts to connect.
const CONNECT_INTERVAL: Duration = Duration::from_millis(20);
/// Longest wait for the M core to take bytes that it asked for. One that takes longer is as good as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Credits read at once, in bytes.
const READ_BYTES: usize = 64;

/// Why the trace did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Nobody listens.
    #[error("no M core at {} within {} s ({source}); start it first, or check the path", path.display(), waited.as_secs())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// How long it was tried.
        waited: Duration,
        /// What the last attempt said.
        source: std::io::Error,
    },
    /// The socket cannot be configured.
    #[error("socket {}: {source}", path.display())]
    Configure {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Connections that were made: one more than resets of the M core.
    pub connections: u32,
    /// Bytes from the M core that were no credits.
    pub stray_bytes: u64,
}

/// Plays the whole trace. Returns when the M core was told of the end and asks for more, is quiet for [`END_QUIET`], or
/// goes away.
///
/// # Errors
/// When the M core does not appear within [`CONNECT_TIMEOUT`], at the start or after a reset.
pub fn run(feed: &mut Feed, path: &Path) -> Result<Report, SocketError> {
    let clock = Instant::now();
    let mut report = Report::default();
    loop {
        let waited = if feed.ended() { CONNECT_TIMEOUT_AFTER_END } else { CONNECT_TIMEOUT };
        let mut stream = match connect(path, waited) {
            Ok(stream) => stream,
            Err(_) if feed.ended() => return Ok(report),
            Err(source) => return Err(SocketError::Connect { path: path.to_owned(), waited, source }),
        };
        stream
            .set_write_timeout(Some(WRITE_TIMEOUT))
            .map_err(|source| SocketError::Configure { path: path.to_owned(), source })?;
        report.connections += 1;
        feed.connected(micros(clock));
        // Whatever breaks a connection is answered by the next one.
        if let Ok(Closed::Quiet) = serve(feed, &mut stream, clock, &mut report) {
            return Ok(report);
        }
        feed.disconnected();
    }
}

fn micros(clock: Instant) -> u64 {
    u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn connect(path: &Path, timeout: Duration) -> std::io::Result<UnixStream> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) if start.elapsed() >= timeout => return Err(error),
            Err(_) => std::thread::sleep(CONNECT_INTERVAL),
        }
    }
}

/// How a connection ended without an error.
enum Closed {
    /// By the M core.
    ByCore,
    /// The trace had ended and the M core took the end, or says nothing.
    Quiet,
}

/// Serves one connection.
fn serve(feed: &mut Feed, stream: &mut UnixStream, clock: Instant, report: &mut Report) -> std::io::Result<Closed> {
    let mut bytes = [0; READ_BYTES];
    loop {
        while let Some(frame) = feed.poll(micros(clock)) {
            stream.write_all(&frame)?;
        }
        let due = feed.due_us().map(|due_us| Duration::from_micros(due_us.saturating_sub(micros(clock))));
        let ended = feed.ended();
        // A timeout of zero would mean "for ever" to the system.
        let timeout = if ended { Some(END_QUIET) } else { due.map(|due| due.max(Duration::from_micros(1))) };
        stream.set_read_timeout(timeout)?;
        let read = match stream.read(&mut bytes) {
            Ok(0) => return Ok(Closed::ByCore),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if ended {
                    return Ok(Closed::Quiet);
                }
                0
            }
            Err(error) => return Err(error),
        };
        let now_us = micros(clock);
        for byte in bytes.get(..read).unwrap_or_default() {
            if *byte == CREDIT && ended {
                // It asks for what comes after the end: it has taken the end.
                return Ok(Closed::Quiet);
            } else if *byte == CREDIT {
                feed.credit(now_us);
            } else {
                report.stray_bytes += 1;
            }
        }
    }
}
