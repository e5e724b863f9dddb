//! What the firmware and its containers take.

use std::path::Path;

use anyhow::{Context as _, Result};
use coracle_boards::Board as BoardFile;
use coracle_manifest::ScenarioOverride;
use coracle_test_scenario::{Board, Cancel, Machine, Plan, Programs, Workspace, run_scenario};
use object::{Object as _, ObjectSection as _, SectionFlags, SectionKind, elf};

use crate::{demo, setup};

/// Prints the sizes.
pub(crate) fn run(cancel: &Cancel) -> Result<()> {
    setup::rust_targets()?;
    eprintln!("building; the first time takes some minutes");
    let workspace = Workspace::find()?;
    let firmware = workspace.build_firmware()?;
    let sections = Sections::read(&firmware)?;
    let budget = BoardFile::builtin(Board::QemuAn386.name())?.budget;
    println!("firmware of {}: {}", Board::QemuAn386.name(), firmware.display());
    println!("  text   {:>8} B  code and constants", sections.text);
    println!("  data   {:>8} B  variables with a value", sections.data);
    println!("  bss    {:>8} B  variables that start at zero or undefined, with the arena", sections.bss);
    println!("  arena  {:>8} B  of it for containers and the interpreter", budget.heap_bytes);
    if !setup::has_emulator() {
        println!("SKIPPED: the use of the arena, because the emulator is missing; `cargo xtask setup` helps");
        return Ok(());
    }
    containers(&workspace, cancel)
}

/// Runs the example and prints what its containers took.
fn containers(workspace: &Workspace, cancel: &Cancel) -> Result<()> {
    let programs = Programs::find_or_build(Board::QemuAn386)?;
    let plan = Plan::read(&workspace.root.join(demo::MANIFEST), &programs.modules, &ScenarioOverride::default())?;
    let run_dir = tempfile::Builder::new().prefix("coracle-").tempdir().context("cannot make a folder for the run")?;
    let mut machine = Machine::start(programs, run_dir.path(), cancel.clone())?;
    let outcome = run_scenario(&mut machine, &plan, &mut |_| {})?;
    println!("containers of {}, linear memory after its scenario:", demo::MANIFEST);
    for (name, container) in &outcome.report.containers {
        println!("  {name:<12} {:>8} B", container.memory_bytes);
    }
    Ok(())
}

/// Bytes of an ELF by where they go.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sections {
    text: u64,
    data: u64,
    bss: u64,
}

impl Sections {
    fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = object::File::parse(&*bytes).with_context(|| format!("{} is not an ELF file", path.display()))?;
        let mut sizes = Self::default();
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
            let has = |flag: u32| sh_flags & u64::from(flag) != 0;
            // Sections that are not loaded hold debug information and log strings.
            if !has(elf::SHF_ALLOC) {
                continue;
            }
            let kind = section.kind();
            if matches!(kind, SectionKind::UninitializedData | SectionKind::UninitializedTls) {
                sizes.bss += section.size();
            } else if has(elf::SHF_WRITE) {
                sizes.data += section.size();
            } else {
                sizes.text += section.size();
            }
        }
        Ok(sizes)
    }
}
