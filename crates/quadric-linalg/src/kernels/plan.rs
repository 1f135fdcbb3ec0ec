//! How the rows are cut, and how partial sums over the pieces meet. Everything here depends on sizes only.

use super::pool::Buffer;
use crate::parallel::{WAKING, by_rows};
use crate::{DataMatrix, Scalar};
use faer::MatMut;
use faer::prelude::ReborrowMut;
use std::ops::Range;

/// Pieces of work at most; enough for balance on any machine this is meant for.
const MOST_CHUNKS: usize = 256;
/// Multiplications that are worth a task.
const TASK: usize = 1 << 15;
/// Partial sums may always take this much memory (bytes), and otherwise one part in this many of the matrix.
const PARTIAL_BYTES: usize = 8 << 20;
const PARTIAL_SHARE: usize = 8;
/// Bytes of X in one block: it is read again for the transposed product and must still be in the cache.
const BLOCK_BYTES: usize = 64 << 10;
/// Values that are summed at a time while partial sums meet.
const TILE: usize = 512;

/// Memory that partial sums over the rows may take, in bytes.
pub(super) fn partial_bytes<T: Scalar>(x: &DataMatrix<T>) -> usize {
    (x.stored() * size_of::<T>() / PARTIAL_SHARE).max(PARTIAL_BYTES)
}

/// How many pieces `work` multiplications over the stored values of `x` are cut into when each needs `partial` values of
/// its own (0: none).
pub(super) fn pieces<T: Scalar>(x: &DataMatrix<T>, work: usize, partial: usize) -> usize {
    let small = match x {
        DataMatrix::Dense(_) => WAKING,
        // Their multiplications take about four times as long.
        DataMatrix::Sparse(_) => WAKING / 4,
    };
    if work < small {
        return 1;
    }
    let mut pieces = (work / TASK).min(MOST_CHUNKS);
    if partial > 0 {
        // Clearing and summing a partial should cost less than filling it, unless that leaves nothing to do at once; products
        // of dense blocks are fast from some rows on.
        let rows = match x {
            DataMatrix::Dense(_) if work > x.stored() => 64,
            _ => 4,
        };
        let useful = (x.stored() / (rows * x.cols().max(1))).max(8);
        pieces = pieces.min(useful).min(partial_bytes(x) / (8 * partial));
    }
    pieces.max(1)
}

/// The rows cut in at most `pieces` ranges of about equally many stored values.
pub(super) fn chunks<T: Scalar>(x: &DataMatrix<T>, pieces: usize) -> Vec<Range<usize>> {
    let n = x.rows();
    match x {
        DataMatrix::Sparse(s) if pieces > 1 => {
            let starts = s.symbolic().row_ptr();
            let mut cuts: Vec<usize> = (1..pieces)
                .map(|p| {
                    let goal = x.stored() as u64 * p as u64 / pieces as u64;
                    starts.partition_point(|s| u64::from(*s) < goal).min(n)
                })
                .collect();
            cuts.push(n);
            let mut start = 0;
            cuts.retain(|&cut| {
                let keep = cut > start;
                start = start.max(cut);
                keep
            });
            let mut start = 0;
            cuts.into_iter()
                .map(|cut| std::mem::replace(&mut start, cut)..cut)
                .collect()
        }
        _ => {
            let rows = n.div_ceil(pieces).next_multiple_of(8);
            crate::parallel::ranges(n, rows).collect()
        }
    }
}

/// Rows in a block.
pub(super) fn block_rows<T: Scalar>(x: &DataMatrix<T>, k: usize) -> usize {
    let bytes = (x.stored() / x.rows().max(1)).max(1) * size_of::<T>();
    let (least, most) = match x {
        DataMatrix::Dense(_) if k > 1 => (64, 256),
        _ => (8, 1024),
    };
    (BLOCK_BYTES / bytes).clamp(least, most) / 8 * 8
}

/// Cuts a slice with `k` values a row along the chunks.
pub(super) fn split_rows<'a, T>(
    chunks: &[Range<usize>],
    k: usize,
    mut values: &'a mut [T],
) -> Vec<(Range<usize>, &'a mut [T])> {
    chunks
        .iter()
        .map(|chunk| {
            let (head, tail) = std::mem::take(&mut values).split_at_mut(chunk.len() * k);
            values = tail;
            (chunk.clone(), head)
        })
        .collect()
}

/// Partial sums of shape (d, k): columns in groups of `width`, each group row after row.
pub(super) struct Partials {
    pub(super) values: Buffer<f64>,
    pub(super) count: usize,
    pub(super) width: usize,
}

impl Partials {
    /// Sums the partials pairwise in a fixed tree and rounds the result into `out` (d, k).
    pub(super) fn sum_into<T: Scalar>(&self, mut out: MatMut<'_, T>) {
        let (d, k) = (out.nrows(), out.ncols());
        by_rows(
            out.rb_mut(),
            0,
            (4 * TILE / k.max(1)).max(1),
            &|first, mut out| {
                let mut tile = [0.0; TILE];
                for start in (0..k).step_by(self.width.max(1)) {
                    let width = self.width.min(k - start);
                    let rows = (TILE / width).max(1);
                    for row in (0..out.nrows()).step_by(rows) {
                        let rows = rows.min(out.nrows() - row);
                        // A single row wider than a tile goes in several pieces.
                        for piece in (0..rows * width).step_by(TILE) {
                            let len = TILE.min(rows * width - piece);
                            let at = d * start + (first + row) * width + piece;
                            self.tree(0..self.count, d * k, at, &mut tile[..len]);
                            for (i, value) in tile[..len].iter().enumerate() {
                                let i = i + piece;
                                out[(row + i / width, start + i % width)] = T::of(*value);
                            }
                        }
                    }
                }
            },
        );
    }

    fn tree(&self, parts: Range<usize>, len: usize, at: usize, out: &mut [f64]) {
        tree(&self.values, parts, len, at, out);
    }
}

/// Sum over `parts` of `values[part * len + at..][..out.len()]`, pairwise in a fixed tree; `out` is at most a tile.
fn tree(values: &[f64], parts: Range<usize>, len: usize, at: usize, out: &mut [f64]) {
    if parts.len() == 1 {
        let start = parts.start * len + at;
        out.copy_from_slice(&values[start..start + out.len()]);
        return;
    }
    let middle = parts.start + parts.len().div_ceil(2);
    let mut other = [0.0; TILE];
    let other = &mut other[..out.len()];
    tree(values, parts.start..middle, len, at, out);
    tree(values, middle..parts.end, len, at, other);
    for (o, v) in out.iter_mut().zip(other) {
        *o += *v;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_the_rows_and_balance_the_values() {
        let dense = DataMatrix::dense(vec![1.0; 1000], 100, 10).unwrap();
        for p in [1, 2, 3, 7, 100, 256] {
            let cut: Vec<usize> = chunks(&dense, p).into_iter().flatten().collect();
            assert_eq!(cut, (0..100).collect::<Vec<_>>());
        }
        // Row i holds i % 5 values, and the last half of the rows none.
        let mut starts = vec![0u32];
        let mut columns = Vec::new();
        for i in 0..200u32 {
            columns.extend(0..if i < 100 { i % 5 } else { 0 });
            starts.push(columns.len() as u32);
        }
        let values = vec![1.0f32; columns.len()];
        let sparse = DataMatrix::sparse(starts, columns, values, 200, 5).unwrap();
        for p in [1, 2, 3, 7, 100, 256] {
            let cut = chunks(&sparse, p);
            assert!(cut.len() <= p);
            let cut: Vec<usize> = cut.into_iter().flatten().collect();
            assert_eq!(cut, (0..200).collect::<Vec<_>>());
        }
    }

    #[test]
    fn partials_meet_in_either_layout() {
        let (d, k) = (700, 3);
        for (count, width) in [(1, 1), (1, 3), (5, 2), (8, 1), (9, 3)] {
            let mut values = Buffer::<f64>::take(count * d * k);
            for p in 0..count {
                for j in 0..d {
                    for c in 0..k {
                        let start = c / width * width;
                        let w = width.min(k - start);
                        values[p * d * k + d * start + j * w + c - start] = (j * k + c + p) as f64;
                    }
                }
            }
            let partials = Partials {
                values,
                count,
                width,
            };
            let mut out = faer::Mat::<f64>::zeros(d, k);
            partials.sum_into(out.as_mut());
            for j in 0..d {
                for c in 0..k {
                    let expected = (count * (j * k + c) + count * (count - 1) / 2) as f64;
                    assert_eq!(out[(j, c)], expected);
                }
            }
        }
    }
}
