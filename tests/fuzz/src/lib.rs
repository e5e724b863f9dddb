//! Fuzz targets: each takes any bytes and panics when the code under test did something it must not.
//!
//! They run on a committed corpus in an ordinary test, and under a coverage-guided engine by `cargo xtask fuzz`. A panic
//! of the code under test is a finding by itself; beyond that each target states what has to hold.
#![forbid(unsafe_code)]

mod bytes;
#[cfg(feature = "engines")]
mod engines;
mod host_calls;
mod link;
mod messages;
mod ring;
mod shared;
mod snapshot;
mod table;

/// A function that holds for any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name; also that of its folder in `corpus`.
    pub name: &'static str,
    /// Panics when something does not hold.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "ring_hostile_driver", run: ring::hostile_driver },
    Target { name: "ring_hostile_device", run: ring::hostile_device },
    Target { name: "messages", run: messages::messages },
    Target { name: "resource_table", run: table::resource_table },
    Target { name: "link_hostile_peer", run: link::link_hostile_peer },
    Target { name: "link_bad_line", run: link::link_bad_line },
    Target { name: "snapshot", run: snapshot::snapshot },
    #[cfg(feature = "engines")]
    Target { name: "engines", run: engines::engines },
    Target { name: "host_calls", run: host_calls::host_calls },
];
