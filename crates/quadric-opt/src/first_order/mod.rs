//! Methods that use gradients only.

mod accelerated;
mod gradient_descent;
mod svrg;

pub use accelerated::{AcceleratedGradient, AcceleratedGradientConfig};
pub use gradient_descent::{GradientDescentConfig, Steepest};
pub use svrg::{Svrg, SvrgConfig};
