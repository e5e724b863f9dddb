//! What a loader finds in the firmware's ELF files: the resource table, and segments where the board file allows them.

use std::path::Path;

use coracle_boards::Board;
use coracle_rpmsg::{TABLE_BYTES_MAX, Table};
use coracle_test_qemu::firmware_of;
use object::elf::{FileHeader32, PT_LOAD};
use object::read::elf::{ElfFile32, ProgramHeader as _};
use object::{LittleEndian, Object as _, ObjectSection as _};

/// The last address plus one of what Linux loads on `qemu-an500`, as the device tree says. It starts with the code.
const LOADED_END: u64 = 0x6080_0000;

/// What the loader's checks need of an ELF file.
struct Elf {
    /// Physical address, bytes in the file, bytes in memory.
    segments: Vec<(u64, u64, u64)>,
    /// Address, alignment and bytes of the section.
    table: (u64, u64, Vec<u8>),
}

fn read(path: &Path) -> Elf {
    let bytes = std::fs::read(path).expect("readable");
    let file = ElfFile32::<LittleEndian>::parse(&*bytes).expect("an ELF file");
    let header: &FileHeader32<LittleEndian> = file.elf_header();
    let segments = object::read::elf::FileHeader::program_headers(header, LittleEndian, &*bytes).expect("whole");
    let word = |field: object::U32<LittleEndian>| u64::from(field.get(LittleEndian));
    let segments = segments
        .iter()
        .filter(|segment| segment.p_type(LittleEndian) == PT_LOAD)
        .map(|segment| (word(segment.p_paddr), word(segment.p_filesz), word(segment.p_memsz)))
        .collect();
    let section = file.section_by_name(".resource_table").expect("a section for the resource table");
    let table = (section.address(), section.align(), section.data().expect("in the file").to_vec());
    Elf { segments, table }
}

/// Where a segment holds the table's section as it is: the loader writes into the loaded copy, by the section's address.
fn loaded_as_it_is(elf: &Elf) -> bool {
    let (address, _, bytes) = &elf.table;
    let end = address + bytes.len() as u64;
    elf.segments.iter().any(|(start, file_bytes, _)| start <= address && end <= start + file_bytes)
}

#[test]
fn every_firmware_has_its_resource_table_where_a_loader_looks_for_it() {
    for (board, programs) in [
        ("qemu-an386", ["coracle-firmware-qemu-an386", "bringup"]),
        ("qemu-an500", ["coracle-firmware-qemu-an500", "echo"]),
    ] {
        let shared = Board::builtin(board).expect("valid").shared;
        for program in programs {
            let elf = read(&firmware_of(board, program).expect("the firmware builds"));
            let (address, align, bytes) = &elf.table;
            assert!(bytes.len() < TABLE_BYTES_MAX, "{program}: {} bytes", bytes.len());
            assert!(*align >= 4 && address.is_multiple_of(8), "{program}: at {address:#x}, aligned to {align}");
            assert!(loaded_as_it_is(&elf), "{program}: table at {address:#x}, segments {:x?}", elf.segments);
            let table = Table::parse(bytes).expect("a valid table");
            for (entry, span) in table.vrings.iter().zip([shared.vring0, shared.vring1]) {
                assert_eq!(entry.device_address, shared.address + span.offset, "{program}");
                assert_eq!(entry.size.entries(), shared.vring_num, "{program}");
                assert_eq!(entry.size.align(), shared.vring_align, "{program}");
            }
            // The trace entry: type 2, address, length, 0, name.
            let trace = shared.trace.map(|span| [2, shared.address + span.offset, span.bytes, 0]);
            let trace: Option<Vec<u8>> = trace.map(|words| words.iter().flat_map(|w: &u32| w.to_le_bytes()).collect());
            let has_trace = |words: &Vec<u8>| bytes.windows(words.len()).any(|window| window == words);
            assert!(trace.as_ref().is_none_or(has_trace), "{program}: no trace entry in {bytes:x?}");
        }
    }
}

#[test]
fn what_linux_loads_lies_in_the_memory_that_it_reserves() {
    let board = Board::builtin("qemu-an500").expect("valid");
    let start = u64::from(board.firmware.expect("the board runs firmware").code.address);
    assert_eq!(u64::from(board.shared.address), LOADED_END);
    for program in ["coracle-firmware-qemu-an500", "echo"] {
        let elf = read(&firmware_of("qemu-an500", program).expect("the firmware builds"));
        assert!(!elf.segments.is_empty(), "{program}");
        for (at, file_bytes, memory_bytes) in &elf.segments {
            // The kernel's checks: no segment that is larger in the file, each wholly inside one carve-out.
            assert!(file_bytes <= memory_bytes, "{program}: {:x?}", elf.segments);
            assert!(*at >= start && at + memory_bytes <= LOADED_END, "{program}: {:x?}", elf.segments);
        }
        // It fills what is not in the file with zeros, so segments that overlap would spoil each other.
        let mut segments = elf.segments;
        segments.sort_unstable();
        assert!(segments.windows(2).all(|pair| pair[0].0 + pair[0].2 <= pair[1].0), "{program}: {segments:x?}");
    }
}
