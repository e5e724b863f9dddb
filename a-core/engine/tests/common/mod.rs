//! What the tests share: containers of modules in text, and events.

#![allow(dead_code, reason = "every test file uses some of it")]

use std::sync::{Arc, LazyLock};

use coracle_container::{ContainerSpec, Grants, Limits, OwnedEffect, OwnedEvent, Payload, Step};
use coracle_engine::{Backend, Container, EngineHandle, LoadError};
use coracle_guest_abi::EventKind;
use sha2::{Digest, Sha256};

pub(crate) const SLICE_FUEL: u64 = 1_000_000;

static ENGINES: LazyLock<[EngineHandle; 2]> =
    LazyLock::new(|| [Backend::Native, Backend::Pulley].map(|b| EngineHandle::with_backend(b).unwrap()));

/// Both back ends: what a test shows must hold on each.
pub(crate) fn engines() -> &'static [EngineHandle; 2] {
    &ENGINES
}

pub(crate) fn spec(module: &[u8], limits: Limits, grants: Grants) -> Arc<ContainerSpec> {
    let image = Sha256::digest(module).into();
    let name = "c".parse().unwrap();
    Arc::new(ContainerSpec { name, image, portable: false, seed: [7; 16], limits, grants })
}

pub(crate) fn try_load(
    engine: &EngineHandle,
    text: &str,
    limits: Limits,
    grants: Grants,
) -> Result<Container, LoadError> {
    let module = wat::parse_str(text).unwrap();
    let spec = spec(&module, limits, grants);
    Container::load(engine, &module, spec)
}

pub(crate) fn load(engine: &EngineHandle, text: &str, grants: Grants) -> Container {
    try_load(engine, text, Limits::default(), grants).unwrap()
}

/// Begins and runs until the container is done, parked or ended.
pub(crate) fn start(container: &mut Container, now_us: u64, event: Option<OwnedEvent>) -> Step {
    container.begin(event);
    go_on(container, now_us)
}

pub(crate) fn go_on(container: &mut Container, now_us: u64) -> Step {
    loop {
        match container.run(now_us, SLICE_FUEL) {
            Step::Pending => {}
            step => return step,
        }
    }
}

pub(crate) fn event(kind: EventKind, payload: &[u8]) -> OwnedEvent {
    OwnedEvent { seq: 1, kind, source: 0, tag: 0, time_us: 5, payload: Payload::new(payload.to_vec()) }
}

/// The lines that the container logged since the last time.
pub(crate) fn lines(container: &mut Container) -> Vec<String> {
    let effects = container.take_effects();
    effects.into_iter().filter_map(|e| if let OwnedEffect::Log { text, .. } = e { Some(text) } else { None }).collect()
}
