//! Diagonal (Jacobi) preconditioner, and a rough diagonal when only products are at hand.

use crate::random::SeedTree;
use crate::{Error, ErrorKind, LinearOperator, Properties, Result, Scalar, check_apply};
use faer::{Mat, MatMut, MatRef};

/// Columns per product while probing.
const BLOCK: usize = 32;

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

    /// From a diagonal that was only estimated: entries below `floor` times the largest one count as that much, so that
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

/// An unbiased estimate of the diagonal of `op` (n, n): the mean of v ∘ A v over `probes` random sign vectors (Bekas,
/// Kokiopoulou, Saad, "An estimator for the diagonal of a matrix", 2007). The variance of entry i is the sum of the squares
/// of the other entries of row i, divided by `probes`. Use it with [`Jacobi::from_estimate`].
///
/// # Errors
/// No probes, an operator that is not square, a `diagonal` not of length n, and those of the operator.
pub fn diagonal_by_sampling<T: Scalar>(
    op: &dyn LinearOperator<T>,
    probes: usize,
    seed: SeedTree,
    diagonal: &mut [T],
) -> Result<()> {
    let n = square(op, diagonal)?;
    if probes == 0 {
        return Err(Error::argument("probes", probes, "at least 1"));
    }
    let mut sign = Mat::<T>::zeros(n, BLOCK.min(probes));
    let mut image = Mat::<T>::zeros(n, BLOCK.min(probes));
    let mut sum = vec![0.0; n];
    for start in (0..probes).step_by(BLOCK) {
        let k = BLOCK.min(probes - start);
        for j in 0..k {
            let mut stream = seed.stream((start + j) as u64);
            (0..n).for_each(|i| sign[(i, j)] = T::of(stream.sign()));
        }
        op.apply(
            sign.as_ref().subcols(0, k),
            image.as_mut().subcols_mut(0, k),
        )?;
        for j in 0..k {
            for i in 0..n {
                sum[i] += sign[(i, j)].to_f64() * image[(i, j)].to_f64();
            }
        }
    }
    for (d, s) in diagonal.iter_mut().zip(sum) {
        *d = T::of(s / probes as f64);
    }
    Ok(())
}

fn square<T: Scalar>(op: &dyn LinearOperator<T>, diagonal: &[T]) -> Result<usize> {
    let n = diagonal.len();
    if op.shape() != (n, n) {
        return Err(Error::shape("the operator", op.shape(), (n, n)));
    }
    Ok(n)
}
