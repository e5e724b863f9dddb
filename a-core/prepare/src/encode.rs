//! Writes an admitted module anew, normalised.

use coracle_guest_abi::{
    EXPORT_COMMAND, EXPORT_GLOBAL_PREFIX, EXPORT_INIT, EXPORT_INITIALIZE, EXPORT_MEMORY, EXPORT_ON_EVENT, EXPORT_START,
};
use wasm_encoder::{
    CodeSection, CustomSection, DataSection, ElementSection, ExportKind, ExportSection, FunctionSection, GlobalSection,
    ImportSection, MemorySection, TableSection, TypeSection,
    reencode::{Error, Reencode},
};

use crate::{PrepareError, mend::Mender, read::Module};

/// Largest name section that is kept, in bytes.
const NAMES_BYTES_MAX: usize = 256 * 1024;

/// The normalised bytes of `module`: the sections in their standard order and nothing else.
pub(crate) fn encode(module: &Module<'_>) -> Result<Vec<u8>, PrepareError> {
    encode_sections(module).map_err(|e| PrepareError::Encode { detail: e.to_string() })
}

fn encode_sections(module: &Module<'_>) -> Result<Vec<u8>, Error> {
    let mut mender = Mender::new(module);
    let mut out = wasm_encoder::Module::new();
    if let Some(reader) = &module.types {
        let mut section = TypeSection::new();
        mender.parse_type_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    if let Some(reader) = &module.imports {
        let mut section = ImportSection::new();
        mender.parse_import_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    if let Some(reader) = &module.functions {
        let mut section = FunctionSection::new();
        mender.parse_function_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    if let Some(reader) = &module.tables {
        let mut section = TableSection::new();
        mender.parse_table_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    if let Some(reader) = &module.memories {
        let mut section = MemorySection::new();
        mender.parse_memory_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    if let Some(reader) = &module.globals {
        let mut section = GlobalSection::new();
        mender.parse_global_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    out.section(&exports(module));
    if let Some(reader) = &module.elements {
        let mut section = ElementSection::new();
        mender.parse_element_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    if !module.bodies.is_empty() {
        let mut section = CodeSection::new();
        for body in &module.bodies {
            mender.parse_function_body(&mut section, body.clone())?;
        }
        out.section(&section);
    }
    if let Some(reader) = &module.data {
        let mut section = DataSection::new();
        mender.parse_data_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    Ok(out.finish())
}

/// The name section in a module of its own, if it has a size that is worth keeping.
pub(crate) fn names(module: &Module<'_>) -> Vec<u8> {
    let Some(data) = module.names.filter(|names| names.len() <= NAMES_BYTES_MAX) else { return Vec::new() };
    let mut out = wasm_encoder::Module::new();
    out.section(&CustomSection { name: "name".into(), data: data.into() });
    out.finish()
}

/// What the engines look for, and nothing else: every export costs memory on the M core.
fn exports(module: &Module<'_>) -> ExportSection {
    let mut section = ExportSection::new();
    if module.memory.is_some() {
        section.export(EXPORT_MEMORY, ExportKind::Memory, 0);
    }
    for index in module.mutable_globals() {
        section.export(&format!("{EXPORT_GLOBAL_PREFIX}{index}"), ExportKind::Global, index);
    }
    let start = module.start.or_else(|| module.exported_function(EXPORT_START));
    let on_event = module.exported_function(EXPORT_ON_EVENT);
    // A module that handles events is not also a command.
    let command = module.exported_function(EXPORT_COMMAND).filter(|_| on_event.is_none());
    let functions = [
        (EXPORT_START, start),
        (EXPORT_INITIALIZE, module.exported_function(EXPORT_INITIALIZE)),
        (EXPORT_INIT, module.exported_function(EXPORT_INIT)),
        (EXPORT_ON_EVENT, on_event),
        (EXPORT_COMMAND, command),
    ];
    for (name, index) in functions {
        if let Some(index) = index {
            section.export(name, ExportKind::Func, index);
        }
    }
    section
}
