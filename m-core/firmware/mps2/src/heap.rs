//! The allocator: a fixed arena whose size the board file gives, and a count of what is in use.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{RefCell, UnsafeCell};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use critical_section::Mutex;
use linked_list_allocator::Heap;

/// Memory for the allocator. Its bytes belong to the allocator from `start` on, and to nobody before.
#[repr(align(16))]
pub struct Arena<const BYTES: usize>(UnsafeCell<[MaybeUninit<u8>; BYTES]>);

// SAFETY: the only access is that of `start`, which takes the address of the bytes once.
unsafe impl<const BYTES: usize> Sync for Arena<BYTES> {}

impl<const BYTES: usize> Default for Arena<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const BYTES: usize> Arena<BYTES> {
    /// An arena, for a static in memory that start-up code leaves alone.
    #[must_use]
    pub const fn new() -> Self {
        Self(UnsafeCell::new([MaybeUninit::uninit(); BYTES]))
    }
}

struct State {
    heap: Heap,
    peak_bytes: usize,
}

struct Allocator(Mutex<RefCell<State>>);

#[global_allocator]
static ALLOCATOR: Allocator = Allocator(Mutex::new(RefCell::new(State { heap: Heap::empty(), peak_bytes: 0 })));

/// How full the heap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapUse {
    /// Bytes allocated now.
    pub used_bytes: usize,
    /// Most bytes ever allocated at once.
    pub peak_bytes: usize,
    /// Bytes of the arena.
    pub size_bytes: usize,
}

/// How full the heap is.
#[must_use]
pub fn heap_use() -> HeapUse {
    critical_section::with(|section| {
        let state = ALLOCATOR.0.borrow_ref(section);
        HeapUse { used_bytes: state.heap.used(), peak_bytes: state.peak_bytes, size_bytes: state.heap.size() }
    })
}

/// Gives the arena to the allocator. Before, every allocation fails. A second call is ignored.
pub(crate) fn start<const BYTES: usize>(arena: &'static Arena<BYTES>) {
    critical_section::with(|section| {
        let mut state = ALLOCATOR.0.borrow_ref_mut(section);
        if state.heap.size() == 0 {
            // SAFETY: the arena is static, BYTES long, and there is no access to its bytes elsewhere; `size` was 0, so
            // this is the first and only time that one is given away.
            unsafe { state.heap.init(arena.0.get().cast(), BYTES) };
        }
    });
}

// SAFETY: `Heap` hands out blocks that fit the layout and do not overlap; the critical section makes each call alone,
// also against interrupt handlers, and no call unwinds or allocates inside.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        critical_section::with(|section| {
            let mut state = self.0.borrow_ref_mut(section);
            let block = state.heap.allocate_first_fit(layout);
            state.peak_bytes = state.peak_bytes.max(state.heap.used());
            block.map_or(ptr::null_mut(), NonNull::as_ptr)
        })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else { return };
        critical_section::with(|section| {
            // SAFETY: the caller promises that `block` came from `alloc` with this layout, so from this heap.
            unsafe { self.0.borrow_ref_mut(section).heap.deallocate(block, layout) }
        });
    }
}
