//! The host side of one container: what its calls may see and change, and the limits of its store.

use alloc::{string::String, vec::Vec};

use coracle_guest_abi::{
    EFFECTS_PER_EVENT_MAX, Errno, MESSAGE_BYTES_MAX, WAKE_BYTES_MAX,
    host::{CurrentEvent, Effect, Grants, Name, Services},
};
use coracle_migrate::snapshot::HostState;
use coracle_wire::ContainerSpec;

use crate::{OwnedEffect, OwnedEvent};

/// Most payload bytes that the effects of one event hold together: one wake, and messages for the rest. Without it a
/// guest could make the core buffer a full wake payload for every effect.
pub const EFFECT_BYTES_PER_EVENT_MAX: usize = WAKE_BYTES_MAX + EFFECTS_PER_EVENT_MAX * MESSAGE_BYTES_MAX;
/// Most elements of a module's table.
pub const TABLE_ELEMENTS_MAX: usize = 4096;

/// The data of a container's store. `M` is the engine's handle of a memory, `L` its limiter.
#[derive(Debug)]
pub struct Host<M, L> {
    /// What it was deployed with.
    pub spec: ContainerSpec,
    /// The host-side state that travels with it.
    pub state: HostState,
    /// The event being handled.
    pub event: Option<OwnedEvent>,
    /// What the event caused so far.
    pub effects: Vec<OwnedEffect>,
    /// Calls refused for want of a grant.
    pub refused_calls: u32,
    /// The guest's memory; `None` until it is instantiated, and for a module without one.
    pub memory: Option<M>,
    /// Holds memory and table to their limits; growing beyond them fails the guest's way, with -1.
    pub limits: L,
}

impl<M, L> Host<M, L> {
    /// The host side of a container that handles no event.
    #[must_use]
    pub fn new(spec: ContainerSpec, state: HostState, limits: L) -> Self {
        Self { spec, state, event: None, effects: Vec::new(), refused_calls: 0, memory: None, limits }
    }
}

impl<M, L> Services for Host<M, L> {
    fn grants(&self) -> &Grants {
        &self.spec.grants
    }

    fn event(&self) -> Option<CurrentEvent<'_>> {
        self.event.as_ref().map(|e| CurrentEvent {
            kind: e.kind,
            source: e.source,
            time_us: e.time_us,
            payload: &e.payload,
        })
    }

    fn handles(&mut self) -> &mut u32 {
        &mut self.state.handles
    }

    fn effect(&mut self, effect: Effect<'_>) -> Result<(), Errno> {
        let held: usize = self.effects.iter().map(payload_bytes).sum();
        let owned = match effect {
            Effect::Log { level, text } => {
                OwnedEffect::Log { level, text: String::from_utf8(copy(text.as_bytes())?).unwrap_or_default() }
            }
            Effect::Publish { topic, payload } => OwnedEffect::Publish { topic: name(topic)?, payload: copy(payload)? },
            Effect::Wake { reason, payload } => OwnedEffect::Wake { reason: name(reason)?, payload: copy(payload)? },
        };
        if self.effects.len() >= EFFECTS_PER_EVENT_MAX
            || held + payload_bytes(&owned) > EFFECT_BYTES_PER_EVENT_MAX
            || self.effects.try_reserve(1).is_err()
        {
            return Err(Errno::Again);
        }
        self.effects.push(owned);
        Ok(())
    }

    fn refused(&mut self) {
        self.refused_calls = self.refused_calls.saturating_add(1);
    }
}

fn payload_bytes(effect: &OwnedEffect) -> usize {
    match effect {
        OwnedEffect::Log { text, .. } => text.len(),
        OwnedEffect::Publish { payload, .. } | OwnedEffect::Wake { payload, .. } => payload.len(),
    }
}

/// A copy on the heap; a full arena is the guest's `Again`, not the core's end.
fn copy(bytes: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    out.try_reserve_exact(bytes.len()).map_err(|_| Errno::Again)?;
    out.extend_from_slice(bytes);
    Ok(out)
}

fn name(text: &str) -> Result<Name, Errno> {
    // A granted name fits by its type; anything longer was refused before.
    Name::try_from(text).map_err(|_| Errno::Denied)
}
