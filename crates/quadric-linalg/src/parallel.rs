//! Deterministic parallelism: work is cut by size, never by thread count, and partial sums meet in a fixed tree.

use crate::Scalar;
use faer::{ColMut, MatMut};
use rayon::prelude::*;
use std::ops::Range;

/// The ranges of at most `size` items that cover `0..n`, in order.
pub fn ranges(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..n)
        .step_by(size.max(1))
        .map(move |start| start..(start + size.max(1)).min(n))
}

/// Calls `f(index, range)` for every range of [`ranges`] and returns the results in order.
pub fn map_ranges<R: Send>(
    n: usize,
    size: usize,
    f: impl Fn(usize, Range<usize>) -> R + Sync,
) -> Vec<R> {
    let pieces: Vec<_> = ranges(n, size).collect();
    if pieces.len() < 2 {
        return pieces
            .into_iter()
            .enumerate()
            .map(|(i, r)| f(i, r))
            .collect();
    }
    pieces
        .into_par_iter()
        .enumerate()
        .map(|(i, r)| f(i, r))
        .collect()
}

/// Sums values pairwise in a fixed binary tree.
pub fn tree_sum(values: &[f64]) -> f64 {
    match values {
        [] => 0.0,
        [v] => *v,
        _ => {
            let (a, b) = values.split_at(values.len().div_ceil(2));
            tree_sum(a) + tree_sum(b)
        }
    }
}

/// Calls `f(first row, rows)` for pieces of at most `rows` rows of `out`, in parallel.
pub(crate) fn by_rows<T: Scalar>(
    out: MatMut<'_, T>,
    first: usize,
    rows: usize,
    f: &(impl Fn(usize, MatMut<'_, T>) + Sync),
) {
    if out.nrows() <= rows {
        f(first, out);
        return;
    }
    let middle = (out.nrows() / 2).next_multiple_of(rows);
    let (head, tail) = out.split_at_row_mut(middle);
    rayon::join(
        || by_rows(head, first, rows, f),
        || by_rows(tail, first + middle, rows, f),
    );
}

/// Calls `f(column, values)` for every column of `out`, counted from `first`, in parallel.
pub fn by_columns<T: Scalar>(
    out: MatMut<'_, T>,
    first: usize,
    f: &(impl Fn(usize, ColMut<'_, T>) + Sync),
) {
    match out.ncols() {
        0 => {}
        1 => f(first, out.col_mut(0)),
        k => {
            let (head, tail) = out.split_at_col_mut(k / 2);
            rayon::join(
                || by_columns(head, first, f),
                || by_columns(tail, first + k / 2, f),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_once() {
        for (n, size) in [(0, 3), (1, 3), (3, 3), (10, 3), (5, 0)] {
            let all: Vec<usize> = ranges(n, size).flatten().collect();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
        assert_eq!(
            map_ranges(10, 3, |i, r| (i, r.len())),
            vec![(0, 3), (1, 3), (2, 3), (3, 1)]
        );
        assert_eq!(tree_sum(&[1.0, 2.0, 3.0]), 6.0);
    }
}
