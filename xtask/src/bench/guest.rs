//! What guests cost the M core: instructions of host calls and events, bytes of memory.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use coracle_bench::{CONTAINER_BYTES_MAX, CallCost, OWN_CALL_MAX, guest_costs};

use super::{count, head, row};
use crate::setup;

/// Measures and returns the tables.
pub(super) fn run() -> Result<String> {
    if !setup::has_emulator() {
        bail!("instructions are counted by the emulator, which is missing: `cargo xtask setup` helps");
    }
    let costs = guest_costs().map_err(anyhow::Error::msg)?;
    let mut results = String::from("Instructions on a Cortex-M4, counted by QEMU; every run gives the same.\n\n");
    writeln!(
        results,
        "A host call, from the guest and back (aim: at most {OWN_CALL_MAX} of our own beside the work):\n"
    )?;
    head(&mut results, ["call", "our own", "the engine's", "together"].into_iter())?;
    for CallCost { name, engine, own } in &costs.calls {
        let cells = [own.to_string(), engine.to_string(), (own + engine).to_string()];
        row(&mut results, name, cells.into_iter().map(Ok))?;
    }
    results.push_str("\nOther work (`copy` is the compiler's `memcpy` alone, for comparison):\n\n");
    head(&mut results, ["work", "bytes", "instructions"].into_iter())?;
    for cost in &costs.others {
        let bytes = if cost.payload == 0 { String::new() } else { cost.payload.to_string() };
        row(&mut results, &cost.operation, [bytes, count(cost)].into_iter().map(Ok))?;
    }
    writeln!(
        results,
        "\nMemory of a container beside its linear memory (aim: at most {CONTAINER_BYTES_MAX} bytes):\n"
    )?;
    head(&mut results, ["container", "bytes"].into_iter())?;
    for (what, bytes) in &costs.bytes {
        row(&mut results, what, [Ok(bytes.to_string())].into_iter())?;
    }
    Ok(results)
}
