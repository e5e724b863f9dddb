//! The board piece by piece, with the bring-up program: boot, log, clock, doorbell, sensor, resets.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use coracle_board_api::log_ring::Consumer;
use coracle_board_api::sensor_wire::{Block, CREDIT, FRAME_BYTES_MAX, SAMPLES_MAX};
use coracle_boards::Board;
use coracle_platform::{LogDecoder, LogLine};
use coracle_shmem::MappedFile;
use coracle_test_qemu::{PATIENCE, Qemu, firmware, qemu_or_skip, wait_for};

// Bells of the bring-up program.
const BELL_SENSOR: u8 = 2;
const BELL_ALARM: u8 = 3;
const BELL_HEAP: u8 = 4;
const BELL_FLOOD: u8 = 5;
const BELL_BUSY: u8 = 6;
const BELL_RESET: u8 = 29;
const BELL_FAULT: u8 = 30;
const BELL_PANIC: u8 = 31;

/// A started board and the A core's view of it.
struct Bench {
    qemu: Qemu,
    doorbell: UnixStream,
    memory: MappedFile,
    decoder: LogDecoder,
    lines: Vec<LogLine>,
    _run_dir: tempfile::TempDir,
}

impl Bench {
    fn start() -> Self {
        let elf = firmware("bringup").expect("the firmware builds");
        let run_dir = tempfile::tempdir().expect("a directory for the run");
        let qemu = Qemu::launch(&elf, run_dir.path()).expect("the emulator starts");
        let doorbell = connected(&qemu.doorbell_path());
        let bytes = Board::builtin("qemu-an386").expect("valid").shared.bytes as usize;
        let memory = MappedFile::open(&qemu.shared_path(), bytes).expect("the shared memory can be mapped");
        let decoder = LogDecoder::new(&std::fs::read(&elf).expect("readable")).expect("firmware");
        Self { qemu, doorbell, memory, decoder, lines: Vec::new(), _run_dir: run_dir }
    }

    fn ring(&mut self, bell: u8) {
        self.doorbell.write_all(&[bell]).expect("the doorbell line takes a byte");
    }

    fn answer(&mut self) -> u8 {
        let mut bell = [0];
        self.doorbell.read_exact(&mut bell).expect("the firmware rings back");
        bell[0]
    }

    fn consumer(&self) -> Option<Consumer<'_>> {
        let log = Board::builtin("qemu-an386").expect("valid").shared.log;
        let region = self.memory.region().sub(log.offset as usize, log.bytes as usize).expect("inside");
        Consumer::attach(region).ok()
    }

    /// Moves what is in the ring to `lines`.
    fn read_log(&mut self) {
        let mut bytes = vec![0; 65536];
        let Some((id, len)) = self.consumer().map(|mut ring| {
            let len = ring.drain(&mut bytes).expect("a valid ring");
            (ring.producer_id(), len)
        }) else {
            return;
        };
        let lines = self.decoder.feed(id, &bytes[..len]);
        self.lines.extend(lines);
    }

    /// The first line from number `from` on that contains `text`, as soon as it is there.
    fn line(&mut self, from: usize, text: &str) -> LogLine {
        wait_for(&format!("log line with {text:?}"), || {
            self.read_log();
            self.lines.iter().skip(from).find(|line| line.text.contains(text)).cloned()
        })
        .unwrap_or_else(|error| panic!("{error}; log: {:#?}; console: {}", self.lines, self.qemu.console()))
    }
}

fn connected(path: &std::path::Path) -> UnixStream {
    let stream = UnixStream::connect(path).expect("the emulator takes connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

#[test]
fn boots_answers_bells_and_logs_with_level_and_time() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    let up = bench.line(0, "board qemu-an386 up, reset reason PowerOn");
    assert_eq!(up.level, Some("info"));
    for bell in [0, 1, 7, 28] {
        bench.ring(bell);
        assert_eq!(bench.answer(), bell);
    }
    let last = bench.line(0, "bell 28");
    assert!(last.time_us > up.time_us, "{up:?} {last:?}");
    assert!(bench.lines.iter().all(|line| line.level.is_some()), "{:#?}", bench.lines);
    // A core that is only slept through costs nothing; one that answers nothing is stuck.
    assert!(bench.qemu.is_running());
}

#[test]
fn the_alarm_ends_a_sleep_and_the_clock_agrees_with_ours() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    let start = Instant::now();
    bench.ring(BELL_ALARM);
    assert_eq!(bench.answer(), BELL_ALARM);
    let ours_us = start.elapsed().as_micros();
    let text = bench.line(0, "slept").text;
    let theirs_us: u128 = text.split_whitespace().nth(1).and_then(|us| us.parse().ok()).expect("a number");
    assert!(theirs_us >= 20_000, "{text}");
    assert!(theirs_us <= ours_us, "the clock runs too fast: {theirs_us} us in {ours_us} us");
}

#[test]
fn the_heap_counts_what_is_used() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    bench.ring(BELL_HEAP);
    assert_eq!(bench.answer(), BELL_HEAP);
    let heap = Board::builtin("qemu-an386").expect("valid").budget.heap_bytes;
    let text = bench.line(0, "heap").text;
    assert_eq!(text, format!("heap 0 then 10000 then 0 of {heap} bytes, peak 10000"));
}

#[test]
fn sensor_blocks_arrive_whole_and_damaged_ones_are_left_out() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    let mut sensor = connected(&bench.qemu.sensor_path());
    let samples: Vec<i16> = (0..SAMPLES_MAX).map(|i| (i as i16).wrapping_mul(-57)).collect();
    let sum: i32 = samples.iter().map(|sample| i32::from(*sample)).sum();
    let mut frame = [0; FRAME_BYTES_MAX];
    for sequence in 1..=20 {
        bench.ring(BELL_SENSOR);
        let mut credit = [0];
        sensor.read_exact(&mut credit).expect("the firmware asks for a block");
        assert_eq!(credit, [CREDIT]);
        if sequence == 10 {
            // Damaged, and followed by the good one: no bell answers the first.
            let len = Block::new(99, 0, 1, 0, &samples).expect("not too many").encode(&mut frame);
            frame[40] ^= 1;
            sensor.write_all(&frame[..len]).expect("the line takes a frame");
        }
        let block = Block::new(sequence, u64::from(sequence) * 1000, 12_000, 0, &samples).expect("not too many");
        let len = block.encode(&mut frame);
        sensor.write_all(&frame[..len]).expect("the line takes a frame");
        assert_eq!(bench.answer(), BELL_SENSOR);
    }
    bench.line(0, &format!("block 1 of 512 samples at 1000 us, sum {sum}, end false"));
    bench.line(0, &format!("block 20 of 512 samples at 20000 us, sum {sum}, end false"));
    assert!(!bench.lines.iter().any(|line| line.text.contains("block 99")), "{:#?}", bench.lines);
}

#[test]
fn a_sensor_that_connects_late_is_asked_again() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    bench.ring(BELL_SENSOR);
    bench.ring(0);
    // Answered after the request was sent: to nobody.
    assert_eq!(bench.answer(), 0);
    bench.ring(1);
    assert_eq!(bench.answer(), 1);
    let mut sensor = connected(&bench.qemu.sensor_path());
    let mut credit = [0];
    sensor.read_exact(&mut credit).expect("the firmware asks again");
    assert_eq!(credit, [CREDIT]);
    let mut frame = [0; FRAME_BYTES_MAX];
    let len = Block::new(1, 0, 1, 0, &[1, 2]).expect("not too many").encode(&mut frame);
    sensor.write_all(&frame[..len]).expect("the line takes a frame");
    assert_eq!(bench.answer(), BELL_SENSOR);
}

#[test]
fn bytes_that_nobody_takes_wait_in_the_line() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    let mut sensor = connected(&bench.qemu.sensor_path());
    // Much more than the firmware's receive buffer holds, while it takes nothing.
    bench.ring(BELL_BUSY);
    let mut frame = [0; FRAME_BYTES_MAX];
    for sequence in 0..8 {
        let len = Block::new(sequence, 0, 1, 0, &[7; SAMPLES_MAX]).expect("not too many").encode(&mut frame);
        sensor.write_all(&frame[..len]).expect("the socket takes a frame");
    }
    for sequence in 0..8 {
        bench.line(0, &format!("block {sequence} of 512 samples"));
    }
    assert!(slept_after_busy(&mut bench) < 1_000_000, "bytes that wait must keep the firmware awake");
}

#[test]
fn input_that_waits_ends_a_sleep_before_it_begins() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    bench.ring(BELL_BUSY);
    assert_eq!(bench.answer(), BELL_BUSY);
    assert!(slept_after_busy(&mut bench) >= 2_000_000, "without input it sleeps to the end");
    let from = bench.lines.len();
    bench.ring(BELL_BUSY);
    // Arrives while the firmware is busy, or together with the first and is taken after it (lowest first): either way it
    // waits, and its interrupt is over, when the sleep begins.
    bench.ring(7);
    bench.line(from, "bell 7");
    bench.lines.drain(..from);
    assert!(slept_after_busy(&mut bench) < 1_000_000, "a bell that waits must keep the firmware awake");
}

/// For how many microseconds the bring-up program slept after [`BELL_BUSY`].
fn slept_after_busy(bench: &mut Bench) -> u64 {
    let text = bench.line(0, "us after being busy").text;
    text.split_whitespace().nth(1).and_then(|us| us.parse().ok()).expect("a number")
}

#[test]
fn no_bell_is_slept_through() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    // The second bell comes at every distance from the first, so also in the few instructions between the firmware's
    // last look and its sleep.
    for round in 0..6000_u32 {
        bench.ring(0);
        let first = Instant::now();
        let distance = Duration::from_nanos(u64::from(round % 600) * 200);
        while first.elapsed() < distance {
            std::hint::spin_loop();
        }
        bench.ring(1);
        let mut missing = BTreeSet::from([0, 1]);
        while !missing.is_empty() {
            missing.remove(&bench.answer());
        }
    }
}

#[test]
fn a_bell_that_the_line_cannot_carry_goes_out_later() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    // Nobody reads the answers, until the socket is full (some hundred single bytes) and the transmitter with it.
    while bench.lines.iter().filter(|line| line.text == "bell 0").count() < 2000 {
        bench.ring(0);
        bench.read_log();
    }
    bench.ring(1);
    bench.line(0, "bell 1");
    while bench.answer() != 1 {}
}

#[test]
fn every_way_to_die_is_told_and_survived() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    bench.line(0, "up, reset reason PowerOn");
    for (bell, words, reason) in [
        (BELL_PANIC, Some("asked to panic"), "Panic"),
        (BELL_FAULT, Some("processor fault"), "Fault"),
        (BELL_RESET, None, "Requested"),
    ] {
        let before = bench.lines.len();
        bench.ring(bell);
        bench.line(before, &format!("up, reset reason {reason}"));
        if let Some(words) = words {
            assert_eq!(bench.line(before, words).level, Some("error"));
            assert!(bench.qemu.console().contains(words), "{}", bench.qemu.console());
        }
        bench.ring(0);
        assert_eq!(bench.answer(), 0, "after {reason}");
    }
}

#[test]
fn the_a_side_may_go_and_come_back() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    for bell in [0, 1, 7, 8] {
        bench.ring(bell);
        assert_eq!(bench.answer(), bell);
        bench.doorbell = connected(&bench.qemu.doorbell_path());
    }
}

#[test]
fn a_killed_emulator_starts_again_with_the_shared_memory_as_it_was() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    bench.line(0, "up, reset reason");
    let retained = Board::builtin("qemu-an386").expect("valid").shared.retained.offset as usize;
    bench.memory.region().store_u32(retained, 0xC0FFEE).expect("inside");
    bench.qemu.restart().expect("starts again");
    bench.line(1, "up, reset reason PowerOn");
    assert_eq!(bench.memory.region().load_u32(retained), Ok(0xC0FFEE));
}

#[test]
fn a_full_log_ring_drops_and_counts_and_recovers() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    bench.ring(BELL_FLOOD);
    assert_eq!(bench.answer(), BELL_FLOOD);
    let dropped = bench.consumer().expect("the ring is set up").dropped();
    bench.read_log();
    let kept = bench.lines.iter().filter(|line| line.text.contains("flood")).count();
    assert!(dropped > 0 && kept > 1000, "{dropped} dropped, {kept} kept");
    assert_eq!(kept + dropped as usize, 40_000);
    bench.ring(7);
    assert_eq!(bench.answer(), 7);
    bench.line(kept, "bell 7");
}

#[test]
fn frames_of_another_firmware_are_shown_raw() {
    if !qemu_or_skip() {
        return;
    }
    let mut bench = Bench::start();
    bench.line(0, "up");
    let id = bench.decoder.build_id();
    assert_ne!(id, 0);
    let foreign = bench.decoder.feed(id ^ 1, &[0x11, 0x22, 0]);
    assert_eq!(foreign.len(), 1);
    assert!(foreign[0].text.contains("ELF does not match") && foreign[0].text.ends_with("11 22"), "{foreign:?}");
    // Anything at all from a hostile core is at worst an undecodable line.
    let mut state = 7_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(200_000)
    .collect();
    assert!(!bench.decoder.feed(id, &noise).is_empty());
}
