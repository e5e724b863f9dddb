//! Messages to and from other containers, on either core.

use coracle_guest_abi::EventRecord;

use crate::event::Record;
use crate::{Errno, abi, count, time};

/// Publishes `payload` on `topic`. Delivered after the event being handled.
///
/// # Errors
/// [`Errno::Denied`] when the manifest does not grant the topic, [`Errno::TooLarge`] above
/// [`crate::MESSAGE_BYTES_MAX`], [`Errno::Again`] when this event has already caused as many effects as it may.
pub fn publish(topic: &str, payload: &[u8]) -> Result<(), Errno> {
    count(abi::msg_publish(topic, payload)).map(drop)
}

/// Publishes `payload` and keeps it as the topic's value: who subscribes later gets it at once. An empty payload
/// removes the value.
///
/// # Errors
/// As [`publish`].
pub fn publish_retained(topic: &str, payload: &[u8]) -> Result<(), Errno> {
    count(abi::msg_publish_retained(topic, payload)).map(drop)
}

/// The index that messages on `topic` have as events. Undoes [`unsubscribe`], and delivers the topic's retained value
/// again; without it a container gets every topic of its manifest too.
///
/// # Errors
/// [`Errno::Denied`] when the manifest does not grant the topic.
pub fn subscribe(topic: &str) -> Result<u8, Errno> {
    count(abi::msg_subscribe(topic)).and_then(|index| u8::try_from(index).map_err(|_| Errno::Invalid))
}

/// Messages on `topic` are no events any more.
///
/// # Errors
/// [`Errno::Denied`] when the manifest does not grant the topic.
pub fn unsubscribe(topic: &str) -> Result<(), Errno> {
    count(abi::msg_unsubscribe(topic)).map(drop)
}

/// Publishes a request on `topic`. The first answer, or that there was none within `timeout_us` microseconds, is a
/// [`crate::Event::Reply`] with the number that is returned here as its tag.
///
/// # Errors
/// As [`publish`]; [`Errno::NoSpace`] when too many requests wait for their answers.
pub fn request(topic: &str, payload: &[u8], timeout_us: u64) -> Result<u32, Errno> {
    // A count fits u32 on every target: it was an i32.
    count(abi::msg_request(topic, payload, timeout_us)).map(|number| number as u32)
}

/// Answers the request being handled.
///
/// # Errors
/// [`Errno::Again`] when the event being handled is no request, [`Errno::TooLarge`] above
/// [`crate::MESSAGE_BYTES_MAX`].
pub fn reply(payload: &[u8]) -> Result<(), Errno> {
    count(abi::msg_reply(payload)).map(drop)
}

/// As [`crate::event::wait`], for messages, requests and replies.
///
/// # Errors
/// As [`crate::event::wait`].
pub fn wait(timeout_us: Option<u64>) -> Result<Record, Errno> {
    let mut record = [0; EventRecord::BYTES];
    count(abi::msg_wait(time::timeout(timeout_us), &mut record))?;
    Record::from_bytes(&record)
}
