//! Nothing on the path of a message or a bulk payload allocates.
#![expect(unsafe_code, reason = "an allocator that counts can only be written with it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use coracle_bench::{layout, local_pair, memory_bytes};
use coracle_bulk::{BulkReader, BulkWriter};
use coracle_rpmsg::{Geometry, Held, PAYLOAD_BYTES_MAX, Received, RpmsgError, ZeroCopy};
use coracle_shmem::HeapRegion;

std::thread_local! {
    /// Allocations of this thread: the test's runner has threads of its own.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing, because the cell needs neither
// initialisation nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `alloc` above, so from the system.
        unsafe { System.dealloc(block, layout) }
    }
}

/// How often `work` allocates.
fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

/// Messages one way by every call that there is, until the ring is full and empty again, and one that is refused.
fn messages<A: ZeroCopy, B: ZeroCopy>(from: &mut A, to: &mut B) -> Result<(), RpmsgError> {
    let source = from.create_endpoint(2000)?;
    let target = to.create_endpoint(3000)?;
    let mut payload = [7; PAYLOAD_BYTES_MAX];
    from.announce(source, "rpmsg-test", false)?;
    assert!(matches!(to.receive(&mut payload)?, Some(Received::Channel(_))));
    let mut sent = 0;
    while from.send(source, target.address(), &payload) == Ok(()) {
        sent += 1;
    }
    assert!(sent > 1, "the ring takes messages");
    assert_eq!(from.send(source, target.address(), &payload), Err(RpmsgError::NoBuffer));
    for _ in 0..sent {
        assert!(matches!(to.receive(&mut payload)?, Some(Received::Message { .. })));
    }
    let mut buffer = from.alloc_tx()?;
    from.write(&mut buffer, 0, &payload)?;
    from.send_nocopy(source, target.address(), buffer, payload.len())?;
    let Some(Held::Message { buffer, .. }) = to.receive_held()? else { panic!("a message was sent") };
    to.read(&buffer, 0, &mut payload)?;
    to.release(buffer)?;
    assert!(to.receive(&mut payload)?.is_none());
    from.destroy_endpoint(source)?;
    to.destroy_endpoint(target)
}

#[test]
fn messages_allocate_nothing_in_either_role() {
    let memory = HeapRegion::new(memory_bytes(Geometry::LINUX));
    let (layout, _) = layout(memory.region(), Geometry::LINUX).expect("large enough");
    let count = allocations(|| {
        let (mut driver, mut device) = local_pair(&layout).expect("large enough");
        messages(&mut driver, &mut device).expect("nothing is wrong");
        messages(&mut device, &mut driver).expect("nothing is wrong");
        while driver.take_kick().is_some() || device.take_kick().is_some() {}
    });
    assert_eq!(count, 0);
}

#[test]
fn bulk_payloads_allocate_nothing() {
    let memory = HeapRegion::new(1 << 20);
    let payload = vec![3; 100_000];
    let mut target = vec![0; payload.len()];
    let count = allocations(|| {
        let mut writer = BulkWriter::new(memory.region(), 1);
        let mut reader = BulkReader::new(memory.region());
        for _ in 0..100 {
            let block = writer.put(&[&payload]).expect("the area is empty");
            reader.get(&block, &mut target).expect("the block is out");
            writer.free(&block);
        }
    });
    assert_eq!(count, 0);
    assert_eq!(target, payload);
}
