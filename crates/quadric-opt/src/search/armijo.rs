//! Backtracking until the value has fallen enough (Armijo, "Minimization of functions having Lipschitz continuous first
//! partial derivatives", Pacific J. Math. 16, 1966), with polynomial interpolation.

use super::interpolate::{Sample, cubic, quadratic};
use super::slack;
use quadric_core::{Context, Line, Result, Scalar, StepRule};

/// Backtracking from the full step. Trials are values on lines that are cheap, values with gradients on others, because
/// the accepted trial then need not be evaluated again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Armijo {
    /// Required decrease, as a fraction of what the slope promises.
    pub c1: f64,
    /// Most trials per line.
    pub trials: u32,
}

impl Default for Armijo {
    /// `c1` = 10⁻⁴ (Nocedal, Wright, "Numerical Optimization", 2006, section 3.1); 60 trials at most halve the step below
    /// the rounding of any start.
    fn default() -> Self {
        Self {
            c1: 1e-4,
            trials: 60,
        }
    }
}

impl<T: Scalar> StepRule<T> for Armijo {
    type State = ();

    fn init(&self) {}

    fn length(
        &self,
        (): &mut (),
        line: &mut Line<'_, T>,
        slope: f64,
        cx: &mut Context,
    ) -> Result<f64> {
        let slack = slack(line);
        let start = Sample {
            alpha: 0.0,
            change: 0.0,
            slope,
        };
        let mut alpha = 1.0;
        for _ in 0..self.trials {
            if !line.moves(alpha) {
                return Ok(0.0);
            }
            cx.note("trials", 1.0);
            let (change, end) = if line.is_cheap() {
                (line.change(alpha)?, None)
            } else {
                let (change, slope) = line.change_and_slope(alpha)?;
                (change, Some(slope))
            };
            let inside = change.is_finite() && end.is_none_or(f64::is_finite);
            // Where rounding hides the change of the value, the slope at the end must not climb.
            let flat = end.is_some_and(|end| end <= (2.0 * self.c1 - 1.0) * slope);
            if inside && (change <= self.c1 * alpha * slope || (change.abs() <= slack && flat)) {
                return Ok(alpha);
            }
            let guess = match end {
                _ if !inside => None,
                None => quadratic(start, alpha, change),
                Some(slope) => cubic(
                    start,
                    Sample {
                        alpha,
                        change,
                        slope,
                    },
                ),
            };
            alpha = guess.unwrap_or(0.0).clamp(0.1 * alpha, 0.5 * alpha);
        }
        Ok(0.0)
    }
}
