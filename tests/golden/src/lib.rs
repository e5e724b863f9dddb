//! The bytes of everything that crosses between the cores, pinned: one file for each kind of them.
//!
//! All is in `tests/`; this library is empty.
#![no_std]
