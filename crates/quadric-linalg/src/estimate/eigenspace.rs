//! Eigenpairs that are known already: taken exactly, so that only the rest is estimated.

use super::columns::{gram, subtract};
use crate::{Error, LinearOperator, Properties, Result, Scalar, check_apply};
use faer::prelude::ReborrowMut;
use faer::{Mat, MatMut, MatRef};

/// Converged eigenpairs of a symmetric operator, as [`eigenpairs`](crate::spectrum::eigenpairs) finds them.
#[derive(Clone, Debug)]
pub struct Eigenspace<T> {
    vectors: Mat<T>,
    values: Vec<f64>,
}

impl<T: Scalar> Eigenspace<T> {
    /// Orthonormal eigenvectors in the columns (n, k), and their eigenvalues.
    ///
    /// # Errors
    /// A number of values that is not that of the vectors, entries that are not finite, and vectors that are not orthonormal to
    /// the root of the rounding unit.
    pub fn new(vectors: Mat<T>, values: Vec<f64>) -> Result<Self> {
        let k = vectors.ncols();
        if values.len() != k {
            return Err(Error::shape("the eigenvalues", values.len(), k));
        }
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::non_finite("the eigenvalues", i, values[i]));
        }
        let overlap = gram(vectors.as_ref(), vectors.as_ref());
        for (i, j) in (0..k).flat_map(|j| (0..k).map(move |i| (i, j))) {
            let error = (overlap[(i, j)] - f64::from(i == j)).abs();
            if error.is_nan() || error > T::EPSILON.sqrt() {
                return Err(Error::argument(
                    "vectors",
                    format!("{} in the product of columns {i} and {j}", overlap[(i, j)]),
                    "orthonormal eigenvectors",
                ));
            }
        }
        Ok(Self { vectors, values })
    }

    /// The eigenvectors (n, k).
    pub fn vectors(&self) -> MatRef<'_, T> {
        self.vectors.as_ref()
    }

    /// The eigenvalues.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    pub(super) fn check(&self, n: usize) -> Result<()> {
        if self.vectors.nrows() == n {
            return Ok(());
        }
        Err(Error::shape("the eigenvectors", self.vectors.nrows(), n))
    }

    /// Takes the eigenspace out of the columns of a block (n, b).
    pub(super) fn project(&self, mut x: MatMut<'_, T>) {
        let c = gram(self.vectors.as_ref(), x.as_ref());
        subtract(self.vectors.as_ref(), c.as_ref(), x.rb_mut());
    }
}

/// The operator on the complement of an eigenspace, zero on it.
pub(super) struct Deflated<'a, T> {
    pub(super) op: &'a dyn LinearOperator<T>,
    pub(super) known: &'a Eigenspace<T>,
}

impl<T: Scalar> LinearOperator<T> for Deflated<'_, T> {
    fn shape(&self) -> (usize, usize) {
        self.op.shape()
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let mut rest = x.to_owned();
        self.known.project(rest.as_mut());
        self.op.apply(rest.as_ref(), y.rb_mut())?;
        self.known.project(y);
        Ok(())
    }

    fn properties(&self) -> Properties {
        self.op.properties()
    }
}
