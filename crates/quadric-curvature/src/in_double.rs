//! Operators of either precision among vectors of doubles.

use crate::written::zeros;
use faer::{MatMut, MatRef};
use quadric_linalg::{Cost, LinearOperator, Properties, Result, Scalar, check_apply};

/// An operator on doubles, which it rounds to its own precision.
pub(crate) struct InDouble<'a, T: Scalar>(pub(crate) &'a dyn LinearOperator<T>);

impl<T: Scalar> LinearOperator<f64> for InDouble<'_, T> {
    fn shape(&self) -> (usize, usize) {
        self.0.shape()
    }

    fn apply(&self, x: MatRef<'_, f64>, mut y: MatMut<'_, f64>) -> Result<()> {
        check_apply(self.shape(), &x, &y)?;
        let (m, k) = (self.shape().0, x.ncols());
        let (mut rounded, mut image) = (zeros::<T>(x.nrows(), k)?, zeros::<T>(m, k)?);
        for j in 0..k {
            (0..x.nrows()).for_each(|i| rounded[(i, j)] = T::of(x[(i, j)]));
        }
        self.0.apply(rounded.as_ref(), image.as_mut())?;
        for j in 0..k {
            (0..m).for_each(|i| y[(i, j)] = image[(i, j)].to_f64());
        }
        Ok(())
    }

    fn properties(&self) -> Properties {
        self.0.properties()
    }

    fn cost(&self) -> Cost {
        self.0.cost()
    }
}
