//! What the curvature of a model is: eigenvalues, traces, densities and factors of its Hessian, Gauss-Newton, Fisher and
//! covariance matrices.

mod factors;
mod gather;
mod place;
mod refine;
mod spectral;

pub use factors::{Factors, Layer, Sharing, Split};
pub use place::Place;
pub use spectral::{Factored, Spectral};
