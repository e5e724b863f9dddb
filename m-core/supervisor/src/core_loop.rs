//! Joins port, supervisor and board: the body of every M core's main loop.

use coracle_board_api::{Budget, Clock, Doorbell, Sensor, SharedLayout};
use coracle_lifecycle::State;
use coracle_rpmsg::PAYLOAD_BYTES_MAX;
use coracle_shmem::{OutOfRegion, Region};

use crate::port::{Port, PortEvent};
use crate::supervisor::{Memories, Supervisor};

/// Whether the core may sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Activity {
    /// Call again at once.
    Busy,
    /// Nothing to do until something arrives, or until the deadline in microseconds.
    Idle {
        /// On the board's clock.
        deadline_us: Option<u64>,
    },
}

/// An M core without its board.
pub struct Core<'m> {
    port: Port<'m>,
    supervisor: Supervisor<'m>,
    /// A block was asked for and has not come.
    asked: bool,
}

impl<'m> Core<'m> {
    /// Boots: writes the resource table and waits for A.
    ///
    /// # Errors
    /// [`OutOfRegion`] when the layout does not fit the shared memory: the board description is wrong.
    pub fn new(shared: Region<'m>, layout: &SharedLayout, budget: Budget) -> Result<Self, OutOfRegion> {
        let sub = |span: coracle_board_api::Span| shared.sub(span.offset as usize, span.bytes as usize);
        let memories = Memories {
            bulk_to_m: sub(layout.bulk_to_m)?,
            bulk_to_a: sub(layout.bulk_to_a)?,
            retained: sub(layout.retained)?,
        };
        let port = Port::new(shared, layout)?;
        let supervisor = Supervisor::new(memories, budget, port.boot_id());
        Ok(Self { port, supervisor, asked: false })
    }

    /// The containers that this core knows and their states here, for whoever watches it.
    pub fn containers(&self) -> impl Iterator<Item = (&str, State)> {
        self.supervisor.containers()
    }

    /// One bounded turn: takes what arrived, runs at most one slice, sends what there is to send.
    ///
    /// # Errors
    /// [`OutOfRegion`] never, for a layout that [`Core::new`] accepted.
    pub fn run_once(&mut self, board: &mut (impl Doorbell + Clock + Sensor)) -> Result<Activity, OutOfRegion> {
        let now_us = board.now_us();
        // The number only says where to look, and both rings are looked at anyway.
        while Doorbell::take(board).is_some() {}
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        let mut arrived = true;
        match self.port.poll(&mut payload)? {
            PortEvent::Idle => arrived = false,
            PortEvent::Reset => self.supervisor.rings_reset(),
            PortEvent::Frame(len) => self.supervisor.frame(payload.get(..len).unwrap_or_default(), now_us),
        }
        self.supervisor.set_blocked(self.port.is_blocked());
        if let Some(block) = Sensor::take(board) {
            self.asked = false;
            self.supervisor.sensor_block(block);
        }
        self.supervisor.step(now_us);
        let mut sent = false;
        while let Some(frame) = self.supervisor.take_frame() {
            self.port.send(frame);
            sent = true;
        }
        while let Some(id) = self.port.take_kick() {
            board.ring(id);
        }
        if !self.asked && self.supervisor.wants_block() {
            self.asked = board.request();
        }
        // What was held back while frames waited goes out in the next turn.
        if arrived || sent || self.supervisor.has_work() {
            return Ok(Activity::Busy);
        }
        Ok(Activity::Idle { deadline_us: self.supervisor.deadline_us() })
    }
}
