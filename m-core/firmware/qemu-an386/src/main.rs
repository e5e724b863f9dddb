//! Firmware of the board `qemu-an386`: the supervisor on the board.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod firmware {
    use coracle_firmware_mps2::supervise;
    use coracle_firmware_qemu_an386::constants::{BUDGET, SHARED};
    use coracle_firmware_qemu_an386::start;

    #[cortex_m_rt::entry]
    fn main() -> ! {
        supervise(start(), &SHARED, BUDGET)
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is firmware: build it with --target thumbv7em-none-eabihf --profile firmware");
}
