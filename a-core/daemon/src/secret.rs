//! The machine's secret, from which the random numbers of containers start. It never leaves the state directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use coracle_guest_abi::Name;
use sha2::{Digest, Sha256};

/// Its length in bytes.
const SECRET_BYTES: usize = 32;
const FILE_NAME: &str = "secret";

/// Random bytes that are made once and kept.
pub(crate) struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// Reads the secret in the state directory, and makes it where there is none.
    ///
    /// # Errors
    /// When it can neither be read nor made, or the file is damaged: a new one would give every container other random
    /// numbers, so that is the operator's to decide.
    pub(crate) fn open(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join(FILE_NAME);
        match fs::read(&path) {
            Ok(bytes) => match bytes.try_into() {
                Ok(bytes) => Ok(Self(bytes)),
                Err(bytes) => bail!(
                    "{} has {} bytes instead of {SECRET_BYTES}: remove it, then containers get other random numbers",
                    path.display(),
                    bytes.len()
                ),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Self::make(state_dir).with_context(|| format!("cannot make {}", path.display()))
            }
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn make(state_dir: &Path) -> io::Result<Self> {
        let mut secret = [0; SECRET_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut secret)?;
        let new = state_dir.join("secret.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&secret)?;
        // The rename is the commit: it must not come to the disk before the bytes.
        file.sync_data()?;
        fs::rename(&new, state_dir.join(FILE_NAME))?;
        File::open(state_dir)?.sync_all()?;
        Ok(Self(secret))
    }

    /// What the random numbers of a container start from: the same each time it is applied, another for another image,
    /// and nothing that one container's numbers tell of another's.
    pub(crate) fn seed(&self, name: &Name, image: &[u8; 32]) -> [u8; 16] {
        let digest = Sha256::new().chain_update(self.0).chain_update(name.as_bytes()).chain_update(image).finalize();
        let mut seed = [0; 16];
        for (to, from) in seed.iter_mut().zip(digest) {
            *to = from;
        }
        seed
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_made_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (Name::try_from("a").unwrap(), Name::try_from("b").unwrap());
        let seed = |name, image| Secret::open(dir.path()).unwrap().seed(name, &[image; 32]);
        assert_eq!(seed(&a, 1), seed(&a, 1));
        assert_ne!(seed(&a, 1), seed(&b, 1));
        assert_ne!(seed(&a, 1), seed(&a, 2));
        let path = dir.path().join(FILE_NAME);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(Secret::open(other.path()).unwrap().seed(&a, &[1; 32]), seed(&a, 1), "of another machine");
        fs::write(&path, b"short").unwrap();
        let error = Secret::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("secret has 5 bytes"), "{error}");
    }
}
