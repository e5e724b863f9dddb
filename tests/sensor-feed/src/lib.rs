//! The model of a board's sensor: it plays a recorded trace to the M core over a byte stream.
//!
//! A model of the outside world, so it knows nothing of containers, of the supervisor or of the A core; the bytes are
//! those of `coracle_board_api::sensor_wire`. [`trace`] reads files, [`feed`] decides what is sent when (pure, time is
//! an argument), [`socket`] connects it to the M core's Unix socket. It does not resample, scale or filter.
#![forbid(unsafe_code)]

pub mod feed;
pub mod socket;
pub mod trace;
