//! Files into memory: regular files only, decompressed by their first bytes, bounded, and unchanged while being read.

use crate::options::Limits;
use quadric_linalg::{Error, ErrorKind, Result};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

/// Expanded bytes that are allowed whatever the ratio.
const FREE: u64 = 16 << 20;
/// Memory that an xz dictionary may take, in KiB (the largest preset needs 65 MiB).
const XZ_MEMORY_KIB: u32 = 100 << 10;

/// Reads a whole file and decompresses it.
///
/// # Errors
/// `Io` for what is not a readable regular file or changes while it is read, `Malformed` for a broken or foreign
/// container, `Resource` beyond the limits.
pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let name = path.display().to_string();
    let io = |e| Error::io("read", path.display(), e);
    let (mut file, before) = open(path)?;
    if before.len() > limits.bytes {
        return Err(too_large(&name, limits.bytes));
    }
    let mut head = Vec::with_capacity(512);
    (&mut file).take(512).read_to_end(&mut head).map_err(io)?;
    refuse_foreign(&name, &head)?;
    let mut bytes = head;
    bytes.reserve_exact((before.len() as usize).saturating_sub(bytes.len()));
    // One byte more than there should be tells that the file has grown.
    let rest = before.len().saturating_sub(bytes.len() as u64) + 1;
    (&mut file).take(rest).read_to_end(&mut bytes).map_err(io)?;
    let after = file.metadata().map_err(io)?;
    if bytes.len() as u64 != before.len() || !unchanged(&before, &after) {
        return Err(io(io::Error::other("it changed while it was being read")));
    }
    decompress(&name, bytes, limits)
}

/// Opens a regular file; what it is like tells later whether it has changed.
///
/// # Errors
/// `Io` for what is not a readable regular file.
pub(crate) fn open(path: &Path) -> Result<(File, Metadata)> {
    let io = |e| Error::io("read", path.display(), e);
    let about = std::fs::metadata(path).map_err(io)?;
    if !about.is_file() {
        let what = if about.is_dir() {
            "it is a directory"
        } else {
            "it is a pipe or a device; copy its contents to a file first"
        };
        return Err(io(io::Error::new(io::ErrorKind::InvalidInput, what)));
    }
    let file = File::open(path).map_err(io)?;
    let about = file.metadata().map_err(io)?;
    Ok((file, about))
}

/// True if nobody has written to a file in between.
pub(crate) fn unchanged(before: &Metadata, after: &Metadata) -> bool {
    after.len() == before.len() && after.modified().ok() == before.modified().ok()
}

/// Decompresses what starts like gzip or xz and returns everything else as it is.
///
/// # Errors
/// `Malformed` for a broken or foreign container, `Resource` beyond the limits.
pub(crate) fn decompress(name: &str, bytes: Vec<u8>, limits: &Limits) -> Result<Vec<u8>> {
    refuse_foreign(name, &bytes)?;
    let allowed = allowed(bytes.len(), limits);
    let expanded = if bytes.starts_with(&[0x1f, 0x8b]) {
        gunzip(name, &bytes, allowed)?
    } else if bytes.starts_with(b"\xfd7zXZ\0") {
        let mut reader = lzma_rust2::XzReader::new_mem_limit(bytes.as_slice(), true, XZ_MEMORY_KIB);
        let mut out = Vec::new();
        expand(name, "xz", &mut reader, &mut out, allowed)?;
        out
    } else {
        return Ok(bytes);
    };
    refuse_foreign(name, &expanded)?;
    Ok(expanded)
}

/// Bytes that the contents of a file of this many bytes may take.
pub(crate) fn allowed(bytes: usize, limits: &Limits) -> u64 {
    let expanded = limits.expansion.saturating_mul(bytes as u64);
    expanded.max(FREE).min(limits.bytes)
}

/// All members of a gzip file, one after another.
fn gunzip(name: &str, bytes: &[u8], allowed: u64) -> Result<Vec<u8>> {
    let (mut rest, mut out) = (bytes, Vec::new());
    while !rest.is_empty() {
        if !rest.starts_with(&[0x1f, 0x8b]) {
            return Err(Error::malformed(
                name,
                format!("{} bytes follow the end of the gzip data", rest.len()),
            ));
        }
        let mut member = flate2::bufread::GzDecoder::new(rest);
        expand(name, "gzip", &mut member, &mut out, allowed)?;
        rest = member.into_inner();
    }
    Ok(out)
}

/// Appends all that a decoder gives, up to `allowed` bytes in `out`.
pub(crate) fn expand(
    name: &str,
    what: &str,
    from: &mut dyn Read,
    out: &mut Vec<u8>,
    allowed: u64,
) -> Result<()> {
    let room = allowed.saturating_sub(out.len() as u64);
    let got = from
        .take(room.saturating_add(1))
        .read_to_end(out)
        .map_err(|e| {
            let kind = match e.kind() {
                io::ErrorKind::OutOfMemory => ErrorKind::Resource,
                _ => ErrorKind::Malformed,
            };
            let text = match e.kind() {
                io::ErrorKind::UnexpectedEof => format!("the {what} data end too early"),
                _ => format!("the {what} data are broken"),
            };
            match kind {
                ErrorKind::Malformed => Error::malformed(name, text).with_source(e),
                _ => Error::new(kind, format!("{name}: {text}")).with_source(e),
            }
        })?;
    if got as u64 > room {
        return Err(too_large(name, allowed));
    }
    Ok(())
}

pub(crate) fn too_large(name: &str, allowed: u64) -> Error {
    Error::new(
        ErrorKind::Resource,
        format!("`{name}` would take more than the allowed {allowed} bytes"),
    )
    .with_hint("raise the reader's limits if the file can be trusted")
}

/// Refuses files of other kinds by their first bytes, with what to do instead.
pub(crate) fn refuse_foreign(name: &str, head: &[u8]) -> Result<()> {
    const ARRAYS: &str = "save arrays with numpy.save, or a table with pandas.DataFrame.to_csv";
    const TENSORS: &str = "pickled files can run code when they are opened and are never read here; save tensors with \
        safetensors.torch.save_file(model.state_dict(), \"model.safetensors\"), or arrays with numpy.save";
    let starts = |magic: &[u8]| head.starts_with(magic);
    let (what, hint) =
        if starts(b"PK\x03\x04") && contains(&head[..head.len().min(512)], b"data.pkl") {
            ("a PyTorch file", TENSORS)
        } else if matches!(head, [0x80, 2..=5, ..]) {
            ("a Python pickle (.pt, .pkl or .joblib)", TENSORS)
        } else if matches!(head, [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..]) {
            ("zlib data, as joblib writes them", TENSORS)
        } else if is_safetensors(head) {
            (
                "a safetensors file of named tensors, not a table of samples",
                ARRAYS,
            )
        } else if starts(b"\x89HDF\r\n") {
            ("an HDF5 file", ARRAYS)
        } else if starts(b"PAR1") || starts(b"ARROW1") {
            (
                "a Parquet or Arrow file",
                "save it with pandas.DataFrame.to_csv",
            )
        } else if starts(b"BZh") && head.get(4..10) == Some(b"1AY&SY") {
            ("bzip2 data", "recompress with gzip or xz")
        } else if starts(&[0x28, 0xb5, 0x2f, 0xfd]) {
            ("zstd data", "recompress with gzip or xz")
        } else if starts(&[0xff, 0xfe]) || starts(&[0xfe, 0xff]) {
            ("UTF-16 text", "save it as UTF-8")
        } else {
            return Ok(());
        };
    Err(Error::malformed(name, format!("this is {what}")).with_hint(hint))
}

/// True if the first eight bytes are the length of a JSON header that starts right after them.
fn is_safetensors(head: &[u8]) -> bool {
    let Some(length) = head.first_chunk::<8>() else {
        return false;
    };
    u64::from_le_bytes(*length) <= 100_000_000 && head.get(8..10) == Some(b"{\"")
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}
