//! How the loss of one example depends on another having been learned (Koh, Liang, arXiv 1703.04730; with Kronecker factors Grosse
//! et al., arXiv 2308.03296).

use crate::Decomposed;
use crate::written::{doubled, written, zeros};
use faer::{Mat, MatRef};
use quadric_linalg::{Error, ErrorKind, LinearOperator, Result, Scalar};

/// The scores `-g_qᵀ (H + δ)⁻¹ g_n` (queries, examples): how fast the loss of a query grows with the weight of an example, if the
/// point remains that of the least mean loss. Without example n of N, it changes by about -1/N times that. The gradients are those
/// of [`Model::gradients`](quadric_core::Model::gradients), (d, queries) and (d, examples); only the former are written down.
///
/// # Errors
/// Shapes that do not fit, an inverse not known to be symmetric, no memory, scores that are not finite, and those of the operators.
pub fn influence<T: Scalar>(
    inverse: &dyn LinearOperator<T>,
    queries: &dyn LinearOperator<T>,
    examples: &dyn LinearOperator<T>,
) -> Result<Mat<f64>> {
    let d = order(inverse)?;
    for (what, (rows, columns)) in [
        ("the gradients of the queries", queries.shape()),
        ("the gradients of the examples", examples.shape()),
    ] {
        if rows != d {
            return Err(Error::shape(what, (rows, columns), (d, columns)));
        }
    }
    let solved = solved(inverse, written(queries)?.as_ref())?;
    let mut scores = zeros(examples.shape().1, solved.ncols())?;
    examples.apply_adjoint(solved.as_ref(), scores.as_mut())?;
    let scores = doubled("the scores", scores.as_ref())?;
    Ok(Mat::from_fn(scores.ncols(), scores.nrows(), |q, n| {
        -scores[(n, q)]
    }))
}

/// `g_nᵀ (H + δ)⁻¹ g_n` of each example: how fast its own loss falls with its weight. The gradients (d, examples) are written down.
///
/// # Errors
/// As [`influence`].
pub fn self_influence<T: Scalar>(
    inverse: &dyn LinearOperator<T>,
    examples: &dyn LinearOperator<T>,
) -> Result<Vec<f64>> {
    let (d, n) = (order(inverse)?, examples.shape().1);
    if examples.shape().0 != d {
        let what = "the gradients of the examples";
        return Err(Error::shape(what, examples.shape(), (d, n)));
    }
    let g = written(examples)?;
    let solved = solved(inverse, g.as_ref())?;
    let scores = (0..n).map(|j| {
        let pairs = g.col(j).iter().zip(solved.col(j).iter());
        let score: f64 = pairs.map(|(a, b)| a.to_f64() * b.to_f64()).sum();
        match score.is_finite() {
            true => Ok(score),
            false => Err(Error::non_finite("the scores", j, score)),
        }
    });
    scores.collect()
}

/// A share of the mean eigenvalue of a matrix, a damping for influence in proportion to its curvature; 0.1 is usual.
///
/// # Errors
/// A share that is not positive and finite, or a matrix whose mean eigenvalue is not.
pub fn mean_damping(matrix: &dyn Decomposed, share: f64) -> Result<f64> {
    if !(share > 0.0 && share.is_finite()) {
        return Err(Error::argument("share", share, "a positive number"));
    }
    let values = matrix.eigenvalues();
    let damping = share * values.iter().sum::<f64>() / values.len().max(1) as f64;
    match damping > 0.0 && damping.is_finite() {
        true => Ok(damping),
        false => {
            let text =
                format!("the mean eigenvalue times {share} is {damping}, which is no damping");
            Err(Error::new(ErrorKind::Numeric, text))
        }
    }
}

fn order<T: Scalar>(inverse: &dyn LinearOperator<T>) -> Result<usize> {
    crate::written::symmetric_order(inverse).map_err(|e| e.context("the inverse"))
}

/// Columns at a time.
const BLOCK: usize = 32;

fn solved<T: Scalar>(inverse: &dyn LinearOperator<T>, b: MatRef<'_, T>) -> Result<Mat<T>> {
    let mut out = zeros(b.nrows(), b.ncols())?;
    for start in (0..b.ncols()).step_by(BLOCK) {
        let k = BLOCK.min(b.ncols() - start);
        inverse.apply(b.subcols(start, k), out.as_mut().subcols_mut(start, k))?;
    }
    Ok(out)
}
