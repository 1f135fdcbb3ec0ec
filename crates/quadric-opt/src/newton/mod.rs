//! Newton's method, made to work from anywhere.
//!
//! [`GscNewton`] for generalised self-concordant problems (generalised linear models), [`TrustRegionNewton`] for every
//! other twice differentiable function, convex or not, as does [`CubicNewton`] with a term of third order in place of the
//! region, [`RegularizedNewton`] with the gradient's norm, [`NewtonMr`] with the least of all solutions, and
//! [`SketchedNewton`] for sums over many rows, from few of them.

mod ball;
mod cubic;
mod damping;
mod direct;
mod gsc_newton;
mod kept;
mod newton_mr;
mod reduced;
mod regularized;
mod schedule;
mod secular;
mod sketched;
mod standing;
mod system;
mod trust_region;
mod watch;

pub use cubic::{CubicNewton, CubicState};
pub use gsc_newton::{GscNewton, GscState};
pub use kept::Kept;
pub use newton_mr::{NewtonMr, NewtonMrState};
pub use regularized::{RegularizedNewton, RegularizedState};
pub use schedule::{Level, Path, Schedule};
pub use sketched::{Sketch, SketchedNewton, SketchedState};
pub use standing::Standing;
pub use system::{LinearSolver, Preconditioner, System};
pub use trust_region::{TrustRegionNewton, TrustRegionState};
pub use watch::Watch;
