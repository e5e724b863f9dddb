//! The resource table in the firmware's ELF file, where Linux's `remoteproc` looks for it.

use core::cell::UnsafeCell;

use coracle_board_api::{SharedLayout, Span};
use coracle_rpmsg::{Carveout, TableSpec, Trace, VringSize};
use coracle_shmem::Region;

/// Name of the trace buffer, as the kernel's log shows it.
const TRACE_NAME: &str = "firmware";

/// Name of the carve-out with the bulk region: that of the node in the device tree that reserves it. The kernel refuses
/// the firmware if that node does not cover it.
const BULK_NAME: &str = "m-memory";

/// The static behind the section `.resource_table`. The loader writes into it (addresses, status), so the program reads it
/// as shared memory only.
#[repr(C, align(8))]
pub struct ResourceTable<const BYTES: usize>(UnsafeCell<[u8; BYTES]>);

// SAFETY: its bytes are reached through the `Region` of `region` alone, which tolerates concurrent writers.
unsafe impl<const BYTES: usize> Sync for ResourceTable<BYTES> {}

impl<const BYTES: usize> ResourceTable<BYTES> {
    /// A table of these bytes.
    #[must_use]
    pub const fn new(table: [u8; BYTES]) -> Self {
        Self(UnsafeCell::new(table))
    }

    /// The table as it is now.
    pub fn region(&'static self) -> Region<'static> {
        // SAFETY: the bytes are those of a static in memory that can be written (they are in an `UnsafeCell`), aligned to
        // 8; nothing makes a reference to them, because they are private and this is the only use of the field.
        unsafe { Region::new(self.0.get().cast(), BYTES) }
    }
}

/// What the table of a board says.
///
/// # Panics
/// If the rings cannot be what the layout says. Meant for constants, where that stops the build.
#[must_use]
pub const fn table_spec<'a>(
    layout: &SharedLayout,
    carveouts: &'a [Carveout<'a>],
    traces: &'a [Trace<'a>],
) -> TableSpec<'a> {
    let Some(size) = VringSize::new(layout.vring_num, layout.vring_align) else {
        panic!("the board's vrings have an impossible size");
    };
    let vrings = [layout.address + layout.vring0.offset, layout.address + layout.vring1.offset];
    TableSpec { vrings, size, carveouts, traces }
}

/// The table's entry for the trace buffer of a board.
#[must_use]
pub const fn trace_entry(layout: &SharedLayout, span: Span) -> Trace<'static> {
    Trace { name: TRACE_NAME, device_address: layout.address + span.offset, bytes: span.bytes }
}

/// The table's entry for the bulk region of a board, both directions.
#[must_use]
pub const fn bulk_entry(layout: &SharedLayout) -> Carveout<'static> {
    let (to_m, to_a) = (layout.bulk_to_m, layout.bulk_to_a);
    let start = if to_m.offset < to_a.offset { to_m.offset } else { to_a.offset };
    let (end_m, end_a) = (to_m.offset + to_m.bytes, to_a.offset + to_a.bytes);
    let end = if end_m > end_a { end_m } else { end_a };
    Carveout { name: BULK_NAME, device_address: layout.address + start, bytes: end - start }
}
