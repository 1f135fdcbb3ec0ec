//! Limits of a run, its clock, and when a point counts as optimal.

use crate::{Certificate, Error, Result};
use std::time::{Duration, Instant};

/// Where the driver reads the time. Numbers never depend on it.
pub trait Clock: Send + Sync {
    /// Time since some fixed instant.
    fn now(&self) -> Duration;
}

/// The monotonic clock of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Limits of a run; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Steps.
    pub iterations: Option<u64>,
    /// Wall-clock time; checked before every evaluation.
    pub time: Option<Duration>,
    /// Values plus gradients; never exceeded by one.
    pub evaluations: Option<u64>,
    /// Bytes that the method may hold; checked before the start.
    pub memory: Option<usize>,
}

/// When a point counts as optimal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Relative: a gap bound to the magnitude of F, a gradient to the gradient at the start.
    pub relative: f64,
    /// Absolute: the certificate's value itself.
    pub absolute: f64,
}

impl Default for Tolerance {
    /// A gap of 10⁻¹⁰ relative to F: below what statistics can use, above what rounding disturbs.
    fn default() -> Self {
        Self {
            relative: 1e-10,
            absolute: 0.0,
        }
    }
}

impl Tolerance {
    /// Nothing but the optimum will do.
    pub const EXACT: Self = Self {
        relative: 0.0,
        absolute: 0.0,
    };

    /// The value that a certificate with this scale must not exceed.
    pub(crate) fn target(&self, scale: f64) -> f64 {
        self.absolute + self.relative * scale
    }

    /// True if the certificate is finite and within `factor` times the tolerance.
    pub fn met(&self, c: &Certificate, factor: f64) -> bool {
        c.value.is_finite() && c.scale.is_finite() && c.value <= factor * self.target(c.scale)
    }

    /// Refuses a tolerance that rounding would make meaningless; 0 asks for exact optimality.
    ///
    /// # Errors
    /// A negative or non-finite part, or a relative part between 0 and 10 times the rounding unit of `f64`.
    pub fn validate(&self) -> Result<()> {
        let least = 10.0 * f64::EPSILON;
        let meaningful = self.relative == 0.0 || self.relative >= least;
        if !(meaningful && self.relative.is_finite()) {
            let expected = format!("0 or a number from {least:.2e}, ten times the rounding of f64");
            return Err(Error::argument("tolerance", self.relative, &expected));
        }
        if !(self.absolute >= 0.0 && self.absolute.is_finite()) {
            let expected = "a finite number, at least 0";
            return Err(Error::argument(
                "absolute tolerance",
                self.absolute,
                expected,
            ));
        }
        Ok(())
    }
}
