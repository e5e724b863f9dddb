//! The modules that every SDK builds are admitted, small, and import what they use and nothing else.

mod common;

use common::{MEMORY, MEMORY_LARGE_PAGES, built_rust, scratch};
use coracle_guest_abi::{IMPORTS, wasi};
use coracle_prepare::{AdmissionLimits, Prepared, prepare};
use coracle_test_sdk::{assemblyscript, c, guests_folder, or_skip};

fn rust(name: &str) -> Prepared {
    admitted(name, &built_rust(name), MEMORY)
}

fn admitted(name: &str, module: &[u8], memory: u32) -> Prepared {
    let prepared = prepare(module, &AdmissionLimits { memory }).unwrap_or_else(|error| panic!("{name}: {error}"));
    println!(
        "{name}: {} bytes, {} of memory, imports {:?}",
        prepared.bytes.len(),
        prepared.memory_min,
        prepared.imports
    );
    prepared
}

/// Pages of one byte, no growth, little of everything.
fn is_small(name: &str, module: &Prepared, bytes: usize, memory: u64) {
    assert_eq!(module.page_size, 1, "{name}");
    assert_eq!(module.memory_max, Some(module.memory_min), "{name} can grow");
    assert!(module.bytes.len() <= bytes, "{name} has {} bytes", module.bytes.len());
    assert!(module.memory_min <= memory, "{name} has {} bytes of memory", module.memory_min);
}

fn imports(module: &Prepared) -> Vec<String> {
    let mut names: Vec<String> = module.imports.iter().map(|(module, name)| format!("{module} {name}")).collect();
    names.sort();
    names
}

#[test]
fn a_guest_imports_only_what_it_uses() {
    assert_eq!(imports(&rust("greedy")), ["coracle:log@1 write"], "a guest that only logs");
    assert_eq!(imports(&rust("spinner")), [""; 0], "a guest that does nothing");
}

#[test]
fn everything_calls_all_there_is() {
    let found = imports(&rust("everything"));
    let expected = IMPORTS.iter().filter(|import| import.module != wasi::MODULE);
    let mut expected: Vec<String> = expected.map(|import| format!("{} {}", import.module, import.name)).collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_driver_from_crates_io_is_a_small_portable_container() {
    let thermometer = rust("thermometer");
    is_small("thermometer", &thermometer, 4 * 1024, 2 * 1024);
    assert_eq!(thermometer.portable, Ok(()));
    assert_eq!(
        imports(&thermometer),
        [
            "coracle:config@1 get",
            "coracle:i2c@1 open",
            "coracle:i2c@1 write_read",
            "coracle:log@1 write",
            "coracle:msg@1 publish",
            "coracle:time@1 cancel",
            "coracle:time@1 set_timer",
        ]
    );
}

#[test]
fn a_command_is_admitted_as_one() {
    let lamp = rust("lamp");
    is_small("lamp", &lamp, 4 * 1024, 2 * 1024);
    assert!(imports(&lamp).contains(&format!("{} proc_exit", wasi::MODULE)));
    assert!(lamp.command && !rust("thermometer").command);
}

#[test]
fn c_guests_are_small() {
    for (name, command) in [("blink", false), ("meter", true)] {
        let built = c::build(&guests_folder().join("c").join(name), name, &scratch(name));
        let Some(module) = or_skip(built) else { return };
        let module = admitted(name, &module, MEMORY);
        is_small(name, &module, 1536, 1536);
        assert_eq!((module.command, &module.portable), (command, &Ok(())), "{name}");
        assert!(!module.names.is_empty(), "{name} has lost the names of its functions");
    }
}

#[test]
fn assemblyscript_is_admitted_with_one_large_page() {
    let Some(module) = or_skip(assemblyscript::build(&scratch("averager"))) else { return };
    let module = admitted("averager", &module, MEMORY_LARGE_PAGES);
    assert_eq!((module.page_size, module.memory_min, module.memory_max), (65_536, 65_536, Some(65_536)));
    assert_eq!(
        imports(&module),
        [
            "coracle:config@1 get",
            "coracle:log@1 write",
            "coracle:msg@1 publish",
            "coracle:sensor@1 open",
            "coracle:sensor@1 read_block",
        ]
    );
    assert_eq!(module.portable, Ok(()));
    assert!(!module.names.is_empty(), "it has lost the names of its functions");
}
