//! Products with the data matrix X (n, d): `X V`, `Xᵀ R`, both in one pass, and the weighted Gram matrix `Xᵀ diag(w) X`.
//!
//! Blocks with one row per sample (n, k) are row-major slices; blocks with one row per feature (d, k) are faer views.
//!
//! Rows are cut in chunks and blocks by size alone, and partial sums meet in a fixed tree, so every result has the same
//! bits for any number of threads. Sums accumulate in `f64`; only dense products of `f32` with more than one column, and
//! dense Gram matrices, add runs of up to 256 terms in `f32` first. One column goes through kernels of its own and may
//! differ in the last bits from the same column of a block. On x86-64 the kernels use AVX2 and FMA where the CPU has
//! them; faer's products may use wider instructions. Bits are promised per level of instructions.

#![allow(unsafe_code)]

pub(crate) mod blas1;
pub mod columns;
mod csr;
pub(crate) mod envelope;
mod gram;
mod grams;
pub(crate) mod lanes;
mod narrow;
mod panel;
mod passes;
mod plan;
pub(crate) mod pool;
mod rows;
pub(crate) mod simd;
#[cfg(test)]
mod tests;

pub(crate) use gram::pairs;

use crate::{DataMatrix, Scalar};
use faer::{MatMut, MatRef};
use std::ops::Range;

/// What turns products into residuals in [`fused`].
#[doc(hidden)]
pub type Residuals<'a, T> = dyn Fn(Range<usize>, &[T], &mut [T]) -> f64 + Sync + 'a;

/// The kernels of one scalar type, compiled where this trait is implemented: here, not in every crate that calls them.
#[doc(hidden)]
pub trait Products: Sized {
    fn multiply(x: &DataMatrix<Self>, v: MatRef<'_, Self>, out: &mut [Self]);
    fn multiply_rows(x: &DataMatrix<Self>, v: &[Self], out: MatMut<'_, Self>);
    fn multiply_transposed(x: &DataMatrix<Self>, r: &[Self], out: MatMut<'_, Self>);
    fn fused(
        x: &DataMatrix<Self>,
        transposed: Option<&DataMatrix<Self>>,
        v: MatRef<'_, Self>,
        products: &mut [Self],
        f: &Residuals<'_, Self>,
        out: MatMut<'_, Self>,
    ) -> f64;
    fn weighted_gram(x: &DataMatrix<Self>, weights: &[Self], out: MatMut<'_, Self>);
    fn weighted_grams(
        x: &DataMatrix<Self>,
        weights: &[Self],
        q: usize,
        each: &mut dyn FnMut(usize, MatMut<'_, Self>),
    );
}

macro_rules! products {
    ($($t:ty),*) => { $(
        impl Products for $t {
            fn multiply(x: &DataMatrix<Self>, v: MatRef<'_, Self>, out: &mut [Self]) {
                passes::multiply(x, v, out);
            }
            fn multiply_rows(x: &DataMatrix<Self>, v: &[Self], out: MatMut<'_, Self>) {
                passes::multiply_rows_of(x, v, out);
            }
            fn multiply_transposed(x: &DataMatrix<Self>, r: &[Self], out: MatMut<'_, Self>) {
                passes::multiply_transposed(x, r, out);
            }
            fn fused(
                x: &DataMatrix<Self>,
                transposed: Option<&DataMatrix<Self>>,
                v: MatRef<'_, Self>,
                products: &mut [Self],
                f: &Residuals<'_, Self>,
                out: MatMut<'_, Self>,
            ) -> f64 {
                passes::fused(x, transposed, v, products, f, out)
            }
            fn weighted_gram(x: &DataMatrix<Self>, weights: &[Self], out: MatMut<'_, Self>) {
                gram::weighted_gram(x, weights, out);
            }
            fn weighted_grams(
                x: &DataMatrix<Self>,
                weights: &[Self],
                q: usize,
                each: &mut dyn FnMut(usize, MatMut<'_, Self>),
            ) {
                grams::weighted_grams(x, weights, q, each);
            }
        }
    )* };
}
products!(f32, f64);

/// `out <- X V` with `v` (d, k) and `out` (n, k) row after row.
///
/// # Panics
/// Shapes that do not fit.
pub fn multiply<T: Scalar>(x: &DataMatrix<T>, v: MatRef<'_, T>, out: &mut [T]) {
    let shapes = (v.nrows(), out.len());
    assert_eq!(shapes, (x.cols(), x.rows() * v.ncols()), "shapes of X V");
    T::multiply(x, v, out);
}

/// `out <- X V` with the layouts the other way round: `v` (d, k) row after row and `out` (n, k) a view. With a transposed
/// copy of a wide sparse matrix it computes `Xᵀ R` from contiguous rows of R, without partial sums.
///
/// # Panics
/// Shapes that do not fit.
pub fn multiply_rows<T: Scalar>(x: &DataMatrix<T>, v: &[T], out: MatMut<'_, T>) {
    let shapes = (out.nrows(), v.len());
    assert_eq!(shapes, (x.rows(), x.cols() * out.ncols()), "shapes of X V");
    T::multiply_rows(x, v, out);
}

/// `out <- Xᵀ R` with `r` (n, k) row after row and `out` (d, k).
///
/// # Panics
/// Shapes that do not fit.
pub fn multiply_transposed<T: Scalar>(x: &DataMatrix<T>, r: &[T], out: MatMut<'_, T>) {
    let shapes = (out.nrows(), r.len());
    assert_eq!(shapes, (x.cols(), x.rows() * out.ncols()), "shapes of Xᵀ R");
    T::multiply_transposed(x, r, out);
}

/// One pass over X that computes `X V`, lets `f` turn each piece of it into a piece of R, and returns `Xᵀ R`.
///
/// `f(rows, products, residuals)` sees the products (`rows.len()`, k) of a range of rows and writes the residuals of the
/// same shape; what it returns is summed in a fixed order and returned. `products` (n, k) keeps `X V`. The ranges cover
/// every row once and are cut by size only; what the residuals hold before they are written is unspecified.
/// With a transposed copy of X at hand there are two passes, the second over that copy; see [`multiply_rows`].
///
/// # Panics
/// Shapes that do not fit.
pub fn fused<T: Scalar>(
    x: &DataMatrix<T>,
    transposed: Option<&DataMatrix<T>>,
    v: MatRef<'_, T>,
    products: &mut [T],
    f: impl Fn(Range<usize>, &[T], &mut [T]) -> f64 + Sync,
    out: MatMut<'_, T>,
) -> f64 {
    let k = v.ncols();
    let shapes = (v.nrows(), products.len());
    assert_eq!(shapes, (x.cols(), x.rows() * k), "shapes of X V");
    assert_eq!((out.nrows(), out.ncols()), (x.cols(), k), "shape of Xᵀ R");
    T::fused(x, transposed, v, products, &f, out)
}

/// `out <- Xᵀ diag(weights) X`, all of it, exactly symmetric; `weights` (n) of any sign.
///
/// # Panics
/// Shapes that do not fit.
pub fn weighted_gram<T: Scalar>(x: &DataMatrix<T>, weights: &[T], out: MatMut<'_, T>) {
    let shapes = (weights.len(), out.nrows(), out.ncols());
    assert_eq!(shapes, (x.rows(), x.cols(), x.cols()), "shapes of Xᵀ D X");
    T::weighted_gram(x, weights, out);
}

/// Calls `each(t, Xᵀ diag(weights[.., t]) X)` for t in 0..q with `weights` (n, q) row after row, of any sign. The matrix is
/// the callee's to overwrite. For sparse rows all at once cost little more than a few single ones.
///
/// # Panics
/// Shapes that do not fit.
pub fn weighted_grams<T: Scalar>(
    x: &DataMatrix<T>,
    weights: &[T],
    q: usize,
    mut each: impl FnMut(usize, MatMut<'_, T>),
) {
    assert_eq!(weights.len(), x.rows() * q, "shapes of Xᵀ D X");
    T::weighted_grams(x, weights, q, &mut each);
}
