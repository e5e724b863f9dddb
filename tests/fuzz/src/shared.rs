//! Shared memory between guard bytes, and a peer that writes anything into it.

use coracle_rpmsg::{Device, Driver, Geometry, HEADER_BYTES, Layout, Role, VringSize};
use coracle_shmem::{HeapRegion, Region};

use crate::bytes::Bytes;

/// Entries of each ring: few, so that inputs soon reach the end of one.
pub(crate) const ENTRIES: u16 = 4;
/// Bytes of a buffer, header included; room for a name-service message.
pub(crate) const BUFFER_BYTES: usize = 64;
/// Largest payload.
pub(crate) const PAYLOAD_BYTES: usize = BUFFER_BYTES - HEADER_BYTES;
/// Bytes of the memory before and behind the rings that nobody may touch.
const GUARD_BYTES: usize = 256;
const GUARD: u8 = 0xA5;
/// The device's address of the rings.
const ADDRESS: u64 = 0x1_0000_2000;
const ALIGN: usize = 16;

/// Offsets in a ring of [`ENTRIES`], worked out from the specification.
const AVAIL: usize = 16 * ENTRIES as usize;
const USED: usize = (AVAIL + 6 + 2 * ENTRIES as usize).next_multiple_of(ALIGN);
const RING_BYTES: usize = (USED + 6 + 8 * ENTRIES as usize).next_multiple_of(8);

/// Who writes a part of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    Driver,
    Device,
}

/// A descriptor as it lies in a ring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descriptor {
    /// Where it points, from the first buffer; `None` below that.
    pub(crate) offset: Option<usize>,
    pub(crate) len: u32,
    pub(crate) flags: u16,
}

/// Rings and buffers.
#[derive(Debug)]
pub(crate) struct Memory {
    heap: HeapRegion,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let heap = HeapRegion::new(GUARD_BYTES + geometry().bytes() + GUARD_BYTES);
        let guard = [GUARD; GUARD_BYTES];
        heap.region().write(0, &guard).unwrap();
        heap.region().write(GUARD_BYTES + geometry().bytes(), &guard).unwrap();
        Self { heap }
    }

    pub(crate) fn region(&self) -> Region<'_> {
        self.heap.region().sub(GUARD_BYTES, geometry().bytes()).unwrap()
    }

    pub(crate) fn layout(&self) -> Layout<'_> {
        Layout::contiguous(self.region(), ADDRESS, geometry()).unwrap()
    }

    /// Offset of a part of the memory.
    pub(crate) fn offset(&self, part: Region<'_>) -> usize {
        let offset = part.as_ptr().addr() - self.region().as_ptr().addr();
        assert!(offset + part.len() <= self.region().len(), "a buffer outside the memory");
        offset
    }

    /// avail.idx or used.idx of ring 0 or 1.
    pub(crate) fn index(&self, ring: usize, writer: Writer) -> u16 {
        let index = match writer {
            Writer::Driver => AVAIL + 2,
            Writer::Device => USED + 2,
        };
        self.region().load_u16(ring * RING_BYTES + index).unwrap()
    }

    /// A descriptor of ring 0 or 1.
    pub(crate) fn descriptor(&self, ring: usize, id: u16) -> Descriptor {
        let (region, at) = (self.region(), ring * RING_BYTES + 16 * usize::from(id));
        let word = |field: usize| region.load_u32(at + field).unwrap();
        let address = u64::from(word(4)) << 32 | u64::from(word(0));
        let offset =
            address.checked_sub(ADDRESS + 2 * RING_BYTES as u64).map(|offset| usize::try_from(offset).unwrap());
        Descriptor { offset, len: word(8), flags: region.load_u16(at + 12).unwrap() }
    }

    /// Id and length of the used entry that `index` stands for.
    pub(crate) fn used_entry(&self, ring: usize, index: u16) -> (u32, u32) {
        let at = ring * RING_BYTES + USED + 4 + 8 * usize::from(index % ENTRIES);
        (self.region().load_u32(at).unwrap(), self.region().load_u32(at + 4).unwrap())
    }

    /// What `writer` alone writes in both rings.
    pub(crate) fn written_by(&self, writer: Writer) -> Vec<u8> {
        let part = match writer {
            Writer::Driver => 0..AVAIL + 4 + 2 * usize::from(ENTRIES),
            Writer::Device => USED..USED + 4 + 8 * usize::from(ENTRIES),
        };
        let mut all = Vec::new();
        for ring in 0..2 {
            let mut bytes = vec![0; part.len()];
            self.region().read(ring * RING_BYTES + part.start, &mut bytes).unwrap();
            all.extend(bytes);
        }
        all
    }

    /// Writes what the input says, where it says: mostly a field of a ring or a header, with a value that is close to a
    /// right one, and now and then anything anywhere.
    pub(crate) fn spoil(&self, input: &mut Bytes<'_>) {
        let region = self.region();
        match input.below(4) {
            0 => {
                let at = usize::from(input.u16()) % region.len();
                region.store_u8(at, input.u8()).unwrap();
            }
            1 => {
                // A byte of a header.
                let buffer = input.below(2 * usize::from(ENTRIES));
                let at = 2 * RING_BYTES + buffer * BUFFER_BYTES + input.below(HEADER_BYTES);
                region.store_u8(at, input.u8()).unwrap();
            }
            _ => {
                let (at, width) = field(input.below(FIELDS), input.below(2));
                let now = if width == 2 { region.load_u16(at).map(u32::from) } else { region.load_u32(at) };
                let value = match input.below(4) {
                    0 => input.u32(),
                    1 => now.unwrap().wrapping_add_signed(i32::from(input.u8().cast_signed())),
                    2 => u32::from(input.u8()),
                    // The low word of the address of a buffer, or of a place in one.
                    _ => (ADDRESS as u32).wrapping_add(2 * RING_BYTES as u32 + 8 * u32::from(input.u8())),
                };
                if width == 2 { region.store_u16(at, value as u16) } else { region.store_u32(at, value) }.unwrap();
            }
        }
    }

    /// What has to hold in the end, whatever was written: nobody wrote outside, and when the hostile side is gone the
    /// rings can be set up anew and carry messages.
    pub(crate) fn conclude(&self) {
        let mut guard = [0; GUARD_BYTES];
        for at in [0, GUARD_BYTES + geometry().bytes()] {
            self.heap.region().read(at, &mut guard).unwrap();
            assert_eq!(guard, [GUARD; GUARD_BYTES], "a write outside the memory");
        }
        let mut driver = Driver::new(&self.layout()).unwrap();
        let mut device = Device::new(&self.layout()).unwrap();
        for number in 0..2 * u8::try_from(ENTRIES).unwrap() {
            exchange(&mut driver, &mut device, number);
            exchange(&mut device, &mut driver, number);
        }
        assert_eq!((driver.counters().total(), device.counters().total()), (0, 0));
    }
}

fn geometry() -> Geometry {
    let vring = VringSize::new(ENTRIES, ALIGN as u32).unwrap();
    Geometry::new(vring, RING_BYTES, BUFFER_BYTES).unwrap()
}

/// Fields of a ring: 5 of each descriptor, flags and index of both sides, 1 of each avail entry, 2 of each used entry.
const FIELDS: usize = 8 * ENTRIES as usize + 4;

/// Offset and width of a field.
fn field(index: usize, ring: usize) -> (usize, usize) {
    let entries = usize::from(ENTRIES);
    let (at, width) = match index {
        0 => (AVAIL, 2),
        1 => (AVAIL + 2, 2),
        2 => (USED, 2),
        3 => (USED + 2, 2),
        entry if entry < 4 + entries => (AVAIL + 4 + 2 * (entry - 4), 2),
        entry if entry < 4 + 3 * entries => (USED + 4 + 4 * (entry - 4 - entries), 4),
        entry => {
            let entry = entry - 4 - 3 * entries;
            let (at, width) = [(0, 4), (4, 4), (8, 4), (12, 2), (14, 2)][entry % 5];
            (16 * (entry / 5) + at, width)
        }
    };
    (ring * RING_BYTES + at, width)
}

fn exchange(from: &mut impl Role, to: &mut impl Role, number: u8) {
    let payload = vec![number; 1 + usize::from(number) * 5];
    let buffer = from.alloc().unwrap().expect("a free buffer");
    from.write(&buffer, 0, &payload).unwrap();
    from.send(buffer, 1, u32::from(number), payload.len()).unwrap();
    let got = to.take().unwrap().expect("the message");
    let mut copy = vec![0; got.payload_bytes()];
    to.read(&got, 0, &mut copy).unwrap();
    assert_eq!((got.src(), got.dst(), copy), (1, u32::from(number), payload));
    to.release(got).unwrap();
}
