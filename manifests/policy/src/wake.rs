//! Wake: whether an event on M is worth starting A.
//!
//! Every reason has one rule: the container on A that gets the payload, a debounce and a budget per hour. The
//! ledger applies the rules and counts what it decided. It runs on M, in sensor time.
//!
//! What it does not do: it does not know whether A is awake already, whether A answered, or which container may
//! use which reason. Whoever calls it knows.

use core::fmt;

use heapless::{Deque, Vec};
use serde::{Deserialize, Serialize};

use crate::Name;

/// The most wake rules, that is reasons, in one policy.
pub const MAX_WAKE_RULES: usize = 8;

/// The largest budget of one reason, in wakes per hour. The ledger keeps one time stamp for each.
pub const MAX_WAKES_PER_HOUR: u8 = 60;

/// The window over which a budget is counted, in microseconds: one hour, sliding.
pub const BUDGET_WINDOW_US: u64 = 3_600_000_000;

/// When one reason may wake A.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WakeRule {
    /// The reason that a container on M gives.
    pub reason: Name,
    /// The container on A that gets the payload as an event.
    pub container: Name,
    /// After a wake, further requests of this reason are refused for this long, in microseconds. 0 means never.
    pub debounce_us: u64,
    /// The most wakes in any window of one hour. Values above [`MAX_WAKES_PER_HOUR`] count as that, 0 as never.
    pub per_hour: u8,
}

/// Why a rule was not taken into a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakePolicyError {
    /// The policy already has a rule for this reason.
    DuplicateReason,
    /// The policy already holds [`MAX_WAKE_RULES`] rules.
    TooManyRules,
}

impl fmt::Display for WakePolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateReason => f.write_str("a wake reason can have only one rule"),
            Self::TooManyRules => write!(f, "at most {MAX_WAKE_RULES} wake rules are possible"),
        }
    }
}

impl core::error::Error for WakePolicyError {}

/// The wake rules of a manifest, at most one for each reason.
///
/// A table that came from a peer may break that promise; then the first rule of a reason counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WakePolicy {
    rules: Vec<WakeRule, MAX_WAKE_RULES>,
}

impl WakePolicy {
    /// A policy without rules: nothing wakes A.
    pub const fn new() -> Self {
        Self { rules: Vec::new() }
    }

    /// Appends a rule.
    pub fn push(&mut self, rule: WakeRule) -> Result<(), WakePolicyError> {
        if self.rule(&rule.reason).is_some() {
            return Err(WakePolicyError::DuplicateReason);
        }
        self.rules.push(rule).map_err(|_| WakePolicyError::TooManyRules)
    }

    /// The rules in the manifest's order.
    pub fn as_slice(&self) -> &[WakeRule] {
        &self.rules
    }

    /// The rule of a reason.
    pub fn rule(&self, reason: &str) -> Option<&WakeRule> {
        self.rules.iter().find(|rule| rule.reason == reason)
    }
}

/// The answer to a wake request. Only [`WakeDecision::Wake`] wakes A.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WakeDecision {
    /// Wake A now. The ledger has already counted this wake.
    Wake,
    /// The last wake of this reason is closer than its debounce.
    Debounced,
    /// The budget of this reason is used up for the hour that ends now.
    OverBudget,
    /// No rule names this reason.
    UnknownReason,
}

/// How often each decision was taken for one reason. Counters stop at `u32::MAX`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WakeCounts {
    /// Requests that woke A.
    pub woken: u32,
    /// Requests refused by the debounce.
    pub debounced: u32,
    /// Requests refused by the budget.
    pub over_budget: u32,
}

/// The past of one reason.
#[derive(Debug, Clone, Default)]
struct History {
    counts: WakeCounts,
    /// Times of the latest wakes, oldest first: as many as the budget can ask about.
    wakes_us: Deque<u64, { MAX_WAKES_PER_HOUR as usize }>,
}

impl History {
    fn decide(&mut self, debounce_us: u64, per_hour: u8, now_us: u64) -> WakeDecision {
        // A clock that steps back must not open the debounce or the budget early: it counts as standing still.
        let last_us = self.wakes_us.back().copied();
        let now_us = now_us.max(last_us.unwrap_or(0));
        if last_us.is_some_and(|last_us| now_us - last_us < debounce_us) {
            return WakeDecision::Debounced;
        }
        let in_window = self.wakes_us.iter().filter(|&&at_us| now_us.saturating_sub(at_us) < BUDGET_WINDOW_US).count();
        if in_window >= usize::from(per_hour.min(MAX_WAKES_PER_HOUR)) {
            return WakeDecision::OverBudget;
        }
        if self.wakes_us.is_full() {
            self.wakes_us.pop_front();
        }
        match self.wakes_us.push_back(now_us) {
            Ok(()) => WakeDecision::Wake,
            // A wake that cannot be remembered could not be limited.
            Err(_) => WakeDecision::OverBudget,
        }
    }
}

/// Applies a [`WakePolicy`] over time and counts its decisions.
///
/// Size: below 5 KiB, fixed; [`WakeLedger::replace_policy`] needs as much again on the stack while it runs.
#[derive(Debug, Clone, Default)]
pub struct WakeLedger {
    policy: WakePolicy,
    /// One entry a rule, at the same index.
    histories: Vec<History, MAX_WAKE_RULES>,
    unknown: u32,
}

// The firmware's memory budget counts on what the documentation says.
const _: () = assert!(size_of::<WakeLedger>() < 5 * 1024);

impl WakeLedger {
    /// A ledger with no past.
    pub fn new(policy: WakePolicy) -> Self {
        let mut ledger = Self::default();
        ledger.replace_policy(policy);
        ledger
    }

    /// Takes a new policy and keeps the past of the reasons that stay, so that applying a manifest again (a new
    /// supervisor on A attaches) cannot wake A earlier than the debounce and the budget allow.
    pub fn replace_policy(&mut self, policy: WakePolicy) {
        let mut histories = Vec::new();
        for rule in policy.as_slice() {
            let known = self.index(&rule.reason);
            let history = known.and_then(|index| self.histories.get_mut(index));
            // Cannot fail: both tables hold MAX_WAKE_RULES. If it did, the reason would be refused as unknown.
            let _ = histories.push(history.map(core::mem::take).unwrap_or_default());
        }
        self.histories = histories;
        self.policy = policy;
    }

    /// The policy in force.
    pub fn policy(&self) -> &WakePolicy {
        &self.policy
    }

    /// Decides on a request made at `now_us` microseconds of sensor time, and counts the decision.
    pub fn request(&mut self, reason: &str, now_us: u64) -> WakeDecision {
        let found = self.index(reason).and_then(|index| {
            let rule = self.policy.rules.get(index)?;
            Some((rule, self.histories.get_mut(index)?))
        });
        let Some((rule, history)) = found else {
            self.unknown = self.unknown.saturating_add(1);
            return WakeDecision::UnknownReason;
        };
        let decision = history.decide(rule.debounce_us, rule.per_hour, now_us);
        let counter = match decision {
            WakeDecision::Wake => &mut history.counts.woken,
            WakeDecision::Debounced => &mut history.counts.debounced,
            WakeDecision::OverBudget => &mut history.counts.over_budget,
            WakeDecision::UnknownReason => &mut self.unknown,
        };
        *counter = counter.saturating_add(1);
        decision
    }

    /// How often each decision was taken for `reason`, or `None` if no rule names it.
    pub fn counts(&self, reason: &str) -> Option<WakeCounts> {
        let history = self.histories.get(self.index(reason)?)?;
        Some(history.counts)
    }

    /// Requests whose reason no rule names.
    pub const fn unknown_reasons(&self) -> u32 {
        self.unknown
    }

    fn index(&self, reason: &str) -> Option<usize> {
        self.policy.rules.iter().position(|rule| rule.reason == reason)
    }
}
