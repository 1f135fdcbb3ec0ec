//! The data matrix X (n rows, d columns): dense by rows, or sparse by rows.

mod sparse;

use crate::kernels::columns::{affine, affine_in_place};
use crate::kernels::pairs;
use crate::parallel::{for_each, map};
use crate::{Error, Result, Scalar};
use faer::MatRef;
use faer::sparse::{SparseRowMat, SymbolicSparseRowMat};
pub(crate) use sparse::sparse_row;
use sparse::{scaled, with_ones};

/// Rows, or stored values, per task.
const ROWS: usize = 4096;
const PIECE: usize = 1 << 16;
/// Rows that are moved together.
const BLOCK: usize = 64;

/// A data matrix, one sample per row.
///
/// Copies and selections of rows have room for one more value in each row: a column of ones then takes no memory of its own.
#[derive(Debug)]
pub enum DataMatrix<T> {
    /// Every entry stored, row after row.
    Dense(DenseRows<T>),
    /// Only the non-zeros stored (compressed rows, columns ascending in each row, 32-bit indices).
    Sparse(SparseRowMat<u32, T>),
}

impl<T: Scalar> Clone for DataMatrix<T> {
    fn clone(&self) -> Self {
        self.cast()
    }
}

/// A dense matrix stored row after row. Copies have room for one more column.
#[derive(Debug, PartialEq)]
pub struct DenseRows<T> {
    values: Vec<T>,
    rows: usize,
    cols: usize,
}

impl<T: Scalar> Clone for DenseRows<T> {
    fn clone(&self) -> Self {
        Self::with_room(self.values.iter().copied(), self.rows, self.cols)
    }
}

impl<T: Scalar> DenseRows<T> {
    /// A matrix that can become one with a column of ones where it lies.
    fn with_room(from: impl Iterator<Item = T>, rows: usize, cols: usize) -> Self {
        let mut values = Vec::with_capacity(rows * (cols + 1));
        values.extend(from);
        Self { values, rows, cols }
    }

    /// A (rows, cols) matrix of the values, row after row.
    ///
    /// # Errors
    /// The number of values is not rows times cols.
    pub fn new(values: Vec<T>, rows: usize, cols: usize) -> Result<Self> {
        if rows.checked_mul(cols) != Some(values.len()) {
            return Err(Error::shape(
                "the list of values",
                values.len(),
                (rows, cols),
            ));
        }
        Ok(Self { values, rows, cols })
    }

    /// Column j times `scale[j]` minus `shift[j]`; with `ones` a last column of ones follows.
    fn affine(mut self, scale: &[f64], shift: &[f64], ones: bool) -> Self {
        let (rows, d) = (self.rows, self.cols);
        if !ones {
            for_each(self.values.chunks_mut(ROWS * d.max(1)), |_, rows| {
                affine_in_place(rows, scale, shift);
            });
            return self;
        }
        let mut values = self.values;
        values.reserve_exact(rows);
        values.resize(rows * (d + 1), T::of(1.0));
        // From the end, a block at a time: what a block becomes lies at or behind where it was.
        let mut block = vec![T::of(0.0); BLOCK.min(rows) * d];
        for start in (0..rows).step_by(BLOCK).rev() {
            let end = (start + BLOCK).min(rows);
            let block = &mut block[..(end - start) * d];
            block.copy_from_slice(&values[start * d..end * d]);
            let out = &mut values[start * (d + 1)..end * (d + 1)];
            affine(block, scale, shift, out);
        }
        Self {
            values,
            rows,
            cols: d + 1,
        }
    }

    /// All values, row after row.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// All values, row after row.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// Row i.
    pub fn row(&self, i: usize) -> &[T] {
        &self.values[i * self.cols..(i + 1) * self.cols]
    }

    /// A (rows, cols) view.
    pub fn view(&self) -> MatRef<'_, T> {
        MatRef::from_row_major_slice(&self.values, self.rows, self.cols)
    }
}

impl<T: Scalar> DataMatrix<T> {
    /// A dense (rows, cols) matrix of the values, row after row.
    ///
    /// # Errors
    /// The number of values is not rows times cols.
    pub fn dense(values: Vec<T>, rows: usize, cols: usize) -> Result<Self> {
        Ok(Self::Dense(DenseRows::new(values, rows, cols)?))
    }

    /// A sparse (rows, cols) matrix: row i holds `values[row_starts[i]..row_starts[i + 1]]` at the columns `indices` of
    /// the same range.
    ///
    /// # Errors
    /// Row starts that do not ascend from 0 to the number of values, columns that do not strictly ascend within a row
    /// or reach `cols`, or more than 2³² - 1 values.
    pub fn sparse(
        row_starts: Vec<u32>,
        indices: Vec<u32>,
        values: Vec<T>,
        rows: usize,
        cols: usize,
    ) -> Result<Self> {
        let bad = |what: &str| {
            Err(Error::argument(
                "row_starts/indices",
                what,
                "a valid compressed-row structure",
            ))
        };
        if row_starts.len() != rows + 1
            || row_starts[0] != 0
            || row_starts[rows] as usize != values.len()
        {
            return bad("not of the right length");
        }
        if indices.len() != values.len()
            || row_starts.windows(2).any(|w| w[0] > w[1])
            || cols > u32::MAX as usize
        {
            return bad("inconsistent");
        }
        for row in row_starts.windows(2) {
            let row = &indices[row[0] as usize..row[1] as usize];
            if row.windows(2).any(|w| w[0] >= w[1])
                || row.last().is_some_and(|&j| j as usize >= cols)
            {
                return bad("not strictly ascending within a row, or beyond the last column");
            }
        }
        let symbolic = SymbolicSparseRowMat::new_checked(rows, cols, row_starts, None, indices);
        Ok(Self::Sparse(SparseRowMat::new(symbolic, values)))
    }

    /// Number of rows (samples).
    pub fn rows(&self) -> usize {
        match self {
            Self::Dense(x) => x.rows,
            Self::Sparse(x) => x.nrows(),
        }
    }

    /// Number of columns (features).
    pub fn cols(&self) -> usize {
        match self {
            Self::Dense(x) => x.cols,
            Self::Sparse(x) => x.ncols(),
        }
    }

    /// Number of stored values.
    pub fn stored(&self) -> usize {
        match self {
            Self::Dense(x) => x.values.len(),
            Self::Sparse(x) => x.val().len(),
        }
    }

    /// Number of stored values that are not zero.
    pub fn nonzeros(&self) -> usize {
        let zero = T::of(0.0);
        match self {
            Self::Dense(x) => x.values.iter().filter(|v| **v != zero).count(),
            Self::Sparse(x) => x.val().iter().filter(|v| **v != zero).count(),
        }
    }

    /// Number of stored values of row i.
    ///
    /// # Panics
    /// If the row is out of range.
    pub fn stored_in(&self, i: usize) -> usize {
        match self {
            Self::Dense(x) => x.row(i).len(),
            Self::Sparse(x) => x.row_range(i).len(),
        }
    }

    /// Calls `f(column, value)` for every stored value of row i, columns ascending.
    pub fn for_row(&self, i: usize, mut f: impl FnMut(usize, T)) {
        match self {
            Self::Dense(x) => x.row(i).iter().enumerate().for_each(|(j, v)| f(j, *v)),
            Self::Sparse(x) => {
                let (columns, values) = sparse_row(x.as_ref(), i);
                columns
                    .iter()
                    .zip(values)
                    .for_each(|(j, v)| f(*j as usize, *v));
            }
        }
    }

    /// The rows in the order given (repeats allowed), as a matrix of the same kind.
    ///
    /// # Panics
    /// If a row is out of range.
    #[must_use]
    pub fn select_rows(&self, rows: &[usize]) -> Self {
        match self {
            Self::Dense(x) => {
                let mut values = Vec::with_capacity(rows.len() * (x.cols + 1));
                rows.iter()
                    .for_each(|&i| values.extend_from_slice(x.row(i)));
                Self::Dense(DenseRows {
                    values,
                    rows: rows.len(),
                    cols: x.cols,
                })
            }
            Self::Sparse(x) => Self::Sparse(sparse::select_rows(x.as_ref(), rows)),
        }
    }

    /// Whether two rows store the same bits in the same columns.
    ///
    /// # Panics
    /// If a row is out of range.
    pub fn rows_are_equal(&self, a: usize, b: usize) -> bool {
        let same = |a: &[T], b: &[T]| {
            let bits = |v: &T| v.to_f64().to_bits();
            a.iter().map(bits).eq(b.iter().map(bits))
        };
        match self {
            Self::Dense(x) => same(x.row(a), x.row(b)),
            Self::Sparse(x) => {
                let (a, b) = (sparse_row(x.as_ref(), a), sparse_row(x.as_ref(), b));
                a.0 == b.0 && same(a.1, b.1)
            }
        }
    }

    /// The rows in the order given, which ascends, in the memory of the matrix.
    ///
    /// # Panics
    /// If a row is out of range or does not follow the one before.
    #[must_use]
    pub fn keep_rows(self, rows: &[usize]) -> Self {
        let ascends = rows.windows(2).all(|w| w[0] < w[1]);
        assert!(ascends, "rows ascend: {rows:?}");
        match self {
            Self::Dense(mut x) => {
                let d = x.cols;
                for (to, i) in rows.iter().enumerate() {
                    x.values.copy_within(i * d..(i + 1) * d, to * d);
                }
                x.values.truncate(rows.len() * d);
                x.rows = rows.len();
                Self::Dense(x)
            }
            Self::Sparse(x) => Self::Sparse(sparse::keep_rows(x, rows)),
        }
    }

    /// Column j times `scale[j]`, in a dense matrix minus `shift[j]`; a sparse one loses the values of the columns in `drop`.
    /// With `ones` a last column of ones follows. Happens in the memory of the matrix where that can grow.
    ///
    /// # Errors
    /// A sparse matrix that would have more than 2³² - 1 values.
    ///
    /// # Panics
    /// Lists shorter than the number of columns.
    pub fn affine(self, scale: &[f64], shift: &[f64], drop: &[bool], ones: bool) -> Result<Self> {
        // Nothing moves to the front where nothing is dropped.
        let drops = self.has_any(drop);
        match self {
            Self::Dense(x) => Ok(Self::Dense(x.affine(scale, shift, ones))),
            Self::Sparse(x) => match (ones, drops) {
                (true, false) => Ok(Self::Sparse(with_ones(x, scale)?)),
                (true, true) => {
                    let ones = vec![1.0; scale.len()];
                    Ok(Self::Sparse(with_ones(scaled(x, scale, drop), &ones)?))
                }
                (false, _) => Ok(Self::Sparse(scaled(x, scale, drop))),
            },
        }
    }

    /// Whether a sparse matrix stores a value in one of these columns.
    fn has_any(&self, columns: &[bool]) -> bool {
        match self {
            Self::Dense(_) => false,
            Self::Sparse(x) => {
                columns.contains(&true) && x.col_idx().iter().any(|j| columns[*j as usize])
            }
        }
    }

    /// As [`DataMatrix::affine`], of the rows in the order given.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// If a row is out of range; lists shorter than the number of columns.
    pub fn affine_rows(
        self,
        rows: &[usize],
        (scale, shift): (&[f64], &[f64]),
        drop: &[bool],
        ones: bool,
    ) -> Result<Self> {
        if let Self::Sparse(x) = &self
            && ones
            && !self.has_any(drop)
        {
            return Ok(Self::Sparse(sparse::gather(x.as_ref(), rows, Some(scale))?));
        }
        let chosen = match rows.is_sorted_by(|a, b| a < b) {
            true => self.keep_rows(rows),
            false => self.select_rows(rows),
        };
        chosen.affine(scale, shift, drop, ones)
    }

    /// The transposed matrix, of the same kind.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let (rows, cols) = (self.rows(), self.cols());
        let Self::Sparse(x) = self else {
            let mut values = vec![T::of(0.0); rows * cols];
            for i in 0..rows {
                self.for_row(i, |j, v| values[j * rows + i] = v);
            }
            return Self::Dense(DenseRows {
                values,
                rows: cols,
                cols: rows,
            });
        };
        // Where the next value of each column goes; the columns' starts once each has moved on by its length.
        let mut next = vec![0u32; cols + 2];
        x.symbolic()
            .col_idx()
            .iter()
            .for_each(|j| next[*j as usize + 2] += 1);
        for j in 2..next.len() {
            next[j] += next[j - 1];
        }
        let mut indices = vec![0u32; x.val().len()];
        let mut values = vec![T::of(0.0); x.val().len()];
        for i in 0..rows {
            let (columns, row) = sparse_row(x.as_ref(), i);
            for (j, v) in columns.iter().zip(row) {
                let at = &mut next[*j as usize + 1];
                (indices[*at as usize], values[*at as usize]) = (i as u32, *v);
                *at += 1;
            }
        }
        next.pop();
        let symbolic = SymbolicSparseRowMat::new_checked(cols, rows, next, None, indices);
        Self::Sparse(SparseRowMat::new(symbolic, values))
    }

    /// The sum over the rows of the squared number of their stored values.
    pub fn stored_pairs(&self) -> usize {
        match self {
            Self::Dense(x) => x.rows * x.cols * x.cols,
            Self::Sparse(x) => 2 * pairs(x.as_ref()) - x.val().len(),
        }
    }

    /// The first stored value that is not finite, as (row, column, value).
    pub fn first_non_finite(&self) -> Option<(usize, usize, f64)> {
        let values = match self {
            Self::Dense(x) => x.values(),
            Self::Sparse(x) => x.val(),
        };
        // Whole pieces, without a way out, so that the loop is vectorised.
        let is_finite = |piece: &[T]| {
            piece
                .iter()
                .fold(true, |all, v| all & v.to_f64().is_finite())
        };
        let pieces = map(values.chunks(PIECE), |_, piece| {
            piece.chunks(1024).all(is_finite)
        });
        if pieces.into_iter().all(|finite| finite) {
            return None;
        }
        let mut found = None;
        for i in 0..self.rows() {
            self.for_row(i, |j, v| {
                if found.is_none() && !v.to_f64().is_finite() {
                    found = Some((i, j, v.to_f64()));
                }
            });
            if found.is_some() {
                break;
            }
        }
        found
    }

    /// The same matrix with entries of another scalar type.
    #[must_use]
    pub fn cast<U: Scalar>(&self) -> DataMatrix<U> {
        match self {
            Self::Dense(x) => {
                let values = x.values.iter().map(|v| U::of(v.to_f64()));
                DataMatrix::Dense(DenseRows::with_room(values, x.rows, x.cols))
            }
            Self::Sparse(x) => DataMatrix::Sparse(sparse::copied(x.as_ref())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 3 x 3 with an empty row, dense and sparse.
    fn pair() -> [DataMatrix<f64>; 2] {
        let dense = vec![1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0];
        let (starts, indices) = (vec![0, 2, 2, 4], vec![0, 2, 1, 2]);
        let values = vec![1.0, 2.0, 3.0, 4.0];
        [
            DataMatrix::dense(dense, 3, 3).expect("3 x 3"),
            DataMatrix::sparse(starts, indices, values, 3, 3).expect("valid"),
        ]
    }

    fn written(x: &DataMatrix<f64>) -> Vec<f64> {
        let mut out = vec![0.0; x.rows() * x.cols()];
        for i in 0..x.rows() {
            x.for_row(i, |j, v| out[i * x.cols() + j] = v);
        }
        out
    }

    #[test]
    fn columns_are_scaled_and_ones_follow() {
        let (scale, drop) = ([10.0, 1.0, -2.0], [false, true, false]);
        for x in pair() {
            let sparse = matches!(x, DataMatrix::Sparse(_));
            let shift = if sparse { [0.0; 3] } else { [1.0, 0.0, 0.0] };
            let with = |ones| {
                x.clone()
                    .affine(&scale, &shift, &drop, ones)
                    .expect("small")
            };
            let s = shift[0];
            let three = if sparse { 0.0 } else { 3.0 };
            let expected = [10.0 - s, 0.0, -4.0, -s, 0.0, 0.0, -s, three, -8.0];
            assert_eq!(written(&with(false)), expected);
            assert_eq!((with(true).rows(), with(true).cols()), (3, 4));
            let rows = written(&with(true));
            for (row, expected) in rows.chunks(4).zip(expected.chunks(3)) {
                assert_eq!((&row[..3], row[3]), (expected, 1.0));
            }
        }
    }

    #[test]
    fn dense_rows_are_widened_in_place() {
        let (rows, d) = (3 * BLOCK + 5, 4);
        let values: Vec<f64> = (0..rows * d).map(|i| (i % 1013) as f64).collect();
        let x = DataMatrix::dense(values, rows, d).expect("rows x 4");
        let (scale, shift) = ([2.0, 1.0, 0.5, -1.0], [3.0, 0.0, 1.0, 2.0]);
        let with = x.affine(&scale, &shift, &[false; 4], true).expect("dense");
        for i in 0..rows {
            with.for_row(i, |j, v| {
                let raw = ((i * d + j) % 1013) as f64;
                let expected = if j < d {
                    raw * scale[j] - shift[j]
                } else {
                    1.0
                };
                assert_eq!(v, expected, "{i} {j}");
            });
        }
    }
}
