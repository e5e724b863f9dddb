//! Admission: what a module must have, must not use, and what binds it to the A core.

use coracle_guest_abi::{
    Cores, EXPORT_COMMAND, EXPORT_INIT, EXPORT_INITIALIZE, EXPORT_ON_EVENT, EXPORT_START, Import, Type, find_import,
};
use coracle_migrate::snapshot::GLOBALS_MAX;
use wasmparser::{DataKind, ElementKind, FuncType, FunctionBody, Operator, TypeRef, ValType};

use crate::{
    AdmissionLimits, NotPortable, PORTABLE_BODY_BYTES_MAX, PORTABLE_FUNCTIONS_MAX, PORTABLE_LOCALS_MAX,
    PORTABLE_MEMORY_BYTES_MAX, PORTABLE_NESTING_MAX, PrepareError, TABLE_ELEMENTS_MAX, read::Module,
};

/// Most reasons that are reported: a hostile module has one for each of a million functions.
const NOT_PORTABLE_MAX: usize = 16;

/// What admission learned.
pub(crate) struct Checked {
    pub(crate) imports: Vec<(String, String)>,
    pub(crate) memory: Memory,
    pub(crate) not_portable: Vec<NotPortable>,
    pub(crate) command: bool,
}

/// A memory's sizes in bytes.
pub(crate) struct Memory {
    pub(crate) min: u64,
    pub(crate) max: Option<u64>,
    pub(crate) page_size: u32,
}

/// Tells "not WebAssembly at all" and "a component" apart from a broken module, before the validator lumps them.
pub(crate) fn magic(wasm: &[u8]) -> Result<(), PrepareError> {
    if !wasm.starts_with(b"\0asm") {
        return Err(PrepareError::NotWasm);
    }
    match wasm.get(4..8) {
        Some([1, 0, 0, 0]) | None => Ok(()),
        Some(_) => Err(PrepareError::NotCoreModule),
    }
}

/// Checks a validated module against everything that validation does not know.
pub(crate) fn admit(module: &Module<'_>, limits: &AdmissionLimits) -> Result<Checked, PrepareError> {
    let imports = imports(module)?;
    let command = exports(module)?;
    tables(module)?;
    let globals = module.mutable_globals().count();
    if globals > GLOBALS_MAX {
        return Err(PrepareError::TooManyGlobals { found: globals });
    }
    let memory = memory(module, limits)?;
    let a_only = |(from, name): &&(String, String)| find_import(from, name).is_some_and(|i| i.cores == Cores::A);
    let mut not_portable: Vec<NotPortable> = imports
        .iter()
        .filter(a_only)
        .map(|(module, name)| NotPortable::Import { module: module.clone(), name: name.clone() })
        .collect();
    let reach = memory.max.unwrap_or(u64::MAX).min(u64::from(limits.memory));
    if module.memory.is_some() && reach > PORTABLE_MEMORY_BYTES_MAX {
        not_portable.push(NotPortable::Memory { bytes: reach, limit: PORTABLE_MEMORY_BYTES_MAX });
    }
    if module.bodies.len() > PORTABLE_FUNCTIONS_MAX {
        let functions = module.bodies.len();
        not_portable.push(NotPortable::Functions { functions, limit: PORTABLE_FUNCTIONS_MAX });
    }
    for (function, code) in (module.imported_functions..).zip(&module.bodies) {
        body(module, function, code, &mut not_portable)?;
        not_portable.truncate(NOT_PORTABLE_MAX);
    }
    // After the bodies: an instruction that uses a segment says more about it.
    segments(module)?;
    Ok(Checked { imports, memory, not_portable, command })
}

fn imports(module: &Module<'_>) -> Result<Vec<(String, String)>, PrepareError> {
    let mut names = Vec::new();
    for import in module.imports.iter().flat_map(|reader| reader.clone().into_imports()) {
        let import = import?;
        let (from, name) = (import.module.to_owned(), import.name.to_owned());
        let kind = match import.ty {
            TypeRef::Func(ty) => {
                let known = find_import(import.module, import.name)
                    .ok_or_else(|| PrepareError::UnknownImport { module: from.clone(), name: name.clone() })?;
                let expected = import_type(known);
                if module.func_type(ty) != Some(&expected) {
                    let found = module.func_type(ty).map_or_else(String::new, signature);
                    let expected = signature(&expected);
                    return Err(PrepareError::ImportType { module: from, name, expected, found });
                }
                if !names.iter().any(|(m, n)| *m == from && *n == name) {
                    names.push((from, name));
                }
                continue;
            }
            TypeRef::Table(_) => "table",
            TypeRef::Memory(_) => "memory",
            TypeRef::Global(_) => "global",
            TypeRef::Tag(_) | TypeRef::FuncExact(_) => "tag",
        };
        return Err(PrepareError::ImportKind { module: from, name, kind });
    }
    Ok(names)
}

fn import_type(import: &Import) -> FuncType {
    let of = |ty: Type| match ty {
        Type::I32 => ValType::I32,
        Type::I64 => ValType::I64,
    };
    FuncType::new(import.params.iter().copied().map(of), import.result.map(of))
}

/// Whether the module is a command.
fn exports(module: &Module<'_>) -> Result<bool, PrepareError> {
    let i32s = |n| std::iter::repeat_n(ValType::I32, n);
    let on_event = "(i32, i32, i32) -> (i32)";
    let command = match module.export(EXPORT_ON_EVENT) {
        None => function_export(module, EXPORT_COMMAND, "() -> ()", &FuncType::new([], []))?,
        Some(_) => false,
    };
    if !command && !function_export(module, EXPORT_ON_EVENT, on_event, &FuncType::new(i32s(3), i32s(1)))? {
        return Err(PrepareError::MissingExport { name: EXPORT_ON_EVENT, expected: on_event });
    }
    function_export(module, EXPORT_INIT, "() -> (i32)", &FuncType::new([], i32s(1)))?;
    function_export(module, EXPORT_INITIALIZE, "() -> ()", &FuncType::new([], []))?;
    // Prepared modules have this export instead of a start section.
    if function_export(module, EXPORT_START, "() -> ()", &FuncType::new([], []))? && module.start.is_some() {
        return Err(PrepareError::ReservedExport { name: EXPORT_START });
    }
    Ok(command)
}

/// Whether the function is exported; exported with another type is an error.
fn function_export(
    module: &Module<'_>,
    name: &'static str,
    expected: &'static str,
    ty: &FuncType,
) -> Result<bool, PrepareError> {
    let Some(export) = module.export(name) else {
        return Ok(false);
    };
    let found = module.exported_function(name).and_then(|f| module.type_of(f));
    if found == Some(ty) {
        return Ok(true);
    }
    let found = found.map_or_else(|| format!("{:?}", export.kind).to_lowercase(), signature);
    Err(PrepareError::ExportType { name, expected, found })
}

fn signature(ty: &FuncType) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("({}) -> ({})", list(ty.params()), list(ty.results()))
}

fn tables(module: &Module<'_>) -> Result<(), PrepareError> {
    for table in module.tables.iter().flat_map(|reader| reader.clone()) {
        let elements = table?.ty.initial;
        if elements > TABLE_ELEMENTS_MAX {
            return Err(PrepareError::Table { elements, limit: TABLE_ELEMENTS_MAX });
        }
    }
    Ok(())
}

/// Refuses segments that are not copied at instantiation and then forgotten.
fn segments(module: &Module<'_>) -> Result<(), PrepareError> {
    for (index, element) in module.elements.iter().flat_map(|reader| reader.clone()).enumerate() {
        if !matches!(element?.kind, ElementKind::Active { .. }) {
            return Err(PrepareError::PassiveSegment { section: "element", index });
        }
    }
    for (index, data) in module.data.iter().flat_map(|reader| reader.clone()).enumerate() {
        if matches!(data?.kind, DataKind::Passive) {
            return Err(PrepareError::PassiveSegment { section: "data", index });
        }
    }
    Ok(())
}

fn memory(module: &Module<'_>, limits: &AdmissionLimits) -> Result<Memory, PrepareError> {
    let Some(ty) = module.memory else {
        return Ok(Memory { min: 0, max: Some(0), page_size: 1 });
    };
    // Validation leaves 0 and 16.
    let page_size = if ty.page_size_log2 == Some(0) { 1 } else { 65_536 };
    let bytes = |pages: u64| pages.saturating_mul(u64::from(page_size));
    let min = bytes(ty.initial);
    if min > u64::from(limits.memory) {
        return Err(PrepareError::Memory { need: min, limit: limits.memory });
    }
    Ok(Memory { min, max: ty.maximum.map(bytes), page_size })
}

fn body(
    module: &Module<'_>,
    function: u32,
    body: &FunctionBody<'_>,
    not_portable: &mut Vec<NotPortable>,
) -> Result<(), PrepareError> {
    let offset = body.range().start;
    let bytes = body.as_bytes().len();
    if bytes > PORTABLE_BODY_BYTES_MAX {
        not_portable.push(NotPortable::BodyBytes { function, offset, bytes, limit: PORTABLE_BODY_BYTES_MAX });
    }
    let mut locals = module.type_of(function).map_or(0, |ty| ty.params().len() as u64);
    for group in body.get_locals_reader()? {
        locals = locals.saturating_add(u64::from(group?.0));
    }
    if locals > PORTABLE_LOCALS_MAX {
        not_portable.push(NotPortable::Locals { function, offset, locals, limit: PORTABLE_LOCALS_MAX });
    }
    let (mut depth, mut deepest, mut deepest_at) = (0_usize, 0, offset);
    for operator in body.get_operators_reader()?.into_iter_with_offsets() {
        let (operator, offset) = operator?;
        if let Some(operator) = untransferable(&operator) {
            return Err(PrepareError::Operator { operator, function, offset });
        }
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => depth = depth.saturating_add(1),
            Operator::End => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > deepest {
            (deepest, deepest_at) = (depth, offset);
        }
    }
    if deepest > PORTABLE_NESTING_MAX {
        not_portable.push(NotPortable::Nesting {
            function,
            offset: deepest_at,
            depth: deepest,
            limit: PORTABLE_NESTING_MAX,
        });
    }
    Ok(())
}

/// The name of an operator whose effect is outside memory and globals. Those of the reference-types proposal are
/// already refused by validation.
fn untransferable(operator: &Operator<'_>) -> Option<&'static str> {
    match operator {
        Operator::MemoryInit { .. } => Some("memory.init"),
        Operator::DataDrop { .. } => Some("data.drop"),
        Operator::TableInit { .. } => Some("table.init"),
        Operator::ElemDrop { .. } => Some("elem.drop"),
        Operator::TableCopy { .. } => Some("table.copy"),
        _ => None,
    }
}
