//! One device register.

/// A 32-bit register at a fixed address.
#[derive(Clone, Copy)]
pub(crate) struct Register(usize);

impl Register {
    /// The register `offset` bytes after `base`.
    ///
    /// # Safety
    /// The address is that of a 32-bit register which may be read and written at any time without breaking memory
    /// safety: a device register, never ordinary memory.
    pub(crate) const unsafe fn new(base: u32, offset: usize) -> Self {
        Self(base as usize + offset)
    }

    pub(crate) fn read(self) -> u32 {
        // SAFETY: `new`'s caller promised a readable device register; registers are aligned words.
        unsafe { core::ptr::with_exposed_provenance::<u32>(self.0).read_volatile() }
    }

    pub(crate) fn write(self, value: u32) {
        // SAFETY: `new`'s caller promised a writable device register; registers are aligned words.
        unsafe { core::ptr::with_exposed_provenance_mut::<u32>(self.0).write_volatile(value) }
    }
}
