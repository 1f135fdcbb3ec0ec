//! One run at a time per checkpoint: a lock file that names its owner and dies with it.
//!
//! The operating system holds the lock, so the file of a dead process is taken over whatever its process id; the text in
//! it is for people.

use crate::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Held while a run may write its checkpoint.
#[derive(Debug)]
pub(crate) struct RunLock {
    path: PathBuf,
    /// Locked until it is closed.
    file: File,
}

impl RunLock {
    /// Takes the lock of a checkpoint. The text, if any, says that a dead run's lock was taken over.
    pub(crate) fn take(checkpoint: &Path) -> Result<(Self, Option<String>)> {
        let mut name = checkpoint.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        loop {
            let failed = |e| Error::io("lock", path.display(), e);
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let mut file = options.open(&path).map_err(failed)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Err(in_use(checkpoint, &mut file)),
                Err(TryLockError::Error(e)) if e.kind() != io::ErrorKind::Unsupported => {
                    return Err(failed(e));
                }
                // File systems without locks cannot keep a second run away.
                _ => {}
            }
            // The owner may have removed the file between our opening and locking it.
            if !is_same_file(&path, &file) {
                continue;
            }
            let dead = owner(&mut file);
            sign(&mut file).map_err(failed)?;
            let warning = (!dead.is_empty()).then(|| {
                format!("took over the lock of a run that ended without releasing it ({dead})")
            });
            return Ok((Self { path, file }, warning));
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Removed while still locked: whoever opened it meanwhile sees that its name is gone and opens anew.
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

fn in_use(checkpoint: &Path, file: &mut File) -> Error {
    let owner = owner(file);
    let taken = io::Error::new(io::ErrorKind::ResourceBusy, "another run holds the lock");
    Error::io("use", checkpoint.display(), taken)
        .context(format!(
            "the checkpoint belongs to a running process ({owner})"
        ))
        .with_hint("give this run another checkpoint file, or wait")
}

/// What the owner wrote; never more than a line.
fn owner(file: &mut File) -> String {
    let mut text = String::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(200).read_to_string(&mut text));
    match read {
        Ok(_) => text.lines().next().unwrap_or_default().to_owned(),
        Err(_) => "unknown".into(),
    }
}

fn sign(file: &mut File) -> io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "unknown",
        name => name,
    };
    writeln!(file, "pid {} on host {host}", std::process::id())?;
    file.flush()
}

#[cfg(unix)]
fn is_same_file(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (path.metadata(), file.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Elsewhere an open file cannot lose its name.
#[cfg(not(unix))]
fn is_same_file(_: &Path, _: &File) -> bool {
    true
}
