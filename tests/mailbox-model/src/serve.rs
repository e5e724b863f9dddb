//! The model's thin shell: reads the words, carries out the steps.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use coracle_shmem::{OutOfRegion, Region, full_barrier};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::{TimeSpec, TimeValLike as _};
use serde::{Deserialize, Serialize};

use crate::model::{Interrupt, Model, Seen, Step};
use crate::qmp::Qmp;
use crate::qtest::QTest;
use crate::registers::{CONTROL, MASK};

/// Inputs of the A core's interrupt controller, as the device tree has them (shared peripheral interrupts).
pub const RX_OCCUPIED_SPI: u32 = 180;
/// As [`RX_OCCUPIED_SPI`], for the other line.
pub const TX_FREE_SPI: u32 = 181;
/// The A core's interrupt controller, as the emulator calls it.
const INTERRUPT_CONTROLLER: &str = "arm_gic";
/// Time between two looks at the words, in microseconds: nothing announces their changes.
const LOOK_US: i64 = 100;
/// Bells taken at once.
const BELLS_MAX: usize = 64;

/// The two emulators.
#[derive(Debug)]
pub struct Sockets {
    /// The M core's doorbell: one byte = one virtqueue, both ways.
    pub doorbell: UnixStream,
    /// Control of the M core's emulator.
    pub m_control: UnixStream,
    /// Control of the A core's emulator.
    pub a_control: UnixStream,
    /// The A core's interrupts.
    pub a_interrupts: UnixStream,
}

/// Why the mailbox stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The M core's emulator went away or refused.
    #[error("the M core's emulator: {0}")]
    MCore(#[source] io::Error),
    /// The A core's emulator went away or refused.
    #[error("the A core's emulator: {0}")]
    ACore(#[source] io::Error),
    /// Waiting failed.
    #[error("waiting for the emulators: {0}")]
    Wait(#[from] nix::Error),
    /// The shared memory ends before the registers.
    #[error("the shared memory ends before its register pages: {0:?}")]
    Memory(OutOfRegion),
}

impl From<OutOfRegion> for ServeError {
    fn from(error: OutOfRegion) -> Self {
        Self::Memory(error)
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Bells rung at the M core.
    pub to_m: u64,
    /// Interrupts of the A core, both lines.
    pub to_a: u64,
    /// Bells from the M core, by virtqueue. Those of the second say that M returned buffers to a driver that waits for one.
    pub from_m: [u64; 2],
    /// Resets of the M core.
    pub resets: u64,
    /// Bytes from the M core that are no virtqueue's bell.
    pub ignored: u64,
}

/// Serves until the A core's emulator ends.
///
/// # Errors
/// [`ServeError`]; the M core's emulator must outlive the A core's.
pub fn serve(shared: &Region<'_>, sockets: Sockets) -> Result<Summary, ServeError> {
    let Sockets { mut doorbell, m_control, a_control, a_interrupts } = sockets;
    let mut m_control = Qmp::new(m_control).map_err(ServeError::MCore)?;
    let controller =
        Qmp::new(a_control).and_then(|mut control| control.device(INTERRUPT_CONTROLLER)).map_err(ServeError::ACore)?;
    let mut interrupts = QTest::new(a_interrupts);
    let mut model = Model::new();
    let mut summary = Summary::default();
    let clock = Instant::now();
    loop {
        let mut wait = [
            PollFd::new(doorbell.as_fd(), PollFlags::POLLIN),
            // Says nothing unasked, so it is readable only when it has ended.
            PollFd::new(interrupts.stream().as_fd(), PollFlags::POLLIN),
        ];
        match ppoll(&mut wait, Some(TimeSpec::microseconds(LOOK_US)), None) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [rung, ended] = wait.map(|fd| fd.any().unwrap_or(false));
        if ended {
            return Ok(summary);
        }
        if rung {
            let mut bells = [0; BELLS_MAX];
            match doorbell.read(&mut bells).map_err(ServeError::MCore)? {
                0 => return Err(ServeError::MCore(ErrorKind::UnexpectedEof.into())),
                read => {
                    for bell in bells.iter().take(read) {
                        model.bell_from_m(*bell);
                        match summary.from_m.get_mut(usize::from(*bell)) {
                            Some(count) => *count += 1,
                            None => summary.ignored += 1,
                        }
                    }
                }
            }
        }
        let seen = Seen { control: shared.load_u32(CONTROL as usize)?, mask: shared.load_u32(MASK as usize)? };
        let now_us = u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);
        for step in model.advance(seen, now_us) {
            match step {
                Step::Store { offset, value } => {
                    shared.store_u32(offset as usize, value)?;
                    // Whoever is told by one of the next steps must find the word.
                    full_barrier();
                }
                Step::RingM(id) => {
                    doorbell.write_all(&[id]).map_err(ServeError::MCore)?;
                    summary.to_m += 1;
                }
                Step::Pulse(line) => {
                    let number = match line {
                        Interrupt::RxOccupied => RX_OCCUPIED_SPI,
                        Interrupt::TxFree => TX_FREE_SPI,
                    };
                    match interrupts.pulse(&controller, number) {
                        Ok(()) => summary.to_a += 1,
                        Err(error) if is_gone(&error) => return Ok(summary),
                        Err(error) => return Err(ServeError::ACore(error)),
                    }
                }
                Step::ResetM => {
                    m_control.reset().map_err(ServeError::MCore)?;
                    summary.resets += 1;
                }
            }
        }
    }
}

/// Whether an error means that the emulator has ended.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}
