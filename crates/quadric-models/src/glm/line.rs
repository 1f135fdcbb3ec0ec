//! A linear model along a line: the predictors are linear in the step, so a trial costs O(n).

use super::Glm;
use quadric_core::{LineModel, Result, Scalar};
use std::sync::Arc;

pub(crate) struct GlmLine<'a, T: Scalar> {
    problem: &'a Glm<T>,
    at: Arc<Vec<T>>,
    along: Arc<Vec<T>>,
    /// The penalty is `mixed alpha + square alpha²` above its value at the start of the line.
    mixed: f64,
    square: f64,
}

impl<'a, T: Scalar> GlmLine<'a, T> {
    pub(crate) fn new(problem: &'a Glm<T>, x: &[T], d: &[T]) -> Self {
        Self {
            problem,
            at: problem.products(x),
            along: problem.products(d),
            mixed: problem.penalty_along(x, d),
            square: problem.penalty(d),
        }
    }
}

impl<T: Scalar> LineModel for GlmLine<'_, T> {
    fn change(&mut self, alpha: f64) -> Result<f64> {
        let loss = self
            .problem
            .samples
            .change(&self.at, |e| alpha * self.along[e].to_f64());
        Ok(loss + alpha * (self.mixed + alpha * self.square))
    }

    fn slope(&mut self, alpha: f64) -> Result<f64> {
        let loss = self.problem.samples.slope(&self.at, &self.along, alpha);
        Ok(loss + (self.mixed + 2.0 * alpha * self.square))
    }
}
