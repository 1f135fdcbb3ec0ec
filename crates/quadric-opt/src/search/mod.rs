//! Line searches. A length of 0 means that no step along the line makes progress in this arithmetic; nothing fails
//! silently, and a NaN or infinite trial is a point outside the domain.

mod armijo;
mod interpolate;
mod wolfe;

pub use armijo::Armijo;
pub(crate) use wolfe::Search;
pub use wolfe::StrongWolfe;

use quadric_core::{Line, Scalar};

/// How much the difference of two values near `f` can owe to rounding, where each is a sum of many terms.
pub(crate) fn rounding<T: Scalar>(f: f64) -> f64 {
    64.0 * T::EPSILON * f.abs()
}

/// Below this change of F its sign means nothing and slopes decide; 0 on lines whose differences do not cancel. Where F is
/// nearly a parabola, the conditions on slopes imply that F falls, so nothing but rounding can rise by this much.
pub(crate) fn slack<T: Scalar>(line: &Line<'_, T>) -> f64 {
    if line.is_cheap() {
        0.0
    } else {
        rounding::<T>(line.value())
    }
}
