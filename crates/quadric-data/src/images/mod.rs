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
        dataset::sparse_rows(rows, cols, nonzeros, |i, keep| {
            let values = row(i).iter().enumerate();
            values.for_each(|(j, b)| keep(j, f64::from(*b)));
        })?
    };
    let problems = constant_columns(rows, cols, &row);
    let mut data = Dataset::new(name, x, Vec::new())?;
    data.problems = problems;
    Ok(data)
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
