//! The bytes of everything that crosses between the cores, pinned: one test file for each version of the protocol.
//!
//! All is in `tests/`; this library is empty.
#![no_std]
