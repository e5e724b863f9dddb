//! One set of log macros for firmware and host: they expand to `defmt` under the feature of that name, else to `log`.
//!
//! Formats are limited to plain `{}`, and arguments to types that both crates print the same way (numbers, `bool`,
//! `&str`, and types that implement both `Display` and `defmt::Format`), so that both boards print the same lines.
//! A crate that uses the macros needs neither `defmt` nor `log` among its own dependencies.
//!
//! The macros do not decide where lines go: firmware sets a defmt logger, a process a `log` one.

/// What the macros expand to; not for direct use.
#[doc(hidden)]
pub mod export {
    #[cfg(feature = "defmt")]
    pub use defmt;
    #[cfg(not(feature = "defmt"))]
    pub use log;
}

// `defmt`'s macros name the crate `defmt` by a relative path, hence the `use` in a block of its own.
#[cfg(feature = "defmt")]
#[doc(hidden)]
#[macro_export]
macro_rules! log_at {
    ($level:ident, $($arg:tt)+) => {{
        use $crate::log_facade::export::defmt;
        defmt::$level!($($arg)+)
    }};
}

#[cfg(not(feature = "defmt"))]
#[doc(hidden)]
#[macro_export]
macro_rules! log_at {
    ($level:ident, $($arg:tt)+) => {
        $crate::log_facade::export::log::$level!($($arg)+)
    };
}

/// Logs that something failed and what is lost by it.
#[macro_export]
macro_rules! error {
    ($($arg:tt)+) => { $crate::log_at!(error, $($arg)+) };
}

/// Logs that something is wrong but was dealt with.
#[macro_export]
macro_rules! warn {
    ($($arg:tt)+) => { $crate::log_at!(warn, $($arg)+) };
}

/// Logs a step that an operator wants to see.
#[macro_export]
macro_rules! info {
    ($($arg:tt)+) => { $crate::log_at!(info, $($arg)+) };
}

/// Logs detail for whoever looks for a fault.
#[macro_export]
macro_rules! debug {
    ($($arg:tt)+) => { $crate::log_at!(debug, $($arg)+) };
}
