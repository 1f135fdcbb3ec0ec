//! Sums and updates over plain slices, compiled for wide vectors. Bits are the same at every level of instructions: sums
//! round each product, updates never do.

use super::simd::dispatch;
use crate::Scalar;

const LANES: usize = 8;

/// `Σ (a_i s) (b_i s)` in eight lanes.
pub(crate) fn dot_scaled<T: Scalar>(a: &[T], b: &[T], s: f64) -> f64 {
    assert_eq!(a.len(), b.len(), "vectors of different lengths");
    dispatch!(dot_body::<T>(a: &[T], b: &[T], s: f64) -> f64)
}

/// [`dot_scaled`] within a function that is compiled for wide vectors itself.
#[inline(always)]
pub(crate) fn dot_body<T: Scalar, const FMA: bool>(a: &[T], b: &[T], s: f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let (a_body, a_tail) = a.as_chunks::<LANES>();
    let (b_body, b_tail) = b.as_chunks::<LANES>();
    for (a, b) in a_body.iter().zip(b_body) {
        for l in 0..LANES {
            lanes[l] += (a[l].to_f64() * s) * (b[l].to_f64() * s);
        }
    }
    for (l, (a, b)) in a_tail.iter().zip(b_tail).enumerate() {
        lanes[l] += (a.to_f64() * s) * (b.to_f64() * s);
    }
    ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5]))
        + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]))
}

/// `y <- y + alpha x`, rounded once per entry.
pub(crate) fn axpy<T: Scalar>(alpha: f64, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "vectors of different lengths");
    dispatch!(axpy_body::<T>(alpha: f64, x: &[T], y: &mut [T]));
}

#[inline(always)]
fn axpy_body<T: Scalar, const FMA: bool>(alpha: f64, x: &[T], y: &mut [T]) {
    for (y, x) in y.iter_mut().zip(x) {
        // Fused even where that is slow: the one rounding is promised.
        *y = T::of(alpha.mul_add(x.to_f64(), y.to_f64()));
    }
}
