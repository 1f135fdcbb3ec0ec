//! Newton's method, made to work from anywhere.
//!
//! [`GscNewton`] for generalised self-concordant problems (generalised linear models), [`TrustRegionNewton`] for every
//! other twice differentiable function, convex or not.

mod damping;
mod direct;
mod gsc_newton;
mod schedule;
mod system;
mod trust_region;
mod watch;

pub use gsc_newton::{GscNewton, GscState};
pub use schedule::{Level, Path, Schedule};
pub use system::{LinearSolver, Preconditioner, System};
pub use trust_region::{TrustRegionNewton, TrustRegionState};
pub use watch::Watch;

use quadric_core::{AnyMethod, Problem, Result, Scalar, State, Visitor};

/// The method of this family for a problem: [`GscNewton`] where it can be used, else
/// [`TrustRegionNewton`]. `None` for problems without curvature.
pub fn auto_newton<T: Scalar>(problem: &dyn Problem<T>) -> Option<Box<dyn AnyMethod<T>>> {
    if problem.as_self_concordant().is_some() {
        return Some(Box::new(GscNewton::default()));
    }
    problem.as_twice_smooth()?;
    Some(Box::new(TrustRegionNewton::default()))
}

/// Buffers that carry nothing from one step to the next: a checkpoint leaves them out, and they are made at first use.
pub struct Scratch<V>(Option<V>);

impl<V> Default for Scratch<V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<V> Scratch<V> {
    pub(crate) fn get(&mut self, make: impl FnOnce() -> V) -> &mut V {
        self.0.get_or_insert_with(make)
    }
}

impl<V: Send + 'static> State for Scratch<V> {
    fn visit(&mut self, _: &str, _: &mut dyn Visitor) -> Result<()> {
        Ok(())
    }
}
