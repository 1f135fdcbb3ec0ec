//! Vectors are slices. Sums run over eight lanes in a fixed order in `f64`, so their bits depend on nothing but the input.

use crate::Scalar;

const LANES: usize = 8;

/// Sum of `f(i-th pair)` over two equally long slices, in a fixed order.
#[inline(always)]
fn reduce<T: Scalar>(a: &[T], b: &[T], f: impl Fn(f64, f64) -> f64) -> f64 {
    assert_eq!(a.len(), b.len(), "vectors of different lengths");
    let mut lanes = [0.0; LANES];
    let (a_body, a_tail) = a.as_chunks::<LANES>();
    let (b_body, b_tail) = b.as_chunks::<LANES>();
    for (a, b) in a_body.iter().zip(b_body) {
        for l in 0..LANES {
            lanes[l] += f(a[l].to_f64(), b[l].to_f64());
        }
    }
    for (l, (a, b)) in a_tail.iter().zip(b_tail).enumerate() {
        lanes[l] += f(a.to_f64(), b.to_f64());
    }
    ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5]))
        + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]))
}

/// `aᵀb`, accumulated in `f64`.
pub fn dot<T: Scalar>(a: &[T], b: &[T]) -> f64 {
    reduce(a, b, |a, b| a * b)
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
    let plain = reduce(a, a, |a, b| a * b);
    if plain.is_nan() || (1e-280..1e280).contains(&plain) {
        return plain.sqrt();
    }
    let scale = max_abs(a);
    if scale == 0.0 || !scale.is_finite() {
        return scale;
    }
    // Two factors keep 1/scale finite for subnormal scales.
    let (up, down) = if scale < 1e-150 {
        (2f64.powi(600), 2f64.powi(-600))
    } else {
        (2f64.powi(-600), 2f64.powi(600))
    };
    reduce(a, a, |a, b| (a * up) * (b * up)).sqrt() * down
}

/// `y <- y + alpha x`, rounded once per entry.
pub fn axpy<T: Scalar>(alpha: f64, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "vectors of different lengths");
    for (y, x) in y.iter_mut().zip(x) {
        *y = T::of(alpha.mul_add(x.to_f64(), y.to_f64()));
    }
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

    #[test]
    fn t_n05_norms_at_the_ends_of_the_range() {
        let within_2_ulp = |a: f64, b: f64| {
            assert!(
                (a - b).abs() <= 2.0 * b * f64::EPSILON,
                "{a:e} is not {b:e}"
            )
        };
        within_2_ulp(norm2(&[1e200, 1e200]), 1.414_213_562_373_095_1e200);
        within_2_ulp(norm2(&[1e-200, 1e-200]), 1.414_213_562_373_095_1e-200);
        within_2_ulp(norm2(&[3e-310, 4e-310]), 5e-310);
        assert_eq!(norm2(&[1.0, f64::INFINITY]), f64::INFINITY);
        assert!(norm2(&[1.0, f64::NAN]).is_nan());
        assert!(max_abs(&[1.0, f64::NAN, 0.5]).is_nan());
        assert_eq!(norm2::<f64>(&[]), 0.0);
        assert_eq!(dot::<f64>(&[], &[]), 0.0);
    }
}
