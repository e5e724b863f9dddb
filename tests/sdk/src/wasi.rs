//! Programs that use Rust's standard library, for the target with WASI: one file, no Cargo.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{BuildError, run};

/// The target.
pub const TARGET: &str = "wasm32-wasip1";
/// Bytes of stack: the standard library's own default is a MiB.
const STACK_BYTES: u32 = 16 * 1024;

/// Builds `programs/<name>.rs` with everything that is made below `build`, and returns the module.
///
/// # Errors
/// [`BuildError::Missing`] without the target; otherwise what the compiler says.
pub fn build(name: &str, build: &Path) -> Result<Vec<u8>, BuildError> {
    let rustc = || Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let libraries = rustc().args(["--print", "target-libdir", "--target", TARGET]).output();
    let folder = libraries.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    if !Path::new(&folder).is_dir() {
        return Err(BuildError::Missing(format!("the Rust target {TARGET}")));
    }
    fs::create_dir_all(build).map_err(BuildError::file(build))?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name).with_extension("rs");
    let module = build.join(name).with_extension("wasm");
    let mut compiler = rustc();
    compiler.args(["--edition", "2024", "--target", TARGET, "-C", "opt-level=s", "-C", "lto=fat"]);
    compiler.args([
        "-C",
        "panic=abort",
        "-C",
        "strip=debuginfo",
        "-C",
        &format!("link-arg=-zstack-size={STACK_BYTES}"),
    ]);
    run(compiler.arg("-o").arg(&module).arg(source))?;
    fs::read(&module).map_err(BuildError::file(&module))
}
