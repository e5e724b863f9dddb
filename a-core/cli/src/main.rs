//! `coracle`: the command line. Arguments and printing only; `new` writes a project, the other modules do the rest.
#![forbid(unsafe_code)]

mod new;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// WebAssembly containers on all cores of one chip.
#[derive(Debug, Parser)]
#[command(name = "coracle", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a project for a new container: code, manifest, build file.
    New {
        /// Name of the container: a-z, 0-9 and -, starting with a letter or a digit.
        name: String,
        /// Language of the project.
        #[arg(long, value_enum, default_value = "rust")]
        lang: Language,
        /// How the container gets its events: called for each one, or a program that waits.
        #[arg(long, value_enum, default_value = "event")]
        style: Style,
        /// Folder to write to, which must be missing or empty; the name if left out.
        #[arg(long, value_name = "FOLDER")]
        path: Option<PathBuf>,
        /// The folder `guests` of Coracle's sources, for the SDK of a Rust project; that of the sources that this program
        /// was built from if left out.
        #[arg(long, value_name = "FOLDER", env = "CORACLE_GUESTS")]
        guests: Option<PathBuf>,
    },
}

/// Language of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    /// Rust, with coracle-sdk.
    Rust,
    /// C, with coracle.h.
    C,
}

/// How a container gets its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Style {
    /// Exports `init` and `on_event`; can move between the cores.
    Event,
    /// Exports `_start`, which runs from start to end and waits.
    Command,
}

fn main() -> ExitCode {
    let Command::New { name, lang, style, path, guests } = Arguments::parse().command;
    let folder = path.unwrap_or_else(|| PathBuf::from(&name));
    match new::write(&name, lang, style, &folder, guests.as_deref()) {
        Ok(()) => {
            let build = match lang {
                Language::Rust => "cargo build --release",
                Language::C => "make",
            };
            println!("wrote {}; build it there with `{build}`", folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("coracle: {error}");
            ExitCode::FAILURE
        }
    }
}
