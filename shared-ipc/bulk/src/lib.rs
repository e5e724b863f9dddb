//! Shared memory outside the vrings: the bulk areas for payloads over one RPMsg buffer, and the retained slots in which
//! the M core keeps checkpoints that outlive its reset.
//!
//! Each area has one writing core, which alone allocates; the other core reads by descriptor and checks everything.
//! This crate sends no messages: who may free a block is a matter of the protocol above (the answer to the message
//! that carried the descriptor gives it back).
#![no_std]
#![forbid(unsafe_code)]

mod area;
mod retained;

pub use area::{BLOCKS_MAX, BulkError, BulkReader, BulkRef, BulkWriter, GRANULE_BYTES, Refusals};
pub use retained::{RetainedReader, RetainedWriter, SLOTS_MAX};
