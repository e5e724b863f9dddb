//! The platform layer, which the user supplies, and the geometry that it or the configuration says.

use core::ffi::c_void;

use coracle_rpmsg::{Geometry, HEADER_BYTES, VringSize};

mod c {
    use core::ffi::c_void;

    // SAFETY: the signatures are those of `rpmsg_platform.h` of NXP's i.MX8M ports.
    unsafe extern "C" {
        pub(super) fn platform_init() -> i32;
        pub(super) fn platform_deinit() -> i32;
        pub(super) fn platform_init_interrupt(vector_id: u32, isr_data: *mut c_void) -> i32;
        pub(super) fn platform_deinit_interrupt(vector_id: u32) -> i32;
        pub(super) fn platform_interrupt_enable(vector_id: u32) -> i32;
        pub(super) fn platform_interrupt_disable(vector_id: u32) -> i32;
        pub(super) fn platform_in_isr() -> i32;
        pub(super) fn platform_notify(vector_id: u32);
        pub(super) fn platform_time_delay(num_msec: u32);
        pub(super) fn platform_vatopa(addr: *mut c_void) -> usize;
        pub(super) fn platform_patova(addr: usize) -> *mut c_void;
        #[cfg(feature = "custom-shmem")]
        pub(super) fn platform_get_custom_shmem_config(link_id: u32, config: *mut super::ShmemConfig) -> i32;
    }
}

/// `rpmsg_platform_shmem_config_t`.
#[cfg(feature = "custom-shmem")]
#[repr(C)]
#[derive(Default)]
struct ShmemConfig {
    buffer_payload_size: u32,
    buffer_count: u16,
    vring_size: u32,
    vring_align: u32,
}

// SAFETY of every block in the functions below: the platform layer implements the function as its port's header says. It
// takes no pointer, unless a block says more.

pub(crate) fn init() -> bool {
    // SAFETY: as above.
    unsafe { c::platform_init() == 0 }
}

pub(crate) fn deinit() {
    // SAFETY: as above. The C library passes a failure on to nobody either.
    let _ = unsafe { c::platform_deinit() };
}

pub(crate) fn init_interrupt(vector: u32, data: *mut c_void) {
    // SAFETY: as above; `data` comes back in `env_register_isr`, where it is only compared with null.
    let _ = unsafe { c::platform_init_interrupt(vector, data) };
}

pub(crate) fn deinit_interrupt(vector: u32) {
    // SAFETY: as above.
    let _ = unsafe { c::platform_deinit_interrupt(vector) };
}

/// Switches the link's two interrupts off; not in an interrupt, where they are already. Whether it did.
pub(crate) fn interrupts_off(link_id: u32) -> bool {
    // SAFETY: as above.
    if unsafe { c::platform_in_isr() } != 0 {
        return false;
    }
    for queue in [0, 1] {
        // SAFETY: as above.
        let _ = unsafe { c::platform_interrupt_disable(vector(link_id, queue)) };
    }
    true
}

/// Switches them on again.
pub(crate) fn interrupts_on(link_id: u32) {
    for queue in [0, 1] {
        // SAFETY: as above.
        let _ = unsafe { c::platform_interrupt_enable(vector(link_id, queue)) };
    }
}

pub(crate) fn notify(link_id: u32, queue: u8) {
    // SAFETY: as above.
    unsafe { c::platform_notify(vector(link_id, queue)) };
}

pub(crate) fn delay_ms(ms: u32) {
    // SAFETY: as above.
    unsafe { c::platform_time_delay(ms) };
}

/// The address that the other core has for a place in the shared memory.
pub(crate) fn address_of(place: *mut u8) -> u64 {
    // SAFETY: as above; the platform layer only calculates with the pointer.
    unsafe { c::platform_vatopa(place.cast()) as u64 }
}

/// The place that the other core has `address` for; `None` when this core has no such memory.
pub(crate) fn place_of(address: u64) -> Option<*mut u8> {
    let address = usize::try_from(address).ok()?;
    // SAFETY: as above; the platform layer only calculates with the address.
    let place: *mut u8 = unsafe { c::platform_patova(address) }.cast();
    (!place.is_null()).then_some(place)
}

/// The number of a queue's interrupt (`RL_GET_VQ_ID`).
pub(crate) fn vector(link_id: u32, queue: u8) -> u32 {
    link_id << 1 | u32::from(queue)
}

/// Counts and sizes of a link, `None` if they are not possible.
#[cfg(not(feature = "custom-shmem"))]
pub(crate) fn geometry(_link_id: u32) -> Option<Geometry> {
    // As `include/rpmsg_config.h` says.
    const RL_BUFFER_COUNT: u16 = 256;
    const RL_BUFFER_PAYLOAD_SIZE: usize = 496;
    const VRING_ALIGN: u32 = 0x1000;
    const VRING_SIZE: usize = 0x8000;
    Geometry::new(VringSize::new(RL_BUFFER_COUNT, VRING_ALIGN)?, VRING_SIZE, RL_BUFFER_PAYLOAD_SIZE + HEADER_BYTES)
}

/// Counts and sizes of a link, `None` if the platform layer does not know the link or they are not possible.
#[cfg(feature = "custom-shmem")]
pub(crate) fn geometry(link_id: u32) -> Option<Geometry> {
    let mut config = ShmemConfig::default();
    // SAFETY: as above; `config` is writable and has the layout of `rpmsg_platform_shmem_config_t`.
    if unsafe { c::platform_get_custom_shmem_config(link_id, &raw mut config) } != 0 {
        return None;
    }
    let buffer = usize::try_from(config.buffer_payload_size).ok()?.checked_add(HEADER_BYTES)?;
    let ring = usize::try_from(config.vring_size).ok()?;
    Geometry::new(VringSize::new(config.buffer_count, config.vring_align)?, ring, buffer)
}
