//! The firmware under the kernel's own drivers.

use coracle_kernel_guest::{ECHO_FIRMWARE, SUPERVISOR_FIRMWARE};
use coracle_test_kernel::{BOARD, Machine, build, judge, packages};
use coracle_test_qemu::firmware_of;

/// Says why the test is left out; fails instead where it must run.
fn skip(reason: &str) {
    let required = std::env::var("CI_REQUIRE_QEMU").is_ok_and(|value| value == "1");
    assert!(!required, "{reason}, and CI_REQUIRE_QEMU=1 requires the kernel test");
    println!("SKIPPED: {reason}");
}

#[test]
fn the_kernel_loads_and_drives_the_firmware() {
    let missing = build::missing_tools();
    if !missing.is_empty() {
        return skip(&format!("{} not found; `cargo xtask setup` installs what is missing", missing.join(", ")));
    }
    let kernel = match packages::kernel() {
        Ok(kernel) => kernel,
        Err(error) => return skip(&format!("no Debian kernel: {error}")),
    };
    let init = build::guest_program().expect("the guest's program builds");
    let mailbox = build::mailbox_program().expect("the mailbox builds");
    let echo = firmware_of(BOARD, "echo").expect("the firmware builds");
    let supervisor = firmware_of(BOARD, "coracle-firmware-qemu-an500").expect("the firmware builds");
    let firmware = [(ECHO_FIRMWARE, echo.as_path()), (SUPERVISOR_FIRMWARE, supervisor.as_path())];
    let machine = Machine { kernel: &kernel, init: &init, firmware: &firmware, mailbox: &mailbox };
    let run_dir = tempfile::tempdir().expect("a directory for the run");
    let ended = machine.run(run_dir.path()).expect("the machine runs");
    let wrong = judge(&ended.console);
    println!("{}\n{:?}", ended.console, ended.mailbox);
    assert!(wrong.is_empty(), "{wrong:#?}\nthe M core's console:\n{}", ended.m_console);
    let [_, returned] = ended.mailbox.from_m;
    assert!(returned > 0, "no writer was ever told that M returned buffers, so none had to wait: {:?}", ended.mailbox);
}
