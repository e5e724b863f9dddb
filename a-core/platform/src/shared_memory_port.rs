//! The channel to M on boards where this side drives the rings in user space: [`DriverPort`] and the [`Bell`] together.

use std::os::fd::AsFd;
use std::path::PathBuf;

use coracle_rpmsg::PAYLOAD_BYTES_MAX;

use crate::bell::Bell;
use crate::driver_port::{DriverPort, PortEvent};
use crate::transport::{Readiness, Transport};

/// How long to wait before the doorbell is tried again, in microseconds.
const RECONNECT_US: u64 = 20_000;
/// How often the handshake of the rings is looked at while it is under way, in microseconds.
const HANDSHAKE_US: u64 = 10_000;

/// The rings and their doorbell. The doorbell's line may end and come back: its board is being started again.
#[derive(Debug)]
pub struct SharedMemoryPort<'m> {
    rings: DriverPort<'m>,
    bell: Option<Bell>,
    bell_path: PathBuf,
    /// The line ended, and no poll has said so yet.
    bell_lost: bool,
    /// The rings were empty when they were last looked at.
    idle: bool,
    complaint: Option<String>,
    last_complaint: Option<String>,
}

impl<'m> SharedMemoryPort<'m> {
    /// The channel over `rings`, with the doorbell at `bell`, which need not be there yet.
    #[must_use]
    pub fn new(rings: DriverPort<'m>, bell: PathBuf) -> Self {
        Self { rings, bell: None, bell_path: bell, bell_lost: false, idle: true, complaint: None, last_complaint: None }
    }

    fn lose_bell(&mut self) {
        (self.bell, self.bell_lost) = (None, true);
        self.rings.restart();
    }

    fn ring(&mut self) {
        while let Some(id) = self.rings.take_kick() {
            if self.bell.as_mut().is_some_and(|bell| bell.ring(id).is_err()) {
                self.lose_bell();
            }
        }
    }

    /// The same trouble is met at every poll, and said once.
    fn complain(&mut self, text: String) {
        if self.last_complaint.as_ref() != Some(&text) {
            self.last_complaint = Some(text.clone());
            self.complaint = Some(text);
        }
    }
}

impl Transport for SharedMemoryPort<'_> {
    fn first_nonce(&self) -> u32 {
        self.rings.first_epoch()
    }

    fn poll(&mut self, payload: &mut [u8; PAYLOAD_BYTES_MAX]) -> PortEvent {
        if std::mem::take(&mut self.bell_lost) {
            return PortEvent::Lost("the M core's board ended");
        }
        if self.bell.is_none() {
            // Not there yet, or its launcher is starting it again: tried until it is.
            self.bell = Bell::connect(&self.bell_path).ok();
            self.idle = true;
        }
        // A dead board's table still lies in memory; without its bell there is nobody to shake hands with.
        let Some(bell) = &mut self.bell else { return PortEvent::Idle };
        // Before the rings, so that a bell that rings while they are looked at still ends the wait.
        if self.idle && (bell.take().is_err() || bell.flush().is_err()) {
            self.lose_bell();
            self.bell_lost = false;
            return PortEvent::Lost("the M core's board ended");
        }
        let event = self.rings.poll(payload).unwrap_or_else(|error| {
            self.complain(error.to_string());
            PortEvent::Idle
        });
        self.idle = event == PortEvent::Idle;
        if let Some(complaint) = self.rings.take_complaint() {
            self.complain(complaint.to_string());
        }
        if event == PortEvent::Open {
            self.last_complaint = None;
        }
        self.ring();
        event
    }

    fn send(&mut self, frame: &[u8]) {
        self.rings.send(frame);
    }

    fn flush(&mut self) {
        self.ring();
    }

    fn restart(&mut self) {
        self.rings.restart();
    }

    fn wait_us(&self) -> Option<u64> {
        if self.bell_lost {
            return Some(0);
        }
        if self.bell.is_none() {
            return Some(RECONNECT_US);
        }
        self.rings.is_waiting().then_some(HANDSHAKE_US)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        self.bell.as_ref().map(|bell| Readiness { fd: bell.as_fd(), write: bell.is_blocked() })
    }

    fn take_complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    use coracle_boards::Board;
    use coracle_shmem::HeapRegion;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn poll_once(port: &mut SharedMemoryPort<'_>) -> PortEvent {
        port.poll(&mut [0; PAYLOAD_BYTES_MAX])
    }

    fn is_ready(port: &SharedMemoryPort<'_>) -> bool {
        let readiness = port.readiness().expect("connected");
        let mut fds = [PollFd::new(readiness.fd, PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn the_bell_comes_goes_and_comes_again() {
        let board = Board::builtin("host").unwrap();
        let memory = HeapRegion::new(board.shared.bytes as usize);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("doorbell.sock");
        let mut port = SharedMemoryPort::new(DriverPort::new(memory.region(), &board.shared).unwrap(), path.clone());
        assert_eq!(poll_once(&mut port), PortEvent::Idle);
        assert_eq!((port.wait_us(), port.readiness().is_none()), (Some(RECONNECT_US), true));

        for _ in 0..2 {
            let listener = UnixListener::bind(&path).unwrap();
            assert_eq!(poll_once(&mut port), PortEvent::Idle);
            let (mut m, _) = listener.accept().unwrap();
            assert_eq!(port.wait_us(), Some(HANDSHAKE_US));
            assert!(!is_ready(&port));
            // A bell for nothing is taken, or the owner would never sleep again.
            m.write_all(&[0, 1]).unwrap();
            assert!(is_ready(&port));
            assert_eq!(poll_once(&mut port), PortEvent::Idle);
            assert!(!is_ready(&port));
            drop((m, listener));
            std::fs::remove_file(&path).unwrap();
            assert!(is_ready(&port), "the end of the line wakes the owner");
            assert_eq!(poll_once(&mut port), PortEvent::Lost("the M core's board ended"));
            assert_eq!(poll_once(&mut port), PortEvent::Idle);
            assert_eq!(port.wait_us(), Some(RECONNECT_US));
        }
    }

    #[test]
    fn a_line_that_ends_while_ringing_is_lost_at_the_next_poll() {
        let board = Board::builtin("host").unwrap();
        let memory = HeapRegion::new(board.shared.bytes as usize);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("doorbell.sock");
        let mut port = SharedMemoryPort::new(DriverPort::new(memory.region(), &board.shared).unwrap(), path.clone());
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(poll_once(&mut port), PortEvent::Idle);
        drop(listener);
        port.lose_bell();
        assert_eq!(port.wait_us(), Some(0));
        assert_eq!(poll_once(&mut port), PortEvent::Lost("the M core's board ended"));
        assert_eq!(port.wait_us(), Some(RECONNECT_US));
    }

    #[test]
    fn a_table_that_cannot_be_used_is_said_once() {
        let board = Board::builtin("host").unwrap();
        let memory = HeapRegion::new(board.shared.bytes as usize);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("doorbell.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let table = board.shared.resource_table;
        let region = memory.region().sub(table.offset as usize, table.bytes as usize).unwrap();
        for offset in (0..region.len()).step_by(4) {
            region.store_u32(offset, 0x0BAD_0BAD).unwrap();
        }
        let mut port = SharedMemoryPort::new(DriverPort::new(memory.region(), &board.shared).unwrap(), path);
        let complaints = std::iter::repeat_with(|| {
            assert_eq!(poll_once(&mut port), PortEvent::Idle);
            port.take_complaint()
        });
        assert_eq!(complaints.take(10).flatten().count(), 1);
    }
}
