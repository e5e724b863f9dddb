//! `docs/guest-interface.md`: every import with its type, grant, core, errors and cost.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use coracle_guest_abi::{Cores, IMPORTS, Import, Type, find_import, wasi};

use crate::header::errno;
use crate::wit::{Function, Interface, Package};

/// Values by import module and import.
pub type ByImport<T> = BTreeMap<String, BTreeMap<String, T>>;

/// What the specification does not say.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    /// Names of the errors of each import (`errors.toml`).
    pub errors: ByImport<Vec<String>>,
    /// Instructions of each import on a Cortex-M4 (`costs.toml`); may have gaps.
    pub costs: ByImport<u32>,
    /// What is special about each import of WASI (`wasi.toml`).
    pub wasi: BTreeMap<String, String>,
}

impl Notes {
    /// Reads the three files.
    ///
    /// # Errors
    /// What is no TOML of that form.
    pub fn parse(errors: &str, costs: &str, wasi: &str) -> Result<Self> {
        Ok(Self {
            errors: toml::from_str(errors).context("errors.toml")?,
            costs: toml::from_str(costs).context("costs.toml")?,
            wasi: toml::from_str(wasi).context("wasi.toml")?,
        })
    }
}

const HEAD: &str = "\
# The guest interface

What a container may call, on either core. The specification is
[`coracle.wit`](../shared-ipc/guest-abi/wit/coracle.wit); this page and the C header
[`coracle.h`](../guests/c/include/coracle.h) are made from it by `cargo xtask bless`, so do not edit them.

Guests in Rust use [`coracle-sdk`](../guests/sdk), guests in C the header, and any other language can declare the imports
itself, as the [AssemblyScript example](../guests/assemblyscript) does. `coracle new` writes a project to start from.

* Only numbers cross. Text and buffers are an address and a length in the guest's memory; the guest supplies every buffer.
* A result of 0 or more is success: a number, a handle, or the whole length of what was written, also if it did not fit. A
  result below 0 is a negated error. The functions of WASI return WASI's own numbers, 0 for success.
* A call without its grant in the manifest is not linked, and the container is refused with the line to add.
* Every call checks its arguments against the grant. A refusal changes nothing, is counted, and the first one is logged.
* A call that *parks* stops this container until it has its result. It holds neither core.

A guest has one of two styles. In event style it exports `on_event(kind: i32, source: i32, len: i32) -> i32`, called for one
event at a time, and may export `init() -> i32`, called once before the first; a negative result ends the container. In
command style it exports `_start()`, which runs from start to end and waits with `event.wait`, `msg.wait`, `time.sleep` or
`poll_oneoff`; it stays on the core where it started. Both export their memory as `memory`.

*Cost* is instructions of this project's code for one call on a Cortex-M4, beside those of the interpreter; `-` where it was
not measured.
";

/// Makes the page.
///
/// # Errors
/// An import without its entry in `notes`, an entry without its import, or an error that does not exist.
pub fn render(interface: &Interface, notes: &Notes) -> Result<String> {
    let mut out = HEAD.to_owned();
    out.push_str("\n## Errors\n\n| name | number | |\n| --- | --- | --- |\n");
    for case in &interface.errno {
        let (number, meaning) = errno(case)?;
        writeln!(out, "| `{}` | {number} | {meaning} |", case.name)?;
    }
    for package in &interface.packages {
        render_package(&mut out, interface, package, notes).with_context(|| package.module.clone())?;
    }
    render_wasi(&mut out, notes)?;
    for (module, name) in notes.errors.iter().flat_map(|(m, names)| names.keys().map(move |n| (m, n))) {
        find_import(module, name).with_context(|| format!("errors.toml has {module} {name}, which does not exist"))?;
    }
    for (module, name) in notes.costs.iter().flat_map(|(m, names)| names.keys().map(move |n| (m, n))) {
        find_import(module, name).with_context(|| format!("costs.toml has {module} {name}, which does not exist"))?;
    }
    Ok(out)
}

fn render_package(out: &mut String, interface: &Interface, package: &Package, notes: &Notes) -> Result<()> {
    write!(out, "\n## `{}`\n\n", package.module)?;
    out.push_str(
        "| import | type | grant | core | parks | errors | cost |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for function in &package.functions {
        let name = function.import_name();
        let import = find_import(&package.module, &name).with_context(|| format!("{name} is not in the table"))?;
        let errors = notes.errors.get(&package.module).and_then(|names| names.get(&name));
        let errors = errors.with_context(|| format!("errors.toml says nothing about {name}"))?;
        if let Some(unknown) = errors.iter().find(|e| interface.errno.iter().all(|case| case.name != **e)) {
            bail!("errors.toml: {name} may give {unknown}, which does not exist");
        }
        if function.fallible == errors.is_empty() && name != "sleep" {
            bail!("errors.toml does not agree with the specification on whether {name} can fail");
        }
        let parks = if parks(function) { "may" } else { "" };
        row(out, import, parks, &list(errors), notes)?;
    }
    out.push('\n');
    for function in &package.functions {
        let text = function.docs.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(out, "* `{}({})`: {text}", function.import_name(), names(function))?;
    }
    for record in &package.records {
        let fields: Vec<String> = record.fields.iter().map(|f| format!("`{}`", f.name.replace('-', "_"))).collect();
        writeln!(out, "* record `{}`: {}", record.name.replace('-', "_"), fields.join(", "))?;
    }
    Ok(())
}

fn render_wasi(out: &mut String, notes: &Notes) -> Result<()> {
    write!(
        out,
        "\n## `{}`\n\nThe part of WASI that programs in Rust, C and AssemblyScript need; types and layouts as the WASI documents \
         have them. What is not listed is not linked.\n\n| import | type | grant | core | | cost |\n| --- | --- | --- | --- | \
         --- | --- |\n",
        wasi::MODULE
    )?;
    let imports = || IMPORTS.iter().filter(|import| import.module == wasi::MODULE);
    for import in imports() {
        let note =
            notes.wasi.get(import.name).with_context(|| format!("wasi.toml says nothing about {}", import.name))?;
        let (grant, core) = (grant(import), core(import));
        writeln!(
            out,
            "| `{}` | `{}` | {grant} | {core} | {note} | {} |",
            import.name,
            ty(import),
            cost(import, notes)
        )?;
    }
    match notes.wasi.keys().find(|name| imports().all(|import| import.name != **name)) {
        Some(unknown) => bail!("wasi.toml has {unknown}, which does not exist"),
        None => Ok(()),
    }
}

fn row(out: &mut String, import: &Import, parks: &str, errors: &str, notes: &Notes) -> Result<()> {
    let (grant, core) = (grant(import), core(import));
    let (ty, cost) = (ty(import), cost(import, notes));
    writeln!(out, "| `{}` | `{ty}` | {grant} | {core} | {parks} | {errors} | {cost} |", import.name)?;
    Ok(())
}

/// Whether the specification says that the function may park.
fn parks(function: &Function) -> bool {
    function.docs.contains("May park") || function.docs.contains("may park")
}

fn names(function: &Function) -> String {
    let names: Vec<String> = function.parameters.iter().map(|p| p.name.replace('-', "_")).collect();
    names.join(", ")
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn grant(import: &Import) -> String {
    import.grant.map_or_else(String::new, |grant| format!("`{}`", grant.key()))
}

fn core(import: &Import) -> &'static str {
    match import.cores {
        Cores::Both => "m, a",
        Cores::A => "a",
    }
}

fn ty(import: &Import) -> String {
    let name = |ty: &Type| match ty {
        Type::I32 => "i32",
        Type::I64 => "i64",
    };
    let parameters: Vec<&str> = import.params.iter().map(name).collect();
    let result = import.result.as_ref().map_or_else(String::new, |ty| format!(" -> {}", name(ty)));
    format!("({}){result}", parameters.join(", "))
}

fn cost(import: &Import, notes: &Notes) -> String {
    let cost = notes.costs.get(import.module).and_then(|names| names.get(import.name));
    cost.map_or_else(|| "-".to_owned(), u32::to_string)
}
