//! Why a module cannot become a container here.

use alloc::string::String;
use core::fmt::{self, Write};

use coracle_guest_abi::GrantKind;
use coracle_migrate::snapshot::SnapshotError;

/// Longest text in a [`LoadError`], in bytes; a longer one is cut.
pub const DETAIL_BYTES_MAX: usize = 96;

/// Why [`crate::Container::load`] or [`crate::Container::restore`] refused. The codes of [`LoadError::code`] are stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// The bytes are not the image that the specification names.
    Digest,
    /// The bytes are no module that this core runs.
    NotWasm {
        /// What the engine says, with an offset where it knows one.
        detail: String,
    },
    /// An import that does not exist, has another type, or is not granted.
    Import {
        /// Import module name.
        module: String,
        /// Import field name.
        name: String,
        /// The grant to add, or `None` when no grant would help.
        grant: Option<GrantKind>,
    },
    /// The module starts with more memory than its limit.
    Memory {
        /// Bytes it starts with.
        need: u64,
        /// `limits.memory` in bytes.
        limit: u32,
    },
    /// A required export is missing or has another type.
    MissingExport {
        /// Its name.
        name: &'static str,
    },
    /// The module is valid, but its initial data or tables do not fit, or this core has no memory left for it.
    Instantiate {
        /// What the engine says.
        detail: String,
    },
    /// More mutable globals than a snapshot carries.
    TooManyGlobals,
    /// The snapshot belongs to another image.
    SnapshotImage,
    /// The snapshot's memory length is not one this module can have within its limit.
    SnapshotMemory {
        /// The length in the snapshot, in bytes.
        len: u32,
    },
    /// The snapshot's globals differ in number or type from the module's.
    SnapshotGlobals,
    /// An import that exists on the A core alone.
    OtherCore {
        /// Import module name.
        module: String,
        /// Import field name.
        name: String,
    },
    /// It exports both `on_event` and `_start`.
    BothStyles,
    /// The snapshot's key-value store is malformed or over its quota.
    SnapshotKv,
}

impl LoadError {
    /// The stable number of the error.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            LoadError::Digest => 1,
            LoadError::NotWasm { .. } => 2,
            LoadError::Import { .. } => 3,
            LoadError::Memory { .. } => 4,
            LoadError::MissingExport { .. } => 5,
            LoadError::Instantiate { .. } => 6,
            LoadError::TooManyGlobals => 7,
            LoadError::SnapshotImage => 8,
            LoadError::SnapshotMemory { .. } => 9,
            LoadError::SnapshotGlobals => 10,
            LoadError::OtherCore { .. } => 11,
            LoadError::BothStyles => 12,
            LoadError::SnapshotKv => 13,
            // 14 is the A core's alone.
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Digest => f.write_str("the module's digest differs from the image's: transfer it again"),
            LoadError::NotWasm { detail } => write!(f, "not a module this core runs: {detail}; prepare it again"),
            LoadError::Import { module, name, grant: Some(grant) } => {
                write!(f, "import {module} {name} is not granted: add `{}` to the grants", grant.key())
            }
            LoadError::Import { module, name, grant: None } => {
                write!(f, "import {module} {name} does not exist with that type: build against this SDK version")
            }
            LoadError::Memory { need, limit } => {
                write!(f, "needs {need} bytes of memory, limit {limit}: raise limits.memory")
            }
            LoadError::MissingExport { name } => {
                write!(f, "the module does not export {name} with the right type: export it")
            }
            LoadError::Instantiate { detail } => write!(f, "cannot be instantiated: {detail}"),
            LoadError::TooManyGlobals => f.write_str("more mutable globals than a snapshot carries: use memory"),
            LoadError::SnapshotImage => f.write_str("the snapshot belongs to another image: deploy that image"),
            LoadError::SnapshotMemory { len } => {
                write!(f, "the snapshot's {len} bytes of memory do not fit the module and its limit")
            }
            LoadError::SnapshotGlobals => f.write_str("the snapshot's globals do not fit the module"),
            LoadError::OtherCore { module, name } => {
                write!(f, "import {module} {name} exists on the A core alone: deploy the container there")
            }
            LoadError::BothStyles => {
                f.write_str("the module exports both on_event and _start: keep the one that it is written for")
            }
            LoadError::SnapshotKv => {
                f.write_str("the snapshot's key-value store is damaged or over its quota: raise grants.kv")
            }
        }
    }
}

impl core::error::Error for LoadError {}

/// Why [`crate::Container::capture`] gave no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureError {
    /// The container is handling an event, or ended: only an idle one is at a safe point.
    NotIdle,
    /// The state does not fit the format or the buffer.
    Snapshot(SnapshotError),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CaptureError::NotIdle => f.write_str("the container is not between events"),
            CaptureError::Snapshot(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for CaptureError {}

impl From<SnapshotError> for CaptureError {
    fn from(e: SnapshotError) -> Self {
        CaptureError::Snapshot(e)
    }
}

/// The start of what `value` displays, at most [`DETAIL_BYTES_MAX`] bytes: names come from the module.
pub(crate) fn detail(value: impl fmt::Display) -> String {
    struct Cut(String);
    impl Write for Cut {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            for c in s.chars() {
                if self.0.len() + c.len_utf8() > DETAIL_BYTES_MAX {
                    return Err(fmt::Error);
                }
                self.0.push(c);
            }
            Ok(())
        }
    }
    let mut cut = Cut(String::new());
    // An error only says that the text was cut.
    let _ = write!(cut, "{value}");
    cut.0
}
