//! Bytes that are nearly right, and bytes that are nothing.

use std::fmt::Debug;

use coracle_board_api::sensor_wire::Decoder;
use coracle_bulk::BulkRef;
use coracle_container::{ContainerSpec, Kv};
use coracle_guest_abi::BlockHeader;
use coracle_link::FRAME_BYTES_MAX;
use coracle_migrate::retained::read_record;
use coracle_migrate::role::Step;
use coracle_migrate::snapshot::Snapshot;
use coracle_rpmsg::{Header, NameService};
use coracle_wire::{FromM, SPEC_BYTES_MAX, ToM};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::memory::sensor_frames;
use crate::messages::{from_m, to_m};
use crate::spec::spec;
use crate::state::snapshot_golden;

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

/// What decodes can be encoded and decodes again to the same.
fn try_decode<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> bool {
    let Some(value) = coracle_wire::decode::<T>(bytes) else { return false };
    let mut out = [0; SPEC_BYTES_MAX];
    let again = coracle_wire::encode(&value, &mut out).unwrap();
    assert_eq!(coracle_wire::decode::<T>(again), Some(value));
    true
}

#[test]
fn hostile_bytes_are_refused_or_decoded_but_never_panic() {
    const ROUNDS: usize = 200_000;
    /// Set it to repeat a run.
    const SEED: &str = "CORACLE_SEED";
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    };
    println!("{SEED}={seed}");
    let mut random = Random(seed);
    let mut goldens: Vec<Vec<u8>> = Vec::new();
    goldens.extend(to_m().into_iter().map(|(_, golden)| golden));
    goldens.extend(from_m().into_iter().map(|(_, golden)| golden));
    goldens.extend(sensor_frames().into_iter().map(|(_, golden)| golden));
    goldens.push(spec().1);
    goldens.push(snapshot_golden().1);
    let mut decoder = Decoder::new();
    let mut decoded = 0;
    for _ in 0..ROUNDS {
        // Half of them nearly right: a golden with a few bytes changed, perhaps cut.
        let bytes: Vec<u8> = if random.below(2) == 0 {
            (0..random.below(FRAME_BYTES_MAX + 1)).map(|_| random.next() as u8).collect()
        } else {
            let mut bytes = goldens[random.below(goldens.len())].clone();
            for _ in 0..1 + random.below(3) {
                let at = random.below(bytes.len());
                bytes[at] = random.next() as u8;
            }
            bytes.truncate(bytes.len() - random.below(2));
            bytes
        };
        decoded += usize::from(try_decode::<ToM>(&bytes));
        decoded += usize::from(try_decode::<FromM>(&bytes));
        decoded += usize::from(try_decode::<Step<BulkRef>>(&bytes));
        decoded += usize::from(try_decode::<ContainerSpec>(&bytes));
        decoded += usize::from(Snapshot::decode(&bytes).is_ok());
        decoded += usize::from(Kv::from_bytes(&bytes).is_some_and(|kv| kv.as_bytes() == bytes));
        decoded += usize::from(read_record(&bytes).is_ok());
        decoded += usize::from(NameService::from_bytes(&bytes).is_some());
        decoded += usize::from(BlockHeader::from_bytes(&bytes).is_some());
        if let Some(header) = bytes.first_chunk() {
            let _ = Header::from_bytes(header);
        }
        for byte in &bytes {
            decoded += usize::from(decoder.push(*byte).is_some());
        }
    }
    assert!(decoded > ROUNDS / 100, "{decoded} of {ROUNDS}: nothing came near being right");
}
