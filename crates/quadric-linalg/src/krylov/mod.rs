//! Krylov methods: iterations that meet the matrix only through products with blocks of vectors.

mod bidiagonal;
mod cg;
mod lanczos;
mod least_squares;
mod lsmr;
mod lsqr;
mod minres_qlp;
mod space;
mod tridiagonal;

pub use cg::{CgOptions, CgReport, CgStop, CgWorkspace, cg, cg_block};
pub use lanczos::lanczos_bounds;
pub use least_squares::{
    LeastSquaresOptions, LeastSquaresReport, LeastSquaresStop, LeastSquaresWorkspace,
};
pub use lsmr::lsmr;
pub use lsqr::lsqr;
pub use minres_qlp::{MinresOptions, MinresReport, MinresStop, MinresWorkspace, minres_qlp};
pub use space::KrylovSpace;

use crate::vector::{norm2, scale};
use crate::{Error, Result, Scalar};

/// The power of two at or below `norm`, as an exponent; 0 for 0.
pub(crate) fn exponent(norm: f64) -> i32 {
    if norm == 0.0 {
        return 0;
    }
    libm::frexp(norm).1 - 1
}

/// The exponent of the unit of a solve: that of the right-hand side, unless a start is so far beyond it that it would
/// overflow in this unit.
fn unit<T: Scalar>(rhs: f64, start: f64) -> i32 {
    let room = if T::EPSILON < 1e-10 { 400 } else { 60 };
    if start > 0.0 {
        exponent(rhs).max(exponent(start) - room)
    } else {
        exponent(rhs)
    }
}

/// Multiplies by powers of two in two halves, since one factor may not be representable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rescale(f64, f64);

impl Rescale {
    /// Multiplication by 2^`exponent`.
    pub(crate) fn by(exponent: i32) -> Self {
        let half = exponent / 2;
        Self(libm::ldexp(1.0, half), libm::ldexp(1.0, exponent - half))
    }

    pub(crate) fn value(self, v: f64) -> f64 {
        v * self.0 * self.1
    }

    pub(crate) fn entry<T: Scalar>(self, v: T) -> T {
        T::of(self.value(v.to_f64()))
    }
}

/// The symmetric reflection (c, s; s, -c) that turns (a, b) into (r, 0) with r >= 0, as (c, s, r).
fn reflection(a: f64, b: f64) -> (f64, f64, f64) {
    let r = a.hypot(b);
    if r == 0.0 {
        return (1.0, 0.0, 0.0);
    }
    (a / r, b / r, r)
}

/// The first entry of a vector that is not finite, as an error about `what`.
pub(crate) fn require_finite<T: Scalar>(
    what: impl std::fmt::Display,
    mut v: impl Iterator<Item = T>,
) -> Result<()> {
    match v.position(|v| !v.to_f64().is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::new(
            crate::ErrorKind::NonFinite,
            format!("{what} at entry {i} is not finite"),
        )),
    }
}

/// A value that a product of the operator gave, if it is finite.
pub(crate) fn finite(value: f64) -> Result<f64> {
    if value.is_finite() {
        return Ok(value);
    }
    Err(Error::new(
        crate::ErrorKind::NonFinite,
        "the operator gave a product that is not finite",
    ))
}

/// Scales a vector to norm 1 and returns the norm it had; a zero vector stays.
pub(crate) fn normalise<T: Scalar>(v: &mut [T]) -> Result<f64> {
    let norm = finite(norm2(v))?;
    if norm > 0.0 {
        // Through a power of two first: 1 / norm may overflow, or the entries may be subnormal.
        let down = Rescale::by(-exponent(norm));
        v.iter_mut().for_each(|v| *v = down.entry(*v));
        scale(down.value(norm).recip(), v);
    }
    Ok(norm)
}
