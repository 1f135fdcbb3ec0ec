//! Products whose left matrix has few rows.
//!
//! Such a product reads each entry of the right matrix for few multiplications only, so that rearranging it first, as a large
//! product does, takes much of the time. Here its rows are read as they lie, two registers at a time.

#![allow(unsafe_code)]

use crate::Scalar;
use crate::kernels::lanes::{Lanes, dispatch_lanes};
use crate::kernels::simd::has_avx512;
use faer::prelude::{Reborrow, ReborrowMut};
use faer::{MatMut, MatRef};

/// Rows of a product that is computed here, at most.
const FEW: usize = 32;
/// Entries of a right matrix that stays in the next cache, at most.
const MOST: usize = 1 << 17;
/// Entries of one that stays in the nearest: then the left one may have any number of rows.
const NEAR: usize = 1 << 11;

/// True if a product is faster here: its right matrix and its result have contiguous rows, and registers are many.
pub(super) fn pays<T: Scalar>(a: MatRef<'_, T>, b: MatRef<'_, T>, out: &MatMut<'_, T>) -> bool {
    let entries = b.nrows() * b.ncols();
    let fits = entries <= if a.nrows() <= FEW { MOST } else { NEAR };
    fits && b.ncols() >= 64 / size_of::<T>()
        && b.col_stride() == 1
        && out.col_stride() == 1
        && has_avx512()
}

/// `out <- A B`, or `out + A B` if it `adds`.
///
/// # Panics
/// Shapes that do not fit.
pub(super) fn multiply<T: Scalar>(
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    out: MatMut<'_, T>,
    adds: bool,
) {
    let inner = [a.ncols(), b.nrows()];
    let shape = [out.nrows(), out.ncols()];
    assert_eq!(inner[0], inner[1], "inner sizes of a product");
    assert_eq!(shape, [a.nrows(), b.ncols()], "shape of a product");
    assert_eq!(
        [b.col_stride(), out.col_stride()],
        [1, 1],
        "contiguous rows"
    );
    strips(a, b, out, adds);
}

fn strips<T: Scalar>(a: MatRef<'_, T>, b: MatRef<'_, T>, out: MatMut<'_, T>, adds: bool) {
    dispatch_lanes!(strips_body::<T>(
        a: MatRef<'_, T>,
        b: MatRef<'_, T>,
        out: MatMut<'_, T>,
        adds: bool,
    ));
}

#[inline(always)]
fn strips_body<T: Scalar, V: Lanes<T>>(
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    mut out: MatMut<'_, T>,
    adds: bool,
) {
    let n = b.ncols();
    let mut j = 0;
    while j + V::N <= n {
        let registers = if j + 2 * V::N <= n { 2 } else { 1 };
        let (b, out) = (
            b.subcols(j, registers * V::N),
            out.rb_mut().subcols_mut(j, registers * V::N),
        );
        match registers {
            2 => strip::<T, V, 2>(a, b, out, adds),
            _ => strip::<T, V, 1>(a, b, out, adds),
        }
        j += registers * V::N;
    }
    for j in j..n {
        for i in 0..a.nrows() {
            let first = if adds { out[(i, j)] } else { T::of(0.0) };
            out[(i, j)] = (0..a.ncols()).fold(first, |s, l| s + a[(i, l)] * b[(l, j)]);
        }
    }
}

/// The columns of `B` registers.
#[inline(always)]
fn strip<T: Scalar, V: Lanes<T>, const B: usize>(
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    mut out: MatMut<'_, T>,
    adds: bool,
) {
    let mut i = 0;
    while i < a.nrows() {
        let rows = match a.nrows() - i {
            8.. => 8,
            4.. => 4,
            left => left.min(2),
        };
        let (a, out) = (a.subrows(i, rows), out.rb_mut().subrows_mut(i, rows));
        match rows {
            8 => tile::<T, V, 8, B>(a, b, out, adds),
            4 => tile::<T, V, 4, B>(a, b, out, adds),
            2 => tile::<T, V, 2, B>(a, b, out, adds),
            _ => tile::<T, V, 1, B>(a, b, out, adds),
        }
        i += rows;
    }
}

/// `R` rows of the columns of `B` registers.
#[inline(always)]
fn tile<T: Scalar, V: Lanes<T>, const R: usize, const B: usize>(
    a: MatRef<'_, T>,
    b: MatRef<'_, T>,
    mut out: MatMut<'_, T>,
    adds: bool,
) {
    let mut sums = [[V::splat(T::of(0.0)); B]; R];
    // SAFETY (of all slices below): `a` has R rows, and rows of `b` and of `out` are as long as B registers and contiguous.
    let register = |p: *const T| V::load(unsafe { std::slice::from_raw_parts(p, V::N) });
    if adds {
        for (r, sums) in sums.iter_mut().enumerate() {
            let row = out.rb().row(r).as_ptr();
            *sums = std::array::from_fn(|l| register(row.wrapping_add(l * V::N)));
        }
    }
    let (left, right) = (a.as_ptr(), b.as_ptr());
    for k in 0..a.ncols() as isize {
        let row = right.wrapping_offset(k * b.row_stride());
        let row: [V; B] = std::array::from_fn(|l| register(row.wrapping_add(l * V::N)));
        let column = left.wrapping_offset(k * a.col_stride());
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: r < R and k is a column of `a`.
            let v = V::splat(unsafe { *column.wrapping_offset(r as isize * a.row_stride()) });
            for l in 0..B {
                sums[l] = v.mul_add(row[l], sums[l]);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        let row = out.rb_mut().row_mut(r).as_ptr_mut();
        for (l, sum) in sums.into_iter().enumerate() {
            sum.store(unsafe { std::slice::from_raw_parts_mut(row.wrapping_add(l * V::N), V::N) });
        }
    }
}
