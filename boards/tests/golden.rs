//! The generated files of a known board, byte for byte.
//!
//! After a wanted change of board or generator, run with `CORACLE_BLESS=1` and read the difference.

use std::path::Path;

use coracle_boards::{Board, generate};

fn compare(file: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("CORACLE_BLESS").is_some() {
        std::fs::write(&path, made).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden file exists");
    assert_eq!(made, golden, "{file} differs from its golden copy");
}

#[test]
fn boards_with_firmware_generate_their_golden_linker_scripts_and_constants() {
    for name in ["qemu-an386", "qemu-an500"] {
        let board = Board::builtin(name).expect("valid");
        let firmware = board.firmware.as_ref().expect("the board runs firmware");
        compare(&format!("{name}.memory.x"), &generate::memory_x(&board, firmware));
        compare(&format!("{name}.constants.rs"), &generate::constants_rs(&board, firmware));
    }
}
