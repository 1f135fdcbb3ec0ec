//! Products with the data matrix X (n, d): `X V`, `Xᵀ R`, both in one pass, and the weighted Gram matrix `Xᵀ diag(w) X`.
//!
//! Blocks with one row per sample (n, k) are row-major slices; blocks with one row per feature (d, k) are faer views.

use crate::{DataMatrix, Scalar};
use faer::{MatMut, MatRef};
use std::ops::Range;

/// `out <- X V` with `v` (d, k) and `out` (n, k) row after row.
///
/// # Panics
/// Shapes that do not fit.
pub fn multiply<T: Scalar>(x: &DataMatrix<T>, v: MatRef<'_, T>, out: &mut [T]) {
    let k = v.ncols();
    assert_eq!(
        (v.nrows(), out.len()),
        (x.cols(), x.rows() * k),
        "shapes of X V"
    );
    for i in 0..x.rows() {
        for c in 0..k {
            let mut sum = 0.0;
            x.for_row(i, |j, value| sum += value.to_f64() * v[(j, c)].to_f64());
            out[i * k + c] = T::of(sum);
        }
    }
}

/// `out <- Xᵀ R` with `r` (n, k) row after row and `out` (d, k).
///
/// # Panics
/// Shapes that do not fit.
pub fn multiply_transposed<T: Scalar>(x: &DataMatrix<T>, r: &[T], mut out: MatMut<'_, T>) {
    let k = out.ncols();
    assert_eq!(
        (out.nrows(), r.len()),
        (x.cols(), x.rows() * k),
        "shapes of Xᵀ R"
    );
    let mut sum = vec![0.0; x.cols() * k];
    for i in 0..x.rows() {
        for c in 0..k {
            x.for_row(i, |j, value| {
                sum[j * k + c] += value.to_f64() * r[i * k + c].to_f64()
            });
        }
    }
    for j in 0..x.cols() {
        for c in 0..k {
            out[(j, c)] = T::of(sum[j * k + c]);
        }
    }
}

/// One pass over X that computes `X V`, lets `f` turn each piece of it into a piece of R, and returns `Xᵀ R`.
///
/// `f(rows, products, residuals)` sees the products (`rows.len()`, k) of a range of rows and writes the residuals of the
/// same shape; what it returns is summed in a fixed order and returned. `products` (n, k) keeps `X V`.
///
/// # Panics
/// Shapes that do not fit.
pub fn fused<T: Scalar>(
    x: &DataMatrix<T>,
    v: MatRef<'_, T>,
    products: &mut [T],
    f: impl Fn(Range<usize>, &[T], &mut [T]) -> f64 + Sync,
    out: MatMut<'_, T>,
) -> f64 {
    multiply(x, v, products);
    let mut residuals = vec![T::of(0.0); products.len()];
    let value = f(0..x.rows(), products, &mut residuals);
    multiply_transposed(x, &residuals, out);
    value
}

/// `out <- Xᵀ diag(weights) X`, all of it, exactly symmetric; weights (n) not negative.
///
/// # Panics
/// Shapes that do not fit.
pub fn weighted_gram<T: Scalar>(x: &DataMatrix<T>, weights: &[T], mut out: MatMut<'_, T>) {
    assert_eq!(
        (weights.len(), out.nrows(), out.ncols()),
        (x.rows(), x.cols(), x.cols()),
        "shapes of Xᵀ D X"
    );
    out.fill(T::of(0.0));
    for i in 0..x.rows() {
        let weight = weights[i].to_f64();
        x.for_row(i, |a, va| {
            x.for_row(i, |b, vb| {
                out[(a, b)] = T::of(out[(a, b)].to_f64() + weight * va.to_f64() * vb.to_f64());
            });
        });
    }
}
