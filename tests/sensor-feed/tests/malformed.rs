//! Files that are not what they seem give errors, never a panic.

use std::io::Cursor;
use std::time::{SystemTime, UNIX_EPOCH};

use coracle_sensor_feed::trace::Trace;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn wav(samples: &[i16]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 12_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(Cursor::new(&mut bytes), spec).unwrap();
    samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
    writer.finalize().unwrap();
    bytes
}

/// The seed is printed with a failure; `CORACLE_SEED=<seed>` repeats a run.
fn config() -> ProptestConfig {
    let seed = match std::env::var("CORACLE_SEED") {
        Ok(seed) => seed.parse().expect("CORACLE_SEED is a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_nanos() as u64,
    };
    println!("CORACLE_SEED={seed}");
    ProptestConfig {
        cases: 2000,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_wav(
        samples in prop::collection::vec(any::<i16>(), 0..40),
        damage in prop::collection::vec((0usize..140, any::<u8>()), 0..6),
        length in 0usize..140,
    ) {
        let mut bytes = wav(&samples);
        for (at, byte) in damage {
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
        }
        bytes.truncate(length.max(4));
        bytes[..4].copy_from_slice(b"RIFF");
        let _ = Trace::parse(&bytes, Some(12_000)).map_err(|problem| problem.to_string());
    }

    #[test]
    fn any_text(text in "[-0-9eE.,;+ \\n\\ta-zµ]{0,80}") {
        let _ = Trace::parse(text.as_bytes(), Some(12_000)).map_err(|problem| problem.to_string());
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Trace::parse(&bytes, Some(12_000)).map_err(|problem| problem.to_string());
    }

    #[test]
    fn what_is_written_is_read(samples in prop::collection::vec(any::<i16>(), 1..200)) {
        let lines: String = samples.iter().map(|sample| format!("{sample}\n")).collect();
        let from_csv = Trace::parse(lines.as_bytes(), Some(12_000)).unwrap();
        let from_wav = Trace::parse(&wav(&samples), None).unwrap();
        prop_assert_eq!(from_csv.samples(), &samples[..]);
        prop_assert_eq!(from_wav, from_csv);
    }
}
