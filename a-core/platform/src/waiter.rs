//! Where the daemon's owner waits: the channel to M, requests of clients (an eventfd), and signals, in one poll.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::transport::Readiness;

/// What is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready {
    /// The channel to M wants to be polled.
    pub channel: bool,
    /// A client wants something.
    pub client: bool,
    /// SIGTERM or SIGINT: end.
    pub end: bool,
}

/// Wakes the waiter from another thread.
#[derive(Debug, Clone)]
pub struct WakeHandle(Arc<EventFd>);

impl WakeHandle {
    /// Wakes it; never blocks.
    pub fn wake(&self) {
        // The counter is full only when it is far from zero: the waiter wakes all the same.
        let _ = self.0.write(1);
    }
}

/// The poll set. Signals are blocked for the calling thread and those that it starts.
#[derive(Debug)]
pub struct Waiter {
    clients: Arc<EventFd>,
    signals: SignalFd,
}

impl Waiter {
    /// Sets up eventfd and signalfd. Call it before any thread is started.
    ///
    /// # Errors
    /// What the system said.
    pub fn new() -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let clients = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Self { clients: Arc::new(clients), signals })
    }

    /// A handle for threads that have something for the owner.
    #[must_use]
    pub fn handle(&self) -> WakeHandle {
        WakeHandle(Arc::clone(&self.clients))
    }

    /// Waits for the channel to M, a client, a signal, one of the `others` to become readable, or the time.
    ///
    /// # Errors
    /// What `poll` said.
    pub fn wait<'f>(
        &mut self,
        channel: Option<Readiness<'f>>,
        others: impl Iterator<Item = BorrowedFd<'f>>,
        wait_us: Option<u64>,
    ) -> io::Result<Ready> {
        let timeout = match wait_us {
            None => PollTimeout::NONE,
            Some(us) => PollTimeout::try_from(us.div_ceil(1000)).unwrap_or(PollTimeout::MAX),
        };
        let mut fds = vec![
            PollFd::new(self.clients.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
        ];
        let has_channel = channel.is_some();
        if let Some(Readiness { fd, write }) = channel {
            let room = if write { PollFlags::POLLOUT } else { PollFlags::empty() };
            fds.push(PollFd::new(fd, PollFlags::POLLIN | room));
        }
        fds.extend(others.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let any = |i: usize| fds.get(i).and_then(PollFd::any).unwrap_or(false);
        let ready = Ready { client: any(0), end: any(1), channel: has_channel && any(2) };
        if ready.client {
            let _ = self.clients.read();
        }
        if ready.end {
            let _ = self.signals.read_signal();
        }
        Ok(ready)
    }
}
