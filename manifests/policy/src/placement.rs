//! Placement: on which core a container should be now.
//!
//! A container with `core = "any"` carries a table of rules. Each rule names the core to go to and one condition;
//! conditions count from the moment the container came to the core where it is. So a rule that fired once does
//! not fire again by itself after the container came back: `message = "diagnosis"` needs a new diagnosis.
//!
//! This module does not move anything and does not notice that a move failed: after an aborted move the state is
//! unchanged and the same rule still asks for the move. How often to retry is the supervisor's decision.

use core::fmt;

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::{Core, Name};

/// The most move rules that one container can have. One bit each in [`PlacementState`].
pub const MAX_MOVE_RULES: usize = 8;

const _: () = assert!(MAX_MOVE_RULES <= u8::BITS as usize);

/// What makes a move rule fire. New conditions are appended: the order is part of the wire format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveCondition {
    /// At least one message on this topic was published since the container came to its core.
    Message {
        /// The topic, exactly as published.
        topic: Name,
    },
    /// The container has handled at least this many events since it came to its core.
    Handled {
        /// Number of events.
        events: u32,
    },
}

/// Go to `to` once `when` holds, but not before `min_stay_events` events were handled on the current core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRule {
    /// Where the container goes. The rule is ignored while the container is there.
    pub to: Core,
    /// The condition, counted from the arrival on the current core.
    pub when: MoveCondition,
    /// Hysteresis: events to handle on the current core before the rule may fire. 0 means none.
    pub min_stay_events: u32,
}

/// The table already holds [`MAX_MOVE_RULES`] rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyMoveRules;

impl fmt::Display for TooManyMoveRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a container can have at most {MAX_MOVE_RULES} move rules")
    }
}

impl core::error::Error for TooManyMoveRules {}

/// The move rules of one container, in the manifest's order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRules {
    rules: Vec<MoveRule, MAX_MOVE_RULES>,
}

impl MoveRules {
    /// A table without rules: the container stays where it is.
    pub const fn new() -> Self {
        Self { rules: Vec::new() }
    }

    /// Appends a rule.
    pub fn push(&mut self, rule: MoveRule) -> Result<(), TooManyMoveRules> {
        self.rules.push(rule).map_err(|_| TooManyMoveRules)
    }

    /// The rules in the manifest's order.
    pub fn as_slice(&self) -> &[MoveRule] {
        &self.rules
    }

    /// Where the container should go now, or `None` if it should stay.
    ///
    /// The answer is never the core where the container already is.
    pub fn evaluate(&self, state: &PlacementState) -> Option<Core> {
        self.rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.to != state.core)
            .filter(|(_, rule)| state.handled_here >= rule.min_stay_events)
            .find(|(index, rule)| match &rule.when {
                MoveCondition::Message { .. } => state.messages_here & (1 << index) != 0,
                MoveCondition::Handled { events } => state.handled_here >= *events,
            })
            .map(|(_, rule)| rule.to)
    }
}

/// What happened to one container since it came to the core where it is. Lives on that core only: an arrival
/// starts a new one, so it never travels in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementState {
    core: Core,
    handled_here: u32,
    /// Bit `i`: a message on the topic of rule `i` was published. One bit a rule instead of a list of topics keeps
    /// the state bounded whatever is published.
    messages_here: u8,
}

impl PlacementState {
    /// The state of a container that has just come to `core`, or has just started there.
    pub const fn arrived(core: Core) -> Self {
        Self { core, handled_here: 0, messages_here: 0 }
    }

    /// The core where the container is.
    pub const fn core(&self) -> Core {
        self.core
    }

    /// Events handled since the arrival; stops counting at `u32::MAX`.
    pub const fn handled_here(&self) -> u32 {
        self.handled_here
    }

    /// The container has finished handling one event.
    pub fn event_handled(&mut self) {
        self.handled_here = self.handled_here.saturating_add(1);
    }

    /// Any container has published a message on `topic`. `rules` are the rules of this state's container.
    pub fn message_published(&mut self, rules: &MoveRules, topic: &str) {
        for (index, rule) in rules.rules.iter().enumerate() {
            if matches!(&rule.when, MoveCondition::Message { topic: of_rule } if of_rule == topic) {
                self.messages_here |= 1 << index;
            }
        }
    }
}
