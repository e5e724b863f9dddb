//! From text or file to a checked manifest.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::Manifest;
use crate::check::check;
use crate::diagnostic::{Diagnostic, Document, ManifestErrors};
use crate::limits::MAX_MANIFEST_BYTES;
use crate::locate::nearest;
use crate::read::{Errors, quote};
use crate::sections::{self, Draft};

/// Whether the files that a manifest names must exist.
#[derive(Clone, Copy)]
pub(crate) enum Files<'d> {
    /// Nothing is looked up.
    Unchecked,
    /// All must exist. Modules may also be in this directory.
    MustExist(Option<&'d Path>),
}

pub(crate) fn load(path: &Path, modules_dir: Option<&Path>) -> Result<Manifest, ManifestErrors> {
    let text = read_file(path)?;
    parse(Document::new(path, text), Files::MustExist(modules_dir))
}

pub(crate) fn parse(document: Document, files: Files<'_>) -> Result<Manifest, ManifestErrors> {
    let mut errors = Errors::new();
    let (root, syntax_errors) = DeTable::parse_recoverable(&document.text);
    let draft = if syntax_errors.is_empty() {
        let directory = document.origin.parent().unwrap_or(Path::new(""));
        let mut draft = sections::read(root.get_ref(), directory, &mut errors);
        check(&draft, root.get_ref(), &mut errors);
        if let Files::MustExist(modules_dir) = files {
            find_files(&mut draft, root.get_ref(), directory, modules_dir, &mut errors);
        }
        draft
    } else {
        // What the parser made of the rest is a guess; errors about it would only hide the real one.
        errors.extend(syntax_errors.iter().map(syntax_error));
        Draft::default()
    };
    drop(root);
    if !errors.is_empty() {
        return Err(ManifestErrors::new(document, errors));
    }
    Ok(Manifest {
        name: draft.name,
        containers: draft.containers,
        sensors: draft.sensors,
        wake: draft.wake,
        scenario: draft.scenario,
        document,
    })
}

fn syntax_error(error: &toml::de::Error) -> Diagnostic {
    // The parser has no codes for its errors. If it words this one differently some day, only the help is less apt.
    let help = match error.message() {
        "duplicate key" => "a table or key can appear only once: give one of the two another name, or remove it",
        _ => "a line is `key = value`, `[table]` or `# comment`; text values stand in double quotes",
    };
    Diagnostic {
        span: error.span(),
        ..Diagnostic::nowhere(format!("this is not valid TOML: {}", error.message()), help)
    }
}

fn read_file(path: &Path) -> Result<String, ManifestErrors> {
    let refuse = |title: String, help: &str| {
        ManifestErrors::new(Document::new(path, ""), vec![Diagnostic::nowhere(title, help)])
    };
    let mut bytes = Vec::new();
    let length = File::open(path).and_then(|file| file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut bytes)).map_err(
        |error| {
            let help = match error.kind() {
                io::ErrorKind::NotFound => "check the path; it is relative to the working directory",
                _ => "give the path of a manifest that this user may read",
            };
            refuse(format!("cannot read the manifest: {error}"), help)
        },
    )?;
    if length as u64 > MAX_MANIFEST_BYTES {
        return Err(refuse(
            format!("the file is larger than {MAX_MANIFEST_BYTES} bytes"),
            "give the path of a manifest, a TOML file; modules and traces are files of their own",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        refuse(
            format!("the file is not text: byte {valid} is not UTF-8"),
            "give the path of a manifest, a TOML file saved as UTF-8",
        )
    })
}

/// Looks up every file that the draft names, and points modules to where they were found.
fn find_files(
    draft: &mut Draft,
    root: &DeTable<'_>,
    directory: &Path,
    modules_dir: Option<&Path>,
    errors: &mut Errors,
) {
    for container in &mut draft.containers {
        let as_written = container.module.strip_prefix(directory).unwrap_or(&container.module);
        let mut candidates: Vec<PathBuf> = modules_dir.map(|built| built.join(as_written)).into_iter().collect();
        candidates.push(container.module.clone());
        candidates.dedup();
        match candidates.iter().find(|candidate| candidate.is_file()) {
            Some(found) => container.module.clone_from(found),
            None => errors.push(missing_file(
                root,
                &["container", &container.name, "module"],
                format!("the module of `{}` is missing", container.name),
                &candidates,
                "build the guests, or correct the path",
            )),
        }
    }
    if let Some(scenario) = &draft.scenario
        && !scenario.trace.is_file()
    {
        errors.push(missing_file(
            root,
            &["scenario", "trace"],
            "the scenario's trace is missing".to_owned(),
            std::slice::from_ref(&scenario.trace),
            "correct the path; it is relative to the manifest",
        ));
    }
}

fn missing_file(root: &DeTable<'_>, path: &[&str], title: String, candidates: &[PathBuf], help: &str) -> Diagnostic {
    let span = nearest(root, path).map_or(0..0, |found| found.span);
    let tried: Vec<String> = candidates.iter().map(|candidate| quote(&candidate.display().to_string())).collect();
    Diagnostic::at(span, title, help).label(format!("no file {}", tried.join(" and no file ")))
}
