//! Quasi-Newton directions: curvature learned from differences of gradients.

mod lbfgs;

pub(crate) use lbfgs::unit_steepest;
pub use lbfgs::{Lbfgs, LbfgsConfig};
