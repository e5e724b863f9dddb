//! Bring-up program: proves boot, log, clock, doorbell, sensor and both ways to die, without the supervisor.
//!
//! Every bell is answered with the same bell, after doing what its number stands for (see the constants).
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod firmware {
    extern crate alloc;

    use alloc::vec::Vec;
    use core::hint::black_box;

    use coracle_board_api::{Clock as _, Doorbell, Reset as _, Sensor, Sleep as _, info, warn};
    use coracle_firmware_mps2::{Board, heap_use};
    use coracle_firmware_qemu_an386::start;

    /// Bell: ask the sensor for a block; the sum of its samples is logged when it comes.
    const BELL_SENSOR: u8 = 2;
    /// Bell: sleep until an alarm, and log for how long.
    const BELL_ALARM: u8 = 3;
    /// Bell: allocate and free, and log the use of the heap.
    const BELL_HEAP: u8 = 4;
    /// Bell: log more than the ring can hold.
    const BELL_FLOOD: u8 = 5;
    /// Bell: look at no input for a while, then sleep without a look, and log for how long.
    const BELL_BUSY: u8 = 6;
    /// Bell: reset on purpose.
    const BELL_RESET: u8 = 29;
    /// Bell: cause a processor fault.
    const BELL_FAULT: u8 = 30;
    /// Bell: panic.
    const BELL_PANIC: u8 = 31;

    /// Length of the alarm test's sleep in microseconds.
    const ALARM_US: u64 = 20_000;
    /// How long the busy test looks at no input, in microseconds.
    const BUSY_US: u64 = 300_000;
    /// How long the busy test sleeps at most, in microseconds.
    const ASLEEP_US: u64 = 2_000_000;
    /// Lines of a flood; more than 64 KiB in any encoding.
    const FLOOD_LINES: u32 = 40_000;

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let mut board = start();
        loop {
            while let Some(bell) = Doorbell::take(&mut board) {
                answer(&mut board, bell);
            }
            while let Some(block) = Sensor::take(&mut board) {
                let sum: i32 = block.samples().iter().map(|sample| i32::from(*sample)).sum();
                info!(
                    "block {} of {} samples at {} us, sum {}, end {}",
                    block.sequence,
                    block.samples().len(),
                    block.timestamp_us,
                    sum,
                    block.end
                );
                board.doorbell.ring(BELL_SENSOR);
            }
            board.sleep_until(None);
        }
    }

    fn answer(board: &mut Board, bell: u8) {
        match bell {
            BELL_SENSOR => {
                if !board.request() {
                    warn!("sensor line busy");
                }
                return;
            }
            BELL_ALARM => {
                let start_us = board.clock.now_us();
                while board.clock.now_us() < start_us + ALARM_US {
                    board.idle.sleep_until(Some(start_us + ALARM_US));
                }
                info!("slept {} us", board.clock.now_us() - start_us);
            }
            BELL_HEAP => {
                let before = heap_use();
                // Hidden from the compiler, which otherwise removes an allocation that is not used.
                let bytes: Vec<u8> = black_box(Vec::with_capacity(10_000));
                let during = heap_use();
                drop(bytes);
                let after = heap_use();
                info!(
                    "heap {} then {} then {} of {} bytes, peak {}",
                    before.used_bytes, during.used_bytes, after.used_bytes, after.size_bytes, after.peak_bytes
                );
            }
            BELL_FLOOD => (0..FLOOD_LINES).for_each(|line| info!("flood line {}", line)),
            BELL_BUSY => {
                let end_us = board.clock.now_us() + BUSY_US;
                while board.clock.now_us() < end_us {}
                board.idle.sleep_until(Some(end_us + ASLEEP_US));
                info!("slept {} us after being busy", board.clock.now_us() - end_us);
            }
            BELL_RESET => board.reset.reset(),
            BELL_FAULT => cortex_m::asm::udf(),
            BELL_PANIC => panic!("asked to panic"),
            _ => info!("bell {}", bell),
        }
        board.doorbell.ring(bell);
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is firmware: build it with --target thumbv7em-none-eabihf --profile firmware");
}
