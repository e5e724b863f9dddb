//! Header and page in the tree are what the specification makes, and every declaration is the table's.
//!
//! `cargo xtask bless` writes them anew: read the difference before you commit it.

use std::fs;
use std::path::{Path, PathBuf};

use coracle_guest_abi::{Errno, IMPORTS, find_import, wasi};
use coracle_test_interface::header::{self, declarations, errno};
use coracle_test_interface::page::{self, Notes};
use coracle_test_interface::{Interface, Record, Type};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn interface() -> Interface {
    Interface::parse(&read("shared-ipc/guest-abi/wit/coracle.wit")).unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn compare(path: &str, expected: &str) {
    if std::env::var_os("CORACLE_BLESS").is_some() {
        fs::write(root().join(path), expected).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let found = fs::read_to_string(root().join(path)).unwrap_or_default();
    if let Some((at, (found, expected))) =
        found.lines().chain(["the end"]).zip(expected.lines().chain(["the end"])).enumerate().find(|(_, (f, e))| f != e)
    {
        panic!("{path}:{}: is `{found}`, should be `{expected}`; run `cargo xtask bless`", at + 1);
    }
    assert_eq!(found, expected, "{path}");
}

#[test]
fn the_header_is_the_specification() {
    compare("guests/c/include/coracle.h", &header::render(&interface()).unwrap());
}

#[test]
fn the_page_is_the_specification() {
    let notes = ["errors", "costs", "wasi"].map(|name| read(&format!("tests/interface/{name}.toml")));
    let notes = Notes::parse(&notes[0], &notes[1], &notes[2]).unwrap();
    compare("docs/guest-interface.md", &page::render(&interface(), &notes).unwrap());
}

#[test]
fn headers_declare_every_import_with_its_type() {
    let text = header::render(&interface()).unwrap() + &read("guests/c/include/coracle_wasi.h");
    let declared = declarations(&text).unwrap();
    for import in &IMPORTS {
        let found = declared.iter().filter(|d| (&d.module[..], &d.name[..]) == (import.module, import.name)).count();
        assert_eq!(found, 1, "{} {} is declared {found} times", import.module, import.name);
    }
    for declaration in &declared {
        let name = format!("{} {}", declaration.module, declaration.name);
        let import = find_import(&declaration.module, &declaration.name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(declaration.params, import.params, "{name}");
        assert_eq!(declaration.result, import.result, "{name}");
    }
    assert!(declared.iter().any(|d| d.module == wasi::MODULE));
}

#[test]
fn error_numbers_are_those_of_the_table() {
    let kebab = |errno: Errno| {
        let name = format!("{errno:?}");
        let mut out = String::new();
        for (n, c) in name.chars().enumerate() {
            if c.is_uppercase() && n > 0 {
                out.push('-');
            }
            out.push(c.to_ascii_lowercase());
        }
        (out, errno as i32)
    };
    let expected: Vec<_> = Errno::ALL.into_iter().map(kebab).collect();
    let interface = interface();
    let found: Vec<_> = interface.errno.iter().map(|case| (case.name.clone(), errno(case).unwrap().0)).collect();
    assert_eq!(found, expected);
}

#[test]
fn records_are_as_long_as_the_table_says() {
    let interface = interface();
    let bytes = |record: &Record| -> usize {
        let bits = record.fields.iter().map(|field| match field.ty {
            Type::Scalar(coracle_test_interface::Scalar::U(bits) | coracle_test_interface::Scalar::S(bits)) => bits,
            _ => panic!("{} is no number", field.name),
        });
        bits.map(|bits| usize::from(bits / 8)).sum()
    };
    for (name, expected) in [
        ("event", coracle_guest_abi::EventRecord::BYTES),
        ("sensor-info", coracle_guest_abi::SensorInfo::BYTES),
        ("block-header", coracle_guest_abi::BlockHeader::BYTES),
    ] {
        let record = interface.packages.iter().flat_map(|p| &p.records).find(|r| r.name == name).unwrap();
        assert_eq!(bytes(record), expected, "{name}");
    }
}
