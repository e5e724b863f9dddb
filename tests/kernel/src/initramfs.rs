//! The guest's files, as an archive that the kernel unpacks at boot (cpio in its `newc` form, not compressed).

use std::fmt::Write as _;

/// Bytes to which names and contents are padded.
const ALIGNMENT: usize = 4;
const FOLDER_MODE: u32 = 0o040_755;
const FILE_MODE: u32 = 0o100_644;
const PROGRAM_MODE: u32 = 0o100_755;
const CHARACTER_DEVICE_MODE: u32 = 0o020_600;
/// Name of the entry that ends the archive.
const TRAILER: &str = "TRAILER!!!";

/// An archive in the making.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// An archive without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder. The ones above it come first.
    pub fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER_MODE, (0, 0), &[]);
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE_MODE, (0, 0), content);
    }

    /// Adds a file that can be run.
    pub fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM_MODE, (0, 0), content);
    }

    /// Adds a character device.
    pub fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER_DEVICE_MODE, (major, minor), &[]);
    }

    /// The finished archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.entries += 1;
        let links = 1;
        let name_bytes = path.len() as u32 + 1;
        let mut header = String::from("070701");
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            content.len() as u32,
            0,
            0,
            major,
            minor,
            name_bytes,
            /* checksum */ 0,
        ];
        for field in fields {
            // Writing to a String cannot fail.
            let _ = write!(header, "{field:08x}");
        }
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_padded_and_the_trailer_ends_them() {
        let mut archive = Archive::new();
        archive.file("ab", b"xyz");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        // Inode, mode, user, group, links, time, size, two times two device numbers, name, checksum.
        let expected = "070701 00000001 000081a4 00000000 00000000 00000001 00000000 00000003 \
            00000000 00000000 00000000 00000000 00000003 00000000 ab";
        assert!(text.starts_with(&expected.replace(' ', "")), "{text}");
        // 110 bytes of header and 3 of name are 113, padded to 116; 3 of content to 120.
        assert_eq!(&bytes[113..120], b"\0\0\0xyz\0");
        assert_eq!(&bytes[120..126], b"070701");
        assert!(text.contains(TRAILER) && bytes.len().is_multiple_of(ALIGNMENT));
    }
}
