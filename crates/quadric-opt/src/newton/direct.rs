//! Newton systems by a Cholesky factorisation of the Hessian, scaled to a diagonal near one.
//!
//! The scaling makes the factorisation blind to the units of the unknowns. A Hessian that is singular to working precision
//! gets a small multiple of the scaled identity, which selects a solution of bounded size.

use super::damping::Model;
use faer::{Mat, MatMut};
use quadric_core::{Error, ErrorKind, LinearOperator, Result, Scalar, vector};
use quadric_linalg::dense::EquilibratedCholesky;

/// Largest multiple of the scaled identity that still counts as rounding of a positive semidefinite matrix.
const LARGEST_SHIFT: f64 = 1e-2;

/// The factorised, scaled and possibly shifted Hessian.
pub(super) struct Factor<T: Scalar> {
    matrix: Mat<T>,
    cholesky: EquilibratedCholesky<T>,
    /// Multiple of the identity that was added to the scaled matrix.
    pub shift: f64,
}

impl<T: Scalar> Factor<T> {
    /// Memory for `dim` unknowns.
    pub(super) fn new(dim: usize) -> Result<Self> {
        let matrix = Mat::identity(dim, dim);
        Ok(Self {
            cholesky: EquilibratedCholesky::new(matrix.as_ref(), 0.0)?,
            matrix,
            shift: 0.0,
        })
    }

    /// Bytes for `dim` unknowns.
    pub(super) fn memory(dim: usize) -> usize {
        (2 * dim * dim + dim) * size_of::<T>()
    }

    /// Factorises `hessian + mu I`, which must be positive semidefinite.
    ///
    /// # Errors
    /// Those of the operator, and a Hessian that is not finite or far from positive semidefinite.
    pub(super) fn update(&mut self, hessian: &dyn LinearOperator<T>, mu: f64) -> Result<()> {
        self.load(hessian, mu)?;
        let indefinite = |_| {
            Error::new(
                ErrorKind::Numeric,
                "the Hessian is not positive semidefinite, as that of a convex function must be",
            )
        };
        self.cholesky
            .refactor(self.matrix.as_ref(), LARGEST_SHIFT)
            .map_err(indefinite)?;
        self.shift = self.cholesky.info().shift;
        if !self.is_resolved() {
            // A shift of the same size in the units of every unknown.
            let extra = 4.0 * self.resolution();
            for (j, s) in self.cholesky.scale().iter().enumerate() {
                let raised = self.matrix[(j, j)].to_f64() + extra / s.to_f64().powi(2);
                self.matrix[(j, j)] = T::of(raised);
            }
            self.cholesky
                .refactor(self.matrix.as_ref(), LARGEST_SHIFT)
                .map_err(indefinite)?;
            self.shift = self.cholesky.info().shift + extra;
        }
        Ok(())
    }

    /// Factorises `hessian`; false if it is not positive definite to working precision.
    ///
    /// # Errors
    /// Those of the operator, and a Hessian that is not finite.
    pub(super) fn update_definite(&mut self, hessian: &dyn LinearOperator<T>) -> Result<bool> {
        self.load(hessian, 0.0)?;
        self.shift = 0.0;
        Ok(self.cholesky.refactor(self.matrix.as_ref(), 0.0).is_ok() && self.is_resolved())
    }

    fn load(&mut self, hessian: &dyn LinearOperator<T>, mu: f64) -> Result<()> {
        hessian.dense(self.matrix.as_mut())?;
        for j in 0..self.matrix.nrows() {
            let diagonal = self.matrix[(j, j)].to_f64() + mu;
            if !diagonal.is_finite() {
                return Err(Error::non_finite("the Hessian", (j, j), diagonal));
            }
            self.matrix[(j, j)] = T::of(diagonal);
        }
        Ok(())
    }

    /// Rounding errors of the factorisation are at most about this; pivots below it say nothing.
    fn resolution(&self) -> f64 {
        self.cholesky.dim() as f64 * T::EPSILON
    }

    fn is_resolved(&self) -> bool {
        let info = self.cholesky.info();
        info.shift > 0.0 || info.smallest_pivot > self.resolution()
    }

    /// Number of unknowns.
    pub(super) fn dim(&self) -> usize {
        self.cholesky.dim()
    }

    /// `B <- (hessian + mu I)⁻¹ B`.
    pub(super) fn solve_in_place(&self, b: MatMut<'_, T>) {
        self.cholesky.solve_in_place(b);
    }

    /// `x <- (hessian + mu I)⁻¹ x`.
    pub(super) fn solve_vector_in_place(&self, x: &mut [T]) {
        self.cholesky.solve_vector_in_place(x);
    }

    /// Writes `-(hessian + mu I)⁻¹ g` into `d`; returns the second-order model of the unshifted function along it.
    pub(super) fn direction(&self, g: &[T], d: &mut [T]) -> Model {
        d.copy_from_slice(g);
        self.cholesky.solve_vector_in_place(d);
        vector::scale(-1.0, d);
        let slope = -vector::dot(g, d);
        let mut square = 0.0;
        if self.shift > 0.0 {
            for (d, s) in d.iter().zip(self.cholesky.scale()) {
                square += (d.to_f64() / s.to_f64()).powi(2);
            }
        }
        Model {
            slope,
            curvature: slope - self.shift * square,
        }
    }
}
