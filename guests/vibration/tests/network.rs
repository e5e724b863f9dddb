//! The committed weights: are they the documented ones, and do they name faults that no training script made.

use std::f32::consts::TAU;
use std::fmt::Write;
use std::path::Path;

use coracle_vibration::WINDOW_SAMPLES;
use coracle_vibration::features::{Geometry, Machine, MachineError, extract};
use coracle_vibration::net::{Class, LoadError, Network};
use sha2::{Digest, Sha256};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const EXAMPLE: &str = "manifests/examples/bearing-watch";
const SAMPLE_RATE_HZ: f32 = coracle_vibration::SAMPLE_RATE_HZ as f32;

fn weights() -> Vec<u8> {
    std::fs::read(Path::new(ROOT).join(EXAMPLE).join("weights.bin")).unwrap()
}

#[test]
fn generated_files_are_the_documented_ones() {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/bearing-diagnosis.md")).unwrap();
    for name in ["weights.bin", "onset.wav"] {
        let mut hash = String::new();
        for byte in Sha256::digest(std::fs::read(Path::new(ROOT).join(EXAMPLE).join(name)).unwrap()) {
            write!(hash, "{byte:02x}").unwrap();
        }
        let line = format!("{name:<12} sha256 {hash}");
        assert!(page.contains(&line), "docs/bearing-diagnosis.md lacks the line: {line}");
    }
}

#[test]
fn damaged_weights_are_refused() {
    let good = weights();
    assert!(Network::load(&good).is_ok());
    for length in 0..good.len() {
        assert_eq!(Network::load(&good[..length]).err(), Some(LoadError::Truncated), "{length} bytes");
    }
    let mut long = good.clone();
    long.push(0);
    assert_eq!(Network::load(&long).err(), Some(LoadError::TrailingBytes(1)));
    let mut other = good;
    other[0] ^= 1;
    assert_eq!(Network::load(&other).err(), Some(LoadError::Magic));
}

/// Noise and impacts from a few lines of arithmetic that share nothing with the training simulator.
struct Generator {
    state: u64,
}

impl Generator {
    /// Uniform over 0 to 1 (xorshift64*).
    fn uniform(&mut self) -> f32 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u64 << 24) as f32
    }

    /// About Gaussian, variance 1.
    fn gauss(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    fn window(&mut self, class: Class, geometry: Geometry, shaft_hz: f32) -> [i16; WINDOW_SAMPLES] {
        let mut signal = [0.0f32; WINDOW_SAMPLES];
        for x in &mut signal {
            *x = self.gauss();
        }
        let multiple = match class {
            Class::Normal => 0.0,
            Class::InnerRace => geometry.inner_race,
            Class::OuterRace => geometry.outer_race,
            Class::Ball => 2.0 * geometry.ball_spin,
        };
        let resonance_hz = 2000.0 + 2500.0 * self.uniform();
        let mut seconds = self.uniform() * 0.005;
        while multiple > 0.0 && seconds < WINDOW_SAMPLES as f32 / SAMPLE_RATE_HZ {
            let strength = match class {
                Class::InnerRace => 1.0 + 0.8 * (TAU * shaft_hz * seconds).cos(),
                Class::Ball => 1.0 + 0.8 * (TAU * geometry.cage * shaft_hz * seconds).cos(),
                Class::Normal | Class::OuterRace => 1.0,
            };
            for (i, x) in signal.iter_mut().enumerate() {
                let after = i as f32 / SAMPLE_RATE_HZ - seconds;
                if after >= 0.0 {
                    *x += 6.0 * strength * (-900.0 * after).exp() * (TAU * resonance_hz * after).sin();
                }
            }
            seconds += (1.0 + 0.005 * self.gauss()) / (multiple * shaft_hz);
        }
        signal.map(|x| (x * 200.0) as i16)
    }
}

/// Two bearings with 9 and 12 balls; training knows neither count.
const BEARINGS: [(Geometry, f32); 2] = [
    (Geometry { outer_race: 3.5848, inner_race: 5.4152, ball_spin: 2.357, cage: 0.39828 }, 29.95),
    (Geometry { outer_race: 4.95, inner_race: 7.05, ball_spin: 2.77, cage: 0.4125 }, 48.0),
];

#[test]
fn names_faults_of_an_independent_generator() {
    let weights = weights();
    let network = Network::load(&weights).unwrap();
    for seed in 1..=5u64 {
        for (geometry, shaft_hz) in BEARINGS {
            let machine = Machine::new(shaft_hz, geometry).unwrap();
            for class in Class::ALL {
                let mut generator = Generator { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) };
                let window = generator.window(class, geometry, shaft_hz);
                let diagnosis = network.diagnose(&extract(&window, &machine));
                assert_eq!(diagnosis.class, class, "seed {seed}, {shaft_hz} Hz: {diagnosis:?}");
            }
        }
    }
}

#[test]
fn windows_without_a_signal_are_normal() {
    let weights = weights();
    let network = Network::load(&weights).unwrap();
    let (geometry, shaft_hz) = BEARINGS[0];
    let machine = Machine::new(shaft_hz, geometry).unwrap();
    let mut one_sample = [0; WINDOW_SAMPLES];
    one_sample[1000] = i16::MAX;
    for window in [[0; WINDOW_SAMPLES], [i16::MIN; WINDOW_SAMPLES], one_sample] {
        let features = extract(&window, &machine);
        let diagnosis = network.diagnose(&features);
        assert_eq!(diagnosis.class, Class::Normal, "{diagnosis:?} of {features:?}");
    }
}

/// Loudness and offset carry no information: the features hardly move.
#[test]
fn features_do_not_depend_on_level() {
    let (geometry, shaft_hz) = BEARINGS[0];
    let machine = Machine::new(shaft_hz, geometry).unwrap();
    let mut generator = Generator { state: 7 };
    let window = generator.window(Class::OuterRace, geometry, shaft_hz);
    let louder = window.map(|x| 4 * x + 500);
    assert_eq!(extract(&window, &machine), extract(&louder, &machine));
}

#[test]
fn implausible_machines_are_refused() {
    let (good, shaft_hz) = BEARINGS[0];
    for hz in [0.0, -29.0, 19.9, 60.1, f32::NAN, f32::INFINITY] {
        assert_eq!(Machine::new(hz, good), Err(MachineError::ShaftSpeed), "{hz}");
    }
    let swapped = Geometry { outer_race: good.inner_race, inner_race: good.outer_race, ..good };
    let other_cage = Geometry { cage: 0.45, ..good };
    let doubled_spin = Geometry { ball_spin: 4.7135 * 3.0, ..good };
    let no_number = Geometry { inner_race: f32::NAN, ..good };
    for geometry in [swapped, other_cage, doubled_spin, no_number] {
        assert_eq!(Machine::new(shaft_hz, geometry), Err(MachineError::Geometry), "{geometry:?}");
    }
    let close = Geometry { ball_spin: 2.65, ..good };
    assert_eq!(Machine::new(shaft_hz, close), Err(MachineError::Ambiguous));
}
