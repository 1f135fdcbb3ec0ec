//! Problems of Quadric: generalised linear models with values, gradients, Hessian operators and certificates; test problems
//! with exact derivatives; functions from closures.

mod function;
mod glm;
mod loss;
pub mod nls;

pub use function::Function;
pub use glm::{Fit, FoldFit, Glm, GlmOptions, HeldOut, LinearModel, Prediction};
pub use loss::Loss;
