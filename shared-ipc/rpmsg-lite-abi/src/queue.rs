//! `rpmsg_queue.h`: messages that wait, in their buffers, until the application asks for them.

use core::ffi::{c_char, c_void};
use core::ptr;

use crate::instance::{self, Held, Instance, State};
use crate::{
    RL_ERR_BUFF_SIZE, RL_ERR_NO_BUFF, RL_ERR_PARAM, RL_HOLD, RL_RELEASE, RL_SUCCESS, api, rpmsg_lite_release_rx_buffer,
};

/// What a `rpmsg_queue_handle` points to: only its address counts. The messages are those of the instance's held buffers
/// that bear the queue's number.
#[derive(Debug)]
pub struct Queue {
    // So that every queue has an address of its own.
    _place: u8,
}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self { _place: 0 }
    }
}

/// The callback of endpoints that put their messages into a queue, which is the pointer given with the endpoint.
///
/// # Safety
/// As a callback of this library only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_queue_rx_cb(
    payload: *mut c_void,
    _payload_len: u32,
    _src: u32,
    private: *mut c_void,
) -> i32 {
    let put = |(instance, queue): (&Instance, u8)| {
        instance.with(|state| {
            if !state.has_queue(queue) {
                return None;
            }
            let place: *const u8 = payload.cast_const().cast();
            let at = state.held.iter().rposition(|held| ptr::eq(state.end.received(&held.buffer), place))?;
            state.held.get_mut(at).map(|held| held.queue = Some(queue))
        })?
    };
    if instance::of_queue(private).and_then(put).is_some() { RL_HOLD } else { RL_RELEASE }
}

/// Creates a queue, null when no place is left.
///
/// # Safety
/// None: the pointer is only compared.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_queue_create(rpmsg_lite_dev: *mut Instance) -> *mut c_void {
    let Some(instance) = instance::find(rpmsg_lite_dev) else { return ptr::null_mut() };
    let taken = instance.with(|state| {
        let at = state.queues.iter().position(|used| !used)?;
        state.queues.get_mut(at).map(|used| {
            *used = true;
            at
        })
    });
    match taken.flatten().and_then(|at| instance.queues.get(at)) {
        Some(queue) => ptr::from_ref(queue).cast_mut().cast(),
        None => ptr::null_mut(),
    }
}

/// Destroys a queue. What waits in it goes back to the other side.
///
/// # Safety
/// No endpoint uses the queue any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_queue_destroy(rpmsg_lite_dev: *mut Instance, q: *mut c_void) -> i32 {
    let Some((instance, queue)) = of(rpmsg_lite_dev, q) else { return RL_ERR_PARAM };
    let destroyed = instance.with(|state| {
        let used = state.queues.get_mut(usize::from(queue)).filter(|used| **used)?;
        *used = false;
        while let Some(payload) = state.first_in(queue).map(|held| state.end.received(&held.buffer)) {
            state.release(payload);
        }
        Some(())
    });
    if destroyed.flatten().is_some() { RL_SUCCESS } else { RL_ERR_PARAM }
}

/// Takes the next message, with up to `timeout` milliseconds of waiting, and copies it to `data`.
///
/// # Safety
/// `data` is null or points to `maxlen` writable bytes; `src` and `len` are null or point to a writable `u32`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_queue_recv(
    rpmsg_lite_dev: *mut Instance,
    q: *mut c_void,
    src: *mut u32,
    data: *mut c_char,
    maxlen: u32,
    len: *mut u32,
    timeout: u32,
) -> i32 {
    let Some((instance, queue)) = of(rpmsg_lite_dev, q).filter(|_| !data.is_null()) else { return RL_ERR_PARAM };
    let Some(message) = next(instance, queue, timeout) else { return RL_ERR_NO_BUFF };
    // SAFETY: the caller's.
    unsafe { message.tell(src, len) };
    let copied = if message.len <= maxlen {
        // SAFETY: `data` has `maxlen` writable bytes, of which no more than that are made a slice; the payload is in a
        // buffer that is held, and the bytes are copied as the stack copies them.
        let to = unsafe { core::slice::from_raw_parts_mut(data.cast::<u8>(), message.len as usize) };
        let read = instance.with(|state| {
            let held = state.held.iter().find(|held| ptr::eq(state.end.received(&held.buffer), message.payload))?;
            state.end.read(&held.buffer, to).then_some(())
        });
        if read.flatten().is_some() { RL_SUCCESS } else { RL_ERR_PARAM }
    } else {
        RL_ERR_BUFF_SIZE
    };
    // SAFETY: nobody else has the payload's address.
    let released = unsafe { rpmsg_lite_release_rx_buffer(rpmsg_lite_dev, message.payload.cast()) };
    if released == RL_SUCCESS { copied } else { RL_ERR_PARAM }
}

/// Takes the next message, with up to `timeout` milliseconds of waiting, and leaves it in its buffer.
///
/// # Safety
/// `data`, `src` and `len` are null or point to a writable place of their type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_queue_recv_nocopy(
    rpmsg_lite_dev: *mut Instance,
    q: *mut c_void,
    src: *mut u32,
    data: *mut *mut c_char,
    len: *mut u32,
    timeout: u32,
) -> i32 {
    let Some((instance, queue)) = of(rpmsg_lite_dev, q).filter(|_| !data.is_null()) else { return RL_ERR_PARAM };
    let Some(message) = next(instance, queue, timeout) else { return RL_ERR_NO_BUFF };
    // SAFETY: the caller's; `data` is not null.
    unsafe {
        message.tell(src, len);
        data.write(message.payload.cast());
    }
    RL_SUCCESS
}

/// Gives the buffer of [`rpmsg_queue_recv_nocopy`] back.
///
/// # Safety
/// Nobody uses the payload any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_queue_nocopy_free(rpmsg_lite_dev: *mut Instance, data: *mut c_void) -> i32 {
    // SAFETY: the caller's.
    unsafe { rpmsg_lite_release_rx_buffer(rpmsg_lite_dev, data) }
}

/// How many messages wait in a queue.
///
/// # Safety
/// None: the pointer is only compared.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rpmsg_queue_get_current_size(q: *mut c_void) -> i32 {
    let Some((instance, queue)) = instance::of_queue(q) else { return RL_ERR_PARAM };
    let count = instance.with(|state| {
        let waiting = state.held.iter().filter(|held| held.queue == Some(queue)).count();
        state.has_queue(queue).then_some(i32::try_from(waiting).unwrap_or(i32::MAX))
    });
    count.flatten().unwrap_or(RL_ERR_PARAM)
}

fn of(rpmsg_lite_dev: *mut Instance, q: *mut c_void) -> Option<(&'static Instance, u8)> {
    let instance = instance::find(rpmsg_lite_dev)?;
    instance::of_queue(q).filter(|(owner, _)| ptr::eq(*owner, instance))
}

/// A message that is no longer in its queue, but still held.
struct Message {
    src: u32,
    len: u32,
    payload: *mut u8,
}

impl Message {
    /// # Safety
    /// Each is null or points to a writable `u32`.
    unsafe fn tell(&self, src: *mut u32, len: *mut u32) {
        if !src.is_null() {
            // SAFETY: the caller's.
            unsafe { src.write(self.src) };
        }
        if !len.is_null() {
            // SAFETY: the caller's.
            unsafe { len.write(self.len) };
        }
    }
}

fn next(instance: &Instance, queue: u8, timeout: u32) -> Option<Message> {
    let attempt = |state: &mut State| {
        let at = state.held.iter().position(|held| held.queue == Some(queue))?;
        let held = state.held.get_mut(at)?;
        held.queue = None;
        let (src, len) = (held.buffer.src(), u32::try_from(held.buffer.payload_bytes()).ok()?);
        let payload = state.end.received(&state.held.get(at)?.buffer);
        Some(Message { src, len, payload })
    };
    api::wait(usize::try_from(timeout).unwrap_or(usize::MAX), || instance.with(attempt)?)
}

impl State {
    fn has_queue(&self, queue: u8) -> bool {
        self.queues.get(usize::from(queue)) == Some(&true)
    }

    fn first_in(&self, queue: u8) -> Option<&Held> {
        self.held.iter().find(|held| held.queue == Some(queue))
    }
}
