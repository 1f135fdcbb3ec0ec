//! Spectral densities as curves, for pictures: the atoms and the distribution function are what was computed.

use super::{Density, Estimate};
use crate::{Error, ErrorKind, Result};

/// How atoms become a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kernel {
    /// A normal density around each atom. Its standard deviation is by default r/((m - 1)√(8 ln 3)) after m steps, with r the
    /// distance of the outermost nodes and five per cent of that on both sides (Papyan, "Traces of class/cross-class structure
    /// pervade deep learning spectra", arXiv 2008.11865, with κ = 3).
    Gaussian {
        /// The standard deviation, in units of eigenvalues.
        sigma: Option<f64>,
    },
    /// The series in Chebyshev polynomials on the same range, with the damping of Jackson (Weisse, Wellein, Alvermann, Fehske,
    /// "The kernel polynomial method", 2006).
    Jackson {
        /// Its degree; by default the number of steps. Up to twice that, less 1, the quadrature of its moments has no error.
        degree: Option<usize>,
    },
}

impl Density {
    /// Evenly spaced places from five per cent of the range below the smallest node to as much above the largest.
    ///
    /// # Errors
    /// Fewer than two points, or an operator of order 0.
    pub fn grid(&self, points: usize) -> Result<Vec<f64>> {
        if points < 2 {
            return Err(Error::argument("points", points, "at least 2"));
        }
        let (low, high) = self.padded()?;
        Ok(line(low, high, points))
    }

    /// The density at the places of `grid`, in parts of the spectrum per unit of eigenvalue.
    ///
    /// # Errors
    /// Places that are not finite; a width that is not positive or a degree of 0; an operator of order 0; without a width, a spectrum that is one point.
    pub fn pdf(&self, grid: &[f64], kernel: Kernel) -> Result<Vec<f64>> {
        check_grid(grid)?;
        let (low, high) = self.padded()?;
        match kernel {
            Kernel::Gaussian { sigma } => Ok(gaussians(&self.atoms(), grid, self.width(sigma)?)),
            Kernel::Jackson { degree } => {
                if self.is_point()? {
                    return Err(point(low));
                }
                let steps = if self.exact { self.n } else { self.steps };
                let degree = degree.unwrap_or(steps);
                if degree == 0 {
                    return Err(Error::argument("degree", degree, "at least 1"));
                }
                Ok(jackson(&self.atoms(), grid, (low, high), degree))
            }
        }
    }

    /// The density at the places of `grid` as [`Kernel::Gaussian`] smooths it, each with an interval, as
    /// [`trace_of`](Self::trace_of) has it: of the starts and the quadrature. It holds for each place by itself, and says nothing
    /// about what the smoothing hides. From a single start it has no end.
    ///
    /// # Errors
    /// As [`pdf`](Self::pdf).
    pub fn pdf_with_bands(&self, grid: &[f64], sigma: Option<f64>) -> Result<Vec<Estimate>> {
        check_grid(grid)?;
        let sigma = self.width(sigma)?;
        let n = self.n as f64;
        let at = |t: &f64| {
            let found = self.trace_of(|node| normal(*t, node, sigma) / n)?;
            let low = found.total.low.max(0.0);
            Ok(Estimate { low, ..found.total })
        };
        grid.iter().map(at).collect()
    }

    /// The standard deviation of the kernel, by default that of [`Kernel::Gaussian`].
    fn width(&self, sigma: Option<f64>) -> Result<f64> {
        let (low, high) = self.padded()?;
        let steps = if self.exact { self.n } else { self.steps };
        let wide = (steps.max(2) - 1) as f64 * (8.0 * 3f64.ln()).sqrt();
        let sigma = match sigma {
            Some(sigma) => sigma,
            None if !self.is_point()? => (high - low) / wide,
            None => return Err(point(low)),
        };
        match sigma > 0.0 && sigma.is_finite() {
            true => Ok(sigma),
            false => Err(Error::argument("sigma", sigma, "a positive number")),
        }
    }

    /// Whether the nodes are apart by rounding only.
    fn is_point(&self) -> Result<bool> {
        let (low, high) = self.padded()?;
        Ok(high - low <= 1e-12 * low.abs().max(high.abs()))
    }

    /// Places and density by the rule that PyHessian plots: `bins` places from the mean over the starts of the smallest node,
    /// less 0.01, to that of the largest, plus 0.01; normal densities of variance 1e-5 times the length of that, at least 1; scaled
    /// so that the sum of the values times the distance of two places is 1.
    ///
    /// # Errors
    /// Fewer than two bins, or an operator of order 0.
    pub fn pyhessian(&self, bins: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        if bins < 2 {
            return Err(Error::argument("bins", bins, "at least 2"));
        }
        let (mut low, mut high) = self.extremes().ok_or_else(empty)?;
        let mean = |end: &dyn Fn(&super::Rule) -> f64| {
            self.rules.iter().map(end).sum::<f64>() / self.rules.len() as f64
        };
        if self.known.is_empty() {
            low = mean(&|r| r.nodes[0]);
            high = mean(&|r| r.nodes[r.nodes.len() - 1]);
        }
        let (low, high) = (low - 0.01, high + 0.01);
        let grid = line(low, high, bins);
        let sigma = (1e-5 * (high - low).max(1.0)).sqrt();
        let mut values = gaussians(&self.atoms(), &grid, sigma);
        let sum: f64 = values.iter().sum::<f64>() * (grid[1] - grid[0]);
        values.iter_mut().for_each(|v| *v /= sum);
        Ok((grid, values))
    }

    /// The range of the nodes, and five per cent more on both sides.
    fn padded(&self) -> Result<(f64, f64)> {
        let (low, high) = self.extremes().ok_or_else(empty)?;
        let margin = 0.05 * (high - low);
        Ok((low - margin, high + margin))
    }
}

fn check_grid(grid: &[f64]) -> Result<()> {
    match grid.iter().position(|t| !t.is_finite()) {
        Some(i) => Err(Error::non_finite("the grid", i, grid[i])),
        None => Ok(()),
    }
}

fn point(at: f64) -> Error {
    let text = format!("the spectrum is the one point {at:e}, which has no density");
    Error::new(ErrorKind::Argument, text).with_hint("give a width")
}

fn empty() -> Error {
    Error::argument("density", "of order 0", "an operator that has eigenvalues")
}

fn line(low: f64, high: f64, points: usize) -> Vec<f64> {
    let step = (high - low) / (points - 1) as f64;
    (0..points).map(|i| low + step * i as f64).collect()
}

fn gaussians(atoms: &[(f64, f64)], grid: &[f64], sigma: f64) -> Vec<f64> {
    let at = |t: &f64| {
        let one = |(node, weight): &(f64, f64)| weight * normal(*t, *node, sigma);
        atoms.iter().map(one).sum()
    };
    grid.iter().map(at).collect()
}

/// The normal density around `middle`.
fn normal(t: f64, middle: f64, sigma: f64) -> f64 {
    let z = (t - middle) / sigma;
    libm::exp(-0.5 * z * z) / (sigma * std::f64::consts::TAU.sqrt())
}

fn jackson(atoms: &[(f64, f64)], grid: &[f64], (low, high): (f64, f64), degree: usize) -> Vec<f64> {
    let scaled = |t: f64| ((2.0 * t - low - high) / (high - low)).clamp(-1.0, 1.0);
    let mut moments = vec![0.0; degree + 1];
    for (t, weight) in atoms {
        let angle = scaled(*t).acos();
        for (k, moment) in moments.iter_mut().enumerate() {
            *moment += weight * (k as f64 * angle).cos();
        }
    }
    let step = std::f64::consts::PI / (degree + 2) as f64;
    for (k, moment) in moments.iter_mut().enumerate() {
        let (turn, count) = (k as f64 * step, (degree + 2) as f64);
        let damping = (count - k as f64) * turn.cos() + turn.sin() / step.tan();
        *moment *= damping / count * if k == 0 { 1.0 } else { 2.0 };
    }
    let at = |t: &f64| {
        if *t <= low || *t >= high {
            return 0.0;
        }
        let angle = scaled(*t).acos();
        let terms = moments.iter().enumerate();
        let sum: f64 = terms.map(|(k, m)| m * (k as f64 * angle).cos()).sum();
        sum / (std::f64::consts::PI * angle.sin()) * 2.0 / (high - low)
    };
    grid.iter().map(at).collect()
}
