//! Sums of products of the columns of narrow dense rows, in registers: a general matrix product would spend most of its time
//! on packing such a matrix.

use super::lanes::{Lanes, Registers, dispatch_lanes};
use super::pool::Buffer;
use crate::{DenseRows, Scalar};
use std::ops::Range;

/// Most columns of a narrow matrix.
pub(super) const NARROW: usize = 48;
/// Rows that are summed before the sums leave the registers; their scaled copy stays in the first cache.
const ROWS: usize = 64;
/// Columns of a tile.
const COLUMNS: usize = 4;

/// Adds `Xᵀ diag(weights) X` over `rows` to the lower triangle `part` (d, d), column after column.
pub(super) fn add_gram<T: Scalar>(
    x: &DenseRows<T>,
    weights: &[T],
    rows: Range<usize>,
    part: &mut [f64],
) {
    dispatch_lanes!(add_gram_body::<T>(
        x: &DenseRows<T>, weights: &[T], rows: Range<usize>, part: &mut [f64]
    ));
}

/// Rows side by side, and the same rows times their weights, filled up with zeros to whole registers.
struct Block<'a, T> {
    rows: &'a [T],
    d: usize,
    scaled: &'a [T],
    padded: usize,
}

#[inline(always)]
fn add_gram_body<T: Scalar + Registers, V: Lanes<T>>(
    x: &DenseRows<T>,
    weights: &[T],
    rows: Range<usize>,
    part: &mut [f64],
) {
    let d = x.view().ncols();
    let padded = d.next_multiple_of(V::N);
    let mut scaled = Buffer::<T>::take(ROWS * padded);
    scaled.fill(T::of(0.0));
    for start in rows.clone().step_by(ROWS) {
        let len = ROWS.min(rows.end - start);
        let values = &x.values()[start * d..(start + len) * d];
        let each = values.chunks_exact(d).zip(&weights[start..start + len]);
        for (out, (row, weight)) in scaled.chunks_exact_mut(padded).zip(each) {
            for (o, v) in out.iter_mut().zip(row) {
                *o = *v * *weight;
            }
        }
        let block = Block {
            rows: values,
            d,
            scaled: &scaled[..len * padded],
            padded,
        };
        block.add_all::<V>(part);
    }
}

impl<T: Scalar + Registers> Block<'_, T> {
    #[inline(always)]
    fn add_all<V: Lanes<T>>(&self, part: &mut [f64]) {
        // A last register that is nearly empty would cost every column as much as a full one: its few rows are taken as
        // columns instead.
        let over = self.d % V::N;
        let (columns, end) = if self.d > V::N && over > 0 && over <= COLUMNS {
            (self.d - over, self.d - over)
        } else {
            (self.d, self.padded)
        };
        let mut column = 0;
        while column < self.d {
            let (first, end, most) = if column < columns {
                (column / V::N * V::N, end, columns - column)
            } else {
                (0, self.padded, self.d - column)
            };
            column += match most {
                1 => self.add::<V, 1>(column, first..end, part),
                2 => self.add::<V, 2>(column, first..end, part),
                3 => self.add::<V, 3>(column, first..end, part),
                _ => self.add::<V, COLUMNS>(column, first..end, part),
            };
        }
    }

    /// The sums of C columns from `column` on with `rows`, which begin and end with a register; returns C.
    #[inline(always)]
    fn add<V: Lanes<T>, const C: usize>(
        &self,
        column: usize,
        rows: Range<usize>,
        part: &mut [f64],
    ) -> usize {
        let mut first = rows.start;
        while first < rows.end {
            let left = (rows.end - first) / V::N;
            let taken = match left.min(V::TILE) {
                1 => self.tile::<V, C, 1>(column, first, part),
                2 => self.tile::<V, C, 2>(column, first, part),
                3 => self.tile::<V, C, 3>(column, first, part),
                _ => self.tile::<V, C, 4>(column, first, part),
            };
            first += taken * V::N;
        }
        C
    }

    /// C columns with R registers of rows from `first` on; returns R.
    #[inline(always)]
    fn tile<V: Lanes<T>, const C: usize, const R: usize>(
        &self,
        column: usize,
        first: usize,
        part: &mut [f64],
    ) -> usize {
        let mut sums = [[V::splat(T::of(0.0)); R]; C];
        let rows = self.rows.chunks_exact(self.d);
        for (row, scaled) in rows.zip(self.scaled.chunks_exact(self.padded)) {
            let scaled = &scaled[first..first + R * V::N];
            let columns = &row[column..column + C];
            let parts: [V; R] = std::array::from_fn(|r| V::load(&scaled[r * V::N..]));
            for c in 0..C {
                let value = V::splat(columns[c]);
                for r in 0..R {
                    sums[c][r] = parts[r].mul_add(value, sums[c][r]);
                }
            }
        }
        let mut out = [T::of(0.0); 16];
        for (j, sums) in (column..).zip(&sums) {
            for (at, sum) in (first..).step_by(V::N).zip(sums) {
                sum.store(&mut out);
                for (i, o) in (at..self.d).zip(&out[..V::N]) {
                    // Below the diagonal, or above it where rows stand for columns; what both know counts once.
                    let (low, high) = if i >= j { (i, j) } else { (j, i) };
                    if i >= j || at + V::N <= column {
                        part[high * self.d + low] += o.to_f64();
                    }
                }
            }
        }
        R
    }
}
