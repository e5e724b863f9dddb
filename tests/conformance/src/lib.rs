//! What every implementation of [`coracle_rpmsg::Rpmsg`] must do, as one suite for any two of them as the two sides of a
//! link.
//!
//! A [`Maker`] makes one side; [`cases`] are the tests, over a [`Pair`] of sides and a pump that carries the kicks.
//! [`suite!`] makes test functions of them. [`raw`] plays the other side by hand, as Linux and NXP's library would write it.
//!
//! With the feature `rpmsg-lite` the suite runs over the library that is linked, too. Unless that is ours (feature
//! `rpmsg-lite-is-ours`), the tests of what NXP's does not promise say SKIPPED.
//!
//! Everything here panics on failure: it is for tests.

pub mod cases;
mod makers;
mod pair;
pub mod raw;

pub use makers::{DirectDevice, DirectDriver};
#[cfg(feature = "rpmsg-lite")]
pub use makers::{LibraryMaster, LibraryRemote};
pub use pair::{Maker, Memory, Pair, Side, alone, both_ours, geometries};

/// The device's address of the shared memory: not where it is in this process, so that an address which is not translated
/// is noticed.
pub const DEVICE_ADDRESS: u64 = 0x2000_0000;

/// A module with a test for each case, for a driver and a device side.
#[macro_export]
macro_rules! suite {
    ($name:ident, $driver:ident, $device:ident) => {
        mod $name {
            $crate::suite! {
                @ $driver, $device:
                the_link_comes_up_by_the_first_kick,
                either_side_may_be_first,
                addresses_are_unique_and_reusable,
                endpoints_are_limited,
                what_cannot_be_sent_is_refused,
                every_size_arrives,
                order_survives_both_index_wraps,
                channels_come_and_go_both_ways,
                channels_and_messages_keep_their_order,
                malformed_announcements_are_dropped,
                a_full_ring_refuses_and_recovers,
                blocking_senders_get_the_next_buffer,
                consumed_buffers_are_told_to_who_asks,
                held_buffers_keep_their_content,
                held_buffers_run_out_and_come_back,
                buffers_are_filled_in_place,
                what_is_not_sent_is_free_again,
                nobody_gets_messages_for_nobody,
                destroyed_endpoints_get_nothing,
                a_short_receive_buffer_loses_one_message,
                random_traffic_arrives_in_order,
                a_side_that_ends_can_begin_anew,
            }
        }
    };
    (@ $driver:ident, $device:ident: $($case:ident,)*) => {
        $(
            #[test]
            fn $case() {
                $crate::cases::$case::<$crate::$driver, $crate::$device>();
            }
        )*
    };
}
