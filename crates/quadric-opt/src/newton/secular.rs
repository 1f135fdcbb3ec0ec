//! The cubic model, and the quadratic one within a ball, in the eigenbasis of the Hessian, where a global minimiser is the
//! root of one scalar equation.
//!
//! `m(y) = cᵀy + ½ Σ θ_i y_i² + σ/3 ‖y‖³` is least at `y_i = -c_i / (θ_i + λ)` with the λ >= max(0, -θ_1) for which
//! `‖y‖ = λ / σ` (Nesterov, Polyak, "Cubic regularization of Newton method and its global performance", 2006; Cartis, Gould,
//! Toint, "Adaptive cubic regularisation methods", 2011, section 6.1). In the hard case, c without a part along the
//! negative θ_1, no such λ exists and a step along that eigenvector makes up the length.

/// The eigenvalues of a symmetric matrix, ascending, and the coordinates of the gradient in its eigenbasis.
#[derive(Clone, Debug, Default)]
pub(super) struct Spectrum {
    pub values: Vec<f64>,
    pub slopes: Vec<f64>,
}

/// The minimiser of a cubic model.
#[derive(Clone, Debug)]
pub(super) struct Minimiser {
    /// In the eigenbasis.
    pub y: Vec<f64>,
    pub norm: f64,
    /// What the quadratic part gains, and what the cubic term costs.
    pub gain: f64,
    pub cost: f64,
}

impl Minimiser {
    /// The decrease that the model predicts.
    pub(super) fn predicted(&self) -> f64 {
        self.gain - self.cost
    }
}

/// Halvings of an interval on a logarithmic scale: from 300 decades to a relative error of 1e-16.
const HALVINGS: usize = 64;

fn norm(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |n: f64, v| n.hypot(*v))
}

impl Spectrum {
    /// The global minimiser for the weight `sigma` > 0.
    pub(super) fn minimise(&self, sigma: f64) -> Minimiser {
        let (first, last) = match (self.values.first(), self.values.last()) {
            (Some(first), Some(last)) => (*first, *last),
            _ => return self.model(Vec::new(), sigma),
        };
        // λ = base + δ, so that the eigenvalue nearest to a pole is met without cancellation.
        let base = (-first).max(0.0);
        let slope = norm(&self.slopes);
        let entry = |delta: f64, t: f64, c: f64| {
            if c == 0.0 {
                0.0
            } else {
                -c / ((t + base) + delta)
            }
        };
        let pairs = || self.values.iter().copied().zip(self.slopes.iter().copied());
        let step = |delta| -> Vec<f64> { pairs().map(|(t, c)| entry(delta, t, c)).collect() };
        let length = |delta| pairs().fold(0.0, |n: f64, (t, c)| n.hypot(entry(delta, t, c)));
        // Where ‖c‖ / (θ + λ) = λ / σ for the extreme eigenvalues.
        let root = |t: f64| 2.0 * sigma * slope / (t + (t * t + 4.0 * sigma * slope).sqrt());
        let mut high = root(0.0);
        let mut low = (root(last.max(0.0)) - base).max(f64::EPSILON * f64::EPSILON * high);
        let is_long = |delta: f64| length(delta) > (base + delta) / sigma;
        if base > 0.0 && !is_long(low.min(f64::EPSILON * base)) {
            return self.model(self.hard(base, base / sigma, step(0.0)), sigma);
        }
        for _ in 0..HALVINGS {
            let middle = (low * high).sqrt();
            if is_long(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.model(step(high), sigma)
    }

    /// The global minimiser of the quadratic model within a ball, and whether it lies on the sphere (Moré, Sorensen, "Computing
    /// a trust region step", 1983): `y_i = -c_i / (θ_i + λ)` with λ = 0 inside, else the λ that gives it the radius.
    pub(super) fn within(&self, radius: f64) -> (Minimiser, bool) {
        let Some(first) = self.values.first() else {
            return (self.model(Vec::new(), 0.0), false);
        };
        let base = (-first).max(0.0);
        let entry = |delta: f64, t: f64, c: f64| {
            if c == 0.0 {
                0.0
            } else {
                -c / ((t + base) + delta)
            }
        };
        let pairs = || self.values.iter().copied().zip(self.slopes.iter().copied());
        let step = |delta| -> Vec<f64> { pairs().map(|(t, c)| entry(delta, t, c)).collect() };
        let is_long =
            |delta| pairs().fold(0.0, |n: f64, (t, c)| n.hypot(entry(delta, t, c))) > radius;
        if *first > 0.0 && !is_long(0.0) {
            return (self.model(step(0.0), 0.0), false);
        }
        let mut high = norm(&self.slopes) / radius;
        let mut low = f64::EPSILON * f64::EPSILON * high;
        if !is_long(low.min(f64::EPSILON * base)) {
            return (self.model(self.hard(base, radius, step(0.0)), 0.0), true);
        }
        for _ in 0..HALVINGS {
            let middle = (low * high).sqrt();
            if is_long(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        (self.model(step(high), 0.0), true)
    }

    /// Adds a move along the most negative eigenvalue until the step has the length of a minimiser.
    fn hard(&self, base: f64, length: f64, mut y: Vec<f64>) -> Vec<f64> {
        for (y, t) in y.iter_mut().zip(&self.values) {
            if !y.is_finite() || t + base <= f64::EPSILON * base {
                *y = 0.0;
            }
        }
        let rest: f64 = y.iter().map(|y| y * y).sum();
        let missing = (length.powi(2) - rest).max(0.0).sqrt();
        y[0] = if self.slopes[0] > 0.0 {
            -missing
        } else {
            missing
        };
        y
    }

    fn model(&self, y: Vec<f64>, sigma: f64) -> Minimiser {
        let norm = norm(&y);
        let parts = y.iter().zip(self.values.iter().zip(&self.slopes));
        let gain = parts.map(|(y, (t, c))| -y * (c + 0.5 * t * y)).sum();
        Minimiser {
            y,
            norm,
            gain,
            cost: sigma / 3.0 * norm.powi(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quadric_core::random::SeedTree;

    /// The conditions that hold at a global minimiser and nowhere else.
    fn check(s: &Spectrum, sigma: f64, slack: f64) {
        let m = s.minimise(sigma);
        let lambda = sigma * m.norm;
        let scale = s.slopes.iter().fold(1e-300, |a: f64, c| a.max(c.abs()));
        assert!(
            lambda + s.values[0] >= -1e-9 * s.values[0].abs(),
            "{s:?} {sigma}: {lambda}"
        );
        for ((t, c), y) in s.values.iter().zip(&s.slopes).zip(&m.y) {
            let residual = ((t + lambda) * y + c).abs();
            let rounding = 16.0 * f64::EPSILON * (t.abs() + lambda) * y.abs();
            assert!(
                residual <= slack * scale + rounding,
                "{s:?} {sigma}: {residual:e}"
            );
        }
        assert!(m.predicted() >= 0.0);
    }

    #[test]
    fn the_minimiser_meets_the_global_conditions() {
        let mut stream = SeedTree::new(5).stream(0);
        for trial in 0..2000 {
            let n = 1 + trial % 7;
            let mut draw = |spread: f64| 10f64.powf(spread * (stream.uniform() - 0.5));
            let sigma = draw(12.0);
            let mut values: Vec<f64> = (0..n)
                .map(|i| draw(8.0) * if (i + trial) % 3 == 0 { -1.0 } else { 1.0 })
                .collect();
            values.sort_by(f64::total_cmp);
            let slopes = (0..n).map(|_| draw(6.0)).collect();
            check(&Spectrum { values, slopes }, sigma, 1e-6);
        }
    }

    #[test]
    fn steps_within_a_ball_meet_the_global_conditions() {
        let mut stream = SeedTree::new(6).stream(0);
        for trial in 0..2000 {
            let n = 1 + trial % 7;
            let mut draw = |spread: f64| 10f64.powf(spread * (stream.uniform() - 0.5));
            let radius = draw(8.0);
            let mut values: Vec<f64> = (0..n)
                .map(|i| draw(6.0) * if (i + trial) % 3 == 0 { -1.0 } else { 1.0 })
                .collect();
            values.sort_by(f64::total_cmp);
            // Every fourth gradient has no part along the first eigenvector: the hard case, if that is negative.
            let slopes = (0..n)
                .map(|i| {
                    if trial % 4 == 0 && i == 0 {
                        0.0
                    } else {
                        draw(6.0)
                    }
                })
                .collect();
            let s = Spectrum { values, slopes };
            let (m, on_sphere) = s.within(radius);
            assert!(
                m.norm <= radius * (1.0 + 1e-12) && m.predicted() >= 0.0,
                "{s:?} {radius}"
            );
            // λ from the steepest coordinate; the same for all, and large enough for convexity.
            let pairs = s.values.iter().zip(s.slopes.iter().zip(&m.y));
            let scale = s.slopes.iter().fold(1e-300, |a: f64, c| a.max(c.abs()));
            let moved = pairs.clone().filter(|(_, (c, _))| **c != 0.0);
            let lambdas: Vec<f64> = moved.map(|(t, (c, y))| -c / y - t).collect();
            let lambda = if on_sphere {
                lambdas.iter().copied().fold(-s.values[0], f64::max)
            } else {
                0.0
            };
            assert!(
                lambda >= -1e-6 * s.values[0].abs(),
                "{s:?} {radius}: {lambda}"
            );
            for (t, (c, y)) in pairs {
                let residual = ((t + lambda) * y + c).abs();
                let rounding = 1e-6 * scale + 1e-6 * (t.abs() + lambda) * y.abs();
                assert!(
                    residual <= rounding,
                    "{s:?} {radius}: {residual:e}, λ = {lambda}"
                );
            }
            assert!(
                !on_sphere || (m.norm - radius).abs() <= 1e-6 * radius,
                "{s:?} {radius}"
            );
        }
    }

    #[test]
    fn the_hard_case_goes_along_the_negative_eigenvector() {
        let s = Spectrum {
            values: vec![-2.0, 1.0, 3.0],
            slopes: vec![0.0, 0.3, -0.6],
        };
        check(&s, 0.5, 1e-9);
        let m = s.minimise(0.5);
        assert!((m.norm - 4.0).abs() < 1e-12 && m.y[0].abs() > 3.9, "{m:?}");
        // A saddle point: no gradient at all.
        let saddle = Spectrum {
            values: vec![-1.0, 2.0],
            slopes: vec![0.0, 0.0],
        };
        let m = saddle.minimise(2.0);
        assert!((m.norm - 0.5).abs() < 1e-12 && m.predicted() > 0.0, "{m:?}");
    }

    #[test]
    fn a_small_weight_gives_the_newton_step() {
        let s = Spectrum {
            values: vec![0.5, 2.0],
            slopes: vec![1.0, -4.0],
        };
        let m = s.minimise(1e-30);
        assert!(
            (m.y[0] + 2.0).abs() < 1e-12 && (m.y[1] - 2.0).abs() < 1e-12,
            "{m:?}"
        );
    }
}
