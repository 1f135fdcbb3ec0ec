//! Quasi-Newton directions: curvature learned from differences of gradients.

mod batched;
mod bfgs;
mod lbfgs;

pub use batched::{BatchedLbfgs, BatchedLbfgsConfig, BatchedState};
pub use bfgs::{Bfgs, BfgsConfig, InverseEstimate, LARGEST};
pub use lbfgs::{Lbfgs, LbfgsConfig};
pub(crate) use lbfgs::{LbfgsState, unit_steepest};
