//! Operators made of matrices and of other operators: diagonals, dense and sparse matrices, sums, products, shifts, adjoints.
//!
//! Parts may be owned operators, references or boxes, since all three are operators themselves.

mod compose;
mod kronecker;

pub use compose::{Adjoint, Product, Scaled, Shifted, Sum};
pub use kronecker::{Kronecker, KroneckerEigen};

use crate::kernels::pool::Buffer;
use crate::kernels::{multiply, multiply_transposed};
use crate::{Cost, DataMatrix, Error, LinearOperator, Properties, Result, Scalar, check_apply};

use faer::linalg::matmul::matmul;
use faer::prelude::ReborrowMut;
use faer::{Accum, Mat, MatMut, MatRef, Par};
use std::sync::Arc;

/// The identity on vectors of length n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub usize);

impl<T: Scalar> LinearOperator<T> for Identity {
    fn shape(&self) -> (usize, usize) {
        (self.0, self.0)
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply((self.0, self.0), &x, &y)?;
        y.copy_from(x);
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties::PSD
    }

    fn dense(&self, out: MatMut<'_, T>) -> Result<()> {
        write_diagonal(self.0, out, |_| T::of(1.0))
    }

    fn cost(&self) -> Cost {
        Cost {
            product: 0.0,
            dense: 0.0,
        }
    }
}

/// A diagonal matrix, given by its diagonal.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagonal<T>(pub Vec<T>);

impl<T: Scalar> LinearOperator<T> for Diagonal<T> {
    fn shape(&self) -> (usize, usize) {
        (self.0.len(), self.0.len())
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        for j in 0..x.ncols() {
            for (i, d) in self.0.iter().enumerate() {
                y[(i, j)] = T::of(d.to_f64() * x[(i, j)].to_f64());
            }
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties {
            psd: self.0.iter().all(|d| d.to_f64() >= 0.0),
            ..SYMMETRIC
        }
    }

    fn dense(&self, out: MatMut<'_, T>) -> Result<()> {
        write_diagonal(self.0.len(), out, |i| self.0[i])
    }

    fn cost(&self) -> Cost {
        let product = self.0.len() as f64;
        Cost {
            product,
            dense: 0.0,
        }
    }
}

/// A dense matrix with what is known about it.
#[derive(Clone, Debug)]
pub struct Dense<T> {
    matrix: Mat<T>,
    properties: Properties,
}

impl<T: Scalar> Dense<T> {
    /// A matrix about which nothing is known.
    pub fn new(matrix: Mat<T>) -> Self {
        Self {
            matrix,
            properties: Properties::default(),
        }
    }

    /// A symmetric matrix; both triangles are read.
    ///
    /// # Errors
    /// A matrix that is not square or not exactly symmetric.
    pub fn symmetric(matrix: Mat<T>) -> Result<Self> {
        let n = matrix.nrows();
        if matrix.ncols() != n {
            return Err(Error::shape("the matrix", (n, matrix.ncols()), (n, n)));
        }
        for j in 0..n {
            if let Some(i) = (0..j).find(|&i| matrix[(i, j)] != matrix[(j, i)]) {
                return Err(Error::argument(
                    "matrix",
                    format!("not symmetric at ({i}, {j})"),
                    "a symmetric matrix",
                ));
            }
        }
        Ok(Self {
            matrix,
            properties: SYMMETRIC,
        })
    }

    /// A symmetric matrix that the caller vouches is positive semidefinite.
    ///
    /// # Errors
    /// As [`Dense::symmetric`].
    pub fn psd(matrix: Mat<T>) -> Result<Self> {
        Ok(Self {
            properties: Properties::PSD,
            ..Self::symmetric(matrix)?
        })
    }

    /// The matrix.
    pub fn matrix(&self) -> MatRef<'_, T> {
        self.matrix.as_ref()
    }
}

impl<T: Scalar> LinearOperator<T> for Dense<T> {
    fn shape(&self) -> (usize, usize) {
        (self.matrix.nrows(), self.matrix.ncols())
    }

    fn apply(&self, x: MatRef<'_, T>, y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        product(self.matrix.as_ref(), x, y);
        Ok(())
    }

    fn apply_adjoint(&self, y: MatRef<'_, T>, x: MatMut<'_, T>) -> Result<()> {
        let (m, n) = self.shape();
        check_apply((n, m), &y, &x)?;
        product(self.matrix.transpose(), y, x);
        Ok(())
    }

    fn properties(&self) -> Properties {
        self.properties
    }

    fn dense(&self, mut out: MatMut<'_, T>) -> Result<()> {
        check_dense(self.shape(), &out)?;
        out.copy_from(&self.matrix);
        Ok(())
    }

    fn cost(&self) -> Cost {
        let (m, n) = self.shape();
        Cost {
            product: 2.0 * m as f64 * n as f64,
            dense: 0.0,
        }
    }
}

/// A data matrix X (n, d) as an operator from weights to predictions.
#[derive(Clone, Copy, Debug)]
pub struct DataOperator<'a, T>(pub &'a DataMatrix<T>);

impl<T: Scalar> LinearOperator<T> for DataOperator<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.0.rows(), self.0.cols())
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let (n, k) = (y.nrows(), y.ncols());
        // One column needs no detour: row after row is then the same as column after column.
        if k == 1
            && let Some(y) = y.rb_mut().col_mut(0).try_as_col_major_mut()
        {
            multiply(self.0, x, y.as_slice_mut());
            return Ok(());
        }
        let mut rows = Buffer::take(n * k);
        multiply(self.0, x, &mut rows);
        y.copy_from(MatRef::from_row_major_slice(&rows, n, k));
        Ok(())
    }

    fn apply_adjoint(&self, y: MatRef<'_, T>, x: MatMut<'_, T>) -> Result<()> {
        let (n, d) = self.shape();
        check_apply((d, n), &y, &x)?;
        let k = y.ncols();
        if k == 1
            && let Some(y) = y.col(0).try_as_col_major()
        {
            multiply_transposed(self.0, y.as_slice(), x);
            return Ok(());
        }
        let mut rows = Buffer::take(n * k);
        MatMut::from_row_major_slice_mut(&mut rows, n, k).copy_from(y);
        multiply_transposed(self.0, &rows, x);
        Ok(())
    }

    fn dense(&self, mut out: MatMut<'_, T>) -> Result<()> {
        check_dense(self.shape(), &out)?;
        out.fill(T::of(0.0));
        for i in 0..self.0.rows() {
            self.0.for_row(i, |j, v| out[(i, j)] = v);
        }
        Ok(())
    }

    fn cost(&self) -> Cost {
        Cost {
            product: 2.0 * self.0.stored() as f64,
            dense: 0.0,
        }
    }
}

/// U diag(values) Uᵀ + shift I with U (n, r).
#[derive(Clone, Debug)]
pub struct LowRank<T> {
    vectors: Arc<Mat<T>>,
    values: Vec<f64>,
    shift: f64,
}

impl<T: Scalar> LowRank<T> {
    /// From the columns of U, their weights, and the shift.
    ///
    /// # Errors
    /// A number of weights that is not the number of columns.
    pub fn new(vectors: Mat<T>, values: Vec<f64>, shift: f64) -> Result<Self> {
        if values.len() != vectors.ncols() {
            return Err(Error::shape("the weights", values.len(), vectors.ncols()));
        }
        Ok(Self {
            vectors: Arc::new(vectors),
            values,
            shift,
        })
    }

    /// The same vectors, which are shared, with other weights and another shift.
    ///
    /// # Errors
    /// A number of weights that is not the number of columns.
    pub fn reweighted(&self, values: Vec<f64>, shift: f64) -> Result<Self> {
        if values.len() != self.vectors.ncols() {
            return Err(Error::shape(
                "the weights",
                values.len(),
                self.vectors.ncols(),
            ));
        }
        Ok(Self {
            vectors: Arc::clone(&self.vectors),
            values,
            shift,
        })
    }

    /// U (n, r).
    pub fn vectors(&self) -> MatRef<'_, T> {
        self.vectors.as_ref().as_ref()
    }

    /// The weights (r).
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The shift.
    pub fn shift(&self) -> f64 {
        self.shift
    }
}

impl<T: Scalar> LinearOperator<T> for LowRank<T> {
    fn shape(&self) -> (usize, usize) {
        (self.vectors.nrows(), self.vectors.nrows())
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let (r, k) = (self.values.len(), x.ncols());
        let mut buffer = Buffer::take(r * k);
        let mut w = MatMut::from_column_major_slice_mut(&mut buffer, r, k);
        product(self.vectors.transpose(), x, w.rb_mut());
        for j in 0..k {
            for (i, value) in self.values.iter().enumerate() {
                w[(i, j)] = T::of(value * w[(i, j)].to_f64());
            }
        }
        product(self.vectors(), w.as_ref(), y.rb_mut());
        for j in 0..k {
            for i in 0..x.nrows() {
                y[(i, j)] = T::of(self.shift.mul_add(x[(i, j)].to_f64(), y[(i, j)].to_f64()));
            }
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties {
            psd: self.shift >= 0.0 && self.values.iter().all(|v| *v >= 0.0),
            ..SYMMETRIC
        }
    }

    fn dense(&self, mut out: MatMut<'_, T>) -> Result<()> {
        check_dense(self.shape(), &out)?;
        let (n, r) = (self.vectors.nrows(), self.values.len());
        let scaled = Mat::from_fn(n, r, |i, j| {
            T::of(self.vectors[(i, j)].to_f64() * self.values[j])
        });
        product(scaled.as_ref(), self.vectors.transpose(), out.rb_mut());
        // The product rounds the two triangles differently.
        for j in 0..n {
            (j + 1..n).for_each(|i| out[(j, i)] = out[(i, j)]);
            out[(j, j)] = T::of(out[(j, j)].to_f64() + self.shift);
        }
        Ok(())
    }

    fn cost(&self) -> Cost {
        let (n, r) = (self.vectors.nrows() as f64, self.values.len() as f64);
        Cost {
            product: 4.0 * n * r,
            dense: 2.0 * n * n * r,
        }
    }
}

/// Rows of a product that one task computes.
const PANEL: usize = 512;
/// Multiplications below which a product is not worth a second thread.
const SMALL: usize = 1 << 18;

/// `y <- A x`, rows cut in panels of a fixed height, so that threads change no bit.
pub(crate) fn product<T: Scalar>(a: MatRef<'_, T>, x: MatRef<'_, T>, y: MatMut<'_, T>) {
    let m = a.nrows();
    if m <= PANEL || m * a.ncols() * x.ncols() < SMALL {
        matmul(y, Accum::Replace, a, x, T::of(1.0), Par::Seq);
        return;
    }
    let half = (m / 2).next_multiple_of(PANEL);
    let (top, bottom) = a.split_at_row(half);
    let (above, below) = y.split_at_row_mut(half);
    rayon::join(|| product(top, x, above), || product(bottom, x, below));
}

const SYMMETRIC: Properties = Properties {
    symmetric: true,
    psd: false,
    random: false,
};

fn check_dense<T>(shape: (usize, usize), out: &MatMut<'_, T>) -> Result<()> {
    let found = (out.nrows(), out.ncols());
    if found != shape {
        return Err(Error::shape("the dense matrix", found, shape));
    }
    Ok(())
}

fn write_diagonal<T: Scalar>(
    n: usize,
    mut out: MatMut<'_, T>,
    entry: impl Fn(usize) -> T,
) -> Result<()> {
    check_dense((n, n), &out)?;
    out.fill(T::of(0.0));
    (0..n).for_each(|i| out[(i, i)] = entry(i));
    Ok(())
}
