//! The Cholesky factor of a matrix whose rows begin at their first entry that is not zero, and solves with it.

use super::blas1::dot_body;
use super::simd::dispatch;
use crate::Scalar;

/// Where the rows lie.
#[derive(Clone, Copy)]
pub(crate) struct Layout<'a> {
    pub first: &'a [usize],
    pub ends: &'a [usize],
}

impl<'a> Layout<'a> {
    /// Row i: the column of its first entry, and where its entries up to the diagonal lie.
    #[inline(always)]
    pub(crate) fn row(self, i: usize) -> (usize, std::ops::Range<usize>) {
        let first = self.first[i];
        (first, self.ends[i] + first - i - 1..self.ends[i])
    }
}

/// `x <- L⁻¹ x`.
pub(crate) fn solve_lower<T: Scalar>(rows: &[T], layout: Layout<'_>, x: &mut [T]) {
    dispatch!(lower_body::<T>(rows: &[T], layout: Layout<'_>, x: &mut [T]));
}

#[inline(always)]
fn lower_body<T: Scalar, const FMA: bool>(rows: &[T], layout: Layout<'_>, x: &mut [T]) {
    for i in 0..x.len() {
        let (first, range) = layout.row(i);
        if let [row @ .., pivot] = &rows[range] {
            let known = dot_body::<T, FMA>(row, &x[first..i], 1.0);
            x[i] = T::of((x[i].to_f64() - known) / pivot.to_f64());
        }
    }
}

/// `x <- L⁻ᵀ x` in the first `x.len()` unknowns.
pub(crate) fn solve_upper<T: Scalar>(rows: &[T], layout: Layout<'_>, x: &mut [T]) {
    dispatch!(upper_body::<T>(rows: &[T], layout: Layout<'_>, x: &mut [T]));
}

#[inline(always)]
fn upper_body<T: Scalar, const FMA: bool>(rows: &[T], layout: Layout<'_>, x: &mut [T]) {
    for i in (0..x.len()).rev() {
        let (first, range) = layout.row(i);
        if let [row @ .., pivot] = &rows[range] {
            let known = x[i].to_f64() / pivot.to_f64();
            x[i] = T::of(known);
            for (x, l) in x[first..i].iter_mut().zip(row) {
                *x = T::of(x.to_f64() - known * l.to_f64());
            }
        }
    }
}

/// Overwrites the rows of A with those of L; the index and the value of a pivot that is too small. Its row then holds
/// its entries of L.
pub(crate) fn factor_rows<T: Scalar>(
    rows: &mut [T],
    layout: Layout<'_>,
    shift: f64,
    resolution: f64,
) -> Option<(usize, f64)> {
    dispatch!(factor_body::<T>(rows: &mut [T], layout: Layout<'_>, shift: f64, resolution: f64) -> Option<(usize, f64)>)
}

#[inline(always)]
fn factor_body<T: Scalar, const FMA: bool>(
    rows: &mut [T],
    layout: Layout<'_>,
    shift: f64,
    resolution: f64,
) -> Option<(usize, f64)> {
    let Layout { first, ends } = layout;
    for i in 0..first.len() {
        let (left, range) = layout.row(i);
        let (done, row) = rows.split_at_mut(range.start);
        let row = &mut row[..=i - left];
        for j in left..i {
            // Entries of both rows in the columns that they share.
            let from = left.max(first[j]);
            let other = &done[ends[j] + from - j - 1..ends[j]];
            let (other, pivot) = other.split_at(j - from);
            let known = dot_body::<T, FMA>(other, &row[from - left..j - left], 1.0);
            row[j - left] = T::of((row[j - left].to_f64() - known) / pivot[0].to_f64());
        }
        let (row, diagonal) = row.split_at_mut(i - left);
        let whole = diagonal[0].to_f64() + shift;
        let pivot = whole - dot_body::<T, FMA>(row, row, 1.0);
        diagonal[0] = T::of(pivot.sqrt());
        // NaN compares false with everything.
        if !(pivot > resolution * whole && pivot > 0.0) {
            return Some((i, pivot));
        }
    }
    None
}
