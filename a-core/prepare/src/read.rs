//! A validated module, taken apart into its sections.

use wasmparser::{
    DataSectionReader, ElementSectionReader, Export, ExternalKind, FuncType, FunctionBody, FunctionSectionReader,
    GlobalSectionReader, GlobalType, ImportSectionReader, MemorySectionReader, MemoryType, Parser, Payload,
    TableSectionReader, TypeRef, TypeSectionReader,
};

use crate::PrepareError;

/// The sections of a module that passed validation, and the index spaces that several steps need.
#[derive(Default)]
pub(crate) struct Module<'a> {
    pub(crate) types: Option<TypeSectionReader<'a>>,
    pub(crate) imports: Option<ImportSectionReader<'a>>,
    pub(crate) functions: Option<FunctionSectionReader<'a>>,
    pub(crate) tables: Option<TableSectionReader<'a>>,
    pub(crate) memories: Option<MemorySectionReader<'a>>,
    pub(crate) globals: Option<GlobalSectionReader<'a>>,
    pub(crate) exports: Vec<Export<'a>>,
    pub(crate) start: Option<u32>,
    pub(crate) elements: Option<ElementSectionReader<'a>>,
    pub(crate) bodies: Vec<FunctionBody<'a>>,
    pub(crate) data: Option<DataSectionReader<'a>>,
    /// The types.
    func_types: Vec<FuncType>,
    /// The type index of every function, imported ones first.
    type_of: Vec<u32>,
    pub(crate) imported_functions: u32,
    global_types: Vec<GlobalType>,
    pub(crate) memory: Option<MemoryType>,
    /// The contents of the name section.
    pub(crate) names: Option<&'a [u8]>,
}

impl<'a> Module<'a> {
    /// Reads the sections of `wasm`, which the validator has accepted.
    pub(crate) fn read(wasm: &'a [u8]) -> Result<Self, PrepareError> {
        let mut module = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(reader) => {
                    module.func_types = reader.clone().into_iter_err_on_gc_types().collect::<Result<_, _>>()?;
                    module.types = Some(reader);
                }
                Payload::ImportSection(reader) => {
                    for import in reader.clone().into_imports() {
                        if let TypeRef::Func(ty) = import?.ty {
                            module.type_of.push(ty);
                            module.imported_functions = module.imported_functions.saturating_add(1);
                        }
                    }
                    module.imports = Some(reader);
                }
                Payload::FunctionSection(reader) => {
                    for ty in reader.clone() {
                        module.type_of.push(ty?);
                    }
                    module.functions = Some(reader);
                }
                Payload::TableSection(reader) => module.tables = Some(reader),
                Payload::MemorySection(reader) => {
                    module.memory = reader.clone().into_iter().next().transpose()?;
                    module.memories = Some(reader);
                }
                Payload::GlobalSection(reader) => {
                    for global in reader.clone() {
                        module.global_types.push(global?.ty);
                    }
                    module.globals = Some(reader);
                }
                Payload::ExportSection(reader) => module.exports = reader.into_iter().collect::<Result<_, _>>()?,
                Payload::StartSection { func, .. } => module.start = Some(func),
                Payload::ElementSection(reader) => module.elements = Some(reader),
                Payload::CodeSectionEntry(body) => module.bodies.push(body),
                Payload::DataSection(reader) => module.data = Some(reader),
                Payload::CustomSection(section) if section.name() == "name" => module.names = Some(section.data()),
                _ => {}
            }
        }
        Ok(module)
    }

    /// The type with that index.
    pub(crate) fn func_type(&self, ty: u32) -> Option<&FuncType> {
        self.func_types.get(usize::try_from(ty).ok()?)
    }

    /// The type of the function with that index.
    pub(crate) fn type_of(&self, function: u32) -> Option<&FuncType> {
        self.func_type(*self.type_of.get(usize::try_from(function).ok()?)?)
    }

    /// The indices of the mutable globals. Globals are never imported, so the section's order is the index space.
    pub(crate) fn mutable_globals(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).zip(&self.global_types).filter(|(_, ty)| ty.mutable).map(|(index, _)| index)
    }

    /// The export of that name.
    pub(crate) fn export(&self, name: &str) -> Option<&Export<'a>> {
        self.exports.iter().find(|e| e.name == name)
    }

    /// The index of the function exported under that name.
    pub(crate) fn exported_function(&self, name: &str) -> Option<u32> {
        self.export(name).filter(|e| e.kind == ExternalKind::Func).map(|e| e.index)
    }
}
