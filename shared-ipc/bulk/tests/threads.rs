//! Both sides of a bulk area at the same time: in two threads, and with a writer that comes in between.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use coracle_bulk::{BulkError, BulkReader, BulkRef, BulkWriter};
use coracle_shmem::{Cache, HeapRegion, Region, acquire_barrier, full_barrier, release_barrier};

const AREA_BYTES: usize = 4096;
/// Descriptors that are under way at most: less than the blocks of the area, so that blocks are reused often.
const IN_FLIGHT: u32 = 3;
/// How long a side waits for the other.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Words of the mailbox: two counters a cache line apart, then the descriptors.
const PUBLISHED: usize = 0;
const ANSWERED: usize = 64;
const DESCRIPTORS: usize = 128;
const MAILBOX_BYTES: usize = 256;

fn slot(n: u32) -> usize {
    DESCRIPTORS + 16 * (n % (IN_FLIGHT + 1)) as usize
}

fn len_of(n: u32) -> usize {
    (n as usize * 37) % 900
}

/// What the messages of a ring do, in the smallest form.
fn publish(mailbox: Region<'_>, n: u32, block: &BulkRef) {
    for (i, word) in [block.offset, block.len, block.generation].into_iter().enumerate() {
        mailbox.store_u32(slot(n) + 4 * i, word).unwrap();
    }
    release_barrier();
    mailbox.store_u32(PUBLISHED, n + 1).unwrap();
}

fn receive(mailbox: Region<'_>, n: u32) -> Option<BulkRef> {
    if mailbox.load_u32(PUBLISHED).unwrap() == n {
        return None;
    }
    acquire_barrier();
    let word = |i: usize| mailbox.load_u32(slot(n) + 4 * i).unwrap();
    Some(BulkRef { offset: word(0), len: word(1), generation: word(2) })
}

/// Asks until there is an answer. The other thread may have failed: then this one fails too, after a while.
fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < WAIT_MAX, "nothing comes from the other side");
        std::thread::yield_now();
    }
}

/// The protocol as it is meant: a block is freed when the reader has answered. No access races with another (miri
/// watches that), and every payload arrives whole.
#[test]
fn two_threads_pass_blocks_that_the_answer_frees() {
    const COUNT: u32 = if cfg!(miri) { 40 } else { 50_000 };
    let (heap, mail) = (HeapRegion::new(AREA_BYTES), HeapRegion::new(MAILBOX_BYTES));
    let (area, mailbox) = (heap.region(), mail.region());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut reader = BulkReader::new(area);
            for n in 0..COUNT {
                let block = wait_for(|| receive(mailbox, n));
                let mut got = vec![0; reader.check(&block, AREA_BYTES).unwrap()];
                reader.get(&block, &mut got).unwrap();
                assert_eq!(got.len(), len_of(n));
                assert!(got.iter().all(|byte| *byte == n as u8), "message {n}");
                // The copy before the answer that gives the block back.
                release_barrier();
                mailbox.store_u32(ANSWERED, n + 1).unwrap();
            }
        });
        let mut writer = BulkWriter::new(area, 1);
        let mut out = std::collections::VecDeque::new();
        let mut answered = 0;
        for n in 0..COUNT {
            let block = wait_for(|| {
                while answered < mailbox.load_u32(ANSWERED).unwrap() {
                    acquire_barrier();
                    writer.free(&out.pop_front().unwrap());
                    answered += 1;
                }
                (out.len() < IN_FLIGHT as usize).then(|| writer.put(&[&vec![n as u8; len_of(n)]]).unwrap())
            });
            out.push_back(block);
            publish(mailbox, n, &block);
        }
    });
}

/// A writer that reuses blocks without waiting for the answer: the reader gets a whole payload or an error, never a mix.
#[test]
#[cfg_attr(miri, ignore = "the races are the point of it: a copy of memory that a peer overwrites")]
fn two_threads_without_answers_never_pass_a_mix() {
    const COUNT: u32 = 20_000;
    const LEN: usize = 16_000;
    let (heap, mail) = (HeapRegion::new(LEN + 64), HeapRegion::new(MAILBOX_BYTES));
    let (area, mailbox) = (heap.region(), mail.region());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut writer = BulkWriter::new(area, 1);
            for n in 0..COUNT {
                let block = writer.put(&[&[n as u8; LEN]]).unwrap();
                // One slot, overwritten in place: a descriptor that is a mix must be refused as well.
                publish(mailbox, 0, &block);
                writer.free(&block);
            }
            mailbox.store_u32(ANSWERED, 1).unwrap();
        });
        let mut reader = BulkReader::new(area);
        let mut got = vec![0; LEN];
        let start = Instant::now();
        while mailbox.load_u32(ANSWERED).unwrap() == 0 {
            assert!(start.elapsed() < WAIT_MAX, "the writer does not end");
            full_barrier();
            let Some(block) = receive(mailbox, 0) else { continue };
            match reader.get(&block, &mut got) {
                Ok(()) => assert!(got.iter().all(|byte| *byte == got[0]), "a mix of two payloads"),
                Err(error) => assert!(matches!(error, BulkError::Stale | BulkError::Length), "{error}"),
            }
        }
    });
}

/// Gives the block to another payload at the reader's `turn`th maintenance operation.
#[derive(Debug)]
struct Between<'m> {
    writer: Mutex<BulkWriter<'m>>,
    block: BulkRef,
    turn: u32,
    operations: AtomicU32,
}

#[expect(unsafe_code, reason = "the methods of Cache are unsafe to call; these touch no memory through the pointer")]
impl Cache for Between<'_> {
    fn line_bytes(&self) -> usize {
        1
    }

    unsafe fn clean(&self, _at: *mut u8, _len: usize) {}

    unsafe fn invalidate(&self, _at: *mut u8, _len: usize) {
        if self.operations.fetch_add(1, Ordering::Relaxed) == self.turn {
            let mut writer = self.writer.lock().unwrap();
            writer.free(&self.block);
            writer.put(&[&[2; 100]]).unwrap();
        }
    }
}

/// The same without luck: the writer reuses the block before the reader's first look at the head, between that and the
/// copy, and before the second look.
#[test]
fn a_block_that_is_reused_at_any_point_of_the_copy_is_stale() {
    for turn in 0..3 {
        let heap = HeapRegion::new(AREA_BYTES);
        let mut writer = BulkWriter::new(heap.region(), 1);
        let block = writer.put(&[&[1; 100]]).unwrap();
        let between = Between { writer: Mutex::new(writer), block, turn, operations: AtomicU32::new(0) };
        let mut reader = BulkReader::with_cache(heap.region(), &between).unwrap();
        assert_eq!(reader.get(&block, &mut [0; 100]), Err(BulkError::Stale), "turn {turn}");
        assert!(between.operations.load(Ordering::Relaxed) > turn);
    }
}
