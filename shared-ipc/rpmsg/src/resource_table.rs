//! The resource table (Linux `include/linux/remoteproc.h`) with one vdev entry, and the handshake on it.
//!
//! ```text
//! 0   ver=1 | num=1 | reserved[2]=0 | offset[0]=20
//! 20  type=3 (vdev) | id=7 | notifyid=0 | dfeatures=1 | gfeatures | config_len=12 | status u8 | vrings=2 | 0 u16
//! 48  vring0: da | align | num | notifyid=0 | 0
//! 68  vring1: da | align | num | notifyid=1 | 0
//! 88  config: driver_epoch | device_epoch | boot_id                               (ours; the kernel ignores it)
//! ```
//! The kernel resets a device by writing status 0 and assumes that it obeys. A user-space driver that died in the
//! middle cannot assume that, so the config words make a restart of either side explicit; each has one writer:
//! the driver raises `driver_epoch` and waits until the device, having let go of the rings, copies it to
//! `device_epoch`; only then are the rings zeroed. The device raises `boot_id` when it boots and clears
//! `device_epoch`, by which a driver notices that it must start again.

use coracle_shmem::{OutOfRegion, Region, full_barrier};

use crate::vring::VringSize;

/// virtio device id of RPMsg.
pub const VIRTIO_ID_RPMSG: u32 = 7;
/// Bytes of our table.
pub const TABLE_BYTES: usize = 100;
/// Status when the driver is ready: ACKNOWLEDGE, DRIVER and DRIVER_OK.
pub const STATUS_DRIVER_OK: u8 = 7;

const TYPE_VDEV: u32 = 3;
const VDEV_AT: usize = 20;
const STATUS_AT: usize = 44;
const VRING_AT: [usize; 2] = [48, 68];
const CONFIG_AT: usize = 88;
const FEATURE_NAME_SERVICE: u32 = 1;

/// Why memory does not hold a table that we can drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableError {
    /// No table there: the firmware has not started, or is another firmware.
    Missing,
    /// A table, but not with the vdev, features or rings that the board description promises.
    Differs {
        /// Offset of the first word that differs, in bytes.
        offset: usize,
    },
}

impl core::fmt::Display for TableError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            TableError::Missing => f.write_str("no resource table in shared memory: the firmware has not started"),
            TableError::Differs { offset } => {
                write!(f, "the firmware's resource table differs from the board description at byte {offset}")
            }
        }
    }
}

impl core::error::Error for TableError {}

impl From<OutOfRegion> for TableError {
    fn from(_: OutOfRegion) -> Self {
        TableError::Missing
    }
}

/// The fixed words of the table as (offset, value), without status, gfeatures and config words.
fn fixed_words(vring_address: [u32; 2], size: VringSize) -> [(usize, u32); 20] {
    let ring = |at: usize, address: u32, id: u32| {
        [(at, address), (at + 4, size.align()), (at + 8, u32::from(size.entries())), (at + 12, id), (at + 16, 0)]
    };
    let ([vring0_at, vring1_at], [address0, address1]) = (VRING_AT, vring_address);
    let [a0, a1, a2, a3, a4] = ring(vring0_at, address0, 0);
    let [b0, b1, b2, b3, b4] = ring(vring1_at, address1, 1);
    [
        (0, 1),
        (4, 1),
        (8, 0),
        (12, 0),
        (16, VDEV_AT as u32),
        (VDEV_AT, TYPE_VDEV),
        (VDEV_AT + 4, VIRTIO_ID_RPMSG),
        (VDEV_AT + 8, 0),
        (VDEV_AT + 12, FEATURE_NAME_SERVICE),
        // VDEV_AT + 16 is gfeatures, which the driver writes.
        (VDEV_AT + 20, 12),
        a0,
        a1,
        a2,
        a3,
        a4,
        b0,
        b1,
        b2,
        b3,
        b4,
    ]
}

/// Writes the table when the device boots, and returns its boot id: one more than the one it finds from an earlier
/// life (retained memory), or 1.
///
/// # Errors
/// [`OutOfRegion`] when the region is smaller than [`TABLE_BYTES`].
pub fn write_table(region: &Region<'_>, vring_address: [u32; 2], size: VringSize) -> Result<u32, OutOfRegion> {
    let words = ControlWords { region: *region };
    let earlier = if read_table(region, vring_address, size).is_ok() { words.boot_id()? } else { 0 };
    let boot_id = earlier.wrapping_add(1).max(1);
    for (at, value) in fixed_words(vring_address, size) {
        region.store_u32(at, value)?;
    }
    region.store_u8(STATUS_AT + 1, 2)?;
    region.store_u8(STATUS_AT + 2, 0)?;
    region.store_u8(STATUS_AT + 3, 0)?;
    // device_epoch 0 says "reset" to a driver that is attached. It goes first: a driver that sees the new boot id must
    // not find the old epoch beside it.
    region.store_u32(CONFIG_AT + 4, 0)?;
    full_barrier();
    region.store_u32(CONFIG_AT + 8, boot_id)?;
    Ok(boot_id)
}

/// Checks the table against the board description, before the driver trusts that this firmware is ours.
///
/// # Errors
/// See [`TableError`].
pub fn read_table(region: &Region<'_>, vring_address: [u32; 2], size: VringSize) -> Result<(), TableError> {
    if region.load_u32(0)? != 1 {
        return Err(TableError::Missing);
    }
    for (offset, want) in fixed_words(vring_address, size) {
        if region.load_u32(offset)? != want {
            return Err(TableError::Differs { offset });
        }
    }
    if region.load_u8(STATUS_AT + 1)? != 2 {
        return Err(TableError::Differs { offset: STATUS_AT + 1 });
    }
    Ok(())
}

/// The words of the table that change: the handshake. See the module documentation for who writes which.
#[derive(Debug, Clone, Copy)]
pub struct ControlWords<'m> {
    region: Region<'m>,
}

impl<'m> ControlWords<'m> {
    /// The words of the table in `region`.
    #[must_use]
    pub fn new(region: Region<'m>) -> Self {
        Self { region }
    }

    /// virtio status, written by the driver.
    ///
    /// # Errors
    /// [`OutOfRegion`], as for all methods here, when the region is too small.
    pub fn status(&self) -> Result<u8, OutOfRegion> {
        self.region.load_u8(STATUS_AT)
    }

    /// Driver: sets the virtio status.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn set_status(&self, status: u8) -> Result<(), OutOfRegion> {
        // Everything that the status announces (zeroed rings) before it.
        full_barrier();
        self.region.store_u32(VDEV_AT + 16, if status == 0 { 0 } else { FEATURE_NAME_SERVICE })?;
        self.region.store_u8(STATUS_AT, status)?;
        full_barrier();
        Ok(())
    }

    /// The driver's epoch.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn driver_epoch(&self) -> Result<u32, OutOfRegion> {
        self.region.load_u32(CONFIG_AT)
    }

    /// Driver: asks the device to let go of the rings.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn set_driver_epoch(&self, epoch: u32) -> Result<(), OutOfRegion> {
        full_barrier();
        self.region.store_u32(CONFIG_AT, epoch)?;
        full_barrier();
        Ok(())
    }

    /// The last driver epoch for which the device let go of the rings; 0 after a boot.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn device_epoch(&self) -> Result<u32, OutOfRegion> {
        self.region.load_u32(CONFIG_AT + 4)
    }

    /// Device: confirms that it no longer touches the rings of any earlier epoch.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn set_device_epoch(&self, epoch: u32) -> Result<(), OutOfRegion> {
        full_barrier();
        self.region.store_u32(CONFIG_AT + 4, epoch)?;
        full_barrier();
        Ok(())
    }

    /// Counts the device's boots.
    ///
    /// # Errors
    /// [`OutOfRegion`].
    pub fn boot_id(&self) -> Result<u32, OutOfRegion> {
        self.region.load_u32(CONFIG_AT + 8)
    }
}
