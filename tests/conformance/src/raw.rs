//! The other side played by hand, with nothing of our stack: what Linux's `virtio_rpmsg_bus` and NXP's RPMsg-Lite write
//! into the shared memory, step by step. It trusts our side, and panics where that breaks the protocol.

use coracle_rpmsg::{Geometry, KICK_TO_DEVICE, KICK_TO_DRIVER};
use coracle_shmem::Region;

use crate::{DEVICE_ADDRESS, Memory};

const HEADER: usize = 16;
const WRITE: u16 = 2;
const NO_KICK: u16 = 1;

/// The fields of a ring, by their offsets.
#[derive(Debug, Clone, Copy)]
pub struct Ring {
    region: Region<'static>,
    entries: usize,
    used_at: usize,
}

/// A descriptor: address, length, flags.
pub type Desc = (u64, u32, u16);

impl Ring {
    fn new(region: Region<'static>, geometry: Geometry) -> Self {
        let (entries, align) = (usize::from(geometry.vring().entries()), geometry.vring().align() as usize);
        let used_at = (16 * entries + 6 + 2 * entries).next_multiple_of(align);
        Self { region, entries, used_at }
    }

    /// The ring `number` of a memory whose rings come first.
    #[must_use]
    pub fn of(memory: Memory, number: usize) -> Self {
        let bytes = memory.geometry.vring_bytes();
        Self::new(memory.region.sub(number * bytes, bytes).unwrap(), memory.geometry)
    }

    fn load(&self, at: usize) -> u16 {
        self.region.load_u16(at).unwrap()
    }

    fn store(&self, at: usize, value: u16) {
        self.region.store_u16(at, value).unwrap();
    }

    /// A descriptor.
    #[must_use]
    pub fn desc(&self, id: usize) -> Desc {
        let word = |at| self.region.load_u32(16 * id + at).unwrap();
        (u64::from(word(4)) << 32 | u64::from(word(0)), word(8), self.load(16 * id + 12))
    }

    /// Writes a descriptor.
    pub fn set_desc(&self, id: usize, (address, len, flags): Desc) {
        self.region.store_u32(16 * id, address as u32).unwrap();
        self.region.store_u32(16 * id + 4, (address >> 32) as u32).unwrap();
        self.region.store_u32(16 * id + 8, len).unwrap();
        self.store(16 * id + 12, flags);
    }

    /// The flags of the avail ring.
    #[must_use]
    pub fn avail_flags(&self) -> u16 {
        self.load(16 * self.entries)
    }

    /// Writes the flags of the avail ring.
    pub fn set_avail_flags(&self, flags: u16) {
        self.store(16 * self.entries, flags);
    }

    /// The index of the avail ring.
    #[must_use]
    pub fn avail_index(&self) -> u16 {
        self.load(16 * self.entries + 2)
    }

    /// Appends to the avail ring.
    pub fn make_available(&self, id: usize) {
        let index = self.avail_index();
        self.store(16 * self.entries + 4 + 2 * (usize::from(index) % self.entries), id as u16);
        self.store(16 * self.entries + 2, index.wrapping_add(1));
    }

    fn avail_entry(&self, index: u16) -> usize {
        self.load(16 * self.entries + 4 + 2 * (usize::from(index) % self.entries)).into()
    }

    /// The flags of the used ring.
    #[must_use]
    pub fn used_flags(&self) -> u16 {
        self.load(self.used_at)
    }

    /// The index of the used ring.
    #[must_use]
    pub fn used_index(&self) -> u16 {
        self.load(self.used_at + 2)
    }

    fn used_entry(&self, index: u16) -> (usize, usize) {
        let at = self.used_at + 4 + 8 * (usize::from(index) % self.entries);
        (self.region.load_u32(at).unwrap() as usize, self.region.load_u32(at + 4).unwrap() as usize)
    }

    /// Appends to the used ring.
    pub fn use_up(&self, id: usize, len: usize) {
        let index = self.used_index();
        let at = self.used_at + 4 + 8 * (usize::from(index) % self.entries);
        self.region.store_u32(at, id as u32).unwrap();
        self.region.store_u32(at + 4, len as u32).unwrap();
        self.store(self.used_at + 2, index.wrapping_add(1));
    }
}

fn message(src: u32, dst: u32, reserved: u32, flags: u16, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u16;
    let words = [src.to_le_bytes(), dst.to_le_bytes(), reserved.to_le_bytes()].concat();
    [&words[..], &len.to_le_bytes(), &flags.to_le_bytes(), payload].concat()
}

fn parse(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let len = usize::from(u16::from_le_bytes([bytes[12], bytes[13]]));
    (word(0), word(4), bytes[HEADER..HEADER + len].to_vec())
}

/// Whose way of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `virtio_rpmsg_bus`: exact lengths without a flag towards the device, buffers handed out fresh before any comes back,
    /// no kick wanted for those, one wanted for every message.
    Linux,
    /// RPMsg-Lite: whole lengths and the WRITE flag in both directions, its transmit buffers put into the used ring by
    /// itself, the "no interrupt" flag set in both avail rings and never meant.
    RpmsgLite,
}

/// A master.
#[derive(Debug)]
pub struct Master {
    style: Style,
    geometry: Geometry,
    receive: Ring,
    transmit: Ring,
    buffers: Region<'static>,
    buffers_address: u64,
    fresh: usize,
    transmit_seen: u16,
    receive_seen: u16,
}

impl Master {
    /// Sets the rings up, with the buffers behind them.
    #[must_use]
    pub fn new(memory: Memory, style: Style) -> Self {
        Self::with_buffers_at(memory, style, 2 * memory.geometry.vring_bytes())
    }

    /// Sets the rings up, with the buffers at an offset of the memory.
    #[must_use]
    pub fn with_buffers_at(memory: Memory, style: Style, at: usize) -> Self {
        let geometry = memory.geometry;
        let buffers = memory.region.sub(at, geometry.pool_bytes()).unwrap();
        memory.region.zero(0, 2 * geometry.vring_bytes()).unwrap();
        buffers.zero(0, buffers.len()).unwrap();
        let master = Self {
            style,
            geometry,
            receive: Ring::of(memory, 0),
            transmit: Ring::of(memory, 1),
            buffers,
            buffers_address: DEVICE_ADDRESS + at as u64,
            fresh: 0,
            transmit_seen: 0,
            receive_seen: 0,
        };
        let (entries, bytes) = (master.receive.entries, geometry.buffer_bytes());
        for id in 0..entries {
            master.receive.set_desc(id, (master.address(id), bytes as u32, WRITE));
            master.receive.make_available(id);
        }
        if style == Style::RpmsgLite {
            for id in 0..entries {
                master.transmit.set_desc(id, (master.address(entries + id), bytes as u32, WRITE));
                master.transmit.use_up(id, bytes);
            }
            master.receive.set_avail_flags(NO_KICK);
        }
        master.transmit.set_avail_flags(NO_KICK);
        master
    }

    /// The ring towards the device.
    #[must_use]
    pub fn transmit_ring(&self) -> Ring {
        self.transmit
    }

    fn address(&self, buffer: usize) -> u64 {
        self.buffers_address + (buffer * self.geometry.buffer_bytes()) as u64
    }

    /// Sends, or says that there is no buffer. With `reserved` and `flags` in the header, which mean nothing.
    pub fn send(&mut self, src: u32, dst: u32, payload: &[u8], reserved: u32, flags: u16) -> bool {
        let id = if self.style == Style::Linux && self.fresh < self.transmit.entries {
            self.fresh += 1;
            self.fresh - 1
        } else if self.transmit_seen == self.transmit.used_index() {
            return false;
        } else {
            let (id, len) = self.transmit.used_entry(self.transmit_seen);
            self.transmit_seen = self.transmit_seen.wrapping_add(1);
            assert!(id < self.transmit.entries, "the device used descriptor {id}");
            // Where `rpmsg_lite_alloc_tx_buffer` gets the room of a buffer from.
            let whole = self.geometry.buffer_bytes();
            assert!(self.style == Style::Linux || len == whole, "the device says that {len} bytes are free");
            id
        };
        let bytes = message(src, dst, reserved, flags, payload);
        let buffer = self.transmit.entries + id;
        self.buffers.write(buffer * self.geometry.buffer_bytes(), &bytes).unwrap();
        if self.style == Style::Linux {
            self.transmit.set_desc(id, (self.address(buffer), bytes.len() as u32, 0));
        }
        self.transmit.make_available(id);
        true
    }

    /// The kick after sending, if the device wants it.
    #[must_use]
    pub fn kick_after_sending(&self) -> Option<u8> {
        (self.transmit.used_flags() & NO_KICK == 0).then_some(KICK_TO_DEVICE)
    }

    /// The next message: source, destination, payload.
    pub fn receive(&mut self) -> Option<(u32, u32, Vec<u8>)> {
        if self.receive_seen == self.receive.used_index() {
            return None;
        }
        let (id, len) = self.receive.used_entry(self.receive_seen);
        self.receive_seen = self.receive_seen.wrapping_add(1);
        assert!(id < self.receive.entries, "the device used descriptor {id}");
        // Linux's rule for what it accepts.
        assert!((HEADER..=self.geometry.buffer_bytes()).contains(&len), "the device says that it used {len} bytes");
        let mut bytes = vec![0; len];
        self.buffers.read(id * self.geometry.buffer_bytes(), &mut bytes).unwrap();
        let message = parse(&bytes);
        if self.style == Style::Linux {
            self.receive.set_desc(id, (self.address(id), self.geometry.buffer_bytes() as u32, WRITE));
        }
        self.receive.make_available(id);
        Some(message)
    }
}

/// RPMsg-Lite's remote.
#[derive(Debug)]
pub struct Remote {
    geometry: Geometry,
    transmit: Ring,
    receive: Ring,
    buffers: Region<'static>,
    transmit_seen: u16,
    receive_seen: u16,
}

impl Remote {
    /// Over rings that the driver has set up.
    #[must_use]
    pub fn new(memory: Memory) -> Self {
        Self {
            geometry: memory.geometry,
            transmit: Ring::of(memory, 0),
            receive: Ring::of(memory, 1),
            buffers: memory.buffers(),
            transmit_seen: 0,
            receive_seen: 0,
        }
    }

    fn place(&self, (address, len, flags): Desc) -> usize {
        assert_eq!(flags & !WRITE, 0, "no chains and no tables");
        let first = DEVICE_ADDRESS + 2 * self.geometry.vring_bytes() as u64;
        let at = (address - first) as usize;
        assert!(
            at + len as usize <= self.buffers.len() && at.is_multiple_of(self.geometry.buffer_bytes()),
            "buffer at {at}"
        );
        at
    }

    /// Sends, or says that there is no buffer. It says that it used the whole buffer.
    pub fn send(&mut self, src: u32, dst: u32, payload: &[u8]) -> bool {
        if self.transmit_seen == self.transmit.avail_index() {
            return false;
        }
        let id = self.transmit.avail_entry(self.transmit_seen);
        self.transmit_seen = self.transmit_seen.wrapping_add(1);
        let desc = self.transmit.desc(id);
        // The reserved word is what an earlier message left there.
        self.buffers.write(self.place(desc), &message(src, dst, 0xA5A5_0000 | id as u32, 0, payload)).unwrap();
        self.transmit.use_up(id, desc.1 as usize);
        true
    }

    /// Takes the next message without giving its buffer back: the descriptor, source, destination, payload. It writes the
    /// descriptor's number into the header meanwhile.
    pub fn hold(&mut self) -> Option<(usize, u32, u32, Vec<u8>)> {
        if self.receive_seen == self.receive.avail_index() {
            return None;
        }
        let id = self.receive.avail_entry(self.receive_seen);
        self.receive_seen = self.receive_seen.wrapping_add(1);
        let desc = self.receive.desc(id);
        let at = self.place(desc);
        let mut bytes = vec![0; desc.1 as usize];
        self.buffers.read(at, &mut bytes).unwrap();
        let (src, dst, payload) = parse(&bytes);
        self.buffers.write(at + 10, &(id as u16).to_le_bytes()).unwrap();
        Some((id, src, dst, payload))
    }

    /// Gives a buffer back, and says that it used all of it.
    pub fn release(&mut self, id: usize) {
        self.receive.use_up(id, self.receive.desc(id).1 as usize);
    }

    /// The ring from which it takes messages.
    #[must_use]
    pub fn receive_ring(&self) -> Ring {
        self.receive
    }
}

/// The kick with which Linux and RPMsg-Lite's master say that the rings are set up.
pub const FIRST_KICK: u8 = KICK_TO_DRIVER;
