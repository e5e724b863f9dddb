//! Runs the product's network over features for the training and evaluation scripts.
//!
//! `classify WEIGHTS`; standard input: records of `i8` features; standard output: one record of `i8` scores for each.

use std::io::{self, Read, Write};

use coracle_vibration::features::FEATURE_COUNT;
use coracle_vibration::net::Network;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: classify WEIGHTS < features > scores")?;
    let weights = std::fs::read(&path)?;
    let network = Network::load(&weights).map_err(|error| format!("{}: {error:?}", path.display()))?;
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    let (records, rest) = input.as_chunks::<FEATURE_COUNT>();
    if !rest.is_empty() {
        return Err(format!("{} bytes are no whole number of {FEATURE_COUNT}-byte records", input.len()).into());
    }
    let mut output = io::BufWriter::new(io::stdout().lock());
    for record in records {
        let scores = network.diagnose(&record.map(|byte| byte as i8)).scores;
        output.write_all(&scores.map(|score| score as u8))?;
    }
    output.flush()?;
    Ok(())
}
