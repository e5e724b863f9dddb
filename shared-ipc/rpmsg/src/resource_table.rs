//! The resource table (Linux `include/linux/rsc_table.h`): built at compile time, parsed, and the handshake on it.
//!
//! Our tables have the vdev entry first, then carve-outs, then traces:
//!
//! ```text
//! 0   ver=1 | num | reserved[2]=0 | offset[num]
//! V   type=3 (vdev) | id=7 | notifyid=0 | dfeatures=1 | gfeatures | config_len=12 | status u8 | vrings=2 | 0 u16
//!     vring0: da | align | num | notifyid=0 | 0
//!     vring1: da | align | num | notifyid=1 | 0
//!     config: driver_epoch | device_epoch | boot_id                               (ours; the kernel ignores it)
//! C   type=0 (carveout) | da | pa | len | flags | 0 | name[32]
//! T   type=2 (trace) | da | len | 0 | name[32]
//! ```
//! The kernel finds it in the ELF section `.resource_table`, writes `gfeatures`, `status` and the rings' addresses into the
//! loaded copy, and resets a device by writing status 0, assuming that it obeys. A user-space driver that died in the
//! middle cannot assume that, so the config words make a restart of either side explicit; each has one writer: the driver
//! raises `driver_epoch` and waits until the device, having let go of the rings, copies it to `device_epoch`; only then are
//! the rings zeroed. The device raises `boot_id` when it boots and clears `device_epoch`, by which a driver notices that it
//! must start again.

use coracle_shmem::{OutOfRegion, Region, acquire_barrier, full_barrier};

use crate::vring::VringSize;

/// virtio device id of RPMsg.
pub const VIRTIO_ID_RPMSG: u32 = 7;
/// Most bytes of a table: what the kernel maps of one when it attaches to a core that runs already.
pub const TABLE_BYTES_MAX: usize = 1024;
/// Status when the driver is ready: ACKNOWLEDGE, DRIVER and DRIVER_OK.
pub const STATUS_DRIVER_OK: u8 = 7;
/// "The host chooses the address", for a ring or a carve-out.
pub const HOST_CHOOSES: u32 = u32::MAX;
/// Bytes of our config words.
pub const CONFIG_BYTES: u32 = 12;

/// Most entries of a table that is parsed; ours have a handful.
const ENTRIES_MAX: usize = 16;
const HEADER_BYTES: usize = 16;
const NAME_BYTES: usize = 32;
const VDEV_BYTES: usize = 28;
const VRING_BYTES: usize = 20;
const CARVEOUT_BYTES: usize = 24 + NAME_BYTES;
const TRACE_BYTES: usize = 16 + NAME_BYTES;
const TYPE_CARVEOUT: u32 = 0;
const TYPE_TRACE: u32 = 2;
const TYPE_VDEV: u32 = 3;
const DRIVER_OK: u8 = 4;
/// FAILED and DEVICE_NEEDS_RESET.
const BROKEN: u8 = 0x80 | 0x40;
const FEATURE_NAME_SERVICE: u32 = 1;
/// Offsets in a vdev entry.
const GFEATURES: usize = 16;
const STATUS: usize = 24;

/// A piece of memory that the kernel reserves for the firmware, or checks against the device tree's of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carveout<'a> {
    /// Name, 1 to 31 bytes; the device tree's node of the reserved memory.
    pub name: &'a str,
    /// The device's address, or [`HOST_CHOOSES`].
    pub device_address: u32,
    /// Bytes.
    pub bytes: u32,
}

/// A text buffer that the kernel shows in debugfs as `remoteprocN/traceM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace<'a> {
    /// Name, 1 to 31 bytes.
    pub name: &'a str,
    /// The device's address.
    pub device_address: u32,
    /// Bytes.
    pub bytes: u32,
}

/// What a firmware's table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSpec<'a> {
    /// The device's addresses of vring 0 and 1, or [`HOST_CHOOSES`].
    pub vrings: [u32; 2],
    /// Entries and alignment of both rings.
    pub size: VringSize,
    /// Carve-outs.
    pub carveouts: &'a [Carveout<'a>],
    /// Trace buffers.
    pub traces: &'a [Trace<'a>],
}

impl TableSpec<'_> {
    /// Bytes of a table without carve-outs and traces.
    pub const BARE_BYTES: usize = HEADER_BYTES + 4 + VDEV_BYTES + 2 * VRING_BYTES + CONFIG_BYTES as usize;

    const fn entries(&self) -> usize {
        1 + self.carveouts.len() + self.traces.len()
    }

    const fn vdev_at(&self) -> usize {
        HEADER_BYTES + 4 * self.entries()
    }

    /// Bytes of the table.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.vdev_at()
            + VDEV_BYTES
            + 2 * VRING_BYTES
            + CONFIG_BYTES as usize
            + self.carveouts.len() * CARVEOUT_BYTES
            + self.traces.len() * TRACE_BYTES
    }

    /// The table, to be put in the section `.resource_table`. `None` when `N` is not [`TableSpec::bytes`], when that is
    /// over [`TABLE_BYTES_MAX`], when there are too many entries, or when a name is empty or over 31 bytes.
    ///
    /// ```
    /// use coracle_rpmsg::{TableSpec, VringSize};
    /// const SPEC: TableSpec<'_> = TableSpec { vrings: [0x1004_0000, 0x1004_1000], size: VringSize::ST, carveouts: &[], traces: &[] };
    /// static TABLE: [u8; SPEC.bytes()] = SPEC.build().unwrap();
    /// assert_eq!(TABLE.len(), 100);
    /// ```
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "slices have no const get; a bad index stops the compiler, not a board"
    )]
    pub const fn build<const N: usize>(&self) -> Option<[u8; N]> {
        if N != self.bytes() || N > TABLE_BYTES_MAX || self.entries() > ENTRIES_MAX {
            return None;
        }
        let mut table = Writer { bytes: [0; N], at: 0 };
        table.words([1, self.entries() as u32, 0, 0]);
        let mut entry_at = self.vdev_at();
        table.words([entry_at as u32]);
        entry_at += VDEV_BYTES + 2 * VRING_BYTES + CONFIG_BYTES as usize;
        let mut i = 0;
        while i < self.carveouts.len() + self.traces.len() {
            table.words([entry_at as u32]);
            entry_at += if i < self.carveouts.len() { CARVEOUT_BYTES } else { TRACE_BYTES };
            i += 1;
        }
        table.words([TYPE_VDEV, VIRTIO_ID_RPMSG, 0, FEATURE_NAME_SERVICE, 0, CONFIG_BYTES, 2 << 8]);
        let (align, num) = (self.size.align(), self.size.entries() as u32);
        table.words([self.vrings[0], align, num, 0, 0]);
        table.words([self.vrings[1], align, num, 1, 0]);
        table.words([0; CONFIG_BYTES as usize / 4]);
        let mut i = 0;
        while i < self.carveouts.len() {
            let carveout = &self.carveouts[i];
            table.words([TYPE_CARVEOUT, carveout.device_address, HOST_CHOOSES, carveout.bytes, 0, 0]);
            if !table.name(carveout.name) {
                return None;
            }
            i += 1;
        }
        let mut i = 0;
        while i < self.traces.len() {
            let trace = &self.traces[i];
            table.words([TYPE_TRACE, trace.device_address, trace.bytes, 0]);
            if !table.name(trace.name) {
                return None;
            }
            i += 1;
        }
        Some(table.bytes)
    }
}

/// Bytes of a table in the making.
struct Writer<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

#[expect(clippy::indexing_slicing, reason = "slices have no const get; a bad index stops the compiler, not a board")]
impl<const N: usize> Writer<N> {
    const fn words<const W: usize>(&mut self, words: [u32; W]) {
        let mut i = 0;
        while i < W {
            let bytes = words[i].to_le_bytes();
            let mut j = 0;
            while j < 4 {
                self.bytes[self.at] = bytes[j];
                self.at += 1;
                j += 1;
            }
            i += 1;
        }
    }

    const fn name(&mut self, name: &str) -> bool {
        let name = name.as_bytes();
        if name.is_empty() || name.len() >= NAME_BYTES {
            return false;
        }
        let mut i = 0;
        while i < name.len() {
            self.bytes[self.at + i] = name[i];
            i += 1;
        }
        self.at += NAME_BYTES;
        true
    }
}

/// Why memory does not hold a table that we can drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableError {
    /// No table there: the firmware has not started, or is another firmware.
    Missing,
    /// A version that we do not know.
    Version(u32),
    /// No entries, or more than are reasonable.
    Entries(u32),
    /// The table goes on beyond its end, or an entry lies inside the header or is not aligned.
    Offset {
        /// The offset, in bytes.
        offset: u32,
    },
    /// A reserved word that is not 0; the kernel refuses it too.
    Reserved {
        /// Its offset, in bytes.
        offset: usize,
    },
    /// No RPMsg vdev in it.
    NoVdev,
    /// The vdev does not have two rings.
    Vrings(u8),
    /// A ring whose entries or alignment no ring can have.
    Vring {
        /// 0 or 1.
        index: usize,
    },
    /// A valid table, but not with the rings or config words that the board description promises.
    Differs {
        /// Offset of the first word that differs, in bytes.
        offset: usize,
    },
}

impl core::fmt::Display for TableError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let theirs = "the firmware's resource table";
        match self {
            TableError::Missing => f.write_str("no resource table in shared memory: the firmware has not started"),
            TableError::Version(version) => write!(f, "{theirs} has version {version}, not 1"),
            TableError::Entries(entries) => write!(f, "{theirs} has {entries} entries, not 1 to {ENTRIES_MAX}"),
            TableError::Offset { offset } => write!(f, "{theirs} has an entry at {offset}, which cannot be"),
            TableError::Reserved { offset } => write!(f, "{theirs} has a reserved word that is not 0, at {offset}"),
            TableError::NoVdev => write!(f, "{theirs} has no RPMsg device (vdev {VIRTIO_ID_RPMSG})"),
            TableError::Vrings(count) => write!(f, "{theirs} has an RPMsg device with {count} vrings, not 2"),
            TableError::Vring { index } => write!(f, "{theirs} has impossible entries or alignment for vring {index}"),
            TableError::Differs { offset } => write!(f, "{theirs} differs from the board description at byte {offset}"),
        }
    }
}

impl core::error::Error for TableError {}

impl From<OutOfRegion> for TableError {
    fn from(_: OutOfRegion) -> Self {
        TableError::Missing
    }
}

/// A ring as a table names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VringEntry {
    /// The device's address; [`HOST_CHOOSES`] before a kernel filled it in.
    pub device_address: u32,
    /// Entries and alignment.
    pub size: VringSize,
}

/// Where things are in a table that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    vdev_at: usize,
    config_bytes: u32,
    bytes: usize,
    /// The rings.
    pub vrings: [VringEntry; 2],
}

fn word(bytes: &[u8], at: usize) -> Result<u32, TableError> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    field.map(|b| u32::from_le_bytes(*b)).ok_or(TableError::Offset { offset: at as u32 })
}

impl Table {
    /// Checks a table, ours or another firmware's. Entries other than an RPMsg vdev are only checked to lie inside.
    ///
    /// # Errors
    /// See [`TableError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        let bytes = bytes.get(..TABLE_BYTES_MAX).unwrap_or(bytes);
        match word(bytes, 0).unwrap_or(0) {
            0 => return Err(TableError::Missing),
            1 => {}
            other => return Err(TableError::Version(other)),
        }
        let entries = word(bytes, 4)?;
        let count = usize::try_from(entries).ok().filter(|n| (1..=ENTRIES_MAX).contains(n));
        let count = count.ok_or(TableError::Entries(entries))?;
        for offset in [8, 12] {
            if word(bytes, offset)? != 0 {
                return Err(TableError::Reserved { offset });
            }
        }
        let mut vdev = None;
        for entry in 0..count {
            let offset = word(bytes, HEADER_BYTES + 4 * entry)?;
            let at = offset as usize;
            if at < HEADER_BYTES + 4 * count || !at.is_multiple_of(4) {
                return Err(TableError::Offset { offset });
            }
            let entry_bytes = match word(bytes, at)? {
                TYPE_CARVEOUT => CARVEOUT_BYTES,
                TYPE_TRACE => TRACE_BYTES,
                TYPE_VDEV => VDEV_BYTES,
                // Memory for devices, and what vendors add.
                _ => 4,
            };
            if bytes.len() - at < entry_bytes {
                return Err(TableError::Offset { offset });
            }
            if word(bytes, at)? == TYPE_VDEV && word(bytes, at + 4)? == VIRTIO_ID_RPMSG && vdev.is_none() {
                vdev = Some(at);
            }
        }
        let vdev_at = vdev.ok_or(TableError::NoVdev)?;
        let config_bytes = word(bytes, vdev_at + 20)?;
        let [_, vrings, reserved @ ..] = word(bytes, vdev_at + STATUS)?.to_le_bytes();
        if reserved != [0, 0] {
            return Err(TableError::Reserved { offset: vdev_at + STATUS + 2 });
        }
        if vrings != 2 {
            return Err(TableError::Vrings(vrings));
        }
        let vring = |index: usize| -> Result<VringEntry, TableError> {
            let at = vdev_at + VDEV_BYTES + VRING_BYTES * index;
            let (align, num) = (word(bytes, at + 4)?, word(bytes, at + 8)?);
            let size = u16::try_from(num).ok().and_then(|entries| VringSize::new(entries, align));
            let size = size.ok_or(TableError::Vring { index })?;
            Ok(VringEntry { device_address: word(bytes, at)?, size })
        };
        let vrings = [vring(0)?, vring(1)?];
        let config_at = vdev_at + VDEV_BYTES + 2 * VRING_BYTES;
        let end = config_at.checked_add(config_bytes as usize).filter(|end| *end <= bytes.len());
        let end = end.ok_or(TableError::Offset { offset: config_at as u32 })?;
        Ok(Self { vdev_at, config_bytes, bytes: end, vrings })
    }

    /// Copies a table out of shared memory and checks the copy.
    ///
    /// # Errors
    /// See [`TableError`].
    pub fn read(region: &Region<'_>) -> Result<Self, TableError> {
        let (bytes, len) = copy(region)?;
        Self::parse(bytes.get(..len).ok_or(TableError::Missing)?)
    }

    /// Whether two tables say the same, apart from what the two sides write in it while they run.
    fn same(&self, ours: &[u8], theirs: &[u8]) -> Result<(), TableError> {
        let config_at = self.vdev_at + VDEV_BYTES + 2 * VRING_BYTES;
        let running = |at: usize| {
            (self.vdev_at + GFEATURES..self.vdev_at + GFEATURES + 4).contains(&at)
                || at == self.vdev_at + STATUS
                || (config_at..config_at + CONFIG_BYTES as usize).contains(&at)
        };
        for (at, byte) in ours.iter().enumerate() {
            if theirs.get(at) != Some(byte) && !running(at) {
                return Err(TableError::Differs { offset: at });
            }
        }
        Ok(())
    }
}

/// Copies a table out of shared memory, so that what is checked is what is used.
fn copy(region: &Region<'_>) -> Result<([u8; TABLE_BYTES_MAX], usize), TableError> {
    let mut bytes = [0; TABLE_BYTES_MAX];
    let len = region.len().min(TABLE_BYTES_MAX);
    region.read(0, bytes.get_mut(..len).ok_or(TableError::Missing)?)?;
    Ok((bytes, len))
}

/// Writes `table`, one of ours, into shared memory when the device boots, and returns the control words and this boot's id:
/// one more than the one found there from an earlier life (retained memory), or 1.
///
/// # Errors
/// [`TableError`] when the region is too small, or `table` is not one of ours.
pub fn write_table<'m>(region: Region<'m>, table: &[u8]) -> Result<(ControlWords<'m>, u32), TableError> {
    let ours = Table::parse(table)?;
    let words = ControlWords::new(region, &ours)?;
    let (found, _) = copy(&region)?;
    let earlier = if ours.same(table, &found).is_ok() { words.boot_id()? } else { 0 };
    let boot_id = earlier.wrapping_add(1).max(1);
    for (chunk, at) in table.chunks_exact(4).zip((0..).step_by(4)) {
        let config_at = ours.vdev_at + VDEV_BYTES + 2 * VRING_BYTES;
        if at == ours.vdev_at + GFEATURES || (config_at..config_at + CONFIG_BYTES as usize).contains(&at) {
            continue;
        }
        if at == ours.vdev_at + STATUS {
            // The status before these three bytes is the driver's.
            for (byte, beside) in chunk.iter().skip(1).zip(at + 1..) {
                region.store_u8(beside, *byte)?;
            }
            continue;
        }
        region.store_u32(at, word(chunk, 0)?)?;
    }
    // device_epoch 0 says "reset" to a driver that is attached. It goes first: a driver that sees the new boot id must
    // not find the old epoch beside it.
    words.set_device_epoch(0)?;
    region.store_u32(words.config_at + 8, boot_id)?;
    Ok((words, boot_id))
}

/// Checks the table in shared memory against the board description, before the driver trusts that this firmware is ours:
/// the rings must lie at `vrings` and have the size `size`.
///
/// # Errors
/// See [`TableError`].
pub fn read_table<'m>(region: Region<'m>, vrings: [u32; 2], size: VringSize) -> Result<ControlWords<'m>, TableError> {
    let table = Table::read(&region)?;
    for (index, (entry, device_address)) in table.vrings.iter().zip(vrings).enumerate() {
        if *entry != (VringEntry { device_address, size }) {
            return Err(TableError::Differs { offset: table.vdev_at + VDEV_BYTES + VRING_BYTES * index });
        }
    }
    ControlWords::new(region, &table)
}

/// The words of the table that change: the handshake. See the module documentation for who writes which.
#[derive(Debug, Clone, Copy)]
pub struct ControlWords<'m> {
    region: Region<'m>,
    vdev_at: usize,
    config_at: usize,
}

impl<'m> ControlWords<'m> {
    /// The words of a table of ours that lies in `region`.
    ///
    /// # Errors
    /// [`TableError::Differs`] when the table has no room for our config words, [`TableError::Missing`] when the region is
    /// too small.
    pub fn new(region: Region<'m>, table: &Table) -> Result<Self, TableError> {
        if table.config_bytes < CONFIG_BYTES {
            return Err(TableError::Differs { offset: table.vdev_at + 20 });
        }
        if region.len() < table.bytes {
            return Err(TableError::Missing);
        }
        Ok(Self { region, vdev_at: table.vdev_at, config_at: table.vdev_at + VDEV_BYTES + 2 * VRING_BYTES })
    }

    /// What the other side did to the rings before it wrote the word is seen after it: pairs with the barrier before each
    /// store here. Without it a driver could zero rings while it still reads what the device last wrote there.
    fn load(&self, at: usize) -> Result<u32, OutOfRegion> {
        let word = self.region.load_u32(at)?;
        acquire_barrier();
        Ok(word)
    }

    /// virtio status, written by the driver.
    ///
    /// # Errors
    /// [`OutOfRegion`], as for all methods here, never: the region was checked.
    pub fn status(&self) -> Result<u8, OutOfRegion> {
        let status = self.region.load_u8(self.vdev_at + STATUS)?;
        acquire_barrier();
        Ok(status)
    }

    /// Whether the driver has set the rings up: DRIVER_OK without FAILED or DEVICE_NEEDS_RESET, whatever else is set (the
    /// kernel leaves FEATURES_OK out for this legacy transport; virtio 1.x section 2.1).
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn driver_is_ready(&self) -> Result<bool, OutOfRegion> {
        Ok(self.status()? & (DRIVER_OK | BROKEN) == DRIVER_OK)
    }

    /// Driver: sets the virtio status.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn set_status(&self, status: u8) -> Result<(), OutOfRegion> {
        // Everything that the status announces (zeroed rings) before it.
        full_barrier();
        let features = if status == 0 { 0 } else { FEATURE_NAME_SERVICE };
        self.region.store_u32(self.vdev_at + GFEATURES, features)?;
        self.region.store_u8(self.vdev_at + STATUS, status)?;
        full_barrier();
        Ok(())
    }

    /// The driver's epoch.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn driver_epoch(&self) -> Result<u32, OutOfRegion> {
        self.load(self.config_at)
    }

    /// Driver: asks the device to let go of the rings.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn set_driver_epoch(&self, epoch: u32) -> Result<(), OutOfRegion> {
        full_barrier();
        self.region.store_u32(self.config_at, epoch)?;
        full_barrier();
        Ok(())
    }

    /// The last driver epoch for which the device let go of the rings; 0 after a boot.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn device_epoch(&self) -> Result<u32, OutOfRegion> {
        self.load(self.config_at + 4)
    }

    /// Device: confirms that it no longer touches the rings of any earlier epoch.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn set_device_epoch(&self, epoch: u32) -> Result<(), OutOfRegion> {
        full_barrier();
        self.region.store_u32(self.config_at + 4, epoch)?;
        full_barrier();
        Ok(())
    }

    /// Counts the device's boots.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn boot_id(&self) -> Result<u32, OutOfRegion> {
        self.load(self.config_at + 8)
    }
}
