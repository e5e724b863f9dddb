//! Shared memory as a loom model sees it: what stands behind a [`Region`] under `--cfg loom`.
//!
//! `Region` and everything above it run unchanged. This module has stand-ins for the atomics, fences and copies that
//! `Region` is made of; they look the address up in the [`LoomMemory`] of the running model. Words that one side polls
//! while the other writes them are loom atomics. All other bytes are loom cells: whoever touches one that the other side
//! wrote or read without an order between the two fails the model, even when the value happens to be right.
//!
//! There is no read-modify-write here, so none can come into `Region` unnoticed. A [`Mutant`] takes a barrier away or
//! publishes too early, to show that the models notice.

use core::ops::Range;
use core::panic::Location;
use core::sync::atomic::Ordering;
use std::boxed::Box;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::vec::Vec;

use ::loom::cell::UnsafeCell;
use ::loom::sync::atomic as modelled;

use crate::Region;

/// Address of the first byte. Nothing is there: an access that goes past this module faults.
const BASE: usize = 0x1000;

std::thread_local! {
    // loom runs all threads of a model as coroutines of one operating-system thread.
    static MEMORY: RefCell<Option<Rc<Cells>>> = const { RefCell::new(None) };
    static MUTANT: RefCell<Option<Mutant>> = const { RefCell::new(None) };
    static BARRIERS: RefCell<BTreeSet<Barrier>> = const { RefCell::new(BTreeSet::new()) };
}

/// A place in the source where a barrier is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Barrier {
    /// Source file.
    pub file: &'static str,
    /// Line in it.
    pub line: u32,
}

/// A mistake to be made while a model runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutant {
    /// The barrier at this place is left out.
    WithoutBarrier(Barrier),
    /// Stores to `data` reach the memory only after the next store to the word at `index`, which publishes them.
    PublishedTooEarly {
        /// Offsets of the bytes that are late.
        data: Range<usize>,
        /// Offset of the word that publishes them.
        index: usize,
    },
}

/// Makes the models of this thread run with a mistake, or without one again.
pub fn set_mutant(mutant: Option<Mutant>) {
    MUTANT.with_borrow_mut(|current| *current = mutant);
}

/// The barriers that models on this thread have come to so far.
#[must_use]
pub fn barriers() -> Vec<Barrier> {
    BARRIERS.with_borrow(|seen| seen.iter().copied().collect())
}

/// The memory of one execution of a model. The newest one of a thread counts.
#[derive(Debug)]
pub struct LoomMemory {
    len: usize,
}

impl LoomMemory {
    /// `len` zeroed bytes. `polled` are offset and width in bytes (1, 2 or 4) of the words that one side reads while the
    /// other may write them.
    ///
    /// # Panics
    /// When a word has another width.
    #[must_use]
    pub fn new(len: usize, polled: &[(usize, usize)]) -> Self {
        let words = polled.iter().map(|(offset, width)| (*offset, Word::new(*width))).collect();
        let bytes = (0..len).map(|_| UnsafeCell::new(0)).collect();
        let cells = Cells { words, bytes, turn: modelled::AtomicU8::new(0), late: RefCell::default() };
        MEMORY.with_borrow_mut(|memory| *memory = Some(Rc::new(cells)));
        Self { len }
    }

    /// The memory as a region.
    #[must_use]
    pub fn region(&self) -> Region<'static> {
        // SAFETY: under `--cfg loom` no access of a Region goes to its address; see `with_cells`, which also refuses an
        // access after this memory is gone.
        unsafe { Region::new(core::ptr::without_provenance_mut(BASE), self.len) }
    }
}

impl Drop for LoomMemory {
    fn drop(&mut self) {
        MEMORY.with_borrow_mut(|memory| *memory = None);
    }
}

/// What the bytes are made of.
#[derive(Debug)]
struct Cells {
    words: BTreeMap<usize, Word>,
    /// Those that belong to a word are not used.
    bytes: Box<[UnsafeCell<u8>]>,
    /// Stored before each access to a word, so that loom tries every order of those accesses. By itself it leaves some
    /// out: of an atomic it remembers the last access only, so that a thread which loads a word and then stores it is
    /// not tried before another thread's load that came first.
    turn: modelled::AtomicU8,
    /// Stores that a mutant holds back.
    late: RefCell<Vec<(usize, u8)>>,
}

/// A polled word.
#[derive(Debug)]
enum Word {
    U8(modelled::AtomicU8),
    U16(modelled::AtomicU16),
    U32(modelled::AtomicU32),
}

impl Word {
    fn new(width: usize) -> Self {
        match width {
            1 => Self::U8(modelled::AtomicU8::new(0)),
            2 => Self::U16(modelled::AtomicU16::new(0)),
            4 => Self::U32(modelled::AtomicU32::new(0)),
            _ => panic!("a word of {width} bytes"),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::U8(_) => 1,
            Self::U16(_) => 2,
            Self::U32(_) => 4,
        }
    }

    fn load(&self, to: &mut [u8]) {
        match self {
            Self::U8(word) => to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes()),
            Self::U16(word) => to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes()),
            Self::U32(word) => to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes()),
        }
    }

    fn store(&self, from: &[u8]) {
        const WIDTH: &str = "a slice of the word's width";
        match self {
            Self::U8(word) => word.store(u8::from_ne_bytes(from.try_into().expect(WIDTH)), Ordering::Relaxed),
            Self::U16(word) => word.store(u16::from_ne_bytes(from.try_into().expect(WIDTH)), Ordering::Relaxed),
            Self::U32(word) => word.store(u32::from_ne_bytes(from.try_into().expect(WIDTH)), Ordering::Relaxed),
        }
    }
}

impl Cells {
    /// Where the piece of an access that starts at `at` ends, and its word, if it is one.
    fn piece(&self, at: usize, end: usize) -> (usize, Option<&Word>) {
        if let Some(word) = self.words.get(&at) {
            assert!(at + word.width() <= end, "half of the word at {at} is accessed");
            return (at + word.width(), Some(word));
        }
        if let Some((before, word)) = self.words.range(..at).next_back() {
            assert!(before + word.width() <= at, "half of the word at {before} is accessed");
        }
        (self.words.range(at..end).next().map_or(end, |(word, _)| *word), None)
    }

    /// A word has one width for everybody: of a wider access, half may be new while the other half is old.
    fn check_width(&self, at: usize, width: usize) {
        let (next, _) = self.piece(at, at + width);
        assert!(next == at + width, "the word at {at} is accessed as if it had {width} bytes");
    }

    fn load(&self, at: usize, to: &mut [u8]) {
        let (mut from, end) = (at, at + to.len());
        while from < end {
            let (next, word) = self.piece(from, end);
            let to = &mut to[from - at..next - at];
            match word {
                Some(word) => {
                    self.turn.store(0, Ordering::Relaxed);
                    word.load(to);
                }
                None => {
                    for (byte, cell) in to.iter_mut().zip(&self.bytes[from..next]) {
                        // SAFETY: the cell is alive; loom has just checked that nobody else is in it.
                        *byte = cell.with(|byte| unsafe { *byte });
                    }
                }
            }
            from = next;
        }
    }

    fn store(&self, at: usize, from: &[u8]) {
        let (mut to, end) = (at, at + from.len());
        while to < end {
            let (next, word) = self.piece(to, end);
            let from = &from[to - at..next - at];
            match word {
                Some(word) => {
                    self.turn.store(0, Ordering::Relaxed);
                    word.store(from);
                    self.publish(to);
                }
                None => (to..next).zip(from).for_each(|(at, byte)| self.store_byte(at, *byte)),
            }
            to = next;
        }
    }

    fn store_byte(&self, at: usize, value: u8) {
        let late = MUTANT
            .with_borrow(|mutant| matches!(mutant, Some(Mutant::PublishedTooEarly { data, .. }) if data.contains(&at)));
        if late {
            self.late.borrow_mut().push((at, value));
        } else {
            // SAFETY: as in `load`.
            self.bytes[at].with_mut(|byte| unsafe { *byte = value });
        }
    }

    /// The word at `at` was stored: what a mutant held back for it follows now.
    fn publish(&self, at: usize) {
        let due = MUTANT
            .with_borrow(|mutant| matches!(mutant, Some(Mutant::PublishedTooEarly { index, .. }) if *index == at));
        if due {
            for (at, value) in self.late.take() {
                // SAFETY: as in `load`.
                self.bytes[at].with_mut(|byte| unsafe { *byte = value });
            }
        }
    }
}

/// Runs `access` with the memory of the model and the offset of an address, if that lies in it.
fn with_cells<T>(address: usize, access: impl FnOnce(&Cells, usize) -> T) -> Option<T> {
    // Not borrowed while the access runs: loom may switch to another thread in the middle of it.
    let cells = MEMORY.with_borrow(Clone::clone)?;
    let offset = address.checked_sub(BASE).filter(|offset| *offset <= cells.bytes.len())?;
    Some(access(&cells, offset))
}

const OUTSIDE: &str = "memory outside the model";

macro_rules! atomic {
    ($name:ident, $int:ty) => {
        /// Stands in for the atomic type of this name: the place, not the value.
        pub(crate) struct $name(usize);

        impl $name {
            /// # Safety
            /// None needed; the signature is that of the type it stands in for.
            pub(crate) unsafe fn from_ptr(at: *mut $int) -> Self {
                Self(at.addr())
            }

            pub(crate) fn load(&self, _: Ordering) -> $int {
                let mut bytes = [0; size_of::<$int>()];
                with_cells(self.0, |cells, at| {
                    cells.check_width(at, bytes.len());
                    cells.load(at, &mut bytes);
                })
                .expect(OUTSIDE);
                <$int>::from_ne_bytes(bytes)
            }

            pub(crate) fn store(&self, value: $int, _: Ordering) {
                with_cells(self.0, |cells, at| {
                    cells.check_width(at, size_of::<$int>());
                    cells.store(at, &value.to_ne_bytes());
                })
                .expect(OUTSIDE);
            }
        }
    };
}

atomic!(AtomicU8, u8);
atomic!(AtomicU16, u16);
atomic!(AtomicU32, u32);

/// Stands in for [`core::sync::atomic::fence`].
#[track_caller]
pub(crate) fn fence(order: Ordering) {
    let caller = Location::caller();
    let barrier = Barrier { file: caller.file(), line: caller.line() };
    BARRIERS.with_borrow_mut(|seen| seen.insert(barrier));
    if MUTANT.with_borrow(|mutant| *mutant != Some(Mutant::WithoutBarrier(barrier))) {
        modelled::fence(order);
    }
}

/// Stands in for [`core::ptr::copy_nonoverlapping`] between the model's memory and other memory.
///
/// # Safety
/// As there, for the side that is not the model's.
pub(crate) unsafe fn copy_nonoverlapping(from: *const u8, to: *mut u8, len: usize) {
    let read = with_cells(from.addr(), |cells, at| {
        // SAFETY: the caller's promise: `to` is memory of at least `len` bytes that nobody else uses.
        cells.load(at, unsafe { core::slice::from_raw_parts_mut(to, len) });
    });
    if read.is_none() {
        // SAFETY: the caller's promise: `from` is memory of at least `len` bytes that nobody writes.
        let from = unsafe { core::slice::from_raw_parts(from, len) };
        with_cells(to.addr(), |cells, at| cells.store(at, from)).expect(OUTSIDE);
    }
}

/// Stands in for [`core::ptr::write_bytes`].
///
/// # Safety
/// None needed; the signature is that of the function it stands in for.
pub(crate) unsafe fn write_bytes(to: *mut u8, value: u8, len: usize) {
    let bytes = std::vec![value; len];
    with_cells(to.addr(), |cells, at| cells.store(at, &bytes)).expect(OUTSIDE);
}
