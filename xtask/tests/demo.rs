//! `cargo demo` as a user calls it: exit codes and what is printed where.

use std::path::Path;
use std::process::{Command, Output};

/// A millisecond of silence, as CSV.
const SILENCE: &str = "0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n";

fn demo(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("demo").args(arguments).output().unwrap();
    println!("{}\n{}", stdout(&output), stderr(&output));
    output
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into()
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_demo_shows_a_timeline_and_a_table_and_succeeds() {
    let output = demo(&[]);
    assert!(output.status.success());
    let shown = stdout(&output);
    for words in ["M wakes A: fault", "says on diagnosis: inner race", "tracker runs here, from m", "A goes to sleep"] {
        assert!(shown.contains(words), "no `{words}`");
    }
    for words in ["wakes", "containers", "migrations", "link", "expectations"] {
        assert!(shown.lines().any(|line| line == words), "no line `{words}`");
    }
    assert_eq!(shown.lines().filter(|line| line.starts_with("  ok      scenario.expect.")).count(), 5);
    assert!(!shown.contains('\u{1b}'), "no colours but on a terminal");
}

#[test]
fn an_expectation_that_does_not_hold_is_named_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let silence = file(folder.path(), "silence.csv", SILENCE);
    let output = demo(&["--trace", &silence]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("FAILED  scenario.expect.wakes: expected 1 wake, got no wake"));

    let output = demo(&["--trace", &silence, "--expect", "none", "--json"]);
    assert!(output.status.success());
    let objects: Vec<serde_json::Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("only JSON")).collect();
    let of_kind = |kind: &str| objects.iter().filter(|object| object["event"] == kind).count();
    assert_eq!((of_kind("report"), of_kind("trace-ended"), of_kind("wake")), (1, 1, 0));
    assert_eq!(of_kind("verdict"), 3);
}

#[test]
fn bad_input_fails_with_a_message_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let words = file(folder.path(), "words.csv", "hello\nworld\n");
    let manifest = file(folder.path(), "bad.toml", "manifest = 1\nname = \"bad\"\ncolour = \"red\"\n");
    for (arguments, expected) in [
        (["--trace", &words], "line 2: `world` is not a number"),
        (["--manifest", &manifest], "unknown key `colour`"),
        (["--board", "toaster"], "host and qemu-an386"),
    ] {
        let output = demo(&arguments);
        assert!(!output.status.success());
        assert!(stderr(&output).contains(expected), "no `{expected}`");
        assert_eq!(stdout(&output), "");
    }
}
