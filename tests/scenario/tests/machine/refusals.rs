//! Bad input: every one is refused with a message that says what to do, and the machine goes on.

use std::fs;
use std::path::PathBuf;

use crate::bench::{Bench, assert_passed, example_manifest, print};
use coracle_api::{ClientError, Request};
use coracle_manifest::ScenarioOverride;
use coracle_test_scenario::{Board, Error, Pace, Plan, Run};

/// A manifest beside which `broken.wasm` lies, if there are bytes for it.
struct Case {
    name: &'static str,
    /// What is replaced in the example's manifest, and by what.
    change: [&'static str; 2],
    module: Option<Vec<u8>>,
    /// What the message must contain.
    words: &'static [&'static str],
}

fn cases(sentinel: &[u8]) -> Vec<Case> {
    let case = |name, change, words| Case { name, change, module: None, words };
    let module = |name, bytes, words| Case {
        name,
        change: ["module = \"sentinel.wasm\"", "module = \"broken.wasm\""],
        module: Some(bytes),
        words,
    };
    vec![
        case("unknown key", ["core = \"m\"", "core = \"m\"\ncolour = \"red\""], &["colour", "^^^"]),
        case("impossible placement", ["core = \"any\"", "core = \"m\""], &["tracker.move", "^^^"]),
        case("missing module", ["sentinel.wasm", "missing.wasm"], &["missing.wasm", "^^^", "sentinel"]),
        case("missing trace", ["onset.wav", "missing.wav"], &["missing.wav", "^^^"]),
        module("truncated module", sentinel[..sentinel.len() / 2].to_vec(), &["sentinel", "broken.wasm"]),
        module("no module at all", b"#!/bin/sh\nexit 0\n".to_vec(), &["sentinel", "broken.wasm"]),
        module("empty module", Vec::new(), &["sentinel", "broken.wasm"]),
        case(
            "import without a grant",
            ["module = \"tracker.wasm\"", "module = \"sentinel.wasm\""],
            &["`tracker` imports", "^^^", "= [...]", "[container.tracker.grants]"],
        ),
        case(
            "memory limit below the module's need",
            ["memory = \"16KiB\"", "memory = \"1KiB\""],
            &["sentinel", "memory"],
        ),
        case("more memory than the core has", ["memory = \"16KiB\"", "memory = \"12MiB\""], &["sentinel", "memory"]),
    ]
}

#[test]
fn bad_manifests_and_modules_are_refused_by_name_and_the_machine_goes_on() {
    let mut bench = Bench::start(Board::Host);
    let plan = bench.example();
    let sentinel = fs::read(bench.machine.modules().join("sentinel.wasm")).unwrap();
    let example = fs::read_to_string(example_manifest()).unwrap();
    let trace = example_manifest().parent().unwrap().join("bearing-watch/onset.wav");
    let modules_dir = Some(bench.machine.modules().to_owned());

    let mut tell = print;
    let mut run = Run::start(&mut bench.machine, &plan, &mut tell).unwrap_or_else(|error| panic!("{error}"));
    let before = run.report().unwrap();
    for case in cases(&sentinel) {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = case.change;
        // Traces are looked for beside the manifest.
        fs::create_dir(folder.path().join("bearing-watch")).unwrap();
        fs::copy(&trace, folder.path().join("bearing-watch/onset.wav")).unwrap();
        assert!(example.contains(from), "{}", case.name);
        let manifest = folder.path().join("bad.toml");
        fs::write(&manifest, example.replacen(from, to, 1)).unwrap();
        if let Some(bytes) = case.module {
            fs::write(folder.path().join("broken.wasm"), bytes).unwrap();
        }
        let request = Request::Apply { manifest, modules_dir: modules_dir.clone(), lockstep: true, pinned: false };
        let refused = run.machine().client().unwrap().call(&request);
        let Err(ClientError::Refused(message)) = refused else { panic!("{}: {refused:?}", case.name) };
        println!("-- {}:\n{message}", case.name);
        for word in case.words {
            assert!(message.contains(word), "{}: no `{word}` in:\n{message}", case.name);
        }
        let after = run.report().unwrap();
        assert_eq!(after.containers.keys().collect::<Vec<_>>(), before.containers.keys().collect::<Vec<_>>());
    }
    run.play().unwrap();
    assert_passed(&run.finish().unwrap_or_else(|error| panic!("{error}")));
}

#[test]
fn recordings_of_a_wrong_format_are_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let bench = Bench::start(Board::Host);
    let read = |trace: PathBuf| {
        let given = ScenarioOverride { trace: Some(trace), expect: None };
        Plan::read(&example_manifest(), bench.machine.modules(), &given).expect_err("refused").to_string()
    };
    let text = read(write("words.csv", b"hello\nworld\n"));
    assert!(text.contains("words.csv") && text.contains("line 2") && text.contains("`world`"), "{text}");
    let text = read(write("stereo.wav", &wav(2, 12_000)));
    assert!(text.contains("2 channels") && text.contains("mono"), "{text}");
    let text = read(write("fast.wav", &wav(1, 48_000)));
    assert!(text.contains("48000") && text.contains("12000") && text.contains("accel0"), "{text}");
    let text = read(folder.path().join("missing.wav"));
    assert!(text.contains("missing.wav") && text.contains("cannot be read"), "{text}");
}

#[test]
fn a_sensor_that_gives_up_is_told_and_the_machine_goes_on() {
    let mut bench = Bench::start(Board::Host);
    let trace = bench.folder.path().join("stereo.wav");
    fs::write(&trace, wav(2, 12_000)).unwrap();
    bench.machine.feed(&trace, Pace::Virtual, 512, 12_000).unwrap();
    let cancel = bench.machine.cancel().clone();
    let ended = cancel
        .wait("the feed's end", std::time::Duration::from_secs(30), || Ok(bench.machine.feed_done()?.then_some(())));
    let error = ended.unwrap_err();
    assert!(matches!(&error, Error::Ended { last_words, .. } if last_words.contains("2 channels")), "{error}");
    let plan = bench.example();
    assert_passed(&bench.run(&plan));
}

/// A 16-bit WAV file with a few samples.
fn wav(channels: u16, rate_hz: u32) -> Vec<u8> {
    let data = [0; 64];
    let block = channels * 2;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16_u32.to_le_bytes());
    bytes.extend([1, channels].map(u16::to_le_bytes).concat());
    bytes.extend(rate_hz.to_le_bytes());
    bytes.extend((rate_hz * u32::from(block)).to_le_bytes());
    bytes.extend([block, 16].map(u16::to_le_bytes).concat());
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}
