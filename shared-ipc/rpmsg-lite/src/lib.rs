//! NXP's RPMsg-Lite, linked as the static library that the user has from their SDK.
//!
//! Off by default: without the feature `link` there is nothing here. With it, `sys` declares the library's C interface as
//! the user's `rpmsg_config.h` shapes it, and `Instance` is a safe side of a link that implements
//! `coracle_rpmsg`'s traits `Rpmsg` and `ZeroCopy`, so that everything above it runs on the
//! library as on Coracle's own stack. With the feature `user-space` the platform layer for a Linux process comes along;
//! without it the SDK's is linked.
//!
//! - `RPMSG_LITE_LIB_DIR`: the folder with `librpmsg_lite.a` and the `rpmsg_config.h` that it was built with.
//! - `RPMSG_LITE_CONFIG`: the configuration, if it is elsewhere.
//!
//! The configuration changes the interface, so the build compares the library's symbols with it and refuses a mismatch by
//! name; what symbols do not show (count and size of the buffers) `Instance` compares with the rings. Nothing of
//! RPMsg-Lite is built here.
//!
//! The library trusts the other side more than Coracle's stack does: it uses descriptor ids, addresses and lengths as it
//! finds them in shared memory. The platform layer for a Linux process gives it no address outside the shared memory, and
//! `Instance` checks every message it is handed, but a hostile peer can still stop the library.
#![no_std]
#![cfg_attr(
    feature = "link",
    expect(unsafe_code, reason = "the library's C interface; each block says what it relies on")
)]

#[cfg(feature = "user-space")]
extern crate std;

#[cfg(feature = "link")]
mod error;
#[cfg(all(feature = "link", rl_zero_copy, not(rl_static_api), not(rl_environment_context)))]
mod instance;
#[cfg(feature = "link")]
pub mod sys;
#[cfg(feature = "user-space")]
mod user_space;

#[cfg(feature = "link")]
pub use error::{InitError, LibraryError};
#[cfg(all(feature = "link", rl_zero_copy, not(rl_static_api), not(rl_environment_context)))]
pub use instance::{Dropped, Instance, RxBuffer, Storage, TxBuffer, check_geometry};

/// What the user's `rpmsg_config.h` says.
#[cfg(feature = "link")]
pub mod config {
    include!(concat!(env!("OUT_DIR"), "/config.rs"));
}
