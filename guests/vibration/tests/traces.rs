//! Detector and network together, over the demo trace and, where the folder is there, over real recordings.

use std::path::{Path, PathBuf};

use coracle_vibration::detector::{Baseline, Detector, Thresholds};
use coracle_vibration::features::{Geometry, Machine, extract};
use coracle_vibration::net::{Class, Network};
use coracle_vibration::stats::BlockStats;
use coracle_vibration::{BLOCK_SAMPLES, SAMPLE_RATE_HZ, WINDOW_SAMPLES};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Sample at which the fault begins in both onset traces.
const ONSET_SAMPLE: usize = 36_000;

/// What the example's manifest says about its machine: 143 LSB, half as much again for the first difference, and the
/// kurtosis of noise.
const BASELINE: Baseline = Baseline { rms_q4: 2288, diff_rms_q4: 3432, kurtosis_q8: 717 };

fn machine() -> Machine {
    let geometry = Geometry { outer_race: 3.5848, inner_race: 5.4152, ball_spin: 2.357, cage: 0.39828 };
    Machine::new(29.95, geometry).unwrap()
}

fn read(path: &Path) -> Vec<i16> {
    let mut reader = hound::WavReader::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let spec = reader.spec();
    assert_eq!((spec.channels, spec.bits_per_sample, spec.sample_rate), (1, 16, SAMPLE_RATE_HZ), "{}", path.display());
    reader.samples::<i16>().map(Result::unwrap).collect()
}

/// The real recordings' folder, if it is there.
fn recordings() -> Option<PathBuf> {
    let data = std::env::var_os("CORACLE_DATA").map_or_else(|| Path::new(ROOT).join("../shared/data"), PathBuf::from);
    let folder = data.join("vibration");
    if !folder.is_dir() {
        println!("SKIPPED: no recordings in {}", folder.display());
        return None;
    }
    Some(folder)
}

/// Ends of the blocks in which the detector reports an onset, in samples.
fn onsets(samples: &[i16]) -> Vec<usize> {
    let mut detector = Detector::new(BASELINE, Thresholds::default()).unwrap();
    let blocks = samples.chunks_exact(BLOCK_SAMPLES).enumerate();
    blocks
        .filter(|(_, block)| detector.block(&BlockStats::of(block).unwrap()).is_some())
        .map(|(number, _)| (number + 1) * BLOCK_SAMPLES)
        .collect()
}

/// What the network calls the window that ends at `end`.
fn diagnose(samples: &[i16], end: usize) -> Class {
    let weights = std::fs::read(Path::new(ROOT).join("manifests/examples/bearing-watch/weights.bin")).unwrap();
    let window = samples[..end].last_chunk::<WINDOW_SAMPLES>().unwrap();
    let diagnosis = Network::load(&weights).unwrap().diagnose(&extract(window, &machine()));
    println!("window ending at {end}: {diagnosis:?}");
    diagnosis.class
}

/// One onset, after the fault began and within eight blocks of it, and the right name for it.
fn assert_inner_race_onset(samples: &[i16]) {
    let onsets = onsets(samples);
    let [end] = onsets[..] else {
        panic!("expected one onset: {onsets:?}");
    };
    assert!((ONSET_SAMPLE..ONSET_SAMPLE + 8 * BLOCK_SAMPLES).contains(&end), "onset reported at sample {end}");
    assert_eq!(diagnose(samples, end), Class::InnerRace);
}

#[test]
fn demo_trace_is_noticed_after_the_onset_and_named() {
    assert_inner_race_onset(&read(&Path::new(ROOT).join("manifests/examples/bearing-watch/onset.wav")));
}

#[test]
fn demo_trace_is_quiet_without_its_fault() {
    let samples = read(&Path::new(ROOT).join("manifests/examples/bearing-watch/onset.wav"));
    assert_eq!(onsets(&samples[..ONSET_SAMPLE]), []);
    assert_eq!(diagnose(&samples, ONSET_SAMPLE), Class::Normal);
}

#[test]
fn real_onset_is_noticed_after_second_three_and_named() {
    let Some(folder) = recordings() else { return };
    assert_inner_race_onset(&read(&folder.join("onset_inner_race.wav")));
}

#[test]
fn real_healthy_machine_is_left_alone() {
    let Some(folder) = recordings() else { return };
    let samples = read(&folder.join("normal_0hp.wav"));
    assert_eq!(onsets(&samples), []);
    assert_eq!(diagnose(&samples, WINDOW_SAMPLES), Class::Normal);
}

/// A trace that is faulty from its first sample is reported with the first window that is full.
#[test]
fn real_faults_are_noticed_from_the_start() {
    let Some(folder) = recordings() else { return };
    // The ball recording shows no line at the ball's frequencies, so nothing is asked about its name.
    let cases = [
        ("inner_race_007_0hp.wav", Some(Class::InnerRace)),
        ("outer_race_007_0hp.wav", Some(Class::OuterRace)),
        ("ball_007_0hp.wav", None),
    ];
    for (name, class) in cases {
        let samples = read(&folder.join(name));
        assert_eq!(onsets(&samples), [WINDOW_SAMPLES], "{name}");
        let named = diagnose(&samples, WINDOW_SAMPLES);
        if let Some(class) = class {
            assert_eq!(named, class, "{name}");
        }
    }
}
