//! Prints what happens, when it happens: aligned columns for people, or JSON.

use std::io::{IsTerminal as _, Write as _};

use coracle_api::{Core, Event, What};
use coracle_test_scenario::{Happening, Note};
use serde::Serialize;

/// Width of the column with the time: `1234.567 s`.
const TIME_COLUMNS: usize = 10;
/// Level of the log lines that people are not shown.
const HIDDEN_LEVEL: &str = "debug";

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Text.
    Plain,
    /// Text with terminal colours.
    Coloured,
    /// One JSON object per line.
    Json,
}

impl Output {
    /// Text, with colours if somebody looks who has not asked for none (<https://no-color.org>).
    pub(crate) fn for_terminal() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if std::io::stdout().is_terminal() && !unwanted { Self::Coloured } else { Self::Plain }
    }
}

/// Emphasis of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Normal,
    /// Detail for who looks for it.
    Faint,
    /// What the scenario is about.
    Strong,
    /// All is well.
    Good,
    /// Something is wrong.
    Bad,
}

/// Prints to the standard output.
pub(crate) struct Timeline {
    output: Output,
    head_printed: bool,
}

impl Timeline {
    pub(crate) fn new(output: Output) -> Self {
        Self { output, head_printed: false }
    }

    /// Whether the output is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Prints a happening, if it is for this kind of reader.
    pub(crate) fn tell(&mut self, happening: &Happening) {
        if self.is_json() {
            self.object(happening);
        } else if let Some(line) = line(happening) {
            if !self.head_printed {
                self.head_printed = true;
                self.text(Tone::Faint, &columns("time", "core", "what"));
            }
            self.text(line.tone, &columns(&line.time, line.core, &line.what));
        }
    }

    /// Prints a line of text.
    pub(crate) fn text(&self, tone: Tone, text: &str) {
        let code = match tone {
            Tone::Normal => "",
            Tone::Faint => "2",
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Bad => "1;31",
        };
        if self.output == Output::Coloured && !code.is_empty() {
            print(&format!("\u{1b}[{code}m{text}\u{1b}[0m"));
        } else {
            print(text);
        }
    }

    /// Prints a JSON object.
    pub(crate) fn object(&self, object: &impl Serialize) {
        // Every object printed here has text keys and plain values, which always serialise.
        if let Ok(text) = serde_json::to_string(object) {
            print(&text);
        }
    }
}

/// Prints a line. A reader that has gone away is no reason to stop: the exit code still tells.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn columns(time: &str, core: &str, what: &str) -> String {
    // Further lines of a text keep to the column.
    let indent = format!("\n{}", " ".repeat(TIME_COLUMNS + 8));
    format!("{time:>TIME_COLUMNS$}  {core:<4}  {}", what.trim_end().replace('\n', &indent))
}

struct Line {
    time: String,
    core: &'static str,
    what: String,
    tone: Tone,
}

fn line(happening: &Happening) -> Option<Line> {
    match happening {
        Happening::Event(event) => event_line(event),
        Happening::Note(note) => Some(note_line(note)),
    }
}

fn note_line(note: &Note) -> Line {
    let (tone, what) = match note {
        Note::Applied { manifest } => (Tone::Normal, format!("applied {}", manifest.display())),
        Note::TraceStarted { trace, length_us } => {
            (Tone::Normal, format!("the sensor plays {}, {}", trace.display(), seconds(*length_us)))
        }
        Note::TraceEnded => (Tone::Normal, "the recording has ended".into()),
        Note::MCoreRestarted { how } => (Tone::Bad, format!("the M core died ({how}) and was started again")),
    };
    Line { time: String::new(), core: "", what, tone }
}

fn event_line(event: &Event) -> Option<Line> {
    let (core, tone, what) = match &event.what {
        What::LinkUp { version, attached } => {
            let found = if *attached { "M was running" } else { "M has just booted" };
            (Some(Core::A), Tone::Normal, format!("link up, protocol version {version}; {found}"))
        }
        What::LinkDown { reason } => (Some(Core::A), Tone::Bad, format!("link down: {reason}")),
        What::Power { awake: true, reason } => (Some(Core::A), Tone::Strong, format!("A wakes up: {reason}")),
        What::Power { awake: false, reason } => (Some(Core::A), Tone::Strong, format!("A goes to sleep: {reason}")),
        What::Started { container, core, from } => (Some(*core), Tone::Normal, format!("{container} runs ({from})")),
        What::Exited { container, core, reason } => (Some(*core), Tone::Bad, format!("{container} ended: {reason}")),
        What::Refused { container, core, call, what } => {
            let of = if what.is_empty() { String::new() } else { format!(" of {what}") };
            (Some(*core), Tone::Bad, format!("{container} was refused {call}{of}: not granted"))
        }
        What::Lost { container, detail } => (None, Tone::Bad, format!("{container} lost: {detail}")),
        What::Wake { reason, container, bytes } => {
            (Some(Core::M), Tone::Strong, format!("M wakes A: {reason}, {bytes} bytes for {container}"))
        }
        What::Woken { reason, latency_us } => {
            (Some(Core::M), Tone::Normal, format!("A is awake for {reason}, {} after the request", millis(*latency_us)))
        }
        What::Message { container, topic, text } => {
            (Some(Core::A), Tone::Strong, format!("{container} says on {topic}: {text}"))
        }
        What::MoveStarted { container, from, to, reason } => {
            (Some(*from), Tone::Normal, format!("{container} leaves for {}: {reason}", name(*to)))
        }
        What::Moved { container, from, to, bytes, queued, downtime_us } => {
            let (from, downtime) = (name(*from), millis(*downtime_us));
            let what = format!(
                "{container} runs here, from {from} with {bytes} bytes of state and {queued} undelivered events, \
                 {downtime} down"
            );
            (Some(*to), Tone::Strong, what)
        }
        What::MoveRefused { container, to, reason } => {
            (Some(*to), Tone::Bad, format!("{container} was refused: {reason}; it stays where it was"))
        }
        What::Log { level, .. } if level == HIDDEN_LEVEL => return None,
        What::Log { core, level, uptime_us, text } => {
            let uptime = uptime_us.map_or_else(String::new, |us| format!(" [{} up]", seconds(us)));
            let tone = if level == "error" { Tone::Bad } else { Tone::Faint };
            (Some(*core), tone, format!("log {level}{uptime}: {text}"))
        }
        What::Missed { count } => (None, Tone::Bad, format!("{count} events are not shown: this reader was too slow")),
    };
    let time = event.time_us.map_or_else(String::new, seconds);
    Some(Line { time, core: core.map_or("", name), what: printable(&what), tone })
}

/// What containers and logs say, without control characters: they could steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// The name of a core.
pub(crate) fn name(core: Core) -> &'static str {
    match core {
        Core::M => "m",
        Core::A => "a",
    }
}

/// A time in seconds.
pub(crate) fn seconds(us: u64) -> String {
    format!("{}.{:03} s", us / 1_000_000, us % 1_000_000 / 1000)
}

/// A short time in milliseconds.
pub(crate) fn millis(us: u64) -> String {
    format!("{}.{:03} ms", us / 1000, us % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(time_us: Option<u64>, what: What) -> Option<String> {
        let line = line(&Happening::Event(Event { number: 0, time_us, clock: None, what }))?;
        Some(columns(&line.time, line.core, &line.what))
    }

    #[test]
    fn lines_are_aligned_and_harmless() {
        let text = "inner race\n1 2\x1b[2J".to_owned();
        let says = What::Message { container: "diagnose".into(), topic: "diagnosis".into(), text };
        let expected = "   3.072 s  a     diagnose says on diagnosis: inner race\n                  1 2\u{fffd}[2J";
        assert_eq!(shown(Some(3_072_999), says).unwrap(), expected);
        let lost = What::Lost { container: "tracker".into(), detail: "3 events".into() };
        assert_eq!(shown(None, lost).unwrap(), "                  tracker lost: 3 events");
    }

    #[test]
    fn debug_lines_are_for_json_readers() {
        let log = |level: &str| {
            let (level, text) = (level.into(), "hello".into());
            shown(None, What::Log { core: Core::M, level, uptime_us: Some(42_000), text })
        };
        assert_eq!(log("debug"), None);
        assert_eq!(log("info").unwrap(), "            m     log info [0.042 s up]: hello");
    }
}
