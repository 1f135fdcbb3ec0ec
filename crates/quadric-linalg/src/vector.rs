//! Vectors are slices. Sums run over eight lanes and pieces of a fixed size in `f64`, so their bits depend on
//! nothing but the input, whatever the number of threads.

use crate::Scalar;
use crate::kernels::blas1;
use crate::parallel::{for_each, map_ranges, tree_sum};

/// Entries of a long vector that are worked on together; longer ones are cut, and worked on in parallel.
const PIECE: usize = 1 << 16;

/// `aᵀb`, accumulated in `f64`.
///
/// # Panics
/// Vectors of different lengths.
pub fn dot<T: Scalar>(a: &[T], b: &[T]) -> f64 {
    dot_scaled(a, b, 1.0)
}

/// `Σ (a_i s) (b_i s)`.
fn dot_scaled<T: Scalar>(a: &[T], b: &[T], s: f64) -> f64 {
    assert_eq!(a.len(), b.len(), "vectors of different lengths");
    if a.len() <= PIECE {
        return blas1::dot_scaled(a, b, s);
    }
    tree_sum(&map_ranges(a.len(), PIECE, |_, r| {
        blas1::dot_scaled(&a[r.clone()], &b[r], s)
    }))
}

/// Largest absolute value; NaN if any entry is NaN; 0 for an empty vector.
pub fn max_abs<T: Scalar>(a: &[T]) -> f64 {
    a.iter().fold(0.0, |m, v| {
        let v = v.to_f64().abs();
        if v > m || v.is_nan() { v } else { m }
    })
}

/// Euclidean norm without overflow or underflow: finite whenever the result is representable.
pub fn norm2<T: Scalar>(a: &[T]) -> f64 {
    let plain = dot(a, a);
    if plain.is_nan() || (1e-280..1e280).contains(&plain) {
        return plain.sqrt();
    }
    let scale = max_abs(a);
    if scale == 0.0 || !scale.is_finite() {
        return scale;
    }
    // Two factors keep 1/scale finite for subnormal scales.
    let (up, down) = if scale < 1.0 {
        (2f64.powi(600), 2f64.powi(-600))
    } else {
        (2f64.powi(-600), 2f64.powi(600))
    };
    dot_scaled(a, a, up).sqrt() * down
}

/// `y <- y + alpha x`, rounded once per entry.
///
/// # Panics
/// Vectors of different lengths.
pub fn axpy<T: Scalar>(alpha: f64, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "vectors of different lengths");
    if x.len() <= PIECE {
        return blas1::axpy(alpha, x, y);
    }
    let pieces = x.chunks(PIECE).zip(y.chunks_mut(PIECE));
    for_each(pieces, |_, (x, y)| blas1::axpy(alpha, x, y));
}

/// `x <- alpha x`.
pub fn scale<T: Scalar>(alpha: f64, x: &mut [T]) {
    for x in x {
        *x = T::of(alpha * x.to_f64());
    }
}

/// True if every entry is finite.
pub fn all_finite<T: Scalar>(x: &[T]) -> bool {
    x.iter().all(|v| v.to_f64().is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::SQRT_2;

    #[test]
    fn t_n05_norms_at_the_ends_of_the_range() {
        let within_2_ulp = |a: f64, b: f64| {
            assert!(
                (a - b).abs() <= 2.0 * b * f64::EPSILON,
                "{a:e} is not {b:e}"
            );
        };
        within_2_ulp(norm2(&[1e200, 1e200]), SQRT_2 * 1e200);
        within_2_ulp(norm2(&[1e-200, 1e-200]), SQRT_2 * 1e-200);
        within_2_ulp(norm2(&[3e-310, 4e-310]), 5e-310);
        within_2_ulp(norm2(&[3e-145, 4e-145]), 5e-145);
        within_2_ulp(norm2(&[3e145, 4e145]), 5e145);
        assert_eq!(norm2(&[1.0, f64::INFINITY]), f64::INFINITY);
        assert!(norm2(&[1.0, f64::NAN]).is_nan());
        assert!(max_abs(&[1.0, f64::NAN, 0.5]).is_nan());
        assert_eq!(norm2::<f64>(&[]), 0.0);
        assert_eq!(dot::<f64>(&[], &[]), 0.0);
    }
}
