//! The C interface of RPMsg-Lite version 5: `rpmsg_lite.h`, `rpmsg_queue.h` and `rpmsg_ns.h` as the configuration shapes
//! them, and `env_isr`. The names are the headers', except those of the callback types.

use core::ffi::{c_char, c_void};

/// An instance. Its inside depends on the environment layer.
#[repr(C)]
#[derive(Debug)]
pub struct rpmsg_lite_instance {
    _opaque: [u8; 0],
}

/// An endpoint.
#[repr(C)]
#[derive(Debug)]
pub struct rpmsg_lite_endpoint {
    /// Its address.
    pub addr: u32,
    /// Its callback.
    pub rx_cb: ReceiveCallback,
    /// What the callback gets.
    pub rx_cb_data: *mut c_void,
    /// Reserved.
    pub rfu: *mut c_void,
}

/// Memory for an endpoint with the static API: the endpoint and its node in a list (three pointers).
#[cfg(rl_static_api)]
#[repr(C)]
#[derive(Debug)]
pub struct rpmsg_lite_ept_static_context {
    /// The endpoint.
    pub ept: rpmsg_lite_endpoint,
    /// The node.
    pub node: [*mut c_void; 3],
}

/// `rl_ept_rx_cb_t`: payload, its bytes, the sender's address, the pointer given with the endpoint. Answers [`RL_RELEASE`] or [`RL_HOLD`].
pub type ReceiveCallback = Option<unsafe extern "C" fn(*mut c_void, u32, u32, *mut c_void) -> i32>;

/// `rpmsg_ns_new_ept_cb`: the announced address, its name, the flags, the pointer given at binding.
pub type NameServiceCallback = Option<unsafe extern "C" fn(u32, *const c_char, u32, *mut c_void)>;

/// A binding to announcements.
#[repr(C)]
#[derive(Debug)]
pub struct rpmsg_ns_context {
    /// The name-service endpoint.
    pub ept: *mut rpmsg_lite_endpoint,
    /// The library's own.
    pub cb_ctxt: *mut c_void,
}

/// Result: done.
pub const RL_SUCCESS: i32 = 0;
/// A callback's answer: the library gives the buffer back.
pub const RL_RELEASE: i32 = 0;
/// A callback's answer: the buffer is kept until `rpmsg_lite_release_rx_buffer`.
pub const RL_HOLD: i32 = 1;
/// Do not wait.
pub const RL_DONT_BLOCK: usize = 0;
/// Wait for ever.
pub const RL_BLOCK: usize = usize::MAX;
/// Any address.
pub const RL_ADDR_ANY: u32 = u32::MAX;
/// No flags.
pub const RL_NO_FLAGS: u32 = 0;

// SAFETY: the signatures are those of the headers of version 5; the build script read the macros that change them from the
// user's configuration and found the symbols in the library.
#[cfg(not(any(rl_static_api, rl_environment_context)))]
unsafe extern "C" {
    /// Creates the master's side: base and length of the shared memory, link id, flags.
    pub fn rpmsg_lite_master_init(
        shmem_addr: *mut c_void,
        shmem_length: usize,
        link_id: u32,
        init_flags: u32,
    ) -> *mut rpmsg_lite_instance;
    /// Creates the remote's side: base of the shared memory, link id, flags.
    pub fn rpmsg_lite_remote_init(shmem_addr: *mut c_void, link_id: u32, init_flags: u32) -> *mut rpmsg_lite_instance;
}

// SAFETY: as above. With the static API the memory comes from the caller; it also decides when both macros are set.
#[cfg(rl_static_api)]
unsafe extern "C" {
    /// Creates the master's side: base and length of the shared memory, link id, flags, memory for the instance.
    pub fn rpmsg_lite_master_init(
        shmem_addr: *mut c_void,
        shmem_length: usize,
        link_id: u32,
        init_flags: u32,
        static_context: *mut rpmsg_lite_instance,
    ) -> *mut rpmsg_lite_instance;
    /// Creates the remote's side: base of the shared memory, link id, flags, memory for the instance.
    pub fn rpmsg_lite_remote_init(
        shmem_addr: *mut c_void,
        link_id: u32,
        init_flags: u32,
        static_context: *mut rpmsg_lite_instance,
    ) -> *mut rpmsg_lite_instance;
}

// SAFETY: as above. With an environment context its configuration comes last.
#[cfg(all(rl_environment_context, not(rl_static_api)))]
unsafe extern "C" {
    /// Creates the master's side: base and length of the shared memory, link id, flags, the environment's configuration.
    pub fn rpmsg_lite_master_init(
        shmem_addr: *mut c_void,
        shmem_length: usize,
        link_id: u32,
        init_flags: u32,
        env_cfg: *mut c_void,
    ) -> *mut rpmsg_lite_instance;
    /// Creates the remote's side: base of the shared memory, link id, flags, the environment's configuration.
    pub fn rpmsg_lite_remote_init(
        shmem_addr: *mut c_void,
        link_id: u32,
        init_flags: u32,
        env_cfg: *mut c_void,
    ) -> *mut rpmsg_lite_instance;
}

// SAFETY: as above.
#[cfg(not(rl_static_api))]
unsafe extern "C" {
    /// Creates an endpoint: instance, address, callback, what the callback gets.
    pub fn rpmsg_lite_create_ept(
        rpmsg_lite_dev: *mut rpmsg_lite_instance,
        addr: u32,
        rx_cb: ReceiveCallback,
        rx_cb_data: *mut c_void,
    ) -> *mut rpmsg_lite_endpoint;
    /// Has a callback called for announcements.
    pub fn rpmsg_ns_bind(
        rpmsg_lite_dev: *mut rpmsg_lite_instance,
        app_cb: NameServiceCallback,
        user_data: *mut c_void,
    ) -> *mut rpmsg_ns_context;
}

// SAFETY: as above.
#[cfg(all(rl_zero_copy, not(rl_static_api)))]
unsafe extern "C" {
    /// Creates a queue.
    pub fn rpmsg_queue_create(rpmsg_lite_dev: *mut rpmsg_lite_instance) -> *mut c_void;
}

// SAFETY: as above.
#[cfg(rl_static_api)]
unsafe extern "C" {
    /// Creates an endpoint: instance, address, callback, what the callback gets, memory for the endpoint.
    pub fn rpmsg_lite_create_ept(
        rpmsg_lite_dev: *mut rpmsg_lite_instance,
        addr: u32,
        rx_cb: ReceiveCallback,
        rx_cb_data: *mut c_void,
        ept_context: *mut rpmsg_lite_ept_static_context,
    ) -> *mut rpmsg_lite_endpoint;
    /// Has a callback called for announcements; the memory is a `rpmsg_ns_static_context`.
    pub fn rpmsg_ns_bind(
        rpmsg_lite_dev: *mut rpmsg_lite_instance,
        app_cb: NameServiceCallback,
        user_data: *mut c_void,
        ns_ept_ctxt: *mut c_void,
    ) -> *mut rpmsg_ns_context;
}

// SAFETY: as above. No macro changes these.
unsafe extern "C" {
    /// Ends an instance.
    pub fn rpmsg_lite_deinit(rpmsg_lite_dev: *mut rpmsg_lite_instance) -> i32;
    /// Destroys an endpoint.
    pub fn rpmsg_lite_destroy_ept(rpmsg_lite_dev: *mut rpmsg_lite_instance, rl_ept: *mut rpmsg_lite_endpoint) -> i32;
    /// Sends a copy: instance, endpoint, destination, payload, its bytes, milliseconds to wait for a buffer.
    pub fn rpmsg_lite_send(
        rpmsg_lite_dev: *mut rpmsg_lite_instance,
        ept: *mut rpmsg_lite_endpoint,
        dst: u32,
        data: *mut c_char,
        size: u32,
        timeout: usize,
    ) -> i32;
    /// 1 when the link is up, else 0.
    pub fn rpmsg_lite_is_link_up(rpmsg_lite_dev: *mut rpmsg_lite_instance) -> u32;
    /// Waits for the link, up to `timeout` milliseconds; 1 when it is up, else 0.
    pub fn rpmsg_lite_wait_for_link_up(rpmsg_lite_dev: *mut rpmsg_lite_instance, timeout: u32) -> u32;
    /// Ends a binding to announcements.
    pub fn rpmsg_ns_unbind(rpmsg_lite_dev: *mut rpmsg_lite_instance, handle: *mut rpmsg_ns_context) -> i32;
    /// Announces an endpoint: its name, and 0 for created or 1 for destroyed.
    pub fn rpmsg_ns_announce(
        rpmsg_lite_dev: *mut rpmsg_lite_instance,
        new_ept: *mut rpmsg_lite_endpoint,
        ept_name: *const c_char,
        flags: u32,
    ) -> i32;
}

// SAFETY: as above.
#[cfg(rl_zero_copy)]
unsafe extern "C" {
    /// Gives a held buffer back.
    pub fn rpmsg_lite_release_rx_buffer(rpmsg_lite_dev: *mut rpmsg_lite_instance, rxbuf: *mut c_void) -> i32;
    /// A buffer to write into; its room goes to `size`.
    pub fn rpmsg_lite_alloc_tx_buffer(
        rpmsg_lite_dev: *mut rpmsg_lite_instance,
        size: *mut u32,
        timeout: usize,
    ) -> *mut c_void;
    /// Sends such a buffer.
    pub fn rpmsg_lite_send_nocopy(
        rpmsg_lite_dev: *mut rpmsg_lite_instance,
        ept: *mut rpmsg_lite_endpoint,
        dst: u32,
        data: *mut c_void,
        size: u32,
    ) -> i32;
    /// The callback of endpoints whose messages go into the queue given with them.
    pub fn rpmsg_queue_rx_cb(payload: *mut c_void, payload_len: u32, src: u32, private: *mut c_void) -> i32;
    /// Destroys a queue.
    pub fn rpmsg_queue_destroy(rpmsg_lite_dev: *mut rpmsg_lite_instance, q: *mut c_void) -> i32;
    /// Takes a message out of a queue, copying it: instance, queue, sender's address, room and its bytes, the message's
    /// bytes, milliseconds to wait.
    pub fn rpmsg_queue_recv(
        rpmsg_lite_dev: *mut rpmsg_lite_instance,
        q: *mut c_void,
        src: *mut u32,
        data: *mut c_char,
        maxlen: u32,
        len: *mut u32,
        timeout: u32,
    ) -> i32;
    /// Takes a message out of a queue and leaves it in its buffer.
    pub fn rpmsg_queue_recv_nocopy(
        rpmsg_lite_dev: *mut rpmsg_lite_instance,
        q: *mut c_void,
        src: *mut u32,
        data: *mut *mut c_char,
        len: *mut u32,
        timeout: u32,
    ) -> i32;
    /// Gives the buffer of `rpmsg_queue_recv_nocopy` back.
    pub fn rpmsg_queue_nocopy_free(rpmsg_lite_dev: *mut rpmsg_lite_instance, data: *mut c_void) -> i32;
    /// How many messages wait in a queue.
    pub fn rpmsg_queue_get_current_size(q: *mut c_void) -> i32;
}

// SAFETY: the signatures of `rpmsg_env.h` without an environment context.
#[cfg(not(rl_environment_context))]
unsafe extern "C" {
    /// The interrupt of a queue: the platform layer calls it with the number that the other core sent.
    pub fn env_isr(vector: u32);
    /// The platform layer took the interrupt of a queue into use.
    pub fn env_register_isr(vector_id: u32, data: *mut c_void);
    /// The platform layer no longer uses the interrupt of a queue.
    pub fn env_unregister_isr(vector_id: u32);
}
