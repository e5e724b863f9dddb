//! Models of the rings for loom, which tries every order in which two cores can see each other's stores.
//!
//! The product's code runs in them unchanged, over [`coracle_shmem::loom::LoomMemory`]. Run by `cargo xtask loom`; empty
//! without `--cfg loom`. Small on purpose: rings of one or two entries, a few messages, so that every buffer is used
//! again while the other side may still be at it.
#![cfg(loom)]
#![forbid(unsafe_code)]

mod handshake;
mod kicks;
mod messages;

pub use handshake::{boot, kernel, restart_by_doorbell, restart_polled, words};
pub use kicks::{device_waits_for_buffer, device_waits_for_message, driver_waits_for_buffer};
pub use messages::{device_to_driver, driver_to_device};

use std::ops::Range;

use coracle_rpmsg::{Device, Driver, Geometry, Layout, VringSize};
use coracle_shmem::Region;
use coracle_shmem::loom::LoomMemory;

/// Bytes of a buffer: header and the smallest payload that a geometry allows.
const BUFFER_BYTES: usize = 24;
/// Device's address of the memory, so that a descriptor is no offset by chance.
const ADDRESS: u64 = 0x1000_0000;
/// Alignment of the used ring.
const ALIGN: usize = 4;

/// Two rings and their buffers, in a model's memory.
struct Rings {
    /// The model's memory lives as long as this.
    memory: LoomMemory,
    geometry: Geometry,
}

impl Rings {
    /// Rings of `entries` and, behind them, `more` bytes. `polled` are offset and width of further words that are read
    /// while they may be written.
    fn with_more(entries: u16, more: usize, mut polled: Vec<(usize, usize)>) -> Self {
        let geometry = geometry(entries);
        for ring in Ring::both(entries) {
            polled.extend([ring.avail_flags, ring.avail_index, ring.used_flags, ring.used_index].map(|at| (at, 2)));
        }
        Self { memory: LoomMemory::new(geometry.bytes() + more, &polled), geometry }
    }

    fn new(entries: u16) -> Self {
        Self::with_more(entries, 0, Vec::new())
    }

    fn layout(&self) -> Layout<'static> {
        Layout::contiguous(self.memory.region(), ADDRESS, self.geometry).unwrap()
    }

    /// What is behind the rings.
    fn more(&self) -> Region<'static> {
        let all = self.memory.region();
        all.sub(self.geometry.bytes(), all.len() - self.geometry.bytes()).unwrap()
    }

    /// Both ends, set up before the threads start.
    fn ends(&self) -> (Driver<'static>, Device<'static>) {
        let layout = self.layout();
        (Driver::new(&layout).unwrap(), Device::new(&layout).unwrap())
    }
}

fn geometry(entries: u16) -> Geometry {
    let vring = VringSize::new(entries, ALIGN as u32).unwrap();
    Geometry::new(vring, vring.bytes().next_multiple_of(8), BUFFER_BYTES).unwrap()
}

/// Offsets of a ring's parts in the memory, worked out from the specification rather than asked of the code under test.
#[derive(Debug, Clone)]
pub struct Ring {
    /// All descriptors.
    pub descriptors: Range<usize>,
    /// avail.flags.
    pub avail_flags: usize,
    /// avail.idx.
    pub avail_index: usize,
    /// avail.ring.
    pub avail_entries: Range<usize>,
    /// used.flags.
    pub used_flags: usize,
    /// used.idx.
    pub used_index: usize,
    /// used.ring.
    pub used_entries: Range<usize>,
}

impl Ring {
    /// Ring 0, device to driver, and ring 1.
    #[must_use]
    pub fn both(entries: u16) -> [Self; 2] {
        [0, geometry(entries).vring_bytes()].map(|start| Self::at(start, usize::from(entries)))
    }

    fn at(start: usize, entries: usize) -> Self {
        let avail = start + 16 * entries;
        let used = start + (16 * entries + 6 + 2 * entries).next_multiple_of(ALIGN);
        Self {
            descriptors: start..avail,
            avail_flags: avail,
            avail_index: avail + 2,
            avail_entries: avail + 4..avail + 4 + 2 * entries,
            used_flags: used,
            used_index: used + 2,
            used_entries: used + 4..used + 4 + 8 * entries,
        }
    }
}

/// Offsets of the buffers of ring 0 and of ring 1 in the memory.
#[must_use]
pub fn buffers(entries: u16) -> [Range<usize>; 2] {
    let start = 2 * geometry(entries).vring_bytes();
    let bytes = usize::from(entries) * BUFFER_BYTES;
    [start..start + bytes, start + bytes..start + 2 * bytes]
}
