//! The containers of the simulation and what is desired of them.

use std::sync::{Arc, LazyLock};

use coracle_container::{ContainerSpec, Grants, Limits, List, SensorGrant};
use coracle_engine::EngineHandle;
use coracle_model::{Desired, Placement, Plan};
use coracle_policy::{Core, MoveCondition, MoveRule, MoveRules, WakeRule};
use coracle_prepare::{AdmissionLimits, Prepared, prepare};

static ENGINE: LazyLock<EngineHandle> = LazyLock::new(|| EngineHandle::new().unwrap());

/// The one engine of the process: it keeps compiled modules.
#[must_use]
pub fn engine() -> EngineHandle {
    ENGINE.clone()
}

/// A plan for the module `text`.
#[must_use]
pub fn plan(name: &str, text: &str, memory: u32, queue: u16, placement: Placement, grants: Grants) -> Plan {
    let Prepared { bytes, digest, portable, names, .. } =
        prepare(&wat::parse_str(text).unwrap(), &AdmissionLimits { memory }).unwrap();
    let limits = Limits { memory, fuel_per_event: 2_000_000, queue, ..Limits::default() };
    let (name, portable) = (name.try_into().unwrap(), portable.is_ok());
    let spec = ContainerSpec { name, image: digest, portable, seed: [7; 16], limits, grants };
    Plan { spec, placement, module: Arc::new(bytes), names: Arc::new(names) }
}

fn names(list: &[&str]) -> List<coracle_guest_abi::Name, 8> {
    list.iter().map(|n| (*n).try_into().unwrap()).collect()
}

fn sensor(name: &str) -> List<SensorGrant, 8> {
    [SensorGrant { name: name.try_into().unwrap(), rate_hz: 0, exclusive: false }].into_iter().collect()
}

/// Publishes four messages a sensor block and wakes A at blocks 12 to 17.
#[must_use]
pub fn sentinel() -> Plan {
    let grants = Grants {
        sensors: sensor("accel0"),
        publish: names(&["vibration/summary"]),
        wake: names(&["fault"]),
        ..Grants::default()
    };
    plan("sentinel", include_str!("wat/sentinel.wat"), 2048, 16, Placement::Fixed(Core::M), grants)
}

/// Publishes on `diagnosis` for every wake.
#[must_use]
pub fn diagnose() -> Plan {
    let grants = Grants { publish: names(&["diagnosis"]), ..Grants::default() };
    plan("diagnose", include_str!("wat/diagnose.wat"), 16 * 1024, 4, Placement::Fixed(Core::A), grants)
}

/// Follows the messages; goes to A on a diagnosis and back after `stay` events. Pinned, it stays on M.
#[must_use]
pub fn tracker(stay: u32, pinned: bool) -> Plan {
    let grants = Grants { subscribe: names(&["vibration/summary"]), ..Grants::default() };
    let mut moves = MoveRules::new();
    if !pinned {
        let message = MoveCondition::Message { topic: "diagnosis".try_into().unwrap() };
        moves.push(MoveRule { to: Core::A, when: message, min_stay_events: 0 }).unwrap();
        let handled = MoveCondition::Handled { events: stay };
        moves.push(MoveRule { to: Core::M, when: handled, min_stay_events: 0 }).unwrap();
    }
    let placement = Placement::Any { prefer: Core::M, moves };
    plan("tracker", include_str!("wat/tracker.wat"), 3072, 16, placement, grants)
}

/// Never ends its first run.
#[must_use]
pub fn spinner() -> Plan {
    plan("spinner", include_str!("wat/spinner.wat"), 64, 16, Placement::Fixed(Core::M), Grants::default())
}

/// What a run is about.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What is applied.
    pub desired: Desired,
    /// Blocks that the sensor gives.
    pub blocks: u32,
}

impl Scenario {
    /// Bearing watch: one wake, a diagnosis, and unless `pinned` the tracker's two moves.
    #[must_use]
    pub fn bearing_watch(pinned: bool) -> Self {
        let wake = WakeRule {
            reason: "fault".try_into().unwrap(),
            container: "diagnose".try_into().unwrap(),
            debounce_us: 30_000_000,
            per_hour: 12,
        };
        let plans = vec![sentinel(), diagnose(), tracker(24, pinned)];
        Self { desired: Desired { plans, wake: vec![wake], lockstep: true, queued_at_move: 2 }, blocks: 40 }
    }
}
