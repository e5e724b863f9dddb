//! Whatever happens to a manifest's text, reading it ends in a manifest or a report, never in a panic.
//!
//! Every run prints its seed; `CORACLE_SEED=<number>` repeats it.

use coracle_manifest::{MAX_PRINTED_ERRORS, Manifest};
use proptest::prelude::{Strategy, any};
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proptest::{collection::vec, prop_assert, prop_oneof};
use std::path::Path;

/// The manifest that runs, and the one of the page about manifests, which has every kind of grant.
fn seeds() -> [&'static str; 2] {
    let page = include_str!("../../../docs/manifest.md");
    let example = page.split_once("```toml\n").and_then(|(_, rest)| rest.split_once("```")).expect("an example").0;
    [include_str!("../../examples/bearing-watch.toml"), example]
}

const CASES: u32 = 4000;

/// Pieces that are likely to lead somewhere.
const PIECES: [&str; 28] = [
    "\"",
    "\"\"\"",
    "'",
    "[",
    "[[",
    "]",
    "]]",
    "{",
    "}",
    "=",
    ",",
    ".",
    "#",
    "\n",
    "\r\n",
    "\r",
    "-",
    "0",
    "99999999999999999999",
    "nan",
    "1979-05-27",
    "true",
    "KiB",
    "\u{0}",
    "\u{1b}[31m",
    "\t",
    "\u{e4}",
    "\u{1f980}",
];

#[derive(Debug, Clone)]
enum Mutation {
    Truncate(Index),
    Delete(Index, usize),
    Insert(Index, &'static str),
    Replace(Index, char),
    /// Copies a line to another place.
    CopyLine(Index, Index),
    /// Gives a line the value of another line.
    SwapValue(Index, Index),
}

fn mutations() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        1 => at().prop_map(Mutation::Truncate),
        3 => (at(), 1..40usize).prop_map(|(at, length)| Mutation::Delete(at, length)),
        4 => (at(), select(&PIECES[..])).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        2 => (at(), any::<char>()).prop_map(|(at, new)| Mutation::Replace(at, new)),
        3 => (at(), at()).prop_map(|(from, to)| Mutation::CopyLine(from, to)),
        6 => (at(), at()).prop_map(|(from, to)| Mutation::SwapValue(from, to)),
    ]
}

fn mutate(text: &str, mutation: &Mutation) -> String {
    let chars: Vec<char> = text.chars().collect();
    let lines: Vec<&str> = text.split('\n').collect();
    let position = |index: &Index| index.index(chars.len() + 1);
    let splice = |start: usize, length: usize, new: &str| -> String {
        let end = (start + length).min(chars.len());
        chars[..start].iter().copied().chain(new.chars()).chain(chars[end..].iter().copied()).collect()
    };
    match mutation {
        Mutation::Truncate(at) => splice(position(at), chars.len(), ""),
        Mutation::Delete(at, length) => splice(position(at), *length, ""),
        Mutation::Insert(at, piece) => splice(position(at), 0, piece),
        Mutation::Replace(at, new) => splice(position(at), 1, new.encode_utf8(&mut [0; 4])),
        Mutation::CopyLine(from, to) => {
            let mut lines = lines.clone();
            lines.insert(to.index(lines.len()), lines[from.index(lines.len())]);
            lines.join("\n")
        }
        Mutation::SwapValue(from, to) => {
            let value = lines[from.index(lines.len())].split_once('=').map_or("1", |(_, value)| value);
            let target = to.index(lines.len());
            let key = lines[target].split('=').next().unwrap_or_default();
            let changed = format!("{key}={value}");
            let mut lines = lines.clone();
            lines[target] = &changed;
            lines.join("\n")
        }
    }
}

#[test]
fn reading_never_panics() {
    let seed = match std::env::var("CORACLE_SEED") {
        Ok(text) => text.parse().expect("CORACLE_SEED is a number"),
        Err(_) => std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64),
    };
    eprintln!("seed: CORACLE_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let input = (select(seeds().to_vec()), vec(mutations(), 1..6)).prop_map(|(example, mutations)| {
        mutations.iter().fold(
            example.to_owned(),
            |text, mutation| {
                if text.is_empty() { text } else { mutate(&text, mutation) }
            },
        )
    });
    runner
        .run(&input, |text| {
            match Manifest::parse(&text, Path::new("mutated.toml")) {
                Ok(manifest) => {
                    for container in &manifest.containers {
                        let span = manifest.locate(&container.name, &["grants", "wake", "0"]);
                        prop_assert!(span.is_some_and(|span| text.get(span).is_some()));
                    }
                }
                Err(errors) => {
                    let printed = errors.diagnostics().len().min(MAX_PRINTED_ERRORS);
                    prop_assert!(printed > 0);
                    let report = errors.to_string();
                    prop_assert!(report.matches("--> mutated.toml").count() == printed, "{report}");
                    prop_assert!(!report.contains('\u{1b}'), "an escape sequence reached the terminal");
                    let _ = errors.to_colored_string();
                }
            }
            Ok(())
        })
        .expect("reading a mutated manifest went wrong");
}
