//! Asking for the A core.

use crate::{Errno, abi, count};

/// Asks for the A core, for a reason that the manifest names. `payload` travels with the wake to the containers that
/// the reason starts. The manifest's wake policy decides whether and when the A core really wakes.
///
/// # Errors
/// [`Errno::Denied`] when the manifest does not grant the reason, [`Errno::TooLarge`] above [`crate::WAKE_BYTES_MAX`],
/// [`Errno::Again`] when it cannot be taken now.
pub fn request(reason: &str, payload: &[u8]) -> Result<(), Errno> {
    count(abi::wake_request(reason, payload)).map(drop)
}
