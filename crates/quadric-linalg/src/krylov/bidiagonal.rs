//! Golub-Kahan bidiagonalisation of the stacked matrix [A; damp I], the common part of LSQR and LSMR.
//!
//! Golub, Kahan, "Calculating the singular values and pseudo-inverse of a matrix" (1965). Stacking the damping instead of
//! rotating it away makes it act on the solution whatever the starting vector is.

use super::{Rescale, normalise, require_finite};
use crate::operator::{apply_adjoint_vector, apply_vector};
use crate::vector::axpy;
use crate::{LinearOperator, Result, Scalar};

/// [A; damp I] applied to vectors; the lower part is absent when damp is 0.
pub(super) struct Stacked<'a, T> {
    pub(super) a: &'a dyn LinearOperator<T>,
    pub(super) damp: f64,
}

impl<T: Scalar> Stacked<'_, T> {
    /// Lengths of the upper part, the lower part, and the unknown.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        let (m, n) = self.a.shape();
        (m, if self.damp > 0.0 { n } else { 0 }, n)
    }

    fn forward(&self, v: &[T], out: &mut [T]) -> Result<()> {
        let (upper, lower) = out.split_at_mut(self.sizes().0);
        apply_vector(self.a, v, upper)?;
        for (o, v) in lower.iter_mut().zip(v) {
            *o = T::of(self.damp * v.to_f64());
        }
        Ok(())
    }

    fn backward(&self, u: &[T], out: &mut [T]) -> Result<()> {
        let (upper, lower) = u.split_at(self.sizes().0);
        apply_adjoint_vector(self.a, upper, out)?;
        if self.damp > 0.0 {
            axpy(self.damp, lower, out);
        }
        Ok(())
    }
}

/// The current pair of Lanczos vectors, both of norm 1, and the newest coefficients.
#[derive(Debug, Default)]
pub(super) struct Bidiagonal<T> {
    pub(super) u: Vec<T>,
    pub(super) v: Vec<T>,
    product_u: Vec<T>,
    product_v: Vec<T>,
    pub(super) alpha: f64,
    pub(super) beta: f64,
}

impl<T: Scalar> Bidiagonal<T> {
    pub(super) fn prepare(&mut self, system: &Stacked<'_, T>) {
        let (m, lower, n) = system.sizes();
        for (buffer, len) in [
            (&mut self.u, m + lower),
            (&mut self.product_u, m + lower),
            (&mut self.v, n),
            (&mut self.product_v, n),
        ] {
            buffer.clear();
            buffer.resize(len, T::of(0.0));
        }
    }

    /// `u <- [b; 0] - [A; damp I] x` in units of 2^exponent.
    pub(super) fn residual(
        &mut self,
        system: &Stacked<'_, T>,
        b: &[T],
        exponent: i32,
        x: &[T],
    ) -> Result<()> {
        system.forward(x, &mut self.product_u)?;
        let down = Rescale::by(-exponent);
        let rhs = b.iter().map(|v| down.value(v.to_f64()));
        let rhs = rhs.chain(std::iter::repeat(0.0));
        for ((u, p), b) in self.u.iter_mut().zip(&self.product_u).zip(rhs) {
            *u = T::of(b - p.to_f64());
        }
        require_finite("the residual of least squares", self.u.iter().copied())
    }

    /// Starts from the residual in u: normalises it to beta and sets v, alpha. False when there is nothing to iterate on.
    pub(super) fn start(&mut self, system: &Stacked<'_, T>) -> Result<bool> {
        self.beta = normalise(&mut self.u)?;
        if self.beta == 0.0 {
            self.alpha = 0.0;
            return Ok(false);
        }
        system.backward(&self.u, &mut self.v)?;
        self.alpha = normalise(&mut self.v)?;
        Ok(self.alpha > 0.0)
    }

    /// The next beta and u, then the next alpha and v; both may come out as 0, when the space is exhausted.
    pub(super) fn step(&mut self, system: &Stacked<'_, T>) -> Result<()> {
        system.forward(&self.v, &mut self.product_u)?;
        axpy(-self.alpha, &self.u, &mut self.product_u);
        std::mem::swap(&mut self.u, &mut self.product_u);
        self.beta = normalise(&mut self.u)?;
        system.backward(&self.u, &mut self.product_v)?;
        axpy(-self.beta, &self.v, &mut self.product_v);
        std::mem::swap(&mut self.v, &mut self.product_v);
        self.alpha = normalise(&mut self.v)?;
        Ok(())
    }
}
