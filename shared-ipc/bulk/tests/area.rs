//! The bulk area from both sides: allocation against a reference, stale and hostile descriptors, capacity.

use std::time::{SystemTime, UNIX_EPOCH};

use coracle_bulk::{BLOCKS_MAX, BulkError, BulkReader, BulkRef, BulkWriter, GRANULE_BYTES, Refusals};
use coracle_shmem::{HeapRegion, Region};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const HEAD_BYTES: usize = 8;
/// Longest payload of a block of `granules`.
const fn payload(granules: usize) -> usize {
    granules * GRANULE_BYTES - HEAD_BYTES
}

fn area(granules: usize) -> HeapRegion {
    HeapRegion::new(granules * GRANULE_BYTES)
}

fn ends(area: &HeapRegion) -> (BulkWriter<'_>, BulkReader<'_>) {
    (BulkWriter::new(area.region(), 1), BulkReader::new(area.region()))
}

#[test]
fn what_was_put_is_got_until_it_is_freed() {
    let heap = area(4);
    let (mut writer, mut reader) = ends(&heap);
    let block = writer.put(&[b"hello ", b"", b"world"]).unwrap();
    let mut got = [0; 11];
    reader.get(&block, &mut got).unwrap();
    assert_eq!(&got, b"hello world");
    writer.free(&block);
    assert_eq!(reader.check(&block, 11), Err(BulkError::Stale), "free, not yet reused");
    let next = writer.put(&[b"another pay"]).unwrap();
    assert_eq!((next.offset, next.len), (block.offset, block.len));
    assert_eq!(reader.get(&block, &mut got), Err(BulkError::Stale), "reused");
    assert_eq!(reader.get(&next, &mut got), Ok(()));
    assert_eq!(reader.refusals(), Refusals { stale: 2, ..Refusals::default() });
}

#[test]
fn payloads_of_every_size_up_to_the_area_fit_an_empty_area() {
    let heap = area(4);
    let (mut writer, mut reader) = ends(&heap);
    for len in (0..=payload(4)).step_by(if cfg!(miri) { 31 } else { 1 }) {
        let sent: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
        let block = writer.put(&[&sent]).unwrap();
        let mut got = vec![0; len];
        reader.get(&block, &mut got).unwrap();
        assert_eq!(got, sent);
        writer.free(&block);
    }
    assert_eq!(writer.put(&[&vec![0; payload(4) + 1]]), Err(BulkError::TooLarge));
    assert_eq!(writer.put(&[&vec![0; payload(4)], &[0]]), Err(BulkError::TooLarge));
    let one = writer.put(&[&[1]]).unwrap();
    assert_eq!(writer.put(&[&vec![0; payload(4)]]), Err(BulkError::Full), "would fit if it were alone");
    writer.free(&one);
    assert!(writer.put(&[&vec![0; payload(4)]]).is_ok());
}

#[test]
fn an_area_without_a_whole_granule_holds_nothing() {
    for len in [0, 8, GRANULE_BYTES - 8] {
        let heap = HeapRegion::new(len);
        let (mut writer, mut reader) = ends(&heap);
        assert_eq!(writer.capacity(), 0);
        assert_eq!(writer.put(&[]), Err(BulkError::TooLarge));
        let any = BulkRef { offset: 0, len: 0, generation: 1 };
        assert!(matches!(reader.check(&any, 8), Err(BulkError::Range | BulkError::Stale)));
    }
}

#[test]
fn hostile_descriptors_are_refused_by_name_and_counted() {
    let heap = area(4);
    let (mut writer, mut reader) = ends(&heap);
    let neighbour = writer.put(&[&[3; 5]]).unwrap();
    let good = writer.put(&[&[7; 100]]).unwrap();
    let end = u32::try_from(heap.region().len()).unwrap();
    let mut room = [0; 200];
    let cases = [
        (BulkRef { offset: u32::MAX, ..good }, BulkError::Misaligned),
        (BulkRef { offset: good.offset + 8, ..good }, BulkError::Misaligned),
        (BulkRef { offset: good.offset + 1, ..good }, BulkError::Misaligned),
        (BulkRef { offset: u32::MAX - 63, ..good }, BulkError::Range),
        (BulkRef { offset: end, ..good }, BulkError::Range),
        (BulkRef { offset: end, len: 0, ..good }, BulkError::Range),
        (BulkRef { offset: end - 64, len: 57, ..good }, BulkError::Range),
        (BulkRef { len: u32::MAX, ..good }, BulkError::Range),
        (BulkRef { len: u32::MAX - 7, ..good }, BulkError::Range),
        (BulkRef { len: 185, ..good }, BulkError::Range),
        // Beyond its own block, into the free space behind it; and less than there is.
        (BulkRef { len: 101, ..good }, BulkError::Length),
        (BulkRef { len: 184, ..good }, BulkError::Length),
        (BulkRef { len: 99, ..good }, BulkError::Length),
        (BulkRef { len: 0, ..good }, BulkError::Length),
        // From one block over the other, and into the middle of one.
        (BulkRef { len: 6, ..neighbour }, BulkError::Length),
        (BulkRef { len: 200, ..neighbour }, BulkError::Length),
        (BulkRef { offset: good.offset + 64, ..good }, BulkError::Stale),
        (BulkRef { offset: neighbour.offset, ..good }, BulkError::Stale),
        (BulkRef { generation: 0, ..good }, BulkError::Stale),
        (BulkRef { generation: good.generation + 1, ..good }, BulkError::Stale),
        (BulkRef { generation: good.generation ^ (1 << 16), ..good }, BulkError::Stale),
        // Free space, as it is named in its head.
        (BulkRef { offset: end - 64, len: 0, generation: 0 }, BulkError::Stale),
    ];
    let mut expected = Refusals::default();
    for (bad, error) in cases {
        let len = (bad.len as usize).min(room.len());
        let mut want = || match error {
            BulkError::Misaligned => expected.misaligned += 1,
            BulkError::Range => expected.range += 1,
            BulkError::Length => expected.length += 1,
            _ => expected.stale += 1,
        };
        want();
        assert_eq!(reader.get(&bad, &mut room[..len]), Err(error), "{bad:?}");
        if bad.len as usize <= room.len() {
            want();
            assert_eq!(reader.check(&bad, room.len()), Err(error), "{bad:?}");
        }
        assert_eq!(reader.refusals(), expected, "{bad:?}");
    }
    assert_eq!(room, [0; 200], "nothing was copied");
    assert_eq!(reader.check(&good, 99), Err(BulkError::Length), "over the caller's limit");
    assert_eq!(reader.get(&good, &mut room[..99]), Err(BulkError::Length), "buffer too short");
    assert_eq!(reader.get(&good, &mut room[..101]), Err(BulkError::Length), "buffer too long");
    assert_eq!(reader.get(&good, &mut room[..100]), Ok(()));
}

/// The reader can write into the area all the same. It then spoils messages to itself, not what is free.
#[test]
fn a_hostile_reader_cannot_change_what_is_free() {
    let heap = area(4);
    let (mut writer, mut reader) = ends(&heap);
    let block = writer.put(&[&[1; 100]]).unwrap();
    let all = vec![0xff; heap.region().len()];
    heap.region().write(0, &all).unwrap();
    assert_eq!(reader.check(&block, 100), Err(BulkError::Stale));
    assert_eq!(writer.put(&[&vec![0; payload(3)]]), Err(BulkError::Full), "still out");
    writer.free(&block);
    assert_eq!(writer.in_use(), 0);
    assert!(writer.put(&[&vec![0; payload(4)]]).is_ok());
}

#[test]
fn freeing_what_is_not_out_changes_nothing_and_is_counted() {
    let heap = area(4);
    let (mut writer, mut reader) = ends(&heap);
    let old = writer.put(&[&[1; 10]]).unwrap();
    writer.free(&old);
    let new = writer.put(&[&[2; 10]]).unwrap();
    for wrong in [
        old,
        BulkRef { offset: 64, ..new },
        BulkRef { generation: new.generation + 1, ..new },
        BulkRef { offset: u32::MAX, len: u32::MAX, generation: u32::MAX },
    ] {
        writer.free(&wrong);
        assert_eq!(reader.check(&new, 10), Ok(10), "{wrong:?}");
    }
    assert_eq!((writer.frees_refused(), writer.in_use()), (4, 64));
}

#[test]
fn the_end_of_a_session_or_of_a_life_makes_every_descriptor_stale() {
    let heap = area(8);
    let (mut writer, mut reader) = ends(&heap);
    let blocks = [20, 100, 30].map(|len| writer.put(&[&vec![9; len]]).unwrap());
    writer.free_all();
    assert_eq!(writer.in_use(), 0);
    for block in &blocks {
        assert_eq!(reader.check(block, 100), Err(BulkError::Stale));
    }
    let blocks = [20, 100, 30].map(|len| writer.put(&[&vec![9; len]]).unwrap());
    // Even with the same first generation: no head of the earlier life is left, so a copy under way finds out too.
    let _next_life = BulkWriter::new(heap.region(), 1);
    for block in &blocks {
        assert_eq!(reader.check(block, 100), Err(BulkError::Stale));
    }
}

/// The documented bound is the best there is: one granule less of free space, and a block may not fit.
#[test]
fn the_fragmentation_bound_is_met_exactly() {
    let heap = area(BLOCKS_MAX);
    let (mut writer, _) = ends(&heap);
    let mut blocks: Vec<BulkRef> = (0..BLOCKS_MAX).map(|_| writer.put(&[&[0; payload(1)]]).unwrap()).collect();
    assert_eq!(writer.put(&[&[]]), Err(BulkError::Full), "no block is left, nor a byte");
    // Gaps of one granule before, between and after the 7 blocks that stay: 8 granules free, 7 blocks out.
    let last = blocks.pop().unwrap();
    for (i, block) in blocks.iter().enumerate() {
        if i % 2 == 0 {
            writer.free(block);
        }
    }
    assert_eq!(writer.capacity() - writer.in_use(), 8 * 64);
    assert_eq!(writer.put(&[&[0; payload(2)]]), Err(BulkError::Full), "8 granules are not over (7 + 1 + 1) * 1");
    writer.free(&last);
    assert!(writer.put(&[&[0; payload(2)]]).is_ok(), "9 granules are over (7 + 1) * 1");
}

#[test]
fn no_more_blocks_than_the_table_holds() {
    let heap = area(4 * BLOCKS_MAX);
    let (mut writer, _) = ends(&heap);
    let blocks: Vec<BulkRef> = (0..BLOCKS_MAX).map(|_| writer.put(&[&[1]]).unwrap()).collect();
    assert_eq!(writer.put(&[&[1]]), Err(BulkError::Full));
    writer.free(&blocks[5]);
    assert_eq!(writer.put(&[&[1]]).map(|b| b.offset), Ok(blocks[5].offset));
    assert_eq!(writer.put(&[&[1]]), Err(BulkError::Full));
}

/// First fit over a map of granules: slow, and obviously right.
struct Reference {
    taken: Vec<bool>,
    blocks: usize,
}

impl Reference {
    fn put(&mut self, granules: usize) -> Option<usize> {
        if self.blocks == BLOCKS_MAX {
            return None;
        }
        let at = self.taken.windows(granules).position(|gap| gap.iter().all(|taken| !taken))?;
        self.taken[at..at + granules].fill(true);
        self.blocks += 1;
        Some(at)
    }

    fn free(&mut self, at: usize, granules: usize) {
        self.taken[at..at + granules].fill(false);
        self.blocks -= 1;
    }

    fn free_granules(&self) -> usize {
        self.taken.iter().filter(|taken| !**taken).count()
    }
}

/// An interpreter that watches every access takes its time.
const STEPS_MAX: usize = if cfg!(miri) { 25 } else { 300 };
const GRANULES: usize = 40;

/// The seed is printed with a failure; `CORACLE_SEED=<seed>` repeats a run.
fn config() -> ProptestConfig {
    let seed = match std::env::var("CORACLE_SEED") {
        Ok(seed) => seed.parse().expect("CORACLE_SEED is a number"),
        // It has no clock.
        Err(_) if cfg!(miri) => 1,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_nanos() as u64,
    };
    println!("CORACLE_SEED={seed}");
    let config = if cfg!(miri) { ProptestConfig::default() } else { ProptestConfig::with_cases(512) };
    ProptestConfig { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..config }
}

proptest! {
    #![proptest_config(config())]

    /// Blocks are where the reference puts them, so they never overlap and no byte is ever lost; they keep their
    /// content; a refusal is within the documented bound; what was freed is stale; everything comes back.
    #[test]
    fn allocation_follows_the_reference(
        ops in proptest::collection::vec((0..payload(7), 0u8..10), 1..STEPS_MAX),
    ) {
        let heap = area(GRANULES);
        let (mut writer, mut reader) = ends(&heap);
        let mut reference = Reference { taken: vec![false; GRANULES], blocks: 0 };
        let mut out: Vec<(BulkRef, u8)> = Vec::new();
        let mut gone: Vec<BulkRef> = Vec::new();
        for (i, (len, op)) in ops.into_iter().enumerate() {
            let granules = (len + HEAD_BYTES).div_ceil(GRANULE_BYTES);
            if op < 6 || out.is_empty() {
                let (free, blocks) = (reference.free_granules(), reference.blocks);
                let put = writer.put(&[&vec![i as u8; len / 3], &vec![i as u8; len - len / 3]]);
                prop_assert_eq!(
                    put.map(|block| block.offset as usize / GRANULE_BYTES).ok(),
                    reference.put(granules)
                );
                match put {
                    Ok(block) => {
                        prop_assert!(out.iter().all(|(other, _)| other.generation != block.generation));
                        out.push((block, i as u8));
                    }
                    Err(error) => {
                        prop_assert_eq!(error, BulkError::Full);
                        prop_assert!(
                            blocks == BLOCKS_MAX || free <= (blocks + 1) * (granules - 1),
                            "refused {} granules with {} free and {} blocks out", granules, free, blocks
                        );
                    }
                }
            } else {
                let (block, _) = out.remove(len % out.len());
                writer.free(&block);
                reference.free(
                    block.offset as usize / GRANULE_BYTES,
                    (block.len as usize + HEAD_BYTES).div_ceil(GRANULE_BYTES),
                );
                gone.push(block);
            }
            let in_use = writer.in_use() as usize;
            prop_assert_eq!(in_use, (GRANULES - reference.free_granules()) * GRANULE_BYTES);
            for (block, byte) in &out {
                let mut got = vec![0; block.len as usize];
                prop_assert_eq!(reader.get(block, &mut got), Ok(()));
                prop_assert!(got.iter().all(|b| b == byte));
            }
            for block in &gone {
                prop_assert!(reader.check(block, GRANULES * GRANULE_BYTES).is_err());
            }
        }
        for (block, _) in out {
            writer.free(&block);
        }
        prop_assert_eq!(writer.in_use(), 0);
        prop_assert!(writer.put(&[&vec![0; payload(GRANULES)]]).is_ok(), "one gap again");
        prop_assert_eq!(writer.frees_refused(), 0);
    }

    /// Of all descriptors, those of blocks that are out are accepted, and no other.
    #[test]
    fn only_descriptors_of_blocks_that_are_out_are_accepted(
        lens in proptest::collection::vec(0..payload(4), 1..8),
        forged in proptest::collection::vec((any::<u8>(), near(), near(), near()), 1..STEPS_MAX),
    ) {
        let heap = area(GRANULES);
        let (mut writer, mut reader) = ends(&heap);
        // No payload looks like a head.
        let out: Vec<BulkRef> = lens.iter().map(|len| writer.put(&[&vec![0xee; *len]]).unwrap()).collect();
        let mut refused = 0;
        for (which, offset, len, generation) in forged {
            let good = out[usize::from(which) % out.len()];
            let forged = BulkRef {
                offset: change(good.offset, offset),
                len: change(good.len, len),
                generation: change(good.generation, generation),
            };
            let accepted = reader.check(&forged, heap.region().len());
            if out.contains(&forged) {
                prop_assert_eq!(accepted, Ok(forged.len as usize));
            } else {
                prop_assert!(accepted.is_err(), "{:?}", forged);
                refused += 1;
            }
        }
        let Refusals { misaligned, range, length, stale } = reader.refusals();
        prop_assert_eq!(misaligned + range + length + stale, refused);
    }

    /// Any heads in shared memory, and descriptors that agree with them: an answer, and no byte from outside the area.
    #[test]
    fn a_hostile_writer_never_causes_a_panic(
        words in proptest::collection::vec((0usize..GRANULES + 2, any::<u32>(), near()), 1..STEPS_MAX),
    ) {
        let heap = area(GRANULES);
        let region: Region<'_> = heap.region();
        let mut reader = BulkReader::new(region);
        let mut room = vec![0; 2 * GRANULES * GRANULE_BYTES];
        for (granule, generation, len) in words {
            let at = granule * GRANULE_BYTES;
            let block = BulkRef { offset: u32::try_from(at).unwrap(), len: change(0, len), generation };
            let written = region.store_u32(at, generation).and_then(|()| region.store_u32(at + 4, block.len));
            match reader.check(&block, room.len()) {
                Ok(len) => {
                    prop_assert_eq!(reader.get(&block, &mut room[..len]), Ok(()));
                    let mut direct = vec![0; len];
                    prop_assert_eq!(region.read(at + HEAD_BYTES, &mut direct), Ok(()), "inside the area");
                    prop_assert_eq!(&room[..len], &direct);
                }
                Err(_) => {
                    let end = at as u64 + HEAD_BYTES as u64 + u64::from(block.len);
                    prop_assert!(written.is_err() || generation == 0 || end > region.len() as u64, "{:?}", block);
                }
            }
        }
    }
}

/// How a word of a descriptor is forged.
#[derive(Debug, Clone, Copy)]
enum Change {
    Keep,
    Add(i8),
    Granules(i8),
    Any(u32),
}

fn near() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => Just(Change::Keep),
        2 => any::<i8>().prop_map(Change::Add),
        2 => any::<i8>().prop_map(Change::Granules),
        1 => any::<u32>().prop_map(Change::Any),
    ]
}

fn change(word: u32, change: Change) -> u32 {
    match change {
        Change::Keep => word,
        Change::Add(by) => word.wrapping_add_signed(i32::from(by)),
        Change::Granules(by) => word.wrapping_add_signed(64 * i32::from(by)),
        Change::Any(word) => word,
    }
}
