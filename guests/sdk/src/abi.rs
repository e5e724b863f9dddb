//! The boundary itself: each call of `coracle_guest_abi::IMPORTS` as a function over slices.
//!
//! The only place in a guest where pointers are made. A test compares the import names of built guests with the table.

#[cfg(target_arch = "wasm32")]
mod imports {
    #![expect(unsafe_code, reason = "imports are foreign functions")]
    // SAFETY of every block below: each signature is that of the entry with the same names in
    // `coracle_guest_abi::IMPORTS`, with pointers and lengths as `i32`, which is what they are on wasm32. A host that has
    // another signature does not link the module. `time_now` is `safe`: it takes nothing and touches no memory.

    #[link(wasm_import_module = "coracle:log@1")]
    unsafe extern "C" {
        #[link_name = "write"]
        pub(super) fn log_write(level: i32, text: *const u8, len: usize) -> i32;
    }
    #[link(wasm_import_module = "coracle:config@1")]
    unsafe extern "C" {
        #[link_name = "get"]
        pub(super) fn config_get(key: *const u8, key_len: usize, value: *mut u8, cap: usize) -> i32;
    }
    #[link(wasm_import_module = "coracle:event@1")]
    unsafe extern "C" {
        #[link_name = "read"]
        pub(super) fn event_read(payload: *mut u8, cap: usize) -> i32;
    }
    #[link(wasm_import_module = "coracle:time@1")]
    unsafe extern "C" {
        #[link_name = "now"]
        pub(super) safe fn time_now() -> i64;
    }
    #[link(wasm_import_module = "coracle:sensor@1")]
    unsafe extern "C" {
        #[link_name = "open"]
        pub(super) fn sensor_open(name: *const u8, len: usize) -> i32;
        #[link_name = "read_block"]
        pub(super) fn sensor_read_block(handle: i32, header: *mut u8, samples: *mut i16, max_samples: usize) -> i32;
    }
    #[link(wasm_import_module = "coracle:msg@1")]
    unsafe extern "C" {
        #[link_name = "publish"]
        pub(super) fn msg_publish(topic: *const u8, topic_len: usize, payload: *const u8, len: usize) -> i32;
    }
    #[link(wasm_import_module = "coracle:wake@1")]
    unsafe extern "C" {
        #[link_name = "request"]
        pub(super) fn wake_request(reason: *const u8, reason_len: usize, payload: *const u8, len: usize) -> i32;
    }
}

#[cfg(target_arch = "wasm32")]
mod calls {
    #![expect(unsafe_code, reason = "calls across the module boundary take pointers")]

    use coracle_guest_abi::BlockHeader;

    use super::imports;

    pub(crate) fn log_write(level: i32, text: &str) -> i32 {
        // SAFETY: pointer and length are those of one live slice; the host only reads it.
        unsafe { imports::log_write(level, text.as_ptr(), text.len()) }
    }

    pub(crate) fn config_get(key: &str, value: &mut [u8]) -> i32 {
        // SAFETY: both pairs are those of live slices; the host reads the first and writes at most `len` bytes of the
        // second, which is borrowed mutably.
        unsafe { imports::config_get(key.as_ptr(), key.len(), value.as_mut_ptr(), value.len()) }
    }

    pub(crate) fn event_read(payload: &mut [u8]) -> i32 {
        // SAFETY: the host writes at most `len` bytes of a slice that is borrowed mutably.
        unsafe { imports::event_read(payload.as_mut_ptr(), payload.len()) }
    }

    pub(crate) fn time_now() -> i64 {
        imports::time_now()
    }

    pub(crate) fn sensor_open(name: &str) -> i32 {
        // SAFETY: pointer and length are those of one live slice; the host only reads it.
        unsafe { imports::sensor_open(name.as_ptr(), name.len()) }
    }

    pub(crate) fn sensor_read_block(handle: i32, header: &mut [u8; BlockHeader::BYTES], samples: &mut [i16]) -> i32 {
        // SAFETY: the host writes `BlockHeader::BYTES` bytes of the array and at most `len` little-endian `i16`, which
        // is the byte order of wasm32, of the slice; both are borrowed mutably.
        unsafe { imports::sensor_read_block(handle, header.as_mut_ptr(), samples.as_mut_ptr(), samples.len()) }
    }

    pub(crate) fn msg_publish(topic: &str, payload: &[u8]) -> i32 {
        // SAFETY: both pairs are those of live slices; the host only reads them.
        unsafe { imports::msg_publish(topic.as_ptr(), topic.len(), payload.as_ptr(), payload.len()) }
    }

    pub(crate) fn wake_request(reason: &str, payload: &[u8]) -> i32 {
        // SAFETY: both pairs are those of live slices; the host only reads them.
        unsafe { imports::wake_request(reason.as_ptr(), reason.len(), payload.as_ptr(), payload.len()) }
    }
}

/// Stand-in where there is no core: nothing is granted, nothing happens.
#[cfg(not(target_arch = "wasm32"))]
mod calls {
    use coracle_guest_abi::{BlockHeader, Errno};

    pub(crate) fn log_write(_level: i32, _text: &str) -> i32 {
        Errno::NoEntry.as_result()
    }

    pub(crate) fn config_get(_key: &str, _value: &mut [u8]) -> i32 {
        Errno::NoEntry.as_result()
    }

    pub(crate) fn event_read(_payload: &mut [u8]) -> i32 {
        Errno::NoEntry.as_result()
    }

    pub(crate) fn time_now() -> i64 {
        0
    }

    pub(crate) fn sensor_open(_name: &str) -> i32 {
        Errno::NoEntry.as_result()
    }

    pub(crate) fn sensor_read_block(_handle: i32, _header: &mut [u8; BlockHeader::BYTES], _samples: &mut [i16]) -> i32 {
        Errno::NoEntry.as_result()
    }

    pub(crate) fn msg_publish(_topic: &str, _payload: &[u8]) -> i32 {
        Errno::NoEntry.as_result()
    }

    pub(crate) fn wake_request(_reason: &str, _payload: &[u8]) -> i32 {
        Errno::NoEntry.as_result()
    }
}

pub(crate) use calls::{
    config_get, event_read, log_write, msg_publish, sensor_open, sensor_read_block, time_now, wake_request,
};
