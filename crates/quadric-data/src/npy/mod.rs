//! NumPy arrays: NPY files, and NPZ archives of them (feature `npz`).

mod header;
#[cfg(feature = "npz")]
mod npz;
mod rows;

#[cfg(feature = "npz")]
pub(crate) use npz::{read as read_npz, write as write_npz};

pub use rows::{NpyRows, Value};

use crate::array::{Array, Kind, data_set, decode};
use crate::dataset::{self, Dataset};
use crate::options::{Limits, ReadOptions};
use crate::source;
use header::Header;
use quadric_linalg::{Error, Result};
use std::path::Path;

/// An array of any number of dimensions.
#[derive(Clone, PartialEq, Debug)]
pub struct NpyArray {
    /// Lengths of the axes; none for a single number.
    pub shape: Vec<usize>,
    /// The numbers, row-major.
    pub values: Vec<f64>,
    /// Whether the file holds integers or truth values.
    pub is_integer: bool,
}

/// Reads an array from an NPY file, plain or compressed. NaN and infinite values are kept.
///
/// # Errors
/// `Io`; `Malformed` for broken files and arrays that are not plain numbers.
pub fn read_npy(path: &Path, limits: &Limits) -> Result<NpyArray> {
    let bytes = source::read(path, limits)?;
    whole(&path.display().to_string(), &bytes)
}

/// The bytes of an NPY file of doubles.
pub fn encode_npy(shape: &[usize], values: &[f64]) -> Vec<u8> {
    let mut out = npy_header(shape);
    out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    out
}

/// What an NPY file of doubles begins with; the numbers follow row after row, in little-endian order.
pub fn npy_header(shape: &[usize]) -> Vec<u8> {
    let comma = if shape.len() == 1 { "," } else { "" };
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    preamble("<f8", &format!("({}{comma})", lengths.join(", ")))
}

fn whole(name: &str, bytes: &[u8]) -> Result<NpyArray> {
    let header = Header::read(name, bytes)?;
    if header.kind == Kind::Bytes {
        return Err(Error::malformed(name, "arrays of text are not supported"));
    }
    let data = &bytes[header.start..];
    let values = decode(header.kind, header.size, header.big_endian, data);
    let values = match header.fortran {
        true => row_major(&values, &header.shape),
        false => values,
    };
    Ok(NpyArray {
        shape: header.shape,
        values,
        is_integer: header.kind != Kind::Float,
    })
}

/// Decodes a whole NPY file of samples.
///
/// # Errors
/// As [`read_npy`], and for more than two dimensions.
fn array(name: &str, bytes: &[u8]) -> Result<Array> {
    let NpyArray { shape, values, .. } = whole(name, bytes)?;
    let (rows, cols) = match shape[..] {
        [n] => (n, 1),
        [n, d] => (n, d),
        _ => {
            let text = format!("the array has shape {shape:?}; samples need one or two dimensions");
            return Err(
                Error::malformed(name, text).with_hint("reshape it: array.reshape(len(array), -1)")
            );
        }
    };
    Ok(Array { values, rows, cols })
}

/// From the first axis fastest to the last axis fastest.
fn row_major(values: &[f64], shape: &[usize]) -> Vec<f64> {
    match shape {
        [] | [_] => values.to_vec(),
        [rows, cols] => transpose(values, *rows, *cols),
        [first, rest @ ..] => {
            // Of every index along the first axis what the others hold, each in its own order.
            let inner: usize = rest.iter().product();
            let own = transpose(values, *first, inner);
            let parts = own.chunks(inner.max(1));
            parts.flat_map(|part| row_major(part, rest)).collect()
        }
    }
}

/// From column after column to row after row, in square tiles.
fn transpose(values: &[f64], rows: usize, cols: usize) -> Vec<f64> {
    const TILE: usize = 32;
    let mut out = vec![0.0; values.len()];
    for i0 in (0..rows).step_by(TILE) {
        for j0 in (0..cols).step_by(TILE) {
            for i in i0..(i0 + TILE).min(rows) {
                for j in j0..(j0 + TILE).min(cols) {
                    out[i * cols + j] = values[j * rows + i];
                }
            }
        }
    }
    out
}

/// Reads a data set from an NPY file. NaN stands for a missing value.
///
/// # Errors
/// As [`array`]; infinite values and, unless the options say otherwise, NaN; a target that is no column.
pub(crate) fn read(name: &str, bytes: &[u8], options: &ReadOptions) -> Result<Dataset> {
    data_set(name, array(name, bytes)?, options)
}

/// The data set as an NPY file: a column per feature, then the target if there is one.
///
/// # Errors
/// Weights, query identifiers and text targets, which the format cannot hold.
pub(crate) fn write(data: &Dataset) -> Result<Vec<u8>> {
    let refuse = |what: &str| {
        Err(Error::data(format!("one array cannot hold {what}"))
            .with_hint("write CSV or NPZ instead"))
    };
    if data.classes.is_some() {
        return refuse("targets that are text");
    }
    if data.weights.is_some() || data.query_ids.is_some() {
        return refuse("sample weights or query identifiers");
    }
    dataset::check_cells(data)?;
    let d = data.features();
    let width = d + usize::from(!data.target.is_empty());
    let mut out = preamble("<f8", &format!("({}, {width})", data.rows()));
    let mut row = vec![0.0; width];
    for i in 0..data.rows() {
        row.fill(0.0);
        data.x.for_row(i, |j, v| row[j] = v);
        if let Some(v) = data.target.get(i) {
            row[d] = *v;
        }
        out.extend(row.iter().flat_map(|v| v.to_le_bytes()));
    }
    Ok(out)
}

/// Magic, version 1.0 and a header padded to a multiple of 64 bytes.
fn preamble(descr: &str, shape: &str) -> Vec<u8> {
    let mut literal = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let length = (10 + literal.len() + 1).next_multiple_of(64) - 10;
    literal.extend(std::iter::repeat_n(' ', length - literal.len() - 1));
    literal.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((length as u16).to_le_bytes());
    out.extend(literal.bytes());
    out
}
