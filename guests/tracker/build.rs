//! Link settings, and the object file with the tracker's two mutable globals.
//!
//! Rust cannot define a Wasm global other than the stack pointer, so the globals and their accessors are written as a
//! relocatable object (WebAssembly tool conventions, `Linking.md`) and linked like a C file would be.

use std::path::Path;

use coracle_guest_build::Memory;
use wasm_encoder::{
    CodeSection, ConstExpr, CustomSection, Function, FunctionSection, GlobalSection, GlobalType, LinkingSection,
    Module, SymbolTable, TypeSection, ValType,
};

/// Twice the measured need, most of which is one message buffer of 192 bytes.
const STACK_BYTES: u32 = 512;

/// The globals: the name that their accessors are made of, and the type.
const GLOBALS: [(&str, ValType); 2] = [("tracker_count", ValType::I64), ("tracker_checksum", ValType::I32)];

fn main() {
    coracle_guest_build::link(&Memory { stack_bytes: STACK_BYTES, max_bytes: None });
    let Some(out_dir) = std::env::var_os("OUT_DIR") else { return };
    let path = Path::new(&out_dir).join("globals.o");
    if let Err(error) = std::fs::write(&path, object()) {
        println!("cargo::error=cannot write {}: {error}", path.display());
        return;
    }
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo::rustc-link-arg-cdylib={}", path.display());
    }
}

/// For every global `x`: the functions `x_get: () -> t` and `x_set: (t) -> ()`.
fn object() -> Vec<u8> {
    const OPCODE_LOCAL_GET: u8 = 0x20;
    const OPCODE_GLOBAL_GET: u8 = 0x23;
    const OPCODE_GLOBAL_SET: u8 = 0x24;
    const OPCODE_END: u8 = 0x0B;
    /// An index that the linker fills in: LEB128 padded to five bytes.
    const INDEX: [u8; 5] = [0x80, 0x80, 0x80, 0x80, 0x00];
    const R_WASM_GLOBAL_INDEX_LEB: u8 = 7;
    /// Position of the code section among the sections below.
    const CODE_SECTION: u8 = 3;

    let mut types = TypeSection::new();
    let mut functions = FunctionSection::new();
    let mut globals = GlobalSection::new();
    let mut code = CodeSection::new();
    let mut symbols = SymbolTable::new();
    let mut relocations = Vec::new();
    // Behind the number of functions, one byte.
    let mut code_offset = 1;
    for ((name, value), global) in GLOBALS.into_iter().zip(0u8..) {
        let zero = if value == ValType::I64 { ConstExpr::i64_const(0) } else { ConstExpr::i32_const(0) };
        globals.global(GlobalType { val_type: value, mutable: true, shared: false }, &zero);
        let index = u32::from(global);
        types.ty().function([], [value]);
        types.ty().function([value], []);
        let get = [&[OPCODE_GLOBAL_GET][..], &INDEX, &[OPCODE_END]].concat();
        let set = [&[OPCODE_LOCAL_GET, 0, OPCODE_GLOBAL_SET][..], &INDEX, &[OPCODE_END]].concat();
        symbols.global(SymbolTable::WASM_SYM_BINDING_LOCAL, index, Some(name));
        for (accessor, body, suffix) in [(2 * index, get, "get"), (2 * index + 1, set, "set")] {
            functions.function(accessor);
            symbols.function(0, accessor, Some(&format!("{name}_{suffix}")));
            // Behind the size and the empty list of locals, one byte each, and the opcodes before the index.
            let index_at = code_offset + 2 + body.len() - INDEX.len() - 1;
            // Three symbols a global: itself and its accessors.
            relocations.extend([R_WASM_GLOBAL_INDEX_LEB, u8::try_from(index_at).unwrap_or(u8::MAX), 3 * global]);
            code_offset += 2 + body.len();
            let mut function = Function::new([]);
            function.raw(body);
            code.function(&function);
        }
    }
    assert!(code_offset < 128, "offsets above 127 need a longer LEB128");
    let count = u8::try_from(relocations.len() / 3).unwrap_or(u8::MAX);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&globals).section(&code);
    module.section(LinkingSection::new().symbol_table(&symbols));
    module.section(&CustomSection {
        name: "reloc.CODE".into(),
        data: [&[CODE_SECTION, count][..], &relocations].concat().into(),
    });
    module.finish()
}
