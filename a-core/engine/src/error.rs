//! Why a module cannot become a container here.

use coracle_guest_abi::GrantKind;
use coracle_migrate::snapshot::SnapshotError;

/// The engine could not be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up Wasmtime on this machine: {0}")]
pub struct EngineError(pub(crate) String);

/// Why [`crate::Container::load`] or [`crate::Container::restore`] refused. The codes of [`LoadError::code`] are stable
/// and the same as on the M core.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The bytes are not the image that the specification names.
    #[error("the module's digest differs from the image's: fetch the image again")]
    Digest,
    /// The bytes are no module that this core runs.
    #[error("not a module this core runs: {detail}; prepare it again")]
    NotWasm {
        /// What the engine says, with an offset where it knows one.
        detail: String,
    },
    /// An import that does not exist, has another type, or is not granted.
    #[error("{}", import_message(module, name, *grant))]
    Import {
        /// Import module name.
        module: String,
        /// Import field name.
        name: String,
        /// The grant to add, or `None` when no grant would help.
        grant: Option<GrantKind>,
    },
    /// The module starts with more memory than its limit.
    #[error("needs {need} bytes of memory, limit {limit}: raise limits.memory")]
    Memory {
        /// Bytes it starts with.
        need: u64,
        /// `limits.memory` in bytes.
        limit: u32,
    },
    /// A required export is missing or has another type.
    #[error("the module does not export {name} with the right type: export it")]
    MissingExport {
        /// Its name.
        name: &'static str,
    },
    /// The module is valid, but its initial data or tables do not fit, or this core has no memory left for it.
    #[error("cannot be instantiated: {detail}")]
    Instantiate {
        /// What the engine says.
        detail: String,
    },
    /// More mutable globals than a snapshot carries.
    #[error("more mutable globals than a snapshot carries: use memory")]
    TooManyGlobals,
    /// The snapshot belongs to another image.
    #[error("the snapshot belongs to another image: deploy that image")]
    SnapshotImage,
    /// The snapshot's memory length is not one this module can have within its limit.
    #[error("the snapshot's {len} bytes of memory do not fit the module and its limit")]
    SnapshotMemory {
        /// The length in the snapshot, in bytes.
        len: u32,
    },
    /// The snapshot's globals differ in number or type from the module's.
    #[error("the snapshot's globals do not fit the module")]
    SnapshotGlobals,
    /// It exports both `on_event` and `_start`.
    #[error("the module exports both on_event and _start: keep the one that it is written for")]
    BothStyles,
    /// The snapshot's key-value store is malformed or over its quota.
    #[error("the snapshot's key-value store is damaged or over its quota: raise grants.kv")]
    SnapshotKv,
    /// A granted folder cannot be opened.
    #[error("the folder {host}, granted as {guest}, cannot be opened: {detail}; create it or change grants.files")]
    Folder {
        /// The path that the guest sees.
        guest: String,
        /// The folder on this core.
        host: String,
        /// What the system says.
        detail: String,
    },
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
            // 11 is the M core's alone.
            LoadError::BothStyles => 12,
            LoadError::SnapshotKv => 13,
            LoadError::Folder { .. } => 14,
        }
    }
}

fn import_message(module: &str, name: &str, grant: Option<GrantKind>) -> String {
    match grant {
        Some(grant) => format!("import {module} {name} is not granted: add `{}` to the grants", grant.key()),
        None => format!("import {module} {name} does not exist with that type: build against this SDK version"),
    }
}

/// Why [`crate::Container::capture`] gave no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// The container is handling an event, or ended: only an idle one is at a safe point.
    #[error("the container is not between events")]
    NotIdle,
    /// The state does not fit the format or the buffer.
    #[error("{0}")]
    Snapshot(#[from] SnapshotError),
}
