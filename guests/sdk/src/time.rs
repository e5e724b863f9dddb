//! The time of the event being handled.

use crate::abi;

/// Microseconds of the event being handled; 0 during `init`. The same whenever it is asked within one event, and on
/// whichever core: a replayed event has its old time.
#[must_use]
pub fn now_us() -> u64 {
    abi::time_now().cast_unsigned()
}
