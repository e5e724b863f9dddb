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

/// The most entries in one list of grants; of [`MAX_FILES`] there are fewer.
pub const MAX_GRANTS: usize = 8;

/// The most addresses in the grant of one I2C bus.
pub const MAX_I2C_ADDRESSES: usize = 8;

/// The largest key-value store of a container, in bytes.
pub const MAX_KV_BYTES: u16 = 4096;

/// The longest name of a host, in bytes: that of DNS.
pub const MAX_HOST_BYTES: usize = 253;

/// The most folders that a container sees.
pub const MAX_FILES: usize = 4;

/// The longest path of a granted folder, on either side, in bytes.
pub const MAX_FOLDER_PATH_BYTES: usize = 255;

/// The most arguments of a container.
pub const MAX_ARGS: usize = 8;

/// The longest argument, in bytes.
pub const MAX_ARG_BYTES: usize = 63;

/// The most entries in a container's `config`.
pub const MAX_CONFIG_ENTRIES: usize = 16;

/// The longest config value as text, in bytes.
pub const MAX_CONFIG_VALUE_BYTES: usize = 63;

/// The largest linear memory of a container, in bytes.
pub const MAX_MEMORY_BYTES: u32 = 16 << 20;

/// The linear memory of a container that names no limit, in bytes.
pub const DEFAULT_MEMORY_BYTES: u32 = 64 << 10;

/// The smallest engine stack, in bytes.
pub const MIN_STACK_BYTES: u32 = 512;

/// The largest engine stack, in bytes.
pub const MAX_STACK_BYTES: u32 = 32 << 10;

/// The engine stack of a container that names no limit, in bytes.
pub const DEFAULT_STACK_BYTES: u32 = 8 << 10;

/// The largest table, in elements.
pub const MAX_TABLE_ELEMENTS: u32 = 4096;

/// The table of a container that names no limit, in elements.
pub const DEFAULT_TABLE_ELEMENTS: u32 = 1024;

/// The most fuel for one event.
pub const MAX_FUEL_PER_EVENT: u64 = 1_000_000_000_000;

/// The fuel for one event of a container that names no limit.
pub const DEFAULT_FUEL_PER_EVENT: u64 = 10_000_000;

/// The most fuel for a second.
pub const MAX_FUEL_PER_SECOND: u64 = 1_000_000_000_000;

/// The fuel for a second of a container that names no limit: 0, which is no limit.
pub const DEFAULT_FUEL_PER_SECOND: u64 = 0;

/// The longest queue of a container, in events: as many as a snapshot holds.
pub const MAX_QUEUE_EVENTS: u16 = 64;

/// The queue of a container that names no limit, in events.
pub const DEFAULT_QUEUE_EVENTS: u16 = 16;

/// The most timers of a container.
pub const MAX_TIMERS: u8 = 8;

/// The timers of a container that names no limit.
pub const DEFAULT_TIMERS: u8 = 4;

/// The most subscriptions of a container: one for each topic that can be granted.
pub const MAX_SUBSCRIPTIONS: u8 = MAX_GRANTS as u8;

/// The subscriptions of a container that names no limit.
pub const DEFAULT_SUBSCRIPTIONS: u8 = MAX_SUBSCRIPTIONS;

/// The most open handles of a container.
pub const MAX_HANDLES: u8 = 32;

/// The open handles of a container that names no limit.
pub const DEFAULT_HANDLES: u8 = 16;

/// The most lines of a container's log in a second.
pub const MAX_LOGS_PER_SECOND: u16 = 1000;

/// The lines of its log in a second of a container that names no limit.
pub const DEFAULT_LOGS_PER_SECOND: u16 = 20;

/// The largest message payload and bus transfer of a container, in bytes.
pub const MAX_PAYLOAD_BYTES: u16 = 192;

/// The payload of a container that names no limit, in bytes.
pub const DEFAULT_PAYLOAD_BYTES: u16 = MAX_PAYLOAD_BYTES;

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
