//! Deterministic parallelism: work is cut by size, never by thread count, and partial sums meet in a fixed tree.
//!
//! Tasks are forked in code that does not depend on what they do: rayon's iterators are compiled anew for every closure.

use crate::Scalar;
use faer::{ColMut, MatMut};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Values that one thread multiplies, or looks at, in the time in which another wakes up and fetches its part.
pub const WAKING: usize = 3 << 17;

/// The ranges of at most `size` items that cover `0..n`, in order.
pub fn ranges(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..n)
        .step_by(size.max(1))
        .map(move |start| start..(start + size.max(1)).min(n))
}

/// Calls `f` on one of the threads that loops are shared among. A loop begun by any other thread waits until one of them takes
/// it over, which takes longer than many a loop.
pub fn within<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| f())
}

/// Calls `f` for all numbers of the range, in parallel.
fn fork(numbers: Range<usize>, f: &(dyn Fn(usize) + Sync)) {
    match numbers.len() {
        0 => {}
        1 => f(numbers.start),
        n => {
            let middle = numbers.start + n / 2;
            rayon::join(
                || fork(numbers.start..middle, f),
                || fork(middle..numbers.end, f),
            );
        }
    }
}

/// Calls `f(index, item)` for every item, in parallel.
pub fn for_each<I: Send>(items: impl IntoIterator<Item = I>, f: impl Fn(usize, I) + Sync) {
    let slots: Vec<_> = items.into_iter().map(|i| Mutex::new(Some(i))).collect();
    fork(0..slots.len(), &|i| {
        let item = slots[i]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(item) = item {
            f(i, item);
        }
    });
}

/// Calls `f(index, item)` for every item, in parallel, and returns the results in order.
pub fn map<I: Send, R: Send>(
    items: impl IntoIterator<Item = I>,
    f: impl Fn(usize, I) -> R + Sync,
) -> Vec<R> {
    let mut slots: Vec<(Option<I>, Option<R>)> =
        items.into_iter().map(|i| (Some(i), None)).collect();
    for_each(&mut slots, |i, (item, result)| {
        *result = item.take().map(|item| f(i, item));
    });
    slots.into_iter().filter_map(|(_, result)| result).collect()
}

/// Calls `f(index, range)` for every range of [`ranges`] and returns the results in order.
pub fn map_ranges<R: Send>(
    n: usize,
    size: usize,
    f: impl Fn(usize, Range<usize>) -> R + Sync,
) -> Vec<R> {
    map(ranges(n, size), f)
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
    f: &(dyn Fn(usize, MatMut<'_, T>) + Sync),
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
    f: &(dyn Fn(usize, ColMut<'_, T>) + Sync),
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
