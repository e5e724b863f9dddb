//! The M side: the supervisor with a board made of queues.

use std::collections::VecDeque;

use coracle_board_api::sensor_wire::Block;
use coracle_board_api::{Budget, Clock, Doorbell, SharedLayout};
use coracle_guest_abi::Errno;
use coracle_m_supervisor::{Activity, Core};
use coracle_shmem::Region;

/// Microseconds between two blocks on the sensor's clock.
const BLOCK_US: u64 = 42_667;

/// The sensor. It outlives both cores.
#[derive(Debug, Clone)]
pub struct Sensor {
    /// Blocks in the trace.
    pub blocks: u32,
    /// Blocks given so far.
    pub given: u32,
    /// M asked for one.
    pub asked: bool,
    /// M was told that the trace ended, since it last asked.
    pub ended: bool,
}

impl Sensor {
    /// The answer to a request.
    pub fn give(&mut self) -> Block {
        self.asked = false;
        let time_us = u64::from(self.given) * BLOCK_US;
        if self.given == self.blocks {
            self.ended = true;
            return Block::end(self.given, time_us, 12_000, 0);
        }
        let samples: Vec<i16> =
            (0..600_u32).take(512).map(|i| ((self.given * 31 + i * 7) % 1999) as i16 - 999).collect();
        self.given += 1;
        Block::new(self.given - 1, time_us, 12_000, 0, &samples).unwrap()
    }
}

#[derive(Debug, Default)]
struct Board {
    now_us: u64,
    bells_in: VecDeque<u8>,
    bells_out: Vec<u8>,
    asked: bool,
    ready: Option<Block>,
    taken: Option<Block>,
}

impl Doorbell for Board {
    fn ring(&mut self, id: u8) {
        self.bells_out.push(id);
    }

    fn take(&mut self) -> Option<u8> {
        self.bells_in.pop_front()
    }
}

impl Clock for Board {
    fn now_us(&self) -> u64 {
        self.now_us
    }
}

impl coracle_board_api::Sensor for Board {
    fn request(&mut self) -> bool {
        self.asked = true;
        true
    }

    fn take(&mut self) -> Option<&Block> {
        self.taken = self.ready.take();
        self.taken.as_ref()
    }
}

/// A light that can be read back, a part on a bus that gives what it got, and the sensor's description.
#[derive(Debug, Default)]
pub struct Devices {
    /// The light.
    pub led: bool,
}

impl coracle_device::Devices for Devices {
    fn pin_read(&mut self, label: &str) -> Result<bool, Errno> {
        if label == "led" { Ok(self.led) } else { Err(Errno::NoEntry) }
    }

    fn pin_write(&mut self, label: &str, high: bool) -> Result<(), Errno> {
        self.pin_read(label)?;
        self.led = high;
        Ok(())
    }

    fn i2c(&mut self, bus: &str, address: u8, write: &[u8], read: &mut [u8]) -> Result<(), Errno> {
        match (bus, address) {
            ("i2c0", 0x48) => {
                for (to, from) in read.iter_mut().zip(write) {
                    *to = *from;
                }
                Ok(())
            }
            ("i2c0", _) => Err(Errno::NoDevice),
            _ => Err(Errno::NoEntry),
        }
    }
}

/// A running M core.
pub struct MSide<'m> {
    /// The core.
    pub core: Core<'m>,
    /// Its devices.
    pub devices: Devices,
    board: Board,
    activity: Activity,
    booted_us: u64,
    /// Turns that the core was given.
    pub turns: u64,
}

impl<'m> MSide<'m> {
    /// Boots.
    #[must_use]
    pub fn boot(region: Region<'m>, layout: &SharedLayout, budget: Budget, now_us: u64) -> Self {
        let core = Core::new(region, layout, budget, None).unwrap();
        Self {
            core,
            devices: Devices::default(),
            board: Board::default(),
            activity: Activity::Busy,
            booted_us: now_us,
            turns: 0,
        }
    }

    /// Whether a real core would be awake now.
    #[must_use]
    pub fn is_due(&self, now_us: u64) -> bool {
        !self.board.bells_in.is_empty()
            || self.board.ready.is_some()
            || match self.activity {
                Activity::Busy => true,
                Activity::Idle { deadline_us } => deadline_us.is_some_and(|d| d + self.booted_us <= now_us),
            }
    }

    /// When it wakes by itself.
    #[must_use]
    pub fn deadline_us(&self) -> Option<u64> {
        match self.activity {
            Activity::Busy => Some(0),
            Activity::Idle { deadline_us } => deadline_us.map(|d| d + self.booted_us),
        }
    }

    /// One turn. Returns the bells that it rang.
    pub fn turn(&mut self, now_us: u64, sensor: &mut Sensor) -> Vec<u8> {
        self.turns += 1;
        // A core's clock starts with the core.
        self.board.now_us = now_us - self.booted_us;
        self.activity = self.core.run_once(&mut self.board, &mut self.devices).unwrap();
        if std::mem::take(&mut self.board.asked) {
            sensor.asked = true;
        }
        std::mem::take(&mut self.board.bells_out)
    }

    /// A bell arrives.
    pub fn bell(&mut self, id: u8) {
        self.board.bells_in.push_back(id);
    }

    /// A block arrives.
    pub fn block(&mut self, block: Block) {
        self.board.ready = Some(block);
    }

    /// Whether a block waits to be taken.
    #[must_use]
    pub fn has_block(&self) -> bool {
        self.board.ready.is_some()
    }
}
