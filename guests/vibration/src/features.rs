//! What the network sees of a window: how far the lines that a damaged bearing would draw stand out of the envelope
//! spectrum.
//!
//! A defect strikes once per pass of a rolling element; each strike rings the structure at some resonance between
//! about 1 and 6 kHz. Which resonance, how loud and how fast the machine turns differ from machine to machine, so:
//!
//! 1. the spectrum is cut into overlapping bands, and each band's squared envelope is taken, divided by its mean (loudness
//!    drops out) and transformed; the bands' spectra are added, so whichever band rings speaks up;
//! 2. every line is measured in octaves of power above the median of its neighbourhood;
//! 3. lines are looked up at multiples of the bearing's own defect frequencies, which come with the shaft speed from
//!    the manifest (geometry and speed drop out).
//!
//! No state, no tracking of speed, no raw levels: a machine that is merely louder looks the same.

use crate::fft::{Complex, Fft};
use crate::{SAMPLE_RATE_HZ, WINDOW_SAMPLES};

/// Names the meaning of the features. A network is trained for exactly one version.
pub const FEATURES_VERSION: u8 = 1;

/// Features of one window.
pub const FEATURE_COUNT: usize = 3 * LINE_FEATURES + 6;

/// Features per kind of defect.
const LINE_FEATURES: usize = 7;

/// Slowest shaft, in Hz. Below it a window holds too few turns to tell sidebands from their line.
pub const MIN_SHAFT_HZ: f32 = 20.0;

/// Fastest shaft, in Hz. Above it the third multiples of the defect frequencies leave the envelope spectrum.
pub const MAX_SHAFT_HZ: f32 = 60.0;

/// Smallest relative distance between the frequencies of two kinds of defect that a window can resolve.
pub const MIN_SEPARATION: f32 = 0.05;

/// One part of the spectrum, in bins: 1500 Hz.
const BAND_BINS: usize = 256;
/// Distance between the starts of two bands, in bins.
const BAND_HOP_BINS: usize = 128;
/// First bin of the first band: 375 Hz, above the shaft's own harmonics.
const FIRST_BAND_BIN: usize = 64;
/// Bins over which a band fades in and out.
const BAND_EDGE_BINS: usize = 32;
/// Points of a band's envelope: twice its bins, because squaring doubles the bandwidth.
const ENVELOPE_POINTS: usize = 2 * BAND_BINS;
/// Bins of the envelope spectrum: 0 to 1500 Hz.
const ENVELOPE_BINS: usize = ENVELOPE_POINTS / 2;
/// Lowest bin that counts as a line; below it lies what the fade at the ends leaves of the mean.
const FIRST_LINE_BIN: usize = 2;
/// Neighbours on each side that make a line's background.
const BACKGROUND_BINS: usize = 20;
/// Width of a bin, in Hz, in the spectrum and in the envelope spectrum alike.
const BIN_HZ: f32 = SAMPLE_RATE_HZ as f32 / WINDOW_SAMPLES as f32;
/// Rolling elements slip: their frequencies are looked for this far around the calculated ones.
const SLIPS: [f32; 7] = [-0.015, -0.01, -0.005, 0.0, 0.005, 0.01, 0.015];
/// Steps of a quantised feature per octave of power.
const STEPS_PER_OCTAVE: f32 = 8.0;

/// How often each part of a bearing meets a defect, per turn of the shaft.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// Ball pass frequency of the outer race (BPFO).
    pub outer_race: f32,
    /// Ball pass frequency of the inner race (BPFI).
    pub inner_race: f32,
    /// Ball spin frequency (BSF). A damaged ball strikes twice per spin.
    pub ball_spin: f32,
    /// Fundamental train frequency (FTF): the cage.
    pub cage: f32,
}

/// Why shaft speed and geometry cannot be used for a diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineError {
    /// The shaft speed is no number from [`MIN_SHAFT_HZ`] to [`MAX_SHAFT_HZ`].
    ShaftSpeed,
    /// The multiples fit no bearing with a turning inner ring: cage from 0.25 to 0.5, outer below inner race,
    /// both races together a whole number of balls from 4 to 40, ball spin from 0.8 to 10.
    Geometry,
    /// The ball's frequency lies within [`MIN_SEPARATION`] of a race's: one window cannot tell them apart.
    Ambiguous,
}

/// A machine whose defect frequencies are known, plausible and far enough apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    shaft_hz: f32,
    geometry: Geometry,
}

impl Machine {
    /// Checks the configuration. Swapped or mistyped multiples would otherwise give a confident wrong diagnosis.
    pub fn new(shaft_hz: f32, geometry: Geometry) -> Result<Self, MachineError> {
        // Written so that NaN fails.
        if !(MIN_SHAFT_HZ..=MAX_SHAFT_HZ).contains(&shaft_hz) {
            return Err(MachineError::ShaftSpeed);
        }
        let balls = geometry.outer_race + geometry.inner_race;
        let plausible = (0.25..0.5).contains(&geometry.cage)
            && geometry.outer_race < geometry.inner_race
            && (3.9..40.1).contains(&balls)
            && (balls - libm::roundf(balls)).abs() < 0.02
            && (balls * geometry.cage / geometry.outer_race - 1.0).abs() < 0.02
            && (0.8..10.0).contains(&geometry.ball_spin);
        if !plausible {
            return Err(MachineError::Geometry);
        }
        let ball = 2.0 * geometry.ball_spin;
        let close = |race: f32| (ball / race - 1.0).abs() < MIN_SEPARATION;
        if close(geometry.outer_race) || close(geometry.inner_race) {
            return Err(MachineError::Ambiguous);
        }
        Ok(Self { shaft_hz, geometry })
    }
}

/// Measures one window. Needs about 40 KiB of stack.
///
/// In order, for outer race, inner race and ball: the lines at one, two and three times the defect frequency, the
/// lines half way between them, the sidebands one and two shaft lines away, the sidebands one cage line away; then the
/// shaft's first and second line, the cage's line, the strongest line of all, the kurtosis of the window, and the variance of
/// the liveliest band's envelope, at least that of noise. All are logarithms to base two, in 1/8, saturated.
pub fn extract(window: &[i16; WINDOW_SAMPLES], machine: &Machine) -> [i8; FEATURE_COUNT] {
    let (spectrum, liveliest) = envelope_spectrum(window);
    let lines = Lines::above_background(&spectrum);
    let Machine { shaft_hz, geometry } = *machine;
    let cage_hz = geometry.cage * shaft_hz;

    let mut features = [0i8; FEATURE_COUNT];
    let mut slots = features.iter_mut();
    let mut put = |octaves: f32| {
        if let Some(slot) = slots.next() {
            *slot = quantise(octaves);
        }
    };
    for multiple in [geometry.outer_race, geometry.inner_race, 2.0 * geometry.ball_spin] {
        let line_hz = lines.slipped(multiple * shaft_hz);
        let sidebands = |offset_hz: f32| {
            let around = |hz: f32| lines.at(hz - offset_hz) + lines.at(hz + offset_hz);
            (around(line_hz) + around(2.0 * line_hz)) / 4.0
        };
        put(lines.at(line_hz));
        put(lines.at(2.0 * line_hz));
        put(lines.at(3.0 * line_hz));
        put((lines.at(0.5 * line_hz) + lines.at(1.5 * line_hz)) / 2.0);
        put(sidebands(shaft_hz));
        put(sidebands(2.0 * shaft_hz));
        put(sidebands(cage_hz));
    }
    put(lines.at(shaft_hz));
    put(lines.at(2.0 * shaft_hz));
    put(lines.at(cage_hz));
    put(lines.strongest());
    put(libm::log2f(kurtosis(window)));
    put(libm::log2f(liveliest));
    features
}

/// Octaves to feature.
fn quantise(octaves: f32) -> i8 {
    // The cast saturates and turns NaN into zero.
    libm::roundf(octaves * STEPS_PER_OCTAVE) as i8
}

/// Power of each bin of the summed envelope spectra, and the variance of the liveliest band's envelope.
fn envelope_spectrum(window: &[i16; WINDOW_SAMPLES]) -> ([f32; ENVELOPE_BINS], f32) {
    let fft = Fft::new();
    let mean = window.iter().map(|&x| f32::from(x)).sum::<f32>() / WINDOW_SAMPLES as f32;
    let mut whole = window.map(|x| Complex { re: f32::from(x) - mean, im: 0.0 });
    fft.forward(&mut whole);

    let mut summed = [0.0f32; ENVELOPE_BINS];
    // That of noise: a calmer window is no calmer to the network.
    let mut liveliest = 1.0f32;
    let (positive, _) = whole.split_at(WINDOW_SAMPLES / 2);
    let bands = positive.get(FIRST_BAND_BIN..).unwrap_or_default().windows(BAND_BINS).step_by(BAND_HOP_BINS);
    for band in bands {
        // The band alone, moved down to 0 Hz. A forward transform of it is its time signal played backwards, which
        // has the same envelope spectrum.
        let mut envelope = [Complex::ZERO; ENVELOPE_POINTS];
        for (bin, (slot, x)) in envelope.iter_mut().zip(band).enumerate() {
            let edge = bin.min(BAND_BINS - 1 - bin);
            let gain =
                if edge < BAND_EDGE_BINS { hann((edge as f32 + 0.5) / (2 * BAND_EDGE_BINS) as f32) } else { 1.0 };
            *slot = Complex { re: x.re * gain, im: x.im * gain };
        }
        fft.forward(&mut envelope);
        let level = envelope.iter().map(|x| x.power()).sum::<f32>() / ENVELOPE_POINTS as f32;
        if level <= 0.0 {
            continue;
        }
        let mut variance = 0.0;
        for (i, x) in envelope.iter_mut().enumerate() {
            let swing = x.power() / level - 1.0;
            variance += swing * swing / ENVELOPE_POINTS as f32;
            // The ends of the window do not meet: fade them out.
            *x = Complex { re: swing * hann(i as f32 / ENVELOPE_POINTS as f32), im: 0.0 };
        }
        liveliest = liveliest.max(variance);
        fft.forward(&mut envelope);
        for (sum, x) in summed.iter_mut().zip(&envelope) {
            *sum += x.power();
        }
    }
    (summed, liveliest)
}

/// Raised cosine over 0 to 1.
fn hann(x: f32) -> f32 {
    0.5 - 0.5 * libm::cosf(core::f32::consts::TAU * x)
}

/// Fourth moment over squared variance: 3 for Gaussian noise, and for a constant window, which hints at nothing.
fn kurtosis(window: &[i16; WINDOW_SAMPLES]) -> f32 {
    let n = WINDOW_SAMPLES as f32;
    let mean = window.iter().map(|&x| f32::from(x)).sum::<f32>() / n;
    let (mut second, mut fourth) = (0.0f32, 0.0f32);
    for &x in window {
        let square = (f32::from(x) - mean) * (f32::from(x) - mean);
        second += square / n;
        fourth += square * square / n;
    }
    if second > 0.0 { fourth / (second * second) } else { 1.0 }
}

/// The envelope spectrum in octaves above its background.
struct Lines {
    octaves: [f32; ENVELOPE_BINS],
}

impl Lines {
    /// Compares each bin with the median of its neighbourhood, which a few lines do not lift.
    fn above_background(spectrum: &[f32; ENVELOPE_BINS]) -> Self {
        let mut octaves = [0.0; ENVELOPE_BINS];
        for (bin, (octave, &power)) in octaves.iter_mut().zip(spectrum).enumerate() {
            let from = bin.saturating_sub(BACKGROUND_BINS).max(FIRST_LINE_BIN);
            let to = (bin + BACKGROUND_BINS + 1).min(ENVELOPE_BINS);
            let mut neighbours = [0.0f32; 2 * BACKGROUND_BINS + 1];
            let count = to.saturating_sub(from);
            let background = match (neighbours.get_mut(..count), spectrum.get(from..to)) {
                (Some(slots), Some(values)) => {
                    slots.copy_from_slice(values);
                    slots.sort_unstable_by(f32::total_cmp);
                    slots.get(count / 2).copied().unwrap_or(0.0)
                }
                _ => 0.0,
            };
            if power > 0.0 && background > 0.0 {
                *octave = libm::log2f(power / background);
            }
        }
        Self { octaves }
    }

    /// The line at a frequency: the higher of the two bins around it. Zero outside the spectrum.
    fn at(&self, hz: f32) -> f32 {
        // The cast saturates: a negative frequency becomes bin 0.
        let bin = (hz / BIN_HZ) as usize;
        if bin < FIRST_LINE_BIN {
            return 0.0;
        }
        match (self.octaves.get(bin), self.octaves.get(bin + 1)) {
            (Some(&low), Some(&high)) => low.max(high),
            _ => 0.0,
        }
    }

    /// The frequency near `hz` at which a line and its multiples stand out most.
    fn slipped(&self, hz: f32) -> f32 {
        let mut best = (hz, f32::NEG_INFINITY);
        for slip in SLIPS {
            let candidate = hz * (1.0 + slip);
            let comb: f32 = [1.0, 2.0, 3.0].iter().map(|h| self.at(h * candidate).max(0.0)).sum();
            if comb > best.1 {
                best = (candidate, comb);
            }
        }
        best.0
    }

    /// The highest line anywhere.
    fn strongest(&self) -> f32 {
        let lines = self.octaves.get(FIRST_LINE_BIN..).unwrap_or_default();
        lines.iter().copied().fold(0.0, f32::max)
    }
}
