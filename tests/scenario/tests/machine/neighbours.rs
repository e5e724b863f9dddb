//! A container in an endless loop beside the example's.

use std::fs;

use crate::bench::{Bench, assert_passed, example_manifest};
use coracle_api::Core;
use coracle_manifest::ScenarioOverride;
use coracle_test_scenario::Board;

/// Never comes back from its first summary, and has fuel for longer than the scenario.
const SPINNER: &str = r#"
[container.spin]
module = "MODULE"
core = "m"

[container.spin.limits]
memory = "16KiB"
fuel_per_event = 1_000_000_000_000
queue = 16

[container.spin.grants]
subscribe = ["vibration/summary"]

[[wake]]"#;

#[test]
fn an_endless_loop_costs_its_neighbours_no_event() {
    let mut bench = Bench::start(Board::Host);
    let plan = bench.example();
    let alone = bench.run(&plan);
    assert_passed(&alone);

    let mut bench = Bench::start(Board::Host);
    let example = example_manifest();
    let text = fs::read_to_string(&example).unwrap();
    let trace = example.parent().unwrap().join("bearing-watch/onset.wav");
    let text = text.replacen("[[wake]]", &SPINNER.replace("MODULE", "spinner.wasm"), 1);
    let text = text.replacen("bearing-watch/onset.wav", &trace.display().to_string(), 1);
    let manifest = bench.folder.path().join("spin.toml");
    fs::write(&manifest, text).unwrap();
    let plan = bench.plan(&manifest, &ScenarioOverride::default());
    let beside = bench.run(&plan);
    assert_passed(&beside);

    let spinner = &beside.report.containers["spin"];
    assert_eq!((spinner.core, spinner.events), (Some(Core::M), 0), "it has not come back");
    assert!(spinner.fuel[&Core::M] > 1_000_000, "it had its slices: {spinner:?}");
    for name in ["sentinel", "tracker", "diagnose"] {
        let (with, without) = (&beside.report.containers[name], &alone.report.containers[name]);
        assert_eq!((with.events, &with.state_digest), (without.events, &without.state_digest), "{name}");
        assert_eq!(with.dropped, 0, "{name}");
    }
}
