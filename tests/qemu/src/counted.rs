//! Firmware that is run to its end in virtual time and prints what it counted.

use std::fs;
use std::process::{Child, Command, Stdio};

use coracle_boards::Board;

use crate::{CONSOLE_FILE, QEMU_PROGRAM, firmware, wait_for};

/// The board that is emulated: a Cortex-M4.
const BOARD: &str = "qemu-an386";
/// The last line of a program that counts.
const LAST_LINE: &str = "end";

/// An emulator that does not outlive its use.
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Builds the firmware's program, runs it with time tied to the count of instructions, `2^icount_shift` nanoseconds each,
/// and returns what it prints by its console until its line `end`. Time in which it sleeps passes at once.
///
/// # Errors
/// What the build said, or the firmware if it did not come to its end.
pub fn run_counted(program: &str, icount_shift: u32) -> Result<String, String> {
    let elf = firmware(program)?;
    let machine = Board::builtin(BOARD).map_err(|error| error.to_string())?.chip.name;
    let run_dir = tempfile::tempdir().map_err(|error| format!("no folder for the run: {error}"))?;
    let emulator = Command::new(QEMU_PROGRAM)
        .current_dir(run_dir.path())
        .args(["-M", &machine, "-display", "none", "-monitor", "none"])
        .args(["-icount", &format!("shift={icount_shift},sleep=off")])
        .args(["-serial", &format!("file:{CONSOLE_FILE}")])
        .arg("-kernel")
        .arg(&elf)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start {QEMU_PROGRAM}: {error}"))?;
    let mut emulator = Emulator(emulator);
    let console = run_dir.path().join(CONSOLE_FILE);
    let said = || fs::read_to_string(&console).unwrap_or_default();
    wait_for("the last line of the firmware", || {
        let ended = matches!(emulator.0.try_wait(), Ok(Some(_)));
        (ended || said().lines().any(|line| line == LAST_LINE)).then_some(())
    })
    .map_err(|error| format!("{error}; the firmware said:\n{}", said()))?;
    Ok(said())
}
