//! Containers that have nothing to do cost no wake-up: counted on the emulated board over ten minutes of virtual time.

use coracle_test_qemu::{qemu_or_skip, run_counted};

/// Instructions of two microseconds: the time does not matter, but there are ten minutes of it.
const ICOUNT_SHIFT: u32 = 10;

/// Wake-ups and handled events of a kind, out of the lines of the firmware.
fn counts(said: &str, kind: &str) -> (u32, u64) {
    let numbers = said.lines().find_map(|line| {
        let (numbers, of) = line.strip_prefix("wakes ")?.split_at(line.strip_prefix("wakes ")?.find(kind)?);
        (of == kind).then(|| numbers.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<u64>>())
    });
    match numbers.as_deref() {
        Some([_, wakes, handled]) => (u32::try_from(*wakes).unwrap(), *handled),
        _ => panic!("no line about {kind:?} in:\n{said}"),
    }
}

#[test]
fn idle_containers_wake_nobody() {
    if !qemu_or_skip() {
        return;
    }
    let said = run_counted("idle", ICOUNT_SHIFT).unwrap();
    println!("{said}");
    let (none, _) = counts(&said, "none");
    // The clock's counter wraps, and the board looks at it once a minute.
    assert!((1..=11).contains(&none), "{said}");
    assert_eq!(counts(&said, "between events"), (none, 0), "{said}");
    assert_eq!(counts(&said, "waiting in a command"), (none, 0), "{said}");
    // Three containers with a timer of ten seconds: their slack lets one wake-up do for all three.
    let (wakes, handled) = counts(&said, "timers of ten seconds");
    assert!((54..=61).contains(&wakes), "{said}");
    assert!((3 * 54..=3 * 60).contains(&handled), "{said}");
}
