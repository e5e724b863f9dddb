//! The peripherals of this board and who gets them.

use core::ptr;

use coracle_board_api::layout::{TimerSpec, UartSpec};
use coracle_board_api::sensor_wire::{Block, SensorLink};
use coracle_board_api::{Clock, Doorbell, Reset, ResetReason, Sensor, SharedLayout, Sleep, Span, info};
use coracle_chip_mps2::{Console, Idle, ResetRecord, TimerClock, UartDoorbell, UartLine, request_reset};
use coracle_shmem::Region;
use cortex_m_rt::exception;

use crate::heap::{self, Arena};
use crate::{logger, trace};

/// How long a sensor may take to answer before it is asked again, in microseconds. A UART cannot tell whether anybody is
/// at the other end: a request that was sent before the sensor connected, or to one that died, is gone.
const ASK_AGAIN_US: u64 = 1_000_000;

/// The drivers of the peripherals that the board file names. A program has one, made by [`crate::board!`].
pub struct Peripherals {
    console: UartSpec,
    doorbell: UartDoorbell,
    doorbell_uart: UartSpec,
    sensor: UartLine,
    sensor_uart: UartSpec,
    clock: TimerClock,
    alarm: TimerSpec,
}

impl Peripherals {
    /// Drivers that are off until [`start`]. `time` is the timer that counts, the one that ends a sleep, and their clock
    /// in hertz.
    ///
    /// # Panics
    /// If the timers' clock is not one that [`TimerClock::new`] takes. Meant for statics, where that stops the build.
    ///
    /// # Safety
    /// Each argument describes a peripheral of this chip, and nothing else uses it.
    #[must_use]
    pub const unsafe fn new(
        console: UartSpec,
        doorbell: UartSpec,
        sensor: UartSpec,
        time: (TimerSpec, TimerSpec, u32),
    ) -> Self {
        let (counter, alarm, clock_hz) = time;
        Self {
            console,
            // SAFETY: the caller's promise is the one that is asked for here.
            doorbell: unsafe { UartDoorbell::new(doorbell) },
            doorbell_uart: doorbell,
            // SAFETY: as above.
            sensor: unsafe { UartLine::new(sensor) },
            sensor_uart: sensor,
            // SAFETY: as above.
            clock: unsafe { TimerClock::new(counter, alarm, clock_hz) },
            alarm,
        }
    }
}

// SAFETY: `board!` defines the static of this name, with this type and a value; a program that does not invoke it does
// not link. It is `Sync`, as the compiler checks there.
unsafe extern "Rust" {
    #[link_name = "CORACLE_PERIPHERALS"]
    safe static PERIPHERALS: Peripherals;
}

// In memory that start-up code leaves alone, so that it outlives a reset.
#[unsafe(link_section = ".uninit.reset_record")]
static RESET_RECORD: ResetRecord = ResetRecord::new();

/// What the supervisor is built on.
pub struct Board {
    /// The memory that both cores see, laid out as the board file says. The log region belongs to the logger.
    pub shared: Region<'static>,
    /// The resource table in the firmware's own image, into which Linux writes if it was Linux that loaded it.
    pub loaded_table: Region<'static>,
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

/// Switches the board called `name` on. For [`crate::board!`], whose `start` programs call.
///
/// # Safety
/// The shared memory of `layout` exists, is readable and writable for ever, and aligned to 8; no Rust reference to any of
/// its bytes exists.
#[must_use]
pub unsafe fn start<const ARENA_BYTES: usize>(
    name: &'static str,
    layout: &SharedLayout,
    loaded_table: Region<'static>,
    arena: &'static Arena<ARENA_BYTES>,
) -> Board {
    let reason = RESET_RECORD.take();
    heap::start(arena);
    PERIPHERALS.clock.start();
    // SAFETY: the caller's promise.
    let shared =
        unsafe { Region::new(ptr::with_exposed_provenance_mut(layout.address as usize), layout.bytes as usize) };
    // Inside, as the board file's reader checked; otherwise there would be no log, and nothing else would be wrong.
    let sub = |span: Span| shared.sub(span.offset as usize, span.bytes as usize).ok();
    if let Some(region) = sub(layout.log) {
        logger::start(region);
    }
    if let Some(region) = layout.trace.and_then(sub) {
        trace::start(region, reason != ResetReason::PowerOn);
    }
    PERIPHERALS.doorbell.start();
    PERIPHERALS.sensor.start();
    info!("board {} up, reset reason {}", name, reason);
    trace(format_args!("board {name} up, reset reason {reason:?}"));
    Board {
        shared,
        loaded_table,
        doorbell: &PERIPHERALS.doorbell,
        sensor: SensorLink::new(&PERIPHERALS.sensor),
        clock: &PERIPHERALS.clock,
        idle: Idle::new(&PERIPHERALS.clock, || PERIPHERALS.doorbell.pending() || PERIPHERALS.sensor.pending()),
        reset: Restart { reason },
        asked_us: None,
    }
}

/// The time for log lines. The clock stands at zero until [`start`].
pub(crate) fn clock() -> &'static TimerClock {
    &PERIPHERALS.clock
}

/// The console, for a crash.
pub(crate) fn console() -> Console {
    // SAFETY: `Peripherals::new` was promised that nothing else uses this UART.
    unsafe { Console::new(PERIPHERALS.console) }
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
    let Peripherals { doorbell, doorbell_uart, sensor, sensor_uart, clock, alarm, .. } = &PERIPHERALS;
    match u16::try_from(number) {
        Ok(irq) if irq == doorbell_uart.rx_irq => doorbell.on_receive(),
        Ok(irq) if irq == doorbell_uart.tx_irq => doorbell.on_transmit(),
        Ok(irq) if irq == sensor_uart.rx_irq => sensor.on_receive(),
        Ok(irq) if irq == alarm.irq => clock.on_alarm(),
        // Nothing else is switched on, so this is a core exception without a handler or a wrong board file. Without a
        // handler it would come again at once and for ever.
        _ => panic!("unexpected interrupt or exception {}", number),
    }
}
