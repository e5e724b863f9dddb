//! Runs the table of hostile guests on this core. tests/qemu puts the cases into the shared memory before the start and
//! compares the lines that this prints by its console.
//!
//! The memory holds the number of cycles, then cases one after the other, each behind its length; the first is the
//! neighbour, a length of 0 ends them. A line is `row`, the case's number, its turns, the most fuel and the most
//! microseconds of one of its slices, the heap's bytes that it left behind, and, behind tabs, what the neighbours
//! complain of and the outcome. A line `cycles` has a case's number and the bytes that were left after it was created and
//! removed that often. `end` follows the last.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![cfg_attr(target_os = "none", expect(unsafe_code, reason = "the console is reached by its address"))]

#[cfg(target_os = "none")]
mod firmware {
    extern crate alloc;

    use alloc::vec;
    use alloc::vec::Vec;
    use core::fmt::Write as _;

    use coracle_board_api::Clock as _;
    use coracle_chip_mps2::Console;
    use coracle_firmware_mps2::{Board, heap_use};
    use coracle_firmware_qemu_an386::constants::{CONSOLE, SHARED};
    use coracle_firmware_qemu_an386::start;
    use coracle_test_hostile::{Case, Wasmi, alone, beside, read_case, reference};

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let board = start();
        // SAFETY: the board file says that this UART is the console, and nothing else runs that could use it.
        let mut console = unsafe { Console::new(CONSOLE) };
        rows(&board, &mut console);
        cycles(&board, &mut console);
        let _written = writeln!(console, "end");
        loop {
            cortex_m::asm::wfi();
        }
    }

    /// A word of the shared memory, counted from where the cases are.
    fn word(board: &Board, at: usize) -> usize {
        board.shared.load_u32(SHARED.bulk_to_m.offset as usize + at).map_or(0, |word| word as usize)
    }

    /// The case behind the length at `at`, and where the next one is.
    fn case(board: &Board, at: usize) -> Option<(Case, usize)> {
        let mut bytes: Vec<u8> = vec![0; word(board, at)];
        board.shared.read(SHARED.bulk_to_m.offset as usize + at + 4, &mut bytes).ok()?;
        Some((read_case(&bytes).filter(|_| !bytes.is_empty())?, at + 4 + bytes.len().next_multiple_of(4)))
    }

    fn rows(board: &Board, console: &mut Console) {
        let Some((neighbour, mut at)) = case(board, 4) else { panic!("there are no cases") };
        let undisturbed = match reference::<Wasmi>(&neighbour) {
            Ok(undisturbed) => undisturbed,
            Err(why) => panic!("{why}"),
        };
        let mut number = 0;
        loop {
            let before = heap_use().used_bytes;
            let Some((case, next)) = case(board, at) else { return };
            let report = beside::<Wasmi>(&case, &neighbour, &undisturbed, &|| board.clock.now_us());
            drop(case);
            let (turns, fuel, ticks) = (report.turns, report.slice_fuel, report.slice_ticks);
            let (complaint, outcome) = (report.complaint, report.outcome);
            let texts = complaint.as_ref().map_or(0, |c| c.capacity()) + outcome.capacity();
            let left = heap_use().used_bytes.saturating_sub(before).saturating_sub(texts.next_multiple_of(8));
            let complaint = complaint.as_deref().unwrap_or("-");
            let _written = writeln!(console, "row {number} {turns} {fuel} {ticks} {left}\t{complaint}\t{outcome}");
            (number, at) = (number + 1, next);
        }
    }

    fn cycles(board: &Board, console: &mut Console) {
        let Some((_, mut at)) = case(board, 4) else { return };
        let mut number = 0;
        while let Some((case, next)) = case(board, at) {
            if case.cycled {
                let before = heap_use().used_bytes;
                let outcome = alone::<Wasmi>(&case);
                for cycle in 0..word(board, 0) {
                    let again = alone::<Wasmi>(&case);
                    assert!(again == outcome, "in cycle {cycle} it came to another end");
                }
                drop(outcome);
                let left = heap_use().used_bytes.saturating_sub(before);
                let _written = writeln!(console, "cycles {number} {left}");
            }
            (number, at) = (number + 1, next);
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is firmware: build it with --target thumbv7em-none-eabihf --profile firmware");
}
