//! The files of a container: the folders that its manifest grants, and what the guest opened in them, as descriptors
//! from 3 on of `wasi_snapshot_preview1`.
//!
//! Nothing outside the folders can be reached: paths are resolved below the folder's own descriptor (`cap-std`), and a
//! `..`, an absolute path or a symbolic link that leads out of it is refused. Only regular files and folders are opened,
//! so that no call waits for another process. Layouts, flags and error numbers: the WASI preview 1 documents.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, FileType, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use coracle_container::{Args, FileGrant, Outcome};
use coracle_guest_abi::{Call, wasi};
use nix::fcntl::OFlag;

use crate::LoadError;
use crate::host::{CALLS_PER_SLICE_MAX, Side};

/// The first descriptor that is not a standard stream.
const FIRST: usize = 3;
/// Most buffers of one read or write that are looked at, and most bytes that are moved; the guest is told how many were.
const BUFFERS_MAX: usize = 16;
const TRANSFER_BYTES_MAX: usize = 64 * 1024;
/// Longest path, in bytes.
const PATH_BYTES_MAX: usize = 1024;
/// Most entries of a folder that can be listed.
const ENTRIES_MAX: usize = 1024;
/// Where a file ends at the latest, in bytes: a guest cannot fill the disk with one.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Error numbers of WASI.
mod errno {
    pub(super) const ACCES: u16 = 2;
    pub(super) const AGAIN: u16 = 6;
    pub(super) const BUSY: u16 = 10;
    pub(super) const DQUOT: u16 = 19;
    pub(super) const EXIST: u16 = 20;
    pub(super) const FAULT: u16 = 21;
    pub(super) const FBIG: u16 = 22;
    pub(super) const ILSEQ: u16 = 25;
    pub(super) const IO: u16 = 29;
    pub(super) const ISDIR: u16 = 31;
    pub(super) const LOOP: u16 = 32;
    pub(super) const MFILE: u16 = 33;
    pub(super) const NAMETOOLONG: u16 = 37;
    pub(super) const NOENT: u16 = 44;
    pub(super) const NOSPC: u16 = 51;
    pub(super) const NOTDIR: u16 = 54;
    pub(super) const NOTEMPTY: u16 = 55;
    pub(super) const OVERFLOW: u16 = 61;
    pub(super) const ROFS: u16 = 69;
    pub(super) const XDEV: u16 = 75;
}

const RIGHT_READ: u64 = 1 << 1;
const RIGHT_WRITE: u64 = 1 << 6;
/// Rights that change nothing: `fd_read`, `fd_seek`, `fd_tell`, `path_open`, `fd_readdir`, `path_filestat_get`,
/// `fd_filestat_get`, `poll_fd_readwrite`.
const RIGHTS_READ: u64 = RIGHT_READ | 1 << 2 | 1 << 5 | 1 << 13 | 1 << 14 | 1 << 18 | 1 << 21 | 1 << 27;
/// Those that do: `fd_sync`, `fd_write`, `path_create_directory`, `path_create_file`, `path_rename_source`,
/// `path_rename_target`, `path_filestat_set_size`, `path_unlink_file`.
const RIGHTS_WRITE: u64 = 1 << 4 | RIGHT_WRITE | 1 << 9 | 1 << 10 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 26;

type Reply = Result<(), u16>;

/// The descriptors from [`FIRST`] on.
pub(crate) struct Files {
    open: Vec<Option<Descriptor>>,
    /// Most that the guest may hold open beside the granted folders.
    most: usize,
}

struct Descriptor {
    node: Node,
    /// The path that the guest sees of a granted folder.
    name: Option<String>,
    /// Whether the grant lets it change anything.
    write: bool,
}

enum Node {
    File { file: File, read: bool, write: bool, append: bool },
    Folder { dir: Dir, entries: Vec<Entry> },
}

/// An entry of a folder when it was listed from its beginning.
struct Entry {
    inode: u64,
    kind: u8,
    name: Vec<u8>,
}

impl Files {
    /// Opens the granted folders.
    pub(crate) fn open(grants: &[FileGrant], handles: u8) -> Result<Self, LoadError> {
        let open = grants.iter().map(|grant| {
            let dir = Dir::open_ambient_dir(&grant.host, ambient_authority()).map_err(|e| LoadError::Folder {
                guest: grant.guest.clone(),
                host: grant.host.clone(),
                detail: e.to_string(),
            })?;
            let node = Node::Folder { dir, entries: Vec::new() };
            Ok(Some(Descriptor { node, name: Some(grant.guest.clone()), write: grant.write }))
        });
        let open = open.collect::<Result<Vec<_>, LoadError>>()?;
        Ok(Self { open, most: usize::from(handles) })
    }

    /// Carries out a call on a file; `None` when it is none.
    pub(crate) fn dispatch(&mut self, call: Call, args: &Args, memory: &mut [u8], side: &mut Side) -> Option<Outcome> {
        let on_file = word(args, 0) >= FIRST;
        let memory = &mut Memory(memory);
        let reply = match call {
            Call::WasiPathOpen => self.path_open(args, memory),
            Call::WasiFdFilestatGet => self.fd_filestat_get(args, memory),
            Call::WasiPathFilestatGet => self.path_filestat_get(args, memory),
            Call::WasiFdReaddir => self.fd_readdir(args, memory),
            Call::WasiPathCreateDirectory => {
                self.path(args, 0, memory, true).and_then(|(dir, path)| done(dir.create_dir(path)))
            }
            Call::WasiPathUnlinkFile => {
                self.path(args, 0, memory, true).and_then(|(dir, path)| done(dir.remove_file(path)))
            }
            Call::WasiPathRename => self.path_rename(args, memory),
            Call::WasiFdSync => self.file(args).and_then(|(file, ..)| done(file.sync_all())),
            Call::WasiFdTell => self.fd_tell(args, memory),
            Call::WasiFdRead if on_file => self.fd_read(args, memory),
            Call::WasiFdWrite if on_file => self.fd_write(args, memory),
            Call::WasiFdSeek if on_file => self.fd_seek(args, memory),
            Call::WasiFdClose if on_file => self.fd_close(args),
            Call::WasiFdFdstatGet if on_file => self.fd_fdstat_get(args, memory),
            Call::WasiFdPrestatGet if on_file => self.fd_prestat_get(args, memory),
            Call::WasiFdPrestatDirName if on_file => self.fd_prestat_dir_name(args, memory),
            _ => return None,
        };
        side.calls = side.calls.saturating_add(weight(call));
        let number = reply.err().unwrap_or(wasi::SUCCESS);
        if number == errno::ROFS || number == errno::ACCES {
            side.host.refused(call, "a file");
        }
        Some(Outcome::Return(number.into()))
    }

    fn descriptor(&mut self, args: &Args, n: usize) -> Result<&mut Descriptor, u16> {
        let index = word(args, n).checked_sub(FIRST).ok_or(wasi::BADF)?;
        self.open.get_mut(index).and_then(Option::as_mut).ok_or(wasi::BADF)
    }

    /// The file that the first argument is open as: it, and whether it may be read, written, is appended to.
    fn file(&mut self, args: &Args) -> Result<(&mut File, bool, bool, bool), u16> {
        match &mut self.descriptor(args, 0)?.node {
            Node::File { file, read, write, append } => Ok((file, *read, *write, *append)),
            Node::Folder { .. } => Err(errno::ISDIR),
        }
    }

    /// The folder of argument `n`, and the path in the two arguments from `n + 1` on.
    fn path<'g>(&self, args: &Args, n: usize, memory: &'g Memory<'_>, change: bool) -> Result<(&Dir, &'g str), u16> {
        self.path_at(args, n, n + 1, memory, change)
    }

    fn path_at<'g>(
        &self,
        args: &Args,
        folder: usize,
        path: usize,
        memory: &'g Memory<'_>,
        change: bool,
    ) -> Result<(&Dir, &'g str), u16> {
        let index = word(args, folder).checked_sub(FIRST).ok_or(wasi::BADF)?;
        let descriptor = self.open.get(index).and_then(Option::as_ref).ok_or(wasi::BADF)?;
        let Node::Folder { dir, .. } = &descriptor.node else { return Err(errno::NOTDIR) };
        if change && !descriptor.write {
            return Err(errno::ROFS);
        }
        let (at, len) = (word(args, path), word(args, path + 1));
        if len > PATH_BYTES_MAX {
            return Err(errno::NAMETOOLONG);
        }
        let path = std::str::from_utf8(memory.bytes(at, len)?).map_err(|_| errno::ILSEQ)?;
        Ok((dir, path))
    }

    fn path_open(&mut self, args: &Args, memory: &mut Memory<'_>) -> Reply {
        const CREATE: usize = 1;
        const FOLDER: usize = 2;
        const EXCLUSIVE: usize = 4;
        const TRUNCATE: usize = 8;
        const APPEND: usize = 1;
        let (oflags, rights, fdflags, out) = (word(args, 4), long(args, 5), word(args, 7), word(args, 8));
        memory.range(out, 4)?;
        let (create, truncate) = (oflags & CREATE != 0, oflags & TRUNCATE != 0);
        let write = rights & RIGHT_WRITE != 0;
        let read = rights & RIGHT_READ != 0 || !write;
        let append = fdflags & APPEND != 0;
        let (dir, path) = self.path_at(args, 0, 2, memory, write || create || truncate)?;
        if self.open.iter().flatten().filter(|d| d.name.is_none()).count() >= self.most {
            return Err(errno::MFILE);
        }
        // Between this look and the opening the link may change; it would still not lead out of the folder.
        if !follows(args) && dir.symlink_metadata(path).is_ok_and(|m| m.is_symlink()) {
            return Err(errno::LOOP);
        }
        let mut options = OpenOptions::new();
        // Without O_NONBLOCK opening a pipe would wait for its other end, and everything else with it.
        options.read(read).write(write || create || truncate).custom_flags(OFlag::O_NONBLOCK.bits());
        options.create(create && oflags & EXCLUSIVE == 0).create_new(create && oflags & EXCLUSIVE != 0);
        options.truncate(truncate).append(append && write);
        let file = dir.open_with(path, &options).map_err(number)?;
        let metadata = file.metadata().map_err(number)?;
        let node = if metadata.is_dir() {
            Node::Folder { dir: Dir::from_std_file(file.into_std()), entries: Vec::new() }
        } else if oflags & FOLDER != 0 {
            return Err(errno::NOTDIR);
        } else if metadata.is_file() {
            Node::File { file, read, write, append }
        } else {
            return Err(errno::ACCES);
        };
        let write = self.descriptor(args, 0)?.write;
        let descriptor = Some(Descriptor { node, name: None, write });
        let free = self.open.iter().position(Option::is_none);
        let index = free.unwrap_or(self.open.len());
        match self.open.get_mut(index) {
            Some(slot) => *slot = descriptor,
            None => self.open.push(descriptor),
        }
        memory.write(out, &u32::try_from(FIRST + index).map_err(|_| errno::MFILE)?.to_le_bytes())
    }

    fn fd_close(&mut self, args: &Args) -> Reply {
        let index = word(args, 0).checked_sub(FIRST).ok_or(wasi::BADF)?;
        self.open.get_mut(index).and_then(Option::take).map(|_| ()).ok_or(wasi::BADF)
    }

    fn fd_read(&mut self, args: &Args, memory: &mut Memory<'_>) -> Reply {
        let (file, true, ..) = self.file(args)? else { return Err(wasi::BADF) };
        transfer(args, memory, |memory, range| {
            let len = range.len();
            let n = file.read(memory.0.get_mut(range).unwrap_or_default()).map_err(number)?;
            Ok((n, n == len))
        })
    }

    fn fd_write(&mut self, args: &Args, memory: &mut Memory<'_>) -> Reply {
        let (file, _, true, append) = self.file(args)? else { return Err(wasi::BADF) };
        let at = if append { file.metadata().map(|m| m.len()) } else { file.stream_position() };
        let mut room = FILE_BYTES_MAX.saturating_sub(at.map_err(number)?);
        transfer(args, memory, |memory, range| {
            let bytes = memory.0.get(range).unwrap_or_default();
            let most = usize::try_from(room).unwrap_or(usize::MAX);
            if most == 0 && !bytes.is_empty() {
                return Err(errno::FBIG);
            }
            let n = file.write(bytes.get(..most).unwrap_or(bytes)).map_err(number)?;
            room = room.saturating_sub(n as u64);
            Ok((n, n == bytes.len()))
        })
    }

    fn fd_seek(&mut self, args: &Args, memory: &mut Memory<'_>) -> Reply {
        let (file, ..) = self.file(args)?;
        let by = long(args, 1).cast_signed();
        let to = match word(args, 2) {
            0 => SeekFrom::Start(u64::try_from(by).map_err(|_| wasi::INVAL)?),
            1 => SeekFrom::Current(by),
            2 => SeekFrom::End(by),
            _ => return Err(wasi::INVAL),
        };
        memory.range(word(args, 3), 8)?;
        let at = file.seek(to).map_err(number)?;
        memory.write(word(args, 3), &at.to_le_bytes())
    }

    fn fd_tell(&mut self, args: &Args, memory: &mut Memory<'_>) -> Reply {
        let (file, ..) = self.file(args)?;
        let at = file.stream_position().map_err(number)?;
        memory.write(word(args, 1), &at.to_le_bytes())
    }

    fn fd_fdstat_get(&mut self, args: &Args, memory: &mut Memory<'_>) -> Reply {
        let descriptor = self.descriptor(args, 0)?;
        let all = RIGHTS_READ | if descriptor.write { RIGHTS_WRITE } else { 0 };
        let (kind, flags, base, inheriting) = match &descriptor.node {
            Node::File { read, write, append, .. } => {
                let not = if *read { 0 } else { RIGHT_READ } | if *write { 0 } else { RIGHT_WRITE };
                (FILE, u16::from(*append), all & !not, 0)
            }
            Node::Folder { .. } => (FOLDER, 0, all, all),
        };
        let mut stat = [0; 24];
        stat[0] = kind;
        stat[2..4].copy_from_slice(&flags.to_le_bytes());
        stat[8..16].copy_from_slice(&base.to_le_bytes());
        stat[16..24].copy_from_slice(&inheriting.to_le_bytes());
        memory.write(word(args, 1), &stat)
    }

    fn fd_prestat_get(&mut self, args: &Args, memory: &mut Memory<'_>) -> Reply {
        let name = self.descriptor(args, 0)?.name.as_ref().ok_or(wasi::BADF)?;
        let mut stat = [0; 8];
        stat[4..].copy_from_slice(&u32::try_from(name.len()).map_err(|_| errno::OVERFLOW)?.to_le_bytes());
        memory.write(word(args, 1), &stat)
    }

    fn fd_prestat_dir_name(&mut self, args: &Args, memory: &mut Memory<'_>) -> Reply {
        let name = self.descriptor(args, 0)?.name.as_ref().ok_or(wasi::BADF)?;
        if name.len() > word(args, 2) {
            return Err(errno::NAMETOOLONG);
        }
        memory.write(word(args, 1), name.as_bytes())
    }

    fn fd_filestat_get(&mut self, args: &Args, memory: &mut Memory<'_>) -> Reply {
        let metadata = match &self.descriptor(args, 0)?.node {
            Node::File { file, .. } => file.metadata(),
            Node::Folder { dir, .. } => dir.dir_metadata(),
        };
        memory.write(word(args, 1), &filestat(&metadata.map_err(number)?))
    }

    fn path_filestat_get(&mut self, args: &Args, memory: &mut Memory<'_>) -> Reply {
        let (dir, path) = self.path_at(args, 0, 2, memory, false)?;
        let metadata = if follows(args) { dir.metadata(path) } else { dir.symlink_metadata(path) };
        memory.write(word(args, 4), &filestat(&metadata.map_err(number)?))
    }

    fn path_rename(&mut self, args: &Args, memory: &mut Memory<'_>) -> Reply {
        let (from_dir, from) = self.path(args, 0, memory, true)?;
        let (to_dir, to) = self.path(args, 3, memory, true)?;
        done(from_dir.rename(from, to_dir, to))
    }

    fn fd_readdir(&mut self, args: &Args, memory: &mut Memory<'_>) -> Reply {
        let (out, cap, cookie, used_at) = (word(args, 1), word(args, 2), long(args, 3), word(args, 4));
        memory.range(used_at, 4)?;
        let range = memory.range(out, cap)?;
        let Node::Folder { dir, entries } = &mut self.descriptor(args, 0)?.node else { return Err(errno::NOTDIR) };
        if cookie == 0 {
            *entries = list(dir)?;
        }
        let mut buffer = memory.0.get_mut(range).unwrap_or_default();
        let from = usize::try_from(cookie).unwrap_or(usize::MAX);
        for (entry, next) in entries.iter().zip(1_u64..).skip(from) {
            let mut head = [0; 24];
            head[0..8].copy_from_slice(&next.to_le_bytes());
            head[8..16].copy_from_slice(&entry.inode.to_le_bytes());
            // A name has at most 255 bytes.
            head[16..20].copy_from_slice(&u32::try_from(entry.name.len()).unwrap_or(0).to_le_bytes());
            head[20] = entry.kind;
            // What is cut fills the buffer, which tells the guest that there is more.
            let head_cut = buffer.write(&head).unwrap_or(0) < head.len();
            if head_cut || buffer.write(&entry.name).unwrap_or(0) < entry.name.len() {
                break;
            }
        }
        let used = cap - buffer.len();
        memory.write(used_at, &u32::try_from(used).map_err(|_| errno::OVERFLOW)?.to_le_bytes())
    }
}

/// How many other host calls a call on a file is worth, by the time that it takes.
fn weight(call: Call) -> u32 {
    match call {
        // The storage itself is waited for.
        Call::WasiFdSync => CALLS_PER_SLICE_MAX,
        // Up to a thousand entries are looked at.
        Call::WasiFdReaddir => CALLS_PER_SLICE_MAX / 2,
        _ => CALLS_PER_SLICE_MAX / 50,
    }
}

/// The entries of a folder.
fn list(dir: &Dir) -> Result<Vec<Entry>, u16> {
    let mut entries = Vec::new();
    for entry in dir.entries().map_err(number)? {
        let entry = entry.map_err(number)?;
        if entries.len() == ENTRIES_MAX {
            return Err(errno::OVERFLOW);
        }
        let name = entry.file_name().into_encoded_bytes();
        let kind = entry.file_type().map_or(UNKNOWN, kind);
        // The number is that of the entry itself; of a file that is gone by now there is none.
        let inode = entry.metadata().map_or(0, |m| m.ino());
        entries.push(Entry { inode, kind, name });
    }
    Ok(entries)
}

/// Moves bytes between a file and the buffers that the arguments name, until one is not moved wholly, and tells the
/// guest how many were.
fn transfer(
    args: &Args,
    memory: &mut Memory<'_>,
    mut each: impl FnMut(&mut Memory<'_>, Range<usize>) -> Result<(usize, bool), u16>,
) -> Reply {
    let (buffers, count, out) = (word(args, 1), word(args, 2), word(args, 3));
    memory.range(out, 4)?;
    let mut moved = 0;
    for n in 0..count.min(BUFFERS_MAX) {
        let at = buffers.saturating_add(8 * n);
        let (start, len) = (memory.u32(at)?, memory.u32(at.saturating_add(4))?);
        let mut range = memory.range(start, len)?;
        let room = TRANSFER_BYTES_MAX - moved;
        range.end = range.end.min(range.start.saturating_add(room));
        match each(memory, range) {
            Ok((n, whole)) => {
                moved += n;
                if !whole || moved >= TRANSFER_BYTES_MAX {
                    break;
                }
            }
            // What was moved before was moved.
            Err(_) if moved > 0 => break,
            Err(e) => return Err(e),
        }
    }
    memory.write(out, &u32::try_from(moved).unwrap_or(0).to_le_bytes())
}

/// A guest's memory.
struct Memory<'a>(&'a mut [u8]);

impl Memory<'_> {
    fn range(&self, at: usize, len: usize) -> Result<Range<usize>, u16> {
        let end = at.checked_add(len).filter(|end| *end <= self.0.len()).ok_or(errno::FAULT)?;
        Ok(at..end)
    }

    fn bytes(&self, at: usize, len: usize) -> Result<&[u8], u16> {
        self.0.get(self.range(at, len)?).ok_or(errno::FAULT)
    }

    fn u32(&self, at: usize) -> Result<usize, u16> {
        let bytes = self.bytes(at, 4)?.try_into().map_err(|_| errno::FAULT)?;
        usize::try_from(u32::from_le_bytes(bytes)).map_err(|_| errno::FAULT)
    }

    fn write(&mut self, at: usize, data: &[u8]) -> Reply {
        let range = self.range(at, data.len())?;
        self.0.get_mut(range).ok_or(errno::FAULT)?.copy_from_slice(data);
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an i32 parameter has no more bits")]
fn word(args: &Args, n: usize) -> usize {
    args.0.get(n).map_or(0, |v| *v as u32 as usize)
}

fn long(args: &Args, n: usize) -> u64 {
    args.0.get(n).copied().unwrap_or(0)
}

/// Whether the second argument says that a symbolic link at the end of the path is followed.
fn follows(args: &Args) -> bool {
    word(args, 1) & 1 != 0
}

fn done(result: io::Result<()>) -> Reply {
    result.map_err(number)
}

/// WASI's number of an error. A path that leads out of its folder is one of permission.
fn number(error: io::Error) -> u16 {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => errno::NOENT,
        ErrorKind::PermissionDenied => errno::ACCES,
        ErrorKind::AlreadyExists => errno::EXIST,
        ErrorKind::NotADirectory => errno::NOTDIR,
        ErrorKind::IsADirectory => errno::ISDIR,
        ErrorKind::DirectoryNotEmpty => errno::NOTEMPTY,
        ErrorKind::InvalidInput => wasi::INVAL,
        ErrorKind::InvalidFilename => errno::NAMETOOLONG,
        ErrorKind::StorageFull => errno::NOSPC,
        ErrorKind::QuotaExceeded => errno::DQUOT,
        ErrorKind::FileTooLarge => errno::FBIG,
        ErrorKind::ReadOnlyFilesystem => errno::ROFS,
        ErrorKind::CrossesDevices => errno::XDEV,
        ErrorKind::ResourceBusy => errno::BUSY,
        ErrorKind::WouldBlock => errno::AGAIN,
        _ if error.raw_os_error() == Some(nix::libc::ELOOP) => errno::LOOP,
        _ => errno::IO,
    }
}

const UNKNOWN: u8 = 0;
const FOLDER: u8 = 3;
const FILE: u8 = 4;
const LINK: u8 = 7;

fn kind(kind: FileType) -> u8 {
    if kind.is_dir() {
        FOLDER
    } else if kind.is_file() {
        FILE
    } else if kind.is_symlink() {
        LINK
    } else {
        UNKNOWN
    }
}

fn filestat(metadata: &Metadata) -> [u8; 64] {
    let nanos = |seconds: i64, nanos: i64| {
        u64::try_from(seconds.saturating_mul(1_000_000_000).saturating_add(nanos)).unwrap_or(0)
    };
    let mut stat = [0; 64];
    let fields = [
        metadata.dev(),
        metadata.ino(),
        u64::from(kind(metadata.file_type())),
        metadata.nlink(),
        metadata.len(),
        nanos(metadata.atime(), metadata.atime_nsec()),
        nanos(metadata.mtime(), metadata.mtime_nsec()),
        nanos(metadata.ctime(), metadata.ctime_nsec()),
    ];
    for (to, field) in stat.chunks_exact_mut(8).zip(fields) {
        to.copy_from_slice(&field.to_le_bytes());
    }
    stat
}
