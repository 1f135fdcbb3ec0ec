//! The data matrix X (n rows, d columns): dense by rows, or sparse by rows.

use crate::{Error, Result, Scalar};
use faer::MatRef;
use faer::sparse::{SparseRowMat, SparseRowMatRef, SymbolicSparseRowMat};

/// A data matrix, one sample per row.
#[derive(Clone, Debug)]
pub enum DataMatrix<T> {
    /// Every entry stored, row after row.
    Dense(DenseRows<T>),
    /// Only the non-zeros stored (compressed rows, columns ascending in each row, 32-bit indices).
    Sparse(SparseRowMat<u32, T>),
}

/// A dense matrix stored row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseRows<T> {
    values: Vec<T>,
    rows: usize,
    cols: usize,
}

impl<T: Scalar> DenseRows<T> {
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
                let values = rows.iter().flat_map(|&i| x.row(i)).copied().collect();
                Self::Dense(DenseRows {
                    values,
                    rows: rows.len(),
                    cols: x.cols,
                })
            }
            Self::Sparse(x) => {
                let (mut starts, mut indices, mut values) = (vec![0u32], Vec::new(), Vec::new());
                for &i in rows {
                    let (c, v) = sparse_row(x.as_ref(), i);
                    indices.extend_from_slice(c);
                    values.extend_from_slice(v);
                    starts.push(
                        u32::try_from(values.len())
                            .expect("a selection of rows has fewer than 2^32 values"),
                    );
                }
                let symbolic =
                    SymbolicSparseRowMat::new_checked(rows.len(), x.ncols(), starts, None, indices);
                Self::Sparse(SparseRowMat::new(symbolic, values))
            }
        }
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

    /// The first stored value that is not finite, as (row, column, value).
    pub fn first_non_finite(&self) -> Option<(usize, usize, f64)> {
        let values = match self {
            Self::Dense(x) => x.values(),
            Self::Sparse(x) => x.val(),
        };
        if values.iter().all(|v| v.to_f64().is_finite()) {
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
        let cast = |v: &[T]| v.iter().map(|v| U::of(v.to_f64())).collect();
        match self {
            Self::Dense(x) => DataMatrix::Dense(DenseRows {
                values: cast(&x.values),
                rows: x.rows,
                cols: x.cols,
            }),
            Self::Sparse(x) => DataMatrix::Sparse(SparseRowMat::new(
                x.symbolic()
                    .to_owned()
                    .expect("copying the structure of a matrix that exists"),
                cast(x.val()),
            )),
        }
    }
}

/// Columns and values of one sparse row.
#[inline(always)]
pub(crate) fn sparse_row<T>(x: SparseRowMatRef<'_, u32, T>, i: usize) -> (&[u32], &[T]) {
    let range = x.row_range(i);
    (&x.symbolic().col_idx()[range.clone()], &x.val()[range])
}
