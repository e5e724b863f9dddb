//! Why the process cannot start or go on.

use std::io;
use std::path::PathBuf;

use coracle_board_api::log_ring::RingError;
use coracle_boards::BoardError;
use coracle_shmem::OutOfRegion;
use nix::errno::Errno;

/// Why the M core cannot start or go on. The text names the path and says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostError {
    /// The built-in board description is broken.
    #[error("the built-in board `host`: {0}; this build is broken, build it again from a clean tree")]
    Board(#[from] BoardError),
    /// A file or directory of the run directory cannot be used.
    #[error("{}: {source}; give --run-dir a directory that you may write to", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process is the M core of this run directory.
    #[error("{} is held by another M core; end that process first, or give another --run-dir", path.display())]
    Running {
        /// The lock file.
        path: PathBuf,
    },
    /// A socket cannot listen or accept.
    #[error("socket {}: {source}; give --run-dir a directory on a local file system, with a path below 90 bytes", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log ring cannot be set up.
    #[error("{0}")]
    Log(#[from] RingError),
    /// A region lies outside the shared memory.
    #[error("boards/host.toml does not fit its memory: {0}; build both cores from the same board file")]
    Layout(#[from] OutOfRegion),
    /// A system call failed that does not fail on a healthy system.
    #[error("{call}: {source}; the system is out of resources or restricts this process")]
    System {
        /// The call.
        call: &'static str,
        /// What the system said.
        source: Errno,
    },
}
