//! Numbers of `wasi_snapshot_preview1` that the host side needs. WASI functions return these, not negated ones of Linux.

use crate::Errno;

/// Import module of the WASI functions.
pub const MODULE: &str = "wasi_snapshot_preview1";
/// Success.
pub const SUCCESS: u16 = 0;
/// `badf`: no such file descriptor.
pub const BADF: u16 = 8;
/// `inval`.
pub const INVAL: u16 = 28;
/// `notsup`: this core has no such thing.
pub const NOTSUP: u16 = 58;
/// `spipe`: the descriptor cannot be positioned.
pub const SPIPE: u16 = 70;

/// The WASI number for one of ours.
#[must_use]
pub fn errno(e: Errno) -> u16 {
    match e {
        Errno::NoEntry => 44,
        Errno::Io | Errno::RemoteIo => 29,
        Errno::NoDevice => 60,
        Errno::BadHandle => BADF,
        Errno::Again => 6,
        Errno::Denied => 2,
        Errno::Fault => 21,
        Errno::Busy => 10,
        Errno::Invalid => INVAL,
        Errno::NoSpace => 51,
        Errno::NotHere => NOTSUP,
        Errno::TooLarge => 35,
        Errno::TimedOut => 73,
    }
}
