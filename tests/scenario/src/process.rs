//! A process with its output in a file, killed when it is dropped.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::Error;

/// How much of the end of a log an error repeats, in lines.
const LAST_WORDS_LINES: usize = 12;

/// A child process. Dropping it kills it; its log stays.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`. What it prints goes to `NAME.log` in `run_dir`.
    pub(crate) fn start(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        run_dir: &Path,
    ) -> Result<Self, Error> {
        let log = run_dir.join(format!("{name}.log"));
        let unusable = |source| Error::File { path: log.clone(), source };
        let output = File::create(&log).map_err(unusable)?;
        let errors = output.try_clone().map_err(unusable)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|source| Error::Start { program: program.to_owned(), source })?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.child.try_wait().map_err(|source| Error::File { path: self.log.clone(), source })
    }

    /// What it has printed since it started.
    pub(crate) fn printed(&self) -> String {
        fs::read(&self.log).map_or_else(|_| String::new(), |text| String::from_utf8_lossy(&text).into())
    }

    /// The error that it ended.
    pub(crate) fn unexpected_end(&self, status: ExitStatus) -> Error {
        Error::Ended { name: self.name.clone(), how: status.to_string(), last_words: last_words(&self.printed()) }
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(&mut self) {
        // An error means that it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The end of a log.
pub(crate) fn last_words(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let from = lines.len().saturating_sub(LAST_WORDS_LINES);
    let last: Vec<String> = lines.iter().skip(from).map(|line| format!("    {line}")).collect();
    if last.is_empty() { "    (none)".into() } else { last.join("\n") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Cancel;

    fn shell(script: &str, run_dir: &Path) -> Process {
        Process::start("shell", Path::new("/bin/sh"), ["-c", script], run_dir).unwrap()
    }

    #[test]
    fn an_end_is_noticed_and_told_with_the_last_words() {
        let run_dir = tempfile::tempdir().unwrap();
        let mut process = shell("echo on the way; echo out >&2; exit 7", run_dir.path());
        let ended = Cancel::default().wait("the end", Duration::from_secs(30), || process.ended()).unwrap();
        let error = process.unexpected_end(ended).to_string();
        assert!(error.contains("shell ended unexpectedly (exit status: 7)"), "{error}");
        assert!(error.ends_with("    on the way\n    out"), "{error}");
    }

    #[test]
    fn dropping_kills() {
        let run_dir = tempfile::tempdir().unwrap();
        let process = shell("exec sleep 60", run_dir.path());
        let own = PathBuf::from(format!("/proc/{}", process.child.id()));
        assert!(own.exists());
        drop(process);
        assert!(!own.exists());
    }
}
