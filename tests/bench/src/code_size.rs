//! How much code the remote role is, read from the symbols of a program that holds nothing else.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use object::{Object as _, ObjectSymbol as _, SymbolKind};

/// Most code that the remote role may be, in bytes.
pub const REMOTE_CODE_BYTES_MAX: u64 = 4096;

/// The target of the M cores.
const TARGET: &str = "thumbv7em-none-eabihf";
/// The program with the remote role.
const PROGRAM: &str = "remote-size";
/// The program's own function: it calls everything once and is not part of the role.
const ENTRY: &str = "_start";
/// What the compiler's runtime is called: copies and fills of memory, which every firmware has.
const RUNTIME: [&str; 2] = ["__aeabi_mem", "compiler_builtins"];

/// The functions of a program by whose they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodeSize {
    /// Bytes of the role: rings, endpoints, name service, link state, with what they use of the standard library.
    pub role: u64,
    /// Bytes of the compiler's memory routines.
    pub runtime: u64,
    /// The role's functions with their bytes, largest first.
    pub functions: Vec<(String, u64)>,
}

impl CodeSize {
    /// Functions that end the program: there should be none, because nothing that a peer does may.
    pub fn panics(&self) -> impl Iterator<Item = &str> {
        self.functions.iter().map(|(name, _)| name.as_str()).filter(|name| name.contains("panicking"))
    }
}

/// Builds the program with the remote role for the M core, as the firmware is built, and measures it.
///
/// # Errors
/// What the build said, or what is wrong with the program it made.
pub fn remote_size() -> Result<CodeSize, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target_dir = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |set| root.join(set));
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(&root)
        .args(["build", "--quiet", "--profile", "firmware", "--package", env!("CARGO_PKG_NAME")])
        .args(["--bin", PROGRAM, "--target", TARGET])
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("building {PROGRAM} failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let path = root.join(target_dir).join(TARGET).join("firmware").join(PROGRAM);
    let bytes = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    measure(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn measure(elf: &[u8]) -> Result<CodeSize, object::Error> {
    let file = object::File::parse(elf)?;
    let mut size = CodeSize::default();
    let mut seen = Vec::new();
    for symbol in file.symbols() {
        // Two names of one function count once.
        if symbol.kind() != SymbolKind::Text || symbol.size() == 0 || seen.contains(&symbol.address()) {
            continue;
        }
        seen.push(symbol.address());
        let name = symbol.name()?;
        if name == ENTRY {
            continue;
        }
        if RUNTIME.iter().any(|part| name.contains(part)) {
            size.runtime += symbol.size();
        } else {
            size.role += symbol.size();
            size.functions.push((name.to_owned(), symbol.size()));
        }
    }
    size.functions.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    Ok(size)
}
