//! Problems of Quadric: generalised linear models with values, gradients, Hessian operators and certificates; sums of squares
//! with exact derivatives, the classical test problems among them.

mod glm;
mod loss;
pub mod nls;

pub use glm::{
    Fits, Fitted, FoldFit, Glm, GlmBatch, GlmOptions, HeldOut, LinearModel, OneVsRest, Prediction,
};
pub use loss::Loss;
