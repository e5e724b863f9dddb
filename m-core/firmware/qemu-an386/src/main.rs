//! Firmware of the board `qemu-an386`.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod firmware {
    use coracle_board_api::Sleep as _;
    use coracle_firmware_qemu_an386::{Board, start};

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let Board { mut idle, .. } = start();
        loop {
            idle.sleep_until(None);
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is firmware: build it with --target thumbv7em-none-eabihf --profile firmware");
}
