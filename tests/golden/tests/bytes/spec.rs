//! The specification of a container, as A hands it to M, and that the largest fits its buffer.

use coracle_container::{
    ContainerSpec, FileGrant, Grants, HostGrant, I2cGrant, Limits, List, MEMORY_BYTES_MAX, PinGrant, PinMode,
    QUEUE_LEN_MAX, SensorGrant, SpiGrant,
};
use coracle_guest_abi::{
    ARG_BYTES_MAX, ARGS_MAX, CONFIG_ENTRIES_MAX, CONFIG_VALUE_BYTES_MAX, GRANTS_MAX, HANDLES_MAX, KV_BYTES_MAX,
    LOGS_PER_SECOND_MAX, MESSAGE_BYTES_MAX, Name, STACK_BYTES_MAX, TABLE_ELEMENTS_MAX, TIMERS_MAX,
};
use coracle_manifest::{MAX_FILES, MAX_FOLDER_PATH_BYTES, MAX_HOST_BYTES};
use coracle_wire::SPEC_BYTES_MAX;

use crate::messages::LONG;
use crate::tools::{IMAGE, name, pin};

pub(crate) fn spec() -> (ContainerSpec, Vec<u8>) {
    let grants = Grants {
        sensors: [SensorGrant { name: name("vibration"), rate_hz: 300, exclusive: true }].into_iter().collect(),
        pins: [
            PinGrant { label: name("button"), mode: PinMode::Input, exclusive: false },
            PinGrant { label: name("led"), mode: PinMode::Output, exclusive: true },
        ]
        .into_iter()
        .collect(),
        i2c: [I2cGrant { bus: name("i2c1"), addresses: [0x48, 0x77].into_iter().collect(), exclusive: false }]
            .into_iter()
            .collect(),
        spi: [SpiGrant { device: name("adc"), exclusive: true }].into_iter().collect(),
        publish: [name("features")].into_iter().collect(),
        subscribe: [name("a"), name("bc")].into_iter().collect(),
        wake: [name("bearing")].into_iter().collect(),
        kv: 300,
        hosts: [HostGrant { host: "example.org".into(), port: 443 }].into_iter().collect(),
        files: [FileGrant { guest: "/data".into(), host: "/var/lib/x".into(), write: true }].into_iter().collect(),
        config: [(name("limit"), "12".into())].into_iter().collect(),
        args: ["--x".into(), String::new()].into_iter().collect(),
    };
    let limits = Limits {
        memory: 65_538,
        table: 300,
        stack: 301,
        fuel_per_event: 1_000_000,
        fuel_per_second: 1_000_001,
        queue: 302,
        timers: 8,
        subscriptions: 200,
        handles: 32,
        logs_per_second: 303,
        payload: 192,
    };
    let seed = *b"0123456789abcdef";
    let spec = ContainerSpec { name: name("sentinel"), image: IMAGE, portable: true, seed, limits, grants };
    let golden = pin(
        &spec,
        &[
            b"\x08sentinel",
            &IMAGE,
            &[1],                                     // portable
            b"0123456789abcdef",                      // seed: an array, no length
            &[0x82, 0x80, 0x04],                      // memory
            &[0xAC, 0x02],                            // table
            &[0xAD, 0x02],                            // stack
            &[0xC0, 0x84, 0x3D],                      // fuel of an event
            &[0xC1, 0x84, 0x3D],                      // fuel of a second
            &[0xAE, 0x02],                            // queue
            &[8, 200, 32],                            // timers, subscriptions, handles: one byte each
            &[0xAF, 0x02],                            // log lines of a second
            &[0xC0, 0x01],                            // payload
            b"\x01\x09vibration\xAC\x02\x01",         // sensors: name, rate, exclusive
            b"\x02\x06button\x00\x00\x03led\x01\x01", // pins: label, mode, exclusive
            b"\x01\x04i2c1\x02\x48\x77\x00",          // buses: name, addresses, exclusive
            b"\x01\x03adc\x01",                       // SPI devices: name, exclusive
            b"\x01\x08features",
            b"\x02\x01a\x02bc",
            b"\x01\x07bearing",
            &[0xAC, 0x02],                      // store
            b"\x01\x0Bexample.org\xBB\x03",     // hosts: name, port
            b"\x01\x05/data\x0A/var/lib/x\x01", // folders: of the guest, of the core, write
            b"\x01\x05limit\x0212",
            b"\x02\x03--x\x00", // arguments
        ],
    );
    (spec, golden)
}

#[test]
fn the_specification_of_a_container() {
    spec();
}

/// As much of everything as a manifest may say.
fn largest() -> ContainerSpec {
    fn full<T: Clone, const N: usize>(value: T) -> List<T, N> {
        std::iter::repeat_n(value, N).collect()
    }
    let long = || name(LONG);
    let names = || full::<Name, GRANTS_MAX>(long());
    let path = || "x".repeat(MAX_FOLDER_PATH_BYTES);
    let grants = Grants {
        sensors: full(SensorGrant { name: long(), rate_hz: u32::MAX, exclusive: true }),
        pins: full(PinGrant { label: long(), mode: PinMode::Output, exclusive: true }),
        i2c: full(I2cGrant { bus: long(), addresses: full(0x7F), exclusive: true }),
        spi: full(SpiGrant { device: long(), exclusive: true }),
        publish: names(),
        subscribe: names(),
        wake: names(),
        kv: KV_BYTES_MAX as u16,
        hosts: full(HostGrant { host: "x".repeat(MAX_HOST_BYTES), port: u16::MAX }),
        files: full(FileGrant { guest: path(), host: path(), write: true }),
        config: full((long(), "x".repeat(CONFIG_VALUE_BYTES_MAX))),
        args: full("x".repeat(ARG_BYTES_MAX)),
    };
    let full_lists = [grants.sensors.len(), grants.hosts.len(), grants.config.len(), grants.args.len()];
    assert_eq!(full_lists, [GRANTS_MAX, GRANTS_MAX, CONFIG_ENTRIES_MAX, ARGS_MAX]);
    assert_eq!(grants.files.len(), MAX_FILES);
    let limits = Limits {
        memory: MEMORY_BYTES_MAX,
        table: TABLE_ELEMENTS_MAX,
        stack: STACK_BYTES_MAX,
        fuel_per_event: u64::MAX,
        fuel_per_second: u64::MAX,
        queue: QUEUE_LEN_MAX,
        timers: TIMERS_MAX as u8,
        subscriptions: GRANTS_MAX as u8,
        handles: HANDLES_MAX as u8,
        logs_per_second: LOGS_PER_SECOND_MAX,
        payload: MESSAGE_BYTES_MAX as u16,
    };
    ContainerSpec { name: long(), image: [255; 32], portable: true, seed: [255; 16], limits, grants }
}

#[test]
fn the_largest_specification_fits_its_buffer() {
    let spec = largest();
    assert_eq!(spec.over_limit(), None);
    let len = postcard::to_stdvec(&spec).unwrap().len();
    assert!(len <= SPEC_BYTES_MAX, "{len} bytes");
    let mut out = [0; SPEC_BYTES_MAX];
    let bytes = coracle_wire::encode(&spec, &mut out).unwrap();
    assert_eq!(coracle_wire::decode::<ContainerSpec>(bytes), Some(spec));
}
