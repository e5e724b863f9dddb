//! What an idle container costs on wasmi, and what preparing and compiling cost. The bounds are loose: they catch an
//! accident (a default of megabytes, a quadratic step), not a regression of per cents.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use coracle_prepare::{AdmissionLimits, prepare};
use coracle_test_modules::{Container, Core, Event, prepared, spec};

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

/// Largest heap share of an idle counter container on a 64-bit host, in bytes, its 3000 bytes of memory included.
const IDLE_BYTES_MAX: usize = 64 * 1024;
/// Most time to prepare or compile a 10 KB module, in this profile and on a busy machine.
const COMPILE_TIME_MAX: Duration = Duration::from_secs(10);

// One test, because the counter is for the whole process.
#[test]
fn an_idle_container_is_small_and_compiling_is_quick() {
    let module = prepared(include_str!("../wat/counter.wat"));
    let spec = spec(&module.bytes);
    let before = LIVE.load(Ordering::Relaxed);
    let mut container = Container::load(Core::M, &module.bytes, &spec).unwrap();
    let loaded = LIVE.load(Ordering::Relaxed) - before;
    container.handle(None);
    container.handle(Some(&Event::message(1, 0, b"abc")));
    container.effects();
    let idle = LIVE.load(Ordering::Relaxed) - before;
    drop(container);
    for _ in 0..10 {
        Container::started(Core::M, &module.bytes, &spec);
    }
    // The test harness allocates a little at the same time.
    let left = LIVE.load(Ordering::Relaxed).saturating_sub(before);
    assert!(left < idle / 10, "{left} bytes of eleven dropped containers are still allocated");
    println!("counter on wasmi ({} byte module): {loaded} bytes loaded, {idle} idle", module.bytes.len());
    println!("of which its specification and grants: {}", size_of_val(&spec));
    assert!(idle < IDLE_BYTES_MAX);

    let functions: String = (0..100)
        .map(|i| {
            let steps: String = (0..8)
                .map(|s| {
                    format!(
                        "(local.set 1 (i32.add (i32.mul (local.get 1) (i32.const {})) (i32.load offset={s} (local.get 0))))",
                        i * 8 + s
                    )
                })
                .collect();
            format!("(func $f{i} (param i32) (result i32) (local i32) {steps} (local.get 1))")
        })
        .collect();
    let calls: String = (0..100).map(|i| format!("(drop (call $f{i} (local.get 0)))")).collect();
    let wat = format!(
        r#"(module (memory 64 64 (pagesize 1)) {functions}
        (func (export "on_event") (param i32 i32 i32) (result i32) {calls} (i32.const 0)))"#
    );
    let wasm = wat::parse_str(wat).unwrap();
    let clock = Instant::now();
    let module = prepare(&wasm, &AdmissionLimits { memory: 64 }).unwrap();
    let preparing = clock.elapsed();
    let mut spec = coracle_test_modules::spec(&module.bytes);
    spec.limits.memory = 64;
    coracle_test_modules::engine();
    let times = [Core::A, Core::A, Core::M].map(|core| {
        let clock = Instant::now();
        let mut container = Container::load(core, &module.bytes, &spec).unwrap();
        container.handle(Some(&Event::message(1, 0, b"")));
        clock.elapsed()
    });
    println!(
        "{} byte module: prepare {preparing:?}; load and first event: Wasmtime {:?}, again {:?}, wasmi {:?}",
        module.bytes.len(),
        times[0],
        times[1],
        times[2]
    );
    assert!(preparing < COMPILE_TIME_MAX && times.iter().all(|t| *t < COMPILE_TIME_MAX));
    assert!((8_000..14_000).contains(&module.bytes.len()));
}
