//! Problems of Quadric: generalised linear models with values, gradients, Hessian operators and certificates; test problems
//! with exact derivatives; functions from closures.

mod function;
mod glm;
mod loss;
pub mod nls;

pub use function::Function;
pub use glm::{
    Fits, Fitted, FoldFit, Glm, GlmBatch, GlmOptions, HeldOut, LinearModel, OneVsRest, Prediction,
    RawGlm,
};
pub use loss::Loss;
