//! From a manifest to the desired state: reads and prepares the modules, and checks everything that can be checked
//! before a core is asked. Errors quote the manifest where the mistake is there.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use coracle_boards::Board;
use coracle_container::{
    ContainerSpec, FileGrant, Grants, HostGrant, I2cGrant, Limits, List, PinGrant, PinMode, SensorGrant, SpiGrant,
};
use coracle_manifest::{Container, Diagnostic, Manifest};
use coracle_model::{Desired, Placement, Plan};
use coracle_policy::{Core, MoveCondition, MoveRules};
use coracle_prepare::{AdmissionLimits, check_grants, prepare};

use crate::secret::Secret;

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
    secret: &Secret,
) -> Result<Desired> {
    let manifest = Manifest::load(path, modules_dir).map_err(|e| anyhow!("{e}"))?;
    let plans = manifest
        .containers
        .iter()
        .map(|container| plan(&manifest, container, pinned, board, secret))
        .collect::<Result<Vec<_>>>()?;
    let queued = manifest.scenario.as_ref().map_or(0, |s| s.queued_at_move);
    Ok(Desired {
        plans,
        wake: manifest.wake.as_slice().to_vec(),
        lockstep,
        queued_at_move: u8::try_from(queued).unwrap_or(u8::MAX),
    })
}

fn plan(manifest: &Manifest, container: &Container, pinned: bool, board: &Board, secret: &Secret) -> Result<Plan> {
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
    if prepared.command && matches!(container.placement, coracle_manifest::Placement::Any { .. }) {
        let title = format!("`{name}` cannot move between the cores: its module is a command, it exports `_start`");
        let help = "place it on one core: core = \"m\" or core = \"a\"; or handle events in `on_event`";
        return Err(fail(&["core"], title, help.into()));
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
    let spec = ContainerSpec {
        name: container.name.clone(),
        image: prepared.digest,
        portable: matches!(placement, Placement::Any { .. }),
        seed: secret.seed(&container.name, &prepared.digest),
        limits: limits(container),
        grants,
    };
    if let Some(what) = spec.over_limit() {
        bail!("container `{name}`: {what}");
    }
    Ok(Plan { spec, placement, module: Arc::new(prepared.bytes), names: Arc::new(prepared.names) })
}

fn limits(container: &Container) -> Limits {
    let l = &container.limits;
    Limits {
        memory: l.memory_bytes,
        table: l.table_elements,
        stack: l.stack_bytes,
        fuel_per_event: l.fuel_per_event,
        fuel_per_second: l.fuel_per_second,
        queue: l.queue_events,
        timers: l.timers,
        subscriptions: l.subscriptions,
        handles: l.handles,
        logs_per_second: l.logs_per_second,
        payload: l.payload_bytes,
    }
}

fn grants(container: &Container) -> Result<Grants> {
    let limit = || anyhow!("container `{}` has more grants or settings than its core can hold", container.name);
    let granted = &container.grants;
    let pin = |p: &coracle_manifest::PinGrant| PinGrant {
        label: p.label.clone(),
        mode: match p.mode {
            coracle_manifest::PinMode::Input => PinMode::Input,
            coracle_manifest::PinMode::Output => PinMode::Output,
        },
        exclusive: p.exclusive,
    };
    let i2c = |b: &coracle_manifest::I2cGrant| {
        let addresses = list(b.addresses.iter().copied())?;
        Some(I2cGrant { bus: b.bus.clone(), addresses, exclusive: b.exclusive })
    };
    let sensor = |s: &coracle_manifest::SensorGrant| SensorGrant {
        name: s.name.clone(),
        rate_hz: s.rate_hz.unwrap_or(0),
        exclusive: s.exclusive,
    };
    let spi = |d: &coracle_manifest::SpiGrant| SpiGrant { device: d.device.clone(), exclusive: d.exclusive };
    let host = |h: &coracle_manifest::HostGrant| HostGrant { host: h.host.clone(), port: h.port };
    let file =
        |f: &coracle_manifest::FileGrant| FileGrant { guest: f.guest.clone(), host: f.host.clone(), write: f.write };
    let all = || {
        Some(Grants {
            sensors: list(granted.sensors.iter().map(sensor))?,
            pins: list(granted.pins.iter().map(pin))?,
            i2c: list(granted.i2c.iter().map(i2c).collect::<Option<Vec<_>>>()?.into_iter())?,
            spi: list(granted.spi.iter().map(spi))?,
            publish: list(granted.publish.iter().cloned())?,
            subscribe: list(granted.subscribe.iter().cloned())?,
            wake: list(granted.wake.iter().cloned())?,
            kv: granted.kv_bytes,
            hosts: list(granted.hosts.iter().map(host))?,
            files: list(granted.files.iter().map(file))?,
            config: list(container.config.iter().cloned())?,
            args: list(container.args.iter().cloned())?,
        })
    };
    all().ok_or_else(limit)
}

/// `None` when there are more than fit: nothing of a manifest is left out silently.
fn list<T, const N: usize>(items: impl Iterator<Item = T>) -> Option<List<T, N>> {
    let mut list = List::default();
    for item in items {
        list.push(item).ok()?;
    }
    Some(list)
}
