//! (being written)
#![no_std]
#![forbid(unsafe_code)]
mod spec;
pub use spec::{ContainerSpec, Limits, MEMORY_BYTES_MAX, QUEUE_LEN_MAX, SPEC_BYTES_MAX};
