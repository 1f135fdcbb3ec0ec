//! One way to say what a method needed to reach the known minimum, whoever wrote the method.

use super::{Answer, TestProblem};
use quadric_core::{BoxOp, Clock, Objective, Problem, Result, Smooth, TwiceSmooth, capabilities};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Effort {
    /// Points at which the value, the gradient or both were asked for; both one after the other at one point count once.
    pub evaluations: u64,
    /// Hessians.
    pub hessians: u64,
    /// Time since the start.
    pub time: Duration,
}

/// A test problem that watches its own evaluations.
pub struct Referee<'a> {
    test: &'a TestProblem,
    clock: &'a dyn Clock,
    start: Duration,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The newest point.
    point: Vec<f64>,
    spent: Effort,
    /// What was spent when a value was first at the minimum.
    reached: Option<Effort>,
}

impl<'a> Referee<'a> {
    /// Starts the clock.
    pub fn new(test: &'a TestProblem, clock: &'a dyn Clock) -> Self {
        Self {
            test,
            clock,
            start: clock.now(),
            seen: Mutex::default(),
        }
    }

    /// What was spent so far.
    pub fn spent(&self) -> Effort {
        let spent = self.seen().spent;
        Effort {
            time: self.clock.now().saturating_sub(self.start),
            ..spent
        }
    }

    /// What had been spent when F was first evaluated at the known minimum, to its digits; `None` before.
    pub fn reached(&self) -> Option<Effort> {
        self.seen().reached
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, x: &[f64], value: f64) {
        let mut seen = self.seen();
        if seen.point != x {
            seen.point.clear();
            seen.point.extend_from_slice(x);
            seen.spent.evaluations += 1;
        }
        if seen.reached.is_none() && self.test.judge(value) == Answer::Minimum {
            seen.reached = Some(Effort {
                time: self.clock.now().saturating_sub(self.start),
                ..seen.spent
            });
        }
    }
}

impl Problem<f64> for Referee<'_> {
    fn dim(&self) -> usize {
        self.test.start.len()
    }

    fn name(&self) -> &str {
        self.test.name
    }

    capabilities!(f64: TwiceSmooth);
}

impl Objective<f64> for Referee<'_> {
    fn value(&self, x: &[f64]) -> Result<f64> {
        let value = self.test.problem.value(x)?;
        self.note(x, value);
        Ok(value)
    }
}

impl Smooth<f64> for Referee<'_> {
    fn value_grad(&self, x: &[f64], g: &mut [f64]) -> Result<f64> {
        let value = self.test.problem.value_grad(x, g)?;
        self.note(x, value);
        Ok(value)
    }
}

impl TwiceSmooth<f64> for Referee<'_> {
    fn hessian(&self, x: &[f64]) -> Result<BoxOp<'_, f64>> {
        self.seen().spent.hessians += 1;
        self.test.problem.hessian(x)
    }
}
