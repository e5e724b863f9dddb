//! The supervisor's main loop.

use coracle_board_api::{Budget, SharedLayout, Sleep as _, debug};
use coracle_m_supervisor::{Activity, Core};

use crate::board::Board;
use crate::devices::devices;
use crate::heap::heap_use;

/// Runs the supervisor on the board, for ever.
///
/// # Panics
/// If the shared memory is not what the layout says. The panic handler then resets the chip.
pub fn supervise(mut board: Board, layout: &SharedLayout, budget: Budget) -> ! {
    let Ok(mut core) = Core::new(board.shared, layout, budget, Some(board.loaded_table)) else {
        panic!("the shared memory is smaller than its layout");
    };
    let mut devices = devices();
    let (mut peak_bytes, mut containers) = (0, 0);
    loop {
        match core.run_once(&mut board, &mut devices) {
            Ok(activity) => {
                // With every container that comes or goes, so that `cargo xtask size` can tell what each takes.
                let (heap, known) = (heap_use(), core.containers().count());
                let idle = matches!(activity, Activity::Idle { .. });
                if known != containers || (idle && heap.peak_bytes > peak_bytes) {
                    (peak_bytes, containers) = (heap.peak_bytes, known);
                    debug!("heap: {} bytes used, peak {} of {}", heap.used_bytes, peak_bytes, heap.size_bytes);
                }
                if let Activity::Idle { deadline_us } = activity {
                    board.sleep_until(deadline_us);
                }
            }
            // The layout was accepted above; if it is broken nevertheless, a reset is the only way out.
            Err(error) => panic!("shared memory: {error}"),
        }
    }
}
