//! The peripherals of this board and who gets them.

use core::ptr;

use coracle_board_api::sensor_wire::{Block, SensorLink};
use coracle_board_api::{Clock, Doorbell, Reset, ResetReason, Sensor, Sleep};
use coracle_chip_mps2::{Console, Idle, ResetRecord, TimerClock, UartDoorbell, UartLine, request_reset};
use coracle_shmem::Region;
use cortex_m_rt::exception;

use crate::constants::{ALARM, CLOCK, CLOCK_HZ, CONSOLE, DOORBELL, SENSOR, SHARED};
use crate::{heap, logger};

/// How long a sensor may take to answer before it is asked again, in microseconds. A UART cannot tell whether anybody is
/// at the other end: a request that was sent before the sensor connected, or to one that died, is gone.
const ASK_AGAIN_US: u64 = 1_000_000;

// SAFETY: the board file gives the doorbell a UART of its own (the reader refuses two uses of one).
static DOORBELL_UART: UartDoorbell = unsafe { UartDoorbell::new(DOORBELL) };
// SAFETY: as above, for the sensor.
static SENSOR_UART: UartLine = unsafe { UartLine::new(SENSOR) };
// SAFETY: as above, for the two timers.
static TIMER_CLOCK: TimerClock = unsafe { TimerClock::new(CLOCK, ALARM, CLOCK_HZ) };

// In memory that start-up code leaves alone, so that it outlives a reset.
#[unsafe(link_section = ".uninit.reset_record")]
static RESET_RECORD: ResetRecord = ResetRecord::new();

/// What the supervisor is built on.
pub struct Board {
    /// The memory that both cores see, laid out as `constants::SHARED` says. The log region belongs to the logger.
    pub shared: Region<'static>,
    /// The bell to and from the A core.
    pub doorbell: &'static UartDoorbell,
    /// The sensor.
    pub sensor: SensorLink<&'static UartLine>,
    /// Time since start.
    pub clock: &'static TimerClock,
    /// Waiting without work.
    pub idle: Idle,
    /// Why the core started, and how to start it again.
    pub reset: Restart,
    /// When a block was asked for that has not come.
    asked_us: Option<u64>,
}

// The supervisor asks for one value that is all of these; each part stays usable by itself.

impl Doorbell for Board {
    fn ring(&mut self, id: u8) {
        self.doorbell.ring(id);
    }

    fn take(&mut self) -> Option<u8> {
        self.doorbell.take()
    }
}

impl Clock for Board {
    fn now_us(&self) -> u64 {
        self.clock.now_us()
    }
}

impl Sensor for Board {
    fn request(&mut self) -> bool {
        let sent = self.sensor.request();
        if sent {
            self.asked_us = Some(self.clock.now_us());
        }
        sent
    }

    fn take(&mut self) -> Option<&Block> {
        if self.ask_again_us().is_some_and(|at_us| at_us <= self.clock.now_us()) {
            // If the line is busy, the next look tries again.
            let _sent = self.request();
        }
        let block = self.sensor.take();
        if block.is_some() {
            self.asked_us = None;
        }
        block
    }
}

impl Board {
    /// When to ask again for a block that does not come.
    fn ask_again_us(&self) -> Option<u64> {
        self.asked_us.map(|asked_us| asked_us + ASK_AGAIN_US)
    }
}

impl Sleep for Board {
    fn sleep_until(&mut self, deadline_us: Option<u64>) {
        self.idle.sleep_until(deadline_us.into_iter().chain(self.ask_again_us()).min());
    }
}

/// Resets of this chip.
pub struct Restart {
    reason: ResetReason,
}

impl Reset for Restart {
    fn reason(&self) -> ResetReason {
        self.reason
    }

    fn reset(&mut self) -> ! {
        reset(ResetReason::Requested)
    }
}

/// Switches the board on: heap, log, clock, doorbell, sensor line, interrupts. To be called once, first thing in `main`.
#[must_use]
pub fn start() -> Board {
    let reason = RESET_RECORD.take();
    heap::start();
    TIMER_CLOCK.start();
    // SAFETY: the board file names this memory as shared: it exists, is mapped for ever, and nothing is linked into it,
    // so no Rust object lives there. Its address is that of a memory of the chip, which are aligned to far more than 8.
    let shared =
        unsafe { Region::new(ptr::with_exposed_provenance_mut(SHARED.address as usize), SHARED.bytes as usize) };
    logger::start(shared);
    DOORBELL_UART.start();
    SENSOR_UART.start();
    Board {
        shared,
        doorbell: &DOORBELL_UART,
        sensor: SensorLink::new(&SENSOR_UART),
        clock: &TIMER_CLOCK,
        idle: Idle::new(&TIMER_CLOCK, || DOORBELL_UART.pending() || SENSOR_UART.pending()),
        reset: Restart { reason },
        asked_us: None,
    }
}

/// The time for log lines. The clock stands at zero until [`start`].
pub(crate) fn clock() -> &'static TimerClock {
    &TIMER_CLOCK
}

/// The console, for a crash.
pub(crate) fn console() -> Console {
    // SAFETY: the board file gives the console a UART of its own.
    unsafe { Console::new(CONSOLE) }
}

/// Resets the chip.
pub(crate) fn reset(reason: ResetReason) -> ! {
    request_reset(&RESET_RECORD, reason)
}

/// Every interrupt of the chip comes here; the start-up code fills the vector table with it.
///
/// # Safety
/// Called by the processor only.
#[exception]
unsafe fn DefaultHandler(number: i16) {
    match u16::try_from(number) {
        Ok(irq) if irq == DOORBELL.rx_irq => DOORBELL_UART.on_receive(),
        Ok(irq) if irq == DOORBELL.tx_irq => DOORBELL_UART.on_transmit(),
        Ok(irq) if irq == SENSOR.rx_irq => SENSOR_UART.on_receive(),
        Ok(irq) if irq == ALARM.irq => TIMER_CLOCK.on_alarm(),
        // Nothing else is switched on, so this is a core exception without a handler or a wrong board file. Without a
        // handler it would come again at once and for ever.
        _ => panic!("unexpected interrupt or exception {}", number),
    }
}
