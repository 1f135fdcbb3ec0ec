//! Data sets to files: formats by name, compression by ending, and never half a file.

use crate::dataset::Dataset;
use crate::options::{Format, WriteOptions};
use crate::{npy, svmlight, table};
use quadric_linalg::{Error, Result};
use std::io::{self, Write};
use std::path::Path;

/// Writes a data set. The format comes from the options, else from the ending of the name; `.gz` compresses.
///
/// The file appears whole or not at all: a temporary file in the same directory is written, flushed to the disk and
/// renamed.
///
/// # Errors
/// `Argument` for a format that is not known, `Data` for what the format cannot hold, `Io` for a file that exists
/// (unless it may be overwritten) or cannot be written.
pub fn write(path: &Path, data: &Dataset, options: &WriteOptions) -> Result<()> {
    let Some(format) = options.format.or_else(|| Format::from_path(path)) else {
        return Err(Error::argument(
            "output",
            format!("`{}`", path.display()),
            "a name that ends in .svm, .csv, .tsv, .npy or .npz, or a format named apart",
        ));
    };
    let bytes = encode(data, format)?;
    save(path, &compress(path, bytes)?, options.overwrite)
}

/// The data set as the bytes of an uncompressed file.
///
/// # Errors
/// `Data` for what the format cannot hold: query identifiers need svmlight, weights and text targets need a table;
/// `Argument` for a format that is read only.
pub fn encode(data: &Dataset, format: Format) -> Result<Vec<u8>> {
    if let Some((i, j, v)) = data.x.first_non_finite() {
        return Err(Error::non_finite("features", (i, j), v));
    }
    if let Some(i) = data.target.iter().position(|v| !v.is_finite()) {
        return Err(Error::non_finite("target", i, data.target[i]));
    }
    match format {
        Format::Svmlight => svmlight::write(data),
        Format::Csv => table::write_csv(data, b','),
        Format::Tsv => table::write_csv(data, b'\t'),
        Format::Npy => npy::write(data),
        #[cfg(feature = "npz")]
        Format::Npz => npy::write_npz(data),
        #[cfg(not(feature = "npz"))]
        Format::Npz => Err(crate::reader::without_npz(&data.name)),
        Format::Idx | Format::Cifar10 | Format::Cifar100 | Format::Ts => Err(Error::argument(
            "format",
            "a format of images or sequences, which is read only",
            "svmlight, csv, tsv, npy or npz",
        )),
    }
}

fn compress(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let failed = |e| Error::io("compress", path.display(), e);
    match path.extension().and_then(|e| e.to_str()) {
        Some(e) if e.eq_ignore_ascii_case("gz") => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&bytes).map_err(failed)?;
            encoder.finish().map_err(failed)
        }
        Some(e) if e.eq_ignore_ascii_case("xz") => Err(Error::argument(
            "output",
            format!("`{}`", path.display()),
            "a name that ends in .gz (xz is read only)",
        )),
        _ => Ok(bytes),
    }
}

/// A file of no name yet that will have the permissions of any new file.
fn temporary(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".quadric-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(directory)
}

/// Writes beside the final name, syncs, and renames.
fn save(path: &Path, bytes: &[u8], overwrite: bool) -> Result<()> {
    let io = |e| Error::io("write", path.display(), e);
    if !overwrite && path.symlink_metadata().is_ok() {
        return Err(io(io::Error::from(io::ErrorKind::AlreadyExists))
            .with_hint("say --force to replace it"));
    }
    if path.is_dir() {
        return Err(io(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = temporary(directory).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    let persisted = if overwrite {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    persisted.map_err(|e| io(e.error))?;
    // The new name is durable once the directory is; not every system can sync one.
    if let Ok(directory) = std::fs::File::open(directory) {
        let _ = directory.sync_all();
    }
    Ok(())
}
