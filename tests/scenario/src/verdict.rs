//! Whether a scenario showed what its manifest expects. Pure.

use std::time::Duration;

use coracle_api::{Event, Report, What};
use coracle_manifest::{DIAGNOSIS_TOPIC, Diagnosis, Expect};
use serde::Serialize;

/// The judgement of one expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The manifest's key, dotted from the top of the file.
    pub key: String,
    /// Whether it held.
    pub held: bool,
    /// What should have been.
    pub expected: String,
    /// What was.
    pub got: String,
}

/// Judges every expectation, in the order of the manifest's documentation.
#[must_use]
pub fn judge(expect: &Expect, report: &Report, events: &[Event]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    if let Some(expected) = expect.wakes {
        verdicts.push(wakes(expected, report));
    }
    if let Some(earliest) = expect.wake_after {
        verdicts.push(wake_after(earliest, report));
    }
    if let Some(expected) = &expect.diagnosis {
        verdicts.push(diagnosis(expected, events));
    }
    for (container, expected) in &expect.moves {
        let got = report.moves.iter().filter(|done| done.container == container.as_str()).count();
        verdicts.push(Verdict {
            key: format!("scenario.expect.moves.{container}"),
            held: got == *expected as usize,
            expected: count(*expected as usize, "move"),
            got: count(got, "move"),
        });
    }
    verdicts.extend(expect.lossless.iter().map(|container| lossless(container, report, events)));
    verdicts
}

fn wakes(expected: u32, report: &Report) -> Verdict {
    let got = report.wakes.len();
    let times: Vec<String> =
        report.wakes.iter().map(|wake| format!("{} at {}", wake.reason, seconds(wake.time_us))).collect();
    Verdict {
        key: "scenario.expect.wakes".into(),
        held: got == expected as usize,
        expected: count(expected as usize, "wake"),
        got: if times.is_empty() { "no wake".into() } else { format!("{} ({})", count(got, "wake"), times.join(", ")) },
    }
}

fn wake_after(earliest: Duration, report: &Report) -> Verdict {
    let first = report.wakes.iter().map(|wake| wake.time_us).min();
    Verdict {
        key: "scenario.expect.wake_after".into(),
        held: first.is_some_and(|time_us| u128::from(time_us) >= earliest.as_micros()),
        expected: format!("no wake before {:.3} s", earliest.as_secs_f64()),
        got: first.map_or_else(|| "no wake at all".into(), |time_us| format!("the first at {}", seconds(time_us))),
    }
}

fn diagnosis(expected: &Diagnosis, events: &[Event]) -> Verdict {
    let named: Vec<&str> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::Message { topic, text, .. } if topic == DIAGNOSIS_TOPIC => text.lines().next().map(str::trim),
            _ => None,
        })
        .collect();
    let (held, words) = match expected {
        Diagnosis::None => (named.is_empty(), "none".into()),
        Diagnosis::Any => (!named.is_empty(), "any".into()),
        Diagnosis::Class(class) => {
            (!named.is_empty() && named.iter().all(|name| name == class), format!("\"{class}\""))
        }
    };
    let got: Vec<String> = named.iter().map(|name| format!("\"{name}\"")).collect();
    Verdict {
        key: "scenario.expect.diagnosis".into(),
        held,
        expected: words,
        got: if got.is_empty() { "none".into() } else { got.join(", ") },
    }
}

fn lossless(container: &str, report: &Report, events: &[Event]) -> Verdict {
    let lost = events.iter().find_map(|event| match &event.what {
        What::Lost { container: whose, detail } if whose == container => Some(detail.as_str()),
        _ => None,
    });
    let (held, got) = match (report.containers.get(container), lost) {
        (None, _) => (false, "no such container at the end".into()),
        (_, Some(detail)) => (false, detail.to_owned()),
        (Some(state), None) => {
            // The numbers of its event stream are consecutive: as many handled as numbered means none twice, none missing.
            let held = state.dropped == 0 && state.events == state.queued;
            let (handled, queued, dropped) = (count_u64(state.events, "event"), state.queued, state.dropped);
            (held, format!("{handled} handled of {queued} queued, {dropped} dropped"))
        }
    };
    Verdict {
        key: format!("scenario.expect.lossless.{container}"),
        held,
        expected: "every event exactly once".into(),
        got,
    }
}

fn seconds(time_us: u64) -> String {
    format!("{}.{:03} s", time_us / 1_000_000, time_us % 1_000_000 / 1000)
}

fn count(number: usize, noun: &str) -> String {
    count_u64(number as u64, noun)
}

fn count_u64(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use coracle_api::{ContainerReport, Core, MoveReport, WakeReport};
    use coracle_manifest::Manifest;

    use super::*;

    /// Expects one wake after 3 s, "inner race", two moves of `tracker`, and nothing of it lost.
    const EXAMPLE: &str = include_str!("../../../manifests/examples/bearing-watch.toml");

    fn expect() -> Expect {
        let example = Manifest::parse(EXAMPLE, "example.toml".as_ref()).unwrap_or_else(|errors| panic!("{errors}"));
        example.scenario.unwrap().expect
    }

    fn wake(time_us: u64) -> WakeReport {
        WakeReport { reason: "fault".into(), time_us, latency_us: None, bytes: 0 }
    }

    fn event(what: What) -> Event {
        Event { number: 0, time_us: None, clock: None, what }
    }

    fn says(topic: &str, text: &str) -> Event {
        event(What::Message { container: "c".into(), topic: topic.into(), text: text.into() })
    }

    /// A report and events that meet every expectation.
    fn good() -> (Report, Vec<Event>) {
        let done = |from, to| MoveReport { container: "tracker".into(), from, to, bytes: 1, queued: 0, downtime_us: 1 };
        let mut report = Report {
            wakes: vec![wake(3_000_000)],
            moves: vec![done(Core::M, Core::A), done(Core::A, Core::M)],
            ..Report::default()
        };
        report
            .containers
            .insert("tracker".into(), ContainerReport { events: 9, queued: 9, ..ContainerReport::default() });
        (report, vec![says("other", "nonsense"), says(DIAGNOSIS_TOPIC, "inner race\n1 2 3")])
    }

    /// The keys of the expectations that do not hold.
    fn failed(report: &Report, events: &[Event]) -> Vec<String> {
        judge(&expect(), report, events).into_iter().filter(|v| !v.held).map(|v| v.key).collect()
    }

    #[test]
    fn what_was_expected_holds() {
        let (report, events) = good();
        let verdicts = judge(&expect(), &report, &events);
        assert_eq!(verdicts.len(), 5);
        assert!(verdicts.iter().all(|verdict| verdict.held), "{verdicts:?}");
    }

    #[test]
    fn each_expectation_fails_alone_and_under_its_name() {
        let (report, events) = good();
        let mut early = report.clone();
        early.wakes = vec![wake(2_999_999)];
        assert_eq!(failed(&early, &events), ["scenario.expect.wake_after"]);
        let mut twice = report.clone();
        twice.wakes.push(wake(4_000_000));
        assert_eq!(failed(&twice, &events), ["scenario.expect.wakes"]);
        assert_eq!(failed(&report, &events[..1]), ["scenario.expect.diagnosis"]);
        let mut contradicted = events.clone();
        contradicted.push(says(DIAGNOSIS_TOPIC, "inner racer"));
        assert_eq!(failed(&report, &contradicted), ["scenario.expect.diagnosis"]);
        let mut stuck = report.clone();
        stuck.moves.pop();
        assert_eq!(failed(&stuck, &events), ["scenario.expect.moves.tracker"]);
        let mut dropping = report.clone();
        dropping.containers.get_mut("tracker").unwrap().dropped = 1;
        assert_eq!(failed(&dropping, &events), ["scenario.expect.lossless.tracker"]);
        for handled in [8, 10] {
            let mut uneven = report.clone();
            uneven.containers.get_mut("tracker").unwrap().events = handled;
            assert_eq!(failed(&uneven, &events), ["scenario.expect.lossless.tracker"], "{handled}");
        }
        let mut lost = events.clone();
        lost.push(event(What::Lost { container: "tracker".into(), detail: "3 events".into() }));
        assert_eq!(failed(&report, &lost), ["scenario.expect.lossless.tracker"]);
        let mut gone = report.clone();
        gone.containers.clear();
        assert_eq!(failed(&gone, &events), ["scenario.expect.lossless.tracker"]);
    }

    #[test]
    fn a_run_without_any_wake_fails_every_expectation_of_one() {
        let (mut report, _) = good();
        report.wakes.clear();
        let keys = ["scenario.expect.wakes", "scenario.expect.wake_after", "scenario.expect.diagnosis"];
        assert_eq!(failed(&report, &[]), keys);
        let silent = Expect { wakes: Some(0), diagnosis: Some(Diagnosis::None), ..Expect::default() };
        assert!(judge(&silent, &report, &[]).iter().all(|verdict| verdict.held));
        let any = Expect { diagnosis: Some(Diagnosis::Any), ..Expect::default() };
        assert!(!judge(&any, &report, &[])[0].held);
        assert!(judge(&any, &report, &[says(DIAGNOSIS_TOPIC, "?")])[0].held);
        assert!(!judge(&silent, &report, &[says(DIAGNOSIS_TOPIC, "?")])[1].held);
    }
}
