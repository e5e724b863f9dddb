//! The rows, made of text.

mod build;
mod calls;
mod handles;
mod limits;
mod modules;
mod pointers;
mod snapshots;
mod traps;

pub use build::neighbour;

use crate::Case;

/// What has to come of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// What image preparation says: `portable`, `bound` or `refused` with the reason's name; `skipped` where the bytes
    /// go to the engines as they are.
    pub admission: String,
    /// The outcome on the M core; `None` where it does not get there.
    pub on_m: Option<String>,
    /// The outcome on the A core; `None` where it does not get there.
    pub on_a: Option<String>,
}

/// A case and what has to come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The case; its module is what preparation made of it, where it made something.
    pub case: Case,
    /// What image preparation really said.
    pub admission: String,
    /// What has to come of it.
    pub expected: Expected,
}

/// The table.
#[must_use]
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for part in [pointers::rows, handles::rows, calls::rows, limits::rows, modules::rows, traps::rows, snapshots::rows]
    {
        rows.extend(part().into_iter().map(build::Build::finish));
    }
    rows
}
