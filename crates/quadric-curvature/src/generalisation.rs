//! Numbers that curvature and noise at a minimum say about losses on other examples.

use crate::Decomposed;
use crate::written::{doubled, written, zeros};
use faer::Mat;
use quadric_linalg::{Error, LinearOperator, Result, Scalar};

/// What is known about a point from its curvature H and the covariance C of the gradients of its N examples.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Generalisation {
    /// `(1/N) tr H⁺ C`, with the inverses of the positive eigenvalues of H: about by how much the mean loss on other examples is
    /// larger (Takeuchi 1976; Thomas et al., arXiv 1906.07774).
    pub takeuchi: f64,
    /// Its standard error as a mean over these examples, where H is taken for granted. NaN for a single example.
    pub takeuchi_error: f64,
    /// `tr C / tr H`; `None` where `tr H` is not positive.
    pub noise_ratio: Option<f64>,
    /// `tr C`.
    pub noise: f64,
}

/// From a curvature (d, d) and the gradients (d, N) of the examples, as of
/// [`Model::gradients`](quadric_core::Model::gradients), which are written down.
///
/// # Errors
/// Shapes that do not fit, no examples, no memory, numbers that are not finite, and those of the gradients.
pub fn generalisation<T: Scalar>(
    curvature: &dyn Decomposed,
    gradients: &dyn LinearOperator<T>,
) -> Result<Generalisation> {
    let (d, n) = gradients.shape();
    let values = curvature.eigenvalues();
    if values.len() != d {
        return Err(Error::shape("the gradients", (d, n), (values.len(), n)));
    }
    if n == 0 {
        return Err(Error::argument("gradients", "none", "at least one"));
    }
    let mut g = doubled("the gradients", written(gradients)?.as_ref())?;
    centre(&mut g);
    let largest = values.iter().copied().fold(0.0, f64::max);
    let least = d as f64 * f64::EPSILON * largest;
    let inverse = curvature.function(&|v| match v > least {
        true => v.recip(),
        false => 0.0,
    })?;
    let mut solved = zeros(d, n)?;
    inverse.apply(g.as_ref(), solved.as_mut())?;
    let forms: Vec<f64> = (0..n)
        .map(|j| g.col(j).transpose() * solved.col(j) / n as f64)
        .collect();
    let takeuchi = forms.iter().sum::<f64>() / n as f64;
    let squares: f64 = forms.iter().map(|f| (f - takeuchi).powi(2)).sum();
    let noise = g.squared_norm_l2() / n as f64;
    let trace: f64 = values.iter().sum();
    Ok(Generalisation {
        takeuchi,
        takeuchi_error: (squares / (n as f64 * (n as f64 - 1.0))).sqrt(),
        noise_ratio: (trace > 0.0).then(|| noise / trace),
        noise,
    })
}

/// `tr M (M + damping I)⁻¹`: the directions with curvature above the damping, counted softly.
///
/// # Errors
/// A damping that is not positive and finite, or one that leaves the matrix singular.
pub fn effective_dimension(matrix: &dyn Decomposed, damping: f64) -> Result<f64> {
    crate::factored::check_damping(damping)?;
    let values = matrix.eigenvalues();
    let parts = crate::decomposed::mapped(&values, &|v| v / (v + damping))?;
    Ok(parts.iter().sum())
}

/// Subtracts the mean of the columns.
fn centre(g: &mut Mat<f64>) {
    let n = g.ncols();
    for i in 0..g.nrows() {
        let mean = (0..n).map(|j| g[(i, j)]).sum::<f64>() / n as f64;
        (0..n).for_each(|j| g[(i, j)] -= mean);
    }
}
