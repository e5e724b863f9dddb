//! Reading a board file with its chip file and checking them against each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::file::{BoardFile, ChipFile, FirmwareEntry, MemoryEntry, PartEntry, RegionEntries, SharedEntry, SpanEntry};
use crate::layout::{Budget, RPMSG_BUFFER_BYTES, SharedLayout, Span, TimerSpec, UartSpec, vring_bytes};
use crate::{log_ring, trace};

/// Boards whose files are part of this crate.
pub const BUILTIN_BOARDS: &[&str] = &["host", "qemu-an386", "qemu-an500"];

/// Alignment of every shared region in bytes: a cache line of the largest A core we know, so that cleaning one
/// region's cache lines never touches a neighbour that the other core writes.
const REGION_ALIGN_BYTES: u32 = 64;

/// Alignment of a part of a memory in bytes: enough for any vector table, page or cache line.
const PART_ALIGN_BYTES: u32 = 4096;

/// Most descriptors in a vring: Linux gives each direction at most 256 buffers.
const VRING_NUM_MAX: u16 = 256;

/// Largest vring alignment in bytes that rpmsg-lite accepts.
const VRING_ALIGN_BYTES_MAX: u32 = 65536;

/// Room for the largest resource table in bytes: Linux maps 1 KiB when it attaches to a running core.
const RESOURCE_TABLE_BYTES_MIN: u32 = 1024;

/// A checked board description.
///
/// Holding one proves: every shared region is inside the shared memory, aligned, and apart from the others; the rings
/// and buffers fit their regions; code, data and shared memory exist on the chip and do not overlap; heap and stack fit
/// the data memory; the budgets fit the heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// Name, equal to the file name without `.toml`.
    pub name: String,
    /// One line for lists.
    pub summary: String,
    /// The chip it is made of.
    pub chip: Chip,
    /// Where everything is in the memory that both cores see.
    pub shared: SharedLayout,
    /// The chip's memory that the shared memory is, or is a part of: what a file holds, where a file stands for it.
    pub shared_backing: Memory,
    /// What the M core may spend.
    pub budget: Budget,
    /// What a firmware build needs; `None` where the M core is a Linux process.
    pub firmware: Option<Firmware>,
}

/// The facts of a chip that are not the board's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chip {
    /// Name, equal to the file name without `.toml`.
    pub name: String,
    /// Rust target of its M core; `None` for a Linux process.
    pub target: Option<String>,
}

/// A range of the M core's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// First address.
    pub address: u32,
    /// Length in bytes.
    pub bytes: u32,
}

/// Memories and peripherals that a board gives to its M-core firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firmware {
    /// Rust target to build for.
    pub target: String,
    /// Clock of the UARTs and timers, in hertz.
    pub clock_hz: u32,
    /// Where code and constants go; holds the vector table.
    pub code: Memory,
    /// Where variables, heap and stack go.
    pub data: Memory,
    /// Text output for the last words of a crash.
    pub console: UartSpec,
    /// Doorbell to and from the A core.
    pub doorbell: UartSpec,
    /// Link to the sensor.
    pub sensor: UartSpec,
    /// Timer that counts all the time.
    pub clock: TimerSpec,
    /// Timer that ends a sleep.
    pub alarm: TimerSpec,
}

/// Why a board could not be used. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// A file could not be read.
    #[error("cannot read board description {path}; give the path of a board file, or one of the built-in names: {}", BUILTIN_BOARDS.join(", "))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not TOML of the expected shape. The source shows the line.
    #[error("{file} is not a valid description")]
    Parse {
        /// The file.
        file: String,
        /// Line, column and what is wrong there.
        source: Box<toml::de::Error>,
    },
    /// No board of that name is part of this crate.
    #[error("no built-in board is called `{name}`; there are: {}", BUILTIN_BOARDS.join(", "))]
    UnknownBoard {
        /// The name asked for.
        name: String,
    },
    /// A value contradicts another one.
    #[error("{file}: `{key}`: {problem}")]
    Check {
        /// The file that holds the key.
        file: String,
        /// The key, dotted from the top of the file.
        key: String,
        /// What is wrong with its value and what would be right.
        problem: String,
    },
}

impl Board {
    /// The board of this name whose files are part of this crate.
    ///
    /// # Errors
    /// [`BoardError::UnknownBoard`] if there is none.
    pub fn builtin(name: &str) -> Result<Self, BoardError> {
        let text = match name {
            "host" => include_str!("../host.toml"),
            "qemu-an386" => include_str!("../qemu-an386.toml"),
            "qemu-an500" => include_str!("../qemu-an500.toml"),
            _ => return Err(BoardError::UnknownBoard { name: name.to_owned() }),
        };
        Self::parse(&format!("boards/{name}.toml"), text)
    }

    /// Reads a board file. Its chip is `chips/NAME.toml` beside it, or else the built-in chip of that name.
    ///
    /// # Errors
    /// Any [`BoardError`] but `UnknownBoard`.
    pub fn load(path: &Path) -> Result<Self, BoardError> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|source| BoardError::Read { path: path.to_owned(), source })
        };
        let shown = path.display().to_string();
        let board: BoardFile = from_toml(&shown, &read(path)?)?;
        if path.file_stem().is_none_or(|stem| stem != board.name.as_str()) {
            return Err(check(&shown, "name", format!("is `{}`; it must equal the file name", board.name)));
        }
        let chip_path = path.with_file_name("chips").join(format!("{}.toml", board.chip));
        let (chip_shown, chip_text) = if chip_path.exists() {
            (chip_path.display().to_string(), read(&chip_path)?)
        } else {
            builtin_chip(&shown, &board.chip)?
        };
        Self::from_files(&shown, board, &chip_shown, &chip_text)
    }

    /// Reads a board from text. `file` is its name in errors; the chip must be a built-in one.
    ///
    /// # Errors
    /// [`BoardError::Parse`] or [`BoardError::Check`].
    pub fn parse(file: &str, text: &str) -> Result<Self, BoardError> {
        let board: BoardFile = from_toml(file, text)?;
        let (chip_file, chip_text) = builtin_chip(file, &board.chip)?;
        Self::from_files(file, board, &chip_file, &chip_text)
    }

    fn from_files(file: &str, board: BoardFile, chip_file: &str, chip_text: &str) -> Result<Self, BoardError> {
        let chip: ChipFile = from_toml(chip_file, chip_text)?;
        if chip.name != board.chip {
            return Err(check(chip_file, "name", format!("is `{}`; it must equal the file name", chip.name)));
        }
        check_memories(chip_file, &chip.memory)?;
        let memories = with_parts(file, &board.part, &chip.memory)?;
        let (shared, shared_backing) = shared_layout(file, &board.shared, &memories)?;
        let budget = Budget {
            heap_bytes: board.budget.heap_bytes,
            stack_bytes: board.budget.stack_bytes,
            containers_max: board.budget.containers_max,
            linear_memory_bytes_max: board.budget.linear_memory_bytes_max,
            module_bytes_max: board.budget.module_bytes_max,
        };
        check_budget(file, &budget)?;
        let firmware = firmware(file, &board, chip_file, &chip, &memories, &budget)?;
        Ok(Self {
            name: board.name,
            summary: board.summary,
            chip: Chip { name: chip.name, target: chip.target },
            shared,
            shared_backing,
            budget,
            firmware,
        })
    }
}

fn builtin_chip(board_file: &str, name: &str) -> Result<(String, String), BoardError> {
    let text = match name {
        "mps2-an386" => include_str!("../chips/mps2-an386.toml"),
        "mps2-an500" => include_str!("../chips/mps2-an500.toml"),
        "linux-process" => include_str!("../chips/linux-process.toml"),
        _ => {
            return Err(check(
                board_file,
                "chip",
                format!("there is no chip `{name}`; add `chips/{name}.toml` beside the board file"),
            ));
        }
    };
    Ok((format!("boards/chips/{name}.toml"), text.to_owned()))
}

fn from_toml<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, BoardError> {
    toml::from_str(text).map_err(|source| BoardError::Parse { file: file.to_owned(), source: Box::new(source) })
}

fn check(file: &str, key: &str, problem: String) -> BoardError {
    BoardError::Check { file: file.to_owned(), key: key.to_owned(), problem }
}

/// A named range with its first byte and the byte after its last; 64 bits, so that no sum overflows.
struct Range<'a> {
    key: &'a str,
    start: u64,
    end: u64,
}

/// The first two ranges that share a byte. The lists are short enough for every pair.
fn overlap<'a>(ranges: &'a [Range<'a>]) -> Option<(&'a Range<'a>, &'a Range<'a>)> {
    ranges
        .iter()
        .enumerate()
        .find_map(|(i, a)| ranges.iter().skip(i + 1).find(|b| a.start < b.end && b.start < a.end).map(|b| (a, b)))
}

fn check_memories(file: &str, memories: &BTreeMap<String, MemoryEntry>) -> Result<(), BoardError> {
    let mut ranges = Vec::new();
    for (key, memory) in memories {
        let start = u64::from(memory.address);
        let end = start + u64::from(memory.bytes);
        if memory.bytes == 0 || end > 1 << 32 {
            let problem = "must be at least one byte long and end below 4 GiB".to_owned();
            return Err(check(file, &format!("memory.{key}"), problem));
        }
        ranges.push(Range { key, start, end });
    }
    match overlap(&ranges) {
        Some((a, b)) => {
            Err(check(file, &format!("memory.{}", b.key), format!("overlaps `memory.{}`; move one of them", a.key)))
        }
        None => Ok(()),
    }
}

/// Something that a board can put things into: a memory of the chip, or a part of one.
#[derive(Clone, Copy)]
struct Place {
    /// Where it is.
    memory: Memory,
    /// The whole memory.
    backing: Memory,
}

impl Place {
    fn range<'a>(&self, key: &'a str) -> Range<'a> {
        let start = u64::from(self.memory.address);
        Range { key, start, end: start + u64::from(self.memory.bytes) }
    }
}

/// The chip's memories and the board's parts of them, by name.
fn with_parts(
    file: &str,
    parts: &BTreeMap<String, PartEntry>,
    memories: &BTreeMap<String, MemoryEntry>,
) -> Result<BTreeMap<String, Place>, BoardError> {
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    for (name, entry) in memories {
        let memory = Memory { address: entry.address, bytes: entry.bytes };
        places.insert(name.clone(), Place { memory, backing: memory });
    }
    for (name, part) in parts {
        let key = format!("part.{name}");
        let whole = lookup(file, &format!("{key}.memory"), &part.memory, memories)?;
        let inside = part.offset.checked_add(part.bytes).is_some_and(|end| end <= whole.bytes);
        if !inside || part.bytes == 0 || !part.offset.is_multiple_of(PART_ALIGN_BYTES) {
            let problem = format!(
                "must be at least one byte long, inside the {:#x} bytes of `{}`, and at a multiple of \
                 {PART_ALIGN_BYTES:#x}",
                whole.bytes, part.memory
            );
            return Err(check(file, &key, problem));
        }
        let place = Place {
            // Fits: the part is inside the memory, whose end `check_memories` checked.
            memory: Memory { address: whole.address + part.offset, bytes: part.bytes },
            backing: Memory { address: whole.address, bytes: whole.bytes },
        };
        if places.insert(name.clone(), place).is_some() {
            return Err(check(file, &key, "is also the name of a memory of the chip; choose another".to_owned()));
        }
    }
    Ok(places)
}

fn shared_layout(
    file: &str,
    shared: &SharedEntry,
    places: &BTreeMap<String, Place>,
) -> Result<(SharedLayout, Memory), BoardError> {
    let Place { memory, backing } = *lookup(file, "shared.memory", &shared.memory, places)?;
    if !shared.vring_num.is_power_of_two() || shared.vring_num > VRING_NUM_MAX {
        let problem = format!("is {}; it must be a power of two, at most {VRING_NUM_MAX}", shared.vring_num);
        return Err(check(file, "shared.vring_num", problem));
    }
    let align = shared.vring_align;
    if !align.is_power_of_two() || !(4..=VRING_ALIGN_BYTES_MAX).contains(&align) {
        let problem = format!("is {align}; it must be a power of two from 4 to {VRING_ALIGN_BYTES_MAX}");
        return Err(check(file, "shared.vring_align", problem));
    }
    let RegionEntries { resource_table, vring0, vring1, buffers, trace, log, bulk_to_m, bulk_to_a, retained } =
        &shared.regions;
    let span = |entry: &SpanEntry| Span { offset: entry.offset, bytes: entry.bytes };
    let layout = SharedLayout {
        address: memory.address,
        bytes: memory.bytes,
        vring_num: shared.vring_num,
        vring_align: align,
        resource_table: span(resource_table),
        vring0: span(vring0),
        vring1: span(vring1),
        buffers: span(buffers),
        trace: trace.as_ref().map(span),
        log: span(log),
        bulk_to_m: span(bulk_to_m),
        bulk_to_a: span(bulk_to_a),
        retained: span(retained),
    };
    check_regions(file, &layout)?;
    Ok((layout, backing))
}

fn check_regions(file: &str, layout: &SharedLayout) -> Result<(), BoardError> {
    let ring = vring_bytes(layout.vring_num, layout.vring_align);
    let ring_align = layout.vring_align.max(REGION_ALIGN_BYTES);
    let mut ranges = Vec::new();
    for (key, span) in layout.regions() {
        let (align, least) = match key {
            "resource_table" => (REGION_ALIGN_BYTES, RESOURCE_TABLE_BYTES_MIN),
            "vring0" | "vring1" => (ring_align, ring),
            "buffers" => (REGION_ALIGN_BYTES, 2 * u32::from(layout.vring_num) * RPMSG_BUFFER_BYTES),
            "trace" => (REGION_ALIGN_BYTES, trace::BYTES_MIN),
            "log" => (REGION_ALIGN_BYTES, log_ring::BYTES_MIN),
            _ => (REGION_ALIGN_BYTES, REGION_ALIGN_BYTES),
        };
        let refuse = |problem: String| Err(check(file, &format!("shared.regions.{key}"), problem));
        if !span.offset.is_multiple_of(align) || !span.bytes.is_multiple_of(REGION_ALIGN_BYTES) {
            return refuse(format!(
                "offset {:#x} must be a multiple of {align:#x}, bytes {:#x} one of {REGION_ALIGN_BYTES:#x}",
                span.offset, span.bytes
            ));
        }
        if span.bytes < least {
            return refuse(format!("has {:#x} bytes and needs at least {least:#x}", span.bytes));
        }
        let start = u64::from(span.offset);
        let end = start + u64::from(span.bytes);
        if end > u64::from(layout.bytes) {
            return refuse(format!("ends at {end:#x}, beyond the shared memory of {:#x} bytes", layout.bytes));
        }
        ranges.push(Range { key, start, end });
    }
    match overlap(&ranges) {
        Some((a, b)) => Err(check(
            file,
            &format!("shared.regions.{}", b.key),
            format!("overlaps `shared.regions.{}`; move one of them", a.key),
        )),
        None => Ok(()),
    }
}

fn check_budget(file: &str, budget: &Budget) -> Result<(), BoardError> {
    if budget.containers_max == 0 {
        return Err(check(file, "budget.containers_max", "must be at least 1".to_owned()));
    }
    let needed = u64::from(budget.linear_memory_bytes_max) + u64::from(budget.module_bytes_max);
    if needed > u64::from(budget.heap_bytes) {
        let problem = format!(
            "has {:#x} bytes, but linear_memory_bytes_max and module_bytes_max together are {needed:#x}; \
             enlarge the heap or lower them",
            budget.heap_bytes
        );
        return Err(check(file, "budget.heap_bytes", problem));
    }
    Ok(())
}

fn firmware(
    file: &str,
    board: &BoardFile,
    chip_file: &str,
    chip: &ChipFile,
    places: &BTreeMap<String, Place>,
    budget: &Budget,
) -> Result<Option<Firmware>, BoardError> {
    let (entry, target) = match (&board.firmware, &chip.target) {
        (None, None) => return Ok(None),
        (Some(entry), Some(target)) => (entry, target),
        (Some(_), None) => {
            return Err(check(file, "firmware", format!("chip `{}` runs no firmware; remove it", chip.name)));
        }
        (None, Some(_)) => {
            return Err(check(file, "firmware", format!("is missing; chip `{}` runs firmware", chip.name)));
        }
    };
    let Some(clock_hz) = chip.clock_hz.filter(|hz| *hz >= 1_000_000 && hz.is_multiple_of(1_000_000)) else {
        let problem = "must be given as a whole number of megahertz: the clock counts microseconds".to_owned();
        return Err(check(chip_file, "clock_hz", problem));
    };
    let FirmwareEntry { code, data, console, doorbell, sensor, clock, alarm } = entry;
    let place = |key: &str, name: &str| lookup(file, key, name, places).copied();
    let shared = place("shared.memory", &board.shared.memory)?;
    let (code, data) = (place("firmware.code", code)?, place("firmware.data", data)?);
    let ranges = [shared.range("shared.memory"), code.range("firmware.code"), data.range("firmware.data")];
    if let Some((a, b)) = overlap(&ranges) {
        let problem = format!("overlaps `{}`; give it a memory, or a part of one, of its own", a.key);
        return Err(check(file, b.key, problem));
    }
    let (code, data) = (code.memory, data.memory);
    let needed = u64::from(budget.heap_bytes) + u64::from(budget.stack_bytes);
    if needed > u64::from(data.bytes) {
        let problem =
            format!("heap and stack together are {needed:#x} bytes, but the data memory has {:#x}", data.bytes);
        return Err(check(file, "budget.heap_bytes", problem));
    }
    distinct(file, &[("firmware.console", console), ("firmware.doorbell", doorbell), ("firmware.sensor", sensor)])?;
    distinct(file, &[("firmware.clock", clock), ("firmware.alarm", alarm)])?;
    let uart = |key: &str, name: &str| {
        lookup(file, key, name, &chip.uart).map(|entry| UartSpec {
            address: entry.address,
            rx_irq: entry.rx_irq,
            tx_irq: entry.tx_irq,
        })
    };
    let timer = |key: &str, name: &str| {
        lookup(file, key, name, &chip.timer).map(|entry| TimerSpec { address: entry.address, irq: entry.irq })
    };
    Ok(Some(Firmware {
        target: target.clone(),
        clock_hz,
        code,
        data,
        console: uart("firmware.console", console)?,
        doorbell: uart("firmware.doorbell", doorbell)?,
        sensor: uart("firmware.sensor", sensor)?,
        clock: timer("firmware.clock", clock)?,
        alarm: timer("firmware.alarm", alarm)?,
    }))
}

fn lookup<'a, T>(file: &str, key: &str, name: &str, table: &'a BTreeMap<String, T>) -> Result<&'a T, BoardError> {
    table.get(name).ok_or_else(|| {
        let known: Vec<&str> = table.keys().map(String::as_str).collect();
        check(file, key, format!("there is no `{name}`; there are: {}", known.join(", ")))
    })
}

/// Refuses a peripheral with two jobs.
fn distinct(file: &str, uses: &[(&str, &String)]) -> Result<(), BoardError> {
    for (i, (first, name)) in uses.iter().enumerate() {
        if let Some((second, _)) = uses.iter().skip(i + 1).find(|(_, other)| other == name) {
            return Err(check(file, second, format!("`{name}` is already `{first}`; choose another")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const QEMU: &str = include_str!("../qemu-an386.toml");
    /// A board that divides a memory.
    const DIVIDED: &str = include_str!("../qemu-an500.toml");

    /// Parses `board` after replacing `from`, which must be there, by `to`.
    fn edited(board: &str, from: &str, to: &str) -> Result<Board, BoardError> {
        assert!(board.contains(from), "the board file no longer contains {from:?}");
        Board::parse("b.toml", &board.replace(from, to))
    }

    fn problem(board: &str, from: &str, to: &str) -> String {
        edited(board, from, to).expect_err("must be refused").to_string()
    }

    #[test]
    fn every_builtin_board_is_valid_and_known_by_its_name() {
        for name in BUILTIN_BOARDS {
            assert_eq!(Board::builtin(name).expect("valid").name, *name);
        }
        assert!(matches!(Board::builtin("toaster"), Err(BoardError::UnknownBoard { .. })));
    }

    #[test]
    fn host_and_qemu_have_the_same_layout_and_budget() {
        let host = Board::builtin("host").expect("valid");
        let qemu = Board::builtin("qemu-an386").expect("valid");
        assert_eq!(host.shared, qemu.shared);
        assert_eq!(host.budget, qemu.budget);
        assert!(host.firmware.is_none() && qemu.firmware.is_some());
        assert_eq!(Board::builtin("qemu-an500").expect("valid").budget, host.budget);
    }

    #[test]
    fn the_layout_that_linux_is_told_in_its_device_tree_is_that_of_the_board_file() {
        let board = Board::builtin("qemu-an500").expect("valid");
        let at = |span: Span| (board.shared.address + span.offset, span.bytes);
        assert_eq!(at(board.shared.vring0), (0x6080_0000, 0x1000));
        assert_eq!(at(board.shared.vring1), (0x6080_1000, 0x1000));
        assert_eq!(at(board.shared.buffers), (0x6080_2000, 0x4000));
        assert_eq!(board.shared.trace.map(at), Some((0x6080_8000, 0x1000)));
        assert_eq!(board.shared_backing, Memory { address: 0x6000_0000, bytes: 0x100_0000 });
        assert!(board.shared.address + board.shared.bytes <= 0x60f0_0000, "the mailbox model's registers");
    }

    #[test]
    fn load_reads_the_tree_and_finds_the_chip_beside_the_board() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("qemu-an386.toml");
        assert_eq!(Board::load(&path).expect("valid"), Board::builtin("qemu-an386").expect("valid"));
        let missing = Board::load(Path::new("/nowhere/x.toml")).expect_err("no such file");
        assert!(missing.to_string().contains("/nowhere/x.toml"), "{missing}");
    }

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        let error = edited(QEMU, "vring_num = 64", "vring_num = 64\nvring_nun = 64").expect_err("must be refused");
        let BoardError::Parse { file, source } = error else { panic!("wrong variant") };
        assert_eq!(file, "b.toml");
        let text = source.to_string();
        assert!(text.contains("vring_nun") && text.contains("line"), "{text}");
    }

    #[test]
    fn contradictions_are_refused_and_name_file_and_key() {
        let cases = [
            ("vring1 = { offset = 0x00_4000", "vring1 = { offset = 0x00_3000", "shared.regions.vring1", "overlaps"),
            ("vring1 = { offset = 0x00_4000", "vring1 = { offset = 0x00_4040", "shared.regions.vring1", "multiple"),
            ("vring_num = 64", "vring_num = 256", "shared.regions.vring0", "at least"),
            ("vring_num = 64", "vring_num = 65", "shared.vring_num", "power of two"),
            ("vring_num = 64", "vring_num = 512", "shared.vring_num", "at most 256"),
            ("vring_align = 4096", "vring_align = 0", "shared.vring_align", "power of two"),
            ("bytes = 0x1_0000 }   # 2", "bytes = 0x8000 } # 2", "shared.regions.buffers", "at least"),
            ("retained = { offset = 0x30", "retained = { offset = 0xf9", "shared.regions.retained", "beyond"),
            (
                "retained = { offset = 0x30_0000",
                "retained = { offset = 0xffff_ffc0",
                "shared.regions.retained",
                "beyond",
            ),
            ("chip = \"mps2-an386\"", "chip = \"z80\"", "chip", "z80"),
            ("memory = \"psram\"", "memory = \"sram\"", "shared.memory", "ssram1"),
            ("data = \"ssram23\"", "data = \"psram\"", "firmware.data", "overlaps `shared.memory`"),
            ("data = \"ssram23\"", "data = \"ssram1\"", "firmware.data", "overlaps `firmware.code`"),
            ("doorbell = \"uart1\"", "doorbell = \"uart0\"", "firmware.doorbell", "already"),
            ("alarm = \"timer1\"", "alarm = \"timer0\"", "firmware.alarm", "already"),
            ("heap_bytes = 0x10_0000", "heap_bytes = 0x40_0000", "budget.heap_bytes", "data memory"),
            ("heap_bytes = 0x10_0000", "heap_bytes = 0x1_0000", "budget.heap_bytes", "enlarge"),
            ("containers_max = 8", "containers_max = 0", "budget.containers_max", "at least 1"),
            ("chip = \"mps2-an386\"", "chip = \"linux-process\"", "shared.memory", "file"),
        ];
        for (from, to, key, words) in cases {
            let text = problem(QEMU, from, to);
            assert!(text.starts_with(&format!("b.toml: `{key}`: ")) && text.contains(words), "{to}: {text}");
        }
    }

    #[test]
    fn parts_of_a_memory_are_inside_it_and_apart() {
        let cases = [
            ("bytes = 0x40_0000 # data", "bytes = 0x40_1000 #", "firmware.data", "overlaps `shared.memory`"),
            ("bytes = 0x40_0000 # code", "bytes = 0x40_1000 #", "firmware.data", "overlaps `firmware.code`"),
            ("code = \"code\"", "code = \"psram\"", "firmware.code", "overlaps `shared.memory`"),
            ("bytes = 0x70_0000", "bytes = 0x80_1000", "part.shared", "inside"),
            ("offset = 0x80_0000", "offset = 0xffff_f000", "part.shared", "inside"),
            ("offset = 0x80_0000", "offset = 0x80_0800", "part.shared", "multiple"),
            ("bytes = 0x70_0000", "bytes = 0", "part.shared", "at least one byte"),
            ("[part.code]", "[part.ssram1]", "part.ssram1", "memory of the chip"),
            ("memory = \"psram\"\noffset = 0x00_0000", "memory = \"x\"\noffset = 0", "part.code.memory", "psram"),
            ("trace = { offset = 0x00_8000", "trace = { offset = 0x00_2000", "shared.regions.trace", "overlaps"),
            ("0x00_8000, bytes = 0x1000", "0x00_8000, bytes = 0", "shared.regions.trace", "at least"),
        ];
        for (from, to, key, words) in cases {
            let text = problem(DIVIDED, from, to);
            assert!(text.starts_with(&format!("b.toml: `{key}`: ")) && text.contains(words), "{to}: {text}");
        }
    }

    #[test]
    fn firmware_must_match_the_chip() {
        let host = include_str!("../host.toml");
        let (_, firmware) = QEMU.split_once("[firmware]").expect("the board has firmware");
        let both = format!("{host}\n[firmware]{firmware}");
        let text = Board::parse("h.toml", &both).expect_err("a process runs no firmware").to_string();
        assert!(text.contains("`firmware`"), "{text}");
        let (without, _) = QEMU.split_once("[firmware]").expect("the board has firmware");
        let text = Board::parse("q.toml", without).expect_err("the chip needs firmware").to_string();
        assert!(text.contains("`firmware`"), "{text}");
    }
}
