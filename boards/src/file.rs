//! The TOML schema of board and chip files: names and numbers as written, unchecked.
//!
//! Unknown keys are refused everywhere, so that a misspelt key cannot silently mean a default. There are no defaults.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChipFile {
    pub(crate) name: String,
    pub(crate) target: Option<String>,
    pub(crate) clock_hz: Option<u32>,
    #[serde(default)]
    pub(crate) memory: BTreeMap<String, MemoryEntry>,
    #[serde(default)]
    pub(crate) uart: BTreeMap<String, UartEntry>,
    #[serde(default)]
    pub(crate) timer: BTreeMap<String, TimerEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemoryEntry {
    pub(crate) address: u32,
    pub(crate) bytes: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UartEntry {
    pub(crate) address: u32,
    pub(crate) rx_irq: u16,
    pub(crate) tx_irq: u16,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimerEntry {
    pub(crate) address: u32,
    pub(crate) irq: u16,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BoardFile {
    pub(crate) name: String,
    pub(crate) chip: String,
    pub(crate) summary: String,
    pub(crate) budget: BudgetEntry,
    #[serde(default)]
    pub(crate) part: BTreeMap<String, PartEntry>,
    pub(crate) shared: SharedEntry,
    pub(crate) firmware: Option<FirmwareEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetEntry {
    pub(crate) heap_bytes: u32,
    pub(crate) stack_bytes: u32,
    pub(crate) containers_max: u8,
    pub(crate) linear_memory_bytes_max: u32,
    pub(crate) module_bytes_max: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartEntry {
    pub(crate) memory: String,
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SharedEntry {
    pub(crate) memory: String,
    pub(crate) vring_num: u16,
    pub(crate) vring_align: u32,
    pub(crate) regions: RegionEntries,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegionEntries {
    pub(crate) resource_table: SpanEntry,
    pub(crate) vring0: SpanEntry,
    pub(crate) vring1: SpanEntry,
    pub(crate) buffers: SpanEntry,
    pub(crate) trace: Option<SpanEntry>,
    pub(crate) log: SpanEntry,
    pub(crate) bulk_to_m: SpanEntry,
    pub(crate) bulk_to_a: SpanEntry,
    pub(crate) retained: SpanEntry,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpanEntry {
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirmwareEntry {
    pub(crate) code: String,
    pub(crate) data: String,
    pub(crate) console: String,
    pub(crate) doorbell: String,
    pub(crate) sensor: String,
    pub(crate) clock: String,
    pub(crate) alarm: String,
}
