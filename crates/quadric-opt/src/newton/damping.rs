//! Step lengths for generalised self-concordant functions.
//!
//! Let `|∇³F(x)[h, k, k]| <= beta(h) ∇²F(x)[k, k]`, `s = -∇F(x)ᵀd > 0`, `a = dᵀ∇²F(x)d` and `beta = beta(d)`. Along the line
//! the curvature grows at most like `exp(beta t)`, so `F(x + t d) <= F(x) - s t + a (exp(beta t) - 1 - beta t) / beta²`. The
//! right side is least at `t = ln(1 + u) / beta` with `u = beta s / a`, where it proves a decrease of
//! `a ((1 + u) ln(1 + u) - u) / beta²`. For an exact Newton direction `s = a` is the squared Newton decrement.

use quadric_core::{Line, Result, Scalar};

/// The second-order model along a direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model {
    /// `-∇F(x)ᵀd`, positive.
    pub slope: f64,
    /// `dᵀ∇²F(x)d`, positive.
    pub curvature: f64,
}

/// A step length with the decrease that it guarantees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Safe {
    pub length: f64,
    pub decrease: f64,
}

impl Model {
    /// True if both numbers can be used.
    pub(super) fn is_usable(&self) -> bool {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        positive(self.slope) && positive(self.curvature)
    }

    /// The decrease that the quadratic model promises for its best step; an upper bound of every guaranteed decrease.
    pub(super) fn predicted(&self) -> f64 {
        0.5 * self.slope * (self.slope / self.curvature)
    }

    /// The guaranteed step for a concordance of `beta`.
    pub(super) fn safe(&self, beta: f64) -> Safe {
        let newton = self.slope / self.curvature;
        let u = beta * newton;
        Safe {
            length: newton * log_ratio(u),
            decrease: self.slope * newton * entropy_ratio(u),
        }
    }
}

/// `ln(1 + u) / u`.
fn log_ratio(u: f64) -> f64 {
    if u < 1e-8 {
        1.0 - 0.5 * u
    } else {
        u.ln_1p() / u
    }
}

/// `((1 + u) ln(1 + u) - u) / u²`, falling from 1/2.
fn entropy_ratio(u: f64) -> f64 {
    if u < 1e-3 {
        // Three terms of the series leave an error below 1e-13.
        return 0.5 - u / 6.0 + u * u / 12.0 - u * u * u / 20.0;
    }
    if u > 1e12 {
        return (u.ln() - 1.0) / u;
    }
    ((1.0 + u) * u.ln_1p() - u) / (u * u)
}

/// An accepted step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    pub length: f64,
    /// Concordance of the direction, where it was needed.
    pub beta: Option<f64>,
    /// Trial points evaluated.
    pub trials: u32,
    /// Change of the function.
    pub change: f64,
}

impl Accepted {
    /// True if the function was far from quadratic along the step, as it is along a direction without a minimum. Steps that
    /// change F by no more than `noise` say nothing.
    pub(super) fn is_long(&self, model: &Model, noise: f64) -> bool {
        let quadratic = self.length * (model.slope - 0.5 * self.length * model.curvature);
        let deviates = (self.change + quadratic).abs() > 0.05 * quadratic.abs();
        quadratic.abs() > 16.0 * noise
            && (deviates || self.beta.is_some_and(|beta| beta * self.length >= 0.5))
    }
}

/// A change of F within this fraction of the quadratic model's leaves nothing to gain from further trials.
const QUADRATIC: f64 = 0.2;
/// Fraction of the first slope that counts as flat.
const FLAT: f64 = 0.2;
/// Most trials in search of the best step.
const TRIALS: u32 = 12;

/// Tries the full step first and shortens it geometrically, never below the guaranteed step.
pub(super) struct Search<'a, 'l, T: Scalar> {
    pub line: &'a mut Line<'l, T>,
    /// What a regularisation on top of F adds to its change, as (linear, quadratic) coefficients of the step length.
    pub added: (f64, f64),
    pub model: Model,
    /// Fraction of the guaranteed decrease that a step must reach.
    pub fraction: f64,
    /// Changes of F below this are rounding.
    pub noise: f64,
    /// Trials start here: 1, or less after a step that left the domain.
    pub longest: f64,
}

impl<T: Scalar> Search<'_, '_, T> {
    fn change(&mut self, t: f64) -> Result<f64> {
        Ok(self.line.change(t)? + t * (self.added.0 + t * self.added.1))
    }

    fn change_with_gradient(&mut self, t: f64) -> Result<f64> {
        let (change, _) = if self.line.is_cheap() {
            (self.line.change(t)?, 0.0)
        } else {
            self.line.change_and_slope(t)?
        };
        Ok(change + t * (self.added.0 + t * self.added.1))
    }

    /// The accepted step; `None` if F is not finite even at the shortest length.
    pub(super) fn run(
        &mut self,
        concordance: impl FnOnce() -> Result<f64>,
    ) -> Result<Option<Accepted>> {
        let mut t = self.longest;
        let mut trials = 1;
        // A full evaluation brings the gradient along: the full step is usually taken.
        let mut first = self.change_with_gradient(t)?;
        if self.line.is_cheap() && !self.is_as_modelled(t, first) {
            (t, first, trials) = self.minimise(t, first)?;
        }
        // Sufficient for every beta, so the common case does not pay for measuring it.
        if first.is_finite() && -first >= self.fraction * self.model.predicted() {
            return accept(t, None, trials, first);
        }
        let beta = concordance()?;
        let safe = self.model.safe(beta);
        let end_game = self.model.predicted() <= 16.0 * self.noise && beta <= 1.0;
        if first.is_finite() && (end_game || self.suffices(first, &safe)) {
            return accept(t, Some(beta), trials, first);
        }
        // Cheap trials halve; expensive ones reach the guaranteed step, which needs no trial, in four.
        let ratio = if self.line.is_cheap() {
            0.5
        } else {
            safe.length.powf(0.25).clamp(1e-3, 0.5)
        };
        while t * ratio > safe.length {
            t *= ratio;
            trials += 1;
            let change = self.change(t)?;
            if change.is_finite() && self.suffices(change, &safe) {
                return accept(t, Some(beta), trials, change);
            }
        }
        t = safe.length.min(t);
        for _ in 0..60 {
            trials += 1;
            let change = self.change(t)?;
            if change.is_finite() {
                return accept(t, Some(beta), trials, change);
            }
            t *= 0.25;
        }
        Ok(None)
    }

    /// True if F changed as the quadratic model says, or by too little to tell: the best step is then near.
    fn is_as_modelled(&self, t: f64, change: f64) -> bool {
        let modelled = t * (self.model.slope - 0.5 * t * self.model.curvature);
        (change + modelled).abs() <= QUADRATIC * modelled.abs()
            || self.model.predicted() <= 16.0 * self.noise
            || !change.is_finite()
    }

    /// The step that makes F nearly as small as it gets along the direction, for lines whose trials cost little beside the
    /// direction. It stops short of where rows of large norm, which the Hessian cannot see from afar, turn against the
    /// direction, and goes on where curvature fades. Returns the step, the change and the trials.
    fn minimise(&mut self, start: f64, change: f64) -> Result<(f64, f64, u32)> {
        let (mut low, mut high) = ((0.0, -self.model.slope), None);
        let mut t = start;
        let mut trials = 1;
        while trials < TRIALS {
            trials += 1;
            let slope = self.slope(t)?;
            if slope.abs() <= FLAT * self.model.slope {
                break;
            }
            if slope < 0.0 {
                low = (t, slope);
            } else {
                high = Some((t, slope));
            }
            t = match high {
                None => 3.0 * t,
                Some((far, steep)) => {
                    // The secant's root, well inside; NaN and infinity lead to the middle.
                    let part = low.1 / (low.1 - steep);
                    let part = if part.is_finite() && steep.is_finite() {
                        part
                    } else {
                        0.5
                    };
                    low.0 + part.clamp(0.1, 0.9) * (far - low.0)
                }
            };
        }
        let best = self.change(t)?;
        Ok(if best < change {
            (t, best, trials)
        } else {
            (start, change, trials)
        })
    }

    fn slope(&mut self, t: f64) -> Result<f64> {
        Ok(self.line.slope(t)? + self.added.0 + 2.0 * t * self.added.1)
    }

    fn suffices(&self, change: f64, safe: &Safe) -> bool {
        -change >= self.fraction * safe.decrease - self.noise
    }
}

fn accept(length: f64, beta: Option<f64>, trials: u32, change: f64) -> Result<Option<Accepted>> {
    Ok(Some(Accepted {
        length,
        beta,
        trials,
        change,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quadric_core::random::SeedTree;

    #[test]
    fn the_guaranteed_step_minimises_the_bound() {
        for (slope, curvature, beta) in [(1.0, 1.0, 1e-12), (0.7, 2.0, 3.0), (5.0, 0.1, 40.0)] {
            let safe = Model { slope, curvature }.safe(beta);
            let bound =
                |t: f64| slope * t - curvature * ((beta * t).exp_m1() - beta * t) / beta / beta;
            for factor in [0.99, 1.01] {
                assert!(bound(safe.length) >= bound(factor * safe.length) || beta < 1e-9);
            }
            if beta > 1e-9 {
                assert!((bound(safe.length) / safe.decrease - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_ratios_are_continuous_where_their_formulas_meet() {
        for (f, at) in [
            (entropy_ratio as fn(f64) -> f64, 1e-3),
            (entropy_ratio, 1e12),
            (log_ratio, 1e-8),
        ] {
            let (below, above) = (f(at * (1.0 - 1e-12)), f(at * (1.0 + 1e-12)));
            assert!(
                (below / above - 1.0).abs() < 1e-9,
                "{below:e} {above:e} at {at:e}"
            );
        }
        assert_eq!(entropy_ratio(0.0), 0.5);
        assert!(entropy_ratio(1e300) > 0.0);
    }

    /// `log Σ exp(z)` and the probabilities.
    fn log_sum_exp(z: &[f64; 3]) -> (f64, [f64; 3]) {
        let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let e = z.map(|v| (v - top).exp());
        let sum: f64 = e.iter().sum();
        (top + sum.ln(), e.map(|v| v / sum))
    }

    /// Specification B.7.3, for any direction: logistic regression is the case of two classes, one of them fixed at zero.
    #[test]
    fn the_guaranteed_decrease_is_reached_always() {
        let mut stream = SeedTree::new(3).stream(0);
        for trial in 0..100_000 {
            let logistic = trial % 2 == 0;
            let spread = 10f64.powf(3.0 * stream.uniform() - 1.5);
            let mut draw = |scale: f64| {
                let mut z = [0.0; 3].map(|_: f64| scale * stream.normal());
                if logistic {
                    (z[1], z[2]) = (0.0, f64::NEG_INFINITY);
                }
                z
            };
            let rows: [([f64; 3], [f64; 3]); 4] = std::array::from_fn(|_| {
                let along = draw(spread).map(|v| if v.is_finite() { v } else { 0.0 });
                (draw(2.0), along)
            });
            let value = |t: f64| -> f64 {
                let term = |(z, v): &([f64; 3], [f64; 3])| {
                    let moved: [f64; 3] = std::array::from_fn(|c| z[c] + t * v[c]);
                    log_sum_exp(&moved).0 - moved[0]
                };
                rows.iter().map(term).sum::<f64>() / 4.0
            };
            let (mut slope, mut curvature, mut beta) = (0.0, 0.0, 0.0_f64);
            for (z, v) in &rows {
                let (_, p) = log_sum_exp(z);
                let mean: f64 = p.iter().zip(v).map(|(p, v)| p * v).sum();
                let square: f64 = p.iter().zip(v).map(|(p, v)| p * (v - mean).powi(2)).sum();
                slope -= (mean - v[0]) / 4.0;
                curvature += square / 4.0;
                let used = if logistic { &v[..2] } else { &v[..] };
                let most = used.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let least = used.iter().copied().fold(f64::INFINITY, f64::min);
                beta = beta.max(most - least);
            }
            if slope <= 0.0 {
                continue;
            }
            let safe = Model { slope, curvature }.safe(beta);
            let start = value(0.0);
            let decrease = start - value(safe.length);
            assert!(
                decrease >= safe.decrease - 1e-12 * start.abs().max(1.0),
                "seed 3, trial {trial}: {decrease:e} < {:e}",
                safe.decrease
            );
        }
    }
}
