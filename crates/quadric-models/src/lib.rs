//! Problems of Quadric: generalised linear models with values, gradients, Hessian operators and certificates.

mod glm;
mod loss;

pub use glm::{Glm, GlmOptions, LinearModel, Prediction};
pub use loss::Loss;
