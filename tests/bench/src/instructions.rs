//! Instructions of the M core, counted by the emulator.
//!
//! With `-icount` the emulator's time is the count of instructions, so the ticks of a timer between two reads say how many
//! there were in between: exactly, and every time the same.

use coracle_test_qemu::run_counted;

/// The program that measures the remote role.
const PROGRAM: &str = "ipc-cost";
/// An instruction takes two to the power of this in nanoseconds: many ticks, so that rounding to whole ticks cannot hide
/// or add an instruction.
const ICOUNT_SHIFT: u32 = 10;
/// Clock of the processor and its timer in hertz.
const TIMER_HZ: f64 = 25e6;
/// Ticks of an instruction.
const TICKS: f64 = (1_u32 << ICOUNT_SHIFT) as f64 * TIMER_HZ / 1e9;
/// How far a count of ticks may be from a whole number of instructions, in instructions: a tick at either end.
const SLACK: f64 = 2.0 / TICKS;

/// What an operation costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// The operation.
    pub operation: String,
    /// Bytes of payload, or calls; 0 when there is none.
    pub payload: usize,
    /// The fewest instructions of several times: what a buffer's number has to do with it differs.
    pub least: u64,
    /// The most instructions of several times.
    pub most: u64,
}

/// What each operation of the remote role costs, without what the measuring itself takes.
///
/// # Errors
/// What the build or the firmware said.
pub fn instructions() -> Result<Vec<Cost>, String> {
    measure(PROGRAM, parse)
}

/// Builds a program that measures, runs it in the emulator, and returns what `parse` makes of its lines.
pub(crate) fn measure<T>(program: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, String> {
    let said = run_counted(program, ICOUNT_SHIFT)?;
    parse(&said).map_err(|error| format!("{error}; the firmware said:\n{said}"))
}

/// Turns the firmware's lines into instructions.
pub(crate) fn parse(text: &str) -> Result<Vec<Cost>, String> {
    let mut costs = Vec::new();
    let mut overhead = None;
    for line in text.lines() {
        let Some(line) = line.strip_prefix("cost ") else { continue };
        let broken = || format!("not a line with a count: {line:?}");
        let mut words = line.splitn(4, ' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or_else(broken);
        let (payload, least, most) = (number()?, number()?, number()?);
        let operation = words.next().ok_or_else(broken)?.to_owned();
        let (least, most) = (whole(least)?, whole(most)?);
        match overhead {
            // The first line is about nothing at all.
            None if least == most => overhead = Some(least),
            None => return Err(format!("nothing takes {least} to {most} instructions: the counts are not exact")),
            Some(overhead) => {
                let net = |count: u64| count.checked_sub(overhead).ok_or_else(broken);
                let payload = usize::try_from(payload).map_err(|_| broken())?;
                costs.push(Cost { operation, payload, least: net(least)?, most: net(most)? });
            }
        }
    }
    if costs.is_empty() { Err("the firmware counted nothing".to_owned()) } else { Ok(costs) }
}

/// The whole number of instructions that took so many ticks.
fn whole(ticks: u64) -> Result<u64, String> {
    let count = ticks as f64 / TICKS;
    if (count - count.round()).abs() > SLACK {
        return Err(format!("{ticks} ticks are {count} instructions: is an instruction still {TICKS} ticks?"));
    }
    Ok(count.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_instructions_without_the_measuring() {
        let text = "cost 0 77 77 nothing\nnoise\ncost 16 2637 2688 send\nend\n";
        let cost = Cost { operation: "send".to_owned(), payload: 16, least: 100, most: 102 };
        assert_eq!(parse(text), Ok(vec![cost]));
        assert!(parse("cost 0 77 103 nothing\n").is_err(), "not exact");
        assert!(parse("cost 0 77 77 nothing\ncost 16 2650 2650 send\n").is_err(), "half an instruction");
        assert!(parse("cost 0 77 77 nothing\ncost 16 26 26 send\n").is_err(), "less than nothing");
        assert!(parse("cost x\n").is_err());
        assert!(parse("end\n").is_err());
    }
}
