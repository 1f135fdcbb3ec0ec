//! Losses of one linear predictor u with target y: value, two derivatives, and differences without cancellation.
//!
//! Nothing here overflows before its true value does: exponentials are taken of non-positive numbers only, except the
//! mean `exp(u)` of the Poisson loss itself.

use quadric_linalg::math::{
    exp, exp_all, sigmoid, sigmoid_and_slope, sigmoid_slope, sigmoid_slope_all, softplus,
    softplus_and_sigmoid, softplus_changes,
};

/// A loss of one predictor. All functions are of (y, u).
pub(crate) trait Curve: Copy + Sync {
    /// The loss and its derivative in u.
    fn value_slope(self, y: f64, u: f64) -> (f64, f64);

    /// The derivative in u.
    fn slope(self, y: f64, u: f64) -> f64 {
        self.value_slope(y, u).1
    }

    /// The second derivative in u.
    fn curvature(self, y: f64, u: f64) -> f64;

    /// Losses and their derivatives for equally long slices; overwrites `u`.
    #[inline]
    fn values_slopes(self, y: &[f64], u: &mut [f64], value: &mut [f64], slope: &mut [f64]) {
        for (((y, u), value), slope) in y.iter().zip(u).zip(value).zip(slope) {
            (*value, *slope) = self.value_slope(*y, *u);
        }
    }

    /// Second derivatives for equally long slices; overwrites `u`.
    #[inline]
    fn curvatures(self, y: &[f64], u: &mut [f64], out: &mut [f64]) {
        for ((y, u), out) in y.iter().zip(u).zip(out) {
            *out = self.curvature(*y, *u);
        }
    }

    /// First and second derivatives for equally long slices; overwrites `u`.
    #[inline]
    fn slopes_curvatures(self, y: &[f64], u: &mut [f64], slope: &mut [f64], bend: &mut [f64]) {
        for (((y, u), slope), bend) in y.iter().zip(u).zip(slope).zip(bend) {
            (*slope, *bend) = (self.slope(*y, *u), self.curvature(*y, *u));
        }
    }

    /// `loss(u + t) - loss(u)`, with an error that shrinks with t.
    fn change(self, y: f64, u: f64, t: f64) -> f64;

    /// Changes for equally long slices; overwrites `u` and `t`.
    #[inline]
    fn changes(self, y: &[f64], u: &mut [f64], t: &mut [f64], out: &mut [f64]) {
        for (((y, u), t), out) in y.iter().zip(u).zip(t).zip(out) {
            *out = self.change(*y, *u, *t);
        }
    }
}

/// Below this step a difference is computed as one expression instead of as a difference of two values.
pub(crate) const SMALL: f64 = 0.5;

/// Half the squared residual.
#[derive(Clone, Copy)]
pub(crate) struct Squared;

impl Curve for Squared {
    #[inline]
    fn value_slope(self, y: f64, u: f64) -> (f64, f64) {
        let r = u - y;
        (0.5 * r * r, r)
    }
    #[inline]
    fn curvature(self, _y: f64, _u: f64) -> f64 {
        1.0
    }
    #[inline]
    fn change(self, y: f64, u: f64, t: f64) -> f64 {
        t * (0.5 * t + (u - y))
    }
}

/// The logistic loss; y is -1 or +1.
#[derive(Clone, Copy)]
pub(crate) struct Logistic;

impl Curve for Logistic {
    #[inline]
    fn value_slope(self, y: f64, u: f64) -> (f64, f64) {
        let t = -y * u;
        (softplus(t), -y * sigmoid(t))
    }
    #[inline]
    fn slope(self, y: f64, u: f64) -> f64 {
        -y * sigmoid(-y * u)
    }
    #[inline]
    fn curvature(self, _y: f64, u: f64) -> f64 {
        sigmoid_slope(u)
    }
    fn values_slopes(self, y: &[f64], u: &mut [f64], value: &mut [f64], slope: &mut [f64]) {
        for (u, y) in u.iter_mut().zip(y) {
            *u *= -y;
        }
        softplus_and_sigmoid(u, value, slope);
        for (slope, y) in slope.iter_mut().zip(y) {
            *slope *= -y;
        }
    }
    fn curvatures(self, _y: &[f64], u: &mut [f64], out: &mut [f64]) {
        sigmoid_slope_all(u, out);
    }
    fn slopes_curvatures(self, y: &[f64], u: &mut [f64], slope: &mut [f64], bend: &mut [f64]) {
        for (u, y) in u.iter_mut().zip(y) {
            *u *= -y;
        }
        sigmoid_and_slope(u, slope, bend);
        for (slope, y) in slope.iter_mut().zip(y) {
            *slope *= -y;
        }
    }
    #[inline]
    fn change(self, y: f64, u: f64, t: f64) -> f64 {
        let mut out = [0.0];
        self.changes(&[y], &mut [u], &mut [t], &mut out);
        out[0]
    }
    fn changes(self, y: &[f64], u: &mut [f64], t: &mut [f64], out: &mut [f64]) {
        for ((u, t), y) in u.iter_mut().zip(t.iter_mut()).zip(y) {
            *u *= -y;
            *t *= -y;
        }
        softplus_changes(u, t, out);
    }
}

/// The Poisson loss with the logarithm as link.
#[derive(Clone, Copy)]
pub(crate) struct Poisson;

impl Curve for Poisson {
    #[inline]
    fn value_slope(self, y: f64, u: f64) -> (f64, f64) {
        let mean = exp(u);
        (mean - y * u, mean - y)
    }
    #[inline]
    fn curvature(self, _y: f64, u: f64) -> f64 {
        exp(u)
    }
    fn values_slopes(self, y: &[f64], u: &mut [f64], value: &mut [f64], slope: &mut [f64]) {
        exp_all(u, slope);
        for (((y, u), value), slope) in y.iter().zip(u).zip(value).zip(slope) {
            *value = *slope - y * *u;
            *slope -= y;
        }
    }
    fn curvatures(self, _y: &[f64], u: &mut [f64], out: &mut [f64]) {
        exp_all(u, out);
    }
    #[inline]
    fn change(self, y: f64, u: f64, t: f64) -> f64 {
        if t.abs() < SMALL {
            exp(u) * t.exp_m1() - y * t
        } else {
            exp(u + t) - exp(u) - y * t
        }
    }
}

/// Huber's loss.
#[derive(Clone, Copy)]
pub(crate) struct Huber {
    pub(crate) delta: f64,
}

impl Curve for Huber {
    #[inline]
    fn value_slope(self, y: f64, u: f64) -> (f64, f64) {
        let r = u - y;
        let inside = r.clamp(-self.delta, self.delta);
        (inside * (r - 0.5 * inside), inside)
    }
    #[inline]
    fn curvature(self, y: f64, u: f64) -> f64 {
        if (u - y).abs() <= self.delta {
            1.0
        } else {
            0.0
        }
    }
    #[inline]
    fn change(self, y: f64, u: f64, t: f64) -> f64 {
        let r = u - y;
        let (from, to) = (r / self.delta, (r + t) / self.delta);
        if from.abs() <= 1.0 && to.abs() <= 1.0 {
            t * (0.5 * t + r)
        } else if from.abs() >= 1.0 && to.abs() >= 1.0 && from * to > 0.0 {
            self.delta.copysign(r) * t
        } else {
            self.value_slope(y, u + t).0 - self.value_slope(y, u).0
        }
    }
}

/// The smooth relative of Huber's loss.
#[derive(Clone, Copy)]
pub(crate) struct PseudoHuber {
    pub(crate) delta: f64,
}

impl Curve for PseudoHuber {
    #[inline]
    fn value_slope(self, y: f64, u: f64) -> (f64, f64) {
        let r = u - y;
        let root = (r / self.delta).hypot(1.0);
        // δ²(root - 1) without the cancellation at small residuals.
        (r * (r / (root + 1.0)), r / root)
    }
    #[inline]
    fn curvature(self, y: f64, u: f64) -> f64 {
        let root = ((u - y) / self.delta).hypot(1.0);
        1.0 / root / root / root
    }
    #[inline]
    fn change(self, y: f64, u: f64, t: f64) -> f64 {
        let r = u - y;
        let (from, to) = (
            (r / self.delta).hypot(1.0),
            ((r + t) / self.delta).hypot(1.0),
        );
        t * ((2.0 * r + t) / (from + to))
    }
}

/// Runs an expression with the curve of a loss of one predictor; softmax has its own arm.
macro_rules! with_curve {
    ($loss:expr, $curve:ident => $one:expr, softmax => $many:expr) => {
        match $loss {
            $crate::Loss::Squared => {
                let $curve = $crate::glm::curve::Squared;
                $one
            }
            $crate::Loss::Logistic => {
                let $curve = $crate::glm::curve::Logistic;
                $one
            }
            $crate::Loss::Poisson => {
                let $curve = $crate::glm::curve::Poisson;
                $one
            }
            $crate::Loss::Huber { delta } => {
                let $curve = $crate::glm::curve::Huber { delta };
                $one
            }
            $crate::Loss::PseudoHuber { delta } => {
                let $curve = $crate::glm::curve::PseudoHuber { delta };
                $one
            }
            $crate::Loss::Softmax => $many,
        }
    };
}
pub(crate) use with_curve;
