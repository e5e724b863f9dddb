//! Coracle's RPMsg stack under RPMsg-Lite's C interface: a library that C firmware links in place of NXP's.
//!
//! The functions of `rpmsg_lite.h`, `rpmsg_queue.h` and `rpmsg_ns.h` (version 5) with the same names, arguments and result
//! codes, both roles, and the part of the bare-metal environment layer that ports of the platform layer call
//! (`env_isr`, `env_register_isr`, the mutexes). The platform layer (`platform_*`) stays the user's own. What is written to
//! the shared memory comes from [`coracle_rpmsg`], so everything that the other side writes is checked before it is used.
//!
//! Built for one configuration, which `include/rpmsg_config.h` states: dynamic API, no environment context, zero copy,
//! notification of consumed buffers, 256 buffers of 512 bytes in each direction, rings of 0x8000 bytes aligned to 0x1000
//! (NXP's i.MX8M ports for Linux). With the feature `custom-shmem` (`include/custom-shmem/rpmsg_config.h`) counts and sizes
//! come from the platform layer.
//!
//! Differences to the C library:
//! - Nothing is allocated. How many instances, endpoints and queues there are is fixed, see [`limits`].
//! - Pointers to instances, endpoints, queues and buffers are looked up, not trusted: a stale or foreign one is
//!   `RL_ERR_PARAM`. (Pointers for results and callbacks must be right, as in any C library.)
//! - A remote that was initialised anew while the master lives goes on where the rings stand. One whose master was
//!   restarted notices it at the master's kick, and forgets the buffers that it held.
//! - A name in an announcement always ends with a NUL and is a copy, valid during the callback.
//!
//! Like NXP's bare-metal environment it must be called from one thread, and from the interrupt through `env_isr`: with an
//! RTOS, calls of several tasks need the application's own mutex. It does no cache maintenance (`RL_USE_DCACHE` 0): the
//! shared memory must not be cached. Every call switches the link's interrupts off and on through the platform layer, whose
//! functions in NXP's ports end with interrupts enabled: do not call with interrupts disabled.
#![no_std]
#![expect(unsafe_code, reason = "the C interface: exported symbols, pointers from C, the platform layer's functions")]

mod api;
mod end;
mod env;
mod instance;
pub mod limits;
mod ns;
mod platform;
mod queue;

pub use api::{
    rpmsg_lite_alloc_tx_buffer, rpmsg_lite_create_ept, rpmsg_lite_deinit, rpmsg_lite_destroy_ept,
    rpmsg_lite_is_link_up, rpmsg_lite_master_init, rpmsg_lite_release_rx_buffer, rpmsg_lite_remote_init,
    rpmsg_lite_send, rpmsg_lite_send_nocopy, rpmsg_lite_wait_for_link_up,
};
pub use env::{
    env_create_mutex, env_delete_mutex, env_isr, env_lock_mutex, env_register_isr, env_unlock_mutex, env_unregister_isr,
};
pub use instance::{Endpoint, Instance, ReceiveCallback};
pub use ns::{NameServiceCallback, NameServiceHandle, rpmsg_ns_announce, rpmsg_ns_bind, rpmsg_ns_unbind};
pub use queue::{
    Queue, rpmsg_queue_create, rpmsg_queue_destroy, rpmsg_queue_get_current_size, rpmsg_queue_nocopy_free,
    rpmsg_queue_recv, rpmsg_queue_recv_nocopy, rpmsg_queue_rx_cb,
};

/// Result: done.
pub const RL_SUCCESS: i32 = 0;
/// Result: no buffer came free in time.
pub const RL_ERR_NO_MEM: i32 = -5001;
/// Result: more payload than a buffer holds, or a receive buffer too short for the message.
pub const RL_ERR_BUFF_SIZE: i32 = -5002;
/// Result: a null pointer, or one that is no instance, endpoint, queue or buffer of this library.
pub const RL_ERR_PARAM: i32 = -5003;
/// Result: no message came in time.
pub const RL_ERR_NO_BUFF: i32 = -5006;
/// Result: the link is not up.
pub const RL_NOT_READY: i32 = -5007;
/// For "any address" in `rpmsg_lite_create_ept`.
pub const RL_ADDR_ANY: u32 = u32::MAX;
/// A callback's answer: the library may give the buffer back.
pub const RL_RELEASE: i32 = 0;
/// A callback's answer: the buffer is kept until `rpmsg_lite_release_rx_buffer`.
pub const RL_HOLD: i32 = 1;

#[cfg(all(feature = "panic-handler", not(test)))]
#[panic_handler]
fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
    // As RL_ASSERT does in the C library. Nothing here is meant to get so far.
    loop {
        core::hint::spin_loop();
    }
}
