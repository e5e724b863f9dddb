//! Both sides of a bulk area in a model of memory that two cores cache without coherence: every write must be cleaned
//! before it is announced, and invalidated before it is read.

use std::time::{SystemTime, UNIX_EPOCH};

use coracle_bulk::{BulkError, BulkReader, BulkRef, BulkWriter, GRANULE_BYTES, RetainedReader, RetainedWriter};
use coracle_shmem::{Cache, Coherent, IncoherentMemory, Side};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const LINE_BYTES: usize = 32;
const LINES: usize = 64;

#[derive(Debug, Clone)]
enum Step {
    Put(usize),
    Get(usize),
    Free(usize),
    /// A line leaves the cache of a side by itself.
    Evict(bool, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0usize..300).prop_map(Step::Put),
        3 => any::<usize>().prop_map(Step::Get),
        2 => any::<usize>().prop_map(Step::Free),
        2 => (any::<bool>(), 0..LINES).prop_map(|(side, line)| Step::Evict(side, line)),
    ];
    proptest::collection::vec(step, 1..if cfg!(miri) { 30 } else { 200 })
}

/// Runs `steps`; says what went wrong.
fn run(
    steps: &[Step],
    memory: &IncoherentMemory,
    write_cache: &dyn Cache,
    read_cache: &dyn Cache,
) -> Result<(), String> {
    let [a, b] = memory.sides();
    let mut writer = BulkWriter::with_cache(a.region(), 1, write_cache).map_err(|e| e.to_string())?;
    let mut reader = BulkReader::with_cache(b.region(), read_cache).map_err(|e| e.to_string())?;
    let mut out: Vec<(BulkRef, Vec<u8>)> = Vec::new();
    let mut gone: Vec<BulkRef> = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        match *step {
            Step::Put(len) => {
                let payload: Vec<u8> = (0..len).map(|at| (at + 31 * i + 1) as u8).collect();
                match writer.put(&[&payload]) {
                    Ok(block) => out.push((block, payload)),
                    Err(BulkError::Full) => {}
                    Err(error) => return Err(format!("put: {error}")),
                }
            }
            Step::Get(which) if !out.is_empty() => {
                let (block, payload) = &out[which % out.len()];
                let len = reader.check(block, payload.len()).map_err(|e| format!("step {i}, check: {e}"))?;
                let mut got = vec![0; len];
                reader.get(block, &mut got).map_err(|e| format!("step {i}, get: {e}"))?;
                if got != *payload {
                    return Err(format!("step {i}: old bytes were read"));
                }
            }
            Step::Free(which) if !out.is_empty() => {
                let (block, _) = out.remove(which % out.len());
                writer.free(&block);
                gone.push(block);
            }
            Step::Evict(side, line) => [a, b][usize::from(side)].evict(line),
            Step::Get(_) | Step::Free(_) => {}
        }
        for block in &gone {
            if reader.check(block, usize::MAX).is_ok() {
                return Err(format!("step {i}: a freed block was accepted"));
            }
        }
    }
    Ok(())
}

fn memory() -> IncoherentMemory {
    IncoherentMemory::new(LINES, LINE_BYTES)
}

/// The seed is printed with a failure; `CORACLE_SEED=<seed>` repeats a run.
fn config() -> ProptestConfig {
    let seed = match std::env::var("CORACLE_SEED") {
        Ok(seed) => seed.parse().expect("CORACLE_SEED is a number"),
        // It has no clock.
        Err(_) if cfg!(miri) => 1,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_nanos() as u64,
    };
    println!("CORACLE_SEED={seed}");
    let config = if cfg!(miri) { ProptestConfig::default() } else { ProptestConfig::with_cases(256) };
    ProptestConfig { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_payload_crosses_two_caches(steps in steps()) {
        let memory = memory();
        let [a, b] = memory.sides();
        prop_assert_eq!(run(&steps, &memory, a, b), Ok(()));
    }
}

/// The model notices a side that maintains nothing.
#[test]
fn a_side_without_maintenance_is_noticed() {
    let steps = [Step::Put(10), Step::Get(0), Step::Free(0), Step::Put(20), Step::Get(0)];
    let both = memory();
    let [a, b] = both.sides();
    assert_eq!(run(&steps, &both, a, b), Ok(()));
    let writer_only = memory();
    assert!(run(&steps, &writer_only, writer_only.sides()[0], &Coherent).is_err());
    let reader_only = memory();
    assert!(run(&steps, &reader_only, &Coherent, reader_only.sides()[1]).is_err());
}

/// An area must not share a line with its neighbour, and blocks must not share one either.
#[test]
fn areas_and_blocks_are_whole_lines() {
    let memory = memory();
    let [a, b] = memory.sides();
    for (offset, len) in [(8, 128), (32, 100)] {
        let part = a.region().sub(offset, len).unwrap();
        assert_eq!(BulkWriter::with_cache(part, 1, a).err(), Some(BulkError::Layout));
        assert_eq!(BulkReader::with_cache(part, b).err(), Some(BulkError::Layout));
        assert_eq!(RetainedWriter::start_with_cache(part, a).err(), Some(coracle_shmem::OutOfRegion));
    }
    let mut writer = BulkWriter::with_cache(a.region(), 1, a).unwrap();
    for len in [0, 1, 55, 56, 57, 200] {
        let block = writer.put(&[&vec![0; len]]).unwrap();
        assert_eq!(block.offset as usize % GRANULE_BYTES, 0);
    }
}

/// What an earlier life left in memory is gone for the reader too, not only in the new writer's cache.
#[test]
fn a_new_life_cleans_the_heads_of_the_last_one_away() {
    let memory = memory();
    let [a, b] = memory.sides();
    let old = BulkWriter::with_cache(a.region(), 1, a).unwrap().put(&[b"old"]).unwrap();
    let mut reader = BulkReader::with_cache(b.region(), b).unwrap();
    assert_eq!(reader.check(&old, 3), Ok(3));
    let mut writer = BulkWriter::with_cache(a.region(), 1, a).unwrap();
    assert_eq!(reader.check(&old, 3), Err(BulkError::Stale));
    let new = writer.put(&[b"new"]).unwrap();
    assert_eq!(reader.check(&new, 3), Ok(3));
    writer.free_all();
    assert_eq!(reader.check(&new, 3), Err(BulkError::Stale));
}

fn retained(side: &Side, cache: &dyn Cache, slot: usize) -> Option<Vec<u8>> {
    let reader = RetainedReader::with_cache(side.region(), cache).ok()?;
    let mut out = vec![0; reader.len(slot)?];
    reader.read(slot, &mut out).ok()?;
    Some(out)
}

/// A reset of the writing core loses its cache. What was committed is in memory by then.
#[test]
fn a_committed_checkpoint_survives_the_loss_of_the_cache() {
    let memory = IncoherentMemory::new(LINES, 64);
    let [a, b] = memory.sides();
    let mut writer = RetainedWriter::start_with_cache(a.region(), a).unwrap();
    for round in 1..=5u8 {
        for slot in [0, 1, 7] {
            writer.write(slot, &vec![round; 40 + slot]).unwrap();
        }
        // Whatever leaves the cache early counts for nothing.
        (0..LINES).filter(|line| line % usize::from(round) == 0).for_each(|line| a.evict(line));
        let before = (round > 1).then(|| vec![round - 1; 47]);
        assert_eq!(retained(b, b, 7), before, "round {round}, not committed");
        writer.commit().unwrap();
        for slot in [0, 1, 7] {
            assert_eq!(retained(b, b, slot), Some(vec![round; 40 + slot]), "round {round}");
        }
    }
    let whole = memory.sides()[0].region();
    assert!(whole.invalidate(a, 0, whole.len()).is_ok(), "the reset");
    assert_eq!(retained(b, b, 7), Some(vec![5; 47]));
    assert_eq!(retained(a, a, 7), Some(vec![5; 47]));
    let mut writer = RetainedWriter::start_with_cache(a.region(), a).unwrap();
    for _ in 1..=6 {
        assert_eq!(retained(b, b, 7), None, "a new life forgets, whatever its transactions are numbered");
        writer.write(0, b"new").unwrap();
        writer.commit().unwrap();
    }
    assert_eq!(retained(b, b, 0), Some(b"new".to_vec()));
}
