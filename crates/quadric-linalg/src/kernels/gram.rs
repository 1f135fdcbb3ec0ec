//! The weighted Gram matrix: lower triangles of partial sums over rows (or over panels of columns where partials would
//! be too many bytes), summed in a fixed tree and mirrored.

use super::csr::add_scaled;
use super::narrow::{NARROW, add_gram};
use super::panel::{RUN, add};
use super::plan::{chunks, partial_bytes};
use super::pool::{Buffer, as_scalar};
use super::simd::{dispatch, prefetch};
use crate::matrix::sparse_row;
use crate::parallel::{by_rows, for_each};
use crate::{DataMatrix, Scalar};
use faer::linalg::matmul::{matmul, triangular};
use faer::prelude::ReborrowMut;
use faer::sparse::SparseRowMatRef;
use faer::{Accum, MatMut, MatRef, Par};
use std::ops::Range;

/// Multiplications worth a task: on the fast path, and for scattered sums.
const DENSE_TASK: usize = 1 << 20;
const NARROW_TASK: usize = 1 << 18;
const SPARSE_TASK: usize = 1 << 16;
/// Partials at most.
const MOST_PARTIALS: usize = 64;
/// Tasks that keep any machine busy; with fewer partials the columns are cut as well.
const ENOUGH_TASKS: usize = 16;
/// A scattered multiplication takes as long as this many in a dense product.
const SCATTER_COST: usize = 12;

/// Bytes of X in a block.
const BLOCK_BYTES: usize = 192 << 10;

/// How the work is cut, by sizes only.
struct Plan {
    chunks: Vec<Range<usize>>,
    panel: usize,
    dense: bool,
}

/// Pairs of stored values that share a row, each value with itself included.
pub(crate) fn pairs<T>(x: SparseRowMatRef<'_, u32, T>) -> usize {
    let lengths = x.symbolic().row_ptr().windows(2);
    let lengths = lengths.map(|w| (w[1] - w[0]) as usize);
    lengths.map(|m| m * (m + 1) / 2).sum()
}

impl Plan {
    fn new<T: Scalar>(x: &DataMatrix<T>) -> Self {
        let (n, d) = (x.rows(), x.cols());
        let products = n.saturating_mul(d).saturating_mul(d) / 2;
        let scattered = match x {
            DataMatrix::Dense(_) => usize::MAX,
            DataMatrix::Sparse(s) => pairs(s.as_ref()),
        };
        let dense = scattered.saturating_mul(SCATTER_COST) > products;
        let (tasks, useful) = if dense {
            // With fewer rows to a partial, clearing and summing them takes more than a few percent.
            let task = if d <= NARROW { NARROW_TASK } else { DENSE_TASK };
            (products / task, n / (4 * RUN))
        } else {
            (scattered / SPARSE_TASK, scattered / (12 * d * d))
        };
        let partials = tasks
            .min(MOST_PARTIALS)
            .min(useful)
            .min(partial_bytes(x) / (8 * d * d))
            .max(1);
        let chunks = chunks(x, partials);
        let panels = (ENOUGH_TASKS / chunks.len()).min(tasks / chunks.len());
        let panel = if chunks.len() >= ENOUGH_TASKS / 2 || panels < 2 {
            d
        } else {
            d.div_ceil(panels).next_multiple_of(32).max(64).min(d)
        };
        Self {
            chunks,
            panel,
            dense,
        }
    }
}

/// `out <- Xᵀ diag(weights) X`; the shapes have been checked.
pub(super) fn weighted_gram<T: Scalar>(x: &DataMatrix<T>, weights: &[T], mut out: MatMut<'_, T>) {
    if x.stored() == 0 {
        out.fill(T::of(0.0));
        return;
    }
    let d = x.cols();
    let plan = Plan::new(x);
    let count = plan.chunks.len();
    let mut parts = Buffer::<f64>::take(count * d * d);
    let tasks: Vec<(Range<usize>, usize, &mut [f64])> = parts
        .chunks_exact_mut(d * d)
        .zip(&plan.chunks)
        .flat_map(|(part, rows)| {
            part.chunks_mut(d * plan.panel)
                .enumerate()
                .map(|(q, part)| (rows.clone(), q * plan.panel, part))
        })
        .collect();
    let run = |(rows, first, part): (Range<usize>, usize, &mut [f64])| {
        let columns = first..first + part.len() / d;
        for (c, column) in columns.clone().zip(part.chunks_exact_mut(d)) {
            column[c..].fill(0.0);
        }
        match x {
            DataMatrix::Sparse(s) if !plan.dense => {
                add_sparse(s.as_ref(), weights, rows, columns, part);
            }
            DataMatrix::Dense(x) if d <= NARROW => add_gram(x, weights, rows, part),
            _ => add_dense(x, weights, rows, columns, part),
        }
    };
    for_each(tasks, |_, task| run(task));
    sum_lower(&mut parts, d, count);
    mirror(&parts[..d * d], d, out);
}

/// Adds the products over some rows to columns `columns` of the lower triangle; `part` holds these columns whole.
fn add_dense<T: Scalar>(
    x: &DataMatrix<T>,
    weights: &[T],
    rows: Range<usize>,
    columns: Range<usize>,
    part: &mut [f64],
) {
    let (d, width) = (x.cols(), columns.len());
    // A block and its scaled copy stay in the cache together; shorter sums would make the products slower.
    let run = (BLOCK_BYTES / (d * size_of::<T>())).clamp(RUN / 2, RUN) / 8 * 8;
    let mut scaled = Buffer::<T>::take(run * width);
    let mut product = Buffer::<T>::take(if size_of::<T>() == 8 { 0 } else { d * width });
    let mut copy = Buffer::<T>::take(if matches!(x, DataMatrix::Dense(_)) {
        0
    } else {
        run * d
    });
    for start in rows.clone().step_by(run) {
        let block = start..(start + run).min(rows.end);
        let weights = &weights[block.clone()];
        let len = block.len();
        let values: &[T] = match x {
            DataMatrix::Dense(x) => &x.values()[block.start * d..block.end * d],
            DataMatrix::Sparse(x) => {
                let copy = &mut copy[..len * d];
                copy.fill(T::of(0.0));
                for (row, i) in copy.chunks_exact_mut(d).zip(block) {
                    let (columns, values) = sparse_row(x.as_ref(), i);
                    for (j, v) in columns.iter().zip(values) {
                        row[*j as usize] = *v;
                    }
                }
                copy
            }
        };
        let scaled = &mut scaled[..len * width];
        scale_transposed(values, d, weights, columns.clone(), scaled);
        let x = MatRef::from_column_major_slice(values, d, len)
            .subrows(columns.start, d - columns.start);
        let scaled = MatRef::from_column_major_slice(scaled, len, width);
        if let Some(part) = as_scalar::<T>(part) {
            let part = MatMut::from_column_major_slice_mut(part, d, width);
            product_lower(
                x,
                scaled,
                Accum::Add,
                part.subrows_mut(columns.start, d - columns.start),
            );
        } else {
            let target = MatMut::from_column_major_slice_mut(&mut product, d, width);
            product_lower(
                x,
                scaled,
                Accum::Replace,
                target.subrows_mut(columns.start, d - columns.start),
            );
            for (c, j) in columns.clone().enumerate() {
                add(
                    &product[c * d + j..(c + 1) * d],
                    &mut part[c * d + j..(c + 1) * d],
                );
            }
        }
    }
}

/// `out[c][i] <- weights[i] x[i][columns.start + c]`, eight rows at a time: they are read from end to end, and each write
/// fills a line of the cache.
fn scale_transposed<T: Scalar>(
    x: &[T],
    d: usize,
    weights: &[T],
    columns: Range<usize>,
    out: &mut [T],
) {
    const GROUP: usize = 8;
    let (rows, width) = (weights.len(), columns.len());
    for start in (0..rows).step_by(GROUP) {
        let row = |i: usize| &x[i * d + columns.start..][..width];
        if start + GROUP <= rows {
            let group: [&[T]; GROUP] = std::array::from_fn(|i| row(start + i));
            let weights: [f64; GROUP] = std::array::from_fn(|i| weights[start + i].to_f64());
            for c in 0..width {
                if c.is_multiple_of(GROUP) {
                    (0..GROUP)
                        .for_each(|i| prefetch(group[i].as_ptr().wrapping_add(c + GROUP * d)));
                }
                let out = &mut out[c * rows + start..][..GROUP];
                for i in 0..GROUP {
                    out[i] = T::of(group[i][c].to_f64() * weights[i]);
                }
            }
        } else {
            for i in start..rows {
                for (c, v) in row(i).iter().enumerate() {
                    out[c * rows + i] = T::of(v.to_f64() * weights[i].to_f64());
                }
            }
        }
    }
}

/// The product `x scaled` in the lower trapezoid of `out` (rows at least as many as columns).
fn product_lower<T: Scalar>(
    x: MatRef<'_, T>,
    scaled: MatRef<'_, T>,
    mode: Accum,
    out: MatMut<'_, T>,
) {
    use triangular::BlockStructure::{Rectangular, TriangularLower};
    let width = out.ncols();
    let (mut square, mut rest) = out.split_at_row_mut(width);
    let (x_square, x_rest) = x.split_at_row(width);
    triangular::matmul(
        square.rb_mut(),
        TriangularLower,
        mode,
        x_square,
        Rectangular,
        scaled,
        Rectangular,
        T::of(1.0),
        Par::Seq,
    );
    if rest.nrows() > 0 {
        matmul(rest.rb_mut(), mode, x_rest, scaled, T::of(1.0), Par::Seq);
    }
}

fn add_sparse<T: Scalar>(
    x: SparseRowMatRef<'_, u32, T>,
    weights: &[T],
    rows: Range<usize>,
    columns: Range<usize>,
    part: &mut [f64],
) {
    assert_eq!(part.len(), columns.len() * x.ncols());
    dispatch!(add_sparse_body::<T>(x: SparseRowMatRef<'_, u32, T>, weights: &[T], rows: Range<usize>,
        columns: Range<usize>, part: &mut [f64]));
}

#[inline(always)]
fn add_sparse_body<T: Scalar, const FMA: bool>(
    x: SparseRowMatRef<'_, u32, T>,
    weights: &[T],
    rows: Range<usize>,
    columns: Range<usize>,
    part: &mut [f64],
) {
    let d = x.ncols();
    let whole = columns.len() == d;
    for i in rows {
        let (indices, values) = sparse_row(x, i);
        let weight = weights[i].to_f64();
        let (from, to) = if whole {
            (0, indices.len())
        } else {
            (
                indices.partition_point(|j| (*j as usize) < columns.start),
                indices.partition_point(|j| (*j as usize) < columns.end),
            )
        };
        for p in from..to {
            let a = weight * values[p].to_f64();
            let column = &mut part[(indices[p] as usize - columns.start) * d..][..d];
            // SAFETY: a faer sparse matrix has column indices below its number of columns d (checked by its constructors),
            // and `column` has d entries.
            unsafe { add_scaled::<T, FMA>(&indices[p..], &values[p..], a, column) };
        }
    }
}

/// Sums the lower triangles pairwise in a fixed tree into the first.
fn sum_lower(parts: &mut [f64], d: usize, count: usize) {
    if count == 1 {
        return;
    }
    let mut gap = 1;
    while gap < count {
        for_each(parts.chunks_mut(2 * gap * d * d), |_, pair| {
            if pair.len() <= gap * d * d {
                return;
            }
            let (left, right) = pair.split_at_mut(gap * d * d);
            let columns = (4096 / d).max(1);
            let left = left[..d * d].chunks_mut(columns * d);
            let right = right[..d * d].chunks(columns * d);
            for_each(left.zip(right), |piece, (left, right)| {
                let pairs = left.chunks_exact_mut(d).zip(right.chunks_exact(d));
                for (c, (l, r)) in (piece * columns..).zip(pairs) {
                    for (l, r) in l[c..].iter_mut().zip(&r[c..]) {
                        *l += *r;
                    }
                }
            });
        });
        gap *= 2;
    }
}

/// Writes both triangles from the lower one.
fn mirror<T: Scalar>(lower: &[f64], d: usize, out: MatMut<'_, T>) {
    const SIDE: usize = 32;
    by_rows(out, 0, SIDE, &|first, mut out| {
        let last = first + out.nrows();
        for c in 0..last {
            for i in first.max(c)..last {
                out[(i - first, c)] = T::of(lower[c * d + i]);
            }
        }
        for c in first + 1..d {
            for i in first..last.min(c) {
                out[(i - first, c)] = T::of(lower[i * d + c]);
            }
        }
    });
}
