//! The defmt logger: frames go into the log ring of the shared memory, with the time of this core.
//!
//! A full ring drops frames and counts them; logging never waits for the A core.

use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, Ordering};

use coracle_board_api::Clock as _;
use coracle_board_api::log_ring::{Encoding, Producer};
use coracle_shmem::Region;
use critical_section::{Mutex, RestoreState};
use defmt::Encoder;

use crate::board;

defmt::timestamp!("{=u64:us}", board::clock().now_us());

/// Everything that is valid only between `acquire` and `release`, that is with interrupts masked.
struct State {
    ring: Option<Producer<'static>>,
    encoder: Encoder,
    restore: RestoreState,
}

static STATE: Mutex<RefCell<State>> =
    Mutex::new(RefCell::new(State { ring: None, encoder: Encoder::new(), restore: RestoreState::invalid() }));

/// True between `acquire` and `release`.
static BUSY: AtomicBool = AtomicBool::new(false);

/// Opens the ring in `region`. Lines logged before are lost.
pub(crate) fn start(region: Region<'static>) {
    // Succeeds: the board file's reader checked the size. Without a ring, lines would be lost and nothing else.
    let ring = Producer::open(region, Encoding::Defmt, build_id()).ok();
    critical_section::with(|section| STATE.borrow_ref_mut(section).ring = ring);
}

/// Makes the logger usable although a line is half written, because the program died in it. The half line is dropped.
pub(crate) fn break_free() {
    BUSY.store(false, Ordering::Relaxed);
}

#[defmt::global_logger]
struct Logger;

/// Runs `f` on the state. Must be called with interrupts masked, or before they are of use.
fn with_state(f: impl FnOnce(&mut State)) {
    critical_section::with(|section| {
        // A panic below would itself log; a line that cannot be written is dropped instead.
        if let Ok(mut state) = STATE.borrow(section).try_borrow_mut() {
            f(&mut state);
        }
    });
}

// SAFETY: interrupts stay masked from `acquire` to `release`, so no other line can start in between on this single core;
// a second `acquire` without `release` (a line inside a line) panics, as the trait asks.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: released in `release`, in reverse order; a panic in between ends in a reset.
        let restore = unsafe { critical_section::acquire() };
        if BUSY.swap(true, Ordering::Relaxed) {
            panic!("a log line was written while another one was being written");
        }
        with_state(|state| {
            state.restore = restore;
            let State { ring, encoder, .. } = state;
            if let Some(ring) = ring {
                ring.begin();
                encoder.start_frame(|bytes| ring.push(bytes));
            }
        });
    }

    unsafe fn flush() {
        // The A core reads when it wants to; there is nothing to wait for.
    }

    unsafe fn release() {
        let mut restore = RestoreState::invalid();
        with_state(|state| {
            let State { ring, encoder, .. } = state;
            if let Some(ring) = ring {
                encoder.end_frame(|bytes| ring.push(bytes));
                // Dropped lines are counted in the ring's header, where the reader finds them.
                let _published = ring.commit();
            }
            restore = state.restore;
        });
        BUSY.store(false, Ordering::Relaxed);
        // SAFETY: pairs with the `acquire` above, whose state this is.
        unsafe { critical_section::release(restore) };
    }

    unsafe fn write(bytes: &[u8]) {
        with_state(|state| {
            let State { ring, encoder, .. } = state;
            if let Some(ring) = ring {
                encoder.write(bytes, |bytes| ring.push(bytes));
            }
        });
    }
}

/// The first 8 bytes of the build id that the linker put into the program.
fn build_id() -> u64 {
    /// Bytes of an ELF note before the id: three lengths and types of 4 bytes, and the name `GNU\0`.
    const NOTE_HEADER_BYTES: usize = 16;
    // SAFETY: the linker script defines the symbol at the note, which is at least this long; the type is bytes, so any
    // content is valid.
    unsafe extern "C" {
        #[link_name = "__build_id"]
        static BUILD_ID: [u8; NOTE_HEADER_BYTES + 8];
    }
    // SAFETY: the linker script places the note there, whose id is 20 bytes long (SHA-1), in memory that is never
    // written.
    let note = unsafe { &BUILD_ID };
    note.last_chunk().map_or(0, |id| u64::from_le_bytes(*id))
}
