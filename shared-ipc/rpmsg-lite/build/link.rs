//! Files in, directives for Cargo out.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use object::read::archive::ArchiveFile;
use object::{Object as _, ObjectSymbol as _};

use super::config::Config;
use super::symbols::{self, Symbols};

const FOLDER_VARIABLE: &str = "RPMSG_LITE_LIB_DIR";
const CONFIG_VARIABLE: &str = "RPMSG_LITE_CONFIG";
const LIBRARY: &str = "librpmsg_lite.a";
const CONFIG: &str = "rpmsg_config.h";

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={FOLDER_VARIABLE}");
    println!("cargo::rerun-if-env-changed={CONFIG_VARIABLE}");
    let folder = env::var_os(FOLDER_VARIABLE).map(PathBuf::from).ok_or_else(|| {
        format!("the feature `link` needs RPMsg-Lite: set {FOLDER_VARIABLE} to the folder with {LIBRARY} and {CONFIG}")
    })?;
    let header = env::var_os(CONFIG_VARIABLE).map_or_else(|| folder.join(CONFIG), PathBuf::from);
    let library = folder.join(LIBRARY);
    for file in [&header, &library] {
        println!("cargo::rerun-if-changed={}", file.display());
    }

    let text = fs::read_to_string(&header).map_err(|error| {
        format!(
            "cannot read {}: {error}; put the {CONFIG} that the library was built with there or set {CONFIG_VARIABLE} to it",
            header.display()
        )
    })?;
    let config = Config::parse(&text).map_err(|error| format!("{}: {error}", header.display()))?;
    let symbols = read_symbols(&library).map_err(|error| {
        format!("cannot read {}: {error}; set {FOLDER_VARIABLE} to the folder with {LIBRARY}", library.display())
    })?;
    let user_space = env::var_os("CARGO_FEATURE_USER_SPACE").is_some();
    symbols::check(&config, &symbols, user_space)
        .map_err(|mismatch| format!("{} does not fit {}: {mismatch}", library.display(), header.display()))?;

    let switches = [
        ("rl_custom_shmem", config.custom_shmem),
        ("rl_environment_context", config.environment_context),
        ("rl_static_api", config.static_api),
        ("rl_zero_copy", config.zero_copy),
    ];
    for (name, _) in switches.iter().filter(|(_, on)| *on) {
        println!("cargo::rustc-cfg={name}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("Cargo did not set OUT_DIR")?).join("config.rs");
    fs::write(out, constants(&config))?;
    println!("cargo::rustc-link-search=native={}", folder.display());
    println!("cargo::rustc-link-lib=static:-bundle=rpmsg_lite");
    Ok(())
}

fn constants(config: &Config) -> String {
    let Config { buffer_payload_size, buffer_count, vring_size, vring_align, .. } = config;
    format!(
        "/// `RL_BUFFER_PAYLOAD_SIZE`, in bytes.\npub const BUFFER_PAYLOAD_SIZE: u32 = {buffer_payload_size};\n\
         /// `RL_BUFFER_COUNT`, in each direction.\npub const BUFFER_COUNT: u32 = {buffer_count};\n\
         /// `VRING_SIZE`, in bytes.\npub const VRING_SIZE: u32 = {vring_size};\n\
         /// `VRING_ALIGN`, in bytes.\npub const VRING_ALIGN: u32 = {vring_align};\n"
    )
}

fn read_symbols(library: &Path) -> Result<Symbols, Box<dyn Error>> {
    let bytes = fs::read(library)?;
    let mut symbols = Symbols::default();
    for member in ArchiveFile::parse(&*bytes)?.members() {
        // An archive may hold other files, too: what Rust's compiler notes for itself.
        let Ok(object) = object::File::parse(member?.data(&*bytes)?) else { continue };
        for symbol in object.symbols().filter(|symbol| symbol.is_global()) {
            let names = if symbol.is_undefined() { &mut symbols.undefined } else { &mut symbols.defined };
            names.insert(symbol.name()?.to_owned());
        }
    }
    Ok(symbols)
}
