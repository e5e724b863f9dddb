//! Where the words are that pose as registers, as offsets from the first shared byte, and what is in them.
//!
//! Layout of the mailbox: STM32MP1 reference manual (RM0436), chapter IPCC. Layout of the syscon page: chosen here, the
//! device tree tells the driver.

use coracle_shmem::{OutOfRegion, Region};

/// First register page; whoever uses the shared memory for something else must end before.
pub const FIRST_PAGE: u32 = 0xF0_0000;
/// Bytes of a register page.
pub const PAGE_BYTES: u32 = 0x1000;
/// Reset lines of the M core, bit 0, 0 = asserted. Written by the driver and read by nobody: the core is reset when the
/// driver asks for its shutdown, which comes first.
pub const RESET_PAGE: u32 = FIRST_PAGE;
/// The syscon page: boot and power words of the M core.
pub const SYSCON_PAGE: u32 = FIRST_PAGE + PAGE_BYTES;
/// In the syscon page: bit 0 says that the M core's boot registers are secure.
pub const SYSCON_TRUST_ZONE: u32 = 0x00;
/// In the syscon page: bit 0 lets the M core boot after a reset.
pub const SYSCON_HOLD_BOOT: u32 = 0x0C;
/// In the syscon page: bit 0 puts the M core to deep sleep. The boot stub of the M core waits until it is clear.
pub const SYSCON_DEEP_SLEEP: u32 = 0x10;
/// In the syscon page: address of the resource table of an M core that runs already; 0 = none.
pub const SYSCON_RESOURCE_TABLE: u32 = 0x14;
/// In the syscon page: state of the M core; 0 = off.
pub const SYSCON_STATE: u32 = 0x18;
/// The mailbox's page.
pub const MAILBOX_PAGE: u32 = FIRST_PAGE + 2 * PAGE_BYTES;
/// Bytes of the mailbox's registers.
pub const MAILBOX_BYTES: u32 = 0x400;

/// Channels of the mailbox.
pub const CHANNELS: u32 = 6;
/// The channel by which the driver asks the M core to shut down. The ones before it are virtqueues, by number.
pub const SHUTDOWN_CHANNEL: u32 = 2;

/// Control register of the A core: interrupt enables.
pub(crate) const CONTROL: u32 = MAILBOX_PAGE;
pub(crate) const CONTROL_RX_OCCUPIED_ENABLE: u32 = 1;
pub(crate) const CONTROL_TX_FREE_ENABLE: u32 = 1 << 16;
/// Mask register of the A core: low half receive-occupied, high half transmit-free interrupts.
pub(crate) const MASK: u32 = MAILBOX_PAGE + 0x04;
/// Status register of the A core: one bit for each channel to M that is occupied.
pub(crate) const A_TO_M_OCCUPIED: u32 = MAILBOX_PAGE + 0x0C;
/// Status register of the M core: one bit for each channel to A that is occupied.
pub(crate) const M_TO_A_OCCUPIED: u32 = MAILBOX_PAGE + 0x1C;
const HARDWARE_CONFIGURATION: u32 = MAILBOX_PAGE + 0x3F0;
const VERSION: u32 = MAILBOX_PAGE + 0x3F4;
const VERSION_1_0: u32 = 0x10;

/// A bit for each channel.
pub(crate) const ALL_CHANNELS: u32 = (1 << CHANNELS) - 1;

/// Puts the words in the state after power-on: the M core in deep sleep, every channel masked.
///
/// # Errors
/// If `shared` ends before the register pages do.
pub fn power_on(shared: &Region<'_>) -> Result<(), OutOfRegion> {
    for (offset, value) in [
        (RESET_PAGE, 1),
        (SYSCON_PAGE + SYSCON_TRUST_ZONE, 0),
        (SYSCON_PAGE + SYSCON_HOLD_BOOT, 0),
        (SYSCON_PAGE + SYSCON_DEEP_SLEEP, 1),
        (SYSCON_PAGE + SYSCON_RESOURCE_TABLE, 0),
        (SYSCON_PAGE + SYSCON_STATE, 0),
        (CONTROL, 0),
        (MASK, u32::MAX),
        (A_TO_M_OCCUPIED, ALL_CHANNELS),
        (M_TO_A_OCCUPIED, 0),
        (HARDWARE_CONFIGURATION, CHANNELS),
        (VERSION, VERSION_1_0),
    ] {
        shared.store_u32(offset as usize, value)?;
    }
    Ok(())
}
