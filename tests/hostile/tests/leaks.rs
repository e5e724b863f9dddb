//! Thousands of hostile containers, created and removed: nothing of them stays.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

mod engines;

use coracle_test_hostile::{Case, Guest, Wasmi, alone, rows};
use engines::{Native, Pulley};

/// How often every case that asks for it is created and removed.
const CYCLES: usize = 10_000;
/// Cycles before the count begins: what is kept for the next container (a compiled module, a stack) is there then.
const WARM_UP: usize = 100;
/// What the test harness may allocate meanwhile, in bytes.
const NOISE_BYTES: usize = 16 * 1024;

/// Counts the bytes that are allocated now.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `ptr` came from `alloc` above with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Pages of address space that the process has: memories and stacks of Wasmtime are not on the heap.
fn mapped() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').next().and_then(|pages| pages.parse().ok()).unwrap()
}

/// Creates and removes all of the cases `cycles` times in all; the bytes and pages that this leaves behind.
fn left<G: Guest>(cases: &[(Case, String)], cycles: usize) -> (usize, usize) {
    let run = |cycles: usize| {
        for (case, expected) in cases.iter().cycle().take(cycles) {
            assert_eq!(alone::<G>(case), *expected, "{}", case.name);
        }
    };
    run(WARM_UP);
    let (bytes, pages) = (LIVE.load(Ordering::Relaxed), mapped());
    run(cycles);
    (LIVE.load(Ordering::Relaxed).saturating_sub(bytes), mapped().saturating_sub(pages))
}

// One test, because the counter is for the whole process.
#[test]
fn nothing_stays_of_ten_thousand_hostile_containers() {
    let cases = |on_m: bool| -> Vec<(Case, String)> {
        let cycled = rows().into_iter().filter(|row| row.case.cycled);
        cycled.filter_map(|r| Some((r.case, if on_m { r.expected.on_m } else { r.expected.on_a }?))).collect()
    };
    let (on_m, on_a) = (cases(true), cases(false));
    println!("{} kinds, {CYCLES} cycles", on_m.len());
    for (engine, (bytes, pages)) in [
        ("wasmi", left::<Wasmi>(&on_m, CYCLES)),
        ("Wasmtime", left::<Native>(&on_a, CYCLES)),
        ("Pulley", left::<Pulley>(&on_a, CYCLES)),
    ] {
        println!("{engine}: {bytes} bytes and {pages} pages stay");
        assert!(bytes < NOISE_BYTES, "{engine}: {bytes} bytes stay");
        assert!(pages < CYCLES / 100, "{engine}: {pages} pages stay");
    }
}
