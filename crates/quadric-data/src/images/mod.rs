//! Images in binary files: IDX arrays (MNIST) and the records of CIFAR-10 and CIFAR-100.

pub(crate) mod cifar;
pub(crate) mod idx;

use crate::dataset::{self, Dataset, stays_dense};
use crate::trouble;
use quadric_linalg::{DataMatrix, Error, Result};

/// The data set of rows of bytes, values as they are, without a target.
///
/// # Errors
/// No rows.
fn data_set<'a>(
    name: &str,
    rows: usize,
    cols: usize,
    row: impl Fn(usize) -> &'a [u8],
) -> Result<Dataset> {
    if rows == 0 {
        return Err(Error::data(format!("`{name}` holds no rows")));
    }
    let count = |i| row(i).iter().filter(|b| **b != 0).count();
    let nonzeros: usize = (0..rows).map(count).sum();
    let x = if stays_dense(rows, cols, nonzeros) {
        let mut values = Vec::with_capacity(rows * cols);
        for i in 0..rows {
            values.extend(row(i).iter().map(|b| f64::from(*b)));
        }
        DataMatrix::dense(values, rows, cols)?
    } else {
        sparse(rows, cols, nonzeros, &row)?
    };
    let problems = constant_columns(rows, cols, &row);
    let mut data = Dataset::new(name, x, Vec::new())?;
    data.problems = problems;
    Ok(data)
}

fn sparse<'a>(
    rows: usize,
    cols: usize,
    nonzeros: usize,
    row: impl Fn(usize) -> &'a [u8],
) -> Result<DataMatrix<f64>> {
    let mut starts = Vec::with_capacity(rows + 1);
    let mut indices = Vec::with_capacity(nonzeros);
    let mut values = Vec::with_capacity(nonzeros);
    starts.push(0);
    for i in 0..rows {
        for (j, b) in row(i).iter().enumerate().filter(|(_, b)| **b != 0) {
            indices.push(j as u32);
            values.push(f64::from(*b));
        }
        starts.push(values.len() as u32);
    }
    dataset::sparse(starts, indices, values, rows, cols)
}

/// Remarks on pixels that are the same in every row.
fn constant_columns<'a>(
    rows: usize,
    cols: usize,
    row: impl Fn(usize) -> &'a [u8],
) -> Vec<trouble::Trouble> {
    if cols > Dataset::NAMED || rows < 2 {
        return Vec::new();
    }
    let first = row(0);
    let mut differs = vec![0; cols];
    for i in 1..rows {
        for (differs, (a, b)) in differs.iter_mut().zip(first.iter().zip(row(i))) {
            *differs |= a ^ b;
        }
    }
    let same = differs.iter().zip(first).enumerate();
    trouble::constant(
        cols,
        same.filter(|(_, (differs, _))| **differs == 0)
            .map(|(j, (_, v))| (j, f64::from(*v))),
    )
}
