//! What the two decision tables promise, for random tables and random histories.
//!
//! Every run prints its seed; `CORACLE_SEED=<number>` repeats it.

use coracle_policy::{
    BUDGET_WINDOW_US, Core, MAX_MOVE_RULES, MAX_WAKE_RULES, MAX_WAKES_PER_HOUR, MoveCondition, MoveRule, MoveRules,
    Name, PlacementState, WakeDecision, WakeLedger, WakePolicy, WakeRule,
};
use proptest::prelude::{Just, Strategy, any};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proptest::{collection::vec, prop_assert, prop_assert_eq, prop_oneof};

const CASES: u32 = 512;
const MINUTE_US: u64 = 60_000_000;
const REASONS: [&str; 3] = ["fault", "battery", "unknown"];
const TOPICS: [&str; 2] = ["diagnosis", "vibration/summary"];

fn runner() -> TestRunner {
    let seed = match std::env::var("CORACLE_SEED") {
        Ok(text) => text.parse().expect("CORACLE_SEED is a number"),
        Err(_) => std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64),
    };
    eprintln!("seed: CORACLE_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

fn name(text: &str) -> Name {
    Name::try_from(text).expect("a short name")
}

fn wake_rule(reason: &str, debounce_us: u64, per_hour: u8) -> WakeRule {
    WakeRule { reason: name(reason), container: name("diagnose"), debounce_us, per_hour }
}

fn policies() -> impl Strategy<Value = WakePolicy> {
    // "unknown" gets no rule. Budgets go beyond what the ledger can remember, as a peer's table may.
    vec((0..20 * MINUTE_US, any::<u8>()), 0..=2).prop_map(|rules| {
        let mut policy = WakePolicy::new();
        for (reason, (debounce_us, per_hour)) in REASONS.iter().zip(rules) {
            policy.push(wake_rule(reason, debounce_us, per_hour % 80)).expect("two rules fit");
        }
        policy
    })
}

/// Gaps between requests: bursts, and pauses around the debounce and the window.
fn gaps() -> impl Strategy<Value = Vec<(u64, usize)>> {
    let gap = prop_oneof![Just(0), 0..MINUTE_US, 0..20 * MINUTE_US, BUDGET_WINDOW_US - 2..BUDGET_WINDOW_US + 2];
    vec((gap, 0..REASONS.len()), 0..300)
}

#[test]
fn debounce_and_budget_hold_in_every_window() {
    runner()
        .run(&(policies(), gaps(), 0..300usize), |(policy, gaps, reapply_at)| {
            let mut ledger = WakeLedger::new(policy.clone());
            let mut wakes: [Vec<u64>; 3] = Default::default();
            let mut now_us = 0;
            for (step, (gap_us, which)) in gaps.into_iter().enumerate() {
                if step == reapply_at {
                    ledger.replace_policy(policy.clone());
                }
                now_us += gap_us;
                if ledger.request(REASONS[which], now_us) == WakeDecision::Wake {
                    wakes[which].push(now_us);
                }
            }
            for (reason, wakes) in REASONS.iter().zip(&wakes) {
                let Some(rule) = policy.rule(reason) else {
                    prop_assert!(wakes.is_empty(), "{reason} has no rule but woke A");
                    continue;
                };
                for pair in wakes.windows(2) {
                    prop_assert!(pair[1] - pair[0] >= rule.debounce_us, "{rule:?}: {pair:?}");
                }
                let budget = rule.per_hour.min(MAX_WAKES_PER_HOUR);
                for (index, &start_us) in wakes.iter().enumerate() {
                    let in_window =
                        wakes[index..].iter().take_while(|&&at_us| at_us - start_us < BUDGET_WINDOW_US).count();
                    prop_assert!(
                        in_window <= usize::from(budget),
                        "{in_window} wakes in the hour from {start_us}: {rule:?}"
                    );
                }
                let counts = ledger.counts(reason).expect("a rule has counts");
                prop_assert_eq!(counts.woken as usize, wakes.len());
            }
            Ok(())
        })
        .expect("a wake broke its rule");
}

#[test]
fn a_request_that_both_limits_allow_wakes() {
    // The opposite of the property above: a ledger that always refused would pass that one.
    let mut policy = WakePolicy::new();
    policy.push(wake_rule("fault", 30_000_000, 2)).unwrap();
    let mut ledger = WakeLedger::new(policy);
    let decisions = [
        (0, WakeDecision::Wake),
        (29_999_999, WakeDecision::Debounced),
        (30_000_000, WakeDecision::Wake),
        (60_000_000, WakeDecision::OverBudget),
        (BUDGET_WINDOW_US - 1, WakeDecision::OverBudget),
        (BUDGET_WINDOW_US, WakeDecision::Wake),
    ];
    for (now_us, expected) in decisions {
        assert_eq!(ledger.request("fault", now_us), expected, "at {now_us} us");
    }
    assert_eq!(ledger.request("smoke", BUDGET_WINDOW_US), WakeDecision::UnknownReason);
    let counts = ledger.counts("fault").unwrap();
    assert_eq!((counts.woken, counts.debounced, counts.over_budget), (3, 1, 2));
    assert_eq!(ledger.unknown_reasons(), 1);
    assert_eq!(ledger.counts("smoke"), None);
}

#[test]
fn a_clock_that_steps_back_opens_nothing() {
    let mut policy = WakePolicy::new();
    policy.push(wake_rule("fault", 30_000_000, 2)).unwrap();
    policy.push(wake_rule("battery", 0, 2)).unwrap();
    let mut ledger = WakeLedger::new(policy);
    assert_eq!(ledger.request("fault", 100_000_000), WakeDecision::Wake);
    assert_eq!(ledger.request("fault", 0), WakeDecision::Debounced);
    assert_eq!(ledger.request("battery", 100), WakeDecision::Wake);
    assert_eq!(ledger.request("battery", 50), WakeDecision::Wake);
    assert_eq!(ledger.request("battery", 0), WakeDecision::OverBudget);
    assert_eq!(ledger.request("battery", BUDGET_WINDOW_US + 99), WakeDecision::OverBudget);
}

#[test]
fn a_budget_beyond_what_the_ledger_remembers_counts_as_the_largest_and_none_as_never() {
    let mut policy = WakePolicy::new();
    policy.push(wake_rule("fault", 0, u8::MAX)).unwrap();
    policy.push(wake_rule("battery", 0, 0)).unwrap();
    let mut ledger = WakeLedger::new(policy);
    let woken = (0..200).filter(|&now_us| ledger.request("fault", now_us) == WakeDecision::Wake).count();
    assert_eq!(woken, usize::from(MAX_WAKES_PER_HOUR));
    assert_eq!(ledger.request("battery", 0), WakeDecision::OverBudget);
}

#[test]
fn a_policy_refuses_a_second_rule_for_a_reason_and_too_many_rules() {
    use coracle_policy::WakePolicyError::{DuplicateReason, TooManyRules};

    let mut policy = WakePolicy::new();
    for index in 0..MAX_WAKE_RULES {
        let reason = format!("reason-{index}");
        assert_eq!(policy.push(wake_rule(&reason, 0, 1)), Ok(()));
    }
    assert_eq!(policy.push(wake_rule("reason-0", 0, 1)), Err(DuplicateReason));
    assert_eq!(policy.push(wake_rule("more", 0, 1)), Err(TooManyRules));
    assert_eq!(policy.as_slice().len(), MAX_WAKE_RULES);
}

#[test]
fn tables_survive_the_wire() {
    let mut policy = WakePolicy::new();
    let mut rules = MoveRules::new();
    for index in 0..MAX_WAKE_RULES.min(MAX_MOVE_RULES) {
        let longest = format!("{index}{}", "x".repeat(30));
        policy
            .push(WakeRule {
                reason: name(&longest),
                container: name(&longest),
                debounce_us: u64::MAX,
                per_hour: u8::MAX,
            })
            .unwrap();
        rules
            .push(MoveRule {
                to: Core::A,
                when: MoveCondition::Message { topic: name(&longest) },
                min_stay_events: u32::MAX,
            })
            .unwrap();
    }
    let policy_bytes = postcard::to_stdvec(&policy).unwrap();
    assert_eq!(postcard::from_bytes(&policy_bytes), Ok(policy));
    let rules_bytes = postcard::to_stdvec(&rules).unwrap();
    assert_eq!(postcard::from_bytes(&rules_bytes), Ok(rules));
    // What a frame must be able to hold.
    assert_eq!((policy_bytes.len(), rules_bytes.len()), (601, 313));
}

fn move_rules() -> impl Strategy<Value = MoveRules> {
    let condition = prop_oneof![
        (0..TOPICS.len()).prop_map(|which| MoveCondition::Message { topic: name(TOPICS[which]) }),
        (0..40u32).prop_map(|events| MoveCondition::Handled { events }),
    ];
    let rule =
        (cores(), condition, 0..20u32).prop_map(|(to, when, min_stay_events)| MoveRule { to, when, min_stay_events });
    vec(rule, 0..=MAX_MOVE_RULES).prop_map(|list| {
        let mut rules = MoveRules::new();
        for rule in list {
            rules.push(rule).expect("within the limit");
        }
        rules
    })
}

fn cores() -> impl Strategy<Value = Core> {
    prop_oneof![Just(Core::M), Just(Core::A)]
}

/// Says the same as `MoveRules::evaluate` from the whole history since the arrival.
fn expected_move(rules: &MoveRules, core: Core, handled: u32, published: &[&str]) -> Option<Core> {
    let fires = rules.as_slice().iter().any(|rule| {
        let holds = match &rule.when {
            MoveCondition::Message { topic } => published.contains(&topic.as_str()),
            MoveCondition::Handled { events } => handled >= *events,
        };
        rule.to != core && holds && handled >= rule.min_stay_events
    });
    fires.then(|| core.other())
}

#[test]
fn a_rule_fires_exactly_when_its_condition_holds_and_never_on_the_core_it_names() {
    // Steps: 0 = an event is handled, 1.. = a message on a topic, the last one on a topic that no rule names.
    let steps = vec(0..TOPICS.len() + 2, 0..120);
    runner()
        .run(&(move_rules(), cores(), steps), |(rules, start, steps)| {
            let mut state = PlacementState::arrived(start);
            let (mut handled, mut published) = (0, Vec::new());
            for step in steps {
                match step.checked_sub(1) {
                    None => {
                        state.event_handled();
                        handled += 1;
                    }
                    Some(which) => {
                        let topic = TOPICS.get(which).copied().unwrap_or("other");
                        state.message_published(&rules, topic);
                        published.push(topic);
                    }
                }
                let target = rules.evaluate(&state);
                prop_assert_eq!(target, expected_move(&rules, state.core(), handled, &published));
                if let Some(target) = target {
                    prop_assert!(target != state.core());
                    prop_assert!(rules.as_slice().iter().any(|rule| rule.to == target));
                    state = PlacementState::arrived(target);
                    handled = 0;
                    published.clear();
                }
            }
            Ok(())
        })
        .expect("a move rule misfired");
}

#[test]
fn the_bearing_watch_tracker_goes_to_a_and_back_once_for_each_diagnosis() {
    let mut rules = MoveRules::new();
    let to_a = MoveRule { to: Core::A, when: MoveCondition::Message { topic: name("diagnosis") }, min_stay_events: 0 };
    let to_m = MoveRule { to: Core::M, when: MoveCondition::Handled { events: 24 }, min_stay_events: 0 };
    rules.push(to_a).unwrap();
    rules.push(to_m).unwrap();

    let mut state = PlacementState::arrived(Core::M);
    for _ in 0..1000 {
        state.event_handled();
        assert_eq!(rules.evaluate(&state), None, "no diagnosis yet");
    }
    state.message_published(&rules, "diagnosis");
    assert_eq!(rules.evaluate(&state), Some(Core::A));
    assert_eq!(rules.evaluate(&state), Some(Core::A), "asks again until the move is done");

    state = PlacementState::arrived(Core::A);
    for _ in 0..23 {
        state.event_handled();
        assert_eq!(rules.evaluate(&state), None);
    }
    state.event_handled();
    assert_eq!(rules.evaluate(&state), Some(Core::M));

    state = PlacementState::arrived(Core::M);
    state.event_handled();
    assert_eq!(rules.evaluate(&state), None, "the old diagnosis is used up");
}
