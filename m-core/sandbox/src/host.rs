//! The data of a container's store: the host side that both cores share, with this engine's limiter.

use alloc::sync::Arc;

use coracle_container::{ContainerSpec, Kv};
use coracle_migrate::snapshot::HostState;
use wasmi::{Memory, StoreLimits, StoreLimitsBuilder};

pub(crate) type Host = coracle_container::Host<Memory, StoreLimits>;

/// The host side of a container, its memory and table held to their limits.
pub(crate) fn host(spec: Arc<ContainerSpec>, state: HostState, kv: Kv) -> Host {
    let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let limits = StoreLimitsBuilder::new()
        .instances(1)
        .memories(1)
        .memory_size(size(spec.limits.memory))
        .tables(1)
        .table_elements(size(spec.limits.table))
        .build();
    Host::new(spec, state, kv, limits)
}
