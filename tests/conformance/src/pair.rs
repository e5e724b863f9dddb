//! Two sides over one memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use coracle_rpmsg::{Geometry, Rpmsg as _, VringSize, ZeroCopy};
use coracle_shmem::{HeapRegion, Region};

/// A side of a link with its doorbell.
pub trait Side: ZeroCopy {
    /// Whether `want_buffer_kick` reaches the other side. NXP's library has no such wish.
    const ASKS_FOR_KICKS: bool;

    /// The id of a kick that is due, if any.
    fn take_kick(&mut self) -> Option<u8>;

    /// The other side kicked.
    fn notified(&mut self, kick: u8);

    /// How many messages came for endpoints that nobody has, if that is counted.
    fn for_nobody(&self) -> Option<u32>;
}

/// Makes a side of a link.
pub trait Maker {
    /// The side.
    type Side: Side;
    /// Whether this is our stack, which does more than NXP's library promises: it survives hostile peers and its own
    /// restarts, and kicks only who wants it.
    const OURS: bool;
    /// Endpoints that a side can have, without the name service's.
    const ENDPOINTS: usize;

    /// Makes the side: for a driver, sets rings and buffers up.
    fn make(memory: Memory) -> Self::Side;

    /// Makes the side over rings that an earlier side of this kind left, while the other side lives. For devices only: a
    /// driver always sets the rings up anew.
    fn make_again(memory: Memory) -> Self::Side {
        Self::make(memory)
    }

    /// Whether it can have this geometry.
    fn supports(geometry: Geometry) -> bool;
}

/// The memory of one link. It lives for good, so that sides can come and go in any order.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// All of it.
    pub region: Region<'static>,
    /// Counts and sizes.
    pub geometry: Geometry,
}

impl Memory {
    /// Zeroed memory for a geometry.
    #[must_use]
    pub fn new(geometry: Geometry) -> Self {
        let heap: &'static HeapRegion = Box::leak(Box::new(HeapRegion::new(geometry.bytes())));
        Self { region: heap.region(), geometry }
    }

    /// The buffers.
    #[must_use]
    pub fn buffers(&self) -> Region<'static> {
        let rings = 2 * self.geometry.vring_bytes();
        self.region.sub(rings, self.geometry.pool_bytes()).unwrap()
    }

    /// Largest payload in bytes.
    #[must_use]
    pub fn payload_bytes_max(&self) -> usize {
        self.geometry.buffer_bytes() - coracle_rpmsg::HEADER_BYTES
    }

    /// Buffers in each direction.
    #[must_use]
    pub fn buffers_each_way(&self) -> usize {
        self.geometry.vring().entries().into()
    }
}

/// Whether both sides are ours. If not, says that the test that asks is skipped.
#[must_use]
pub fn both_ours<D: Maker, V: Maker>() -> bool {
    let ours = D::OURS && V::OURS;
    if !ours {
        println!("SKIPPED: NXP's library does not promise this");
    }
    ours
}

/// The geometries that both sides support: the presets, and some that nobody uses.
#[must_use]
pub fn geometries<D: Maker, V: Maker>() -> Vec<Geometry> {
    let odd = |entries, align, buffer_bytes| {
        let vring = VringSize::new(entries, align).unwrap();
        Geometry::new(vring, vring.bytes().next_multiple_of(8), buffer_bytes).unwrap()
    };
    let all =
        [Geometry::LINUX, Geometry::NXP, Geometry::ST, odd(1, 4, 64), odd(2, 4, 64), odd(4, 64, 1024), odd(32, 8, 136)];
    let supported: Vec<Geometry> = all.into_iter().filter(|g| D::supports(*g) && V::supports(*g)).collect();
    assert!(!supported.is_empty(), "none of the geometries is supported by both sides");
    supported
}

/// The library keeps its instances in one place: one test at a time uses it.
static LIBRARY: Mutex<()> = Mutex::new(());

/// Both sides of a link.
pub struct Pair<D: Maker, V: Maker> {
    /// The driver's side.
    pub driver: D::Side,
    /// The device's side.
    pub device: V::Side,
    /// Their memory.
    pub memory: Memory,
    // Last: the sides are dropped before another test may begin.
    _alone: MutexGuard<'static, ()>,
}

/// Waits until no other test of this process uses the library, and keeps others from it meanwhile.
pub fn alone() -> MutexGuard<'static, ()> {
    LIBRARY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<D: Maker, V: Maker> Pair<D, V> {
    /// The device first, as RPMsg-Lite wants it; no kick was carried yet.
    #[must_use]
    pub fn new(geometry: Geometry) -> Self {
        let alone = alone();
        let memory = Memory::new(geometry);
        let device = V::make(memory);
        let driver = D::make(memory);
        Self { driver, device, memory, _alone: alone }
    }

    /// The driver first; no kick was carried yet.
    #[must_use]
    pub fn driver_first(geometry: Geometry) -> Self {
        let alone = alone();
        let memory = Memory::new(geometry);
        let driver = D::make(memory);
        let device = V::make(memory);
        Self { driver, device, memory, _alone: alone }
    }

    /// With the link up on both sides.
    #[must_use]
    pub fn up(geometry: Geometry) -> Self {
        let mut pair = Self::new(geometry);
        pair.pump();
        assert!(pair.driver.is_link_up() && pair.device.is_link_up(), "the first kick brings the link up");
        pair
    }

    /// Ends the device and makes a new one, of which the driver does not know.
    #[must_use]
    pub fn with_new_device(self) -> Self {
        let Self { driver, device, memory, _alone } = self;
        drop(device);
        Self { driver, device: V::make_again(memory), memory, _alone }
    }

    /// Carries the kicks that are due, in both directions, until there are none.
    pub fn pump(&mut self) {
        // Kicks answer kicks at most a few times: more is two sides that keep each other awake.
        for _ in 0..16 {
            let mut quiet = true;
            while let Some(kick) = self.driver.take_kick() {
                self.device.notified(kick);
                quiet = false;
            }
            while let Some(kick) = self.device.take_kick() {
                self.driver.notified(kick);
                quiet = false;
            }
            if quiet {
                return;
            }
        }
        panic!("the two sides kick each other for ever");
    }
}
