//! The strong Wolfe conditions by a shrinking bracket: `F(x + a d) - F(x) <= c1 a g·d` and `|F'(a)| <= c2 |g·d|`.
//!
//! The bracket keeps a lower end that satisfies the first condition with a slope still steeper than the second allows, and
//! an upper end that violates the first, or climbs, or lies outside the domain; a point that satisfies both then exists
//! inside (Moré, Thuente, "Line search algorithms with guaranteed sufficient decrease", ACM TOMS 20, 1994, Theorem 2.1).
//! Trials come from cubic interpolation with the safeguards of that paper. Where the difference of two values is lost in
//! rounding, slopes decide (the approximate conditions of Hager, Zhang, "A new conjugate gradient method with guaranteed
//! descent and an efficient line search", SIAM J. Optim. 16, 2005).

use super::interpolate::{Sample, cubic, secant};
use super::slack;
use quadric_core::{Context, Line, Result, Scalar, StepRule};

/// A step of sufficient decrease at which the slope has flattened, so that the curvature along it is positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StrongWolfe {
    /// Required decrease, as a fraction of what the slope promises.
    pub c1: f64,
    /// Largest slope left, as a fraction of the slope at the start.
    pub c2: f64,
    /// Most trials per line.
    pub trials: u32,
}

impl Default for StrongWolfe {
    /// `c1` = 10⁻⁴, `c2` = 0.9 (Nocedal, Wright, "Numerical Optimization", 2006, section 3.1); 40 trials at most bracket
    /// and bisect through the exponent range of a step.
    fn default() -> Self {
        Self {
            c1: 1e-4,
            c2: 0.9,
            trials: 40,
        }
    }
}

/// The interval that holds an acceptable step.
#[derive(Clone, Copy, Debug)]
struct Bracket {
    low: Sample,
    high: Option<High>,
    /// Width before the last two trials, to see whether interpolation shrinks it fast enough.
    widths: [f64; 2],
}

/// The upper end of a bracket.
#[derive(Clone, Copy, Debug)]
struct High {
    alpha: f64,
    /// `None` outside the domain.
    sample: Option<Sample>,
}

impl Bracket {
    fn new(slope: f64) -> Self {
        Self {
            low: Sample {
                alpha: 0.0,
                change: 0.0,
                slope,
            },
            high: None,
            widths: [f64::INFINITY; 2],
        }
    }

    fn raise(&mut self, sample: Sample) -> f64 {
        let previous = std::mem::replace(&mut self.low, sample);
        match &self.high {
            Some(_) => self.inside(),
            None => {
                // Extrapolate between twofold and tenfold.
                let reach = sample.alpha;
                let guess = secant(previous, sample).unwrap_or(f64::INFINITY);
                guess.clamp(2.0 * reach, 10.0 * reach)
            }
        }
    }

    fn lower(&mut self, alpha: f64, sample: Option<Sample>) -> f64 {
        self.high = Some(High { alpha, sample });
        self.inside()
    }

    /// The next trial inside the bracket.
    fn inside(&mut self) -> f64 {
        let Some(high) = &self.high else {
            return self.low.alpha;
        };
        let width = high.alpha - self.low.alpha;
        let slow = width > 0.66 * self.widths[0];
        self.widths = [self.widths[1], width];
        let guess = match high.sample {
            // Far out of the domain nothing is known: approach the lower end geometrically.
            None => return self.low.alpha + 0.1 * width,
            Some(_) if slow => None,
            Some(sample) => cubic(self.low, sample),
        };
        guess
            .unwrap_or(self.low.alpha + 0.5 * width)
            .clamp(self.low.alpha + 0.05 * width, high.alpha - 0.05 * width)
    }
}

/// The search along one line, trial by trial, for whoever evaluates the trials.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    rule: StrongWolfe,
    slope: f64,
    slack: f64,
    bracket: Bracket,
    alpha: f64,
    trials: u32,
}

impl Search {
    /// Along a line of this slope, on which a change of F below `slack` means nothing.
    pub(crate) fn new(rule: StrongWolfe, slope: f64, slack: f64) -> Self {
        Self {
            rule,
            slope,
            slack,
            bracket: Bracket::new(slope),
            alpha: 1.0,
            trials: 0,
        }
    }

    /// The step length to try.
    pub(crate) fn trial(&self) -> f64 {
        self.alpha
    }

    /// The length to be content with: the lower end lowers F, though the slope is still steep there; 0 if it never left
    /// the start.
    pub(crate) fn fallback(&self) -> f64 {
        self.bracket.low.alpha
    }

    /// Ends the search at the fallback.
    pub(crate) fn settle(&mut self) {
        self.alpha = self.fallback();
    }

    /// Learns the change of F and the slope at the trial; returns the length that ends the search, if it does.
    pub(crate) fn judge(&mut self, change: f64, end: f64) -> Option<f64> {
        self.trials += 1;
        let alpha = self.alpha;
        let next = if change.is_finite() && end.is_finite() {
            let sample = Sample {
                alpha,
                change,
                slope: end,
            };
            let (c1, c2, slope) = (self.rule.c1, self.rule.c2, self.slope);
            let falls = change <= c1 * alpha * slope
                || (change.abs() <= self.slack && end <= (2.0 * c1 - 1.0) * slope);
            if falls && end.abs() <= c2 * slope.abs() {
                return Some(alpha);
            }
            if falls && end < 0.0 {
                self.bracket.raise(sample)
            } else {
                self.bracket.lower(alpha, Some(sample))
            }
        } else {
            self.bracket.lower(alpha, None)
        };
        self.alpha = next;
        (next == alpha || self.trials == self.rule.trials).then(|| self.fallback())
    }
}

impl<T: Scalar> StepRule<T> for StrongWolfe {
    type State = ();

    fn init(&self) {}

    fn length(
        &self,
        (): &mut (),
        line: &mut Line<'_, T>,
        slope: f64,
        cx: &mut Context,
    ) -> Result<f64> {
        let mut search = Search::new(*self, slope, slack(line));
        while line.moves(search.trial()) {
            cx.note("trials", 1.0);
            let (change, end) = line.change_and_slope(search.trial())?;
            if let Some(alpha) = search.judge(change, end) {
                return Ok(alpha);
            }
        }
        Ok(search.fallback())
    }
}
