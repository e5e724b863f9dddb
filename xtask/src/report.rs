//! Prints the table and the verdicts at the end of a scenario.

use coracle_api::{Core, Report};
use coracle_test_scenario::{Outcome, Verdict};
use serde::Serialize;

use crate::timeline::{Timeline, Tone, millis, name, seconds};

/// Objects that only the end of the JSON output has.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum End<'a> {
    Report(&'a Report),
    Verdict(&'a Verdict),
}

/// Prints how a scenario ended.
pub(crate) fn print(outcome: &Outcome, timeline: &Timeline) {
    if timeline.is_json() {
        timeline.object(&End::Report(&outcome.report));
        for verdict in &outcome.verdicts {
            timeline.object(&End::Verdict(verdict));
        }
        return;
    }
    for (title, rows) in tables(&outcome.report) {
        timeline.text(Tone::Normal, "");
        timeline.text(Tone::Strong, title);
        for row in aligned(&rows) {
            timeline.text(Tone::Normal, &format!("  {row}"));
        }
    }
    timeline.text(Tone::Normal, "");
    timeline.text(Tone::Strong, "expectations");
    for verdict in &outcome.verdicts {
        let Verdict { key, held, expected, got } = verdict;
        if *held {
            timeline.text(Tone::Good, &format!("  ok      {key}: {got}"));
        } else {
            timeline.text(Tone::Bad, &format!("  FAILED  {key}: expected {expected}, got {got}"));
        }
    }
}

/// Titles and rows; the first row of each is its head.
fn tables(report: &Report) -> [(&'static str, Vec<Vec<String>>); 4] {
    let mut wakes = vec![row(["reason", "time", "latency", "bytes"])];
    wakes.extend(report.wakes.iter().map(|wake| {
        let latency = wake.latency_us.map_or_else(|| "A was awake".into(), millis);
        vec![wake.reason.clone(), seconds(wake.time_us), latency, wake.bytes.to_string()]
    }));
    if report.wakes_held_back > 0 {
        wakes.push(vec![format!("({} more held back by debounce or budget)", report.wakes_held_back)]);
    }

    let head = ["name", "core", "state", "memory", "fuel on m", "fuel on a", "events", "dropped", "refused"];
    let mut containers = vec![row(head)];
    containers.extend(report.containers.iter().map(|(container, numbers)| {
        let fuel = |core| numbers.fuel.get(&core).map_or_else(|| "-".into(), u64::to_string);
        vec![
            container.clone(),
            numbers.core.map_or("-", name).into(),
            numbers.state.clone(),
            format!("{} B", numbers.memory_bytes),
            fuel(Core::M),
            fuel(Core::A),
            numbers.events.to_string(),
            numbers.dropped.to_string(),
            numbers.refused.to_string(),
        ]
    }));

    let mut moves = vec![row(["container", "from", "to", "bytes", "undelivered events", "downtime"])];
    moves.extend(report.moves.iter().map(|done| {
        vec![
            done.container.clone(),
            name(done.from).into(),
            name(done.to).into(),
            done.bytes.to_string(),
            done.queued.to_string(),
            millis(done.downtime_us),
        ]
    }));

    let link = &report.link;
    let links = vec![
        row(["sessions", "messages to m", "messages to a", "dropped", "bulk bytes to m", "bulk bytes to a"]),
        [
            u64::from(link.sessions),
            link.sent,
            link.received,
            link.dropped,
            link.bulk_sent_bytes,
            link.bulk_received_bytes,
        ]
        .map(|number| number.to_string())
        .to_vec(),
    ];
    [("wakes", wakes), ("containers", containers), ("migrations", moves), ("link", links)]
}

fn row<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(String::from).to_vec()
}

/// Rows as lines with aligned columns. Columns of numbers, by their second row, are flush right.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let width = |column: usize| {
        let several = rows.iter().filter(|row| row.len() > 1);
        several.map(|row| cell(row, column).chars().count()).max().unwrap_or(0)
    };
    let is_number = |column: usize| {
        rows.get(1).is_some_and(|row| cell(row, column).starts_with(|first: char| first.is_ascii_digit()))
    };
    rows.iter()
        .map(|row| {
            let cells: Vec<String> = (0..columns)
                .map(|column| {
                    let (text, width) = (cell(row, column), width(column));
                    if is_number(column) { format!("{text:>width$}") } else { format!("{text:<width$}") }
                })
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [row(["name", "bytes"]), row(["a", "5"]), row(["longer", "12345"]), row(["(a remark over all)"])];
        let expected = ["name    bytes", "a           5", "longer  12345", "(a remark over all)"];
        assert_eq!(aligned(&rows), expected);
        assert_eq!(aligned(&rows[..1]), ["name  bytes"]);
    }
}
