//! Projects that `coracle new` writes: they build, are admitted with their own manifest, and refusals say what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coracle_manifest::Manifest;
use coracle_prepare::{AdmissionLimits, prepare};
use coracle_test_sdk::{c, or_skip};

fn coracle(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coracle"));
    command.env_remove("CORACLE_GUESTS").args(arguments).output().expect("coracle runs")
}

/// Writes the project and returns its folder.
fn written(parent: &Path, name: &str, lang: &str, style: &str) -> PathBuf {
    let folder = parent.join(format!("{lang}-{style}"));
    let path = folder.to_str().expect("UTF-8");
    let output = coracle(&["new", name, "--lang", lang, "--style", style, "--path", path]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// Checks the manifest, and that the module is admitted with its limits.
fn admitted(folder: &Path, name: &str, style: &str, module: &[u8]) {
    let path = folder.join("manifest.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("{{"), "{text}");
    let manifest = Manifest::load(&path, Some(folder)).unwrap_or_else(|error| panic!("{error}"));
    let container = manifest.container(name).expect("the container");
    let limits = AdmissionLimits { memory: container.limits.memory_bytes };
    let prepared = prepare(module, &limits).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(prepared.page_size, 1);
    assert_eq!((prepared.command, &prepared.portable), (style == "command", &Ok(())));
    println!("{name}, {style}: {} bytes, {} of memory", prepared.bytes.len(), prepared.memory_min);
    assert!(prepared.memory_min <= 2048);
}

#[test]
fn rust_projects_build_and_are_admitted() {
    let parent = tempfile::tempdir().unwrap();
    for style in ["event", "command"] {
        let folder = written(parent.path(), "my-guest", "rust", style);
        // The versions of this repository, so that nothing has to be fetched.
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
        fs::copy(lock, folder.join("Cargo.lock")).unwrap();
        let output = Command::new(env!("CARGO"))
            .current_dir(&folder)
            .args(["build", "--release", "--offline", "--quiet"])
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("CARGO_BUILD_TARGET")
            .env("RUSTFLAGS", "--deny warnings")
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let module = folder.join("target/wasm32-unknown-unknown/release/my_guest.wasm");
        admitted(&folder, "my-guest", style, &fs::read(module).unwrap());
    }
}

#[test]
fn c_projects_build_and_are_admitted() {
    let parent = tempfile::tempdir().unwrap();
    for style in ["event", "command"] {
        let folder = written(parent.path(), "my-guest", "c", style);
        let Some(module) = or_skip(c::build(&folder, "my-guest", &folder.join("build"))) else { return };
        admitted(&folder, "my-guest", style, &module);
    }
}

#[test]
fn refusals_say_what_to_do() {
    let parent = tempfile::tempdir().unwrap();
    let full = parent.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("notes"), "mine").unwrap();
    let (full, file) = (full.to_str().unwrap().to_owned(), full.join("notes").to_str().unwrap().to_owned());
    let missing = parent.path().join("missing").to_str().unwrap().to_owned();
    for (arguments, help) in [
        (&["new", "a", "--path", &full][..], "is not an empty folder; name another one with --path"),
        (&["new", "a", "--path", &file], "is not an empty folder"),
        (&["new", "Upper", "--path", &missing], "use `a` to `z`"),
        (&["new", "a/../b", "--path", &missing], "use `a` to `z`"),
        (&["new", "", "--path", &missing], "use `a` to `z`"),
        (&["new", "\u{1b}[31m", "--path", &missing], "`\\u{1b}[31m` is not"),
        (&["new", "name-that-is-longer-than-31-byte", "--path", &missing], "at most 31 bytes"),
        (&["new", "9lives", "--path", &missing], "starts with a letter"),
        (&["new", "fn", "--path", &missing], "no word of Rust"),
        (&["new", "a", "--guests", "/nowhere", "--path", &missing], "with --guests or the environment variable"),
    ] {
        let output = coracle(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("coracle: ") && said.contains(help), "{arguments:?}: {said}");
        assert!(!Path::new(&missing).exists(), "{arguments:?} wrote something");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let digits = coracle(&["new", "9lives", "--lang", "c", "--path", &missing]);
    assert!(digits.status.success(), "a container may start with a digit: {}", String::from_utf8_lossy(&digits.stderr));
}

#[test]
fn names_are_those_of_manifests() {
    let parent = tempfile::tempdir().unwrap();
    for (n, name) in ["a", "0", "a-b-", "-a", "a_b", "a.b", "A", "ä", "", "a b", &"a".repeat(31), &"a".repeat(32)]
        .into_iter()
        .enumerate()
    {
        let manifest =
            format!("manifest = 1\nname = \"m\"\n[container.\"{name}\"]\nmodule = \"m.wasm\"\ncore = \"m\"\n");
        let valid = Manifest::parse(&manifest, Path::new("manifest.toml")).is_ok();
        let folder = parent.path().join(n.to_string());
        let output = coracle(&["new", "--lang", "c", "--path", folder.to_str().unwrap(), "--", name]);
        assert_eq!(output.status.success(), valid, "`{name}`: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_version_is_that_of_the_workspace() {
    let output = coracle(&["--version"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("coracle {}\n", env!("CARGO_PKG_VERSION")));
}
