//! Randomised estimates of symmetric operators that are only known by their products: traces, diagonals, spectral densities,
//! traces of functions, and functions times vectors.
//!
//! Everything multiplies blocks of vectors (16 columns at a time by default), draws from the streams of a [`SeedTree`], and
//! sums in f64, so that a seed gives the same bits for any number of threads. Every estimate comes with an interval, and
//! where no more products are needed for the exact value than for an estimate, it is exact.
//!
//! [`SeedTree`]: crate::random::SeedTree

mod block_tridiagonal;
mod columns;
mod density;
mod diagonal;
mod eigenspace;
mod function;
mod gauss_rule;
mod hutch_plus_plus;
mod hutchinson;
mod probe;
mod smooth;
mod stochastic_lanczos;
mod student;
#[cfg(test)]
mod tests;
mod trace;
mod xdiag;
mod xnystrace;
mod xtrace;

pub use density::{Density, Rule, TraceOfFunction, wasserstein};
pub use diagonal::{DiagonalMethod, DiagonalOptions, DiagonalReport, diagonal};
pub use eigenspace::Eigenspace;
pub use function::{FunctionOptions, FunctionReport, apply_function};
pub use gauss_rule::gauss_rule;
pub use probe::Probe;
pub use smooth::Kernel;
pub use stochastic_lanczos::{DensityOptions, LanczosQuadrature, QuadratureState, density};
pub use student::mean;
pub use trace::{TraceMethod, TraceOptions, TraceReport, deflated_trace, trace};

use crate::{Error, ErrorKind, LinearOperator, Result, Scalar};

/// A value, and an interval that contains the truth with probability `level`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// The lower end of the interval; minus infinity where nothing is known about the error.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The probability that is aimed at; 1 for an exact value.
    pub level: f64,
}

impl Estimate {
    fn around(value: f64, half: f64, level: f64) -> Self {
        Self {
            value,
            low: value - half,
            high: value + half,
            level,
        }
    }

    /// A value that is exact but for rounding.
    pub fn exact(value: f64) -> Self {
        Self::around(value, 0.0, 1.0)
    }

    /// Half the length of the interval.
    pub fn half_width(&self) -> f64 {
        0.5 * (self.high - self.low)
    }

    /// True if the interval contains `truth`.
    pub fn contains(&self, truth: f64) -> bool {
        (self.low..=self.high).contains(&truth)
    }
}

/// The order of an operator that an estimate can be made of.
fn check<T: Scalar>(op: &dyn LinearOperator<T>) -> Result<usize> {
    let (m, n) = op.shape();
    if m != n {
        return Err(Error::shape("the operator", (m, n), (n, n)));
    }
    let properties = op.properties();
    if !properties.symmetric || properties.random {
        let what = if properties.random {
            "whose products do not change"
        } else {
            "known to be symmetric"
        };
        return Err(Error::new(
            ErrorKind::Capability,
            format!("a randomised estimate needs an operator {what}"),
        ));
    }
    Ok(n)
}

fn check_level(level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(Error::argument("level", level, "a number between 0 and 1"))
}

fn check_block(block: usize) -> Result<()> {
    if block > 0 {
        return Ok(());
    }
    Err(Error::argument("block", block, "at least 1"))
}
