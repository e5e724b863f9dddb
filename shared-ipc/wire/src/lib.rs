//! (stub)
#![no_std]
