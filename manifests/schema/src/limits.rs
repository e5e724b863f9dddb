//! Every bound that a manifest must keep, and the values that it gets when it says nothing.

use std::time::Duration;

/// The schema version that this crate reads: `manifest = 1`.
pub const MANIFEST_VERSION: u64 = 1;

/// The largest manifest file, in bytes.
pub const MAX_MANIFEST_BYTES: u64 = 256 << 10;

/// The most containers in a manifest.
pub const MAX_CONTAINERS: usize = 16;

/// The most sensors in a manifest.
pub const MAX_SENSORS: usize = 8;

/// The most entries in one list of grants.
pub const MAX_GRANTS: usize = 8;

/// The most entries in a container's `config`.
pub const MAX_CONFIG_ENTRIES: usize = 16;

/// The longest config value as text, in bytes.
pub const MAX_CONFIG_VALUE_BYTES: usize = 63;

/// The largest linear memory of a container, in bytes.
pub const MAX_MEMORY_BYTES: u32 = 16 << 20;

/// The linear memory of a container that names no limit, in bytes.
pub const DEFAULT_MEMORY_BYTES: u32 = 64 << 10;

/// The most fuel for one event.
pub const MAX_FUEL_PER_EVENT: u64 = 1_000_000_000_000;

/// The fuel for one event of a container that names no limit.
pub const DEFAULT_FUEL_PER_EVENT: u64 = 10_000_000;

/// The longest queue of a container, in events.
pub const MAX_QUEUE_EVENTS: u16 = 256;

/// The queue of a container that names no limit, in events.
pub const DEFAULT_QUEUE_EVENTS: u16 = 16;

/// The highest sample rate of a sensor, in samples per second.
pub const MAX_SENSOR_RATE_HZ: u32 = 1_000_000;

/// The largest block of samples in one event.
pub const MAX_BLOCK_SAMPLES: u16 = 4096;

/// The longest debounce of a wake rule.
pub const MAX_DEBOUNCE: Duration = Duration::from_secs(24 * 3600);

/// The latest `wake_after` of a scenario.
pub const MAX_WAKE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The longest name of an expected diagnosis, in bytes.
pub const MAX_DIAGNOSIS_BYTES: usize = 63;

/// The topic on which a scenario looks for the diagnosis.
pub const DIAGNOSIS_TOPIC: &str = "diagnosis";
