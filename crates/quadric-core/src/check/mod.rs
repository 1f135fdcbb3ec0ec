//! A checker for problems: whether gradient, Hessian, line restriction, batches and claims agree with the values.
//!
//! Derivatives are compared with central differences over a sweep of step lengths. A difference counts at the best two
//! neighbouring lengths of the sweep, so that neither truncation nor rounding decides, nor a lucky crossing at one length.

mod curvature;
mod first_order;
mod laws;

use crate::{Error, Problem, Result, Scalar};
use quadric_linalg::random::{SeedTree, Stream};
use std::fmt;

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The error is within the limit.
    Passed,
    /// It is not.
    Failed,
    /// The problem does not offer what would be checked.
    Skipped,
}

/// One fact about the problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// The largest error found, relative as the check defines it.
    pub error: f64,
    /// The largest error that passes.
    pub limit: f64,
    /// Where the largest error was found, or what is missing.
    pub detail: String,
}

/// All facts, in the order in which they build on each other.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct CheckReport {
    /// The problem's name.
    pub problem: String,
    /// The checks.
    pub checks: Vec<Check>,
}

impl CheckReport {
    /// True if nothing failed.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|c| c.verdict == Verdict::Failed)
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failures().count();
        let skipped = |c: &&Check| c.verdict == Verdict::Skipped;
        let made = self.checks.len() - self.checks.iter().filter(skipped).count();
        writeln!(
            f,
            "{}: {} of {made} checks passed",
            self.problem,
            made - failed
        )?;
        for c in &self.checks {
            let word = match c.verdict {
                Verdict::Passed => "pass",
                Verdict::Failed => "FAIL",
                Verdict::Skipped => "skip",
            };
            write!(f, "  {word}  {:<34}", c.name)?;
            if c.verdict == Verdict::Skipped {
                write!(f, " {}", c.detail)?;
            } else {
                let ratio = c.error / c.limit;
                write!(f, " error {:9.2e}  ratio {ratio:8.1e}", c.error)?;
                if !c.detail.is_empty() {
                    write!(f, "  {}", c.detail)?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Checks everything that `problem` offers at `x`. The directions come from `seed`; the same seed gives the same report.
///
/// Choose an `x` where the function is smooth, away from the optimum. The cost is a few hundred evaluations.
///
/// # Errors
/// An `x` of the wrong length or with non-finite entries, and errors of the problem's evaluations: a checker cannot judge
/// what cannot be evaluated.
pub fn check_derivatives<T: Scalar>(
    problem: &dyn Problem<T>,
    x: &[T],
    seed: u64,
) -> Result<CheckReport> {
    if x.len() != problem.dim() {
        return Err(Error::shape(
            "the point to check at",
            x.len(),
            problem.dim(),
        ));
    }
    if let Some(i) = x.iter().position(|v| !v.to_f64().is_finite()) {
        return Err(Error::non_finite("the point to check at", i, x[i].to_f64()));
    }
    let mut bench = Bench {
        problem,
        x,
        seeds: SeedTree::new(seed).child("check"),
        checks: Vec::new(),
    };
    bench.capabilities();
    if problem.as_objective().is_some() {
        bench.determinism()?;
    }
    bench.gradient()?;
    bench.line()?;
    bench.gap()?;
    bench.hessian()?;
    bench.concordance()?;
    bench.batches()?;
    Ok(CheckReport {
        problem: problem.name().to_owned(),
        checks: bench.checks,
    })
}

/// The problem on the bench.
struct Bench<'a, T: Scalar> {
    problem: &'a dyn Problem<T>,
    x: &'a [T],
    seeds: SeedTree,
    checks: Vec<Check>,
}

/// The largest error of several comparisons.
#[derive(Default)]
struct Worst {
    error: f64,
    detail: String,
}

impl Worst {
    fn see(&mut self, error: f64, detail: impl FnOnce() -> String) {
        // A NaN is the worst of all and stays.
        if error > self.error || (error.is_nan() && !self.error.is_nan()) {
            self.error = error;
            self.detail = detail();
        }
    }
}

impl<T: Scalar> Bench<'_, T> {
    fn add(&mut self, name: &'static str, worst: Worst, limit: f64) {
        let passed = worst.error <= limit;
        self.checks.push(Check {
            name,
            verdict: if passed {
                Verdict::Passed
            } else {
                Verdict::Failed
            },
            error: worst.error,
            limit,
            detail: worst.detail,
        });
    }

    fn skip(&mut self, name: &'static str, missing: &str) {
        self.checks.push(Check {
            name,
            verdict: Verdict::Skipped,
            error: 0.0,
            limit: 0.0,
            detail: missing.to_owned(),
        });
    }

    fn stream(&self, purpose: &str) -> Stream {
        self.seeds.child(purpose).stream(0)
    }

    /// Rounding unit of the points' type, times the length over which rounding accumulates.
    fn rounding(&self) -> f64 {
        T::EPSILON * (1.0 + (self.x.len() as f64).sqrt())
    }

    /// A length that makes steps comparable to the point.
    fn scale(&self) -> f64 {
        crate::vector::max_abs(self.x).max(1.0)
    }
}

/// A direction with standard normal entries.
fn normal<T: Scalar>(n: usize, stream: &mut Stream) -> Vec<T> {
    (0..n).map(|_| T::of(stream.normal())).collect()
}

/// `x + h d` in the points' type.
fn moved<T: Scalar>(x: &[T], d: &[T], h: f64) -> Vec<T> {
    let mut out = x.to_vec();
    crate::vector::axpy(h, d, &mut out);
    out
}

/// Step lengths of a sweep, relative to the scale of the point, from coarse to fine.
fn sweep<T: Scalar>() -> Vec<f64> {
    let finest = if T::EPSILON < 1e-10 { 30 } else { 12 };
    (4..=finest).map(|k| 0.5_f64.powi(k)).collect()
}

/// The smallest error that two neighbouring lengths of the sweep agree on.
fn best_pair(errors: &[f64]) -> f64 {
    let pairs = errors.windows(2).map(|w| w[0].max(w[1]));
    let sound = pairs.filter(|e| !e.is_nan());
    sound.fold(f64::INFINITY, f64::min)
}
