//! How noisy gradients are, and where they point.

use faer::{Mat, MatRef};
use quadric_core::random::SeedTree;
use quadric_core::{Error, LinearOperator, Matrix, Model, Result, Scalar, vector};
use quadric_linalg::estimate::{Estimate, TraceOptions, trace};

/// How noisy the gradient of one random example is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Noise {
    /// The trace of the covariance of the gradients of the examples.
    pub trace: Estimate,
    /// `tr C / |g|²`: about the batch whose mean gradient has as much noise as signal (McCandlish et al., "An empirical model of
    /// large-batch training", arXiv 1812.06162). Infinite at a stationary point.
    pub simple_scale: f64,
    /// `tr HC / gᵀHg`, the same where curvature is taken into account; `None` where `gᵀHg` is not positive. From 32 vectors of
    /// signs, without an interval; exact for up to 200 parameters.
    pub scale: Option<f64>,
    /// Products with single vectors, of the covariance and of the Hessian together.
    pub products: usize,
}

/// Parameters up to which both traces are sums over all of them.
const FEW: usize = 200;
/// Vectors of signs for more.
const SIGNS: usize = 32;

/// The noise of the gradient g of a model at a point, to about five per cent.
///
/// # Errors
/// Those of an evaluation, and a model whose examples depend on each other.
pub fn gradient_noise<T: Scalar>(
    model: &dyn Model<T>,
    x: &[T],
    gradient: &[T],
    seed: u64,
) -> Result<Noise> {
    let seeds = SeedTree::new(seed).child("gradient noise");
    let covariance = model.matrix(x, Matrix::Covariance)?;
    let options = TraceOptions {
        target: if x.len() <= FEW { 0.0 } else { 0.05 },
        max_products: FEW,
        ..TraceOptions::default()
    };
    let report = trace(&*covariance, &options, seeds)?;
    let squared = vector::dot(gradient, gradient);
    let hessian = model.matrix(x, Matrix::Hessian)?;
    let n = x.len();
    let (z, share) = probes::<T>(n, seeds.child("signs"));
    let (mut hz, mut cz) = (Mat::<T>::zeros(n, z.ncols()), Mat::<T>::zeros(n, z.ncols()));
    hessian.apply(z.as_ref(), hz.as_mut())?;
    covariance.apply(z.as_ref(), cz.as_mut())?;
    let forms = (0..z.ncols()).map(|j| {
        let pairs = hz.col(j).iter().zip(cz.col(j).iter());
        pairs.map(|(a, b)| a.to_f64() * b.to_f64()).sum::<f64>()
    });
    let of_product = share * forms.sum::<f64>();
    let mut hg = Mat::<T>::zeros(n, 1);
    let g = MatRef::from_column_major_slice(gradient, n, 1);
    hessian.apply(g, hg.as_mut())?;
    let pairs = gradient.iter().zip(hg.col(0).iter());
    let along: f64 = pairs.map(|(a, b)| a.to_f64() * b.to_f64()).sum();
    Ok(Noise {
        trace: report.total,
        simple_scale: report.total.value / squared,
        scale: (along > 0.0).then(|| of_product / along),
        products: report.products + 2 * z.ncols() + 1,
    })
}

/// Vectors z (n, k), of which zᵀ H C z, summed and times the second number, is tr HC: all unit vectors, or random signs for which
/// that is so in the mean.
fn probes<T: Scalar>(n: usize, seeds: SeedTree) -> (Mat<T>, f64) {
    if n <= FEW {
        return (Mat::identity(n, n), 1.0);
    }
    let mut z = Mat::<T>::zeros(n, SIGNS);
    for j in 0..SIGNS {
        let mut stream = seeds.stream(j as u64);
        (0..n).for_each(|i| z[(i, j)] = T::of(stream.sign()));
    }
    (z, 1.0 / SIGNS as f64)
}

/// The share of a gradient, by its squared length, that lies in the span of orthonormal vectors (d, k); 0 for no gradient.
///
/// # Errors
/// Vectors of another length.
pub fn alignment<T: Scalar>(gradient: &[T], vectors: MatRef<'_, T>) -> Result<f64> {
    let n = gradient.len();
    if vectors.nrows() != n {
        let found = (vectors.nrows(), vectors.ncols());
        return Err(Error::shape("the vectors", found, (n, vectors.ncols())));
    }
    let all = vector::dot(gradient, gradient);
    let inside = vectors.col_iter().map(|v| {
        let pairs = v.iter().zip(gradient);
        pairs
            .map(|(a, b)| a.to_f64() * b.to_f64())
            .sum::<f64>()
            .powi(2)
    });
    let inside: f64 = inside.sum();
    Ok(if all > 0.0 {
        (inside / all).min(1.0)
    } else {
        0.0
    })
}
