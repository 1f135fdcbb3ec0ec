//! Line searches. A length of 0 means that no step along the line makes progress in this arithmetic; nothing fails
//! silently, and a NaN or infinite trial is a point outside the domain.

mod armijo;
mod interpolate;
mod wolfe;

pub use armijo::Armijo;
pub use wolfe::StrongWolfe;

use quadric_core::{Line, Scalar};

/// How far F may rise by rounding alone: `4 eps |F|`, and nothing where differences are computed without cancellation.
fn slack<T: Scalar>(line: &Line<'_, T>) -> f64 {
    if line.is_cheap() {
        0.0
    } else {
        4.0 * T::EPSILON * line.value().abs()
    }
}
