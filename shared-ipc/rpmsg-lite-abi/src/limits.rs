//! What is of fixed size here, where the C library allocates.

use coracle_rpmsg::VRING_ENTRIES_MAX;

/// Instances at the same time: links to other cores.
pub const INSTANCES_MAX: usize = 2;
/// Endpoints of an instance, the name service's included.
pub const ENDPOINTS_MAX: usize = 16;
/// Queues of an instance.
pub const QUEUES_MAX: usize = 8;
/// Received buffers that an instance can hold: all that there can be.
pub const HELD_MAX: usize = VRING_ENTRIES_MAX;
/// Transmit buffers of an instance that the application has taken and not sent yet.
pub const ALLOCATED_MAX: usize = 32;
/// Highest link id, as in the ports of the i.MX8M family (`RL_PLATFORM_HIGHEST_LINK_ID`).
pub const LINK_ID_MAX: u32 = 15;
/// Milliseconds between two looks at the rings while a call waits (`RL_MS_PER_INTERVAL`).
pub const INTERVAL_MS: u32 = 1;
