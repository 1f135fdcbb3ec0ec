//! What the rules of stochastic Lanczos quadrature say about a spectrum.
//!
//! The distribution of eigenvalues seen by a start z, Σ (zᵀv_i)² δ(λ_i), is that of the whole spectrum in expectation. On the
//! sphere, (n + 2)/2 times the variance of Σ (zᵀv_i)² f(λ_i) is the variance of f over the spectrum, which the rules themselves
//! estimate. Between a Gauss rule and the distribution it belongs to lie the inequalities of Chebyshev, Markov and Stieltjes:
//! the distribution function passes through the jump of the rule at every node.

use super::Estimate;
use super::student::{mean_and_spread, normal_quantile, student_quantile};
use crate::{Error, ErrorKind, Result};

/// A discrete distribution: nodes, ascending, and weights that sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Where.
    pub nodes: Vec<f64>,
    /// How much.
    pub weights: Vec<f64>,
}

impl Rule {
    /// The sum of weights times values of a function at the nodes.
    pub fn sum(&self, f: impl Fn(f64) -> f64) -> f64 {
        let terms = self.nodes.iter().zip(&self.weights);
        terms.map(|(t, w)| w * f(*t)).sum()
    }

    /// The weight of the nodes up to `t`, and bounds for the distribution function there of what this is a Gauss rule of.
    fn below(&self, t: f64) -> (f64, f64, f64) {
        let count = self.nodes.partition_point(|node| *node <= t);
        let sum = |end: usize| self.weights[..end.min(self.weights.len())].iter().sum();
        (
            sum(count),
            sum(count.saturating_sub(1)),
            if count == self.nodes.len() {
                1.0
            } else {
                sum(count + 1)
            },
        )
    }
}

/// A spectral density, normalised to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Density {
    /// Order of the operator.
    pub n: usize,
    /// Eigenvalues that count exactly, each with weight 1/n.
    pub known: Vec<f64>,
    /// What each start sees of the spectrum without `known`: a Gauss rule for a single start, and for several, which share their
    /// nodes, what their Krylov spaces know together; exact for polynomials as Gauss rules of as many steps are.
    pub rules: Vec<Rule>,
    /// The Gauss rule of each start alone.
    pub(super) gauss: Vec<Rule>,
    /// Rules that know less: of about three quarters of the steps, or the Gauss rules of several starts; how they differ tells the
    /// error of the quadrature.
    pub(super) shorter: Vec<Rule>,
    /// Starts whose Krylov space is invariant, so that the rule is their distribution itself.
    pub(super) complete: Vec<bool>,
    /// All eigenvalues are known, with their weights.
    pub exact: bool,
    /// The probability with which intervals shall contain the truth.
    pub level: f64,
    /// Lanczos steps from each start; 0 where the operator was decomposed.
    pub steps: usize,
}

/// The trace of a function of the operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceOfFunction {
    /// The trace, with an interval that counts both errors; without end for a single start.
    pub total: Estimate,
    /// How far rules that know less (of three quarters of the steps, or the Gauss rules of several starts) are away in the mean: an
    /// estimate of the error of the quadrature, and no bound, but far above it where the rules converge.
    pub quadrature: f64,
}

impl Density {
    /// The density of these eigenvalues.
    pub(super) fn exact(mut values: Vec<f64>, level: f64) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            n: values.len(),
            known: values,
            rules: Vec::new(),
            gauss: Vec::new(),
            shorter: Vec::new(),
            complete: Vec::new(),
            exact: true,
            level,
            steps: 0,
        }
    }

    /// The number of eigenvalues that the rules stand for.
    fn rest(&self) -> f64 {
        (self.n - self.known.len().min(self.n)) as f64
    }

    /// All nodes, ascending, with their weights in the mean over the starts.
    pub fn atoms(&self) -> Vec<(f64, f64)> {
        let n = self.n as f64;
        let known = self.known.iter().map(|value| (*value, 1.0 / n));
        let share = self.rest() / n / self.rules.len().max(1) as f64;
        let rules = self.rules.iter();
        let rules = rules.flat_map(|r| r.nodes.iter().zip(&r.weights));
        let rules = rules.map(|(t, w)| (*t, share * w));
        let mut atoms: Vec<(f64, f64)> = known.chain(rules).collect();
        atoms.sort_by(|a, b| a.0.total_cmp(&b.0));
        atoms
    }

    /// The smallest and the largest node, between which every rule lies: bounds of the spectrum from inside, close at its ends.
    /// Nothing for an operator of order 0.
    pub fn extremes(&self) -> Option<(f64, f64)> {
        let atoms = self.atoms();
        Some((atoms.first()?.0, atoms.last()?.0))
    }

    /// The part of the eigenvalues up to `t`. The interval is rigorous in what it says about the quadrature; about the choice of
    /// starts it is the score interval (Wilson, "Probable inference, the law of succession, and statistical inference", 1927)
    /// with the variance 2F(1 - F)/n of one start. NaN at NaN.
    pub fn cdf(&self, t: f64) -> Estimate {
        if t.is_nan() {
            return Estimate::around(t, t, self.level);
        }
        let n = (self.n as f64).max(1.0);
        let known = self.known.iter().filter(|v| **v <= t).count() as f64 / n;
        if self.rules.is_empty() {
            return Estimate::exact(known);
        }
        let (mut value, mut low, mut high) = (0.0, 0.0, 0.0);
        for ((rule, gauss), complete) in self.rules.iter().zip(&self.gauss).zip(&self.complete) {
            let here = rule.below(t).0;
            let (_, below, above) = gauss.below(t);
            value += here;
            low += if *complete { here } else { below };
            high += if *complete { here } else { above };
        }
        let (probes, share) = (self.rules.len() as f64, self.rest() / n);
        let trials = 0.5 * self.rest() * probes;
        let z = normal_quantile(self.level);
        let at = |f: f64| known + share * f.clamp(0.0, 1.0);
        Estimate {
            value: at(value / probes),
            low: at(wilson(low / probes, trials, -z)),
            high: at(wilson(high / probes, trials, z)),
            level: self.level,
        }
    }

    /// The trace of f(H), for a function that is smooth over the spectrum.
    ///
    /// # Errors
    /// A node at which the function is not finite, or a trace that is not.
    pub fn trace_of(&self, f: impl Fn(f64) -> f64) -> Result<TraceOfFunction> {
        for (t, _) in self.atoms() {
            let value = f(t);
            if !value.is_finite() {
                return Err(Error::new(
                    ErrorKind::NonFinite,
                    format!("the function is {value} at the node {t:e} of the spectrum"),
                ));
            }
        }
        let known: f64 = self.known.iter().map(|t| f(*t)).sum();
        if self.rules.is_empty() {
            return Ok(TraceOfFunction {
                total: Estimate::exact(known),
                quadrature: 0.0,
            });
        }
        let (rest, probes) = (self.rest(), self.rules.len() as f64);
        let means: Vec<f64> = self.rules.iter().map(|r| rest * r.sum(&f)).collect();
        let (mean, spread) = mean_and_spread(&means);
        let shorter: f64 = self.shorter.iter().map(|r| rest * r.sum(&f)).sum();
        let quadrature = (mean - shorter / probes).abs();
        // Two ways to the spread of one start: between the starts, and within their rules.
        let within = self.rules.iter().map(|r| {
            let middle = r.sum(&f);
            r.sum(|t| (f(t) - middle).powi(2))
        });
        let within = (2.0 * within.sum::<f64>() / probes / (rest + 2.0)).sqrt() * rest;
        let student = student_quantile(self.level, (probes - 1.0).max(1.0)) * spread;
        let sampling = student.max(normal_quantile(self.level) * within) / probes.sqrt();
        let total = Estimate::around(known + mean, sampling + quadrature, self.level);
        if !total.value.is_finite() {
            return Err(Error::new(
                ErrorKind::NonFinite,
                "the trace of the function is too large",
            ));
        }
        Ok(TraceOfFunction { total, quadrature })
    }

    /// The moment tr(H^j)/n; the quadrature has no error for j < 2 · steps.
    ///
    /// # Errors
    /// Powers that are not finite.
    pub fn moment(&self, j: u32) -> Result<Estimate> {
        let n = (self.n as f64).max(1.0);
        let trace = self.trace_of(|t| libm::pow(t, f64::from(j)) / n)?;
        let mut moment = trace.total;
        if (j as usize)
            < self
                .shorter
                .iter()
                .map(|r| 2 * r.nodes.len())
                .min()
                .unwrap_or(0)
        {
            // What differs between the rules is rounding.
            moment = Estimate::around(
                moment.value,
                moment.half_width() - trace.quadrature,
                moment.level,
            );
        }
        Ok(moment)
    }

    /// `log det(H + shift I)`.
    ///
    /// # Errors
    /// A node at or below -shift.
    pub fn log_det(&self, shift: f64) -> Result<TraceOfFunction> {
        self.check_shift(shift)?;
        self.trace_of(|t| libm::log(t + shift))
    }

    /// The effective dimension `tr H(H + shift I)⁻¹`.
    ///
    /// # Errors
    /// A node at or below -shift.
    pub fn effective_dimension(&self, shift: f64) -> Result<TraceOfFunction> {
        self.check_shift(shift)?;
        self.trace_of(|t| t / (t + shift))
    }

    fn check_shift(&self, shift: f64) -> Result<()> {
        match self.extremes() {
            Some((low, _)) if low + shift > 0.0 => Ok(()),
            None => Ok(()),
            Some((low, _)) => Err(Error::argument(
                "shift",
                shift,
                &format!("more than {:e}, for a positive definite matrix", -low),
            )),
        }
    }
}

/// The end of the score interval on the side of the sign of `z`, for a part `f` found in so many trials.
fn wilson(f: f64, trials: f64, z: f64) -> f64 {
    let f = f.clamp(0.0, 1.0);
    let ratio = z * z / trials;
    let root = (f * (1.0 - f) / trials + ratio / (4.0 * trials)).sqrt();
    (f + 0.5 * ratio + z * root) / (1.0 + ratio)
}

/// The Wasserstein distance ∫ |F - G| between two discrete distributions, each as nodes, ascending, with weights of sum 1.
///
/// # Errors
/// Nodes that are not ascending, numbers that are not finite, negative weights, or a sum of weights that is not 1 to 1e-6.
pub fn wasserstein(a: &[(f64, f64)], b: &[(f64, f64)]) -> Result<f64> {
    for (name, atoms) in [("a", a), ("b", b)] {
        let sum: f64 = atoms.iter().map(|a| a.1).sum();
        let ascending = atoms.windows(2).all(|w| w[0].0 <= w[1].0);
        let valid = atoms.iter().all(|(t, w)| t.is_finite() && *w >= 0.0);
        if !ascending || !valid || (sum - 1.0).abs().is_nan() || (sum - 1.0).abs() > 1e-6 {
            return Err(Error::argument(
                name,
                format!("{} nodes of weight {sum}", atoms.len()),
                "finite ascending nodes with weights of sum 1",
            ));
        }
    }
    let (mut i, mut j, mut difference, mut distance) = (0, 0, 0.0f64, 0.0);
    let mut last = f64::NAN;
    while i < a.len() || j < b.len() {
        let from_a = j == b.len() || i < a.len() && a[i].0 <= b[j].0;
        let (t, step) = if from_a { a[i] } else { (b[j].0, -b[j].1) };
        if last.is_finite() {
            distance += difference.abs() * (t - last);
        }
        difference += step;
        last = t;
        if from_a {
            i += 1;
        } else {
            j += 1;
        }
    }
    Ok(distance)
}
