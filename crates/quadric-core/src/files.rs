//! Output files that are either complete or not there: written beside the target, synced, renamed over it.
//!
//! A temporary file is locked while its writer lives, so a later writer of the same target can tell the remains of a dead
//! run from work in progress, whatever the process ids.

use crate::{Error, ErrorKind, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// What to do with a target that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Leave it and report an error.
    Refuse,
    /// Replace it in one step.
    Replace,
}

/// The file operations that durability rests on; a test double makes each of them fail.
pub(crate) trait Fs: Send + Sync {
    /// Creates a file that must not exist yet.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    /// Renames over whatever is at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// A second name for a file; fails if the name is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names in a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// True if no living process holds the temporary file.
    fn is_abandoned(&self, path: &Path) -> bool;
    fn exists(&self, path: &Path) -> bool;
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// A file under construction.
pub(crate) trait OpenFile: Write {
    fn sync_all(&mut self) -> io::Result<()>;
}

impl OpenFile for File {
    fn sync_all(&mut self) -> io::Result<()> {
        File::sync_all(self)
    }
}

/// The operating system's files.
pub(crate) struct OsFs;

impl Fs for OsFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        // File systems without locks still write; only the cleaning up after dead runs is lost there.
        let _ = file.try_lock();
        Ok(Box::new(file))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if cfg!(unix) {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
    fn is_abandoned(&self, path: &Path) -> bool {
        let opened = OpenOptions::new().write(true).open(path);
        opened.is_ok_and(|file| match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
        })
    }
    fn exists(&self, path: &Path) -> bool {
        path.symlink_metadata().is_ok()
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        // Asked before opening: opening a pipe would wait for a writer.
        let meta = path.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(usize::try_from(meta.len()).map_err(io::Error::other)?)?;
        // One byte more than promised shows a file that grows while it is read.
        let limit = meta.len().saturating_add(1);
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != meta.len() {
            return Err(io::Error::other("the file changed while it was read"));
        }
        Ok(bytes)
    }
}

/// Writes a file that is either complete or not there, even if the process or the machine dies at any instant.
///
/// The content goes to a temporary file in the same directory, which is synced and renamed over `path`; the directory is
/// synced last. Devices and pipes are written directly. Remains of dead runs for the same target are removed.
///
/// # Errors
/// [`ErrorKind::Io`] naming the file, with the operating system's error as its source; on an error the old file is still
/// there and no temporary file is left.
pub fn write_atomically(
    path: &Path,
    overwrite: Overwrite,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    if let Ok(meta) = path.metadata()
        && !meta.is_file()
        && !meta.is_dir()
    {
        return write_device(path, content).map_err(|e| Error::io("write", path.display(), e));
    }
    let target = resolve(path);
    remove_stale(&OsFs, &target);
    write_with(&OsFs, &target, overwrite, content)
}

/// A link is followed, so that the file behind it is replaced and not the link.
fn resolve(path: &Path) -> PathBuf {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
        _ => path.to_owned(),
    }
}

fn write_device(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::new(OpenOptions::new().write(true).open(path)?);
    content(&mut out)?;
    out.flush()
}

/// [`write_atomically`] over any file system, without the cleaning.
pub(crate) fn write_with(
    fs: &dyn Fs,
    path: &Path,
    overwrite: Overwrite,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    if overwrite == Overwrite::Refuse && fs.exists(path) {
        return Err(exists(path));
    }
    let (temp, file) =
        create_temp(fs, path).map_err(|e| Error::io("create a file beside", path.display(), e))?;
    let placed = fill(file, content)
        .map_err(|e| Error::io("write", path.display(), e))
        .and_then(|()| place(fs, &temp, path, overwrite));
    if placed.is_err() {
        // The first error is the one to report; a temporary file that cannot be removed is found by the next writer.
        let _ = fs.remove(&temp);
    }
    placed
}

fn exists(path: &Path) -> Error {
    let taken = io::Error::new(io::ErrorKind::AlreadyExists, "the file exists");
    Error::io("write", path.display(), taken).with_hint("it is left as it was")
}

pub(crate) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn name_of(path: &Path) -> io::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file"))
}

fn create_temp(fs: &dyn Fs, path: &Path) -> io::Result<(PathBuf, Box<dyn OpenFile>)> {
    let name = name_of(path)?;
    loop {
        let random = std::hash::RandomState::new().build_hasher().finish();
        let temp = directory(path).join(format!(".{name}.{random:016x}.tmp"));
        match fs.create_new(&temp) {
            Ok(file) => return Ok((temp, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}

fn fill(
    file: Box<dyn OpenFile>,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, file);
    content(&mut out)?;
    let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.flush()?;
    file.sync_all()
}

fn place(fs: &dyn Fs, temp: &Path, path: &Path, overwrite: Overwrite) -> Result<()> {
    let failed = |e| Error::io("write", path.display(), e);
    match overwrite {
        Overwrite::Replace => fs.rename(temp, path).map_err(failed)?,
        Overwrite::Refuse => match fs.link(temp, path) {
            Ok(()) => fs.remove(temp).map_err(failed)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(exists(path)),
            // File systems without hard links: the check at the start has to do.
            Err(_) => fs.rename(temp, path).map_err(failed)?,
        },
    }
    fs.sync_dir(directory(path))
        .map_err(|e| Error::io("make durable", path.display(), e))
}

/// Removes temporary files of writers that died before they could rename. Best effort: a failure here harms nothing.
pub(crate) fn remove_stale(fs: &dyn Fs, path: &Path) {
    let (Ok(name), Ok(entries)) = (name_of(path), fs.list(directory(path))) else {
        return;
    };
    let prefix = format!(".{name}.");
    for entry in entries {
        let random = entry
            .strip_prefix(&prefix)
            .and_then(|rest| rest.strip_suffix(".tmp"));
        let ours =
            random.is_some_and(|r| r.len() == 16 && r.bytes().all(|b| b.is_ascii_hexdigit()));
        let temp = directory(path).join(&entry);
        if ours && fs.is_abandoned(&temp) {
            let _ = fs.remove(&temp);
        }
    }
}

/// Reads a whole regular file.
///
/// # Errors
/// [`ErrorKind::Io`] naming the file: missing, not a regular file, unreadable, or changing while it is read.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    read_with(&OsFs, path)
}

pub(crate) fn read_with(fs: &dyn Fs, path: &Path) -> Result<Vec<u8>> {
    fs.read(path)
        .map_err(|e| Error::io("read", path.display(), e))
}

/// True if the error says that the file does not exist.
pub(crate) fn is_missing(e: &Error) -> bool {
    e.kind() == ErrorKind::Io
        && std::error::Error::source(e)
            .and_then(|s| s.downcast_ref::<io::Error>())
            .is_some_and(|s| s.kind() == io::ErrorKind::NotFound)
}
