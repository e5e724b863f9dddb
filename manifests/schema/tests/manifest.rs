//! What a good manifest becomes, where its parts are found again, and which files it needs.

use coracle_manifest::{
    Diagnosis, Diagnostic, Expect, FileGrant, Grants, HostGrant, I2cGrant, Limits, Manifest, PinGrant, PinMode,
    Placement, Scenario, Sensor, SensorGrant, Span, SpiGrant,
};
use coracle_policy::{Core, MoveCondition, MoveRule, Name, WakeRule};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../examples/bearing-watch.toml");

fn name(text: &str) -> Name {
    Name::try_from(text).unwrap()
}

fn parse(text: &str) -> Manifest {
    Manifest::parse(text, Path::new("examples/bearing-watch.toml")).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_example_says_what_it_means() {
    let manifest = parse(EXAMPLE);
    assert_eq!(manifest.name, "bearing-watch");
    let names: Vec<&str> = manifest.containers.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["sentinel", "diagnose", "tracker"], "the text's order");

    let sentinel = manifest.container("sentinel").unwrap();
    assert_eq!(sentinel.module, PathBuf::from("examples/sentinel.wasm"));
    assert_eq!(sentinel.placement, Placement::Fixed(Core::M));
    assert!(sentinel.placement.moves().is_none());
    let limits = Limits { memory_bytes: 16 * 1024, fuel_per_event: 2_000_000, queue_events: 16, ..Limits::default() };
    assert_eq!(sentinel.limits, limits);
    let grants = Grants {
        sensors: vec![SensorGrant { name: name("accel0"), rate_hz: None, exclusive: false }],
        publish: vec![name("vibration/summary")],
        wake: vec![name("fault")],
        ..Grants::default()
    };
    assert_eq!(sentinel.grants, grants);
    assert_eq!(sentinel.config[0], (name("baseline_rms_q4"), "2288".to_owned()));
    assert_eq!(manifest.container("diagnose").unwrap().config[0], (name("shaft_hz"), "29.95".to_owned()));

    let tracker = manifest.container("tracker").unwrap();
    assert_eq!(tracker.placement.initial(), Core::M);
    assert!(tracker.placement.allows(Core::A) && tracker.placement.allows(Core::M));
    let moves = [
        MoveRule { to: Core::A, when: MoveCondition::Message { topic: name("diagnosis") }, min_stay_events: 0 },
        MoveRule { to: Core::M, when: MoveCondition::Handled { events: 24 }, min_stay_events: 0 },
    ];
    assert_eq!(tracker.placement.moves().unwrap().as_slice(), moves);

    let sensor = Sensor { name: name("accel0"), rate_hz: 12000, block_samples: 512 };
    assert_eq!(manifest.sensors, [sensor]);
    let rule = WakeRule { reason: name("fault"), container: name("diagnose"), debounce_us: 30_000_000, per_hour: 12 };
    assert_eq!(manifest.wake.as_slice(), [rule]);
    let scenario = Scenario {
        trace: PathBuf::from("examples/bearing-watch/onset.wav"),
        queued_at_move: 2,
        expect: Expect {
            wakes: Some(1),
            wake_after: Some(Duration::from_secs(3)),
            diagnosis: Some(Diagnosis::Class("inner race".to_owned())),
            moves: vec![(name("tracker"), 2)],
            lossless: vec![name("tracker")],
        },
    };
    assert_eq!(manifest.scenario, Some(scenario));
}

/// The complete example of the page about manifests.
fn page_example() -> &'static str {
    let page = include_str!("../../../docs/manifest.md");
    let (_, rest) = page.split_once("```toml\n").expect("an example");
    rest.split_once("```").expect("its end").0
}

#[test]
fn every_kind_of_grant_and_limit_is_read() {
    let manifest = parse(page_example());
    let watch = manifest.container("watch").unwrap();
    let grants = Grants {
        pins: vec![
            PinGrant { label: name("door"), mode: PinMode::Input, exclusive: false },
            PinGrant { label: name("led"), mode: PinMode::Output, exclusive: true },
        ],
        i2c: vec![I2cGrant { bus: name("i2c-1"), addresses: vec![0x48, 0x49], exclusive: true }],
        spi: vec![SpiGrant { device: name("flash"), exclusive: false }],
        publish: vec![name("room/temperature"), name("room/alarm")],
        subscribe: vec![name("room/set-point")],
        wake: vec![name("alarm")],
        kv_bytes: 1024,
        ..Grants::default()
    };
    assert_eq!(watch.grants, grants);
    assert_eq!((watch.limits.stack_bytes, watch.limits.timers, watch.limits.logs_per_second), (4096, 2, 5));
    assert!(watch.args.is_empty());

    let compressor = manifest.container("compressor").unwrap();
    let sensor = SensorGrant { name: name("accel0"), rate_hz: Some(3000), exclusive: true };
    assert_eq!(compressor.grants.sensors, [sensor]);

    let report = manifest.container("report").unwrap();
    assert_eq!(report.args, ["--format", "json"]);
    assert_eq!(report.limits.fuel_per_second, 500_000_000);
    let host = |host: &str, port| HostGrant { host: host.to_owned(), port };
    assert_eq!(report.grants.hosts, [host("example.org", 443), host("192.168.1.10", 1883)]);
    let files = FileGrant { guest: "/data".to_owned(), host: "/var/lib/cold-room".to_owned(), write: true };
    assert_eq!(report.grants.files, [files]);

    let small = "table = 0\nsubscriptions = 2\nhandles = 0\npayload = \"64B\"\n";
    let text = page_example().replace("timers = 2\n", small);
    let limits = parse(&text).container("watch").unwrap().limits;
    assert_eq!((limits.table_elements, limits.subscriptions), (0, 2));
    assert_eq!((limits.handles, limits.payload_bytes, limits.timers), (0, 64, 4));
}

#[test]
fn topics_cross_between_the_cores_both_ways() {
    for publisher in ["m", "a", "any"] {
        for subscriber in ["m", "a", "any"] {
            parse(&format!(
                "manifest = 1\nname = \"n\"\n\
                 [container.p]\nmodule = \"p\"\ncore = \"{publisher}\"\ngrants = {{ publish = [\"t\"] }}\n\
                 [container.s]\nmodule = \"s\"\ncore = \"{subscriber}\"\ngrants = {{ subscribe = [\"t\"] }}\n"
            ));
        }
    }
}

/// A manifest of two containers on A with these grants.
fn two(first: &str, second: &str) -> Result<Manifest, coracle_manifest::ManifestErrors> {
    let text = format!(
        "manifest = 1\nname = \"n\"\n\
         [container.one]\nmodule = \"one\"\ncore = \"a\"\ngrants = {{ {first} }}\n\
         [container.two]\nmodule = \"two\"\ncore = \"a\"\ngrants = {{ {second} }}\n"
    );
    Manifest::parse(&text, Path::new("two.toml"))
}

#[test]
fn only_what_is_exclusive_cannot_be_shared() {
    let pin = |more: &str| format!("pins = [{{ label = \"led\", mode = \"output\"{more} }}]");
    let i2c = |bus: &str, addresses: &str, more: &str| {
        format!("i2c = [{{ bus = \"{bus}\", addresses = [{addresses}]{more} }}]")
    };
    let alone = ", exclusive = true";
    let shared = ", exclusive = false";
    for (first, second, allowed) in [
        (pin(shared), pin(""), true),
        (pin(alone), pin(""), false),
        (pin(""), pin(alone), false),
        (pin(alone), pin(alone), false),
        (pin(alone), pin(alone).replace("led", "other"), true),
        // The same name, but another kind of device.
        (pin(alone), "spi = [{ device = \"led\" }]".to_owned(), true),
        (i2c("one", "16", alone), i2c("one", "0x10", ""), false),
        (i2c("one", "16, 17", alone), i2c("one", "18, 17", alone), false),
        (i2c("one", "16", alone), i2c("two", "16", alone), true),
        (i2c("one", "16", alone), i2c("one", "17", alone), true),
        (i2c("one", "16", ""), i2c("one", "16", ""), true),
    ] {
        let result = two(&first, &second);
        assert_eq!(result.is_ok(), allowed, "{first} and {second}: {result:?}");
        let Err(errors) = result else { continue };
        let [error] = errors.diagnostics() else { panic!("{errors}") };
        assert!(error.related.is_some() && error.title.contains(" alone, so "), "{errors}");
    }
}

#[test]
fn folders_may_look_alike() {
    let long = "/".to_owned() + &"x".repeat(100);
    let files = format!(
        "files = [{{ guest = \"{long}1\", host = \"/\" }}, {{ guest = \"{long}2\", host = \"/\" }}, {{ guest = \"/\", host = \"/..x\" }}]"
    );
    let manifest = two(&files, &files).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(manifest.container("one").unwrap().grants.files.len(), 3);
    for path in ["", "/..", "/./x", "//", "/x/", "/x\\u0007", &("/".to_owned() + &"x".repeat(255))] {
        assert!(two(&format!("files = [{{ guest = \"{path}\", host = \"/\" }}]"), "").is_err(), "{path}");
    }
}

#[test]
fn every_example_parses() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut parsed = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(&path).unwrap();
            Manifest::parse(&text, &path).unwrap_or_else(|errors| panic!("{errors}"));
            parsed += 1;
        }
    }
    assert!(parsed >= 1);
}

#[test]
fn what_a_manifest_leaves_out_gets_defaults() {
    let manifest = parse("manifest = 1\nname = \"n\"\n[container.c]\nmodule = \"c.wasm\"\ncore = \"any\"\n");
    let container = manifest.container("c").unwrap();
    let limits = Limits {
        memory_bytes: 64 << 10,
        stack_bytes: 8 << 10,
        table_elements: 1024,
        fuel_per_event: 10_000_000,
        fuel_per_second: 0,
        queue_events: 16,
        timers: 4,
        subscriptions: 8,
        handles: 16,
        logs_per_second: 20,
        payload_bytes: 192,
    };
    assert_eq!(container.limits, limits);
    assert!(container.args.is_empty() && container.config.is_empty());
    assert_eq!(container.grants, Grants::default());
    assert_eq!(container.placement.initial(), Core::M, "low power unless asked");
    assert!(manifest.sensors.is_empty() && manifest.wake.as_slice().is_empty());
    assert_eq!(manifest.scenario, None);
}

#[test]
fn config_values_become_text() {
    let config =
        "text = \"a b\"\nempty = \"\"\nhex = 0x10\nnegative = -1_000\nfloat = 1.50\nsmall = 1e-3\nflag = true\n";
    let own = "baseline_rms_q4 = 2288\nbaseline_diff_rms_q4 = 3432\nbaseline_kurtosis_q8 = 768\n";
    assert!(EXAMPLE.contains(own));
    let text = EXAMPLE.replace(own, config);
    let manifest = parse(&text);
    let config = &manifest.container("sentinel").unwrap().config;
    let config: Vec<(&str, &str)> = config.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expected = [
        ("text", "a b"),
        ("empty", ""),
        ("hex", "16"),
        ("negative", "-1000"),
        ("float", "1.5"),
        ("small", "0.001"),
        ("flag", "true"),
    ];
    assert_eq!(config, expected);
}

#[test]
fn a_late_error_points_at_the_place_for_the_missing_line() {
    let manifest = parse(EXAMPLE);
    let place = |container: &str, path: &[&str]| manifest.locate(container, path).map(|span| &EXAMPLE[span]);
    assert_eq!(place("tracker", &["grants"]), Some("[container.tracker.grants]"));
    assert_eq!(place("tracker", &["grants", "wake"]), Some("[container.tracker.grants]"));
    assert_eq!(place("tracker", &[]), Some("[container.tracker]"));
    assert_eq!(place("tracker", &["config", "x"]), Some("[container.tracker]"));
    assert_eq!(place("tracker", &["move", "1"]), Some("[[container.tracker.move]]"));
    assert_eq!(place("tracker", &["move", "1", "when", "handled"]), Some("24"));
    assert_eq!(place("sentinel", &["limits", "memory"]), Some("\"16KiB\""));
    assert_eq!(place("sentinel", &["grants", "sensors", "accel0"]), Some("\"accel0\""));
    assert_eq!(place("nobody", &["grants"]), None);

    let span = manifest.locate("tracker", &["grants", "wake"]).unwrap();
    let error = manifest.error(
        Diagnostic::at(
            span,
            "module `tracker.wasm` imports `coracle:wake@1.request`, which is not granted",
            "add `wake = [...]` here, or build the module without the import",
        )
        .label("no `wake` in these grants"),
    );
    let line = EXAMPLE.lines().position(|line| line == "[container.tracker.grants]").unwrap() + 1;
    let expected = format!(
        "\
error: module `tracker.wasm` imports `coracle:wake@1.request`, which is not granted
  --> examples/bearing-watch.toml:{line}:1
   |
{line} | [container.tracker.grants]
   | ^^^^^^^^^^^^^^^^^^^^^^^^^^ no `wake` in these grants
   |
   = help: add `wake = [...]` here, or build the module without the import"
    );
    assert_eq!(error.to_string(), expected);
    let colored = error.to_colored_string();
    assert!(colored.contains("\u{1b}[") && colored.contains("not granted"));
}

#[test]
fn entries_of_lists_are_located_by_name() {
    let manifest = parse(page_example());
    let place = |container: &str, path: &[&str]| manifest.locate(container, path).map(|span| &page_example()[span]);
    assert_eq!(place("watch", &["grants", "pins", "led", "mode"]), Some("\"output\""));
    assert_eq!(place("watch", &["grants", "i2c", "i2c-1", "addresses"]), Some("[0x48, 0x49]"));
    assert_eq!(place("watch", &["grants", "spi", "flash"]), Some("{ device = \"flash\" }"));
    assert_eq!(place("compressor", &["grants", "sensors", "accel0", "rate_hz"]), Some("3000"));
    assert_eq!(place("report", &["grants", "files", "/data", "write"]), Some("true"));
    assert_eq!(place("report", &["grants", "hosts", "example.org:443"]), Some("\"example.org:443\""));
}

#[test]
fn inline_tables_are_located_too() {
    let text = "manifest = 1\nname = \"n\"\ncontainer.c = { module = \"c.wasm\", core = \"m\", grants = { publish = [\"t\"] } }\n";
    let manifest = parse(text);
    let span = manifest.locate("c", &["grants", "wake"]).unwrap();
    assert_eq!(&text[span], "{ publish = [\"t\"] }");
    let dotted = "manifest = 1\nname = \"n\"\n[container]\nc.module = \"c.wasm\"\nc.core = \"m\"\n";
    let span = parse(dotted).locate("c", &["grants"]).unwrap();
    assert_eq!(&dotted[span], "c");
}

#[test]
fn spans_that_do_not_fit_are_clamped() {
    let manifest = parse("manifest = 1\nname = \"n\" # \u{e4}\n[container.c]\nmodule = \"c.wasm\"\ncore = \"m\"\n");
    for span in [0..10_000, 9_999..10_000, 27..28, 28..28, Span { start: 80, end: 3 }, 12..14] {
        let report = manifest.error(Diagnostic::at(span, "title", "help")).to_string();
        assert!(report.starts_with("error: title\n"), "{report}");
        assert!(report.contains('^'), "{report}");
    }
}

#[test]
fn text_from_elsewhere_cannot_steer_the_terminal() {
    let text = "manifest = 1\nname = \"n\"\n[container.c]\nmodule = \"c.wasm\"\ncore = \"m\"\n";
    let manifest = Manifest::parse(text, Path::new("a\u{1b}[31m.toml")).unwrap();
    let hostile = || "x\u{1b}[2Jy".to_owned();
    let diagnostic = Diagnostic::at(0..4, hostile(), hostile()).label(hostile()).related(5..6, hostile());
    let report = manifest.error(diagnostic).to_string();
    assert!(!report.contains('\u{1b}'), "{report:?}");
    assert_eq!(report.matches("[2Jy").count(), 4, "{report:?}");
}

#[test]
fn loading_finds_modules_beside_the_manifest_and_in_the_build_folder() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watch.toml");
    let built = directory.path().join("built");
    fs::create_dir_all(directory.path().join("bearing-watch")).unwrap();
    fs::create_dir(&built).unwrap();
    fs::write(&path, EXAMPLE).unwrap();
    fs::write(directory.path().join("bearing-watch/onset.wav"), "").unwrap();
    fs::write(directory.path().join("sentinel.wasm"), "").unwrap();
    fs::write(directory.path().join("diagnose.wasm"), "").unwrap();
    fs::write(built.join("diagnose.wasm"), "").unwrap();

    let errors = Manifest::load(&path, Some(&built)).unwrap_err();
    assert_eq!(errors.diagnostics().len(), 1, "{errors}");
    let report = errors.to_string();
    assert!(report.contains("the module of `tracker` is missing"), "{report}");
    assert!(report.contains("built/tracker.wasm` and no file"), "{report}");

    // A folder of that name is no module.
    fs::create_dir(directory.path().join("tracker.wasm")).unwrap();
    assert!(Manifest::load(&path, Some(&built)).is_err());

    fs::write(built.join("tracker.wasm"), "").unwrap();
    let manifest = Manifest::load(&path, Some(&built)).unwrap();
    let module = |container: &str| manifest.container(container).unwrap().module.clone();
    assert_eq!(module("sentinel"), directory.path().join("sentinel.wasm"));
    assert_eq!(module("diagnose"), built.join("diagnose.wasm"), "the built one first");
    assert_eq!(module("tracker"), built.join("tracker.wasm"));
}

#[test]
fn a_file_that_cannot_be_a_manifest_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watch.toml");
    let refusal = |path: &Path| Manifest::load(path, None).unwrap_err().to_string();

    let report = refusal(&path);
    assert!(report.contains("cannot read the manifest: No such file"), "{report}");
    assert!(report.contains("help: check the path"), "{report}");
    assert!(refusal(directory.path()).contains("cannot read the manifest"));

    let too_large = "#".repeat(coracle_manifest::MAX_MANIFEST_BYTES as usize + 1);
    fs::write(&path, &too_large).unwrap();
    assert!(refusal(&path).contains("larger than 262144 bytes"));
    fs::write(&path, &too_large[1..]).unwrap();
    assert!(refusal(&path).contains("has no `manifest`"));
}
