//! Gradient descent with backtracking from a Barzilai-Borwein step (Barzilai, Borwein, "Two-point step size gradient
//! methods", IMA J. Numer. Anal. 8, 1988), long or short as Zhou, Gao and Dai choose ("Gradient methods with adaptive
//! step-sizes", Comput. Optim. Appl. 35, 2006).
//!
//! The direction is the steepest descent times the step that the last change of the gradient suggests, so the line search
//! always starts at 1. After a step of no positive curvature the length grows tenfold. The first step has unit length.

use crate::config::{Config, Fault};
use crate::descent::Descent;
use crate::quasi_newton::unit_steepest;
use crate::search::Armijo;
use quadric_core::{Context, Direction, Point, Result, Scalar, Smooth, vector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Steepest descent, scaled by a Barzilai-Borwein step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steepest;

quadric_core::state! {
    /// The last point and gradient.
    pub struct SteepestState[T: Scalar] {
        x: Vec<T>,
        g: Vec<T>,
        /// False until there is a last point.
        known: bool,
    }
}

/// Below this ratio of the short to the long step the short one is taken (Zhou, Gao, Dai 2006).
const SHORT_BELOW: f64 = 0.5;

impl<T: Scalar> SteepestState<T> {
    /// The step that the change since the last point suggests; `None` where it suggests nothing.
    fn step(&self, at: Point<'_, T>) -> Option<f64> {
        let (mut ss, mut sy, mut yy) = (0.0, 0.0, 0.0);
        for i in 0..at.x.len() {
            let s = at.x[i].to_f64() - self.x[i].to_f64();
            let y = at.g[i].to_f64() - self.g[i].to_f64();
            ss += s * s;
            sy += s * y;
            yy += y * y;
        }
        let (long, short) = (ss / sy, sy / yy);
        let step = if sy <= T::EPSILON * ss.sqrt() * yy.sqrt() {
            10.0 * ss.sqrt() / vector::norm2(at.g)
        } else if short < SHORT_BELOW * long {
            short
        } else {
            long
        };
        (step > 0.0 && step.is_finite()).then_some(step)
    }
}

impl<T: Scalar> Direction<T> for Steepest {
    type Problem<'p> = dyn Smooth<T> + 'p;
    type State = SteepestState<T>;

    fn init<'p>(
        &self,
        _: &'p (dyn Smooth<T> + 'p),
        x: &[T],
        _: &mut Context,
    ) -> Result<Self::State> {
        let zeros = vec![T::of(0.0); x.len()];
        Ok(SteepestState {
            x: zeros.clone(),
            g: zeros,
            known: false,
        })
    }

    fn direction<'p>(
        &self,
        _: &'p (dyn Smooth<T> + 'p),
        state: &mut Self::State,
        at: Point<'_, T>,
        d: &mut [T],
        _: &mut Context,
    ) -> Result<()> {
        match state.known.then(|| state.step(at)).flatten() {
            Some(step) => {
                for (d, g) in d.iter_mut().zip(at.g) {
                    *d = T::of(-step * g.to_f64());
                }
            }
            None => unit_steepest(at.g, d),
        }
        state.x.copy_from_slice(at.x);
        state.g.copy_from_slice(at.g);
        state.known = true;
        Ok(())
    }

    fn reset(&self, state: &mut Self::State) -> bool {
        std::mem::take(&mut state.known)
    }

    fn memory(&self, dim: usize) -> usize {
        2 * dim * size_of::<T>()
    }
}

/// Options of `gradient-descent`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GradientDescentConfig {
    /// Required decrease, in (0, 0.5). Default 1e-4 (Nocedal and Wright 2006, section 3.1).
    pub c1: f64,
}

impl Default for GradientDescentConfig {
    fn default() -> Self {
        Self {
            c1: Armijo::default().c1,
        }
    }
}

impl Config for GradientDescentConfig {
    type Method = Descent<Steepest, Armijo>;

    fn faults(&self) -> Vec<Fault> {
        if self.c1 > 0.0 && self.c1 < 0.5 {
            Vec::new()
        } else {
            vec![Fault::range("c1", self.c1, "a number in (0, 0.5)")]
        }
    }

    fn method(&self) -> Self::Method {
        Descent {
            direction: Steepest,
            rule: Armijo {
                c1: self.c1,
                ..Armijo::default()
            },
        }
    }
}
