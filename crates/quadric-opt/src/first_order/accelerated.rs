//! Accelerated gradient descent: `y = (1 - theta) x + theta z`, `x+ = y - grad F(y) / L`, `z+ = x + (x+ - x) / theta`
//! (Nesterov, "A method for solving the convex programming problem with convergence rate O(1/k²)", Soviet Math. Dokl. 27,
//! 1983), with the curvature L estimated both upwards and downwards and theta following it (Becker, Candès, Grant,
//! "Templates for convex cone problems", Math. Prog. Comp. 3, 2011, section 5.3) and adaptive restart (O'Donoghue, Candès,
//! "Adaptive restart for accelerated gradient schemes", arXiv 1204.3982).
//!
//! Momentum is dropped when it points uphill. A step that raises F is taken back, so that F never rises also where F is
//! not convex. Each step costs a gradient at y and a value at x+; the optimality reported is the gradient at y.

use crate::config::{Config, Fault};
use crate::descent::Standing;
use crate::scratch::Scratch;
use crate::search;
use quadric_core::{
    Context, Exit, Line, Method, Problem, Reading, Result, Scalar, Smooth, Trial, vector,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Accelerated gradient descent with restarts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AcceleratedGradient {
    /// Factor on the curvature estimate before every step, at most 1.
    pub decrease: f64,
    /// Least factor on it after a trial that fell too little, above 1.
    pub increase: f64,
}

quadric_core::state! {
    /// The second sequence and the curvature.
    pub struct AcceleratedState[T: Scalar] {
        /// F at x, the gradient at the last y.
        at: Standing<T>,
        z: Vec<T>,
        /// The last weight of z; infinite right after a restart, so that the next one is 1.
        theta: f64,
        /// Estimate of the largest curvature.
        curvature: f64,
        y: Scratch<Vec<T>>,
        d: Scratch<Vec<T>>,
        trial: Scratch<Trial<T>>,
    }
}

/// What a trial from y led to.
enum Trialled {
    /// F there; `x+` is in the buffer of the trial.
    Falls(f64),
    /// The curvature estimate was raised.
    TooFar,
    /// y is outside the domain.
    Outside,
    /// The step is lost in rounding.
    Still,
}

impl AcceleratedGradient {
    /// Tries a gradient step from y, whose value and gradient are known.
    fn try_from_y<T: Scalar>(
        &self,
        p: &dyn Smooth<T>,
        f_y: f64,
        s: &mut AcceleratedState<T>,
        cx: &mut Context,
    ) -> Result<Trialled> {
        let (y, d) = (&s.y.0, &mut s.d.0);
        let square = vector::dot(&s.at.g, &s.at.g);
        if !(f_y.is_finite() && square.is_finite()) {
            return Ok(Trialled::Outside);
        }
        for (d, g) in d.iter_mut().zip(&s.at.g) {
            *d = T::of(-g.to_f64());
        }
        let alpha = 1.0 / s.curvature;
        let mut line = Line::reusing(p, y, d, f_y, std::mem::take(&mut s.trial.0))?;
        let moves = line.moves(alpha);
        let needed = -0.5 * alpha * square;
        let slack = search::slack(&line);
        let (mut change, mut falls) = (0.0, false);
        if moves && -needed > 4.0 * slack {
            change = line.change(alpha)?;
            falls = change <= needed;
        } else if moves {
            // The difference of two values is lost in rounding; the slope at the end says the same for a parabola.
            let (end_change, end_slope) = line.change_and_slope(alpha)?;
            change = end_change;
            falls = change <= slack && end_slope <= 0.0;
        }
        let mut trial = line.into_trial();
        trial.point.resize(y.len(), T::of(0.0));
        Line::point(y, d, alpha, &mut trial.point);
        s.trial.0 = trial;
        if !moves {
            return Ok(Trialled::Still);
        }
        cx.note("trials", 1.0);
        if change.is_finite() && falls {
            return Ok(Trialled::Falls(f_y + change));
        }
        // The curvature that this trial saw along the step, where there is one.
        let seen = 2.0 * (change + alpha * square) / (alpha * alpha * square);
        let least = self.increase * s.curvature;
        s.curvature = if seen.is_finite() {
            seen.clamp(least, 10.0 * least)
        } else {
            10.0 * least
        };
        Ok(Trialled::TooFar)
    }

    /// The weight of z for a new curvature estimate.
    fn next_theta(theta: f64, old: f64, new: f64) -> f64 {
        2.0 / (1.0 + (1.0 + 4.0 * new / (theta * theta * old)).sqrt())
    }
}

impl<T: Scalar> AcceleratedState<T> {
    fn restart(&mut self, x: &[T]) {
        self.theta = f64::INFINITY;
        self.z.copy_from_slice(x);
    }

    /// `y <- (1 - theta) x + theta z`.
    fn mix(&mut self, x: &[T], theta: f64) {
        for ((y, x), z) in self.y.0.iter_mut().zip(x).zip(&self.z) {
            *y = T::of(x.to_f64() + theta * (z.to_f64() - x.to_f64()));
        }
    }

    /// Moves x to the trial point, z along; true if the momentum points uphill.
    fn accept(&mut self, x: &mut [T], theta: f64) -> bool {
        let mut uphill = 0.0;
        for i in 0..x.len() {
            let (old, new) = (x[i].to_f64(), self.trial.0.point[i].to_f64());
            uphill += self.at.g[i].to_f64() * (new - old);
            self.z[i] = T::of(old + (new - old) / theta);
            x[i] = self.trial.0.point[i];
        }
        self.theta = theta;
        uphill > 0.0 || !vector::all_finite(&self.z)
    }
}

impl<T: Scalar> Method<T> for AcceleratedGradient {
    type Problem<'p> = dyn Smooth<T> + 'p;
    type State = AcceleratedState<T>;

    fn init<'p>(
        &self,
        p: &'p (dyn Smooth<T> + 'p),
        x: &mut [T],
        _: &mut Context,
    ) -> Result<(Self::State, Reading)> {
        let at = Standing::new(p, x)?;
        let reading = at.reading();
        // The first trial has unit length.
        let norm = vector::norm2(&at.g);
        let curvature = if norm > 0.0 && norm.is_finite() {
            norm
        } else {
            1.0
        };
        let state = AcceleratedState {
            at,
            z: x.to_vec(),
            theta: f64::INFINITY,
            curvature,
            y: Scratch(x.to_vec()),
            d: Scratch(x.to_vec()),
            trial: Scratch(Trial::default()),
        };
        Ok((state, reading))
    }

    fn step<'p>(
        &self,
        p: &'p (dyn Smooth<T> + 'p),
        x: &mut [T],
        s: &mut Self::State,
        cx: &mut Context,
    ) -> Result<Reading> {
        if !s.at.fresh {
            s.restart(x);
        }
        s.at.refresh(p, x)?;
        if s.at.is_tired() {
            return Ok(s.at.reading().exit(Exit::Stalled));
        }
        let old = s.curvature;
        s.curvature = (self.decrease * old).max(f64::MIN_POSITIVE);
        let ceiling = s.at.f_least + search::rounding::<T>(s.at.f_least);
        let mut known = None;
        loop {
            let fresh = s.theta.is_infinite();
            let theta = Self::next_theta(s.theta, old, s.curvature);
            s.mix(x, theta);
            let f_y = match known {
                Some(f_y) if fresh => f_y,
                _ => p.value_grad(&s.y.0, &mut s.at.g)?,
            };
            // Without momentum y stays where it is when the step is shortened.
            known = fresh.then_some(f_y);
            match self.try_from_y(p, f_y, s, cx)? {
                Trialled::TooFar => {}
                Trialled::Falls(f) if f <= ceiling || fresh => {
                    s.at.f = f;
                    if s.accept(x, theta) {
                        cx.note("restarts", 1.0);
                        s.restart(x);
                    }
                    cx.note("step", 1.0 / s.curvature);
                    return Ok(s.at.book());
                }
                _ if !fresh => {
                    cx.note("restarts", 1.0);
                    s.restart(x);
                }
                Trialled::Still => {
                    return Ok(s.at.reading().exit(Exit::Stalled));
                }
                // It was finite a moment ago: only the driver can recover.
                _ => return Ok(Reading::at(f_y, f64::NAN)),
            }
        }
    }

    fn memory(&self, p: &dyn Problem<T>) -> usize {
        7 * p.dim() * size_of::<T>()
    }

    fn recover(&self, s: &mut Self::State) -> bool {
        s.at.fresh = false;
        true
    }
}

/// Options of `accelerated-gradient`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AcceleratedGradientConfig {
    /// Factor on the curvature estimate before every step, in (0, 1]. Default 0.9 (Becker, Candès, Grant 2011, section
    /// 5.3).
    pub decrease: f64,
    /// Least factor on it after a trial that fell too little, above 1. Default 2 (the same).
    pub increase: f64,
}

impl Default for AcceleratedGradientConfig {
    fn default() -> Self {
        Self {
            decrease: 0.9,
            increase: 2.0,
        }
    }
}

impl Config for AcceleratedGradientConfig {
    type Method = AcceleratedGradient;

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !(self.decrease > 0.0 && self.decrease <= 1.0) {
            faults.push(Fault::range(
                "decrease",
                self.decrease,
                "a number in (0, 1]",
            ));
        }
        if !(self.increase > 1.0 && self.increase <= 1e3) {
            faults.push(Fault::range(
                "increase",
                self.increase,
                "a number in (1, 1000]",
            ));
        }
        faults
    }

    fn method(&self) -> Self::Method {
        AcceleratedGradient {
            decrease: self.decrease,
            increase: self.increase,
        }
    }
}
