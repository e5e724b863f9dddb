//! The machine's description for the kernel: the emulator's own, and what it does not know: the M core, its mailbox,
//! its memory.

use std::fs;
use std::path::Path;
use std::process::Command;

use coracle_mailbox_model::registers::{
    FIRST_PAGE, MAILBOX_BYTES, MAILBOX_PAGE, PAGE_BYTES, RESET_PAGE, SHUTDOWN_CHANNEL, SYSCON_DEEP_SLEEP,
    SYSCON_HOLD_BOOT, SYSCON_PAGE, SYSCON_RESOURCE_TABLE, SYSCON_STATE, SYSCON_TRUST_ZONE,
};
use coracle_mailbox_model::{RX_OCCUPIED_SPI, TX_FREE_SPI};

use crate::build::run;

/// A part of the shared memory: its physical address, which is the M core's too, and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// First byte.
    pub address: u32,
    /// Length.
    pub bytes: u32,
}

/// Who uses what of the shared memory. The parts do not overlap and end before the register pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// All of it.
    pub shared: Part,
    /// Where the kernel loads the firmware.
    pub firmware: Part,
    /// Ring from M to A.
    pub vring0: Part,
    /// Ring from A to M.
    pub vring1: Part,
    /// Messages of both rings.
    pub buffers: Part,
}

impl MemoryPlan {
    /// What the firmware's resource table may name besides the rings: from the messages to the register pages.
    fn rest(&self) -> Part {
        let address = self.buffers.address + self.buffers.bytes;
        Part { address, bytes: self.shared.address + FIRST_PAGE - address }
    }
}

/// Nodes that the emulator's description lacks. Addresses in the M core's bus are 32 bits wide, because its driver takes
/// `dma-ranges` for triples of one cell each.
#[must_use]
pub fn additions(plan: &MemoryPlan) -> String {
    let MemoryPlan { shared, firmware, vring0, vring1, buffers } = plan;
    let base = shared.address;
    let rest = plan.rest();
    // The kernel finds carve-outs by these names; the ones of rings and messages are fixed in its drivers.
    let reserved: String = [
        ("firmware", "m-firmware", "", firmware),
        ("vring0", "vdev0vring0", POOL, vring0),
        ("vring1", "vdev0vring1", POOL, vring1),
        ("buffers", "vdev0buffer", POOL, buffers),
        ("rest", "m-memory", "", &rest),
        ("registers", "registers", "", &Part { address: base + FIRST_PAGE, bytes: shared.bytes - FIRST_PAGE }),
    ]
    .map(|(label, name, kind, Part { address, bytes })| {
        format!("{label}: {name}@{address:x} {{ {kind}reg = <0 {address:#x} 0 {bytes:#x}>; no-map; }};\n")
    })
    .concat();
    let syscon = |offset: u32| format!("<&syscon {offset:#x} 0x1>");
    let whole = |offset: u32| format!("<&syscon {offset:#x} 0xffffffff>");
    format!(
        "/ {{
reserved-memory {{
#address-cells = <2>; #size-cells = <2>; ranges;
{reserved}}};
mailbox_clock: mailbox-clock {{ compatible = \"fixed-clock\"; #clock-cells = <0>; clock-frequency = <100000000>; }};
m-bus {{
compatible = \"simple-bus\"; #address-cells = <1>; #size-cells = <1>;
ranges = <{base:#x} 0 {base:#x} {bytes:#x}>;
dma-ranges = <{base:#x} 0 {base:#x} {bytes:#x}>;
resets: reset@{reset:x} {{ compatible = \"snps,dw-low-reset\"; reg = <{reset:#x} {PAGE_BYTES:#x}>; #reset-cells = <1>; }};
syscon: syscon@{syscon_page:x} {{ compatible = \"syscon\"; reg = <{syscon_page:#x} {PAGE_BYTES:#x}>; }};
mailbox: mailbox@{mailbox:x} {{
compatible = \"st,stm32mp1-ipcc\"; reg = <{mailbox:#x} {MAILBOX_BYTES:#x}>; #mbox-cells = <1>; st,proc-id = <0>;
interrupt-parent = <&{{/intc@8000000}}>; interrupts = <0 {RX_OCCUPIED_SPI} 1>, <0 {TX_FREE_SPI} 1>;
interrupt-names = \"rx\", \"tx\"; clocks = <&mailbox_clock>;
}};
m-core-bus {{
compatible = \"simple-bus\"; #address-cells = <1>; #size-cells = <1>; ranges;
dma-ranges = <{base:#x} {base:#x} {bytes:#x}>;
m-core@{base:x} {{
compatible = \"st,stm32mp1-m4\"; reg = <{base:#x} {firmware_bytes:#x}>; resets = <&resets 0>;
st,syscfg-tz = {tz}; st,syscfg-holdboot = {hold_boot}; st,syscfg-pdds = {deep_sleep};
st,syscfg-rsc-tbl = {table}; st,syscfg-m4-state = {state};
memory-region = <&firmware>, <&vring0>, <&vring1>, <&buffers>, <&rest>;
mboxes = <&mailbox 0>, <&mailbox 1>, <&mailbox {SHUTDOWN_CHANNEL}>; mbox-names = \"vq0\", \"vq1\", \"shutdown\";
}};
}};
}};
}};
",
        bytes = shared.bytes,
        firmware_bytes = firmware.bytes,
        reset = base + RESET_PAGE,
        syscon_page = base + SYSCON_PAGE,
        mailbox = base + MAILBOX_PAGE,
        tz = syscon(SYSCON_TRUST_ZONE),
        hold_boot = syscon(SYSCON_HOLD_BOOT),
        deep_sleep = syscon(SYSCON_DEEP_SLEEP),
        table = whole(SYSCON_RESOURCE_TABLE),
        state = whole(SYSCON_STATE),
    )
}

/// Memory for one purpose, from which the kernel allocates.
const POOL: &str = "compatible = \"shared-dma-pool\"; ";

/// Compiles the emulator's description `base` and `additions` to `output`, with files of its own in `folder`.
///
/// # Errors
/// What the compiler said.
pub fn compile(folder: &Path, base: &Path, additions: &str, output: &Path) -> Result<(), String> {
    let decompiled = folder.join("base.dts");
    let source = folder.join("machine.dts");
    let dtc = |form: [&str; 4], to: &Path, from: &Path| {
        // Its warnings are about the emulator's own nodes.
        run(Command::new("dtc").arg("-q").args(form).arg("-o").arg(to).arg(from))
    };
    dtc(["-I", "dtb", "-O", "dts"], &decompiled, base)?;
    // Root nodes are merged; the version line may stand only once, and does in the first file.
    let text =
        fs::read_to_string(&decompiled).map_err(|error| format!("cannot read {}: {error}", decompiled.display()))?;
    fs::write(&source, text + additions).map_err(|error| format!("cannot write {}: {error}", source.display()))?;
    dtc(["-I", "dts", "-O", "dtb"], output, &source)
}
