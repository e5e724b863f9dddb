//! The network that names the fault: fully connected layers on `i8` values with `i32` accumulators.
//!
//! Integers only, so the same weights and features give the same scores on every core and engine. The weights are a
//! file made by the training script; this module checks it and runs it, and trains nothing.
//!
//! ```text
//! file   = "CVNN" format:u8 features:u8 layers:u8 0:u8  layer*      all numbers little endian
//! layer  = inputs:u16 outputs:u16 multiplier:u32 shift:u8 0:u8 0:u8 0:u8
//!          bias:i32 x outputs  weight:i8 x (outputs x inputs), output by output
//! output = saturate_i8((bias + sum(weight x input)) x multiplier / 2^shift, rounded half up), then max(0, .)
//!          in every layer but the last
//! ```

use crate::features::{FEATURE_COUNT, FEATURES_VERSION};

/// First bytes of a weights file.
pub const MAGIC: [u8; 4] = *b"CVNN";

/// Layout of the weights file that this crate reads.
pub const FORMAT_VERSION: u8 = 1;

/// Most layers a network may have.
pub const MAX_LAYERS: usize = 4;

/// Most inputs or outputs of a layer, in values.
pub const MAX_WIDTH: usize = 64;

/// Number of classes: the outputs of the last layer.
pub const CLASS_COUNT: usize = 4;

/// Largest right shift that rescales an accumulator, in bits. The product before it has at most 63.
const MAX_SHIFT: u8 = 62;

const _: () = assert!(FEATURE_COUNT <= MAX_WIDTH && CLASS_COUNT <= MAX_WIDTH);

/// What a window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// No sign of a bearing fault. The machine may still be loud for another reason.
    Normal,
    /// A defect on the inner race.
    InnerRace,
    /// A defect on the outer race.
    OuterRace,
    /// A defect on a ball.
    Ball,
}

impl Class {
    /// Every class, in the order of the network's outputs.
    pub const ALL: [Self; CLASS_COUNT] = [Self::Normal, Self::InnerRace, Self::OuterRace, Self::Ball];

    /// The name used in logs and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::InnerRace => "inner race",
            Self::OuterRace => "outer race",
            Self::Ball => "ball",
        }
    }
}

/// The network's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Diagnosis {
    /// The class with the highest score; the first of them if there are several.
    pub class: Class,
    /// A score for each class, in the order of [`Class::ALL`]. Not probabilities: only their order and distance
    /// mean anything.
    pub scores: [i8; CLASS_COUNT],
}

/// Why a weights file was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadError {
    /// The file does not start with [`MAGIC`]: it is something else.
    Magic,
    /// The layout is not [`FORMAT_VERSION`].
    FormatVersion(u8),
    /// Trained on other features than [`FEATURES_VERSION`]. Train again.
    FeaturesVersion(u8),
    /// Not 1 to [`MAX_LAYERS`] layers.
    LayerCount(u8),
    /// A layer, counted from 0, whose inputs are not what the layer before gives, or which is empty or wider than
    /// [`MAX_WIDTH`]; the first layer takes [`FEATURE_COUNT`], the last gives [`CLASS_COUNT`].
    LayerShape(u8),
    /// A layer's multiplier or shift is out of range: 1 to 2^31 - 1, 1 to 62.
    Rescale(u8),
    /// Padding that is not zero: a newer writer meant something by it.
    Reserved,
    /// The file ends early.
    Truncated,
    /// The file goes on for this many bytes after the last layer.
    TrailingBytes(usize),
}

/// A checked network that still lives in the bytes it was loaded from.
#[derive(Debug, Clone, Copy)]
pub struct Network<'a> {
    layers: [Layer<'a>; MAX_LAYERS],
    layer_count: usize,
}

/// One layer. Its slices have the lengths that the shape demands.
#[derive(Debug, Clone, Copy)]
struct Layer<'a> {
    inputs: usize,
    multiplier: i64,
    shift: u8,
    biases: &'a [[u8; 4]],
    weights: &'a [u8],
}

impl<'a> Layer<'a> {
    const NONE: Self = Layer { inputs: 1, multiplier: 1, shift: 1, biases: &[], weights: &[] };

    fn load(reader: &mut Reader<'a>, number: u8) -> Result<Self, LoadError> {
        let inputs = usize::from(u16::from_le_bytes(reader.array()?));
        let outputs = usize::from(u16::from_le_bytes(reader.array()?));
        let multiplier = u32::from_le_bytes(reader.array()?);
        let [shift, padding @ ..] = reader.array::<4>()?;
        if !(1..=MAX_WIDTH).contains(&inputs) || !(1..=MAX_WIDTH).contains(&outputs) {
            return Err(LoadError::LayerShape(number));
        }
        if !(1..=i32::MAX as u32).contains(&multiplier) || !(1..=MAX_SHIFT).contains(&shift) {
            return Err(LoadError::Rescale(number));
        }
        if padding != [0; 3] {
            return Err(LoadError::Reserved);
        }
        let (biases, _) = reader.bytes(4 * outputs)?.as_chunks::<4>();
        Ok(Self { inputs, multiplier: i64::from(multiplier), shift, biases, weights: reader.bytes(inputs * outputs)? })
    }

    /// Computes the outputs into the front of `outputs`.
    fn run(&self, inputs: &[i8], outputs: &mut [i8; MAX_WIDTH], lowest: i8) {
        let rows = self.weights.chunks_exact(self.inputs);
        for ((output, bias), row) in outputs.iter_mut().zip(self.biases).zip(rows) {
            let mut sum = 0i32;
            for (&weight, &input) in row.iter().zip(inputs) {
                sum += i32::from(weight as i8) * i32::from(input);
            }
            let sum = sum.saturating_add(i32::from_le_bytes(*bias));
            let rounded = (i64::from(sum) * self.multiplier + (1 << (self.shift - 1))) >> self.shift;
            *output = rounded.clamp(i64::from(lowest), i64::from(i8::MAX)) as i8;
        }
    }
}

impl<'a> Network<'a> {
    /// Checks a weights file.
    pub fn load(file: &'a [u8]) -> Result<Self, LoadError> {
        let mut reader = Reader { rest: file };
        if reader.array()? != MAGIC {
            return Err(LoadError::Magic);
        }
        let [format, features, layer_count, padding] = reader.array()?;
        if format != FORMAT_VERSION {
            return Err(LoadError::FormatVersion(format));
        }
        if features != FEATURES_VERSION {
            return Err(LoadError::FeaturesVersion(features));
        }
        if padding != 0 {
            return Err(LoadError::Reserved);
        }
        if !(1..=MAX_LAYERS).contains(&usize::from(layer_count)) {
            return Err(LoadError::LayerCount(layer_count));
        }
        let mut layers = [Layer::NONE; MAX_LAYERS];
        let mut width = FEATURE_COUNT;
        for (number, slot) in (0..layer_count).zip(&mut layers) {
            let layer = Layer::load(&mut reader, number)?;
            let last = number + 1 == layer_count;
            if layer.inputs != width || (last && layer.biases.len() != CLASS_COUNT) {
                return Err(LoadError::LayerShape(number));
            }
            width = layer.biases.len();
            *slot = layer;
        }
        if !reader.rest.is_empty() {
            return Err(LoadError::TrailingBytes(reader.rest.len()));
        }
        Ok(Self { layers, layer_count: usize::from(layer_count) })
    }

    /// Names what the features of one window show.
    pub fn diagnose(&self, features: &[i8; FEATURE_COUNT]) -> Diagnosis {
        let mut values = [0i8; MAX_WIDTH];
        for (value, &feature) in values.iter_mut().zip(features) {
            *value = feature;
        }
        for (number, layer) in self.layers.iter().take(self.layer_count).enumerate() {
            let last = number + 1 == self.layer_count;
            let inputs = values;
            layer.run(&inputs, &mut values, if last { i8::MIN } else { 0 });
        }

        let mut scores = [0i8; CLASS_COUNT];
        let mut best = (Class::Normal, i8::MIN);
        for ((score, &value), class) in scores.iter_mut().zip(&values).zip(Class::ALL) {
            *score = value;
            if value > best.1 {
                best = (class, value);
            }
        }
        Diagnosis { class: best.0, scores }
    }
}

/// Takes the file apart from the front.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], LoadError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(LoadError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(LoadError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: usize = 8;
    const LAYER_HEAD: usize = 12;

    /// One layer whose output 2 is twice feature 0 less feature 1 plus ten, halved; the other outputs are their biases.
    fn file() -> [u8; HEAD + LAYER_HEAD + 4 * CLASS_COUNT + CLASS_COUNT * FEATURE_COUNT] {
        let mut file = [0; HEAD + LAYER_HEAD + 4 * CLASS_COUNT + CLASS_COUNT * FEATURE_COUNT];
        file[..4].copy_from_slice(&MAGIC);
        file[4] = FORMAT_VERSION;
        file[5] = FEATURES_VERSION;
        file[6] = 1;
        file[8..10].copy_from_slice(&(FEATURE_COUNT as u16).to_le_bytes());
        file[10] = CLASS_COUNT as u8;
        file[12] = 1;
        file[16] = 1;
        for (bias, slot) in [-7i32, 9, 10, i32::MIN].iter().zip(file[20..36].chunks_exact_mut(4)) {
            slot.copy_from_slice(&bias.to_le_bytes());
        }
        let row = 36 + 2 * FEATURE_COUNT;
        file[row] = 2;
        file[row + 1] = (-1i8) as u8;
        file
    }

    #[test]
    fn arithmetic_is_as_specified() {
        let file = file();
        let network = Network::load(&file).unwrap();
        let mut features = [0i8; FEATURE_COUNT];
        // Rounded half up: -7/2 is -3, 9/2 is 5.
        assert_eq!(network.diagnose(&features).scores, [-3, 5, 5, -128]);
        assert_eq!(network.diagnose(&features).class, Class::InnerRace, "the first of equals");
        (features[0], features[1]) = (100, 3);
        let diagnosis = network.diagnose(&features);
        assert_eq!((diagnosis.class, diagnosis.scores[2]), (Class::OuterRace, 104));
        (features[0], features[1]) = (127, -128);
        assert_eq!(network.diagnose(&features).scores[2], 127, "saturates");
    }

    #[test]
    fn each_kind_of_damage_has_its_own_error() {
        let with = |at: usize, value: u8| {
            let mut file = file();
            file[at] = value;
            Network::load(&file).err()
        };
        assert_eq!(with(0, b'X'), Some(LoadError::Magic));
        assert_eq!(with(4, 9), Some(LoadError::FormatVersion(9)));
        assert_eq!(with(5, 77), Some(LoadError::FeaturesVersion(77)));
        assert_eq!(with(6, 0), Some(LoadError::LayerCount(0)));
        assert_eq!(with(6, 5), Some(LoadError::LayerCount(5)));
        assert_eq!(with(7, 1), Some(LoadError::Reserved));
        assert_eq!(with(8, 3), Some(LoadError::LayerShape(0)));
        assert_eq!(with(8, 0), Some(LoadError::LayerShape(0)));
        assert_eq!(with(9, 1), Some(LoadError::LayerShape(0)));
        assert_eq!(with(10, 65), Some(LoadError::LayerShape(0)));
        assert_eq!(with(12, 0), Some(LoadError::Rescale(0)));
        assert_eq!(with(15, 0x80), Some(LoadError::Rescale(0)));
        assert_eq!(with(16, 0), Some(LoadError::Rescale(0)));
        assert_eq!(with(16, 63), Some(LoadError::Rescale(0)));
        assert_eq!(with(17, 1), Some(LoadError::Reserved));
        // A second layer is announced, or the only one gives too few classes.
        assert_eq!(with(6, 2), Some(LoadError::Truncated));
        assert_eq!(with(10, 3), Some(LoadError::LayerShape(0)));
    }

    #[test]
    fn every_wrong_length_is_refused() {
        let mut long = [0u8; HEAD + LAYER_HEAD + 4 * CLASS_COUNT + CLASS_COUNT * FEATURE_COUNT + 2];
        let file = file();
        for length in 0..file.len() {
            assert_eq!(Network::load(&file[..length]).err(), Some(LoadError::Truncated), "{length}");
        }
        long[..file.len()].copy_from_slice(&file);
        assert_eq!(Network::load(&long).err(), Some(LoadError::TrailingBytes(2)));
    }
}
