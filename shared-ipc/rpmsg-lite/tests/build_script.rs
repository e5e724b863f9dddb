//! The tests of the parts of the build script that decide.

#[path = "../build/config.rs"]
mod config;
#[path = "../build/symbols.rs"]
mod symbols;
