//! The peripherals of this board: doorbell and sensor are Unix sockets, the clock is the system's.
//!
//! One thread, no socket that blocks. All reading happens in [`HostBoard::wait`], one piece a socket and call, so that
//! no peer can keep a turn of the supervisor from ending.

use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use coracle_board_api::sensor_wire::{Block, FRAME_BYTES_MAX, SensorLink};
use coracle_board_api::{BytePort, Clock, Doorbell, Sensor, debug};
use coracle_m_supervisor::Activity;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;

use crate::error::HostError;

/// The doorbell's socket.
const DOORBELL_SOCKET: &str = "doorbell.sock";
/// The sensor's socket.
const SENSOR_SOCKET: &str = "sensor.sock";
/// Bells read at once, in bytes.
const BELLS_READ_BYTES: usize = 64;

/// The board.
pub(crate) struct HostBoard {
    clock: Instant,
    signals: SignalFd,
    bell_listener: Listener,
    bells: Bells,
    sensor_listener: Listener,
    sensor: SensorLink<SensorPort>,
    /// A block was asked for and has not come.
    asked: bool,
}

impl HostBoard {
    /// Listens on both sockets in `dir`; what an earlier life left there is replaced. The clock counts from `clock`.
    ///
    /// # Errors
    /// [`HostError::Socket`] or [`HostError::System`].
    pub(crate) fn open(dir: &Path, clock: Instant) -> Result<Self, HostError> {
        let failed = |call| move |source| HostError::System { call, source };
        let mut ends = SigSet::empty();
        ends.add(Signal::SIGTERM);
        ends.add(Signal::SIGINT);
        ends.thread_block().map_err(failed("pthread_sigmask"))?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self {
            clock,
            signals: SignalFd::with_flags(&ends, flags).map_err(failed("signalfd"))?,
            bell_listener: Listener::bind(dir.join(DOORBELL_SOCKET))?,
            bells: Bells::default(),
            sensor_listener: Listener::bind(dir.join(SENSOR_SOCKET))?,
            sensor: SensorLink::new(SensorPort::default()),
            asked: false,
        })
    }

    /// Takes input in, and waits for it if the supervisor is idle. Returns whether a signal asked the process to end.
    ///
    /// May return without a reason.
    ///
    /// # Errors
    /// [`HostError::System`] or [`HostError::Socket`].
    pub(crate) fn wait(&mut self, activity: Activity) -> Result<bool, HostError> {
        // A turn takes all bells, but only one block: more than that may be here already.
        let timeout = if self.sensor.port_mut().has_input() {
            Some(Duration::ZERO)
        } else {
            match activity {
                Activity::Busy => Some(Duration::ZERO),
                Activity::Idle { deadline_us } => {
                    deadline_us.map(|deadline| Duration::from_micros(deadline.saturating_sub(self.now_us())))
                }
            }
        };
        let ready = match self.poll(timeout) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => return Ok(false),
            Err(source) => return Err(HostError::System { call: "ppoll", source }),
        };
        if ready.signal && self.signals.read_signal().is_ok_and(|signal| signal.is_some()) {
            return Ok(true);
        }
        if ready.bells {
            self.bells.read();
            self.bells.flush();
        }
        if ready.sensor {
            self.sensor.port_mut().read();
        }
        if ready.bell_listener
            && let Some(stream) = self.bell_listener.accept()?
        {
            debug!("A core connected");
            self.bells.connect(stream);
        }
        if ready.sensor_listener
            && let Some(stream) = self.sensor_listener.accept()?
        {
            debug!("sensor connected");
            // With a new decoder: half a frame of the old connection would swallow the first of this one.
            self.sensor = SensorLink::new(SensorPort::new(stream));
            if self.asked {
                // The old connection took the request along. A connection that cannot take it now is no connection.
                let _ = self.sensor.request();
            }
        }
        Ok(false)
    }

    fn poll(&mut self, timeout: Option<Duration>) -> Result<Ready, Errno> {
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.bell_listener.socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.sensor_listener.socket.as_fd(), PollFlags::POLLIN),
        ];
        let bells_at = self.bells.stream.as_ref().map(|stream| {
            let mut flags = PollFlags::POLLIN;
            flags.set(PollFlags::POLLOUT, !self.bells.outgoing.is_empty());
            fds.push(PollFd::new(stream.as_fd(), flags));
            fds.len() - 1
        });
        // Bytes that the supervisor has not taken yet stay in front of those of the socket.
        let port = self.sensor.port_mut();
        let sensor_at = port.stream.as_ref().filter(|_| !port.has_input()).map(|stream| {
            fds.push(PollFd::new(stream.as_fd(), PollFlags::POLLIN));
            fds.len() - 1
        });
        ppoll(&mut fds, timeout.map(TimeSpec::from), None)?;
        // Hang-ups and errors count: reading finds out which it is.
        let is_ready = |at: usize| fds.get(at).is_some_and(|fd| fd.any() != Some(false));
        Ok(Ready {
            signal: is_ready(0),
            bell_listener: is_ready(1),
            sensor_listener: is_ready(2),
            bells: bells_at.is_some_and(is_ready),
            sensor: sensor_at.is_some_and(is_ready),
        })
    }
}

/// Where there is something to do.
struct Ready {
    signal: bool,
    bell_listener: bool,
    sensor_listener: bool,
    bells: bool,
    sensor: bool,
}

impl Doorbell for HostBoard {
    fn ring(&mut self, id: u8) {
        self.bells.ring(id);
    }

    fn take(&mut self) -> Option<u8> {
        self.bells.incoming.pop()
    }
}

impl Clock for HostBoard {
    fn now_us(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Sensor for HostBoard {
    fn request(&mut self) -> bool {
        self.asked = self.sensor.request();
        self.asked
    }

    fn take(&mut self) -> Option<&Block> {
        let block = self.sensor.take();
        self.asked &= block.is_none();
        block
    }
}

/// A socket that listens. Its file goes when it does, unless the process is killed.
struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    fn bind(path: PathBuf) -> Result<Self, HostError> {
        // What lies there is of an earlier life, for this one holds the lock of the directory.
        let removed = match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let socket = removed.and_then(|()| UnixListener::bind(&path)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => Ok(Self { socket, path }),
            Err(source) => Err(HostError::Socket { path, source }),
        }
    }

    /// A new connection, if there is one.
    fn accept(&self) -> Result<Option<UnixStream>, HostError> {
        let accepted = self.socket.accept().and_then(|(stream, _)| {
            stream.set_nonblocking(true)?;
            Ok(stream)
        });
        match accepted {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if is_transient(&error) || error.kind() == ErrorKind::ConnectionAborted => Ok(None),
            Err(source) => Err(HostError::Socket { path: self.path.clone(), source }),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Nothing depends on it: whoever finds a stale socket cannot connect to it, and the next life replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The doorbell's line. Bells of the same number merge, which bounds both lists to one entry a number.
#[derive(Default)]
struct Bells {
    stream: Option<UnixStream>,
    incoming: Vec<u8>,
    /// Rung, and not on the line yet. Kept while A is away: it then looks as soon as it connects.
    outgoing: Vec<u8>,
}

impl Bells {
    /// A connected (again): only the newest connection counts.
    fn connect(&mut self, stream: UnixStream) {
        self.stream = Some(stream);
        self.flush();
    }

    fn ring(&mut self, id: u8) {
        if !self.outgoing.contains(&id) {
            self.outgoing.push(id);
        }
        self.flush();
    }

    fn flush(&mut self) {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.outgoing.is_empty()) else { return };
        match stream.write(&self.outgoing) {
            Ok(written) => drop(self.outgoing.drain(..written.min(self.outgoing.len()))),
            Err(error) if is_transient(&error) => {}
            Err(_) => self.disconnect(),
        }
    }

    fn read(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let mut bytes = [0; BELLS_READ_BYTES];
        match stream.read(&mut bytes) {
            Ok(0) => self.disconnect(),
            Ok(read) => {
                for id in bytes.iter().take(read) {
                    if !self.incoming.contains(id) {
                        self.incoming.push(*id);
                    }
                }
            }
            Err(error) if is_transient(&error) => {}
            Err(_) => self.disconnect(),
        }
    }

    fn disconnect(&mut self) {
        debug!("A core disconnected");
        self.stream = None;
    }
}

/// The sensor's line.
struct SensorPort {
    stream: Option<UnixStream>,
    bytes: [u8; FRAME_BYTES_MAX],
    /// The bytes that were read and not taken yet.
    unread: std::ops::Range<usize>,
}

impl Default for SensorPort {
    fn default() -> Self {
        Self { stream: None, bytes: [0; FRAME_BYTES_MAX], unread: 0..0 }
    }
}

impl SensorPort {
    fn new(stream: UnixStream) -> Self {
        Self { stream: Some(stream), ..Self::default() }
    }

    fn has_input(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Reads what there is, once all that was read before is taken.
    fn read(&mut self) {
        let Some(stream) = self.stream.as_mut().filter(|_| self.unread.is_empty()) else { return };
        match stream.read(&mut self.bytes) {
            Ok(0) => self.disconnect(),
            Ok(read) => self.unread = 0..read,
            Err(error) if is_transient(&error) => {}
            Err(_) => self.disconnect(),
        }
    }

    fn disconnect(&mut self) {
        debug!("sensor disconnected");
        self.stream = None;
    }
}

impl BytePort for SensorPort {
    fn send(&mut self, byte: u8) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        match stream.write(&[byte]) {
            Ok(written) => written == 1,
            Err(error) if is_transient(&error) => false,
            Err(_) => {
                self.disconnect();
                false
            }
        }
    }

    fn receive(&mut self) -> Option<u8> {
        self.bytes.get(self.unread.next()?).copied()
    }
    fn expect(&mut self, _bytes: usize) {
        // A sensor's write mostly arrives as a whole, so there is nothing to save.
    }
}
