//! Reads the sections of a manifest into types and checks every value for itself. What one value says about
//! another is checked in `check`.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use coracle_policy::{
    Core, MAX_MOVE_RULES, MAX_WAKE_RULES, MAX_WAKES_PER_HOUR, MoveCondition, MoveRule, MoveRules, Name, WakePolicy,
    WakeRule,
};
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Span};
use crate::grants::{read_args, read_grants};
use crate::limits::{
    MANIFEST_VERSION, MAX_BLOCK_SAMPLES, MAX_CONFIG_ENTRIES, MAX_CONFIG_VALUE_BYTES, MAX_CONTAINERS, MAX_DEBOUNCE,
    MAX_DIAGNOSIS_BYTES, MAX_FUEL_PER_EVENT, MAX_FUEL_PER_SECOND, MAX_HANDLES, MAX_LOGS_PER_SECOND, MAX_MEMORY_BYTES,
    MAX_PAYLOAD_BYTES, MAX_QUEUE_EVENTS, MAX_SENSOR_RATE_HZ, MAX_SENSORS, MAX_STACK_BYTES, MAX_SUBSCRIPTIONS,
    MAX_TABLE_ELEMENTS, MAX_TIMERS, MAX_WAKE_AFTER, MIN_STACK_BYTES,
};
use crate::read::{
    self, Errors, Field, NameKind, Table, Value, check_name, entries_in_order, narrow, quote, report, wrong_type,
    wrong_type_of,
};
use crate::types::{Container, Diagnosis, Expect, Grants, Limits, Placement, Scenario, Sensor};

const VERSION: Field = Field::new("manifest", "manifest = 1");
const NAME: Field = Field::new("name", "name = \"bearing-watch\"");
const CONTAINER: Field = Field::new("container", "[container.sentinel]");
const SENSOR: Field = Field::new("sensor", "[sensor.accel0]");
const WAKE_RULES: Field = Field::new("wake", "[[wake]]");
const SCENARIO: Field = Field::new("scenario", "[scenario]");

const MODULE: Field = Field::new("module", "module = \"sentinel.wasm\"");
const CORE: Field = Field::new("core", "core = \"m\"");
const PREFER: Field = Field::new("prefer", "prefer = \"m\"");
const LIMITS: Field = Field::new("limits", "[container.sentinel.limits]");
const GRANTS: Field = Field::new("grants", "[container.sentinel.grants]");
const CONFIG: Field = Field::new("config", "[container.sentinel.config]");
const ARGS: Field = Field::new("args", "args = [\"--verbose\"]");
const MOVE: Field = Field::new("move", "[[container.tracker.move]]");

const MEMORY: Field = Field::new("memory", "memory = \"16KiB\"");
const FUEL_PER_EVENT: Field = Field::new("fuel_per_event", "fuel_per_event = 2_000_000");
const QUEUE: Field = Field::new("queue", "queue = 16");
const STACK: Field = Field::new("stack", "stack = \"4KiB\"");
const TABLE: Field = Field::new("table", "table = 256");
const FUEL_PER_SECOND: Field = Field::new("fuel_per_second", "fuel_per_second = 20_000_000");
const TIMERS: Field = Field::new("timers", "timers = 2");
const SUBSCRIPTIONS: Field = Field::new("subscriptions", "subscriptions = 2");
const HANDLES: Field = Field::new("handles", "handles = 4");
const LOGS_PER_SECOND: Field = Field::new("logs_per_second", "logs_per_second = 5");
const PAYLOAD: Field = Field::new("payload", "payload = 64");

const CONFIG_VALUE: Field = Field::new("config", "healthy_rms = 150");

const TO: Field = Field::new("to", "to = \"a\"");
const WHEN: Field = Field::new("when", "when = { handled = 24 }");
const MESSAGE: Field = Field::new("message", "when = { message = \"diagnosis\" }");
const HANDLED: Field = Field::new("handled", "when = { handled = 24 }");
const MIN_STAY_EVENTS: Field = Field::new("min_stay_events", "min_stay_events = 8");

const RATE_HZ: Field = Field::new("rate_hz", "rate_hz = 12000");
const BLOCK: Field = Field::new("block", "block = 512");

const REASON: Field = Field::new("reason", "reason = \"fault\"");
const WAKE_CONTAINER: Field = Field::new("container", "container = \"diagnose\"");
const DEBOUNCE: Field = Field::new("debounce", "debounce = \"30s\"");
const PER_HOUR: Field = Field::new("per_hour", "per_hour = 12");

const TRACE: Field = Field::new("trace", "trace = \"bearing-watch/onset.wav\"");
const QUEUED_AT_MOVE: Field = Field::new("queued_at_move", "queued_at_move = 2");
const EXPECT: Field = Field::new("expect", "[scenario.expect]");
const WAKES: Field = Field::new("wakes", "wakes = 1");
const WAKE_AFTER: Field = Field::new("wake_after", "wake_after = \"3s\"");
const DIAGNOSIS: Field = Field::new("diagnosis", "diagnosis = \"inner race\"");
const MOVES: Field = Field::new("moves", "moves = { tracker = 2 }");
const LOSSLESS: Field = Field::new("lossless", "lossless = [\"tracker\"]");

/// What could be read of a manifest. Complete exactly if no error was reported.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) name: Name,
    pub(crate) containers: Vec<Container>,
    pub(crate) sensors: Vec<Sensor>,
    pub(crate) wake: WakePolicy,
    pub(crate) scenario: Option<Scenario>,
    /// Every name that stands in the text, even if what it names was refused: so that one error in a container
    /// does not make every reference to it another one.
    pub(crate) declared: Declared,
}

/// The names that a manifest declares.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    pub(crate) containers: BTreeSet<String>,
    pub(crate) sensors: BTreeSet<String>,
    /// Whether all names are in these sets: only then is a name that is not there an error.
    pub(crate) names_complete: bool,
    /// Whether every container could be read: only then is it known that nobody publishes a topic.
    pub(crate) containers_complete: bool,
    /// Whether every wake rule could be read: only then is it known that a reason has none.
    pub(crate) reasons_complete: bool,
}

/// Reads the whole manifest. `directory` is where its relative paths start.
pub(crate) fn read(root: &DeTable<'_>, directory: &Path, errors: &mut Errors) -> Draft {
    let mut draft = Draft::default();
    let mut table = Table::new("the manifest", 0..0, root);
    if let Some(version) = table.required(VERSION, errors)
        && !is_known_version(version, errors)
    {
        // What else looks wrong may be right in the version that the author had in mind.
        return draft;
    }
    if let Some(value) = table.required(NAME, errors) {
        draft.name = read::name(value, NAME, NameKind::Manifest, errors).unwrap_or_default();
    }

    let before_names = errors.len();
    let containers = table
        .required(CONTAINER, errors)
        .map(|value| named_tables(value, CONTAINER, NameKind::Container, MAX_CONTAINERS, errors))
        .unwrap_or_default();
    let sensors = table
        .optional(SENSOR)
        .map(|value| named_tables(value, SENSOR, NameKind::Sensor, MAX_SENSORS, errors))
        .unwrap_or_default();
    let names_read = errors.len() == before_names;

    let before_containers = errors.len();
    for (key, value) in containers {
        draft.declared.containers.insert(key.to_owned());
        draft.containers.extend(read_container(key, value, directory, errors));
    }
    let containers_read = names_read && errors.len() == before_containers;
    for (key, value) in sensors {
        draft.declared.sensors.insert(key.to_owned());
        draft.sensors.extend(read_sensor(key, value, errors));
    }

    let before_wake_rules = errors.len();
    if let Some(value) = table.optional(WAKE_RULES) {
        draft.wake = read_wake_rules(value, errors);
    }
    let reasons_read = errors.len() == before_wake_rules;

    if let Some(value) = table.optional(SCENARIO) {
        draft.scenario = read_scenario(value, directory, errors);
    }

    let before_unknown = errors.len();
    table.deny_unknown(errors);
    // `[[wakes]]` was meant to be `[[wake]]`: then its rules are not missing.
    let all_known = errors.len() == before_unknown;
    draft.declared.names_complete = all_known && names_read;
    draft.declared.containers_complete = all_known && containers_read;
    draft.declared.reasons_complete = all_known && reasons_read;
    draft
}

fn is_known_version(value: &Value<'_>, errors: &mut Errors) -> bool {
    let version = read::integer(value, VERSION, 0..=u64::from(u32::MAX), errors);
    if let Some(version) = version.filter(|version| *version != MANIFEST_VERSION) {
        let help = format!("write `{}`, or use the release that the manifest was written for", VERSION.example);
        errors.push(
            Diagnostic::at(value.span(), format!("this release cannot read manifest version {version}"), help)
                .label(format!("only version {MANIFEST_VERSION} is known")),
        );
    }
    version == Some(MANIFEST_VERSION)
}

/// A table of at least one and at most `max` named tables, in the order of the text.
fn named_tables<'t, 'i>(
    value: &'t Value<'i>,
    field: Field,
    kind: NameKind,
    max: usize,
    errors: &mut Errors,
) -> Vec<(&'t str, &'t Value<'i>)> {
    let DeValue::Table(entries) = value.get_ref() else {
        return wrong_type(value, field, "a table of named tables", errors).unwrap_or_default();
    };
    if entries.is_empty() {
        errors.push(Diagnostic::at(
            value.span(),
            format!("`{}` is empty", field.key),
            format!("add one, starting with `{}`", field.example),
        ));
    }
    let mut named = Vec::new();
    for (index, (key, value)) in entries_in_order(entries).into_iter().enumerate() {
        if index == max {
            let nouns = format!("{}s", kind.noun());
            errors.push(
                Diagnostic::at(
                    key.span(),
                    format!("a manifest can have at most {max} {nouns}"),
                    format!("split the manifest, or remove some {nouns}"),
                )
                .label("one too many"),
            );
            break;
        }
        check_name(key.get_ref(), key.span(), kind, errors);
        named.push((key.get_ref().as_ref(), value));
    }
    named
}

fn read_container(key: &str, value: &Value<'_>, directory: &Path, errors: &mut Errors) -> Option<Container> {
    let title = format!("`[container.{}]`", key.escape_debug());
    let mut table = Table::of(value, &title, CONTAINER, errors)?;
    let module = table.required(MODULE, errors).and_then(|value| read_path(value, MODULE, directory, errors));
    let limits = table.optional(LIMITS).map_or_else(Limits::default, |value| read_limits(key, value, errors));
    let grants = table.optional(GRANTS).map_or_else(Grants::default, |value| read_grants(key, value, errors));
    let config = table.optional(CONFIG).map_or_else(Vec::new, |value| read_config(value, errors));
    let args = table.optional(ARGS).map_or_else(Vec::new, |value| read_args(value, ARGS, errors));
    let placement = read_placement(key, &mut table, errors);
    table.deny_unknown(errors);
    Some(Container {
        name: Name::try_from(key).ok()?,
        module: module?,
        placement: placement?,
        limits,
        grants,
        config,
        args,
    })
}

fn read_path(value: &Value<'_>, field: Field, directory: &Path, errors: &mut Errors) -> Option<PathBuf> {
    let text = read::text(value, field, errors)?;
    if text.is_empty() || text.contains('\0') {
        return report(
            errors,
            Diagnostic::at(
                value.span(),
                format!("`{}` names no file", field.key),
                format!("write a path relative to the manifest, as in `{}`", field.example),
            ),
        );
    }
    Some(directory.join(text))
}

/// How one limit is read: its key, in which notation, its range, and where it goes.
type LimitRow = (Field, ReadNumber, RangeInclusive<u64>, fn(&mut Limits, u64));
type ReadNumber = fn(&Value<'_>, Field, RangeInclusive<u64>, &mut Errors) -> Option<u64>;

const LIMIT_ROWS: [LimitRow; 11] = [
    (MEMORY, read::size, 1..=MAX_MEMORY_BYTES as u64, |limits, n| limits.memory_bytes = narrow(n)),
    (STACK, read::size, MIN_STACK_BYTES as u64..=MAX_STACK_BYTES as u64, |limits, n| limits.stack_bytes = narrow(n)),
    (TABLE, read::integer, 0..=MAX_TABLE_ELEMENTS as u64, |limits, n| limits.table_elements = narrow(n)),
    (FUEL_PER_EVENT, read::integer, 1..=MAX_FUEL_PER_EVENT, |limits, n| limits.fuel_per_event = n),
    (FUEL_PER_SECOND, read::integer, 0..=MAX_FUEL_PER_SECOND, |limits, n| limits.fuel_per_second = n),
    (QUEUE, read::integer, 1..=MAX_QUEUE_EVENTS as u64, |limits, n| limits.queue_events = narrow(n)),
    (TIMERS, read::integer, 0..=MAX_TIMERS as u64, |limits, n| limits.timers = narrow(n)),
    (SUBSCRIPTIONS, read::integer, 0..=MAX_SUBSCRIPTIONS as u64, |limits, n| limits.subscriptions = narrow(n)),
    (HANDLES, read::integer, 0..=MAX_HANDLES as u64, |limits, n| limits.handles = narrow(n)),
    // Unlike in `fuel_per_second`, 0 would not mean "no limit": refused, so that nobody loses a log by that guess.
    (LOGS_PER_SECOND, read::integer, 1..=MAX_LOGS_PER_SECOND as u64, |limits, n| limits.logs_per_second = narrow(n)),
    (PAYLOAD, read::size, 1..=MAX_PAYLOAD_BYTES as u64, |limits, n| limits.payload_bytes = narrow(n)),
];

fn read_limits(container: &str, value: &Value<'_>, errors: &mut Errors) -> Limits {
    let mut limits = Limits::default();
    let title = format!("`[container.{}.limits]`", container.escape_debug());
    let Some(mut table) = Table::of(value, title, LIMITS, errors) else {
        return limits;
    };
    for (field, read, range, set) in LIMIT_ROWS {
        if let Some(number) = table.optional(field).and_then(|value| read(value, field, range, errors)) {
            set(&mut limits, number);
        }
    }
    table.deny_unknown(errors);
    limits
}

fn read_config(value: &Value<'_>, errors: &mut Errors) -> Vec<(Name, String)> {
    let mut config = Vec::new();
    let DeValue::Table(entries) = value.get_ref() else {
        return wrong_type(value, CONFIG, "a table", errors).unwrap_or_default();
    };
    for (key, value) in entries_in_order(entries) {
        let name = check_name(key.get_ref(), key.span(), NameKind::ConfigKey, errors);
        let text = config_text(key.get_ref(), value, errors);
        if config.len() == MAX_CONFIG_ENTRIES {
            errors.push(
                Diagnostic::at(
                    key.span(),
                    format!("`config` has more than {MAX_CONFIG_ENTRIES} entries"),
                    "join several values into one string",
                )
                .label("one too many"),
            );
            break;
        }
        config.extend(name.zip(text));
    }
    config
}

/// A config value as the text that the guest reads.
fn config_text(key: &str, value: &Value<'_>, errors: &mut Errors) -> Option<String> {
    let text = match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Integer(integer) => {
            i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Float(float) => {
            float.as_str().parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number.to_string())
        }
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            return wrong_type_of(key, value, CONFIG_VALUE, "a string, a number or a boolean", errors);
        }
    };
    match text {
        Some(text) if text.len() <= MAX_CONFIG_VALUE_BYTES => Some(text),
        Some(text) => report(
            errors,
            Diagnostic::at(
                value.span(),
                format!("the value of {} is too long", quote(key)),
                format!("a config value can have at most {MAX_CONFIG_VALUE_BYTES} bytes as text"),
            )
            .label(format!("{} bytes", text.len())),
        ),
        None => report(
            errors,
            Diagnostic::at(
                value.span(),
                format!("the value of {} is out of range", quote(key)),
                "write a finite number that fits 64 bits, or a string",
            )
            .label("no such number"),
        ),
    }
}

/// The words of `core`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CoreWord {
    Only(Core),
    Any,
}

const CORES: [(&str, Core); 2] = [("m", Core::M), ("a", Core::A)];
const CORE_WORDS: [(&str, CoreWord); 3] =
    [("m", CoreWord::Only(Core::M)), ("a", CoreWord::Only(Core::A)), ("any", CoreWord::Any)];

fn read_placement(container: &str, table: &mut Table<'_, '_>, errors: &mut Errors) -> Option<Placement> {
    let core_value = table.required(CORE, errors);
    let prefer_value = table.optional(PREFER);
    let move_value = table.optional(MOVE);
    let word = core_value.and_then(|value| read::choice(value, CORE, &CORE_WORDS, errors));
    let prefer = prefer_value.and_then(|value| read::choice(value, PREFER, &CORES, errors));
    let moves = move_value.map(|value| read_moves(container, value, errors));
    match word? {
        CoreWord::Any => Some(Placement::Any { prefer: prefer.unwrap_or(Core::M), moves: moves.unwrap_or_default() }),
        CoreWord::Only(core) => {
            let core_span = core_value.map_or(0..0, Value::span);
            if let Some(value) = prefer_value {
                errors.push(
                    Diagnostic::at(
                        value.span(),
                        format!("{} has a preferred core but can run on one core only", quote(container)),
                        "remove `prefer`, or write `core = \"any\"` to let it run on both cores",
                    )
                    .label("nothing to prefer")
                    .related(core_span.clone(), format!("always on {core}")),
                );
            }
            if let Some(value) = move_value {
                errors.push(
                    Diagnostic::at(
                        first_table_span(value),
                        format!("{} has move rules but can run on one core only", quote(container)),
                        "remove the move rules, or write `core = \"any\"` to let it run on both cores",
                    )
                    .label("cannot move")
                    .related(core_span, format!("always on {core}")),
                );
            }
            Some(Placement::Fixed(core))
        }
    }
}

/// Where an array of tables starts in the text: at its first header.
fn first_table_span(value: &Value<'_>) -> Span {
    let items = value.get_ref().as_array();
    let first = items.and_then(|items| items.iter().next());
    first.map_or(value.span(), Value::span)
}

fn read_moves(container: &str, value: &Value<'_>, errors: &mut Errors) -> MoveRules {
    let title = format!("`[[container.{}.move]]`", container.escape_debug());
    let mut rules = MoveRules::new();
    for table in read::tables(value, &title, MOVE, errors) {
        let span = table.span();
        let Some(rule) = read_move(table, errors) else {
            continue;
        };
        if rules.push(rule).is_err() {
            errors.push(
                Diagnostic::at(
                    span,
                    format!("{} has more than {MAX_MOVE_RULES} move rules", quote(container)),
                    format!("keep at most {MAX_MOVE_RULES}"),
                )
                .label("one too many"),
            );
            break;
        }
    }
    rules
}

fn read_move(mut table: Table<'_, '_>, errors: &mut Errors) -> Option<MoveRule> {
    let to = table.required(TO, errors).and_then(|value| read::choice(value, TO, &CORES, errors));
    let when = table.required(WHEN, errors).and_then(|value| read_condition(value, errors));
    let min_stay_events = match table.optional(MIN_STAY_EVENTS) {
        Some(value) => read::integer(value, MIN_STAY_EVENTS, 0..=u64::from(u32::MAX), errors),
        None => Some(0),
    };
    table.deny_unknown(errors);
    Some(MoveRule { to: to?, when: when?, min_stay_events: narrow(min_stay_events?) })
}

fn read_condition(value: &Value<'_>, errors: &mut Errors) -> Option<MoveCondition> {
    let mut table = Table::of(value, "`when`", WHEN, errors)?;
    let (message, handled) = (table.optional(MESSAGE), table.optional(HANDLED));
    table.deny_unknown(errors);
    match (message, handled) {
        (Some(topic), None) => {
            let topic = read::name(topic, MESSAGE, NameKind::Topic, errors)?;
            Some(MoveCondition::Message { topic })
        }
        (None, Some(events)) => {
            let range = 1..=u64::from(u32::MAX);
            let events = narrow(read::integer(events, HANDLED, range, errors)?);
            Some(MoveCondition::Handled { events })
        }
        (both, _) => report(
            errors,
            Diagnostic::at(
                value.span(),
                "`when` must have exactly one condition",
                match both {
                    Some(_) => "write a rule for each of the two conditions".to_owned(),
                    None => format!("write `{}` or `{}`", MESSAGE.example, HANDLED.example),
                },
            )
            .label(if both.is_some() { "two conditions" } else { "no condition" }),
        ),
    }
}

fn read_sensor(key: &str, value: &Value<'_>, errors: &mut Errors) -> Option<Sensor> {
    let title = format!("`[sensor.{}]`", key.escape_debug());
    let mut table = Table::of(value, title, SENSOR, errors)?;
    let rate_hz = table
        .required(RATE_HZ, errors)
        .and_then(|value| read::integer(value, RATE_HZ, 1..=u64::from(MAX_SENSOR_RATE_HZ), errors));
    let block = table
        .required(BLOCK, errors)
        .and_then(|value| read::integer(value, BLOCK, 1..=u64::from(MAX_BLOCK_SAMPLES), errors));
    table.deny_unknown(errors);
    Some(Sensor { name: Name::try_from(key).ok()?, rate_hz: narrow(rate_hz?), block_samples: narrow(block?) })
}

fn read_wake_rules(value: &Value<'_>, errors: &mut Errors) -> WakePolicy {
    let mut policy = WakePolicy::new();
    let mut reasons: Vec<(Name, Span)> = Vec::new();
    for table in read::tables(value, "`[[wake]]`", WAKE_RULES, errors) {
        let span = table.span();
        let Some((rule, reason_span)) = read_wake_rule(table, errors) else {
            continue;
        };
        if let Some((reason, first)) = reasons.iter().find(|(earlier, _)| *earlier == rule.reason) {
            errors.push(
                Diagnostic::at(
                    reason_span,
                    format!("wake reason `{reason}` has two rules"),
                    "keep one of them, or give the reasons different names",
                )
                .label("again here")
                .related(first.clone(), "first rule"),
            );
            continue;
        }
        reasons.push((rule.reason.clone(), reason_span));
        if policy.push(rule).is_err() {
            errors.push(
                Diagnostic::at(
                    span,
                    format!("a manifest can have at most {MAX_WAKE_RULES} wake rules"),
                    "let several containers share a reason",
                )
                .label("one too many"),
            );
            break;
        }
    }
    policy
}

fn read_wake_rule(mut table: Table<'_, '_>, errors: &mut Errors) -> Option<(WakeRule, Span)> {
    let reason_value = table.required(REASON, errors);
    let reason = reason_value.and_then(|value| read::name(value, REASON, NameKind::Reason, errors));
    let container = table
        .required(WAKE_CONTAINER, errors)
        .and_then(|value| read::name(value, WAKE_CONTAINER, NameKind::Container, errors));
    let debounce =
        table.required(DEBOUNCE, errors).and_then(|value| read::duration(value, DEBOUNCE, MAX_DEBOUNCE, errors));
    let per_hour = table
        .required(PER_HOUR, errors)
        .and_then(|value| read::integer(value, PER_HOUR, 1..=u64::from(MAX_WAKES_PER_HOUR), errors));
    table.deny_unknown(errors);
    let rule = WakeRule {
        reason: reason?,
        container: container?,
        debounce_us: narrow(debounce?.as_micros()),
        per_hour: narrow(per_hour?),
    };
    Some((rule, reason_value?.span()))
}

fn read_scenario(value: &Value<'_>, directory: &Path, errors: &mut Errors) -> Option<Scenario> {
    let mut table = Table::of(value, "`[scenario]`", SCENARIO, errors)?;
    let trace = table.required(TRACE, errors).and_then(|value| read_path(value, TRACE, directory, errors));
    let queued_at_move = match table.optional(QUEUED_AT_MOVE) {
        Some(value) => read::integer(value, QUEUED_AT_MOVE, 0..=u64::from(MAX_QUEUE_EVENTS), errors),
        None => Some(0),
    };
    let expect = match table.optional(EXPECT) {
        Some(value) => read_expect(value, errors),
        None => Some(Expect::default()),
    };
    table.deny_unknown(errors);
    Some(Scenario { trace: trace?, queued_at_move: narrow(queued_at_move?), expect: expect? })
}

fn read_expect(value: &Value<'_>, errors: &mut Errors) -> Option<Expect> {
    let counts = 0..=u64::from(u32::MAX);
    let mut table = Table::of(value, "`[scenario.expect]`", EXPECT, errors)?;
    let mut expect = Expect::default();
    if let Some(value) = table.optional(WAKES) {
        expect.wakes = read::integer(value, WAKES, counts.clone(), errors).map(narrow);
    }
    if let Some(value) = table.optional(WAKE_AFTER) {
        expect.wake_after = read::duration(value, WAKE_AFTER, MAX_WAKE_AFTER, errors);
    }
    if let Some(value) = table.optional(DIAGNOSIS) {
        expect.diagnosis = read_diagnosis(value, errors);
    }
    if let Some(value) = table.optional(MOVES) {
        match value.get_ref() {
            DeValue::Table(entries) => {
                for (key, value) in entries_in_order(entries) {
                    let name = check_name(key.get_ref(), key.span(), NameKind::Container, errors);
                    let count = read::integer(value, MOVES, counts.clone(), errors).map(narrow);
                    expect.moves.extend(name.zip(count));
                }
            }
            _ => wrong_type(value, MOVES, "a table of numbers", errors).unwrap_or_default(),
        }
    }
    if let Some(value) = table.optional(LOSSLESS) {
        expect.lossless = read::names(value, LOSSLESS, NameKind::Container, MAX_CONTAINERS, errors);
    }
    table.deny_unknown(errors);
    Some(expect)
}

fn read_diagnosis(value: &Value<'_>, errors: &mut Errors) -> Option<Diagnosis> {
    let text = read::text(value, DIAGNOSIS, errors)?;
    if text.is_empty() || text.len() > MAX_DIAGNOSIS_BYTES {
        return report(
            errors,
            Diagnostic::at(
                value.span(),
                format!("`diagnosis` must have 1 to {MAX_DIAGNOSIS_BYTES} bytes"),
                "write the name of a class, `any` or `none`",
            )
            .label(format!("{} bytes", text.len())),
        );
    }
    Some(Diagnosis::from(text))
}
