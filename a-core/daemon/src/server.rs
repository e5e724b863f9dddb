//! The socket: threads that carry lines between clients and the owner. They know no logic.
//!
//! Every connection has a bounded queue of lines to write; a client that does not read loses events, is told how many,
//! and holds nobody up.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use coracle_api::{Event, LINE_BYTES_MAX, Reply, Request, What};
use coracle_platform::WakeHandle;

/// Most clients at once.
const CLIENTS_MAX: usize = 32;
/// How often a connection's writer looks whether its reader ended.
const GONE_POLL: Duration = Duration::from_secs(1);
/// Lines that may wait for a client.
const LINES_MAX: usize = 8192;

/// What a client thread tells the owner.
#[derive(Debug)]
pub(crate) enum FromClient {
    /// A request, and where its reply goes.
    Request(Request, Client),
}

/// The owner's end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    lines: SyncSender<String>,
    missed: u64,
}

impl Client {
    /// Sends a reply; a client that is gone does not miss it.
    pub(crate) fn reply(&self, reply: &Reply) {
        if let Ok(line) = serde_json::to_string(reply) {
            let _ = self.lines.try_send(line);
        }
    }

    /// Sends an event. Returns whether the client is still there.
    pub(crate) fn event(&mut self, event: &Event) -> bool {
        if self.missed > 0 {
            let what = What::Missed { count: self.missed };
            if !self.put(&Event { number: event.number, time_us: None, clock: event.clock, what }) {
                return false;
            }
        }
        self.put(event)
    }

    fn put(&mut self, event: &Event) -> bool {
        let Ok(line) = serde_json::to_string(event) else { return true };
        match self.lines.try_send(line) {
            Ok(()) => {
                if matches!(event.what, What::Missed { .. }) {
                    self.missed = 0;
                }
                true
            }
            Err(TrySendError::Full(_)) => {
                self.missed += 1;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

/// Starts to listen at `path`, replacing a socket that nobody listens on any more.
///
/// # Errors
/// When another daemon listens there, or the socket cannot be made.
pub(crate) fn listen(path: &Path, wake: WakeHandle) -> Result<Receiver<FromClient>> {
    if UnixStream::connect(path).is_ok() {
        anyhow::bail!("another coracled serves {}: stop it first", path.display());
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("cannot replace {}", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
    let (sender, receiver) = channel();
    let clients = Arc::new(AtomicUsize::new(0));
    thread::Builder::new()
        .name("listen".into())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                if clients.fetch_add(1, Ordering::Relaxed) >= CLIENTS_MAX {
                    clients.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let (sender, wake) = (sender.clone(), wake.clone());
                let (clients, slot) = (Arc::clone(&clients), Arc::clone(&clients));
                let spawned = thread::Builder::new().name("client".into()).spawn(move || {
                    // A broken connection concerns nobody else.
                    let _ = serve(&stream, &sender, &wake);
                    clients.fetch_sub(1, Ordering::Relaxed);
                });
                if spawned.is_err() {
                    slot.fetch_sub(1, Ordering::Relaxed);
                }
            }
        })
        .context("cannot start a thread")?;
    Ok(receiver)
}

/// Reads requests until the connection ends; a second thread writes what the owner sends.
fn serve(stream: &UnixStream, sender: &Sender<FromClient>, wake: &WakeHandle) -> io::Result<()> {
    let (lines, queue) = sync_channel::<String>(LINES_MAX);
    let mut out = stream.try_clone()?;
    let gone = Arc::new(AtomicBool::new(false));
    let writer_gone = Arc::clone(&gone);
    let writer = thread::Builder::new().name("client-out".into()).spawn(move || {
        loop {
            match queue.recv_timeout(GONE_POLL) {
                Ok(mut line) => {
                    line.push('\n');
                    if out.write_all(line.as_bytes()).is_err() {
                        return;
                    }
                }
                // The owner may hold its end for long after the client went.
                Err(RecvTimeoutError::Timeout) if !writer_gone.load(Ordering::Relaxed) => {}
                Err(_) => return,
            }
        }
    })?;
    let client = Client { lines, missed: 0 };
    let mut reader = BufReader::new(stream);
    let mut subscribed = false;
    loop {
        let mut line = String::new();
        let read = (&mut reader).take(LINE_BYTES_MAX as u64).read_line(&mut line);
        match read {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        if subscribed {
            // The connection carries events only; reading goes on to notice its end.
            continue;
        }
        match serde_json::from_str::<Request>(&line) {
            Ok(request) => {
                subscribed = request == Request::Events;
                if sender.send(FromClient::Request(request, client.clone())).is_err() {
                    break;
                }
                wake.wake();
            }
            Err(error) => client.reply(&Reply::Error { message: format!("not a request: {error}") }),
        }
    }
    drop(client);
    gone.store(true, Ordering::Relaxed);
    let _ = writer.join();
    Ok(())
}
