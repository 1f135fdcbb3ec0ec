//! A function of the operator times a vector.
//!
//! Saad, "Analysis of some Krylov subspace approximations to the matrix exponential operator" (1992): f(H)b ≈ ‖b‖ V f(T) e_1 in
//! the Krylov space of b, exact for polynomials of lower degree than its dimension. The iteration ends when the result no
//! longer moves.

use super::check;
use crate::dense::symmetric_eigen;
use crate::krylov::KrylovSpace;
use crate::{Error, LinearOperator, Result, Scalar};
use faer::Mat;

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FunctionOptions {
    /// Largest dimension of the Krylov space; as many vectors are kept.
    pub max_steps: usize,
    /// Stop when the last look, some steps ago, gave the same but for this part of the norm of the result.
    pub tolerance: f64,
}

impl Default for FunctionOptions {
    /// A change of 1e-8, within 200 steps.
    fn default() -> Self {
        Self {
            max_steps: 200,
            tolerance: 1e-8,
        }
    }
}

/// How the iteration ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FunctionReport {
    /// Products with one vector.
    pub products: usize,
    /// The norm of the change since the last look, relative to that of the result; 0 where the Krylov space is invariant.
    pub change: f64,
    /// The change is within the tolerance.
    pub converged: bool,
}

/// `out <- f(H) b` with a symmetric operator (n, n), and `b` and `out` of length n.
///
/// # Errors
/// An operator that is not square, not known to be symmetric or random, vectors of another length or not finite, no steps, a
/// tolerance that is negative, a Ritz value at which the function is not finite, and those of the operator.
pub fn apply_function<T: Scalar>(
    op: &dyn LinearOperator<T>,
    f: impl Fn(f64) -> f64,
    b: &[T],
    out: &mut [T],
    options: &FunctionOptions,
) -> Result<FunctionReport> {
    let n = check(op)?;
    if b.len() != n || out.len() != n {
        return Err(Error::shape("the vectors", (b.len(), out.len()), (n, n)));
    }
    if options.max_steps == 0 || options.tolerance.is_nan() || options.tolerance < 0.0 {
        return Err(Error::argument(
            "max_steps/tolerance",
            format!("{}/{}", options.max_steps, options.tolerance),
            "at least 1 step and a tolerance of at least 0",
        ));
    }
    let mut space = KrylovSpace::new();
    let length = space.start(b)?;
    let (mut last, mut look): (Vec<f64>, usize) = (Vec::new(), 4);
    if length == 0.0 {
        out.fill(T::of(0.0));
        return Ok(FunctionReport {
            products: 0,
            change: 0.0,
            converged: true,
        });
    }
    loop {
        let more = space.extend(op)?;
        let ended = !more || space.is_invariant();
        let spent = space.dim() >= options.max_steps;
        if !ended && !spent && space.dim() < look {
            continue;
        }
        let y = coordinates(&space, &f, length)?;
        let size = crate::vector::norm2(&y);
        let old = last.iter().copied().chain(std::iter::repeat(0.0));
        let moved: Vec<f64> = y.iter().zip(old).map(|(a, b)| a - b).collect();
        let moved = crate::vector::norm2(&moved);
        let change = if ended || moved == 0.0 {
            0.0
        } else {
            moved / size
        };
        let converged = change <= options.tolerance;
        if converged || spent {
            space.vector(&y, out);
            return Ok(FunctionReport {
                products: space.dim(),
                change,
                converged,
            });
        }
        last = y;
        look = space.dim() + (space.dim() / 4).max(2);
    }
}

/// ‖b‖ f(T) e_1.
fn coordinates<T: Scalar>(
    space: &KrylovSpace<T>,
    f: &impl Fn(f64) -> f64,
    length: f64,
) -> Result<Vec<f64>> {
    let m = space.dim();
    let (diagonal, beside) = (space.diagonal(), space.beside());
    let t = Mat::from_fn(m, m, |i, j| match i.abs_diff(j) {
        0 => diagonal[i],
        1 => beside[i.min(j)],
        _ => 0.0,
    });
    let eigen = symmetric_eigen(t.as_ref())?;
    let mut y = vec![0.0; m];
    for (k, theta) in eigen.values.iter().enumerate() {
        let value = f(*theta);
        if !value.is_finite() {
            return Err(Error::non_finite("the function of a Ritz value", k, value));
        }
        let weight = length * value * eigen.vectors[(0, k)];
        (0..m).for_each(|i| y[i] += weight * eigen.vectors[(i, k)]);
    }
    Ok(y)
}
