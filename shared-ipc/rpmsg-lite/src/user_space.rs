//! The platform layer for a Linux process: addresses are translated within the shared memory of the link that a call is
//! for, kicks are noted until somebody asks for them, and interrupts are calls.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coracle_rpmsg::{Geometry, HEADER_BYTES};

use crate::sys;

/// Highest link id of the library's environment layers: they keep 32 interrupts.
pub(crate) const LINK_ID_MAX: u32 = 15;
const LINKS_MAX: usize = LINK_ID_MAX as usize + 1;

/// The shared memory of a link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) base: *mut u8,
    pub(crate) len: usize,
    /// The other core's address of the first byte.
    pub(crate) address: usize,
    pub(crate) geometry: Geometry,
}

// SAFETY: a range of addresses and numbers; nothing here accesses what is there.
unsafe impl Send for Memory {}

static LINKS: Mutex<[Option<Memory>; LINKS_MAX]> = Mutex::new([None; LINKS_MAX]);
/// The kicks that are due, one bit for each queue of a link.
static KICKS: [AtomicU8; LINKS_MAX] = [const { AtomicU8::new(0) }; LINKS_MAX];

std::thread_local! {
    /// The link that this thread's call into the library is for.
    static CURRENT: Cell<Option<u32>> = const { Cell::new(None) };
}

fn links() -> MutexGuard<'static, [Option<Memory>; LINKS_MAX]> {
    // A panic cannot leave the table half written.
    LINKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the link was free, and now has this memory.
pub(crate) fn register(link_id: u32, memory: Memory) -> bool {
    match links().get_mut(link_id as usize) {
        Some(place @ None) => {
            *place = Some(memory);
            true
        }
        _ => false,
    }
}

pub(crate) fn unregister(link_id: u32) {
    if let Some(place) = links().get_mut(link_id as usize) {
        *place = None;
    }
    if let Some(kicks) = KICKS.get(link_id as usize) {
        kicks.store(0, Ordering::Relaxed);
    }
}

/// Calls the library on behalf of a link.
pub(crate) fn enter<T>(link_id: u32, call: impl FnOnce() -> T) -> T {
    let before = CURRENT.replace(Some(link_id));
    let result = call();
    CURRENT.set(before);
    result
}

/// The kick that is due for a link, if any.
pub(crate) fn take_kick(link_id: u32) -> Option<u8> {
    let kicks = KICKS.get(link_id as usize)?;
    let due = kicks.load(Ordering::Acquire);
    let queue = [1, 0].into_iter().find(|queue| due & 1 << queue != 0)?;
    kicks.fetch_and(!(1 << queue), Ordering::AcqRel);
    Some(queue)
}

fn current() -> Option<Memory> {
    links().get(CURRENT.get()? as usize).copied().flatten()
}

/// Nothing to prepare.
#[unsafe(no_mangle)]
extern "C" fn platform_init() -> i32 {
    0
}

/// Nothing to undo.
#[unsafe(no_mangle)]
extern "C" fn platform_deinit() -> i32 {
    0
}

/// Takes the interrupt of a queue into use.
///
/// # Safety
/// `isr_data` is the library's own, which gave it.
#[unsafe(no_mangle)]
unsafe extern "C" fn platform_init_interrupt(vector_id: u32, isr_data: *mut c_void) -> i32 {
    // SAFETY: number and pointer are passed on as the library gave them, as every port does.
    unsafe { sys::env_register_isr(vector_id, isr_data) };
    0
}

/// Takes the interrupt of a queue out of use.
#[unsafe(no_mangle)]
extern "C" fn platform_deinit_interrupt(vector_id: u32) -> i32 {
    // SAFETY: as in `platform_init_interrupt`.
    unsafe { sys::env_unregister_isr(vector_id) };
    0
}

/// Interrupts are calls by whoever owns the instance, so none can come in between.
#[unsafe(no_mangle)]
extern "C" fn platform_interrupt_enable(vector_id: u32) -> i32 {
    vector_id.cast_signed()
}

/// As for `platform_interrupt_enable`.
#[unsafe(no_mangle)]
extern "C" fn platform_interrupt_disable(vector_id: u32) -> i32 {
    vector_id.cast_signed()
}

/// Never: see `platform_interrupt_enable`.
#[unsafe(no_mangle)]
extern "C" fn platform_in_isr() -> i32 {
    0
}

/// Notes a kick.
#[unsafe(no_mangle)]
extern "C" fn platform_notify(vector_id: u32) {
    if let Some(kicks) = KICKS.get((vector_id >> 1) as usize) {
        kicks.fetch_or(1 << (vector_id & 1), Ordering::AcqRel);
    }
}

/// Sleeps.
#[unsafe(no_mangle)]
extern "C" fn platform_time_delay(num_msec: u32) {
    std::thread::sleep(Duration::from_millis(num_msec.into()));
}

/// The memory is mapped by whoever created the instance.
#[unsafe(no_mangle)]
extern "C" fn platform_map_mem_region(_vrt_addr: u32, _phy_addr: u32, _size: u32, _flags: u32) {}

/// Processes share coherent memory.
#[unsafe(no_mangle)]
extern "C" fn platform_cache_all_flush_invalidate() {}

/// As for `platform_cache_all_flush_invalidate`.
#[unsafe(no_mangle)]
extern "C" fn platform_cache_disable() {}

/// As for `platform_cache_all_flush_invalidate`.
#[unsafe(no_mangle)]
extern "C" fn platform_cache_invalidate(_data: *mut c_void, _len: u32) {}

/// As for `platform_cache_all_flush_invalidate`.
#[unsafe(no_mangle)]
extern "C" fn platform_cache_flush(_data: *mut c_void, _len: u32) {}

/// The other core's address of a place in the current link's memory; 0 for any other place.
#[unsafe(no_mangle)]
extern "C" fn platform_vatopa(addr: *mut c_void) -> usize {
    current().map_or(0, |memory| {
        let offset = addr.addr().wrapping_sub(memory.base.addr());
        if offset < memory.len { memory.address.wrapping_add(offset) } else { 0 }
    })
}

/// The place of the other core's address in the current link's memory; null for any other address, so that a hostile peer
/// cannot name this process's own memory.
#[unsafe(no_mangle)]
extern "C" fn platform_patova(addr: usize) -> *mut c_void {
    current().map_or(ptr::null_mut(), |memory| {
        let offset = addr.wrapping_sub(memory.address);
        // The library takes a whole buffer at that place.
        let fits = offset.checked_add(memory.geometry.buffer_bytes()).is_some_and(|end| end <= memory.len);
        if fits { memory.base.wrapping_add(offset).cast() } else { ptr::null_mut() }
    })
}

/// `rpmsg_platform_shmem_config_t`.
#[repr(C)]
struct ShmemConfig {
    buffer_payload_size: u32,
    buffer_count: u16,
    vring_size: u32,
    vring_align: u32,
}

/// Counts and sizes of a link.
///
/// # Safety
/// `config` is null or points to a writable configuration.
#[unsafe(no_mangle)]
unsafe extern "C" fn platform_get_custom_shmem_config(link_id: u32, config: *mut ShmemConfig) -> i32 {
    let Some(memory) = links().get(link_id as usize).copied().flatten().filter(|_| !config.is_null()) else {
        return -1;
    };
    let (geometry, vring) = (memory.geometry, memory.geometry.vring());
    let numbers =
        u32::try_from(geometry.buffer_bytes() - HEADER_BYTES).ok().zip(geometry.vring_bytes().try_into().ok());
    let Some((buffer_payload_size, vring_size)) = numbers else { return -1 };
    let found =
        ShmemConfig { buffer_payload_size, buffer_count: vring.entries(), vring_size, vring_align: vring.align() };
    // SAFETY: the caller's; it is not null.
    unsafe { config.write(found) };
    0
}
