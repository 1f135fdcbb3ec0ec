//! Cholesky factorisation and triangular solves in parallel. The work is cut by size alone, so results have the same bits
//! for any number of threads.

use super::PAR;
use crate::Scalar;
use crate::kernels::blas1::{axpy, dot_scaled};
use crate::parallel::{by_columns, by_rows};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor as llt;
use faer::linalg::matmul::{matmul, triangular};
use faer::linalg::triangular_solve;
use faer::prelude::ReborrowMut;
use faer::{Accum, MatMut, MatRef};

/// Up to this size a factorisation is one task.
const BASE: usize = 256;
/// Rows and columns of a task of the products between halves.
const TILE: usize = 256;
/// Unknowns that a triangular solve with one right-hand side settles before it turns to the rest.
const PANEL: usize = 128;
/// Products that are done before another thread could help.
const ALONE: usize = 1 << 16;

/// Overwrites the lower triangle of `a` with its Cholesky factor; the index of a bad pivot if there is none.
pub(super) fn factor<T: Scalar>(mut a: MatMut<'_, T>) -> Result<(), usize> {
    let n = a.nrows();
    if n <= BASE {
        return factor_base(a);
    }
    let half = (n / 2).next_multiple_of(32);
    let (mut top, _, mut below, mut rest) = a.rb_mut().split_at_mut(half, half);
    factor(top.rb_mut())?;
    let top = top.as_ref();
    by_rows(below.rb_mut(), 0, TILE, &|_, rows| {
        triangular_solve::solve_lower_triangular_in_place(top, rows.transpose_mut(), PAR);
    });
    subtract_square(rest.rb_mut(), below.as_ref());
    factor(rest).map_err(|i| half + i)
}

fn factor_base<T: Scalar>(mut a: MatMut<'_, T>) -> Result<(), usize> {
    let n = a.nrows();
    let scratch = llt::cholesky_in_place_scratch::<T>(n, PAR, Default::default());
    let mut memory = MemBuffer::new(scratch);
    let stack = MemStack::new(&mut memory);
    llt::cholesky_in_place(
        a.rb_mut(),
        Default::default(),
        PAR,
        stack,
        Default::default(),
    )
    .map_err(|llt::LltError::NonPositivePivot { index }| index)?;
    // NaN compares false with everything: a pivot that is not a positive finite number is refused here.
    match (0..n).find(|&i| !(a[(i, i)].to_f64() > 0.0 && a[(i, i)].to_f64().is_finite())) {
        Some(index) => Err(index),
        None => Ok(()),
    }
}

/// The lower triangle of `A <- A - B Bᵀ`.
fn subtract_square<T: Scalar>(a: MatMut<'_, T>, b: MatRef<'_, T>) {
    use triangular::BlockStructure::{Rectangular, TriangularLower};
    let n = a.nrows();
    if n <= TILE {
        return triangular::matmul(
            a,
            TriangularLower,
            Accum::Add,
            b,
            Rectangular,
            b.transpose(),
            Rectangular,
            T::of(-1.0),
            PAR,
        );
    }
    let half = (n / 2).next_multiple_of(32);
    let (b_top, b_rest) = b.split_at_row(half);
    let (top, _, below, rest) = a.split_at_mut(half, half);
    rayon::join(
        || {
            rayon::join(
                || subtract_square(top, b_top),
                || subtract_square(rest, b_rest),
            )
        },
        || subtract_product(below, b_rest, b_top),
    );
}

/// `A <- A - B Cᵀ`, in tiles.
fn subtract_product<T: Scalar>(a: MatMut<'_, T>, b: MatRef<'_, T>, c: MatRef<'_, T>) {
    let (m, n) = (a.nrows(), a.ncols());
    if m <= 2 * TILE && n <= 2 * TILE {
        matmul(a, Accum::Add, b, c.transpose(), T::of(-1.0), PAR);
    } else if m >= n {
        let half = (m / 2).next_multiple_of(32);
        let (top, below) = a.split_at_row_mut(half);
        let (b_top, b_below) = b.split_at_row(half);
        rayon::join(
            || subtract_product(top, b_top, c),
            || subtract_product(below, b_below, c),
        );
    } else {
        let half = (n / 2).next_multiple_of(32);
        let (left, right) = a.split_at_col_mut(half);
        let (c_left, c_right) = c.split_at_row(half);
        rayon::join(
            || subtract_product(left, b, c_left),
            || subtract_product(right, b, c_right),
        );
    }
}

/// `B <- L⁻¹ B`.
pub(super) fn lower<T: Scalar>(l: MatRef<'_, T>, mut b: MatMut<'_, T>) {
    if !is_single(l, &b) {
        return triangular_solve::solve_lower_triangular_in_place(l, b, PAR);
    }
    let n = l.nrows();
    for start in (0..n).step_by(PANEL) {
        let end = (start + PANEL).min(n);
        let (_, mut rest) = b.rb_mut().split_at_row_mut(start);
        let (head, tail) = rest.rb_mut().split_at_row_mut(end - start);
        let head = contiguous(head);
        for j in start..end {
            let (x, rest) = head[j - start..].split_at_mut(1);
            let column = column_below(l, j, j, end);
            x[0] = T::of(x[0].to_f64() / column[0].to_f64());
            axpy(-x[0].to_f64(), &column[1..], rest);
        }
        let head = &*head;
        by_rows(tail, end, 8 * TILE, &|first, rows| {
            let rows = contiguous(rows);
            for (j, x) in (start..end).zip(head) {
                let column = column_below(l, j, first, first + rows.len());
                axpy(-x.to_f64(), column, rows);
            }
        });
    }
}

/// `B <- L⁻ᵀ B`.
pub(super) fn lower_transposed<T: Scalar>(l: MatRef<'_, T>, mut b: MatMut<'_, T>) {
    if !is_single(l, &b) {
        return triangular_solve::solve_upper_triangular_in_place(l.transpose(), b, PAR);
    }
    let n = l.nrows();
    for start in (0..n).step_by(PANEL).rev() {
        let end = (start + PANEL).min(n);
        let (head, tail) = b.rb_mut().split_at_row_mut(end);
        let tail = &*contiguous(tail);
        let (_, mut head) = head.split_at_row_mut(start);
        let settle = |j: usize, x: &mut T| {
            let column = column_below(l, j, end, n);
            *x = T::of(x.to_f64() - dot_scaled(column, tail, 1.0));
        };
        if (end - start) * tail.len() > ALONE {
            // One row per unknown becomes one column.
            by_columns(head.rb_mut().transpose_mut(), start, &|j, mut x| {
                settle(j, &mut x[0]);
            });
        } else if !tail.is_empty() {
            let rows = contiguous(head.rb_mut());
            (start..end).zip(rows).for_each(|(j, x)| settle(j, x));
        }
        let head = contiguous(head);
        for j in (start..end).rev() {
            let (x, rest) = head[j - start..].split_at_mut(1);
            let column = column_below(l, j, j, end);
            let known = dot_scaled(&column[1..], rest, 1.0);
            x[0] = T::of((x[0].to_f64() - known) / column[0].to_f64());
        }
    }
}

/// True if there is one right-hand side, so that the entries of L need to be read once only.
fn is_single<T: Scalar>(l: MatRef<'_, T>, b: &MatMut<'_, T>) -> bool {
    b.ncols() == 1 && l.row_stride() == 1 && b.row_stride() == 1
}

/// The entries of a single contiguous column.
#[expect(clippy::expect_used, reason = "`is_single` checked the strides")]
fn contiguous<T: Scalar>(b: MatMut<'_, T>) -> &mut [T] {
    let column = b.col_mut(0).try_as_col_major_mut();
    column.expect("a contiguous column").as_slice_mut()
}

/// Entries `from..to` of column j.
#[expect(clippy::expect_used, reason = "`is_single` checked the strides")]
fn column_below<T: Scalar>(l: MatRef<'_, T>, j: usize, from: usize, to: usize) -> &[T] {
    let column = l.col(j).try_as_col_major();
    &column.expect("contiguous columns").as_slice()[from..to]
}
