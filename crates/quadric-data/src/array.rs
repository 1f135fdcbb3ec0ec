//! Arrays of plain numbers, whatever file they come from.

use crate::dataset::Dataset;
use crate::options::{Missing, ReadOptions};
use crate::table::{self, Column, Table};
use crate::trouble::{Trouble, TroubleKind};
use quadric_linalg::{Error, Place, Result};

/// The kind of number that an array holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Float,
    Signed,
    Unsigned,
    Bool,
    /// Byte strings, as SciPy names the layout of a sparse matrix.
    Bytes,
}

/// An array of one or two dimensions, row after row; one dimension is one column.
pub(crate) struct Array {
    pub(crate) values: Vec<f64>,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

/// The numbers as doubles, in the order of the file; `size` is the number of bytes of each.
pub(crate) fn decode(kind: Kind, size: usize, big_endian: bool, bytes: &[u8]) -> Vec<f64> {
    let mut values = vec![0.0; bytes.len() / size];
    decode_into(kind, size, big_endian, bytes, &mut values);
    values
}

/// As [`decode`], into as many doubles as there are numbers.
pub(crate) fn decode_into(
    kind: Kind,
    size: usize,
    big_endian: bool,
    bytes: &[u8],
    values: &mut [f64],
) {
    macro_rules! numbers {
        ($kind:ty) => {{
            const SIZE: usize = size_of::<$kind>();
            for (value, b) in values.iter_mut().zip(bytes.chunks_exact(SIZE)) {
                let b: [u8; SIZE] = b.try_into().expect("chunks of exactly this size");
                let number = match big_endian {
                    true => <$kind>::from_be_bytes(b),
                    false => <$kind>::from_le_bytes(b),
                };
                *value = number as f64;
            }
        }};
    }
    match (kind, size) {
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
        (Kind::Bool, _) => {
            for (value, b) in values.iter_mut().zip(bytes) {
                *value = f64::from(u8::from(*b != 0));
            }
        }
    }
}

/// Makes a data set of an array. NaN stands for a missing value.
///
/// # Errors
/// No rows or columns; infinite values and, unless the options say otherwise, NaN; a target that is no column.
pub(crate) fn data_set(name: &str, array: Array, options: &ReadOptions) -> Result<Dataset> {
    let Array { values, rows, cols } = array;
    if rows == 0 {
        return Err(Error::data(format!("`{name}` holds no rows")));
    }
    if cols == 0 {
        return Err(Error::data(format!("`{name}` holds no columns")));
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
