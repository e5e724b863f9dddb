//! What an init has to do before and after the checks.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::utsname::uname;

use coracle_kernel_guest::MODULES_FOLDER;

const MOUNTS: [(&str, &str); 4] =
    [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("debugfs", "/sys/kernel/debug")];

/// Refuses to run anywhere but as the init of a test guest: this program ends by switching the machine off.
pub(crate) fn is_guest() -> bool {
    let kernel = uname().map(|name| name.release().to_string_lossy().into_owned());
    std::process::id() == 1 && kernel.is_ok_and(|release| release.contains("armmp"))
}

/// Mounts the kernel's file systems.
pub(crate) fn mount_all() -> Result<()> {
    for (kind, place) in MOUNTS {
        fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("cannot mount {place}"))?;
    }
    Ok(())
}

/// Loads the kernel modules, and says how many.
pub(crate) fn load_modules() -> Result<usize> {
    let mut modules = fs::read_dir(MODULES_FOLDER)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .with_context(|| format!("cannot read {MODULES_FOLDER}"))?;
    modules.sort();
    for module in &modules {
        load(module).with_context(|| format!("cannot load {}", module.display()))?;
    }
    if modules.is_empty() {
        bail!("{MODULES_FOLDER} is empty");
    }
    Ok(modules.len())
}

fn load(module: &Path) -> Result<()> {
    finit_module(File::open(module)?, c"", ModuleInitFlags::empty())?;
    Ok(())
}

/// The kernel's log.
pub(crate) fn kernel_log() -> String {
    let mut text = vec![0; KERNEL_LOG_BYTES];
    let Ok(file) = File::open("/dev/kmsg") else { return "no kernel log".into() };
    if nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).is_err() {
        return "no kernel log".into();
    }
    let mut log = String::new();
    // One read = one record: `priority,sequence,time,flags;text`.
    while let Ok(len) = std::io::Read::read(&mut &file, &mut text) {
        let record = String::from_utf8_lossy(text.get(..len).unwrap_or_default());
        // Lines of a record after the first name its device.
        log.extend(record.split_once(';').and_then(|(_, message)| message.split_inclusive('\n').next()));
    }
    log
}

/// Longest record of the kernel's log, in bytes.
const KERNEL_LOG_BYTES: usize = 8192;

/// Switches the machine off.
pub(crate) fn power_off() -> ! {
    match reboot(RebootMode::RB_POWER_OFF) {
        Ok(never) => match never {},
        // An init that ends makes the kernel panic, which ends the emulator too.
        Err(error) => panic!("cannot switch off: {error}"),
    }
}
