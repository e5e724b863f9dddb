//! Turns windows into features for the training script, so that training and product share one implementation.
//!
//! Standard input: records of five little-endian `f32` (shaft speed in Hz, then the BPFO, BPFI, BSF and FTF
//! multiples) and one window of `i16`. Standard output: one record of `i8` features for each.

use std::io::{self, Read, Write};

use coracle_vibration::WINDOW_SAMPLES;
use coracle_vibration::features::{Geometry, Machine, extract};

const HEAD_BYTES: usize = 5 * 4;
const RECORD_BYTES: usize = HEAD_BYTES + 2 * WINDOW_SAMPLES;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    if input.len() % RECORD_BYTES != 0 {
        return Err(format!("{} bytes are no whole number of {RECORD_BYTES}-byte records", input.len()).into());
    }
    let mut output = io::BufWriter::new(io::stdout().lock());
    for (number, record) in input.chunks_exact(RECORD_BYTES).enumerate() {
        let (head, samples) = record.split_at(HEAD_BYTES);
        let mut numbers = head.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let mut number_of = || numbers.next().unwrap_or(f32::NAN);
        let shaft_hz = number_of();
        let geometry =
            Geometry { outer_race: number_of(), inner_race: number_of(), ball_spin: number_of(), cage: number_of() };
        let machine = Machine::new(shaft_hz, geometry).map_err(|error| format!("record {number}: {error:?}"))?;
        let mut window = [0i16; WINDOW_SAMPLES];
        for (slot, bytes) in window.iter_mut().zip(samples.chunks_exact(2)) {
            *slot = i16::from_le_bytes([bytes[0], bytes[1]]);
        }
        let features = extract(&window, &machine);
        output.write_all(&features.map(|feature| feature as u8))?;
    }
    output.flush()?;
    Ok(())
}
