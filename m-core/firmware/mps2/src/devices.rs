//! The pins and buses of this board: simulated ones, because QEMU's model of it has none.

use coracle_device::sim::{self, SimDevices, Wire};

/// Between the pins `led` and `button`.
static WIRE: Wire = Wire::new();

/// What containers on this board can be granted. To be made once: two would share the wire.
pub(crate) fn devices() -> SimDevices<'static> {
    sim::devices(&WIRE, &[sim::ACCEL0])
}
