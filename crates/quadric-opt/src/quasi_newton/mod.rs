//! Quasi-Newton directions: curvature learned from differences of gradients.

mod batched;
mod bfgs;
mod lbfgs;

pub use batched::{BatchedLbfgs, BatchedLbfgsConfig, BatchedState};
pub use bfgs::{Bfgs, BfgsConfig, InverseEstimate, LARGEST};
pub(crate) use lbfgs::unit_steepest;
pub use lbfgs::{Lbfgs, LbfgsConfig};
