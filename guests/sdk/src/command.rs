//! Guests in command style: one function that runs from start to end and waits where it has to, as a WASI program does.
//!
//! Waiting holds no core: the container is parked until its event comes. A command cannot move to the other core.

use crate::Errno;

/// What the function of [`crate::command!`] may return.
pub trait Termination {
    /// Ends the container with the exit code that this stands for; returns for success.
    fn report(self);
}

/// Success.
impl Termination for () {
    fn report(self) {}
}

/// Success, or the errno as exit code.
impl Termination for Result<(), Errno> {
    fn report(self) {
        if let Err(errno) = self {
            // Every `Errno` is positive.
            exit(errno as i32);
        }
    }
}

/// Ends the container with an exit code; 0 is success.
///
/// # Panics
/// On a target other than `wasm32`, where there is no container to end.
pub fn exit(code: i32) -> ! {
    imports::proc_exit(code)
}

#[cfg(target_arch = "wasm32")]
mod imports {
    #![expect(unsafe_code, reason = "an import is a foreign function")]

    // SAFETY: the signature is that of WASI; only a number crosses.
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) safe fn proc_exit(code: i32) -> !;
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imports {
    pub(super) fn proc_exit(code: i32) -> ! {
        panic!("exit {code} of a guest without a core")
    }
}

/// Exports `_start` for a function without parameters whose result is a [`Termination`](crate::command::Termination);
/// once in a module, and not together with [`crate::guest!`].
///
/// ```no_run
/// use coracle_sdk::{Errno, command, log, time};
///
/// fn blink() -> Result<(), Errno> {
///     loop {
///         log::info("still here");
///         time::sleep(60_000_000)?;
///     }
/// }
///
/// command!(blink);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! command {
    ($run:path) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            #[unsafe(export_name = "_start")]
            extern "C" fn start() {
                $crate::command::Termination::report($run());
            }
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || $crate::command::Termination::report($run());
    };
}
