//! `rpmsg_lite.h`.

use core::ffi::{c_char, c_void};
use core::ptr;

use crate::end::{End, Rings};
use crate::instance::{self, Endpoint, Instance, ReceiveCallback, Receiver, State};
use crate::limits::INTERVAL_MS;
use crate::{RL_ERR_BUFF_SIZE, RL_ERR_NO_MEM, RL_ERR_PARAM, RL_NOT_READY, RL_SUCCESS, platform};

/// Base addresses must be aligned to this, in bytes: the first descriptor begins with a 64-bit address.
const BASE_ALIGN: usize = 8;

/// Creates the master's side of a link, and kicks the remote. Null when the link id is in use or too large, no place for an
/// instance is left, or the memory is too small or not aligned to 8 bytes.
///
/// # Safety
/// `shmem_addr` points to `shmem_length` bytes of memory that both cores share and the platform layer can translate, for
/// as long as the instance exists; nothing else in this program uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_lite_master_init(
    shmem_addr: *mut c_void,
    shmem_length: usize,
    link_id: u32,
    _init_flags: u32,
) -> *mut Instance {
    let base: *mut u8 = shmem_addr.cast();
    if base.is_null() || !base.addr().is_multiple_of(BASE_ALIGN) {
        return ptr::null_mut();
    }
    let created = instance::create(link_id, true, || {
        let geometry = platform::geometry(link_id).filter(|geometry| geometry.bytes() <= shmem_length)?;
        // SAFETY: `geometry.bytes()` is at most `shmem_length`; the rest is the caller's.
        unsafe { End::master(base, geometry) }.ok()
    });
    if let Some(instance) = created {
        // Rings what is due: the remote takes the first kick for "the rings are set up".
        instance.with(|_| ());
    }
    pointer_to(created)
}

/// Creates the remote's side of a link, which is up after the master's first kick. Null as for the master.
///
/// # Safety
/// As for [`rpmsg_lite_master_init`], for the two rings at `shmem_addr` and the buffers that the master names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_lite_remote_init(
    shmem_addr: *mut c_void,
    link_id: u32,
    _init_flags: u32,
) -> *mut Instance {
    let base: *mut u8 = shmem_addr.cast();
    if base.is_null() || !base.addr().is_multiple_of(BASE_ALIGN) {
        return ptr::null_mut();
    }
    pointer_to(instance::create(link_id, false, || {
        // SAFETY: the caller's.
        platform::geometry(link_id).map(|geometry| End::Awaiting(unsafe { Rings::new(base, geometry) }))
    }))
}

/// Ends an instance, with its endpoints and queues.
///
/// # Safety
/// No other call with this instance is under way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_lite_deinit(rpmsg_lite_dev: *mut Instance) -> i32 {
    let Some(instance) = instance::find(rpmsg_lite_dev) else { return RL_ERR_PARAM };
    instance.destroy();
    RL_SUCCESS
}

/// Creates an endpoint at `addr`, or at the lowest free address from 1. Null when the address is in use or no place is
/// left.
///
/// # Safety
/// `rx_cb` may be called with `rx_cb_data` from the interrupt as long as the endpoint exists.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_lite_create_ept(
    rpmsg_lite_dev: *mut Instance,
    addr: u32,
    rx_cb: ReceiveCallback,
    rx_cb_data: *mut c_void,
) -> *mut Endpoint {
    instance::find(rpmsg_lite_dev)
        .and_then(|instance| instance.create_endpoint(addr, Receiver::Messages(rx_cb, rx_cb_data)))
        .unwrap_or(ptr::null_mut())
}

/// Destroys an endpoint.
///
/// # Safety
/// None: pointers are only compared.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_lite_destroy_ept(rpmsg_lite_dev: *mut Instance, rl_ept: *mut Endpoint) -> i32 {
    instance::find(rpmsg_lite_dev).map_or(RL_ERR_PARAM, |instance| instance.destroy_endpoint(rl_ept))
}

/// Sends a copy of `size` bytes, waiting up to `timeout` milliseconds for a buffer: 0 not at all, all ones for ever.
///
/// # Safety
/// `data` points to `size` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_lite_send(
    rpmsg_lite_dev: *mut Instance,
    ept: *mut Endpoint,
    dst: u32,
    data: *mut c_char,
    size: u32,
    timeout: usize,
) -> i32 {
    let Some(instance) = instance::find(rpmsg_lite_dev) else { return RL_ERR_PARAM };
    let Some(at) = instance.place_of(ept) else { return RL_ERR_PARAM };
    if data.is_null() {
        return RL_ERR_PARAM;
    }
    // Before anything is made of the length: one that no buffer can hold is refused, whatever `data` is.
    let Some(len) = usize::try_from(size).ok().filter(|len| *len <= usize::from(u16::MAX)) else {
        return RL_ERR_BUFF_SIZE;
    };
    // SAFETY: the caller's; the copy into the shared memory ends before this function does.
    let payload = unsafe { core::slice::from_raw_parts(data.cast::<u8>(), len) };
    send(instance, at, dst, payload, timeout)
}

/// Sends from the endpoint at a place.
pub(crate) fn send(instance: &Instance, at: usize, dst: u32, payload: &[u8], timeout: usize) -> i32 {
    let attempt = |state: &mut State| {
        let Some(src) = state.address(at) else { return Some(RL_ERR_PARAM) };
        if payload.len() > state.end.payload_bytes_max() {
            return Some(RL_ERR_BUFF_SIZE);
        }
        if !state.up {
            return Some(RL_NOT_READY);
        }
        let buffer = state.alloc()?;
        if !state.end.write(&buffer, payload) {
            state.end.cancel(buffer);
            return Some(RL_ERR_BUFF_SIZE);
        }
        Some(state.send(buffer, src, dst, payload.len()))
    };
    wait(timeout, || instance.with(attempt).unwrap_or(Some(RL_ERR_PARAM))).unwrap_or(RL_ERR_NO_MEM)
}

/// Tries until there is a result or `timeout` milliseconds passed: 0 once, all ones (of 32 bits, too) for ever.
pub(crate) fn wait<T>(timeout: usize, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let mut waited = 0;
    loop {
        let result = attempt();
        let for_ever = timeout >= u32::MAX as usize;
        if result.is_some() || (waited >= timeout && !for_ever) {
            return result;
        }
        platform::delay_ms(INTERVAL_MS);
        waited = waited.saturating_add(INTERVAL_MS as usize);
    }
}

/// 1 when the link is up, else 0.
///
/// # Safety
/// None: the pointer is only compared.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_lite_is_link_up(rpmsg_lite_dev: *mut Instance) -> u32 {
    u32::from(instance::find(rpmsg_lite_dev).and_then(|instance| instance.with(|state| state.up)) == Some(true))
}

/// Waits up to `timeout` milliseconds until the link is up; 1 when it is, else 0.
///
/// # Safety
/// None: the pointer is only compared.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_lite_wait_for_link_up(rpmsg_lite_dev: *mut Instance, timeout: u32) -> u32 {
    let Some(instance) = instance::find(rpmsg_lite_dev) else { return 0 };
    let up = || instance.with(|state| state.up).unwrap_or(false).then_some(1);
    wait(usize::try_from(timeout).unwrap_or(usize::MAX), up).unwrap_or(0)
}

/// Gives a held buffer back, by its payload's address.
///
/// # Safety
/// Nobody uses the payload any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_lite_release_rx_buffer(rpmsg_lite_dev: *mut Instance, rxbuf: *mut c_void) -> i32 {
    let Some(instance) = instance::find(rpmsg_lite_dev) else { return RL_ERR_PARAM };
    if rxbuf.is_null() {
        return RL_ERR_PARAM;
    }
    let released = instance.with(|state| state.release(rxbuf.cast_const().cast()));
    if released == Some(true) { RL_SUCCESS } else { RL_ERR_PARAM }
}

/// A buffer to write a payload into, whose room goes to `size`. Null (and 0) when none came free within `timeout`
/// milliseconds or the application has too many already.
///
/// # Safety
/// `size` is null or points to a writable `u32`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_lite_alloc_tx_buffer(
    rpmsg_lite_dev: *mut Instance,
    size: *mut u32,
    timeout: usize,
) -> *mut c_void {
    let Some(instance) = instance::find(rpmsg_lite_dev).filter(|_| !size.is_null()) else { return ptr::null_mut() };
    let attempt =
        |state: &mut State| if state.up { state.alloc().map(|buffer| state.lend(buffer)) } else { Some(None) };
    let lent = wait(timeout, || instance.with(attempt).unwrap_or(Some(None))).flatten();
    let (place, room) = lent.unwrap_or((ptr::null_mut(), 0));
    // SAFETY: the caller's, and it is not null.
    unsafe { size.write(u32::try_from(room).unwrap_or(u32::MAX)) };
    place.cast()
}

/// Sends a buffer of `rpmsg_lite_alloc_tx_buffer`. Unless that succeeds the buffer stays the application's.
///
/// # Safety
/// Nobody writes to the buffer any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_lite_send_nocopy(
    rpmsg_lite_dev: *mut Instance,
    ept: *mut Endpoint,
    dst: u32,
    data: *mut c_void,
    size: u32,
) -> i32 {
    let Some(instance) = instance::find(rpmsg_lite_dev) else { return RL_ERR_PARAM };
    let Some(at) = instance.place_of(ept) else { return RL_ERR_PARAM };
    if data.is_null() {
        return RL_ERR_PARAM;
    }
    let len = usize::try_from(size).unwrap_or(usize::MAX);
    let sent = instance.with(|state| {
        let Some(src) = state.address(at) else { return RL_ERR_PARAM };
        if len > state.end.payload_bytes_max() {
            return RL_ERR_BUFF_SIZE;
        }
        if !state.up {
            return RL_NOT_READY;
        }
        match state.returned(data.cast_const().cast(), len) {
            Ok(buffer) => state.send(buffer, src, dst, len),
            Err(refused) => refused,
        }
    });
    sent.unwrap_or(RL_ERR_PARAM)
}

fn pointer_to(instance: Option<&'static Instance>) -> *mut Instance {
    instance.map_or(ptr::null_mut(), |instance| ptr::from_ref(instance).cast_mut())
}
