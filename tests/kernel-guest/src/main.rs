//! `coracle-kernel-guest`: the init of the kernel test's guest. It loads the drivers, does the checks, reports each on
//! the console and switches the machine off.
#![forbid(unsafe_code)]

mod checks;
mod supervisor;
mod system;

use std::process::ExitCode;

use coracle_kernel_guest::{CHECKS, Line};

fn main() -> ExitCode {
    if !system::is_guest() {
        eprintln!("this is the init of the kernel test's guest and runs nowhere else");
        return ExitCode::FAILURE;
    }
    if let Err(error) = system::mount_all() {
        println!("{error:#}");
        system::power_off();
    }
    let mut session = checks::Session::default();
    let mut failed = false;
    for name in CHECKS.iter().copied() {
        let result = session.check(name);
        failed |= result.is_err();
        let line = match result {
            Ok(detail) => Line::Check { name: name.into(), passed: true, detail },
            Err(error) => Line::Check { name: name.into(), passed: false, detail: format!("{error:#}") },
        };
        println!("{line}");
        // At once: a stop of the core takes it away.
        if let (Line::Check { passed: false, .. }, Ok(trace)) = (&line, checks::trace()) {
            println!("the M core's trace:\n{}", trace.trim_end());
        }
    }
    if failed {
        println!("the kernel's log:\n{}", system::kernel_log().trim_end());
    }
    println!("{}", Line::End);
    system::power_off()
}
