//! What one part of a manifest says about another: placements that cannot be, references to nothing,
//! expectations that cannot come true. Every value was already checked for itself.

use std::collections::BTreeSet;
use std::fmt;

use coracle_policy::{Core, MoveCondition, MoveRule, Name};
use toml::de::DeTable;

use crate::diagnostic::{Diagnostic, Span};
use crate::limits::DIAGNOSIS_TOPIC;
use crate::locate::nearest;
use crate::read::{Errors, closest, list};
use crate::sections::{Declared, Draft};
use crate::types::{Container, Diagnosis, Grants, Placement, Scenario, Sensor};

/// Reports everything in `draft` that contradicts itself. `root` is the text that the draft was read from.
pub(crate) fn check(draft: &Draft, root: &DeTable<'_>, errors: &mut Errors) {
    let mut check = Check { draft, root, errors };
    for container in &draft.containers {
        check.sensors(container);
        check.subscriptions(container);
        check.only_on_a(container);
        check.wake_grants(container);
        check.move_rules(container);
    }
    check.exclusive();
    check.wake_rules();
    if let Some(scenario) = &draft.scenario {
        check.scenario(scenario);
    }
}

struct Check<'c, 'i> {
    draft: &'c Draft,
    root: &'c DeTable<'i>,
    errors: &'c mut Errors,
}

impl Check<'_, '_> {
    fn sensors(&mut self, container: &Container) {
        let name = &container.name;
        for grant in &container.grants.sensors {
            let sensor = &grant.name;
            let span = self.at(name, &["grants", "sensors", sensor]);
            if !self.declared().sensors.contains(sensor.as_str()) {
                self.no_such_sensor(span, sensor);
                continue;
            }
            let declared = self.draft.sensors.iter().find(|declared| declared.name == *sensor);
            if let (Some(wanted), Some(Sensor { rate_hz, .. })) = (grant.rate_hz, declared)
                && wanted > *rate_hz
            {
                self.report_related(
                    self.at(name, &["grants", "sensors", sensor, "rate_hz"]),
                    format!("`{name}` cannot have {wanted} samples a second of `{sensor}`, which gives {rate_hz}"),
                    "faster than the sensor",
                    self.span(&["sensor", sensor, "rate_hz"]),
                    "its rate",
                    "write at most the sensor's rate",
                );
            }
        }
    }

    fn subscriptions(&mut self, container: &Container) {
        let name = &container.name;
        for topic in &container.grants.subscribe {
            let span = self.at(name, &["grants", "subscribe", topic]);
            let mut others = self.draft.containers.iter().filter(|other| other.name != *name);
            let published = others.any(|other| other.grants.publish.contains(topic));
            if !published && self.declared().containers_complete {
                let help = self.topic_help(topic);
                self.report(span, format!("no other container publishes `{topic}`"), "never gets a message", help);
            }
        }
        let (granted, limit) = (container.grants.subscribe.len(), container.limits.subscriptions);
        if granted > usize::from(limit) {
            self.report_related(
                self.at(name, &["limits", "subscriptions"]),
                format!("`{name}` subscribes to {granted} topics, but its limit is {limit}"),
                "all are subscribed from the start",
                self.at(name, &["grants", "subscribe"]),
                "topics",
                "raise the limit, or name fewer topics",
            );
        }
    }

    /// Connections and folders are on A, so a container that has any must never be on M.
    fn only_on_a(&mut self, container: &Container) {
        let (name, grants) = (&container.name, &container.grants);
        let (core, help) = match container.placement {
            Placement::Fixed(Core::A) => return,
            Placement::Fixed(Core::M) => ("runs on m", "write `core = \"a\"`, or let a container on a do it"),
            Placement::Any { .. } => ("may move to m", "write `core = \"a\"`: on m it would be without them"),
        };
        for (key, what, granted) in
            [("hosts", "a network", !grants.hosts.is_empty()), ("files", "files", !grants.files.is_empty())]
        {
            if granted {
                self.report_related(
                    self.at(name, &["grants", key, "0"]),
                    format!("`{name}` cannot have `{key}`: only a has {what}, but `{name}` {core}"),
                    "on a only",
                    self.at(name, &["core"]),
                    core,
                    help,
                );
            }
        }
    }

    /// Who has a device alone shares it with nobody.
    fn exclusive(&mut self) {
        let containers = self.draft.containers.iter();
        let uses: Vec<(&Name, Device<'_>, bool)> = containers
            .flat_map(|user| devices(&user.grants).map(|(device, exclusive)| (&user.name, device, exclusive)))
            .collect();
        for (index, (user, device, exclusive)) in uses.iter().enumerate() {
            // A container names each device once, so the earlier use is another container's.
            let mut earlier = uses.iter().take(index);
            let conflict = earlier.find(|(_, same, alone)| same == device && (*exclusive || *alone));
            let Some((other, _, other_exclusive)) = conflict else { continue };
            let label = |exclusive: bool| if exclusive { "wants it alone" } else { "uses it too" };
            let (owner, second) = if *other_exclusive { (other, user) } else { (user, other) };
            self.report_related(
                self.at(user, &device.path()),
                format!("`{owner}` has {device} alone, so `{second}` cannot have it"),
                label(*exclusive),
                self.at(other, &device.path()),
                label(*other_exclusive),
                "remove one of the two, or `exclusive` from both",
            );
        }
    }

    fn wake_grants(&mut self, container: &Container) {
        let name = &container.name;
        for reason in &container.grants.wake {
            let span = self.at(name, &["grants", "wake", reason]);
            if container.placement == Placement::Fixed(Core::A) {
                self.report_related(
                    span,
                    format!("`{name}` runs on a and cannot ask to wake a"),
                    "a is awake when this runs",
                    self.at(name, &["core"]),
                    "always on a",
                    "remove the reason, or let the container run on m",
                );
            } else if self.declared().reasons_complete && self.draft.wake.rule(reason).is_none() {
                let rules = self.draft.wake.as_slice().iter();
                let help = match closest(reason, rules.map(|rule| rule.reason.as_str())) {
                    Some(similar) => format!("did you mean `{similar}`?"),
                    None => format!(
                        "add a `[[wake]]` rule with `reason = \"{reason}\"`, `container`, `debounce` and `per_hour`"
                    ),
                };
                self.report(
                    span,
                    format!("wake reason `{reason}` has no rule"),
                    "no `[[wake]]` rule has this reason",
                    help,
                );
            }
        }
    }

    fn move_rules(&mut self, container: &Container) {
        let name = &container.name;
        // A rule that could not be read is not in the table: then positions there are not positions in the text.
        let complete = self.declared().containers_complete;
        let Some(rules) = container.placement.moves().filter(|_| complete) else {
            return;
        };
        for (index, rule) in rules.as_slice().iter().enumerate() {
            let position = index.to_string();
            let earlier = rules.as_slice().iter().take(index);
            if let Some(first) = earlier.clone().position(|earlier| fire_together(earlier, rule)) {
                self.report_related(
                    self.at(name, &["move", &position]),
                    format!("two move rules of `{name}` fire at once"),
                    "the same condition again",
                    self.at(name, &["move", &first.to_string()]),
                    "first rule",
                    "keep one rule for each core and condition",
                );
            }
            if let MoveCondition::Message { topic } = &rule.when
                && !self.draft.containers.iter().any(|other| other.grants.publish.contains(topic))
            {
                let help = self.topic_help(topic);
                self.report(
                    self.at(name, &["move", &position, "when", "message"]),
                    format!("no container publishes `{topic}`, so this rule never fires"),
                    "never published",
                    help,
                );
            }
        }
    }

    fn wake_rules(&mut self) {
        if !self.declared().reasons_complete {
            return;
        }
        for (index, rule) in self.draft.wake.as_slice().iter().enumerate() {
            let span = self.span(&["wake", &index.to_string(), "container"]);
            let name = &rule.container;
            if !self.declared().containers.contains(name.as_str()) {
                self.no_such_container(span, name);
                continue;
            }
            let container = self.draft.containers.iter().find(|container| container.name == *name);
            if container.is_some_and(|container| container.placement != Placement::Fixed(Core::A)) {
                self.report_related(
                    span,
                    format!("wake reason `{}` goes to `{name}`, which is not always on a", rule.reason),
                    "must run on a",
                    self.at(name, &["core"]),
                    "must be `a`",
                    &format!("write `core = \"a\"` for `{name}`, or name a container that has it"),
                );
            }
        }
    }

    fn scenario(&mut self, scenario: &Scenario) {
        let expect = &scenario.expect;
        let sensors = self.declared().sensors.len();
        if sensors != 1 && self.declared().names_complete {
            self.report(
                self.span(&["scenario", "trace"]),
                format!("a scenario replays its trace on one sensor, but the manifest declares {sensors}"),
                "on which sensor?",
                "declare exactly one `[sensor.NAME]`".to_owned(),
            );
        }
        if expect.wakes == Some(0) && expect.wake_after.is_some() {
            self.report_related(
                self.span(&["scenario", "expect", "wake_after"]),
                "`wake_after` needs a wake, but none is expected".to_owned(),
                "the first wake of none",
                self.span(&["scenario", "expect", "wakes"]),
                "no wake",
                "remove `wake_after`, or expect a wake",
            );
        }
        if expect.wakes.is_some_and(|wakes| wakes > 0)
            && self.declared().reasons_complete
            && self.draft.wake.as_slice().is_empty()
        {
            self.report(
                self.span(&["scenario", "expect", "wakes"]),
                "a wake is expected, but no `[[wake]]` rule allows one".to_owned(),
                "cannot happen",
                "add a `[[wake]]` rule, or expect 0".to_owned(),
            );
        }
        let diagnosed = matches!(expect.diagnosis, Some(Diagnosis::Any | Diagnosis::Class(_)));
        let topic_published = self
            .draft
            .containers
            .iter()
            .any(|container| container.grants.publish.iter().any(|topic| topic == DIAGNOSIS_TOPIC));
        if diagnosed && self.declared().containers_complete && !topic_published {
            self.report(
                self.span(&["scenario", "expect", "diagnosis"]),
                format!("a diagnosis is expected, but no container publishes `{DIAGNOSIS_TOPIC}`"),
                "cannot happen",
                format!("add `publish = [\"{DIAGNOSIS_TOPIC}\"]` to the grants of the container that diagnoses"),
            );
        }
        for container in self.draft.containers.iter().filter(|container| may_move(container)) {
            let queue = container.limits.queue_events;
            if scenario.queued_at_move > queue {
                self.report(
                    self.span(&["scenario", "queued_at_move"]),
                    format!("the queue of `{}` cannot hold {} events", container.name, scenario.queued_at_move),
                    "more than the queue",
                    format!("choose at most {queue}, or raise `queue` in its limits"),
                );
            }
        }
        for (name, count) in &expect.moves {
            let span = self.span(&["scenario", "expect", "moves", name]);
            self.expected_moves(name, *count, span);
        }
        for name in &expect.lossless {
            if !self.declared().containers.contains(name.as_str()) {
                let span = self.span(&["scenario", "expect", "lossless", name]);
                self.no_such_container(span, name);
            }
        }
    }

    fn expected_moves(&mut self, name: &Name, count: u32, span: Span) {
        if !self.declared().containers.contains(name.as_str()) {
            self.no_such_container(span, name);
            return;
        }
        let container = self.draft.containers.iter().find(|container| container.name == *name);
        if container.is_some_and(|container| !may_move(container)) && count > 0 && self.declared().containers_complete {
            self.report(
                span,
                format!("`{name}` is expected to move, but has no move rules"),
                "cannot happen",
                format!("give it `core = \"any\"` and `[[container.{name}.move]]` rules, or expect 0"),
            );
        }
    }

    fn no_such_sensor(&mut self, span: Span, name: &Name) {
        let otherwise = format!("declare it with `[sensor.{name}]`, `rate_hz` and `block`");
        self.no_such("sensor", &self.draft.declared.sensors, span, name, otherwise);
    }

    fn no_such_container(&mut self, span: Span, name: &Name) {
        let declared = &self.draft.declared.containers;
        let otherwise = format!("the containers are {}", list(declared.iter().map(String::as_str)));
        self.no_such("container", declared, span, name, otherwise);
    }

    fn no_such(&mut self, noun: &str, declared: &BTreeSet<String>, span: Span, name: &Name, otherwise: String) {
        if self.declared().names_complete {
            let help = match closest(name, declared.iter().map(String::as_str)) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => otherwise,
            };
            self.report(span, format!("there is no {noun} `{name}`"), "not declared", help);
        }
    }

    fn topic_help(&self, topic: &str) -> String {
        let containers = self.draft.containers.iter();
        let topics = containers.flat_map(|container| &container.grants.publish);
        match closest(topic, topics.map(Name::as_str).filter(|published| *published != topic)) {
            Some(similar) => format!("did you mean `{similar}`?"),
            None => format!("add `publish = [\"{topic}\"]` to the grants of the container that sends it"),
        }
    }

    fn declared(&self) -> &Declared {
        &self.draft.declared
    }

    fn at(&self, container: &str, path: &[&str]) -> Span {
        let path: Vec<&str> = ["container", container].iter().chain(path).copied().collect();
        self.span(&path)
    }

    fn span(&self, path: &[&str]) -> Span {
        nearest(self.root, path).map_or(0..0, |found| found.span)
    }

    fn report(&mut self, span: Span, title: String, label: &str, help: String) {
        self.errors.push(Diagnostic::at(span, title, help).label(label));
    }

    fn report_related(
        &mut self,
        span: Span,
        title: String,
        label: &str,
        related: Span,
        related_label: &str,
        help: &str,
    ) {
        let diagnostic = Diagnostic::at(span, title, help).label(label);
        self.errors.push(diagnostic.related(related, related_label));
    }
}

/// A device that containers can have alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Device<'g> {
    Sensor(&'g Name),
    Pin(&'g Name),
    /// A bus and an address on it.
    I2c(&'g Name, u8),
    Spi(&'g Name),
}

impl<'g> Device<'g> {
    /// Where its grant stands in a container's table.
    fn path(self) -> [&'g str; 3] {
        match self {
            Self::Sensor(name) => ["grants", "sensors", name],
            Self::Pin(label) => ["grants", "pins", label],
            Self::I2c(bus, _) => ["grants", "i2c", bus],
            Self::Spi(device) => ["grants", "spi", device],
        }
    }
}

impl fmt::Display for Device<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sensor(name) => write!(f, "sensor `{name}`"),
            Self::Pin(label) => write!(f, "pin `{label}`"),
            Self::I2c(bus, address) => write!(f, "address `{address:#04x}` on bus `{bus}`"),
            Self::Spi(device) => write!(f, "device `{device}`"),
        }
    }
}

/// Every device that is granted, and whether exclusively.
fn devices(grants: &Grants) -> impl Iterator<Item = (Device<'_>, bool)> {
    let sensors = grants.sensors.iter().map(|grant| (Device::Sensor(&grant.name), grant.exclusive));
    let pins = grants.pins.iter().map(|grant| (Device::Pin(&grant.label), grant.exclusive));
    let i2c = grants
        .i2c
        .iter()
        .flat_map(|grant| grant.addresses.iter().map(|address| (Device::I2c(&grant.bus, *address), grant.exclusive)));
    let spi = grants.spi.iter().map(|grant| (Device::Spi(&grant.device), grant.exclusive));
    sensors.chain(pins).chain(i2c).chain(spi)
}

/// Whether the container has rules that move it.
fn may_move(container: &Container) -> bool {
    container.placement.moves().is_some_and(|rules| !rules.as_slice().is_empty())
}

/// Whether the second rule can never be the one that decides: same core, same kind of condition. Rules for
/// different cores never compete, because a rule is ignored on the core that it names.
fn fire_together(first: &MoveRule, second: &MoveRule) -> bool {
    let same_condition = match (&first.when, &second.when) {
        (MoveCondition::Message { topic: one }, MoveCondition::Message { topic: other }) => one == other,
        (MoveCondition::Handled { .. }, MoveCondition::Handled { .. }) => true,
        (MoveCondition::Message { .. } | MoveCondition::Handled { .. }, _) => false,
    };
    first.to == second.to && same_condition
}
