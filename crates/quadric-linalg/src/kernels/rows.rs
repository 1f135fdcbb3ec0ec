//! Dense rows times one vector, and its transpose. Every product is exact in or accumulated in `f64`.

use super::simd::{dispatch, mul_add};
use crate::Scalar;

/// Independent sums in a dot product.
const LANES: usize = 8;
/// Rows that share the loads of the vector.
const GROUP: usize = 4;

/// `out[i] <- row i of x (out.len(), d) times v`. The bits of one product do not depend on the rows around it.
pub(super) fn multiply<T: Scalar>(x: &[T], v: &[T], out: &mut [T]) {
    assert_eq!(x.len(), v.len() * out.len());
    dispatch!(multiply_body::<T>(x: &[T], v: &[T], out: &mut [T]))
}

/// `sum <- sum + xᵀ r` with `x` (r.len(), sum.len()).
pub(super) fn add_transposed<T: Scalar>(x: &[T], r: &[T], sum: &mut [f64]) {
    assert_eq!(x.len(), r.len() * sum.len());
    dispatch!(add_transposed_body::<T>(x: &[T], r: &[T], sum: &mut [f64]))
}

#[inline(always)]
fn multiply_body<T: Scalar, const FMA: bool>(x: &[T], v: &[T], out: &mut [T]) {
    let d = v.len();
    let mut i = 0;
    while i + GROUP <= out.len() {
        let sums = dots::<T, FMA, GROUP>(&x[i * d..(i + GROUP) * d], v);
        for (o, s) in out[i..i + GROUP].iter_mut().zip(sums) {
            *o = T::of(s);
        }
        i += GROUP;
    }
    while i < out.len() {
        out[i] = T::of(dots::<T, FMA, 1>(&x[i * d..(i + 1) * d], v)[0]);
        i += 1;
    }
}

/// The products of R rows with v: eight lanes each, the rest of the row added to the first lanes.
#[inline(always)]
fn dots<T: Scalar, const FMA: bool, const R: usize>(x: &[T], v: &[T]) -> [f64; R] {
    let d = v.len();
    let rows: [&[T]; R] = std::array::from_fn(|r| &x[r * d..(r + 1) * d]);
    let bodies: [&[[T; LANES]]; R] = rows.map(|row| row.as_chunks().0);
    let (v_body, v_tail) = v.as_chunks::<LANES>();
    let mut lanes = [[0.0; LANES]; R];
    for (c, v) in v_body.iter().enumerate() {
        for r in 0..R {
            let x = &bodies[r][c];
            for l in 0..LANES {
                lanes[r][l] = mul_add::<FMA>(x[l].to_f64(), v[l].to_f64(), lanes[r][l]);
            }
        }
    }
    let body = d - v_tail.len();
    for r in 0..R {
        for (l, (x, v)) in rows[r][body..].iter().zip(v_tail).enumerate() {
            lanes[r][l] = mul_add::<FMA>(x.to_f64(), v.to_f64(), lanes[r][l]);
        }
    }
    lanes.map(|a| ((a[0] + a[4]) + (a[1] + a[5])) + ((a[2] + a[6]) + (a[3] + a[7])))
}

#[inline(always)]
fn add_transposed_body<T: Scalar, const FMA: bool>(x: &[T], r: &[T], sum: &mut [f64]) {
    let d = sum.len();
    let mut i = 0;
    while i + GROUP <= r.len() {
        add_rows::<T, FMA, GROUP>(&x[i * d..(i + GROUP) * d], &r[i..i + GROUP], sum);
        i += GROUP;
    }
    while i < r.len() {
        add_rows::<T, FMA, 1>(&x[i * d..(i + 1) * d], &r[i..i + 1], sum);
        i += 1;
    }
}

/// `sum[j] <- sum[j] + r[0] x[0][j] + r[1] x[1][j] + ...`, in this order.
#[inline(always)]
fn add_rows<T: Scalar, const FMA: bool, const R: usize>(x: &[T], r: &[T], sum: &mut [f64]) {
    let d = sum.len();
    let rows: [&[T]; R] = std::array::from_fn(|i| &x[i * d..(i + 1) * d]);
    let weights: [f64; R] = std::array::from_fn(|i| r[i].to_f64());
    for (j, s) in sum.iter_mut().enumerate() {
        let mut value = *s;
        for i in 0..R {
            value = mul_add::<FMA>(weights[i], rows[i][j].to_f64(), value);
        }
        *s = value;
    }
}
