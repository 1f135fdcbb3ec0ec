//! The evidence of a model by Laplace's method, and the prior that makes it largest (MacKay, "Bayesian interpolation", 1992;
//! Immer et al., arXiv 2104.04975).
//!
//! With likelihood p(D|θ), the prior N(0, I/δ) of P parameters, and the curvature H of `-log p(D|θ)` at the point θ:
//! `log p(D|θ) - δ/2 |θ|² + P/2 log δ - ½ log det (H + δ I)`. As a function of log δ it is concave if H has no negative
//! eigenvalues.

use crate::Decomposed;
use quadric_core::vector;
use quadric_linalg::estimate::{Density, Estimate};
use quadric_linalg::{Error, ErrorKind, Result, Scalar};

/// What the examples say at a point.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Likelihood {
    log_density: f64,
    strength: f64,
}

impl Likelihood {
    /// From the mean F of losses that are minus logarithms of probabilities, as cross-entropy without smoothing or Bernoulli
    /// losses are, and the sum of the weights of the examples, by which F divides.
    ///
    /// # Errors
    /// A loss that is not finite, or a weight that is not positive and finite.
    pub fn of_loss(loss: f64, weight: f64) -> Result<Self> {
        if !loss.is_finite() {
            return Err(Error::non_finite("the loss", 0, loss));
        }
        check_positive("weight", weight)?;
        Ok(Self {
            log_density: -weight * loss,
            strength: weight,
        })
    }

    /// From the mean F of squared losses `½ |f - y|²`, for normal noise of a variance in each of the targets, all examples together.
    ///
    /// # Errors
    /// As [`of_loss`](Self::of_loss), and a variance that is not positive and finite.
    pub fn gaussian(loss: f64, weight: f64, targets: usize, variance: f64) -> Result<Self> {
        check_positive("variance", variance)?;
        let plain = Self::of_loss(loss, weight)?;
        let each = 0.5 * (std::f64::consts::TAU * variance).ln();
        Ok(Self {
            log_density: plain.log_density / variance - targets as f64 * each,
            strength: weight / variance,
        })
    }

    /// `log p(D|θ)`.
    pub fn log_density(&self) -> f64 {
        self.log_density
    }

    /// By what a mean over examples, such as the [matrices](quadric_core::Matrix) of a model, is multiplied to be that of
    /// `-log p(D|θ)`.
    pub fn strength(&self) -> f64 {
        self.strength
    }
}

fn check_positive(name: &str, value: f64) -> Result<()> {
    match value > 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(Error::argument(name, value, "a positive number")),
    }
}

/// Refuses a precision that is no number above 0.
pub(crate) fn check_precision(precision: f64) -> Result<()> {
    check_positive("precision", precision)
}

/// Laplace's approximation of the evidence, for any precision δ of the prior.
///
/// ```
/// use quadric_curvature::{Evidence, Likelihood};
/// use quadric_linalg::algebra::Diagonal;
///
/// // One target y = 2 with unit noise, of mean θ, at the θ that is best for δ = 1: the evidence is N(y; 0, 1 + 1/δ).
/// let likelihood = Likelihood::gaussian(0.5, 1.0, 1, 1.0)?;
/// let evidence = Evidence::new(&Diagonal(vec![1.0]), &[1.0], likelihood)?;
/// let exact = -1.0 - 0.5 * (4.0 * std::f64::consts::PI).ln();
/// assert!((evidence.value(1.0)? - exact).abs() < 1e-14);
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Eigenvalues of the mean over examples, none negative, and how many there are of each.
    spectrum: Vec<(f64, f64)>,
    likelihood: Likelihood,
    parameters: f64,
    squared_norm: f64,
}

/// The logarithm of the smallest precision that is looked for.
const SMALLEST: f64 = -700.0;

impl Evidence {
    /// At a point (d), for the curvature (d, d) of the mean loss F without prior, such as its Gauss-Newton matrix.
    ///
    /// # Errors
    /// A point of another length or not finite, and a negative eigenvalue that rounding does not explain.
    pub fn new<T: Scalar>(
        matrix: &dyn Decomposed,
        point: &[T],
        likelihood: Likelihood,
    ) -> Result<Self> {
        let values = matrix.eigenvalues();
        let spectrum = values.into_iter().map(|v| (v, 1.0)).collect();
        Self::of_spectrum(spectrum, point, likelihood)
    }

    /// From an estimate of the spectral density of the curvature.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_density<T: Scalar>(
        density: &Density,
        point: &[T],
        likelihood: Likelihood,
    ) -> Result<Self> {
        if density.n != point.len() {
            return Err(Error::shape("the point", point.len(), density.n));
        }
        let atoms = density.atoms().into_iter();
        let spectrum = atoms.map(|(v, share)| (v, share * density.n as f64));
        Self::of_spectrum(spectrum.collect(), point, likelihood)
    }

    fn of_spectrum<T: Scalar>(
        mut spectrum: Vec<(f64, f64)>,
        point: &[T],
        likelihood: Likelihood,
    ) -> Result<Self> {
        let count: f64 = spectrum.iter().map(|(_, count)| count).sum();
        let parameters = point.len() as f64;
        if (count - parameters).abs() > 1e-6 * parameters {
            return Err(Error::shape("the point", point.len(), count.round()));
        }
        let largest = spectrum.iter().map(|(v, _)| v.abs()).fold(0.0, f64::max);
        // Half the digits of the products are enough for eigenvalues to be told from 0.
        let rounding = T::EPSILON.sqrt() * largest;
        for (value, _) in &mut spectrum {
            if !value.is_finite() {
                return Err(Error::non_finite("the eigenvalues", 0, *value));
            }
            if *value < -rounding {
                let text = format!("the curvature has the negative eigenvalue {value:e}");
                let hint = "the Gauss-Newton matrix has none";
                return Err(Error::new(ErrorKind::Numeric, text).with_hint(hint));
            }
            *value = value.max(0.0);
        }
        let squared_norm = vector::dot(point, point);
        if !squared_norm.is_finite() {
            return Err(Error::non_finite("the norm of the point", 0, squared_norm));
        }
        Ok(Self {
            spectrum,
            likelihood,
            parameters,
            squared_norm,
        })
    }

    fn sum(&self, f: impl Fn(f64) -> f64) -> f64 {
        let strength = self.likelihood.strength;
        let terms = self.spectrum.iter();
        terms.map(|(v, count)| count * f(strength * v)).sum()
    }

    /// The logarithm of the evidence.
    ///
    /// # Errors
    /// A precision that is not positive and finite.
    pub fn value(&self, precision: f64) -> Result<f64> {
        check_precision(precision)?;
        let shrunk = self.sum(|h| (h / precision).ln_1p());
        Ok(self.likelihood.log_density - 0.5 * (precision * self.squared_norm + shrunk))
    }

    /// The same by the density that it was made of, with the interval of the logarithm of the determinant.
    ///
    /// # Errors
    /// As [`value`](Self::value), and those of [`Density::log_det`].
    pub fn estimate(&self, density: &Density, precision: f64) -> Result<Estimate> {
        check_precision(precision)?;
        let shift = precision / self.likelihood.strength;
        let log_det = density.log_det(shift)?.total;
        let at = |log_det: f64| {
            let shrunk = log_det - self.parameters * shift.ln();
            self.likelihood.log_density - 0.5 * (precision * self.squared_norm + shrunk)
        };
        Ok(Estimate {
            value: at(log_det.value),
            low: at(log_det.high),
            high: at(log_det.low),
            level: log_det.level,
        })
    }

    /// `tr H (H + δ I)⁻¹`: how many parameters the examples determine, and not the prior.
    ///
    /// # Errors
    /// A precision that is not positive and finite.
    pub fn effective_parameters(&self, precision: f64) -> Result<f64> {
        check_precision(precision)?;
        Ok(self.sum(|h| h / (h + precision)))
    }

    /// The precision of the largest evidence, where `δ |θ|² = tr H (H + δ I)⁻¹`: by Newton's method in log δ, to rounding. The
    /// point stays; it may be worth to fit it again with this precision, `δ / strength` as the factor of `|θ|²/2` beside F, and to
    /// repeat.
    ///
    /// # Errors
    /// A point or a curvature of 0, for which the evidence has no maximum.
    pub fn best_precision(&self) -> Result<f64> {
        if self.squared_norm == 0.0 || self.spectrum.iter().all(|(v, _)| *v == 0.0) {
            let text = "the evidence has no maximum where the point or the curvature is 0";
            return Err(Error::new(ErrorKind::Numeric, text));
        }
        let share = |h: f64, delta: f64| match h > 0.0 {
            true => h / (h + delta),
            false => 0.0,
        };
        // Twice the derivative by log δ, and its own; the former falls.
        let slope = |t: f64| {
            let delta = t.exp();
            self.sum(|h| share(h, delta)) - delta * self.squared_norm
        };
        let bend = |t: f64| {
            let delta = t.exp();
            let shared = self.sum(|h| share(h, delta) * (delta / (h + delta)));
            -shared - delta * self.squared_norm
        };
        // No more than all parameters are determined.
        let mut high = (self.parameters / self.squared_norm).ln();
        let mut low = (high - 1.0).clamp(SMALLEST, -SMALLEST);
        while slope(low) < 0.0 {
            if low <= SMALLEST {
                let text =
                    "the precision of the largest evidence is too small for double precision";
                return Err(Error::new(ErrorKind::Numeric, text));
            }
            high = low;
            low = (low - 2.0 * (1.0 + low.abs())).max(SMALLEST);
        }
        let mut t = 0.5 * (low + high);
        for _ in 0..200 {
            let s = slope(t);
            match s > 0.0 {
                true => low = t,
                false => high = t,
            }
            let newton = t - s / bend(t);
            let next = match newton > low && newton < high {
                true => newton,
                false => 0.5 * (low + high),
            };
            let step = (next - t).abs();
            t = next;
            if step <= 1e-15 * (1.0 + t.abs()) {
                break;
            }
        }
        Ok(t.exp())
    }
}
