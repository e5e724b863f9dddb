//! The data of a container's store: the host side that both cores share, with this engine's limiter.

use coracle_container::TABLE_ELEMENTS_MAX;
use coracle_migrate::snapshot::HostState;
use coracle_wire::ContainerSpec;
use wasmtime::{Memory, StoreLimits, StoreLimitsBuilder};

pub(crate) type Host = coracle_container::Host<Memory, StoreLimits>;

/// The host side of a container, its memory and table held to their limits.
pub(crate) fn host(spec: ContainerSpec, state: HostState) -> Host {
    let memory = usize::try_from(spec.limits.memory).unwrap_or(usize::MAX);
    let limits = StoreLimitsBuilder::new()
        .instances(1)
        .memories(1)
        .memory_size(memory)
        .tables(1)
        .table_elements(TABLE_ELEMENTS_MAX)
        .build();
    Host::new(spec, state, limits)
}
