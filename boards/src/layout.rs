//! The shared-memory layout and the budgets of a board, as plain values that both cores use.
//!
//! Values made by this crate's reader or generator are checked (see `Board`); these types themselves check nothing.

/// Bytes in one RPMsg buffer: 16 of header, 496 of payload. Linux fixes it (`MAX_RPMSG_BUF_SIZE`).
pub const RPMSG_BUFFER_BYTES: u32 = 512;

/// A range of the shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Bytes from the first shared byte.
    pub offset: u32,
    /// Length in bytes.
    pub bytes: u32,
}

/// Where everything is in the memory that both cores see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedLayout {
    /// The M core's address of the first shared byte. A process that maps the memory elsewhere translates.
    pub address: u32,
    /// Length of the shared memory in bytes.
    pub bytes: u32,
    /// Descriptors in each vring, a power of two.
    pub vring_num: u16,
    /// Alignment of a vring and of its used part, in bytes.
    pub vring_align: u32,
    /// The resource table, written by the M core at boot; the A core writes the status byte in it.
    pub resource_table: Span,
    /// Messages from M to A (the device-to-driver ring).
    pub vring0: Span,
    /// Messages from A to M (the driver-to-device ring).
    pub vring1: Span,
    /// The message buffers: first half for `vring0`, second half for `vring1`.
    pub buffers: Span,
    /// Text of the M core for Linux's `remoteproc` trace file, in the format of [`crate::trace`]; not on every board.
    pub trace: Option<Span>,
    /// Log frames of the M core, in the format of [`crate::log_ring`].
    pub log: Span,
    /// Payloads above one message that A writes and M reads.
    pub bulk_to_m: Span,
    /// Payloads above one message that M writes and A reads.
    pub bulk_to_a: Span,
    /// Checkpoints that M writes for itself. A reset of the M core leaves it alone.
    pub retained: Span,
}

impl SharedLayout {
    /// Every region that the board has, with its key in the board file.
    pub fn regions(&self) -> impl Iterator<Item = (&'static str, Span)> {
        [
            ("resource_table", Some(self.resource_table)),
            ("vring0", Some(self.vring0)),
            ("vring1", Some(self.vring1)),
            ("buffers", Some(self.buffers)),
            ("trace", self.trace),
            ("log", Some(self.log)),
            ("bulk_to_m", Some(self.bulk_to_m)),
            ("bulk_to_a", Some(self.bulk_to_a)),
            ("retained", Some(self.retained)),
        ]
        .into_iter()
        .filter_map(|(key, span)| Some((key, span?)))
    }
}

/// What the M core may spend on containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The arena of the allocator, in bytes: modules, interpreter stacks and linear memories all come from it.
    pub heap_bytes: u32,
    /// The M core's own call stack, in bytes.
    pub stack_bytes: u32,
    /// Containers that may exist at once.
    pub containers_max: u8,
    /// Linear memories of all containers together, in bytes.
    pub linear_memory_bytes_max: u32,
    /// One module as loaded, in bytes.
    pub module_bytes_max: u32,
}

/// A UART of the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UartSpec {
    /// Address of its first register.
    pub address: u32,
    /// Number of its receive interrupt.
    pub rx_irq: u16,
    /// Number of its transmit interrupt.
    pub tx_irq: u16,
}

/// A timer of the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerSpec {
    /// Address of its first register.
    pub address: u32,
    /// Number of its interrupt.
    pub irq: u16,
}

/// Bytes that a split vring of `num` descriptors takes when its used part starts at a multiple of `align`.
///
/// `num` and `align` are powers of two and `num` is at most 32768, so nothing overflows.
#[must_use]
pub const fn vring_bytes(num: u16, align: u32) -> u32 {
    let num = num as u32;
    let driver_part = 16 * num + 2 * (3 + num); // descriptors; flags, idx, ring, used_event
    let device_part = 2 * 3 + 8 * num; // flags, idx, avail_event; ring of (id, len)
    driver_part.next_multiple_of(align) + device_part
}

#[cfg(test)]
mod tests {
    use super::*;

    // The reference sizes: Linux's vring_size() and rpmsg-lite's, as both print them.
    #[test]
    fn vring_bytes_match_the_reference() {
        assert_eq!(vring_bytes(256, 4096), 10246);
        assert_eq!(vring_bytes(16, 16), 438);
        assert_eq!(vring_bytes(16, 4096), 4230);
        assert_eq!(vring_bytes(256, 16), 6678);
    }
}
