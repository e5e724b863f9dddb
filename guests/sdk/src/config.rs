//! The container's configuration from its manifest: text by key. A change while the container runs is
//! [`crate::Event::Config`].

use core::str::FromStr;

use crate::{CONFIG_VALUE_BYTES_MAX, Errno, abi, count};

/// Reads the value of `key` into `buffer`. [`CONFIG_VALUE_BYTES_MAX`] bytes are always enough.
///
/// # Errors
/// [`Errno::NoEntry`] when the manifest has no such key, [`Errno::TooLarge`] when the value does not fit `buffer`.
pub fn get<'a>(key: &str, buffer: &'a mut [u8]) -> Result<&'a str, Errno> {
    let len = count(abi::config_get(key, buffer))?;
    let value = buffer.get(..len).ok_or(Errno::TooLarge)?;
    core::str::from_utf8(value).map_err(|_| Errno::Invalid)
}

/// Counts the changes of the configuration since the container was created.
#[must_use]
pub fn version() -> u32 {
    // Negative only where there is no core.
    u32::try_from(abi::config_version()).unwrap_or(0)
}

fn parse<T: FromStr>(key: &str) -> Result<T, Errno> {
    let mut buffer = [0; CONFIG_VALUE_BYTES_MAX];
    get(key, &mut buffer)?.parse().map_err(|_| Errno::Invalid)
}

/// Reads a signed number.
///
/// # Errors
/// [`Errno::NoEntry`] without such a key, [`Errno::Invalid`] when the value is no decimal number that fits.
pub fn get_i32(key: &str) -> Result<i32, Errno> {
    parse(key)
}

/// Reads an unsigned number.
///
/// # Errors
/// As [`get_i32`].
pub fn get_u32(key: &str) -> Result<u32, Errno> {
    parse(key)
}

/// Reads a decimal fraction. Costs a module about 10 KiB for the parser.
///
/// # Errors
/// As [`get_i32`]; infinities and NaN are [`Errno::Invalid`] too.
pub fn get_f32(key: &str) -> Result<f32, Errno> {
    parse(key).and_then(|value: f32| if value.is_finite() { Ok(value) } else { Err(Errno::Invalid) })
}
