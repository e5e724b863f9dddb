//! `rpmsg_ns.h`: announcements.

use core::ffi::{CStr, c_char, c_void};
use core::ptr;

use coracle_rpmsg::{NAME_SERVICE_ADDRESS, NAME_SERVICE_BYTES};

use crate::instance::{self, Endpoint, Instance, Receiver};
use crate::{RL_ERR_PARAM, api};

/// Bytes of a name in an announcement, its NUL included.
const NAME_BYTES: usize = 32;

/// `rpmsg_ns_new_ept_cb`: the announced address, its name, the flags (0 created, 1 destroyed), and the pointer given at
/// binding. The name is valid during the call.
pub type NameServiceCallback =
    Option<unsafe extern "C" fn(new_ept: u32, new_ept_name: *const c_char, flags: u32, user_data: *mut c_void)>;

/// `struct rpmsg_ns_context`, for the application to read.
#[repr(C)]
#[derive(Debug)]
pub struct NameServiceContext {
    ept: *mut Endpoint,
    cb_ctxt: *mut c_void,
}

impl NameServiceContext {
    pub(crate) const NONE: Self = Self { ept: ptr::null_mut(), cb_ctxt: ptr::null_mut() };
}

/// `rpmsg_ns_handle`.
pub type NameServiceHandle = *mut NameServiceContext;

/// Has `app_cb` called for every announcement of the other side. Null when that is null, somebody is bound already, or
/// no place for an endpoint is left.
///
/// # Safety
/// `app_cb` may be called with `user_data` from the interrupt until it is unbound.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_ns_bind(
    rpmsg_lite_dev: *mut Instance,
    app_cb: NameServiceCallback,
    user_data: *mut c_void,
) -> NameServiceHandle {
    let Some(instance) = instance::find(rpmsg_lite_dev).filter(|_| app_cb.is_some()) else { return ptr::null_mut() };
    match instance.create_endpoint(NAME_SERVICE_ADDRESS, Receiver::Channels(app_cb, user_data)) {
        Some(ept) => {
            let handle = instance.name_service.get();
            // SAFETY: there is one name-service endpoint at most, and it was just created: nobody uses the record yet.
            unsafe { handle.write(NameServiceContext { ept, cb_ctxt: ptr::null_mut() }) };
            handle
        }
        None => ptr::null_mut(),
    }
}

/// Ends what [`rpmsg_ns_bind`] began.
///
/// # Safety
/// No other call with this handle is under way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_ns_unbind(rpmsg_lite_dev: *mut Instance, handle: NameServiceHandle) -> i32 {
    match instance::find(rpmsg_lite_dev) {
        Some(instance) if ptr::eq(handle, instance.name_service.get()) => {
            // SAFETY: the handle is this instance's record, just checked; it is only written in `rpmsg_ns_bind`.
            let ept = unsafe { (*handle).ept };
            instance.destroy_endpoint(ept)
        }
        _ => RL_ERR_PARAM,
    }
}

/// Tells the other side that `new_ept` serves `ept_name` (`flags` 0), or no longer (1). Waits for a buffer as long as it
/// takes. Of a name with more than 31 bytes the first 31 are sent.
///
/// # Safety
/// `ept_name` is null or points to a string that ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_ns_announce(
    rpmsg_lite_dev: *mut Instance,
    new_ept: *mut Endpoint,
    ept_name: *const c_char,
    flags: u32,
) -> i32 {
    let Some(instance) = instance::find(rpmsg_lite_dev).filter(|_| !ept_name.is_null()) else { return RL_ERR_PARAM };
    let Some(at) = instance.place_of(new_ept) else { return RL_ERR_PARAM };
    let Some(Some(address)) = instance.with(|state| state.address(at)) else { return RL_ERR_PARAM };
    // SAFETY: the caller's; it is not null.
    let name = unsafe { CStr::from_ptr(ept_name) }.to_bytes();
    let mut message = [0; NAME_SERVICE_BYTES];
    let fields = name.iter().take(NAME_BYTES - 1).copied().chain(core::iter::repeat(0)).take(NAME_BYTES);
    let bytes = fields.chain(address.to_le_bytes()).chain(flags.to_le_bytes());
    message.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
    api::send(instance, at, NAME_SERVICE_ADDRESS, &message, usize::MAX)
}

/// Calls the application with an announcement.
pub(crate) fn deliver(callback: NameServiceCallback, private: *mut c_void, message: &[u8; NAME_SERVICE_BYTES]) {
    let (name, numbers) = message.split_at(NAME_BYTES);
    let mut name: [u8; NAME_BYTES] = name.try_into().unwrap_or([0; NAME_BYTES]);
    if let Some(last) = name.last_mut() {
        *last = 0;
    }
    let mut numbers = numbers.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let address = numbers as u32;
    numbers >>= 32;
    if let Some(callback) = callback {
        // SAFETY: the application gave callback and pointer for this and keeps both valid until it unbinds. The name is
        // ours and ends with a NUL.
        unsafe { callback(address, name.as_ptr().cast(), numbers as u32, private) };
    }
}
