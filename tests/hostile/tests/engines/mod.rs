//! The A core's engine with both of its back ends.

use std::sync::{Arc, LazyLock};

use coracle_container::{OwnedEffect, OwnedEvent, Step, Usage, Waiting, execute};
use coracle_device::NoDevices;
use coracle_engine::{Backend, EngineHandle};
use coracle_migrate::snapshot::Snapshot;
use coracle_test_hostile::{Case, DAMAGED, guest};

static NATIVE: LazyLock<EngineHandle> = LazyLock::new(|| EngineHandle::with_backend(Backend::Native).unwrap());
static PULLEY: LazyLock<EngineHandle> = LazyLock::new(|| EngineHandle::with_backend(Backend::Pulley).unwrap());

/// Compiled to the processor's instructions.
pub(crate) struct Native(coracle_engine::Container);
/// Compiled to what Wasmtime interprets.
pub(crate) struct Pulley(coracle_engine::Container);

guest!(Native, 0, |case| load(&NATIVE, case).map(Native));
guest!(Pulley, 0, |case| load(&PULLEY, case).map(Pulley));

fn load(engine: &EngineHandle, case: &Case) -> Result<coracle_engine::Container, u8> {
    let spec = Arc::new(case.spec.clone());
    let loaded = match &case.snapshot {
        None => coracle_engine::Container::load(engine, &case.module, spec),
        Some(bytes) => {
            let snapshot = Snapshot::decode(bytes).map_err(|_| DAMAGED)?;
            coracle_engine::Container::restore(engine, &case.module, spec, &snapshot)
        }
    };
    loaded.map_err(|e| e.code())
}
