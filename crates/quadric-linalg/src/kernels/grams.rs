//! Several weighted Gram matrices of sparse rows at once.
//!
//! A single one scatters one number per pair of values. With the sums of all weights side by side each pair updates a run
//! of memory instead, at the speed of wide vectors. Tiles of the matrix, small enough for the cache, are the tasks.

use super::gram::{pairs, weighted_gram};
use super::simd::{dispatch, mul_add};
use crate::matrix::sparse_row;
use crate::parallel::{map, map_ranges, ranges};
use crate::{DataMatrix, Scalar};
use faer::prelude::ReborrowMut;
use faer::sparse::SparseRowMatRef;
use faer::{Mat, MatMut};
use std::ops::Range;

/// Rows whose spans are found in one task.
const ROWS: usize = 4096;
/// Columns of a tile, at most and at least.
const WIDEST: usize = 32;
const NARROWEST: usize = 8;
/// Tiles that keep any machine busy.
const ENOUGH_TILES: usize = 16;
/// A multiplication in a tile takes as long as this many in a dense product.
const TILE_COST: usize = 3;
/// With fewer weights than this a run of memory is too short.
const FEW: usize = 4;
/// Entries of matrices that are summed at the same time, and how many such matrices there are at most.
const TOGETHER: usize = 1 << 18;
const MOST_TOGETHER: usize = 16;
/// Sums that stay in registers; runs are padded to a multiple of it.
const RUN: usize = 16;

/// Calls `each(t, Xᵀ diag(weights[.., t]) X)` for t in 0..q; the shapes have been checked. The matrix is the callee's to
/// overwrite.
pub(super) fn weighted_grams<T: Scalar>(
    x: &DataMatrix<T>,
    weights: &[T],
    q: usize,
    each: &mut dyn FnMut(usize, MatMut<'_, T>),
) {
    if let DataMatrix::Sparse(s) = x
        && q >= FEW
        && is_sparse_enough(s.as_ref())
    {
        let mut gram = Mat::<T>::zeros(x.cols(), x.cols());
        let tiles = Tiles::sum(s.as_ref(), weights, q);
        for t in 0..q {
            tiles.write(t, gram.as_mut());
            each(t, gram.as_mut());
        }
        return;
    }
    // A small one is too little work to be shared among threads.
    let together = (TOGETHER / (x.cols() * x.cols()).max(1)).clamp(1, MOST_TOGETHER);
    for group in ranges(q, together) {
        let first = group.start;
        let grams = map(group, |_, t| one_gram(x, weights, q, t));
        for (t, mut gram) in (first..).zip(grams) {
            each(t, gram.as_mut());
        }
    }
}

fn one_gram<T: Scalar>(x: &DataMatrix<T>, weights: &[T], q: usize, t: usize) -> Mat<T> {
    let column: Vec<T> = weights.chunks_exact(q).map(|row| row[t]).collect();
    let mut gram = Mat::zeros(x.cols(), x.cols());
    weighted_gram(x, &column, gram.as_mut());
    gram
}

fn is_sparse_enough<T: Scalar>(x: SparseRowMatRef<'_, u32, T>) -> bool {
    let (n, d) = (x.nrows(), x.ncols());
    pairs(x).saturating_mul(TILE_COST) <= n.saturating_mul(d).saturating_mul(d) / 2
}

/// The lower triangles of all matrices, cut in tiles.
struct Tiles {
    q: usize,
    /// Columns of the matrix in each block of columns.
    blocks: Vec<Range<usize>>,
    /// For each pair of blocks (a, b), b <= a: entries (t, column of b, column of a).
    sums: Vec<(usize, usize, Vec<f64>)>,
}

impl Tiles {
    fn sum<T: Scalar>(x: SparseRowMatRef<'_, u32, T>, weights: &[T], q: usize) -> Self {
        let d = x.ncols();
        let mut width = WIDEST;
        while width > NARROWEST && d.div_ceil(width).pow(2) / 2 < ENOUGH_TILES {
            width /= 2;
        }
        let blocks: Vec<_> = ranges(d, width).collect();
        let count = blocks.len();
        // Where the blocks begin in each row.
        let starts = map_ranges(x.nrows(), ROWS, |_, rows| {
            let of_row = |i: usize| {
                let (columns, _) = sparse_row(x, i);
                (0..=count)
                    .map(move |b| columns.partition_point(|j| (*j as usize) < b * width) as u32)
            };
            rows.flat_map(of_row).collect::<Vec<u32>>()
        })
        .concat();
        let pairs: Vec<(usize, usize)> = (0..count)
            .flat_map(|a| (0..=a).map(move |b| (a, b)))
            .collect();
        let sums = map(pairs, |_, (a, b)| {
            let tile = Tile {
                q,
                rows: blocks[a].clone(),
                columns: blocks[b].clone(),
            };
            let spans = |i: usize| {
                let starts = &starts[i * (count + 1)..];
                let span = |c: usize| starts[c] as usize..starts[c + 1] as usize;
                (span(a), span(b))
            };
            (a, b, tile.sum(x, weights, &spans))
        });
        Self { q, blocks, sums }
    }

    /// Writes matrix t, both triangles.
    fn write<T: Scalar>(&self, t: usize, mut out: MatMut<'_, T>) {
        for (a, b, sums) in &self.sums {
            let (rows, columns) = (&self.blocks[*a], &self.blocks[*b]);
            let matrix = &sums[t * sums.len() / self.q..];
            for (l, column) in columns.clone().zip(matrix.chunks_exact(rows.len())) {
                for (j, v) in rows.clone().zip(column) {
                    if j >= l {
                        out.rb_mut()[(j, l)] = T::of(*v);
                        out.rb_mut()[(l, j)] = T::of(*v);
                    }
                }
            }
        }
    }
}

/// One tile of the lower triangle.
struct Tile {
    q: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

/// Where the rows and columns of a tile lie among the stored values of a row of X.
type Spans<'a> = dyn Fn(usize) -> (Range<usize>, Range<usize>) + 'a;

impl Tile {
    fn sum<T: Scalar>(
        &self,
        x: SparseRowMatRef<'_, u32, T>,
        weights: &[T],
        spans: &Spans<'_>,
    ) -> Vec<f64> {
        let (height, width) = (self.rows.len(), self.columns.len());
        let padded = self.q.next_multiple_of(RUN);
        let mut sums = vec![0.0; height * width * padded];
        add_rows::<T>(self, x, weights, spans, &mut sums);
        let mut out = vec![0.0; height * width * self.q];
        for (at, run) in sums.chunks_exact(padded).enumerate() {
            let (j, l) = (at / width, at % width);
            for (t, v) in run[..self.q].iter().enumerate() {
                out[(t * width + l) * height + j] = *v;
            }
        }
        out
    }
}

fn add_rows<T: Scalar>(
    tile: &Tile,
    x: SparseRowMatRef<'_, u32, T>,
    weights: &[T],
    spans: &Spans<'_>,
    sums: &mut [f64],
) {
    dispatch!(add_rows_body::<T>(tile: &Tile, x: SparseRowMatRef<'_, u32, T>, weights: &[T], spans: &Spans<'_>,
        sums: &mut [f64]));
}

#[inline(always)]
fn add_rows_body<T: Scalar, const FMA: bool>(
    tile: &Tile,
    x: SparseRowMatRef<'_, u32, T>,
    weights: &[T],
    spans: &Spans<'_>,
    sums: &mut [f64],
) {
    let (q, width) = (tile.q, tile.columns.len());
    let padded = q.next_multiple_of(RUN);
    let mut weighted = vec![0.0; padded];
    for (i, weights) in weights.chunks_exact(q).enumerate() {
        let (above, left) = spans(i);
        if above.is_empty() || left.is_empty() {
            continue;
        }
        let (indices, values) = sparse_row(x, i);
        for p in above {
            let (j, a) = (indices[p] as usize, values[p].to_f64());
            for (o, w) in weighted.iter_mut().zip(weights) {
                *o = a * w.to_f64();
            }
            let last = left.start + indices[left.clone()].partition_point(|l| *l as usize <= j);
            let (indices, values) = (&indices[left.start..last], &values[left.start..last]);
            let line = &mut sums[(j - tile.rows.start) * width * padded..][..width * padded];
            for (c, w) in weighted.as_chunks::<RUN>().0.iter().enumerate() {
                for (l, b) in indices.iter().zip(values) {
                    let at = (*l as usize - tile.columns.start) * padded + c * RUN;
                    let b = b.to_f64();
                    let run = &mut line[at..at + RUN];
                    for e in 0..RUN {
                        run[e] = mul_add::<FMA>(b, w[e], run[e]);
                    }
                }
            }
        }
    }
}
