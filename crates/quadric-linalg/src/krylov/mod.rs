//! Krylov methods: iterations that meet the matrix only through products with blocks of vectors.

mod cg;
mod tridiagonal;

pub use cg::{CgOptions, CgReport, CgStop, CgWorkspace, cg, cg_block};

use crate::{Error, Result, Scalar};

/// The power of two at or below `norm`, as an exponent; 0 for 0.
fn exponent(norm: f64) -> i32 {
    if norm == 0.0 {
        return 0;
    }
    libm::frexp(norm).1 - 1
}

/// Multiplies by powers of two in two halves, since one factor may not be representable.
#[derive(Clone, Copy, Debug)]
struct Rescale(f64, f64);

impl Rescale {
    /// Multiplication by 2^`exponent`.
    fn by(exponent: i32) -> Self {
        let half = exponent / 2;
        Self(libm::ldexp(1.0, half), libm::ldexp(1.0, exponent - half))
    }

    fn value(self, v: f64) -> f64 {
        v * self.0 * self.1
    }

    fn entry<T: Scalar>(self, v: T) -> T {
        T::of(self.value(v.to_f64()))
    }
}

/// The first entry of a vector that is not finite, as an error about `what`.
fn require_finite<T: Scalar>(what: &str, mut v: impl Iterator<Item = T>) -> Result<()> {
    match v.position(|v| !v.to_f64().is_finite()) {
        None => Ok(()),
        Some(i) => Err(Error::new(
            crate::ErrorKind::NonFinite,
            format!("{what} at entry {i} is not finite"),
        )),
    }
}
