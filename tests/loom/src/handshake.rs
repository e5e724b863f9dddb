//! The handshake on the resource table's words: a driver that starts anew zeroes the rings only after the device let go
//! of them, and the device takes them up only after that.

use coracle_rpmsg::{
    ControlWords, Device, Driver, Role as _, STATUS_DRIVER_OK, TABLE_BYTES_MAX, TableSpec, VringSize, write_table,
};
use coracle_shmem::{Region, acquire_barrier};
use loom::thread;

use crate::messages::{check, receive, send};
use crate::{Ring, Rings, geometry};

const SPEC: TableSpec<'_> =
    TableSpec { vrings: [0x2100_1000, 0x2100_3000], size: VringSize::ST, carveouts: &[], traces: &[] };
const TABLE_BYTES: usize = SPEC.bytes();
static TABLE: [u8; TABLE_BYTES] = SPEC.build().unwrap();
/// Words of the table that change while both sides look: status, driver_epoch, device_epoch, boot_id.
const TABLE_POLLED: [(usize, usize); 4] = [(44, 1), (TABLE_BYTES - 12, 4), (TABLE_BYTES - 8, 4), (TABLE_BYTES - 4, 4)];
const _: () = assert!(TABLE_BYTES == 100 && TABLE_BYTES <= TABLE_BYTES_MAX);

/// Doorbells, behind the table: that of the driver's core and that of the device's.
const BELLS: [usize; 2] = [TABLE_BYTES, TABLE_BYTES + 4];

/// Both sides look at the words whenever they like.
pub fn restart_polled() {
    restart(Waiting::Polled);
}

/// Both sides look at the words only when the other one rang, and once for each ring.
pub fn restart_by_doorbell() {
    restart(Waiting::Doorbell);
}

/// The kernel knows no epochs: the device's core was reset, the kernel sets the rings up, and its status alone tells the
/// device that they are there.
pub fn kernel() {
    // `resume` looks at the first descriptor, which the kernel may just be writing, for a flag that a kernel never sets.
    let [_, ring] = Ring::both(1);
    let descriptor = [(0, 4), (4, 4), (8, 4), (12, 2)].map(|(field, width)| (ring.descriptors.start + field, width));
    let rings = rings(&descriptor);
    let (words, _) = write_table(rings.more(), &TABLE).unwrap();
    use_rings(&rings);
    let layout = rings.layout();
    let driver = thread::spawn(move || {
        let mut driver = Driver::new(&layout).unwrap();
        words.set_status(STATUS_DRIVER_OK).unwrap();
        send(&mut driver, 0);
    });
    while words.status().unwrap() != STATUS_DRIVER_OK {
        thread::yield_now();
    }
    let mut device = Device::resume(&rings.layout()).unwrap();
    receive_first(&mut device);
    driver.join().unwrap();
}

/// The device boots again under a driver that is attached: who sees the new boot sees that the device let go, too.
pub fn boot() {
    let rings = rings(&[]);
    let (words, boot_id) = write_table(rings.more(), &TABLE).unwrap();
    words.set_driver_epoch(1).unwrap();
    words.set_device_epoch(1).unwrap();
    let table = rings.more();
    let device = thread::spawn(move || write_table(table, &TABLE).unwrap().1);
    let (seen, device_epoch) = (words.boot_id().unwrap(), words.device_epoch().unwrap());
    assert!(seen == boot_id || device_epoch == 0, "the new boot id with the old epoch");
    assert_eq!(device.join().unwrap(), boot_id + 1);
}

/// Who sees a word of the handshake sees what its writer did before, whatever that was.
pub fn words() {
    type Set = fn(&ControlWords<'_>);
    type Seen = fn(&ControlWords<'_>) -> bool;
    let each: [(Set, Seen); 3] = [
        (|words| words.set_status(STATUS_DRIVER_OK).unwrap(), |words| words.status() == Ok(STATUS_DRIVER_OK)),
        (|words| words.set_driver_epoch(1).unwrap(), |words| words.driver_epoch() == Ok(1)),
        (|words| words.set_device_epoch(1).unwrap(), |words| words.device_epoch() == Ok(1)),
    ];
    let rings = rings(&[]);
    let (words, _) = write_table(rings.more(), &TABLE).unwrap();
    let memory = rings.memory.region();
    let [buffers, _] = crate::buffers(1);
    let places = [buffers.start, buffers.start + 1, buffers.start + 2];
    let writer = thread::spawn(move || {
        for ((set, _), place) in each.iter().zip(places) {
            memory.store_u8(place, 1).unwrap();
            set(&words);
        }
    });
    for ((_, seen), place) in each.iter().zip(places) {
        if seen(&words) {
            assert_eq!(memory.load_u8(place), Ok(1));
        }
    }
    writer.join().unwrap();
}

fn rings(more_polled: &[(usize, usize)]) -> Rings {
    let words = TABLE_POLLED.into_iter().chain(BELLS.map(|bell| (bell, 4)));
    let mut polled: Vec<_> = words.map(|(at, width)| (geometry(1).bytes() + at, width)).collect();
    polled.extend(more_polled);
    Rings::with_more(1, BELLS[1] + 4, polled)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Polled,
    Doorbell,
}

/// One side's way to the other and back.
struct Side {
    words: ControlWords<'static>,
    memory: Region<'static>,
    waiting: Waiting,
    mine: usize,
    theirs: usize,
    heard: u32,
}

impl Side {
    /// Rings the other side: a store to a device register, which comes after what was stored before only if a barrier
    /// says so.
    fn ring(&self) {
        let rung = self.memory.load_u32(self.theirs).unwrap();
        self.memory.store_u32(self.theirs, rung + 1).unwrap();
    }

    /// Waits until there is a reason to look at the words.
    fn wait(&mut self) {
        if self.waiting == Waiting::Polled {
            return thread::yield_now();
        }
        loop {
            let rung = self.memory.load_u32(self.mine).unwrap();
            if rung != self.heard {
                self.heard = rung;
                break;
            }
            thread::yield_now();
        }
        // The duty of whoever takes the interrupt.
        acquire_barrier();
    }
}

fn restart(waiting: Waiting) {
    let rings = rings(&[]);
    let (words, _) = write_table(rings.more(), &TABLE).unwrap();
    words.set_driver_epoch(1).unwrap();
    words.set_device_epoch(1).unwrap();
    words.set_status(STATUS_DRIVER_OK).unwrap();
    let mut old_device = use_rings(&rings);

    let (layout, memory) = (rings.layout(), rings.more());
    let side = move |mine, theirs| Side { words, memory, waiting, mine, theirs, heard: 0 };
    let [driver_bell, device_bell] = BELLS;
    let driver = thread::spawn(move || {
        let mut side = side(driver_bell, device_bell);
        side.words.set_status(0).unwrap();
        side.words.set_driver_epoch(2).unwrap();
        side.ring();
        loop {
            side.wait();
            if side.words.device_epoch().unwrap() == 2 {
                break;
            }
        }
        let mut driver = Driver::new(&layout).unwrap();
        side.words.set_status(STATUS_DRIVER_OK).unwrap();
        side.ring();
        send(&mut driver, 0);
    });
    // Not this thread: it wrote the words before, and loom does not let a thread that yielded see its own old store again.
    let device = thread::spawn(move || {
        let mut side = side(device_bell, driver_bell);
        // A device that has not noticed yet goes on with the old rings.
        if let Some(buffer) = old_device.take().unwrap() {
            old_device.release(buffer).unwrap();
        }
        loop {
            side.wait();
            if side.words.driver_epoch().unwrap() == 2 {
                break;
            }
        }
        // From here on the old rings are let go: nothing uses `old_device` any more.
        side.words.set_device_epoch(2).unwrap();
        side.ring();
        loop {
            side.wait();
            if side.words.status().unwrap() == STATUS_DRIVER_OK {
                break;
            }
        }
        let mut device = Device::new(&layout).unwrap();
        receive_first(&mut device);
    });
    driver.join().unwrap();
    device.join().unwrap();
}

/// A life of the rings that comes before: their indices are not 0, and a message is under way.
fn use_rings(rings: &Rings) -> Device<'static> {
    let (mut driver, mut device) = rings.ends();
    send(&mut driver, 7);
    let buffer = receive(&mut device);
    device.release(buffer).unwrap();
    send(&mut driver, 8);
    device
}

/// The first message of a new life, and nothing of the one before.
fn receive_first(device: &mut Device<'_>) {
    let buffer = receive(device);
    check(device, &buffer, 0);
    device.release(buffer).unwrap();
    assert_eq!(device.counters(), Default::default());
}
