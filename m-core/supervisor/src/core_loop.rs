//! Joins port, supervisor and board: the body of every M core's main loop.

use coracle_board_api::{Budget, Clock, Doorbell, Sensor, SharedLayout};
use coracle_device::Devices;
use coracle_lifecycle::State;
use coracle_link::Credit;
use coracle_rpmsg::PAYLOAD_BYTES_MAX;
use coracle_shmem::{OutOfRegion, Region, acquire_barrier};

use crate::port::{Port, PortEvent};
use crate::supervisor::{Memories, Supervisor};

/// How long the sensor is left alone after it said that its trace ended, in microseconds. It answers at once, so asking
/// at once would keep both busy for ever.
const ENDED_US: u64 = 1_000_000;

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
    /// Not before this time, on the board's clock in microseconds, is the sensor asked.
    ask_us: u64,
}

impl<'m> Core<'m> {
    /// Boots: writes the resource table and waits for A. `loaded_table` is the memory of the resource table in the firmware's
    /// own image, when a kernel may have loaded that.
    ///
    /// # Errors
    /// [`OutOfRegion`] when the layout does not fit the shared memory: the board description is wrong.
    pub fn new(
        shared: Region<'m>,
        layout: &SharedLayout,
        budget: Budget,
        loaded_table: Option<Region<'m>>,
    ) -> Result<Self, OutOfRegion> {
        let sub = |span: coracle_board_api::Span| shared.sub(span.offset as usize, span.bytes as usize);
        let memories = Memories {
            bulk_to_m: sub(layout.bulk_to_m)?,
            bulk_to_a: sub(layout.bulk_to_a)?,
            retained: sub(layout.retained)?,
        };
        let port = Port::new(shared, layout, loaded_table)?;
        let supervisor = Supervisor::new(memories, budget, port.boot_id(), Credit::for_buffers(layout.vring_num));
        Ok(Self { port, supervisor, asked: false, ask_us: 0 })
    }

    /// The containers that this core knows and their states here, for whoever watches it.
    pub fn containers(&self) -> impl Iterator<Item = (&str, State)> {
        self.supervisor.containers()
    }

    /// One bounded turn: takes what arrived, runs at most one slice, sends what there is to send.
    ///
    /// # Errors
    /// [`OutOfRegion`] never, for a layout that [`Core::new`] accepted.
    pub fn run_once(
        &mut self,
        board: &mut (impl Doorbell + Clock + Sensor),
        devices: &mut impl Devices,
    ) -> Result<Activity, OutOfRegion> {
        let now_us = board.now_us();
        // The number only says where to look, and both rings are looked at anyway.
        while Doorbell::take(board).is_some() {}
        // What A did before it rang is seen from here on, also on a core that does not execute in order.
        acquire_barrier();
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        let mut arrived = true;
        match self.port.poll(&mut payload)? {
            PortEvent::Idle => arrived = false,
            PortEvent::Reset => self.supervisor.rings_reset(),
            // The time is read again: M must not claim to have had a question before A asked it.
            PortEvent::Frame(len) => self.supervisor.frame(payload.get(..len).unwrap_or_default(), board.now_us()),
        }
        self.supervisor.set_blocked(self.port.is_blocked());
        if let Some(block) = Sensor::take(board) {
            self.asked = false;
            self.ask_us = if block.end { now_us.saturating_add(ENDED_US) } else { 0 };
            self.supervisor.sensor_block(block);
        }
        self.supervisor.step(now_us, devices);
        self.supervisor.send_out(board.now_us());
        let mut sent = false;
        while let Some(frame) = self.supervisor.take_frame() {
            self.port.send(frame);
            sent = true;
        }
        while let Some(id) = self.port.take_kick() {
            board.ring(id);
        }
        let wants_block = !self.asked && self.supervisor.wants_block();
        if wants_block && now_us >= self.ask_us {
            self.asked = board.request();
        }
        // What was held back while frames waited goes out in the next turn.
        if arrived || sent || self.supervisor.has_work() {
            return Ok(Activity::Busy);
        }
        // A request that could not be sent is no reason to wake: the board wakes the core when its line is there.
        let ask_us = (wants_block && now_us < self.ask_us).then_some(self.ask_us);
        Ok(Activity::Idle {
            deadline_us: [self.supervisor.deadline_us(), ask_us, devices.deadline_us()].into_iter().flatten().min(),
        })
    }
}
