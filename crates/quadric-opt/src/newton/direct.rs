//! Newton systems by a Cholesky factorisation of the Hessian, scaled to unit diagonal.
//!
//! The scaling makes the factorisation blind to the units of the unknowns (van der Sluis, "Condition numbers and
//! equilibration of matrices", 1969). A Hessian that is singular to working precision gets a small multiple of the scaled
//! identity, which selects a solution of bounded size.

use super::damping::Model;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::{Mat, MatMut, Par, prelude::ReborrowMut};
use quadric_core::{Error, ErrorKind, LinearOperator, Result, Scalar};

/// The factorised, scaled and possibly shifted Hessian.
pub(super) struct Factor<T: Scalar> {
    /// Above the diagonal the scaled Hessian, on and below it the Cholesky factor.
    matrix: Mat<T>,
    scale: Vec<f64>,
    /// Multiple of the identity that was added to the scaled matrix.
    pub shift: f64,
    y: Vec<T>,
    stack: MemBuffer,
}

impl<T: Scalar> Factor<T> {
    pub(super) fn new(dim: usize) -> Self {
        let scratch =
            llt::factor::cholesky_in_place_scratch::<T>(dim, Par::Seq, Default::default());
        Self {
            matrix: Mat::zeros(dim, dim),
            scale: vec![1.0; dim],
            shift: 0.0,
            y: vec![T::of(0.0); dim],
            stack: MemBuffer::new(scratch),
        }
    }

    /// Bytes for `dim` unknowns.
    pub(super) fn memory(dim: usize) -> usize {
        dim * dim * size_of::<T>() + dim * (8 + 2 * size_of::<T>())
    }

    /// Factorises `hessian + mu I`.
    ///
    /// # Errors
    /// Those of the operator, and a Hessian that is not finite or far from positive semidefinite.
    pub(super) fn update(&mut self, hessian: &dyn LinearOperator<T>, mu: f64) -> Result<()> {
        hessian.dense(self.matrix.as_mut())?;
        self.equilibrate(mu)?;
        let dim = self.scale.len() as f64;
        // Rounding errors of the factorisation are at most about dim eps; pivots below that say nothing.
        let resolution = dim * T::EPSILON;
        self.shift = 0.0;
        loop {
            self.reset();
            if self.factorise() && self.smallest_pivot() > resolution {
                return Ok(());
            }
            if self.shift > 1e-2 {
                return Err(Error::new(
                    ErrorKind::Numeric,
                    "the Hessian is not positive semidefinite, as a convex function's must be",
                ));
            }
            self.shift = (100.0 * self.shift).max(4.0 * resolution);
        }
    }

    /// Scales `matrix + mu I` to unit diagonal; a row without curvature keeps a unit diagonal entry of its own.
    fn equilibrate(&mut self, mu: f64) -> Result<()> {
        let dim = self.scale.len();
        for j in 0..dim {
            let diagonal = self.matrix[(j, j)].to_f64() + mu;
            if !diagonal.is_finite() {
                return Err(Error::non_finite("the Hessian", (j, j), diagonal));
            }
            self.scale[j] = if diagonal > 0.0 {
                diagonal.sqrt().recip()
            } else {
                1.0
            };
            if !self.scale[j].is_finite() {
                self.scale[j] = 1.0;
            }
        }
        for j in 0..dim {
            for i in 0..j {
                let scaled = self.matrix[(i, j)].to_f64() * self.scale[i] * self.scale[j];
                self.matrix[(i, j)] = T::of(scaled);
            }
        }
        Ok(())
    }

    /// Copies the scaled matrix from above the diagonal to below it.
    fn reset(&mut self) {
        let dim = self.scale.len();
        for j in 0..dim {
            self.matrix[(j, j)] = T::of(1.0 + self.shift);
            for i in j + 1..dim {
                self.matrix[(i, j)] = self.matrix[(j, i)];
            }
        }
    }

    fn factorise(&mut self) -> bool {
        llt::factor::cholesky_in_place(
            self.matrix.as_mut(),
            Default::default(),
            Par::Seq,
            MemStack::new(&mut self.stack),
            Default::default(),
        )
        .is_ok()
    }

    fn smallest_pivot(&self) -> f64 {
        (0..self.scale.len()).fold(f64::INFINITY, |least, j| {
            let l = self.matrix[(j, j)].to_f64();
            if l.is_nan() {
                f64::NEG_INFINITY
            } else {
                least.min(l * l)
            }
        })
    }

    /// Writes `-(hessian + mu I)⁻¹ g` into `d`; returns the second-order model of the unshifted function along it.
    pub(super) fn direction(&mut self, g: &[T], d: &mut [T]) -> Model {
        for ((y, g), s) in self.y.iter_mut().zip(g).zip(&self.scale) {
            *y = T::of(g.to_f64() * s);
        }
        let dim = self.y.len();
        let mut y = MatMut::from_column_major_slice_mut(&mut self.y, dim, 1);
        llt::solve::solve_in_place(
            self.matrix.as_ref(),
            y.rb_mut(),
            Par::Seq,
            MemStack::new(&mut self.stack),
        );
        let (mut slope, mut square) = (0.0, 0.0);
        for (((d, y), g), s) in d.iter_mut().zip(&self.y).zip(g).zip(&self.scale) {
            let y = y.to_f64();
            *d = T::of(-y * s);
            slope -= g.to_f64() * d.to_f64();
            square += y * y;
        }
        Model {
            slope,
            curvature: slope - self.shift * square,
        }
    }
}
