//! The desired state: what a manifest asks for, after its modules were prepared and checked.

use std::sync::Arc;

use coracle_container::ContainerSpec;
use coracle_policy::{Core, MoveRules, WakeRule};
use serde::{Deserialize, Serialize};

/// Where a container may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "there are few containers, and plans are not moved around")]
pub enum Placement {
    /// On one core only.
    Fixed(Core),
    /// On either.
    Any {
        /// Where it starts.
        prefer: Core,
        /// When it moves.
        moves: MoveRules,
    },
}

impl Placement {
    /// Where the container starts.
    #[must_use]
    pub fn initial(&self) -> Core {
        match self {
            Placement::Fixed(core) => *core,
            Placement::Any { prefer, .. } => *prefer,
        }
    }
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What is deployed.
    pub spec: ContainerSpec,
    /// Where.
    pub placement: Placement,
    /// The prepared module.
    pub module: Arc<Vec<u8>>,
    /// The names of its functions, as a module that has nothing else.
    pub names: Arc<Vec<u8>>,
}

impl Plan {
    /// Whether the other plan differs in the configuration alone, which a container can take while it runs.
    #[must_use]
    pub fn is_same_but_config(&self, other: &Self) -> bool {
        let mut like = self.clone();
        like.spec.grants.config = other.spec.grants.config.clone();
        like == *other
    }
}

/// All that is desired. Stored, so that the next supervisor knows it without being told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Desired {
    /// The containers.
    pub plans: Vec<Plan>,
    /// When M may wake A.
    pub wake: Vec<WakeRule>,
    /// Hold the sensor back while A owes an answer.
    pub lockstep: bool,
    /// Drill: a move waits until that many events are undelivered.
    pub queued_at_move: u8,
}

impl Desired {
    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Cannot fail: plain data into a growing vector.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// Reads the stored form; `None` when the bytes are not one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}
