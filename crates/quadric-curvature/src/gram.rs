//! The small side of a matrix of gradients.

use crate::written::{doubled, written};
use faer::Mat;
use quadric_linalg::dense::product;
use quadric_linalg::{Error, LinearOperator, Result, Scalar};

/// `(1/N) Gᵀ G` (N, N) for the gradients G (d, N) of N examples, as of [`Model::gradients`](quadric_core::Model::gradients): its
/// eigenvalues other than 0 are those of the empirical Fisher matrix `(1/N) G Gᵀ` where every example counts. G is written down.
///
/// # Errors
/// No examples, no memory, gradients that are not finite, and those of the operator.
pub fn gram<T: Scalar>(gradients: &dyn LinearOperator<T>) -> Result<Mat<f64>> {
    let n = gradients.shape().1;
    if n == 0 {
        return Err(Error::argument("gradients", "none", "at least one"));
    }
    let g = doubled("the gradients", written(gradients)?.as_ref())?;
    let mut out = crate::written::zeros(n, n)?;
    product(g.transpose(), g.as_ref(), out.as_mut());
    // Both triangles are the same bits.
    Ok(Mat::from_fn(n, n, |i, j| {
        out[(i.max(j), i.min(j))] / n as f64
    }))
}
