//! Operators made of matrices and of other operators: diagonals, dense and sparse matrices, sums, products, shifts, adjoints.
//!
//! Parts may be owned operators, references or boxes, since all three are operators themselves.

use crate::{Cost, Error, LinearOperator, Properties, Result, Scalar, check_apply};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

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

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        matmul(
            &mut y,
            Accum::Replace,
            &self.matrix,
            x,
            T::of(1.0),
            Par::Seq,
        );
        Ok(())
    }

    fn apply_adjoint(&self, y: MatRef<'_, T>, mut x: MatMut<'_, T>) -> Result<()> {
        let (m, n) = self.shape();
        check_apply((n, m), &y, &x)?;
        matmul(
            &mut x,
            Accum::Replace,
            self.matrix.transpose(),
            y,
            T::of(1.0),
            Par::Seq,
        );
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
