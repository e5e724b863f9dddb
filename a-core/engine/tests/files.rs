//! Files of a guest: what it can do in the folders that its manifest grants, and that it gets nowhere else.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::{engines, event, try_load};
use coracle_container::{FileGrant, Grants, Limits, Step};
use coracle_engine::{Container, LoadError};
use coracle_guest_abi::{EventKind, GrantKind};
use coracle_lifecycle::ExitReason;
use tempfile::TempDir;

/// One call an event: `kind` says which; the payload is the path (two, separated by a line end, for a rename). Numbers
/// that do not fit the payload are in `source` and in globals. The result is the exit code of `on_event`, negated, but
/// success is 0 and leaves the container alive; what a call gives is in its memory from 1024 on.
const GUEST: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_filestat_get" (func $fd_stat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_get" (func $stat (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir" (func $readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_sync" (func $sync (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_tell" (func $tell (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fdstat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $dir_name (param i32 i32 i32) (result i32)))
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (import "coracle:log@1" "write" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  ;; The payload: call number, then eight i64 arguments, then bytes at 256.
  (func $a (param i32) (result i32) (i32.load (i32.add (i32.const 8) (i32.shl (local.get 0) (i32.const 3)))))
  (func $l (param i32) (result i64) (i64.load (i32.add (i32.const 8) (i32.shl (local.get 0) (i32.const 3)))))
  (func $0 (result i32) (call $a (i32.const 0)))
  (func $1 (result i32) (call $a (i32.const 1)))
  (func $2 (result i32) (call $a (i32.const 2)))
  (func $3 (result i32) (call $a (i32.const 3)))
  (func $4 (result i32) (call $a (i32.const 4)))
  (func $5 (result i32) (call $a (i32.const 5)))
  (func $call (result i32)
    (block $15 (block $14 (block $13 (block $12 (block $11 (block $10 (block $9 (block $8 (block $7 (block $6
    (block $5b (block $4b (block $3b (block $2b (block $1b (block $0b
      (br_table $0b $1b $2b $3b $4b $5b $6 $7 $8 $9 $10 $11 $12 $13 $14 $15 (i32.load (i32.const 0))))
      (return (call $open (call $0) (call $1) (call $2) (call $3) (call $4) (call $l (i32.const 5)) (i64.const 0) (call $a (i32.const 6)) (i32.const 1024))))
      (return (call $fd_stat (call $0) (i32.const 1024))))
      (return (call $stat (call $0) (call $1) (call $2) (call $3) (i32.const 1024))))
      (return (call $readdir (call $0) (i32.const 1032) (call $1) (call $l (i32.const 2)) (i32.const 1024))))
      (return (call $mkdir (call $0) (call $1) (call $2))))
      (return (call $unlink (call $0) (call $1) (call $2))))
      (return (call $rename (call $0) (call $1) (call $2) (call $3) (call $4) (call $5))))
      (return (call $sync (call $0))))
      (return (call $tell (call $0) (i32.const 1024))))
      (return (call $fd_read (call $0) (call $1) (call $2) (i32.const 1024))))
      (return (call $fd_write (call $0) (call $1) (call $2) (i32.const 1024))))
      (return (call $seek (call $0) (call $l (i32.const 1)) (call $2) (i32.const 1024))))
      (return (call $close (call $0))))
      (return (call $fdstat (call $0) (i32.const 1024))))
      (return (call $prestat (call $0) (i32.const 1024))))
      (return (call $dir_name (call $0) (i32.const 1024) (call $1))))
  (func (export "on_event") (param i32 i32 i32) (result i32)
    (drop (call $read (i32.const 0) (i32.const 1024)))
    (i32.store (i32.const 131072) (call $call))
    (i32.const 0)))"#;

const OPEN: u32 = 0;
const FD_STAT: u32 = 1;
const STAT: u32 = 2;
const READDIR: u32 = 3;
const MKDIR: u32 = 4;
const UNLINK: u32 = 5;
const RENAME: u32 = 6;
const SYNC: u32 = 7;
const TELL: u32 = 8;
const READ: u32 = 9;
const WRITE: u32 = 10;
const SEEK: u32 = 11;
const CLOSE: u32 = 12;
const FDSTAT: u32 = 13;
const PRESTAT: u32 = 14;
const DIR_NAME: u32 = 15;

const RD: u64 = 2;
const WR: u64 = 64;
const CREATE: u64 = 1;
const DIRECTORY: u64 = 2;
const EXCLUSIVE: u64 = 4;
const TRUNCATE: u64 = 8;

const ACCES: u32 = 2;
const BADF: u32 = 8;
const EXIST: u32 = 20;
const FAULT: u32 = 21;
const FBIG: u32 = 22;
const ISDIR: u32 = 31;
const LOOP: u32 = 32;
const MFILE: u32 = 33;
const NAMETOOLONG: u32 = 37;
const NOENT: u32 = 44;
const NOTDIR: u32 = 54;
const OVERFLOW: u32 = 61;
const ROFS: u32 = 69;

struct Guest(Container);

/// Where the guest finds what comes after the arguments.
const DATA: u64 = 256;
const OUT: usize = 1024;

impl Guest {
    fn new(grants: &[(&str, &Path, bool)], handles: u8) -> Self {
        let limits = Limits { memory: 4 * 65536, handles, ..Limits::default() };
        Self(try_load(&engines()[0], GUEST, limits, files(grants)).unwrap())
    }

    /// Makes a call; returns its number and what lies at `OUT`.
    fn call(&mut self, call: u32, args: &[u64], data: &[u8]) -> (u32, Vec<u8>) {
        self.begin(call, args, data);
        assert_eq!(common::go_on(&mut self.0, 0), Step::Done);
        let memory = self.memory();
        let result = u32::from_le_bytes(memory[131_072..131_076].try_into().unwrap());
        (result, memory[OUT..131_072].to_vec())
    }

    fn begin(&mut self, call: u32, args: &[u64], data: &[u8]) {
        let mut payload = vec![0; DATA as usize];
        payload[..4].copy_from_slice(&call.to_le_bytes());
        for (to, arg) in payload[8..].chunks_exact_mut(8).zip(args) {
            to.copy_from_slice(&arg.to_le_bytes());
        }
        payload.extend(data);
        self.0.begin(Some(event(EventKind::Message, &payload)));
    }

    fn memory(&self) -> Vec<u8> {
        let mut bytes = vec![0; 512 * 1024];
        let used = self.0.capture(std::iter::empty(), &mut bytes).unwrap();
        let snapshot = coracle_migrate::snapshot::Snapshot::decode(&bytes[..used]).unwrap();
        let mut memory = vec![0; snapshot.head().memory_len as usize];
        snapshot.fill_memory(&mut memory).unwrap();
        memory
    }

    fn open(&mut self, folder: u64, path: &str, oflags: u64, rights: u64) -> Result<u64, u32> {
        self.open_with(folder, path, oflags, rights, 1, 0)
    }

    fn open_with(&mut self, dir: u64, path: &str, oflags: u64, rights: u64, look: u64, flags: u64) -> Result<u64, u32> {
        let (result, out) =
            self.call(OPEN, &[dir, look, DATA, path.len() as u64, oflags, rights, flags], path.as_bytes());
        if result == 0 { Ok(number(&out, 4)) } else { Err(result) }
    }

    fn path(&mut self, call: u32, path: &str) -> u32 {
        let args = if call == STAT { vec![3, 1, DATA, path.len() as u64] } else { vec![3, DATA, path.len() as u64] };
        self.call(call, &args, path.as_bytes()).0
    }

    fn rename(&mut self, from: &str, to: &str) -> u32 {
        let args = [3, DATA, from.len() as u64, 3, DATA + from.len() as u64, to.len() as u64];
        self.call(RENAME, &args, [from, to].concat().as_bytes()).0
    }

    fn write(&mut self, fd: u64, data: &[u8]) -> Result<u64, u32> {
        let buffer = [(DATA as u32 + 8).to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        let (result, out) = self.call(WRITE, &[fd, DATA, 1], &[&buffer, data].concat());
        if result == 0 { Ok(number(&out, 4)) } else { Err(result) }
    }

    fn read(&mut self, fd: u64, len: u32) -> Result<Vec<u8>, u32> {
        let buffer = [(OUT as u32 + 8).to_le_bytes(), len.to_le_bytes()].concat();
        let (result, out) = self.call(READ, &[fd, DATA, 1], &buffer);
        if result == 0 { Ok(out[8..8 + number(&out, 4) as usize].to_vec()) } else { Err(result) }
    }

    fn seek(&mut self, fd: u64, by: i64, whence: u64) -> Result<u64, u32> {
        let (result, out) = self.call(SEEK, &[fd, by.cast_unsigned(), whence], b"");
        if result == 0 { Ok(number(&out, 8)) } else { Err(result) }
    }

    /// The names in a folder, read with a buffer of `cap` bytes.
    fn list(&mut self, fd: u64, cap: u64) -> Result<Vec<(String, u8)>, u32> {
        let (mut names, mut cookie) = (Vec::new(), 0);
        loop {
            let (result, out) = self.call(READDIR, &[fd, cap, cookie], b"");
            if result != 0 {
                return Err(result);
            }
            let used = number(&out, 4);
            let mut rest = &out[8..8 + used as usize];
            while rest.len() >= 24 {
                let len = number(&rest[16..], 4) as usize;
                if rest.len() < 24 + len {
                    break;
                }
                cookie = number(rest, 8);
                names.push((String::from_utf8(rest[24..24 + len].to_vec()).unwrap(), rest[20]));
                rest = &rest[24 + len..];
            }
            if used < cap {
                names.sort();
                return Ok(names);
            }
        }
    }
}

fn number(bytes: &[u8], len: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..len].copy_from_slice(&bytes[..len]);
    u64::from_le_bytes(wide)
}

fn files(grants: &[(&str, &Path, bool)]) -> Grants {
    let files = grants.iter().map(|(guest, host, write)| FileGrant {
        guest: (*guest).to_owned(),
        host: host.to_str().unwrap().to_owned(),
        write: *write,
    });
    Grants { files: files.collect(), ..Grants::default() }
}

/// A folder `in` and, beside it, what must not be reached.
fn world() -> (TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("in");
    fs::create_dir_all(inside.join("sub")).unwrap();
    fs::write(inside.join("file"), "inside").unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("secret"), "outside").unwrap();
    (dir, inside)
}

#[test]
fn files_are_written_and_read_back() {
    let (_dir, inside) = world();
    let mut g = Guest::new(&[("/data", &inside, true)], 16);
    let fd = g.open(3, "new", CREATE, RD | WR).unwrap();
    assert_eq!(fd, 4);
    assert_eq!(g.write(fd, b"hello world"), Ok(11));
    assert_eq!(g.call(TELL, &[fd], b"").1[..8], 11_u64.to_le_bytes());
    assert_eq!(g.seek(fd, -5, 2), Ok(6));
    assert_eq!(g.read(fd, 100).unwrap(), b"world");
    assert_eq!(g.read(fd, 100).unwrap(), b"");
    assert_eq!((g.seek(fd, -1, 0), g.seek(fd, -99, 1), g.seek(fd, 0, 3)), (Err(28), Err(28), Err(28)));
    assert_eq!(g.call(SYNC, &[fd], b"").0, 0);
    assert_eq!(g.call(CLOSE, &[fd], b"").0, 0);
    assert_eq!((g.call(CLOSE, &[fd], b"").0, g.read(fd, 1)), (BADF, Err(BADF)));
    assert_eq!(fs::read(inside.join("new")).unwrap(), b"hello world");

    assert_eq!(g.open(3, "new", CREATE | EXCLUSIVE, WR), Err(EXIST));
    assert_eq!(g.open(3, "none", 0, RD), Err(NOENT));
    let fd = g.open_with(3, "new", 0, WR, 1, 1).unwrap();
    assert_eq!((g.write(fd, b"!"), g.read(fd, 1)), (Ok(1), Err(BADF)));
    assert_eq!(fs::read(inside.join("new")).unwrap(), b"hello world!");
    let fd = g.open(3, "new", TRUNCATE, RD).unwrap();
    assert_eq!((g.read(fd, 9), g.write(fd, b"x")), (Ok(Vec::new()), Err(BADF)));
    assert_eq!(fs::read(inside.join("new")).unwrap(), b"");

    assert_eq!(g.path(MKDIR, "sub/deep"), 0);
    assert_eq!(g.path(MKDIR, "sub/deep"), EXIST);
    assert_eq!(g.rename("new", "sub/deep/old"), 0);
    assert_eq!(g.path(STAT, "new"), NOENT);
    assert_eq!(g.path(UNLINK, "sub/deep"), ISDIR);
    let dir = g.open(3, "sub", DIRECTORY, RD).unwrap();
    assert_eq!(g.open(dir, "deep/old", 0, RD).map(|_| ()), Ok(()));
    assert_eq!(g.open(3, "sub/deep/old", DIRECTORY, RD), Err(NOTDIR));
    assert_eq!((g.read(dir, 1), g.seek(dir, 0, 0)), (Err(ISDIR), Err(ISDIR)));
    assert_eq!(g.path(UNLINK, "sub/deep/old"), 0);
    assert!(!inside.join("sub/deep/old").exists());
}

#[test]
fn descriptors_and_files_tell_what_they_are() {
    let (_dir, inside) = world();
    let mut g = Guest::new(&[("/data", &inside, true), ("/read-only", &inside, false)], 16);
    for (fd, name) in [(3, "/data"), (4, "/read-only")] {
        let (result, out) = g.call(PRESTAT, &[fd], b"");
        assert_eq!((result, out[0], number(&out[4..], 4)), (0, 0, name.len() as u64));
        let (result, out) = g.call(DIR_NAME, &[fd, name.len() as u64], b"");
        assert_eq!((result, &out[..name.len()]), (0, name.as_bytes()));
        assert_eq!(g.call(DIR_NAME, &[fd, 2], b"").0, NAMETOOLONG);
    }
    assert_eq!(g.call(PRESTAT, &[5], b"").0, BADF);
    let fd = g.open(3, "file", 0, RD).unwrap();
    assert_eq!(g.call(PRESTAT, &[fd], b"").0, BADF);

    let (result, out) = g.call(FDSTAT, &[fd], b"");
    assert_eq!((result, out[0], number(&out[8..], 8) & (RD | WR)), (0, 4, RD));
    let (_, out) = g.call(FDSTAT, &[3], b"");
    assert_eq!((out[0], number(&out[16..], 8) & (RD | WR)), (3, RD | WR));
    let (_, out) = g.call(FDSTAT, &[4], b"");
    assert_eq!((out[0], number(&out[16..], 8) & (RD | WR)), (3, RD));
    assert_eq!(g.call(FDSTAT, &[1], b"").1[0], 2, "the log is still a character device");

    let (result, out) = g.call(FD_STAT, &[fd], b"");
    let metadata = fs::metadata(inside.join("file")).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!((result, out[16], number(&out[32..], 8), number(&out[8..], 8)), (0, 4, 6, metadata.ino()));
    assert_eq!(
        number(&out[48..], 8),
        metadata.mtime().cast_unsigned() * 1_000_000_000 + metadata.mtime_nsec().cast_unsigned()
    );
    assert_eq!(g.call(FD_STAT, &[3], b"").1[16], 3);
    symlink("file", inside.join("link")).unwrap();
    let stat = |g: &mut Guest, follow| g.call(STAT, &[3, follow, DATA, 4], b"link").1[16];
    assert_eq!((stat(&mut g, 1), stat(&mut g, 0)), (4, 7));
    assert_eq!(g.open_with(3, "link", 0, RD, 0, 0), Err(LOOP));
    assert!(g.open(3, "link", 0, RD).is_ok());
}

#[test]
fn folders_are_listed_with_buffers_of_any_size() {
    let (_dir, inside) = world();
    for n in 0..50 {
        fs::write(inside.join("sub").join(format!("{n:02}-{}", "x".repeat(n * 4))), "").unwrap();
    }
    symlink("nowhere", inside.join("link")).unwrap();
    let mut g = Guest::new(&[("/data", &inside, false)], 16);
    assert_eq!(g.list(3, 4096).unwrap(), [("file".into(), 4), ("link".into(), 7), ("sub".into(), 3)]);
    let sub = g.open(3, "sub", DIRECTORY, RD).unwrap();
    let all = g.list(sub, 60_000).unwrap();
    assert_eq!(all.len(), 50);
    for cap in [300, 512, 1000] {
        assert_eq!(g.list(sub, cap).unwrap(), all, "a buffer of {cap} bytes");
    }
    let file = g.open(3, "file", 0, RD).unwrap();
    assert_eq!(g.list(file, 100), Err(NOTDIR));
    for n in 0..1024 {
        fs::write(inside.join("sub").join(format!("more{n}")), "").unwrap();
    }
    assert_eq!(g.list(sub, 4096), Err(OVERFLOW));
}

#[test]
fn no_path_leads_out_of_the_folder() {
    let (dir, inside) = world();
    let secret = dir.path().join("secret");
    let outside = dir.path().join("outside");
    symlink("../secret", inside.join("up")).unwrap();
    symlink(&secret, inside.join("absolute")).unwrap();
    symlink("../outside", inside.join("folder")).unwrap();
    symlink("up", inside.join("chain")).unwrap();
    symlink("/proc/self/root", inside.join("magic")).unwrap();
    symlink("../created", inside.join("dangling")).unwrap();
    symlink("sub/../file", inside.join("fine")).unwrap();
    let mut g = Guest::new(&[("/data", &inside, true)], 16);
    let absolute = secret.to_str().unwrap();
    let escapes = ["../secret", "sub/../../secret", "..", "/etc/passwd", absolute, "up", "absolute", "chain"];
    for path in escapes.into_iter().chain(["dangling", "folder/new", "folder/../secret", "magic/etc/passwd"]) {
        for (oflags, rights) in [(0, RD), (0, WR), (CREATE, WR), (TRUNCATE, WR), (DIRECTORY, RD)] {
            let result = g.open(3, path, oflags, rights);
            assert_eq!(result, Err(ACCES), "{path} {oflags} {rights}");
        }
        assert_eq!(g.path(STAT, path), ACCES, "{path}");
        let links = ["up", "absolute", "chain", "dangling"].contains(&path);
        if !links {
            assert_eq!(g.path(MKDIR, path), ACCES, "{path}");
            assert_eq!(g.path(UNLINK, path), ACCES, "{path}");
            assert_eq!(g.rename("file", path), ACCES, "{path}");
            assert_eq!(g.rename(path, "mine"), ACCES, "{path}");
        }
    }
    // From a folder inside, too, and from one that was moved since it was opened.
    let sub = g.open(3, "sub", DIRECTORY, RD).unwrap();
    assert_eq!(g.open(sub, "../../secret", 0, RD), Err(ACCES));
    assert_eq!(g.open(sub, "../file", 0, RD), Err(ACCES), "a folder is a bound of its own");
    assert!(g.0.usage().refused_calls >= 100);
    assert!(g.open(3, "fine", 0, RD).is_ok());
    assert_eq!(fs::read(&secret).unwrap(), b"outside");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[test]
fn a_folder_without_write_cannot_be_changed() {
    let (_dir, inside) = world();
    fs::create_dir(inside.join("w")).unwrap();
    let mut g = Guest::new(&[("/data", &inside, false)], 16);
    for (oflags, rights) in [(0, WR), (0, RD | WR), (CREATE, RD), (TRUNCATE, RD), (CREATE | EXCLUSIVE, RD)] {
        assert_eq!(g.open(3, "file", oflags, rights), Err(ROFS), "{oflags} {rights}");
    }
    assert_eq!((g.path(MKDIR, "d"), g.path(UNLINK, "file"), g.rename("file", "other")), (ROFS, ROFS, ROFS));
    let sub = g.open(3, "sub", DIRECTORY, RD).unwrap();
    assert_eq!(g.open(sub, "x", CREATE, WR), Err(ROFS), "nor through a folder in it");
    let fd = g.open(3, "file", 0, RD).unwrap();
    assert_eq!((g.write(fd, b"x"), g.read(fd, 9).unwrap()), (Err(BADF), b"inside".to_vec()));

    // Between a folder that may be changed and one that may not.
    let mut g = Guest::new(&[("/w", &inside.join("w"), true), ("/r", &inside.join("sub"), false)], 16);
    g.open(3, "mine", CREATE, WR).unwrap();
    let cross = |g: &mut Guest, from, to| g.call(RENAME, &[from, DATA, 4, to, DATA, 4], b"mine").0;
    assert_eq!((cross(&mut g, 3, 4), cross(&mut g, 4, 3), cross(&mut g, 3, 3)), (ROFS, ROFS, 0));
}

#[test]
fn what_is_open_and_what_is_moved_is_bounded() {
    let (_dir, inside) = world();
    let mut g = Guest::new(&[("/data", &inside, true)], 2);
    let first = g.open(3, "file", 0, RD).unwrap();
    g.open(3, "file", 0, RD).unwrap();
    assert_eq!(g.open(3, "file", 0, RD), Err(MFILE));
    assert_eq!(g.open(3, "new", CREATE, WR), Err(MFILE));
    assert!(!inside.join("new").exists(), "one that is refused makes no file");
    g.call(CLOSE, &[first], b"");
    let fd = g.open(3, "big", CREATE, RD | WR).unwrap();
    assert_eq!(fd, first, "the number is used again");

    // More than it has memory for, and more than one call moves.
    assert_eq!(g.read(fd, u32::MAX), Err(FAULT));
    fs::write(inside.join("big"), vec![7; 200_000]).unwrap();
    assert_eq!(g.read(fd, 100_000).unwrap().len(), 64 * 1024);
    let end = 64 * 1024 * 1024;
    assert_eq!(g.seek(fd, end - 2, 0), Ok(end.cast_unsigned() - 2));
    assert_eq!(g.write(fd, b"four"), Ok(2));
    assert_eq!(g.write(fd, b"four"), Err(FBIG));
    // Waiting for the storage is worth a whole slice.
    g.begin(SYNC, &[fd], b"");
    assert_eq!((g.0.run(0, u64::MAX), g.0.run(0, u64::MAX)), (Step::Pending, Step::Done));
    let long = "x".repeat(1100);
    assert_eq!(g.call(STAT, &[3, 1, DATA, 1100], long.as_bytes()).0, NAMETOOLONG);
    assert_eq!(g.call(STAT, &[3, 1, 4 * 65536, 1], b"").0, FAULT);
    assert_eq!(g.path(STAT, "nul\0byte"), 28);
    assert_eq!(g.call(STAT, &[3, 1, DATA, 1], b"\xff").0, 25);
    assert_eq!(g.call(STAT, &[1, 1, DATA, 4], b"file").0, BADF);
    assert_eq!(g.call(STAT, &[99, 1, DATA, 4], b"file").0, BADF);
}

#[test]
fn a_pipe_does_not_hold_the_core() {
    let (_dir, inside) = world();
    nix::unistd::mkfifo(&inside.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut g = Guest::new(&[("/data", &inside, true)], 16);
    assert_eq!(g.open(3, "pipe", 0, RD), Err(ACCES));
    assert!(g.open(3, "pipe", 0, WR).is_err());
    assert_eq!(g.open(3, "pipe", 0, RD | WR), Err(ACCES));
}

#[test]
fn files_are_linked_with_the_grant_alone() {
    let without = try_load(&engines()[0], GUEST, Limits { memory: 4 * 65536, ..Limits::default() }, Grants::default());
    assert!(matches!(without.err(), Some(LoadError::Import { grant: Some(GrantKind::Files), .. })));
    let missing = [("/data", Path::new("/nonexistent/folder"), false)];
    let refused = try_load(&engines()[0], GUEST, Limits { memory: 4 * 65536, ..Limits::default() }, files(&missing));
    let message = refused.err().unwrap().to_string();
    assert!(message.contains("/nonexistent/folder") && message.contains("grants.files"), "{message}");
    // The standard streams need none, and there is nothing beyond them.
    let text = r#"(module
      (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "on_event") (param i32 i32 i32) (result i32)
        (i32.sub (i32.const 0) (call $prestat (i32.const 3) (i32.const 0)))))"#;
    let mut c = common::load(&engines()[0], text, Grants::default());
    c.begin(Some(event(EventKind::Timer, b"")));
    assert_eq!(c.run(0, u64::MAX), Step::Exited(ExitReason::Returned(-8)));
}
