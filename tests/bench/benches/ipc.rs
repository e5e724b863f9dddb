//! Speed of the inter-core path on this machine: messages between two threads and two processes that poll, and bulk
//! payloads against plain copies. `cargo xtask bench ipc` runs it and prints the results as a table.
//!
//! A group is named `what/where`, a benchmark in it by its payload in bytes.

use std::ffi::OsStr;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{env, os, thread};

use coracle_bench::{Client, Control, PAYLOADS, layout, local_pair, memory_bytes, serve, stay_on};
use coracle_bulk::{BulkReader, BulkWriter};
use coracle_rpmsg::{Device, Driver, Geometry, Instance, Rpmsg};
use coracle_shmem::{HeapRegion, MappedFile};
use criterion::{BenchmarkId, Criterion, Throughput};

/// Names the stack to the process that is to serve.
const SERVE: &str = "CORACLE_BENCH_SERVE";
/// Names the shared memory's file to it.
const FILE: &str = "CORACLE_BENCH_FILE";
/// Our own stack.
const OURS: &str = "coracle";
/// Endpoints of each end.
const ENDPOINTS: usize = 4;
/// The processor of the measuring end, and of everything that one thread measures alone.
const CLIENT_PROCESSOR: usize = 0;
/// The processor of the other end.
const SERVER_PROCESSOR: usize = 1;
/// Bulk payloads that are measured, in bytes.
const BULK_PAYLOADS: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
/// Bytes of the bulk area: room for the largest payload with its head.
const BULK_AREA_BYTES: usize = 2 << 20;

fn main() {
    if let Some(stack) = env::var_os(SERVE) {
        return serve_process(&stack);
    }
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50)
        .configure_from_args();
    let pinned = stay_on(CLIENT_PROCESSOR);
    eprintln!("the ends {} on processors of their own", if pinned { "stay" } else { "may not be" });
    one_thread(&mut criterion);
    one_word(&mut criterion);
    our_threads(&mut criterion);
    our_processes(&mut criterion);
    #[cfg(feature = "rpmsg-lite")]
    {
        library::threads(&mut criterion);
        library::processes(&mut criterion);
    }
    bulk(&mut criterion);
    criterion.final_summary();
}

/// The measurements of a ring whose other end serves.
fn messages<P: Rpmsg, L: FnMut(&mut P)>(criterion: &mut Criterion, place: &str, client: &mut Client<'_, P, L>) {
    let payload: Vec<u8> = (0..=u8::MAX).cycle().take(PAYLOADS[PAYLOADS.len() - 1]).collect();
    let mut group = criterion.benchmark_group(format!("round-trip/{place}"));
    for len in PAYLOADS {
        let payload = &payload[..len];
        assert_eq!(client.round_trip(payload), payload, "an answer with other bytes");
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| {
                black_box(client.round_trip(black_box(payload)));
            });
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group(format!("one-way/{place}"));
    for len in PAYLOADS {
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter_custom(|count| {
                let start = Instant::now();
                client.send_many(black_box(&payload[..len]), count);
                start.elapsed()
            });
        });
    }
    group.finish();
}

/// Both ends in one thread: what the processor does for a message there and one back, without any waiting.
fn one_thread(criterion: &mut Criterion) {
    let memory = HeapRegion::new(memory_bytes(geometry()));
    let (layout, _) = layout(memory.region(), geometry()).expect("the memory is large enough");
    let (mut driver, mut device) = local_pair(&layout).expect("the memory is large enough");
    let from = driver.create_endpoint(1024).expect("the address is free");
    let to = device.create_endpoint(1).expect("the address is free");
    let payload = [1; PAYLOADS[PAYLOADS.len() - 1]];
    let mut received = payload;
    let mut group = criterion.benchmark_group("round-trip/one thread");
    for len in PAYLOADS {
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| {
                driver.send(from, to.address(), black_box(&payload[..len])).expect("a buffer is free");
                device.receive(black_box(&mut received)).expect("a valid message");
                device.send(to, from.address(), black_box(&payload[..len])).expect("a buffer is free");
                driver.receive(black_box(&mut received)).expect("a valid message")
            });
        });
    }
    group.finish();
}

/// One word there and back between two threads: no ring can be faster on this machine.
fn one_word(criterion: &mut Criterion) {
    const END: u32 = u32::MAX;
    let memory = HeapRegion::new(256);
    let words = memory.region();
    thread::scope(|scope| {
        scope.spawn(move || {
            stay_on(SERVER_PROCESSOR);
            let mut last = 0;
            while last != END {
                let word = words.load_u32(0).expect("inside");
                if word != last {
                    last = word;
                    words.store_u32(128, word).expect("inside");
                }
                std::hint::spin_loop();
            }
        });
        let mut word = 0;
        let exchange = |next: u32| {
            words.store_u32(0, next).expect("inside");
            while words.load_u32(128) != Ok(next) {
                std::hint::spin_loop();
            }
        };
        criterion.bench_function("round-trip/one word", |bencher| {
            bencher.iter(|| {
                word = (word + 1) % END;
                exchange(word);
            });
        });
        exchange(END);
    });
}

/// Ends the server, also if the measurement panics: the scope would wait for it for ever.
struct Stop<'m>(Control<'m>);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Two threads; `remote` serves. With each end comes what makes it look for messages.
fn threads<M: Rpmsg, R: Rpmsg + Send>(
    criterion: &mut Criterion,
    place: &str,
    control: Control<'_>,
    (master, look): (M, impl FnMut(&mut M)),
    (mut remote, look_remote): (R, impl FnMut(&mut R) + Send),
) {
    thread::scope(|scope| {
        let _stop = Stop(control);
        scope.spawn(move || {
            stay_on(SERVER_PROCESSOR);
            serve(&mut remote, control, look_remote, || true);
        });
        messages(criterion, place, &mut Client::new(master, control, look));
    });
}

fn our_threads(criterion: &mut Criterion) {
    let memory = HeapRegion::new(memory_bytes(geometry()));
    let (layout, control) = layout(memory.region(), geometry()).expect("the memory is large enough");
    let (driver, device) = local_pair(&layout).expect("the memory is large enough");
    threads(criterion, "threads", control, (driver, |_| ()), (device, |_| ()));
}

/// A file in memory that two processes map. A disk will not do: the kernel would write the pages out while they are
/// measured.
struct SharedFile(PathBuf);

impl SharedFile {
    fn new(name: &str) -> Self {
        Self(Path::new("/dev/shm").join(format!("coracle-bench-{name}-{}", std::process::id())))
    }

    fn map(path: &Path) -> MappedFile {
        MappedFile::open(path, memory_bytes(geometry())).expect("/dev/shm takes a file")
    }
}

impl Drop for SharedFile {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The process that serves, which does not outlive the measurement.
struct Server(Child);

impl Server {
    /// Starts this program again. To be called when the rings are set up: the process takes them as they stand.
    fn start(stack: &str, file: &SharedFile) -> Self {
        let program = env::current_exe().expect("the path of this program");
        let process = Command::new(program).env(SERVE, stack).env(FILE, &file.0).spawn();
        Self(process.expect("this program starts again"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn our_processes(criterion: &mut Criterion) {
    let file = SharedFile::new(OURS);
    let memory = SharedFile::map(&file.0);
    let (layout, control) = layout(memory.region(), geometry()).expect("the memory is large enough");
    let driver = Instance::<_, ENDPOINTS>::new(Driver::new(&layout).expect("the memory is large enough"));
    let _server = Server::start(OURS, &file);
    messages(criterion, "processes", &mut Client::new(driver, control, |_| ()));
}

/// The other process: serves until it is killed or its parent has died.
fn serve_process(stack: &OsStr) {
    let file = env::var_os(FILE).expect("the parent names the file");
    let memory = SharedFile::map(Path::new(&file));
    let (layout, control) = layout(memory.region(), geometry()).expect("the memory is large enough");
    stay_on(SERVER_PROCESSOR);
    let parent = os::unix::process::parent_id();
    let alive = || os::unix::process::parent_id() == parent;
    if stack == OURS {
        let mut device = Instance::<_, ENDPOINTS>::new(Device::new(&layout).expect("the memory is large enough"));
        device.set_link_up();
        serve(&mut device, control, |_| (), alive);
    } else {
        #[cfg(feature = "rpmsg-lite")]
        serve(&mut library::remote(memory.region()), control, library::look_remote, alive);
    }
}

/// RPMsg-Lite in both roles, on the same memory and through the same loops.
#[cfg(feature = "rpmsg-lite")]
mod library {
    use coracle_bench::{Client, layout, memory_bytes};
    use coracle_rpmsg::{Geometry, KICK_TO_DEVICE, KICK_TO_DRIVER, VRING_ENTRIES_MAX, VringSize};
    use coracle_rpmsg_lite::{Instance, Storage, config};
    use coracle_shmem::{HeapRegion, Region};
    use criterion::Criterion;

    use super::{ENDPOINTS, Server, SharedFile, messages};

    /// Names the library to the process that is to serve.
    const STACK: &str = "rpmsg-lite";
    /// The address that both sides have the shared memory at: the library refuses 0.
    const ADDRESS: u64 = 0x1000_0000;

    type Library<'m> = Instance<'m, ENDPOINTS, VRING_ENTRIES_MAX>;

    /// What the library was built with.
    pub(super) fn geometry() -> Geometry {
        let entries = u16::try_from(config::BUFFER_COUNT).expect("a ring has at most 256 entries");
        let vring = VringSize::new(entries, config::VRING_ALIGN).expect("a ring as the library makes it");
        let bytes = config::BUFFER_PAYLOAD_SIZE as usize + coracle_rpmsg::HEADER_BYTES;
        Geometry::new(vring, config::VRING_SIZE as usize, bytes).expect("buffers as the library makes them")
    }

    fn storage() -> &'static mut Storage<ENDPOINTS, VRING_ENTRIES_MAX> {
        Box::leak(Box::new(Storage::new()))
    }

    fn master(memory: Region<'_>) -> Library<'_> {
        Instance::master(memory, ADDRESS, geometry(), 0, storage()).expect("the library starts")
    }

    pub(super) fn remote(memory: Region<'_>) -> Library<'_> {
        // Another link than the master's: both may be in one process.
        Instance::remote(memory, ADDRESS, geometry(), 1, storage()).expect("the library starts")
    }

    /// The library looks for messages when it is interrupted.
    fn look_master(master: &mut Library<'_>) {
        master.notified(KICK_TO_DRIVER);
    }

    pub(super) fn look_remote(remote: &mut Library<'_>) {
        remote.notified(KICK_TO_DEVICE);
    }

    pub(super) fn threads(criterion: &mut Criterion) {
        let memory = HeapRegion::new(memory_bytes(geometry()));
        let (_, control) = layout(memory.region(), geometry()).expect("the memory is large enough");
        let master = master(memory.region());
        let remote = remote(memory.region());
        super::threads(criterion, "threads, RPMsg-Lite", control, (master, look_master), (remote, look_remote));
    }

    pub(super) fn processes(criterion: &mut Criterion) {
        let file = SharedFile::new(STACK);
        let memory = SharedFile::map(&file.0);
        let (_, control) = layout(memory.region(), geometry()).expect("the memory is large enough");
        let master = master(memory.region());
        let _server = Server::start(STACK, &file);
        messages(criterion, "processes, RPMsg-Lite", &mut Client::new(master, control, look_master));
    }
}

/// Counts and sizes of the rings: those that the library was built with, if it is measured too; otherwise those of Linux.
fn geometry() -> Geometry {
    #[cfg(feature = "rpmsg-lite")]
    return library::geometry();
    #[cfg(not(feature = "rpmsg-lite"))]
    Geometry::LINUX
}

/// A payload's way through the bulk area, and the same copies without it. Source, area and target are used again and
/// again in all of them, so all find the caches equally warm.
fn bulk(criterion: &mut Criterion) {
    let memory = HeapRegion::new(BULK_AREA_BYTES);
    let mut writer = BulkWriter::new(memory.region(), 1);
    let mut reader = BulkReader::new(memory.region());
    let mut between = vec![0; BULK_AREA_BYTES];
    for len in BULK_PAYLOADS {
        let payload: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
        let mut target = vec![0; len];
        let between = &mut between[..len];
        let mut run = |group: &str, work: &mut dyn FnMut()| {
            let mut group = criterion.benchmark_group(group);
            group.measurement_time(Duration::from_secs(1)).throughput(Throughput::Bytes(len as u64));
            group.bench_function(BenchmarkId::from_parameter(len), |bencher| bencher.iter(&mut *work));
            group.finish();
        };
        run("bulk/memcpy", &mut || between.copy_from_slice(black_box(&payload)));
        run("bulk/write", &mut || {
            let block = writer.put(&[black_box(&payload)]).expect("the area is empty");
            writer.free(black_box(&block));
        });
        let block = writer.put(&[&payload]).expect("the area is empty");
        reader.get(&block, &mut target).expect("the block is out");
        assert!(target == payload, "other bytes came out");
        run("bulk/read", &mut || reader.get(black_box(&block), black_box(&mut target)).expect("the block is out"));
        writer.free(&block);
        run("bulk/two memcpy", &mut || {
            between.copy_from_slice(black_box(&payload));
            black_box(&mut target).copy_from_slice(black_box(between));
        });
        run("bulk/write and read", &mut || {
            let block = writer.put(&[black_box(&payload)]).expect("the area is empty");
            reader.get(black_box(&block), black_box(&mut target)).expect("the block is out");
            writer.free(&block);
        });
    }
}
