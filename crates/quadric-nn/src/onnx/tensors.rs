//! The entries of the tensors that a file holds, or that lie in other files of its directory.

use super::known::{Known, Numbers};
use super::proto::{self, data};
use quadric_linalg::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// The largest file or tensor that is read: what a message of the format can hold.
pub(super) const LIMIT: u64 = 1 << 31;

fn malformed(name: &str, message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Malformed, format!("tensor `{name}`: {message}"))
}

/// The directory of a model, if its tensors may lie in other files there.
pub(super) struct Directory(Option<PathBuf>);

impl Directory {
    /// No other files.
    pub(super) fn closed() -> Self {
        Self(None)
    }

    /// Files beside a model.
    pub(super) fn of(model: &Path) -> Result<Self> {
        let parent = model.parent().filter(|p| !p.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        let found = std::fs::canonicalize(parent);
        Ok(Self(Some(
            found.map_err(|e| Error::io("open", parent.display(), e))?,
        )))
    }

    /// A regular file inside the directory, that nothing else links to.
    fn open(&self, name: &str, location: &str) -> Result<File> {
        let Some(directory) = &self.0 else {
            let text = format!("tensor `{name}` lies in another file, `{location}`");
            let hint = "set `external_data` and read the model from its directory";
            return Err(Error::new(ErrorKind::Data, text).with_hint(hint));
        };
        let refuse = |why: &str| {
            let text = format!("tensor `{name}`: the file `{location}` {why}");
            Error::new(ErrorKind::Data, text)
        };
        let relative = Path::new(location);
        let plain = |c: Component<'_>| matches!(c, Component::Normal(_));
        if location.is_empty() || !relative.components().all(plain) {
            return Err(refuse("is not named inside the directory of the model"));
        }
        let io = |e| Error::io("open", location, e);
        let mut path = directory.clone();
        for part in relative.components() {
            path.push(part);
            let found = std::fs::symlink_metadata(&path).map_err(io)?;
            if found.is_symlink() {
                return Err(refuse("is a symbolic link, or lies behind one"));
            }
        }
        let before = std::fs::symlink_metadata(&path).map_err(io)?;
        if !before.is_file() {
            return Err(refuse("is no regular file"));
        }
        if !std::fs::canonicalize(&path)
            .map_err(io)?
            .starts_with(directory)
        {
            return Err(refuse("lies outside the directory of the model"));
        }
        let file = File::open(&path).map_err(io)?;
        let after = file.metadata().map_err(io)?;
        if !after.is_file() || !same_single(&before, &after) {
            return Err(refuse(
                "is linked to from elsewhere, or changed while it was opened",
            ));
        }
        Ok(file)
    }

    /// `size` bytes of a file.
    fn read(&self, tensor: &proto::Tensor, size: u64) -> Result<Vec<u8>> {
        let name = &tensor.name;
        let entry = |key: &str| {
            let mut found = tensor.external_data.iter().filter(|e| e.key == key);
            found.next().map(|e| e.value.as_str())
        };
        let number = |key: &str| {
            let parse = |v: &str| {
                let wrong = |_| malformed(name, format_args!("the {key} `{v}` is no size"));
                v.parse::<u64>().map_err(wrong)
            };
            entry(key).map(parse).transpose()
        };
        let location = entry("location").unwrap_or_default();
        let mut file = self.open(name, location)?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let available = file
            .metadata()
            .map_err(|e| Error::io("open", location, e))?;
        let available = available.len();
        if length.is_some_and(|l| l != size) {
            let length = length.unwrap_or_default();
            let text = format!("{length} bytes in `{location}`, its shape takes {size}");
            return Err(malformed(name, text));
        }
        if offset.checked_add(size).is_none_or(|end| end > available) {
            let text = format!("{size} bytes from byte {offset} on, `{location}` has {available}");
            return Err(malformed(name, text));
        }
        let io = |e| Error::io("read", location, e);
        file.seek(SeekFrom::Start(offset)).map_err(io)?;
        let mut bytes = Vec::new();
        file.take(size).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 != size {
            return Err(malformed(name, format!("`{location}` ended too early")));
        }
        Ok(bytes)
    }
}

#[cfg(unix)]
fn same_single(before: &std::fs::Metadata, after: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = before.dev() == after.dev() && before.ino() == after.ino();
    same && after.nlink() == 1
}

#[cfg(not(unix))]
fn same_single(before: &std::fs::Metadata, after: &std::fs::Metadata) -> bool {
    before.len() == after.len()
}

/// The shape of a tensor and the number of its entries.
fn shape_of(tensor: &proto::Tensor) -> Result<(Vec<usize>, usize)> {
    let mut shape = Vec::new();
    let mut size = 1usize;
    // Without axes of length 0, so that no product hides an overflow.
    let mut extent = 1usize;
    for &d in &tensor.dims {
        let length = usize::try_from(d)
            .map_err(|_| malformed(&tensor.name, format_args!("an axis has the length {d}")))?;
        let wide = extent.checked_mul(length.max(1));
        extent = wide.filter(|&n| n as u64 <= LIMIT).ok_or_else(|| {
            let dims = &tensor.dims;
            malformed(
                &tensor.name,
                format_args!("the shape {dims:?} is too large"),
            )
        })?;
        size *= length;
        shape.push(length);
    }
    Ok((shape, size))
}

/// Bytes of an entry, where the type is known.
fn width(data_type: i32) -> Option<u64> {
    Some(match data_type {
        data::UINT8 | data::INT8 | data::BOOL => 1,
        data::UINT16 | data::INT16 | data::FLOAT16 | data::BFLOAT16 => 2,
        data::FLOAT | data::INT32 | data::UINT32 => 4,
        data::DOUBLE | data::INT64 | data::UINT64 => 8,
        _ => return None,
    })
}

/// The number that 16 bits stand for: sign, 5 bits of exponent, 10 of mantissa.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        0 => mantissa * 2f64.powi(-24),
        _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
    }
}

/// The number whose upper 16 bits these are.
fn brain(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

fn chunks<const N: usize, V>(bytes: &[u8], read: impl Fn([u8; N]) -> V) -> Vec<V> {
    bytes.as_chunks::<N>().0.iter().map(|c| read(*c)).collect()
}

/// The entries in little-endian bytes; none if an integer does not fit in 64 bits.
fn from_bytes(data_type: i32, b: &[u8]) -> Option<Numbers> {
    let integers = Numbers::Integers;
    Some(match data_type {
        data::FLOAT => Numbers::Floats(chunks(b, |c| f64::from(f32::from_le_bytes(c)))),
        data::DOUBLE => Numbers::Floats(chunks(b, f64::from_le_bytes)),
        data::FLOAT16 => Numbers::Floats(chunks(b, |c| half(u16::from_le_bytes(c)))),
        data::BFLOAT16 => Numbers::Floats(chunks(b, |c| brain(u16::from_le_bytes(c)))),
        data::UINT8 => integers(b.iter().map(|&v| i64::from(v)).collect()),
        data::INT8 => integers(chunks(b, |c| i64::from(i8::from_le_bytes(c)))),
        data::UINT16 => integers(chunks(b, |c| i64::from(u16::from_le_bytes(c)))),
        data::INT16 => integers(chunks(b, |c| i64::from(i16::from_le_bytes(c)))),
        data::INT32 => integers(chunks(b, |c| i64::from(i32::from_le_bytes(c)))),
        data::UINT32 => integers(chunks(b, |c| i64::from(u32::from_le_bytes(c)))),
        data::INT64 => integers(chunks(b, i64::from_le_bytes)),
        data::UINT64 => {
            let wide = chunks(b, u64::from_le_bytes);
            let fit = wide.into_iter().map(i64::try_from);
            integers(fit.collect::<std::result::Result<_, _>>().ok()?)
        }
        data::BOOL => Numbers::Truths(b.iter().map(|&v| v != 0).collect()),
        _ => return None,
    })
}

/// The entries in the fields for single types.
fn from_fields(t: &proto::Tensor) -> Option<Numbers> {
    let bits = |v: &i32| *v as u16;
    Some(match t.data_type {
        data::FLOAT => Numbers::Floats(t.float_data.iter().map(|&v| f64::from(v)).collect()),
        data::DOUBLE => Numbers::Floats(t.double_data.clone()),
        data::FLOAT16 => Numbers::Floats(t.int32_data.iter().map(|v| half(bits(v))).collect()),
        data::BFLOAT16 => Numbers::Floats(t.int32_data.iter().map(|v| brain(bits(v))).collect()),
        data::INT64 => Numbers::Integers(t.int64_data.clone()),
        data::UINT32 | data::UINT64 => {
            let fit = t.uint64_data.iter().map(|&v| i64::try_from(v));
            Numbers::Integers(fit.collect::<std::result::Result<_, _>>().ok()?)
        }
        data::BOOL => Numbers::Truths(t.int32_data.iter().map(|&v| v != 0).collect()),
        data::UINT8 | data::INT8 | data::UINT16 | data::INT16 | data::INT32 => {
            Numbers::Integers(t.int32_data.iter().map(|&v| i64::from(v)).collect())
        }
        _ => return None,
    })
}

/// A tensor as an array.
///
/// # Errors
///
/// If the shape or the entries violate the format, the type of the entries is not supported, or the entries lie in another
/// file that may not be read.
pub(super) fn read(tensor: &proto::Tensor, directory: &Directory) -> Result<Known> {
    let (shape, size) = shape_of(tensor)?;
    let Some(width) = width(tensor.data_type) else {
        let text = format!(
            "tensor `{}` has entries of type {}, which is not supported",
            tensor.name, tensor.data_type
        );
        return Err(Error::new(ErrorKind::Data, text));
    };
    let bytes = (size as u64).checked_mul(width).filter(|&n| n <= LIMIT);
    let bytes = bytes.ok_or_else(|| {
        let dims = &tensor.dims;
        malformed(
            &tensor.name,
            format_args!("the shape {dims:?} is too large"),
        )
    })?;
    let outside = match tensor.data_location {
        0 => None,
        1 => Some(directory.read(tensor, bytes)?),
        other => {
            let text = format!("the place {other} of its entries is unknown");
            return Err(malformed(&tensor.name, text));
        }
    };
    let raw = outside.as_ref().unwrap_or(&tensor.raw_data);
    let numbers = if raw.is_empty() {
        from_fields(tensor)
    } else if raw.len() as u64 == bytes {
        from_bytes(tensor.data_type, raw)
    } else {
        let text = format!(
            "{} bytes for the shape {shape:?}, which takes {bytes}",
            raw.len()
        );
        return Err(malformed(&tensor.name, text));
    };
    let numbers =
        numbers.ok_or_else(|| malformed(&tensor.name, "an integer has more than 63 bits"))?;
    if numbers.len() != size {
        let text = format!("{} entries for the shape {shape:?}", numbers.len());
        return Err(malformed(&tensor.name, text));
    }
    Ok(Known::new(numbers, &shape))
}
