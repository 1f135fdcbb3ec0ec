//! What the methods for general functions know where they stand.

use super::watch::Watch;
use quadric_core::{Exit, Reading, Result, Scalar, Smooth, vector};

quadric_core::state! {
    /// F and its gradient at the point of a method, and whether it still gets anywhere.
    pub struct Standing[T: Scalar] {
        /// F where the method stands.
        value: f64,
        /// Its gradient there.
        gradient: Vec<T>,
        /// Norm of the gradient at the start.
        first_gradient: f64,
        /// True if value and gradient belong to another point.
        stale: bool,
        /// Looks for an end of progress.
        watch: Watch,
    }
}

impl<T: Scalar> Standing<T> {
    /// At the start `x`.
    pub(super) fn start(p: &dyn Smooth<T>, x: &[T]) -> Result<Self> {
        let mut gradient = vec![T::of(0.0); x.len()];
        let value = p.value_grad(x, &mut gradient)?;
        let mut watch = Watch::new();
        watch.stalls(value, vector::max_abs(&gradient), T::EPSILON);
        Ok(Self {
            value,
            first_gradient: vector::norm2(&gradient),
            gradient,
            stale: false,
            watch,
        })
    }

    /// Evaluates again if the point was moved from outside.
    pub(super) fn refresh(&mut self, p: &dyn Smooth<T>, x: &[T]) -> Result<()> {
        if self.stale {
            self.value = p.value_grad(x, &mut self.gradient)?;
            self.stale = false;
        }
        Ok(())
    }

    pub(super) fn reading(&self) -> Reading {
        Reading::at(self.value, vector::max_abs(&self.gradient))
    }

    /// The reading after a step, which ends the run if the step did not move or nothing improves any more.
    pub(super) fn book(&mut self, moved: bool) -> Reading {
        if !moved {
            return self.reading().exit(Exit::Stalled);
        }
        let gradient = vector::max_abs(&self.gradient);
        let reading = self.reading();
        if self.watch.stalls(self.value, gradient, T::EPSILON) {
            return reading.exit(Exit::Stalled);
        }
        reading
    }
}
