//! Records on disk: one file each, replaced atomically.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Largest file that is read back, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const RECORD_SUFFIX: &str = ".record";

/// Why something was not stored or read.
#[derive(Debug, Error)]
#[error("cannot {verb} {path}: check that the state directory is writable and has room")]
pub struct StoreError {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A directory of records. A write is complete or absent after a death of this process; files that cannot be what they
/// should are left alone and not returned.
#[derive(Debug)]
pub struct FileStore {
    dir: PathBuf,
}

impl FileStore {
    /// Opens the directory and makes it where needed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(|source| StoreError { verb: "create", path: dir.to_owned(), source })?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Stores a record under `name`.
    ///
    /// # Errors
    /// [`StoreError`]; the earlier record is then still there.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.replace(&self.dir.join(format!("{name}{RECORD_SUFFIX}")), bytes)
    }

    /// Removes a record, if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.dir.join(format!("{name}{RECORD_SUFFIX}"));
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError { verb: "remove", path, source }),
            _ => Ok(()),
        }
    }

    /// All records' bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn records(&self) -> Result<Vec<(PathBuf, Vec<u8>)>, StoreError> {
        let fail = |source| StoreError { verb: "list", path: self.dir.clone(), source };
        let mut found = Vec::new();
        for item in fs::read_dir(&self.dir).map_err(fail)? {
            let path = item.map_err(fail)?.path();
            if path.to_string_lossy().ends_with(RECORD_SUFFIX) {
                let bytes = read(&path).map_err(|source| StoreError { verb: "read", path: path.clone(), source })?;
                found.push((path, bytes));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Stores the desired state.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_desired(&self, bytes: &[u8]) -> Result<(), StoreError> {
        self.replace(&self.desired_path(), bytes)
    }

    /// The desired state, if one was stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn desired(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.desired_path();
        match read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError { verb: "read", path, source }),
        }
    }

    /// Sets a file aside that cannot be used, so that it is neither lost nor met again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_aside(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".damaged");
        let aside = PathBuf::from(aside);
        fs::rename(path, &aside).map_err(|source| StoreError { verb: "rename", path: path.to_owned(), source })?;
        Ok(aside)
    }

    /// Where the desired state is.
    #[must_use]
    pub fn desired_path(&self) -> PathBuf {
        self.dir.join("desired")
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(bytes)?;
            // The rename is the commit: it must not come to the disk before the bytes.
            file.sync_data()?;
            fs::rename(&new, path)?;
            // And the rename itself is only durable with the directory.
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|source| StoreError { verb: "write", path: path.to_owned(), source })
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "file too large"));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_replaced_removed_and_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::open(&dir.path().join("state")).unwrap();
        assert!(store.desired().unwrap().is_none());
        store.put("a", b"1").unwrap();
        store.put("a", b"22").unwrap();
        store.put("b", b"3").unwrap();
        store.put_desired(b"d").unwrap();
        let bytes: Vec<_> = store.records().unwrap().into_iter().map(|(_, b)| b).collect();
        assert_eq!(bytes, [b"22".to_vec(), b"3".to_vec()]);
        assert_eq!(store.desired().unwrap().unwrap(), b"d");
        store.remove("a").unwrap();
        store.remove("a").unwrap();
        let (path, _) = store.records().unwrap().remove(0);
        let aside = store.set_aside(&path).unwrap();
        assert!(store.records().unwrap().is_empty());
        assert_eq!(fs::read(aside).unwrap(), b"3");
    }

    #[test]
    fn an_unwritable_directory_is_named() {
        let error = FileStore::open(Path::new("/proc/nothing/here")).unwrap_err();
        assert!(error.to_string().contains("/proc/nothing/here"), "{error}");
    }
}
