//! Messages to other containers.

use crate::{Errno, abi, count};

/// Publishes `payload` on `topic`. Delivered after the event being handled.
///
/// # Errors
/// [`Errno::Denied`] when the manifest does not grant the topic, [`Errno::TooLarge`] above
/// [`crate::MESSAGE_BYTES_MAX`], [`Errno::Again`] when this event has already caused as many effects as it may.
pub fn publish(topic: &str, payload: &[u8]) -> Result<(), Errno> {
    count(abi::msg_publish(topic, payload)).map(drop)
}
