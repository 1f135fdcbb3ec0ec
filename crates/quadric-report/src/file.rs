//! A file that is either whole or not there.

use crate::{Report, render};
use quadric_core::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Renders `report` and writes it to `path` atomically: a temporary file beside it, flushed to the disk, then renamed.
///
/// # Errors
/// `Argument` if the file exists and `overwrite` is false, `Io` if the operating system refuses, and those of [`render`].
pub fn write(path: &Path, report: &Report, overwrite: bool) -> Result<()> {
    let shown = path.display().to_string();
    let refused = || {
        Error::new(ErrorKind::Argument, format!("`{shown}` exists"))
            .with_hint("choose another name, or allow to overwrite it")
    };
    if !overwrite && path.symlink_metadata().is_ok() {
        return Err(refused());
    }
    let html = render(report)?;
    let failed = |source| Error::io("write", &shown, source);
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".report-")
        .suffix(".tmp")
        .permissions(permissions())
        .tempfile_in(folder)
        .map_err(failed)?;
    file.write_all(html.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    if overwrite {
        file.persist(path).map_err(|e| failed(e.error))?;
    } else {
        file.persist_noclobber(path).map_err(|e| {
            if e.error.kind() == std::io::ErrorKind::AlreadyExists {
                refused()
            } else {
                failed(e.error)
            }
        })?;
    }
    // The rename itself must survive a crash; some systems cannot open a folder, and there it cannot be asked for.
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().map_err(failed)?;
    }
    Ok(())
}

/// Readable by all, as an ordinary new file is; the temporary file would be private.
#[cfg(unix)]
fn permissions() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o666)
}
