//! Diagonal (Jacobi) preconditioner.

use crate::{Error, ErrorKind, LinearOperator, Properties, Result, Scalar, check_apply};
use faer::{MatMut, MatRef};

/// P⁻¹ = (diag(A) + shift I)⁻¹.
#[derive(Clone, Debug)]
pub struct Jacobi<T> {
    inverse: Vec<T>,
}

impl<T: Scalar> Jacobi<T> {
    /// From the diagonal of A.
    ///
    /// # Errors
    /// An entry of `diagonal` plus `shift` that is not positive and finite, or whose inverse is not.
    pub fn new(diagonal: &[T], shift: f64) -> Result<Self> {
        let mut inverse = Vec::with_capacity(diagonal.len());
        for (i, d) in diagonal.iter().enumerate() {
            let d = d.to_f64() + shift;
            let inverted = T::of(d.recip());
            if !(d > 0.0 && d.is_finite() && inverted.to_f64().is_finite()) {
                return Err(Error::new(
                    ErrorKind::Numeric,
                    format!(
                        "the diagonal plus shift is {d:e} at entry {i}; a Jacobi preconditioner needs a positive number"
                    ),
                ));
            }
            inverse.push(inverted);
        }
        Ok(Self { inverse })
    }

    /// From a diagonal that was only estimated ([`diagonal`](crate::estimate::diagonal)): entries below `floor` times the largest one count as that much, so that
    /// noise cannot make the preconditioner indefinite.
    ///
    /// # Errors
    /// A `floor` outside (0, 1], and as [`Jacobi::new`].
    pub fn from_estimate(diagonal: &[T], shift: f64, floor: f64) -> Result<Self> {
        if !(floor > 0.0 && floor <= 1.0) {
            return Err(Error::argument("floor", floor, "a number in (0, 1]"));
        }
        let least = floor * diagonal.iter().fold(0.0, |m: f64, d| m.max(d.to_f64()));
        let raised: Vec<T> = diagonal
            .iter()
            .map(|d| if d.to_f64() < least { T::of(least) } else { *d })
            .collect();
        Self::new(&raised, shift)
    }
}

impl<T: Scalar> LinearOperator<T> for Jacobi<T> {
    fn shape(&self) -> (usize, usize) {
        (self.inverse.len(), self.inverse.len())
    }

    fn apply(&self, x: MatRef<'_, T>, mut y: MatMut<'_, T>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        for j in 0..x.ncols() {
            for (i, d) in self.inverse.iter().enumerate() {
                y[(i, j)] = T::of(d.to_f64() * x[(i, j)].to_f64());
            }
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        Properties::PSD
    }
}
