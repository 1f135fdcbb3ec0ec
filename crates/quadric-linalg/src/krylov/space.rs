//! The Krylov space of a symmetric operator and a start, in which the operator is a tridiagonal matrix.
//!
//! Lanczos, "An iteration method for the solution of the eigenvalue problem of linear differential and integral operators"
//! (1950), with every new vector orthogonalised twice against all earlier ones, so that the basis stays orthonormal.

use super::finite;
use crate::vector::{axpy, dot, norm2, scale};
use crate::{Error, LinearOperator, Result, Scalar};
use faer::{MatMut, MatRef};

/// An orthonormal basis that begins with the start, and the operator in it.
#[derive(Debug, Default)]
pub struct KrylovSpace<T> {
    n: usize,
    /// Vector after vector; one more than `diagonal` has entries, unless the space is invariant.
    basis: Vec<T>,
    image: Vec<T>,
    diagonal: Vec<f64>,
    /// Entry j couples vectors j and j + 1.
    beside: Vec<f64>,
}

impl<T: Scalar> KrylovSpace<T> {
    /// An empty space; memory grows with it and is kept for the next start.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins anew with a start of length n; returns its norm. A start of norm 0 spans nothing.
    ///
    /// # Errors
    /// A start that is not finite.
    pub fn start(&mut self, start: &[T]) -> Result<f64> {
        self.n = start.len();
        self.diagonal.clear();
        self.beside.clear();
        self.basis.clear();
        self.image.resize(self.n, T::of(0.0));
        let norm = norm2(start);
        if !norm.is_finite() {
            return Err(Error::non_finite("the norm of the start", 0, norm));
        }
        if norm > 0.0 {
            self.basis.extend_from_slice(start);
            scale(1.0 / norm, &mut self.basis);
        }
        Ok(norm)
    }

    /// Adds a dimension by one product with `op` (n, n); false if the space is invariant, so that there is no more to add.
    ///
    /// # Errors
    /// An operator of another shape or not known to be symmetric, products that are not finite, and those of the operator.
    pub fn extend(&mut self, op: &dyn LinearOperator<T>) -> Result<bool> {
        if op.shape() != (self.n, self.n) {
            return Err(Error::shape("the operator", op.shape(), (self.n, self.n)));
        }
        let j = self.diagonal.len();
        if self.basis.len() < (j + 1) * self.n || self.n == 0 {
            return Ok(false);
        }
        let newest = &self.basis[j * self.n..(j + 1) * self.n];
        op.apply(
            MatRef::from_column_major_slice(newest, self.n, 1),
            MatMut::from_column_major_slice_mut(&mut self.image, self.n, 1),
        )?;
        let size = finite(norm2(&self.image))?;
        self.diagonal.push(dot(newest, &self.image));
        for _ in 0..2 {
            for v in self.basis.chunks_exact(self.n) {
                axpy(-dot(v, &self.image), v, &mut self.image);
            }
        }
        let norm = norm2(&self.image);
        if j + 1 < self.n && norm > 10.0 * T::EPSILON * size {
            self.beside.push(norm);
            scale(1.0 / norm, &mut self.image);
            self.basis.extend_from_slice(&self.image);
        }
        Ok(true)
    }

    /// Dimensions so far.
    pub fn dim(&self) -> usize {
        self.diagonal.len()
    }

    /// True if nothing can be added.
    pub fn is_invariant(&self) -> bool {
        self.basis.len() < (self.dim() + 1) * self.n || self.n == 0
    }

    /// The diagonal of the tridiagonal matrix.
    pub fn diagonal(&self) -> &[f64] {
        &self.diagonal
    }

    /// The entries beside the diagonal, and behind them, unless the space is invariant, the one that couples the space to
    /// the rest.
    pub fn beside(&self) -> &[f64] {
        &self.beside
    }

    /// The vector (n) with coordinates `y` in the basis.
    pub fn vector(&self, y: &[f64], out: &mut [T]) {
        out.fill(T::of(0.0));
        for (y, v) in y.iter().zip(self.basis.chunks_exact(self.n.max(1))) {
            axpy(*y, v, out);
        }
    }
}
