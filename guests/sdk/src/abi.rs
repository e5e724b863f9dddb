//! The boundary itself: each import of the guest interface as a function over slices.
//!
//! The only place in a guest where pointers are made. The linker keeps an import only if the guest calls it. A test
//! compares what is declared here with `coracle_guest_abi::IMPORTS`, and another one the imports of built guests.

#![expect(unsafe_code, reason = "calls across the module boundary take pointers")]

use coracle_guest_abi::{BlockHeader, EventRecord, SensorInfo};

/// Declares imports. On a target without a core each becomes a function that answers `NoEntry`, so that guests can be
/// checked and unit-tested on a laptop.
macro_rules! imports {
    ($($module:literal {
        $($field:literal $name:ident($($parameter:ident: $type:ty),*) -> $result:ty;)*
    })*) => {
        #[cfg(target_arch = "wasm32")]
        mod imports {
            // SAFETY of every block: each signature is that of the entry with the same names in
            // `coracle_guest_abi::IMPORTS`, with pointers and lengths as the `i32` that they are on wasm32. A host that
            // has another signature does not link the module.
            $(
                #[link(wasm_import_module = $module)]
                unsafe extern "C" {
                    $(
                        #[link_name = $field]
                        pub(super) fn $name($($parameter: $type),*) -> $result;
                    )*
                }
            )*
        }

        #[cfg(not(target_arch = "wasm32"))]
        mod imports {
            $($(
                pub(super) unsafe fn $name($($parameter: $type),*) -> $result {
                    $(let _ = $parameter;)*
                    <$result>::from(coracle_guest_abi::Errno::NoEntry.as_result())
                }
            )*)*
        }

        /// What is declared here: module, name, types of the parameters, type of the result.
        #[cfg(test)]
        const DECLARED: &[(&str, &str, &[&str], &str)] =
            &[$($(($module, $field, &[$(stringify!($type)),*], stringify!($result))),*),*];
    };
}

imports! {
    "coracle:log@1" {
        "write" log_write(level: i32, text: *const u8, len: usize) -> i32;
    }
    "coracle:config@1" {
        "get" config_get(key: *const u8, key_len: usize, value: *mut u8, cap: usize) -> i32;
        "version" config_version() -> i32;
    }
    "coracle:event@1" {
        "read" event_read(payload: *mut u8, cap: usize) -> i32;
        "current" event_current(record: *mut u8) -> i32;
        "wait" event_wait(kinds: u32, timeout_us: i64, record: *mut u8) -> i32;
    }
    "coracle:time@1" {
        "now" time_now() -> i64;
        "set_timer" time_set_timer(delay_us: u64, period_us: u64, slack_us: u64) -> i32;
        "cancel" time_cancel(timer: i32) -> i32;
        "remaining" time_remaining(timer: i32) -> i64;
        "sleep" time_sleep(duration_us: u64) -> i32;
    }
    "coracle:sensor@1" {
        "open" sensor_open(name: *const u8, len: usize) -> i32;
        "close" sensor_close(sensor: i32) -> i32;
        "info" sensor_info(sensor: i32, info: *mut u8) -> i32;
        "read_block" sensor_read_block(sensor: i32, header: *mut u8, samples: *mut i16, cap: usize) -> i32;
        "set_rate" sensor_set_rate(sensor: i32, rate_hz: u32) -> i32;
        "set_threshold" sensor_set_threshold(sensor: i32, low: i32, high: i32) -> i32;
    }
    "coracle:gpio@1" {
        "open" gpio_open(label: *const u8, len: usize) -> i32;
        "close" gpio_close(pin: i32) -> i32;
        "read" gpio_read(pin: i32) -> i32;
        "write" gpio_write(pin: i32, high: u32) -> i32;
        "watch" gpio_watch(pin: i32, edges: u32, debounce_us: u32) -> i32;
    }
    "coracle:i2c@1" {
        "open" i2c_open(bus: *const u8, len: usize) -> i32;
        "close" i2c_close(bus: i32) -> i32;
        "write_read" i2c_write_read(
            bus: i32, address: u32, bytes: *const u8, len: usize, buffer: *mut u8, cap: usize
        ) -> i32;
    }
    "coracle:spi@1" {
        "open" spi_open(device: *const u8, len: usize) -> i32;
        "close" spi_close(device: i32) -> i32;
        "transfer" spi_transfer(device: i32, bytes: *const u8, len: usize, buffer: *mut u8, cap: usize) -> i32;
    }
    "coracle:msg@1" {
        "publish" msg_publish(topic: *const u8, topic_len: usize, payload: *const u8, len: usize) -> i32;
        "publish_retained" msg_publish_retained(
            topic: *const u8, topic_len: usize, payload: *const u8, len: usize
        ) -> i32;
        "subscribe" msg_subscribe(topic: *const u8, len: usize) -> i32;
        "unsubscribe" msg_unsubscribe(topic: *const u8, len: usize) -> i32;
        "request" msg_request(
            topic: *const u8, topic_len: usize, payload: *const u8, len: usize, timeout_us: u64
        ) -> i32;
        "reply" msg_reply(payload: *const u8, len: usize) -> i32;
        "wait" msg_wait(timeout_us: i64, record: *mut u8) -> i32;
    }
    "coracle:kv@1" {
        "get" kv_get(key: *const u8, key_len: usize, value: *mut u8, cap: usize) -> i32;
        "set" kv_set(key: *const u8, key_len: usize, value: *const u8, len: usize) -> i32;
        "delete" kv_delete(key: *const u8, len: usize) -> i32;
        "next" kv_next(key: *const u8, key_len: usize, next: *mut u8, cap: usize) -> i32;
    }
    "coracle:wake@1" {
        "request" wake_request(reason: *const u8, reason_len: usize, payload: *const u8, len: usize) -> i32;
    }
}

pub(crate) fn log_write(level: i32, text: &str) -> i32 {
    // SAFETY: pointer and length are those of one live slice; the host only reads it.
    unsafe { imports::log_write(level, text.as_ptr(), text.len()) }
}

pub(crate) fn config_get(key: &str, value: &mut [u8]) -> i32 {
    // SAFETY: both pairs are those of live slices; the host reads the first and writes at most `len` bytes of the second,
    // which is borrowed mutably.
    unsafe { imports::config_get(key.as_ptr(), key.len(), value.as_mut_ptr(), value.len()) }
}

pub(crate) fn config_version() -> i32 {
    // SAFETY: only numbers cross.
    unsafe { imports::config_version() }
}

pub(crate) fn event_read(payload: &mut [u8]) -> i32 {
    // SAFETY: the host writes at most `len` bytes of a slice that is borrowed mutably.
    unsafe { imports::event_read(payload.as_mut_ptr(), payload.len()) }
}

pub(crate) fn event_current(record: &mut [u8; EventRecord::BYTES]) -> i32 {
    // SAFETY: the host writes the `EventRecord::BYTES` bytes of an array that is borrowed mutably.
    unsafe { imports::event_current(record.as_mut_ptr()) }
}

pub(crate) fn event_wait(kinds: u32, timeout_us: i64, record: &mut [u8; EventRecord::BYTES]) -> i32 {
    // SAFETY: the host writes the `EventRecord::BYTES` bytes of an array that is borrowed mutably.
    unsafe { imports::event_wait(kinds, timeout_us, record.as_mut_ptr()) }
}

pub(crate) fn time_now() -> i64 {
    // SAFETY: only numbers cross.
    unsafe { imports::time_now() }
}

pub(crate) fn time_set_timer(delay_us: u64, period_us: u64, slack_us: u64) -> i32 {
    // SAFETY: only numbers cross.
    unsafe { imports::time_set_timer(delay_us, period_us, slack_us) }
}

pub(crate) fn time_cancel(timer: i32) -> i32 {
    // SAFETY: only numbers cross.
    unsafe { imports::time_cancel(timer) }
}

pub(crate) fn time_remaining(timer: i32) -> i64 {
    // SAFETY: only numbers cross.
    unsafe { imports::time_remaining(timer) }
}

pub(crate) fn time_sleep(duration_us: u64) -> i32 {
    // SAFETY: only numbers cross.
    unsafe { imports::time_sleep(duration_us) }
}

pub(crate) fn sensor_open(name: &str) -> i32 {
    // SAFETY: pointer and length are those of one live slice; the host only reads it.
    unsafe { imports::sensor_open(name.as_ptr(), name.len()) }
}

pub(crate) fn sensor_close(sensor: i32) -> i32 {
    // SAFETY: only numbers cross.
    unsafe { imports::sensor_close(sensor) }
}

pub(crate) fn sensor_info(sensor: i32, info: &mut [u8; SensorInfo::BYTES]) -> i32 {
    // SAFETY: the host writes the `SensorInfo::BYTES` bytes of an array that is borrowed mutably.
    unsafe { imports::sensor_info(sensor, info.as_mut_ptr()) }
}

pub(crate) fn sensor_read_block(sensor: i32, header: &mut [u8; BlockHeader::BYTES], samples: &mut [i16]) -> i32 {
    // SAFETY: the host writes `BlockHeader::BYTES` bytes of the array and at most `len` little-endian `i16`, which is the
    // byte order of wasm32, of the slice; both are borrowed mutably.
    unsafe { imports::sensor_read_block(sensor, header.as_mut_ptr(), samples.as_mut_ptr(), samples.len()) }
}

pub(crate) fn sensor_set_rate(sensor: i32, rate_hz: u32) -> i32 {
    // SAFETY: only numbers cross.
    unsafe { imports::sensor_set_rate(sensor, rate_hz) }
}

pub(crate) fn sensor_set_threshold(sensor: i32, low: i32, high: i32) -> i32 {
    // SAFETY: only numbers cross.
    unsafe { imports::sensor_set_threshold(sensor, low, high) }
}

pub(crate) fn gpio_open(label: &str) -> i32 {
    // SAFETY: pointer and length are those of one live slice; the host only reads it.
    unsafe { imports::gpio_open(label.as_ptr(), label.len()) }
}

pub(crate) fn gpio_close(pin: i32) -> i32 {
    // SAFETY: only numbers cross.
    unsafe { imports::gpio_close(pin) }
}

pub(crate) fn gpio_read(pin: i32) -> i32 {
    // SAFETY: only numbers cross.
    unsafe { imports::gpio_read(pin) }
}

pub(crate) fn gpio_write(pin: i32, high: u32) -> i32 {
    // SAFETY: only numbers cross.
    unsafe { imports::gpio_write(pin, high) }
}

pub(crate) fn gpio_watch(pin: i32, edges: u32, debounce_us: u32) -> i32 {
    // SAFETY: only numbers cross.
    unsafe { imports::gpio_watch(pin, edges, debounce_us) }
}

pub(crate) fn i2c_open(bus: &str) -> i32 {
    // SAFETY: pointer and length are those of one live slice; the host only reads it.
    unsafe { imports::i2c_open(bus.as_ptr(), bus.len()) }
}

pub(crate) fn i2c_close(bus: i32) -> i32 {
    // SAFETY: only numbers cross.
    unsafe { imports::i2c_close(bus) }
}

pub(crate) fn i2c_write_read(bus: i32, address: u32, bytes: &[u8], buffer: &mut [u8]) -> i32 {
    // SAFETY: both pairs are those of live slices; the host reads the first and writes at most `len` bytes of the second,
    // which is borrowed mutably.
    unsafe { imports::i2c_write_read(bus, address, bytes.as_ptr(), bytes.len(), buffer.as_mut_ptr(), buffer.len()) }
}

pub(crate) fn spi_open(device: &str) -> i32 {
    // SAFETY: pointer and length are those of one live slice; the host only reads it.
    unsafe { imports::spi_open(device.as_ptr(), device.len()) }
}

pub(crate) fn spi_close(device: i32) -> i32 {
    // SAFETY: only numbers cross.
    unsafe { imports::spi_close(device) }
}

pub(crate) fn spi_transfer(device: i32, bytes: &[u8], buffer: &mut [u8]) -> i32 {
    // SAFETY: both pairs are those of live slices; the host reads the first and writes at most `len` bytes of the second,
    // which is borrowed mutably.
    unsafe { imports::spi_transfer(device, bytes.as_ptr(), bytes.len(), buffer.as_mut_ptr(), buffer.len()) }
}

/// Writes what is in `bytes` and reads over it.
pub(crate) fn spi_transfer_in_place(device: i32, bytes: &mut [u8]) -> i32 {
    let (start, len) = (bytes.as_mut_ptr(), bytes.len());
    // SAFETY: both pairs are the same live slice, borrowed mutably; the host copies what it reads before it writes at
    // most `len` bytes.
    unsafe { imports::spi_transfer(device, start, len, start, len) }
}

pub(crate) fn msg_publish(topic: &str, payload: &[u8]) -> i32 {
    // SAFETY: both pairs are those of live slices; the host only reads them.
    unsafe { imports::msg_publish(topic.as_ptr(), topic.len(), payload.as_ptr(), payload.len()) }
}

pub(crate) fn msg_publish_retained(topic: &str, payload: &[u8]) -> i32 {
    // SAFETY: both pairs are those of live slices; the host only reads them.
    unsafe { imports::msg_publish_retained(topic.as_ptr(), topic.len(), payload.as_ptr(), payload.len()) }
}

pub(crate) fn msg_subscribe(topic: &str) -> i32 {
    // SAFETY: pointer and length are those of one live slice; the host only reads it.
    unsafe { imports::msg_subscribe(topic.as_ptr(), topic.len()) }
}

pub(crate) fn msg_unsubscribe(topic: &str) -> i32 {
    // SAFETY: pointer and length are those of one live slice; the host only reads it.
    unsafe { imports::msg_unsubscribe(topic.as_ptr(), topic.len()) }
}

pub(crate) fn msg_request(topic: &str, payload: &[u8], timeout_us: u64) -> i32 {
    // SAFETY: both pairs are those of live slices; the host only reads them.
    unsafe { imports::msg_request(topic.as_ptr(), topic.len(), payload.as_ptr(), payload.len(), timeout_us) }
}

pub(crate) fn msg_reply(payload: &[u8]) -> i32 {
    // SAFETY: pointer and length are those of one live slice; the host only reads it.
    unsafe { imports::msg_reply(payload.as_ptr(), payload.len()) }
}

pub(crate) fn msg_wait(timeout_us: i64, record: &mut [u8; EventRecord::BYTES]) -> i32 {
    // SAFETY: the host writes the `EventRecord::BYTES` bytes of an array that is borrowed mutably.
    unsafe { imports::msg_wait(timeout_us, record.as_mut_ptr()) }
}

pub(crate) fn kv_get(key: &str, value: &mut [u8]) -> i32 {
    // SAFETY: both pairs are those of live slices; the host reads the first and writes at most `len` bytes of the second,
    // which is borrowed mutably.
    unsafe { imports::kv_get(key.as_ptr(), key.len(), value.as_mut_ptr(), value.len()) }
}

pub(crate) fn kv_set(key: &str, value: &[u8]) -> i32 {
    // SAFETY: both pairs are those of live slices; the host only reads them.
    unsafe { imports::kv_set(key.as_ptr(), key.len(), value.as_ptr(), value.len()) }
}

pub(crate) fn kv_delete(key: &str) -> i32 {
    // SAFETY: pointer and length are those of one live slice; the host only reads it.
    unsafe { imports::kv_delete(key.as_ptr(), key.len()) }
}

pub(crate) fn kv_next(key: &str, next: &mut [u8]) -> i32 {
    // SAFETY: both pairs are those of live slices; the host reads the first and writes at most `len` bytes of the second,
    // which is borrowed mutably.
    unsafe { imports::kv_next(key.as_ptr(), key.len(), next.as_mut_ptr(), next.len()) }
}

pub(crate) fn wake_request(reason: &str, payload: &[u8]) -> i32 {
    // SAFETY: both pairs are those of live slices; the host only reads them.
    unsafe { imports::wake_request(reason.as_ptr(), reason.len(), payload.as_ptr(), payload.len()) }
}

#[cfg(test)]
mod tests {
    use coracle_guest_abi::{IMPORTS, Type, find_import};

    use super::DECLARED;

    /// What a declared type is on wasm32.
    fn lowered(declared: &str) -> Type {
        if matches!(declared, "i64" | "u64") { Type::I64 } else { Type::I32 }
    }

    #[test]
    fn every_import_of_the_interface_is_declared_with_its_types() {
        for import in IMPORTS.iter().filter(|import| import.module.starts_with("coracle:")) {
            let found = DECLARED.iter().filter(|d| (d.0, d.1) == (import.module, import.name)).count();
            assert_eq!(found, 1, "{} {}", import.module, import.name);
        }
        for (module, field, parameters, result) in DECLARED {
            let import = find_import(module, field).unwrap_or_else(|| panic!("{module} {field} does not exist"));
            assert!(parameters.iter().map(|p| lowered(p)).eq(import.params.iter().copied()), "{module} {field}");
            assert_eq!(Some(lowered(result)), import.result, "{module} {field}");
        }
    }
}
