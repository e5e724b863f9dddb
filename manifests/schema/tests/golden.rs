//! The text of every error, as its user sees it: `golden/NAME.toml` gives `golden/NAME.err`.
//!
//! Files named `load-*` are loaded, so that the files they name must exist; the others are only parsed.
//! `CORACLE_BLESS=1 cargo test -p coracle-manifest` writes the `.err` files anew: read the difference before
//! committing it.

use coracle_manifest::Manifest;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const DIRECTORY: &str = "tests/golden";

fn report(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    let result = if name.starts_with("load-") {
        Manifest::load(path, None)
    } else {
        Manifest::parse(&fs::read_to_string(path).unwrap(), Path::new(name))
    };
    match result {
        Ok(_) => format!("{name} has no errors\n"),
        Err(errors) => format!("{errors}\n"),
    }
}

fn files(extension: &str) -> BTreeSet<PathBuf> {
    fs::read_dir(DIRECTORY)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

#[test]
fn every_error_reads_as_blessed() {
    let bless = std::env::var_os("CORACLE_BLESS").is_some();
    let inputs = files("toml");
    assert!(inputs.len() >= 40, "only {} cases found", inputs.len());
    let mut different = Vec::new();
    for input in &inputs {
        let actual = report(input);
        assert!(actual.starts_with("error: "), "a golden input must be refused: {actual}");
        let expected_path = input.with_extension("err");
        if bless {
            fs::write(&expected_path, actual).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if actual != expected {
            different.push(format!("--- {}\n{expected}+++ now\n{actual}", expected_path.display()));
        }
    }
    assert!(different.is_empty(), "{}\nIf this is intended, run again with CORACLE_BLESS=1.", different.join("\n"));
    let blessed: BTreeSet<PathBuf> = inputs.iter().map(|path| path.with_extension("err")).collect();
    assert_eq!(files("err"), blessed, "an .err file without its .toml");
}

#[test]
fn every_error_has_a_place_and_a_next_step() {
    for input in files("toml") {
        let report = report(&input);
        let errors = report.matches("error: ").count() - report.matches("more errors").count();
        assert_eq!(report.matches(" help: ").count(), errors, "{report}");
        assert_eq!(report.matches("--> ").count(), errors, "{report}");
        assert!(!report.contains('\u{1b}'), "colour in plain text");
    }
}
