//! Problems of Quadric: generalised linear models with values, gradients, Hessian operators and certificates.

mod glm;
mod loss;

pub use glm::{Fit, FoldFit, Glm, GlmOptions, HeldOut, LinearModel, Prediction};
pub use loss::Loss;
