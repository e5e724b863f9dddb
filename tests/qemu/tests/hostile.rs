//! The table of hostile guests on the emulated Cortex-M4.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coracle_boards::Board;
use coracle_test_hostile::{Row, neighbour, rows, write_case};
use coracle_test_qemu::{QEMU_PROGRAM, firmware, qemu_or_skip};

const BOARD: &str = "qemu-an386";
const PROGRAM: &str = "hostile";
const CONSOLE_FILE: &str = "console.log";
const CASES_FILE: &str = "cases.bin";
/// How often each of the twelve cases that ask for it is created and removed: ten thousand times in all.
const CYCLES: u32 = 834;
/// An instruction takes two to the power of this in nanoseconds.
const ICOUNT_SHIFT: u32 = 4;
/// Most instructions of one slice, or of loading: what a hostile guest can hold the core for. At 100 MHz, this is a
/// quarter of a second.
const SLICE_INSTRUCTIONS_MAX: u64 = 25_000_000;
/// Longest time for all of it. Generous, because the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(300);

/// An emulator that does not outlive its use.
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the cases and returns what the firmware said.
fn run(cases: &[u8]) -> String {
    let elf = firmware(PROGRAM).expect("the firmware builds");
    let board = Board::builtin(BOARD).expect("the board is valid");
    let run_dir = tempfile::tempdir().expect("a directory for the run");
    fs::write(run_dir.path().join(CASES_FILE), cases).expect("the cases can be written");
    let address = board.shared.address + board.shared.bulk_to_m.offset;
    let room = board.shared.bytes - board.shared.bulk_to_m.offset;
    assert!(cases.len() < room as usize, "{} bytes of cases, room for {room}", cases.len());
    let child = Command::new(QEMU_PROGRAM)
        .current_dir(run_dir.path())
        .args(["-M", &board.chip.name, "-display", "none", "-monitor", "none"])
        .args(["-icount", &format!("shift={ICOUNT_SHIFT},sleep=off")])
        .args(["-serial", &format!("file:{CONSOLE_FILE}")])
        .args(["-device", &format!("loader,file={CASES_FILE},addr={address:#x},force-raw=on")])
        .arg("-kernel")
        .arg(&elf)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the emulator starts");
    let mut emulator = Emulator(child);
    let said = || fs::read_to_string(run_dir.path().join(CONSOLE_FILE)).unwrap_or_default();
    let start = Instant::now();
    loop {
        let text = said();
        // A panic resets the board, which would begin anew.
        if text.ends_with("end\n") || text.contains("M core:") || matches!(emulator.0.try_wait(), Ok(Some(_))) {
            println!("{:.1} s", start.elapsed().as_secs_f32());
            return text;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for the end; the firmware said:\n{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn every_row_comes_to_its_end_and_leaves_nothing_behind() {
    if !qemu_or_skip() {
        return;
    }
    let rows: Vec<Row> = rows().into_iter().filter(|r| r.expected.on_m.is_some() && !r.case.host_only).collect();
    let mut cases = CYCLES.to_le_bytes().to_vec();
    write_case(&neighbour(), &mut cases);
    rows.iter().for_each(|row| write_case(&row.case, &mut cases));
    cases.extend(0_u32.to_le_bytes());
    let said = run(&cases);
    let mut lines = said.lines();
    let (mut wrong, mut slowest) = (Vec::new(), (0, ""));
    for (number, row) in rows.iter().enumerate() {
        let name = &row.case.name;
        let line = lines.next().unwrap_or_else(|| panic!("nothing of {name}; the firmware said:\n{said}"));
        let mut parts = line.splitn(3, '\t');
        let numbers: Vec<u64> = parts.next().unwrap_or("").split(' ').filter_map(|word| word.parse().ok()).collect();
        let (complaint, outcome) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let [at, _turns, _fuel, us, left] = numbers[..] else { panic!("{name}: {line}; the firmware said:\n{said}") };
        assert_eq!(at, number as u64, "{line}");
        if Some(outcome) != row.expected.on_m.as_deref() {
            wrong.push(format!("{name}: {outcome}, expected {:?}", row.expected.on_m));
        }
        if complaint != "-" {
            wrong.push(format!("{name}: {complaint}"));
        }
        if left > 0 {
            wrong.push(format!("{name}: left {left} bytes behind"));
        }
        let instructions = (us * 1000) >> ICOUNT_SHIFT;
        slowest = slowest.max((instructions, name));
    }
    println!("{} rows; the longest slice took {} instructions: {}", rows.len(), slowest.0, slowest.1);
    let cycled: Vec<(usize, &Row)> = rows.iter().enumerate().filter(|(_, row)| row.case.cycled).collect();
    for (number, row) in &cycled {
        let expected = format!("cycles {number} 0");
        let line = lines.next().unwrap_or("nothing");
        if line != expected {
            wrong.push(format!("{}: after {CYCLES} cycles {line:?}", row.case.name));
        }
    }
    println!("{} of them {CYCLES} times", cycled.len());
    assert_eq!(lines.next(), Some("end"), "the firmware said:\n{said}");
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert!(slowest.0 <= SLICE_INSTRUCTIONS_MAX, "a slice of {} took {} instructions", slowest.1, slowest.0);
}
