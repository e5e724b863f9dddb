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

/// Plays the whole trace. Returns when the M core has taken the end, or is gone for good after it was sent.
///
/// # Errors
/// When the M core does not appear within [`CONNECT_TIMEOUT`], at the start or after a reset.
pub fn run(feed: &mut Feed, path: &Path) -> Result<Report, SocketError> {
    let clock = Instant::now();
    let mut report = Report::default();
    while !feed.finished() {
        let waited = if feed.ended() { CONNECT_TIMEOUT_AFTER_END } else { CONNECT_TIMEOUT };
        let mut stream = match connect(path, waited) {
            Ok(stream) => stream,
            Err(_) if feed.ended() => break,
            Err(source) => return Err(SocketError::Connect { path: path.to_owned(), waited, source }),
        };
        stream
            .set_write_timeout(Some(WRITE_TIMEOUT))
            .map_err(|source| SocketError::Configure { path: path.to_owned(), source })?;
        report.connections += 1;
        feed.connected(micros(clock));
        // Whatever ends a connection is answered by the next one.
        let _ = serve(feed, &mut stream, clock, &mut report);
        if !feed.finished() {
            feed.disconnected();
        }
    }
    Ok(report)
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

/// Serves one connection until the M core closes it or has taken the end.
fn serve(feed: &mut Feed, stream: &mut UnixStream, clock: Instant, report: &mut Report) -> std::io::Result<()> {
    let mut bytes = [0; READ_BYTES];
    while !feed.finished() {
        while let Some(frame) = feed.poll(micros(clock)) {
            stream.write_all(&frame)?;
        }
        // A timeout of zero would mean "for ever" to the system.
        let until_due = feed.due_us().map(|due| Duration::from_micros(due.saturating_sub(micros(clock)).max(1)));
        stream.set_read_timeout(until_due)?;
        let read = match stream.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                0
            }
            Err(error) => return Err(error),
        };
        let now_us = micros(clock);
        for byte in bytes.get(..read).unwrap_or_default() {
            if *byte == CREDIT {
                feed.credit(now_us);
            } else {
                report.stray_bytes += 1;
            }
        }
    }
    Ok(())
}
