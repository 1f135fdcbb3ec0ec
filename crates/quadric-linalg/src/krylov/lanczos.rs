//! Cheap estimates of the ends of a spectrum; [`crate::spectrum`] finds eigenpairs.

use super::KrylovSpace;
use crate::dense::symmetric_eigen;
use crate::random::SeedTree;
use crate::{Error, LinearOperator, Result, Scalar};
use faer::Mat;

/// Estimates of the smallest and largest eigenvalue of a symmetric operator (n, n) from `steps` products: the extreme Ritz
/// values, moved outwards by their residuals. Within a few per cent after some ten steps unless the ends are clustered.
///
/// # Errors
/// No steps; an operator that is not square or not known to be symmetric, products that are not finite, and whatever the
/// operator reports.
pub fn lanczos_bounds<T: Scalar>(
    op: &dyn LinearOperator<T>,
    steps: usize,
    seed: SeedTree,
) -> Result<(f64, f64)> {
    if steps == 0 {
        return Err(Error::argument("steps", steps, "at least 1"));
    }
    let n = op.shape().0;
    let mut stream = seed.stream(0);
    let start: Vec<T> = (0..n).map(|_| T::of(stream.normal())).collect();
    let mut space = KrylovSpace::new();
    space.start(&start)?;
    while space.dim() < steps && space.extend(op)? {}
    let (diagonal, beside) = (space.diagonal(), space.beside());
    let m = diagonal.len();
    if m == 0 {
        return Ok((0.0, 0.0));
    }
    let eigen = symmetric_eigen(
        Mat::from_fn(m, m, |i, j| match i.abs_diff(j) {
            0 => diagonal[i],
            1 => beside[i.min(j)],
            _ => 0.0,
        })
        .as_ref(),
    )?;
    let beyond = beside.get(m - 1).copied().unwrap_or(0.0);
    let residual = |j: usize| beyond * eigen.vectors[(m - 1, j)].abs();
    Ok((
        eigen.values[0] - residual(0),
        eigen.values[m - 1] + residual(m - 1),
    ))
}
