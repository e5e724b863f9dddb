//! From a manifest to the desired state: reads and prepares the modules, and checks everything that can be checked
//! before a core is asked. Errors quote the manifest where the mistake is there.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use coracle_boards::Board;
use coracle_guest_abi::host::Grants;
use coracle_manifest::{Container, Diagnostic, Manifest};
use coracle_model::{Desired, Placement, Plan};
use coracle_policy::{Core, MoveCondition, MoveRules};
use coracle_prepare::{AdmissionLimits, check_grants, prepare};
use coracle_wire::{ContainerSpec, Limits};

/// Largest module file that is read, in bytes.
const MODULE_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Loads the manifest at `path`.
///
/// # Errors
/// A text for the operator, with the manifest's line where there is one.
pub(crate) fn load(
    path: &Path,
    modules_dir: Option<&Path>,
    lockstep: bool,
    pinned: bool,
    board: &Board,
) -> Result<Desired> {
    let manifest = Manifest::load(path, modules_dir).map_err(|e| anyhow!("{e}"))?;
    let plans = manifest
        .containers
        .iter()
        .map(|container| plan(&manifest, container, pinned, board))
        .collect::<Result<Vec<_>>>()?;
    let queued = manifest.scenario.as_ref().map_or(0, |s| s.queued_at_move);
    Ok(Desired {
        plans,
        wake: manifest.wake.as_slice().to_vec(),
        lockstep,
        queued_at_move: u8::try_from(queued).unwrap_or(u8::MAX),
    })
}

fn plan(manifest: &Manifest, container: &Container, pinned: bool, board: &Board) -> Result<Plan> {
    let name = container.name.as_str();
    let file = container.module.display();
    let fail = |key: &[&str], title: String, help: String| match manifest.locate(name, key) {
        Some(span) => anyhow!("{}", manifest.error(Diagnostic::at(span, title, help))),
        None => anyhow!("{title}: {help}"),
    };
    let size = fs::metadata(&container.module).with_context(|| format!("cannot read {file}"))?.len();
    if size > MODULE_FILE_BYTES_MAX {
        bail!("{file} has {size} bytes, over the limit of {MODULE_FILE_BYTES_MAX} for a module");
    }
    let wasm = fs::read(&container.module).with_context(|| format!("cannot read {file}"))?;
    let memory = container.limits.memory_bytes;
    let prepared = prepare(&wasm, &AdmissionLimits { memory })
        .map_err(|e| fail(&["module"], format!("the module of `{name}` cannot be used"), format!("{file}: {e}")))?;
    let grants = grants(container)?;
    if let Err(missing) = check_grants(&prepared, &grants)
        && let Some(first) = missing.first()
    {
        let key = first.grant.key();
        let title = format!("`{name}` imports {} {}, which is not granted", first.import_module, first.import_name);
        return Err(fail(&["grants"], title, format!("add `{key} = [...]` to [container.{name}.grants]")));
    }
    let on_m = container.placement.allows(Core::M);
    if on_m && memory > board.budget.linear_memory_bytes_max {
        let (has, core) = (board.budget.linear_memory_bytes_max, board.name.as_str());
        let title = format!("`{name}` may use {memory} bytes of memory, the M core of board `{core}` has {has}");
        return Err(fail(&["limits", "memory"], title, "lower limits.memory, or place it on A: core = \"a\"".into()));
    }
    if on_m && let Err(reasons) = &prepared.portable {
        let why = reasons.first().map(ToString::to_string).unwrap_or_default();
        let title = format!("the module of `{name}` cannot run on the M core");
        return Err(fail(&["module"], title, format!("{why}; or place it on A: core = \"a\"")));
    }
    let placement = match &container.placement {
        coracle_manifest::Placement::Fixed(core) => Placement::Fixed(*core),
        coracle_manifest::Placement::Any { prefer, moves } => {
            Placement::Any { prefer: *prefer, moves: if pinned { MoveRules::new() } else { moves.clone() } }
        }
    };
    if let Some(moves) = container.placement.moves() {
        for (index, rule) in moves.as_slice().iter().enumerate() {
            let counts_on_m = matches!(rule.when, MoveCondition::Handled { .. }) || rule.min_stay_events > 0;
            if rule.to == Core::A && counts_on_m {
                let title = format!("a move rule of `{name}` counts events that it handles on M");
                let help = "only events handled on A are counted so far: use `when = { message = \"...\" }`";
                return Err(fail(&["move", &index.to_string()], title, help.into()));
            }
        }
    }
    let limits =
        Limits { memory, fuel_per_event: container.limits.fuel_per_event, queue: container.limits.queue_events };
    let spec = ContainerSpec {
        name: container.name.clone(),
        image: prepared.digest,
        portable: matches!(placement, Placement::Any { .. }),
        limits,
        grants,
    };
    Ok(Plan { spec, placement, module: Arc::new(prepared.bytes) })
}

fn grants(container: &Container) -> Result<Grants> {
    let limit = || anyhow!("container `{}` has more grants or settings than its core can hold", container.name);
    let list = |names: &[coracle_policy::Name]| heapless::Vec::from_slice(names).map_err(|_| limit());
    let mut config = heapless::Vec::new();
    for (key, value) in &container.config {
        let value = heapless::String::try_from(value.as_str()).map_err(|_| limit())?;
        config.push((key.clone(), value)).map_err(|_| limit())?;
    }
    Ok(Grants {
        sensors: list(&container.grants.sensors)?,
        publish: list(&container.grants.publish)?,
        subscribe: list(&container.grants.subscribe)?,
        wake: list(&container.grants.wake)?,
        config,
    })
}
