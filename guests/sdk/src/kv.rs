//! A small durable store of the container's own. It moves with the container; the manifest's `kv` is its size.

use crate::{Errno, abi, count};

/// Reads the value of `key` into `buffer`.
///
/// # Errors
/// [`Errno::NoEntry`] without such a key, [`Errno::TooLarge`] when the value does not fit `buffer`.
pub fn get<'a>(key: &str, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    let len = count(abi::kv_get(key, buffer))?;
    buffer.get(..len).ok_or(Errno::TooLarge)
}

/// Stores a value. It is durable once the event being handled is done.
///
/// # Errors
/// [`Errno::NoSpace`] when it is more than the manifest's `kv`, [`Errno::Invalid`] for an empty key.
pub fn set(key: &str, value: &[u8]) -> Result<(), Errno> {
    count(abi::kv_set(key, value)).map(drop)
}

/// Removes a value.
///
/// # Errors
/// [`Errno::NoEntry`] without such a key.
pub fn delete(key: &str) -> Result<(), Errno> {
    count(abi::kv_delete(key)).map(drop)
}

/// The key that follows `key` in byte order, in `buffer`; the first one for an empty `key`, `None` after the last one.
///
/// # Errors
/// [`Errno::TooLarge`] when the key does not fit `buffer`.
pub fn next<'a>(key: &str, buffer: &'a mut [u8]) -> Result<Option<&'a str>, Errno> {
    let len = match count(abi::kv_next(key, buffer)) {
        Err(Errno::NoEntry) => return Ok(None),
        len => len?,
    };
    let next = buffer.get(..len).ok_or(Errno::TooLarge)?;
    core::str::from_utf8(next).map(Some).map_err(|_| Errno::Invalid)
}
