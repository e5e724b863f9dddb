//! What the firmware and its containers take.

use std::path::Path;

use anyhow::{Context as _, Result};
use coracle_api::{Core, What};
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
    let logged = outcome.events.iter().rev().find_map(|event| match &event.what {
        What::Log { core: Core::M, text, .. } => peak_bytes(text),
        _ => None,
    });
    match logged {
        Some(bytes) => println!("  peak   {bytes:>8} B  of the arena, in the scenario of {}", demo::MANIFEST),
        None => println!("  peak   unknown: the firmware logged no use of its heap"),
    }
    println!("containers: arena after the start (module, engine, memory, first stack), and linear memory of it");
    let lines = outcome.events.iter().filter_map(|event| match &event.what {
        What::Log { core: Core::M, text, .. } => Some(text.as_str()),
        _ => None,
    });
    let arena = arena_by_container(lines);
    for (name, container) in &outcome.report.containers {
        let arena = arena.iter().find(|(who, _)| who == name).map_or("on A".into(), |(_, bytes)| format!("{bytes} B"));
        println!("  {name:<12} {arena:>10} {:>8} B", container.memory_bytes);
    }
    Ok(())
}

/// By how much the use of the arena rose with the start of each container, from the firmware's log. Containers that
/// started before the firmware was idle again share a name: `one + other`.
fn arena_by_container<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, u64)> {
    let (mut found, mut started, mut before) = (Vec::new(), Vec::new(), 0);
    for line in lines {
        if let Some(name) = line.strip_suffix(" runs") {
            started.push(name);
        } else if let Some(used) = used_bytes(line) {
            if !started.is_empty() {
                found.push((started.join(" + "), used.saturating_sub(before)));
                started.clear();
            }
            before = used;
        }
    }
    found
}

/// The bytes of the arena in use, if `line` of the firmware's log says so.
fn used_bytes(line: &str) -> Option<u64> {
    line.strip_prefix("heap: ")?.split_once(" bytes used")?.0.parse().ok()
}

/// The most bytes of the arena ever used, if `line` of the firmware's log says so: `heap: 1 bytes used, peak 2 of 3`.
fn peak_bytes(line: &str) -> Option<u64> {
    let (_, peak) = line.strip_prefix("heap: ")?.split_once("peak ")?;
    peak.split_once(' ')?.0.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_use_of_the_heap_is_read_from_the_log() {
        assert_eq!(peak_bytes("heap: 100 bytes used, peak 257 of 1048576"), Some(257));
        assert_eq!(peak_bytes("tracker runs"), None);
        assert_eq!(peak_bytes("heap: full"), None);
        let log = ["heap: 5 bytes used, peak 5 of 9", "a runs", "heap: 7 bytes used, peak 7 of 9", "b runs", "c runs"];
        let more = ["b: hello", "heap: 20 bytes used, peak 21 of 99", "heap: 6 bytes used, peak 21 of 99"];
        let found = arena_by_container(log.into_iter().chain(more));
        assert_eq!(found, [("a".to_owned(), 2), ("b + c".to_owned(), 13)]);
    }

    #[test]
    fn sections_of_a_program_are_told_apart() {
        let sizes = Sections::read(&std::env::current_exe().unwrap()).unwrap();
        assert!(sizes.text > sizes.data && sizes.data > 0 && sizes.bss > 0, "{sizes:?}");
        assert!(Sections::read(Path::new(file!())).is_err());
    }
}
