//! Why a module is refused, or bound to the A core.

use coracle_migrate::snapshot::GLOBALS_MAX;

/// Why a module was not prepared. Nothing of it is usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The bytes do not start like WebAssembly.
    #[error("not WebAssembly: the file does not start with \\0asm; pass the .wasm file that the linker wrote")]
    NotWasm,
    /// A component, or another version of the binary format.
    #[error(
        "not a core module of version 1 but a component or a later format; build for wasm32-unknown-unknown or \
         wasm32v1-none, without wasm-tools component"
    )]
    NotCoreModule,
    /// More bytes than are prepared at all.
    #[error("the module has {bytes} bytes, the limit is {limit}; strip debug information or optimise for size")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// It uses a feature that is off on both cores, or the engine of one lacks.
    #[error(
        "the module uses {feature} ({}offset {offset:#x}), which the cores do not both have; build it without: target \
         wasm32v1-none has the right set, in C leave out -m and -f options that turn on more", in_function(*function)
    )]
    Feature {
        /// Its name.
        feature: &'static str,
        /// Index of the function that uses it, imported ones counted; `None` outside functions.
        function: Option<u32>,
        /// Where, in bytes from the start.
        offset: u64,
    },
    /// Cut short or malformed.
    #[error("not a valid module, at byte {offset}: {detail}; pass the file as the linker wrote it, in whole")]
    Invalid {
        /// Where, in bytes from the start.
        offset: u64,
        /// What the validator says.
        detail: String,
    },
    /// An import that no core has.
    #[error("unknown import {module} {name}; the imports that exist are {}", known_imports())]
    UnknownImport {
        /// Import module name.
        module: String,
        /// Import field name.
        name: String,
    },
    /// An import that exists, with another signature.
    #[error("import {module} {name} has type {found}, it is {expected}; build against this version of the SDK")]
    ImportType {
        /// Import module name.
        module: String,
        /// Import field name.
        name: String,
        /// The type it exists with.
        expected: String,
        /// The module's idea of it.
        found: String,
    },
    /// An imported memory, table or global.
    #[error("import {module} {name} is a {kind}; only functions can be imported: define the {kind} in the module")]
    ImportKind {
        /// Import module name.
        module: String,
        /// Import field name.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// An instruction whose effect a snapshot cannot carry.
    #[error(
        "function {function} uses {operator} at byte {offset}, whose effect does not travel with a container; use \
         memory instead of changing tables, and active data segments (no threads, no -Wl,--shared-memory)"
    )]
    Operator {
        /// The instruction.
        operator: &'static str,
        /// Index of the function.
        function: u32,
        /// Where, in bytes from the start.
        offset: u64,
    },
    /// A data or element segment that code would copy from later. What is left of it would not travel.
    #[error(
        "{section} segment {index} is passive; make it active (no threads, no -Wl,--shared-memory): a container takes \
         only its memory along"
    )]
    PassiveSegment {
        /// `data` or `element`.
        section: &'static str,
        /// Its index in the section.
        index: usize,
    },
    /// It starts with more memory than its limit.
    #[error("the module starts with {need} bytes of memory, limits.memory is {limit}; raise it or shrink the stack")]
    Memory {
        /// Bytes it starts with.
        need: u64,
        /// The limit in bytes.
        limit: u32,
    },
    /// A table over the limit.
    #[error("a table of {elements} elements, the limit is {limit}; use fewer function pointers")]
    Table {
        /// Its size.
        elements: u64,
        /// The limit.
        limit: u64,
    },
    /// More mutable globals than a snapshot carries.
    #[error("{found} mutable globals, a snapshot carries {GLOBALS_MAX}; keep the state in memory")]
    TooManyGlobals {
        /// How many it has.
        found: usize,
    },
    /// A required export is missing.
    #[error("the module exports neither {name}{expected} nor _start; export one, in Rust with coracle_sdk's macro")]
    MissingExport {
        /// Its name.
        name: &'static str,
        /// The type it must have.
        expected: &'static str,
    },
    /// An export with a known name and a wrong type.
    #[error("export {name} has type {found}, expected {expected}")]
    ExportType {
        /// Its name.
        name: &'static str,
        /// The type it must have.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// The module has both a `start` function and an export of the reserved name for it.
    #[error("export {name} is reserved for the start function; rename it")]
    ReservedExport {
        /// Its name.
        name: &'static str,
    },
    /// The module could not be encoded anew.
    #[error("the module could not be normalised: {detail}; please report it with the module")]
    Encode {
        /// What the encoder says.
        detail: String,
    },
}

impl From<wasmparser::Error> for PrepareError {
    fn from(e: wasmparser::Error) -> Self {
        PrepareError::Invalid { offset: e.offset(), detail: e.message().to_owned() }
    }
}

fn in_function(function: Option<u32>) -> String {
    function.map_or_else(String::new, |index| format!("function {index}, "))
}

fn known_imports() -> String {
    let names: Vec<String> = coracle_guest_abi::IMPORTS.iter().map(|i| format!("{} {}", i.module, i.name)).collect();
    names.join(", ")
}

/// Why a module is bound to the A core.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPortable {
    /// An import that the M core does not have.
    #[error("it imports {module} {name}, which the A core alone has")]
    Import {
        /// Import module name.
        module: String,
        /// Import field name.
        name: String,
    },
    /// The module is too large for the M core.
    #[error("the prepared module has {bytes} bytes, the M core takes {limit}")]
    ModuleBytes {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many functions.
    #[error("{functions} functions, the M core takes {limit}")]
    Functions {
        /// How many it defines.
        functions: usize,
        /// The limit.
        limit: usize,
    },
    /// A function too long to translate in one go.
    #[error("function {function} at byte {offset} has {bytes} bytes, the M core translates at most {limit} in one go")]
    BodyBytes {
        /// Its index.
        function: u32,
        /// Where it starts, in bytes.
        offset: u64,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A function with too many locals.
    #[error("function {function} at byte {offset} has {locals} locals, the M core takes {limit}")]
    Locals {
        /// Its index.
        function: u32,
        /// Where it starts, in bytes.
        offset: u64,
        /// How many, parameters included.
        locals: u64,
        /// The limit.
        limit: u64,
    },
    /// Blocks nested too deep.
    #[error("function {function} nests blocks {depth} deep at byte {offset}, the M core takes {limit}")]
    Nesting {
        /// Its index.
        function: u32,
        /// Where it is deepest, in bytes.
        offset: u64,
        /// How deep.
        depth: usize,
        /// The limit.
        limit: usize,
    },
    /// It may grow to more memory than a snapshot holds.
    #[error(
        "its memory may reach {bytes} bytes, a snapshot holds {limit}; lower limits.memory or the declared maximum"
    )]
    Memory {
        /// How far it may grow, in bytes.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
}
