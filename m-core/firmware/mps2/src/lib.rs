//! What the firmware of every board with an MPS2 FPGA image has in common: everything that a program can have only one
//! of (the peripherals, the interrupt handlers, the heap, the defmt logger, the trace buffer, the ways to die), and the
//! supervisor's main loop.
//!
//! A firmware package invokes [`board!`] once, which turns its board file's numbers into the statics that this crate
//! needs and into `start`. Programs call `start` once and get a [`Board`]. What the board's numbers are, and what a
//! program does, is not known here.
//!
//! On any other target the library is empty.
#![no_std]
#![cfg(target_os = "none")]
#![expect(unsafe_code, reason = "statics over peripherals, shared memory, the allocator and the logger need it")]

mod board;
mod crash;
mod devices;
mod heap;
mod logger;
mod resource_table;
mod supervise;
mod trace;

pub use board::{Board, Peripherals, Restart, start};
pub use heap::{Arena, HeapUse, heap_use};
pub use resource_table::{ResourceTable, bulk_entry, table_spec, trace_entry};
pub use supervise::supervise;
pub use trace::trace;

#[doc(hidden)]
pub use coracle_board_api::layout;
#[doc(hidden)]
pub use coracle_rpmsg::{Carveout, TableSpec, Trace};

/// Defines what a firmware package for a board is made of, from the constants that its build script generated:
/// `constants` (the board file's numbers), the ELF section `.resource_table`, and `start`.
/// To be invoked once a program, in the package's library.
#[macro_export]
macro_rules! board {
    () => {
        /// The board file's numbers.
        pub mod constants {
            use $crate::layout::{Budget, SharedLayout, Span, TimerSpec, UartSpec};

            include!(concat!(env!("OUT_DIR"), "/constants.rs"));
        }

        // SAFETY: the board file gives each of these a peripheral of its own (its reader refuses two uses of one), and
        // its chip file says what is at their addresses. `board.rs` declares this name with this type.
        #[unsafe(no_mangle)]
        static CORACLE_PERIPHERALS: $crate::Peripherals = unsafe {
            $crate::Peripherals::new(
                constants::CONSOLE,
                constants::DOORBELL,
                constants::SENSOR,
                (constants::CLOCK, constants::ALARM, constants::CLOCK_HZ),
            )
        };

        const TRACES: &[$crate::Trace<'static>] = match constants::SHARED.trace {
            Some(span) => &[$crate::trace_entry(&constants::SHARED, span)],
            None => &[],
        };
        const CARVEOUTS: &[$crate::Carveout<'static>] = &[$crate::bulk_entry(&constants::SHARED)];
        const TABLE_SPEC: $crate::TableSpec<'static> = $crate::table_spec(&constants::SHARED, CARVEOUTS, TRACES);

        // Loaders find it by its section.
        #[used]
        #[unsafe(link_section = ".resource_table")]
        static RESOURCE_TABLE: $crate::ResourceTable<{ TABLE_SPEC.bytes() }> =
            $crate::ResourceTable::new(match TABLE_SPEC.build() {
                Some(table) => table,
                None => panic!("the board's resource table is larger than what Linux maps of one"),
            });

        /// Switches the board on: heap, log, clock, doorbell, sensor line, interrupts. To be called once, first thing
        /// in `main`.
        #[must_use]
        pub fn start() -> $crate::Board {
            // Left alone at start-up: zeroing it would cost a pass over the whole arena for nothing.
            #[unsafe(link_section = ".uninit.heap")]
            static ARENA: $crate::Arena<{ constants::BUDGET.heap_bytes as usize }> = $crate::Arena::new();
            // SAFETY: the board file names this memory as shared: it exists, is mapped for ever, and nothing is linked
            // into it, so no Rust object lives there. Its address is a multiple of 8: a page at least.
            unsafe { $crate::start(constants::NAME, &constants::SHARED, RESOURCE_TABLE.region(), &ARENA) }
        }
    };
}
