//! `coracle new`: a project from the templates in `guests/templates`, which are part of this program. Builds nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use coracle_policy::MAX_NAME_BYTES;

use crate::{Language, Style};

/// The folder `guests` of the sources that this program was built from.
const OWN_GUESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guests");
/// What a Rust project needs of the folder `guests`.
const SDK_FILES: [&str; 2] = ["sdk/Cargo.toml", "build/Cargo.toml"];
/// Names that Cargo refuses for a package beside the keywords, or that would be two packages of one name.
const TAKEN_BY_CARGO: [&str; 12] = [
    "alloc",
    "build",
    "core",
    "coracle-guest-build",
    "coracle-sdk",
    "deps",
    "examples",
    "incremental",
    "proc-macro",
    "std",
    "test",
    "coracle-guest-abi",
];
/// Words of Rust that are also names of containers.
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Why no project was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NewError {
    /// A name that a manifest would refuse.
    #[error(
        "`{}` is not a valid container name: use `a` to `z`, `0` to `9` and `-`, starting with a letter or a digit, at \
         most {MAX_NAME_BYTES} bytes",
        .name.escape_debug()
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A name that Cargo would refuse.
    #[error(
        "`{name}` cannot be the name of a Rust package; choose one that starts with a letter and is no word of Rust or \
         Cargo, or write the project in another language"
    )]
    PackageName {
        /// The name.
        name: String,
    },
    /// There is something already.
    #[error("{} is not an empty folder; name another one with --path, or empty it", .folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// The SDK is not where it should be.
    #[error(
        "{} is missing, which a Rust project needs; name the folder `guests` of Coracle's sources with --guests or the \
         environment variable CORACLE_GUESTS",
        .file.display()
    )]
    NoSdk {
        /// The first file that is missing.
        file: PathBuf,
    },
    /// A path that cannot stand in a file of Cargo.
    #[error("{} cannot be written into Cargo.toml; use a folder whose path is UTF-8", .folder.display())]
    SdkPath {
        /// The folder.
        folder: PathBuf,
    },
    /// A file could not be written.
    #[error("cannot write {}: {error}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// Writes the project to `folder`. `guests` is Coracle's folder of that name.
pub(crate) fn write(
    name: &str,
    language: Language,
    style: Style,
    folder: &Path,
    guests: Option<&Path>,
) -> Result<(), NewError> {
    check_name(name, language)?;
    check_folder(folder)?;
    let placement = match style {
        Style::Event => "core = \"any\"\nprefer = \"m\"",
        Style::Command => "core = \"m\"",
    };
    let (module, guests) = match language {
        Language::Rust => {
            let file = name.replace('-', "_");
            (format!("target/wasm32-unknown-unknown/release/{file}.wasm"), find_sdk(guests)?)
        }
        Language::C => (format!("build/{name}.wasm"), String::new()),
    };
    let style_word = match style {
        Style::Event => "event",
        Style::Command => "command",
    };
    for (path, template) in files(language, style) {
        let path = folder.join(path.replace("{{name}}", name));
        let text = template
            .replace("{{name}}", name)
            .replace("{{module}}", &module)
            .replace("{{placement}}", placement)
            .replace("{{style}}", style_word)
            .replace("{{guests}}", &guests);
        let failed = |error| NewError::Write { path: path.clone(), error };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&path, text).map_err(failed)?;
    }
    Ok(())
}

/// Path and text of every file, with placeholders in both.
fn files(language: Language, style: Style) -> Vec<(&'static str, &'static str)> {
    macro_rules! template {
        ($path:literal) => {
            include_str!(concat!("../../../guests/", $path))
        };
    }
    let mut files = vec![("manifest.toml", template!("templates/manifest.toml.in"))];
    match language {
        Language::Rust => files.extend([
            ("Cargo.toml", template!("templates/rust/Cargo.toml.in")),
            (".cargo/config.toml", template!("templates/rust/config.toml")),
            (".gitignore", template!("templates/rust/gitignore")),
            ("README.md", template!("templates/rust/README.md.in")),
            ("build.rs", template!("templates/rust/build.rs")),
        ]),
        Language::C => files.extend([
            ("Makefile", template!("templates/c/Makefile.in")),
            (".gitignore", template!("templates/c/gitignore")),
            ("README.md", template!("templates/c/README.md.in")),
            ("include/coracle.h", template!("c/include/coracle.h")),
            ("include/coracle_wasi.h", template!("c/include/coracle_wasi.h")),
        ]),
    }
    files.push(match (language, style) {
        (Language::Rust, Style::Event) => ("src/lib.rs", template!("templates/rust/event/lib.rs")),
        (Language::Rust, Style::Command) => ("src/lib.rs", template!("templates/rust/command/lib.rs")),
        (Language::C, Style::Event) => ("{{name}}.c", template!("templates/c/event/main.c")),
        (Language::C, Style::Command) => ("{{name}}.c", template!("templates/c/command/main.c")),
    });
    files
}

/// The rules of manifests for the name of a container, and those of Cargo for one of a package.
fn check_name(name: &str, language: Language) -> Result<(), NewError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts_well = name.starts_with(|c: char| c != '-');
    if !starts_well || !name.chars().all(allowed) || name.len() > MAX_NAME_BYTES {
        return Err(NewError::Name { name: name.to_owned() });
    }
    let taken = TAKEN_BY_CARGO.contains(&name) || KEYWORDS.contains(&name);
    if language == Language::Rust && (taken || name.starts_with(|c: char| c.is_ascii_digit())) {
        return Err(NewError::PackageName { name: name.to_owned() });
    }
    Ok(())
}

/// Whether `folder` is missing or empty.
fn check_folder(folder: &Path) -> Result<(), NewError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(NewError::NotEmpty { folder: folder.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(NewError::NotEmpty { folder: folder.to_owned() })
        }
        Err(error) => Err(NewError::Write { path: folder.to_owned(), error }),
    }
}

/// The absolute path of the folder `guests`, as it stands between the quotes of a TOML string.
fn find_sdk(guests: Option<&Path>) -> Result<String, NewError> {
    let folder = guests.unwrap_or(Path::new(OWN_GUESTS));
    for file in SDK_FILES {
        let file = folder.join(file);
        if !file.is_file() {
            return Err(NewError::NoSdk { file });
        }
    }
    let folder = folder.canonicalize().map_err(|error| NewError::Write { path: folder.to_owned(), error })?;
    match folder.to_str() {
        Some(path) if !path.contains(char::is_control) => Ok(path.replace('\\', "\\\\").replace('"', "\\\"")),
        _ => Err(NewError::SdkPath { folder }),
    }
}
