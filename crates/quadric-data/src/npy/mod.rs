//! NumPy arrays: NPY files, and NPZ archives of them (feature `npz`).

mod header;
#[cfg(feature = "npz")]
mod npz;

#[cfg(feature = "npz")]
pub(crate) use npz::{read as read_npz, write as write_npz};

use crate::dataset::{self, Dataset};
use crate::options::{Missing, ReadOptions};
use crate::table::{self, Column, Table};
use crate::trouble::{Trouble, TroubleKind};
use header::{Header, Kind};
use quadric_linalg::{Error, Place, Result};

/// An array of one or two dimensions, row after row; one dimension is one column.
pub(crate) struct Array {
    pub(crate) values: Vec<f64>,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl Array {
    /// Decodes a whole NPY file.
    ///
    /// # Errors
    /// `Malformed` for broken files and arrays that are not plain numbers; `Data` for more than two dimensions.
    pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<Self> {
        let header = Header::read(name, bytes)?;
        if header.kind == Kind::Bytes {
            return Err(Error::malformed(name, "arrays of text are not supported"));
        }
        let (rows, cols) = match header.shape[..] {
            [n] => (n, 1),
            [n, d] => (n, d),
            _ => {
                return Err(Error::malformed(
                    name,
                    format!(
                        "the array has shape {:?}; samples need one or two dimensions",
                        header.shape
                    ),
                )
                .with_hint("reshape it: array.reshape(len(array), -1)"));
            }
        };
        let values = decode(&header, &bytes[header.start..]);
        let values = if header.fortran && rows > 1 && cols > 1 {
            transpose(&values, rows, cols)
        } else {
            values
        };
        Ok(Self { values, rows, cols })
    }
}

/// The numbers as doubles, in the order of the file.
fn decode(header: &Header, bytes: &[u8]) -> Vec<f64> {
    macro_rules! numbers {
        ($kind:ty) => {{
            const SIZE: usize = size_of::<$kind>();
            let read = |b: &[u8]| {
                let b: [u8; SIZE] = b.try_into().expect("chunks of exactly this size");
                (if header.big_endian {
                    <$kind>::from_be_bytes(b)
                } else {
                    <$kind>::from_le_bytes(b)
                }) as f64
            };
            bytes.chunks_exact(SIZE).map(read).collect()
        }};
    }
    match (header.kind, header.size) {
        (Kind::Float, 4) => numbers!(f32),
        (Kind::Float, _) => numbers!(f64),
        (Kind::Signed, 1) => numbers!(i8),
        (Kind::Signed, 2) => numbers!(i16),
        (Kind::Signed, 4) => numbers!(i32),
        (Kind::Signed, _) => numbers!(i64),
        (Kind::Unsigned, 2) => numbers!(u16),
        (Kind::Unsigned, 4) => numbers!(u32),
        (Kind::Unsigned, 8) => numbers!(u64),
        (Kind::Unsigned | Kind::Bytes, _) => numbers!(u8),
        (Kind::Bool, _) => bytes.iter().map(|b| f64::from(u8::from(*b != 0))).collect(),
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
/// As [`Array::read`]; infinite values and, unless the options say otherwise, NaN; a target that is no column.
pub(crate) fn read(name: &str, bytes: &[u8], options: &ReadOptions) -> Result<Dataset> {
    let array = Array::read(name, bytes)?;
    data_set(name, array, options)
}

fn data_set(name: &str, array: Array, options: &ReadOptions) -> Result<Dataset> {
    let Array { values, rows, cols } = array;
    if rows == 0 {
        return Err(Error::data(format!("`{name}` holds no rows")));
    }
    let mut problems = Vec::new();
    let mut columns = vec![Column::default(); cols];
    for (at, v) in values.iter().enumerate().filter(|(_, v)| !v.is_finite()) {
        let (row, column) = (at / cols, &mut columns[at % cols]);
        if v.is_nan() {
            column.missing += 1;
            if column.missing_lines.len() < Trouble::LINES {
                column.missing_lines.push(row as u64 + 1);
            }
            continue;
        }
        let message = format!("row {}, column {} is {v}", row + 1, at % cols + 1);
        if options.missing != Missing::Report {
            return Err(Error::data_at(place(name), message));
        }
        if problems.len() < Trouble::LINES {
            let column = (at % cols + 1).to_string();
            problems.push(Trouble::new(TroubleKind::NonFinite, Some(&column), message));
        }
    }
    let nowhere = |_: usize, _: usize| place(name);
    let table = Table {
        name,
        columns,
        values,
        rows,
        named: false,
        place: &nowhere,
        has_lines: false,
    };
    table::build(table, options, problems)
}

fn place(name: &str) -> Place {
    Place {
        file: name.to_owned(),
        line: 0,
        column: 0,
    }
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
