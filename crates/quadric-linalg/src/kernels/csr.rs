//! Sparse rows times a block of k vectors, and its transpose. Every product is exact in or accumulated in `f64`.

use super::simd::{dispatch, mul_add};
use crate::Scalar;
use crate::matrix::sparse_row;
use faer::sparse::SparseRowMatRef;
use std::ops::Range;

/// Calls `f::<T, FMA, W>` with the largest W of at most `left` for which it is compiled: everything in one pass up to 24 columns.
macro_rules! at_once {
    ($left:expr, $f:ident::<$t:ty, $fma:ident> $args:tt) => {
        at_once!(@ $left, $f, $t, $fma, $args,
            23 22 21 20 19 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2)
    };
    (@ $left:expr, $f:ident, $t:ty, $fma:ident, $args:tt, $($w:literal)*) => {
        match $left {
            24.. => at_once!(@@ $f, $t, $fma, 24, $args),
            $($w => at_once!(@@ $f, $t, $fma, $w, $args),)*
            _ => at_once!(@@ $f, $t, $fma, 1, $args),
        }
    };
    (@@ $f:ident, $t:ty, $fma:ident, $w:literal, ($($arg:expr),*)) => {
        $f::<$t, $fma, $w>($($arg),*)
    };
}

/// Rows of `x` times `v` (d, k, row after row) into `out` (rows, k).
pub(super) fn multiply<T: Scalar>(
    x: SparseRowMatRef<'_, u32, T>,
    rows: Range<usize>,
    v: &[T],
    k: usize,
    out: &mut [T],
) {
    assert_eq!((v.len(), out.len()), (x.ncols() * k, rows.len() * k));
    dispatch!(multiply_body::<T>(x: SparseRowMatRef<'_, u32, T>, rows: Range<usize>, v: &[T], k: usize, out: &mut [T]));
}

/// `sum <- sum + xᵀ r` over a range of rows, for the columns `columns` of `r` (rows, k); `sum` (d, columns.len()) row
/// after row.
pub(super) fn add_transposed<T: Scalar>(
    x: SparseRowMatRef<'_, u32, T>,
    rows: Range<usize>,
    r: &[T],
    k: usize,
    columns: Range<usize>,
    sum: &mut [f64],
) {
    assert_eq!(
        (sum.len(), r.len()),
        (x.ncols() * columns.len(), rows.len() * k)
    );
    assert!(columns.end <= k);
    dispatch!(add_transposed_body::<T>(x: SparseRowMatRef<'_, u32, T>, rows: Range<usize>, r: &[T], k: usize,
        columns: Range<usize>, sum: &mut [f64]));
}

#[inline(always)]
fn multiply_body<T: Scalar, const FMA: bool>(
    x: SparseRowMatRef<'_, u32, T>,
    rows: Range<usize>,
    v: &[T],
    k: usize,
    out: &mut [T],
) {
    if k == 1 {
        for (o, i) in out.iter_mut().zip(rows) {
            let (columns, values) = sparse_row(x, i);
            *o = T::of(dot::<T, FMA>(columns, values, v));
        }
        return;
    }
    for (o, i) in out.chunks_exact_mut(k).zip(rows) {
        let row = sparse_row(x, i);
        let mut c = 0;
        while c < k {
            c += at_once!(k - c, combine::<T, FMA>(row, &v[c..], k, &mut o[c..]));
        }
    }
}

/// `Σ values[p] v[columns[p]]` in four lanes.
#[inline(always)]
fn dot<T: Scalar, const FMA: bool>(columns: &[u32], values: &[T], v: &[T]) -> f64 {
    let mut lanes = [0.0; 4];
    let (columns, columns_tail) = columns.as_chunks::<4>();
    let (values, values_tail) = values.as_chunks::<4>();
    let at = |j: u32| {
        debug_assert!((j as usize) < v.len());
        // SAFETY: a faer sparse matrix has column indices below its number of columns (checked by its constructors),
        // and `v` has that many entries (asserted by `multiply`, where k = 1).
        unsafe { v.get_unchecked(j as usize) }.to_f64()
    };
    for (j, x) in columns.iter().zip(values) {
        for l in 0..4 {
            lanes[l] = mul_add::<FMA>(x[l].to_f64(), at(j[l]), lanes[l]);
        }
    }
    for (l, (j, x)) in columns_tail.iter().zip(values_tail).enumerate() {
        lanes[l] = mul_add::<FMA>(x.to_f64(), at(*j), lanes[l]);
    }
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
}

/// `out[c] <- Σ values[p] v[columns[p] * k + c]` for c in 0..W; returns W.
#[inline(always)]
fn combine<T: Scalar, const FMA: bool, const W: usize>(
    row: (&[u32], &[T]),
    v: &[T],
    k: usize,
    out: &mut [T],
) -> usize {
    let mut sums = [0.0; W];
    for (j, x) in row.0.iter().zip(row.1) {
        let (start, x) = (*j as usize * k, x.to_f64());
        debug_assert!(start + W <= v.len());
        // SAFETY: column indices are below d (see `dot`), `v` starts at column c of a block of d rows of k values, and
        // c + W <= k: start + W <= (d - 1) k + W <= d k - c.
        let v = unsafe { v.get_unchecked(start..start + W) };
        for l in 0..W {
            sums[l] = mul_add::<FMA>(x, v[l].to_f64(), sums[l]);
        }
    }
    for l in 0..W {
        out[l] = T::of(sums[l]);
    }
    W
}

#[inline(always)]
fn add_transposed_body<T: Scalar, const FMA: bool>(
    x: SparseRowMatRef<'_, u32, T>,
    rows: Range<usize>,
    r: &[T],
    k: usize,
    columns: Range<usize>,
    sum: &mut [f64],
) {
    let width = columns.len();
    for (r, i) in r.chunks_exact(k).zip(rows) {
        let (r, row) = (&r[columns.clone()], sparse_row(x, i));
        if width == 1 {
            // SAFETY: column indices are below d (see `dot`), and `sum` has d entries (asserted by `add_transposed`, where
            // the width is 1).
            unsafe { add_scaled::<T, FMA>(row.0, row.1, r[0].to_f64(), sum) };
            continue;
        }
        let mut c = 0;
        while c < width {
            c += at_once!(
                width - c,
                scatter::<T, FMA>(row, &r[c..], width, &mut sum[c..])
            );
        }
    }
}

/// `sum[columns[p]] += factor values[p]`. The columns of a row differ, so four sums can be read before one is written.
///
/// # Safety
/// All columns are below `sum.len()`.
#[inline(always)]
pub(super) unsafe fn add_scaled<T: Scalar, const FMA: bool>(
    columns: &[u32],
    values: &[T],
    factor: f64,
    sum: &mut [f64],
) {
    debug_assert!(columns.iter().all(|j| (*j as usize) < sum.len()));
    let (columns, columns_tail) = columns.as_chunks::<4>();
    let (values, values_tail) = values.as_chunks::<4>();
    for (j, x) in columns.iter().zip(values) {
        // SAFETY: the caller's promise, here and below.
        let read = |l: usize| unsafe { *sum.get_unchecked(j[l] as usize) };
        let new: [f64; 4] = std::array::from_fn(|l| mul_add::<FMA>(factor, x[l].to_f64(), read(l)));
        for l in 0..4 {
            // SAFETY: see above.
            unsafe { *sum.get_unchecked_mut(j[l] as usize) = new[l] };
        }
    }
    for (j, x) in columns_tail.iter().zip(values_tail) {
        // SAFETY: see above.
        let s = unsafe { sum.get_unchecked_mut(*j as usize) };
        *s = mul_add::<FMA>(factor, x.to_f64(), *s);
    }
}

/// `sum[columns[p] * width + c] += values[p] r[c]` for c in 0..W; returns W.
#[inline(always)]
fn scatter<T: Scalar, const FMA: bool, const W: usize>(
    row: (&[u32], &[T]),
    r: &[T],
    width: usize,
    sum: &mut [f64],
) -> usize {
    let r: [f64; W] = std::array::from_fn(|l| r[l].to_f64());
    for (j, x) in row.0.iter().zip(row.1) {
        let (start, x) = (*j as usize * width, x.to_f64());
        debug_assert!(start + W <= sum.len());
        // SAFETY: as in `combine`, with `sum` in the place of `v` and the width in the place of k.
        let sum = unsafe { sum.get_unchecked_mut(start..start + W) };
        for l in 0..W {
            sum[l] = mul_add::<FMA>(x, r[l], sum[l]);
        }
    }
    W
}
