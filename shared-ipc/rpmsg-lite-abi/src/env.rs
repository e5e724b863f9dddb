//! What ports of the platform layer use of the environment layer, as on bare metal.

use core::ffi::c_void;

use crate::instance;

/// The number of a queue within its link (`RL_GET_Q_ID`), and the link (`RL_GET_LINK_ID`).
fn split(vector: u32) -> (u8, u32) {
    (u8::from(vector & 1 != 0), vector >> 1)
}

/// The interrupt of a queue: the port's handler calls it with the number that the other core sent.
///
/// # Safety
/// Called from where the application's callbacks may run; not while the interrupts of the link are off.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn env_isr(vector: u32) {
    let (queue, link_id) = split(vector);
    if let Some(instance) = instance::of_link(link_id) {
        instance.interrupt(queue);
    }
}

/// The port has taken the interrupt of a queue into use; before, `env_isr` does nothing.
///
/// # Safety
/// None: the pointer is only compared with null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn env_register_isr(vector_id: u32, data: *mut c_void) {
    let (queue, link_id) = split(vector_id);
    if let Some(instance) = instance::of_link(link_id) {
        instance.register(queue, !data.is_null());
    }
}

/// The port no longer uses the interrupt of a queue.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn env_unregister_isr(vector_id: u32) {
    let (queue, link_id) = split(vector_id);
    if let Some(instance) = instance::of_link(link_id) {
        instance.register(queue, false);
    }
}

/// A mutex for the port. On bare metal there is nobody to exclude: the port's interrupts are off where it matters.
///
/// # Safety
/// `lock` is null or points to a writable pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn env_create_mutex(lock: *mut *mut c_void, _count: i32) -> i32 {
    if lock.is_null() {
        return -1;
    }
    // SAFETY: the caller's. Any value but null says that there is one.
    unsafe { lock.write(lock.cast()) };
    0
}

/// See [`env_create_mutex`].
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn env_delete_mutex(_lock: *mut c_void) {}

/// See [`env_create_mutex`].
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn env_lock_mutex(_lock: *mut c_void) {}

/// See [`env_create_mutex`].
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn env_unlock_mutex(_lock: *mut c_void) {}
