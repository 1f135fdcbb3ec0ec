//! Dense rows times a block of k > 1 vectors, and its transpose, on faer's sequential products.
//!
//! In `f32`, runs of at most 256 terms are summed in `f32` and the runs in `f64`.

use super::pool::{Buffer, as_scalar};
use crate::Scalar;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Terms that `f32` sums before `f64` takes over.
pub(super) const RUN: usize = 256;

/// `out (rows, k) <- x (rows, d) v (d, k)`, all row after row.
pub(super) fn multiply<T: Scalar>(x: &[T], v: &[T], k: usize, out: &mut [T]) {
    let (d, rows) = (v.len() / k, out.len() / k);
    let x = MatRef::from_row_major_slice(x, rows, d);
    let v = MatRef::from_row_major_slice(v, d, k);
    if size_of::<T>() == 8 || d <= RUN {
        let out = MatMut::from_row_major_slice_mut(out, rows, k);
        matmul(out, Accum::Replace, x, v, T::of(1.0), Par::Seq);
        return;
    }
    let mut sums = Buffer::<f64>::take(rows * k);
    sums.fill(0.0);
    let mut run = Buffer::<T>::take(rows * k);
    for start in (0..d).step_by(RUN) {
        let len = RUN.min(d - start);
        matmul(
            MatMut::from_row_major_slice_mut(&mut run, rows, k),
            Accum::Replace,
            x.subcols(start, len),
            v.subrows(start, len),
            T::of(1.0),
            Par::Seq,
        );
        add(&run, &mut sums);
    }
    for (o, s) in out.iter_mut().zip(sums.iter()) {
        *o = T::of(*s);
    }
}

/// Brings rows into the cache from end to end. The transposed product reads them column by column, which is several times
/// slower when they come from memory.
pub(super) fn touch<T: Scalar>(x: &[T]) {
    const LINE: usize = 64;
    let mut sum = 0.0;
    for v in x.iter().step_by(LINE / size_of::<T>()) {
        sum += v.to_f64();
    }
    std::hint::black_box(sum);
}

/// `sum (k, d) <- sum + rᵀ x` with `r` (rows, k) and `x` (rows, d), all row after row, at most 256 rows.
pub(super) fn add_transposed<T: Scalar>(x: &[T], r: &[T], k: usize, sum: &mut [f64]) {
    let (d, rows) = (sum.len() / k, r.len() / k);
    debug_assert!(rows <= RUN);
    // Products of which one operand is stored transposed are a third slower than this copy.
    let mut r_t = Buffer::<T>::take(k * rows);
    for (i, r) in r.chunks_exact(k).enumerate() {
        for (c, r) in r.iter().enumerate() {
            r_t[c * rows + i] = *r;
        }
    }
    let r_t = MatRef::from_row_major_slice(&r_t, k, rows);
    let x = MatRef::from_row_major_slice(x, rows, d);
    if let Some(sum) = as_scalar::<T>(sum) {
        let sum = MatMut::from_row_major_slice_mut(sum, k, d);
        matmul(sum, Accum::Add, r_t, x, T::of(1.0), Par::Seq);
        return;
    }
    let mut run = Buffer::<T>::take(k * d);
    let product = MatMut::from_row_major_slice_mut(&mut run, k, d);
    matmul(product, Accum::Replace, r_t, x, T::of(1.0), Par::Seq);
    add(&run, sum);
}

/// `sums <- sums + run`.
pub(super) fn add<T: Scalar>(run: &[T], sums: &mut [f64]) {
    for (s, r) in sums.iter_mut().zip(run) {
        *s += r.to_f64();
    }
}
