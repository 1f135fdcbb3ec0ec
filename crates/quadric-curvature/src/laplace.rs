//! Laplace's approximation of the posterior: a normal distribution around a minimiser (MacKay, "A practical Bayesian framework for
//! backpropagation networks", 1992; Ritter et al., 2018; Daxberger et al., arXiv 2106.14806).

use crate::evidence::check_precision;
use crate::written::zeros;
use crate::{Decomposed, Evidence, Likelihood};
use faer::Mat;
use quadric_linalg::random::Stream;
use quadric_linalg::{BoxOp, Error, ErrorKind, LinearOperator, Result, Scalar, vector::all_finite};
use std::f64::consts::PI;
use std::ops::Range;

/// The posterior `N(θ, (H + δ I)⁻¹)` for the curvature H of minus the logarithm of the likelihood and the precision δ of the
/// prior. The form of the matrix is that of the approximation: full, by layers, by units, Kronecker factors, diagonal, low rank.
pub struct Laplace<'a> {
    matrix: &'a dyn Decomposed,
    point: Vec<f64>,
    /// The parameters that are random.
    range: Range<usize>,
    likelihood: Likelihood,
    evidence: Evidence,
}

/// Columns of a Jacobian at a time.
const BLOCK: usize = 32;

impl<'a> Laplace<'a> {
    /// At a point (d), for the curvature (d, d) of the mean loss F without prior.
    ///
    /// # Errors
    /// As [`Evidence::new`].
    pub fn new<T: Scalar>(
        matrix: &'a dyn Decomposed,
        point: &[T],
        likelihood: Likelihood,
    ) -> Result<Self> {
        Self::within(matrix, point, 0..point.len(), likelihood)
    }

    /// Where only the parameters of a range are random, such as those of the last layer; `matrix` is their block of the curvature,
    /// for instance of a [`DiagonalBlock`](crate::DiagonalBlock). The prior is on them alone.
    ///
    /// # Errors
    /// A range beyond the point, and as [`Evidence::new`].
    pub fn within<T: Scalar>(
        matrix: &'a dyn Decomposed,
        point: &[T],
        range: Range<usize>,
        likelihood: Likelihood,
    ) -> Result<Self> {
        if range.end > point.len() || range.is_empty() {
            let expected = format!("parameters within 0..{}", point.len());
            return Err(Error::argument("range", format!("{range:?}"), &expected));
        }
        if !all_finite(point) {
            return Err(Error::new(ErrorKind::NonFinite, "the point is not finite"));
        }
        let evidence = Evidence::new(matrix, &point[range.clone()], likelihood)?;
        Ok(Self {
            matrix,
            point: point.iter().map(|v| v.to_f64()).collect(),
            range,
            likelihood,
            evidence,
        })
    }

    /// The evidence.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The covariance (q, q) of the q random parameters.
    ///
    /// # Errors
    /// A precision of the prior that is not positive and finite.
    pub fn covariance(&self, precision: f64) -> Result<BoxOp<'static, f64>> {
        let variance = self.variance(precision)?;
        self.matrix.function(&variance)
    }

    /// Parameters (d) drawn from the posterior.
    ///
    /// # Errors
    /// A precision of the prior that is not positive and finite.
    pub fn sample(&self, precision: f64, stream: &mut Stream) -> Result<Vec<f64>> {
        let variance = self.variance(precision)?;
        let moved = self.matrix.sample(&variance, stream)?;
        let mut all = self.point.clone();
        let random = all[self.range.clone()].iter_mut();
        random.zip(moved).for_each(|(v, m)| *v += m);
        Ok(all)
    }

    /// The variance along an eigenvector.
    fn variance(&self, precision: f64) -> Result<impl Fn(f64) -> f64 + use<>> {
        check_precision(precision)?;
        let strength = self.likelihood.strength();
        Ok(move |v: f64| (strength * v.max(0.0) + precision).recip())
    }

    /// The covariances `J Σ Jᵀ` (outputs, outputs) of the outputs of each example, where these are linear in the parameters, from
    /// the Jacobian J (examples · outputs, d) of [`Model::jacobian`](quadric_core::Model::jacobian). A product with Jᵀ for each row
    /// of J, so best asked for few examples at a time. Noise of the targets is not in it.
    ///
    /// # Errors
    /// A precision of the prior that is not positive and finite, a Jacobian that does not fit, entries that are not finite, and
    /// those of the Jacobian.
    pub fn output_covariances<T: Scalar>(
        &self,
        precision: f64,
        jacobian: &dyn LinearOperator<T>,
        outputs: usize,
    ) -> Result<Vec<Mat<f64>>> {
        let (m, d) = jacobian.shape();
        if d != self.point.len() {
            return Err(Error::shape("the Jacobian", (m, d), (m, self.point.len())));
        }
        if outputs == 0 || !m.is_multiple_of(outputs) {
            let expected = format!("a divisor of the {m} rows of the Jacobian");
            return Err(Error::argument("outputs", outputs, &expected));
        }
        let covariance = self.covariance(precision)?;
        let mut all = Vec::with_capacity(m / outputs);
        // Whole examples at a time.
        let step = outputs * (BLOCK / outputs).max(1);
        for start in (0..m).step_by(step) {
            let k = step.min(m - start);
            let rows = self.rows(jacobian, start, k)?;
            let mut spread = zeros(rows.nrows(), k)?;
            covariance.apply(rows.as_ref(), spread.as_mut())?;
            for first in (0..k).step_by(outputs) {
                let [j, s] = [&rows, &spread].map(|m| m.subcols(first, outputs));
                let of_one = j.transpose() * s;
                all.push(Mat::from_fn(outputs, outputs, |a, b| {
                    0.5 * (of_one[(a, b)] + of_one[(b, a)])
                }));
            }
        }
        Ok(all)
    }

    /// Some rows of a Jacobian, by the random parameters, as columns (q, rows).
    fn rows<T: Scalar>(
        &self,
        jacobian: &dyn LinearOperator<T>,
        start: usize,
        rows: usize,
    ) -> Result<Mat<f64>> {
        let (m, d) = jacobian.shape();
        let (mut units, mut columns) = (zeros::<T>(m, rows)?, zeros::<T>(d, rows)?);
        (0..rows).for_each(|j| units[(start + j, j)] = T::of(1.0));
        jacobian.apply_adjoint(units.as_ref(), columns.as_mut())?;
        let own = columns.subrows(self.range.start, self.range.len());
        crate::written::doubled("the Jacobian", own)
    }
}

/// The probabilities of classes whose logits are normal with means and variances: softmax of `m / √(1 + π v / 8)` (Spiegelhalter,
/// Lauritzen 1990; MacKay 1992; class by class, without their covariances).
///
/// # Errors
/// No classes, as many variances as there are not means, numbers that are not finite, or a negative variance.
pub fn probit_softmax(means: &[f64], variances: &[f64]) -> Result<Vec<f64>> {
    if means.is_empty() || variances.len() != means.len() {
        return Err(Error::shape(
            "the variances",
            variances.len(),
            means.len().max(1),
        ));
    }
    let pairs = means.iter().zip(variances);
    let scaled: Vec<f64> = pairs
        .map(|(m, v)| adjusted(*m, *v))
        .collect::<Result<_>>()?;
    let largest = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scaled.iter().map(|s| (s - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    Ok(powers.into_iter().map(|p| p / sum).collect())
}

/// The probability of an event whose logit is normal: the logistic function of `m / √(1 + π v / 8)`.
///
/// # Errors
/// Numbers that are not finite, or a negative variance.
pub fn probit_sigmoid(mean: f64, variance: f64) -> Result<f64> {
    let t = adjusted(mean, variance)?;
    Ok(match t >= 0.0 {
        true => 1.0 / (1.0 + (-t).exp()),
        false => t.exp() / (1.0 + t.exp()),
    })
}

fn adjusted(mean: f64, variance: f64) -> Result<f64> {
    if !mean.is_finite() {
        return Err(Error::non_finite("the mean", 0, mean));
    }
    if !(variance >= 0.0 && variance.is_finite()) {
        return Err(Error::argument(
            "variance",
            variance,
            "a number of at least 0",
        ));
    }
    Ok(mean / (1.0 + PI * variance / 8.0).sqrt())
}
