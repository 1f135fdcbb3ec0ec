//! IDX arrays, the format of MNIST: `00 00`, the type of the values, the number of dimensions, the dimensions as
//! big-endian integers of four bytes, then the values. The first dimension counts the rows.

use crate::array::{self, Array, Kind};
use crate::dataset::{self, Dataset};
use crate::options::{ReadOptions, Target};
use quadric_linalg::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// Codes of the types, and the bytes per value.
const TYPES: [(u8, Kind, usize); 6] = [
    (0x08, Kind::Unsigned, 1),
    (0x09, Kind::Signed, 1),
    (0x0b, Kind::Signed, 2),
    (0x0c, Kind::Signed, 4),
    (0x0d, Kind::Float, 4),
    (0x0e, Kind::Float, 8),
];

/// What the header says.
struct Header {
    kind: Kind,
    /// Bytes per value.
    size: usize,
    rows: usize,
    cols: usize,
    /// Axes of a row.
    axes: Vec<usize>,
    /// Where the values start.
    start: usize,
}

/// True for files that begin as IDX files do.
pub(crate) fn is_idx(bytes: &[u8]) -> bool {
    matches!(bytes, [0, 0, code, 1..=255, ..] if TYPES.iter().any(|t| t.0 == *code))
}

/// Reads a data set. Features are numbered in the order of the file.
///
/// # Errors
/// `Malformed` with the byte for broken files, `Data` for arrays without values, and what arrays of floats may hold
/// that is not finite.
pub(crate) fn read(name: &str, bytes: &[u8], options: &ReadOptions) -> Result<Dataset> {
    let header = Header::read(name, bytes)?;
    let Header { rows, cols, .. } = header;
    let axes = Some(header.axes).filter(|axes| axes.len() > 1);
    let values = &bytes[header.start..];
    let all_features = !matches!(options.target, Target::Column(_)) && options.weight.is_none();
    if all_features && header.kind == Kind::Unsigned {
        let mut data = super::data_set(name, rows, cols, |i| &values[i * cols..(i + 1) * cols])?;
        data.axes = axes;
        return Ok(data);
    }
    let values = array::decode(header.kind, header.size, true, values);
    let mut data = array::data_set(name, Array { values, rows, cols }, options)?;
    data.x = dataset::by_density(data.x)?;
    data.axes = axes.filter(|_| all_features);
    Ok(data)
}

impl Header {
    /// Reads the header and checks that exactly the values it announces follow.
    fn read(name: &str, bytes: &[u8]) -> Result<Self> {
        let [a, b, code, dimensions, ..] = *bytes else {
            let what = "the file ends before the four bytes that an IDX file begins with";
            return Err(broken(name, bytes.len(), what));
        };
        if (a, b) != (0, 0) {
            let what = format!("{a:02x} {b:02x}, where an IDX file begins with 00 00");
            return Err(broken(name, 0, &what));
        }
        let Some((_, kind, size)) = TYPES.into_iter().find(|t| t.0 == code) else {
            let what = format!("{code:02x} is no type of values");
            return Err(broken(name, 2, &what)
                .with_hint("IDX knows 08 u8, 09 i8, 0b i16, 0c i32, 0d f32 and 0e f64"));
        };
        if dimensions == 0 {
            return Err(broken(name, 3, "the array has no dimensions"));
        }
        let start = 4 + 4 * usize::from(dimensions);
        let Some(shape) = bytes.get(4..start) else {
            let what = format!("the file ends in its header, which takes {start} bytes");
            return Err(broken(name, bytes.len(), &what));
        };
        let shape: Vec<usize> = shape
            .chunks_exact(4)
            .map(|b| b.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
            .collect();
        let (rows, cols) = sizes(name, &shape, size, bytes.len())?;
        Ok(Self {
            kind,
            size,
            rows,
            cols,
            axes: shape[1..].to_vec(),
            start,
        })
    }
}

fn broken(name: &str, at: usize, what: &str) -> Error {
    Error::malformed(name, format!("byte {at}: {what}"))
}

/// Rows and columns of a shape whose values, of `size` bytes each, end where the file does.
fn sizes(name: &str, shape: &[usize], size: usize, length: usize) -> Result<(usize, usize)> {
    let shown = spell(shape);
    if let Some(k) = shape.iter().position(|n| *n == 0) {
        let rows = if k == 0 { "rows" } else { "values" };
        let what = format!("byte {}: dimension {} of {shown} is 0", 4 + 4 * k, k + 1);
        return Err(Error::data(format!("`{name}` holds no {rows}: {what}")));
    }
    let product = |of: &[usize]| of.iter().try_fold(1, |a: usize, b| a.checked_mul(*b));
    let start = 4 + 4 * shape.len();
    let end = product(shape)
        .and_then(|n| n.checked_mul(size))
        .and_then(|n| n.checked_add(start));
    let (Some(end), Some(cols)) = (end, product(&shape[1..])) else {
        let what = format!("the shape {shown} is beyond all memory");
        return Err(broken(name, 4, &what));
    };
    if length < end {
        let what = format!("the file ends too early; the shape {shown} takes {end} bytes");
        return Err(broken(name, length, &what));
    }
    if length > end {
        let extra = length - end;
        let what = format!("{extra} bytes follow the last value of the shape {shown}");
        return Err(broken(name, end, &what));
    }
    Ok((shape[0], cols))
}

/// `60000 x 28 x 28`, shortened where there are many dimensions.
fn spell(shape: &[usize]) -> String {
    let shown: Vec<String> = shape.iter().take(6).map(usize::to_string).collect();
    let more = if shape.len() > 6 { " x ..." } else { "" };
    format!("{}{more}", shown.join(" x "))
}

/// True for names as `train-images-idx3-ubyte`, `train-images.idx3-ubyte` and `x.idx`, endings `.gz` and `.xz` cut off.
pub(crate) fn is_idx_name(name: &str) -> bool {
    let Some((before, after)) = name.rsplit_once("idx") else {
        return false;
    };
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    let typed = ["", "-ubyte", "-byte", "-short", "-int", "-float", "-double"];
    before.ends_with(['-', '.', '_']) && typed.contains(&after)
}

/// The file of labels beside a file of images: `images-idx3` becomes `labels-idx1`, compressed or not. Nothing for a
/// name that does not follow this convention.
///
/// # Errors
/// There is no such file.
pub(crate) fn labels_beside(images: &Path) -> Result<Option<PathBuf>> {
    let name = images.file_name().and_then(|n| n.to_str());
    let Some(wanted) = name.and_then(labels_name) else {
        return Ok(None);
    };
    let plain = wanted.trim_end_matches(".gz").trim_end_matches(".xz");
    let others = ["", ".gz", ".xz"].map(|ending| format!("{plain}{ending}"));
    let found = std::iter::once(&wanted)
        .chain(&others)
        .map(|n| images.with_file_name(n))
        .find(|path| path.exists());
    if found.is_some() {
        return Ok(found);
    }
    let images = images.display();
    Err(Error::new(
        ErrorKind::Argument,
        format!("the labels of `{images}` are missing: there is no `{wanted}` beside it"),
    )
    .with_hint("name the file of labels with --labels FILE"))
}

fn labels_name(images: &str) -> Option<String> {
    let (before, after) = images.rsplit_once("images")?;
    let separator = after.chars().next().filter(|c| "-._".contains(*c))?;
    let after = after[1..].strip_prefix("idx")?;
    let kind = after.trim_start_matches(|c: char| c.is_ascii_digit());
    Some(format!("{before}labels{separator}idx1{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in [
            "train-images-idx3-ubyte",
            "t10k-labels.idx1-ubyte",
            "x.idx",
            "a-idx2-double",
        ] {
            assert!(is_idx_name(name), "{name}");
        }
        for name in ["idx", "midx3", "x.idx.csv", "a-idx3-image", "x.csv"] {
            assert!(!is_idx_name(name), "{name}");
        }
        for (images, labels) in [
            (
                "train-images-idx3-ubyte.gz",
                Some("train-labels-idx1-ubyte.gz"),
            ),
            ("images.idx4-float", Some("labels.idx1-float")),
            ("train-labels-idx1-ubyte", None),
            ("images", None),
            ("images.csv", None),
        ] {
            assert_eq!(labels_name(images).as_deref(), labels);
        }
    }
}
