//! What one core tells the other about a container that it shall hold.

use coracle_guest_abi::host::{Grants, Name};
use coracle_migrate::snapshot::DigestBytes;
use serde::{Deserialize, Serialize};

/// Largest encoded [`ContainerSpec`], in bytes.
pub const SPEC_BYTES_MAX: usize = 4096;
/// Largest linear memory a container may have on either core, in bytes.
pub const MEMORY_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// Longest event queue.
pub const QUEUE_LEN_MAX: u16 = coracle_migrate::snapshot::EVENTS_MAX as u16;

/// What a container may use up. The same units on both cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Linear memory in bytes.
    pub memory: u32,
    /// Fuel one event (or `init`) may cost, in the engine's units.
    pub fuel_per_event: u64,
    /// Events that may wait.
    pub queue: u16,
}

/// A container as it is deployed to a core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Its name, unique on the machine.
    pub name: Name,
    /// SHA-256 of the prepared module's bytes.
    pub image: DigestBytes,
    /// Whether it may move between the cores. Portable containers are checkpointed after every event.
    pub portable: bool,
    /// Limits.
    pub limits: Limits,
    /// Grants and configuration.
    pub grants: Grants,
}
