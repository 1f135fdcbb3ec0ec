//! Methods that use gradients only.

mod gradient_descent;

pub use gradient_descent::{GradientDescentConfig, Steepest};
