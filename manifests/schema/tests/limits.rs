//! The manifest's bounds are those of the crates that enforce them, and those of the page that describes them.

use coracle_container::{MEMORY_BYTES_MAX, QUEUE_LEN_MAX};
use coracle_guest_abi as abi;
use coracle_manifest as manifest;
use coracle_manifest::Limits;

const PAGE: &str = include_str!("../../../docs/manifest.md");

#[test]
fn what_a_manifest_may_say_is_what_a_container_can_hold() {
    let bounds: [(&str, u64, u64); 18] = [
        ("name", coracle_policy::MAX_NAME_BYTES as u64, abi::NAME_BYTES_MAX as u64),
        ("grants", manifest::MAX_GRANTS as u64, abi::GRANTS_MAX as u64),
        ("addresses", manifest::MAX_I2C_ADDRESSES as u64, abi::GRANTS_MAX as u64),
        ("files", manifest::MAX_FILES as u64, abi::FILES_MAX as u64),
        ("kv", manifest::MAX_KV_BYTES.into(), abi::KV_BYTES_MAX as u64),
        ("args", manifest::MAX_ARGS as u64, abi::ARGS_MAX as u64),
        ("argument", manifest::MAX_ARG_BYTES as u64, abi::ARG_BYTES_MAX as u64),
        ("config", manifest::MAX_CONFIG_ENTRIES as u64, abi::CONFIG_ENTRIES_MAX as u64),
        ("config value", manifest::MAX_CONFIG_VALUE_BYTES as u64, abi::CONFIG_VALUE_BYTES_MAX as u64),
        ("memory", manifest::MAX_MEMORY_BYTES.into(), MEMORY_BYTES_MAX.into()),
        ("least stack", manifest::MIN_STACK_BYTES.into(), abi::STACK_BYTES_MIN.into()),
        ("stack", manifest::MAX_STACK_BYTES.into(), abi::STACK_BYTES_MAX.into()),
        ("table", manifest::MAX_TABLE_ELEMENTS.into(), abi::TABLE_ELEMENTS_MAX.into()),
        ("queue", manifest::MAX_QUEUE_EVENTS.into(), QUEUE_LEN_MAX.into()),
        ("timers", manifest::MAX_TIMERS.into(), abi::TIMERS_MAX as u64),
        ("handles", manifest::MAX_HANDLES.into(), abi::HANDLES_MAX as u64),
        ("logs_per_second", manifest::MAX_LOGS_PER_SECOND.into(), abi::LOGS_PER_SECOND_MAX.into()),
        ("payload", manifest::MAX_PAYLOAD_BYTES.into(), abi::MESSAGE_BYTES_MAX as u64),
    ];
    for (what, here, there) in bounds {
        assert_eq!(here, there, "{what}");
    }
}

#[test]
fn the_page_gives_the_bounds() {
    let default = Limits::default();
    let rows: [(&str, u64, u64, u64); 11] = [
        ("memory", 1, default.memory_bytes.into(), manifest::MAX_MEMORY_BYTES.into()),
        ("stack", manifest::MIN_STACK_BYTES.into(), default.stack_bytes.into(), manifest::MAX_STACK_BYTES.into()),
        ("table", 0, default.table_elements.into(), manifest::MAX_TABLE_ELEMENTS.into()),
        ("fuel_per_event", 1, default.fuel_per_event, manifest::MAX_FUEL_PER_EVENT),
        ("fuel_per_second", 0, default.fuel_per_second, manifest::MAX_FUEL_PER_SECOND),
        ("queue", 1, default.queue_events.into(), manifest::MAX_QUEUE_EVENTS.into()),
        ("timers", 0, default.timers.into(), manifest::MAX_TIMERS.into()),
        ("subscriptions", 0, default.subscriptions.into(), manifest::MAX_SUBSCRIPTIONS.into()),
        ("handles", 0, default.handles.into(), manifest::MAX_HANDLES.into()),
        ("logs_per_second", 1, default.logs_per_second.into(), manifest::MAX_LOGS_PER_SECOND.into()),
        ("payload", 1, default.payload_bytes.into(), manifest::MAX_PAYLOAD_BYTES.into()),
    ];
    for (key, least, default, most) in rows {
        let start = format!("| `{key}` | ");
        let row = PAGE.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("docs/manifest.md has no row for `{key}`"));
        let numbers: Vec<u64> = row.split('|').map(str::trim).filter_map(bytes).collect();
        assert_eq!(numbers, [least, default, most], "{row}");
        // The page's numbers are the parser's, too: the most is accepted, more is not.
        let with = |number| {
            let text = format!(
                "manifest = 1\nname = \"n\"\n[container.c]\nmodule = \"c\"\ncore = \"a\"\nlimits = {{ {key} = {number} }}\n"
            );
            manifest::Manifest::parse(&text, std::path::Path::new("limits.toml"))
        };
        assert!(with(least).is_ok() && with(most).is_ok(), "{key}");
        assert!(with(most + 1).is_err(), "{key}");
        assert!(least == 0 || with(least - 1).is_err(), "{key}");
    }
}

/// A cell of the page that is nothing but a number or a size.
fn bytes(cell: &str) -> Option<u64> {
    let scales = [("KiB", 1 << 10), ("MiB", 1 << 20), ("", 1)];
    scales.into_iter().find_map(|(unit, scale)| Some(cell.strip_suffix(unit)?.parse::<u64>().ok()? * scale))
}
