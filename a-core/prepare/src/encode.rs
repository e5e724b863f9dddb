//! Writes an admitted module anew, normalised.

use coracle_guest_abi::{EXPORT_GLOBAL_PREFIX, EXPORT_INIT, EXPORT_MEMORY, EXPORT_ON_EVENT, EXPORT_START};
use wasm_encoder::{
    CodeSection, DataSection, ElementSection, ExportKind, ExportSection, FunctionSection, GlobalSection, ImportSection,
    MemorySection, TableSection, TypeSection,
    reencode::{Error, Reencode, RoundtripReencoder},
};

use crate::{PrepareError, read::Module};

/// The normalised bytes of `module`: the sections in their standard order and nothing else.
pub(crate) fn encode(module: &Module<'_>) -> Result<Vec<u8>, PrepareError> {
    encode_sections(module).map_err(|e| PrepareError::Encode { detail: e.to_string() })
}

fn encode_sections(module: &Module<'_>) -> Result<Vec<u8>, Error> {
    let mut same = RoundtripReencoder;
    let mut out = wasm_encoder::Module::new();
    if let Some(reader) = &module.types {
        let mut section = TypeSection::new();
        same.parse_type_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    if let Some(reader) = &module.imports {
        let mut section = ImportSection::new();
        same.parse_import_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    if let Some(reader) = &module.functions {
        let mut section = FunctionSection::new();
        same.parse_function_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    if let Some(reader) = &module.tables {
        let mut section = TableSection::new();
        same.parse_table_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    if let Some(reader) = &module.memories {
        let mut section = MemorySection::new();
        same.parse_memory_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    if let Some(reader) = &module.globals {
        let mut section = GlobalSection::new();
        same.parse_global_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    out.section(&exports(module));
    if let Some(reader) = &module.elements {
        let mut section = ElementSection::new();
        same.parse_element_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    if !module.bodies.is_empty() {
        let mut section = CodeSection::new();
        for body in &module.bodies {
            same.parse_function_body(&mut section, body.clone())?;
        }
        out.section(&section);
    }
    if let Some(reader) = &module.data {
        let mut section = DataSection::new();
        same.parse_data_section(&mut section, reader.clone())?;
        out.section(&section);
    }
    Ok(out.finish())
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
    let functions = [
        (EXPORT_START, start),
        (EXPORT_INIT, module.exported_function(EXPORT_INIT)),
        (EXPORT_ON_EVENT, module.exported_function(EXPORT_ON_EVENT)),
    ];
    for (name, index) in functions {
        if let Some(index) = index {
            section.export(name, ExportKind::Func, index);
        }
    }
    section
}
