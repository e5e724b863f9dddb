//! Firmware of the board `qemu-an386`: the supervisor on the board.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod firmware {
    use coracle_board_api::{Reset as _, Sleep as _, debug, info};
    use coracle_firmware_qemu_an386::constants::{BUDGET, NAME, SHARED};
    use coracle_firmware_qemu_an386::{heap_use, start};
    use coracle_m_supervisor::{Activity, Core};

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let mut board = start();
        info!("board {} up, reset reason {}", NAME, board.reset.reason());
        let Ok(mut core) = Core::new(board.shared, &SHARED, BUDGET) else {
            panic!("the shared memory is smaller than its layout");
        };
        let (mut peak_bytes, mut containers) = (0, 0);
        loop {
            match core.run_once(&mut board) {
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
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is firmware: build it with --target thumbv7em-none-eabihf --profile firmware");
}
